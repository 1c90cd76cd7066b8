//! Files that hold a region: memory files, sized, punched and truncated by pages.

use super::arena::PAGE_LEN;
use super::{Doing, Result, SysError};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Shared memory behind a descriptor.
#[derive(Debug)]
pub struct MemFile {
    fd: OwnedFd,
}

impl MemFile {
    /// Makes one of so many pages, none of them populated.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn new(name: &str, pages: usize) -> Result<Self> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC).doing(|| format!("making the memfd {name}"))?;
        let file = Self { fd };
        file.resize(pages)?;
        Ok(file)
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Truncates or extends it to so many pages.
    ///
    /// # Errors
    /// Those of `ftruncate`.
    pub fn resize(&self, pages: usize) -> Result<()> {
        ftruncate(&self.fd, (pages * PAGE_LEN) as u64).doing(|| format!("sizing a memfd to {pages} pages"))
    }

    /// Punches a hole.
    ///
    /// # Errors
    /// Those of `fallocate`.
    pub fn punch(&self, pages: Range<usize>) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let (at, len) = (pages.start * PAGE_LEN, pages.len() * PAGE_LEN);
        fallocate(&self.fd, flags, at as u64, len as u64).doing(|| format!("punching pages {pages:?}"))
    }

    /// Writes one page with `pwrite`.
    ///
    /// # Errors
    /// Those of `pwrite`, and a page that was written in part.
    pub fn write(&self, page: usize, content: &[u8; PAGE_LEN]) -> Result<()> {
        let doing = || format!("writing page {page} of a memfd");
        match rustix::io::pwrite(&self.fd, &content[..], (page * PAGE_LEN) as u64) {
            Ok(PAGE_LEN) => Ok(()),
            Ok(n) => Err(SysError::content(doing(), format!("only {n} bytes went"))),
            Err(e) => Err(e).doing(doing),
        }
    }

    /// Reads one page with `pread`.
    ///
    /// # Errors
    /// Those of `pread`, and an end of file before the page's.
    pub fn read(&self, page: usize, into: &mut [u8; PAGE_LEN]) -> Result<()> {
        let doing = || format!("reading page {page} of a memfd");
        match rustix::io::pread(&self.fd, &mut into[..], (page * PAGE_LEN) as u64) {
            Ok(PAGE_LEN) => Ok(()),
            Ok(n) => Err(SysError::content(doing(), format!("only {n} bytes came"))),
            Err(e) => Err(e).doing(doing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_long_as_it_was_made() {
        let file = MemFile::new("length", 2).unwrap();
        let mut page = [1; PAGE_LEN];
        file.read(1, &mut page).unwrap();
        assert_eq!(page, [0; PAGE_LEN]);
        file.write(1, &[7; PAGE_LEN]).unwrap();
        file.read(1, &mut page).unwrap();
        assert_eq!(page, [7; PAGE_LEN]);
        file.resize(1).unwrap();
        assert!(file.read(1, &mut page).is_err());
    }
}
