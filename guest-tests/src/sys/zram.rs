//! zram devices made for a case: set-up, knobs, counters. Dropping one resets and removes it.

use super::knob::Knob;
use super::{Result, SysError, file};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const CONTROL: &str = "/sys/class/zram-control";
/// Bytes of one read of block_state.
const BLOCK_STATE_READ_LEN: usize = 16 << 10;
/// Where the devices of a case are written down, so that they can be removed when its process has died.
const MADE: &str = "/run/patchproof-zram";

/// Whether this kernel has zram and lets devices be added.
#[must_use]
pub fn available() -> bool {
    Path::new(CONTROL).join("hot_add").exists()
}

/// How a device is set up; what is `None` keeps the kernel's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setup<'a> {
    /// Size in bytes.
    pub len: u64,
    /// `comp_algorithm`.
    pub compressor: Option<&'a str>,
    /// `recomp_algorithm` (needs `CONFIG_ZRAM_MULTI_COMP`).
    pub recompressor: Option<&'a str>,
    /// `backing_dev` (needs `CONFIG_ZRAM_WRITEBACK`).
    pub backing: Option<&'a Path>,
    /// `mem_limit`, in bytes; 0 for none.
    pub mem_limit: u64,
}

/// One device.
#[derive(Debug)]
pub struct Zram {
    id: u64,
    sys: PathBuf,
    device: PathBuf,
}

impl Zram {
    /// Adds a device to the machine.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn add() -> Result<Self> {
        // Reading this file is what makes a device.
        let id = file::number(Path::new(CONTROL).join("hot_add"))?;
        note_made(id);
        Ok(Self {
            id,
            sys: PathBuf::from(format!("/sys/block/zram{id}")),
            device: PathBuf::from(format!("/dev/zram{id}")),
        })
    }

    /// Sets it up; it is ready for use afterwards.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn start(&self, setup: &Setup<'_>) -> Result<()> {
        if let Some(name) = setup.compressor {
            self.set("comp_algorithm", name)?;
        }
        if let Some(name) = setup.recompressor {
            self.set("recomp_algorithm", &format!("algo={name} priority=1"))?;
        }
        if let Some(disk) = setup.backing {
            self.set("backing_dev", &disk.display().to_string())?;
        }
        self.set("disksize", &setup.len.to_string())?;
        self.set("mem_limit", &setup.mem_limit.to_string())
    }

    /// Its device node.
    #[must_use]
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The slab caches of its pool: handles, and what describes zspages.
    #[must_use]
    pub fn caches(&self) -> [String; 2] {
        [format!("zs_handle-zram{}", self.id), format!("zspage-zram{}", self.id)]
    }

    /// Whether this kernel's zram has this file.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.sys.join(name).exists()
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        file::write(self.sys.join(name), value)
    }

    /// Says whether pages may change while they are written (they may not, by default). The kernel asks
    /// when the device becomes a swap area.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn stable_writes(&self, stable: bool) -> Result<Knob> {
        Knob::set(self.sys.join("queue/stable_writes"), if stable { "1" } else { "0" })
    }

    /// Marks every slot idle.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn mark_idle(&self) -> Result<()> {
        self.set("idle", "all")
    }

    /// Writes slots back to the backing device; `false` where the kernel stopped early for a reason of
    /// its own rules: the limit is used up, no block is free, another one is at it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn write_back(&self, what: WriteBack) -> Result<bool> {
        tolerate(self.set("writeback", &what.command()), &[libc::EIO, libc::ENOSPC, libc::EAGAIN])
    }

    /// How many pages may be written back from now on.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn write_back_limit(&self, pages: u64) -> Result<()> {
        self.set("writeback_limit", &pages.to_string())?;
        self.set("writeback_limit_enable", "1")
    }

    /// Recompresses at most `pages_max` slots; `false` where memory was short or another one is at it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn recompress(&self, which: &str, pages_max: u64) -> Result<bool> {
        let command = format!("{which}max_pages={pages_max}");
        tolerate(self.set("recompress", &command), &[libc::ENOMEM, libc::EAGAIN])
    }

    /// Compacts the pool.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn compact(&self) -> Result<()> {
        self.set("compact", "1")
    }

    fn parsed<T>(&self, path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = file::read(path)?;
        let wrong = || SysError::content(format!("reading {}", path.display()), format!("{text:?} is not as documented"));
        parse(&text).ok_or_else(wrong)
    }

    /// What it holds.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn usage(&self) -> Result<Usage> {
        self.parsed(&self.sys.join("mm_stat"), Usage::parse)
    }

    /// What went to and came from the backing device; all zero where the kernel has none.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn backing(&self) -> Result<Backing> {
        if !self.has("bd_stat") {
            return Ok(Backing::default());
        }
        self.parsed(&self.sys.join("bd_stat"), Backing::parse)
    }

    /// What was read and written so far.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn traffic(&self) -> Result<Traffic> {
        let stalls = self.parsed(&self.sys.join("debug_stat"), parse_stalls)?;
        let (loads, stores) = self.parsed(&self.sys.join("stat"), parse_requests)?;
        Ok(Traffic {
            loads,
            stores,
            stalls: stalls.0,
            missed_frees: stalls.1,
        })
    }

    /// What zsmalloc counts of its pool.
    ///
    /// # Errors
    /// Those of the kernel; `ENOENT` without `CONFIG_ZSMALLOC_STAT`.
    pub fn pool(&self) -> Result<Pool> {
        let path = format!("/sys/kernel/debug/zsmalloc/zram{}/classes", self.id);
        self.parsed(Path::new(&path), Pool::parse)
    }

    /// How many slots hold recompressed content; `None` without `CONFIG_ZRAM_MEMORY_TRACKING`.
    #[must_use]
    pub fn recompressed(&self) -> Option<u64> {
        let path = format!("/sys/kernel/debug/zram/zram{}/block_state", self.id);
        let mut state = File::open(path).ok()?;
        // Each read gives whole lines, or nothing where not even one fits: the buffer must be large.
        let mut lines = vec![0; BLOCK_STATE_READ_LEN];
        let mut count = 0;
        loop {
            match state.read(&mut lines).ok()? {
                0 => return Some(count),
                n => count += count_flag(&String::from_utf8_lossy(&lines[..n]), 'r'),
            }
        }
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        // A device in use stays; the checks at the end of the case have told of what holds it.
        let _ = remove(self.id);
    }
}

