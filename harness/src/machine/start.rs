//! Starting a machine: everything that QEMU needs is made, then it is started, and its channels are read.
//!
//! Not here: what becomes of the machine ([`boot`](super::boot)).

use super::channels::{Channels, Files, Report};
use super::end::MachineError;
use super::qmp::Order;
use super::runtime_dir::RuntimeDir;
use super::ssh::Patience;
use super::visit::{self, Caller, Visit};
use super::{Backend, Deadlines, MachineConfig, boot_args, qemu, virtme};
use crate::host::{Cmd, Finished, Job, Killer, ProcessError};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Reports that may wait; readers then wait, and so does the guest.
pub(super) const REPORTS_WAITING_MAX: usize = 256;

/// A machine whose QEMU was started.
pub(super) struct Running {
    pub(super) exit: JoinHandle<Result<Finished, ProcessError>>,
    /// Ends the tree when this is dropped, however that comes about.
    killer: KillOnDrop,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) gone: watch::Sender<bool>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) dirs: (RuntimeDir, TempDir),
}

impl Running {
    /// Ends QEMU and everything that it started.
    pub(super) fn kill(&self) {
        self.killer.0.kill();
    }
}

struct KillOnDrop(Killer);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Prepares everything and starts QEMU.
pub(super) async fn start(
    config: &MachineConfig,
    files: &Files,
    visit: Option<Visit>,
) -> Result<Running, MachineError> {
    let line = boot_args::command_line(&config.boot_args)
        .map_err(|(arg, why)| MachineError::BootArg { arg, why })?;
    check_kernel(&config.kernel)?;
    let scratch = scratch(config)?;
    let disks = disks(config, scratch.path())?;
    let runtime_dir = RuntimeDir::new().map_err(|source| MachineError::File {
        what: "making a folder for sockets",
        path: "/tmp".into(),
        source,
    })?;
    let mut channels = Channels::listen(&runtime_dir)?;
    let (cmd, caller) = match &config.backend {
        Backend::Qemu => (plain(config, &line, &disks, scratch.path(), &channels)?, None),
        Backend::Virtme(virtme) => {
            let ready = virtme::prepare(virtme, config, &disks, scratch.path(), &runtime_dir, &channels)?;
            let log = config.evidence.join("agent.log");
            let visit = visit.unwrap_or_else(|| visit::suite(virtme.agent, &config.request, log));
            // A visit may last, each of its steps may not.
            let fair = Deadlines::on(config.accel).of(&config.backend);
            let caller = channels.take_ssh().map(|listener| Caller {
                listener,
                keys: ready.keys,
                patience: Patience {
                    first_byte: config.deadlines.first_frame.min(fair.first_frame),
                    step: config.deadlines.silence.min(fair.silence),
                },
                visit,
            });
            (ready.cmd, caller)
        }
    };
    let (report, reports) = mpsc::channel(REPORTS_WAITING_MAX);
    let (gone, is_gone) = watch::channel(false);
    let (orders, given) = mpsc::unbounded_channel();
    channels.read(files, &report, &is_gone, given)?;
    let job = start_job(cmd).await?;
    let killer = KillOnDrop(job.killer());
    if let Some(caller) = caller {
        tokio::spawn(caller.run(report, is_gone));
    }
    let exit = tokio::task::spawn_blocking(move || job.wait());
    Ok(Running {
        exit,
        killer,
        reports,
        gone,
        orders,
        dirs: (runtime_dir, scratch),
    })
}

/// Plain QEMU, over an initramfs with the agent and its request.
fn plain(
    config: &MachineConfig,
    line: &str,
    disks: &[(String, PathBuf)],
    scratch: &Path,
    channels: &Channels,
) -> Result<Cmd, MachineError> {
    let initrd = scratch.join("initrd");
    config
        .base
        .write_file(&config.request, &initrd)
        .map_err(|source| MachineError::File {
            what: "writing the initramfs",
            path: initrd.clone(),
            source,
        })?;
    let mut args = qemu::argv(&qemu::Machine {
        accel: config.accel,
        cpus: config.cpus,
        memory_mib: config.memory_mib,
        kernel: &config.kernel,
        initrd: &initrd,
        command_line: line,
        disks,
        console: channels.console(),
        frames: channels.frames(),
        qmp: channels.qmp(),
    });
    if config.freeze_on_finding {
        args.extend(qemu::VMCOREINFO.map(Into::into));
    }
    Ok(Cmd::new(&config.qemu).args(args))
}

fn check_kernel(path: &Path) -> Result<(), MachineError> {
    let readable = File::open(path).and_then(|f| f.metadata()).and_then(|m| {
        if m.is_file() {
            Ok(())
        } else {
            Err(std::io::ErrorKind::IsADirectory.into())
        }
    });
    readable.map_err(|source| MachineError::Kernel {
        path: path.to_owned(),
        source,
    })
}

async fn start_job(cmd: Cmd) -> Result<Job, MachineError> {
    match tokio::task::spawn_blocking(move || cmd.start()).await {
        Ok(Ok(job)) => Ok(job),
        Ok(Err(ProcessError::NotFound { program })) => Err(MachineError::QemuMissing { program }),
        Ok(Err(e)) => Err(MachineError::Process(e)),
        Err(e) => Err(MachineError::Qmp(e.into())),
    }
}

/// Makes the folders.
fn scratch(config: &MachineConfig) -> Result<TempDir, MachineError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| MachineError::File {
            what: "making a folder",
            path,
            source,
        }
    };
    fs::create_dir_all(&config.evidence).map_err(failed(&config.evidence))?;
    fs::create_dir_all(&config.scratch).map_err(failed(&config.scratch))?;
    tempfile::Builder::new()
        .prefix("machine-")
        .tempdir_in(&config.scratch)
        .map_err(failed(&config.scratch))
}

/// Makes the disks: sparse files.
fn disks(config: &MachineConfig, dir: &Path) -> Result<Vec<(String, PathBuf)>, MachineError> {
    let mut made: Vec<(String, PathBuf)> = Vec::new();
    for disk in &config.disks {
        let serial = &disk.serial;
        let refuse = |why| {
            Err(MachineError::Disk {
                serial: serial.clone(),
                why,
            })
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if serial.is_empty() || serial.len() > qemu::SERIAL_LEN_MAX || !serial.bytes().all(allowed) {
            return refuse("is not a good name");
        }
        if made.iter().any(|(other, _)| other == serial) {
            return refuse("is there twice");
        }
        if disk.size == 0 || disk.size % 512 != 0 {
            return refuse("has a size that is not a multiple of 512 bytes");
        }
        let path = dir.join(format!("{serial}.raw"));
        File::create_new(&path)
            .and_then(|f| f.set_len(disk.size))
            .map_err(|source| MachineError::File {
                what: "making a disk",
                path: path.clone(),
                source,
            })?;
        made.push((serial.clone(), path));
    }
    Ok(made)
}
