//! The tests: `cargo xtask test` is the CI tier, `cargo xtask lint` what must be clean beside it.

use crate::kernels::kernel_dir;
use crate::{exit_code, setup, target_dir};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the CI tier. `quick` leaves out what builds a kernel or boots a VM.
///
/// # Errors
/// When cargo or apt can't be run.
pub fn run(quick: bool) -> Result<ExitCode> {
    if !quick && let Some(missing) = setup::ensure()? {
        return Ok(missing);
    }
    if !quick {
        setup::validators()?;
    }
    // The guest's own tests need its feature; the rest must not see it. With the feature all of them run, so once is enough.
    let guest = cargo(
        &["test", "--locked", "-p", "guest-tests", "--features", "agent"],
        None,
    )?;
    let kernel = if quick { None } else { Some(kernel()?) };
    let rest = cargo(
        &[
            "test",
            "--locked",
            "--workspace",
            "--exclude",
            "guest-tests",
            "--no-fail-fast",
        ],
        kernel.as_deref(),
    )?;
    Ok(if guest.success() && rest.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// The kernel that tests boot: the demo's, so that both share one build.
fn kernel() -> Result<PathBuf> {
    let built = cargo(&["build", "--quiet", "--locked", "-p", "harness"], None)?;
    anyhow::ensure!(built.success(), "patchproof does not build");
    eprintln!("building the demo's kernel, unless it is there (one full build, some minutes)");
    Ok(kernel_dir(&target_dir()?.join("debug/patchproof"), "fixed")?.join("bzImage"))
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
        let status = cargo(step, None)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs cargo; a kernel to boot asks for the tests that build kernels and boot VMs.
fn cargo(args: &[&str], kernel: Option<&Path>) -> Result<std::process::ExitStatus> {
    eprintln!("$ cargo {}", args.join(" "));
    let mut cmd = duct::cmd(env!("CARGO"), args);
    if let Some(kernel) = kernel {
        cmd = cmd
            .env("PATCHPROOF_VM_TESTS", "1")
            .env("PATCHPROOF_TEST_KERNEL", kernel);
    }
    Ok(cmd.unchecked().run()?.status)
}
