//! Finds the executable that a name means.
//!
//! Not here: what is missing on this host and how to install it.

use super::process::ProcessError;
use nix::unistd::{AccessFlags, access};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Where programs are looked for when the environment does not say.
pub(super) const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The absolute path of the executable that `program` means, looked for in `path` where it is a bare name.
///
/// # Errors
/// [`ProcessError::NotFound`]; [`ProcessError::Start`] where there is a file, but one that cannot be executed.
pub(super) fn executable(program: &Path, path: &OsStr) -> Result<PathBuf, ProcessError> {
    let failed = |source| ProcessError::Start {
        program: program.to_owned(),
        source,
    };
    let candidates: Vec<PathBuf> = if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        vec![std::path::absolute(program).map_err(failed)?]
    } else {
        // An empty element means the working directory to a shell; to us it means nothing.
        std::env::split_paths(path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .collect()
    };
    let mut files = candidates.into_iter().filter(|file| file.is_file()).peekable();
    if program.as_os_str().is_empty() || files.peek().is_none() {
        return Err(ProcessError::NotFound {
            program: program.to_owned(),
        });
    }
    files
        .find(|file| access(file, AccessFlags::X_OK).is_ok())
        .ok_or_else(|| failed(io::Error::from(io::ErrorKind::PermissionDenied)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(program: &str, path: &str) -> Result<PathBuf, ProcessError> {
        executable(Path::new(program), OsStr::new(path))
    }

    #[test]
    fn a_bare_name_is_looked_for_in_path() {
        assert_eq!(look("sh", "/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
        assert!(matches!(
            look("sh", "/nowhere"),
            Err(ProcessError::NotFound { .. })
        ));
        assert!(matches!(look("", "/bin"), Err(ProcessError::NotFound { .. })));
        assert!(matches!(look("sh", ":."), Err(ProcessError::NotFound { .. })));
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(look("/bin/sh", "").unwrap(), Path::new("/bin/sh"));
        assert!(matches!(
            look("/bin/no-such-thing", "/bin"),
            Err(ProcessError::NotFound { .. })
        ));
        assert!(matches!(look("/bin", "/bin"), Err(ProcessError::NotFound { .. })));
    }

    #[test]
    fn what_cannot_be_executed_is_not_called_missing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        assert!(matches!(look(name, ""), Err(ProcessError::Start { .. })));
    }
}
