//! One machine from its start to its end.
//!
//! Tasks read the channels and report ([`channels`](super::channels)); one loop takes the reports,
//! follows the deadlines and decides when to end QEMU. It ends QEMU at most once, and always waits
//! until QEMU and everything that it started are gone.
//!
//! Not here: what is made before QEMU starts ([`start`](super::start)).

use super::bounded::Kept;
use super::channels::{Files, Report};
use super::deadlines::{Awaited, Watch};
use super::end::{Causes, MachineEnd, MachineError};
use super::frames::FrameLog;
use super::qmp::{Event, Order};
use super::runtime_dir::RuntimeDir;
use super::ssh::SshError;
use super::start::{REPORTS_WAITING_MAX, Running, start};
use super::usage::Usage;
use super::visit::Visit;
use super::{Frozen, MachineConfig, MachineEvent, MachineRun};
use guest_tests::protocol::Body;
use std::future::pending;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

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
                    running.kill();
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
