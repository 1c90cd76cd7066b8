//! Locks between processes: flock on a file, which the kernel gives back when its holder dies.
//!
//! The file itself stays: removing it would let two holders lock two files of one name. Not here: what is locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// A lock that is held until this value is dropped or its process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock, then holds it alone.
    ///
    /// Blocks; in async code, use `spawn_blocking`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn exclusive(path: &Path) -> Result<Self, LockError> {
        let file = open(path)?;
        file.lock().map_err(|source| LockError::new(path, source))?;
        Ok(Self { _file: file })
    }

    /// Waits until nobody holds the lock alone, then shares it.
    ///
    /// Blocks; in async code, use `spawn_blocking`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn shared(path: &Path) -> Result<Self, LockError> {
        let file = open(path)?;
        file.lock_shared()
            .map_err(|source| LockError::new(path, source))?;
        Ok(Self { _file: file })
    }

    /// Holds the lock alone, or returns `None` at once where somebody else holds it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, LockError> {
        let file = open(path)?;
        let got = file.try_lock();
        tried(path, file, got)
    }

    /// Shares the lock, or returns `None` at once where somebody else holds it alone.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn try_shared(path: &Path) -> Result<Option<Self>, LockError> {
        let file = open(path)?;
        let got = file.try_lock_shared();
        tried(path, file, got)
    }
}

fn tried(path: &Path, file: File, got: Result<(), TryLockError>) -> Result<Option<Lock>, LockError> {
    match got {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(LockError::new(path, source)),
    }
}

fn open(path: &Path) -> Result<File, LockError> {
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    options.map_err(|source| LockError::new(path, source))
}

/// Why a lock could not be had; that somebody else holds it is no error.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("could not lock {path}", path = .path.display())]
#[diagnostic(help("the folder must exist, be writable and on a file system with flock"))]
pub struct LockError {
    /// The lock's file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

impl LockError {
    fn new(path: &Path, source: std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_hold_it_beside_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let alone = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        assert!(Lock::try_shared(&path).unwrap().is_none());
        drop(alone);
        let one = Lock::shared(&path).unwrap();
        let two = Lock::try_shared(&path).unwrap().unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop((one, two));
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn waiting_ends_when_the_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::exclusive(&path).unwrap();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || Lock::exclusive(&path).map(drop)
        });
        drop(held);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Lock::exclusive(Path::new("/no/such/folder/lock")).unwrap_err();
        assert_eq!(error.to_string(), "could not lock /no/such/folder/lock");
    }
}
