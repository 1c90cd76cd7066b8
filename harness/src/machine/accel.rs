//! What a machine runs on: KVM or software emulation, and how `auto` decides.
//!
//! That /dev/kvm opens proves nothing: there are hosts where a virtual CPU can be made and run, and
//! no Linux kernel boots. So `auto` boots the very kernel that is to run, with our own agent and
//! nothing to do, under KVM and with a deadline; only a guest that says hello and done, and then
//! powers off, makes it KVM. The verdict is remembered for this boot of the host, this kernel and this QEMU.

use super::backend::Backend;
use super::boot::boot;
use super::frames::FrameLog;
use super::{Deadlines, MachineConfig, MachineEnd, MachineRun, initramfs};
use crate::host::Cmd;
use guest_tests::protocol::{Request, VERSION};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a trial boot under KVM may take for each thing that is awaited. Real KVM needs a fraction of a second.
const TRIAL_WITHIN: Duration = Duration::from_secs(8);

/// What a machine runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// The processor's virtualization.
    Kvm,
    /// Software emulation, a thread for each virtual CPU.
    Tcg,
}

impl std::fmt::Display for Accel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// What a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccelPref {
    /// KVM where a kernel really boots under it, else software emulation.
    #[default]
    Auto,
    /// KVM, whatever comes of it.
    Kvm,
    /// Software emulation.
    Tcg,
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccelChoice {
    /// What was chosen.
    pub accel: Accel,
    /// Why, for people: fits after "kvm: ".
    pub why: String,
}

impl AccelChoice {
    fn new(accel: Accel, why: impl Into<String>) -> Self {
        Self {
            accel,
            why: why.into(),
        }
    }
}

/// What `auto` needs to decide.
#[derive(Debug, Clone)]
pub struct Probe {
    /// QEMU's executable.
    pub qemu: PathBuf,
    /// The kernel image to boot.
    pub kernel: PathBuf,
    /// The kernel's content key: the verdict is remembered for it.
    pub kernel_key: String,
    /// The guest's root without a request.
    pub base: Arc<initramfs::Base>,
    /// Folder for verdicts; created where missing.
    pub cache: PathBuf,
    /// The device that KVM is reached through: /dev/kvm.
    pub device: PathBuf,
    /// How long each step of the trial may take; `None` for the usual 8 s.
    pub within: Option<Duration>,
}

/// Decides what machines run on.
pub async fn choose(pref: AccelPref, probe: &Probe) -> AccelChoice {
    match pref {
        AccelPref::Kvm => AccelChoice::new(Accel::Kvm, "asked for"),
        AccelPref::Tcg => AccelChoice::new(Accel::Tcg, "asked for"),
        AccelPref::Auto => auto(probe).await,
    }
}

async fn auto(probe: &Probe) -> AccelChoice {
    let device = &probe.device;
    if let Err(e) = File::options().read(true).write(true).open(device) {
        return AccelChoice::new(Accel::Tcg, format!("{} cannot be opened: {e}", device.display()));
    }
    let remembered = verdict_path(probe).await;
    if let Some(choice) = remembered.as_deref().and_then(recall) {
        return AccelChoice {
            why: format!("{} (remembered from an earlier trial)", choice.why),
            ..choice
        };
    }
    let choice = match try_kvm(probe).await {
        // A host that cannot even try says nothing about KVM that is worth remembering.
        Err(why) => return AccelChoice::new(Accel::Tcg, why),
        Ok(choice) => choice,
    };
    if let Some(path) = remembered {
        // A verdict that cannot be remembered is found again.
        let _ = remember(&path, &choice);
    }
    choice
}

/// Boots the kernel with nothing to do; how long that took, in seconds.
///
/// # Errors
/// Why it did not get to its end, for people.
pub async fn trial(probe: &Probe, accel: Accel) -> Result<f64, String> {
    judge(&boot_once(probe, accel).await?)?
}

