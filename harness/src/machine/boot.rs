//! One machine from its start to its end.
//!
//! Tasks read the channels and report ([`channels`](super::channels)); one loop takes the reports,
//! follows the deadlines and decides when to end QEMU. It ends QEMU at most once, and always waits
//! until QEMU and everything that it started are gone.

use super::bounded::Kept;
use super::channels::{Channels, Files, Report};
use super::deadlines::{Awaited, Watch};
use super::end::{Causes, MachineEnd, MachineError};
use super::frames::FrameLog;
use super::qemu;
use super::qmp::{Event, Order};
use super::runtime_dir::RuntimeDir;
use super::ssh::{Patience, SshError};
use super::usage::Usage;
use super::visit::{self, Caller, Visit};
use super::{Backend, Deadlines, Frozen, MachineConfig, MachineEvent, MachineRun, boot_args, virtme};
use crate::host::{Cmd, Finished, Job, Killer, ProcessError};
use guest_tests::protocol::Body;
use std::fs::{self, File};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Reports that may wait; readers then wait, and so does the guest.
const REPORTS_WAITING_MAX: usize = 256;
/// How long QEMU may take to go away once it was ended: nothing but the host's kernel is in the way.
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// How long the readers may take to come to the ends of streams whose writer is gone.
const DRAINED_WITHIN: Duration = Duration::from_secs(20);

/// Runs one machine to its end. `cancel` turning true ends it early.
///
/// Dropping the future ends the machine too, without a record.
pub async fn boot(
    config: &MachineConfig,
    events: mpsc::Sender<MachineEvent>,
    cancel: watch::Receiver<bool>,
) -> MachineRun {
    run(config, events, cancel, None).await
}

/// Boots a machine for a visit over SSH in place of the suite. Only virtme-ng's guests can be visited.
///
/// The machine does not end with the visit: whoever visits turns `cancel` then.
pub async fn boot_and_visit(
    config: &MachineConfig,
    events: mpsc::Sender<MachineEvent>,
    cancel: watch::Receiver<bool>,
    visit: Visit,
) -> MachineRun {
    run(config, events, cancel, Some(visit)).await
}

async fn run(
    config: &MachineConfig,
    events: mpsc::Sender<MachineEvent>,
    cancel: watch::Receiver<bool>,
    visit: Option<Visit>,
) -> MachineRun {
    let started_at = Instant::now();
    let mut record = Record::new(config, started_at, events);
    let (end, dirs) = match start(config, &record.files, visit).await {
        Ok(mut running) => (record.follow(&mut running, cancel).await, Some(running.dirs)),
        Err(e) => (MachineEnd::NotStarted(e), None),
    };
    // Before the caller hears of the end, so that it finds nothing left behind.
    drop(dirs);
    record.finish(end)
}

/// A machine whose QEMU was started.
struct Running {
    exit: JoinHandle<Result<Finished, ProcessError>>,
    /// Ends the tree when this is dropped, however that comes about.
    killer: KillOnDrop,
    reports: mpsc::Receiver<Report>,
    gone: watch::Sender<bool>,
    orders: mpsc::UnboundedSender<Order>,
    dirs: (RuntimeDir, TempDir),
}

