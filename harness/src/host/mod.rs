//! The host: processes (only user of duct), the keeper that owns them, the sandbox, limits.
//!
//! Not here: what the processes are for.

mod process;

pub use process::{Cmd, Finished, Job, Output, ProcessError, Status};

/// Runs this executable in one of its inner roles (keeper, init, sandbox) when its arguments say so.
///
/// Returns `None` for an ordinary start. Must be called before any thread exists.
#[must_use]
pub fn reexec() -> Option<std::process::ExitCode> {
    None
}
