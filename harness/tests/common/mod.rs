//! What the tests of the host share: a pipe to wait on, and a copy for other users.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A pipe with a name, to which children connect themselves. Its end of file tells that they are all gone.
pub struct Fifo {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Fifo {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        Self { _dir: dir, path }
    }

    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Blocks until a child writes to it, and is then the reading end.
    pub fn open(&self) -> File {
        File::open(&self.path).unwrap()
    }
}

/// A copy of this test and of the program beside it, where every user can run them.
pub struct ForAll {
    dir: tempfile::TempDir,
}

impl ForAll {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copy = Self { dir };
        let test = std::env::current_exe().unwrap();
        std::fs::create_dir(copy.dir.path().join("deps")).unwrap();
        std::fs::copy(test, copy.test()).unwrap();
        std::fs::copy(
            env!("CARGO_BIN_EXE_patchproof"),
            copy.dir.path().join("patchproof"),
        )
        .unwrap();
        for path in [copy.dir.path(), copy.dir.path().join("deps").as_path()] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        copy
    }

    pub fn test(&self) -> PathBuf {
        self.dir.path().join("deps/test")
    }
}

/// What makes a command line run as an ordinary user; only root can.
pub const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
