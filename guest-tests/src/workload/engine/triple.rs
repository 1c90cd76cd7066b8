//! Triples: a page in a certain state, an operation, and a pressure; which one comes next, and which were met.
//!
//! Not here: what an owner does to compose one (`composing`).

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Triples that are under one pressure together: it costs more than they do.
const TOGETHER: usize = 4;

/// What a page is like when the operation comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Read back from swap and not written since.
    Clean,
    /// Written.
    Dirty,
    /// Read back from swap and written again: where it was mapped writable, its page table entry alone knows.
    Redirtied,
    /// Lazily freed.
    LazyFree,
    /// Mapped here and nowhere else.
    Exclusive,
    /// Shared with a forked child.
    Shared,
    /// Written since the soft-dirty bits were cleared.
    SoftDirty,
    /// Populated and never written since: a page of zeros.
    Zero,
    /// Write-protected by userfaultfd, until the operation writes or moves it.
    WriteProtected,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Read only and writable again.
    Mprotect,
    /// To another place.
    Mremap,
    /// Soft-dirty bits are cleared.
    ClearRefs,
    /// A part of it is taken out of its folio or its table.
    Split,
    /// Its table is collapsed.
    Collapse,
    /// A child inherits it, writes, and ends.
    ForkExit,
    /// It is lazily freed and written again.
    FreeThenWrite,
    /// UFFDIO_MOVE, there and back; to be refused where a child shares it.
    Move,
}

/// What presses on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Press {
    /// It is reclaimed.
    Reclaim,
    /// It is migrated.
    Migration,
    /// Swap is switched off.
    Swapoff,
}

/// In the order in which those of one pressure are established: what is written after a fork is not shared, clearing
/// soft-dirty bits concerns all, and a store to any page ends the protection of another.
const STATES: [State; 9] = [
    State::Shared,
    State::Clean,
    State::Dirty,
    State::Redirtied,
    State::LazyFree,
    State::Exclusive,
    State::SoftDirty,
    State::Zero,
    State::WriteProtected,
];
const PRESSES: [Press; 3] = [Press::Reclaim, Press::Migration, Press::Swapoff];
const OPERATIONS: [Operation; 8] = [
    Operation::Mprotect,
    Operation::Mremap,
    Operation::ClearRefs,
    Operation::Split,
    Operation::Collapse,
    Operation::ForkExit,
    Operation::FreeThenWrite,
    Operation::Move,
];

/// A composition.
pub type Triple = (State, Operation, Press);

/// All of them.
#[must_use]
pub fn all() -> Vec<Triple> {
    let mut all = Vec::new();
    for state in STATES {
        for operation in OPERATIONS {
            for press in PRESSES {
                all.push((state, operation, press));
            }
        }
    }
    all
}

/// How often each triple was met.
#[derive(Debug, Default)]
pub struct Coverage(Mutex<BTreeMap<Triple, u64>>);

impl Coverage {
    pub(super) fn note(&self, triple: Triple) {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *met.entry(triple).or_default() += 1;
    }

    /// Different triples met.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// How often each was met, by its words; those that were not are there with 0.
    #[must_use]
    pub fn map(&self) -> BTreeMap<String, u64> {
        let met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = |(state, operation, press): Triple| format!("{state:?} × {operation:?} × {press:?}");
        all()
            .into_iter()
            .map(|t| (words(t), met.get(&t).copied().unwrap_or(0)))
            .collect()
    }
}

/// Triples of one pressure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Batch {
    /// The pressure.
    pub press: Press,
    /// States, each at most once and in the order in which they are established, and what is done to each.
    pub acts: Vec<(State, Operation)>,
}

/// The triples to come: all in the order that the seed draws, then all again in another one.
#[derive(Debug)]
pub struct Queue {
    rng: Pcg64Mcg,
    coming: Vec<Batch>,
}

impl Queue {
    /// An order of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed ^ 0x7219_1e00),
            coming: Vec::new(),
        }
    }

    /// The next ones.
    pub fn next_batch(&mut self) -> Batch {
        if self.coming.is_empty() {
            self.refill();
        }
        self.coming.pop().unwrap_or(Batch {
            press: Press::Reclaim,
            acts: vec![(State::Dirty, Operation::ForkExit)],
        })
    }

    fn refill(&mut self) {
        let batches = (STATES.len() * OPERATIONS.len()).div_ceil(TOGETHER);
        let mut of_press = PRESSES.map(|press| {
            let mut all = vec![
                Batch {
                    press,
                    acts: Vec::new()
                };
                batches
            ];
            // A state's operations go to as many batches one after the other, so that none has it twice.
            let mut next = self.rng.next_u64() as usize;
            for state in STATES {
                let mut operations = OPERATIONS;
                shuffle(&mut operations, &mut self.rng);
                for operation in operations {
                    all[next % batches].acts.push((state, operation));
                    next = next.wrapping_add(1);
                }
            }
            shuffle(&mut all, &mut self.rng);
            all
        });
        for _ in 0..batches {
            self.coming.extend(of_press.iter_mut().filter_map(Vec::pop));
        }
    }
}

fn shuffle<T>(all: &mut [T], rng: &mut Pcg64Mcg) {
    for at in (1..all.len()).rev() {
        all.swap(at, rng.next_u64() as usize % (at + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_queue_meets_every_triple_once_a_round_in_an_order_of_its_own() {
        let round = |seed| {
            let (mut queue, mut round) = (Queue::new(seed), Vec::new());
            while round.len() < all().len() {
                let Batch { press, acts } = queue.next_batch();
                assert!(acts.len() <= TOGETHER);
                let place = |act: &(State, _)| STATES.iter().position(|state| *state == act.0);
                assert!(
                    acts.is_sorted_by(|one, next| place(one) < place(next)),
                    "{acts:?}"
                );
                round.extend(
                    acts.into_iter()
                        .map(|(state, operation)| (state, operation, press)),
                );
            }
            round
        };
        assert_eq!(round(1).into_iter().collect::<BTreeSet<_>>().len(), all().len());
        assert_eq!(all().len(), 9 * 8 * 3);
        assert_eq!(round(1), round(1));
        assert_ne!(round(1), round(2));
    }

    #[test]
    fn coverage_tells_what_was_not_met_too() {
        let coverage = Coverage::default();
        let one = (State::Clean, Operation::Split, Press::Reclaim);
        coverage.note(one);
        coverage.note(one);
        let map = coverage.map();
        assert_eq!((coverage.covered(), map.len()), (1, all().len()));
        assert_eq!(map["Clean × Split × Reclaim"], 2);
        assert_eq!(map.values().sum::<u64>(), 2);
    }
}
