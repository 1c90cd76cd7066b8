//! The claims tier: everything too long for CI.

use crate::bench::{self, Part as Bench};
use crate::{exit_code, setup};
use anyhow::Result;
use std::process::ExitCode;

/// A part of the soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Real kernel builds: an incremental vmlinux equals a clean one, blame, racepoints that do not fit
    Identical,
    /// The demo's cells, ten times each
    Detect,
    /// Runs killed at random moments, 50 times with a fake emulator and 50 times with real guests: nothing is
    /// left, and each can be finished
    Kill,
    /// The console classifier against a corpus of real logs, where there is one
    Console,
    /// Searches for a culprit on real kernels: a git history of 32 commits and a series of 8 patches, each from a
    /// cold cache (half an hour each)
    Bisect,
    /// The HTML report in a browser: small and large, narrow and wide, light and dark
    Page,
}

const ALL: [Part; 6] = [
    Part::Identical,
    Part::Detect,
    Part::Kill,
    Part::Console,
    Part::Bisect,
    Part::Page,
];

/// Runs the parts, all when none is named; all run though one fails.
///
/// # Errors
/// When something can't be run.
pub fn run(parts: &[Part]) -> Result<ExitCode> {
    if let Some(missing) = setup::ensure()? {
        return Ok(missing);
    }
    let mut worst = ExitCode::SUCCESS;
    for part in if parts.is_empty() { &ALL[..] } else { parts } {
        let code = match part {
            Part::Identical => test("kernel_build", "")?,
            Part::Detect => bench::run(&[Bench::Detect])?,
            Part::Kill => test("kill_soak", "")?,
            Part::Console => test("console_corpus", "")?,
            Part::Bisect => test("bisect_vm", "")?,
            Part::Page => match setup::ensure_browser()? {
                Some(missing) => missing,
                None => test("report_page", "")?,
            },
        };
        if code != ExitCode::SUCCESS {
            worst = code;
        }
    }
    Ok(worst)
}

fn test(file: &str, filter: &str) -> Result<ExitCode> {
    let args = [
        "test",
        "--locked",
        "--release",
        "-p",
        "harness",
        "--test",
        file,
        "--",
        "--nocapture",
        filter,
    ];
    let status = duct::cmd(env!("CARGO"), args)
        .env("PATCHPROOF_VM_TESTS", "1")
        .env("PATCHPROOF_SOAK", "1")
        .unchecked()
        .run()?
        .status;
    Ok(exit_code(status))
}
