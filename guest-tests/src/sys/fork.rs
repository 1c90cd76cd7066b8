//! Children that share nothing but what they inherit: forked, never executed.
//!
//! The child of a process with threads has one thread and whatever locks the others held at that
//! moment. Its closure must therefore allocate nothing and wait for no lock: it reads and writes
//! memory, makes system calls, and its answer is an exit status.

use super::{Doing, Result, SysError, process};
use std::os::fd::OwnedFd;

/// A gate that a child waits at until its parent opens it.
#[derive(Debug)]
pub struct Gate {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Gate {
    /// Makes one, closed.
    ///
    /// # Errors
    /// Those of `pipe`.
    pub fn new() -> Result<Self> {
        let (theirs, ours) = rustix::pipe::pipe().doing(|| "making a gate".to_owned())?;
        Ok(Self { ours, theirs })
    }

    /// Waits for the opening. For the child.
    pub fn wait(&self) {
        let mut one = [0u8];
        while rustix::io::read(&self.theirs, &mut one) == Err(rustix::io::Errno::INTR) {}
    }

    /// Opens it, for one child.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn open(&self) -> Result<()> {
        let written = rustix::io::write(&self.ours, &[1]);
        written.map(drop).doing(|| "opening a gate".to_owned())
    }
}

/// A forked child. Dropping it kills it and collects its status.
#[derive(Debug)]
pub struct Forked {
    pid: rustix::process::Pid,
    pidfd: OwnedFd,
    collected: bool,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Status(u8),
    /// By this signal (the OOM killer's, say).
    Signal(i32),
}

/// Forks; the child runs `act` and exits with its answer. It dies with the thread that forked it.
///
/// # Errors
/// Those of `fork`: short memory is one.
pub fn child(act: impl FnOnce() -> u8) -> Result<Forked> {
    // SAFETY: the child calls nothing but `act`, which by this module's contract neither allocates nor
    // takes locks, and `_exit`, which runs no handlers.
    match unsafe { libc::fork() } {
        -1 => Err(SysError::last("fork")),
        0 => {
            let status = match process::end_with_parent() {
                Ok(()) => act(),
                Err(_) => u8::MAX,
            };
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(status)) }
        }
        pid => Forked::of(pid),
    }
}

impl Forked {
    fn of(pid: libc::pid_t) -> Result<Self> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let pid = Pid::from_raw(pid).ok_or_else(|| SysError::content("fork", "no process id"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing(|| "opening a child's pidfd".to_owned())?;
        Ok(Self {
            pid,
            pidfd,
            collected: false,
        })
    }

    /// Waits up to `timeout_ms` for the end; `None` where it has not come.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn ended(&mut self, timeout_ms: u32) -> Result<Option<Ended>> {
        if !process::readable(&self.pidfd, timeout_ms)? {
            return Ok(None);
        }
        self.collect().map(Some)
    }

    fn collect(&mut self) -> Result<Ended> {
        use rustix::process::{WaitOptions, waitpid};
        let answer =
            waitpid(Some(self.pid), WaitOptions::empty()).doing(|| "collecting a child".to_owned())?;
        self.collected = true;
        let status = answer.map(|(_, status)| status);
        let exit = status.and_then(|s| s.exit_status());
        let signal = status.and_then(|s| s.terminating_signal());
        Ok(match (exit, signal) {
            (Some(code), _) => Ended::Status(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => Ended::Signal(signal.unwrap_or(0)),
        })
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.collected {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = self.collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::Arena;

    #[test]
    fn a_child_sees_what_it_inherited_and_its_writes_stay_its_own() {
        let (private, shared) = (Arena::map(1).unwrap(), Arena::shared(1).unwrap());
        private.poke(0, 3, 17);
        let mut child = child(|| {
            let seen = private.peek(0, 3);
            private.poke(0, 3, 99);
            shared.poke(0, 0, seen + 1);
            7
        })
        .unwrap();
        assert_eq!(child.ended(60_000).unwrap(), Some(Ended::Status(7)));
        assert_eq!((private.peek(0, 3), shared.peek(0, 0)), (17, 18));
    }

    #[test]
    fn a_child_that_does_not_end_is_ended() {
        let stays = child(|| {
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        let pid = stays.pid;
        drop(stays);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
