//! Running cells: as many at once as there is room for, until all are done or there is a reason to stop.

use super::cells::{self, CellContext};
use super::dispatch::{Config, Dispatch, EVENTS_WAITING_MAX, RunError, infra};
use super::kernels::Made;
use super::queue::{Queue, Room};
use super::stop::StopWhy;
use super::{CellRecord, Event};
use crate::kernel::Built;
use crate::plan::Cell;
use crate::store::StoreError;
use crate::verdict::{self, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// What an emulator takes beside its guest's memory, in bytes.
const EMULATOR_BYTES: u64 = 128 << 20;

/// Cells on their way to a verdict.
struct Boots<'r> {
    config: &'r Config,
    made: &'r BTreeMap<String, Made>,
    context: Arc<CellContext>,
    /// Every cell that is to run, those of later rounds too.
    cells: Vec<Cell>,
    queue: Queue,
    began: Instant,
    round: u32,
    events: mpsc::Sender<Event>,
    halted: watch::Receiver<bool>,
    running: JoinSet<usize>,
}

impl Boots<'_> {
    /// Puts a cell into the queue.
    fn queue(&mut self, cell: Cell, need: Room) {
        let ms = self.config.limits.durations.cell_ms(&cell);
        self.queue.push(self.cells.len(), need, ms);
        self.cells.push(cell);
    }

    /// Starts every cell that there is room for.
    fn start(&mut self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        while let Some(at) = self.queue.start(now_ms) {
            let Some(cell) = self.cells.get(at) else { continue };
            let Some(Made::Ready { built, record }) = self.made.get(&cell.kernel) else {
                continue;
            };
            let job = CellJob {
                context: Arc::clone(&self.context),
                cell: cell.clone(),
                kernel: Arc::clone(built),
                build_s: record.build_s,
                events: self.events.clone(),
                halted: self.halted.clone(),
            };
            self.running.spawn(async move {
                job.run().await;
                at
            });
        }
    }
}

/// What a cell takes of the host; why it can't run, where it takes too much.
fn need(config: &Config, cell: &Cell) -> Result<Room, String> {
    let (machine, room) = (&cell.machine.spec, room(config));
    let memory = machine.memory.saturating_add(EMULATOR_BYTES);
    if memory > room.memory {
        return Err(format!(
            "the machine needs {} MiB, and {} MiB may be used (--memory says how much)",
            memory >> 20,
            room.memory >> 20
        ));
    }
    // Told to run more than there are, a machine of that many runs by itself.
    if machine.cpus > room.cpus && config.limits.overcommit == 1 {
        return Err(format!(
            "the machine has {} CPUs, and {} may be used: a guest that has to wait proves nothing \
             (--overcommit runs it all the same)",
            machine.cpus, room.cpus
        ));
    }
    Ok(Room {
        cpus: machine.cpus.min(room.cpus),
        memory,
    })
}

fn room(config: &Config) -> Room {
    Room {
        cpus: config
            .cores
            .max(1)
            .saturating_mul(config.limits.overcommit.max(1)),
        memory: config.limits.memory,
    }
}

