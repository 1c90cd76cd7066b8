//! Forked children of an owner: they wait, copy out what they see, write to what is theirs, and end; and what
//! their parent does meanwhile.

use super::owner::{Done, Owner, Stopped};
use super::promise::Tally;
use super::region::buffer;
use crate::model::{Fault, Mismatch, Origin, PageState};
use crate::protocol::Seen;
use crate::sys::SysError;
use crate::sys::arena::{Arena, PAGE_WORDS};
use crate::sys::board::FAULT_EXIT;
use crate::sys::field::Field;
use crate::sys::fork::{self, Ended, Forked, Gate};
use crate::workload::{CaseError, STEP_PATIENCE_S};
use std::ops::Range;

/// Pages that one child verifies, at most.
pub const PAGES_MAX: usize = 24;
/// How often a child's end is asked for, in milliseconds.
const ASK_MS: u32 = 500;

/// A child that waits.
pub struct Child {
    forked: Forked,
    gate: Gate,
    range: Range<usize>,
    /// What each page may hold for the child.
    states: Vec<PageState>,
    /// A word in which another thread of the parent's counted meanwhile, and the greatest number that the child may see.
    pub(super) counted: Option<(Tally, u64)>,
}

/// What children of one owner leave their copies in, and after them how far they came.
pub struct Heir {
    copies: Arena,
}

/// What a child saw of a page: its number in the region, and the model's answer.
type Judged = (usize, Result<(), Box<Mismatch>>);

impl Heir {
    /// Maps what children share with their parent.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn new() -> Result<Self, SysError> {
        let copies = Arena::shared(PAGES_MAX + 1)?;
        // A child must not need memory for it.
        for page in 0..=PAGES_MAX {
            copies.poke(page, 0, 0);
        }
        Ok(Self { copies })
    }

    /// Forks a child that waits until [`Heir::end`]; none where memory was short. With `writes` it writes
    /// to its pages after it has read them, which must stay its own.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn fork(
        &self,
        field: &Field,
        plot: usize,
        range: Range<usize>,
        states: Vec<PageState>,
        writes: bool,
    ) -> Result<Option<Child>, SysError> {
        let gate = Gate::new()?;
        let range = range.start..range.end.min(range.start + PAGES_MAX);
        let (copies, pages, waits) = (&self.copies, range.clone(), &gate);
        copies.poke(PAGES_MAX, 0, 0);
        let forked = fork::child(|| {
            waits.wait();
            let mut data = [0; PAGE_WORDS];
            for (at, page) in pages.enumerate() {
                field.read(plot, page, &mut data);
                copies.write(at, &data);
                copies.poke(PAGES_MAX, 0, at as u64 + 1);
                if writes {
                    field.poke(plot, page, page % PAGE_WORDS, u64::MAX / 3);
                }
            }
            0
        });
        match forked {
            Ok(forked) => Ok(Some(Child {
                forked,
                gate,
                range,
                states,
                counted: None,
            })),
            Err(e) if matches!(e.errno(), Some(libc::ENOMEM | libc::EAGAIN)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Lets a child go on, waits for its end and judges what it saw. One that the OOM killer took says
    /// nothing about the pages that it had not read yet.
    ///
    /// # Errors
    /// Those of the kernel, and a child that does not end.
    pub fn end(&self, child: Child, origin: &Origin, beat: &dyn Fn()) -> Result<Vec<Judged>, CaseError> {
        let Child {
            mut forked,
            gate,
            range,
            states,
            counted,
        } = child;
        gate.open()?;
        let mut ended = None;
        for _ in 0..STEP_PATIENCE_S * 1000 / ASK_MS {
            ended = forked.ended(ASK_MS)?;
            if ended.is_some() {
                break;
            }
            beat();
        }
        let Some(ended) = ended else {
            let what = Seen::Hang {
                worker: "a forked child".to_owned(),
                stack: "see the kernel's log".to_owned(),
            };
            return Err(CaseError::Broken(format!("{what:?}")));
        };
        Ok(self.judge(&range, &states, (ended, counted), origin))
    }

    fn judge(
        &self,
        range: &Range<usize>,
        states: &[PageState],
        (ended, counted): (Ended, Option<(Tally, u64)>),
        origin: &Origin,
    ) -> Vec<Judged> {
        let read = usize::try_from(self.copies.peek(PAGES_MAX, 0)).unwrap_or(0);
        let mut data = buffer();
        let mut judged = Vec::with_capacity(read);
        for (at, page) in range.clone().enumerate().take(read) {
            self.copies.read(at, &mut data);
            if let Some((tally, newest)) = counted.filter(|(tally, _)| tally.page == page)
                && (tally.from..=newest).contains(&data[tally.word])
            {
                data[tally.word] = tally.was;
            }
            judged.push((page, states[at].read(origin, &data).map(drop)));
        }
        if ended == Ended::Status(FAULT_EXIT as u8)
            && let Some(page) = range.clone().nth(read)
        {
            judged.push((page, states[read].fault(origin, Fault::Sigbus).map(drop)));
        }
        judged
    }
}

impl Owner<'_> {
    /// Forks a child that verifies what it inherited, while the parent writes on.
    pub(super) fn fork(&mut self, at: usize, range: Range<usize>) -> Done {
        self.let_write(at, range.clone())?;
        let Some(child) = self.fork_child(at, range.clone())? else {
            return Ok(());
        };
        let is_private = !self.regions[at].kind.is_shared();
        if is_private {
            for page in range.clone().step_by(2) {
                self.store(at, page..page + 1)?;
            }
        }
        self.end_child(at, child)?;
        self.verify(at, range)
    }

    /// Forks a child that waits before it verifies; none where memory was short.
    pub(super) fn fork_child(&mut self, at: usize, range: Range<usize>) -> Result<Option<Child>, Stopped> {
        let region = &self.regions[at];
        let plot = region.plot();
        let states = range
            .clone()
            .map(|page| region.state(page).fork(false).1)
            .collect();
        let writes = !region.kind.is_shared();
        Ok(self.heir.fork(&self.engine.field, plot, range, states, writes)?)
    }

    /// Lets a child verify and end, and judges what it saw; tells how many pages it lived to see.
    pub(super) fn end_child(&mut self, at: usize, child: Child) -> Result<usize, Stopped> {
        let beat = || {
            self.around.inspect(|(_, lane)| lane.beat());
        };
        let seen = self.heir.end(child, &self.engine.origin, &beat)?;
        let n = seen.len();
        for (page, verdict) in seen {
            self.judged(at, page, verdict, None)?;
        }
        Ok(n)
    }
}
