//! Transparent huge pages: the kernel's settings, splitting on request.

use super::knob::Knob;
use super::{Result, file};
use std::ops::Range;
use std::path::Path;

const ROOT: &str = "/sys/kernel/mm/transparent_hugepage";
const SPLIT: &str = "/sys/kernel/debug/split_huge_pages";

/// Whether this kernel has transparent huge pages.
#[must_use]
pub fn available() -> bool {
    Path::new(ROOT).join("enabled").exists()
}

/// Whether this kernel splits huge pages on request.
#[must_use]
pub fn can_split() -> bool {
    Path::new(SPLIT).exists()
}

/// Sets one of the settings (`enabled`, `khugepaged/pages_to_scan` …); dropping the knob restores it.
///
/// # Errors
/// Those of the kernel.
pub fn set(name: &str, value: &str) -> Result<Knob> {
    Knob::set(Path::new(ROOT).join(name), value)
}

/// Asks for the huge pages of a range of this process's addresses to be split. Some may not be, and
/// nobody is told which.
///
/// # Errors
/// Those of the kernel.
pub fn split(addresses: Range<u64>) -> Result<()> {
    let (pid, Range { start, end }) = (std::process::id(), addresses);
    file::write(SPLIT, &format!("{pid},{start:#x},{end:#x},0"))
}
