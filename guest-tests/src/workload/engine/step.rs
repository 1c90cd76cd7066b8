//! One operation: what it is, how it is drawn by the seed, and how a log spells it.

use crate::sys::field::Access;
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Most pages of one step that acts page by page.
const RUN_MAX: u32 = 16;
/// Steps that stay with the same pages, at most.
const STAY_MAX: u32 = 32;

/// What is done. All of it is the owner's; what disturbs from beside is in
/// [`antagonist`](crate::workload::antagonist).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Pages are written with their next generation.
    Store,
    /// One word of each is stored to, without changing it.
    Touch,
    /// They are read and judged.
    Verify,
    /// `MADV_DONTNEED`.
    DontNeed,
    /// `MADV_FREE`.
    Free,
    /// `MADV_PAGEOUT`.
    PageOut,
    /// `MADV_COLD`.
    Cold,
    /// `MADV_WILLNEED`.
    WillNeed,
    /// `MADV_POPULATE_READ`.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`.
    PopulateWrite,
    /// `MADV_COLLAPSE` of the whole region.
    Collapse,
    /// `mprotect`: writable again.
    Unprotect,
    /// `mprotect`: read only.
    ReadOnly,
    /// `mprotect`: no access.
    NoAccess,
    /// `mremap` of the whole region to its other plot.
    Remap,
    /// The same, and the old place stays and must be empty.
    RemapLeaving,
    /// A forked child verifies, writes and ends; the parent's pages stay as they are.
    Fork,
    /// The soft-dirty bits are cleared.
    ClearRefs,
    /// The bits are cleared, pages are written, and must say that they are soft-dirty.
    SoftDirty,
    /// `fallocate(PUNCH_HOLE)` of the file.
    Punch,
    /// The file shrinks to end before the pages, and grows again.
    Truncate,
    /// `pwrite` to the file.
    FileStore,
    /// `pread` of the file.
    FileRead,
    /// References go into a pipe, the pages out of memory, and the pipe is read.
    Splice,
    /// `MADV_HUGEPAGE` of the whole region.
    Huge,
    /// `MADV_NOHUGEPAGE` of the whole region.
    NoHuge,
    /// Pages are moved to the region's other plot and back (UFFDIO_MOVE).
    Move,
    /// Pages are written, write-protected (UFFDIO_WRITEPROTECT), paged out and read back.
    WriteProtect,
    /// Pages are pinned for input and output, which the kernel makes while they are disturbed.
    Pin,
    /// memory.reclaim of the group.
    Reclaim,
    /// Compaction of all memory.
    Compact,
    /// A swap area is switched off and on.
    SwapCycle,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::Store,
        Self::Touch,
        Self::Verify,
        Self::DontNeed,
        Self::Free,
        Self::PageOut,
        Self::Cold,
        Self::WillNeed,
        Self::PopulateRead,
        Self::PopulateWrite,
        Self::Collapse,
        Self::Unprotect,
        Self::ReadOnly,
        Self::NoAccess,
        Self::Remap,
        Self::RemapLeaving,
        Self::Fork,
        Self::ClearRefs,
        Self::SoftDirty,
        Self::Punch,
        Self::Truncate,
        Self::FileStore,
        Self::FileRead,
        Self::Splice,
        Self::Huge,
        Self::NoHuge,
        Self::Move,
        Self::WriteProtect,
        Self::Pin,
        Self::Reclaim,
        Self::Compact,
        Self::SwapCycle,
    ];

    /// Its word in a log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Touch => "touch",
            Self::Verify => "verify",
            Self::DontNeed => "dontneed",
            Self::Free => "free",
            Self::PageOut => "pageout",
            Self::Cold => "cold",
            Self::WillNeed => "willneed",
            Self::PopulateRead => "popread",
            Self::PopulateWrite => "popwrite",
            Self::Collapse => "collapse",
            Self::Unprotect => "rw",
            Self::ReadOnly => "ro",
            Self::NoAccess => "none",
            Self::Remap => "mremap",
            Self::RemapLeaving => "dontunmap",
            Self::Fork => "fork",
            Self::ClearRefs => "clearrefs",
            Self::SoftDirty => "softdirty",
            Self::Punch => "punch",
            Self::Truncate => "truncate",
            Self::FileStore => "pwrite",
            Self::FileRead => "pread",
            Self::Splice => "splice",
            Self::Huge => "huge",
            Self::NoHuge => "nohuge",
            Self::Move => "uffdmove",
            Self::WriteProtect => "uffdwp",
            Self::Pin => "pin",
            Self::Reclaim => "reclaim",
            Self::Compact => "compact",
            Self::SwapCycle => "swapcycle",
        }
    }

    /// The access that it leaves pages with, for those that change it.
    #[must_use]
    pub fn access(self) -> Option<Access> {
        [
            (Self::Unprotect, Access::ReadWrite),
            (Self::ReadOnly, Access::Read),
            (Self::NoAccess, Access::None),
        ]
        .into_iter()
        .find_map(|(act, access)| (act == self).then_some(access))
    }

    /// Whether it concerns the whole region, whatever pages a step names.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Collapse | Self::Remap | Self::RemapLeaving | Self::Huge | Self::NoHuge
        )
    }
}

