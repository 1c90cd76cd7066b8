//! The pressure phase: which threads there are, what they share and count.

use super::hand::Hand;
use super::raw::{self, Blocks};
use super::stage::Stage;
use super::upkeep::{self, Upkeep};
use super::{antagonist, churn, cold, hot, peer};
use crate::catalogue::antagonists::Choice;
use crate::catalogue::{Counter, ZramWriteback};
use crate::model::Mismatch;
use crate::sys::SysError;
use crate::sys::pagemap::Entry;
use crate::workload::antagonist::{Antagonist, SwapArea};
use crate::workload::beside::{Beside, Turns};
use crate::workload::engine::Engine;
use crate::workload::evidence::History;
use crate::workload::phase::{Phase, Task, Totals, page_context};
use crate::workload::stop::Stop;
use crate::workload::{CaseError, Env, STEP_PATIENCE_S};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Threads by number, for their seeds: churners come last.
const COLD: u64 = 1;
const HOT: u64 = 2;
const RAW: u64 = 3;
const UPKEEP: u64 = 4;
const PEER: u64 = 8;
const CHURN: u64 = 16;

/// What the threads of this workload count beside what all workloads do.
#[derive(Debug, Default)]
pub struct Counts {
    /// Blocks of the raw device compared with the model.
    pub blocks_verified: AtomicU64,
    /// Blocks written or discarded.
    pub blocks_written: AtomicU64,
    /// Slots seen recompressed.
    pub recompressed: AtomicU64,
}

/// What all threads of the phase share.
pub struct Pressure<'a> {
    /// The phase itself.
    pub phase: Phase<'a>,
    /// What the pressure stands on.
    pub stage: &'a Stage,
    /// What the raw device must hold.
    pub blocks: Blocks,
    /// A slot of each device, swap area and raw one, that its users are busy with.
    pub busy: [AtomicU64; 2],
    /// What is counted.
    pub counts: Arc<Counts>,
}

