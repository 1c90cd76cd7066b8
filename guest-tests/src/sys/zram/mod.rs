//! zram devices made for a case: set-up, knobs, counters. Dropping one resets and removes it.

mod stat;

pub use stat::{Backing, Pool, Traffic, Usage};

use super::knob::Knob;
use super::{Result, SysError, file};
use stat::{count_flag, parse_requests, parse_stalls};
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
        [
            format!("zs_handle-zram{}", self.id),
            format!("zspage-zram{}", self.id),
        ]
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
        Knob::set(
            self.sys.join("queue/stable_writes"),
            if stable { "1" } else { "0" },
        )
    }

    /// Whether it has a backing device.
    #[must_use]
    pub fn writes_back(&self) -> bool {
        file::read(self.sys.join("backing_dev")).is_ok_and(|disk| disk.trim() != "none")
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
        tolerate(
            self.set("writeback", &what.command()),
            &[libc::EIO, libc::ENOSPC, libc::EAGAIN],
        )
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
        let wrong = || {
            SysError::content(
                format!("reading {}", path.display()),
                format!("{text:?} is not as documented"),
            )
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_documentation() {
        assert_eq!(WriteBack::HugeIdle.command(), "huge_idle");
        assert_eq!(WriteBack::Page(17).command(), "page_index=17");
    }

    #[test]
    fn only_what_the_documentation_allows_is_tolerated() {
        let answer = |errno| {
            Err(SysError {
                doing: String::new(),
                source: std::io::Error::from_raw_os_error(errno),
            })
        };
        assert!(!tolerate(answer(libc::EIO), &[libc::EIO]).unwrap());
        assert!(tolerate(answer(libc::EINVAL), &[libc::EIO]).is_err());
        assert!(tolerate(Ok(()), &[]).unwrap());
    }
}
