//! What this host has and lacks: tools, headers, namespaces, sandbox, space, memory.
//!
//! Each look gives a [`Check`] that says what was found and, where something is missing, the line that
//! mends it. Not here: kernels and whether one boots (the command asks `machine` for that), and installing.

use super::process::Cmd;
use super::sandbox::{self, Enforcement};
use super::{Ownership, ownership, resolve};
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a tool may take to say its version.
const VERSION_WITHIN: Duration = Duration::from_secs(10);
/// Free bytes that the first kernel of a configuration takes: its source, its build, ccache.
const SPACE_FIRST: u64 = 6 << 30;
/// Free bytes that runs on finished kernels take.
const SPACE_LEAST: u64 = 512 << 20;
/// Free memory for a build on two CPUs and a guest beside it, in KiB.
const MEMORY_GOOD_KIB: u64 = 1536 << 10;
/// Free memory below which not even a guest fits, in KiB.
const MEMORY_LEAST_KIB: u64 = 512 << 10;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Something works less well, or not at all that a demo does without.
    Warning,
    /// A demo can't run.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: a tool's name, `sandbox`, `memory` …
    pub name: String,
    /// What it came to.
    pub state: State,
    /// What was found, or why it is missing and what it is for.
    pub says: String,
    /// The line that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    /// Something that is as it should be.
    #[must_use]
    pub fn ok(name: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Ok,
            says: says.into(),
            fix: None,
        }
    }

    /// Something that is not.
    #[must_use]
    pub fn bad(name: impl Into<String>, state: State, says: impl Into<String>) -> Self {
        Self {
            state,
            ..Self::ok(name, says)
        }
    }

    /// Adds the line that mends it.
    #[must_use]
    pub fn mended_by(mut self, line: impl Into<String>) -> Self {
        self.fix = Some(line.into());
        self
    }
}

/// A program or header, its Debian package, and what it is for.
struct Need {
    name: &'static str,
    package: &'static str,
    purpose: &'static str,
    /// Whether a demo can't run without.
    vital: bool,
}

const fn vital(name: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need {
        name,
        package,
        purpose,
        vital: true,
    }
}

const fn useful(name: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need {
        vital: false,
        ..vital(name, package, purpose)
    }
}

/// Programs that are looked for in PATH.
const PROGRAMS: &[Need] = &[
    vital(
        "bwrap",
        "bubblewrap",
        "patches are applied and built in its sandbox",
    ),
    vital("git", "git", "applies patches"),
    vital("gcc", "gcc", "builds kernels"),
    vital("ld", "binutils", "builds kernels"),
    vital("make", "make", "builds kernels"),
    vital("flex", "flex", "builds kernels"),
    vital("bison", "bison", "builds kernels"),
    vital("bc", "bc", "builds kernels"),
    vital("lz4", "lz4", "compresses kernel images"),
    vital("tar", "tar", "unpacks kernel sources"),
    vital("xz", "xz-utils", "unpacks kernel sources"),
    useful("ccache", "ccache", "makes a second build fast"),
    useful(
        "gdb",
        "gdb",
        "looks into a guest that --freeze-on-finding stopped",
    ),
];

/// Headers that a kernel's own tools are built with; each may lie in one of several places.
const HEADERS: &[Need] = &[
    vital("libelf.h", "libelf-dev", "builds the kernel's objtool"),
    vital(
        "openssl/opensslv.h",
        "libssl-dev",
        "builds the kernel's own tools",
    ),
];
const HEADER_DIRS: &[&str] = &[
    "/usr/include",
    "/usr/include/x86_64-linux-gnu",
    "/usr/local/include",
];

/// What the backend virtme-ng needs besides.
const VIRTME: &[Need] = &[
    useful(
        "ssh-keygen",
        "openssh-client",
        "a key for each guest of virtme-ng",
    ),
    useful(
        "sshd",
        "openssh-server",
        "guests of virtme-ng are entered through it",
    ),
    useful("busybox", "busybox-static", "virtme-ng's own init uses it"),
    useful("udevadm", "udev", "names the ports of virtme-ng's guests"),
];

