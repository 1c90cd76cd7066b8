//! What each operation does to a page's legal states: the documented meaning, as pure transitions.
//!
//! The words are those of madvise(2), userfaultfd(2), ioctl_userfaultfd(2), fallocate(2),
//! ftruncate(2), fork(2), mremap(2) and the kernel's admin guide (zram, userfaultfd, transhuge). An
//! operation is applied once it has *succeeded* for that page; what a failed one may have done is
//! part of its own transition ([`moved_pages`], [`BlockOp`]).

use super::state::{Armed, Backing, Content, Holds, Name, PageState, Protection};

/// Operations that must keep every page's content, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// `MADV_PAGEOUT`: reclaims at once; the page comes back from swap or file.
    PageOut,
    /// `MADV_COLD`: reclaims sooner.
    Cold,
    /// `MADV_WILLNEED`: reads ahead.
    WillNeed,
    /// `mprotect`, any number of times.
    Protect,
    /// KSM merges and unmerges.
    Ksm,
    /// Compaction.
    Compaction,
    /// `move_pages`, `mbind`, NUMA balancing.
    Migration,
    /// `swapoff`, successful or not.
    SwapOff,
    /// `memory.reclaim`, successful or not.
    Reclaim,
}

/// A successful operation on one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// All of the page is stored to (or filled by `UFFDIO_COPY` from a page at rest): it holds the stamp.
    Store(Name),
    /// A store that changes no value: it fixes the base of a lazily freed page.
    Touch,
    /// `UFFDIO_COPY` or `read`, `write`, from a page that is being written: the source's window.
    CopyOf {
        /// The stamped source page.
        page: u32,
        /// Committed before the copying.
        from: u32,
        /// Published after it.
        to: u32,
    },
    /// `UFFDIO_ZEROPAGE`: the page is populated with zeros.
    ZeroPage,
    /// `UFFDIO_POISON`: an access faults.
    Poison,
    /// One of the operations that preserve content.
    Keep(Keep),
    /// `MADV_POPULATE_READ`: content is kept, a hole is filled with zeros.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`: as before, and a private file mapping gets its own copy of the page. It
    /// does not store: a lazily freed page stays so.
    PopulateWrite,
    /// khugepaged or `MADV_COLLAPSE`, even where it failed: a hole may be filled with zeros, unless
    /// userfaults prevent it (any mode for anonymous memory, MISSING for shared). Past the end of a file
    /// zeros may show from then on: a huge page that lies across the end is mapped whole.
    Collapse,
    /// `MADV_DONTNEED`: private anonymous memory is dropped, a private file mapping shows the file
    /// again, shared memory keeps its content.
    DontNeed,
    /// `MADV_FREE` (private anonymous only): old until taken, zero from then on, until the first store.
    Free,
    /// `fallocate(PUNCH_HOLE)` or `MADV_REMOVE` of the file below: shared memory loses the page; private
    /// pages that were written to stay.
    Punch,
    /// The file shrinks to end before the page: SIGBUS, for private pages that were written to as well.
    Truncate,
    /// The file grows to hold the page again: it reads zero.
    Extend,
    /// The file below changes: a private mapping shows it where it was not written to.
    FileStore(Name),
    /// `UFFDIO_REGISTER`: arms the range. Pages that are there stay.
    Register(Armed),
    /// `UFFDIO_UNREGISTER`: disarms it and drops write-protection.
    Unregister,
    /// `UFFDIO_WRITEPROTECT` with the mode bit: constant until unprotected if populated; else nothing is promised.
    WriteProtect,
    /// `UFFDIO_WRITEPROTECT` without it.
    WriteUnprotect,
    /// `mremap` to another place, which takes the content. Without `UFFD_FEATURE_EVENT_REMAP` the new
    /// place is not armed, and protection is dropped.
    Remap {
        /// The feature is on.
        keeps_userfaults: bool,
    },
}

