//! What one reading of a page may legally show, and the comparison of a reading with it.

use super::classify::{classify, whose};
use super::fill::FillPolicy;
use super::mismatch::{Class, Expected, Fault, Mismatch, Owner};
use super::stamp::{LINE_WORDS, LINES, Line, Page, Stamp, lines};

/// Where stamps come from: who knows this and a page's generation knows the page's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The boot that writes.
    pub run: u32,
    /// Seed of the fill policy.
    pub seed: u64,
    /// Chooses each generation's compressibility.
    pub policy: FillPolicy,
}

impl Origin {
    /// Returns the stamp of a page's generation.
    #[inline]
    #[must_use]
    pub fn stamp(&self, page: u32, generation: u32) -> Stamp {
        Stamp {
            run: self.run,
            page,
            generation,
            fill: self.policy.fill(self.seed, page, generation),
        }
    }
}

/// The closed set of things that one reading of a page may show. At least one is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Legal {
    /// Oldest generation allowed (where `data`).
    pub from: u32,
    /// Newest generation allowed (where `data`).
    pub to: u32,
    /// Stamps of `from..=to` are allowed.
    pub data: bool,
    /// Zero is allowed.
    pub zero: bool,
    /// A fault is allowed: no page, or past the end of its file.
    pub fault: bool,
    /// Each line, and each word of a line, may show another one of these: something changes, or may have changed, the page
    /// during the reading (or during the copy that made it).
    pub mixed: bool,
    /// A stamp of this generation or an older one, where not allowed, was dropped by a destructive
    /// operation: it is resurrected, not just stale. 0 for none (stamps start at generation 1).
    pub dropped: u32,
}

impl Legal {
    /// Exactly one generation.
    #[must_use]
    pub const fn generation(generation: u32) -> Self {
        Self {
            from: generation,
            to: generation,
            data: true,
            zero: false,
            fault: false,
            mixed: false,
            dropped: 0,
        }
    }

    /// Nothing but zero; stamps up to `dropped` were destroyed.
    #[must_use]
    pub const fn zero(dropped: u32) -> Self {
        Self {
            data: false,
            zero: true,
            dropped,
            ..Self::generation(dropped)
        }
    }

    /// Says it for a mismatch.
    #[must_use]
    pub const fn expected(&self) -> Expected {
        let Self { from, to, .. } = *self;
        match (self.data, self.zero) {
            (true, false) if from == to => Expected::Generation { generation: to },
            (true, true) if from == to => Expected::GenerationOrZero { generation: to },
            (true, or_zero) => Expected::Between { from, to, or_zero },
            (false, true) => Expected::Zero,
            (false, false) => Expected::Missing,
        }
    }
}

/// What a line was found to hold, legally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// A stamp's line of this generation.
    Generation(u32),
    /// Zero.
    Zero,
    /// Words of several generations, or of some and zero: the copy caught a write half-way through the line.
    Torn {
        /// The oldest generation among them (zero counts as none).
        oldest: u32,
    },
}

/// Widest window, in generations, in which a line that was caught half-way is searched for.
pub const TORN_WINDOW_MAX: u32 = 1 << 14;

/// A reading that was legal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// All lines hold the same.
    Whole(Held),
    /// Lines differ, legally.
    Mixed(Box<[Held; LINES]>),
    /// The access faulted, legally.
    Faulted,
    /// So many writes ([`TORN_WINDOW_MAX`]) went by during the reading that a line caught half-way
    /// can't be traced to them: nothing was proved, so this must not be counted as verified.
    Undecided,
}

/// Judges one reading of a page.
///
/// `data` must be a private copy: what is classified has to be what was compared.
///
/// # Errors
/// The mismatch, classified, where the reading is not legal.
pub fn judge(origin: &Origin, page: u32, legal: &Legal, data: &Page) -> Result<Verified, Box<Mismatch>> {
    if legal.data {
        if origin.stamp(page, legal.to).matches(data) {
            return Ok(Verified::Whole(Held::Generation(legal.to)));
        }
        if let Some(between) = whole_between(origin, page, legal, data) {
            return Ok(Verified::Whole(between));
        }
    }
    if legal.zero && data.iter().all(|word| *word == 0) {
        return Ok(Verified::Whole(Held::Zero));
    }
    match mixed(origin, page, legal, data) {
        Some(verified) => Ok(verified),
        None => Err(Box::new(classify(origin, page, legal, data))),
    }
}

