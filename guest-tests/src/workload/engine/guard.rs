//! Pages that userfaultfd write-protects, and what an owner holds the kernel to of them: they say so until somebody writes,
//! drops, frees or moves them, wherever they are by then.

use super::owner::{Owner, Stopped};
use super::region::Kind;
use super::userfaults::FOR_WRITES;
use super::witness::Look;
use crate::model::{Content, Holds, Op, PageState};
use crate::sys::field::{Access, Ask, PLOT_PAGES};
use crate::sys::pagemap::Entry;
use crate::sys::uffd::{Features, Uffd};
use rand_core::Rng;
use std::ops::Range;

/// Pages of a region that are write-protected.
#[derive(Debug)]
pub(super) struct Guard {
    at: usize,
    pages: Vec<usize>,
}

impl Owner<'_> {
    /// Whether a region can be write-protected.
    fn can_guard(&self, uffd: &Uffd, at: usize) -> bool {
        match self.regions[at].kind {
            Kind::Small | Kind::Large => true,
            Kind::Shared => uffd.offers(Features::WP_SHMEM),
            Kind::Disk | Kind::PrivateFile => false,
        }
    }

    /// Write-protects pages that were just written; tells whether that was to be had.
    ///
    /// # Errors
    /// Pages that don't say so.
    pub(super) fn guard(&mut self, at: usize, range: Range<usize>) -> Result<bool, Stopped> {
        let Some(uffd) = self.engine.uffd.as_ref().filter(|uffd| self.can_guard(uffd, at)) else {
            return Ok(false);
        };
        if uffd.register(self.whole(at), FOR_WRITES).is_err() {
            return Ok(false);
        }
        let (plot, first) = (self.regions[at].plot(), range.start);
        let span = self.span(at, plot, range.clone());
        let (protected, sight) = self.watched((plot, first), Look::Touch, |_| uffd.protect(span, true));
        let pages = if protected.is_ok() {
            range.collect()
        } else {
            Vec::new()
        };
        self.guard = Some(Guard { at, pages });
        self.check_guard()?;
        if protected.is_ok() && sight.is_some_and(|sight| !sight.faulted) {
            let what = "stores to a page that userfaultfd write-protects, on another CPU: those that went well, and those that may";
            self.broken(at, first, what, 1, 0)?;
        }
        Ok(protected.is_ok())
    }

    /// Checks that every page that is write-protected still says so, wherever it is.
    fn check_guard(&mut self) -> Result<(), Stopped> {
        let Some(Guard { at, pages }) = &self.guard else {
            return Ok(());
        };
        let at = *at;
        let mut bare = Vec::new();
        for &page in pages {
            let mut one = [Entry::default()];
            let region = &self.regions[at];
            region.entries(&self.engine.field, &self.pagemap, page..page + 1, &mut one)?;
            if !one[0].uffd_wp() {
                bare.push((page, one[0]));
            }
        }
        let Some(&(first, _)) = bare.first() else {
            return Ok(());
        };
        let all = pages.len();
        let mut context = self.context(at, first, None);
        let shown: Vec<String> = bare.iter().map(|(page, e)| format!("{page}: {e}")).collect();
        context.insert("pages without it".to_owned(), shown.join("; "));
        let what = "pages that userfaultfd write-protects and pages that say so".to_owned();
        self.disagree(what, all, all - bare.len(), context)
    }

    /// Lifts the write protection, if there is any, after a last look at it.
    ///
    /// # Errors
    /// Pages that lost it.
    pub(super) fn unguard(&mut self) -> Result<(), Stopped> {
        self.check_guard()?;
        let (Some(guard), Some(uffd)) = (&self.guard, &self.engine.uffd) else {
            return Ok(());
        };
        let pages = guard.pages.first().zip(guard.pages.last());
        if let Some((first, last)) = pages.filter(|_| self.rng.next_u32().is_multiple_of(2)) {
            let plot = self.regions[guard.at].plot();
            // Where it is refused, unregistering does it.
            let _ = uffd.protect(self.span(guard.at, plot, *first..*last + 1), false);
        }
        uffd.unregister(self.whole(guard.at))?;
        // Only now: where it failed, the pages are still protected.
        self.guard = None;
        Ok(())
    }

    /// Expects nothing any more of pages of a region: what was done to them ends the protection.
    pub(super) fn ungated(&mut self, at: usize, range: &Range<usize>) {
        if let Some(guard) = self.guard.as_mut().filter(|guard| guard.at == at) {
            guard.pages.retain(|page| !range.contains(page));
        }
    }

    /// Forgets a protection that went with the mapping.
    pub(super) fn forget_guard(&mut self, at: usize) {
        self.guard.take_if(|guard| guard.at == at);
    }

    /// Protects pages, has them leave memory or lie in a huge page, reads them back, and looks whether the protection held.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub(super) fn write_protect(&mut self, at: usize, range: Range<usize>) -> Result<(), Stopped> {
        self.store(at, range.clone())?;
        let region = &self.regions[at];
        let can_be_huge = region.kind == Kind::Large && region.pages() == PLOT_PAGES;
        if can_be_huge && !self.rng.next_u32().is_multiple_of(4) {
            return self.write_protect_whole(at, range);
        }
        if !self.guard(at, range.clone())? {
            return self.unguard();
        }
        let outcome = if self.regions[at].kind == Kind::Shared && self.rng.next_u32().is_multiple_of(2) {
            // A table of theirs may not go: the protection of what is not mapped is in it.
            self.collapsed(at).map(drop)
        } else {
            let plot = self.regions[at].plot();
            let asked = self.engine.field.ask(plot, range.clone(), Ask::PageOut);
            asked.map_err(Stopped::from)
        };
        self.check_guard()?;
        self.verify(at, range)?;
        self.unguard()?;
        outcome
    }

    /// Makes a region huge and protects it as a whole, then has a part of it mapped by pages again, and looks whether all
    /// of them are protected still.
    fn write_protect_whole(&mut self, at: usize, few: Range<usize>) -> Result<(), Stopped> {
        // What is not there can't be protected, and what may go can't be asked for it.
        let stays = |state: &PageState| matches!(state.content, Content::Is(Holds::Stamp(_) | Holds::Zero));
        if !self.collapsed(at)? {
            return Ok(());
        }
        for page in 0..PLOT_PAGES {
            if !stays(self.regions[at].state(page)) {
                self.store(at, page..page + 1)?;
            }
        }
        if self.guard(at, 0..PLOT_PAGES)? {
            let (plot, field) = (self.regions[at].plot(), &self.engine.field);
            match self.rng.next_u32() % 3 {
                0 => {
                    field.protect(plot, few.clone(), Access::Read)?;
                    field.protect(plot, few.clone(), Access::ReadWrite)?;
                }
                1 => {
                    field.ask(plot, few.clone(), Ask::DontNeed)?;
                    self.ungated(at, &few);
                    self.regions[at].apply(few.clone(), Op::DontNeed);
                }
                _ => {
                    // Where it is refused, it stays huge.
                    let _ = field.ask(plot, few.clone(), Ask::PageOut);
                }
            }
            self.check_guard()?;
            self.verify(at, few)?;
        }
        self.unguard()
    }

    /// Whether pages of a region are protected.
    pub(super) fn is_guarded(&self, at: usize) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.at == at)
    }
}
