//! /proc/PID/pagemap: where a page is right now.

use super::arena::{Arena, PAGE_LEN};
use super::{Doing, Result};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// The most pages that one read may ask for.
pub const PAGES_PER_READ_MAX: usize = 512;

/// Numbers of swap areas that every kernel has room for; those above may stand for other kinds of entries.
const AREAS_MIN: u64 = 23;

/// One page's entry of a pagemap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry(pub u64);

/// A place in a swap area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Number of the swap area.
    pub area: u8,
    /// Page within the area.
    pub offset: u64,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.area, self.offset)
    }
}

impl Entry {
    fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 == 1
    }

    /// It is mapped and in memory.
    #[must_use]
    pub fn present(self) -> bool {
        self.bit(63)
    }

    /// Its page-table entry names a swap slot (its content may still be in the swap cache). Entries of
    /// other kinds that the kernel shows as swapped too (migration, poison, userfaultfd's markers) don't count.
    #[must_use]
    pub fn swapped(self) -> bool {
        self.bit(62) && self.0 & 31 < AREAS_MIN
    }

    /// It is a page of a file or shared memory.
    #[must_use]
    pub fn file_or_shared(self) -> bool {
        self.bit(61)
    }

    /// The page frame, where it is mapped and the reader may know it.
    #[must_use]
    pub fn frame(self) -> Option<u64> {
        let frame = self.0 & ((1 << 55) - 1);
        (self.present() && frame != 0).then_some(frame)
    }

    /// Both are of one place: a frame, a slot or none. One of the kernel's other kinds, such as migration's, is nowhere.
    #[must_use]
    pub fn is_where(self, other: Self) -> bool {
        const PLACE: u64 = 3 << 62 | ((1 << 55) - 1);
        (self.0 ^ other.0) & PLACE == 0 && (self.swapped() || !self.bit(62))
    }

    /// It is write-protected by userfaultfd.
    #[must_use]
    pub fn uffd_wp(self) -> bool {
        self.bit(57)
    }

    /// It is mapped here and nowhere else.
    #[must_use]
    pub fn exclusive(self) -> bool {
        self.bit(56)
    }

    /// It was written since the soft-dirty bits were cleared (promised for private anonymous memory only).
    #[must_use]
    pub fn soft_dirty(self) -> bool {
        self.bit(55)
    }

    /// The swap slot, where it is swapped.
    #[must_use]
    pub fn slot(self) -> Option<Slot> {
        let frame = self.0 & ((1 << 55) - 1);
        self.swapped().then_some(Slot {
            area: (frame & 31) as u8,
            offset: frame >> 5,
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot() {
            Some(slot) => write!(f, "swapped at slot {slot}")?,
            None if self.present() => write!(f, "present")?,
            None => write!(f, "none")?,
        }
        let marks = [
            (self.file_or_shared(), "file or shared"),
            (self.uffd_wp(), "write-protected"),
            (self.exclusive(), "exclusive"),
            (self.soft_dirty(), "soft-dirty"),
        ];
        marks
            .iter()
            .filter(|(on, _)| *on)
            .try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

/// This process's pagemap, held open.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
}

impl Pagemap {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the kernel; without `PROC_PAGE_MONITOR` there is no such file.
    pub fn open() -> Result<Self> {
        let file = File::open("/proc/self/pagemap").doing(|| "opening /proc/self/pagemap".to_owned())?;
        Ok(Self { file })
    }

    /// Reads the entries of a range of pages into the front of `into`.
    ///
    /// # Errors
    /// Those of the kernel.
    ///
    /// # Panics
    /// When the range is longer than `into`, or than [`PAGES_PER_READ_MAX`].
    pub fn read(&self, arena: &Arena, range: Range<usize>, into: &mut [Entry]) -> Result<()> {
        self.read_at(arena.address(range.start), &mut into[..range.len()])
    }

    /// Reads the entries of the pages from an address on: as many as `into` has room for.
    ///
    /// # Errors
    /// Those of the kernel.
    ///
    /// # Panics
    /// When `into` is longer than [`PAGES_PER_READ_MAX`].
    pub fn read_at(&self, address: u64, into: &mut [Entry]) -> Result<()> {
        let mut raw = [0u8; PAGES_PER_READ_MAX * 8];
        let raw = &mut raw[..into.len() * 8];
        self.file
            .read_exact_at(raw, address / PAGE_LEN as u64 * 8)
            .doing(|| format!("reading the pagemap of {} pages at {address:#x}", into.len()))?;
        for (entry, bytes) in into.iter_mut().zip(raw.chunks_exact(8)) {
            *entry = Entry(u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        }
        Ok(())
    }

    /// Reads one page's entry.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn entry(&self, arena: &Arena, page: usize) -> Result<Entry> {
        let mut one = [Entry::default()];
        self.read(arena, page..page + 1, &mut one)?;
        Ok(one[0])
    }

    /// Counts an arena's swapped pages.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn swapped(&self, arena: &Arena) -> Result<u64> {
        let mut entries = [Entry::default(); PAGES_PER_READ_MAX];
        let mut swapped = 0;
        for start in (0..arena.pages()).step_by(PAGES_PER_READ_MAX) {
            let end = arena.pages().min(start + PAGES_PER_READ_MAX);
            self.read(arena, start..end, &mut entries)?;
            swapped += entries[..end - start].iter().filter(|e| e.swapped()).count() as u64;
        }
        Ok(swapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_decode_as_documented() {
        let swapped = Entry(1 << 62 | 1 << 55 | 1234 << 5 | 3);
        assert!(swapped.swapped() && !swapped.present() && swapped.soft_dirty());
        assert_eq!(
            swapped.slot(),
            Some(Slot {
                area: 3,
                offset: 1234
            })
        );
        assert_eq!(swapped.to_string(), "swapped at slot 3:1234, soft-dirty");
        let present = Entry(1 << 63 | 1 << 56 | 0x1234);
        assert!(present.present() && present.exclusive() && present.slot().is_none());
        assert_eq!(present.to_string(), "present, exclusive");
        assert_eq!(Entry(0).to_string(), "none");
    }

    #[test]
    fn a_place_is_a_frame_a_slot_or_none_whatever_its_flags() {
        let (frame, slot) = (Entry(1 << 63 | 0x1234), Entry(1 << 62 | 7 << 5 | 3));
        for place in [frame, slot, Entry(0)] {
            assert!(place.is_where(Entry(place.0 | 1 << 55 | 1 << 56)));
        }
        assert!(!frame.is_where(Entry(1 << 63 | 0x1235)));
        assert!(!slot.is_where(Entry(1 << 62 | 8 << 5 | 3)));
        assert!(!frame.is_where(Entry(0)) && !slot.is_where(frame));
        let migrates = Entry(1 << 62 | 0x1234 << 5 | 30);
        assert!(!migrates.is_where(migrates));
    }

    #[test]
    fn the_largest_offset_keeps_clear_of_the_flags() {
        let entry = Entry(1 << 62 | 1 << 55 | ((1 << 55) - 10));
        assert_eq!(
            entry.slot(),
            Some(Slot {
                area: 22,
                offset: (1 << 50) - 1
            })
        );
    }

    #[test]
    fn a_marker_is_no_slot() {
        let poisoned = Entry(1 << 62 | 31);
        assert!(!poisoned.swapped() && poisoned.slot().is_none());
    }

    #[test]
    fn a_touched_page_is_present_and_an_untouched_one_is_not() {
        let arena = Arena::map(2).unwrap();
        arena.poke(1, 0, 7);
        let pagemap = Pagemap::open().unwrap();
        assert!(pagemap.entry(&arena, 1).unwrap().present());
        assert!(!pagemap.entry(&arena, 0).unwrap().present());
        assert_eq!(pagemap.swapped(&arena).unwrap(), 0);
    }
}
