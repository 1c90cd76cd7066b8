//! Stamps: what a page holds, so that any wrong line says whose it is.
//!
//! A page is 64 lines of 8 words. Of a line with fill [`Fill::Random`]:
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | run and page, mixed; the same in all lines, unless all 7 payload words are random: then hidden under the tag |
//! | 1 | the tag: generation (32 bits), line (6), random words (3), check (23), mixed: different in every line |
//! | 2–7 | payload: the first ones random, the others a pattern that repeats every line, all derived from the identity |
//!
//! [`decode_line`] needs the check and at least one right payload word: 87 check bits.
//!
//! A page with [`Fill::Same`] has room for one word only, mixed: the low bits of run (4), page (20) and
//! generation (16), and 24 check bits; the eight equal words of a line check it further. Generations of it
//! that are 65,536 apart look the same. A page with [`Fill::Lone`] is like that, but for one line that is
//! a line of [`Fill::SMALL`].

use super::fill::Fill;
use super::mix::{STEP, mix, unmix};
use serde::{Deserialize, Serialize};

/// Words of a page.
pub const PAGE_WORDS: usize = 512;
/// Lines of a page.
pub const LINES: usize = 64;
/// Words of a line.
pub const LINE_WORDS: usize = 8;

/// A page's content.
pub type Page = [u64; PAGE_WORDS];
/// A line's content.
pub type Line = [u64; LINE_WORDS];

const KEY_ID: u64 = 0x5bf0_3635_8cd1_7a4b;
const KEY_TAG: u64 = 0xc2a9_1de6_7034_f859;
const KEY_HIDE: u64 = 0x3c79_ac49_2ba7_b653;
const KEY_SAME: u64 = 0x1f83_d9ab_fb41_bd6b;
const CHECK_BITS: u32 = 23;
const SAME_CHECK_BITS: u32 = 24;

/// What a page is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The boot that wrote it.
    pub run: u32,
    /// The page.
    pub page: u32,
    /// How often the page's content had changed by then.
    pub generation: u32,
    /// How compressible it is.
    pub fill: Fill,
}

impl Stamp {
    /// Writes the stamp.
    pub fn write(&self, to: &mut Page) {
        match self.fill {
            Fill::Same => to.fill(self.same_word()),
            Fill::Random { .. } => {
                let base = Base::of(self.run, self.page, self.generation);
                for (index, to) in (0u8..).zip(to.as_chunks_mut::<LINE_WORDS>().0) {
                    *to = base.line(index, self.fill.random_words_of(index));
                }
            }
            Fill::Lone { line } => {
                to.fill(self.same_word());
                to.as_chunks_mut::<LINE_WORDS>().0[usize::from(line) % LINES] = self.line(line);
            }
        }
    }

    /// Tells whether a page holds exactly this stamp.
    #[must_use]
    pub fn matches(&self, page: &Page) -> bool {
        match self.fill {
            Fill::Same => {
                let word = self.same_word();
                lines(page)
                    .iter()
                    .all(|line| line.iter().fold(0, |differ, found| differ | (found ^ word)) == 0)
            }
            Fill::Random { .. } => {
                let base = Base::of(self.run, self.page, self.generation);
                (0u8..).zip(lines(page)).all(|(index, found)| {
                    let right = base.line(index, self.fill.random_words_of(index));
                    (0..LINE_WORDS).fold(0, |differ, at| differ | (found[at] ^ right[at])) == 0
                })
            }
            Fill::Lone { .. } => {
                let mut right = [0; PAGE_WORDS];
                self.write(&mut right);
                right == *page
            }
        }
    }

    /// Returns one line of the stamp.
    #[must_use]
    pub fn line(&self, index: u8) -> Line {
        match self.fill {
            Fill::Lone { line } if usize::from(line) % LINES != usize::from(index) => {
                [self.same_word(); LINE_WORDS]
            }
            Fill::Same => [self.same_word(); LINE_WORDS],
            Fill::Random { .. } | Fill::Lone { .. } => {
                Base::of(self.run, self.page, self.generation).line(index, self.fill.random_words_of(index))
            }
        }
    }

    fn same_word(&self) -> u64 {
        let identity = u64::from(self.run & 0xf) << 36
            | u64::from(self.page & 0xf_ffff) << 16
            | u64::from(self.generation & 0xffff);
        mix(identity << SAME_CHECK_BITS | same_check(identity)) ^ KEY_SAME
    }
}

/// Views a page as its lines.
#[must_use]
pub fn lines(page: &Page) -> &[Line; LINES] {
    let (lines, _) = page.as_chunks::<LINE_WORDS>();
    lines.try_into().expect("512 words are 64 lines of 8")
}

fn same_check(identity: u64) -> u64 {
    mix(identity ^ KEY_TAG) >> (64 - SAME_CHECK_BITS)
}

/// What all lines of a stamp have in common.
#[derive(Clone, Copy)]
struct Base {
    id: u64,
    pattern: u64,
    generation: u32,
}

