//! What boots a machine: plain QEMU over an initramfs of ours, or virtme-ng over a root of files.
//!
//! Only the start differs ([`Backend`]): console, frames, QMP, disks, deadlines and the end are the same
//! code for both. `auto` takes virtme-ng where it is installed, the kernel has what it needs, and a trial
//! boot of that very kernel comes to its end.

use super::accel::{self, Accel};
use super::boot::boot;
use super::virtme::{self, Prepared, Root, Virtme, VirtmeError};
use super::{Deadlines, MachineConfig, agent, initramfs};
use guest_tests::protocol::{Request, VERSION};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What boots a machine.
#[derive(Debug, Clone)]
pub enum Backend {
    /// QEMU, with the agent as the guest's init.
    Qemu,
    /// virtme-ng, with the agent started over SSH.
    Virtme(Virtme),
}

impl Backend {
    /// Its name, as a matrix spells it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Virtme(_) => "virtme-ng",
        }
    }
}

/// What a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendPref {
    /// virtme-ng where it works, else plain QEMU.
    Auto,
    /// Plain QEMU.
    Qemu,
    /// virtme-ng, whatever comes of it.
    Virtme,
}

/// What was chosen, and why.
#[derive(Debug, Clone)]
pub struct BackendChoice {
    /// What was chosen.
    pub backend: Backend,
    /// Why, for people: fits after "qemu: ".
    pub why: String,
}

/// What a choice needs to know.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// QEMU's executable.
    pub qemu: PathBuf,
    /// What machines run on.
    pub accel: Accel,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The kernel's final configuration, where it is known.
    pub kernel_config: Option<String>,
    /// The kernel's content key: a verdict is remembered for it.
    pub kernel_key: String,
    /// Whether its guest may read the host's files.
    pub trusted: bool,
    /// The guest's root for plain QEMU.
    pub base: Arc<initramfs::Base>,
    /// Folder of prepared roots; created where missing.
    pub roots: PathBuf,
    /// Folder for verdicts; created where missing.
    pub verdicts: PathBuf,
}

/// Decides what boots machines.
///
/// # Errors
/// Where virtme-ng is asked for and cannot be used; `auto` has no errors.
pub async fn choose(pref: BackendPref, wanted: &Wanted) -> Result<BackendChoice, VirtmeError> {
    let choice = |backend, why: &str| BackendChoice {
        backend,
        why: why.to_owned(),
    };
    match pref {
        BackendPref::Qemu => Ok(choice(Backend::Qemu, "asked for")),
        BackendPref::Virtme => Ok(choice(Backend::Virtme(virtme_of(wanted)?), "asked for")),
        BackendPref::Auto => Ok(match auto(wanted).await {
            Ok((virtme, why)) => choice(Backend::Virtme(virtme), &why),
            Err(why) => choice(Backend::Qemu, &why),
        }),
    }
}

/// virtme-ng as it is on this host, with the root that the kernel deserves.
fn virtme_of(wanted: &Wanted) -> Result<Virtme, VirtmeError> {
    let host = virtme::Host::find()?;
    let root = if wanted.trusted {
        Root::Host
    } else {
        Root::Prepared(Arc::new(Prepared::make(&wanted.roots)?))
    };
    Ok(Virtme {
        vng: host.vng,
        root,
        agent: agent::BYTES,
    })
}

/// virtme-ng and why, or why not.
async fn auto(wanted: &Wanted) -> Result<(Virtme, String), String> {
    if let Some(config) = &wanted.kernel_config {
        let lacks = virtme::kernel_lacks(config);
        if !lacks.is_empty() {
            return Err(format!("the kernel lacks {} for virtme-ng", lacks.join(", ")));
        }
    }
    let virtme = virtme_of(wanted).map_err(|e| e.to_string())?;
    let verdict = verdict_path(wanted, &virtme);
    if let Some(Trial { works, why }) = verdict.as_deref().and_then(recall) {
        let why = format!("{why} (remembered from an earlier trial)");
        return if works { Ok((virtme, why)) } else { Err(why) };
    }
    let trial = trial(wanted, &virtme).await?;
    if let Some(path) = verdict {
        // A verdict that cannot be remembered is found again.
        let _ = serde_json::to_vec(&trial)
            .map_err(std::io::Error::other)
            .and_then(|json| {
                std::fs::create_dir_all(&wanted.verdicts)?;
                crate::host::fs::write_atomic(&path, &json)
            });
    }
    if trial.works {
        Ok((virtme, trial.why))
    } else {
        Err(trial.why)
    }
}

/// What a trial boot came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Trial {
    works: bool,
    why: String,
}

/// Boots the kernel under virtme-ng, with nothing to do.
async fn trial(wanted: &Wanted, virtme: &Virtme) -> Result<Trial, String> {
    let dir = tempfile::tempdir().map_err(|e| format!("no folder for a trial boot: {e}"))?;
    let backend = Backend::Virtme(virtme.clone());
    let config = MachineConfig {
        qemu: wanted.qemu.clone(),
        deadlines: Deadlines::on(wanted.accel).of(&backend),
        backend,
        accel: wanted.accel,
        kernel: wanted.kernel.clone(),
        base: Arc::clone(&wanted.base),
        request: Request {
            v: VERSION,
            run: 0,
            cases: Vec::new(),
        },
        cpus: 1,
        memory_mib: 300,
        disks: Vec::new(),
        boot_args: Vec::new(),
        evidence: dir.path().join("evidence"),
        scratch: dir.path().join("scratch"),
        freeze_on_finding: false,
    };
    let (events, _nobody) = mpsc::channel(1);
    let (_never, cancel) = watch::channel(false);
    let run = boot(&config, events, cancel).await;
    match accel::judge(&run) {
        Ok(Ok(boot_s)) => Ok(Trial {
            works: true,
            why: format!("a trial boot under virtme-ng reached the agent in {boot_s:.1} s"),
        }),
        Ok(Err(why)) => Ok(Trial {
            works: false,
            why: format!("virtme-ng is installed, but a trial boot under it failed: {why}"),
        }),
        Err(why) => Err(format!("the trial boot under virtme-ng could not be made: {why}")),
    }
}

/// Where the verdict for this host, kernel and vng is remembered; `None` where one of them has no identity.
fn verdict_path(wanted: &Wanted, virtme: &Virtme) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let boot_id = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let vng = std::fs::metadata(&virtme.vng).ok()?;
    let vng = format!("{} {} {}", virtme.vng.display(), vng.size(), vng.mtime());
    let accel = wanted.accel.to_string();
    let mut key = blake3::Hasher::new();
    for part in [
        &boot_id[..],
        vng.as_bytes(),
        wanted.kernel_key.as_bytes(),
        accel.as_bytes(),
        virtme.root.word().as_bytes(),
        agent::hash().as_bytes(),
    ] {
        key.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    Some(
        wanted
            .verdicts
            .join(format!("virtme-{}.json", key.finalize().to_hex())),
    )
}

fn recall(path: &std::path::Path) -> Option<Trial> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
