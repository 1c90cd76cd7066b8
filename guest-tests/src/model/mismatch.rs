//! The words for a page that holds what it must not hold, for programs and for people.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What went wrong with a page, told from its content alone.
///
/// A line is *right* if it holds what some legal state of the page has there. The classes are tried
/// in the order Faulted, Flipped, Foreign/Spliced, Resurrected, Stale/Torn, Zeroed, Poison, Garbage;
/// the first that fits is given, so a page with several kinds of wrong lines gets the most telling one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// All 64 lines hold one older generation of the same page: an update was lost.
    Stale,
    /// All 64 lines hold valid stamps that were never this page's at any time: of another page or
    /// run, or a generation newer than any published (a copy that sees its source's later writes).
    Foreign,
    /// Lines of two or more generations of this page though no write was in flight, or of a
    /// generation outside the window of the writes that were.
    Torn,
    /// Lines of this page beside lines of another one, or this page's lines in wrong places.
    Spliced,
    /// Every wrong line is zero where data must be.
    Zeroed,
    /// Data where zero or nothing was required, or of a generation that a destructive operation
    /// (DONTNEED, FREE, punch …) had dropped.
    Resurrected,
    /// At most [`FLIPPED_BITS_MAX`] bits differ from a legal content.
    Flipped,
    /// Every wrong line is one of the kernel's poison bytes repeated: freed memory shows through.
    Poison,
    /// None of these.
    Garbage,
    /// A fault (SIGBUS, SIGSEGV, or an error from a system call's copy) instead of data.
    Faulted,
}

impl Class {
    /// The class's word, as findings and expectations spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Foreign => "foreign",
            Self::Torn => "torn",
            Self::Spliced => "spliced",
            Self::Zeroed => "zeroed",
            Self::Resurrected => "resurrected",
            Self::Flipped => "flipped",
            Self::Poison => "poison",
            Self::Garbage => "garbage",
            Self::Faulted => "faulted",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Most differing bits of a page that are still told as flipped, not overwritten.
pub const FLIPPED_BITS_MAX: u32 = 16;
/// Most places of flipped bits that are listed.
pub const FLIPPED_PLACES_MAX: usize = 8;

/// What the page must have held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "must", rename_all = "snake_case")]
pub enum Expected {
    /// Exactly one generation.
    Generation {
        /// Which.
        generation: u32,
    },
    /// Any generation of a window, line by line, since a write was in flight.
    Between {
        /// Committed before the read.
        from: u32,
        /// Published after the read.
        to: u32,
        /// Whether zero was legal as well.
        or_zero: bool,
    },
    /// Nothing older than this reader had seen of a line before.
    NotBefore {
        /// Which line gives it away.
        line: u8,
        /// The oldest generation that line may show.
        from: u32,
        /// Published after the read.
        to: u32,
    },
    /// Zero.
    Zero,
    /// One generation or zero, as a whole page (lazily freed).
    GenerationOrZero {
        /// Which.
        generation: u32,
    },
    /// No page at all: an access must fault.
    Missing,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generation { generation } => write!(f, "generation {generation}"),
            Self::Between { from, to, or_zero } => {
                write!(
                    f,
                    "generations {from} to {to}{}",
                    if *or_zero { " or zero" } else { "" }
                )
            }
            Self::NotBefore { line, from, to } => {
                write!(
                    f,
                    "generations {from} to {to} (from what line {line} had shown before)"
                )
            }
            Self::Zero => f.write_str("zero"),
            Self::GenerationOrZero { generation } => write!(f, "generation {generation} or zero"),
            Self::Missing => f.write_str("no page"),
        }
    }
}

/// Whose a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "owner", rename_all = "snake_case")]
pub enum Owner {
    /// A stamp's.
    Stamp {
        /// The boot that wrote it.
        run: u32,
        /// The page it was written for.
        page: u32,
        /// That page's generation.
        generation: u32,
        /// The line stands elsewhere than it was written for.
        displaced: bool,
        /// Some payload words are not the stamp's.
        damaged: bool,
    },
    /// All zero.
    Zero,
    /// One of the kernel's poison bytes, repeated.
    Poison {
        /// Which.
        byte: u8,
    },
    /// Unrecognised.
    Garbage,
}

/// A run of neighbouring lines with the same owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// First line.
    pub from: u8,
    /// Last line, inclusive.
    pub to: u8,
    /// Whose they are.
    #[serde(flatten)]
    pub owner: Owner,
}

/// Bits that differ from the nearest legal content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flips {
    /// How many.
    pub bits: u32,
    /// Where the first [`FLIPPED_PLACES_MAX`] are, in bits from the page's start (byte × 8 + bit).
    pub places: Vec<u16>,
}

/// The fault that came instead of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGBUS.
    Sigbus,
    /// SIGSEGV.
    Sigsegv,
    /// EFAULT or EIO of a system call that copied the page.
    Errno,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sigbus => "SIGBUS",
            Self::Sigsegv => "SIGSEGV",
            Self::Errno => "an I/O or address error",
        })
    }
}

/// A page that holds what it must not hold. Bounded: at most 64 runs of lines, a few KiB as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The page.
    pub page: u32,
    /// The boot that owns it.
    pub run: u32,
    /// What it must have held.
    pub expected: Expected,
    /// What went wrong.
    pub class: Class,
    /// Whose its lines are, in order; empty where a fault came instead of data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Lines>,
    /// The fault that came instead of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The flipped bits ([`Class::Flipped`] only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flips: Option<Flips>,
    /// How many generations the oldest line of this page is behind the oldest legal one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u32>,
    /// The first wrong line as it was read: 64 bytes in hexadecimal, in memory order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// Raw bytes of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Which line.
    pub line: u8,
    /// Its bytes in hexadecimal, in memory order.
    pub hex: String,
}
