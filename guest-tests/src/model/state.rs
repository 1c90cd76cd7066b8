//! The legal states of one page of any kind of memory: a closed set, and how a reading narrows it.
//!
//! The concurrent [`Ledger`](super::Ledger) knows private anonymous memory under DONTNEED and FREE;
//! this is the general form, for one owner at a time. [`Op`](super::Op) has what each operation
//! does to a state. Nothing here is shared between threads.

use super::classify::classify;
use super::legal::{Held, Legal, Origin, Verified, judge, judge_fault};
use super::mismatch::{Fault, Mismatch};
use super::stamp::Page;

/// Names a stamp: whose it is and of which generation. A page that was moved keeps its stamp, so
/// the stamp's page need not be the place that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    /// The page that the stamp was made for.
    pub page: u32,
    /// That page's generation.
    pub generation: u32,
}

/// One thing that a place may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holds {
    /// A stamp.
    Stamp(Name),
    /// A populated page of zeros (the shared zero page included).
    Zero,
    /// Nothing: where userfaults are armed for missing pages an access faults, elsewhere it reads zero.
    Hole,
    /// What the mapped file holds there (private file mappings that were not written to).
    File,
    /// Nothing that could be: past the end of the file, SIGBUS.
    Beyond,
    /// A poisoned place (`UFFDIO_POISON`): every access faults until it is dropped or filled.
    Poisoned,
}

/// What a place holds, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Exactly this.
    Is(Holds),
    /// This until the kernel takes it, at any time and for good; then a hole (lazily freed).
    Freed(Holds),
    /// One of two, and it changes no more: the next reading tells which.
    Either(Holds, Holds),
    /// A copy made while its source was being written: any line of the source's window. It changes
    /// no more; the first reading fixes it.
    Copy {
        /// The stamped page that was copied.
        page: u32,
        /// Committed before the copying.
        from: u32,
        /// Published after it.
        to: u32,
        /// It is lazily freed as well: zero is legal, for good, and nothing is fixed.
        freed: bool,
    },
    /// Such a copy once it was read as a mixture: exactly these bytes from then on.
    Fixed {
        /// The stamped page that was copied.
        page: u32,
        /// Committed before the copying.
        from: u32,
        /// Published after it.
        to: u32,
        /// What was read first.
        bytes: Box<Page>,
    },
}

/// The kind of mapping a place belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Private anonymous memory.
    PrivateAnon,
    /// Shared memory: memfd, tmpfs, shared anonymous.
    Shared,
    /// A private mapping of a file.
    PrivateFile,
}

/// Which userfaults a range is registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Armed {
    /// `UFFDIO_REGISTER_MODE_MISSING`.
    pub missing: bool,
    /// `UFFDIO_REGISTER_MODE_WP`.
    pub wp: bool,
    /// `UFFDIO_REGISTER_MODE_MINOR`.
    pub minor: bool,
}

/// Whether a page is write-protected by userfaultfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protection {
    /// It is not: a store succeeds.
    #[default]
    Off,
    /// It is: no store may succeed until it is unprotected.
    On,
    /// The kernel promises neither.
    Unspecified,
}

/// The legal states of one place, as the operations so far left them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageState {
    /// The place's own page number: which stamps are its own.
    pub page: u32,
    /// Kind of mapping.
    pub backing: Backing,
    /// Its userfaults.
    pub armed: Armed,
    /// Its write-protection.
    pub protection: Protection,
    /// What it holds.
    pub content: Content,
    /// What the mapped file holds there ([`Backing::PrivateFile`] only).
    pub file: Holds,
    /// Newest generation of its own that a destructive operation dropped; 0 for none.
    pub dropped: u32,
}

impl PageState {
    /// A fresh place: nothing in it, nothing armed. `file` is what a private file mapping shows.
    #[must_use]
    pub const fn fresh(page: u32, backing: Backing, file: Holds) -> Self {
        let held = match backing {
            Backing::PrivateAnon | Backing::Shared => Holds::Hole,
            Backing::PrivateFile => Holds::File,
        };
        Self {
            page,
            backing,
            armed: Armed {
                missing: false,
                wp: false,
                minor: false,
            },
            protection: Protection::Off,
            content: Content::Is(held),
            file,
            dropped: 0,
        }
    }

    /// Tells whether a store may succeed without a fault that the suite handles first.
    #[must_use]
    pub fn store_may_succeed(&self) -> bool {
        self.protection != Protection::On
    }

