//! zswap switched off and on, its compressor and the arena's share of it changed, while pages are in it.

use crate::catalogue::{Kind, ZswapPressure};
use crate::sys::cgroup::Cgroup;
use crate::sys::zswap;
use crate::workload::CaseError;
use crate::workload::stop::Stop;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Duration;

/// The arena's share of zswap.
const LIMIT_FILE: &str = "memory.zswap.max";
/// Longest pause between two changes, and how long they stay, in milliseconds.
const PAUSE_MS_MAX: u64 = 300;
/// How often it is switched off and on at a time.
const SWITCHES: u32 = 16;
/// Longest pause between two of these, in milliseconds.
const SWITCH_MS_MAX: u64 = 20;
/// What the arena may have in zswap for a while, instead of what it has at most times: under a tiny limit nothing stays there.
const LIMITS: [u64; 3] = [64 << 10, 512 << 10, u64::MAX];

/// What is changed, and what it goes back to.
pub struct Toggles<'a> {
    rng: Pcg64Mcg,
    group: &'a Cgroup,
    limit: u64,
    compressor: String,
    compressors: Vec<&'static str>,
}

impl<'a> Toggles<'a> {
    /// Changes follow the seed.
    pub fn new(params: &ZswapPressure, group: &'a Cgroup, seed: u64) -> Self {
        let row = ZswapPressure::table()
            .into_iter()
            .find(|row| row.name == "compressor");
        let compressors = match row.map(|row| row.kind) {
            Some(Kind::Word(words)) => words.to_vec(),
            _ => Vec::new(),
        };
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            group,
            limit: params.zswap_max,
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
        match self.rng.next_u32() % 4 {
            0 => self.compressor(stop),
            1 | 2 => self.switch(stop),
            _ => self.limit(|toggles| {
                let _ = toggles.pause(stop, PAUSE_MS_MAX);
                Ok(())
            }),
        }
    }

    /// Has what is stored from now on compressed otherwise.
    fn compressor(&mut self, stop: &Stop) -> Result<(), CaseError> {
        let which = self.rng.next_u64() as usize % self.compressors.len().max(1);
        let Some(compressor) = self.compressors.get(which) else {
            return Ok(());
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

    /// Lets pages stay in zswap meanwhile, where they leave it at once at other times.
    fn limit(&mut self, meanwhile: impl FnOnce(&mut Self) -> Result<(), CaseError>) -> Result<(), CaseError> {
        let limit = LIMITS[self.rng.next_u64() as usize % LIMITS.len()];
        let told = |limit: u64| match limit {
            u64::MAX => "max".to_owned(),
            limit => limit.to_string(),
        };
        self.group.set(LIMIT_FILE, &told(limit.max(self.limit)))?;
        let outcome = meanwhile(self);
        self.group.set(LIMIT_FILE, &told(self.limit))?;
        outcome
    }

    /// Switches it off and on, some times: a page that was stored while it was on is to leave again, changed, while it is off.
    fn switch(&mut self, stop: &Stop) -> Result<(), CaseError> {
        self.limit(|toggles| {
            for _ in 0..SWITCHES {
                let knob = zswap::set("enabled", "N")?;
                let _ = toggles.pause(stop, SWITCH_MS_MAX);
                knob.change("Y")?;
                if toggles.pause(stop, SWITCH_MS_MAX) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn pause(&mut self, stop: &Stop, longest_ms: u64) -> bool {
        stop.wait(Duration::from_millis(self.rng.next_u64() % longest_ms))
    }
}
