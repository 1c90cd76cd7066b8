//! Names what is wrong with a page: only called once a comparison has failed, so clarity before speed.

use super::legal::{Legal, Origin, line_held};
use super::mismatch::{Class, FLIPPED_BITS_MAX, FLIPPED_PLACES_MAX, Flips, Lines, Mismatch, Owner, Sample};
use super::stamp::{LINE_WORDS, LINES, Line, Page, decode_line, lines};

/// Bytes that the kernel fills memory with to show its misuse (include/linux/poison.h): poisoned
/// pages, slab red zones (inactive, active), slab objects in use, freed, and their last byte.
pub const POISON_BYTES: [u8; 6] = [0xaa, 0xbb, 0xcc, 0x5a, 0x6b, 0xa5];
/// The byte that ends a poisoned slab object, whatever the rest is filled with.
const POISON_END: u8 = 0xa5;
/// How many generations before the window a damaged line's words are looked for.
const TORN_LINE_GENERATIONS: u32 = 8;
/// How many generations of a window are compared for flipped bits.
const FLIP_GENERATIONS: u32 = 8;

/// Tells whose a line is, as seen from page `page` whose newest generation is `near`.
pub(super) fn whose(origin: &Origin, page: u32, near: u32, index: u8, line: &Line) -> Owner {
    if line.iter().all(|word| *word == 0) {
        return Owner::Zero;
    }
    if let Some(byte) = poison(line) {
        return Owner::Poison { byte };
    }
    decode_line(line).map_or(Owner::Garbage, |id| {
        let id = id.completed(origin.run, page, near);
        Owner::Stamp {
            run: id.run,
            page: id.page,
            generation: id.generation,
            displaced: id.line.is_some_and(|line| line != index),
            damaged: id.wrong_words > 0,
        }
    })
}

fn poison(line: &Line) -> Option<u8> {
    let first = line[0].to_ne_bytes()[0];
    let bytes = line.iter().flat_map(|word| word.to_ne_bytes());
    let last = LINE_WORDS * 8 - 1;
    (POISON_BYTES.contains(&first)
        && bytes
            .enumerate()
            .all(|(at, byte)| byte == first || (at == last && byte == POISON_END)))
    .then_some(first)
}

/// Classifies a reading that is not legal.
pub(super) fn classify(origin: &Origin, page: u32, legal: &Legal, data: &Page) -> Mismatch {
    let survey = Survey::of(origin, page, legal, data);
    let flips = survey.flips();
    let class = if flips.is_some() {
        Class::Flipped
    } else {
        survey.class()
    };
    let first_wrong = (0..LINES).find(|&at| !survey.right[at]).unwrap_or(0);
    Mismatch {
        page,
        run: origin.run,
        expected: legal.expected(),
        class,
        found: survey.runs(),
        fault: None,
        flips,
        behind: survey.behind(),
        sample: Some(sample(first_wrong, &lines(data)[first_wrong])),
    }
}

fn sample(index: usize, line: &Line) -> Sample {
    let hex = line
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Sample {
        line: index as u8,
        hex,
    }
}

/// Line by line: whose it is and whether it is right there.
struct Survey<'a> {
    origin: &'a Origin,
    page: u32,
    legal: &'a Legal,
    lines: &'a [Line; LINES],
    owners: [Owner; LINES],
    right: [bool; LINES],
}

/// What a wrong line shows, from this page's point of view.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Foreign,
    Displaced,
    Dropped,
    /// Of a generation of this page that is not legal (any more).
    Own(u32),
    /// Parts of two generations of this page in one line.
    TornLine,
    Zero,
    Poison,
    Garbage,
}

impl<'a> Survey<'a> {
    fn of(origin: &'a Origin, page: u32, legal: &'a Legal, data: &'a Page) -> Self {
        let lines = lines(data);
        let mut survey = Self {
            origin,
            page,
            legal,
            lines,
            owners: [Owner::Garbage; LINES],
            right: [false; LINES],
        };
        for (index, line) in (0u8..).zip(lines) {
            let at = usize::from(index);
            survey.owners[at] = whose(origin, page, legal.to, index, line);
            survey.right[at] = line_held(origin, page, legal, index, line).is_some();
        }
        survey
    }

    fn wrong(&self, at: usize) -> Wrong {
        match self.owners[at] {
            Owner::Stamp { run, page, .. } if run != self.origin.run || page != self.page => Wrong::Foreign,
            Owner::Stamp { generation, .. } if generation > self.legal.to => Wrong::Foreign,
            Owner::Stamp { displaced: true, .. } => Wrong::Displaced,
            Owner::Stamp { damaged: true, .. } if self.is_torn_line(at) => Wrong::TornLine,
            Owner::Stamp { damaged: true, .. } | Owner::Garbage => Wrong::Garbage,
            Owner::Stamp { generation, .. } => {
                let dropped = generation <= self.legal.dropped && self.legal.dropped < self.legal.from;
                if !self.legal.data || dropped {
                    Wrong::Dropped
                } else {
                    Wrong::Own(generation)
                }
            }
            Owner::Zero if self.legal.fault && !self.legal.data && !self.legal.zero => Wrong::Dropped,
            Owner::Zero => Wrong::Zero,
            Owner::Poison { .. } => Wrong::Poison,
        }
    }

