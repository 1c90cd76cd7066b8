//! Racepoints: armed through debugfs for as long as their control file is held open.

use super::{Doing, Result, SysError, file};
use crate::protocol::Arm;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the kernel shows its racepoints.
pub const ROOT: &str = "/sys/kernel/debug/racepoint";

/// One armed racepoint. Dropping it closes the control file, which disarms it.
#[derive(Debug)]
pub struct Racepoint {
    name: String,
    dir: PathBuf,
    before: Stat,
    _ctl: File,
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

/// Whether this kernel has racepoints at all.
#[must_use]
pub fn available() -> bool {
    Path::new(ROOT).is_dir()
}

/// Whether this kernel has this racepoint.
#[must_use]
pub fn exists(name: &str) -> bool {
    !name.contains('/') && Path::new(ROOT).join(name).join("ctl").exists()
}

impl Racepoint {
    /// Arms a racepoint for everyone.
    ///
    /// # Errors
    /// Those of the kernel; `ENOENT` where it has no racepoint of that name.
    pub fn arm(arm: &Arm) -> Result<Self> {
        let dir = Path::new(ROOT).join(&arm.name);
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
            _ctl: ctl,
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
        };
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