impl PageState {
    /// Returns the state after a successful operation.
    #[must_use]
    pub fn apply(&self, op: Op) -> Self {
        let content = |content: Content| Self {
            content,
            ..self.clone()
        };
        match op {
            Op::Store(name) => content(Content::Is(Holds::Stamp(name))),
            Op::CopyOf { page, from, to } if from == to => {
                content(Content::Is(Holds::Stamp(Name { page, generation: to })))
            }
            Op::CopyOf { page, from, to } => content(Content::Copy {
                page,
                from,
                to,
                freed: false,
            }),
            Op::ZeroPage => content(Content::Is(Holds::Zero)),
            Op::Poison => content(Content::Is(Holds::Poisoned)),
            Op::Touch => self.own_copy().touched(),
            Op::PopulateWrite => self.own_copy().apply(Op::PopulateRead),
            Op::Keep(_) => self.clone(),
            Op::PopulateRead => content(filled(&self.content)),
            Op::Collapse if self.content == Content::Is(Holds::Beyond) => {
                content(Content::Either(Holds::Beyond, Holds::Zero))
            }
            Op::Collapse if self.collapse_is_prevented() => self.clone(),
            Op::Collapse => content(maybe_filled(&self.content)),
            Op::DontNeed => self.dont_need(),
            Op::Free => content(freed(&self.content)),
            Op::Punch | Op::Truncate | Op::Extend | Op::FileStore(_) => self.file_changed(op),
            Op::Register(armed) => Self {
                armed,
                ..self.clone()
            },
            Op::Unregister => Self {
                armed: Armed::default(),
                protection: Protection::Off,
                ..self.clone()
            },
            Op::WriteProtect => Self {
                protection: self.protected(),
                ..self.clone()
            },
            Op::WriteUnprotect => Self {
                protection: Protection::Off,
                ..self.clone()
            },
            Op::Remap { keeps_userfaults } => self.handed_on(keeps_userfaults),
        }
    }

    /// Returns the states of parent and child after `fork`. Each side resolves a lazily freed page
    /// alone. Without `UFFD_FEATURE_EVENT_FORK` the child is not armed and not protected.
    #[must_use]
    pub fn fork(&self, keeps_userfaults: bool) -> (Self, Self) {
        (self.clone(), self.handed_on(keeps_userfaults))
    }

    /// A private file mapping gets its own copy of what the file holds.
    fn own_copy(&self) -> Self {
        if self.content == Content::Is(Holds::File) {
            let content = filled(&Content::Is(self.file));
            return Self {
                content,
                ..self.clone()
            };
        }
        self.clone()
    }

    /// A store happened: what was lazily freed is either still there or a page of zeros; in a range
    /// armed for missing pages it can only be the old one, since a hole would have faulted first.
    fn touched(&self) -> Self {
        let content = match &self.content {
            Content::Freed(held) if self.armed.missing => Content::Is(*held),
            Content::Freed(held) if *held == Holds::Zero => Content::Is(*held),
            Content::Freed(held) => Content::Either(*held, Holds::Zero),
            Content::Is(_) | Content::Either(..) | Content::Copy { .. } | Content::Fixed { .. } => {
                filled(&self.content)
            }
        };
        Self {
            content,
            ..self.clone()
        }
    }

    /// Content goes elsewhere; userfaults only where the feature for it is on.
    fn handed_on(&self, keeps_userfaults: bool) -> Self {
        if keeps_userfaults {
            self.clone()
        } else {
            self.apply(Op::Unregister)
        }
    }

    fn collapse_is_prevented(&self) -> bool {
        let Armed { missing, wp, minor } = self.armed;
        match self.backing {
            Backing::PrivateAnon => missing || wp || minor,
            Backing::Shared => missing,
            Backing::PrivateFile => true,
        }
    }

    fn dont_need(&self) -> Self {
        match self.backing {
            Backing::PrivateAnon => self.emptied(Holds::Hole),
            Backing::PrivateFile if self.content == Content::Is(Holds::Beyond) => self.clone(),
            Backing::PrivateFile => self.emptied(Holds::File),
            Backing::Shared => self.clone(),
        }
    }

