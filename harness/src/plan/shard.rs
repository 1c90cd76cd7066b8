//! Splitting a plan into shards of about the same length, for several hosts.
//!
//! What a split depends on, and nothing else: the cells of the plan with their order, what each is likely to
//! take ([`Durations`]), what making each kernel is likely to take, the number of shards, and this
//! algorithm ([`VERSION`]). [`Split::digest`] is a hash of all of these: shards with one digest are parts
//! of one split, on whatever host each was made.
//!
//! The longest goes first, to the shard that would be done first, and a kernel's build counts in each shard
//! that needs it. Since cells of one kernel are best kept together, they are first put into parts of at
//! most a whole, a half, a quarter … of a shard, down to single cells; the split that ends first is taken.

use std::collections::BTreeSet;

use super::estimate::Durations;
use super::{Plan, PlanError};

/// Changes with every change of the algorithm that makes another split of the same input.
const VERSION: u32 = 1;
/// Into how many parts of a shard the cells of a kernel are put, at least; the last one means single cells.
const PARTS: [u64; 6] = [1, 2, 4, 8, 16, u64::MAX];
/// Most shards.
pub const SHARDS_MAX: u32 = 256;

/// A plan in shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// A hash of everything that the split depends on.
    pub digest: String,
    /// The shards.
    pub shards: Vec<Shard>,
}

/// One shard of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shard {
    /// Places of its cells in the plan, ascending.
    pub cells: Vec<usize>,
    /// What it is likely to take, one cell at a time, kernels included, in milliseconds.
    pub ms: u64,
}

/// Which part of which split a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardOf {
    /// From 1.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The split's digest.
    pub digest: String,
    /// What it is likely to take, in milliseconds.
    pub ms: u64,
    /// The ids of all cells that were split, in order.
    pub all: Vec<String>,
}

/// Cells of one kernel that stay together.
struct Piece {
    kernel: usize,
    cells: Vec<usize>,
    ms: u64,
}

impl Plan {
    /// Splits the plan into `count` shards. None is empty where there are that many cells.
    #[must_use]
    pub fn split(&self, durations: &Durations, count: u32) -> Split {
        let ms: Vec<u64> = self.cells.iter().map(|cell| durations.cell_ms(cell)).collect();
        let build_ms: Vec<u64> = self
            .kernels
            .keys()
            .map(|kernel| durations.build_ms(self, kernel))
            .collect();
        let count = count.clamp(1, SHARDS_MAX);
        let mut of_kernel: Vec<Vec<usize>> = vec![Vec::new(); build_ms.len()];
        for (at, cell) in self.cells.iter().enumerate() {
            if let Some(kernel) = self.kernels.get_index_of(&cell.kernel) {
                of_kernel[kernel].push(at);
            }
        }
        // Longest first; the sort is stable, so that the plan's order decides among equals.
        for cells in &mut of_kernel {
            cells.sort_by_key(|at| std::cmp::Reverse(ms[*at]));
        }
        let whole = ms.iter().chain(&build_ms).sum::<u64>().div_ceil(u64::from(count));
        let candidates = PARTS.map(|parts| assign(pieces(&of_kernel, &ms, whole / parts), &build_ms, count));
        let badness = |shards: &Vec<Shard>| {
            let empty = shards.iter().filter(|s| s.cells.is_empty()).count();
            let longest = shards.iter().map(|s| s.ms).max();
            (empty, longest, shards.iter().map(|s| s.ms).sum::<u64>())
        };
        // Of equals the first one: that with the fewest pieces.
        let shards = candidates.into_iter().min_by_key(badness).unwrap_or_default();
        Split {
            digest: self.digest(&ms, &build_ms, count),
            shards,
        }
    }

