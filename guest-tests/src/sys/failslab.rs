//! failslab: allocations of chosen slab caches that fail on purpose.
//!
//! Only allocations that may not sleep are made to fail (`ignore-gfp-wait`): the kernel must have
//! another way for each of them, since memory may really be short there.

use super::knob::Knob;
use super::{Result, file};
use std::path::{Path, PathBuf};

const DEBUG: &str = "/sys/kernel/debug/failslab";
const SLAB: &str = "/sys/kernel/slab";

/// Whether this kernel has failslab (`CONFIG_FAILSLAB`, `CONFIG_FAULT_INJECTION_DEBUG_FS`).
#[must_use]
pub fn available() -> bool {
    Path::new(DEBUG).join("cache-filter").exists()
}

fn switch_of(cache: &str) -> PathBuf {
    Path::new(SLAB).join(cache).join("failslab")
}

/// Whether this cache stands for itself and can be chosen; merged caches can't (boot with `slab_nomerge`).
#[must_use]
pub fn can_choose(cache: &str) -> bool {
    !cache.contains('/') && switch_of(cache).exists()
}

/// Failing allocations. Dropping it ends them and restores every setting.
#[derive(Debug)]
pub struct Failslab {
    /// The rate comes first: it is restored before what limits it to some caches.
    _knobs: Vec<Knob>,
}

impl Failslab {
    /// Lets `percent` of the allocations from these caches fail, those that may sleep excepted.
    ///
    /// # Errors
    /// Those of the kernel; nothing fails then.
    pub fn arm(caches: &[String], percent: u64) -> Result<Self> {
        let mut knobs = Vec::new();
        for cache in caches {
            knobs.push(Knob::set(switch_of(cache), "1")?);
        }
        for (name, value) in LIMITS {
            knobs.push(Knob::set(Path::new(DEBUG).join(name), value)?);
        }
        knobs.push(Knob::set(
            Path::new(DEBUG).join("probability"),
            &percent.min(100).to_string(),
        )?);
        knobs.reverse();
        Ok(Self { _knobs: knobs })
    }
}

/// Ends the failing that a process left when it died.
pub fn disarm() {
    if available() {
        let _ = file::write(Path::new(DEBUG).join("probability"), "0");
    }
}

/// What is set before anything may fail: which allocations, how often, without a word in the log.
const LIMITS: [(&str, &str); 7] = [
    ("cache-filter", "Y"),
    ("ignore-gfp-wait", "Y"),
    ("task-filter", "N"),
    ("interval", "1"),
    ("space", "0"),
    ("times", "-1"),
    ("verbose", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chosen_caches_and_only_what_may_not_sleep_can_fail() {
        let value = |name| LIMITS.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        assert_eq!(value("cache-filter"), Some("Y"));
        assert_eq!(value("ignore-gfp-wait"), Some("Y"));
        assert!(
            value("probability").is_none(),
            "the rate is set last, when all limits stand"
        );
    }

    #[test]
    fn a_cache_that_is_not_there_or_leaves_the_directory_can_not_be_chosen() {
        assert!(!can_choose("patchproof-no-such-cache"));
        assert!(!can_choose("../slab/x"));
    }
}