/// How often each operation comes, in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Everything.
    Balanced,
    /// Much that destroys content.
    Destructive,
    /// Much that moves pages out and in.
    Swapping,
    /// Much that makes and breaks huge pages and tables.
    Huge,
}

impl Mix {
    /// Their names, as in YAML, after `drawn`.
    pub const NAMES: &'static [&'static str] = &["drawn", "balanced", "destructive", "swapping", "huge"];

    /// The mix of a name; `drawn` draws one by the seed.
    #[must_use]
    pub fn of(name: &str, rng: &mut Pcg64Mcg) -> Self {
        let all = [Self::Balanced, Self::Destructive, Self::Swapping, Self::Huge];
        let at = Self::NAMES[1..].iter().position(|n| *n == name);
        all[at.unwrap_or(rng.next_u32() as usize % all.len())]
    }

    /// Weights, in the order of [`Act::ALL`]. The last two cost much: triples and antagonists have them.
    fn weights(self) -> [u16; 32] {
        match self {
            Self::Balanced => [
                24, 4, 20, 4, 4, 20, 3, 3, 3, 3, 1, 6, 3, 2, 3, 2, 2, 2, 3, 3, 1, 4, 4, 3, 1, 1, 3, 5, 4, 3,
                0, 0,
            ],
            Self::Destructive => [
                24, 6, 20, 12, 12, 16, 2, 2, 3, 3, 1, 5, 2, 2, 2, 2, 3, 1, 2, 8, 3, 5, 3, 2, 1, 1, 3, 2, 4,
                2, 0, 0,
            ],
            Self::Swapping => [
                24, 3, 20, 2, 3, 40, 6, 8, 3, 3, 0, 4, 2, 1, 2, 1, 3, 2, 3, 2, 1, 4, 4, 4, 0, 0, 4, 5, 4, 10,
                0, 0,
            ],
            Self::Huge => [
                20, 4, 16, 6, 5, 12, 2, 2, 3, 3, 6, 8, 4, 3, 5, 4, 3, 2, 3, 5, 3, 3, 3, 2, 4, 1, 3, 5, 4, 2,
                0, 0,
            ],
        }
    }

    fn draw(self, rng: &mut Pcg64Mcg) -> Act {
        let weights = self.weights();
        let total: u32 = weights.iter().map(|&w| u32::from(w)).sum();
        let mut left = rng.next_u32() % total;
        for (act, weight) in Act::ALL.into_iter().zip(weights) {
            match left.checked_sub(u32::from(weight)) {
                None => return act,
                Some(less) => left = less,
            }
        }
        Act::Verify
    }
}

/// One step of an owner. It follows from the seed alone, never from what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The owner's region.
    pub region: u8,
    /// First page.
    pub page: u16,
    /// Pages.
    pub pages: u16,
    /// What is done.
    pub act: Act,
}

impl Step {
    /// Draws one, for regions of these lengths in pages.
    pub fn draw(mix: Mix, lengths: &[usize], rng: &mut Pcg64Mcg) -> Self {
        let region = rng.next_u32() as usize % lengths.len();
        let len = lengths[region] as u32;
        let page = rng.next_u32() % len;
        // Short runs are more frequent; a few reach far, so that neighbours and whole tables are met.
        let reach = match rng.next_u32() % 16 {
            0 => len,
            1..=3 => RUN_MAX * 4,
            4..=9 => RUN_MAX,
            _ => 2,
        };
        let pages = (1 + rng.next_u32() % reach).min(len - page);
        Self {
            region: region as u8,
            page: page as u16,
            pages: pages as u16,
            act: mix.draw(rng),
        }
    }

