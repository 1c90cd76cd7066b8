//! The reference model: what pages hold, what they may hold, and what is wrong with one that does not.
//!
//! Pure: it never touches the kernel, so all of it is tested on the host. [`Stamp`] makes and compares
//! content; [`Ledger`] records, for threads that race, who wrote what in private anonymous memory;
//! [`PageState`] and [`Op`] are the legal states and documented transitions of any kind of memory;
//! [`judge`] compares a reading with what is [`Legal`]; [`Mismatch`] says what is wrong, for programs and
//! for people.

mod block;
mod classify;
mod duel;
mod fill;
mod ledger;
mod legal;
mod mismatch;
mod mix;
mod moves;
mod ops;
mod seen;
mod stamp;
mod state;
mod title;

pub use block::{BlockOp, BlockState};
pub use classify::POISON_BYTES;
pub use duel::{Act, OneMove, Side, Unexplained, duel, fill_replied};
pub use fill::{Fill, FillPolicy, RANDOM_WORDS_MAX};
pub use ledger::{After, Before, Destroy, DestroyIntent, Ledger, WriteIntent};
pub use legal::{Held, Legal, Origin, TORN_WINDOW_MAX, Verified, judge, judge_fault};
pub use mismatch::{
    Class, Expected, FLIPPED_BITS_MAX, FLIPPED_PLACES_MAX, Fault, Flips, Lines, Mismatch, Owner, Sample,
};
pub use moves::{ImpossibleReply, MoveReply, Moved, apply_move, moved_pages, replied, settle_move};
pub use ops::{Keep, Op};
pub use seen::Seen;
pub use stamp::{LINE_WORDS, LINES, Line, LineFill, LineId, PAGE_WORDS, Page, Stamp, decode_line, lines};
pub use state::{Armed, Backing, Content, Holds, Name, PageState, Protection};

#[cfg(test)]
mod tests;
