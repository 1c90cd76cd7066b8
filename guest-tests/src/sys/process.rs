//! This process: locked memory, CPUs, OOM score, the end of the machine.

use super::{Doing, Result, SysError, file};
use rustix::mm::MlockAllFlags;
use rustix::system::RebootCommand;
use std::os::fd::{FromRawFd, OwnedFd};

/// How nice a thread is that is to run before others.
const NICE: i32 = -10;

/// Locks everything that is mapped now, and nothing of what comes later.
///
/// # Errors
/// Those of `mlockall`.
pub fn lock_what_is_mapped() -> Result<()> {
    rustix::mm::mlockall(MlockAllFlags::CURRENT).doing(|| "mlockall(MCL_CURRENT)".to_owned())
}

/// Locks every mapping made from now on, and leaves those that exist as they are.
///
/// # Errors
/// Those of `mlockall`.
pub fn lock_what_comes() -> Result<()> {
    rustix::mm::mlockall(MlockAllFlags::FUTURE).doing(|| "mlockall(MCL_FUTURE)".to_owned())
}

/// Locks everything, now and later.
///
/// # Errors
/// Those of `mlockall`.
pub fn lock_everything() -> Result<()> {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    rustix::mm::mlockall(flags).doing(|| "mlockall(MCL_CURRENT | MCL_FUTURE)".to_owned())
}

/// Says how gladly the kernel may end this process when memory is short: -1000 never, 1000 first.
///
/// # Errors
/// Those of the kernel.
pub fn oom_score(adjust: i32) -> Result<()> {
    file::write("/proc/self/oom_score_adj", &adjust.to_string())
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// Those of the kernel; a CPU that is not online is one.
pub fn pin(cpu: u32) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu as usize);
    rustix::thread::sched_setaffinity(None, &set).doing(|| format!("pinning a thread to CPU {cpu}"))
}

/// Lets the calling thread run on every CPU again.
///
/// # Errors
/// Those of the kernel.
pub fn unpin() -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set).doing(|| "unpinning a thread".to_owned())
}

/// Pauses between two looks at a kernel counter that tells nobody when it changes. For loops with a
/// deadline only; whatever can be waited for is waited for.
///
/// # Errors
/// Those of `poll`.
pub fn pause_ms(ms: u32) -> Result<()> {
    let timeout = rustix::event::Timespec {
        tv_sec: i64::from(ms / 1000),
        tv_nsec: i64::from(ms % 1000) * 1_000_000,
    };
    match rustix::event::poll(&mut [], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(SysError {
            doing: "poll".to_owned(),
            source: e.into(),
        }),
    }
}

/// Asks for `SIGKILL` when the thread that started this process ends: for a case run by hand, whose
/// supervisor may be interrupted.
///
/// # Errors
/// Those of `prctl`.
pub fn end_with_parent() -> Result<()> {
    let signal = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(signal))
        .doing(|| "prctl(PR_SET_PDEATHSIG)".to_owned())
}

/// How a thread competes for its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// As every other thread.
    Normal,
    /// Only when nobody else wants the CPU.
    Idle,
}

/// Sets how a thread competes for its CPU; 0 is the calling thread. `false` where the thread has ended.
///
/// # Errors
/// Those of `sched_setscheduler`.
pub fn schedule(tid: u32, policy: Policy) -> Result<bool> {
    let number = match policy {
        Policy::Normal => libc::SCHED_OTHER,
        Policy::Idle => libc::SCHED_IDLE,
    };
    let pid = libc::pid_t::try_from(tid).unwrap_or(libc::pid_t::MAX);
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters outlive the call, which only reads them.
    if unsafe { libc::sched_setscheduler(pid, number, &raw const parameters) } == 0 {
        return Ok(true);
    }
    match SysError::last(format!("making thread {tid} {policy:?}")) {
        e if e.errno() == Some(libc::ESRCH) => Ok(false),
        e => Err(e),
    }
}

/// Has the calling thread run before others that want its CPU, as far as niceness goes.
///
/// # Errors
/// Those of `setpriority`: an ordinary user may not.
pub fn precede() -> Result<()> {
    // SAFETY: no pointers are passed; 0 is the calling thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } == 0 {
        return Ok(());
    }
    Err(SysError::last("making this thread less nice".to_owned()))
}

/// Takes over a descriptor that this process was started with.
///
/// # Errors
/// When no such descriptor is open, or it is one of the standard three.
pub fn inherited(fd: i32) -> Result<OwnedFd> {
    let doing = || format!("taking over descriptor {fd}");
    if fd <= 2 {
        return Err(SysError::content(doing(), "it is a standard stream"));
    }
    // SAFETY: `fcntl(F_GETFD)` takes any number and changes nothing.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(SysError::last(doing()));
    }
    // SAFETY: the descriptor is open, and it came by exec: nothing in this process has owned it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits up to `timeout_ms` for a child to end (without collecting its status); `true` when it has.
///
/// # Errors
/// Those of the kernel.
pub fn ended(child: &std::process::Child, timeout_ms: u32) -> Result<bool> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| SysError::content("waiting for a child", "it has no process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing(|| "opening a child's pidfd".to_owned())?;
    readable(&pidfd, timeout_ms)
}

/// Whether this process is the machine's init.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Waits up to `timeout_ms` for something to read; `true` when there is (or the writer has gone).
///
/// # Errors
/// Those of `poll`.
pub fn readable(fd: impl std::os::fd::AsFd, timeout_ms: u32) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: i64::from(timeout_ms / 1000),
        tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000,
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(n) => Ok(n > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(SysError {
            doing: "poll".to_owned(),
            source: e.into(),
        }),
    }
}

/// Writes everything back to disks, unless `hung` (it would wait for ever), and switches the machine off.
///
/// # Errors
/// Those of `reboot`; returns only then.
pub fn power_off(hung: bool) -> Result<()> {
    if !hung {
        rustix::fs::sync();
    }
    rustix::system::reboot(RebootCommand::PowerOff).doing(|| "reboot(RB_POWER_OFF)".to_owned())
}
