//! How a mover and its meddler meet: a task, both at work at the same time, a report.

use super::stage::Bystander;
use crate::model::{Act, Name};
use crate::sys::uffd::Reply;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Fills that a meddler may make on each side of a duel.
pub const FILLS_MAX: u32 = 12;
/// Looks at the state before the CPU is offered to somebody else.
const SPINS: u32 = 200;

/// A place: its side and its page there.
pub type At = (usize, usize);

/// What a meddler is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Where the page is.
    pub source: At,
    /// Where it goes.
    pub destination: At,
    /// A page beside it.
    pub bystander: Bystander,
    /// The mover's thread.
    pub tid: u32,
    /// The first names that the meddler may use to fill source and destination.
    pub names: [Name; 2],
}

/// Where a duel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum State {
    Idle,
    Posted,
    Ready,
    Going,
    Moved,
    Reported,
    Over,
}

/// What is handed over.
#[derive(Debug, Default)]
struct Slot {
    task: Option<Task>,
    acts: Option<Vec<Act>>,
}

/// One pair's meeting place.
#[derive(Debug, Default)]
pub struct Ring {
    state: AtomicU32,
    slot: Mutex<Slot>,
    wake: Condvar,
}

/// Ends all duels of a pair when it is dropped, so that neither waits for the other for ever.
#[derive(Debug)]
pub struct OverOnDrop<'a>(&'a Ring);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(State::Over);
    }
}

impl Ring {
    /// A guard that ends all duels.
    pub fn over_on_drop(&self) -> OverOnDrop<'_> {
        OverOnDrop(self)
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, state: State) -> bool {
        self.state.load(Ordering::Acquire) == state as u32
    }

    /// Moves on and wakes who waits; a ring that is over stays so.
    fn set(&self, state: State) {
        let _guard = self.lock();
        if !self.is(State::Over) {
            self.state.store(state as u32, Ordering::Release);
        }
        self.wake.notify_all();
    }

    /// Moves on without a system call.
    fn signal(&self, from: State, to: State) -> bool {
        let (from, to) = (from as u32, to as u32);
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Waits until it stands there; `false` when it is over.
    fn wait_for(&self, state: State) -> bool {
        let mut guard = self.lock();
        while !self.is(state) && !self.is(State::Over) {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.is(state)
    }

    /// The mover's part: hands the task over, waits until the meddler is ready, makes the call while it
    /// meddles, and takes its report. Nothing when the pair is over.
    pub fn fight(&self, task: Task, call: impl FnOnce() -> Reply) -> Option<(Reply, Vec<Act>)> {
        self.lock().task = Some(task);
        self.set(State::Posted);
        if !self.wait_for(State::Ready) || !self.signal(State::Ready, State::Going) {
            return None;
        }
        let reply = call();
        self.signal(State::Going, State::Moved);
        if !self.wait_for(State::Reported) {
            return None;
        }
        let acts = self.lock().acts.take().unwrap_or_default();
        self.set(State::Idle);
        Some((reply, acts))
    }

    /// The meddler's part: waits for a task, at most `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<Task> {
        let guard = self.lock();
        let nothing = |_: &mut Slot| !self.is(State::Posted) && !self.is(State::Over);
        let waited = self.wake.wait_timeout_while(guard, timeout, nothing);
        let (mut guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if self.is(State::Posted) {
            guard.task.take()
        } else {
            None
        }
    }

    /// Whether no more duels come.
    pub fn is_over(&self) -> bool {
        self.is(State::Over)
    }

    /// Says that the meddler is ready, and waits for the mover to start; `false` when it is over.
    pub fn ready(&self) -> bool {
        self.set(State::Ready);
        let mut spins = 0;
        while self.is(State::Ready) {
            spins += 1;
            if spins % SPINS == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        !self.is(State::Over)
    }

    /// Whether the mover's call has not returned yet.
    pub fn is_moving(&self) -> bool {
        self.is(State::Going)
    }

    /// Hands the report over once the call has returned.
    pub fn report(&self, acts: Vec<Act>) {
        while self.is_moving() {
            std::thread::yield_now();
        }
        self.lock().acts = Some(acts);
        self.set(State::Reported);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Task = Task {
        source: (0, 1),
        destination: (1, 2),
        bystander: Bystander {
            shared: false,
            page: 0,
        },
        tid: 1,
        names: [Name {
            page: 0,
            generation: 1,
        }; 2],
    };

    #[test]
    fn both_work_at_the_same_time_and_the_report_comes_back() {
        let ring = Ring::default();
        std::thread::scope(|scope| {
            let meddler = scope.spawn(|| {
                let mut tasks = 0;
                while !ring.is_over() {
                    let Some(task) = ring.next(Duration::MAX / 4) else {
                        continue;
                    };
                    assert_eq!(task.source, (0, 1));
                    assert!(ring.ready());
                    ring.report(vec![Act::Drop(crate::model::Side::Source); tasks]);
                    tasks += 1;
                }
                tasks
            });
            let over = ring.over_on_drop();
            for n in 0..50 {
                let reply = Reply {
                    errno: Some(n),
                    bytes: 0,
                };
                let (replied, acts) = ring.fight(TASK, || reply).unwrap();
                assert_eq!((replied, acts.len()), (reply, n as usize));
            }
            drop(over);
            assert_eq!(meddler.join().unwrap(), 50);
            assert!(
                ring.fight(TASK, || Reply {
                    errno: None,
                    bytes: 0
                })
                .is_none()
            );
        });
    }
}
