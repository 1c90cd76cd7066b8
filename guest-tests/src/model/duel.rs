//! A page that one thread moves while another one meddles with both ends: which outcomes are legal.
//!
//! Each act takes effect at one moment between its call and its return. The mover makes one call; the
//! meddler's acts have an order of their own. Legal is what some place of the move among them explains,
//! replies and readings included.

use super::legal::Origin;
use super::mismatch::{Fault, Mismatch};
use super::moves::replied;
use super::ops::Op;
use super::stamp::Page;
use super::state::{Content, Holds, Name, PageState, Protection};

/// An end of the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the page was.
    Source,
    /// Where it goes.
    Destination,
}

/// What the meddler did, with the kernel's answer. Operations that keep all content are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// It read a page; nothing where the access faulted.
    Read(Side, Option<Box<Page>>),
    /// It dropped a page (`MADV_DONTNEED`).
    Drop(Side),
    /// It filled a page (`UFFDIO_COPY`), with the error number of the reply.
    Fill(Side, Name, Option<i32>),
}

/// The reply to a move of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneMove {
    /// The error number, none where the page was moved.
    pub errno: Option<i32>,
    /// Holes were allowed.
    pub holes: bool,
}

/// No order explains what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unexplained {
    /// A reading is wrong in every order: as it is in the order that explains most of the rest.
    Reading(Box<Mismatch>),
    /// The replies contradict each other.
    Replies,
}

const EEXIST: i32 = 17;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;

/// Source and destination.
type Ends = [PageState; 2];

/// Returns every legal pair of states after a move of one page and the acts beside it; at least one.
///
/// # Errors
/// Where no order of them explains the replies and readings: the kernel broke a promise.
pub fn duel(origin: &Origin, start: &Ends, moved: OneMove, acts: &[Act]) -> Result<Vec<Ends>, Unexplained> {
    let mut legal: Vec<Ends> = Vec::new();
    let mut farthest: Option<(usize, Box<Mismatch>)> = None;
    for at in 0..=acts.len() {
        match one_order(origin, start, moved, acts, at) {
            Ok(ends) if !legal.contains(&ends) => legal.push(ends),
            Ok(_) | Err((_, None)) => {}
            Err((reached, Some(wrong))) => {
                if farthest.as_ref().is_none_or(|(before, _)| *before < reached) {
                    farthest = Some((reached, wrong));
                }
            }
        }
    }
    if !legal.is_empty() {
        return Ok(legal);
    }
    Err(farthest.map_or(Unexplained::Replies, |(_, wrong)| Unexplained::Reading(wrong)))
}

/// How far an order got, and what was wrong there with a reading.
type Stuck = (usize, Option<Box<Mismatch>>);

/// The states after the acts with the move before act number `at`.
fn one_order(origin: &Origin, start: &Ends, moved: OneMove, acts: &[Act], at: usize) -> Result<Ends, Stuck> {
    let mut ends = start.clone();
    for number in 0..=acts.len() {
        if number == at {
            let [source, destination] = &ends;
            let (source, destination) =
                replied(source, destination, moved.errno, moved.holes).ok_or((number, None))?;
            ends = [source, destination];
        }
        if let Some(act) = acts.get(number) {
            let side = match act {
                Act::Read(side, _) | Act::Drop(side) | Act::Fill(side, ..) => *side as usize,
            };
            ends[side] = after(origin, &ends[side], act).map_err(|wrong| (number, wrong))?;
        }
    }
    Ok(ends)
}

/// A place's state after one act, if the act's answer is legal there.
fn after(origin: &Origin, state: &PageState, act: &Act) -> Result<PageState, Option<Box<Mismatch>>> {
    match act {
        Act::Read(_, Some(data)) => state.read(origin, data).map_err(Some),
        Act::Read(_, None) => state.fault(origin, Fault::Sigbus).map_err(Some),
        Act::Drop(_) => Ok(state.apply(Op::DontNeed)),
        Act::Fill(_, name, errno) => fill_replied(state, *name, *errno).ok_or(None),
    }
}

/// Returns a place's state after `UFFDIO_COPY` of one stamped page replied, or nothing where the state
/// rules the reply out: success needs an empty (or poisoned) place, EEXIST one that is taken.
#[must_use]
pub fn fill_replied(state: &PageState, name: Name, errno: Option<i32>) -> Option<PageState> {
    let filled = || PageState {
        protection: Protection::Off,
        ..state.apply(Op::Store(name))
    };
    match errno {
        None => state.may_be_filled().then(filled),
        Some(EEXIST) => (state.content != Content::Is(Holds::Hole)).then(|| state.clone()),
        Some(EAGAIN | ENOMEM) => Some(state.clone()),
        Some(_) => None,
    }
}
