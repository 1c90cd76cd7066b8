//! Soft-dirty bits: clearing them, and knowing whether somebody did in between.
//!
//! The kernel promises that a private anonymous page that was written since the bits were cleared says
//! so. Clearing is an affair of the whole process, so whoever relies on the promise must know that
//! nobody cleared meanwhile; all of the suite's clearing goes through here.

use super::{Result, file};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where bits are cleared.
pub const FILE: &str = "/proc/self/clear_refs";

static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// Clears the bits of the whole process.
///
/// # Errors
/// Those of the kernel; `EINVAL` without `MEM_SOFT_DIRTY`.
pub fn clear() -> Result<()> {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    let outcome = file::write(FILE, "4");
    ENDED.fetch_add(1, Ordering::SeqCst);
    outcome
}

/// A stretch of time, from its making on.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Since(Option<u64>);

impl Since {
    /// Starts one.
    pub fn now() -> Self {
        let ended = ENDED.load(Ordering::SeqCst);
        let begun = BEGUN.load(Ordering::SeqCst);
        Self((begun == ended).then_some(begun))
    }

    /// Whether nobody has cleared bits in it.
    #[must_use]
    pub fn is_undisturbed(self) -> bool {
        self.0 == Some(BEGUN.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearing_disturbs() {
        let since = Since::now();
        // The host may lack soft-dirty bits; that it was tried is what counts.
        let _ = clear();
        assert!(!since.is_undisturbed());
    }
}
