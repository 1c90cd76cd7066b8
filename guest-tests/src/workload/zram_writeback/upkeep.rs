//! Upkeep: what an administrator's scripts do to zram while it is in use. Slots are marked idle, written
//! back in every mode, recompressed, and the pool is compacted. None of it may change any content.

use super::pressure::Pressure;
use crate::sys::board::Lane;
use crate::sys::zram::{WriteBack, Zram};
use crate::workload::phase::Stopped;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most pages of one write-back, and of one recompression: more would move all content away from where
/// it is under pressure.
const WRITE_BACK_MAX: u64 = 96;
const RECOMPRESS_MAX: u64 = 32;
/// Longest pause between two acts, and between marking slots idle and writing them back.
const PAUSE_US_MAX: u64 = 8000;
const IDLE_US_MAX: u64 = 2000;
/// Slots that are written back one by one in a row, and how far from a busy one.
const SINGLE_SLOTS: u32 = 16;
const NEIGHBOURS: u64 = 4;
/// One recompression in so many is looked at, whether it did anything: the look costs a walk over all slots.
const LOOK_ONE_IN: u32 = 4;
/// What recompression is asked for, by turns.
const RECOMPRESS: [&str; 4] = ["type=idle ", "type=huge ", "type=huge_idle ", "threshold=1500 "];

/// What upkeep may do to one device.
pub struct Upkeep<'a> {
    /// The device.
    pub zram: &'a Zram,
    /// Its slots.
    pub slots: u64,
    /// A slot that its users are busy with.
    pub busy: &'a AtomicU64,
    /// It has a backing device.
    pub writes_back: bool,
    /// It has a second compressor.
    pub recompresses: bool,
    /// Its pool is compacted.
    pub compacts: bool,
}

/// Keeps one device until the phase is over.
///
/// # Errors
/// Those of the kernel that its documentation does not allow.
pub fn run(pressure: &Pressure<'_>, lane: &Lane, upkeep: &Upkeep<'_>, seed: u64) -> Result<(), Stopped> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let stop = pressure.phase.stop;
    let pause = |rng: &mut Pcg64Mcg, us_max| stop.wait(Duration::from_micros(rng.next_u64() % us_max));
    while !pause(&mut rng, PAUSE_US_MAX) {
        match rng.next_u32() % 6 {
            0..=2 if upkeep.writes_back => {
                upkeep.zram.mark_idle()?;
                if pause(&mut rng, IDLE_US_MAX) {
                    break;
                }
                upkeep
                    .zram
                    .write_back_limit(1 + rng.next_u64() % WRITE_BACK_MAX)?;
                write_back(upkeep, &mut rng)?;
            }
            3 | 4 if upkeep.recompresses => recompress(pressure, upkeep, &mut rng)?,
            _ if upkeep.compacts => upkeep.zram.compact()?,
            _ => {}
        }
        lane.beat();
    }
    Ok(())
}

/// Writes back what a mode chooses, or some single slots: any, or those that may change meanwhile.
fn write_back(upkeep: &Upkeep<'_>, rng: &mut Pcg64Mcg) -> Result<(), Stopped> {
    let mode = match rng.next_u32() % 8 {
        0..=2 => WriteBack::Idle,
        3 => WriteBack::Huge,
        4 => WriteBack::HugeIdle,
        5 => WriteBack::Incompressible,
        single => {
            for _ in 0..SINGLE_SLOTS {
                let slot = match single {
                    6 => rng.next_u64(),
                    _ => upkeep.busy.load(Ordering::Relaxed) + rng.next_u64() % NEIGHBOURS,
                };
                upkeep
                    .zram
                    .write_back(WriteBack::Page(slot % upkeep.slots.max(1)))?;
            }
            return Ok(());
        }
    };
    upkeep.zram.write_back(mode)?;
    Ok(())
}

fn recompress(pressure: &Pressure<'_>, upkeep: &Upkeep<'_>, rng: &mut Pcg64Mcg) -> Result<(), Stopped> {
    let which = RECOMPRESS[rng.next_u32() as usize % RECOMPRESS.len()];
    if which.contains("idle") {
        upkeep.zram.mark_idle()?;
    }
    upkeep.zram.recompress(which, RECOMPRESS_MAX)?;
    if rng.next_u32().is_multiple_of(LOOK_ONE_IN)
        && let Some(slots) = upkeep.zram.recompressed()
    {
        let seen = &pressure.counts.recompressed;
        seen.fetch_add(slots, Ordering::Relaxed);
    }
    Ok(())
}
