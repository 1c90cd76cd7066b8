//! The executor of one cell: boots its machine, passes on what the guest says, and has what is left
//! judged.

use super::dispatch::{Config, RunError, infra};
use super::{CellRecord, Event};
use crate::console::{self, Splat};
use crate::kernel::Built;
use crate::machine::{
    self, Accel, AccelChoice, AccelPref, BackendChoice, BackendPref, Deadlines, MachineConfig, MachineEnd,
    MachineEvent, MachineRun, agent, initramfs,
};
use crate::plan::Cell;
use crate::source::cache::Scratch;
use crate::spec;
use crate::store;
use crate::verdict::{self, Evidence, Planned, Verdict};
use guest_tests::catalogue::Counter;
use guest_tests::protocol::{self, Body, CaseRequest, Frame, Request, Seen};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

use super::{evidence, lines, shell};

/// Times a cell is tried when the host or the harness broke. A finding is never tried away.
const ATTEMPTS_MAX: u32 = 2;
/// News of a machine that may wait to be shown.
const NEWS_WAITING_MAX: usize = 256;

/// What all cells of a run share.
pub(super) struct CellContext {
    run_dir: PathBuf,
    /// For the machines' disks; gone with the run, however it ends.
    scratch: Scratch,
    accel_cache: PathBuf,
    /// For the roots of guests that may not see the host's.
    roots: PathBuf,
    /// Names of the kernels that the matrix marks as trusted.
    trusted: BTreeSet<String>,
    qemu: PathBuf,
    base: Arc<initramfs::Base>,
    repeat_head: String,
    freeze: bool,
}

impl CellContext {
    pub(super) fn new(config: &Config, run_dir: &Path) -> Result<Self, RunError> {
        let base = initramfs::Base::new(agent::BYTES).map_err(RunError::Initramfs)?;
        Ok(Self {
            run_dir: run_dir.to_owned(),
            scratch: config.cache.scratch()?,
            accel_cache: config.cache.root().join("accel"),
            roots: config.cache.root().join("roots"),
            trusted: trusted(config),
            qemu: std::env::var_os("PATCHPROOF_QEMU").map_or_else(|| machine::QEMU.into(), PathBuf::from),
            base: Arc::new(base),
            freeze: config.freeze,
            repeat_head: format!("patchproof replay {}", run_dir.display()),
        })
    }

    /// The record of a cell whose kernel could not be made.
    pub(super) fn unrun(&self, cell: &Cell, full: Verdict) -> CellRecord {
        self.record(cell, full, &evidence::Figures::default(), None, 0)
    }

    /// Decides what a kernel's machines run on.
    pub(super) async fn accel(&self, pref: AccelPref, kernel: &Built) -> AccelChoice {
        let probe = machine::accel::Probe {
            qemu: self.qemu.clone(),
            kernel: kernel.dir.join("bzImage"),
            kernel_key: kernel.key.to_string(),
            base: Arc::clone(&self.base),
            cache: self.accel_cache.clone(),
            device: "/dev/kvm".into(),
            within: None,
        };
        machine::accel::choose(pref, &probe).await
    }

    fn record(
        &self,
        cell: &Cell,
        full: Verdict,
        figures: &evidence::Figures,
        build_s: Option<f64>,
        attempts: u32,
    ) -> CellRecord {
        CellRecord {
            id: cell.id.clone(),
            group: cell.group.clone(),
            kernel: cell.kernel.clone(),
            machine: cell.machine.name.clone(),
            workload: cell.case.spec.workload.name().to_owned(),
            verdict: full.word().to_owned(),
            as_expected: evidence::as_expected(cell.expect.as_deref(), &full),
            reason: full.reason(),
            findings: full.told().map(Into::into).collect(),
            detect_s: figures.detect_s,
            guest_s: figures.guest_s,
            pages_verified: figures.count(Counter::PagesVerified),
            round_trips: figures.count(Counter::RoundTrips),
            boot_s: figures.boot_s,
            attempts,
            build_s,
            repeat: format!("{} {}", self.repeat_head, cell.id),
            expected: cell
                .expect
                .as_deref()
                .map_or("pass", |e| e.verdict.word())
                .to_owned(),
            full,
        }
    }
}

