//! Antagonists that change the machine around the memory: CPUs, groups, the LRU, huge pages, KSM.
//! Each puts back what it changed.

use super::{Turn, write_now};
use crate::sys::arena::Advice;
use crate::sys::cgroup::Cgroup;
use crate::sys::cpu::{self, Affinity};
use crate::sys::knob::Knob;
use crate::sys::{SysError, file, proc};
use rand_core::Rng;
use std::path::{Path, PathBuf};

/// Where the multi-generational LRU is switched.
pub const LRU_GEN: &str = "/sys/kernel/mm/lru_gen/enabled";
/// Where huge pages are.
pub const THP: &str = "/sys/kernel/mm/transparent_hugepage";
/// Where KSM is.
pub const KSM: &str = "/sys/kernel/mm/ksm";

/// Where the threads of a case may run, to be restored.
struct Saved(Vec<Affinity>);

impl Saved {
    /// Looks at every thread on the board but the caller's own.
    fn of(turn: &Turn<'_>) -> Result<Self, SysError> {
        let own = turn.lane.map_or(0, crate::sys::board::Lane::tid);
        let tids = turn
            .ground
            .env
            .board
            .lanes()
            .iter()
            .filter(|lane| lane.patience_s() > 0)
            .map(crate::sys::board::Lane::tid);
        let saved = tids.filter(|&tid| tid != 0 && tid != own).map(Affinity::of);
        Ok(Self(
            saved.filter_map(Result::transpose).collect::<Result<_, _>>()?,
        ))
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        // A thread whose affinity stays changed works all the same.
        for affinity in &self.0 {
            let _ = affinity.restore();
        }
    }
}

pub(super) fn affinity(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let saved = Saved::of(turn)?;
    if saved.0.is_empty() {
        return Ok(());
    }
    let cpus = proc::cpus() as usize;
    while turn.goes_on() {
        let one = &saved.0[turn.below(saved.0.len())];
        let to = turn.below(cpus) as u32;
        match cpu::keep_on(one.tid(), to) {
            // That CPU is off at this moment.
            Err(e) if e.errno() == Some(libc::EINVAL) => {}
            other => other?,
        }
    }
    Ok(())
}

pub(super) fn hotplug(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let Some(last) = cpu::removable() else {
        return Ok(());
    };
    while turn.goes_on() {
        let saved = Saved::of(turn)?;
        match cpu::Off::switch(last) {
            Ok(off) => {
                let _ = turn.goes_on();
                drop(off);
            }
            Err(e) if e.errno() == Some(libc::EBUSY) => {}
            Err(e) => return Err(e),
        }
        drop(saved);
    }
    Ok(())
}

/// A group beside the workload's own, with its limits on zswap.
fn beside(group: &Cgroup, number: u64) -> Result<Cgroup, SysError> {
    let made = group.sibling(&format!("passing-{number}"))?;
    for limit in ["memory.zswap.max", "memory.zswap.writeback"] {
        if let Ok(value) = file::read(group.file(limit)) {
            made.set(limit, &value)?;
        }
    }
    Ok(made)
}

pub(super) fn cgroup(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let Some(home) = turn.ground.group else {
        return Ok(());
    };
    let mut number = 0;
    while turn.goes_on() {
        number += 1;
        let group = beside(home, number)?;
        group.enter()?;
        let stays = turn.goes_on();
        if !turn.rng.next_u32().is_multiple_of(4) {
            group.reclaim(64 << 10)?;
        }
        home.enter()?;
        // What was charged there stays charged to a group that is gone: its pages, and its slots. A
        // child that is just being forked keeps the group for a moment; the next case removes it then.
        drop(group);
        if !stays {
            break;
        }
    }
    Ok(())
}

pub(super) fn lru_gen(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let knob = Knob::set(LRU_GEN, "y")?;
    let mut on = true;
    while turn.goes_on() {
        on = !on;
        knob.change(if on { "y" } else { "n" })?;
    }
    Ok(())
}

/// The knobs that say which sizes of huge pages are used, with the words that they take.
fn thp_knobs() -> Result<Vec<(Knob, Vec<String>)>, SysError> {
    let mut files: Vec<PathBuf> = ["enabled", "defrag", "shmem_enabled"]
        .iter()
        .map(|name| Path::new(THP).join(name))
        .collect();
    for entry in std::fs::read_dir(THP).into_iter().flatten().flatten() {
        files.push(entry.path().join("enabled"));
        files.push(entry.path().join("shmem_enabled"));
    }
    let mut knobs = Vec::new();
    for path in files {
        let Ok(text) = file::read(&path) else {
            continue;
        };
        let words: Vec<String> = text
            .split_whitespace()
            .map(|word| word.trim_matches(['[', ']']).to_owned())
            // Those two are for tests by hand: they override what memory was advised.
            .filter(|word| word != "deny" && word != "force")
            .collect();
        let now = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        if let Some((now, _)) = now {
            knobs.push((Knob::set(&path, now)?, words));
        }
    }
    Ok(knobs)
}

pub(super) fn thp(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let knobs = thp_knobs()?;
    while !knobs.is_empty() && turn.goes_on() {
        let (knob, words) = &knobs[turn.below(knobs.len())];
        match knob.change(&words[turn.below(words.len())]) {
            // A word that this size does not take.
            Err(e) if e.errno() == Some(libc::EINVAL) => {}
            other => other?,
        }
    }
    Ok(())
}

pub(super) fn ksm(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let _pages = Knob::set(Path::new(KSM).join("pages_to_scan"), "1000")?;
    let _pause = Knob::set(Path::new(KSM).join("sleep_millisecs"), "1")?;
    let run = Knob::set(Path::new(KSM).join("run"), "1")?;
    for arena in turn.ground.arenas {
        arena.advise(0..arena.pages(), Advice::Mergeable)?;
    }
    while turn.goes_on() {
        // 2 copies every merged page apart again.
        let what = if turn.rng.next_u32().is_multiple_of(8) {
            "2"
        } else {
            "1"
        };
        write_now(&format!("{KSM}/run"), what)?;
    }
    for arena in turn.ground.arenas {
        match arena.advise(0..arena.pages(), Advice::Unmergeable) {
            // No memory for the copies: what is merged stays so, which is legal.
            Err(e) if e.errno() == Some(libc::ENOMEM) => {}
            other => other?,
        }
    }
    drop(run);
    Ok(())
}
