//! Installs what a build and a boot need: distribution packages through apt when root, else it
//! prints the exact line to run. Rust's own packages are cargo's business.

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
        "holds virtme-ng, which comes from the Python package index",
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

/// The chore: installs what is missing and says so.
///
/// # Errors
/// When apt fails.
pub fn run() -> Result<ExitCode> {
    match ensure()? {
        Some(code) => Ok(code),
        None => {
            println!("everything is installed");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Makes sure that every package is there. Returns an exit code (3) where the user must act first.
///
/// # Errors
/// When apt fails.
pub fn ensure() -> Result<Option<ExitCode>> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !installed(name))
        .collect();
    if missing.is_empty() {
        crate::virtme::ensure()?;
        return Ok(None);
    }
    for (name, purpose) in PACKAGES.iter().filter(|(name, _)| missing.contains(name)) {
        eprintln!("missing: {name}: {purpose}");
    }
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&missing);
    if !is_root()? {
        eprintln!(
            "\nrun this once, then the same command again:\n  sudo apt-get update && sudo apt-get {}",
            install.join(" ")
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
    apt(&install)?;
    crate::virtme::ensure()?;
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
