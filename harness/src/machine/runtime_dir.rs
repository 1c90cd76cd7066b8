//! A short, private folder for a machine's sockets.
//!
//! Short, since a socket's path has 107 bytes at most; private, since whoever could connect could
//! speak for the guest. A folder whose owner died is removed by the next machine that needs one.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The longest path of a socket, in bytes.
const SOCKET_PATH_LEN_MAX: usize = 107;
/// Held for as long as the owner lives.
const LOCK: &str = "lock";

/// The folder; dropping it removes it.
#[derive(Debug)]
pub(super) struct RuntimeDir {
    dir: TempDir,
    _lock: File,
}

impl RuntimeDir {
    /// Makes a folder where sockets of this user belong.
    pub(super) fn new() -> io::Result<Self> {
        let uid = nix::unistd::geteuid();
        let home = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("patchproof"));
        let home = home.filter(|dir| dir.as_os_str().len() < SOCKET_PATH_LEN_MAX / 2);
        let tmp = || PathBuf::from(format!("/tmp/patchproof-{uid}"));
        match home.map(|dir| Self::inside(&dir)) {
            Some(Ok(dir)) => Ok(dir),
            Some(Err(_)) | None => Self::inside(&tmp()),
        }
    }

    fn inside(parent: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(parent) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        // In a folder that everyone may write to, somebody else may have been first.
        let meta = fs::symlink_metadata(parent)?;
        let ours = meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw();
        if !ours || meta.permissions().mode() & 0o077 != 0 {
            let why = format!(
                "{} must be a folder of yours that nobody else can enter",
                parent.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        // Held while a folder is half made, so that nobody sweeps it away.
        let making = File::create(parent.join(LOCK))?;
        making.lock()?;
        sweep(parent);
        let dir = tempfile::Builder::new()
            .prefix("m")
            .rand_bytes(8)
            .tempdir_in(parent)?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { dir, _lock: lock })
    }

    /// The path of a socket in it.
    pub(super) fn socket(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.dir.path().join(name);
        if path.as_os_str().len() > SOCKET_PATH_LEN_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                "too long for a socket",
            ));
        }
        Ok(path)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes the folders whose owners are gone: the kernel has released their locks.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_free = File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if entry.path().is_dir() && is_free {
            // One that cannot be removed does no harm.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_owner_left_is_swept_and_the_living_keep_theirs() {
        let tmp = tempfile::tempdir().unwrap();
        let parent = tmp.path().join("patchproof");
        let living = RuntimeDir::inside(&parent).unwrap();
        let RuntimeDir { dir, _lock } = RuntimeDir::inside(&parent).unwrap();
        let dead = dir.keep();
        drop(_lock);
        let next = RuntimeDir::inside(&parent).unwrap();
        assert!(!dead.exists());
        assert!(living.path().exists() && next.path().exists());
        let gone = next.path().to_owned();
        drop(next);
        assert!(!gone.exists());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        fs::set_permissions(tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            RuntimeDir::inside(tmp.path()).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        let link = tmp.path().join("link");
        std::os::unix::fs::symlink(tmp.path(), &link).unwrap();
        assert_eq!(
            RuntimeDir::inside(&link).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }

    #[test]
    fn sockets_fit() {
        let dir = RuntimeDir::new().unwrap();
        assert!(dir.socket("console").is_ok());
        assert!(dir.socket(&"x".repeat(SOCKET_PATH_LEN_MAX)).is_err());
    }
}
