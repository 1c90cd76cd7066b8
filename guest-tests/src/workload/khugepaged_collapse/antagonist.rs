//! Antagonists: threads that disturb regions without changing their content. What each asks of the
//! kernel may be refused at any moment, since owners truncate, move and protect the same pages.

use super::draw::{RUN_PAGES_MAX, below};
use super::pressure::Pressure;
use super::region::Region;
use crate::catalogue::Counter;
use crate::sys::arena::{Advice, HUGE_PAGES};
use crate::sys::board::Lane;
use crate::sys::{SysError, thp};
use rand_core::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Zaps between two pauses.
const ZAPS: usize = 16;
/// Zaps of one round that are touched again at once, one in so many.
const TOUCH_ONE_IN: usize = 4;
/// Longest pauses, so that owners get their share of the CPUs; each is drawn evenly up to this.
const ZAP_PAUSE: Duration = Duration::from_micros(300);
const RETRACT_PAUSE: Duration = Duration::from_millis(2);
const COLLAPSE_PAUSE: Duration = Duration::from_millis(10);
const SPLIT_PAUSE: Duration = Duration::from_millis(30);
const RECLAIM_PAUSE: Duration = Duration::from_millis(20);

/// What an antagonist does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Zaps parts of shared mappings.
    Zap,
    /// Maps shared regions page by page and collapses them.
    Retract,
    /// Collapses anything.
    Collapse,
    /// Splits anything.
    Split,
    /// Pages anything out.
    Reclaim,
}

impl Deed {
    /// What its thread is called.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Zap => "zap",
            Self::Retract => "retract",
            Self::Collapse => "collapse",
            Self::Split => "split",
            Self::Reclaim => "reclaim",
        }
    }

    fn pause_max(self) -> Duration {
        match self {
            Self::Zap => ZAP_PAUSE,
            Self::Retract => RETRACT_PAUSE,
            Self::Collapse => COLLAPSE_PAUSE,
            Self::Split => SPLIT_PAUSE,
            Self::Reclaim => RECLAIM_PAUSE,
        }
    }
}

/// An antagonist.
pub struct Antagonist<'a, 'p> {
    /// The phase.
    pub pressure: &'a Pressure<'p>,
    /// Where it beats.
    pub lane: &'a Lane,
    /// What it draws from.
    pub rng: Pcg64Mcg,
}

impl<'a, 'p> Antagonist<'a, 'p> {
    /// Makes one.
    #[must_use]
    pub fn new(pressure: &'a Pressure<'p>, lane: &'a Lane, seed: u64) -> Self {
        Self {
            pressure,
            lane,
            rng: Pcg64Mcg::seed_from_u64(seed),
        }
    }

    /// Disturbs until the pressure is over.
    ///
    /// # Errors
    /// Those of the kernel that are no refusal.
    pub fn run(&mut self, deed: Deed) -> Result<(), SysError> {
        loop {
            let us = below(&mut self.rng, deed.pause_max().as_micros() as usize);
            if self.pressure.phase.stop.wait(Duration::from_micros(us as u64)) {
                return Ok(());
            }
            match deed {
                Deed::Zap => self.zap(),
                Deed::Retract => self.retract(),
                Deed::Collapse => self.collapse(),
                Deed::Split => self.split()?,
                Deed::Reclaim => self.reclaim(),
            }
            self.lane.beat();
        }
    }

    /// Draws a region, those with a file alone where asked for.
    fn region(&mut self, with_file: bool) -> &'p Region {
        let stage = self.pressure.stage;
        let regions = if with_file {
            stage.with_file()
        } else {
            &stage.regions
        };
        &regions[below(&mut self.rng, regions.len())]
    }

    /// Draws a part of a place.
    fn part(&mut self, place: &Range<usize>) -> Range<usize> {
        let start = place.start + below(&mut self.rng, HUGE_PAGES);
        start..place.end.min(start + 1 + below(&mut self.rng, RUN_PAGES_MAX))
    }

    /// Zaps parts of the place that is being retracted at this moment, or of another one.
    fn zap(&mut self) {
        let focus = self.pressure.focus.load(Ordering::Relaxed);
        let place = if focus != 0 && below(&mut self.rng, 4) != 0 {
            focus..focus + HUGE_PAGES
        } else {
            self.shared_place()
        };
        let space = &self.pressure.stage.space;
        for _ in 0..ZAPS {
            let part = self.part(&place);
            if space.hint(part.clone(), Advice::DontNeed) {
                let pages = part.len() as u64;
                self.pressure.phase.count(Counter::Zaps, pages);
            }
            if below(&mut self.rng, TOUCH_ONE_IN) == 0 {
                let _past_the_end = space.hint(part, Advice::PopulateRead);
            }
        }
    }

    fn shared_place(&mut self) -> Range<usize> {
        let region = self.region(true);
        let slots = region.zappable();
        region.slot(slots[below(&mut self.rng, slots.len())])
    }

    /// Maps a shared place page by page, then collapses it: its page table is taken away.
    fn retract(&mut self) {
        let region = self.region(true);
        let slots = region.zappable();
        let place = region.slot(slots[below(&mut self.rng, slots.len())]);
        let space = &self.pressure.stage.space;
        self.pressure.focus.store(place.start, Ordering::Relaxed);
        let small = space.hint(place.clone(), Advice::NoHugePage)
            && space.hint(place.clone(), Advice::DontNeed)
            && space.hint(place.clone(), Advice::PopulateRead);
        let huge = space.hint(place.clone(), Advice::HugePage);
        let done = huge && space.hint(place, Advice::Collapse);
        self.pressure.focus.store(0, Ordering::Relaxed);
        if small && done {
            region.collapsed();
            self.pressure.phase.count(Counter::Retractions, 1);
        }
    }

    /// Any place of any region: also the private mapping, and where anonymous memory is not now.
    fn place(&mut self) -> Range<usize> {
        let region = self.region(false);
        region.slot(below(&mut self.rng, region.slots))
    }

    fn collapse(&mut self) {
        let place = self.place();
        let _refused = self.pressure.stage.space.hint(place, Advice::Collapse);
    }

    fn split(&mut self) -> Result<(), SysError> {
        let place = self.place();
        let part = self.part(&place);
        let space = &self.pressure.stage.space;
        thp::split(space.address(part.start)..space.address(part.end))
    }

    fn reclaim(&mut self) {
        let place = self.place();
        let part = self.part(&place);
        let advice = if below(&mut self.rng, 2) == 0 {
            Advice::PageOut
        } else {
            Advice::Cold
        };
        let _refused = self.pressure.stage.space.hint(part, advice);
    }
}
