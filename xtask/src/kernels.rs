//! Kernels of the shipped workflows, for tests and measurements.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Makes sure that the demo's kernel `name` is built, and returns its folder.
///
/// # Errors
/// When it can't be built.
pub fn kernel_dir(patchproof: &Path, name: &str) -> Result<PathBuf> {
    let out = duct::cmd!(
        patchproof,
        "build",
        "workflows/demo.yaml",
        "--filter",
        format!("{name}.*"),
        "--json"
    )
    .read()?;
    let line = out
        .lines()
        .find(|l| l.contains(r#""event":"kernel_ready""#))
        .context("no kernel was made")?;
    Ok(PathBuf::from(
        field(line, "dir").context("the event names no folder")?,
    ))
}

/// A string member of a JSON object on one line.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!(r#""{name}":""#))?.1.split('"').next()
}
