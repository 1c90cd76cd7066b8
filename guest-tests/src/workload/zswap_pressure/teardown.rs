//! The end: what must agree at rest, every page once more, and nothing left behind.

use super::pressure::Pressure;
use super::stage::Stage;
use crate::protocol::Seen;
use crate::sys::arena::{Arena, PAGE_WORDS};
use crate::sys::pagemap::{Entry, PAGES_PER_READ_MAX, Pagemap};
use crate::sys::{cgroup, proc, process, zswap};
use crate::workload::evidence::{History, Op};
use crate::workload::{CaseError, Env, STEP_PATIENCE_S, swapoff};
use std::collections::BTreeMap;

/// Slots that a CPU may keep charged in its cache of freed ones.
const SLOT_CACHE_LEN: u64 = 64;
/// Pages that a CPU may hold back in its part of a process's counters, at least.
const COUNTER_BATCH_MIN: u64 = 32;
/// How long deferred frees may take, in milliseconds.
const SETTLE_MS_MAX: u64 = 5000;
/// How often a counter that has to settle is read, in milliseconds.
const SETTLE_LOOK_MS: u32 = 10;

/// Checks what must agree now that no thread runs, switches swap off and verifies every page.
///
/// # Errors
/// When a call failed that must not.
pub fn check(pressure: &Pressure<'_>) -> Result<(), CaseError> {
    let (env, stage) = (pressure.env, pressure.stage);
    conservation(env, stage)?;
    env.lane.beat();
    // With everything still mapped: each page comes back through swapoff's own path. Where memory is
    // short for that, the pages come back one by one, and swapoff is tried again at the end.
    match swap_off(env, stage) {
        Ok(()) => {}
        Err(CaseError::Sys(e)) if swapoff::is_excusable(&e) => {}
        Err(e) => return Err(e),
    }
    verify(pressure, &stage.arena, 0)?;
    // Cold pages were never touched again, and no slot of theirs was ever to be written.
    match &stage.cold {
        Some(cold) => verify(pressure, cold, stage.arena.pages()),
        None => Ok(()),
    }
}

fn swap_off(env: &Env<'_>, stage: &Stage) -> Result<(), CaseError> {
    let start = proc::uptime_ns();
    let mut go_on = || {
        env.lane.beat();
        (proc::uptime_ns() - start) / 1_000_000_000 < u64::from(STEP_PATIENCE_S)
    };
    let outcome = swapoff::run(&stage.disk, &mut go_on);
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
    /// Pages of the swap cache charged to them.
    cached: u64,
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
        let most = self.pagemap + self.cached + self.cpus * SLOT_CACHE_LEN;
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

fn conservation(env: &Env<'_>, stage: &Stage) -> Result<(), CaseError> {
    let pagemap = Pagemap::open()?;
    let mut books = Books {
        pagemap: 0,
        vm_swap: 0,
        charged: 0,
        cached: 0,
        cpus: u64::from(proc::cpus()),
    };
    for arena in [Some(&stage.arena), stage.cold.as_ref()].into_iter().flatten() {
        books.pagemap += pagemap.swapped(arena)?;
    }
    books.vm_swap = proc::vm_swap_kib()? / 4;
    // Of the group above all: what was charged to one that is gone counts too.
    books.charged = stage.top.number("memory.swap.current")? / 4096;
    books.cached = stage.top.value("memory.stat", "swapcached")? / 4096;
    for (what, one, other) in books.wrong() {
        let title = format!("at rest {what} do not agree: {one} and {other}");
        let context = [("books".to_owned(), format!("{books:?}"))].into_iter().collect();
        env.find(
            Seen::Conservation {
                what: what.to_owned(),
                one,
                other,
            },
            title,
            context,
        )?;
    }
    Ok(())
}

/// Verifies every page of some memory, whose first page the ledger knows as `first`.
fn verify(pressure: &Pressure<'_>, memory: &Arena, first: usize) -> Result<(), CaseError> {
    let (env, stage) = (pressure.env, pressure.stage);
    let pagemap = Pagemap::open()?;
    let mut data = Box::new([0u64; PAGE_WORDS]);
    let mut entries = [Entry::default(); PAGES_PER_READ_MAX];
    let mut history = History::default();
    for start in (0..memory.pages()).step_by(PAGES_PER_READ_MAX) {
        let range = start..memory.pages().min(start + PAGES_PER_READ_MAX);
        pagemap.read(memory, range.clone(), &mut entries)?;
        for (page, entry) in range.zip(entries) {
            let number = (first + page) as u32;
            let generation = stage.ledger.generation(number);
            env.lane.note_page(number, generation);
            memory.read(page, &mut data);
            history.note(Op::Verify, number, generation, entry.slot());
            if let Err(mismatch) = stage.ledger.check_owner(number, &data) {
                pressure.found(*mismatch, entry, pagemap.entry(memory, page).ok(), &history);
            }
        }
        env.lane.beat();
    }
    Ok(())
}

/// Unmaps everything and checks that nothing is left: first swap, then what hangs on it.
///
/// # Errors
/// When a call failed that must not.
pub fn end(env: &Env<'_>, stage: Stage) -> Result<(), CaseError> {
    let device = stage.disk.to_string_lossy().into_owned();
    let Stage {
        arena,
        cold,
        arena_group,
        filler_group,
        disk,
        ..
    } = stage;
    drop((arena, cold));
    if crate::sys::swap::active()?.iter().any(|area| area.path == device) {
        swapoff::run(&disk, &mut || {
            env.lane.beat();
            true
        })?;
    }
    env.lane.beat();
    settle(env, "pages in zswap", || Ok(zswap::pool()?.stored_pages))?;
    settle(env, "bytes in zswap's pool", || Ok(zswap::pool()?.bytes))?;
    settle(env, "bytes of swap charged to the arena", || {
        Ok(arena_group.number("memory.swap.current")?)
    })?;
    settle(env, "bytes of swap charged to the cold pages", || {
        Ok(filler_group.number("memory.swap.current")?)
    })?;
    cgroup::leave()?;
    Ok(())
}

/// Waits for a count to reach zero; one that does not in time has leaked.
fn settle(env: &Env<'_>, what: &str, count: impl Fn() -> Result<u64, CaseError>) -> Result<(), CaseError> {
    let start = proc::uptime_ns();
    let mut left = count()?;
    while left != 0 && (proc::uptime_ns() - start) / 1_000_000 < SETTLE_MS_MAX {
        process::pause_ms(SETTLE_LOOK_MS)?;
        env.lane.beat();
        left = count()?;
    }
    if left != 0 {
        let title = format!("{left} {what} are left after everything was unmapped and swap was switched off");
        env.find(
            Seen::Leak {
                what: what.to_owned(),
                left,
            },
            title,
            BTreeMap::new(),
        )?;
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
