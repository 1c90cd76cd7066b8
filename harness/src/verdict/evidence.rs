//! What one cell left behind, and what had been asked of it.

use crate::console::Splat;
use guest_tests::catalogue::Floor;
use guest_tests::protocol::Frame;
use std::time::Duration;

/// What was asked of the cell.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The cell's id, as frames repeat it.
    pub case: String,
    /// How long the pressure was to last.
    pub budget: Duration,
    /// Least rates of what had to be exercised.
    pub floors: Vec<Floor>,
    /// Racepoints that were armed.
    pub racepoints: Vec<String>,
}

/// How the stream of frames ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// Between two frames.
    Clean,
    /// Inside a frame.
    CutOff,
    /// At something that is no frame, with what was wrong.
    Broken(String),
    /// A frame's number was not the next one.
    OutOfOrder {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
}

/// What a deadline had waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The guest's first frame.
    FirstFrame,
    /// Another frame.
    NextFrame,
    /// The end of the case.
    CaseEnd,
    /// The guest's power-off after its last frame.
    PowerOff,
}

impl Waited {
    /// Words for people; fits before "did not come in time".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::FirstFrame => "the first frame",
            Self::NextFrame => "another frame",
            Self::CaseEnd => "the end of the case",
            Self::PowerOff => "the power-off",
        }
    }
}

/// How the machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered itself off.
    PoweredOff,
    /// The guest reset itself (what a panic does with `panic=-1`).
    Reset,
    /// The guest reported a panic to its machine.
    Panicked,
    /// We ended it, since something did not come.
    Deadline(Waited),
    /// We ended it, since the user wanted to stop.
    Cancelled,
    /// The emulator did not start, was killed, or gave up.
    Emulator(String),
}

/// What the host gave the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostShare {
    /// CPU seconds that the emulator got.
    pub cpu_s: f64,
    /// Seconds that its threads were ready to run and got no CPU; `None` where the host does not count them.
    pub wait_s: Option<f64>,
    /// Seconds from its start to its end.
    pub wall_s: f64,
    /// Virtual CPUs.
    pub cpus: u32,
}

impl HostShare {
    /// Whether the host kept the emulator waiting for longer than it let it run: rates say nothing then.
    #[must_use]
    pub fn starved(&self) -> bool {
        self.wait_s.is_some_and(|wait_s| wait_s > self.cpu_s.max(1.0))
    }

    /// Whether the emulator besides got less than a quarter of one CPU: what did not come in time says nothing
    /// about the guest then. (One that spins for ever on a busy host gets more, and is a hang.)
    #[must_use]
    pub fn hardly_ran(&self) -> bool {
        self.starved() && self.cpu_s < self.wall_s / 4.0
    }
}

/// Everything a verdict is made of.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// What was asked.
    pub planned: &'a Planned,
    /// Frames that can be trusted, in order.
    pub frames: &'a [Frame],
    /// How their stream ended.
    pub stream: &'a Stream,
    /// The console as it was saved; `None` where it could not be read back.
    pub console: Option<&'a [u8]>,
    /// What the console's classifier says of it, less what the allowlist forgives.
    pub splats: &'a [Splat],
    /// How the machine ended.
    pub ending: &'a Ending,
    /// What the console said when the hung guest was asked (by an NMI) what it was doing: no cause of anything.
    pub last_words: &'a str,
    /// What the host gave.
    pub host: HostShare,
}
