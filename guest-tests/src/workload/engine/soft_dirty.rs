//! Soft-dirty bits of an owner's pages: what was written since they were cleared must say so.
//!
//! Not here: clearing them, which concerns the whole process ([`crate::sys::soft_dirty`]).

use super::owner::{BATCH, Done, Owner};
use crate::model::Op;
use crate::sys::SysError;
use crate::sys::pagemap::Entry;
use crate::sys::soft_dirty::{self, Since};
use std::ops::Range;

impl Owner<'_> {
    /// Whether the kernel has the bits: a new mapping is soft-dirty as a whole, and without them nothing ever is.
    pub(super) fn finds_soft_dirty(&mut self) -> Result<bool, SysError> {
        let field = &self.engine.field;
        let mut one = [Entry::default()];
        field.touch(self.regions[0].plot(), 0, 0);
        self.regions[0].apply(0..1, Op::Touch);
        self.regions[0].entries(field, &self.pagemap, 0..1, &mut one)?;
        Ok(one[0].soft_dirty())
    }

    /// Clears the bits, and writes pages, which must say so then.
    pub(super) fn soft_dirty(&mut self, at: usize, range: Range<usize>) -> Done {
        self.let_write(at, range.clone())?;
        if !self.has_soft_dirty {
            return self.store(at, range);
        }
        let before = self.whereabouts(at, &range)?;
        soft_dirty::clear()?;
        let after = self.whereabouts(at, &range)?;
        // A page that is being migrated while the bits are cleared stays writable, and its next store is not noticed: see
        // ARCHITECTURE.md, findings on unmodified kernels.
        let stayed = |page: &usize| before[page - range.start].is_where(after[page - range.start]);
        let pages: Vec<usize> = range.clone().filter(stayed).collect();
        let since = Since::now();
        self.store(at, range)?;
        self.check_soft_dirty(at, &pages, since)
    }

    fn whereabouts(&self, at: usize, range: &Range<usize>) -> Result<[Entry; BATCH], SysError> {
        let mut entries = [Entry::default(); BATCH];
        self.regions[at].entries(&self.engine.field, &self.pagemap, range.clone(), &mut entries)?;
        Ok(entries)
    }

    /// Checks that pages that were written since say so, wherever they are by now.
    pub(super) fn check_soft_dirty(&mut self, at: usize, pages: &[usize], since: Since) -> Done {
        let (Some(&first), Some(&last)) = (pages.first(), pages.last()) else {
            return Ok(());
        };
        let entries = self.whereabouts(at, &(first..last + 1))?;
        let entries: Vec<Entry> = pages.iter().map(|page| entries[page - first]).collect();
        let say = entries.iter().filter(|e| e.soft_dirty()).count();
        if !self.has_soft_dirty || !since.is_undisturbed() || say == pages.len() {
            return Ok(());
        }
        let what = "pages written since the soft-dirty bits were cleared and pages that say so".to_owned();
        let mut context = self.context(at, first, None);
        let shown: Vec<String> = pages
            .iter()
            .zip(&entries)
            .map(|(page, e)| format!("{page}: {e}"))
            .collect();
        context.insert("pagemap".to_owned(), shown.join("; "));
        self.disagree(what, pages.len(), say, context)
    }
}
