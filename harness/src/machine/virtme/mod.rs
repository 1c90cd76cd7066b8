//! virtme-ng: boots a kernel over a root file system of files, the host's own or one made for it.
//!
//! vng is wrapped, never trusted: it gets a HOME of its own, so that no configuration of anybody's
//! changes what it does; no value reaches its shell unchecked ([`argv`]); its exit status says nothing. Frames,
//! console, QMP and disks are the same as with plain QEMU, through options of QEMU that go behind vng's.
//!
//! Parts: [`find`] (is it there, and does the kernel fit), [`argv`], [`seed`] (what the guest gets to
//! start with), [`root`] (a root for kernels that are not trusted).

mod argv;
mod find;
mod root;
mod seed;

pub use find::{Host, kernel_lacks};
pub use root::Prepared;

use super::channels::Channels;
use super::runtime_dir::RuntimeDir;
use super::ssh::{Keys, SshError};
use super::{MachineConfig, QEMU, boot_args};
use crate::host::Cmd;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A machine's virtme-ng.
#[derive(Debug, Clone)]
pub struct Virtme {
    /// vng's executable.
    pub vng: PathBuf,
    /// What the guest's root is.
    pub root: Root,
    /// The suite's agent, which goes into the guest over SSH.
    pub agent: &'static [u8],
}

/// What a guest's root is.
#[derive(Debug, Clone)]
pub enum Root {
    /// The host's own, read-only; for kernels that are trusted.
    Host,
    /// One made of a few programs of the host's.
    Prepared(Arc<Prepared>),
}

impl Root {
    /// One word for records.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Prepared(_) => "prepared",
        }
    }
}

/// Why a machine under virtme-ng could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum VirtmeError {
    /// A value may not be on vng's command line.
    #[error("{what} is {value:?}, which cannot be given to virtme-ng: it would go through a shell")]
    #[diagnostic(help("letters, digits and `_-.,=:/@+%` are allowed; of a path `_-./+`"))]
    Value {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Something that it needs is not there.
    #[error("{program} is not installed, which a guest under virtme-ng needs")]
    #[diagnostic(help("`cargo xtask setup` installs what is missing"))]
    Missing {
        /// The program.
        program: String,
    },
    /// The root could not be made.
    #[error("no root could be made for the guest: {doing} failed")]
    Root {
        /// What was being done, with its path.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the machine's could not be made.
    #[error("{path} could not be made", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No keys.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(#[from] SshError),
}

/// A machine that is ready to start.
pub(super) struct Ready {
    pub(super) cmd: Cmd,
    pub(super) keys: Keys,
}

/// Prepares a machine: its folders, its keys, its root and vng's command line.
pub(super) fn prepare(
    virtme: &Virtme,
    config: &MachineConfig,
    disks: &[(String, PathBuf)],
    scratch: &Path,
    dir: &RuntimeDir,
    channels: &Channels,
) -> Result<Ready, VirtmeError> {
    let dir = dir.path();
    let keys = Keys::make(dir)?;
    let made = |path: &Path, result: io::Result<()>| {
        result.map_err(|source| VirtmeError::File {
            path: path.to_owned(),
            source,
        })
    };
    let seed = dir.join("seed");
    made(&seed, seed::write(&seed, &keys))?;
    let home = dir.join("home");
    made(&home, make_home(&home))?;
    // Links with names of ours: a path that a user chose may hold anything.
    let link = |name: &str, target: &Path| {
        let path = dir.join(name);
        let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
        made(&path, symlink(target, &path)).map(|()| path)
    };
    let kernel = link("kernel", &config.kernel)?;
    let qemu = (config.qemu != Path::new(QEMU))
        .then(|| link("qemu", &config.qemu))
        .transpose()?;
    let root = match &virtme.root {
        Root::Host => None,
        Root::Prepared(prepared) => {
            let copy = scratch.join("root");
            prepared.copy(&copy)?;
            Some(link("root", &copy)?)
        }
    };
    let mut linked = Vec::new();
    for (serial, image) in disks {
        linked.push((serial.clone(), link(&format!("disk-{serial}"), image)?));
    }
    let boot_args: Vec<String> = boot_args::words(&config.boot_args).collect();
    let line = argv::argv(&argv::Line {
        accel: config.accel,
        cpus: config.cpus,
        memory_mib: config.memory_mib,
        kernel: &kernel,
        qemu: qemu.as_deref(),
        root: root.as_deref(),
        seed: &seed,
        dump: config.freeze_on_finding,
        boot_args: &boot_args,
        disks: &linked,
        console: channels.console(),
        frames: channels.frames(),
        qmp: channels.qmp(),
        ssh: channels.ssh(),
    })?;
    let cmd = Cmd::new(&virtme.vng)
        .args(line)
        // Part of the guest's command line, otherwise.
        .cwd("/")
        .env("HOME", &home)
        .env("TMPDIR", home.join("tmp"))
        .env("PATH", search_path(&virtme.vng))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(Ready { cmd, keys })
}

/// A home with an empty configuration, which is found before the one of the whole host.
fn make_home(home: &Path) -> io::Result<()> {
    let config = home.join(".config/virtme-ng");
    fs::create_dir_all(&config)?;
    fs::create_dir(home.join("tmp"))?;
    fs::write(config.join("virtme-ng.conf"), "{}\n")
}

/// Where vng finds its other half, virtme-run, first of all: beside itself.
fn search_path(vng: &Path) -> OsString {
    let beside = |vng: &Path| vng.parent().map(Path::to_owned);
    let mut dirs: Vec<PathBuf> = beside(vng).into_iter().collect();
    dirs.extend(fs::canonicalize(vng).ok().as_deref().and_then(beside));
    let given = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    dirs.extend(std::env::split_paths(&given));
    dirs.dedup();
    // A folder with a colon in its name cannot be searched anyhow.
    std::env::join_paths(dirs).unwrap_or(given)
}
