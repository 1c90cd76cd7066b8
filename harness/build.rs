//! Builds the guest agent, statically linked, and tells the crate where it lies, so that the
//! `patchproof` binary carries it (`machine::agent`).
//!
//! The agent is built in a target folder of its own: the outer cargo holds the lock of the usual one.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What a guest of ours runs on.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() -> Result<(), Box<dyn Error>> {
    let harness = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = harness.parent().ok_or("the harness is not inside a workspace")?;
    for input in [
        "guest-tests/src",
        "guest-tests/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    // OUT_DIR is TARGET/PROFILE/build/harness-HASH/out.
    let target = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not inside a target folder")?
        .join("agent");
    build_agent(workspace, &target)?;

    // A copy, since the other build is free to replace its result while this crate is compiled.
    let agent = out.join("patchproof-agent");
    fs::copy(target.join(TARGET).join("release/patchproof-agent"), &agent)?;
    println!("cargo::rustc-env=PATCHPROOF_AGENT={}", agent.display());
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a build script has no keeper; cargo ends its children itself"
)]
fn build_agent(workspace: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = std::process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "guest-tests",
        ])
        .args([
            "--features",
            "agent",
            "--bin",
            "patchproof-agent",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target)
        // The outer build's flags, profile overrides and wrappers (clippy's, say) are not the agent's.
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags().join("\x1f"));
    let status = cargo
        .status()
        .map_err(|e| format!("could not start cargo for the guest agent: {e}"))?;
    if !status.success() {
        return Err(
            format!("building the guest agent failed ({status}); try `rustup target add {TARGET}`").into(),
        );
    }
    Ok(())
}

/// Static, since the guest has no libraries; without the builder's home in it, so that two people
/// with the same sources get the same agent.
fn rust_flags() -> Vec<String> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Cstrip=symbols".to_owned(),
    ];
    let cargo_home = env::var("CARGO_HOME")
        .ok()
        .or_else(|| Some(format!("{}/.cargo", env::var("HOME").ok()?)));
    if let Some(home) = cargo_home {
        flags.push(format!("--remap-path-prefix={home}=/cargo"));
    }
    flags
}
