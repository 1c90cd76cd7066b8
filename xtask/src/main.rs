//! Developer chores of Patchproof, in Rust so that everyone and CI run the same commands.
//!
//! Each one sets up what it needs by itself (see [`setup`]).

mod bench;
mod kernels;
mod setup;
mod soak;
mod test;
mod virtme;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Developer chores of Patchproof.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, about)]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Sets everything up and runs `patchproof run workflows/demo.yaml`
    Demo {
        /// Passed on to `patchproof run`, for example `--json`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Sets everything up and runs the CI tier of the tests, those that boot a VM included
    Test {
        /// Leaves out the tests that build a kernel or boot a VM
        #[arg(long)]
        quick: bool,
    },
    /// Runs formatting and lints, warnings as errors
    Lint,
    /// Sets everything up and runs the claims tier: everything too long for CI
    Soak {
        /// Only the named parts
        parts: Vec<soak::Part>,
    },
    /// Sets everything up and measures: ratios side by side, never a pass or fail by the clock
    Bench {
        /// Only the named parts
        parts: Vec<bench::Part>,
    },
    /// Installs what is missing, and says what that was
    Setup,
    /// Writes the JSON schema of matrix files that ships
    Schema,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    std::env::set_current_dir(root())?;
    match args.chore {
        Chore::Demo { args } => demo(&args),
        Chore::Test { quick } => test::run(quick),
        Chore::Lint => test::lint(),
        Chore::Soak { parts } => soak::run(&parts),
        Chore::Bench { parts } => bench::run(&parts),
        Chore::Setup => setup::run(),
        Chore::Schema => schema(),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Builds the release binary and returns its path. Cargo shows what it compiles: the first time takes minutes.
fn patchproof() -> Result<PathBuf> {
    eprintln!("$ cargo build --release -p harness");
    duct::cmd!(env!("CARGO"), "build", "--release", "--locked", "-p", "harness").run()?;
    Ok(target_dir()?.join("release/patchproof"))
}

/// Where cargo puts what it builds.
fn target_dir() -> Result<PathBuf> {
    let meta = duct::cmd!(env!("CARGO"), "metadata", "--no-deps", "--format-version=1").read()?;
    let (_, rest) = meta
        .split_once("\"target_directory\":\"")
        .unwrap_or(("", "target\""));
    Ok(PathBuf::from(rest.split('"').next().unwrap_or("target")))
}

fn demo(args: &[String]) -> Result<ExitCode> {
    if let Some(missing) = setup::ensure()? {
        return Ok(missing);
    }
    let patchproof = patchproof()?;
    let mut all = vec!["run".to_owned(), "workflows/demo.yaml".to_owned()];
    all.extend_from_slice(args);
    println!("$ patchproof {}", all.join(" "));
    let status = duct::cmd(patchproof, all).unchecked().run()?.status;
    Ok(exit_code(status))
}

/// Writes `workflows/matrix.schema.json` as `patchproof schema` prints it.
fn schema() -> Result<ExitCode> {
    let text = duct::cmd!(
        env!("CARGO"),
        "run",
        "--quiet",
        "--locked",
        "-p",
        "harness",
        "--",
        "schema"
    )
    .read()?;
    std::fs::write("workflows/matrix.schema.json", text + "\n")?;
    Ok(ExitCode::SUCCESS)
}

/// A child's status as our own.
fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    let code = status.code().and_then(|c| u8::try_from(c).ok());
    ExitCode::from(code.unwrap_or(3))
}
