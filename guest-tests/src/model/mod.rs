//! The reference model: what pages hold, what they may hold, and what is wrong with one that does not.
//!
//! Pure: it never touches the kernel, so all of it is tested on the host. [`Stamp`] makes and compares
//! content, [`Ledger`] records who wrote what, [`judge`] compares a reading with what is [`Legal`],
//! and [`Mismatch`] says what is wrong, for programs and for people.

mod classify;
mod fill;
mod ledger;
mod legal;
mod mismatch;
mod mix;
mod seen;
mod stamp;

pub use classify::POISON_BYTES;
pub use fill::{Fill, FillPolicy, RANDOM_WORDS_MAX};
pub use ledger::{Before, Drop, DropIntent, Ledger, WriteIntent};
pub use legal::{Held, Legal, Origin, TORN_WINDOW_MAX, Verified, judge, judge_fault};
pub use mismatch::{
    Class, Expected, FLIPPED_BITS_MAX, FLIPPED_PLACES_MAX, Fault, Flips, Lines, Mismatch, Owner, Sample,
};
pub use seen::Seen;
pub use stamp::{LINE_WORDS, LINES, Line, LineFill, LineId, PAGE_WORDS, Page, Stamp, decode_line, lines};

#[cfg(test)]
mod tests;
