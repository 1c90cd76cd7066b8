//! The antagonists that every workload may have beside it: threads that disturb and preserve content.
//!
//! A workload says what they may reach ([`Ground`]) and which ones make sense there, and gives
//! [`keep_up`] a thread. What is chosen by name acts all the time; `drawn` picks some by the seed,
//! others each round, so that a long case meets all of them and every second of it is like no other.
//! Whatever an antagonist changed is put back at the end of its round.
//!
//! Not here: operations that change content. Only a page's owner may do those.

mod acts;
mod heirs;
mod machine;

pub use acts::{compact, swap_cycle};
pub use heirs::{Heirs, LedgerHeirs};

use super::stop::{Stop, StopOnDrop};
use super::{CaseError, Env, STEP_PATIENCE_S};
use crate::catalogue::antagonists::Choice;
use crate::sys::arena::Arena;
use crate::sys::cgroup::Cgroup;
use crate::sys::{SysError, cpu, file, soft_dirty};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// How long one draw lasts.
const ROUND: Duration = Duration::from_millis(1500);
/// How many antagonists one draw picks, at most.
const DRAWN_MAX: usize = 2;
/// Pauses between two acts of an antagonist, one of which is drawn each round: an act that never
/// pauses takes a whole CPU, and one that always does never meets a narrow window.
const PACES_US: [u64; 4] = [0, 200, 2_000, 20_000];
/// Bytes of an antagonist's stack.
const STACK_LEN: usize = 128 << 10;

/// One kind of disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Antagonist {
    /// Writes /proc/sys/vm/compact_memory.
    Compaction,
    /// Writes memory.reclaim of the group.
    Reclaim,
    /// `MADV_PAGEOUT` and `MADV_COLD` over parts of the arenas.
    Sweep,
    /// Switches a swap area off, in a child that can be spared, and on again.
    Swapoff,
    /// Forks children that verify what they inherited, and end.
    Fork,
    /// Clears the soft-dirty (and the referenced) bits of the process.
    ClearRefs,
    /// Writes /proc/sys/vm/drop_caches.
    DropCaches,
    /// Moves the workload's threads from CPU to CPU.
    Affinity,
    /// Switches the last CPU off and on.
    Hotplug,
    /// Moves the process to a group of its own and back, and removes the group with pages swapped.
    Cgroup,
    /// Switches the multi-generational LRU off and on.
    LruGen,
    /// Flips which sizes of huge pages are used.
    Thp,
    /// Has KSM merge and unmerge the arenas.
    Ksm,
}

impl Antagonist {
    /// All of them, in the order of [`crate::catalogue::antagonists::ALL`].
    pub const ALL: [Self; 13] = [
        Self::Compaction,
        Self::Reclaim,
        Self::Sweep,
        Self::Swapoff,
        Self::Fork,
        Self::ClearRefs,
        Self::DropCaches,
        Self::Affinity,
        Self::Hotplug,
        Self::Cgroup,
        Self::LruGen,
        Self::Thp,
        Self::Ksm,
    ];

    /// Its name, as in YAML.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Reclaim => "reclaim",
            Self::Sweep => "sweep",
            Self::Swapoff => "swapoff",
            Self::Fork => "fork",
            Self::ClearRefs => "clear_refs",
            Self::DropCaches => "drop_caches",
            Self::Affinity => "affinity",
            Self::Hotplug => "hotplug",
            Self::Cgroup => "cgroup",
            Self::LruGen => "lru_gen",
            Self::Thp => "thp",
            Self::Ksm => "ksm",
        }
    }

    /// Says what the kernel or the workload lacks for it; `None` where it can act.
    #[must_use]
    pub fn lacks(self, ground: &Ground<'_>) -> Option<&'static str> {
        let file = |path: &str, what| (!Path::new(path).exists()).then_some(what);
        let part = |there: bool, what| (!there).then_some(what);
        match self {
            Self::Compaction => file(acts::COMPACT, "compaction (CONFIG_COMPACTION)"),
            Self::Reclaim | Self::Cgroup => part(ground.group.is_some(), "a control group of the workload"),
            Self::Sweep => part(!ground.arenas.is_empty(), "an arena"),
            Self::Swapoff => part(!ground.swaps.is_empty(), "a swap area"),
            Self::Fork => part(ground.heirs.is_some(), "something that children can verify"),
            Self::ClearRefs => file(
                soft_dirty::FILE,
                "/proc/PID/clear_refs (CONFIG_PROC_PAGE_MONITOR)",
            ),
            Self::DropCaches => file(acts::DROP_CACHES, "/proc/sys/vm/drop_caches"),
            Self::Affinity => part(crate::sys::proc::cpus() > 1, "a second CPU"),
            Self::Hotplug => part(cpu::removable().is_some(), "a CPU that can be switched off"),
            Self::LruGen => file(machine::LRU_GEN, "the multi-generational LRU (CONFIG_LRU_GEN)"),
            Self::Thp => file(machine::THP, "huge pages (CONFIG_TRANSPARENT_HUGEPAGE)"),
            Self::Ksm => file(machine::KSM, "KSM (CONFIG_KSM)"),
        }
    }
}

