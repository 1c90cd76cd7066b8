//! The kernel's event counters, as the catalogue's [`Counter`]s.

use super::{Result, file};
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
    /// Reads /proc/vmstat.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn read() -> Result<Self> {
        Ok(Self::parse(&file::read("/proc/vmstat")?))
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
}