    fn file_changed(&self, op: Op) -> Self {
        let is_shared = self.backing == Backing::Shared;
        let is_beyond = self.file == Holds::Beyond || self.content == Content::Is(Holds::Beyond);
        match (self.backing, op) {
            (Backing::PrivateAnon, _) => self.clone(),
            (_, Op::FileStore(_)) if is_beyond => self.file_changed(Op::Extend).file_changed(op),
            (_, Op::Punch | Op::Truncate) if is_beyond => self.clone(),
            (_, Op::Truncate) => Self {
                file: Holds::Beyond,
                ..self.emptied(Holds::Beyond)
            },
            (Backing::Shared, Op::Punch) => self.emptied(Holds::Hole),
            (_, Op::Punch) => Self {
                file: Holds::Zero,
                ..self.clone()
            },
            (_, Op::Extend) if is_beyond => {
                let held = if is_shared { Holds::Hole } else { Holds::File };
                Self {
                    file: Holds::Zero,
                    content: Content::Is(held),
                    ..self.clone()
                }
            }
            (Backing::Shared, Op::FileStore(name)) => self.apply(Op::Store(name)),
            (_, Op::FileStore(name)) => Self {
                file: Holds::Stamp(name),
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    /// The place after its content was destroyed: protection goes with it.
    fn emptied(&self, held: Holds) -> Self {
        let newest = match &self.content {
            Content::Is(held) | Content::Freed(held) => self.own_generation(*held),
            Content::Either(one, other) => self.own_generation(*one).max(self.own_generation(*other)),
            Content::Copy { page, to, .. } | Content::Fixed { page, to, .. } => {
                if *page == self.page {
                    *to
                } else {
                    0
                }
            }
        };
        Self {
            content: Content::Is(held),
            protection: Protection::Off,
            dropped: self.dropped.max(newest),
            ..self.clone()
        }
    }

    fn own_generation(&self, held: Holds) -> u32 {
        match held {
            Holds::Stamp(Name { page, generation }) if page == self.page => generation,
            Holds::Stamp(_) | Holds::Zero | Holds::Hole | Holds::File | Holds::Beyond | Holds::Poisoned => 0,
        }
    }

    fn protected(&self) -> Protection {
        let is_populated = |held: Holds| matches!(held, Holds::Stamp(_) | Holds::Zero);
        let surely = match &self.content {
            Content::Is(held) => is_populated(*held),
            Content::Either(one, other) => is_populated(*one) && is_populated(*other),
            Content::Freed(_) => false,
            Content::Copy { .. } | Content::Fixed { .. } => true,
        };
        if surely {
            Protection::On
        } else {
            Protection::Unspecified
        }
    }
}

/// A hole becomes a page of zeros.
fn filled(content: &Content) -> Content {
    let fill = |held: Holds| if held == Holds::Hole { Holds::Zero } else { held };
    match content {
        Content::Is(held) => Content::Is(fill(*held)),
        Content::Either(one, other) if fill(*one) == fill(*other) => Content::Is(fill(*one)),
        Content::Either(one, other) => Content::Either(fill(*one), fill(*other)),
        Content::Freed(_) | Content::Copy { .. } | Content::Fixed { .. } => content.clone(),
    }
}

/// A hole may have become a page of zeros.
fn maybe_filled(content: &Content) -> Content {
    match content {
        Content::Is(Holds::Hole) => Content::Either(Holds::Hole, Holds::Zero),
        Content::Is(_)
        | Content::Freed(_)
        | Content::Either(..)
        | Content::Copy { .. }
        | Content::Fixed { .. } => content.clone(),
    }
}

/// A page that is populated may be taken from now on.
pub(super) fn freed(content: &Content) -> Content {
    match content {
        Content::Is(held @ (Holds::Stamp(_) | Holds::Zero)) => Content::Freed(*held),
        Content::Is(Holds::Poisoned) => Content::Is(Holds::Hole),
        Content::Either(held @ Holds::Stamp(_), Holds::Zero | Holds::Hole) => Content::Freed(*held),
        Content::Is(_) | Content::Freed(_) | Content::Either(..) => content.clone(),
        Content::Copy { page, from, to, .. } | Content::Fixed { page, from, to, .. } => Content::Copy {
            page: *page,
            from: *from,
            to: *to,
            freed: true,
        },
    }
}
