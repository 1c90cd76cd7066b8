//! A region: memory the size of one huge page, with the places where it is mapped.

use crate::sys::arena::{HUGE_PAGES, PAGE_LEN, PageWords};
use crate::sys::diskfile::{DiskFile, Reading};
use crate::sys::memfile::MemFile;
use crate::sys::{Result, forked};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What kind of memory a region is.
#[derive(Debug)]
pub enum Kind {
    /// Private anonymous memory, in one of two places; the other is kept mapped and empty.
    Anonymous,
    /// A memfd: mapped shared for its owner, shared again for antagonists, and private.
    Shared(MemFile),
    /// A file on a disk: mapped read-only for its owner and for antagonists, and private. It is stored to
    /// by writing.
    File(DiskFile),
}

/// A region. Its owner alone changes content; the rest is for everyone.
#[derive(Debug)]
pub struct Region {
    /// What it is.
    pub kind: Kind,
    /// First page of its first place in the space; names its pages in the model.
    pub home: usize,
    /// Huge pages of address space from `home` on that are its own.
    pub slots: usize,
    /// First page of where anonymous memory is mapped now.
    at: AtomicUsize,
    /// Collapses that are known to have succeeded.
    collapses: AtomicU64,
}

impl Region {
    /// Huge pages of address space that a region of anonymous memory takes.
    pub const ANONYMOUS_SLOTS: usize = 2;
    /// The same for whatever has a file.
    pub const FILE_SLOTS: usize = 3;

    /// Makes a region at a place.
    #[must_use]
    pub fn new(kind: Kind, home: usize) -> Self {
        let slots = match kind {
            Kind::Anonymous => Self::ANONYMOUS_SLOTS,
            Kind::Shared(_) | Kind::File(_) => Self::FILE_SLOTS,
        };
        Self {
            kind,
            home,
            slots,
            at: AtomicUsize::new(home),
            collapses: AtomicU64::new(0),
        }
    }

    /// One of its places.
    #[must_use]
    pub fn slot(&self, slot: usize) -> Range<usize> {
        let start = self.home + slot * HUGE_PAGES;
        start..start + HUGE_PAGES
    }

    /// Where the owner's main mapping is.
    #[must_use]
    pub fn main(&self) -> Range<usize> {
        let at = self.at.load(Ordering::Relaxed);
        at..at + HUGE_PAGES
    }

    /// Where it could be moved to.
    #[must_use]
    pub fn elsewhere(&self) -> usize {
        let at = self.at.load(Ordering::Relaxed);
        if at == self.home {
            self.home + HUGE_PAGES
        } else {
            self.home
        }
    }

    /// Notes that it was moved.
    pub fn moved_to(&self, at: usize) {
        self.at.store(at, Ordering::Relaxed);
    }

    /// Places whose content nobody changes by zapping: the shared mappings.
    #[must_use]
    pub fn zappable(&self) -> &'static [usize] {
        match self.kind {
            Kind::Anonymous => &[],
            Kind::Shared(_) | Kind::File(_) => &[0, 1],
        }
    }

    /// Punches a hole into the file, where there is one.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn punch(&self, pages: Range<usize>) -> Result<()> {
        match &self.kind {
            Kind::Anonymous => Ok(()),
            Kind::Shared(file) => file.punch(pages),
            Kind::File(file) => file.punch(pages),
        }
    }

    /// Truncates or extends the file, where there is one.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn resize(&self, pages: usize) -> Result<()> {
        match &self.kind {
            Kind::Anonymous => Ok(()),
            Kind::Shared(file) => file.resize(pages),
            Kind::File(file) => file.resize(pages),
        }
    }

    /// Reads a page of the file in each way that there is beside mapping it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn read_file(&self, page: usize) -> Result<Vec<(&'static str, Box<PageWords>)>> {
        Ok(match &self.kind {
            Kind::Anonymous => Vec::new(),
            Kind::Shared(file) => {
                let mut bytes = [0; PAGE_LEN];
                file.read(page, &mut bytes)?;
                vec![("by read", forked::words(&bytes))]
            }
            Kind::File(file) => vec![
                ("by read", file.read(page, Reading::Buffered)?),
                ("by a direct read", file.read(page, Reading::Direct)?),
            ],
        })
    }

    /// Notes a collapse that succeeded.
    pub fn collapsed(&self) {
        self.collapses.fetch_add(1, Ordering::Relaxed);
    }

    /// Collapses so far.
    #[must_use]
    pub fn collapses(&self) -> u64 {
        self.collapses.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_moves_between_its_two_places() {
        let region = Region::new(Kind::Anonymous, 1024);
        assert_eq!(region.main(), 1024..1536);
        region.moved_to(region.elsewhere());
        assert_eq!(region.main(), region.slot(1));
        assert_eq!(region.elsewhere(), 1024);
        assert!(region.zappable().is_empty());
    }
}
