//! A guest to log into: one kernel of a matrix, or an image, made and booted under virtme-ng for a visit
//! instead of a case. Nothing is judged and no run is recorded.

use super::dispatch::Config;
use super::kernels::{self, Made};
use super::{Event, evidence};
use crate::machine::backend::{self, Wanted};
use crate::machine::{
    self, AccelPref, BackendPref, Deadlines, Disk, MachineConfig, MachineEnd, Visit, agent, initramfs, virtme,
};
use crate::source::CacheError;
use crate::spec::{self, MachineSpec};
use guest_tests::protocol::{Request, VERSION};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// News of a build that may wait to be shown.
const NEWS_WAITING_MAX: usize = 64;

/// The kernel of a guest.
#[derive(Debug, Clone)]
pub enum Boots {
    /// A kernel of the matrix, by name.
    Kernel(String),
    /// A kernel image, as it is.
    Image(PathBuf),
}

/// A guest to be.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its kernel.
    pub boots: Boots,
    /// Its machine; the backend is virtme-ng whatever is said there.
    pub machine: Arc<MachineSpec>,
    /// Whether it may read the host's files.
    pub host_root: bool,
}

/// Why there was no guest.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ShellError {
    /// The kernel could not be made.
    #[error("there is no kernel to boot: {0}")]
    Kernel(String),
    /// The kernel lacks what virtme-ng needs.
    #[error("the kernel lacks {}, without which nobody can log into its guest", .0.join(", "))]
    #[diagnostic(help("add the fragment `virtme` to the kernel's kconfigs"))]
    Lacks(Vec<&'static str>),
    /// This host has no virtme-ng that works.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Virtme(#[from] virtme::VirtmeError),
    /// The cache cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// A folder or file of the guest could not be made.
    #[error("a folder for the guest could not be made")]
    Folder(#[source] io::Error),
    /// The guest ended before the visit did.
    #[error("{why}; its console is kept in {console}", console = .console.display())]
    Ended {
        /// How.
        why: String,
        /// The console.
        console: PathBuf,
    },
}

/// Boots a guest and has it visited. The visit ends the guest when it turns `cancel`'s sender.
///
/// # Errors
/// [`ShellError`]; an error of the visit itself is the visitor's.
pub async fn shell(
    config: &Config,
    guest: &Guest,
    mut note: impl FnMut(&Event),
    cancel: watch::Receiver<bool>,
    visit: Visit,
) -> Result<(), ShellError> {
    // Held while the guest runs: nobody prunes its kernel away.
    let made = match &guest.boots {
        Boots::Kernel(name) => Some(kernel(config, name, &mut note, cancel.clone()).await?),
        Boots::Image(_) => None,
    };
    let (image, key) = match (&guest.boots, &made) {
        (Boots::Image(path), _) => (path.clone(), path.display().to_string()),
        (Boots::Kernel(_), Some(built)) => (built.dir.join("bzImage"), built.key.clone()),
        (Boots::Kernel(name), None) => return Err(ShellError::Kernel(name.clone())),
    };
    let kernel_config = made
        .as_ref()
        .and_then(|built| std::fs::read_to_string(built.dir.join("config")).ok());
    let lacks = kernel_config
        .as_deref()
        .map(virtme::kernel_lacks)
        .unwrap_or_default();
    if !lacks.is_empty() {
        return Err(ShellError::Lacks(lacks));
    }
    let scratch = config.cache.scratch()?;
    let dir = tempfile::Builder::new()
        .prefix("patchproof-shell-")
        .tempdir()
        .map_err(ShellError::Folder)?;
    let kernel = Kernel {
        image,
        key,
        config: kernel_config,
    };
    let machine = machine(config, guest, kernel, dir.path(), scratch.path()).await?;
    let (events, _nobody) = mpsc::channel(1);
    let run = machine::boot_and_visit(&machine, events, cancel, visit).await;
    if matches!(run.end, MachineEnd::Cancelled | MachineEnd::PoweredOff) {
        return Ok(());
    }
    // Kept: somebody will want to read it.
    let console = dir.keep().join("console.log");
    let why = ended(&run.end);
    Err(ShellError::Ended { why, console })
}

/// A kernel that is there.
struct Kernel {
    image: PathBuf,
    key: String,
    config: Option<String>,
}

/// The guest's machine: what it runs on, what boots it.
async fn machine(
    config: &Config,
    guest: &Guest,
    kernel: Kernel,
    evidence: &Path,
    scratch: &Path,
) -> Result<MachineConfig, ShellError> {
    let qemu = std::env::var_os("PATCHPROOF_QEMU").map_or_else(|| machine::QEMU.into(), PathBuf::from);
    let base = Arc::new(initramfs::Base::new(agent::BYTES).map_err(ShellError::Folder)?);
    let probe = machine::accel::Probe {
        qemu: qemu.clone(),
        kernel: kernel.image.clone(),
        kernel_key: kernel.key.clone(),
        base: Arc::clone(&base),
        cache: config.cache.root().join("accel"),
        device: "/dev/kvm".into(),
        within: None,
    };
    let accel = machine::accel::choose(accel_pref(guest.machine.accel), &probe)
        .await
        .accel;
    let wanted = Wanted {
        qemu: qemu.clone(),
        accel,
        kernel: kernel.image.clone(),
        kernel_config: kernel.config,
        kernel_key: kernel.key,
        trusted: guest.host_root,
        base: Arc::clone(&base),
        roots: config.cache.root().join("roots"),
        verdicts: config.cache.root().join("accel"),
    };
    let backend = backend::choose(BackendPref::Virtme, &wanted).await?.backend;
    Ok(MachineConfig {
        qemu,
        deadlines: Deadlines::on(accel).of(&backend).for_a_visit(),
        backend,
        accel,
        kernel: kernel.image,
        base,
        request: Request {
            v: VERSION,
            run: 0,
            cases: Vec::new(),
        },
        cpus: guest.machine.cpus,
        memory_mib: guest.machine.memory >> 20,
        disks: disks(&guest.machine),
        boot_args: guest.machine.boot_args.clone(),
        evidence: evidence.to_owned(),
        scratch: scratch.to_owned(),
        freeze_on_finding: false,
    })
}

/// The machine's disks.
pub(super) fn disks(machine: &MachineSpec) -> Vec<Disk> {
    [("swap0", machine.swap), ("data0", machine.data)]
        .into_iter()
        .filter_map(|(serial, size)| {
            Some(Disk {
                serial: serial.to_owned(),
                size: size?,
            })
        })
        .collect()
}

/// What is asked for, in the machine's words.
pub(super) fn accel_pref(accel: spec::Accel) -> AccelPref {
    match accel {
        spec::Accel::Auto => AccelPref::Auto,
        spec::Accel::Kvm => AccelPref::Kvm,
        spec::Accel::Tcg => AccelPref::Tcg,
    }
}

/// How a guest ended, for people.
fn ended(end: &MachineEnd) -> String {
    match end {
        MachineEnd::Panicked => "the guest's kernel panicked".to_owned(),
        MachineEnd::Reset => "the guest reset itself".to_owned(),
        MachineEnd::Deadline { awaited } => format!("waited in vain for {}", awaited.words()),
        MachineEnd::NotStarted(e) | MachineEnd::HostFailed(e) => evidence::with_causes(e),
        MachineEnd::Killed { .. } => "QEMU was killed".to_owned(),
        MachineEnd::QemuExited { status, stderr } => {
            format!("the guest was given up with status {status}: {stderr}")
        }
        MachineEnd::PoweredOff | MachineEnd::Cancelled => "the guest has ended".to_owned(),
    }
}

async fn kernel(
    config: &Config,
    name: &str,
    note: &mut impl FnMut(&Event),
    cancel: watch::Receiver<bool>,
) -> Result<Arc<crate::kernel::Built>, ShellError> {
    let (tx, mut rx) = mpsc::channel(NEWS_WAITING_MAX);
    let mut making = std::pin::pin!(kernels::make(config, name, tx, cancel));
    let made = loop {
        tokio::select! {
            Some(event) = rx.recv() => note(&event),
            made = &mut making => break made,
        }
    };
    match made {
        Made::Ready { built, record } => {
            note(&Event::KernelReady(record));
            Ok(built)
        }
        Made::Failed(verdict) => Err(ShellError::Kernel(verdict.reason())),
    }
}
