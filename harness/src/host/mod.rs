//! The host: processes (only user of duct), the keeper that owns them, the sandbox, limits.
//!
//! Not here: what the processes are for.

mod cgroup;
mod control;
pub mod dirs;
pub mod doctor;
pub mod fs;
mod ids;
mod job;
mod keeper;
mod launch;
pub mod lock;
mod memory;
mod output;
mod process;
mod procfs;
mod resolve;
mod roles;
pub mod sandbox;
mod sandbox_role;
mod sweep;

pub use control::Ownership;
pub use job::{Job, Killer};
pub use memory::memory_for_machines;
pub use process::{Cmd, Finished, Output, ProcessError, Status};
pub use roles::{reexec, set_self_exe};
pub use sandbox::{Limits, Mode, Sandbox, SandboxError};

/// Finds out how processes are owned on this host, by running one.
///
/// # Errors
/// Where not even that works.
pub fn ownership() -> Result<Ownership, ProcessError> {
    let job = Cmd::new("true").start()?;
    let how = job.ownership().clone();
    job.wait()?;
    Ok(how)
}