impl Base {
    #[inline]
    fn of(run: u32, page: u32, generation: u32) -> Self {
        let id = mix((u64::from(run) << 32 | u64::from(page)) ^ KEY_ID);
        Self {
            id,
            pattern: mix(id.wrapping_add(u64::from(generation).wrapping_mul(STEP))),
            generation,
        }
    }

    /// The tag's plain form.
    #[inline]
    fn tag(&self, line: u8, random: u8) -> u64 {
        let place = u64::from(line) << 3 | u64::from(random);
        let check = (self.pattern ^ place).wrapping_mul(STEP) >> (64 - CHECK_BITS);
        u64::from(self.generation) << 32 | place << CHECK_BITS | check
    }

    #[inline]
    fn line(&self, line: u8, random: u8) -> Line {
        let tag = mix(self.tag(line, random) ^ KEY_TAG);
        let stream = tag ^ self.pattern;
        let mut words = [0; LINE_WORDS];
        words[0] = if random == 7 {
            self.id ^ mix(tag ^ KEY_HIDE)
        } else {
            self.id
        };
        words[1] = tag;
        for (at, word) in words.iter_mut().enumerate().skip(2) {
            let step = (at as u64).wrapping_mul(STEP);
            let is_random = at - 2 < usize::from(random);
            *word = if is_random {
                mix(stream.wrapping_add(step))
            } else {
                self.pattern ^ step
            };
        }
        words
    }
}

/// The compressibility class that a single line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineFill {
    /// Of a page with [`Fill::Same`], or nearly.
    Same,
    /// Of any other; this many of the line's words are random.
    Random(u8),
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LineId {
    /// The boot that wrote it ([`LineFill::Same`]: low 4 bits).
    pub run: u32,
    /// The page it was written for ([`LineFill::Same`]: low 20 bits).
    pub page: u32,
    /// The page's generation ([`LineFill::Same`]: low 16 bits).
    pub generation: u32,
    /// Its place in the page; none where all lines are the same.
    pub line: Option<u8>,
    /// Its class.
    pub fill: LineFill,
    /// Payload words that are not what the identity says, 0 to 5.
    pub wrong_words: u8,
}

impl LineId {
    /// Fills in the high bits that a same-filled line has no room for: run and page from those
    /// expected where the low bits agree, the generation as near as possible to `near`.
    #[must_use]
    pub fn completed(self, run: u32, page: u32, near: u32) -> Self {
        if self.fill != LineFill::Same {
            return self;
        }
        let graft = |low: u32, full: u32, mask: u32| if full & mask == low { full } else { low };
        let base = near & !0xffff | self.generation;
        let candidates = [base.wrapping_sub(0x1_0000), base, base.wrapping_add(0x1_0000)];
        let nearest = candidates
            .into_iter()
            .min_by_key(|&g| g.abs_diff(near))
            .unwrap_or(base);
        Self {
            run: graft(self.run, run, 0xf),
            page: graft(self.page, page, 0xf_ffff),
            generation: nearest,
            ..self
        }
    }
}

/// Recognises a line of any stamp, whatever its class; none where it is of no stamp.
#[must_use]
pub fn decode_line(words: &Line) -> Option<LineId> {
    if words.iter().all(|word| *word == words[0]) {
        decode_same(words[0])
    } else {
        decode_random(words)
    }
}

fn decode_same(word: u64) -> Option<LineId> {
    let plain = unmix(word ^ KEY_SAME);
    let identity = plain >> SAME_CHECK_BITS;
    (plain & ((1 << SAME_CHECK_BITS) - 1) == same_check(identity)).then_some(LineId {
        run: (identity >> 36) as u32,
        page: (identity >> 16 & 0xf_ffff) as u32,
        generation: (identity & 0xffff) as u32,
        line: None,
        fill: LineFill::Same,
        wrong_words: 0,
    })
}

fn decode_random(words: &Line) -> Option<LineId> {
    let tag = unmix(words[1]) ^ KEY_TAG;
    let (generation, place) = ((tag >> 32) as u32, (tag >> CHECK_BITS & 0x1ff) as u16);
    let (line, random) = ((place >> 3) as u8, (place & 7) as u8);
    let id = if random == 7 {
        words[0] ^ mix(words[1] ^ KEY_HIDE)
    } else {
        words[0]
    };
    let plain = unmix(id) ^ KEY_ID;
    let (run, page) = ((plain >> 32) as u32, plain as u32);
    let base = Base::of(run, page, generation);
    if base.tag(line, random) != tag {
        return None;
    }
    let right = base.line(line, random);
    let wrong_words = (2..LINE_WORDS).filter(|&at| words[at] != right[at]).count() as u8;
    (wrong_words < 6).then_some(LineId {
        run,
        page,
        generation,
        line: Some(line),
        fill: LineFill::Random(random),
        wrong_words,
    })
}
