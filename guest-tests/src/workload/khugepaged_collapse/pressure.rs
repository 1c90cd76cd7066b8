//! The pressure phase: owners and antagonists, for as long as the budget lasts or until a finding.

use super::antagonist::{Antagonist, Deed};
use super::draw::Weights;
use super::owner::Owner;
use super::stage::Stage;
use super::view::Holding;
use crate::catalogue::antagonists::Choice;
use crate::catalogue::{Counter, KhugepagedCollapse};
use crate::model::{Mismatch, Origin};
use crate::sys::SysError;
use crate::sys::board::Lane;
use crate::sys::pagemap::Entry;
use crate::workload::antagonist::{Antagonist as Common, SwapArea};
use crate::workload::beside::{Beside, Turns};
use crate::workload::engine::Engine;
use crate::workload::evidence::History;
use crate::workload::phase::{Phase, Stopped, Task, Totals, page_context};
use crate::workload::stop::Stop;
use crate::workload::{CaseError, Env};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The common antagonists that make sense here: which huge pages there are is this workload's own affair.
const OFFERED: [Common; 8] = [
    Common::Compaction,
    Common::Swapoff,
    Common::ClearRefs,
    Common::DropCaches,
    Common::Affinity,
    Common::Hotplug,
    Common::LruGen,
    Common::Ksm,
];
/// Bytes of a thread's stack.
const STACK_LEN: usize = 256 << 10;
/// Seeds of owners come first, then those of antagonists.
const ANTAGONISTS: u64 = 64;

/// What the threads count beside what all workloads do.
const COUNTED: [Counter; 2] = [Counter::Retractions, Counter::Zaps];

/// What all threads of the phase share.
pub struct Pressure<'a> {
    /// The phase itself.
    pub phase: Phase<'a>,
    /// What the pressure stands on.
    pub stage: &'a Stage,
    /// What is asked for.
    pub params: &'a KhugepagedCollapse,
    /// Where stamps come from.
    pub origin: &'a Origin,
    /// First page of the place that is being retracted at this moment; 0 for none, or for the first one.
    pub focus: AtomicUsize,
}

impl<'a> Pressure<'a> {
    /// Prepares the phase; it begins now.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn new(
        env: &'a Env<'a>,
        stage: &'a Stage,
        stop: &'a Stop,
        params: &'a KhugepagedCollapse,
    ) -> Result<Self, SysError> {
        let source = || Ok(stage.engine.as_ref().map_or_else(BTreeMap::new, Engine::counters));
        Ok(Self {
            phase: Phase::new(env, stop, Box::new(source))?.counting(&COUNTED),
            stage,
            params,
            origin: &stage.origin,
            focus: AtomicUsize::new(0),
        })
    }

    /// Keeps up the pressure; gives back what every region holds by the model.
    ///
    /// # Errors
    /// When a call failed that must not, or the supervisor has gone.
    pub fn run(&self) -> Result<(Totals, Vec<Holding<'a>>), CaseError> {
        let swaps = [SwapArea {
            device: self.stage.disk.clone(),
            priority: None,
        }];
        let nothing = || Ok(());
        let beside = Beside {
            engine: self.stage.engine.as_ref(),
            choice: Choice::parse(&self.params.antagonists),
            offered: &OFFERED,
            arenas: &[],
            group: None,
            swaps: &swaps,
            refill: None,
            heirs: None,
            whim: None,
            turns: Some(Turns {
                alone: Duration::from_millis(self.params.alone_ms),
                beside: Duration::from_millis(self.params.beside_ms),
                // There is always room.
                loosen: &nothing,
                tighten: &nothing,
            }),
        };
        let weights = Weights::of(self.params);
        let given_back = Mutex::default();
        let mut tasks = Vec::new();
        for (number, own) in self.shares().into_iter().enumerate() {
            let (weights, given_back) = (&weights, &given_back);
            let go = move |lane: &_| self.own(number, lane, own, weights, given_back);
            tasks.push(Task::new(format!("owner {number}"), go).with_stack(STACK_LEN));
        }
        for (deed, number) in self.deeds().into_iter().zip(ANTAGONISTS..) {
            let seed = self.phase.seed_of(number);
            let go = move |lane: &_| Ok(Antagonist::new(self, lane, seed).run(deed)?);
            tasks.push(Task::new(deed.words(), go).with_stack(STACK_LEN));
        }
        if !beside.is_empty() {
            tasks.push(Task::new("beside", |lane| beside.keep_up(&self.phase, lane)));
        }
        let totals = self.phase.run(tasks)?;
        beside.tell_coverage(&self.phase)?;
        let holdings = given_back.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((totals, holdings))
    }

    /// Deals the regions to the owners, so that each has some of every kind where there are enough.
    fn shares(&self) -> Vec<Vec<Holding<'a>>> {
        let owners = usize::try_from(self.params.owners).unwrap_or(1).max(1);
        let mut shares: Vec<Vec<Holding<'a>>> = Vec::new();
        shares.resize_with(owners, Vec::new);
        for (number, region) in self.stage.regions.iter().enumerate() {
            shares[number % owners].push(Holding::fresh(region));
        }
        shares
    }

    fn deeds(&self) -> Vec<Deed> {
        let wanted = [
            (self.params.zap, Deed::Zap),
            (self.params.retract, Deed::Retract),
            (self.params.collapse, Deed::Collapse),
            (self.params.split, Deed::Split),
            (self.params.reclaim, Deed::Reclaim),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
        wanted.map(|(_, deed)| deed).collect()
    }

    /// One owner's work; its regions are given back however it ends.
    fn own(
        &self,
        number: usize,
        lane: &Lane,
        own: Vec<Holding<'a>>,
        weights: &Weights,
        given_back: &Mutex<Vec<Holding<'a>>>,
    ) -> Result<(), Stopped> {
        let mut owner = Owner::new(self, lane, own, self.phase.seed_of(number as u64))?;
        let outcome = owner.run(weights);
        given_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(owner.into_holdings());
        outcome
    }

    /// Tells of a mismatch at once and ends the phase. `entries` are the pagemap before and after.
    pub fn found(
        &self,
        mismatch: Mismatch,
        place: String,
        (before, after): (Entry, Option<Entry>),
        history: &History,
    ) {
        let mut context = page_context(mismatch.page, before, after, history);
        context.insert("place".to_owned(), place);
        self.phase.found(mismatch, context);
    }
}
