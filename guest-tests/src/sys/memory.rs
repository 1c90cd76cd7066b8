//! This process's memory through /proc/self/mem: accesses that may fail without a signal, and without
//! waiting for a userfault (where the userfaultfd has [`super::uffd::Features::SIGBUS`]).

use super::arena::{Arena, PAGE_LEN, PAGE_WORDS, PageWords};
use super::{Doing, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// How an access ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All of the page was read or written.
    Done,
    /// There was no page that could be: a direct access would have got `SIGBUS`.
    Faulted,
}

/// This process's memory as a file, held open.
#[derive(Debug)]
pub struct Memory {
    file: File,
    buffer: Box<[u8; PAGE_LEN]>,
}

impl Memory {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open() -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/proc/self/mem");
        Ok(Self {
            file: file.doing(|| "opening /proc/self/mem".to_owned())?,
            buffer: Box::new([0; PAGE_LEN]),
        })
    }

    /// Reads a page.
    ///
    /// # Errors
    /// Those of the kernel that do not say that no page is there.
    pub fn read(&mut self, arena: &Arena, page: usize, into: &mut PageWords) -> Result<Access> {
        assert!(page < arena.pages(), "page {page} of {}", arena.pages());
        let answer = self.file.read_exact_at(&mut self.buffer[..], arena.address(page));
        let access = judged(answer).doing(|| format!("reading page {page} through /proc/self/mem"))?;
        if access == Access::Done {
            for (word, bytes) in into.iter_mut().zip(self.buffer.chunks_exact(8)) {
                *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            }
        }
        Ok(access)
    }

    /// Stores to all of a page.
    ///
    /// # Errors
    /// Those of the kernel that do not say that no page is there, or that it is protected.
    pub fn write(&mut self, arena: &Arena, page: usize, content: &PageWords) -> Result<Access> {
        assert!(page < arena.pages(), "page {page} of {}", arena.pages());
        for (bytes, word) in self.buffer.chunks_exact_mut(8).zip(content) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        let answer = self.file.write_all_at(&self.buffer[..], arena.address(page));
        judged(answer).doing(|| format!("writing page {page} through /proc/self/mem"))
    }

    /// Reads one byte of a page and forgets it: the page is faulted in if it is there.
    ///
    /// # Errors
    /// Those of the kernel that do not say that no page is there.
    pub fn touch(&self, arena: &Arena, page: usize) -> Result<Access> {
        assert!(page < arena.pages(), "page {page} of {}", arena.pages());
        let answer = self.file.read_exact_at(&mut [0], arena.address(page));
        judged(answer).doing(|| format!("touching page {page} through /proc/self/mem"))
    }
}

fn judged(answer: std::io::Result<()>) -> std::io::Result<Access> {
    match answer {
        Ok(()) => Ok(Access::Done),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EIO | libc::EFAULT)) => Ok(Access::Faulted),
        Err(e) => Err(e),
    }
}

/// A page of zeros, to read into.
#[must_use]
pub fn page() -> Box<PageWords> {
    Box::new([0; PAGE_WORDS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_here_is_read_there_and_the_other_way_round() {
        let arena = Arena::map(2).unwrap();
        let mut memory = Memory::open().unwrap();
        let content: PageWords = std::array::from_fn(|at| at as u64 * 3 + 1);
        assert_eq!(memory.write(&arena, 1, &content).unwrap(), Access::Done);
        assert_eq!(arena.peek(1, 511), 511 * 3 + 1);
        arena.poke(1, 7, 99);
        let mut read = page();
        assert_eq!(memory.read(&arena, 1, &mut read).unwrap(), Access::Done);
        assert_eq!((read[6], read[7]), (19, 99));
        assert_eq!(memory.touch(&arena, 0).unwrap(), Access::Done);
    }
}
