//! What must agree once nothing runs any more, and what must be gone at the end.

use super::{CaseError, Env, STEP_PATIENCE_S, swapoff};
use crate::protocol::Seen;
use crate::sys::arena::Arena;
use crate::sys::cgroup::Cgroup;
use crate::sys::pagemap::Pagemap;
use crate::sys::{proc, process};
use std::collections::BTreeMap;
use std::path::Path;

/// Slots that a CPU may keep charged in its cache of freed ones.
const SLOT_CACHE_LEN: u64 = 64;
/// Pages that a CPU may hold back in its part of a process's counters, at least.
const COUNTER_BATCH_MIN: u64 = 32;
/// How long deferred frees may take, in milliseconds.
const SETTLE_MS_MAX: u64 = 5000;
/// How often a counter that has to settle is read, in milliseconds.
const SETTLE_LOOK_MS: u32 = 10;

/// Switches a swap area off; one that takes too long is a hang.
///
/// # Errors
/// The kernel's answer.
pub fn swap_off(env: &Env<'_>, disk: &Path) -> Result<(), CaseError> {
    let start = proc::uptime_ns();
    let mut go_on = || {
        env.lane.beat();
        (proc::uptime_ns() - start) / 1_000_000_000 < u64::from(STEP_PATIENCE_S)
    };
    let outcome = swapoff::run(disk, &mut go_on);
    match outcome {
        Err(e) if e.errno() == Some(libc::ETIMEDOUT) => {
            let what = Seen::Hang {
                worker: "swapoff".to_owned(),
                stack: "see the kernel's log".to_owned(),
            };
            env.find(
                what,
                format!("swapoff took more than {STEP_PATIENCE_S} s"),
                BTreeMap::new(),
            )?;
            Err(e.into())
        }
        other => Ok(other?),
    }
}

/// The bounds that one count puts on another.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    /// Pages whose page-table entry names a slot.
    pagemap: u64,
    /// VmSwap, in pages.
    vm_swap: u64,
    /// memory.swap.current of all groups, in pages.
    charged: u64,
    /// Pages of the swap cache charged to all groups.
    cached: u64,
    /// Pages of shared memory that may have a slot: no page table shows it.
    shared: u64,
    cpus: u64,
}

impl Books {
    /// What does not agree: what it is, and the two values.
    fn wrong(&self) -> Vec<(&'static str, u64, u64)> {
        let mut wrong = Vec::new();
        // The kernel sums a process's counters lazily: each CPU may hold back a batch.
        let slack = self.cpus * COUNTER_BATCH_MIN.max(2 * self.cpus);
        if self.pagemap.abs_diff(self.vm_swap) > slack {
            wrong.push((
                "pages swapped by the pagemap and VmSwap",
                self.pagemap,
                self.vm_swap,
            ));
        }
        // Each swapped page has a slot that is charged. The swap cache and the CPUs' caches of freed
        // slots keep more charged.
        let most = self.pagemap + self.shared + self.cached + self.cpus * SLOT_CACHE_LEN;
        if self.charged < self.pagemap || self.charged > most {
            wrong.push((
                "pages swapped by the pagemap and memory.swap.current",
                self.pagemap,
                self.charged,
            ));
        }
        wrong
    }
}

/// Compares what counts swapped pages: page tables, the process, its control groups. Nothing may run.
/// `shared` pages are mapped elsewhere than in `memory`, and may be swapped too.
/// A group above others counts for all of them, those that are gone included.
///
/// # Errors
/// When a call failed that must not.
pub fn conservation(
    env: &Env<'_>,
    memory: &[&Arena],
    shared: u64,
    groups: &[&Cgroup],
) -> Result<(), CaseError> {
    let pagemap = Pagemap::open()?;
    let mut books = Books {
        pagemap: 0,
        vm_swap: 0,
        charged: 0,
        cached: 0,
        shared,
        cpus: u64::from(proc::cpus()),
    };
    for arena in memory {
        books.pagemap += pagemap.swapped(arena)?;
    }
    books.vm_swap = proc::vm_swap_kib()? / 4;
    for group in groups {
        books.charged += group.number("memory.swap.current")? / 4096;
        books.cached += group.value("memory.stat", "swapcached")? / 4096;
    }
    for (what, one, other) in books.wrong() {
        disagree(env, what, one, other, format!("{books:?}"))?;
    }
    Ok(())
}

/// Tells of two counts that must agree at rest and do not.
///
/// # Errors
/// When the supervisor has gone.
pub fn disagree(env: &Env<'_>, what: &str, one: u64, other: u64, books: String) -> Result<(), CaseError> {
    let title = format!("at rest {what} do not agree: {one} and {other}");
    let context = [("books".to_owned(), books)].into_iter().collect();
    let what = Seen::Conservation {
        what: what.to_owned(),
        one,
        other,
    };
    Ok(env.find(what, title, context)?)
}

/// Waits for a count to fall to `allowed`; what does not in time has leaked.
///
/// # Errors
/// When the count can't be read.
pub fn settle(
    env: &Env<'_>,
    what: &str,
    allowed: u64,
    count: impl Fn() -> Result<u64, CaseError>,
) -> Result<(), CaseError> {
    let start = proc::uptime_ns();
    let mut left = count()?;
    while left > allowed && (proc::uptime_ns() - start) / 1_000_000 < SETTLE_MS_MAX {
        process::pause_ms(SETTLE_LOOK_MS)?;
        env.lane.beat();
        left = count()?;
    }
    if left > allowed {
        let but = if allowed == 0 {
            String::new()
        } else {
            format!(" ({allowed} are allowed)")
        };
        let title =
            format!("{left} {what} are left after everything was unmapped and swap was switched off{but}");
        let what = Seen::Leak {
            what: what.to_owned(),
            left,
        };
        env.find(what, title, BTreeMap::new())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Books = Books {
        pagemap: 1000,
        vm_swap: 1000,
        charged: 1010,
        cached: 20,
        shared: 0,
        cpus: 2,
    };

    #[test]
    fn books_that_agree_within_what_caches_explain_are_right() {
        assert_eq!(GOOD.wrong(), []);
        assert_eq!(
            Books {
                vm_swap: 1064,
                charged: 1148,
                ..GOOD
            }
            .wrong(),
            []
        );
    }

    #[test]
    fn a_page_without_a_charged_slot_is_wrong_by_one() {
        assert_eq!(Books { charged: 999, ..GOOD }.wrong().len(), 1);
    }

    #[test]
    fn more_than_the_caches_explain_is_wrong() {
        assert_eq!(
            Books {
                charged: 1149,
                ..GOOD
            }
            .wrong()
            .len(),
            1
        );
        assert_eq!(
            Books {
                vm_swap: 900,
                charged: 2000,
                ..GOOD
            }
            .wrong()
            .len(),
            2
        );
    }
}
