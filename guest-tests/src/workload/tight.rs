//! A tight swap area: filled with cold pages that nobody touches, so that few slots are free and one
//! that comes free is taken again at once.
//!
//! Cold pages carry stamps: a slot of theirs that somebody else wrote to is a mismatch at the end.

use super::{CaseError, Env};
use crate::model::Ledger;
use crate::sys::arena::{Advice, Arena, PAGE_WORDS};
use crate::sys::pagemap::Pagemap;
use crate::sys::process;
use std::ops::Range;

/// Pages that are filled and paged out at once.
pub const FILL_CHUNK: usize = 128;
/// How often a chunk is asked to leave before its rest stays.
const FILL_TRIES: usize = 20;

/// Writes a page, known to the ledger as `number`, with its next generation.
/// The caller is the page's one writer.
pub fn stamp(arena: &Arena, page: usize, ledger: &Ledger, number: u32, data: &mut [u64; PAGE_WORDS]) {
    let intent = ledger.begin(number);
    intent.stamp.write(data);
    arena.write(page, data);
    intent.commit();
}

/// Writes the cold pages and has them paged out.
///
/// # Errors
/// When a call failed that must not, or many pages would not leave.
pub fn fill(env: &Env<'_>, cold: &Arena, ledger: &Ledger, first: u32) -> Result<(), CaseError> {
    // The new pages wait in a batch of the CPU that touched them; stay on it.
    process::pin(0)?;
    let pagemap = Pagemap::open()?;
    let mut data = Box::new([0; PAGE_WORDS]);
    let mut stay = 0;
    for chunk in chunks(cold) {
        for page in chunk.clone() {
            stamp(cold, page, ledger, first + page as u32, &mut data);
        }
        stay += page_out(cold, chunk, &pagemap)?;
        env.lane.beat();
    }
    process::unpin()?;
    // A few that stay leave a few slots more than was asked for; many would undo the point of it.
    if stay * 20 > cold.pages() {
        return Err(CaseError::Broken(format!(
            "{stay} of {} cold pages could not be paged out",
            cold.pages()
        )));
    }
    Ok(())
}

/// Rewrites the cold pages, the first of which the ledger knows as `first`: their slots come free. Only
/// one thread may call this, and never beside [`refill`].
pub fn loosen(cold: &Arena, ledger: &Ledger, first: u32) {
    let mut data = Box::new([0; PAGE_WORDS]);
    for page in 0..cold.pages() {
        stamp(cold, page, ledger, first + page as u32, &mut data);
    }
}

/// Has cold pages that came back paged out once more: the swap area is as tight then as it was. Those
/// that stay leave slots free, which is no failure in the midst of pressure.
///
/// # Errors
/// Those of the kernel.
pub fn refill(cold: &Arena) -> Result<(), CaseError> {
    let pagemap = Pagemap::open()?;
    for chunk in chunks(cold) {
        page_out(cold, chunk, &pagemap)?;
    }
    Ok(())
}

fn chunks(arena: &Arena) -> impl Iterator<Item = Range<usize>> {
    let pages = arena.pages();
    (0..pages)
        .step_by(FILL_CHUNK)
        .map(move |start| start..pages.min(start + FILL_CHUNK))
}

/// Has a chunk paged out; returns how many of its pages stay.
fn page_out(cold: &Arena, chunk: Range<usize>, pagemap: &Pagemap) -> Result<usize, CaseError> {
    let mut entries = [Default::default(); FILL_CHUNK];
    for _ in 0..FILL_TRIES {
        cold.advise(chunk.clone(), Advice::PageOut)?;
        pagemap.read(cold, chunk.clone(), &mut entries)?;
        if entries[..chunk.len()].iter().all(|e| e.swapped()) {
            break;
        }
    }
    Ok(entries[..chunk.len()].iter().filter(|e| !e.swapped()).count())
}
