//! Measurements, side by side in one run: ratios, never a pass or fail by the clock. The results are
//! printed; `bench/results.md` keeps those that the README quotes.

mod boot;
mod incremental;
mod list;
mod nightly;
mod others;
mod overhead;
mod seeds;

use crate::{exit_code, patchproof, setup, target_dir};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Cached kernel to the guest's first frame, beside the same boot by hand
    Boot,
    /// Under virtme-ng: boot and login beside `vng --exec true` by hand
    Virtme,
    /// One changed mm/*.c in an already built kernel, beside an incremental make by hand
    Incremental,
    /// Cache hits, and the orchestrator's own memory and CPU while a VM runs
    Overhead,
    /// Stamping and verifying a page, beside memcpy and memcmp
    Model,
    /// The demo's cells, ten times each: found n of 10, clean n of 10
    Detect,
    /// The cells of the five historic bugs, twenty times each: found n of 20, with intervals and medians
    Seeds,
    /// The nightly cases, which know nothing of any bug, on the kernels of the historic bugs
    Nightly,
    /// stress-ng with all its checks on the same kernels, beside it
    Others,
    /// The search for a culprit by simulation, beside what others do
    Bisect,
    /// Expanding, listing and splitting a matrix of 5,000 cells: time and memory
    List,
}

const ALL: [Part; 11] = [
    Part::Boot,
    Part::Virtme,
    Part::Incremental,
    Part::Overhead,
    Part::Model,
    Part::Detect,
    Part::Seeds,
    Part::Nightly,
    Part::Others,
    Part::Bisect,
    Part::List,
];
/// Pairs of boots, and of cache look-ups.
const ROUNDS: usize = 10;

/// Runs the parts, all when none is named.
///
/// # Errors
/// When something can't be measured.
pub fn run(parts: &[Part]) -> Result<ExitCode> {
    // Only simulated: needs nothing that has to be set up.
    if parts == [Part::Bisect] {
        example("harness", "bisect_bench")?;
        return Ok(ExitCode::SUCCESS);
    }
    if parts == [Part::List] {
        list::list(&patchproof()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(missing) = setup::ensure()? {
        return Ok(missing);
    }
    let patchproof = patchproof()?;
    let mut code = ExitCode::SUCCESS;
    // One that went wrong is told whatever comes after it.
    let mut keep = |came: ExitCode| {
        if came != ExitCode::SUCCESS {
            code = came;
        }
    };
    for part in if parts.is_empty() { &ALL[..] } else { parts } {
        match part {
            Part::Boot => boot::boot(&patchproof)?,
            Part::Virtme => boot::virtme(&patchproof)?,
            Part::Incremental => incremental::incremental(&patchproof)?,
            Part::Overhead => overhead::overhead(&patchproof)?,
            Part::Model => example("guest-tests", "model_bench")?,
            Part::Detect => keep(detect(&patchproof)?),
            Part::Seeds => keep(seeds::seeds(&patchproof)?),
            Part::Nightly => keep(nightly::nightly(&patchproof)?),
            Part::Others => {
                if let Some(missing) = setup::ensure_stress()? {
                    return Ok(missing);
                }
                others::others(&patchproof)?;
            }
            Part::Bisect => example("harness", "bisect_bench")?,
            Part::List => list::list(&patchproof)?,
        }
    }
    Ok(code)
}

/// A number member of a JSON object on one line.
fn number(line: &str, name: &str) -> Option<f64> {
    let rest = line.split_once(&format!(r#""{name}":"#))?.1;
    rest.split([',', '}']).next()?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs a measurement that is an example of one of our crates.
fn example(package: &str, name: &str) -> Result<()> {
    duct::cmd!(
        env!("CARGO"),
        "run",
        "--quiet",
        "--release",
        "--locked",
        "-p",
        package,
        "--example",
        name
    )
    .run()?;
    Ok(())
}

/// Runs the demo's cells ten times each; the table is `patchproof`'s own.
fn detect(patchproof: &Path) -> Result<ExitCode> {
    let status = duct::cmd!(patchproof, "run", "workflows/detect.yaml")
        .unchecked()
        .run()?
        .status;
    Ok(exit_code(status))
}

fn tempdir(name: &str) -> Result<PathBuf> {
    let dir = target_dir()?.join("bench").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
