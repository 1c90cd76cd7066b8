//! Installs what a build and a boot need: distribution packages through apt when root, else it
//! prints the exact line to run. Rust's own packages are cargo's business.

use crate::target_dir;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Debian packages, and what each is for.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-system-x86", "boots the guest"),
    (
        "linux-source-6.12",
        "the kernel source that the shipped workflows use",
    ),
    ("bubblewrap", "the sandbox that patches are applied and built in"),
    ("ccache", "makes a second build fast"),
    ("gcc", "builds the kernel"),
    ("libc6-dev", "builds the guest agent, and the kernel's own tools"),
    ("make", "builds the kernel"),
    ("flex", "builds the kernel"),
    ("bison", "builds the kernel"),
    ("bc", "builds the kernel"),
    ("libelf-dev", "builds the kernel's objtool"),
    ("libssl-dev", "builds the kernel's own tools"),
    ("lz4", "compresses the kernel image"),
    ("xz-utils", "unpacks the kernel source"),
    ("git", "applies patches"),
    (
        "python3-venv",
        "holds virtme-ng and what checks report formats, from the Python package index",
    ),
    ("openssh-server", "lets patchproof into guests under virtme-ng"),
    ("openssh-client", "makes the keys of those guests"),
    (
        "busybox-static",
        "the tools in the root of a guest that may not see the host's",
    ),
    ("udev", "names the devices in a guest over the host's root"),
    (
        "iproute2",
        "brings up the loopback in a guest over the host's root",
    ),
    ("pkg-config", "finds the libraries that SSH is built with"),
    ("zlib1g-dev", "compression for SSH"),
];

/// KernelCI's own validator, at a version whose schema is the one that reports are written in.
const KCIDB: &str = "kcidb-io==141";

/// Carries the schemas that GitHub and GitLab publish, and reads YAML: judges our own schema and our pipelines.
const CHECK_JSONSCHEMA: &str = "check-jsonschema==0.39.0";

/// The chore: installs what is missing and says so.
///
/// # Errors
/// When apt fails.
pub fn run() -> Result<ExitCode> {
    if let Some(code) = ensure()? {
        return Ok(code);
    }
    validators()?;
    println!("everything is installed");
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that every package is there. Returns an exit code (3) where the user must act first.
///
/// # Errors
/// When apt fails.
pub fn ensure() -> Result<Option<ExitCode>> {
    let missing = install(PACKAGES)?;
    if missing.is_none() {
        crate::virtme::ensure()?;
    }
    Ok(missing)
}

/// What only the claims tier needs.
///
/// # Errors
/// When apt fails.
pub fn ensure_browser() -> Result<Option<ExitCode>> {
    install(&[("chromium", "opens the HTML report as its readers do")])
}

/// What one measurement needs.
///
/// # Errors
/// When apt fails.
pub fn ensure_stress() -> Result<Option<ExitCode>> {
    install(&[("stress-ng", "is measured beside the suite")])
}

/// Gets the validators that tests judge report formats with. Tests say so themselves where one is missing, so
/// that a machine without network can run all others.
///
/// # Errors
/// When a command can't be started.
pub fn validators() -> Result<()> {
    let dir = target_dir()?.join("validators");
    let python = dir.join("bin/python");
    // It looks for itself in such a folder.
    let kunit = dir.join("tools/testing/kunit/kunit.py");
    let mut steps = Vec::new();
    for (package, done) in [(KCIDB, "kcidb.done"), (CHECK_JSONSCHEMA, "schemas.done")] {
        if !dir.join(done).exists() {
            steps.push(duct::cmd!("python3", "-m", "venv", &dir));
            steps.push(duct::cmd!(&python, "-m", "pip", "install", "--quiet", package));
            steps.push(duct::cmd!("touch", dir.join(done)));
        }
    }
    if !kunit.exists() {
        steps.push(duct::cmd!("mkdir", "-p", &dir));
        steps.push(duct::cmd!(
            "tar",
            "--extract",
            "--file=/usr/src/linux-source-6.12.tar.xz",
            "--strip-components=1",
            "--directory",
            &dir,
            "linux-source-6.12/tools/testing/kunit"
        ));
    }
    for step in steps {
        let out = step.stderr_to_stdout().stdout_capture().unchecked().run()?;
        if !out.status.success() {
            eprint!("{}", String::from_utf8_lossy(&out.stdout));
            eprintln!("a validator could not be installed; the tests that need it will say so");
            break;
        }
    }
    Ok(())
}

fn install(packages: &[(&str, &str)]) -> Result<Option<ExitCode>> {
    let missing: Vec<&str> = packages
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(None);
    }
    for (name, purpose) in packages.iter().filter(|(name, _)| missing.contains(name)) {
        eprintln!("missing: {name}: {purpose}");
    }
    let mut line = vec!["install", "-y", "--no-install-recommends"];
    line.extend(&missing);
    if !is_root()? {
        eprintln!(
            "\nrun this once, then the same command again:\n  sudo apt-get update && sudo apt-get {}",
            line.join(" ")
        );
        return Ok(Some(ExitCode::from(3)));
    }
    let apt = |args: &[&str]| {
        eprintln!("$ apt-get {}", args.join(" "));
        let quiet = duct::cmd("apt-get", args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stderr_to_stdout()
            .stdout_capture();
        let out = quiet
            .unchecked()
            .run()
            .context("apt-get could not be started: is this a Debian system?")?;
        if !out.status.success() {
            eprint!("{}", String::from_utf8_lossy(&out.stdout));
            anyhow::bail!("apt-get {} failed; the lines above say why", args[0]);
        }
        Ok(())
    };
    apt(&["update"])?;
    apt(&line)?;
    Ok(None)
}

fn installed(package: &str) -> bool {
    let query = duct::cmd!("dpkg-query", "-W", "-f=${db:Status-Status}", package);
    query
        .stderr_null()
        .unchecked()
        .read()
        .is_ok_and(|status| status == "installed")
}

fn is_root() -> Result<bool> {
    Ok(duct::cmd!("id", "-u").read()?.trim() == "0")
}
