//! Running make: configuration and compilation of one build folder, in a room.
//!
//! What a build depends on is fixed here: names of folders, stamps, environment. Its output goes to a log,
//! bounded, and line by line to whoever shows progress.
//!
//! Not here: which folder that is and what is kept of it.

use super::failure::{self, BuildFailure, Cause};
use super::toolchain::Toolchain;
use super::{BuildStep, Infra, KernelError, Progress};
use crate::host::{Cmd, Finished, Output};
use crate::source::cache::failed;
use crate::source::room::Room;
use crate::source::{Cancel, InPatch};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A full build takes 8 minutes on two quiet cores; hosts are slower and busier.
const BUILD_DEADLINE: Duration = Duration::from_secs(2 * 3600);

/// Configuring takes seconds; a Kconfig file of a hostile patch may never end.
const CONFIG_DEADLINE: Duration = Duration::from_secs(600);

/// Most bytes kept of a build's output.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of compiler cache.
const CCACHE_MAX: &str = "5G";

/// What a build writes, in the order in which it came.
pub(super) struct Log {
    path: PathBuf,
    to: Mutex<Written>,
}

struct Written {
    file: File,
    bytes: u64,
    /// Where the output of the last make begins.
    mark: u64,
}

impl Log {
    pub(super) fn create(path: &Path) -> Result<Arc<Self>, KernelError> {
        let file = File::create(path).map_err(failed("create", path))?;
        Ok(Arc::new(Self {
            path: path.to_path_buf(),
            to: Mutex::new(Written {
                file,
                bytes: 0,
                mark: 0,
            }),
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new make starts: what was said before is not its.
    fn mark(&self) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.mark = to.bytes;
    }

    fn line(&self, line: &str) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        if to.bytes < LOG_BYTES_MAX {
            to.bytes += line.len() as u64 + 1;
            // A log that cannot be written must not end the build: a full disk ends it by itself.
            let _ = to
                .file
                .write_all(line.as_bytes())
                .and_then(|()| to.file.write_all(b"\n"));
        }
    }

    /// The output of the last make.
    fn text(&self) -> String {
        let mark = self.to.lock().unwrap_or_else(PoisonError::into_inner).mark;
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let rest = usize::try_from(mark)
            .ok()
            .and_then(|at| bytes.get(at..))
            .unwrap_or_default();
        String::from_utf8_lossy(rest).into_owned()
    }
}

/// A room with a tree and a build folder, in which make runs.
pub(super) struct Site<'a> {
    pub room: Room,
    /// Paths of ours; the room knows them by other names.
    pub tree: &'a Path,
    pub build: &'a Path,
    pub ccache: &'a Path,
    /// Whether what the compiler makes may be kept for others.
    pub trusted: bool,
    pub toolchain: &'a Toolchain,
    pub jobs: usize,
    pub log: Arc<Log>,
    pub progress: &'a Progress,
    pub cancel: &'a Cancel,
}

impl Site<'_> {
    fn make(&self, args: &[&str]) -> Cmd {
        let (src, build) = (self.room.seen(self.tree), self.room.seen(self.build));
        let compiler = if self.toolchain.ccache {
            "ccache gcc"
        } else {
            "gcc"
        };
        let mut cmd = Cmd::new("nice")
            .args(["-n", "5", "make", "-C"])
            .arg(src)
            .arg(format!("O={}", build.display()))
            .arg(format!("CC={compiler}"))
            .arg(format!("HOSTCC={compiler}"))
            .arg("LOCALVERSION=")
            .args(args.iter().copied())
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan 1 00:00:00 UTC 2026")
            .env("KBUILD_BUILD_VERSION", "1")
            .env("KBUILD_BUILD_USER", "patchproof")
            .env("KBUILD_BUILD_HOST", "patchproof")
            .env("CCACHE_DIR", self.room.seen(self.ccache))
            .env("CCACHE_MAXSIZE", CCACHE_MAX)
            // Where nothing can be made, not even by root without a sandbox: rustup's `rustc`, which Kconfig
            // asks for, would make a folder wherever there is none.
            .env("HOME", "/dev/null");
        if !self.trusted {
            cmd = cmd.env("CCACHE_READONLY", "1").env("CCACHE_TEMPDIR", "/tmp");
        }
        cmd
    }