/// Finds out whether KVM boots the kernel.
async fn try_kvm(probe: &Probe) -> Result<AccelChoice, String> {
    let host = |why| format!("the trial boot under KVM could not be made: {why}");
    let run = boot_once(probe, Accel::Kvm).await.map_err(host)?;
    Ok(match judge(&run).map_err(host)? {
        Ok(boot_s) => AccelChoice::new(
            Accel::Kvm,
            format!("a trial boot reached the agent in {boot_s:.1} s"),
        ),
        Err(why) => AccelChoice::new(
            Accel::Tcg,
            format!("/dev/kvm opens, but a trial boot under KVM failed: {why}"),
        ),
    })
}

async fn boot_once(probe: &Probe, accel: Accel) -> Result<MachineRun, String> {
    let dir = tempfile::tempdir().map_err(|e| format!("no folder for it: {e}"))?;
    let within = probe.within.unwrap_or(TRIAL_WITHIN);
    let config = MachineConfig {
        qemu: probe.qemu.clone(),
        backend: Backend::Qemu,
        accel,
        kernel: probe.kernel.clone(),
        base: Arc::clone(&probe.base),
        request: Request {
            v: VERSION,
            run: 0,
            cases: Vec::new(),
        },
        cpus: 1,
        memory_mib: 256,
        disks: Vec::new(),
        boot_args: Vec::new(),
        evidence: dir.path().join("evidence"),
        scratch: dir.path().join("scratch"),
        freeze_on_finding: false,
        deadlines: Deadlines {
            first_frame: within,
            silence: within,
            case_end: within,
            power_off: within,
            last_words: Duration::ZERO,
        },
    };
    let (events, _nobody) = mpsc::channel(1);
    let (_never, cancel) = watch::channel(false);
    Ok(boot(&config, events, cancel).await)
}

/// What a trial boot says: the seconds that it took, or why it failed; an outer error where the host failed it.
pub(super) fn judge(run: &MachineRun) -> Result<Result<f64, String>, String> {
    let why = match &run.end {
        MachineEnd::PoweredOff if spoke(&run.frames) => {
            return Ok(Ok(run.boot_s.unwrap_or_default()));
        }
        MachineEnd::PoweredOff => "the guest powered off without its frames".to_owned(),
        MachineEnd::Panicked => "the guest's kernel panicked".to_owned(),
        MachineEnd::Reset => "the guest reset itself".to_owned(),
        MachineEnd::Killed { signal: Some(signal) } => format!("QEMU was killed by signal {signal}"),
        MachineEnd::Killed { signal: None } => "QEMU was killed".to_owned(),
        MachineEnd::QemuExited { status, stderr } => {
            format!(
                "QEMU exited with {status}: {}",
                stderr.lines().last().unwrap_or("no message")
            )
        }
        MachineEnd::Deadline { awaited } => format!("waited in vain for {}", awaited.words()),
        MachineEnd::Cancelled => return Err("it was cancelled".to_owned()),
        MachineEnd::NotStarted(e) | MachineEnd::HostFailed(e) => return Err(e.to_string()),
    };
    Ok(Err(why))
}

fn spoke(frames: &FrameLog) -> bool {
    frames.hello().is_some() && frames.is_sound()
}

/// Where the verdict for this host, kernel and QEMU is remembered; `None` where one of them has no identity.
async fn verdict_path(probe: &Probe) -> Option<PathBuf> {
    let version = Cmd::new(&probe.qemu)
        .arg("--version")
        .deadline(Duration::from_secs(10), "QEMU's version");
    let version = tokio::task::spawn_blocking(move || version.run())
        .await
        .ok()?
        .ok()?;
    let host = |path: &str| fs::read(path).ok();
    let boot_id = host("/proc/sys/kernel/random/boot_id")?;
    let release = host("/proc/sys/kernel/osrelease")?;
    let mut key = blake3::Hasher::new();
    for part in [&boot_id, &release, probe.kernel_key.as_bytes(), &version.stdout] {
        key.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    version
        .success()
        .then(|| probe.cache.join(format!("{}.json", key.finalize().to_hex())))
}

fn recall(path: &Path) -> Option<AccelChoice> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whole or not at all: two runs may find the same verdict at once.
fn remember(path: &Path, choice: &AccelChoice) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(choice)?)?;
    file.persist(path)?;
    Ok(())
}