    /// Judges a reading and returns the state that it leaves: narrower where it told something.
    ///
    /// A page that is lazily freed may be taken while it is copied, so old lines beside zero are legal
    /// there, and mean zero from then on.
    ///
    /// # Errors
    /// The classified mismatch; its page is the one whose stamp was expected.
    pub fn read(&self, origin: &Origin, data: &Page) -> Result<Self, Box<Mismatch>> {
        let settled = |held: Holds| Self {
            content: Content::Is(populated(held)),
            ..self.clone()
        };
        match &self.content {
            Content::Is(held) => self.judge_one(origin, *held, data).map(|_| settled(*held)),
            Content::Either(one, other) => match self.judge_one(origin, *one, data) {
                Ok(_) => Ok(settled(*one)),
                Err(first) => self
                    .judge_one(origin, *other, data)
                    .map(|_| settled(*other))
                    .map_err(|_| first),
            },
            Content::Freed(held) => {
                let (page, legal) = self.legal_of(*held);
                let may_read_zero = *held == Holds::Zero || !self.armed.missing;
                let taken = Legal {
                    zero: may_read_zero,
                    mixed: may_read_zero,
                    ..legal
                };
                match judge(origin, page, &taken, data)? {
                    Verified::Whole(Held::Generation(_)) => Ok(self.clone()),
                    Verified::Whole(Held::Zero) if *held == Holds::Zero => Ok(self.clone()),
                    Verified::Undecided => Ok(self.clone()),
                    Verified::Whole(_) | Verified::Mixed(_) | Verified::Faulted => Ok(settled(Holds::Zero)),
                }
            }
            Content::Copy {
                page,
                from,
                to,
                freed,
            } => {
                let (page, from, to) = (*page, *from, *to);
                let legal = Legal {
                    zero: *freed && !self.armed.missing,
                    ..copied(from, to)
                };
                Ok(match judge(origin, page, &legal, data)? {
                    Verified::Whole(Held::Zero) => settled(Holds::Zero),
                    _ if *freed => self.clone(),
                    Verified::Whole(Held::Generation(generation)) => {
                        settled(Holds::Stamp(Name { page, generation }))
                    }
                    Verified::Undecided | Verified::Faulted => self.clone(),
                    Verified::Whole(_) | Verified::Mixed(_) => {
                        let bytes = Box::new(*data);
                        Self {
                            content: Content::Fixed {
                                page,
                                from,
                                to,
                                bytes,
                            },
                            ..self.clone()
                        }
                    }
                })
            }
            Content::Fixed {
                page,
                from,
                to,
                bytes,
            } => {
                if **bytes == *data {
                    return Ok(self.clone());
                }
                Err(Box::new(classify(origin, *page, &copied(*from, *to), data)))
            }
        }
    }

    /// Judges a fault that came instead of data (a userfault for a missing page counts as one).
    ///
    /// # Errors
    /// A mismatch where the place must have held something.
    pub fn fault(&self, origin: &Origin, fault: Fault) -> Result<Self, Box<Mismatch>> {
        let settled = |held: Holds| Self {
            content: Content::Is(held),
            ..self.clone()
        };
        let may_fault = |held: &Holds| self.legal_of(*held).1.fault;
        match &self.content {
            Content::Is(held) if may_fault(held) => Ok(self.clone()),
            Content::Freed(_) | Content::Copy { freed: true, .. } if self.armed.missing => {
                Ok(settled(Holds::Hole))
            }
            Content::Either(one, other) if may_fault(one) || may_fault(other) => {
                Ok(settled(if may_fault(one) { *one } else { *other }))
            }
            Content::Is(held) | Content::Freed(held) | Content::Either(held, _) => {
                let (page, legal) = self.legal_of(*held);
                judge_fault(origin, page, &legal, fault).map(|_| self.clone())
            }
            Content::Copy { page, from, to, .. } | Content::Fixed { page, from, to, .. } => {
                judge_fault(origin, *page, &copied(*from, *to), fault).map(|_| self.clone())
            }
        }
    }

    fn judge_one(&self, origin: &Origin, held: Holds, data: &Page) -> Result<Verified, Box<Mismatch>> {
        let (page, legal) = self.legal_of(held);
        judge(origin, page, &legal, data)
    }

    /// Which page's stamps one possibility allows, and which of them.
    fn legal_of(&self, held: Holds) -> (u32, Legal) {
        let nothing = Legal {
            zero: false,
            fault: true,
            ..Legal::zero(self.dropped)
        };
        match held {
            Holds::Stamp(Name { page, generation }) => {
                let dropped = if page == self.page { self.dropped } else { 0 };
                (
                    page,
                    Legal {
                        dropped,
                        ..Legal::generation(generation)
                    },
                )
            }
            Holds::Zero => (self.page, Legal::zero(self.dropped)),
            Holds::Hole if self.armed.missing => (self.page, nothing),
            Holds::Hole => (self.page, Legal::zero(self.dropped)),
            Holds::Beyond | Holds::Poisoned => (self.page, nothing),
            Holds::File if self.file == Holds::File => (self.page, nothing),
            Holds::File => Self {
                armed: Armed::default(),
                ..self.clone()
            }
            .legal_of(self.file),
        }
    }
}

/// What a copy may show that was made while its source was being written.
const fn copied(from: u32, to: u32) -> Legal {
    Legal {
        from,
        mixed: true,
        ..Legal::generation(to)
    }
}

/// What is there after a reading: it populates a hole with zeros.
fn populated(held: Holds) -> Holds {
    if held == Holds::Hole { Holds::Zero } else { held }
}
