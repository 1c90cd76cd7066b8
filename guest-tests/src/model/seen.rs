//! What one reader has seen of each line, so that a page that goes back in time is noticed even
//! where the ledger's window alone would allow it.

use super::classify::classify;
use super::ledger::{Before, Ledger};
use super::legal::{Held, Legal, Verified};
use super::mismatch::{Expected, Mismatch};
use super::stamp::{LINES, Page};
use std::collections::BTreeMap;

/// A line's place in time: 2 × generation for a stamp, one more for the zero that came after it.
type Rank = u64;

/// The memory of one reader (one thread): 8 bytes a page, and 512 more for a page whose lines differ.
#[derive(Debug, Clone)]
pub struct Seen {
    first_page: u32,
    floors: Box<[Rank]>,
    lines: BTreeMap<u32, Box<[Rank; LINES]>>,
}

impl Seen {
    /// Starts a reader that has seen nothing of a ledger's pages.
    #[must_use]
    pub fn new(ledger: &Ledger) -> Self {
        let pages = ledger.pages();
        Self {
            first_page: pages.start,
            floors: vec![0; pages.len()].into(),
            lines: BTreeMap::new(),
        }
    }

    fn floor(&self, page: u32, line: usize) -> Rank {
        let whole = self.floors[(page - self.first_page) as usize];
        self.lines
            .get(&page)
            .map_or(whole, |lines| lines[line].max(whole))
    }

    /// Returns the first line that shows less than before, with what it had shown, or remembers all.
    fn observe(
        &mut self,
        page: u32,
        held: &[Held; LINES],
        before: Before,
        dropped: u32,
    ) -> Option<(u8, Rank)> {
        let zero_newest = 2 * Rank::from(dropped) + 1;
        let newest = |held: Held| match held {
            Held::Generation(generation) | Held::Torn { oldest: generation } => 2 * Rank::from(generation),
            Held::Zero => zero_newest,
        };
        let back = (0..LINES).find(|&line| newest(held[line]) < self.floor(page, line));
        if let Some(line) = back {
            return Some((line as u8, self.floor(page, line)));
        }
        let zero_oldest = zero_newest.min(2 * Rank::from(before.generation()) + 1);
        let oldest = |held: Held| match held {
            Held::Generation(generation) => 2 * Rank::from(generation),
            Held::Torn { oldest } => zero_oldest.min(2 * Rank::from(oldest)),
            Held::Zero => zero_oldest,
        };
        let ranks: Box<[Rank; LINES]> = Box::new(std::array::from_fn(|line| {
            oldest(held[line]).max(self.floor(page, line))
        }));
        let least = ranks.iter().copied().min().unwrap_or(0);
        self.floors[(page - self.first_page) as usize] = least;
        if ranks.iter().all(|rank| *rank == least) {
            self.lines.remove(&page);
        } else {
            self.lines.insert(page, ranks);
        }
        None
    }
}

impl Ledger {
    /// Judges a copy as [`Ledger::check`] does, and against what this reader has seen before.
    ///
    /// # Errors
    /// The classified mismatch; where only the reader's memory tells it, what was expected is
    /// [`Expected::NotBefore`].
    pub fn check_seen(
        &self,
        page: u32,
        before: Before,
        data: &Page,
        seen: &mut Seen,
    ) -> Result<Verified, Box<Mismatch>> {
        let legal = self.legal_since(page, before);
        let verified = super::legal::judge(self.origin(), page, &legal, data)?;
        let back = match &verified {
            Verified::Whole(held) => seen.observe(page, &[*held; LINES], before, legal.dropped),
            Verified::Mixed(held) => seen.observe(page, held, before, legal.dropped),
            Verified::Faulted | Verified::Undecided => None,
        };
        let Some((line, floor)) = back else {
            return Ok(verified);
        };
        let from = u32::try_from(floor.div_ceil(2)).unwrap_or(u32::MAX);
        let raised = Legal {
            from,
            to: legal.to.max(from),
            zero: legal.zero && 2 * Rank::from(legal.dropped) + 1 >= floor,
            data: legal.data,
            dropped: if floor % 2 == 1 { from - 1 } else { legal.dropped },
            ..legal
        };
        let expected = Expected::NotBefore {
            line,
            from,
            to: raised.to,
        };
        Err(Box::new(Mismatch {
            expected,
            ..classify(self.origin(), page, &raised, data)
        }))
    }
}