/// Looks at the host. `qemu` is the emulator that machines run in, `cache` and `state` where things are kept;
/// `first` tells that no kernel is there yet, so that one will be built.
#[must_use]
pub fn checks(qemu: &Path, cache: &Path, state: &Path, first: bool) -> Vec<Check> {
    let mut all = vec![emulator(qemu)];
    all.extend(PROGRAMS.iter().map(program));
    all.extend(HEADERS.iter().map(header));
    all.push(keeper());
    all.push(sandbox());
    all.push(limits());
    all.push(space(
        "space for kernels",
        cache,
        if first { SPACE_FIRST } else { SPACE_LEAST },
    ));
    all.push(space("space for runs", state, SPACE_LEAST));
    all.push(memory(
        &std::fs::read_to_string("/proc/meminfo").unwrap_or_default(),
    ));
    all
}

/// Looks for virtme-ng and what it needs. `installed` is where `cargo xtask setup` puts it.
#[must_use]
pub fn virtme(installed: Option<PathBuf>) -> Vec<Check> {
    let given = std::env::var_os("PATCHPROOF_VNG").map(PathBuf::from);
    let places = given.into_iter().chain([PathBuf::from("vng")]).chain(installed);
    let found = places.filter_map(|place| find(&place).ok()).next();
    let vng = match found {
        Some(path) => version("virtme-ng", &path),
        None => Check::bad(
            "virtme-ng",
            State::Warning,
            "no vng in PATH: machines of the backend virtme-ng can't run, `auto` takes plain QEMU",
        )
        .mended_by("cargo xtask setup"),
    };
    let mut all = vec![vng];
    all.extend(VIRTME.iter().map(program));
    all
}

/// Administrators' programs are not in everyone's PATH.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| resolve::DEFAULT_PATH.into());
    if Path::new("/usr/sbin/sshd").is_file() && !path.is_empty() {
        path.push(":/usr/sbin");
    }
    path
}

fn find(name: &Path) -> Result<PathBuf, String> {
    resolve::executable(name, &search_path()).map_err(|e| e.to_string())
}

fn install(package: &str) -> String {
    let sudo = if nix::unistd::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    format!("{sudo}apt-get install -y --no-install-recommends {package}")
}

fn emulator(qemu: &Path) -> Check {
    let name = "qemu-system-x86_64";
    match find(qemu) {
        Ok(path) => version(name, &path),
        Err(why) => Check::bad(name, State::Missing, format!("{why}: guests run in it"))
            .mended_by(install("qemu-system-x86")),
    }
}

fn program(need: &Need) -> Check {
    match find(Path::new(need.name)) {
        Ok(path) => Check::ok(need.name, path.display().to_string()),
        Err(why) => need.lacks(&why),
    }
}

fn header(need: &Need) -> Check {
    let mut places = HEADER_DIRS.iter().map(|dir| Path::new(dir).join(need.name));
    match places.find(|path| path.is_file()) {
        Some(path) => Check::ok(need.name, path.display().to_string()),
        None => need.lacks(&format!("{} is not installed", need.name)),
    }
}

impl Need {
    fn lacks(&self, why: &str) -> Check {
        let state = if self.vital {
            State::Missing
        } else {
            State::Warning
        };
        Check::bad(self.name, state, format!("{why}: {}", self.purpose)).mended_by(install(self.package))
    }
}

/// A program that is there; one that can't even say its version is not.
fn version(name: &str, path: &Path) -> Check {
    let run = Cmd::new(path)
        .arg("--version")
        .deadline(VERSION_WITHIN, "a program's version")
        .run();
    match run {
        Ok(done) if done.success() => {
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            let line = text.lines().next().unwrap_or_default();
            Check::ok(name, format!("{} ({line})", path.display()))
        }
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            let said = said.lines().next().unwrap_or("nothing");
            Check::bad(
                name,
                State::Missing,
                format!("{} does not run: {said}", path.display()),
            )
        }
        Err(e) => Check::bad(
            name,
            State::Missing,
            format!("{} does not run: {e}", path.display()),
        ),
    }
}