    /// The pages.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        usize::from(self.page)..usize::from(self.page) + usize::from(self.pages)
    }
}

/// Steps one after the other. Most stay with the same few pages for a while: what goes wrong needs a page to
/// go through several things in a row, and among many pages that is rare.
#[derive(Debug, Default)]
pub struct Draws {
    focus: Option<Step>,
    left: u32,
}

impl Draws {
    /// Draws the next step.
    pub fn next_step(&mut self, mix: Mix, lengths: &[usize], rng: &mut Pcg64Mcg) -> Step {
        let mut step = Step::draw(mix, lengths, rng);
        let elsewhere = rng.next_u32().is_multiple_of(4);
        match self.focus {
            Some(focus) if self.left > 0 => {
                self.left -= 1;
                if elsewhere {
                    return step;
                }
                // All of them or some.
                let skipped = match rng.next_u32() % 4 {
                    0 => rng.next_u32() as u16 % focus.pages,
                    _ => 0,
                };
                step.region = focus.region;
                step.page = focus.page + skipped;
                step.pages = focus.pages - skipped;
                step
            }
            _ => {
                step.pages = step.pages.min(RUN_MAX as u16);
                self.focus = Some(step);
                self.left = rng.next_u32() % STAY_MAX;
                step
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}+{}{}",
            self.region,
            self.page,
            self.pages,
            self.act.word()
        )
    }
}

/// Why a text is no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no step: REGION:PAGE+PAGES and a word such as store")]
pub struct NoStep(String);

impl FromStr for Step {
    type Err = NoStep;

    fn from_str(text: &str) -> Result<Self, NoStep> {
        let parse = || {
            let (region, rest) = text.split_once(':')?;
            let (page, rest) = rest.split_once('+')?;
            let word = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let pages = &rest[..rest.len() - word.len()];
            Some(Self {
                region: region.parse().ok()?,
                page: page.parse().ok()?,
                pages: pages.parse().ok().filter(|&n: &u16| n > 0)?,
                act: Act::ALL.into_iter().find(|act| act.word() == word)?,
            })
        };
        parse().ok_or_else(|| NoStep(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn steps(seed: u64, mix: Mix) -> Vec<Step> {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        (0..20_000)
            .map(|_| Step::draw(mix, &[48, 512, 1], &mut rng))
            .collect()
    }

    #[test]
    fn steps_follow_the_seed_stay_in_their_region_and_are_read_as_they_are_written() {
        for mix in [Mix::Balanced, Mix::Destructive, Mix::Swapping, Mix::Huge] {
            let all = steps(1, mix);
            assert_eq!(all, steps(1, mix));
            assert_ne!(all, steps(2, mix));
            for step in &all {
                assert!(step.pages > 0 && step.range().end <= [48, 512, 1][usize::from(step.region)]);
                assert_eq!(step.to_string().parse(), Ok(*step));
            }
            let acts: std::collections::BTreeSet<_> = all.iter().map(|s| s.act).collect();
            let weighted = mix.weights().iter().filter(|&&w| w > 0).count();
            assert_eq!(acts.len(), weighted);
        }
    }

    #[test]
    fn most_steps_stay_with_the_same_pages_and_all_stay_in_their_region() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let (mut draws, lengths) = (Draws::default(), [48, 512, 1]);
        let all: Vec<Step> = (0..20_000)
            .map(|_| draws.next_step(Mix::Balanced, &lengths, &mut rng))
            .collect();
        assert!(
            all.iter()
                .all(|s| s.range().end <= lengths[usize::from(s.region)])
        );
        let stays = |two: &[Step]| two[0].region == two[1].region && two[0].range().end == two[1].range().end;
        let stay = all.windows(2).filter(|two| stays(two)).count();
        assert!((8_000..16_000).contains(&stay), "{stay}");
    }

    #[test]
    fn rubbish_is_no_step() {
        for text in [
            "",
            "1",
            "1:2",
            "1:2+0store",
            "1:2+3",
            "1:2+3knit",
            "x:2+3store",
            "300:1+1store",
        ] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }
}