    /// Keeps the cells of one shard.
    ///
    /// # Errors
    /// [`PlanError::EmptyShard`] where it has none: a run of nothing would prove nothing.
    pub fn shard(&self, durations: &Durations, index: u32, count: u32) -> Result<(Self, ShardOf), PlanError> {
        let mut split = self.split(durations, count);
        let at = (index as usize).saturating_sub(1);
        let shard = split.shards.get_mut(at).map(std::mem::take).unwrap_or_default();
        if shard.cells.is_empty() {
            return Err(PlanError::EmptyShard {
                index,
                count,
                cells: self.cells.len(),
            });
        }
        let of = ShardOf {
            index,
            count,
            digest: split.digest,
            ms: shard.ms,
            all: self.cells.iter().map(|cell| cell.id.clone()).collect(),
        };
        let cells = shard.cells.iter().map(|at| self.cells[*at].clone()).collect();
        let plan = Self {
            path: self.path.clone(),
            kernels: self.kernels.clone(),
            cells,
        };
        Ok((plan.with_used_kernels(), of))
    }

    fn digest(&self, ms: &[u64], build_ms: &[u64], count: u32) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(&VERSION.to_le_bytes()).update(&count.to_le_bytes());
        let cells = self.cells.iter().map(|cell| cell.id.as_str()).zip(ms);
        let kernels = self.kernels.keys().map(String::as_str).zip(build_ms);
        for (name, ms) in cells.chain(kernels) {
            hash.update(name.as_bytes())
                .update(b"\0")
                .update(&ms.to_le_bytes());
        }
        hash.finalize().to_hex()[..12].to_owned()
    }
}

/// Puts each kernel's cells into as few pieces as keep to `most_ms`, all of about the same length.
fn pieces(of_kernel: &[Vec<usize>], ms: &[u64], most_ms: u64) -> Vec<Piece> {
    let mut all = Vec::new();
    for (kernel, cells) in of_kernel
        .iter()
        .enumerate()
        .filter(|(_, cells)| !cells.is_empty())
    {
        let total: u64 = cells.iter().map(|at| ms[*at]).sum();
        let wanted = if most_ms == 0 {
            u64::MAX
        } else {
            total.div_ceil(most_ms)
        };
        let parts = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .clamp(1, cells.len());
        let mut own: Vec<Piece> = (0..parts)
            .map(|_| Piece {
                kernel,
                cells: Vec::new(),
                ms: 0,
            })
            .collect();
        for at in cells {
            if let Some(piece) = own.iter_mut().min_by_key(|piece| piece.ms) {
                piece.cells.push(*at);
                piece.ms += ms[*at];
            }
        }
        all.append(&mut own);
    }
    all
}