fn keeper() -> Check {
    match ownership() {
        Ok(Ownership::Namespace) => Check::ok(
            "keeper",
            "processes run in PID namespaces: all of them end with us, even after SIGKILL",
        ),
        Ok(Ownership::Subreaper(why)) => Check::bad(
            "keeper",
            State::Warning,
            format!("no PID namespace ({why}): a keeper killed by SIGKILL would leave orphans"),
        )
        .mended_by("sysctl kernel.unprivileged_userns_clone=1 (or allow user namespaces to the container)"),
        Err(e) => Check::bad("keeper", State::Missing, format!("no process can be run: {e}")),
    }
}

fn sandbox() -> Check {
    match sandbox::probe() {
        Ok(()) => Check::ok(
            "sandbox",
            "bubblewrap and overlay mounts work: untrusted patches can be built",
        ),
        Err(e) => Check::bad(
            "sandbox",
            State::Missing,
            format!("patches can't be built in a sandbox: {e}"),
        )
        .mended_by("allow user namespaces, or run with --sandbox=off on patches that you trust"),
    }
}

fn limits() -> Check {
    match sandbox::enforcement() {
        Enforcement::Together => Check::ok("limits", "control groups bound a build's memory and processes"),
        Enforcement::Each(why) => Check::bad(
            "limits",
            State::Warning,
            format!("only each process by itself is bounded, not a build as a whole: {why}"),
        ),
    }
}

/// Free space where `path` is, or will be.
fn space(name: &str, path: &Path, want: u64) -> Check {
    let Some(there) = path.ancestors().find(|dir| dir.is_dir()) else {
        return Check::bad(name, State::Missing, format!("{} can't be made", path.display()));
    };
    let free = match statvfs(there) {
        Ok(fs) => fs.blocks_available() * fs.fragment_size(),
        Err(e) => return Check::bad(name, State::Missing, format!("{}: {e}", there.display())),
    };
    let says = format!("{} free in {}", gib(free), path.display());
    if free >= want {
        return Check::ok(name, says);
    }
    let state = if free < SPACE_LEAST {
        State::Missing
    } else {
        State::Warning
    };
    Check::bad(name, state, format!("{says}, {} are wanted", gib(want)))
        .mended_by("patchproof cache prune --limit 10GiB")
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1u32 << 30))
}

fn memory(meminfo: &str) -> Check {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let Some(kib) = kib else {
        return Check::bad(
            "memory",
            State::Warning,
            "/proc/meminfo does not say what is available",
        );
    };
    let says = format!("{} available, {cpus} CPUs", gib(kib << 10));
    match kib {
        MEMORY_GOOD_KIB.. => Check::ok("memory", says),
        MEMORY_LEAST_KIB.. => Check::bad(
            "memory",
            State::Warning,
            format!("{says}: builds may run out of it"),
        ),
        _ => Check::bad("memory", State::Missing, format!("{says}: a guest does not fit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_apart_by_what_is_available() {
        let of = |kib: u64| memory(&format!("MemTotal: 99999999 kB\nMemAvailable: {kib} kB\n")).state;
        assert_eq!(of(4 << 20), State::Ok);
        assert_eq!(of(700 << 10), State::Warning);
        assert_eq!(of(100 << 10), State::Missing);
        assert_eq!(memory("").state, State::Warning);
    }

    #[test]
    fn space_is_measured_where_a_folder_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let far = dir.path().join("not/yet");
        assert_eq!(space("x", &far, 1).state, State::Ok);
        let short = space("x", &far, u64::MAX);
        assert_eq!(short.state, State::Warning);
        assert!(
            short.says.contains("are wanted") && short.fix.is_some(),
            "{short:?}"
        );
    }

    #[test]
    fn what_is_not_there_is_told_with_the_line_that_installs_it() {
        let need = vital("no-such-tool", "no-such-package", "does things");
        let check = program(&need);
        assert_eq!(check.state, State::Missing);
        assert!(check.says.ends_with("does things"), "{check:?}");
        assert!(
            check
                .fix
                .unwrap()
                .ends_with("apt-get install -y --no-install-recommends no-such-package")
        );
    }

    #[test]
    fn a_program_that_does_not_run_is_missing() {
        assert_eq!(version("x", Path::new("/usr/bin/false")).state, State::Missing);
        assert_eq!(version("x", Path::new("/no/such/program")).state, State::Missing);
    }
}
