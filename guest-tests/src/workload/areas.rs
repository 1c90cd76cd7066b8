//! The swap areas of a case: the machine's swap disk, a zram device that is made for it, or both at equal
//! priority, so that neighbours go to one and the other by turns.

use super::antagonist::SwapArea;
use super::{CaseError, Env, rest, swapoff};
use crate::sys::arena::PAGE_LEN;
use crate::sys::zram::{self, Setup, Zram};
use crate::sys::{machine, swap};

/// The smallest swap area that makes sense, in pages.
const PAGES_MIN: u64 = 64;
/// The priority of areas that take turns.
const PRIORITY: u16 = 10;

/// Swap areas, not yet switched on.
#[derive(Debug)]
pub struct Areas {
    /// The areas.
    pub list: Vec<SwapArea>,
    pages: Vec<u32>,
    _zram: Option<Zram>,
}

impl Areas {
    /// Finds or makes the areas of `kind` (`disk`, `zram`, `both`), `wanted` bytes together; 0 takes as much
    /// as the disk has.
    ///
    /// # Errors
    /// [`CaseError::Missing`] for a kernel without zram; what the machine lacks; areas that are in use.
    pub fn make(env: &Env<'_>, kind: &str, wanted: u64) -> Result<Self, CaseError> {
        let disk = env.job.swap_disk.clone();
        let disk = disk.ok_or_else(|| CaseError::Broken("there is no disk for swap".to_owned()))?;
        if let Some(area) = swap::active()?.first() {
            return Err(CaseError::Broken(format!(
                "{} is in use as swap: slots could not be told apart",
                area.path
            )));
        }
        let pages = sizes(kind, machine::disk_len(&disk)?, wanted)?;
        let mut devices = Vec::new();
        if kind != "zram" {
            devices.push(disk);
        }
        let zram = match (kind, pages.last()) {
            ("zram" | "both", Some(pages)) => Some(make_zram(u64::from(*pages) * PAGE_LEN as u64)?),
            _ => None,
        };
        devices.extend(zram.iter().map(|zram| zram.device().to_owned()));
        let priority = (devices.len() > 1).then_some(PRIORITY);
        let area = |device| SwapArea { device, priority };
        Ok(Self {
            list: devices.into_iter().map(area).collect(),
            pages,
            _zram: zram,
        })
    }

    /// Slots of all areas together, where nothing is used.
    #[must_use]
    pub fn slots(&self) -> u64 {
        // Each header takes a page.
        self.pages.iter().map(|&pages| u64::from(pages) - 1).sum()
    }

    /// Pages of the largest area, its header included.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.pages.iter().copied().max().unwrap_or(0)
    }

    /// Formats them and switches them on.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn on(&self) -> Result<(), CaseError> {
        for (area, &pages) in self.list.iter().zip(&self.pages) {
            swap::format(&area.device, pages)?;
            swap::on_with(&area.device, area.priority)?;
        }
        Ok(())
    }

    /// Switches them off at rest, with everything still mapped: each page comes back through swapoff's own
    /// path. Where memory is short for that, an area stays on.
    ///
    /// # Errors
    /// Those of the kernel that are no excuse.
    pub fn off_if_it_fits(&self, env: &Env<'_>) -> Result<(), CaseError> {
        for area in &self.list {
            match rest::swap_off(env, &area.device) {
                Ok(()) => {}
                Err(CaseError::Sys(e)) if swapoff::is_excusable(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Switches off what is still on, when nothing is mapped any more.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn off(&self, env: &Env<'_>) -> Result<(), CaseError> {
        for area in &self.list {
            let device = area.device.to_string_lossy();
            if swap::active()?.iter().any(|active| active.path == device) {
                swapoff::run(&area.device, &mut || {
                    env.lane.beat();
                    true
                })?;
            }
        }
        Ok(())
    }
}

fn make_zram(len: u64) -> Result<Zram, CaseError> {
    if !zram::available() {
        let what = "zram, or adding devices to it (CONFIG_ZRAM)";
        return Err(CaseError::Missing(what.to_owned()));
    }
    let zram = Zram::add()?;
    zram.start(&Setup {
        len,
        ..Setup::default()
    })?;
    Ok(zram)
}

/// Pages of each area, their headers included.
fn sizes(kind: &str, disk_len: u64, wanted: u64) -> Result<Vec<u32>, CaseError> {
    let areas = if kind == "both" { 2 } else { 1 };
    let wanted = if wanted == 0 { disk_len * areas } else { wanted };
    // A zram device may be as large as one likes.
    let most = if kind == "zram" { u64::MAX } else { disk_len };
    let pages = (wanted / areas).min(most) / PAGE_LEN as u64;
    let pages = pages.min(u64::from(u32::MAX));
    if pages < PAGES_MIN {
        return Err(CaseError::Broken(format!(
            "a swap area of {pages} pages (a disk of {disk_len} bytes) is too small"
        )));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded by u32::MAX above")]
    Ok(vec![pages as u32; areas as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_share_what_is_wanted_and_fit_the_disk() {
        const MIB: u64 = 1 << 20;
        let sized = |kind, disk, wanted| sizes(kind, disk, wanted).ok();
        assert_eq!(sized("disk", 64 * MIB, 8 * MIB), Some(vec![2048]));
        assert_eq!(sized("disk", 3 * MIB, 8 * MIB), Some(vec![768]));
        assert_eq!(sized("disk", 64 * MIB, 0), Some(vec![16384]));
        assert_eq!(sized("zram", 3 * MIB, 8 * MIB), Some(vec![2048]));
        assert_eq!(sized("both", 64 * MIB, 8 * MIB), Some(vec![1024, 1024]));
        assert_eq!(sized("both", 3 * MIB, 0), Some(vec![768, 768]));
        assert_eq!(sized("disk", 4096, 0), None);
    }
}