impl<'a> Pressure<'a> {
    /// Prepares the phase; it begins now.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn new(env: &'a Env<'a>, stage: &'a Stage, stop: &'a Stop) -> Result<Self, CaseError> {
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let phase = Phase::new(env, stop, Box::new(move || count(stage, &counted)))?;
        let raw_len = match &stage.raw {
            Some(raw) => crate::sys::machine::disk_len(raw.device())?,
            None => 0,
        };
        let blocks = u32::try_from(raw_len / 4096).unwrap_or(u32::MAX);
        let first = u32::try_from(stage.arena.pages()).unwrap_or(u32::MAX);
        Ok(Self {
            phase,
            stage,
            blocks: Blocks::new(env.job.run, env.job.case.seed, first, blocks),
            busy: Default::default(),
            counts,
        })
    }

    /// Keeps up the pressure.
    ///
    /// # Errors
    /// When a call failed that must not, or the supervisor has gone.
    pub fn run(&self, params: &ZramWriteback) -> Result<Totals, CaseError> {
        let swaps = [SwapArea {
            device: self.stage.swap.device().to_owned(),
            priority: None,
        }];
        let (arenas, nothing) = ([&self.stage.arena], || Ok(()));
        let beside = Beside {
            engine: self.stage.engine.as_ref(),
            choice: Choice::parse(&params.antagonists),
            offered: &Antagonist::ALL,
            arenas: &arenas,
            group: Some(&self.stage.group),
            swaps: &swaps,
            refill: None,
            heirs: None,
            whim: None,
            turns: Some(Turns {
                alone: Duration::from_millis(params.alone_ms),
                beside: Duration::from_millis(params.beside_ms),
                // There is always room.
                loosen: &nothing,
                tighten: &nothing,
            }),
        };
        let mut tasks = self.page_tasks(params);
        tasks.extend(self.device_tasks(params));
        if params.compaction {
            // One round walks all of memory.
            tasks.push(
                Task::new("compaction", |lane| antagonist::compact(self, lane)).within(STEP_PATIENCE_S),
            );
        }
        if params.reclaim {
            tasks.push(Task::new("reclaim", |lane| antagonist::reclaim(self, lane)));
        }
        if params.limit_flips {
            let limit = params.mem_limit;
            tasks.push(Task::new("limit flips", move |lane| {
                antagonist::flip_limit(self, lane, limit)
            }));
        }
        if !beside.is_empty() {
            tasks.push(Task::new("beside", |lane| beside.keep_up(&self.phase, lane)));
        }
        let totals = self.phase.run(tasks)?;
        beside.tell_coverage(&self.phase)?;
        Ok(totals)
    }

    /// The threads that own pages. Reclaim drains only the calling CPU's batch of new pages: whoever
    /// faults a page in must page it out on the same CPU.
    fn page_tasks<'t>(&'t self, params: &ZramWriteback) -> Vec<Task<'t>> {
        let stage = self.stage;
        let mut tasks = Vec::new();
        if !stage.hot.pages.is_empty() {
            let write = move |lane: &_| hot::write(&mut Hand::new(self, lane, &stage.hot, HOT)?);
            tasks.push(Task::new("hot writer", write).on(1));
            tasks.push(Task::new("hot pager", |lane| hot::page_out(self, lane)).on(0));
        }
        if !stage.cold.pages.is_empty() {
            let go = move |lane: &_| cold::run(&mut Hand::new(self, lane, &stage.cold, COLD)?);
            tasks.push(Task::new("cold", go).on(1));
        }
        if params.peer {
            let go = move |lane: &_| {
                let parts = stage.fields().into_iter().filter(|field| !field.pages.is_empty());
                let hands = (PEER..)
                    .zip(parts)
                    .map(|(n, part)| Hand::new(self, lane, part, n));
                peer::run(&mut hands.collect::<Result<Vec<_>, _>>()?)
            };
            tasks.push(Task::new("peer", go));
        }
        let churners = usize::try_from(params.churners).unwrap_or(1);
        let pages = stage.churn.pages.len();
        for n in (0..churners).filter(|_| pages > 0) {
            let own = pages * n / churners..pages * (n + 1) / churners;
            let go =
                move |lane: &_| churn::run(&mut Hand::new(self, lane, &stage.churn, CHURN + n as u64)?, own);
            tasks.push(Task::new(format!("churn {n}"), go).on(n as u32));
        }
        tasks
    }

    /// The threads that use a device as a device.
    fn device_tasks<'t>(&'t self, params: &ZramWriteback) -> Vec<Task<'t>> {
        let mut tasks = Vec::new();
        if let Some(disk) = &self.stage.raw_disk {
            let seed = self.phase.seed_of(RAW);
            tasks.push(Task::new("raw", move |lane| raw::run(self, lane, disk, seed)));
        }
        for (n, zram) in self.stage.devices().enumerate() {
            let which = if n == 0 { "swap" } else { "raw" };
            let len = if n == 0 { params.disk } else { params.raw };
            let upkeep = Upkeep {
                zram,
                slots: len / 4096,
                busy: &self.busy[n],
                writes_back: zram.writes_back(),
                recompresses: params.recompressor != "none",
                compacts: params.pool_compaction,
            };
            if !(upkeep.writes_back || upkeep.recompresses || upkeep.compacts) {
                continue;
            }
            let seed = self.phase.seed_of(UPKEEP + n as u64);
            let go = move |lane: &_| upkeep::run(self, lane, &upkeep, seed);
            tasks.push(Task::new(format!("upkeep {which}"), go).within(STEP_PATIENCE_S));
        }
        tasks
    }

    /// Tells of a mismatch at once and ends the phase.
    pub fn found(&self, mismatch: Mismatch, before: Entry, after: Option<Entry>, history: &History) {
        let page = mismatch.page;
        let mut context = page_context(page, before, after, history);
        let part = [("churn", &self.stage.churn), ("cold", &self.stage.cold)];
        let part = part
            .iter()
            .find(|(_, field)| field.pages.contains(&(page as usize)));
        context.insert("part".to_owned(), part.map_or("hot", |(name, _)| name).to_owned());
        if let Some(slot) = before.slot()
            && let Some(other) = self.stage.slots.before(slot, page)
        {
            let told = format!("page {other} was seen in slot {slot} before");
            context.insert("slot".to_owned(), told);
        }
        if let Ok(usage) = self.stage.swap.usage() {
            context.insert("zram".to_owned(), format!("{usage:?}"));
        }
        self.phase.found(mismatch, context);
    }
}

/// What the devices and this workload's threads counted so far.
fn count(stage: &Stage, counts: &Counts) -> Result<BTreeMap<Counter, u64>, SysError> {
    let mut totals = stage.engine.as_ref().map_or_else(BTreeMap::new, Engine::counters);
    let mut add = |counter, n| *totals.entry(counter).or_insert(0) += n;
    for zram in stage.devices() {
        let (traffic, backing) = (zram.traffic()?, zram.backing()?);
        add(Counter::ZramStore, traffic.stores);
        add(Counter::ZramLoad, traffic.loads);
        add(Counter::ZramStall, traffic.stalls);
        add(Counter::ZramWriteback, backing.writes);
        add(Counter::ZramBackingLoad, backing.reads);
    }
    add(
        Counter::BlocksVerified,
        counts.blocks_verified.load(Ordering::Relaxed),
    );
    add(
        Counter::BlocksWritten,
        counts.blocks_written.load(Ordering::Relaxed),
    );
    add(
        Counter::ZramRecompress,
        counts.recompressed.load(Ordering::Relaxed),
    );
    Ok(totals)
}
