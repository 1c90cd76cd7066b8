//! Pages that the kernel keeps for input and output: registered as a buffer of an io_uring, they are pinned
//! (`FOLL_PIN | FOLL_LONGTERM`, Documentation/core-api/pin_user_pages.rst), and the kernel writes to them and reads from them
//! by what it has pinned, not by what the process has mapped.

use super::arena::{PAGE_LEN, PageWords};
use super::field::Field;
use super::memfile::MemFile;
use super::{Doing, Result, SysError};
use io_uring::{IoUring, opcode, squeue, types};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Most pages that are pinned together.
pub const PINNED_MAX: usize = 8;
/// Requests under way at a time.
const REQUESTS: u32 = 2;

/// A ring whose buffer is what it pins, and the memory file that it is filled from and read out to.
pub struct Pins {
    ring: IoUring,
    file: MemFile,
    /// Address of the first page, and how many there are; where nothing is pinned, none.
    pinned: Option<(u64, usize)>,
}

impl Pins {
    /// Opens one.
    ///
    /// # Errors
    /// `ENOSYS` where the kernel has no io_uring, `EPERM` where it is forbidden.
    pub fn open() -> Result<Self> {
        let ring = IoUring::new(REQUESTS).doing(|| "io_uring_setup".to_owned())?;
        let file = MemFile::new("patchproof-pins", PINNED_MAX)?;
        Ok(Self {
            ring,
            file,
            pinned: None,
        })
    }

    /// Pins pages of a plot until [`Pins::unpin`].
    ///
    /// # Errors
    /// Those of the kernel; `EOPNOTSUPP` for pages of a file system that has to know of stores.
    pub fn pin(&mut self, field: &Field, plot: usize, pages: &Range<usize>) -> Result<()> {
        assert!(self.pinned.is_none() && (1..=PINNED_MAX).contains(&pages.len()));
        let address = field.address(plot, pages.start);
        let buffer = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: pages.len() * PAGE_LEN,
        };
        // SAFETY: the field is reserved as long as this process lives in it, is only ever accessed through volatile words and by
        // the kernel, and the kernel itself keeps the pages as long as they are registered.
        unsafe { self.ring.submitter().register_buffers(&[buffer]) }
            .doing(|| "IORING_REGISTER_BUFFERS".to_owned())?;
        self.pinned = Some((address, pages.len()));
        Ok(())
    }

    /// Lets them go.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn unpin(&mut self) -> Result<()> {
        if self.pinned.take().is_some() {
            self.ring
                .submitter()
                .unregister_buffers()
                .doing(|| "IORING_UNREGISTER_BUFFERS".to_owned())?;
        }
        Ok(())
    }

    /// Has the kernel write a page's content to one of the pinned pages.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn fill(&mut self, nth: usize, content: &PageWords) -> Result<()> {
        let mut bytes = [0; PAGE_LEN];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(content) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        self.file.write(nth, &bytes)?;
        let fd = types::Fd(self.file.fd().as_raw_fd());
        let offset = (nth * PAGE_LEN) as u64;
        let entry = opcode::ReadFixed::new(fd, self.address(nth) as *mut u8, PAGE_LEN as u32, 0)
            .offset(offset)
            .build();
        self.request(&entry, "IORING_OP_READ_FIXED")
    }

    /// Has the kernel read one of the pinned pages.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn drain(&mut self, nth: usize, into: &mut PageWords) -> Result<()> {
        let fd = types::Fd(self.file.fd().as_raw_fd());
        let offset = (nth * PAGE_LEN) as u64;
        let entry = opcode::WriteFixed::new(fd, self.address(nth) as *const u8, PAGE_LEN as u32, 0)
            .offset(offset)
            .build();
        self.request(&entry, "IORING_OP_WRITE_FIXED")?;
        let mut bytes = [0; PAGE_LEN];
        self.file.read(nth, &mut bytes)?;
        for (word, bytes) in into.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(())
    }

    fn address(&self, nth: usize) -> u64 {
        let (address, pages) = self.pinned.unwrap_or_default();
        assert!(nth < pages, "page {nth} of {pages} that are pinned");
        address + (nth * PAGE_LEN) as u64
    }

    /// Makes a request of a page's length and waits for its end.
    fn request(&mut self, entry: &squeue::Entry, name: &str) -> Result<()> {
        let doing = || format!("{name} of a pinned page");
        // SAFETY: what it names is a page that is pinned, and the file, which outlives it: its end is waited for.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| SysError::content(doing(), "no room"))?;
        let submitted = loop {
            match self.ring.submit_and_wait(1) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        submitted.doing(doing)?;
        let done = self
            .ring
            .completion()
            .next()
            .map(|completion| completion.result());
        match done {
            Some(len) if len == PAGE_LEN as i32 => Ok(()),
            Some(errno @ ..0) => Err(SysError {
                doing: doing(),
                source: io::Error::from_raw_os_error(-errno),
            }),
            other => Err(SysError::content(doing(), format!("{other:?} bytes of a page"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::PAGE_WORDS;
    use crate::sys::field::{Ask, Source};

    #[test]
    fn what_is_pinned_is_written_and_read_through_the_pin() {
        let Ok(mut pins) = Pins::open() else {
            eprintln!("this kernel has no io_uring, or forbids it");
            return;
        };
        let field = Field::reserve(1).unwrap();
        field.map(0, 4, Source::Anon).unwrap();
        let mut page = [0; PAGE_WORDS];
        for round in 1..4 {
            field.poke(0, 2, 5, round);
            pins.pin(&field, 0, &(1..3)).unwrap();
            pins.drain(1, &mut page).unwrap();
            assert_eq!(page[5], round);
            pins.fill(0, &[round; PAGE_WORDS]).unwrap();
            field.read(0, 1, &mut page);
            assert_eq!(page, [round; PAGE_WORDS]);
            // What the process has mapped there is another page from here on.
            field.ask(0, 1..2, Ask::DontNeed).unwrap();
            pins.fill(0, &[9; PAGE_WORDS]).unwrap();
            field.read(0, 1, &mut page);
            assert_eq!(page, [0; PAGE_WORDS]);
            pins.unpin().unwrap();
        }
    }
}