/// A swap area that may be switched off and on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapArea {
    /// Its device.
    pub device: PathBuf,
    /// Its priority, where it has one.
    pub priority: Option<u16>,
}

/// What the antagonists of one case may reach. What is left out is left alone.
pub struct Ground<'a> {
    /// The surroundings.
    pub env: &'a Env<'a>,
    /// The end of the pressure.
    pub stop: &'a Stop,
    /// Which ones `drawn` and `all` may choose: those that make sense beside the workload.
    pub offered: &'a [Antagonist],
    /// Memory that may be swept and merged. Its content stays.
    pub arenas: &'a [&'a Arena],
    /// The group that is charged for it, and that the process is in.
    pub group: Option<&'a Cgroup>,
    /// Swap areas in use.
    pub swaps: &'a [SwapArea],
    /// Called when an area is on again, and by nobody else: what makes the swap as tight as it was.
    pub refill: Option<&'a (dyn Fn() -> Result<(), CaseError> + Sync)>,
    /// What forked children verify.
    pub heirs: Option<&'a (dyn Heirs + 'a)>,
}

/// One antagonist's turn.
struct Turn<'a> {
    ground: &'a Ground<'a>,
    over: &'a Stop,
    rng: Pcg64Mcg,
    pace_us: u64,
    lane: Option<&'a crate::sys::board::Lane>,
}

impl Turn<'_> {
    /// Pauses after one act; tells whether the turn goes on.
    fn goes_on(&mut self) -> bool {
        if let Some(lane) = self.lane {
            lane.beat();
        }
        let pause = self.pace_us + self.rng.next_u64() % (self.pace_us + 1);
        !self.over.wait(Duration::from_micros(pause)) && !self.ground.stop.is_set()
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.next_u64() as usize % n.max(1)
    }
}

/// The antagonists of a value of the parameter, of those on offer.
///
/// # Errors
/// [`CaseError::Missing`] for one that was asked for by name and can't act.
fn chosen(ground: &Ground<'_>, choice: &Choice) -> Result<Vec<Antagonist>, CaseError> {
    let able = |a: &Antagonist| a.lacks(ground).is_none();
    match choice {
        Choice::None => Ok(Vec::new()),
        Choice::Drawn | Choice::All => Ok(ground.offered.iter().copied().filter(able).collect()),
        Choice::These(names) => {
            let asked = Antagonist::ALL
                .into_iter()
                .filter(|a| names.iter().any(|n| n == a.name()));
            asked
                .map(|a| match a.lacks(ground) {
                    None => Ok(a),
                    Some(what) => Err(CaseError::Missing(format!(
                        "{what}, which the antagonist {} needs",
                        a.name()
                    ))),
                })
                .collect()
        }
    }
}

/// Keeps the chosen antagonists up until the pressure is over. Runs on a thread of its own.
///
/// # Errors
/// What a kernel must not answer; what is missing for one that was asked for by name.
pub fn keep_up(ground: &Ground<'_>, choice: &Choice, seed: u64) -> Result<(), CaseError> {
    let able = chosen(ground, choice)?;
    if able.is_empty() {
        return Ok(());
    }
    let lanes = Lanes::default();
    let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0xa97a_9011_57a9_0415);
    while !ground.stop.is_set() {
        let (round, picked) = match choice {
            Choice::Drawn => (ROUND, draw(&able, &mut rng)),
            Choice::None | Choice::All | Choice::These(_) => (Duration::MAX / 4, able.clone()),
        };
        act(ground, &lanes, &picked, round, &mut rng)?;
    }
    Ok(())
}

