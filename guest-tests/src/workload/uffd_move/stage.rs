//! Set-up: the two ranges, the bystanders, a swap area filled with cold pages, the userfaultfd.

use crate::catalogue::UffdMove;
use crate::model::{Armed, Backing, Fill, FillPolicy, Holds, Ledger, Origin, PageState};
use crate::sys::arena::{Arena, PAGE_WORDS};
use crate::sys::cgroup::Cgroup;
use crate::sys::knob::Knob;
use crate::sys::pagemap::Pagemap;
use crate::sys::uffd::{self, Features, Mode, Uffd};
use crate::sys::{proc, process, zswap};
use crate::workload::areas::Areas;
use crate::workload::engine::Engine;
use crate::workload::{CGROUP, CaseError, Env};
use crate::workload::{beside, tight};

/// Bystanders of each pair and kind: pages that a duel uses beside the one that is moved.
pub const BYSTANDERS: usize = 4;
/// What the registered ranges are armed for.
pub const ARMED: Armed = Armed {
    missing: true,
    wp: true,
    minor: false,
};

/// One pair of threads and what is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Its number.
    pub number: usize,
    /// Places on each side; it owns twice as many.
    pub places: usize,
    /// The mover's CPU.
    pub cpu: u32,
    /// The meddler's CPU.
    pub other_cpu: u32,
}

/// A page that a duel uses and that nobody moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bystander {
    /// It is shared memory.
    pub shared: bool,
    /// Its page in the arena of that kind.
    pub page: usize,
}

/// Everything that the pressure stands on.
pub struct Stage {
    /// The two ranges, both registered.
    pub sides: [Arena; 2],
    /// Bystanders: private, and shared.
    pub bystanders: [Arena; 2],
    /// What bystanders and cold pages must hold; numbered after the places.
    pub ledger: Ledger,
    /// Memory that fills the swap area and is left alone.
    pub cold: Option<Arena>,
    /// One page that stands for any other when pages are asked to leave.
    pub control: Arena,
    /// The userfaultfd that both ranges are registered with.
    pub uffd: Uffd,
    /// It can poison.
    pub can_poison: bool,
    /// The swap area.
    pub areas: Areas,
    /// Charged for the pages.
    pub group: Cgroup,
    /// Charged for the cold pages.
    pub filler: Cgroup,
    /// Pages of each pair on each side.
    places: usize,
    /// Pairs.
    count: usize,
    /// What runs beside the pairs, where anything does.
    pub engine: Option<Engine>,
    /// Above the two groups; dropped after them.
    pub top: Cgroup,
    _knobs: Vec<Knob>,
}

impl Stage {
    /// The pairs of threads.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + use<> {
        let (places, cpus) = (self.places, proc::cpus().max(1) as usize);
        (0..self.count).map(move |number| Pair {
            number,
            places,
            cpu: (2 * number % cpus) as u32,
            other_cpu: ((2 * number + 1) % cpus) as u32,
        })
    }

    /// Where stamps come from.
    pub fn origin(&self) -> Origin {
        *self.ledger.origin()
    }

    /// The bystander's memory.
    pub fn bystander(&self, which: Bystander) -> &Arena {
        &self.bystanders[usize::from(which.shared)]
    }

    /// The ledger's number of a bystander.
    pub fn bystander_number(&self, which: Bystander) -> u32 {
        let kind = usize::from(which.shared) * self.bystanders[0].pages();
        self.ledger.pages().start + (kind + which.page) as u32
    }

    /// The ledger's number of the first cold page.
    pub fn first_cold(&self) -> u32 {
        self.ledger.pages().start + 2 * self.bystanders[0].pages() as u32
    }

    /// The number of a place: those of the first side, then those of the second.
    pub fn number(&self, side: usize, page: usize) -> u32 {
        (side * self.sides[0].pages() + page) as u32
    }

    /// A place that was never filled.
    pub fn fresh(&self, side: usize, page: usize) -> PageState {
        PageState {
            armed: ARMED,
            ..PageState::fresh(self.number(side, page), Backing::PrivateAnon, Holds::Hole)
        }
    }
}

/// Says what the kernel lacks, if anything; otherwise what its userfaultfd can do.
fn features(params: &UffdMove) -> Result<Features, CaseError> {
    let lacks = |what: &str| Err(CaseError::Missing(what.to_owned()));
    let Ok(features) = uffd::features() else {
        return lacks("userfaultfd (CONFIG_USERFAULTFD)");
    };
    for (one, name) in [
        (Features::MOVE, "UFFDIO_MOVE (since 6.8)"),
        (Features::SIGBUS, "UFFD_FEATURE_SIGBUS"),
        (Features::WP, "userfaultfd's write protection"),
    ] {
        if !features.has(one) {
            return lacks(name);
        }
    }
    if params.swap == "zswap" && !zswap::available() {
        return lacks("zswap (CONFIG_ZSWAP)");
    }
    if Pagemap::open().is_err() {
        return lacks("/proc/PID/pagemap (CONFIG_PROC_PAGE_MONITOR)");
    }
    Ok(features)
}

