//! Memory that faces reclaim: an anonymous mapping, private as a rule, seen page by page.
//!
//! Every access is a relaxed atomic load or store of a 64-bit word, so that a reader that races
//! the page's writer reads old or new words and never runs into undefined behaviour. Readers copy
//! a page into a buffer of their own before they compare it.

use super::{Result, SysError};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

mod space;
pub use space::{HUGE_PAGES, Sharing};

/// Bytes of a page.
pub const PAGE_LEN: usize = 4096;
/// 64-bit words of a page.
pub const PAGE_WORDS: usize = PAGE_LEN / 8;

/// A copy of one page.
pub type PageWords = [u64; PAGE_WORDS];

/// What the kernel is advised to do with a range of pages (content is kept unless said otherwise).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Reclaim it now.
    PageOut,
    /// Deactivate it; also drains the calling CPU's batch of new pages.
    Cold,
    /// Read it back in.
    WillNeed,
    /// Drop it: reads zero afterwards.
    DontNeed,
    /// It may be dropped until it is written again.
    Free,
    /// Never use huge pages for it.
    NoHugePage,
    /// Children don't inherit it.
    DontFork,
    /// Children inherit it again.
    DoFork,
    /// KSM may merge it.
    Mergeable,
    /// KSM may not, and what it merged is copied apart.
    Unmergeable,
    /// Use huge pages for it.
    HugePage,
    /// Make huge pages of it now.
    Collapse,
    /// Read all of it in.
    PopulateRead,
}

/// Since Linux 6.1; the C library's headers may be older.
const MADV_COLLAPSE: libc::c_int = 25;

impl Advice {
    fn raw(self) -> libc::c_int {
        match self {
            Self::PageOut => libc::MADV_PAGEOUT,
            Self::Cold => libc::MADV_COLD,
            Self::WillNeed => libc::MADV_WILLNEED,
            Self::DontNeed => libc::MADV_DONTNEED,
            Self::Free => libc::MADV_FREE,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::DontFork => libc::MADV_DONTFORK,
            Self::DoFork => libc::MADV_DOFORK,
            Self::Mergeable => libc::MADV_MERGEABLE,
            Self::Unmergeable => libc::MADV_UNMERGEABLE,
            Self::HugePage => libc::MADV_HUGEPAGE,
            Self::Collapse => MADV_COLLAPSE,
            Self::PopulateRead => libc::MADV_POPULATE_READ,
        }
    }
}