/// Draws who acts in one round.
fn draw(able: &[Antagonist], rng: &mut Pcg64Mcg) -> Vec<Antagonist> {
    let mut picked: Vec<Antagonist> = Vec::with_capacity(DRAWN_MAX);
    let n = 1 + rng.next_u32() as usize % DRAWN_MAX;
    for _ in 0..n {
        let one = able[rng.next_u32() as usize % able.len()];
        if !picked.contains(&one) {
            picked.push(one);
        }
    }
    picked
}

/// The antagonists' places on the board: a board never gives one back, so that a round takes over
/// the place of the one before.
#[derive(Default)]
struct Lanes<'a>(Mutex<Vec<&'a crate::sys::board::Lane>>);

impl<'a> Lanes<'a> {
    fn take(&self, env: &Env<'a>, name: &str) -> Option<&'a crate::sys::board::Lane> {
        let free = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        match free {
            Some(lane) => {
                lane.rename(name);
                Some(lane)
            }
            None => env.board.lane(name),
        }
    }

    fn give_back(&self, lane: &'a crate::sys::board::Lane) {
        lane.expect_within(0);
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(lane);
    }
}

/// One round.
fn act<'a>(
    ground: &'a Ground<'a>,
    lanes: &Lanes<'a>,
    picked: &[Antagonist],
    round: Duration,
    rng: &mut Pcg64Mcg,
) -> Result<(), CaseError> {
    let over = Stop::default();
    let broken: Mutex<Option<CaseError>> = Mutex::default();
    std::thread::scope(|scope| {
        let _ends = StopOnDrop(&over);
        for &one in picked {
            let mut turn = Turn {
                ground,
                over: &over,
                rng: Pcg64Mcg::seed_from_u64(rng.next_u64()),
                pace_us: PACES_US[rng.next_u32() as usize % PACES_US.len()],
                lane: None,
            };
            let broken = &broken;
            std::thread::Builder::new()
                .stack_size(STACK_LEN)
                .spawn_scoped(scope, move || {
                    let lane = lanes.take(ground.env, one.name());
                    lane.inspect(|lane| lane.expect_within(STEP_PATIENCE_S));
                    turn.lane = lane;
                    let outcome = take_turn(one, &mut turn);
                    lane.inspect(|lane| lanes.give_back(lane));
                    if let Err(e) = outcome {
                        broken
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .get_or_insert(e);
                        ground.stop.set();
                    }
                })?;
        }
        // A failure ends the pressure.
        let _ = ground.stop.wait(round);
        Ok::<_, std::io::Error>(())
    })?;
    match broken
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

fn take_turn(one: Antagonist, turn: &mut Turn<'_>) -> Result<(), CaseError> {
    match one {
        Antagonist::Compaction => Ok(acts::compaction(turn)?),
        Antagonist::Reclaim => Ok(acts::reclaim(turn)?),
        Antagonist::Sweep => Ok(acts::sweep(turn)?),
        Antagonist::Swapoff => acts::swapoff(turn),
        Antagonist::Fork => acts::fork(turn),
        Antagonist::ClearRefs => Ok(acts::clear_refs(turn)?),
        Antagonist::DropCaches => Ok(acts::drop_caches(turn)?),
        Antagonist::Affinity => Ok(machine::affinity(turn)?),
        Antagonist::Hotplug => Ok(machine::hotplug(turn)?),
        Antagonist::Cgroup => Ok(machine::cgroup(turn)?),
        Antagonist::LruGen => Ok(machine::lru_gen(turn)?),
        Antagonist::Thp => Ok(machine::thp(turn)?),
        Antagonist::Ksm => Ok(machine::ksm(turn)?),
    }
}

/// Writes a kernel file; what only says "not now" is no failure.
pub(super) fn write_now(path: &str, text: &str) -> Result<(), SysError> {
    match file::write(path, text) {
        Err(e)
            if matches!(
                e.errno(),
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::antagonists;

    #[test]
    fn names_are_those_of_the_catalogue() {
        let names: Vec<_> = Antagonist::ALL.iter().map(|a| a.name()).collect();
        assert_eq!(names, antagonists::ALL);
    }

    #[test]
    fn draws_follow_the_seed_and_reach_everyone() {
        let draws = |seed| {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            (0..200)
                .map(|_| draw(&Antagonist::ALL, &mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let all: std::collections::BTreeSet<_> = draws(1).into_iter().flatten().collect();
        assert_eq!(all.len(), Antagonist::ALL.len());
        assert!(draws(1).iter().all(|d| (1..=DRAWN_MAX).contains(&d.len())));
    }
}
