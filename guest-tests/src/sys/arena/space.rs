//! An arena that is a reserved range of addresses, in which mappings of any kind are placed at pages
//! of the workload's choice. It starts at a multiple of a huge page. A page's number within it names
//! one place of one mapping, whatever is mapped there.

use super::{Arena, PAGE_LEN};
use crate::sys::{Result, SysError};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// Pages of a huge page (what one entry of the page table's second level maps).
pub const HUGE_PAGES: usize = 512;

/// Whether stores go to the file or to copies of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// To the file.
    Shared,
    /// To copies of one's own.
    Private,
    /// Nowhere: the mapping is private and read-only.
    ReadOnly,
}

impl Arena {
    /// Reserves addresses for so many huge pages. Nothing can be read there until something is mapped.
    ///
    /// # Errors
    /// Those of `mmap`, and a size that no address space has.
    pub fn reserve(huge_pages: usize) -> Result<Self> {
        let doing = || format!("reserving addresses for {huge_pages} huge pages");
        let too_large = || SysError::content(doing(), "the size must be from 1 huge page to 1 TiB");
        if !(1..=1 << 19).contains(&huge_pages) {
            return Err(too_large());
        }
        let pages = huge_pages * HUGE_PAGES;
        let (len, align) = (pages * PAGE_LEN, HUGE_PAGES * PAGE_LEN);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len + align, libc::PROT_NONE, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(SysError::last(doing()));
        }
        let head = (at as usize).next_multiple_of(align) - at as usize;
        // SAFETY: both ends lie within the mapping that was just made, and nothing refers to them; what
        // is left begins at a multiple of a huge page.
        let base = unsafe {
            let base = at.cast::<u8>().add(head);
            if head > 0 {
                libc::munmap(at, head);
            }
            libc::munmap(base.add(len).cast(), align - head);
            base
        };
        NonNull::new(base)
            .map(|base| Self { base, pages })
            .ok_or_else(too_large)
    }

    /// Where a range of pages begins, and its length in bytes.
    fn place(&self, range: &Range<usize>) -> (*mut libc::c_void, usize) {
        assert!(
            range.start < range.end && range.end <= self.pages,
            "{range:?} of {}",
            self.pages
        );
        // SAFETY: the offset lies within the reservation (asserted).
        let at = unsafe { self.base.as_ptr().add(range.start * PAGE_LEN) };
        (at.cast(), range.len() * PAGE_LEN)
    }

    /// Puts fresh anonymous memory at a range of pages; what was mapped there is gone.
    ///
    /// # Errors
    /// Those of `mmap`.
    ///
    /// # Panics
    /// When the range is not within the arena.
    pub fn map_anonymous(&self, range: Range<usize>) -> Result<()> {
        let (at, len) = self.place(&range);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: the range is ours (asserted); it is only accessed through atomics, so that content
        // that is replaced under a reader is not undefined behaviour.
        let got = unsafe { libc::mmap(at, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        done(got, || format!("mapping anonymous memory at pages {range:?}"))
    }

    /// Maps a file from its page `first` on at a range of pages; what was mapped there is gone.
    ///
    /// # Errors
    /// Those of `mmap`.
    ///
    /// # Panics
    /// When the range is not within the arena.
    pub fn map_file(
        &self,
        range: Range<usize>,
        fd: BorrowedFd<'_>,
        first: usize,
        sharing: Sharing,
    ) -> Result<()> {
        let (at, len) = self.place(&range);
        let (protection, kind) = match sharing {
            Sharing::Shared => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Sharing::Private => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE),
            Sharing::ReadOnly => (libc::PROT_READ, libc::MAP_PRIVATE),
        };
        let flags = kind | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let offset = libc::off_t::try_from(first * PAGE_LEN).unwrap_or(libc::off_t::MAX);
        // SAFETY: as in `map_anonymous`.
        let got = unsafe { libc::mmap(at, len, protection, flags, fd.as_raw_fd(), offset) };
        done(got, || format!("mapping a file at pages {range:?}"))
    }

    /// Moves what is mapped at a range of pages to another range of the same length, where what was
    /// mapped is gone. The old range stays mapped, with nothing in it.
    ///
    /// # Errors
    /// Those of `mremap`.
    ///
    /// # Panics
    /// When a range is not within the arena.
    pub fn remap(&self, range: Range<usize>, to: usize) -> Result<()> {
        let (from, len) = self.place(&range);
        let (target, _) = self.place(&(to..to + range.len()));
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        // SAFETY: both ranges are ours (asserted); see `map_anonymous`.
        let got = unsafe { libc::mremap(from, len, len, flags, target) };
        done(got, || format!("moving pages {range:?} to {to}"))
    }

    /// Makes a range of pages writable, or read-only.
    ///
    /// # Errors
    /// Those of `mprotect`.
    ///
    /// # Panics
    /// When the range is not within the arena.
    pub fn protect(&self, range: Range<usize>, writable: bool) -> Result<()> {
        let (at, len) = self.place(&range);
        let write = if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: the range is ours (asserted); an access that is not allowed any more is a signal.
        if unsafe { libc::mprotect(at, len, libc::PROT_READ | write) } == 0 {
            Ok(())
        } else {
            Err(SysError::last(format!(
                "mprotect(writable: {writable}) on pages {range:?}"
            )))
        }
    }
}

fn done(got: *mut libc::c_void, doing: impl FnOnce() -> String) -> Result<()> {
    if got == libc::MAP_FAILED {
        return Err(SysError::last(doing()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::{Advice, PAGE_WORDS};
    use crate::sys::memfile::MemFile;

    #[test]
    fn views_of_one_file_agree_until_one_has_a_copy_of_its_own() {
        let space = Arena::reserve(2).unwrap();
        assert_eq!(space.address(0) % (HUGE_PAGES * PAGE_LEN) as u64, 0);
        let file = MemFile::new("space", 4).unwrap();
        space.map_file(0..4, file.fd(), 0, Sharing::Shared).unwrap();
        space.map_file(512..516, file.fd(), 0, Sharing::Private).unwrap();
        space.poke(1, 0, 7);
        assert_eq!(space.peek(513, 0), 7);
        space.poke(513, 0, 8);
        assert_eq!((space.peek(1, 0), space.peek(513, 0)), (7, 8));
        space.advise(513..514, Advice::DontNeed).unwrap();
        assert_eq!(space.peek(513, 0), 7);
        file.punch(1..2).unwrap();
        assert_eq!(space.peek(1, 0), 0);
    }

    #[test]
    fn what_is_moved_is_there_and_no_longer_here() {
        let space = Arena::reserve(2).unwrap();
        space.map_anonymous(0..512).unwrap();
        space.map_anonymous(512..1024).unwrap();
        let content = [9; PAGE_WORDS];
        space.write(3, &content);
        space.remap(0..512, 512).unwrap();
        let mut read = [0; PAGE_WORDS];
        space.read(515, &mut read);
        assert_eq!(read, content);
        space.read(3, &mut read);
        assert_eq!(read, [0; PAGE_WORDS]);
        space.protect(515..516, false).unwrap();
        assert_eq!(space.peek(515, 1), 9);
        space.protect(515..516, true).unwrap();
        space.poke(515, 1, 4);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(Arena::reserve(0).is_err() && Arena::reserve(1 << 20).is_err());
    }
}
