//! Racepoints: armed through debugfs for as long as their control file is held open.

use super::{Doing, Result, SysError, file};
use crate::protocol::Arm;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the kernel shows its racepoints.
pub const ROOT: &str = "/sys/kernel/debug/racepoint";

/// One armed racepoint. Dropping it closes the control file, which disarms it.
#[derive(Debug)]
pub struct Racepoint {
    name: String,
    dir: PathBuf,
    before: Stat,
    _ctl: Option<File>,
}

/// What a racepoint counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Times that it was reached while armed.
    pub hits: u64,
    /// Holds that ended by their own timeout.
    pub timed_out: u64,
}

impl Stat {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("stat");
        let text = file::read(&path)?;
        Self::parse(&text).ok_or_else(|| {
            SysError::content(
                format!("reading {}", path.display()),
                format!("{text:?} lacks a line"),
            )
        })
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self {
            hits: file::value_of(text, "hits")?,
            timed_out: file::value_of(text, "timed_out")?,
        })
    }
}

/// A racepoint that a script holds threads at. Dropping it disarms it and releases who is held.
///
/// Nothing here waits in the kernel: while a thread is held it spins inside an RCU read-side section.
#[derive(Debug)]
pub struct Hold {
    name: String,
    ctl: File,
    go: File,
    stat: File,
    /// Longest hold, in microseconds.
    timeout_us: u32,
}

/// Armed for a thread that never comes: the racepoint stays open, and nobody is held.
const NOBODY: &str = "delay=0 tid=1";

impl Hold {
    /// Opens a racepoint for a script; nobody is held yet.
    ///
    /// # Errors
    /// Those of the kernel; `EBUSY` where somebody else has it.
    pub fn open(name: &str, timeout_us: u32) -> Result<Self> {
        let dir = Path::new(ROOT).join(name);
        let open = |file: &str, write: bool| {
            let path = dir.join(file);
            let opened = OpenOptions::new().read(!write).write(write).open(&path);
            opened.doing(|| format!("opening {}", path.display()))
        };
        let hold = Self {
            name: name.to_owned(),
            ctl: open("ctl", true)?,
            go: open("go", true)?,
            stat: open("stat", false)?,
            timeout_us,
        };
        hold.disarm()?;
        Ok(hold)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Longest hold, in microseconds.
    #[must_use]
    pub fn timeout_us(&self) -> u32 {
        self.timeout_us
    }

    /// Holds a thread the next `times` times that it comes by.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn arm(&self, tid: u32, times: u32) -> Result<()> {
        self.control(&hold_line(tid, times, self.timeout_us))
    }

    /// Holds nobody any more; who is held stays until it is released.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn disarm(&self) -> Result<()> {
        self.control(NOBODY)
    }

    fn control(&self, line: &str) -> Result<()> {
        let doing = || format!("arming {} with \"{line}\"", self.name);
        (&self.ctl).write_all(format!("{line}\n").as_bytes()).doing(doing)
    }

    /// Whether a thread is held now.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn is_holding(&self) -> Result<bool> {
        let mut text = [0u8; 256];
        let read = self.stat.read_at(&mut text, 0);
        let len = read.doing(|| format!("reading the stat of {}", self.name))?;
        let text = String::from_utf8_lossy(&text[..len]);
        let of = |key| file::value_of(&text, key).unwrap_or(0);
        Ok(of("held") > of("released") + of("timed_out"))
    }

    /// Releases who is held.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn go(&self) -> Result<()> {
        (&self.go)
            .write_all(b"1")
            .doing(|| format!("releasing who is held at {}", self.name))
    }
}

/// The one line that holds a thread.
fn hold_line(tid: u32, times: u32, timeout_us: u32) -> String {
    format!("hold tid={tid} times={times} timeout_us={timeout_us}")
}

/// Whether this kernel has racepoints at all.
#[must_use]
pub fn available() -> bool {
    Path::new(ROOT).is_dir()
}

/// The names of all racepoints of this kernel, in order; none where it has none.
///
/// # Errors
/// Those of the kernel.
pub fn all() -> Result<Vec<String>> {
    if !available() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(ROOT).doing(|| format!("listing {ROOT}"))?;
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()
        .doing(|| format!("listing {ROOT}"))?;
    names.sort_unstable();
    Ok(names)
}

/// Whether this kernel has this racepoint.
#[must_use]
pub fn exists(name: &str) -> bool {
    !name.contains('/') && Path::new(ROOT).join(name).join("ctl").exists()
}

impl Racepoint {
    /// Arms a racepoint for everyone; one that is to hold is left to the workload's script, and only
    /// its counters are looked at.
    ///
    /// # Errors
    /// Those of the kernel; `ENOENT` where it has no racepoint of that name.
    pub fn arm(arm: &Arm) -> Result<Self> {
        let dir = Path::new(ROOT).join(&arm.name);
        if arm.hold_us_max > 0 {
            return Ok(Self {
                name: arm.name.clone(),
                before: Stat::read(&dir)?,
                dir,
                _ctl: None,
            });
        }
        let path = dir.join("ctl");
        let line = control_line(arm);
        let doing = || format!("arming {} with \"{line}\"", path.display());
        let mut ctl = OpenOptions::new().write(true).open(&path).doing(doing)?;
        ctl.write_all(format!("{line}\n").as_bytes()).doing(doing)?;
        let before = Stat::read(&dir)?;
        Ok(Self {
            name: arm.name.clone(),
            dir,
            before,
            _ctl: Some(ctl),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it counted since it was armed.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn stat(&self) -> Result<Stat> {
        let now = Stat::read(&self.dir)?;
        Ok(Stat {
            hits: now.hits.saturating_sub(self.before.hits),
            timed_out: now.timed_out.saturating_sub(self.before.timed_out),
        })
    }
}

/// The one line that arms a racepoint with a random delay.
fn control_line(arm: &Arm) -> String {
    format!("delay={}-{} any", arm.delay_us_min, arm.delay_us_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_line_is_what_the_kernel_parses() {
        let arm = Arm {
            name: "zswap_writeback".into(),
            delay_us_min: 100,
            delay_us_max: 300,
            hold_us_max: 0,
        };
        assert_eq!(hold_line(7, 2, 30_000), "hold tid=7 times=2 timeout_us=30000");
        assert_eq!(control_line(&arm), "delay=100-300 any");
    }

    #[test]
    fn a_stat_without_its_lines_is_not_taken_for_zero() {
        let text = "hits 12\ndelayed 11\nheld 0\nreleased 0\ntimed_out 1\n";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                hits: 12,
                timed_out: 1
            })
        );
        assert_eq!(Stat::parse("hits 12\n"), None);
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        assert!(!exists("../../../etc"));
    }
}
