//! What an owner does through its userfaultfd: it registers regions, and moves pages by UFFDIO_MOVE. Write protection is in `guard`.
//!
//! A region is registered for the length of an operation or of a triple only, so that nothing else of the
//! engine has to know. Not here: what threads may do to each other's moves (that is the workload
//! [`uffd_move`](crate::workload::uffd_move)).

use super::owner::{Owner, Stopped};
use super::promise::emptied;
use super::region::Kind;
use super::witness::Look;
use crate::model::Op;
use crate::sys::arena::PAGE_LEN;
use crate::sys::field::{Access, Ask, Source};
use crate::sys::pagemap::Entry;
use crate::sys::process;
use crate::sys::uffd::{Features, Mode, Span, Uffd};
use crate::workload::CaseError;
use rand_core::Rng;
use std::ops::Range;

/// How often pages are asked to come back from where they were moved; one that is busy may be free soon.
const BACK_TRIES: usize = 50;
/// Pause between two of them, in milliseconds.
const BACK_PAUSE_MS: u32 = 2;

const FOR_MISSING: Mode = Mode {
    missing: true,
    wp: false,
};
pub(super) const FOR_WRITES: Mode = Mode {
    missing: false,
    wp: true,
};
const FOR_BOTH: Mode = Mode {
    missing: true,
    wp: true,
};

/// Opens what the engine needs; none where the kernel or the host has it not.
pub(super) fn open() -> Option<Uffd> {
    let needed = Features::SIGBUS.and(Features::WP).and(Features::MOVE);
    // What is asked for and not there is an error.
    Uffd::open(needed.and(Features::WP_SHMEM))
        .or_else(|_| Uffd::open(needed))
        .ok()
}

impl<'a> Owner<'a> {
    /// Registers a region for write protection, where that is to be had and nothing is protected yet.
    pub(super) fn armed(&self, at: usize) -> Option<&'a Uffd> {
        let uffd = self.engine.uffd.as_ref()?;
        let is_free = self.guard.is_none() && self.is_anonymous(at);
        (is_free && uffd.register(self.whole(at), FOR_WRITES).is_ok()).then_some(uffd)
    }

    /// Takes that back.
    pub(super) fn disarm(&self, at: usize) -> Result<(), Stopped> {
        match &self.engine.uffd {
            Some(uffd) => Ok(uffd.unregister(self.whole(at))?),
            None => Ok(()),
        }
    }
}

