//! A field: reserved address space, cut into plots of 2 MiB, in which memory of any kind is mapped,
//! moved about and taken away again.
//!
//! All of a field stays reserved while it lives, so that nothing else of the process ever comes to lie
//! where memory was moved away from. Every access is a relaxed atomic one, as in
//! [`arena`](super::arena). Which pages are populated and what they hold is not known here.

use super::arena::{PAGE_LEN, PAGE_WORDS, PageWords};
use super::{Result, SysError, glimpse};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Pages of a plot: as many as a huge page has, at its alignment.
pub const PLOT_PAGES: usize = 512;
const PLOT_LEN: usize = PLOT_PAGES * PAGE_LEN;

/// What the kernel is advised or asked to do with pages of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// `MADV_PAGEOUT`
    PageOut,
    /// `MADV_COLD`
    Cold,
    /// `MADV_WILLNEED`
    WillNeed,
    /// `MADV_DONTNEED`
    DontNeed,
    /// `MADV_FREE`
    Free,
    /// `MADV_POPULATE_READ`
    PopulateRead,
    /// `MADV_POPULATE_WRITE`
    PopulateWrite,
    /// `MADV_COLLAPSE`
    Collapse,
    /// `MADV_HUGEPAGE`
    Huge,
    /// `MADV_NOHUGEPAGE`
    NoHuge,
}

impl Ask {
    fn raw(self) -> libc::c_int {
        match self {
            Self::PageOut => libc::MADV_PAGEOUT,
            Self::Cold => libc::MADV_COLD,
            Self::WillNeed => libc::MADV_WILLNEED,
            Self::DontNeed => libc::MADV_DONTNEED,
            Self::Free => libc::MADV_FREE,
            Self::PopulateRead => libc::MADV_POPULATE_READ,
            Self::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Self::Collapse => libc::MADV_COLLAPSE,
            Self::Huge => libc::MADV_HUGEPAGE,
            Self::NoHuge => libc::MADV_NOHUGEPAGE,
        }
    }
}

/// How pages may be accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read and written.
    ReadWrite,
    /// Read only.
    Read,
    /// Not at all.
    None,
}

impl Access {
    fn raw(self) -> libc::c_int {
        match self {
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Self::Read => libc::PROT_READ,
            Self::None => libc::PROT_NONE,
        }
    }
}

