//! The tests: `cargo xtask test` is the CI tier, `cargo xtask lint` what must be clean beside it.

use crate::{exit_code, setup};
use anyhow::Result;
use std::process::ExitCode;

/// Runs the CI tier. `quick` leaves out what builds a kernel or boots a VM.
///
/// # Errors
/// When cargo or apt can't be run.
pub fn run(quick: bool) -> Result<ExitCode> {
    if !quick && let Some(missing) = setup::ensure()? {
        return Ok(missing);
    }
    // The guest's own tests need its feature; the rest must not see it.
    let guest = cargo(
        &["test", "--locked", "-p", "guest-tests", "--features", "agent"],
        false,
    )?;
    let rest = cargo(&["test", "--locked", "--workspace"], !quick)?;
    Ok(if guest.success() && rest.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Formatting and lints, warnings as errors.
///
/// # Errors
/// When cargo can't be run.
pub fn lint() -> Result<ExitCode> {
    let steps: &[&[&str]] = &[
        &["fmt", "--all", "--check"],
        &[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[
            "clippy",
            "--locked",
            "-p",
            "guest-tests",
            "--features",
            "agent",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ];
    for step in steps {
        let status = cargo(step, false)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cargo(args: &[&str], vm: bool) -> Result<std::process::ExitStatus> {
    eprintln!("$ cargo {}", args.join(" "));
    let mut cmd = duct::cmd(env!("CARGO"), args);
    if vm {
        cmd = cmd.env("PATCHPROOF_VM_TESTS", "1");
    }
    Ok(cmd.unchecked().run()?.status)
}
