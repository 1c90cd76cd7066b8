//! The sandbox in which untrusted patches are applied and built: what a bubblewrap run sees and may do.
//!
//! No network, no capabilities, no further user namespaces, a root of its own: system tools read-only, a private
//! /tmp, /dev and /proc, and the views that the caller gives it at fixed paths. Identity (uid 1000) and host name
//! are the same everywhere, so that builds are. Not here: mounting overlays and setting limits, which happens
//! inside the tree of processes (`sandbox_role`).

use super::process::{Cmd, ProcessError};
use super::{Finished, cgroup, resolve, sandbox_role};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// User and group number inside, whoever we are outside.
const ID_INSIDE: &str = "1000";
/// Where the linker and the alternatives system keep what every tool needs; no more of /etc is shown.
const ETC: [&str; 4] = [
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];
/// Top-level folders of programs and libraries, which a merged /usr turns into links.
const SYSTEM: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Whether there is a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bubblewrap.
    Bubblewrap,
    /// None: commands run directly on the host's folders, as asked for by `--sandbox=off`.
    Off,
}

/// What a sandboxed command may use up. Time is bounded by [`Cmd::deadline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes: of all processes together where a control group is to be had, else of each one's address space.
    pub memory: Option<u64>,
    /// Processes and threads at once (for root only where a control group is to be had).
    pub processes: Option<u64>,
    /// Size of any one file, in bytes.
    pub file_size: Option<u64>,
    /// Bytes that the overlays' upper folders may grow to, looked at about once a second.
    pub disk: Option<u64>,
    /// Bytes that the private /tmp and /dev/shm may each hold.
    pub tmp: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: None,
            processes: None,
            file_size: None,
            disk: None,
            tmp: 1 << 30,
        }
    }
}

/// A folder of the host as the sandbox shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    ReadOnly {
        host: PathBuf,
        guest: PathBuf,
    },
    Writable {
        host: PathBuf,
        guest: PathBuf,
    },
    Overlay {
        lower: PathBuf,
        upper: PathBuf,
        work: PathBuf,
        guest: PathBuf,
    },
}

impl View {
    fn guest(&self) -> &Path {
        match self {
            Self::ReadOnly { guest, .. } | Self::Writable { guest, .. } | Self::Overlay { guest, .. } => {
                guest
            }
        }
    }

    /// What stands in for it where there is no sandbox.
    fn host(&self) -> &Path {
        match self {
            Self::ReadOnly { host, .. } | Self::Writable { host, .. } => host,
            Self::Overlay { upper, .. } => upper,
        }
    }
}

/// Describes a sandbox; [`Sandbox::wrap`] puts commands into it.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(super) mode: Mode,
    pub(super) views: Vec<View>,
    pub(super) limits: Limits,
}

impl Sandbox {
    /// A sandbox that shows nothing but the system's tools.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            views: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Shows a file or folder of the host at `guest`, read-only.
    #[must_use]
    pub fn ro(mut self, host: impl Into<PathBuf>, guest: impl Into<PathBuf>) -> Self {
        self.views.push(View::ReadOnly {
            host: host.into(),
            guest: guest.into(),
        });
        self
    }

    /// Shows a folder of the host at `guest`, and lets it be written.
    #[must_use]
    pub fn rw(mut self, host: impl Into<PathBuf>, guest: impl Into<PathBuf>) -> Self {
        self.views.push(View::Writable {
            host: host.into(),
            guest: guest.into(),
        });
        self
    }

    /// Shows `lower` at `guest`; what is written there goes to `upper`, and `lower` stays as it is.
    ///
    /// `upper` and `work` are made where they are missing and must be on one file system, `work` empty and for
    /// overlayfs alone. With [`Mode::Off`] there is no overlay: an empty `upper` is filled with a copy of `lower`.
    #[must_use]
    pub fn overlay(
        mut self,
        lower: impl Into<PathBuf>,
        upper: impl Into<PathBuf>,
        work: impl Into<PathBuf>,
        guest: impl Into<PathBuf>,
    ) -> Self {
        let (lower, upper, work) = (lower.into(), upper.into(), work.into());
        self.views.push(View::Overlay {
            lower,
            upper,
            work,
            guest: guest.into(),
        });
        self
    }

