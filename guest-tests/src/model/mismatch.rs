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

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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
        })
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

/// Most owners that a title names.
const TITLE_OWNERS_MAX: usize = 3;

impl Mismatch {
    /// Says it in one line, for people.
    #[must_use]
    pub fn title(&self) -> String {
        let Self {
            page,
            expected,
            class,
            ..
        } = self;
        let found = match (&self.fault, &self.flips) {
            (Some(fault), _) => fault.to_string(),
            (None, Some(flips)) => self.flips_in_words(flips),
            (None, None) => self.owners_in_words(),
        };
        format!("page {page}: expected {expected}, found {found} ({class})")
    }

    fn flips_in_words(&self, flips: &Flips) -> String {
        let places: Vec<_> = flips
            .places
            .iter()
            .map(|at| format!("{}.{}", at / 8, at % 8))
            .collect();
        let more = if (flips.bits as usize) > places.len() {
            " …"
        } else {
            ""
        };
        let plural = if flips.bits == 1 { "" } else { "s" };
        format!(
            "it with {} bit{plural} flipped at byte.bit {}{more}",
            flips.bits,
            places.join(", ")
        )
    }

    fn owners_in_words(&self) -> String {
        let mut owners: Vec<(Owner, Vec<(u8, u8)>)> = Vec::new();
        for lines in &self.found {
            let span = (lines.from, lines.to);
            match owners.iter_mut().find(|(owner, _)| *owner == lines.owner) {
                Some((_, spans)) => spans.push(span),
                None => owners.push((lines.owner, vec![span])),
            }
        }
        let said: Vec<_> = owners
            .iter()
            .take(TITLE_OWNERS_MAX)
            .map(|(owner, spans)| format!("{} in {}", self.owner_in_words(*owner), spans_in_words(spans)))
            .collect();
        let more = owners.len().saturating_sub(TITLE_OWNERS_MAX);
        let more = if more > 0 {
            format!(", and {more} more owners")
        } else {
            String::new()
        };
        format!("{}{more}", said.join(", "))
    }

    fn owner_in_words(&self, owner: Owner) -> String {
        match owner {
            Owner::Stamp {
                run,
                page,
                generation,
                displaced,
                damaged,
            } => {
                let mut words = format!("generation {generation}");
                if page != self.page {
                    words += &format!(" of page {page}");
                }
                if run != self.run {
                    words += &format!(" of run {run}");
                }
                if displaced {
                    words += " from other lines";
                }
                if damaged {
                    words += ", damaged,";
                }
                words
            }
            Owner::Zero => "zero".to_owned(),
            Owner::Poison { byte } => format!("poison {byte:#04x}"),
            Owner::Garbage => "garbage".to_owned(),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

/// Names runs of lines: `all 64 lines`, `line 7`, `lines 0-31, 40`, at most three runs.
fn spans_in_words(spans: &[(u8, u8)]) -> String {
    const SPANS_MAX: usize = 3;
    let count: usize = spans.iter().map(|(from, to)| usize::from(to - from) + 1).sum();
    if count == super::stamp::LINES {
        return "all 64 lines".to_owned();
    }
    if spans.len() > SPANS_MAX {
        return format!("{count} lines");
    }
    let said: Vec<_> = spans
        .iter()
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    format!("line{} {}", if count == 1 { "" } else { "s" }, said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(page: u32, generation: u32) -> Owner {
        Owner::Stamp {
            run: 1,
            page,
            generation,
            displaced: false,
            damaged: false,
        }
    }

    fn mismatch(class: Class, found: Vec<Lines>) -> Mismatch {
        let expected = Expected::Generation { generation: 12 };
        Mismatch {
            page: 17,
            run: 1,
            expected,
            class,
            found,
            fault: None,
            flips: None,
            behind: None,
            sample: None,
        }
    }

    #[test]
    fn titles_read_as_sentences() {
        let foreign = mismatch(
            Class::Foreign,
            vec![Lines {
                from: 0,
                to: 63,
                owner: stamp(403, 9),
            }],
        );
        assert_eq!(
            foreign.title(),
            "page 17: expected generation 12, found generation 9 of page 403 in all 64 lines (foreign)"
        );
        let torn = mismatch(
            Class::Torn,
            vec![
                Lines {
                    from: 0,
                    to: 30,
                    owner: stamp(17, 12),
                },
                Lines {
                    from: 31,
                    to: 31,
                    owner: stamp(17, 11),
                },
                Lines {
                    from: 32,
                    to: 63,
                    owner: stamp(17, 12),
                },
            ],
        );
        assert_eq!(
            torn.title(),
            "page 17: expected generation 12, found generation 12 in lines 0-30, 32-63, generation 11 in line 31 (torn)"
        );
        let flips = Flips {
            bits: 2,
            places: vec![0, 4095 * 8 + 7],
        };
        let flipped = Mismatch {
            flips: Some(flips),
            ..mismatch(Class::Flipped, vec![])
        };
        assert_eq!(
            flipped.title(),
            "page 17: expected generation 12, found it with 2 bits flipped at byte.bit 0.0, 4095.7 (flipped)"
        );
        let faulted = Mismatch {
            fault: Some(Fault::Sigbus),
            ..mismatch(Class::Faulted, vec![])
        };
        assert_eq!(
            faulted.title(),
            "page 17: expected generation 12, found SIGBUS (faulted)"
        );
    }

    #[test]
    fn a_title_stays_short_whatever_the_page_holds() {
        let found = (0..64)
            .map(|at| Lines {
                from: at,
                to: at,
                owner: stamp(u32::from(at), 9),
            })
            .collect();
        let title = mismatch(Class::Foreign, found).title();
        assert!(title.ends_with("and 61 more owners (foreign)"), "{title}");
        assert!(title.len() < 250, "{title}");
    }

    #[test]
    fn json_names_stay_as_they_are() {
        let found = vec![Lines {
            from: 0,
            to: 63,
            owner: stamp(403, 9),
        }];
        let json = serde_json::to_string(&mismatch(Class::Foreign, found)).unwrap();
        assert_eq!(
            json,
            r#"{"page":17,"run":1,"expected":{"must":"generation","generation":12},"class":"foreign","found":[{"from":0,"to":63,"owner":"stamp","run":1,"page":403,"generation":9,"displaced":false,"damaged":false}]}"#
        );
        let back: Mismatch = serde_json::from_str(&json).unwrap();
        assert_eq!(back.class, Class::Foreign);
        assert_eq!(back.found[0].owner, stamp(403, 9));
    }
}
