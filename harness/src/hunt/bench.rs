//! The bench of a hunt: makes a candidate's kernel, boots the cell on it with a seed of its own, and hands over what
//! came back.
//!
//! A build takes every CPU for itself, so it never runs beside a boot. Where a host has more CPUs than its
//! machines use, the rest build ahead, and no CPU that a guest was given. Not here: what a trial counts as.

use super::event::Event;
use super::folder::Kept;
use super::range::Maker;
use crate::kernel::{Built, Request};
use crate::plan::{self, Cell};
use crate::run::{self, CellRecord, Made, Single};
use crate::verdict::Verdict;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, watch};

/// Hosts with so many times the CPUs of a machine keep a part of them for building ahead.
const KEEP_FROM: u32 = 4;

/// What all trials share.
pub(super) struct Bench {
    pub single: Single,
    pub maker: Maker,
    /// The cell that each trial runs; its id and its seed are each trial's own.
    pub cell: Cell,
    /// Short names of the candidates.
    pub names: Vec<(String, String)>,
    pub events: mpsc::Sender<run::Event>,
    pub told: mpsc::UnboundedSender<Event>,
    cpus: Arc<Semaphore>,
    cores: u32,
    /// CPUs of a machine.
    want: u32,
    /// Kernels that this process holds, by the names of their trials.
    held: Mutex<HashMap<String, Arc<Built>>>,
}

impl Bench {
    pub(super) fn new(
        single: Single,
        maker: Maker,
        cell: Cell,
        kept: &Kept,
        events: mpsc::Sender<run::Event>,
        told: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let cores = single.config().cores.max(1);
        Self {
            want: cell.machine.spec.cpus.min(cores).max(1),
            cpus: Arc::new(Semaphore::new(cores as usize)),
            cores,
            names: kept
                .candidates
                .iter()
                .map(|c| (c.short.clone(), c.subject.clone()))
                .collect(),
            held: Mutex::default(),
            single,
            maker,
            cell,
            events,
            told,
        }
    }

    /// Machines that run at once, and CPUs that are left to build ahead.
    pub(super) fn machines(&self) -> (usize, u32) {
        let kept = if self.cores >= KEEP_FROM * self.want {
            self.cores / 4
        } else {
            0
        };
        let machines = ((self.cores - kept) / self.want).max(1);
        (machines as usize, self.cores.saturating_sub(machines * self.want))
    }

    pub(super) fn kernels(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Built>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one trial of the kernel called `name`.
    pub(super) async fn one(
        &self,
        name: &str,
        nth: u32,
        request: Request,
        cancel: watch::Receiver<bool>,
    ) -> Came {
        let there = self.kernels().get(name).cloned();
        let (built, build_s) = match there {
            Some(built) => (built, 0.0),
            None => match self.make(name, request, self.cores, cancel.clone()).await {
                Some(Made::Ready { built, record }) => {
                    let _ = self.events.send(run::Event::KernelReady(record)).await;
                    self.kernels().insert(name.to_owned(), Arc::clone(&built));
                    let build_s = built.build_s.unwrap_or(0.0);
                    (built, build_s)
                }
                Some(Made::Failed(verdict)) if !*cancel.borrow() => {
                    let kernel = name.to_owned();
                    let failed = run::Event::KernelFailed {
                        kernel,
                        verdict: verdict.clone(),
                    };
                    let _ = self.events.send(failed).await;
                    return Came::failed(verdict);
                }
                Some(Made::Failed(_)) | None => return Came::Stopped,
            },
        };
        self.boot(name, nth, &built, build_s, cancel).await
    }

    /// Makes a kernel with so many of the CPUs; none where it was stopped before.
    pub(super) async fn make(
        &self,
        name: &str,
        mut request: Request,
        cpus: u32,
        mut cancel: watch::Receiver<bool>,
    ) -> Option<Made> {
        let held = tokio::select! {
            held = self.cpus.clone().acquire_many_owned(cpus) => held.ok(),
            _ = cancel.wait_for(|stop| *stop) => None,
        };
        let _held = held?;
        request.jobs = cpus as usize;
        let kernel = name.to_owned();
        let _ = self.events.send(run::Event::KernelStarted { kernel }).await;
        Some(
            self.single
                .kernel(name, request, self.events.clone(), cancel)
                .await,
        )
    }

    async fn boot(
        &self,
        name: &str,
        nth: u32,
        built: &Arc<Built>,
        build_s: f64,
        mut cancel: watch::Receiver<bool>,
    ) -> Came {
        let held = tokio::select! {
            held = self.cpus.clone().acquire_many_owned(self.want) => held.ok(),
            _ = cancel.wait_for(|stop| *stop) => None,
        };
        if held.is_none() || *cancel.borrow() {
            return Came::Stopped;
        }
        let id = format!("{name}.{nth}");
        let cell = Cell {
            group: id.clone(),
            id,
            seed: plan::seed(self.cell.case.spec.seed, nth.saturating_add(1)),
            repeat: nth.saturating_add(1),
            expect: None,
            ..self.cell.clone()
        };
        let start = Instant::now();
        let Some(record) = self.single.boot(&cell, built, &self.events, cancel).await else {
            return Came::Stopped;
        };
        let boot_s = record.boot_s.unwrap_or(0.0);
        Came::Back {
            verdict: record.full.clone(),
            build_s,
            run_s: (start.elapsed().as_secs_f64() - boot_s).max(0.0),
            kernel: Some(built.key.clone()),
            evidence: Some(format!("cells/{}", record.id)),
            record: Some(Box::new(record)),
        }
    }
}

/// What came back from a trial.
pub(super) enum Came {
    /// It was stopped.
    Stopped,
    /// It ended.
    Back {
        verdict: Verdict,
        record: Option<Box<CellRecord>>,
        build_s: f64,
        run_s: f64,
        kernel: Option<String>,
        evidence: Option<String>,
    },
}

impl Came {
    /// A kernel that could not be made.
    pub(super) fn failed(verdict: Verdict) -> Self {
        Self::Back {
            verdict,
            record: None,
            build_s: 0.0,
            run_s: 0.0,
            kernel: None,
            evidence: None,
        }
    }

    /// A cell that ran, on a kernel that was there.
    pub(super) fn of(record: CellRecord) -> Self {
        Self::Back {
            verdict: record.full.clone(),
            build_s: 0.0,
            run_s: record.guest_s,
            kernel: None,
            evidence: Some(format!("cells/{}", record.id)),
            record: Some(Box::new(record)),
        }
    }
}