impl Dispatch<'_> {
    /// Runs every cell whose kernel was made; the others are judged by why it wasn't.
    pub(super) async fn cells(
        &mut self,
        config: &Config,
        made: &BTreeMap<String, Made>,
    ) -> Result<BTreeMap<String, CellRecord>, RunError> {
        let (tx, mut rx) = mpsc::channel(EVENTS_WAITING_MAX);
        let mut boots = Boots {
            config,
            made,
            context: Arc::new(CellContext::new(config, self.dir.path())?),
            cells: Vec::new(),
            queue: Queue::new(room(config), self.stops.left_ms()),
            began: Instant::now(),
            round: 1,
            events: tx,
            halted: self.stops.halted(),
            running: JoinSet::new(),
        };
        let mut records = self.line_up(&mut boots)?;
        loop {
            // What a cell has said counts before another one is started: it may end the run.
            while let Ok(event) = rx.try_recv() {
                self.heard(config, &mut records, event)?;
            }
            if let Some(why) = self.stops.new_reason() {
                self.stop(why)?;
            }
            if self.stops.why().is_none() {
                boots.start();
            }
            if boots.running.is_empty() {
                if !boots.queue.is_empty() && self.stops.why().is_none() {
                    // There is room for each of them, but no time.
                    self.stop(StopWhy::TimeBudget)?;
                } else if self.next_round(&mut boots)? {
                    continue;
                }
                return Ok(records);
            }
            tokio::select! {
                Some(event) = rx.recv() => self.heard(config, &mut records, event)?,
                Some(ended) = boots.running.join_next() => boots.queue.ended(at_of(ended)),
                why = self.stops.asked() => self.stop(why)?,
            }
        }
    }

    /// Puts the cells that are left into the queue, and judges those that can't run.
    fn line_up(&mut self, boots: &mut Boots<'_>) -> Result<BTreeMap<String, CellRecord>, RunError> {
        let left: Vec<Cell> = self.left(boots.config).into_iter().cloned().collect();
        let mut records = std::mem::take(&mut self.done);
        for cell in left {
            let unrun = match boots.made.get(&cell.kernel) {
                None => continue,
                Some(Made::Failed(verdict)) => verdict.clone(),
                Some(Made::Ready { .. }) => match need(boots.config, &cell) {
                    Ok(need) => {
                        boots.queue(cell, need);
                        continue;
                    }
                    Err(why) => infra(why),
                },
            };
            let record = boots.context.unrun(&cell, unrun);
            self.done(&mut records, record)?;
        }
        Ok(records)
    }

    /// Takes in what a cell says.
    fn heard(
        &mut self,
        config: &Config,
        records: &mut BTreeMap<String, CellRecord>,
        event: Event,
    ) -> Result<(), RunError> {
        let Event::CellDone(record) = event else {
            return Ok(self.event(&event)?);
        };
        let found = config.limits.rounds_max > 1 && matches!(record.full, Verdict::Fail { .. });
        let failed = verdict::exit_code([(&record.full, record.as_expected)]) == 1;
        self.done(records, *record)?;
        if found {
            self.stop(StopWhy::Found)?;
        } else if failed && config.limits.fail_fast {
            self.stop(StopWhy::FailFast)?;
        }
        Ok(())
    }

    /// Lines the cells up once more, with other seeds, where they are run until one has a finding.
    fn next_round(&mut self, boots: &mut Boots<'_>) -> Result<bool, StoreError> {
        if boots.round >= boots.config.limits.rounds_max || self.stops.why().is_some() {
            return Ok(false);
        }
        let plan = &boots.config.plan.cells;
        let repeats = plan.iter().map(|cell| cell.repeat).max().unwrap_or(1);
        let again = |cell: &Cell| cell.again(cell.repeat + boots.round * repeats);
        let ready = |cell: &&Cell| matches!(boots.made.get(&cell.kernel), Some(Made::Ready { .. }));
        let more: Vec<Cell> = plan.iter().filter(ready).map(again).collect();
        boots.round += 1;
        let mut queued = false;
        for cell in more {
            if let Ok(need) = need(boots.config, &cell) {
                self.more.push(cell.id.clone());
                boots.queue(cell, need);
                queued = true;
            }
        }
        self.keep_header()?;
        Ok(queued)
    }

    fn done(
        &mut self,
        records: &mut BTreeMap<String, CellRecord>,
        record: CellRecord,
    ) -> Result<(), StoreError> {
        self.event(&Event::CellDone(Box::new(record.clone())))?;
        records.insert(record.id.clone(), record);
        Ok(())
    }
}

/// The place of a cell that has ended; a panic of its task is ours and must show.
fn at_of(ended: Result<usize, JoinError>) -> usize {
    match ended {
        Ok(at) => at,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => usize::MAX,
    }
}

/// One cell that runs.
struct CellJob {
    context: Arc<CellContext>,
    cell: Cell,
    kernel: Arc<Built>,
    build_s: Option<f64>,
    events: mpsc::Sender<Event>,
    halted: watch::Receiver<bool>,
}

impl CellJob {
    async fn run(self) {
        let job = cells::Run {
            context: &self.context,
            cell: &self.cell,
            kernel: &self.kernel,
            build_s: self.build_s,
        };
        if let Some(record) = job.run(&self.events, self.halted.clone()).await {
            let _ = self.events.send(Event::CellDone(Box::new(record))).await;
        }
    }
}
