//! The inner roles of our own executable: which there are, and how a job finds that executable.
//!
//! Not here: what the roles do.

use super::{keeper, sandbox_role};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

/// Owns one tree of processes from outside of its namespace.
pub(super) const KEEPER: &str = "__keeper";
/// Is process 1 of the namespace.
pub(super) const INIT: &str = "__init";

/// Mounts and limits what bubblewrap cannot, then becomes bubblewrap.
pub(super) const SANDBOX: &str = "__sandbox";

/// This executable, whatever has become of its file since (a rebuild may have replaced it).
pub(super) const SELF_EXE: &str = "/proc/self/exe";

static OVERRIDE: OnceLock<PathBuf> = OnceLock::new();

/// Runs this executable in one of its inner roles (keeper, init, sandbox) when its arguments say so.
///
/// Returns `None` for an ordinary start. Must be called before any thread exists.
#[must_use]
pub fn reexec() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let role = args.next()?;
    let rest: Vec<OsString> = args.collect();
    match role.to_str()? {
        KEEPER => Some(keeper::keeper(rest)),
        INIT => Some(keeper::init(rest)),
        SANDBOX => Some(sandbox_role::run(rest)),
        _ => None,
    }
}

/// Names the executable whose `main` calls [`reexec`] first, for programs that are not it (tests).
///
/// Only the first call counts. Without one, it is this executable; for a test binary of cargo's, the
/// `patchproof` that cargo built beside it.
pub fn set_self_exe(path: impl Into<PathBuf>) {
    let _ = OVERRIDE.set(path.into());
}

/// The executable that knows the inner roles.
pub(super) fn self_exe() -> PathBuf {
    OVERRIDE
        .get()
        .cloned()
        .or_else(beside_test_binary)
        .unwrap_or_else(|| PathBuf::from(SELF_EXE))
}

/// Cargo puts test binaries into `deps/`, one folder below the programs they test.
fn beside_test_binary() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let deps = exe.parent()?;
    if deps.file_name()? != "deps" || exe.file_name()?.to_str()?.starts_with("patchproof") {
        return None;
    }
    let beside = deps.parent()?.join("patchproof");
    beside.is_file().then_some(beside)
}
