//! What /proc says of the machine and of one process.

use super::{Result, SysError, file};

/// Reads the kernel's taint mask.
///
/// # Errors
/// Those of the kernel.
pub fn taint() -> Result<u64> {
    file::number("/proc/sys/kernel/tainted")
}

/// CPU time that the hypervisor took away since boot, over all CPUs, in milliseconds.
///
/// # Errors
/// Those of the kernel, and a file without a `cpu` line.
pub fn steal_ms() -> Result<u64> {
    let text = file::read("/proc/stat")?;
    parse_steal_ms(&text)
        .ok_or_else(|| SysError::content("reading /proc/stat", "no cpu line with a steal column"))
}

/// Milliseconds of one tick of /proc/stat (USER_HZ is 100 on every architecture that matters here).
const TICK_MS: u64 = 10;

fn parse_steal_ms(stat: &str) -> Option<u64> {
    let cpu = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let ticks: u64 = cpu.split_whitespace().nth(7)?.parse().ok()?;
    Some(ticks * TICK_MS)
}

/// MemTotal, in KiB.
///
/// # Errors
/// Those of the kernel, and a file without that line.
pub fn memory_total_kib() -> Result<u64> {
    kib_line("/proc/meminfo", "MemTotal")
}

/// This process's VmSwap, in KiB.
///
/// # Errors
/// Those of the kernel, and a file without that line.
pub fn vm_swap_kib() -> Result<u64> {
    kib_line("/proc/self/status", "VmSwap")
}

fn kib_line(path: &str, key: &str) -> Result<u64> {
    let text = file::read(path)?;
    parse_kib(&text, key)
        .ok_or_else(|| SysError::content(format!("reading {path}"), format!("no line {key}")))
}

fn parse_kib(text: &str, key: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The kernel stack of a thread, where the kernel shows it; otherwise why it does not.
#[must_use]
pub fn stack(pid: u32, tid: u32) -> String {
    file::read(format!("/proc/{pid}/task/{tid}/stack")).unwrap_or_else(|e| format!("not readable: {e}"))
}

/// What a thread does, in the kernel's letter: `R`, `S`, `D` …; `None` when it is gone.
#[must_use]
pub fn state(pid: u32, tid: u32) -> Option<char> {
    parse_state(&file::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)
}

/// The field after the name, which may hold anything.
fn parse_state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Guest time since boot, in nanoseconds.
#[must_use]
pub fn uptime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (s, ns) = (
        u64::try_from(now.tv_sec).unwrap_or(0),
        u64::try_from(now.tv_nsec).unwrap_or(0),
    );
    s * 1_000_000_000 + ns
}

/// `uname -r`.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// CPUs online.
#[must_use]
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_column_of_the_sum() {
        let stat = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse_steal_ms(stat), Some(800));
        assert_eq!(parse_steal_ms("cpu0 1 2 3 4 5 6 7 8\n"), None);
        assert_eq!(parse_steal_ms("cpu  1 2\n"), None);
    }

    #[test]
    fn a_state_stands_after_a_name_that_may_hold_anything() {
        assert_eq!(parse_state("7 (a) S (b)) D 1 2"), Some('D'));
        assert_eq!(parse_state("7 (cut"), None);
        assert!(state(std::process::id(), std::process::id()).is_some());
    }

    #[test]
    fn kib_lines_are_matched_whole() {
        let text = "VmSwapX:\t 1 kB\nVmSwap:\t    128 kB\n";
        assert_eq!(parse_kib(text, "VmSwap"), Some(128));
        assert_eq!(parse_kib(text, "VmSize"), None);
        assert_eq!(parse_kib("VmSwap: 1\n", "VmSwap"), None);
    }
}
