//! Soft-dirty bits of an owner's pages: what was written since they were cleared must say so.
//!
//! Not here: clearing them, which concerns the whole process ([`crate::sys::soft_dirty`]).

use super::owner::{BATCH, Done, Owner};
use crate::model::Op;
use crate::sys::SysError;
use crate::sys::pagemap::Entry;
use crate::sys::soft_dirty::Since;
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

    pub(super) fn soft_dirty(&mut self, at: usize, range: Range<usize>) -> Done {
        self.let_write(at, range.clone())?;
        let since = Since::now();
        self.store(at, range.clone())?;
        self.check_soft_dirty(at, range, since)
    }

    /// Checks that pages that were written since say so, wherever they are by now.
    pub(super) fn check_soft_dirty(&mut self, at: usize, range: Range<usize>, since: Since) -> Done {
        let mut entries = [Entry::default(); BATCH];
        self.regions[at].entries(&self.engine.field, &self.pagemap, range.clone(), &mut entries)?;
        let say = entries[..range.len()].iter().filter(|e| e.soft_dirty()).count();
        if !self.has_soft_dirty || !since.is_undisturbed() || say == range.len() {
            return Ok(());
        }
        let what = "pages written since the soft-dirty bits were cleared and pages that say so".to_owned();
        let mut context = self.context(at, range.start, None);
        let shown: Vec<String> = entries[..range.len()].iter().map(ToString::to_string).collect();
        context.insert("pagemap".to_owned(), shown.join("; "));
        self.disagree(what, range.len(), say, context)
    }
}
