//! CPUs: which are online, switching one off and on, and where threads may run.

use super::{Doing, Result, SysError, file};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::path::PathBuf;

const ROOT: &str = "/sys/devices/system/cpu";

fn online_file(cpu: u32) -> PathBuf {
    PathBuf::from(format!("{ROOT}/cpu{cpu}/online"))
}

/// The last CPU that may be switched off, where there is one beside CPU 0.
#[must_use]
pub fn removable() -> Option<u32> {
    let has_switch = |cpu: &u32| online_file(*cpu).exists();
    (1..CpuSet::MAX_CPU as u32)
        .take_while(|cpu| PathBuf::from(format!("{ROOT}/cpu{cpu}")).exists())
        .filter(has_switch)
        .last()
}

/// A CPU that was switched off. Dropping it switches it on again.
#[derive(Debug)]
pub struct Off(u32);

impl Off {
    /// Switches a CPU off; threads that may run nowhere else are moved and lose their affinity.
    ///
    /// # Errors
    /// Those of the kernel; `EBUSY` where it is not to be had at this moment.
    pub fn switch(cpu: u32) -> Result<Self> {
        file::write(online_file(cpu), "0")?;
        Ok(Self(cpu))
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        // The kernel refuses only for a moment, while another one changes CPUs.
        for _ in 0..100 {
            if file::write(online_file(self.0), "1").is_ok() {
                return;
            }
        }
    }
}

/// Where one thread may run.
#[derive(Debug, Clone)]
pub struct Affinity {
    tid: u32,
    set: CpuSet,
}

fn pid_of(tid: u32) -> Result<Pid> {
    let pid = i32::try_from(tid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| SysError::content("using a thread", format!("{tid} is no thread")))
}

impl Affinity {
    /// Where a thread may run now; `None` where it has ended.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn of(tid: u32) -> Result<Option<Self>> {
        match sched_getaffinity(Some(pid_of(tid)?)) {
            Ok(set) => Ok(Some(Self { tid, set })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(e) => Err(e).doing(|| format!("reading where thread {tid} may run")),
        }
    }

    /// The thread.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// Restores it. A thread that has ended needs none.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn restore(&self) -> Result<()> {
        set(self.tid, &self.set)
    }
}

/// Keeps a thread on one CPU.
///
/// # Errors
/// Those of the kernel; a CPU that is not online is one.
pub fn keep_on(tid: u32, cpu: u32) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu as usize);
    set(tid, &one)
}

fn set(tid: u32, to: &CpuSet) -> Result<()> {
    match sched_setaffinity(Some(pid_of(tid)?), to) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e).doing(|| format!("saying where thread {tid} may run")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_affinity_comes_back() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let before = Affinity::of(tid).unwrap().unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| before.set.is_set(cpu)).unwrap() as u32;
        keep_on(tid, first).unwrap();
        assert_eq!(Affinity::of(tid).unwrap().unwrap().set.count(), 1);
        before.restore().unwrap();
        assert_eq!(Affinity::of(tid).unwrap().unwrap().set, before.set);
    }
}