/// Gives each piece, the longest first, to the shard that would be done with it first.
fn assign(mut pieces: Vec<Piece>, build_ms: &[u64], count: u32) -> Vec<Shard> {
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.ms + build_ms[piece.kernel]));
    let mut shards: Vec<(Shard, BTreeSet<usize>)> = vec![Default::default(); count as usize];
    for piece in pieces {
        let after = |(shard, built): &(Shard, BTreeSet<usize>)| {
            let build = if built.contains(&piece.kernel) {
                0
            } else {
                build_ms[piece.kernel]
            };
            shard.ms + build + piece.ms
        };
        let Some(at) = (0..shards.len()).min_by_key(|at| after(&shards[*at])) else {
            continue;
        };
        let ms = after(&shards[at]);
        let (shard, built) = &mut shards[at];
        shard.ms = ms;
        shard.cells.extend(&piece.cells);
        built.insert(piece.kernel);
    }
    let sorted = |(mut shard, _): (Shard, _)| {
        shard.cells.sort_unstable();
        shard
    };
    shards.into_iter().map(sorted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::expand;
    use crate::spec::tests::{edited, good};
    use proptest::prelude::*;

    /// Kernels `fixed` and `defect`, two settings each, so often.
    fn plan(repeat: u32) -> Plan {
        expand(&good(&edited(
            "  machine: [small]\n",
            &format!("  machine: [small]\n  repeat: {repeat}\n"),
        )))
        .expect("a plan")
    }

    fn durations(cells: &[(&str, f64)], builds: &[(&str, f64)]) -> Durations {
        let own = |pairs: &[(&str, f64)]| pairs.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        Durations::new(own(cells), own(builds))
    }

    #[test]
    fn cells_of_a_kernel_stay_together_where_building_costs_more() {
        let plan = plan(4);
        let split = plan.split(&durations(&[], &[("fixed", 600.0), ("defect", 600.0)]), 2);
        let kernels = |shard: &Shard| -> BTreeSet<&str> {
            shard
                .cells
                .iter()
                .map(|at| plan.cells[*at].kernel.as_str())
                .collect()
        };
        assert!(split.shards.iter().all(|s| kernels(s).len() == 1), "{split:?}");
        // Eight cells of 35 s and one build.
        assert_eq!(
            split.shards.iter().map(|s| s.ms).collect::<Vec<_>>(),
            [880_000, 880_000]
        );
    }

    #[test]
    fn recorded_durations_balance() {
        let plan = plan(1);
        let long = "fixed.small@qemu.pressure.off";
        let split = plan.split(
            &durations(&[(long, 300.0)], &[("fixed", 1.0), ("defect", 1.0)]),
            2,
        );
        // The long one alone, the other three together.
        assert_eq!(split.shards[0].cells, [0]);
        assert_eq!(split.shards[1].cells, [1, 2, 3]);
    }

    #[test]
    fn the_digest_tells_inputs_apart() {
        let plan = plan(2);
        let none = Durations::default();
        let other = durations(&[("fixed.small@qemu.pressure.off", 300.0)], &[]);
        let digest = |durations, count| plan.split(durations, count).digest;
        assert_eq!(digest(&none, 2), digest(&none, 2));
        assert_ne!(digest(&none, 2), digest(&none, 3));
        assert_ne!(digest(&none, 2), digest(&other, 2));
        // A figure of a cell that is not in the plan changes nothing.
        assert_eq!(digest(&none, 2), digest(&durations(&[("nobody", 300.0)], &[]), 2));
    }

    #[test]
    fn a_shard_without_cells_is_an_error() {
        let plan = plan(1);
        assert!(plan.shard(&Durations::default(), 4, 4).is_ok());
        let error = plan.shard(&Durations::default(), 5, 5).unwrap_err();
        insta::assert_snapshot!(error.render_plain(), @r"
        error: shard 5/5 has no cell: there are 4 in all
          help: ask for at most as many shards as there are cells
        ");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_cell_is_in_one_shard_and_the_longest_is_not_too_long(
            repeat in 1..12u32, count in 1..9u32, took in prop::collection::vec(1.0..900.0f64, 4), build in 0.0..900.0f64,
        ) {
            let plan = plan(repeat);
            let groups: BTreeSet<String> = plan.cells.iter().map(|c| c.group.clone()).collect();
            let cells = groups.into_iter().zip(took).collect();
            let builds = [("fixed".to_owned(), build), ("defect".to_owned(), build / 2.0)].into();
            let durations = Durations::new(cells, builds);
            let split = plan.split(&durations, count);
            let mut all: Vec<usize> = split.shards.iter().flat_map(|s| s.cells.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..plan.cells.len()).collect::<Vec<_>>());
            prop_assert!(plan.cells.len() < count as usize || split.shards.iter().all(|s| !s.cells.is_empty()));
            prop_assert_eq!(&split, &plan.split(&durations, count));
            // No worse than what giving single cells to the first that is free guarantees.
            let ms: Vec<u64> = plan.cells.iter().map(|c| durations.cell_ms(c)).collect();
            let (sum, most) = (ms.iter().sum::<u64>(), ms.iter().max().copied().unwrap_or(0));
            let built: u64 = ["fixed", "defect"].iter().map(|k| durations.build_ms(&plan, k)).sum();
            let longest = split.shards.iter().map(|s| s.ms).max().unwrap_or(0);
            prop_assert!(longest <= sum / u64::from(count) + most + built, "{longest}: {split:?}");
        }
    }
}
