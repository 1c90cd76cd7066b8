//! A file on a real file system. It is open for reading only, save for the length of each change: the
//! kernel makes huge pages of files that nobody has open for writing.

use super::arena::{PAGE_LEN, PageWords};
use super::forked::words;
use super::{Doing, Result, SysError};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a file is read, beside being mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// From the page cache.
    Buffered,
    /// From the disk (`O_DIRECT`): what was written and synced is there.
    Direct,
}

/// A buffer that the disk can write to.
#[repr(C, align(4096))]
pub struct Aligned(pub [u8; PAGE_LEN]);

/// A file of some pages.
#[derive(Debug)]
pub struct DiskFile {
    path: PathBuf,
    buffered: File,
    direct: File,
}

impl DiskFile {
    /// Makes a file of so many pages that were never written: a hole.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn new(path: &Path, pages: usize) -> Result<Self> {
        let doing = || format!("making {}", path.display());
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = File::create(path).doing(doing)?;
        file.set_len((pages * PAGE_LEN) as u64).doing(doing)?;
        file.sync_all().doing(doing)?;
        drop(file);
        Ok(Self {
            path: path.to_owned(),
            buffered: open(0).doing(doing)?,
            direct: open(libc::O_DIRECT).doing(doing)?,
        })
    }

    /// The descriptor to map.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.buffered.as_fd()
    }

    /// Opens it for writing, makes a change, has it on the disk, and closes it.
    fn change(&self, what: &str, act: impl FnOnce(&File) -> std::io::Result<()>) -> Result<()> {
        let doing = || format!("{what} of {}", self.path.display());
        let file = OpenOptions::new().write(true).open(&self.path).doing(doing)?;
        act(&file).doing(doing)?;
        file.sync_all().doing(doing)
    }

    /// Writes pages from `first` on.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn write(&self, first: usize, pages: &[Box<PageWords>]) -> Result<()> {
        self.change("writing pages", |file| {
            for (page, content) in (first..).zip(pages) {
                let bytes: Vec<u8> = content.iter().flat_map(|word| word.to_le_bytes()).collect();
                file.write_all_at(&bytes, (page * PAGE_LEN) as u64)?;
            }
            Ok(())
        })
    }

    /// Punches a hole.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn punch(&self, pages: Range<usize>) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let (at, len) = (pages.start * PAGE_LEN, pages.len() * PAGE_LEN);
        self.change("punching pages", |file| {
            Ok(fallocate(file, flags, at as u64, len as u64)?)
        })
    }

    /// Truncates or extends it to so many pages.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn resize(&self, pages: usize) -> Result<()> {
        self.change("sizing", |file| file.set_len((pages * PAGE_LEN) as u64))
    }

    /// Reads one page.
    ///
    /// # Errors
    /// Those of the kernel, and an end of file before the page's.
    pub fn read(&self, page: usize, how: Reading) -> Result<Box<PageWords>> {
        let doing = || format!("reading page {page} of {} ({how:?})", self.path.display());
        let file = match how {
            Reading::Buffered => &self.buffered,
            Reading::Direct => &self.direct,
        };
        let mut bytes = Box::new(Aligned([0; PAGE_LEN]));
        match file
            .read_at(&mut bytes.0, (page * PAGE_LEN) as u64)
            .doing(doing)?
        {
            PAGE_LEN => Ok(words(&bytes.0)),
            n => Err(SysError::content(doing(), format!("only {n} bytes came"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::PAGE_WORDS;

    #[test]
    fn what_is_written_is_read_until_it_is_punched_out() {
        let path = std::env::temp_dir().join(format!("patchproof-diskfile-{}", std::process::id()));
        let file = DiskFile::new(&path, 3).unwrap();
        file.write(1, &[Box::new([5; PAGE_WORDS])]).unwrap();
        assert_eq!(*file.read(1, Reading::Buffered).unwrap(), [5; PAGE_WORDS]);
        assert_eq!(*file.read(1, Reading::Direct).unwrap(), [5; PAGE_WORDS]);
        file.punch(1..2).unwrap();
        assert_eq!(*file.read(1, Reading::Direct).unwrap(), [0; PAGE_WORDS]);
        file.resize(1).unwrap();
        assert!(file.read(1, Reading::Buffered).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
