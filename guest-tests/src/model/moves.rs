//! `UFFDIO_MOVE`: which pages a reply says were moved, and what that does to both sides.

use super::ops::{Op, freed};
use super::state::{Content, Holds, PageState, Protection};

/// What the kernel replied to one `UFFDIO_MOVE`, with its `.move` field preset to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveReply {
    /// The error number, none on success.
    pub errno: Option<i32>,
    /// The `.move` field afterwards: bytes moved, or a negative error number.
    pub moved_bytes: i64,
}

/// A reply that userfaultfd's documentation rules out: the kernel broke a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImpossibleReply {
    /// What was asked for, in bytes.
    pub asked_bytes: u64,
    /// The reply.
    pub reply: MoveReply,
}

impl std::fmt::Display for ImpossibleReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MoveReply { errno, moved_bytes } = self.reply;
        let errno = errno.map_or("success".to_owned(), |errno| format!("error {errno}"));
        write!(
            f,
            "UFFDIO_MOVE of {} bytes replied {errno} with move = {moved_bytes}",
            self.asked_bytes
        )
    }
}

impl std::error::Error for ImpossibleReply {}

/// Error number of a short move, and of one that lost a race before it began.
const EAGAIN: i32 = 11;
const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EFAULT: i32 = 14;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
/// Bytes of a page.
const PAGE_LEN: u64 = 4096;

/// Returns how many pages, from the first on, a reply says were moved (holes that were allowed count).
///
/// Success means all of them. A short move is EAGAIN with the bytes moved, and its cause shows when
/// the rest is tried again. Any other error, or a negative `.move`, means none.
///
/// # Errors
/// A reply that cannot be: success that is short or longer than asked for, a part of a page, bytes
/// moved beside an error other than EAGAIN, or a `.move` that names another error than the reply.
pub fn moved_pages(asked_bytes: u64, reply: MoveReply) -> Result<u64, ImpossibleReply> {
    let moved = u64::try_from(reply.moved_bytes).ok();
    match (reply.errno, moved) {
        (None, Some(bytes)) if bytes == asked_bytes => Ok(bytes / PAGE_LEN),
        (Some(EAGAIN), Some(bytes)) if bytes < asked_bytes && bytes.is_multiple_of(PAGE_LEN) => {
            Ok(bytes / PAGE_LEN)
        }
        (Some(_), Some(0)) => Ok(0),
        (Some(errno), None) if reply.moved_bytes == -i64::from(errno) => Ok(0),
        _ => Err(ImpossibleReply { asked_bytes, reply }),
    }
}

/// What is known about one page of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moved {
    /// It was moved (a hole that was allowed counts).
    Yes,
    /// It was not.
    No,
    /// The caller died in it: at most one side has the page.
    Unknown,
}

/// Returns the states of source and destination after a move.
///
/// The destination takes what the source may hold, its stamp included (a page of zeros moves, a lazily
/// freed one stays so); the source is left with nothing. Whether the destination is write-protected
/// then is not specified.
#[must_use]
pub fn apply_move(source: &PageState, destination: &PageState, moved: Moved) -> (PageState, PageState) {
    match moved {
        Moved::No => (source.clone(), destination.clone()),
        Moved::Yes => {
            let is_hole = source.content == Content::Is(Holds::Hole);
            let protection = if is_hole {
                destination.protection
            } else {
                Protection::Unspecified
            };
            let taken = PageState {
                content: source.content.clone(),
                protection,
                ..destination.clone()
            };
            (source.apply(Op::DontNeed), taken)
        }
        Moved::Unknown => {
            let content = maybe_gone(&source.content);
            let either = |state: &PageState| PageState {
                content: content.clone(),
                protection: Protection::Unspecified,
                ..state.clone()
            };
            (either(source), either(destination))
        }
    }
}

/// Returns the states of both sides after a reply about one page, or nothing where these states rule
/// the reply out: success needs a page (or a hole that is allowed) and an empty destination, ENOENT a
/// hole, EEXIST a destination that is taken, EBUSY a page (that is shared, pinned or large), EFAULT one
/// that is poisoned; EAGAIN and ENOMEM need nothing.
#[must_use]
pub fn replied(
    source: &PageState,
    destination: &PageState,
    errno: Option<i32>,
    holes_are_allowed: bool,
) -> Option<(PageState, PageState)> {
    let unchanged = || (source.clone(), destination.clone());
    let is = |state: &PageState, held: Holds| state.content == Content::Is(held);
    match errno {
        None if !destination.may_be_hole() || is(source, Holds::Poisoned) => None,
        None if is(source, Holds::Hole) => {
            (holes_are_allowed).then(|| (source.clone(), destination.with_hole()))
        }
        None => Some(apply_move(source, &destination.with_hole(), Moved::Yes)),
        Some(ENOENT) => {
            (!holes_are_allowed && source.may_be_hole()).then(|| (source.with_hole(), destination.clone()))
        }
        Some(EEXIST) => (!is(destination, Holds::Hole)).then(unchanged),
        Some(EBUSY) => (!is(source, Holds::Hole) && !is(source, Holds::Poisoned)).then(unchanged),
        Some(EFAULT) => is(source, Holds::Poisoned).then(unchanged),
        Some(EAGAIN | ENOMEM) => Some(unchanged()),
        Some(_) => None,
    }
}

impl PageState {
    /// Tells whether nothing may be there.
    #[must_use]
    pub fn may_be_hole(&self) -> bool {
        match &self.content {
            Content::Is(held) => *held == Holds::Hole,
            Content::Either(one, other) => *one == Holds::Hole || *other == Holds::Hole,
            Content::Freed(_) | Content::Copy { freed: true, .. } => self.armed.missing,
            Content::Copy { freed: false, .. } | Content::Fixed { .. } => false,
        }
    }

    /// Tells whether `UFFDIO_COPY` may fill it: nothing is there, or poison, which it replaces.
    #[must_use]
    pub fn may_be_filled(&self) -> bool {
        self.may_be_hole() || self.content == Content::Is(Holds::Poisoned)
    }

    /// Narrows a place that may be a hole to one.
    fn with_hole(&self) -> Self {
        if self.may_be_hole() {
            Self {
                content: Content::Is(Holds::Hole),
                ..self.clone()
            }
        } else {
            self.clone()
        }
    }
}

/// What a side may hold that the page may have left, or not reached.
fn maybe_gone(content: &Content) -> Content {
    match content {
        Content::Is(Holds::Hole) => content.clone(),
        Content::Is(held) => Content::Either(*held, Holds::Hole),
        Content::Freed(_) | Content::Either(..) | Content::Copy { .. } | Content::Fixed { .. } => {
            freed(content)
        }
    }
}

/// Narrows both sides of a move that was [`Moved::Unknown`] once one of them was read: if that one has
/// the page, the other must not, and the reverse. Only a stamp tells: zeros look like a hole that was read.
#[must_use]
pub fn settle_move(read: &PageState, other: &PageState) -> PageState {
    let Content::Either(held @ Holds::Stamp(_), Holds::Hole) = other.content else {
        return other.clone();
    };
    let content = match &read.content {
        Content::Is(found) if *found == held => Content::Is(Holds::Hole),
        Content::Is(Holds::Hole | Holds::Zero) => Content::Is(held),
        Content::Is(_)
        | Content::Freed(_)
        | Content::Either(..)
        | Content::Copy { .. }
        | Content::Fixed { .. } => other.content.clone(),
    };
    PageState {
        content,
        ..other.clone()
    }
}
