//! zswap: its module parameters and what debugfs says of its pool.

use super::knob::Knob;
use super::{Result, file};
use std::path::Path;

const PARAMETERS: &str = "/sys/module/zswap/parameters";
const DEBUG: &str = "/sys/kernel/debug/zswap";

/// Whether this kernel has zswap.
#[must_use]
pub fn available() -> bool {
    Path::new(PARAMETERS).join("enabled").exists()
}

/// Whether this kernel shows what is in the pool.
#[must_use]
pub fn observable() -> bool {
    Path::new(DEBUG).join("stored_pages").exists()
}

/// Whether this kernel has this parameter.
#[must_use]
pub fn has(parameter: &str) -> bool {
    Path::new(PARAMETERS).join(parameter).exists()
}

/// Sets one module parameter; dropping the knob restores it.
///
/// # Errors
/// Those of the kernel.
pub fn set(parameter: &str, value: &str) -> Result<Knob> {
    Knob::set(Path::new(PARAMETERS).join(parameter), value)
}

/// What the pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Pages stored.
    pub stored_pages: u64,
    /// Bytes that they take, compressed.
    pub bytes: u64,
}

/// Looks at the pool.
///
/// # Errors
/// Those of the kernel.
pub fn pool() -> Result<Pool> {
    Ok(Pool {
        stored_pages: file::number(Path::new(DEBUG).join("stored_pages"))?,
        bytes: file::number(Path::new(DEBUG).join("pool_total_size"))?,
    })
}

/// Pages written back since boot by zswap's own count; `None` where the kernel does not show it.
#[must_use]
pub fn written_back() -> Option<u64> {
    file::number(Path::new(DEBUG).join("written_back_pages")).ok()
}