    /// Bounds what a command may use up.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether there is one, for reports.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where a command of this sandbox finds `guest`: there, or with [`Mode::Off`] at what the sandbox would show there.
    ///
    /// To be used for every path among a command's arguments and variables.
    #[must_use]
    pub fn path(&self, guest: impl AsRef<Path>) -> PathBuf {
        let guest = guest.as_ref();
        if self.mode == Mode::Bubblewrap {
            return guest.to_owned();
        }
        // The last view of the longest path hides the others.
        let shown = self
            .views
            .iter()
            .filter_map(|view| Some((view, guest.strip_prefix(view.guest()).ok()?)));
        match shown.max_by_key(|(view, _)| view.guest().components().count()) {
            Some((view, rest)) if rest.as_os_str().is_empty() => view.host().to_owned(),
            Some((view, rest)) => view.host().join(rest),
            None => guest.to_owned(),
        }
    }

    /// Puts a command into the sandbox. Its program and working directory are those of the inside.
    ///
    /// A command that a signal ends inside is reported as `Status::Exit(128 + signal)`.
    #[must_use]
    pub fn wrap(&self, mut cmd: Cmd) -> Cmd {
        cmd.sandbox = Some(Arc::new(self.clone()));
        cmd
    }

    /// The folders that [`Limits::disk`] is about.
    pub(super) fn uppers(&self) -> impl Iterator<Item = &Path> {
        self.views.iter().filter_map(|view| match view {
            View::Overlay { upper, .. } => Some(upper.as_path()),
            View::ReadOnly { .. } | View::Writable { .. } => None,
        })
    }

    /// The variables every sandboxed command gets.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        match self.mode {
            Mode::Bubblewrap => vec![
                ("PATH".into(), resolve::DEFAULT_PATH.into()),
                ("LANG".into(), "C.UTF-8".into()),
                ("HOME".into(), "/tmp".into()),
            ],
            Mode::Off => Vec::new(),
        }
    }

    /// The command line of our sandbox role, which ends in bubblewrap's.
    pub(super) fn command(
        &self,
        cmd: &Cmd,
        program: &OsStr,
        groups: &[PathBuf],
    ) -> Result<Vec<OsString>, ProcessError> {
        let host_path = std::env::var_os("PATH").unwrap_or_else(|| resolve::DEFAULT_PATH.into());
        let bwrap = resolve::executable(Path::new("bwrap"), &host_path).map_err(|_| SandboxError::Missing)?;
        let mut args = sandbox_role::args(self, groups);
        args.push(bwrap.into());
        args.extend(self.bubblewrap());
        args.push("--chdir".into());
        args.push(cmd.cwd.as_deref().unwrap_or(Path::new("/")).into());
        args.push("--".into());
        args.push(program.to_owned());
        args.extend(cmd.args.iter().cloned());
        Ok(args)
    }

    /// What bubblewrap is told, up to the command.
    fn bubblewrap(&self) -> Vec<OsString> {
        let mut args = Args::default();
        args.flags(&[
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
        ]);
        args.flags(&[
            "--cap-drop",
            "ALL",
            "--uid",
            ID_INSIDE,
            "--gid",
            ID_INSIDE,
            "--hostname",
            "patchproof",
        ]);
        args.flags(&["--ro-bind", "/usr", "/usr"]);
        for dir in SYSTEM {
            match std::fs::read_link(dir) {
                Ok(target) => args.pair("--symlink", &target, Path::new(dir)),
                Err(_) if Path::new(dir).is_dir() => args.flags(&["--ro-bind", dir, dir]),
                Err(_) => {}
            }
        }
        for path in ETC {
            args.flags(&["--ro-bind-try", path, path]);
        }
        let tmp = self.limits.tmp.to_string();
        args.flags(&[
            "--proc", "/proc", "--dev", "/dev", "--size", &tmp, "--tmpfs", "/dev/shm",
        ]);
        args.flags(&["--remount-ro", "/dev", "--size", &tmp, "--tmpfs", "/tmp"]);
        // Without any capability left, root outside is still who owns /proc/sys, and the kernel asks no more of
        // whoever writes there: a core_pattern would be a way out.
        args.flags(&["--remount-ro", "/proc"]);
        for view in &self.views {
            match view {
                View::ReadOnly { host, guest } => args.pair("--ro-bind", host, guest),
                View::Writable { host, guest } => args.pair("--bind", host, guest),
                // Our sandbox role mounts it over its own upper folder, in a mount namespace that nobody else sees.
                View::Overlay { upper, guest, .. } => args.pair("--bind", upper, guest),
            }
        }
        args.flags(&["--remount-ro", "/"]);
        args.0
    }
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    fn pair(&mut self, flag: &str, from: &Path, to: &Path) {
        self.0.extend([flag.into(), from.into(), to.into()]);
    }
}

