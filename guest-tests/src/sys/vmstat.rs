//! The kernel's event counters, as the catalogue's [`Counter`]s.

use super::{Result, file, zswap};
use crate::catalogue::Counter;
use std::collections::BTreeMap;

/// Which line of /proc/vmstat is which counter.
const LINES: [(Counter, &str); 8] = [
    (Counter::SwapOut, "pswpout"),
    (Counter::SwapIn, "pswpin"),
    (Counter::ZswapStore, "zswpout"),
    (Counter::ZswapLoad, "zswpin"),
    (Counter::ZswapWriteback, "zswpwb"),
    (Counter::PagesMigrated, "pgmigrate_success"),
    (Counter::Collapses, "thp_collapse_alloc"),
    (Counter::HugeSplits, "thp_split_page"),
];

/// One look at the counters: totals since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vmstat(BTreeMap<Counter, u64>);

impl Vmstat {
    /// Reads /proc/vmstat. What zswap writes back is counted there since Linux 6.8; before, zswap's own
    /// count in debugfs is taken.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn read() -> Result<Self> {
        Ok(Self::parse(&file::read("/proc/vmstat")?).or_written_back(zswap::written_back))
    }

    /// Takes zswap's own count of what it wrote back, where there was no line for it.
    fn or_written_back(mut self, count: impl FnOnce() -> Option<u64>) -> Self {
        if !self.has(Counter::ZswapWriteback)
            && let Some(pages) = count()
        {
            self.0.insert(Counter::ZswapWriteback, pages);
        }
        self
    }

    /// Takes what the suite counts out of the text of /proc/vmstat; a line that is not there is not counted.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let found = LINES
            .iter()
            .filter_map(|&(counter, key)| Some((counter, file::value_of(text, key)?)));
        Self(found.collect())
    }

    /// Whether the kernel counts this at all.
    #[must_use]
    pub fn has(&self, counter: Counter) -> bool {
        self.0.contains_key(&counter)
    }

    /// What was counted since an earlier look.
    #[must_use]
    pub fn since(&self, before: &Self) -> BTreeMap<Counter, u64> {
        let of = |(c, n): (&Counter, &u64)| (*c, n.saturating_sub(before.0.get(c).copied().unwrap_or(0)));
        self.0.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_counted_is_there_and_differences_are_of_equal_counters() {
        let before = Vmstat::parse("nr_free_pages 5\npswpin 10\npswpout 20\nzswpwb 1\n");
        let after = Vmstat::parse("nr_free_pages 4\npswpin 15\npswpout 20\nzswpwb 101\n");
        assert!(before.has(Counter::SwapIn) && !before.has(Counter::ZswapStore));
        let want = [
            (Counter::SwapOut, 0),
            (Counter::SwapIn, 5),
            (Counter::ZswapWriteback, 100),
        ];
        assert_eq!(after.since(&before), want.into_iter().collect());
    }

    #[test]
    fn zswaps_own_count_stands_in_only_where_the_kernel_has_no_line() {
        let written_back = |text: &str, own| {
            let read = Vmstat::parse(text).or_written_back(|| own);
            read.0.get(&Counter::ZswapWriteback).copied()
        };
        assert_eq!(written_back("zswpwb 3\n", Some(7)), Some(3));
        assert_eq!(written_back("zswpout 3\n", Some(7)), Some(7));
        assert_eq!(written_back("zswpout 3\n", None), None);
    }
}