fn remove(id: u64) -> Result<()> {
    file::write(format!("/sys/block/zram{id}/reset"), "1")?;
    file::write(Path::new(CONTROL).join("hot_remove"), &id.to_string())
}

fn note_made(id: u64) {
    use std::io::Write;
    // Only for cleaning up after a process that died; by hand on a machine without /run nothing is kept.
    let file = std::fs::OpenOptions::new().create(true).append(true).open(MADE);
    let _ = file.and_then(|mut file| writeln!(file, "{id}"));
}

/// Removes the devices that a case left when its process died. Only devices that this suite made.
pub fn sweep() {
    let made = std::fs::read_to_string(MADE).unwrap_or_default();
    for id in made.lines().filter_map(|line| line.parse().ok()) {
        let _ = remove(id);
    }
    let _ = std::fs::remove_file(MADE);
}

/// Turns an answer that the documentation allows into `false`.
fn tolerate(answer: Result<()>, allowed: &[i32]) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(e) if e.errno().is_some_and(|errno| allowed.contains(&errno)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Which slots are written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteBack {
    /// Those marked idle.
    Idle,
    /// Those that take a page of their own.
    Huge,
    /// Those that are both.
    HugeIdle,
    /// Those that no compressor made smaller.
    Incompressible,
    /// One slot.
    Page(u64),
}

impl WriteBack {
    fn command(self) -> String {
        match self {
            Self::Idle => "idle".to_owned(),
            Self::Huge => "huge".to_owned(),
            Self::HugeIdle => "huge_idle".to_owned(),
            Self::Incompressible => "incompressible".to_owned(),
            Self::Page(index) => format!("page_index={index}"),
        }
    }
}

/// mm_stat: what a device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Pages stored, same-filled ones and those on the backing device included.
    pub pages: u64,
    /// Bytes that their content takes, compressed.
    pub compressed: u64,
    /// Bytes of memory that the pool takes.
    pub memory: u64,
    /// Pages of one repeated word, which take no memory.
    pub same_pages: u64,
    /// Pages that take a page of their own.
    pub huge_pages: u64,
}

impl Usage {
    fn parse(text: &str) -> Option<Self> {
        let n = numbers(text)?;
        Some(Self {
            pages: n.first()? / 4096,
            compressed: *n.get(1)?,
            memory: *n.get(2)?,
            same_pages: *n.get(5)?,
            huge_pages: *n.get(7)?,
        })
    }
}

