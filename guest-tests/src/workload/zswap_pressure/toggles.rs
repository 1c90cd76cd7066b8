//! zswap switched off and on, and its compressor changed, while pages are in it.

use crate::catalogue::{Kind, ZswapPressure};
use crate::sys::zswap;
use crate::workload::CaseError;
use crate::workload::stop::Stop;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Duration;

/// Longest pause between two changes, and how long they stay, in milliseconds.
const PAUSE_MS_MAX: u64 = 300;
/// How often it is switched off and on at a time.
const SWITCHES: u32 = 16;
/// Longest pause between two of these, in milliseconds.
const SWITCH_MS_MAX: u64 = 20;

/// What is changed, and what it goes back to.
pub struct Toggles {
    rng: Pcg64Mcg,
    compressor: String,
    compressors: Vec<&'static str>,
}

impl Toggles {
    /// Changes follow the seed.
    pub fn new(params: &ZswapPressure, seed: u64) -> Self {
        let row = ZswapPressure::table()
            .into_iter()
            .find(|row| row.name == "compressor");
        let compressors = match row.map(|row| row.kind) {
            Some(Kind::Word(words)) => words.to_vec(),
            _ => Vec::new(),
        };
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            compressor: params.compressor.clone(),
            compressors,
        }
    }

    /// Changes one thing for a while.
    ///
    /// # Errors
    /// Those of the kernel, but for a compressor that it lacks.
    pub fn toggle(&mut self, stop: &Stop) -> Result<(), CaseError> {
        if self.pause(stop, PAUSE_MS_MAX) {
            return Ok(());
        }
        // Off as often as all compressors together.
        let which = self.rng.next_u64() as usize % (2 * self.compressors.len()).max(1);
        let Some(compressor) = self.compressors.get(which) else {
            return self.switch(stop);
        };
        match zswap::set("compressor", compressor) {
            // A kernel without that compressor.
            Err(e) if matches!(e.errno(), Some(libc::ENOENT | libc::EINVAL | libc::ENOMEM)) => return Ok(()),
            // Dropping it would restore what was there before, which is the same.
            changed => drop(changed.map(|knob| {
                let _ = self.pause(stop, PAUSE_MS_MAX);
                knob.change(&self.compressor)
            })?),
        }
        Ok(())
    }

    /// Switches it off and on, some times: a page that was stored while it was on is to leave again, changed, while it is off.
    fn switch(&mut self, stop: &Stop) -> Result<(), CaseError> {
        for _ in 0..SWITCHES {
            let knob = zswap::set("enabled", "N")?;
            let _ = self.pause(stop, SWITCH_MS_MAX);
            knob.change("Y")?;
            if self.pause(stop, SWITCH_MS_MAX) {
                break;
            }
        }
        Ok(())
    }

    fn pause(&mut self, stop: &Stop, longest_ms: u64) -> bool {
        stop.wait(Duration::from_millis(self.rng.next_u64() % longest_ms))
    }
}
