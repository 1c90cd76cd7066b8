//! Memory control groups (version 2): limits around an arena, not around the guest.

use super::{Doing, Result, SysError, file};
use std::path::{Path, PathBuf};

/// Where the unified hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";

/// A control group made by us. Dropping it removes it (which the kernel refuses while a process is in it).
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a group directly under the root and switches the memory controller on for it and its children.
    ///
    /// # Errors
    /// Those of the kernel; `ENOENT` where no unified hierarchy is mounted.
    pub fn top(name: &str) -> Result<Self> {
        file::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory")?;
        let group = Self::make(Path::new(ROOT).join(name))?;
        file::write(group.path.join("cgroup.subtree_control"), "+memory")?;
        Ok(group)
    }

    /// Makes a group inside this one.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::make(self.path.join(name))
    }

    /// Makes a group beside this one.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn sibling(&self, name: &str) -> Result<Self> {
        Self::make(self.path.with_file_name(name))
    }

    fn make(path: PathBuf) -> Result<Self> {
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(e).doing(|| format!("making the control group {}", path.display()))
            }
            _ => Ok(Self { path }),
        }
    }

    /// Where one of its files is.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        file::write(self.file(name), value)
    }

    /// Reads one of its files that holds a number.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn number(&self, name: &str) -> Result<u64> {
        file::number(self.file(name))
    }

    /// Reads one value of its files of lines `key value` (memory.stat, memory.events).
    ///
    /// # Errors
    /// Those of the kernel, and a key that is not there.
    pub fn value(&self, name: &str, key: &str) -> Result<u64> {
        let path = self.file(name);
        let missing = || SysError::content(format!("reading {}", path.display()), format!("no line {key}"));
        file::value_of(&file::read(&path)?, key).ok_or_else(missing)
    }

    /// Moves the calling process in. What it has been charged for stays where it was charged.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn enter(&self) -> Result<()> {
        self.set("cgroup.procs", "0")
    }

    /// Asks the kernel to reclaim so many bytes of it; `false` where it could not get that much.
    ///
    /// # Errors
    /// Those of the kernel, `EAGAIN` excepted.
    pub fn reclaim(&self, bytes: u64) -> Result<bool> {
        match self.set("memory.reclaim", &bytes.to_string()) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.errno(), Some(libc::EAGAIN | libc::EINTR)) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Moves the calling process back to the root group.
///
/// # Errors
/// Those of the kernel.
pub fn leave() -> Result<()> {
    file::write(Path::new(ROOT).join("cgroup.procs"), "0")
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group that still has a process in it stays; the next case takes it over.
        let _ = std::fs::remove_dir(&self.path);
    }
}