/// Judges a fault that came instead of data.
///
/// # Errors
/// A mismatch of class [`Class::Faulted`] where no fault is legal.
pub fn judge_fault(
    origin: &Origin,
    page: u32,
    legal: &Legal,
    fault: Fault,
) -> Result<Verified, Box<Mismatch>> {
    if legal.fault {
        return Ok(Verified::Faulted);
    }
    Err(Box::new(Mismatch {
        page,
        run: origin.run,
        expected: legal.expected(),
        class: Class::Faulted,
        found: Vec::new(),
        fault: Some(fault),
        flips: None,
        behind: None,
        sample: None,
    }))
}

/// Recognises a whole page of a generation older than the newest legal one.
fn whole_between(origin: &Origin, page: u32, legal: &Legal, data: &Page) -> Option<Held> {
    if legal.from == legal.to {
        return None;
    }
    let held = line_held(origin, page, legal, 0, &lines(data)[0])?;
    match held {
        Held::Generation(generation) => origin.stamp(page, generation).matches(data).then_some(held),
        Held::Zero | Held::Torn { .. } => None,
    }
}

fn mixed(origin: &Origin, page: u32, legal: &Legal, data: &Page) -> Option<Verified> {
    if !legal.mixed {
        return None;
    }
    let mut held = Box::new([Held::Zero; LINES]);
    let mut undecided = false;
    for (index, line) in (0u8..).zip(lines(data)) {
        match line_held(origin, page, legal, index, line) {
            Some(what) => held[usize::from(index)] = what,
            None if is_untraceable(origin, page, legal, index, line) => undecided = true,
            None => return None,
        }
    }
    Some(if undecided {
        Verified::Undecided
    } else {
        Verified::Mixed(held)
    })
}

/// Tells whether a line may be of a write half-way that is too far back to be searched for.
fn is_untraceable(origin: &Origin, page: u32, legal: &Legal, index: u8, line: &Line) -> bool {
    legal.data
        && legal.to.saturating_sub(legal.from) >= TORN_WINDOW_MAX
        && match whose(origin, page, legal.to, index, line) {
            Owner::Garbage => true,
            Owner::Stamp {
                run,
                page: of,
                damaged,
                displaced,
                ..
            } => damaged && !displaced && run == origin.run && of == page,
            Owner::Zero | Owner::Poison { .. } => false,
        }
}

/// Traces each word of a line to a legal generation or to zero.
fn torn_held(origin: &Origin, page: u32, legal: &Legal, index: u8, line: &Line) -> Option<Held> {
    let mut unknown: [bool; LINE_WORDS] = line.map(|word| !(legal.zero && word == 0));
    let mut oldest = u32::MAX;
    if legal.data && legal.to.saturating_sub(legal.from) < TORN_WINDOW_MAX {
        for generation in (legal.from..=legal.to).rev() {
            let right = origin.stamp(page, generation).line(index);
            for (at, unknown) in unknown.iter_mut().enumerate() {
                if *unknown && right[at] == line[at] {
                    *unknown = false;
                    oldest = generation;
                }
            }
            if !unknown.contains(&true) {
                return Some(Held::Torn { oldest });
            }
        }
    }
    None
}

/// Tells what a line holds, if that is legal on its own.
pub(super) fn line_held(origin: &Origin, page: u32, legal: &Legal, index: u8, line: &Line) -> Option<Held> {
    match whose(origin, page, legal.to, index, line) {
        Owner::Zero if legal.zero => Some(Held::Zero),
        Owner::Stamp {
            run,
            page: of,
            generation,
            displaced: false,
            damaged: false,
        } if legal.data
            && run == origin.run
            && of == page
            && (legal.from..=legal.to).contains(&generation)
            && origin.stamp(page, generation).line(index) == *line =>
        {
            Some(Held::Generation(generation))
        }
        Owner::Stamp { damaged: true, .. } | Owner::Garbage if legal.mixed => {
            torn_held(origin, page, legal, index, line)
        }
        Owner::Zero | Owner::Stamp { .. } | Owner::Poison { .. } | Owner::Garbage => None,
    }
}
