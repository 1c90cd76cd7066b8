//! A raw block device past the page cache: whole blocks of a page each, read, written and discarded.

use super::arena::{PAGE_LEN, PAGE_WORDS};
use super::{Doing, Result, SysError};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `BLKDISCARD` of linux/fs.h.
const DISCARD: libc::c_ulong = 0x1277;
/// `BLKZEROOUT` of linux/fs.h.
const ZERO_OUT: libc::c_ulong = 0x127f;

/// One block's content, aligned as direct input and output want it.
#[derive(Debug, Clone)]
#[repr(C, align(4096))]
pub struct Block(pub [u64; PAGE_WORDS]);

impl Default for Block {
    fn default() -> Self {
        Self([0; PAGE_WORDS])
    }
}

/// Makes a buffer of so many blocks.
#[must_use]
pub fn buffer(blocks: usize) -> Box<[Block]> {
    vec![Block::default(); blocks].into()
}

fn bytes(blocks: &[Block]) -> &[u8] {
    // SAFETY: a block is 4096 bytes of plain integers without padding (its size equals its alignment),
    // every byte of which is initialised; the slice borrows the blocks.
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), std::mem::size_of_val(blocks)) }
}

fn bytes_mut(blocks: &mut [Block]) -> &mut [u8] {
    // SAFETY: as for `bytes`; any bytes make valid integers, and the slice borrows the blocks alone.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), std::mem::size_of_val(blocks)) }
}

/// A block device opened with `O_DIRECT`.
#[derive(Debug)]
pub struct Direct {
    file: File,
    path: PathBuf,
}

impl Direct {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DIRECT);
        let file = options
            .open(path)
            .doing(|| format!("opening {} with O_DIRECT", path.display()))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
        })
    }

    fn doing(&self, what: &str, block: u64, blocks: u64) -> String {
        format!(
            "{what} {blocks} blocks of {} from block {block}",
            self.path.display()
        )
    }

    /// Reads whole blocks.
    ///
    /// # Errors
    /// Those of the kernel, and a short read.
    pub fn read(&self, block: u64, into: &mut [Block]) -> Result<()> {
        let blocks = into.len() as u64;
        self.file
            .read_exact_at(bytes_mut(into), block * PAGE_LEN as u64)
            .doing(|| self.doing("reading", block, blocks))
    }

    /// Writes whole blocks with one call.
    ///
    /// # Errors
    /// Those of the kernel, and a short write. Which blocks were written then is not known.
    pub fn write(&self, block: u64, from: &[Block]) -> Result<()> {
        let doing = || self.doing("writing", block, from.len() as u64);
        let n = self
            .file
            .write_at(bytes(from), block * PAGE_LEN as u64)
            .doing(doing)?;
        if n == std::mem::size_of_val(from) {
            Ok(())
        } else {
            Err(SysError::content(doing(), format!("only {n} bytes were taken")))
        }
    }

    /// Discards whole blocks.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn discard(&self, block: u64, blocks: u64) -> Result<()> {
        self.range("discarding", DISCARD, block, blocks)
    }

    /// Makes whole blocks zero.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn zero_out(&self, block: u64, blocks: u64) -> Result<()> {
        self.range("zeroing", ZERO_OUT, block, blocks)
    }

    fn range(&self, what: &str, request: libc::c_ulong, block: u64, blocks: u64) -> Result<()> {
        let range = [block * PAGE_LEN as u64, blocks * PAGE_LEN as u64];
        // SAFETY: both requests read two 64-bit numbers from the pointer and keep nothing of it.
        if unsafe { libc::ioctl(self.file.as_raw_fd(), request, range.as_ptr()) } == 0 {
            Ok(())
        } else {
            Err(SysError::last(self.doing(what, block, blocks)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_its_bytes_are_its_words() {
        let mut blocks = buffer(3);
        assert_eq!(blocks.as_ptr().addr() % PAGE_LEN, 0);
        blocks[1].0[511] = u64::from_le_bytes(*b"patchpro");
        assert_eq!(&bytes(&blocks)[2 * PAGE_LEN - 8..2 * PAGE_LEN], b"patchpro");
        bytes_mut(&mut blocks)[2 * PAGE_LEN] = 7;
        assert_eq!(blocks[2].0[0].to_le_bytes()[0], 7);
    }

    #[test]
    fn a_file_reads_as_it_was_written_past_the_cache() {
        let path = std::env::current_dir()
            .unwrap()
            .join(format!("direct-{}.tmp", std::process::id()));
        std::fs::write(&path, vec![0u8; 4 * PAGE_LEN]).unwrap();
        let direct = Direct::open(&path).unwrap();
        let mut blocks = buffer(2);
        blocks[1].0[3] = 9;
        direct.write(1, &blocks).unwrap();
        let mut read = buffer(3);
        direct.read(1, &mut read).unwrap();
        assert_eq!((read[1].0[3], read[0].0[3], read[2].0[3]), (9, 0, 0));
        assert!(direct.read(2, &mut read).is_err(), "past the end");
        std::fs::remove_file(&path).unwrap();
    }
}
