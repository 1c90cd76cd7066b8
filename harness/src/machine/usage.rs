//! What QEMU got from the host: the evidence that a guest was starved.

use std::fs;

/// What a process and all its threads got.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// CPU time, user and system, in seconds.
    pub cpu_s: f64,
    /// Time that threads were ready to run and waited for a CPU, in seconds; `None` where the host's kernel does not count it.
    pub cpu_wait_s: Option<f64>,
    /// The largest resident size, in KiB.
    pub resident_kib_max: u64,
}

impl Usage {
    /// The larger of each value: all of them only grow while a process lives.
    pub(super) fn at_least(self, other: Self) -> Self {
        Self {
            cpu_s: self.cpu_s.max(other.cpu_s),
            cpu_wait_s: match (self.cpu_wait_s, other.cpu_wait_s) {
                (Some(one), Some(two)) => Some(one.max(two)),
                (one, two) => one.or(two),
            },
            resident_kib_max: self.resident_kib_max.max(other.resident_kib_max),
        }
    }

    /// Reads a process's usage; `None` when it is gone.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let ticks = cpu_ticks(&read("stat")?)?;
        let ticks_per_s = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .unwrap_or(100);
        let resident = read("status").as_deref().and_then(resident_kib_max).unwrap_or(0);
        Some(Self {
            cpu_s: ticks as f64 / ticks_per_s as f64,
            cpu_wait_s: wait_s(pid),
            resident_kib_max: resident,
        })
    }
}

/// utime + stime of /proc/PID/stat: fields 14 and 15, counted after the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn resident_kib_max(status: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Sum over the threads of the second field of schedstat, in nanoseconds. A kernel without
/// CONFIG_SCHED_INFO shows zeros only: not even CPU time.
fn wait_s(pid: i32) -> Option<f64> {
    let (mut ran, mut waited) = (0u64, 0u64);
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let mut fields = text.split_ascii_whitespace().map_while(|f| f.parse::<u64>().ok());
        ran += fields.next()?;
        waited += fields.next()?;
    }
    (ran > 0).then_some(waited as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_confuse() {
        let stat = "12 (a) R b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("12 (cut"), None);
    }

    #[test]
    fn our_own_usage_is_readable_and_nobody_elses_is_made_up() {
        let own = Usage::of(std::process::id().cast_signed()).unwrap();
        assert!(own.resident_kib_max > 0);
        assert_eq!(Usage::of(i32::MAX), None);
    }

    #[test]
    fn a_process_that_is_ending_takes_nothing_back() {
        let alive = Usage {
            cpu_s: 1.0,
            cpu_wait_s: Some(2.0),
            resident_kib_max: 3,
        };
        let zombie = Usage {
            cpu_s: 1.5,
            cpu_wait_s: None,
            resident_kib_max: 0,
        };
        let both = Usage { cpu_s: 1.5, ..alive };
        assert_eq!((alive.at_least(zombie), zombie.at_least(alive)), (both, both));
    }

    #[test]
    fn the_largest_size_is_found_by_name() {
        assert_eq!(
            resident_kib_max("Name:\tq\nVmPeak:\t  9 kB\nVmHWM:\t  1234 kB\n"),
            Some(1234)
        );
    }
}
