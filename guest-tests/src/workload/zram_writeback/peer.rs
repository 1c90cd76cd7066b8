//! A peer: reads pages that other threads own, from wherever it runs, so that two threads fault in the
//! same page at the same time.

use super::hand::Hand;
use crate::workload::phase::Stopped;
use std::time::Duration;

/// Longest pause between two visits.
const PAUSE_US_MAX: usize = 2000;
/// Visits to the same pages in a row, at most, and how many pages those are.
const VISITS_MAX: usize = 8;
const RUN_MAX: usize = 8;

/// Visits the pages of these parts by turns until the phase is over.
///
/// # Errors
/// When it ended early.
pub fn run(hands: &mut [Hand<'_>]) -> Result<(), Stopped> {
    while let Some(which) = hands.len().checked_sub(1) {
        let which = hands[which].below(hands.len());
        let hand = &mut hands[which];
        let pages = hand.pages();
        let run = hand.run_of(&pages, RUN_MAX);
        for _ in 0..=hand.below(VISITS_MAX) {
            hand.peek(run.clone())?;
            hand.page_out(run.clone())?;
            let pause = Duration::from_micros(hand.below(PAUSE_US_MAX) as u64);
            if hand.pressure.phase.stop.wait(pause) {
                return Ok(());
            }
        }
    }
    Ok(())
}
