//! A raw zram block device: what a page-sized block may hold after writes and discards.
//!
//! Only for O_DIRECT, never beside the page cache: the cache's own copy would be what is read. Reads
//! are judged sector by sector.

use super::classify::classify;
use super::legal::{Held, Legal, Origin, Verified, judge};
use super::mismatch::Mismatch;
use super::stamp::Page;

/// Lines of a sector of 512 bytes.
const SECTOR_LINES: usize = 8;

/// An operation on one page-sized block, after it has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockOp {
    /// A write of this generation that succeeded, alone on the block.
    Written(u32),
    /// A write of this generation that failed, or overlapped others: each sector is old or new.
    Unsure(u32),
    /// A discard that covers all of the block: it reads zero.
    Discarded,
    /// A discard of a part of it: zram keeps whole pages, so nothing need change, and each sector may.
    PartlyDiscarded,
}

/// The legal states of one block; generations count up with each write, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockState {
    /// The block's number: which stamps are its own.
    pub page: u32,
    legal: Legal,
}

impl BlockState {
    /// A block that was never written: zero.
    #[must_use]
    pub const fn fresh(page: u32) -> Self {
        Self {
            page,
            legal: Legal::zero(0),
        }
    }

    /// Returns the state after an operation.
    #[must_use]
    pub fn apply(self, op: BlockOp) -> Self {
        let was = self.legal;
        let legal = match op {
            BlockOp::Written(generation) => Legal {
                dropped: was.dropped,
                ..Legal::generation(generation)
            },
            BlockOp::Unsure(generation) => {
                let from = if was.data { was.from } else { generation };
                Legal {
                    from,
                    to: generation,
                    data: true,
                    mixed: true,
                    ..was
                }
            }
            BlockOp::Discarded => Legal::zero(if was.data { was.to } else { was.dropped }),
            BlockOp::PartlyDiscarded => Legal {
                zero: true,
                mixed: was.data,
                ..was
            },
        };
        Self { legal, ..self }
    }

    /// What a reading may show.
    #[must_use]
    pub const fn legal(&self) -> &Legal {
        &self.legal
    }

    /// Judges a reading; one that shows a whole generation, or zero, fixes it.
    ///
    /// # Errors
    /// The classified mismatch.
    pub fn read(self, origin: &Origin, data: &Page) -> Result<Self, Box<Mismatch>> {
        let is_whole = |sector: &[Held]| {
            sector
                .iter()
                .all(|held| *held == sector[0] && !matches!(held, Held::Torn { .. }))
        };
        Ok(match judge(origin, self.page, &self.legal, data)? {
            Verified::Whole(Held::Generation(generation)) => self.apply(BlockOp::Written(generation)),
            Verified::Whole(Held::Zero) => {
                let dropped = if self.legal.data {
                    self.legal.to
                } else {
                    self.legal.dropped
                };
                Self {
                    legal: Legal::zero(dropped),
                    ..self
                }
            }
            Verified::Mixed(held) if !held.chunks(SECTOR_LINES).all(is_whole) => {
                let at_rest = Legal {
                    mixed: false,
                    ..self.legal
                };
                return Err(Box::new(classify(origin, self.page, &at_rest, data)));
            }
            Verified::Whole(Held::Torn { .. })
            | Verified::Mixed(_)
            | Verified::Faulted
            | Verified::Undecided => self,
        })
    }
}
