//! One mapping of a region as its owner knows it: what each page may hold, by the model.

use super::region::{Kind, Region};
use crate::model::{Backing, Content, Holds, Name, Op, PageState};
use crate::sys::arena::HUGE_PAGES;
use std::ops::Range;

/// A mapping of a region.
#[derive(Debug)]
pub struct View {
    /// Which of the region's places; `None` for the main one, wherever that is now.
    slot: Option<usize>,
    /// Number of its first page, as stamps carry it.
    first: u32,
    /// Per page: what it may hold.
    pub states: Vec<PageState>,
    /// Per page: the newest generation given out.
    generations: Vec<u32>,
    /// Per page: the region's collapses when it was verified last.
    looked: Vec<u64>,
}

/// A region in the hands of its owner.
#[derive(Debug)]
pub struct Holding<'a> {
    /// The region.
    pub region: &'a Region,
    /// Its mappings whose content is checked. That of shared memory comes before the private one.
    pub views: Vec<View>,
    /// A part was zapped or split since the last collapse by the owner: the next one is a real one.
    pub broken: bool,
}

impl<'a> Holding<'a> {
    /// Takes over a region that nobody has written to, save for [`View::FIRST`] in files.
    #[must_use]
    pub fn fresh(region: &'a Region) -> Self {
        let view = |slot: Option<usize>, backing, file| {
            let first = region.slot(slot.unwrap_or(0)).start as u32;
            let pages = first..first + HUGE_PAGES as u32;
            View {
                slot,
                first,
                states: pages.map(|page| PageState::fresh(page, backing, file)).collect(),
                generations: vec![0; HUGE_PAGES],
                looked: vec![0; HUGE_PAGES],
            }
        };
        let views = match region.kind {
            Kind::Anonymous => vec![view(None, Backing::PrivateAnon, Holds::Zero)],
            Kind::Shared(_) | Kind::File(_) => vec![
                view(Some(0), Backing::Shared, Holds::Zero),
                view(Some(2), Backing::PrivateFile, Holds::Zero),
            ],
        };
        let mut holding = Self {
            region,
            views,
            broken: true,
        };
        if let Kind::File(_) = region.kind {
            // Written in full when it was made.
            for page in 0..HUGE_PAGES {
                let name = holding.views[0].next(page);
                holding.stored(0, page, name);
            }
        }
        holding
    }

    /// Where a view's pages are now.
    #[must_use]
    pub fn place(&self, view: usize) -> Range<usize> {
        match self.views[view].slot {
            Some(slot) => self.region.slot(slot),
            None => self.region.main(),
        }
    }

    /// Applies an operation to some pages of a view.
    pub fn apply(&mut self, view: usize, pages: Range<usize>, op: Op) {
        for state in &mut self.views[view].states[pages] {
            *state = state.apply(op);
        }
    }

    /// Applies an operation on the file to all views of it.
    pub fn apply_to_file(&mut self, pages: Range<usize>, op: Op) {
        (0..self.views.len()).for_each(|view| self.apply(view, pages.clone(), op));
    }

    /// Applies a store of a stamp to a page of a view: whoever shows the file sees it.
    pub fn stored(&mut self, view: usize, page: usize, name: Name) {
        self.apply(view, page..page + 1, Op::Store(name));
        if self.views[view].states[page].backing == Backing::Shared {
            (0..self.views.len())
                .filter(|other| *other != view)
                .for_each(|other| self.apply(other, page..page + 1, Op::FileStore(name)));
        }
    }
}

impl View {
    /// Generation of a file's first stamps.
    pub const FIRST: u32 = 1;

    /// The next generation of a page.
    pub fn next(&mut self, page: usize) -> Name {
        self.generations[page] += 1;
        self.name(page)
    }

    /// The newest generation of a page.
    #[must_use]
    pub fn name(&self, page: usize) -> Name {
        Name {
            page: self.first + page as u32,
            generation: self.generations[page],
        }
    }

    /// Whether a page lies past the end of its file.
    #[must_use]
    pub fn is_beyond(&self, page: usize) -> bool {
        self.states[page].content == Content::Is(Holds::Beyond)
    }

    /// Whether a load from a page may be a signal.
    #[must_use]
    pub fn may_fault(&self, page: usize) -> bool {
        self.is_beyond(page) || self.states[page].armed.missing
    }

    /// Notes that a page was verified when the region had been collapsed so often; tells whether it had
    /// been collapsed since the last time.
    pub fn look(&mut self, page: usize, collapses: u64) -> bool {
        let before = std::mem::replace(&mut self.looked[page], collapses);
        before < collapses
    }

    /// What this mapping is, for people.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self.states[0].backing {
            Backing::PrivateAnon => "anonymous memory",
            Backing::Shared => "a file's mapping",
            Backing::PrivateFile => "a file's private mapping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memfile::MemFile;

    #[test]
    fn a_store_to_shared_memory_shows_in_the_private_mapping_until_it_has_its_own_page() {
        let region = Region::new(Kind::Shared(MemFile::new("view", 1).unwrap()), 0);
        let mut holding = Holding::fresh(&region);
        let own = holding.views[1].next(3);
        holding.stored(1, 3, own);
        for page in [3, 4] {
            let name = holding.views[0].next(page);
            holding.stored(0, page, name);
        }
        let content = |view: usize, page: usize| holding.views[view].states[page].content.clone();
        assert_eq!(content(1, 3), Content::Is(Holds::Stamp(own)));
        assert_eq!(content(1, 4), Content::Is(Holds::File));
        let shown = holding.views[0].name(4);
        assert_eq!(holding.views[1].states[4].file, Holds::Stamp(shown));
        assert_ne!(own.page, shown.page);
    }

    #[test]
    fn a_page_counts_as_collapsed_once() {
        let region = Region::new(Kind::Anonymous, 512);
        let mut holding = Holding::fresh(&region);
        region.collapsed();
        let view = &mut holding.views[0];
        assert!(view.look(7, region.collapses()));
        assert!(!view.look(7, region.collapses()));
        assert_eq!(view.next(7).page, 519);
    }
}
