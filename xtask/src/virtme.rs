//! virtme-ng, installed from the Python package index into a virtual environment of its own, where
//! `patchproof` looks for it.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// The release that was measured; another one in PATH is used as it is.
const VERSION: &str = "1.42";

/// Installs virtme-ng unless there is one already, in PATH or where it is installed to.
///
/// # Errors
/// When Python or pip fails.
pub fn ensure() -> Result<()> {
    let place = place()?;
    if place.join("bin/vng").is_file() || in_path() {
        return Ok(());
    }
    eprintln!("installing virtme-ng {VERSION} into {}", place.display());
    // A name, not a path: duct looks for a path of one part in the current folder.
    let step = |what: &str, program: &str, args: &[&str]| {
        let out = duct::cmd(program, args)
            .stderr_to_stdout()
            .stdout_capture()
            .unchecked()
            .run()
            .with_context(|| format!("{program} could not be started"))?;
        if !out.status.success() {
            eprint!("{}", String::from_utf8_lossy(&out.stdout));
            anyhow::bail!("{what} failed; the lines above say why");
        }
        Ok(())
    };
    // Half an environment is none. Its programs name their interpreter by path, so it is made in
    // place, and removed where that fails.
    let made = step(
        "python3 -m venv",
        "python3",
        &["-m", "venv", &place.display().to_string()],
    )
    .and_then(|()| {
        step(
            "pip install",
            &place.join("bin/pip").display().to_string(),
            &["install", "--quiet", &format!("virtme-ng=={VERSION}")],
        )
    });
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&place);
    }
    made
}

/// vng as `patchproof` finds it, for measurements.
///
/// # Errors
/// When there is none.
pub fn vng() -> Result<PathBuf> {
    if in_path() {
        return Ok("vng".into());
    }
    let vng = place()?.join("bin/vng");
    anyhow::ensure!(vng.is_file(), "virtme-ng is not installed: `cargo xtask setup`");
    Ok(vng)
}

fn in_path() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("vng").is_file())
}

/// The same place as `host::dirs::data` of the harness.
fn place() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let data = set("PATCHPROOF_DATA_DIR").or_else(|| {
        set("XDG_DATA_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .map(|dir| dir.join("patchproof"))
    });
    let data = data.context("no place to install to: HOME is not set")?;
    Ok(std::path::absolute(data)?.join("virtme-ng"))
}