    fn run(&self, cmd: Cmd, each: impl Fn(&str) + Send + Sync + 'static) -> Result<Finished, KernelError> {
        self.log.mark();
        let (out, err) = (Arc::clone(&self.log), Arc::clone(&self.log));
        let cmd = cmd
            .stdout(Output::Lines {
                each: Arc::new(move |line| {
                    out.line(line);
                    each(line);
                }),
                limit: 4096,
            })
            .stderr(Output::Lines {
                each: Arc::new(move |line| err.line(line)),
                limit: 4096,
            });
        Ok(self.cancel.run(self.room.wrap(cmd))?)
    }

    /// Makes `.config` from the lines in `wanted` (a file that the room shows).
    pub(super) fn configure(&self, wanted: &Path) -> Result<(), KernelError> {
        (self.progress)(BuildStep::Configuring);
        let seen = self.room.seen(wanted);
        for target in ["allnoconfig", "olddefconfig"] {
            let cmd = self
                .make(&[target])
                .env("KCONFIG_ALLCONFIG", &seen)
                .deadline(CONFIG_DEADLINE, "the kernel to be configured");
            let done = self.run(cmd, |_| {})?;
            if !done.success() {
                return Err(self.failure(&done, &[], |_| None));
            }
        }
        Ok(())
    }

    /// Builds bzImage and vmlinux. Returns how many steps that took.
    pub(super) fn compile(
        &self,
        total: Option<u64>,
        patches: &[InPatch],
        content: impl Fn(&Path) -> Option<PathBuf>,
    ) -> Result<u64, KernelError> {
        let done = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (count, progress) = (Arc::clone(&done), Arc::clone(self.progress));
        let jobs = format!("-j{}", self.jobs.max(1));
        let cmd = self
            .make(&[&jobs, "bzImage", "vmlinux"])
            .deadline(BUILD_DEADLINE, "the kernel to be built");
        let finished = self.run(cmd, move |line| {
            if let Some(what) = step(line) {
                let done = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                progress(BuildStep::Compiling { what, done, total });
            }
        })?;
        if finished.success() {
            return Ok(done.load(std::sync::atomic::Ordering::Relaxed));
        }
        Err(self.failure(&finished, patches, content))
    }

    /// Says what went wrong. `content` finds the file as it was built, for the text of a line.
    fn failure(
        &self,
        finished: &Finished,
        patches: &[InPatch],
        content: impl Fn(&Path) -> Option<PathBuf>,
    ) -> KernelError {
        let text = self.log.text();
        let cause = failure::first_cause(&text, &self.room.seen(self.tree));
        let (file, line, message) = match cause {
            Some(Cause::DiskFull) => {
                return Infra::DiskFull {
                    log: self.log.path.clone(),
                }
                .into();
            }
            Some(Cause::OutOfMemory) => return Infra::OutOfMemory { jobs: self.jobs }.into(),
            Some(Cause::Missing { what, package }) => return Infra::MissingTool { what, package }.into(),
            Some(Cause::Code { file, line, message }) => (file, line, message),
            None => (
                None,
                None,
                format!(
                    "make ended with {:?} and no error that is known here",
                    finished.status
                ),
            ),
        };
        let line_text = file.as_deref().zip(line).and_then(|(file, line)| {
            let bytes = std::fs::read(content(file)?).ok()?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines()
                .nth(usize::try_from(line).ok()?.checked_sub(1)?)
                .map(str::to_owned)
        });
        let patch = file
            .as_deref()
            .and_then(|f| failure::blame(patches, f, line_text.as_deref()));
        KernelError::Build(Box::new(BuildFailure {
            file,
            line,
            message,
            patch,
            log: self.log.path.clone(),
        }))
    }
}

/// `  CC      mm/zswap.o` → `CC mm/zswap.o`.
fn step(line: &str) -> Option<String> {
    let rest = line.strip_prefix("  ")?;
    let (verb, what) = rest.split_once(' ')?;
    let is_verb = verb.len() >= 2
        && verb
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_verb.then(|| format!("{verb} {}", what.trim()))
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn steps_are_told_from_other_lines() {
        assert_eq!(step("  CC      mm/zswap.o").as_deref(), Some("CC mm/zswap.o"));
        assert_eq!(step("  HOSTCC  scripts/x").as_deref(), Some("HOSTCC scripts/x"));
        for line in [
            "make[1]: Entering directory '/build'",
            "  lower case",
            "Kernel: arch/x86/boot/bzImage is ready",
        ] {
            assert_eq!(step(line), None, "{line}");
        }
    }
}
