//! A file system of our own on the data disk: the guest has no mkfs, and needs none for a single group.
//!
//! Without a journal and without checksums, so that what is on the disk is what was written there.

use super::arena::PAGE_LEN;
use super::{Doing, Result, SysError, machine};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a block.
const BLOCK_LEN: usize = PAGE_LEN;
/// Blocks of a group: as many as a block has bits.
const GROUP_BLOCKS: u64 = 8 * BLOCK_LEN as u64;
/// The fewest blocks that leave room for files.
const BLOCKS_MIN: u64 = 64;
const INODES: u32 = 128;
const INODE_LEN: usize = 256;
/// The first inode that is not reserved.
const FIRST_INODE: u32 = 11;
const ROOT_INODE: u32 = 2;
const BLOCK_BITMAP: u32 = 2;
const INODE_BITMAP: u32 = 3;
const INODE_TABLE: u32 = 4;
const ROOT_DIRECTORY: u32 = INODE_TABLE + INODES * INODE_LEN as u32 / BLOCK_LEN as u32;
/// Blocks that the file system itself takes.
const OWN_BLOCKS: u32 = ROOT_DIRECTORY + 1;

/// Writes numbers into a block.
struct Fields<'a>(&'a mut [u8]);

impl Fields<'_> {
    fn u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn set_bits(&mut self, bits: std::ops::Range<usize>) {
        bits.for_each(|bit| self.0[bit / 8] |= 1 << (bit % 8));
    }
}

/// One block of an image.
fn block(image: &mut [u8], number: u32) -> Fields<'_> {
    let at = number as usize * BLOCK_LEN;
    Fields(&mut image[at..at + BLOCK_LEN])
}

/// The first blocks of an empty file system of so many blocks, which must fit into one group.
#[must_use]
pub fn image(blocks: u32) -> Vec<u8> {
    let mut image = vec![0; OWN_BLOCKS as usize * BLOCK_LEN];
    super_block(&mut Fields(&mut image[1024..2048]), blocks);
    let mut group = block(&mut image, 1);
    group.u32(0x00, BLOCK_BITMAP);
    group.u32(0x04, INODE_BITMAP);
    group.u32(0x08, INODE_TABLE);
    #[expect(clippy::cast_possible_truncation, reason = "a group has at most 32768 blocks")]
    group.u16(0x0c, (blocks - OWN_BLOCKS) as u16);
    group.u16(0x0e, (INODES + 1 - FIRST_INODE) as u16);
    group.u16(0x10, 1);
    let bits = 8 * BLOCK_LEN;
    let mut bitmap = block(&mut image, BLOCK_BITMAP);
    bitmap.set_bits(0..OWN_BLOCKS as usize);
    bitmap.set_bits(blocks as usize..bits);
    let mut bitmap = block(&mut image, INODE_BITMAP);
    bitmap.set_bits(0..FIRST_INODE as usize - 1);
    bitmap.set_bits(INODES as usize..bits);
    let mut inodes = block(&mut image, INODE_TABLE);
    let root = (ROOT_INODE as usize - 1) * INODE_LEN;
    inodes.u16(root, 0o40755);
    inodes.u32(root + 0x04, BLOCK_LEN as u32);
    inodes.u16(root + 0x1a, 2);
    inodes.u32(root + 0x1c, BLOCK_LEN as u32 / 512);
    inodes.u32(root + 0x28, ROOT_DIRECTORY);
    inodes.u16(root + 0x80, 32);
    let mut directory = block(&mut image, ROOT_DIRECTORY);
    let mut entry = |at: usize, len: usize, name: &[u8]| {
        directory.u32(at, ROOT_INODE);
        directory.u16(at + 4, len as u16);
        directory.0[at + 6] = name.len() as u8;
        directory.0[at + 7] = 2;
        directory.0[at + 8..at + 8 + name.len()].copy_from_slice(name);
    };
    entry(0, 12, b".");
    entry(12, BLOCK_LEN - 12, b"..");
    image
}

fn super_block(fields: &mut Fields<'_>, blocks: u32) {
    let words = [
        (0x00, INODES),
        (0x04, blocks),
        (0x0c, blocks - OWN_BLOCKS),
        (0x10, INODES + 1 - FIRST_INODE),
        // Blocks and clusters of 4 KiB.
        (0x18, 2),
        (0x1c, 2),
        (0x20, GROUP_BLOCKS as u32),
        (0x24, GROUP_BLOCKS as u32),
        (0x28, INODES),
        // Revision 1: sizes and features are given.
        (0x4c, 1),
        (0x54, FIRST_INODE),
        // Types in directories, extents; then few copies of this block, large files.
        (0x60, 0x02 | 0x40),
        (0x64, 0x01 | 0x02),
    ];
    words.into_iter().for_each(|(at, value)| fields.u32(at, value));
    fields.u16(0x36, u16::MAX);
    fields.u16(0x38, 0xef53);
    // Clean; go on after an error, which the kernel's log tells.
    fields.u16(0x3a, 1);
    fields.u16(0x3c, 1);
    fields.u16(0x58, INODE_LEN as u16);
    fields.0[0x68..0x78].copy_from_slice(b"patchproof-data1");
}

/// A file system in use. Dropping it unmounts it.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Makes a file system on a disk and mounts it.
    ///
    /// # Errors
    /// Those of the kernel, and a disk that is too small or too large.
    pub fn fresh(device: &Path, at: &Path) -> Result<Self> {
        let doing = || format!("making a file system on {}", device.display());
        let blocks = machine::disk_len(device)? / BLOCK_LEN as u64;
        let fits = (BLOCKS_MIN..=GROUP_BLOCKS).contains(&blocks);
        let blocks = u32::try_from(blocks).ok().filter(|_| fits);
        let blocks =
            blocks.ok_or_else(|| SysError::content(doing(), "the disk must have from 256 KiB to 128 MiB"))?;
        let disk = OpenOptions::new().write(true).open(device).doing(doing)?;
        disk.write_all_at(&image(blocks), 0).doing(doing)?;
        disk.sync_all().doing(doing)?;
        drop(disk);
        std::fs::create_dir_all(at).doing(|| format!("making {}", at.display()))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
        mount(device, at, "ext4", flags, None).doing(|| format!("mounting {}", device.display()))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Takes over what another process mounted there, if anything.
    #[must_use]
    pub fn left_at(at: &Path) -> Self {
        Self { at: at.to_owned() }
    }

    /// Bytes that are free for whoever asks.
    ///
    /// # Errors
    /// Those of `statvfs`.
    pub fn room(&self) -> Result<u64> {
        let told = rustix::fs::statvfs(&self.at)
            .doing(|| format!("asking what is free at {}", self.at.display()))?;
        Ok(told.f_bavail * told.f_frsize)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // One that is busy goes when its last user does.
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_counts_what_is_free_and_marks_what_is_not() {
        let image = image(2048);
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        assert_eq!((word(1024 + 0x04), word(1024 + 0x0c)), (2048, 2048 - OWN_BLOCKS));
        assert_eq!(&image[1024 + 0x38..1024 + 0x3a], [0x53, 0xef]);
        let bitmap = |number: u32| &image[number as usize * BLOCK_LEN..][..BLOCK_LEN];
        let free = |number| bitmap(number).iter().map(|byte| byte.count_zeros()).sum::<u32>();
        assert_eq!(free(BLOCK_BITMAP), 2048 - OWN_BLOCKS);
        assert_eq!(free(INODE_BITMAP), INODES + 1 - FIRST_INODE);
        assert_eq!(ROOT_DIRECTORY, 12);
    }
}
