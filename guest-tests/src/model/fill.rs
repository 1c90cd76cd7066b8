//! How compressible a page's stamp is, and which generation gets which compressibility.
//!
//! Sizes under lzo and lz4 follow `words` almost linearly: about 0.8 KB for none, 8 bytes for each
//! random word, more than a page for all of them.

use super::mix::{STEP, mix};
use serde::{Deserialize, Serialize};

/// Most random words that [`Fill::Random`] can ask for: seven in each of the 64 lines (the eighth is the tag).
pub const RANDOM_WORDS_MAX: u16 = 448;

/// Compressibility of one page's stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// One 64-bit word, repeated: what zram and older zswap keep without compressing.
    Same,
    /// The same, but for one line: what must not be taken for it.
    Lone {
        /// Which one, 0 to 63.
        line: u8,
    },
    /// `words` incompressible words beside the 64 tags, the rest a pattern that repeats every line.
    Random {
        /// How many, 0 to [`RANDOM_WORDS_MAX`] (more counts as that).
        words: u16,
    },
}

impl Fill {
    /// Compresses to less than a quarter of a page.
    pub const SMALL: Self = Self::Random { words: 0 };
    /// Compresses to about half a page.
    pub const MEDIUM: Self = Self::Random { words: 160 };
    /// Does not compress at all.
    pub const INCOMPRESSIBLE: Self = Self::Random {
        words: RANDOM_WORDS_MAX,
    };

    /// How many of a line's payload words are random, 0 to 7: the words are dealt evenly, the
    /// first lines take what is left over.
    #[inline]
    pub(super) fn random_words_of(self, line: u8) -> u8 {
        let Self::Random { words } = self else { return 0 };
        let words = words.min(RANDOM_WORDS_MAX);
        let each = (words / 64) as u8;
        each + u8::from(u16::from(line) < words % 64)
    }
}

/// Chooses the fill of each generation of each page: a pure function, so that whoever knows the
/// generation knows the whole page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillPolicy {
    /// The same fill always.
    Fixed(Fill),
    /// Two fills by turns: what makes a page that is rewritten outgrow its compressed object.
    Alternate {
        /// Of even generations.
        even: Fill,
        /// Of odd generations.
        odd: Fill,
    },
    /// A draw for each generation, random words evenly from a range: what fills zspages of several
    /// size classes at once.
    Spread {
        /// Fewest.
        from: u16,
        /// Most.
        to: u16,
    },
    /// A draw for each generation: 1 in 8 same-filled (a half of them but for one line), 2 in 8 small, 2 in 8 medium, 2 in 8 around
    /// zram's huge limit (where an object takes a page of its own), 1 in 8 incompressible.
    Mixed,
}

impl FillPolicy {
    /// Returns the fill of a page's generation.
    #[inline]
    #[must_use]
    pub fn fill(self, seed: u64, page: u32, generation: u32) -> Fill {
        match self {
            Self::Fixed(fill) => fill,
            Self::Alternate { even, odd } => [even, odd][(generation & 1) as usize],
            Self::Spread { from, to } => within(random(seed, page, generation), from.min(to), to),
            Self::Mixed => draw(random(seed, page, generation)),
        }
    }
}

/// The random word of a page's generation.
fn random(seed: u64, page: u32, generation: u32) -> u64 {
    mix(mix(seed.wrapping_add(STEP)) ^ (u64::from(page) << 32 | u64::from(generation)))
}

/// Draws a number of random words from a range by the high bits of a random word.
fn within(random: u64, from: u16, to: u16) -> Fill {
    let span = u64::from(to - from) + 1;
    Fill::Random {
        words: from + (((random >> 48) * span) >> 16) as u16,
    }
}

/// Turns a random word into a fill, with the weights of [`FillPolicy::Mixed`].
fn draw(random: u64) -> Fill {
    let within = |from, to| within(random, from, to);
    match random % 8 {
        0 if random >> 63 == 0 => Fill::Same,
        0 => Fill::Lone {
            line: (random >> 32) as u8 % 64,
        },
        1 | 2 => within(0, 63),
        3 | 4 => within(64, 255),
        5 | 6 => within(288, 372),
        _ => Fill::INCOMPRESSIBLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_share_the_random_words_exactly() {
        for words in 0..=RANDOM_WORDS_MAX {
            let dealt: u16 = (0..64)
                .map(|line| u16::from(Fill::Random { words }.random_words_of(line)))
                .sum();
            assert_eq!(dealt, words);
        }
        assert_eq!(Fill::Random { words: u16::MAX }.random_words_of(63), 7);
    }

    #[test]
    fn a_mixed_policy_draws_every_class_at_its_weight() {
        let mut seen = [0u32; 5];
        for page in 0..64 {
            for generation in 0..256 {
                let class = match FillPolicy::Mixed.fill(7, page, generation) {
                    Fill::Same | Fill::Lone { .. } => 0,
                    Fill::Random { words: 0..=63 } => 1,
                    Fill::Random { words: 64..=255 } => 2,
                    Fill::Random { words: 288..=372 } => 3,
                    Fill::INCOMPRESSIBLE => 4,
                    Fill::Random { words } => panic!("{words} words are of no class"),
                };
                seen[class] += 1;
            }
        }
        for (class, eighths) in [1, 2, 2, 2, 1].into_iter().enumerate() {
            let expected = 64 * 256 / 8 * eighths;
            assert!(
                seen[class].abs_diff(expected) < expected / 8,
                "class {class}: {} of {expected}",
                seen[class]
            );
        }
    }

    #[test]
    fn a_spread_reaches_both_ends_and_nothing_beyond() {
        let spread = FillPolicy::Spread { from: 100, to: 107 };
        let mut seen = [0u32; 8];
        for generation in 0..4096 {
            match spread.fill(7, 3, generation) {
                Fill::Random { words } => seen[usize::from(words) - 100] += 1,
                Fill::Same | Fill::Lone { .. } => panic!("a spread is never same-filled"),
            }
        }
        assert!(seen.iter().all(|&n| n.abs_diff(512) < 128), "{seen:?}");
        let single = FillPolicy::Spread { from: 9, to: 9 };
        assert_eq!(single.fill(1, 2, 3), Fill::Random { words: 9 });
    }

    #[test]
    fn the_seed_matters_and_nothing_else_does() {
        let fills = |seed| {
            (0..64)
                .map(|g| FillPolicy::Mixed.fill(seed, 3, g))
                .collect::<Vec<_>>()
        };
        assert_eq!(fills(1), fills(1));
        assert_ne!(fills(1), fills(2));
    }
}
