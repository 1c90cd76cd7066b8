//! What one process can do to another one that it may trace: stop it, take a descriptor of it.
//!
//! Not here: why anyone would (that is a canary's business).

use super::{Doing, Result, SysError};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::os::fd::OwnedFd;

/// Stops a process, init included, for as long as the calling thread lives: a signal would not stop init.
///
/// # Errors
/// Those of `ptrace`.
pub fn stop(pid: u32) -> Result<()> {
    let raw = libc::pid_t::try_from(pid).unwrap_or(0);
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: neither request reads or writes memory of this process.
        if unsafe { libc::ptrace(request, raw, nothing, nothing) } != 0 {
            return Err(SysError::last(format!("ptrace({request}) of process {pid}")));
        }
    }
    Ok(())
}

/// Duplicates the descriptor of another process that is open on a path with this beginning.
///
/// # Errors
/// Those of the kernel, and where no descriptor is.
pub fn descriptor(pid: u32, path: &str) -> Result<OwnedFd> {
    let doing = || format!("taking the descriptor of process {pid} on {path}");
    let dir = format!("/proc/{pid}/fd");
    let found = std::fs::read_dir(&dir).doing(doing)?.flatten().find_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        target
            .to_str()
            .is_some_and(|t| t.starts_with(path))
            .then(|| entry.file_name().to_str()?.parse::<i32>().ok())?
    });
    let fd = found.ok_or_else(|| SysError::content(doing(), "it has none"))?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| SysError::content(doing(), "that is no process"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing(doing)?;
    pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty()).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_descriptor_is_found_by_its_path() {
        let path = std::env::temp_dir().join(format!("patchproof-fd-{}", std::process::id()));
        let open = std::fs::File::create(&path).unwrap();
        let text = path.to_str().unwrap();
        let copy = descriptor(std::process::id(), text).unwrap();
        std::fs::File::from(copy).write_all(b"through it").unwrap();
        drop(open);
        assert_eq!(std::fs::read(&path).unwrap(), b"through it");
        std::fs::remove_file(&path).unwrap();
        assert!(descriptor(std::process::id(), "/no/such/path").is_err());
    }
}