struct KillOnDrop(Killer);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Prepares everything and starts QEMU.
async fn start(config: &MachineConfig, files: &Files, visit: Option<Visit>) -> Result<Running, MachineError> {
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

/// What is known of a machine while it runs.
struct Record {
    started_at: Instant,
    events: mpsc::Sender<MachineEvent>,
    files: Files,
    watch: Watch,
    causes: Causes,
    frames: FrameLog,
    console_kept: Kept,
    boot_s: Option<f64>,
    pid: Option<i32>,
    usage: Usage,
    accel: super::Accel,
    last_words: Duration,
    freeze: bool,
    /// Where a frozen guest can be looked at.
    frozen: Option<(PathBuf, PathBuf)>,
    /// When the guest was asked, by an NMI, why something did not come.
    asked_at: Option<Instant>,
}

/// What the loop does next.
#[derive(PartialEq)]
enum Step {
    /// Goes on.
    Go,
    /// The guest found something that somebody wants to look at: it is stopped.
    Freeze,
    /// Something did not come: the guest is asked why, and then ended.
    Ask,
    /// The machine stopped: QEMU is told to quit.
    Quit,
    /// QEMU is ended.
    Kill,
}

impl Record {
    fn new(config: &MachineConfig, started_at: Instant, events: mpsc::Sender<MachineEvent>) -> Self {
        Self {
            started_at,
            events,
            files: Files {
                console: config.evidence.join("console.log"),
                frames: config.evidence.join("frames.bin"),
            },
            watch: Watch::new(config.deadlines, &config.request.cases, started_at),
            causes: Causes::default(),
            frames: FrameLog::default(),
            console_kept: Kept::default(),
            boot_s: None,
            pid: None,
            usage: Usage::default(),
            accel: config.accel,
            last_words: config.deadlines.last_words,
            freeze: config.freeze_on_finding,
            frozen: None,
            asked_at: None,
        }
    }

    /// Follows the machine until QEMU is gone and every stream is at its end.
    async fn follow(&mut self, running: &mut Running, mut cancel: watch::Receiver<bool>) -> MachineEnd {
        let mut killed_at: Option<Instant> = None;
        let exit = loop {
            let (until, awaited) = self.watch.awaited();
            let until = match (killed_at, self.asked_at) {
                (Some(at), _) => at + GONE_WITHIN,
                (None, Some(at)) => at + self.last_words,
                (None, None) => until,
            };
            let patient = self.frozen.is_some() && killed_at.is_none();
            let step = tokio::select! {
                // A guest that never stops talking puts off neither the caller nor a deadline; but
                // what it said before its end counts before its end.
                biased;
                () = cancelled(&mut cancel), if killed_at.is_none() => {
                    self.causes.note(MachineEnd::Cancelled);
                    Step::Kill
                }
                () = tokio::time::sleep_until(until.into()), if !patient => {
                    if killed_at.is_some() {
                        return MachineEnd::HostFailed(MachineError::Stuck);
                    }
                    self.missed(awaited, &mut running.reports)
                }
                Some(report) = running.reports.recv() => self.take(report),
                exit = &mut running.exit => break exit,
            };
            match step {
                Step::Go => {}
                // An order that nobody takes any more means that QEMU is gone, which its exit tells.
                Step::Freeze => {
                    let _ = self
                        .freeze(&running.dirs.0)
                        .map(|order| running.orders.send(order));
                }
                Step::Ask => {
                    self.asked_at = Some(Instant::now());
                    let _ = running.orders.send(Order::Nmi);
                }
                Step::Quit => {
                    self.watch.leave(Instant::now());
                    let _ = running.orders.send(Order::Quit);
                }
                Step::Kill if killed_at.is_none() => {
                    self.sample();
                    running.killer.0.kill();
                    killed_at = Some(Instant::now());
                }
                Step::Kill => {}
            }
        };
        running.gone.send_replace(true);
        let drained = async {
            while let Some(report) = running.reports.recv().await {
                self.take(report);
            }
        };
        // When it runs out the log says `Open`, and no verdict takes that for a whole stream.
        let _ = tokio::time::timeout(DRAINED_WITHIN, drained).await;
        self.tell(MachineEvent::Exited);
        let causes = std::mem::take(&mut self.causes);
        match exit {
            Ok(exit) => causes.conclude(exit),
            Err(e) => MachineEnd::HostFailed(MachineError::Qmp(e.into())),
        }
    }

    /// A deadline ran out. It may be us who were late: what has arrived by now still counts.
    fn missed(&mut self, awaited: Awaited, reports: &mut mpsc::Receiver<Report>) -> Step {
        for _ in 0..REPORTS_WAITING_MAX {
            let Ok(report) = reports.try_recv() else { break };
            let step = self.take(report);
            if step != Step::Go {
                return step;
            }
        }
        if self.asked_at.is_some() {
            return Step::Kill;
        }
        if self.watch.awaited().0 > Instant::now() {
            return Step::Go;
        }
        self.causes.note(MachineEnd::Deadline { awaited });
        // Only a machine that runs can be asked.
        if self.pid.is_some() && !self.last_words.is_zero() {
            Step::Ask
        } else {
            Step::Kill
        }
    }

    /// Notes where the guest can be looked at; what QEMU is to do for it.
    fn freeze(&mut self, dir: &RuntimeDir) -> Option<Order> {
        let gdb = dir.socket("gdb").ok()?;
        let dump = std::path::absolute(self.files.console.with_file_name("guest-memory.elf")).ok()?;
        self.frozen = Some((gdb.clone(), dump.clone()));
        Some(Order::Freeze { gdb, dump })
    }

    fn take(&mut self, report: Report) -> Step {
        match report {
            Report::Up(pid) => self.pid = pid,
            Report::Console(bytes) => self.tell(MachineEvent::ConsoleBytes(bytes)),
            Report::ConsoleEnd(kept) => self.console_kept = kept,
            Report::FramesEnd(end) => self.frames.end = end,
            Report::Frame(frame, len, at) => {
                self.boot_s
                    .get_or_insert_with(|| (at - self.started_at).as_secs_f64());
                self.sample();
                self.watch.frame(&frame, at);
                self.tell(MachineEvent::Frame(frame.clone(), at));
                let found = matches!(frame.body, Body::Finding(_));
                self.frames.push(*frame, len);
                if found && self.freeze && self.frozen.is_none() {
                    return Step::Freeze;
                }
            }
            Report::Qmp(event) => return self.take_event(event),
            Report::Visited(made) => return self.visited(made),
            Report::Failed(e) => {
                self.causes.note(MachineEnd::HostFailed(e));
                return Step::Kill;
            }
        }
        Step::Go
    }

    /// Only a way in that is barred is a cause, and only while the guest has said nothing: once frames
    /// flow, they tell how it goes on; a session that is lost tells nothing.
    fn visited(&mut self, made: Result<(), SshError>) -> Step {
        match made {
            Err(e) if !e.is_lost() && self.frames.total == 0 => {
                self.causes.note(MachineEnd::HostFailed(MachineError::Ssh(e)));
                Step::Kill
            }
            Ok(()) | Err(_) => Step::Go,
        }
    }

    fn take_event(&mut self, event: Event) -> Step {
        self.causes.event(event.clone());
        match event {
            Event::Shutdown(_) => {
                self.sample();
                Step::Quit
            }
            Event::GuestPanicked => {
                self.watch.leave(Instant::now());
                self.tell(MachineEvent::Panicked);
                Step::Go
            }
            Event::DiskError { .. } => Step::Kill,
            Event::Dumped(done) => {
                if let Some((gdb, dump)) = self.frozen.clone() {
                    let dump = done.map(|()| dump);
                    self.tell(MachineEvent::Frozen(Frozen { gdb, dump }));
                }
                Step::Go
            }
        }
    }

    /// Reads what QEMU got so far. A process that is just ending shows less than it showed before.
    fn sample(&mut self) {
        if let Some(usage) = self.pid.and_then(Usage::of) {
            self.usage = self.usage.at_least(usage);
        }
    }

    /// Tells whoever watches, if they keep up.
    fn tell(&self, event: MachineEvent) {
        let _ = self.events.try_send(event);
    }

    fn finish(self, end: MachineEnd) -> MachineRun {
        MachineRun {
            end,
            console: self.files.console,
            console_kept: self.console_kept,
            frames_raw: self.files.frames,
            frames: self.frames,
            asked: self.asked_at.is_some(),
            accel: self.accel,
            boot_s: self.boot_s,
            wall_s: self.started_at.elapsed().as_secs_f64(),
            usage: self.usage,
        }
    }
}

/// Waits for the caller to give up; one that went away never does.
async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        pending::<()>().await;
    }
}
