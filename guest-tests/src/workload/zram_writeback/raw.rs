//! zram as a raw block device: blocks are written, read and discarded past the page cache by the one
//! thread that owns them.

use super::pressure::Pressure;
use crate::model::{BlockOp, BlockState, Fault, FillPolicy, Mismatch, Origin, judge_fault};
use crate::sys::block::{Block, Direct, buffer};
use crate::sys::board::Lane;
use crate::workload::phase::Stopped;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Blocks of one request, at most.
const REQUEST_MAX: usize = 8;
/// Blocks of one discard, at most.
const DISCARD_MAX: usize = 128;
/// Requests in a row that begin with the same block, at most, but for one in `ELSEWHERE_ONE_IN`: what a
/// slow act does to a block, a write-back most of all, is to meet the block's next write.
const STAY_MAX: u32 = 256;
const ELSEWHERE_ONE_IN: u32 = 4;

/// What the raw device must hold.
pub struct Blocks {
    origin: Origin,
    states: Mutex<Vec<(BlockState, u32)>>,
}

impl Blocks {
    /// A device that was never written: all zero. Its blocks are numbered from `first`.
    pub fn new(run: u32, seed: u64, first: u32, blocks: u32) -> Self {
        let fresh = |block| (BlockState::fresh(first + block), 0);
        Self {
            origin: Origin {
                run,
                seed,
                policy: FillPolicy::Mixed,
            },
            states: Mutex::new((0..blocks).map(fresh).collect()),
        }
    }

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<(BlockState, u32)>> {
        self.states
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads, writes and discards until the phase is over.
///
/// # Errors
/// When it ended early.
pub fn run(pressure: &Pressure<'_>, lane: &Lane, disk: &Direct, seed: u64) -> Result<(), Stopped> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut data = buffer(REQUEST_MAX);
    let blocks = pressure.blocks.states().len();
    let (mut busy, mut left) = (0, 0);
    while !pressure.phase.stop.is_set() {
        let draw = rng.next_u32();
        let anywhere = rng.next_u64() as usize % blocks;
        if left == 0 {
            (busy, left) = (anywhere, 1 + rng.next_u32() % STAY_MAX);
            pressure.busy[1].store(busy as u64, Ordering::Relaxed);
        }
        left -= 1;
        let start = if rng.next_u32().is_multiple_of(ELSEWHERE_ONE_IN) {
            anywhere
        } else {
            busy
        };
        let longest = if draw.is_multiple_of(8) {
            DISCARD_MAX
        } else {
            REQUEST_MAX
        };
        let len = 1 + rng.next_u64() as usize % longest;
        let run = start..blocks.min(start + len);
        match draw % 8 {
            0 => discard(pressure, disk, run, draw & 8 == 0)?,
            1..=3 => write(pressure, disk, run, &mut data),
            _ => read(pressure, disk, run, &mut data)?,
        }
        lane.beat();
    }
    Ok(())
}

fn discard(pressure: &Pressure<'_>, disk: &Direct, run: Range<usize>, zero_out: bool) -> Result<(), Stopped> {
    let (block, blocks) = (run.start as u64, run.len() as u64);
    if zero_out {
        disk.zero_out(block, blocks)?;
    } else {
        disk.discard(block, blocks)?;
    }
    let mut states = pressure.blocks.states();
    for (state, _) in &mut states[run] {
        *state = state.apply(BlockOp::Discarded);
    }
    let written = &pressure.counts.blocks_written;
    written.fetch_add(blocks, Ordering::Relaxed);
    Ok(())
}

/// Writes a run with its next generations. A write that fails leaves each block old or new: memory may
/// be short, or a limit reached.
fn write(pressure: &Pressure<'_>, disk: &Direct, run: Range<usize>, data: &mut [Block]) {
    let mut states = pressure.blocks.states();
    let data = &mut data[..run.len()];
    for ((state, generation), block) in states[run.clone()].iter_mut().zip(&mut *data) {
        *generation += 1;
        let stamp = pressure.blocks.origin.stamp(state.page, *generation);
        stamp.write(&mut block.0);
    }
    let op = match disk.write(run.start as u64, data) {
        Ok(()) => BlockOp::Written,
        Err(_) => BlockOp::Unsure,
    };
    for (state, generation) in &mut states[run.clone()] {
        *state = state.apply(op(*generation));
    }
    let written = &pressure.counts.blocks_written;
    written.fetch_add(run.len() as u64, Ordering::Relaxed);
}

/// Reads a run and compares it.
///
/// # Errors
/// A mismatch, which was told then.
pub fn read(
    pressure: &Pressure<'_>,
    disk: &Direct,
    run: Range<usize>,
    data: &mut [Block],
) -> Result<(), Stopped> {
    let mut states = pressure.blocks.states();
    let data = &mut data[..run.len()];
    let origin = &pressure.blocks.origin;
    if disk.read(run.start as u64, data).is_err() {
        // One block at a time, to tell which one it is.
        for at in run {
            let (state, _) = &states[at];
            if let Err(e) = disk.read(at as u64, &mut data[..1])
                && let Err(mismatch) = judge_fault(origin, state.page, state.legal(), Fault::Errno)
            {
                return Err(found(pressure, *mismatch, at, &e.to_string()));
            }
        }
        return Ok(());
    }
    for (at, block) in run.clone().zip(&*data) {
        let (state, _) = &mut states[at];
        match state.read(origin, &block.0) {
            Ok(known) => *state = known,
            Err(mismatch) => return Err(found(pressure, *mismatch, at, "read whole")),
        }
    }
    let verified = &pressure.counts.blocks_verified;
    verified.fetch_add(run.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Verifies the whole device once more.
///
/// # Errors
/// A mismatch, which was told then.
pub fn read_all(pressure: &Pressure<'_>, disk: &Direct) -> Result<(), Stopped> {
    let mut data = buffer(REQUEST_MAX);
    let blocks = pressure.blocks.states().len();
    for start in (0..blocks).step_by(REQUEST_MAX) {
        read(pressure, disk, start..blocks.min(start + REQUEST_MAX), &mut data)?;
        pressure.phase.env.lane.beat();
    }
    Ok(())
}

fn found(pressure: &Pressure<'_>, mismatch: Mismatch, block: usize, how: &str) -> Stopped {
    let context = BTreeMap::from([
        (
            "where".to_owned(),
            format!("block {block} of the raw zram device"),
        ),
        ("read".to_owned(), how.to_owned()),
    ]);
    pressure.phase.found(mismatch, context);
    Stopped::Found
}