impl Owner<'_> {
    pub(super) fn span(&self, at: usize, plot: usize, pages: Range<usize>) -> Span {
        debug_assert!(pages.end <= self.regions[at].pages());
        Span::from((&self.engine.field, plot, pages))
    }

    pub(super) fn whole(&self, at: usize) -> Span {
        self.span(at, self.regions[at].plot(), 0..self.regions[at].pages())
    }

    pub(super) fn is_anonymous(&self, at: usize) -> bool {
        matches!(self.regions[at].kind, Kind::Small | Kind::Large)
    }

    /// Moves pages to the region's other plot and back with UFFDIO_MOVE, looking at both places in between.
    /// Tells how many were moved.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub(super) fn move_there_and_back(&mut self, at: usize, range: Range<usize>) -> Result<usize, Stopped> {
        let engine = self.engine;
        let Some(uffd) = engine.uffd.as_ref().filter(|_| self.is_anonymous(at)) else {
            return Ok(0);
        };
        let pages = self.regions[at].pages();
        // One mapping only, writable, is moved from.
        self.open(at, 0..pages, Access::ReadWrite)?;
        let (here, there) = (self.regions[at].plot(), self.regions[at].other_plot());
        engine.field.map(there, pages, Source::Anon)?;
        // A swap entry takes its write-protect bit along, wherever it goes: see ARCHITECTURE.md, findings on unmodified kernels.
        let mode = self.mode_of_a_move(at);
        if let Err(e) = uffd.register(self.span(at, there, 0..pages), mode) {
            engine.field.clear(there)?;
            return Err(e.into());
        }
        let spans = [here, there].map(|plot| self.span(at, plot, range.clone()));
        let leaves = self.rng.next_u32().is_multiple_of(2);
        let act = |_: &mut Self| {
            if leaves {
                // The witness, where there is one, brings it back while it is moved.
                let _ = engine.field.ask(here, range.start..range.start + 1, Ask::PageOut);
            }
            uffd.r#move(spans[0], spans[1], true)
        };
        // A page that is looked at is in memory; those that are not are to be moved as well.
        let (reply, sight) = if self.rng.next_u32().is_multiple_of(2) {
            self.watched((here, range.start), Look::Load, act)
        } else {
            (act(self), None)
        };
        let moved = usize::try_from(reply.bytes).unwrap_or(0) / PAGE_LEN;
        let moved = range.start..range.start + moved.min(range.len());
        self.ungated(at, &moved);
        if let Some(sight) = sight.filter(|_| !moved.is_empty()) {
            self.judge_emptied(at, range.start, &sight)?;
        }
        // A failure from here on would leave pages where the model does not know them: it is never a refusal.
        self.look_and_move_back(uffd, at, [here, there], moved.clone())
            .map_err(|stopped| match stopped {
                Stopped::Case(e) => Stopped::Case(CaseError::Broken(format!("after UFFDIO_MOVE: {e}"))),
                Stopped::Found => Stopped::Found,
            })?;
        Ok(moved.len())
    }

    /// How the place that pages are moved to is registered.
    fn mode_of_a_move(&self, at: usize) -> Mode {
        if self.is_guarded(at) {
            FOR_BOTH
        } else {
            FOR_MISSING
        }
    }

    /// Looks at both places of pages that were moved, and moves them back.
    fn look_and_move_back(
        &mut self,
        uffd: &Uffd,
        at: usize,
        [here, there]: [usize; 2],
        moved: Range<usize>,
    ) -> Result<(), Stopped> {
        self.emptied(at, here, &moved)?;
        if self.rng.next_u32().is_multiple_of(2) {
            self.engine.field.ask(there, moved.clone(), Ask::PageOut)?;
        }
        if self.rng.next_u32().is_multiple_of(2) {
            self.judge_at(at, there, moved.clone())?;
        }
        let left = self.move_back(uffd, at, moved)?;
        if !left.is_empty() {
            self.check_left(at, left.clone())?;
            self.judge_at(at, there, left.clone())?;
            self.regions[at].apply(left, Op::DontNeed);
        }
        Ok(self.engine.field.clear(there)?)
    }

    /// Checks that pages that UFFDIO_MOVE did not tell of are not where it was to move them.
    fn check_left(&mut self, at: usize, left: Range<usize>) -> Result<(), Stopped> {
        let mut untold = 0;
        for page in left.clone() {
            // Zeros may have come by themselves: a collapse fills what is empty.
            let plot = self.regions[at].plot();
            self.engine.field.read(plot, page, &mut self.data);
            untold += usize::from(self.data.iter().any(|word| *word != 0));
        }
        if untold == 0 {
            return Ok(());
        }
        let what = "pages that UFFDIO_MOVE moved, and pages that it told of".to_owned();
        let context = self.context(at, left.start, None);
        self.disagree(what, untold, 0, context)
    }

    /// Tells of pages that were moved while a child shared them, and was to the end.
    ///
    /// # Errors
    /// Always.
    pub(super) fn moved_though_shared(&mut self, at: usize, page: usize, n: usize) -> Result<(), Stopped> {
        let what = "pages that a child shares: moved by UFFDIO_MOVE, and to be moved".to_owned();
        let context = self.context(at, page, None);
        self.disagree(what, n, 0, context)
    }

    /// Where pages were moved away from there is nothing, and never what was there.
    fn emptied(&mut self, at: usize, plot: usize, moved: &Range<usize>) -> Result<(), Stopped> {
        for page in moved.clone() {
            let empty = emptied(&self.regions[at], page);
            self.engine.field.read(plot, page, &mut self.data);
            let verdict = empty.read(&self.engine.origin, &self.data).map(drop);
            self.judged(at, page, verdict, None)?;
        }
        // What the reading put there is in the way of a move.
        Ok(self.engine.field.ask(plot, moved.clone(), Ask::DontNeed)?)
    }

    /// Judges pages of a region where they lie in another plot than its own.
    fn judge_at(&mut self, at: usize, plot: usize, pages: Range<usize>) -> Result<(), Stopped> {
        // Where nothing came from, nothing is: a reading would be a fault while missing pages are armed.
        let mut one = [Entry::default()];
        for page in pages {
            self.pagemap
                .read_at(self.engine.field.address(plot, page), &mut one)?;
            if !one[0].present() && !one[0].swapped() {
                continue;
            }
            self.engine.field.read(plot, page, &mut self.data);
            let verdict = self.regions[at].judge(&self.engine.origin, page, &self.data);
            self.judged(at, page, verdict, Some(one[0]))?;
        }
        Ok(())
    }

    /// Moves pages back to the region; gives back those that would not.
    fn move_back(&mut self, uffd: &Uffd, at: usize, moved: Range<usize>) -> Result<Range<usize>, Stopped> {
        let (here, there) = (self.regions[at].plot(), self.regions[at].other_plot());
        let guarded = self.is_guarded(at);
        let mut left = moved;
        if left.is_empty() || uffd.register(self.whole(at), self.mode_of_a_move(at)).is_err() {
            return Ok(left);
        }
        for _ in 0..BACK_TRIES {
            let reply = uffd.r#move(
                self.span(at, there, left.clone()),
                self.span(at, here, left.clone()),
                true,
            );
            left.start += (usize::try_from(reply.bytes).unwrap_or(0) / PAGE_LEN).min(left.len());
            if left.is_empty() {
                break;
            }
            process::pause_ms(BACK_PAUSE_MS)?;
        }
        uffd.unregister(self.whole(at))?;
        if guarded {
            // Unregistering has lifted it.
            self.forget_guard(at);
        }
        Ok(left)
    }
}