/// bd_stat: the backing device, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backing {
    /// Pages there now.
    pub pages: u64,
    /// Pages read from it so far.
    pub reads: u64,
    /// Pages written to it so far.
    pub writes: u64,
}

impl Backing {
    fn parse(text: &str) -> Option<Self> {
        match numbers(text)?[..] {
            [pages, reads, writes, ..] => Some(Self { pages, reads, writes }),
            _ => None,
        }
    }
}

/// Requests so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Read requests.
    pub loads: u64,
    /// Write requests.
    pub stores: u64,
    /// Writes that had to allocate memory with the compressor put away (and so compressed twice).
    pub stalls: u64,
    /// Frees that gave up since the slot was locked: its content stays until the slot is used again.
    pub missed_frees: u64,
}

/// debug_stat, version 1.
fn parse_stalls(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("version: 1\n")?;
    match numbers(rest)?[..] {
        [stalls, missed, ..] => Some((stalls, missed)),
        _ => None,
    }
}

/// /sys/block/DEVICE/stat: reads are the first field, writes the fifth.
fn parse_requests(text: &str) -> Option<(u64, u64)> {
    let n = numbers(text)?;
    Some((*n.first()?, *n.get(4)?))
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// The last line of zsmalloc's `classes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Objects in use.
    pub objects: u64,
    /// Pages that hold them.
    pub pages: u64,
}

impl Pool {
    fn parse(text: &str) -> Option<Self> {
        let total = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("Total"))?;
        let mut from_the_end = total.split_whitespace().rev().skip(1);
        let mut next = || from_the_end.next()?.parse().ok();
        let (pages, objects) = (next()?, next()?);
        Some(Self { objects, pages })
    }
}

/// Counts the lines of a block_state whose flags have one.
fn count_flag(block_state: &str, flag: char) -> u64 {
    let has = |line: &&str| line.rsplit(' ').next().is_some_and(|flags| flags.contains(flag));
    block_state.lines().filter(has).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_as_documented() {
        let usage = Usage::parse("  409600   200123   262144        0   266240        7        0       11       12");
        let want = Usage { pages: 100, compressed: 200_123, memory: 262_144, same_pages: 7, huge_pages: 11 };
        assert_eq!(usage, Some(want));
        assert_eq!(Usage::parse("1 2 3"), None);
        let backing = Backing { pages: 3, reads: 4, writes: 5 };
        assert_eq!(Backing::parse("       3        4        5"), Some(backing));
        assert_eq!(parse_stalls("version: 1\n      12        3"), Some((12, 3)));
        assert_eq!(parse_stalls("version: 2\n      12        3"), None, "another version may count otherwise");
        assert_eq!(parse_requests("      71 0 568 12 93 0 744 20 0 8 32 0 0 0 0 0 0"), Some((71, 93)));
    }

    #[test]
    fn a_pool_is_the_sum_of_its_classes() {
        let classes = " class  size       10%  obj_allocated   obj_used pages_used pages_per_zspage freeable\n\
                       \x20   0    32         1            128          1          1                1        0\n\
                       \n Total               1           2528       2500       1700                         12\n";
        assert_eq!(Pool::parse(classes), Some(Pool { objects: 2500, pages: 1700 }));
        assert_eq!(Pool::parse("no total"), None);
    }

    #[test]
    fn flags_are_looked_for_in_their_column_only() {
        let state = "         301    75.033841 ...ir.\n         302    63.806904 s.....\n         303    63.806919 ..hir.\n";
        assert_eq!(count_flag(state, 'r'), 2);
        assert_eq!(count_flag(state, '3'), 0);
    }

    #[test]
    fn commands_are_those_of_the_documentation() {
        assert_eq!(WriteBack::HugeIdle.command(), "huge_idle");
        assert_eq!(WriteBack::Page(17).command(), "page_index=17");
    }

    #[test]
    fn only_what_the_documentation_allows_is_tolerated() {
        let answer = |errno| {
            Err(SysError { doing: String::new(), source: std::io::Error::from_raw_os_error(errno) })
        };
        assert!(!tolerate(answer(libc::EIO), &[libc::EIO]).unwrap());
        assert!(tolerate(answer(libc::EINVAL), &[libc::EIO]).is_err());
        assert!(tolerate(Ok(()), &[]).unwrap());
    }
}
