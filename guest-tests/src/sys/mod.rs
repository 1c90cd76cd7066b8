//! Everything that talks to the kernel, and all of the suite's `unsafe`.
//!
//! Knobs that a case turns restore themselves when they are dropped. Parsers of kernel files are
//! pure functions beside the calls that feed them, so that the host can test them.
//!
//! Not here: what an operation means for a page's content (that is [`crate::model`]) and which
//! operations a case makes (that is [`crate::workload`]).

use std::io;

pub mod arena;
pub mod armed;
pub mod block;
pub mod board;
pub mod cgroup;
pub mod cpu;
pub mod diskfile;
pub mod ext4;
pub mod failslab;
pub mod field;
pub mod file;
pub mod foreign;
pub mod fork;
pub mod forked;
mod glimpse;
pub mod knob;
pub mod machine;
pub mod memfile;
pub mod memory;
pub mod pagemap;
pub mod peek;
pub mod pins;
pub mod proc;
pub mod process;
pub mod racepoint;
pub mod soft_dirty;
pub mod swap;
pub mod thp;
pub mod trace;
pub mod uffd;
pub mod vmstat;
pub mod zram;
pub mod zswap;

/// A system call or a kernel file that failed: what was being done, and the kernel's answer.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct SysError {
    /// What was being done, with the path or the call.
    pub doing: String,
    /// The kernel's answer.
    pub source: io::Error,
}

impl SysError {
    /// Makes an error of what the last system call left in `errno`.
    pub fn last(doing: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            source: io::Error::last_os_error(),
        }
    }

    /// Makes an error for content that is not what the kernel promises.
    pub fn content(doing: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            source: io::Error::new(io::ErrorKind::InvalidData, what.into()),
        }
    }

    /// The `errno`, where the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// Result of a system call.
pub type Result<T> = std::result::Result<T, SysError>;

/// Says what was being done when a call failed.
pub trait Doing<T> {
    /// Turns the error into a [`SysError`] that says what was being done.
    ///
    /// # Errors
    /// The one that was there.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| SysError {
            doing: what(),
            source: e.into(),
        })
    }
}