/// Sets the stage.
///
/// # Errors
/// [`CaseError::Missing`] for what the kernel lacks; others for what must not fail.
pub fn set(env: &Env<'_>, params: &UffdMove) -> Result<Stage, CaseError> {
    let features = features(params)?;
    let kind = if params.swap == "zram" { "zram" } else { "disk" };
    let areas = Areas::make(env, kind, params.swap_area)?;
    let knobs = knobs(params)?;
    let missing =
        |e: crate::sys::SysError| CaseError::Missing(format!("memory control groups, version 2 ({e})"));
    let top = Cgroup::top(CGROUP).map_err(missing)?;
    let (filler, group) = (top.child("filler")?, top.child("arena")?);
    if zswap::available() {
        filler.set("memory.zswap.max", "0").map_err(missing)?;
    }

    let (count, places) = (size(params.pairs), size(params.pages));
    let others = count * BYSTANDERS;
    let hot = count * places + 2 * others;
    let cold_pages = cold_pages(areas.slots(), hot as u64, params)?;
    let first = u32::try_from(2 * count * places).map_err(|_| CaseError::Broken("too many pages".into()))?;
    let known = u32::try_from(2 * others + cold_pages).unwrap_or(u32::MAX);
    let ledger = Ledger::new(env.job.run, first, known, policy(params), env.job.case.seed);

    let engine = beside::engine(env, params.engine, &params.engine_mix)?;
    // What exists now is the suite's own and stays in memory; the arenas must not, what comes after
    // them (stacks, buffers) must again.
    process::lock_what_is_mapped()?;
    let sides = [Arena::map(count * places)?, Arena::map(count * places)?];
    let bystanders = [Arena::map(others)?, Arena::shared(others)?];
    let cold = (cold_pages > 0).then(|| Arena::map(cold_pages)).transpose()?;
    let control = Arena::map(1)?;
    process::lock_what_comes()?;
    env.board.note_arena(sides[0].address(0), sides[0].pages());
    if let Some(engine) = &engine {
        engine.note_on(env.board);
    }

    let can_poison = features.has(Features::POISON);
    let poison = if can_poison { Features::POISON } else { Features(0) };
    let wanted = Features::MOVE.and(Features::SIGBUS).and(Features::WP).and(poison);
    let uffd = Uffd::open(wanted)?;
    for side in &sides {
        uffd.register(
            side,
            Mode {
                missing: true,
                wp: true,
            },
        )?;
    }
    areas.on()?;
    let stage = Stage {
        sides,
        bystanders,
        ledger,
        cold,
        control,
        uffd,
        can_poison,
        areas,
        group,
        filler,
        places,
        count,
        engine,
        top,
        _knobs: knobs,
    };
    stage.fill(env)?;
    Ok(stage)
}

impl Stage {
    /// Makes room in the swap area.
    pub fn loosen(&self) {
        if let Some(cold) = &self.cold {
            tight::loosen(cold, &self.ledger, self.first_cold());
        }
    }

    /// Takes that room away again.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn refill(&self) -> Result<(), CaseError> {
        match &self.cold {
            Some(cold) => tight::refill(cold),
            None => Ok(()),
        }
    }

    /// Fills the swap area with cold pages, and writes the bystanders.
    fn fill(&self, env: &Env<'_>) -> Result<(), CaseError> {
        if let Some(cold) = &self.cold {
            self.filler.enter()?;
            tight::fill(env, cold, &self.ledger, self.first_cold())?;
        }
        self.group.enter()?;
        let mut data = Box::new([0; PAGE_WORDS]);
        for shared in [false, true] {
            for page in 0..self.bystanders[0].pages() {
                let which = Bystander { shared, page };
                let number = self.bystander_number(which);
                tight::stamp(self.bystander(which), page, &self.ledger, number, &mut data);
            }
        }
        Ok(())
    }
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// How well pages compress.
fn policy(params: &UffdMove) -> FillPolicy {
    if params.content == "mixed" {
        FillPolicy::Mixed
    } else {
        FillPolicy::Fixed(Fill::SMALL)
    }
}

fn knobs(params: &UffdMove) -> Result<Vec<Knob>, CaseError> {
    let mut knobs = vec![Knob::set("/proc/sys/vm/page-cluster", "0")?];
    if zswap::available() {
        let on = if params.swap == "zswap" { "Y" } else { "N" };
        knobs.push(zswap::set("enabled", on)?);
    }
    Ok(knobs)
}

/// How many cold pages fill the swap area so that `hot` pages lack some slots.
fn cold_pages(slots: u64, hot: u64, params: &UffdMove) -> Result<usize, CaseError> {
    if slots <= hot {
        return Err(CaseError::Broken(format!(
            "a swap area of {slots} pages is too small for {hot} pages that are swapped"
        )));
    }
    Ok(match params.short_slots {
        0 => 0,
        short => size(slots.saturating_sub(hot.saturating_sub(short))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(slots: u64, hot: u64, short: u64) -> Option<usize> {
        let params = UffdMove {
            short_slots: short,
            ..UffdMove::default()
        };
        cold_pages(slots, hot, &params).ok()
    }

    #[test]
    fn cold_pages_leave_fewer_slots_than_there_are_pages() {
        assert_eq!(sized(1023, 72, 12), Some(1023 - 60));
        assert_eq!(sized(255, 72, 12), Some(255 - 60));
        assert_eq!(sized(1023, 72, 0), Some(0));
        assert_eq!(sized(1023, 4096, 12), None);
    }
}
