//! The end: what must agree at rest, every page and block once more, and nothing left behind.

use super::hand::Hand;
use super::pressure::Pressure;
use super::raw;
use super::stage::{Stage, is_swap};
use crate::sys::block::Direct;
use crate::sys::cgroup;
use crate::sys::process;
use crate::sys::zram::{Backing, Usage, Zram};
use crate::workload::phase::Stopped;
use crate::workload::{CaseError, Env, rest, swapoff};

/// How often counts that are summed up while they may still move are compared.
const TRIES: u32 = 50;
/// The pause between two comparisons, in milliseconds.
const LOOK_MS: u32 = 10;

/// Checks what must agree now that no thread runs, switches swap off and verifies everything.
///
/// # Errors
/// When a call failed that must not.
pub fn check(pressure: &Pressure<'_>) -> Result<(), CaseError> {
    let (env, stage) = (pressure.phase.env, pressure.stage);
    rest::conservation(env, &[&stage.arena], 0, &[&stage.top])?;
    for zram in stage.devices() {
        objects(env, zram)?;
    }
    env.lane.beat();
    // With everything still mapped: each page comes back through swapoff's own path. Where memory is
    // short for that, the pages come back one by one, and swapoff is tried again at the end.
    match rest::swap_off(env, stage.swap.device()) {
        Ok(()) => {}
        Err(CaseError::Sys(e)) if swapoff::is_excusable(&e) => {}
        Err(e) => return Err(e),
    }
    for field in stage.fields() {
        let mut hand = Hand::new(pressure, env.lane, field, 0)?;
        over(hand.verify(field.pages.clone()))?;
    }
    match &stage.raw_disk {
        Some(disk) => over(raw::read_all(pressure, disk)),
        None => Ok(()),
    }
}

/// A mismatch was told; the teardown goes on.
fn over(outcome: Result<(), Stopped>) -> Result<(), CaseError> {
    match outcome {
        Ok(()) | Err(Stopped::Found) => Ok(()),
        Err(Stopped::Case(e)) => Err(e),
    }
}

/// Compares zram's count of pages with zsmalloc's count of objects: every page that is neither of one
/// repeated word nor on the backing device is one object.
fn objects(env: &Env<'_>, zram: &Zram) -> Result<(), CaseError> {
    let (mut pages, mut objects) = (0, 0);
    let mut books = String::new();
    // The kernel's own reclaim may still be at it; two counts can't be read at one moment.
    for _ in 0..TRIES {
        let pool = match zram.pool() {
            Err(e) if e.errno() == Some(libc::ENOENT) => return Ok(()),
            pool => pool?,
        };
        let (usage, backing) = (zram.usage()?, zram.backing()?);
        (pages, objects) = (compressed(&usage, &backing), pool.objects);
        if pages == objects {
            return Ok(());
        }
        books = format!("{usage:?} {backing:?} {pool:?}");
        process::pause_ms(LOOK_MS)?;
    }
    let what = "pages that zram has compressed and zsmalloc's objects";
    rest::disagree(env, what, pages, objects, books)
}

/// How many pages a device has compressed into its pool.
fn compressed(usage: &Usage, backing: &Backing) -> u64 {
    usage.pages.saturating_sub(usage.same_pages + backing.pages)
}

/// Unmaps everything and checks that nothing is left: first swap, then the devices.
///
/// # Errors
/// When a call failed that must not.
pub fn end(env: &Env<'_>, stage: Stage) -> Result<(), CaseError> {
    let Stage {
        arena,
        group,
        raw_disk,
        swap,
        raw,
        header_pages,
        ..
    } = stage;
    drop(arena);
    if is_swap(swap.device())? {
        swapoff::run(swap.device(), &mut || {
            env.lane.beat();
            true
        })?;
    }
    env.lane.beat();
    rest::settle(env, "bytes of swap charged to the arena", 0, || {
        Ok(group.number("memory.swap.current")?)
    })?;
    // A free that finds its slot locked gives up, by design: such a slot keeps its content until it is
    // used again, and the device counts it.
    let kept = header_pages + swap.traffic()?.missed_frees;
    rest::settle(env, "pages in zram", kept, || Ok(swap.usage()?.pages))?;
    drop(raw_disk);
    for zram in std::iter::once(&swap).chain(&raw) {
        empty(env, zram)?;
    }
    cgroup::leave()?;
    Ok(())
}

/// Discards a whole device: nothing at all may be left of it then.
fn empty(env: &Env<'_>, zram: &Zram) -> Result<(), CaseError> {
    let disk = Direct::open(zram.device())?;
    let blocks = crate::sys::machine::disk_len(zram.device())? / 4096;
    disk.discard(0, blocks)?;
    env.lane.beat();
    let name = zram.device().display();
    rest::settle(
        env,
        &format!("pages in {name} after all was discarded"),
        0,
        || Ok(zram.usage()?.pages),
    )?;
    rest::settle(
        env,
        &format!("compressed bytes in {name} after all was discarded"),
        0,
        || Ok(zram.usage()?.compressed),
    )?;
    rest::settle(
        env,
        &format!("bytes of memory taken by {name} after all was discarded"),
        0,
        || Ok(zram.usage()?.memory),
    )?;
    rest::settle(
        env,
        &format!("blocks of the backing device taken by {name} after all was discarded"),
        0,
        || Ok(zram.backing()?.pages),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_one_word_and_pages_written_back_are_no_objects() {
        let usage = Usage {
            pages: 100,
            same_pages: 7,
            huge_pages: 30,
            ..Usage::default()
        };
        let backing = Backing {
            pages: 20,
            reads: 5,
            writes: 90,
        };
        assert_eq!(compressed(&usage, &backing), 73);
        assert_eq!(compressed(&Usage::default(), &backing), 0);
    }
}
