//! The end: every page once more, before and after swap is switched off, and nothing left behind.

use super::owner::Owner;
use super::pressure::Pressure;
use super::stage::Stage;
use super::view::Holding;
use crate::protocol::Seen;
use crate::sys::{SysError, file, proc, process, swap};
use crate::workload::{CaseError, Env, STEP_PATIENCE_S, swapoff};
use std::collections::BTreeMap;
use std::path::Path;

/// How long deferred frees may take, in milliseconds.
const SETTLE_MS_MAX: u64 = 5000;
/// How often a counter that has to settle is read, in milliseconds.
const SETTLE_LOOK_MS: u32 = 10;
/// Seconds that switching swap off may take once a finding was told.
const SWAPOFF_AFTER_FINDING_S: u32 = 3;
/// Pages of shared memory by which the rest of the guest may have grown meanwhile.
const SHARED_SLACK_PAGES: u64 = 64;

/// What the kernel counts of shared and huge memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Pages of shared memory (`nr_shmem`).
    pub shared: u64,
    /// Huge pages that are mapped or cached, of any kind.
    pub huge: u64,
}

impl Held {
    /// Looks, after the CPUs have handed in what they hold back.
    ///
    /// # Errors
    /// Those of the kernel, and counters that are not there.
    pub fn now() -> Result<Self, SysError> {
        // Refused where a counter is negative: such a kernel is told of by its numbers.
        let _ = file::write("/proc/sys/vm/stat_refresh", "1");
        Self::parse(&file::read("/proc/vmstat")?)
            .ok_or_else(|| SysError::content("reading /proc/vmstat", "a counter of huge pages is missing"))
    }

    fn parse(text: &str) -> Option<Self> {
        let huge = [
            "nr_shmem_hugepages",
            "nr_shmem_pmdmapped",
            "nr_file_hugepages",
            "nr_file_pmdmapped",
            "nr_anon_transparent_hugepages",
        ];
        let huge = huge.into_iter().map(|key| file::value_of(text, key));
        Some(Self {
            shared: file::value_of(text, "nr_shmem")?,
            huge: huge.sum::<Option<u64>>()?,
        })
    }

    /// What is there beyond what was there `before`.
    fn left_since(self, before: Self) -> Vec<(&'static str, u64)> {
        let shared = self.shared.saturating_sub(before.shared + SHARED_SLACK_PAGES);
        let huge = self.huge.saturating_sub(before.huge);
        let left = [("pages of shared memory", shared), ("huge pages", huge)];
        left.into_iter().filter(|(_, left)| *left > 0).collect()
    }
}

/// Verifies every page now that no thread changes anything, has all of them read back from swap and
/// verifies them again.
///
/// # Errors
/// When a call failed that must not.
pub fn check<'a>(pressure: &Pressure<'a>, holdings: Vec<Holding<'a>>) -> Result<(), CaseError> {
    let env = pressure.phase.env;
    let mut owner = Owner::new(pressure, env.lane, holdings, env.job.case.seed)?;
    owner.verify_all()?;
    swap_off(env, &pressure.stage.disk, pressure.phase.has_found())?;
    owner.verify_all()
}

/// Switches swap off. Where pages were lost their slots may never come free, and the kernel looks for
/// their owners for ever: after a finding that is no news.
fn swap_off(env: &Env<'_>, disk: &Path, has_found: bool) -> Result<(), CaseError> {
    let patience_s = if has_found {
        SWAPOFF_AFTER_FINDING_S
    } else {
        STEP_PATIENCE_S
    };
    let start = proc::uptime_ns();
    let outcome = swapoff::run(disk, &mut || {
        env.lane.beat();
        (proc::uptime_ns() - start) / 1_000_000_000 < u64::from(patience_s)
    });
    match outcome {
        Err(e) if e.errno() == Some(libc::ETIMEDOUT) && !has_found => {
            let what = Seen::Hang {
                worker: "swapoff".to_owned(),
                stack: "see the kernel's log".to_owned(),
            };
            let title = format!("swapoff took more than {patience_s} s");
            env.find(what, title, BTreeMap::new())?;
            Ok(())
        }
        Err(e) if e.errno() != Some(libc::ETIMEDOUT) && !swapoff::is_excusable(&e) => Err(e.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Unmaps everything and checks that nothing is left.
///
/// # Errors
/// When a call failed that must not.
pub fn end(env: &Env<'_>, stage: Stage, has_found: bool) -> Result<(), CaseError> {
    let device = stage.disk.to_string_lossy().into_owned();
    let (disk, before) = (stage.disk.clone(), stage.before);
    drop(stage);
    if swap::active()?.iter().any(|area| area.path == device) {
        swap_off(env, &disk, has_found)?;
    }
    let start = proc::uptime_ns();
    let mut left = Held::now()?.left_since(before);
    while !left.is_empty() && (proc::uptime_ns() - start) / 1_000_000 < SETTLE_MS_MAX {
        process::pause_ms(SETTLE_LOOK_MS)?;
        env.lane.beat();
        left = Held::now()?.left_since(before);
    }
    for (what, left) in left {
        let title = format!("{left} {what} are left after everything was unmapped");
        let what = what.to_owned();
        env.find(Seen::Leak { what, left }, title, BTreeMap::new())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "nr_shmem 100\nnr_shmem_hugepages 1\nnr_shmem_pmdmapped 2\nnr_file_hugepages 0\n\
                        nr_file_pmdmapped 0\nnr_anon_transparent_hugepages 4\n";

    #[test]
    fn a_huge_page_that_stays_is_a_leak_and_a_few_small_ones_are_not() {
        let now = Held::parse(TEXT).unwrap();
        assert_eq!(now, Held { shared: 100, huge: 7 });
        assert_eq!(now.left_since(Held { shared: 40, huge: 7 }), []);
        let before = Held { shared: 0, huge: 6 };
        let left = [("pages of shared memory", 36), ("huge pages", 1)];
        assert_eq!(now.left_since(before), left);
        assert_eq!(Held::parse("nr_shmem 100\n"), None);
    }
}