/// An anonymous mapping, private unless made with [`Arena::shared`]. Dropping it unmaps it.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    pages: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and lives until the arena is dropped.
unsafe impl Send for Arena {}
// SAFETY: all accesses through a shared arena are atomic (see `word`), and advice is a system call.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps `pages` pages. None of them is populated; huge pages are never used for them.
    ///
    /// # Errors
    /// Those of `mmap`, and a size that no address space has.
    pub fn map(pages: usize) -> Result<Self> {
        Self::map_with(pages, libc::MAP_PRIVATE)
    }

    /// Maps pages that a forked child shares with its parent.
    ///
    /// # Errors
    /// As those of [`Arena::map`].
    pub fn shared(pages: usize) -> Result<Self> {
        Self::map_with(pages, libc::MAP_SHARED)
    }

    fn map_with(pages: usize, sharing: libc::c_int) -> Result<Self> {
        let doing = || format!("mapping an arena of {pages} pages");
        let too_large = || SysError::content(doing(), "the size must be from 1 page to 1 TiB");
        let len = pages
            .checked_mul(PAGE_LEN)
            .filter(|len| (1..=1 << 40).contains(len))
            .ok_or_else(too_large)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = sharing | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(SysError::last(doing()));
        }
        let base = NonNull::new(at.cast::<u8>()).ok_or_else(too_large)?;
        let arena = Self { base, pages };
        match arena.advise(0..pages, Advice::NoHugePage) {
            // A kernel without huge pages does not know the advice.
            Err(e) if e.errno() == Some(libc::EINVAL) => Ok(arena),
            other => other.map(|()| arena),
        }
    }

    /// Pages of the arena.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Address of a page.
    #[must_use]
    pub fn address(&self, page: usize) -> u64 {
        self.base.as_ptr() as u64 + (page * PAGE_LEN) as u64
    }

    /// The words of one page.
    fn words(&self, page: usize) -> &[AtomicU64; PAGE_WORDS] {
        assert!(page < self.pages, "page {page} of an arena of {}", self.pages);
        // SAFETY: the page lies within the mapping (asserted), which lives as long as `self`; it is
        // page-aligned, and nothing ever makes a non-atomic reference to it.
        unsafe {
            &*self
                .base
                .as_ptr()
                .add(page * PAGE_LEN)
                .cast::<[AtomicU64; PAGE_WORDS]>()
        }
    }

    /// Copies a page out, faulting it in.
    pub fn read(&self, page: usize, into: &mut PageWords) {
        for (to, from) in into.iter_mut().zip(self.words(page)) {
            *to = from.load(Ordering::Relaxed);
        }
    }

    /// Reads one word of a page.
    #[must_use]
    pub fn peek(&self, page: usize, word: usize) -> u64 {
        self.words(page)[word].load(Ordering::Relaxed)
    }

    /// Writes a whole page, from its first word to its last.
    pub fn write(&self, page: usize, content: &PageWords) {
        for (to, from) in self.words(page).iter().zip(content) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// Writes one word of a page.
    pub fn poke(&self, page: usize, word: usize, value: u64) {
        self.words(page)[word].store(value, Ordering::Relaxed);
    }

    /// Tells which pages of a range are in memory: mapped, or kept in the swap cache.
    ///
    /// # Errors
    /// Those of `mincore`.
    ///
    /// # Panics
    /// When the range is not within the arena, or longer than `into`.
    pub fn resident(&self, range: Range<usize>, into: &mut [u8]) -> Result<()> {
        assert!(range.start <= range.end && range.end <= self.pages && range.len() <= into.len());
        let len = range.len() * PAGE_LEN;
        // SAFETY: the range lies within our own mapping (asserted), and the kernel writes one byte a
        // page to `into`, which is long enough (asserted).
        let answer = unsafe {
            let at = self.base.as_ptr().add(range.start * PAGE_LEN);
            libc::mincore(at.cast(), len, into.as_mut_ptr())
        };
        if answer != 0 {
            return Err(SysError::last(format!("mincore on pages {range:?}")));
        }
        into.iter_mut().for_each(|byte| *byte &= 1);
        Ok(())
    }

    /// Advises the kernel on a range of pages.
    ///
    /// # Errors
    /// Those of `madvise`.
    ///
    /// # Panics
    /// When the range is not within the arena: that is an error of the workload.
    pub fn advise(&self, range: Range<usize>, advice: Advice) -> Result<()> {
        assert!(
            range.start <= range.end && range.end <= self.pages,
            "{range:?} of {}",
            self.pages
        );
        if self.hint(range.clone(), advice) {
            Ok(())
        } else {
            Err(SysError::last(format!(
                "madvise({advice:?}) on pages {}..{}",
                range.start, range.end
            )))
        }
    }

    /// Advises the kernel on a range of pages (as much of it as there is) and tells whether it did as it
    /// was told. Makes one system call and nothing else.
    #[must_use = "advice may be refused"]
    pub fn hint(&self, range: Range<usize>, advice: Advice) -> bool {
        let end = range.end.min(self.pages);
        let start = range.start.min(end);
        // SAFETY: the range lies within our own mapping, which is only read and written through atomics,
        // so that content that changes under a reader is not undefined behaviour.
        unsafe {
            let at = self.base.as_ptr().add(start * PAGE_LEN).cast();
            libc::madvise(at, (end - start) * PAGE_LEN, advice.raw()) == 0
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference to it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.pages * PAGE_LEN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_it_was_written() {
        let arena = Arena::map(3).unwrap();
        let content: PageWords = std::array::from_fn(|i| i as u64 + 1);
        arena.write(1, &content);
        let mut read = [0; PAGE_WORDS];
        arena.read(1, &mut read);
        assert_eq!(read, content);
        arena.read(2, &mut read);
        assert_eq!(read, [0; PAGE_WORDS]);
        arena.advise(1..2, Advice::DontNeed).unwrap();
        let mut resident = [9; 3];
        arena.resident(0..3, &mut resident).unwrap();
        assert_eq!(resident[1], 0);
        assert_eq!(arena.peek(1, 511), 0);
        arena.resident(1..2, &mut resident[..1]).unwrap();
        assert_eq!(resident[0], 1);
        assert_eq!(arena.address(2) - arena.address(0), 8192);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(Arena::map(0).is_err());
        assert!(Arena::map(usize::MAX / 4).is_err());
    }
}
