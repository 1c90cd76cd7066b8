//! The room a tool works in: what it sees of the file system, and by which names.
//!
//! In the sandbox, folders of the cache appear under short fixed names (`/src`, `/build`), so that what is
//! built does not depend on where the cache lies and ccache hits across worktrees. Without it
//! (`--sandbox=off`) tools see the real paths. This is the only place of `source` and `kernel` that knows
//! the difference; the sandbox itself is `host::sandbox`.

use crate::host::{Cmd, Limits, Mode, Sandbox};
use std::path::{Path, PathBuf};

/// Folders and the names that a tool sees them by.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    mode: Mode,
    binds: Vec<Bind>,
    cwd: PathBuf,
}

#[derive(Debug, Clone)]
struct Bind {
    host: PathBuf,
    shown: PathBuf,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    ReadOnly,
    Writable,
    /// Reads fall through to the host folder, writes go to `upper`.
    Overlay {
        upper: PathBuf,
        work: PathBuf,
    },
}

impl Room {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            binds: Vec::new(),
            cwd: "/".into(),
        }
    }

    pub(crate) fn ro(self, host: &Path, shown: impl Into<PathBuf>) -> Self {
        self.bind(host, shown.into(), How::ReadOnly)
    }

    pub(crate) fn rw(self, host: &Path, shown: impl Into<PathBuf>) -> Self {
        self.bind(host, shown.into(), How::Writable)
    }

    /// `scratch` is an empty folder on the cache's file system; what is written ends up below its `upper`.
    pub(crate) fn overlay(self, host: &Path, scratch: &Path, shown: impl Into<PathBuf>) -> Self {
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        self.bind(host, shown.into(), How::Overlay { upper, work })
    }

    fn bind(mut self, host: &Path, shown: PathBuf, how: How) -> Self {
        self.binds.push(Bind {
            host: host.to_path_buf(),
            shown,
            how,
        });
        self
    }

    /// Where the tool starts, as a path of ours.
    pub(crate) fn cwd(mut self, host: &Path) -> Self {
        self.cwd = host.to_path_buf();
        self
    }

    /// The name by which the tool sees one of our paths.
    pub(crate) fn seen(&self, host: &Path) -> PathBuf {
        if self.mode == Mode::Off {
            return host.to_path_buf();
        }
        let by = |b: &Bind| {
            host.strip_prefix(&b.host).ok().map(|rest| {
                if rest.as_os_str().is_empty() {
                    b.shown.clone()
                } else {
                    b.shown.join(rest)
                }
            })
        };
        self.binds
            .iter()
            .rev()
            .find_map(by)
            .unwrap_or_else(|| host.to_path_buf())
    }

    pub(crate) fn wrap(&self, cmd: Cmd) -> Cmd {
        let cmd = cmd.cwd(self.seen(&self.cwd));
        if self.mode == Mode::Off {
            return cmd;
        }
        let sandbox =
            self.binds.iter().fold(
                Sandbox::new(self.mode).limits(limits()),
                |sandbox, bind| match &bind.how {
                    How::ReadOnly => sandbox.ro(&bind.host, &bind.shown),
                    How::Writable => sandbox.rw(&bind.host, &bind.shown),
                    How::Overlay { upper, work } => sandbox.overlay(&bind.host, upper, work, &bind.shown),
                },
            );
        sandbox.wrap(cmd)
    }
}

/// Far more than any build of a kernel uses, and less than what hurts the host: a link takes 2 GiB, a
/// compiler a quarter of one, and a whole build folder with debug information some ten.
fn limits() -> Limits {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    Limits {
        memory: Some((4 + cores) << 30),
        processes: Some(1024 + 64 * cores),
        file_size: Some(8 << 30),
        disk: Some(24 << 30),
        tmp: 2 << 30,
    }
}