/// Finds out whether commands can be sandboxed here, by running one with an overlay.
///
/// # Errors
/// Why not; callers exit with 3.
pub fn probe() -> Result<(), SandboxError> {
    let scratch = tempfile::tempdir().map_err(|source| SandboxError::Setup {
        what: "making a folder".into(),
        source,
    })?;
    let dir = |name: &str| scratch.path().join(name);
    std::fs::create_dir(dir("lower")).map_err(|source| SandboxError::Setup {
        what: "making a folder".into(),
        source,
    })?;
    let sandbox = Sandbox::new(Mode::Bubblewrap).overlay(dir("lower"), dir("upper"), dir("work"), "/probe");
    let done = sandbox.wrap(Cmd::new("touch").arg("/probe/file")).run();
    // Where overlayfs was, an ordinary removal may not get in.
    let _ = super::fs::remove_tree(scratch.path());
    match done {
        Ok(done) if done.success() && dir("lower").join("file").exists() => Err(SandboxError::Refused {
            said: "the overlay wrote to its lower folder".to_owned(),
        }),
        Ok(done) if done.success() => Ok(()),
        Ok(Finished { stderr, .. }) => Err(SandboxError::Refused {
            said: last_words(&stderr),
        }),
        Err(ProcessError::Sandbox(error)) => Err(error),
        Err(ProcessError::Start { source, .. } | ProcessError::Wait { source, .. }) => {
            Err(SandboxError::Setup {
                what: "running a command".to_owned(),
                source,
            })
        }
        Err(error @ (ProcessError::NotFound { .. } | ProcessError::Deadline { .. })) => {
            Err(SandboxError::Refused {
                said: error.to_string(),
            })
        }
    }
}

/// How limits can be enforced here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// Control groups bound all processes of a sandbox together.
    Together,
    /// Only resource limits of each process (the reason is given); root's number of processes is not bounded.
    Each(String),
}

/// Finds out how limits can be enforced here.
#[must_use]
pub fn enforcement() -> Enforcement {
    match cgroup::make(&Limits {
        memory: Some(1 << 40),
        processes: Some(1 << 15),
        ..Limits::default()
    }) {
        Ok(groups) => {
            groups.iter().for_each(|group| cgroup::remove(group));
            Enforcement::Together
        }
        Err(why) => Enforcement::Each(why),
    }
}

/// The end of what a program said, for an error message.
pub(super) fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or_else(|| "it did not say why".to_owned(), |line| line.trim().to_owned())
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SandboxError {
    /// Bubblewrap is not installed.
    #[error("there is no sandbox: bwrap is not installed")]
    #[diagnostic(help("install the package bubblewrap, or trust the patches and pass --sandbox=off"))]
    Missing,
    /// A step of ours before bubblewrap failed.
    #[error("there is no sandbox: {what} failed")]
    #[diagnostic(help(
        "containers often forbid user namespaces: allow them, or trust the patches and pass --sandbox=off"
    ))]
    Setup {
        /// The step.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// Bubblewrap ended without having run the command.
    #[error("there is no sandbox: {said}")]
    #[diagnostic(help(
        "containers often forbid user namespaces: allow them, or trust the patches and pass --sandbox=off"
    ))]
    Refused {
        /// What it said last.
        said: String,
    },
    /// The command wrote more than it may.
    #[error("the sandboxed command was ended: it wrote {used} bytes of {allowed} allowed")]
    #[diagnostic(help("raise the limit if the series is trusted to need this much"))]
    Disk {
        /// Bytes in the overlays' upper folders.
        used: u64,
        /// Bytes that were allowed.
        allowed: u64,
    },
}
