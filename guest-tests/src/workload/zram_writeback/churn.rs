//! Churn: pages that compress to several objects a zspage leave and are dropped in long runs, so that
//! whole zspages become empty at once, some of them while their pages migrate.

use super::hand::Hand;
use crate::workload::phase::Stopped;
use std::ops::Range;

/// Longest run.
const RUN_MAX: usize = 512;
/// One run in so many is verified before it goes.
const VERIFY_ONE_IN: u32 = 4;
/// One page in so many is looked at after its run was dropped: it must read zero.
const LOOK_AT_ONE_IN: usize = 32;

/// Churns the pages of one thread until the phase is over.
///
/// # Errors
/// When it ended early.
pub fn run(hand: &mut Hand<'_>, own: Range<usize>) -> Result<(), Stopped> {
    fill(hand, own.clone())?;
    while !hand.is_over() {
        let run = hand.run_of(&own, RUN_MAX);
        if hand.once_in(VERIFY_ONE_IN) {
            hand.verify(run.clone())?;
        }
        hand.drop_run(run.clone())?;
        for page in run.clone().step_by(LOOK_AT_ONE_IN) {
            hand.verify(page..page + 1)?;
        }
        fill(hand, run)?;
        hand.lane.beat();
    }
    Ok(())
}

/// Writes a run of pages and has it paged out.
fn fill(hand: &mut Hand<'_>, run: Range<usize>) -> Result<(), Stopped> {
    for start in run.clone().step_by(RUN_MAX) {
        let chunk = start..run.end.min(start + RUN_MAX);
        chunk.clone().for_each(|page| hand.rewrite(page));
        hand.page_out(chunk)?;
        if hand.is_over() {
            break;
        }
    }
    Ok(())
}
