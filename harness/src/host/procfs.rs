//! Processes as /proc shows them.
//!
//! Inside of a PID namespace /proc may still be that of an outer one (a keeper has no right to mount another), so
//! its numbers are not those that system calls take. Not here: what is done to processes.

/// One process. Its numbers are those of the namespace that /proc shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// Ended, and waiting to be reaped.
    pub(super) dead: bool,
    /// Its numbers in every namespace from that of /proc down to its own.
    numbers: Vec<i32>,
}

impl Process {
    /// Its number in the namespace of `observer`; `None` where it is not seen from there.
    pub(super) fn as_seen_by(&self, observer: &Self) -> Option<i32> {
        self.numbers.get(observer.numbers.len() - 1).copied()
    }

    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        let pid = field("Pid")?.parse().ok()?;
        let numbers: Option<Vec<i32>> = match field("NSpid") {
            Some(numbers) => numbers
                .split_whitespace()
                .map(|number| number.parse().ok())
                .collect(),
            None => Some(vec![pid]),
        };
        Some(Self {
            pid,
            parent: field("PPid")?.parse().ok()?,
            dead: matches!(field("State")?.chars().next()?, 'Z' | 'X'),
            numbers: numbers.filter(|numbers| !numbers.is_empty())?,
        })
    }
}

/// This process.
pub(super) fn own() -> Option<Process> {
    read("self")
}

/// Every process there is.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|name| read(&name))
        .collect()
}

fn read(name: &str) -> Option<Process> {
    let status = std::fs::read(format!("/proc/{name}/status")).ok()?;
    Process::parse(&String::from_utf8_lossy(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_observers_namespace() {
        let status = |pid: i32, numbers: &str| {
            let text = format!(
                "Name:\ta\\nPPid:\t9\nState:\tS (sleeping)\nPid:\t{pid}\nPPid:\t7\nNSpid:\t{numbers}\n"
            );
            Process::parse(&text).unwrap()
        };
        let observer = status(100, "100\t2");
        assert_eq!(observer.parent, 7);
        assert_eq!(status(101, "101\t3").as_seen_by(&observer), Some(3));
        assert_eq!(status(102, "102\t4\t1").as_seen_by(&observer), Some(4));
        assert_eq!(status(103, "103").as_seen_by(&observer), None);
    }

    #[test]
    fn what_is_no_status_is_no_process() {
        assert_eq!(Process::parse(""), None);
        assert_eq!(Process::parse("Pid:\tx\n"), None);
    }

    #[test]
    fn we_are_among_all() {
        let own = own().unwrap();
        assert_eq!(own.as_seen_by(&own), Some(nix::unistd::getpid().as_raw()));
        assert!(all().iter().any(|process| process.pid == own.pid));
    }
}