    fn class(&self) -> Class {
        let wrong: Vec<Wrong> = (0..LINES)
            .filter(|&at| !self.right[at])
            .map(|at| self.wrong(at))
            .collect();
        let any = |what: Wrong| wrong.contains(&what);
        let only = |what: &[Wrong]| wrong.iter().all(|wrong| what.contains(wrong));
        let own = wrong.iter().any(|wrong| matches!(wrong, Wrong::Own(_)));
        if any(Wrong::Foreign) || any(Wrong::Displaced) {
            if wrong.len() == LINES && only(&[Wrong::Foreign]) {
                Class::Foreign
            } else {
                Class::Spliced
            }
        } else if any(Wrong::Dropped) {
            Class::Resurrected
        } else if wrong.is_empty() || any(Wrong::TornLine) || own {
            let stale = wrong.len() == LINES && own && only(&wrong[..1]);
            if stale { Class::Stale } else { Class::Torn }
        } else if only(&[Wrong::Zero]) {
            Class::Zeroed
        } else if only(&[Wrong::Zero, Wrong::Poison]) {
            Class::Poison
        } else {
            Class::Garbage
        }
    }

    /// Tells whether a damaged line of this page is made of words of several of its generations.
    fn is_torn_line(&self, at: usize) -> bool {
        let index = at as u8;
        let oldest = self.legal.from.saturating_sub(TORN_LINE_GENERATIONS);
        let own = match self.owners[at] {
            Owner::Stamp { generation, .. } => generation,
            Owner::Zero | Owner::Poison { .. } | Owner::Garbage => return false,
        };
        let newest = self.legal.to;
        let window = (oldest..=newest).rev().take(2 * TORN_LINE_GENERATIONS as usize);
        let rights: Vec<Line> = std::iter::once(own)
            .chain(window)
            .map(|generation| self.origin.stamp(self.page, generation).line(index))
            .collect();
        (0..LINE_WORDS).all(|word| rights.iter().any(|right| right[word] == self.lines[at][word]))
    }

    /// Lists the bits that differ from the nearest legal content, if they are few and no wrong line
    /// is recognised as something else.
    fn flips(&self) -> Option<Flips> {
        let legal = self.legal;
        let recognised = |owner| match owner {
            Owner::Stamp { damaged, .. } => !damaged,
            Owner::Zero | Owner::Poison { .. } => true,
            Owner::Garbage => false,
        };
        let wrong_ones = (0..LINES).filter(|&at| !self.right[at]);
        if wrong_ones.clone().count() == 0 || wrong_ones.clone().any(|at| recognised(self.owners[at])) {
            return None;
        }
        let oldest = legal.from.max(legal.to.saturating_sub(FLIP_GENERATIONS - 1));
        let generations = if legal.data {
            (oldest..=legal.to).rev().map(Some).collect()
        } else {
            Vec::new()
        };
        let candidates: Vec<_> = generations
            .into_iter()
            .chain(legal.zero.then_some(None))
            .collect();
        let mut flips = Flips {
            bits: 0,
            places: Vec::new(),
        };
        for at in wrong_ones {
            let rights: Vec<Line> = candidates
                .iter()
                .map(|candidate| self.right_line(*candidate, at))
                .collect();
            let differ = nearest(&self.lines[at], &rights, legal.mixed)?;
            flips.bits += ones(&differ);
            if flips.bits > FLIPPED_BITS_MAX {
                return None;
            }
            flips.places.extend(places(at, &differ));
        }
        flips.places.truncate(FLIPPED_PLACES_MAX);
        Some(flips)
    }

    /// What a line holds in a generation, or in a page of zeros.
    fn right_line(&self, generation: Option<u32>, at: usize) -> Line {
        generation.map_or([0; LINE_WORDS], |generation| {
            self.origin.stamp(self.page, generation).line(at as u8)
        })
    }

    /// Joins neighbouring lines of the same owner.
    fn runs(&self) -> Vec<Lines> {
        let mut runs: Vec<Lines> = Vec::new();
        for (at, owner) in (0u8..).zip(self.owners) {
            match runs.last_mut() {
                Some(run) if run.owner == owner => run.to = at,
                _ => runs.push(Lines {
                    from: at,
                    to: at,
                    owner,
                }),
            }
        }
        runs
    }

    fn behind(&self) -> Option<u32> {
        let oldest = self.owners.iter().filter_map(|owner| match owner {
            Owner::Stamp {
                run,
                page,
                generation,
                ..
            } => (*run == self.origin.run && *page == self.page).then_some(*generation),
            Owner::Zero | Owner::Poison { .. } | Owner::Garbage => None,
        });
        oldest
            .min()
            .and_then(|oldest| self.legal.from.checked_sub(oldest))
            .filter(|&behind| behind > 0)
    }
}

fn ones(line: &Line) -> u32 {
    line.iter().map(|word| word.count_ones()).sum()
}

/// Returns how a line differs from the nearest of several right ones, as a whole or word by word.
fn nearest(found: &Line, rights: &[Line], by_word: bool) -> Option<Line> {
    let differ = |right: &Line| -> Line { std::array::from_fn(|word| right[word] ^ found[word]) };
    let whole = rights.iter().map(differ).min_by_key(ones)?;
    if !by_word {
        return Some(whole);
    }
    let word = |at: usize| {
        rights
            .iter()
            .map(|right| right[at] ^ found[at])
            .min_by_key(|word| word.count_ones())
    };
    Some(std::array::from_fn(|at| word(at).unwrap_or(whole[at])))
}

/// Places of a line's differing bits, in bits from the page's start in memory order.
fn places(line: usize, differ: &Line) -> impl Iterator<Item = u16> {
    let bytes = differ.iter().flat_map(|word| word.to_ne_bytes()).enumerate();
    let of_byte = move |(byte, differ): (usize, u8)| {
        (0..8)
            .filter(move |bit| differ >> bit & 1 == 1)
            .map(move |bit| (line * LINE_WORDS * 8 + byte) * 8 + bit)
    };
    bytes
        .flat_map(of_byte)
        .map(|at| at as u16)
        .collect::<Vec<_>>()
        .into_iter()
}
