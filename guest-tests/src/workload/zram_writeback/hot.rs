//! Hot pages: one thread has them paged out in a loop, another one rewrites them all the time, by turns
//! better and less compressible. Whoever compresses one of them may see it change.

use super::hand::Hand;
use super::pressure::Pressure;
use crate::sys::arena::Advice;
use crate::sys::board::Lane;
use crate::sys::pagemap::Pagemap;
use crate::workload::phase::Stopped;
use std::sync::atomic::Ordering;

/// One rewrite in so many verifies the page first.
const VERIFY_ONE_IN: u32 = 8;

/// Rewrites the hot pages until the phase is over.
///
/// # Errors
/// When it ended early.
pub fn write(hand: &mut Hand<'_>) -> Result<(), Stopped> {
    let pages = hand.pressure.stage.hot.pages.clone();
    while !hand.is_over() {
        for page in pages.clone() {
            if hand.once_in(VERIFY_ONE_IN) {
                hand.verify(page..page + 1)?;
            }
            hand.rewrite(page);
        }
        // A page that was faulted in waits in a batch of this CPU, where reclaim does not find it; this
        // drains the batch.
        hand.advise(pages.clone(), Advice::Cold)?;
        hand.lane.beat();
    }
    Ok(())
}

/// Pages them out until the phase is over.
///
/// # Errors
/// Those of the kernel.
pub fn page_out(pressure: &Pressure<'_>, lane: &Lane) -> Result<(), Stopped> {
    let (stage, pagemap) = (pressure.stage, Pagemap::open()?);
    let pages = stage.hot.pages.clone();
    for page in pages.clone().cycle() {
        if pressure.phase.stop.is_set() {
            break;
        }
        stage.arena.advise(pages.clone(), Advice::PageOut)?;
        if let Some(slot) = pagemap.entry(&stage.arena, page)?.slot() {
            pressure.busy[0].store(slot.offset, Ordering::Relaxed);
        }
        lane.beat();
    }
    Ok(())
}
