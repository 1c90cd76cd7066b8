//! The engine: owners that do to their memory whatever the kernel offers, in an order that the seed
//! draws, and verify it against the model.
//!
//! It runs beside a workload's own threads, on the same swap and under the same antagonists. Each owner
//! has regions of every kind ([`region`]); steps ([`step`]) are drawn, carried out ([`owner`]) and logged
//! ([`log`]); now and then a [`triple`] composes a page's state, an operation and a pressure on purpose.
//! A log can be [`replay`]ed in order.
//!
//! Not here: what an operation means (that is [`crate::model`]), and who disturbs from beside (that is
//! [`antagonist`](super::antagonist)).

mod composing;
mod follow;
mod guard;
mod heir;
pub mod log;
pub mod owner;
mod pinned;
mod promise;
pub mod region;
pub mod replay;
mod soft_dirty;
pub mod step;
mod streams;
mod telling;
pub mod triple;
mod userfaults;
mod witness;

use super::antagonist::Ground;
use super::phase::STACK_LEN;
use super::{CaseError, WORKER_PATIENCE_S};
use crate::catalogue::Counter;
use crate::model::{FillPolicy, Origin};
use crate::sys::arena::PAGE_LEN;
use crate::sys::board::Lane;
use crate::sys::field::Field;
use crate::sys::uffd::Uffd;
use log::Log;
use owner::{Owner, Stopped};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use region::Kind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use step::{Draws, Mix};
use triple::{Coverage, Queue};
use witness::{OverOnDrop, Witness};

/// What each owner has: the kind and the pages of its regions.
pub const REGIONS: [(Kind, usize); 6] = [
    (Kind::Small, 48),
    (Kind::Large, 512),
    (Kind::Shared, 512),
    (Kind::PrivateFile, 32),
    (Kind::Large, 96),
    (Kind::Disk, 64),
];
/// The first page number of the first owner: far from the pages of any workload.
const FIRST_PAGE: u32 = 0x8_0000;
/// Page numbers of one owner.
const OWNER_PAGES: u32 = 0x1000;
/// One step in so many starts triples.
const TRIPLES_EVERY: u32 = 40;
/// One step in so many is watched by the owner's witness, where something is promised of it.
const WATCHED_EVERY: u32 = 4;
/// Steps between two looks at everything that an owner has.
const SURVEY_EVERY: u64 = 4096;

/// What the owners count.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pages compared with the model.
    pub verified: AtomicU64,
    /// Of those, pages that were swapped out before.
    pub round_trips: AtomicU64,
    /// Pages written.
    pub written: AtomicU64,
    /// Steps that a witness on another CPU saw the end of.
    pub watched: AtomicU64,
}

/// What all owners share.
pub struct Engine {
    field: Field,
    uffd: Option<Uffd>,
    /// Where files are made that are to be on a disk.
    folder: Option<PathBuf>,
    origin: Origin,
    owners: usize,
    seed: u64,
    mix: String,
    /// What was done.
    pub log: Log,
    /// What was counted.
    pub counts: Counts,
    /// Which triples were met.
    pub coverage: Coverage,
    /// Those to come, over all owners and stretches.
    triples: Mutex<Queue>,
}

