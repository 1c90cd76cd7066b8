//! A range armed for missing pages: an access where nothing is fails, and nobody is asked to fill it.
//! What only needs that, and no handler, uses this.

use super::arena::{Arena, PAGE_LEN};
use super::{Result, SysError};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const UFFD_API: u64 = 0xaa;
const UFFD_FEATURE_SIGBUS: u64 = 1 << 7;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00;
const UFFDIO_UNREGISTER: libc::Ioctl = 0x8010_aa01;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// A range that is armed for missing pages. Dropping it disarms it.
#[derive(Debug)]
pub struct Armed {
    fd: OwnedFd,
    start: u64,
    len: u64,
}

impl Armed {
    /// Arms a range of pages, which must be mapped.
    ///
    /// # Errors
    /// Those of `userfaultfd`; `ENOSYS` where the kernel has none.
    pub fn missing(arena: &Arena, pages: &Range<usize>) -> Result<Self> {
        let doing = || format!("arming pages {pages:?} for missing ones");
        // SAFETY: takes flags only and returns a descriptor or an error.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let fd = match i32::try_from(fd) {
            Ok(fd) if fd >= 0 => fd,
            _ => return Err(SysError::last(doing())),
        };
        // SAFETY: the descriptor was just made, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut api = Api {
            api: UFFD_API,
            features: UFFD_FEATURE_SIGBUS,
            ioctls: 0,
        };
        let mut register = Register {
            start: arena.address(pages.start),
            len: (pages.len() * PAGE_LEN) as u64,
            mode: UFFDIO_REGISTER_MODE_MISSING,
            ioctls: 0,
        };
        // SAFETY: both structures are what the calls take, and outlive them.
        let done = unsafe {
            libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut api) == 0
                && libc::ioctl(fd.as_raw_fd(), UFFDIO_REGISTER, &raw mut register) == 0
        };
        if done {
            Ok(Self {
                fd,
                start: register.start,
                len: register.len,
            })
        } else {
            Err(SysError::last(doing()))
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // Closing alone would not do: a child that was forked meanwhile has the descriptor too.
        let mut range = [self.start, self.len];
        // SAFETY: `struct uffdio_range` is these two numbers, which outlive the call.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), UFFDIO_UNREGISTER, range.as_mut_ptr()) };
    }
}
