//! Reading this process's memory where a fault may be right: through /proc/self/mem, which answers
//! with an error where a load would be a signal.

use super::arena::{Arena, PAGE_LEN, PageWords};
use super::forked::words;
use super::{Doing, Result, SysError};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// This process's memory, held open.
#[derive(Debug)]
pub struct Peek {
    file: File,
}

impl Peek {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open() -> Result<Self> {
        let file = File::open("/proc/self/mem").doing(|| "opening /proc/self/mem".to_owned())?;
        Ok(Self { file })
    }

    /// Reads one page; `None` where a load would fault.
    ///
    /// # Errors
    /// Those of the kernel, the fault itself excepted.
    pub fn read(&self, arena: &Arena, page: usize) -> Result<Option<Box<PageWords>>> {
        let mut bytes = [0; PAGE_LEN];
        let doing = || format!("reading page {page} through /proc/self/mem");
        match self.file.read_at(&mut bytes, arena.address(page)) {
            Ok(PAGE_LEN) => Ok(Some(words(&bytes))),
            Ok(n) => Err(SysError::content(doing(), format!("only {n} bytes came"))),
            Err(e) if e.raw_os_error() == Some(libc::EIO) => Ok(None),
            Err(e) => Err(e).doing(doing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::{PAGE_WORDS, Sharing};
    use crate::sys::memfile::MemFile;

    #[test]
    fn past_the_end_of_a_file_there_is_nothing() {
        let space = Arena::reserve(1).unwrap();
        let file = MemFile::new("peek", 2).unwrap();
        space.map_file(0..2, file.fd(), 0, Sharing::Shared).unwrap();
        space.write(1, &[3; PAGE_WORDS]);
        let peek = Peek::open().unwrap();
        assert_eq!(peek.read(&space, 1).unwrap().as_deref(), Some(&[3; PAGE_WORDS]));
        file.resize(1).unwrap();
        assert_eq!(peek.read(&space, 1).unwrap(), None);
        file.resize(2).unwrap();
        assert_eq!(peek.read(&space, 1).unwrap().as_deref(), Some(&[0; PAGE_WORDS]));
    }
}
