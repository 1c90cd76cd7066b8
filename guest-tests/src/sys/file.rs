//! Small kernel files (sysfs, procfs, debugfs, cgroupfs): whole reads, single writes.

use super::{Doing, Result, SysError};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Reads a whole kernel file; the final newline is dropped.
///
/// # Errors
/// Those of the kernel.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let mut text = std::fs::read_to_string(path).doing(|| format!("reading {}", path.display()))?;
    text.truncate(text.trim_end_matches(['\n', '\0']).len());
    Ok(text)
}

/// Writes a kernel file with one call, as the kernel's parsers want it.
///
/// # Errors
/// Those of the kernel, and a short write.
pub fn write(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    let doing = || format!("writing \"{}\" to {}", text.trim_end(), path.display());
    let mut file = OpenOptions::new().write(true).open(path).doing(doing)?;
    let n = file.write(text.as_bytes()).doing(doing)?;
    if n == text.len() {
        Ok(())
    } else {
        Err(SysError::content(doing(), format!("only {n} bytes were taken")))
    }
}

/// Reads a kernel file that holds one number; `max` counts as the largest.
///
/// # Errors
/// Those of the kernel, and content that is not a number.
pub fn number(path: impl AsRef<Path>) -> Result<u64> {
    let path = path.as_ref();
    let text = read(path)?;
    parse_number(&text).ok_or_else(|| {
        SysError::content(
            format!("reading {}", path.display()),
            format!("{text:?} is not a number"),
        )
    })
}

fn parse_number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        digits => digits.parse().ok(),
    }
}

/// Finds `key` in a file of lines `key value`, such as /proc/vmstat or memory.events.
#[must_use]
pub fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (k, v) = line.split_once([' ', '\t'])?;
        if k == key { v.trim().parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_number("42\n"), Some(42));
        assert_eq!(parse_number("max"), Some(u64::MAX));
        assert_eq!(parse_number(""), None);
        assert_eq!(parse_number("-1"), None);
    }

    #[test]
    fn a_key_is_matched_whole() {
        let text = "pswpin 3\npswpin_zero 9\nzswpwb 12\n";
        assert_eq!(value_of(text, "pswpin"), Some(3));
        assert_eq!(value_of(text, "zswpwb"), Some(12));
        assert_eq!(value_of(text, "zswp"), None);
    }
}
