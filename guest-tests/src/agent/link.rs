//! What a case's process tells its supervisor: JSON, a line each, through a pipe.

use crate::catalogue::Counter;
use crate::protocol::{CaseRequest, Coverage, Finding, Outcome, Progress};
use crate::sys::proc;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

/// The disks that the suite may overwrite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disks {
    /// For swap.
    pub swap: Option<PathBuf>,
    /// For a file system.
    pub data: Option<PathBuf>,
}

/// What a case's process is given to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Number that this boot's stamps carry.
    pub run: u32,
    /// The case.
    pub case: CaseRequest,
    /// The disk that may be used as swap.
    pub swap_disk: Option<PathBuf>,
    /// The disk that a file system may be made on.
    #[serde(default)]
    pub data_disk: Option<PathBuf>,
}

/// One line of the pipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Guest time since boot, in nanoseconds.
    pub t_ns: u64,
    /// What is told.
    pub told: Told,
}

/// What a case's process tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// Counters so far.
    Progress(Progress),
    /// The kernel broke a promise.
    Finding(Finding),
    /// What the case covered.
    Coverage(Coverage),
    /// The case is over; the last line.
    Finished(Finished),
}

/// What a case's process knows of its end; the supervisor makes an `End` frame of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// Length of the pressure phase, in guest milliseconds.
    pub pressure_ms: u64,
    /// Totals of the pressure phase.
    pub counters: BTreeMap<Counter, u64>,
    /// CPU time taken away by the hypervisor in the pressure phase, in milliseconds.
    pub steal_ms: u64,
}

impl Finished {
    /// An end without a pressure phase.
    #[must_use]
    pub fn early(outcome: Outcome) -> Self {
        Self {
            outcome,
            pressure_ms: 0,
            counters: BTreeMap::new(),
            steal_ms: 0,
        }
    }
}

/// The sending end, usable from every thread of a case.
pub struct Link(Mutex<Box<dyn Write + Send>>);

impl Link {
    /// Wraps a writer.
    #[must_use]
    pub fn new(to: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(to))
    }

    /// Tells one thing.
    ///
    /// # Errors
    /// Those of the pipe: the supervisor has gone, and nobody listens any more.
    pub fn tell(&self, told: Told) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line {
            t_ns: proc::uptime_ns(),
            told,
        })?;
        line.push(b'\n');
        // A thread that panicked while it held the lock left at most half a line, which the
        // supervisor reports as such.
        let mut to = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        to.write_all(&line)?;
        to.flush()
    }
}

/// The most bytes of one line; a longer one is the suite's own failure.
pub const LINE_LEN_MAX: usize = 1 << 20;

/// Cuts a pipe's bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes bytes in and gives back the lines that they complete.
    ///
    /// # Errors
    /// A line that is not what the link carries, or is too long: why, for people.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Line>, String> {
        self.pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            lines.push(
                serde_json::from_slice(&line).map_err(|e| format!("a line of the case's process: {e}"))?,
            );
        }
        if self.pending.len() > LINE_LEN_MAX {
            return Err(format!(
                "the case's process wrote {} bytes without a newline",
                self.pending.len()
            ));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished() -> Told {
        Told::Finished(Finished::early(Outcome::Skipped {
            why: "no zswap".into(),
        }))
    }

    #[test]
    fn lines_survive_any_cut() {
        let mut bytes = Vec::new();
        for t_ns in 0..2 {
            serde_json::to_writer(
                &mut bytes,
                &Line {
                    t_ns,
                    told: finished(),
                },
            )
            .unwrap();
            bytes.push(b'\n');
        }
        for cut in 0..bytes.len() {
            let mut lines = Lines::default();
            let mut got = lines.take(&bytes[..cut]).unwrap();
            got.extend(lines.take(&bytes[cut..]).unwrap());
            let times: Vec<_> = got.iter().map(|l| l.t_ns).collect();
            assert_eq!(times, [0, 1], "cut at {cut}");
            assert_eq!(got[1].told, finished());
        }
    }

    #[test]
    fn rubbish_and_endless_lines_are_errors() {
        assert!(Lines::default().take(b"not json\n").is_err());
        assert!(Lines::default().take(&vec![b'x'; LINE_LEN_MAX + 1]).is_err());
    }
}
