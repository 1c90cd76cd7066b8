//! A lab: kernels and cells of a run whose steps somebody else chooses, one after the other, by what came
//! of those before.
//!
//! It keeps the record as the dispatcher does (the same folder, events and summary), and makes and boots by
//! the same executors. Not here: what is tried next, and what it means.

use super::cells::{self, CellContext};
use super::dispatch::{Config, RunError};
use super::{CellRecord, Event, KernelRecord, Summary, kernels};
use crate::kernel::{self, Built, KernelError, Ladder};
use crate::machine::{AccelChoice, AccelPref, agent};
use crate::plan::Cell;
use crate::source::Cancel;
use crate::store::{RunDir, RunHeader, StoreError};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Events that may wait to be recorded; executors then wait.
const EVENTS_WAITING_MAX: usize = 1024;

/// A run whose steps are chosen from outside.
pub struct Lab<'a> {
    config: Config,
    dir: RunDir,
    context: CellContext,
    show: &'a mut (dyn FnMut(&Event) + Send),
    cancel: watch::Receiver<bool>,
    interrupted: bool,
    started: String,
    cells: Vec<CellRecord>,
    kernels: Vec<KernelRecord>,
}

impl<'a> Lab<'a> {
    /// Records what the run starts with, in a folder that was made for it.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn open(
        config: Config,
        dir: RunDir,
        show: &'a mut (dyn FnMut(&Event) + Send),
        cancel: watch::Receiver<bool>,
    ) -> Result<Self, RunError> {
        let context = CellContext::new(&config, dir.path())?;
        let mut lab = Self {
            config,
            dir,
            context,
            show,
            cancel,
            interrupted: false,
            started: jiff::Timestamp::now().to_string(),
            cells: Vec::new(),
            kernels: Vec::new(),
        };
        lab.replan()?;
        let started = Event::RunStarted {
            run: lab.dir.id().to_owned(),
            dir: lab.dir.path().to_owned(),
            spec: lab.config.spec.path.clone(),
            cells: 0,
            kernels: lab.config.plan.kernels.len(),
            done: 0,
            notes: Vec::new(),
            defaults: crate::machine::agent::defaults(),
        };
        lab.event(&started)?;
        Ok(lab)
    }

    /// Takes another matrix from here on: the one before, with more in it.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn grow(&mut self, spec: crate::spec::Spec, plan: crate::plan::Plan) -> Result<(), RunError> {
        (self.config.spec, self.config.plan) = (Arc::new(spec), plan);
        self.replan()
    }

    fn replan(&mut self) -> Result<(), RunError> {
        let (config, dir) = (&self.config, &self.dir);
        dir.write_bytes("spec.yaml", config.spec.text.as_bytes())?;
        let header = RunHeader {
            v: 1,
            run: dir.id().to_owned(),
            spec: dir.path().join("spec.yaml"),
            root: config.root.clone(),
            cells: self.cells.iter().map(|cell| cell.id.clone()).collect(),
            shard: None,
            agent: agent::hash().to_owned(),
            patchproof: env!("CARGO_PKG_VERSION").to_owned(),
            args: config.args.clone(),
            started: self.started.clone(),
        };
        Ok(dir.write("run.json", &header)?)
    }

    /// What the run is made of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The run's folder.
    #[must_use]
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Whether the user wants to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Every cell so far.
    #[must_use]
    pub fn cells(&self) -> &[CellRecord] {
        &self.cells
    }

    /// Records an event, then shows it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        if !matches!(event, Event::KernelStep { .. }) {
            self.dir.event(event)?;
        }
        (self.show)(event);
        Ok(())
    }

    fn note_cancel(&mut self) -> Result<(), StoreError> {
        if self.stopped() && !self.interrupted {
            self.interrupted = true;
            self.event(&Event::Interrupted)?;
        }
        Ok(())
    }

    /// Does blocking work on a thread of its own, and stops it when the run is to stop.
    ///
    /// # Errors
    /// Those of recording an event.
    pub async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let stop = Cancel::default();
        let halt = stop.clone();
        let mut working = tokio::task::spawn_blocking(move || work(&halt));
        let mut cancel = self.cancel.clone();
        let ended = tokio::select! {
            ended = &mut working => Some(ended),
            () = told_to_stop(&mut cancel) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                stop.stop();
                working.await
            }
        };
        self.note_cancel()?;
        match ended {
            Ok(it) => Ok(it),
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// What a kernel of the plan asks of `kernel`.
    ///
    /// # Errors
    /// Where a series of it cannot be read, or the plan has no such kernel; in words.
    pub fn request(&self, name: &str) -> Result<kernel::Request, String> {
        let spec = self.config.plan.kernels.get(name);
        let spec = spec.ok_or_else(|| format!("the plan has no kernel {name}"))?;
        kernels::request(&self.config, spec).map_err(|e| super::evidence::with_causes(&e))
    }

    /// Finds or makes a kernel of the plan in what the last one of `ladder` left.
    ///
    /// # Errors
    /// Those of recording; why there is no kernel is told inside.
    pub async fn kernel(
        &mut self,
        name: &str,
        mut ladder: Ladder,
    ) -> Result<(Ladder, Result<Arc<Built>, KernelError>), RunError> {
        self.event(&Event::KernelStarted {
            kernel: name.to_owned(),
        })?;
        let request = match self.request(name) {
            Ok(request) => request,
            Err(why) => return Err(RunError::Plan(why)),
        };
        let (events, mut heard) = mpsc::channel(EVENTS_WAITING_MAX);
        let kernel = name.to_owned();
        let progress: kernel::Progress = Arc::new(move |step| {
            let (what, done, total) = kernels::words(step);
            // A build is faster than a slow reader: a step that nobody had time for is left out.
            let _ = events.try_send(Event::KernelStep {
                kernel: kernel.clone(),
                done,
                total,
                what,
            });
        });
        let cache = self.config.cache.clone();
        let stop = Cancel::default();
        let halt = stop.clone();
        let mut making = tokio::task::spawn_blocking(move || {
            let built = kernel::climb(&mut ladder, &request, &cache, &progress, &halt);
            (ladder, built)
        });
        let mut cancel = self.cancel.clone();
        let mut watching = true;
        let (ladder, built) = loop {
            tokio::select! {
                Some(event) = heard.recv() => self.event(&event)?,
                ended = &mut making => match ended {
                    Ok(ended) => break ended,
                    Err(e) => std::panic::resume_unwind(e.into_panic()),
                },
                () = told_to_stop(&mut cancel), if watching => {
                    watching = false;
                    stop.stop();
                }
            }
        };
        self.note_cancel()?;
        let built = match built {
            Ok(built) => {
                let (built, record) = kernels::ready(name, built);
                self.kernels.push(record.clone());
                self.event(&Event::KernelReady(record))?;
                Ok(built)
            }
            Err(e) => {
                if !e.is_stop() {
                    self.event(&Event::KernelFailed {
                        kernel: name.to_owned(),
                        verdict: kernels::verdict(&e),
                    })?;
                }
                Err(e)
            }
        };
        Ok((ladder, built))
    }

    /// Finds out what machines of this kernel run on.
    pub async fn accel(&mut self, kernel: &Built) -> AccelChoice {
        self.context.accel(AccelPref::Auto, kernel).await
    }

    /// Runs a cell to its verdict; `None` where it was stopped before it had one.
    ///
    /// # Errors
    /// Those of recording.
    pub async fn cell(&mut self, cell: &Cell, kernel: &Built) -> Result<Option<CellRecord>, RunError> {
        let (events, mut heard) = mpsc::channel(EVENTS_WAITING_MAX);
        let cancel = self.cancel.clone();
        let record = {
            let run = cells::Run {
                context: &self.context,
                cell,
                kernel,
                build_s: kernel.build_s,
            };
            let mut running = std::pin::pin!(run.run(&events, cancel));
            loop {
                tokio::select! {
                    Some(event) = heard.recv() => note(&mut self.dir, self.show, &event)?,
                    record = &mut running => break record,
                }
            }
        };
        while let Ok(event) = heard.try_recv() {
            self.event(&event)?;
        }
        self.note_cancel()?;
        if let Some(record) = &record {
            self.event(&Event::CellDone(Box::new(record.clone())))?;
            self.cells.push(record.clone());
        }
        Ok(record)
    }

    /// Ends the run.
    ///
    /// # Errors
    /// Those of recording.
    pub fn finish(mut self, exit: u8) -> Result<Summary, RunError> {
        self.replan()?;
        let summary = Summary {
            run: self.dir.id().to_owned(),
            cells: std::mem::take(&mut self.cells),
            kernels: std::mem::take(&mut self.kernels),
            not_run: Vec::new(),
            not_run_why: None,
            exit,
        };
        self.dir.summary(&summary)?;
        self.event(&Event::Summary(summary.clone()))?;
        Ok(summary)
    }
}

/// Waits until the run is to stop; for ever where nobody can say so any more.
async fn told_to_stop(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn note(dir: &mut RunDir, show: &mut (dyn FnMut(&Event) + Send), event: &Event) -> Result<(), StoreError> {
    dir.event(event)?;
    show(event);
    Ok(())
}
