//! Where patchproof keeps things: caches, run folders, sockets. The XDG places unless told otherwise.
//!
//! Not here: what is kept there, and creating it (but for [`runtime`], whose owner matters).

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

/// What can be built again: kernels, sources. `PATCHPROOF_CACHE_DIR`, else `patchproof` in `XDG_CACHE_HOME` or `~/.cache`.
///
/// # Errors
/// Where none of the variables says.
pub fn cache() -> Result<PathBuf, DirsError> {
    place("PATCHPROOF_CACHE_DIR", "XDG_CACHE_HOME", ".cache", &|name| {
        std::env::var_os(name)
    })
}

/// Run folders and history. `PATCHPROOF_STATE_DIR`, else `patchproof` in `XDG_STATE_HOME` or `~/.local/state`.
///
/// # Errors
/// Where none of the variables says.
pub fn state() -> Result<PathBuf, DirsError> {
    place(
        "PATCHPROOF_STATE_DIR",
        "XDG_STATE_HOME",
        ".local/state",
        &|name| std::env::var_os(name),
    )
}

/// What is installed for patchproof alone. `PATCHPROOF_DATA_DIR`, else `patchproof` in `XDG_DATA_HOME` or `~/.local/share`.
///
/// # Errors
/// Where none of the variables says.
pub fn data() -> Result<PathBuf, DirsError> {
    place("PATCHPROOF_DATA_DIR", "XDG_DATA_HOME", ".local/share", &|name| {
        std::env::var_os(name)
    })
}

/// A folder for sockets, ours alone; its path is short, as a socket's has to be (107 bytes).
///
/// # Errors
/// Where it cannot be made, or somebody else made it first.
pub fn runtime() -> Result<PathBuf, DirsError> {
    let user = nix::unistd::geteuid().as_raw();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let path = match given.filter(|dir| dir.is_absolute() && dir.is_dir() && dir.as_os_str().len() <= 40) {
        Some(dir) => dir.join("patchproof"),
        None => PathBuf::from(format!("/tmp/patchproof-{user}")),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(DirsError::Runtime { path, source });
        }
        Ok(()) | Err(_) => {}
    }
    // In a folder for all, somebody else may have been there first, with a link even.
    match std::fs::symlink_metadata(&path) {
        Ok(data) if data.is_dir() && data.uid() == user && data.mode() & 0o077 == 0 => Ok(path),
        Ok(_) => Err(DirsError::Foreign { path }),
        Err(source) => Err(DirsError::Runtime { path, source }),
    }
}

fn place(
    own: &'static str,
    xdg: &str,
    in_home: &str,
    var: &dyn Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, DirsError> {
    let set = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set(own) {
        return std::path::absolute(&dir).map_err(|source| DirsError::Runtime { path: dir, source });
    }
    // The standard says that a relative one is to be ignored.
    set(xdg)
        .filter(|dir| dir.is_absolute())
        .or_else(|| {
            set("HOME")
                .filter(|home| home.is_absolute())
                .map(|home| home.join(in_home))
        })
        .map(|dir| dir.join("patchproof"))
        .ok_or(DirsError::Nowhere { variable: own })
}

/// Why there is no place to keep things.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DirsError {
    /// No variable says where.
    #[error("no place to keep things: HOME is not set")]
    #[diagnostic(help("set {variable} to a folder"))]
    Nowhere {
        /// The variable that would say it.
        variable: &'static str,
    },
    /// It cannot be used.
    #[error("the folder {path} cannot be used", path = .path.display())]
    Runtime {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not ours.
    #[error("the folder {path} is not ours alone", path = .path.display())]
    #[diagnostic(help("remove it, or set XDG_RUNTIME_DIR to a folder of yours"))]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_with(vars: &[(&str, &str)]) -> Option<String> {
        let var = |name: &str| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        };
        let found = place("PATCHPROOF_CACHE_DIR", "XDG_CACHE_HOME", ".cache", &var).ok()?;
        found.to_str().map(str::to_owned)
    }

    #[test]
    fn the_first_that_says_wins() {
        let all = [
            ("PATCHPROOF_CACHE_DIR", "/own"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home/me"),
        ];
        assert_eq!(cache_with(&all).unwrap(), "/own");
        assert_eq!(cache_with(&all[1..]).unwrap(), "/xdg/patchproof");
        assert_eq!(cache_with(&all[2..]).unwrap(), "/home/me/.cache/patchproof");
        assert_eq!(cache_with(&[]), None);
    }

    #[test]
    fn what_says_nothing_is_passed_over() {
        let odd = [
            ("PATCHPROOF_CACHE_DIR", ""),
            ("XDG_CACHE_HOME", "relative"),
            ("HOME", "/h"),
        ];
        assert_eq!(cache_with(&odd).unwrap(), "/h/.cache/patchproof");
        assert!(
            cache_with(&[("PATCHPROOF_CACHE_DIR", "here")])
                .unwrap()
                .starts_with('/')
        );
    }

    #[test]
    fn sockets_fit_into_the_runtime_folder() {
        let dir = runtime().unwrap();
        assert!(dir.as_os_str().len() <= 51, "{}", dir.display());
        assert_eq!(std::fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
    }
}
