//! How much memory machines may have together.

use std::fs;
use std::path::{Path, PathBuf};

/// Of the memory that is free, the part that is left to everything else.
const LEFT_ALONE: u64 = 10;

/// The memory that may be used without pushing anything out, in bytes: nine tenths of what the kernel says
/// is available, within the limits of our control groups. `None` where the kernel does not say.
#[must_use]
pub fn memory_for_machines() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limited = within_groups(Path::new("/sys/fs/cgroup"), &own);
    usable(&info, limited)
}

fn usable(meminfo: &str, limited: Option<u64>) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let free = kib.saturating_mul(1024).min(limited.unwrap_or(u64::MAX));
    Some(free - free / LEFT_ALONE)
}

/// What the tightest of our control groups (of the second version) leaves; `None` where none has a limit.
fn within_groups(root: &Path, own: &str) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |group: &Path| {
        let group = root.join(group);
        Some(number(group.join("memory.max"))?.saturating_sub(number(group.join("memory.current"))?))
    };
    Path::new(path).ancestors().filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let info = "MemTotal:  16000 kB\nMemAvailable:   10000 kB\n";
        assert_eq!(usable(info, None), Some(9_216_000));
        assert_eq!(usable(info, Some(1_000)), Some(900));
        assert_eq!(usable("MemTotal: 1 kB\n", None), None);
    }

    #[test]
    fn a_group_above_may_be_the_tighter_one() {
        let root = tempfile::tempdir().expect("a folder");
        let group = |path: &str, max: &str, current: &str| {
            let dir = root.path().join(path);
            fs::create_dir_all(&dir).expect("a folder");
            fs::write(dir.join("memory.max"), max).expect("a file");
            fs::write(dir.join("memory.current"), current).expect("a file");
        };
        group("a", "1000\n", "400\n");
        group("a/b", "max\n", "100\n");
        group("a/b/c", "5000\n", "100\n");
        assert_eq!(within_groups(root.path(), "0::/a/b/c\n"), Some(600));
        assert_eq!(within_groups(root.path(), "0::/a/b\n"), Some(600));
        assert_eq!(within_groups(root.path(), "0::/elsewhere\n"), None);
        assert_eq!(within_groups(root.path(), "1:memory:/a\n"), None);
    }
}
