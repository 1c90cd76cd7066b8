//! Property tests of the model as a whole, and a deliberate lie for every class of mismatch.

mod duels;
mod lies;
mod stamps;
mod transitions;
mod windows;

use super::*;
use proptest::prelude::*;

/// Writes a stamp on a page of its own.
fn stamped(stamp: Stamp) -> Box<Page> {
    let mut page = Box::new([0x5555_5555_5555_5555; PAGE_WORDS]);
    stamp.write(&mut page);
    page
}

/// Copies lines of one page over those of another.
fn splice(to: &mut Page, from: &Page, which: std::ops::Range<usize>) {
    let words = which.start * LINE_WORDS..which.end * LINE_WORDS;
    to[words.clone()].copy_from_slice(&from[words]);
}

fn fills() -> impl Strategy<Value = Fill> {
    prop_oneof![
        1 => Just(Fill::Same),
        1 => (0u8..64).prop_map(|line| Fill::Lone { line }),
        6 => (0..=RANDOM_WORDS_MAX).prop_map(|words| Fill::Random { words }),
        1 => Just(Fill::INCOMPRESSIBLE),
    ]
}

fn stamps() -> impl Strategy<Value = Stamp> {
    (any::<u32>(), any::<u32>(), any::<u32>(), fills()).prop_map(|(run, page, generation, fill)| Stamp {
        run,
        page,
        generation,
        fill,
    })
}