/// What a plot is mapped to.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Private anonymous memory.
    Anon,
    /// A file from its beginning, shared.
    Shared(BorrowedFd<'a>),
    /// A file from its beginning, private.
    Private(BorrowedFd<'a>),
}

/// Where the next field is asked for: far below the place that the kernel chooses for mappings of its own,
/// which it fills from above. A hole that a move leaves for a moment is then nobody else's choice.
static NEXT: AtomicUsize = AtomicUsize::new(1 << 40);

/// Reserved address space. Dropping it unmaps everything in it.
#[derive(Debug)]
pub struct Field {
    whole: NonNull<u8>,
    whole_len: usize,
    base: NonNull<u8>,
    plots: usize,
}

// SAFETY: the mappings belong to the process, not to a thread, and live until the field is dropped.
unsafe impl Send for Field {}
// SAFETY: accesses are atomic (see `words`), everything else is a system call; a plot is changed only by
// the thread that was given it, and what another one reads of it stays reserved at least.
unsafe impl Sync for Field {}

impl Field {
    /// Reserves so many plots.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn reserve(plots: usize) -> Result<Self> {
        let doing = || format!("reserving {plots} plots");
        let whole_len = (plots + 1) * PLOT_LEN;
        let hint = NEXT.fetch_add(whole_len, Ordering::Relaxed);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice (near the hint where that is free) aliases nothing.
        let at = unsafe {
            libc::mmap(
                hint as *mut libc::c_void,
                whole_len,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(SysError::last(doing()));
        }
        let whole = NonNull::new(at.cast::<u8>()).ok_or_else(|| SysError::content(doing(), "no address"))?;
        let skip = whole.as_ptr().align_offset(PLOT_LEN);
        // SAFETY: less than a plot is skipped, and there is one more than was asked for.
        let base = unsafe { whole.add(skip) };
        Ok(Self {
            whole,
            whole_len,
            base,
            plots,
        })
    }

    /// Plots.
    #[must_use]
    pub fn plots(&self) -> usize {
        self.plots
    }

    /// Address of a page of a plot.
    #[must_use]
    pub fn address(&self, plot: usize, page: usize) -> u64 {
        self.at(plot, page..page) as u64
    }

    fn at(&self, plot: usize, pages: Range<usize>) -> *mut u8 {
        assert!(
            plot < self.plots && pages.start <= pages.end && pages.end <= PLOT_PAGES,
            "pages {pages:?} of plot {plot} of {}",
            self.plots
        );
        // SAFETY: within the reservation, as was just asserted.
        unsafe { self.base.as_ptr().add(plot * PLOT_LEN + pages.start * PAGE_LEN) }
    }

    /// Maps the front of a plot. What was there is gone.
    ///
    /// # Errors
    /// Those of `mmap` and `munlock`.
    pub fn map(&self, plot: usize, pages: usize, source: Source<'_>) -> Result<()> {
        let (sharing, fd) = match source {
            Source::Anon => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
            Source::Shared(fd) => (libc::MAP_SHARED, fd.as_raw_fd()),
            Source::Private(fd) => (libc::MAP_PRIVATE, fd.as_raw_fd()),
        };
        self.map_raw(plot, pages, Access::ReadWrite.raw(), sharing, fd)?;
        // A process that locks what it maps must let this be reclaimed.
        // SAFETY: changes no content.
        if unsafe { libc::munlock(self.at(plot, 0..pages).cast(), pages * PAGE_LEN) } != 0 {
            return Err(SysError::last(format!("munlock of plot {plot}")));
        }
        // Locking has populated it, private file mappings with copies of their own.
        self.ask(plot, 0..pages, Ask::DontNeed)
    }

    /// Takes away what is mapped in a plot; it stays reserved.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn clear(&self, plot: usize) -> Result<()> {
        let sharing = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        self.map_raw(plot, PLOT_PAGES, libc::PROT_NONE, sharing, -1)
    }

    fn map_raw(
        &self,
        plot: usize,
        pages: usize,
        access: libc::c_int,
        sharing: libc::c_int,
        fd: i32,
    ) -> Result<()> {
        let at = self.at(plot, 0..pages);
        let flags = sharing | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: replaces only what lies in the plot, which is ours; references to its words live no
        // longer than an access.
        let got = unsafe { libc::mmap(at.cast(), pages * PAGE_LEN, access, flags, fd, 0) };
        if got == libc::MAP_FAILED {
            return Err(SysError::last(format!("mapping plot {plot}")));
        }
        Ok(())
    }

    /// Asks the kernel to do something with pages of a plot.
    ///
    /// # Errors
    /// Those of `madvise`.
    pub fn ask(&self, plot: usize, pages: Range<usize>, ask: Ask) -> Result<()> {
        let (at, len) = (self.at(plot, pages.clone()), pages.len() * PAGE_LEN);
        // SAFETY: the range lies in the field, whose memory is only accessed through atomics, so that
        // content that changes is not undefined behaviour.
        if unsafe { libc::madvise(at.cast(), len, ask.raw()) } == 0 {
            return Ok(());
        }
        Err(SysError::last(format!(
            "madvise({ask:?}) on pages {pages:?} of plot {plot}"
        )))
    }

    /// Says how pages of a plot may be accessed from now on.
    ///
    /// # Errors
    /// Those of `mprotect`.
    pub fn protect(&self, plot: usize, pages: Range<usize>, access: Access) -> Result<()> {
        let (at, len) = (self.at(plot, pages.clone()), pages.len() * PAGE_LEN);
        // SAFETY: the range lies in the field; an access that is not allowed any more faults, and the
        // fault is reported as such.
        if unsafe { libc::mprotect(at.cast(), len, access.raw()) } == 0 {
            return Ok(());
        }
        Err(SysError::last(format!(
            "mprotect({access:?}) on pages {pages:?} of plot {plot}"
        )))
    }

    /// Moves the front of a plot to another plot. With `leaves` the old place stays mapped and empty;
    /// without it is reserved again.
    ///
    /// # Errors
    /// Those of `mremap` (nothing has moved then); `EEXIST` where something else took the old place.
    pub fn move_to(&self, from: usize, to: usize, pages: usize, leaves: bool) -> Result<()> {
        let (old, new) = (self.at(from, 0..pages), self.at(to, 0..pages));
        let flags =
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | if leaves { libc::MREMAP_DONTUNMAP } else { 0 };
        let len = pages * PAGE_LEN;
        // SAFETY: both places are plots of this field, and the target holds a reservation only.
        let got = unsafe { libc::mremap(old.cast(), len, len, flags, new.cast::<libc::c_void>()) };
        if got == libc::MAP_FAILED {
            return Err(SysError::last(format!("mremap of plot {from} to {to}")));
        }
        if leaves {
            return Ok(());
        }
        let reserve = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: maps only where nothing is mapped.
        let got = unsafe {
            libc::mmap(
                old.cast(),
                len,
                libc::PROT_NONE,
                reserve | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            return Err(SysError::last(format!("reserving plot {from} again")));
        }
        Ok(())
    }

    fn words(&self, plot: usize, page: usize) -> &[AtomicU64; PAGE_WORDS] {
        // SAFETY: the page lies in the field (asserted by `at`), aligned; nothing ever makes a
        // non-atomic reference to it. A page that is not mapped faults, and the fault is reported.
        unsafe { &*self.at(plot, page..page + 1).cast::<[AtomicU64; PAGE_WORDS]>() }
    }

    /// Copies a page out.
    pub fn read(&self, plot: usize, page: usize, into: &mut PageWords) {
        for (to, from) in into.iter_mut().zip(self.words(plot, page)) {
            *to = from.load(Ordering::Relaxed);
        }
    }

    /// Copies a page out by instructions; tells whether none of them faulted. Where
    /// [`catch_faults`](super::board::Board::catch_faults) was not called, a fault ends the process.
    #[must_use]
    pub fn try_read(&self, plot: usize, page: usize, into: &mut PageWords) -> bool {
        let at = self.at(plot, page..page + 1).cast::<AtomicU64>();
        into.iter_mut().enumerate().all(|(n, to)| {
            // SAFETY: within the page, which lies in the field and is only accessed atomically.
            let word = unsafe { glimpse::load(at.add(n)) };
            *to = word.unwrap_or_default();
            word.is_some()
        })
    }

    /// Stores to one word of a page; tells whether that went without a fault, as [`Field::try_read`] does.
    #[must_use]
    pub fn try_poke(&self, plot: usize, page: usize, word: usize, value: u64) -> bool {
        let at = self.at(plot, page..page + 1).cast::<AtomicU64>();
        // SAFETY: within the page, which lies in the field and is only accessed atomically.
        unsafe { glimpse::store(at.add(word % PAGE_WORDS), value) }
    }

    /// Stores to one word of a page without changing it; tells whether that went without a fault, as
    /// [`Field::try_read`] does.
    #[must_use]
    pub fn try_touch(&self, plot: usize, page: usize, word: usize) -> bool {
        let at = self.at(plot, page..page + 1).cast::<AtomicU64>();
        // SAFETY: within the page, which lies in the field and is only accessed atomically.
        unsafe { glimpse::touch(at.add(word % PAGE_WORDS)) }
    }

    /// Writes a whole page.
    pub fn write(&self, plot: usize, page: usize, content: &PageWords) {
        for (to, from) in self.words(plot, page).iter().zip(content) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// Writes one word.
    pub fn poke(&self, plot: usize, page: usize, word: usize, value: u64) {
        self.words(plot, page)[word].store(value, Ordering::Relaxed);
    }

    /// Stores to a page without changing it: one locked exchange, which takes the page as it is when it
    /// writes. (A load and a store of what was loaded could put an old word into a page that was lazily
    /// freed in between.)
    pub fn touch(&self, plot: usize, page: usize, word: usize) {
        const ANY: u64 = 0x5eed_0000_5eed;
        let _ = self.words(plot, page)[word].compare_exchange(ANY, ANY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Puts references to pages of a plot into a pipe, as `vmsplice` does; returns how many bytes.
    ///
    /// # Errors
    /// Those of `vmsplice`.
    pub fn splice(&self, plot: usize, pages: Range<usize>, pipe: BorrowedFd<'_>) -> Result<usize> {
        let of = libc::iovec {
            iov_base: self.at(plot, pages.clone()).cast(),
            iov_len: pages.len() * PAGE_LEN,
        };
        // SAFETY: one vector over our own memory, which the pipe keeps referenced.
        let n = unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const of, 1, 0) };
        usize::try_from(n).map_err(|_| SysError::last(format!("vmsplice of pages {pages:?} of plot {plot}")))
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // SAFETY: the reservation and all in it is ours, and no reference outlives `self`.
        unsafe { libc::munmap(self.whole.as_ptr().cast(), self.whole_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_mapping_shows_the_file_even_where_mappings_are_locked() {
        use std::os::fd::AsFd;
        use std::os::unix::fs::FileExt;
        let fd = rustix::fs::memfd_create("field", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = std::fs::File::from(fd);
        file.set_len(2 * PAGE_LEN as u64).unwrap();
        let field = Field::reserve(1).unwrap();
        // In a child: locking what comes is an affair of the whole process.
        let mut child = crate::sys::fork::child(|| {
            // A host may forbid it; nothing is populated then.
            let _ = crate::sys::process::lock_what_comes();
            let mapped = field.map(0, 2, Source::Private(file.as_fd()));
            let written = file.write_all_at(&[7; 8], PAGE_LEN as u64);
            let mut page = [0; PAGE_WORDS];
            field.read(0, 1, &mut page);
            u8::from(mapped.is_err() || written.is_err() || page[0] != u64::from_ne_bytes([7; 8]))
        })
        .unwrap();
        assert_eq!(
            child.ended(60_000).unwrap(),
            Some(crate::sys::fork::Ended::Status(0))
        );
    }

    #[test]
    fn an_access_that_may_fault_ends_and_the_process_goes_on() {
        let board = crate::sys::board::Board::make().unwrap();
        board.catch_faults().unwrap();
        let field = Field::reserve(1).unwrap();
        field.map(0, 2, Source::Anon).unwrap();
        field.poke(0, 1, 511, 5);
        let mut page = [1; PAGE_WORDS];
        assert!(field.try_read(0, 1, &mut page) && page[511] == 5 && page[0] == 0);
        assert!(field.try_touch(0, 1, 511) && field.try_poke(0, 1, 3, 9));
        field.protect(0, 0..2, Access::Read).unwrap();
        assert!(!field.try_touch(0, 1, 511) && !field.try_poke(0, 1, 3, 10));
        assert!(field.try_read(0, 1, &mut page) && (page[511], page[3]) == (5, 9));
        field.protect(0, 0..2, Access::None).unwrap();
        assert!(!field.try_read(0, 1, &mut page));
        assert_eq!(board.fault(), None);
    }

    #[test]
    fn content_moves_between_plots_and_the_old_place_is_empty() {
        let field = Field::reserve(2).unwrap();
        assert_eq!(field.address(1, 0) - field.address(0, 0), PLOT_LEN as u64);
        assert_eq!(field.address(0, 0) % PLOT_LEN as u64, 0);
        field.map(0, 4, Source::Anon).unwrap();
        field.poke(0, 2, 7, 99);
        field.touch(0, 2, 8);
        field.move_to(0, 1, 4, true).unwrap();
        let mut page = [1; PAGE_WORDS];
        field.read(1, 2, &mut page);
        assert_eq!((page[7], page[8]), (99, 0));
        field.read(0, 2, &mut page);
        assert_eq!(page, [0; PAGE_WORDS]);
        field.clear(0).unwrap();
        field.move_to(1, 0, 4, false).unwrap();
        field.read(0, 2, &mut page);
        assert_eq!(page[7], 99);
        field.protect(0, 0..4, Access::Read).unwrap();
        field.read(0, 2, &mut page);
        assert_eq!(page[7], 99);
    }
}
