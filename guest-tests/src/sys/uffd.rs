//! userfaultfd: its ioctls, with the structures written by hand after include/uapi/linux/userfaultfd.h.
//!
//! Every reply is handed back as it came, error and count both: what it may say is the model's business.

use super::arena::{Arena, PAGE_LEN, PageWords};
use super::field::{Field, PLOT_PAGES};
use super::{Result, SysError};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The ioctls' type byte.
const UFFDIO: u64 = 0xaa;
/// The version that the API call asks for.
const API_VERSION: u64 = 0xaa;
/// Directions of an ioctl's argument.
const READ: u64 = 2;
const READ_WRITE: u64 = 3;

const fn request(direction: u64, number: u64, len: usize) -> u64 {
    direction << 30 | (len as u64) << 16 | UFFDIO << 8 | number
}

const API: u64 = request(READ_WRITE, 0x3f, size_of::<[u64; 3]>());
const REGISTER: u64 = request(READ_WRITE, 0x00, size_of::<[u64; 4]>());
const UNREGISTER: u64 = request(READ, 0x01, size_of::<[u64; 2]>());
const COPY: u64 = request(READ_WRITE, 0x03, size_of::<[u64; 5]>());
const ZEROPAGE: u64 = request(READ_WRITE, 0x04, size_of::<[u64; 4]>());
const MOVE: u64 = request(READ_WRITE, 0x05, size_of::<[u64; 5]>());
const WRITEPROTECT: u64 = request(READ_WRITE, 0x06, size_of::<[u64; 3]>());
const POISON: u64 = request(READ_WRITE, 0x08, size_of::<[u64; 4]>());

const COPY_WP: u64 = 1 << 1;
const MOVE_ALLOW_SRC_HOLES: u64 = 1 << 1;
const WRITEPROTECT_WP: u64 = 1 << 0;

/// What a kernel's userfaultfd can do (`UFFD_FEATURE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// Write-protect faults of anonymous memory.
    pub const WP: Self = Self(1 << 0);
    /// An access to what is missing gets `SIGBUS` (a system call gets an error), and nobody waits.
    pub const SIGBUS: Self = Self(1 << 7);
    /// Write-protect faults of memory files.
    pub const WP_SHMEM: Self = Self(1 << 12);
    /// `UFFDIO_POISON`.
    pub const POISON: Self = Self(1 << 14);
    /// `UFFDIO_MOVE`.
    pub const MOVE: Self = Self(1 << 16);

    /// Tells whether all of `other` is there.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a range is registered for (`UFFDIO_REGISTER_MODE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Faults on missing pages.
    pub missing: bool,
    /// Faults on write-protected pages.
    pub wp: bool,
}

/// What the kernel replied: its error number, and the field that counts bytes (or holds a negative
/// error number), which was preset to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The error number, none on success.
    pub errno: Option<i32>,
    /// Bytes done, or a negative error number.
    pub bytes: i64,
}

/// A userfaultfd of this process. Dropping it unregisters everything.
#[derive(Debug)]
pub struct Uffd {
    fd: OwnedFd,
    features: Features,
}

/// What this kernel's userfaultfd can do.
///
/// # Errors
/// `ENOSYS` where it has none.
pub fn features() -> Result<Features> {
    Uffd::open(Features(0)).map(|uffd| uffd.features)
}

