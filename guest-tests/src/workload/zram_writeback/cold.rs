//! Cold pages: verified in turn and paged out again. What a neighbour did to their content shows here.

use super::hand::Hand;
use crate::workload::phase::Stopped;

/// Pages of one step.
const STEP: usize = 16;
/// One step in so many rewrites its pages.
const REWRITE_ONE_IN: u32 = 8;

/// Goes round until the phase is over.
///
/// # Errors
/// When it ended early.
pub fn run(hand: &mut Hand<'_>) -> Result<(), Stopped> {
    let pages = hand.pressure.stage.cold.pages.clone();
    let mut at = pages.start + hand.below(pages.len());
    while !hand.is_over() {
        let step = at..pages.end.min(at + STEP);
        hand.verify(step.clone())?;
        if hand.once_in(REWRITE_ONE_IN) {
            step.clone().for_each(|page| hand.rewrite(page));
        }
        hand.page_out(step.clone())?;
        at = if step.end == pages.end {
            pages.start
        } else {
            step.end
        };
    }
    Ok(())
}