/// One cell to run.
pub(super) struct Run<'a> {
    pub(super) context: &'a CellContext,
    pub(super) cell: &'a Cell,
    pub(super) kernel: &'a Built,
    pub(super) build_s: Option<f64>,
}

impl Run<'_> {
    /// Runs the cell to its verdict; `None` where it was stopped before it had one.
    pub(super) async fn run(
        &self,
        events: &mpsc::Sender<Event>,
        cancel: watch::Receiver<bool>,
    ) -> Option<CellRecord> {
        let dir = self.context.run_dir.join("cells").join(&self.cell.id);
        // An earlier go of this run may have been stopped in the midst of one: its folder stays as it is.
        let before = (1..)
            .take_while(|n| dir.join(format!("attempt-{n}")).exists())
            .count();
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let mut attempt = before.saturating_add(1);
        loop {
            let _ = events
                .send(Event::CellStarted {
                    cell: self.cell.id.clone(),
                })
                .await;
            let evidence_dir = dir.join(format!("attempt-{attempt}"));
            let (verdict, figures, worth_another) = self.attempt(&evidence_dir, events, cancel.clone()).await;
            if *cancel.borrow() && matches!(verdict, Verdict::Infra { .. }) {
                return None;
            }
            let record = self
                .context
                .record(self.cell, verdict, &figures, self.build_s, attempt);
            let written = store::write_json(&evidence_dir.join("verdict.json"), &record.full)
                .and_then(|()| store::write_json(&dir.join("cell.json"), &record));
            if let Err(e) = written {
                let verdict = infra(format!("the verdict ({}) could not be kept: {e}", record.verdict));
                return Some(
                    self.context
                        .record(self.cell, verdict, &figures, self.build_s, attempt),
                );
            }
            if worth_another && attempt - before < ATTEMPTS_MAX {
                attempt += 1;
                continue;
            }
            return Some(record);
        }
    }

    /// Boots the machine once. Says as well whether trying again makes sense.
    async fn attempt(
        &self,
        evidence_dir: &Path,
        events: &mpsc::Sender<Event>,
        cancel: watch::Receiver<bool>,
    ) -> (Verdict, evidence::Figures, bool) {
        let choice = self.accel().await;
        let backend = match self.backend(choice.accel).await {
            Ok(backend) => backend,
            Err(why) => return (infra(why), evidence::Figures::default(), false),
        };
        let config = match self.machine(evidence_dir, choice.accel, &backend) {
            Ok(config) => config,
            Err(why) => return (infra(why), evidence::Figures::default(), false),
        };
        let (news, heard) = mpsc::channel(NEWS_WAITING_MAX);
        let boot = machine::boot(&config, news, cancel);
        let (run, ()) = tokio::join!(boot, self.tell(heard, events, &choice, &backend));
        let (verdict, figures, worth_another) = self.judge(&config, &run, evidence_dir);
        let verdict = lines::put(verdict, &self.kernel.dir.join("vmlinux"), &run.console).await;
        (verdict, figures, worth_another)
    }

    async fn accel(&self) -> AccelChoice {
        let pref = shell::accel_pref(self.cell.machine.spec.accel);
        self.context.accel(pref, self.kernel).await
    }

    /// What boots the machine; an error where the cell insists on what this host has not.
    async fn backend(&self, accel: Accel) -> Result<BackendChoice, String> {
        let pref = match self.cell.machine.spec.backend {
            spec::Backend::Auto => BackendPref::Auto,
            spec::Backend::Qemu => BackendPref::Qemu,
            spec::Backend::VirtmeNg => BackendPref::Virtme,
        };
        let wanted = machine::backend::Wanted {
            qemu: self.context.qemu.clone(),
            accel,
            kernel: self.kernel.dir.join("bzImage"),
            kernel_config: std::fs::read_to_string(self.kernel.dir.join("config")).ok(),
            kernel_key: self.kernel.key.to_string(),
            trusted: self.context.trusted.contains(&self.cell.kernel),
            base: Arc::clone(&self.context.base),
            roots: self.context.roots.clone(),
            verdicts: self.context.accel_cache.clone(),
        };
        machine::backend::choose(pref, &wanted)
            .await
            .map_err(|e| evidence::with_causes(&e))
    }

    /// The machine that the cell asks for.
    fn machine(
        &self,
        evidence_dir: &Path,
        accel: Accel,
        backend: &BackendChoice,
    ) -> Result<MachineConfig, String> {
        let (cell, spec) = (self.cell, &self.cell.machine.spec);
        let request = Request {
            v: protocol::VERSION,
            run: run_number(&self.context.run_dir, &cell.id),
            cases: vec![CaseRequest {
                id: cell.id.clone(),
                workload: cell.case.spec.workload.clone(),
                seed: cell.seed,
                budget_ms: u64::try_from(cell.case.spec.budget.as_millis()).unwrap_or(u64::MAX),
                racepoints: cell.racepoint.arms.clone(),
            }],
        };
        let what = Asked {
            kernel: self.kernel.key.to_string(),
            agent: agent::hash(),
            accel: accel.to_string(),
            backend: backend.backend.word(),
            request: &request,
        };
        store::write_json(&evidence_dir.join("asked.json"), &what).map_err(|e| e.to_string())?;
        Ok(MachineConfig {
            qemu: self.context.qemu.clone(),
            backend: backend.backend.clone(),
            accel,
            kernel: self.kernel.dir.join("bzImage"),
            base: Arc::clone(&self.context.base),
            request,
            cpus: spec.cpus,
            memory_mib: spec.memory >> 20,
            disks: shell::disks(spec),
            boot_args: spec.boot_args.clone(),
            evidence: evidence_dir.to_owned(),
            scratch: self.context.scratch.path().to_owned(),
            freeze_on_finding: self.context.freeze,
            deadlines: Deadlines::on(accel).of(&backend.backend),
        })
    }

    /// Passes on what the guest says, until its machine has ended.
    async fn tell(
        &self,
        mut heard: mpsc::Receiver<MachineEvent>,
        events: &mpsc::Sender<Event>,
        choice: &AccelChoice,
        backend: &BackendChoice,
    ) {
        let started = std::time::Instant::now();
        let cell = self.cell.id.clone();
        while let Some(news) = heard.recv().await {
            let (frame, at) = match news {
                MachineEvent::Frame(frame, at) => (frame, at),
                MachineEvent::Frozen(frozen) => {
                    let _ = events.send(self.frozen(frozen)).await;
                    continue;
                }
                MachineEvent::ConsoleBytes(_) | MachineEvent::Panicked | MachineEvent::Exited => continue,
            };
            let event = match frame.body {
                Body::Hello(_) => Event::CellBooted {
                    cell: cell.clone(),
                    boot_s: at.duration_since(started).as_secs_f64(),
                    accel: choice.accel.to_string(),
                    accel_why: choice.why.clone(),
                    backend: backend.backend.word().to_owned(),
                    backend_why: backend.why.clone(),
                },
                Body::Progress(progress) => Event::CellProgress {
                    cell: cell.clone(),
                    elapsed_ms: progress.elapsed_ms,
                    budget_ms: u64::try_from(self.cell.case.spec.budget.as_millis()).unwrap_or(u64::MAX),
                    pages_verified: progress
                        .counters
                        .get(&Counter::PagesVerified)
                        .copied()
                        .unwrap_or(0),
                    round_trips: progress.counters.get(&Counter::RoundTrips).copied().unwrap_or(0),
                    counters: progress.counters,
                },
                Body::Finding(finding) => Event::CellFinding {
                    cell: cell.clone(),
                    title: finding.title,
                    mismatch: if let Seen::Mismatch(mismatch) = finding.what {
                        Some(Box::new(mismatch))
                    } else {
                        None
                    },
                },
                Body::Start(_) | Body::Coverage(_) | Body::End(_) | Body::Done(_) => continue,
            };
            let _ = events.send(event).await;
        }
    }

    /// How a frozen guest can be looked at.
    fn frozen(&self, frozen: machine::Frozen) -> Event {
        let (vmlinux, gdb) = (self.kernel.dir.join("vmlinux"), frozen.gdb);
        let (vmlinux, socket) = (vmlinux.display(), gdb.display());
        let mut how = vec![format!("gdb {vmlinux} -ex 'target remote {socket}'")];
        match &frozen.dump {
            Ok(dump) => how.extend([
                format!("crash {vmlinux} {}", dump.display()),
                format!("drgn -c {} -s {vmlinux}", dump.display()),
            ]),
            Err(why) => how.push(format!("its memory could not be written to a file: {why}")),
        }
        Event::CellFrozen {
            cell: self.cell.id.clone(),
            gdb,
            dump: frozen.dump.ok(),
            how,
        }
    }

    fn judge(
        &self,
        config: &MachineConfig,
        run: &MachineRun,
        evidence_dir: &Path,
    ) -> (Verdict, evidence::Figures, bool) {
        let console = std::fs::read(&run.console).ok();
        let said = console.as_deref().unwrap_or_default();
        let (said, answer) = said.split_at(if run.asked {
            evidence::answer_at(said)
        } else {
            said.len()
        });
        let splats: Vec<Splat> = console::analyze(said);
        let frames: Vec<Frame> = run.frames.frames().cloned().collect();
        let planned = Planned {
            case: self.cell.id.clone(),
            budget: self.cell.case.spec.budget,
            floors: self.cell.case.spec.workload.floors(),
            racepoints: self
                .cell
                .racepoint
                .arms
                .iter()
                .map(|arm| arm.name.clone())
                .collect(),
        };
        let verdict = verdict::judge(&Evidence {
            planned: &planned,
            frames: &frames,
            stream: &evidence::stream(&run.frames),
            console: console.as_ref().map(|_| said),
            splats: &splats,
            ending: &evidence::ending(&run.end),
            last_words: &evidence::text_of(answer),
            host: evidence::host_share(run, config.cpus),
        });
        let figures = evidence::Figures::of(run, &verdict, console.as_ref().map(|_| said));
        let kept = Kept {
            end: &format!("{:?}", run.end),
            wall_s: run.wall_s,
            cpu_s: run.usage.cpu_s,
            splats: &splats,
        };
        if let Err(e) = store::write_json(&evidence_dir.join("machine.json"), &kept) {
            return (
                infra(format!("the evidence could not be kept: {e}")),
                figures,
                false,
            );
        }
        let worth_another = matches!(verdict, Verdict::Infra { .. })
            && !matches!(run.end, MachineEnd::NotStarted(_) | MachineEnd::Cancelled);
        (verdict, figures, worth_another)
    }
}

/// Kernels whose guests may read the host's files: those that the matrix says so of, nothing else.
fn trusted(config: &Config) -> BTreeSet<String> {
    let kernels = config.plan.kernels.iter();
    kernels
        .filter(|(_, kernel)| kernel.trusted)
        .map(|(name, _)| name.clone())
        .collect()
}

/// What was asked of a machine, for its record.
#[derive(Serialize)]
struct Asked<'a> {
    kernel: String,
    agent: &'a str,
    accel: String,
    backend: &'a str,
    request: &'a Request,
}

/// What is kept of a machine beside console and frames.
#[derive(Serialize)]
struct Kept<'a> {
    end: &'a str,
    wall_s: f64,
    cpu_s: f64,
    splats: &'a [Splat],
}

/// The number that stamps of this boot carry: another run's or cell's pages are told apart by it.
fn run_number(run_dir: &Path, cell: &str) -> u32 {
    let mut hash = blake3::Hasher::new();
    hash.update(run_dir.as_os_str().as_encoded_bytes())
        .update(b"\0")
        .update(cell.as_bytes());
    let hash = hash.finalize();
    let bytes = hash.as_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