impl Engine {
    /// Reserves what so many owners need. A process that locks what it maps may do so before or after.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn new(owners: usize, run: u32, seed: u64, mix: &str) -> Result<Self, CaseError> {
        Ok(Self {
            field: Field::reserve(owners * REGIONS.len() * 2)?,
            uffd: userfaults::open(),
            folder: None,
            origin: Origin {
                run,
                seed,
                policy: FillPolicy::Mixed,
            },
            owners,
            seed,
            mix: mix.to_owned(),
            log: Log::new(owners),
            counts: Counts::default(),
            coverage: Coverage::default(),
            triples: Mutex::new(Queue::new(seed)),
        })
    }

    /// Has the files that are to be on a disk made in a folder that has room for [`Engine::disk_len`]; without one they are
    /// memory files.
    pub fn on_disk(&mut self, folder: &Path) {
        self.folder = Some(folder.to_owned());
    }

    /// Bytes that all owners' files on a disk may take.
    #[must_use]
    pub fn disk_len(&self) -> u64 {
        let pages = REGIONS.iter().filter(|(kind, _)| *kind == Kind::Disk);
        pages.map(|(_, pages)| (pages * PAGE_LEN) as u64).sum::<u64>() * self.owners as u64
    }

    /// Owners.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.owners
    }

    /// Says on the board where its memory is, so that a fault there is understood.
    pub fn note_on(&self, board: &crate::sys::board::Board) {
        board.note_field(
            self.field.address(0, 0),
            self.field.plots() * crate::sys::field::PLOT_PAGES,
        );
    }

    /// Steps and triples so far.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<Counter, u64> {
        [
            (Counter::EngineSteps, self.log.steps()),
            (
                Counter::EnginePagesVerified,
                self.counts.verified.load(Ordering::Relaxed),
            ),
            (
                Counter::EngineRoundTrips,
                self.counts.round_trips.load(Ordering::Relaxed),
            ),
            (Counter::TriplesCovered, self.coverage.covered()),
            (
                Counter::EngineWatched,
                self.counts.watched.load(Ordering::Relaxed),
            ),
        ]
        .into_iter()
        .collect()
    }

    /// Works as one of the owners until `ground.stop`, with memory that is mapped for this stretch of
    /// time only. `stretch` numbers it, so that each draws anew.
    ///
    /// Tells whether a mismatch was found (and told).
    ///
    /// # Errors
    /// When a call failed that must not.
    pub fn work(
        &self,
        number: usize,
        stretch: u64,
        ground: &Ground<'_>,
        lane: &Lane,
    ) -> Result<bool, CaseError> {
        lane.expect_within(WORKER_PATIENCE_S);
        let outcome = self.try_work(number, stretch, ground, lane);
        lane.expect_within(0);
        match outcome {
            Ok(()) => Ok(false),
            Err(Stopped::Found) => {
                ground.stop.set();
                Ok(true)
            }
            Err(Stopped::Case(e)) => Err(e),
        }
    }

    fn try_work(&self, number: usize, stretch: u64, ground: &Ground<'_>, lane: &Lane) -> Result<(), Stopped> {
        let witness = Witness::default();
        std::thread::scope(|scope| {
            let _over = OverOnDrop(&witness);
            let thread = std::thread::Builder::new().stack_size(STACK_LEN);
            thread.spawn_scoped(scope, || witness.work(&self.field))?;
            self.own_for_a_while(number, stretch, (ground, lane), &witness)
        })
    }

    fn own_for_a_while(
        &self,
        number: usize,
        stretch: u64,
        (ground, lane): (&Ground<'_>, &Lane),
        witness: &Witness,
    ) -> Result<(), Stopped> {
        let own = (stretch << 8 | number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = Pcg64Mcg::seed_from_u64(self.seed ^ own);
        let mix = Mix::of(&self.mix, &mut rng);
        let mut owner = Owner::new(self, number, Some((ground, lane)), stretch, rng.next_u64())?;
        let lengths = REGIONS.map(|(_, pages)| pages);
        owner.witness = Some(witness);
        let mut draws = Draws::default();
        let mut steps = 0u64;
        while !ground.stop.is_set() {
            let step = draws.next_step(mix, &lengths, &mut rng);
            if rng.next_u32().is_multiple_of(WATCHED_EVERY) {
                owner.carry_out_watched(step)?;
            } else {
                owner.carry_out(step)?;
            }
            if rng.next_u32().is_multiple_of(TRIPLES_EVERY) {
                owner.next_triples()?;
            }
            steps += 1;
            if steps.is_multiple_of(SURVEY_EVERY) {
                owner.survey()?;
            }
            lane.beat();
        }
        owner.survey()
    }
}

/// The first page number of an owner's region.
fn first_page(owner: usize, region: usize) -> u32 {
    let before: usize = REGIONS[..region].iter().map(|(_, pages)| pages).sum();
    FIRST_PAGE + owner as u32 * OWNER_PAGES + before as u32
}

#[cfg(test)]
mod tests;