impl Uffd {
    /// Opens one with these features.
    ///
    /// # Errors
    /// Those of the kernel; `EINVAL` for a feature that it lacks.
    pub fn open(wanted: Features) -> Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: takes a number and makes a descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let Some(fd) = i32::try_from(fd).ok().filter(|fd| *fd >= 0) else {
            return Err(SysError::last("userfaultfd"));
        };
        // SAFETY: the descriptor was made just now and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut api = [API_VERSION, wanted.0, 0];
        let mut uffd = Self {
            fd,
            features: Features(0),
        };
        uffd.must(API, &mut api, "UFFDIO_API")?;
        uffd.features = Features(api[1]);
        Ok(uffd)
    }

    /// Whether the kernel offers these.
    #[must_use]
    pub fn offers(&self, features: Features) -> bool {
        self.features.has(features)
    }

    fn ioctl<const N: usize>(&self, request: u64, argument: &mut [u64; N]) -> Option<i32> {
        // SAFETY: each request's size is that of its argument (asserted by the tests), which outlives
        // the call. What the calls do to memory is confined to ranges of arenas, whose pages are only
        // ever accessed through atomics or system calls.
        let answer = unsafe { libc::ioctl(self.fd.as_raw_fd(), request, argument.as_mut_ptr()) };
        (answer != 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    fn must<const N: usize>(&self, request: u64, argument: &mut [u64; N], name: &str) -> Result<()> {
        match self.ioctl(request, argument) {
            None => Ok(()),
            Some(errno) => Err(SysError {
                doing: name.to_owned(),
                source: std::io::Error::from_raw_os_error(errno),
            }),
        }
    }

    /// Registers a range.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn register(&self, range: impl Into<Span>, mode: Mode) -> Result<()> {
        let bits = u64::from(mode.missing) | u64::from(mode.wp) << 1;
        let Span { start, len } = range.into();
        self.must(REGISTER, &mut [start, len, bits, 0], "UFFDIO_REGISTER")
    }

    /// Unregisters a range; its write protection goes.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn unregister(&self, range: impl Into<Span>) -> Result<()> {
        let Span { start, len } = range.into();
        self.must(UNREGISTER, &mut [start, len], "UFFDIO_UNREGISTER")
    }

    /// Fills one missing page with a copy of `content`, write-protected if asked for.
    #[must_use]
    pub fn copy(&self, arena: &Arena, page: usize, content: &PageWords, protected: bool) -> Reply {
        let mode = if protected { COPY_WP } else { 0 };
        let mut argument = [
            arena.address(page),
            content.as_ptr() as u64,
            PAGE_LEN as u64,
            mode,
            0,
        ];
        let errno = self.ioctl(COPY, &mut argument);
        Reply {
            errno,
            bytes: argument[4].cast_signed(),
        }
    }

    /// Fills missing pages with zeros.
    #[must_use]
    pub fn zero(&self, arena: &Arena, range: Range<usize>) -> Reply {
        let [start, len] = bytes_of(arena, range);
        let mut argument = [start, len, 0, 0];
        let errno = self.ioctl(ZEROPAGE, &mut argument);
        Reply {
            errno,
            bytes: argument[3].cast_signed(),
        }
    }

    /// Poisons missing pages: an access gets `SIGBUS` until they are dropped.
    #[must_use]
    pub fn poison(&self, arena: &Arena, range: Range<usize>) -> Reply {
        let [start, len] = bytes_of(arena, range);
        let mut argument = [start, len, 0, 0];
        let errno = self.ioctl(POISON, &mut argument);
        Reply {
            errno,
            bytes: argument[3].cast_signed(),
        }
    }

    /// Write-protects a range, or takes the protection away.
    ///
    /// # Errors
    /// Those of the kernel; `EAGAIN` while the mappings change.
    pub fn protect(&self, range: impl Into<Span>, on: bool) -> Result<()> {
        let Span { start, len } = range.into();
        let mode = if on { WRITEPROTECT_WP } else { 0 };
        self.must(WRITEPROTECT, &mut [start, len, mode], "UFFDIO_WRITEPROTECT")
    }

    /// Moves pages: those of `from` to `to`, which is as long.
    #[must_use]
    pub fn r#move(&self, from: impl Into<Span>, to: impl Into<Span>, holes_are_allowed: bool) -> Reply {
        let mode = if holes_are_allowed {
            MOVE_ALLOW_SRC_HOLES
        } else {
            0
        };
        let (from, to) = (from.into(), to.into());
        assert_eq!(from.len, to.len, "a range is moved to one of its length");
        let mut argument = [to.start, from.start, from.len, mode, 0];
        let errno = self.ioctl(MOVE, &mut argument);
        Reply {
            errno,
            bytes: argument[4].cast_signed(),
        }
    }
}

/// A range of memory that is only ever accessed through atomics or system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u64,
    len: u64,
}

impl From<&Arena> for Span {
    fn from(arena: &Arena) -> Self {
        (arena, 0..arena.pages()).into()
    }
}

impl From<(&Arena, Range<usize>)> for Span {
    fn from((arena, range): (&Arena, Range<usize>)) -> Self {
        let [start, len] = bytes_of(arena, range);
        Self { start, len }
    }
}

impl From<(&Field, usize, Range<usize>)> for Span {
    fn from((field, plot, range): (&Field, usize, Range<usize>)) -> Self {
        assert!(
            range.start <= range.end && range.end <= PLOT_PAGES,
            "{range:?} of a plot"
        );
        Self {
            start: field.address(plot, range.start),
            len: (range.len() * PAGE_LEN) as u64,
        }
    }
}

/// First address and length in bytes.
fn bytes_of(arena: &Arena, range: Range<usize>) -> [u64; 2] {
    assert!(
        range.start <= range.end && range.end <= arena.pages(),
        "{range:?} of {}",
        arena.pages()
    );
    [arena.address(range.start), (range.len() * PAGE_LEN) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_header() {
        // As a C compiler prints them.
        let want = [
            (API, 0xc018_aa3f),
            (REGISTER, 0xc020_aa00),
            (UNREGISTER, 0x8010_aa01),
            (COPY, 0xc028_aa03),
            (ZEROPAGE, 0xc020_aa04),
            (MOVE, 0xc028_aa05),
            (WRITEPROTECT, 0xc018_aa06),
            (POISON, 0xc020_aa08),
        ];
        for (ours, theirs) in want {
            assert_eq!(ours, theirs, "{ours:#x}");
        }
    }

    #[test]
    fn features_are_asked_for_one_by_one() {
        let all = Features::MOVE.and(Features::SIGBUS);
        assert!(
            all.has(Features::MOVE)
                && !all.has(Features::POISON)
                && !all.has(Features::WP.and(Features::MOVE))
        );
    }
}
