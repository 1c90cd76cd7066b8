//! A fault on purpose: a small arena is verified and rewritten, and half-way one thing goes wrong.
//!
//! What comes of it is noticed, or not, by the same means as everything else: the model, the board,
//! the supervisor, the console, the host. Nothing here reports a fault that it has made itself.

mod act;

use super::stop::{Stop, StopOnDrop};
use super::{CaseError, Env, STEP_PATIENCE_S, WORKER_PATIENCE_S};
use crate::agent::link::{Finished, Told};
use crate::catalogue::{Canary, Counter};
use crate::model::{Fill, FillPolicy, Ledger, Mismatch};
use crate::protocol::{Outcome, Progress, Seen};
use crate::sys::arena::{Arena, PAGE_LEN, PAGE_WORDS};
use crate::sys::board::Lane;
use crate::sys::{SysError, proc};
use act::Act;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Pages that are rewritten between two looks at the time.
const STEPS_PER_LOOK: usize = 32;

/// Runs the workload.
///
/// # Errors
/// When it could not be run to its end; nothing is said about the kernel then.
pub fn run(env: &Env<'_>, params: &Canary) -> Result<Finished, CaseError> {
    env.lane.expect_within(STEP_PATIENCE_S);
    let act = Act::of(&params.act)?;
    let pages = usize::try_from(params.arena / PAGE_LEN as u64).unwrap_or(1);
    let count = u32::try_from(pages).map_err(|_| CaseError::Broken(format!("an arena of {pages} pages")))?;
    let arena = Arena::map(pages)?;
    env.board.note_arena(arena.address(0), pages);
    let canary = Cage {
        env,
        act,
        ledger: Ledger::new(
            env.job.run,
            0,
            count,
            FillPolicy::Fixed(Fill::SMALL),
            env.job.case.seed,
        ),
        arena,
        stop: Stop::default(),
        verified: AtomicU64::new(0),
        written: AtomicU64::new(0),
        start_ns: proc::uptime_ns(),
        start_steal_ms: proc::steal_ms()?,
        broken: Mutex::new(None),
    };
    canary.run()
}

/// The arena and what is known of it.
struct Cage<'a> {
    env: &'a Env<'a>,
    act: Act,
    arena: Arena,
    ledger: Ledger,
    stop: Stop,
    verified: AtomicU64,
    written: AtomicU64,
    start_ns: u64,
    start_steal_ms: u64,
    broken: Mutex<Option<CaseError>>,
}

impl Cage<'_> {
    fn run(&self) -> Result<Finished, CaseError> {
        let told = std::thread::scope(|scope| {
            let _ends = StopOnDrop(&self.stop);
            std::thread::Builder::new().spawn_scoped(scope, || self.work())?;
            self.watch()
        });
        told?;
        if let Some(e) = self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e);
        }
        self.env.lane.expect_within(0);
        let now = self.progress()?;
        Ok(Finished {
            outcome: Outcome::Completed,
            pressure_ms: now.elapsed_ms,
            counters: now.counters,
            steal_ms: now.steal_ms,
        })
    }

    /// Tells progress until the budget is used up or the worker has ended.
    fn watch(&self) -> Result<(), CaseError> {
        loop {
            let over = self.stop.wait(PROGRESS_EVERY);
            let now = self.progress()?;
            self.env.lane.beat();
            if over || now.elapsed_ms >= self.env.job.case.budget_ms {
                return Ok(());
            }
            self.env.link.tell(Told::Progress(now))?;
        }
    }

    fn progress(&self) -> Result<Progress, SysError> {
        let counters = [
            (Counter::PagesVerified, &self.verified),
            (Counter::PagesWritten, &self.written),
        ];
        Ok(Progress {
            case: self.env.job.case.id.clone(),
            elapsed_ms: self.elapsed_ms(),
            counters: counters
                .map(|(counter, n)| (counter, n.load(Ordering::Relaxed)))
                .into(),
            steal_ms: proc::steal_ms()?.saturating_sub(self.start_steal_ms),
        })
    }

    fn elapsed_ms(&self) -> u64 {
        (proc::uptime_ns() - self.start_ns) / 1_000_000
    }

    fn work(&self) {
        let _ends = StopOnDrop(&self.stop);
        let Some(lane) = self.env.board.lane("worker 0") else {
            return self.keep(CaseError::Broken("the board is full".to_owned()));
        };
        lane.expect_within(WORKER_PATIENCE_S);
        if let Err(e) = self.try_work(lane) {
            self.keep(e);
        }
        lane.expect_within(0);
    }

    fn keep(&self, e: CaseError) {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(e);
    }

    /// Verifies and rewrites page after page; half-way, once, the act.
    fn try_work(&self, lane: &Lane) -> Result<(), CaseError> {
        let mut data = Box::new([0; PAGE_WORDS]);
        for page in 0..self.arena.pages() {
            self.rewrite(page, &mut data);
        }
        let half_ms = self.env.job.case.budget_ms / 2;
        let mut acted = false;
        let mut page = 0;
        while !self.stop.is_set() {
            if self.act == Act::Idle {
                let _ = self.stop.wait(PROGRESS_EVERY);
                lane.beat();
                continue;
            }
            for _ in 0..STEPS_PER_LOOK {
                if !self.verify(page, lane, &mut data)? {
                    return Ok(());
                }
                self.rewrite(page, &mut data);
                page = (page + 1) % self.arena.pages();
            }
            lane.beat();
            if !acted && self.elapsed_ms() >= half_ms {
                acted = true;
                self.act.perform(self, lane, page)?;
            }
        }
        Ok(())
    }

    fn rewrite(&self, page: usize, data: &mut [u64; PAGE_WORDS]) {
        let intent = self.ledger.begin(number(page));
        intent.stamp.write(data);
        self.arena.write(page, data);
        intent.commit();
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// Compares one page with the model; `false` when it was wrong.
    fn verify(&self, page: usize, lane: &Lane, data: &mut [u64; PAGE_WORDS]) -> Result<bool, CaseError> {
        lane.note_page(number(page), self.ledger.generation(number(page)));
        self.arena.read(page, data);
        let verdict = self.ledger.check_owner(number(page), data);
        self.verified.fetch_add(1, Ordering::Relaxed);
        match verdict {
            Ok(_) => Ok(true),
            Err(mismatch) => self.found(*mismatch).map(|()| false),
        }
    }

    fn found(&self, mismatch: Mismatch) -> Result<(), CaseError> {
        self.stop.set();
        let title = mismatch.title();
        let context = BTreeMap::from([("elapsed".to_owned(), format!("{} ms", self.elapsed_ms()))]);
        Ok(self.env.find(Seen::Mismatch(mismatch), title, context)?)
    }
}

/// A page's number in the ledger; the arena has fewer than 2^32 pages.
fn number(page: usize) -> u32 {
    u32::try_from(page).unwrap_or(u32::MAX)
}
