//! What host and guest say to each other: one [`Request`] down, a sequence of [`Frame`]s up.
//!
//! The request is a JSON file in the guest ([`REQUEST_PATH`], or what `--request` names). Frames go
//! up a virtio-serial port of their own ([`PORT_NAME`]). On the wire a frame is a header of
//! [`HEADER_LEN`] bytes (magic, payload length, CRC-32 of the payload; little-endian) and a JSON
//! payload. Lengths are checked before anything is allocated. Frames are numbered from 0 without
//! gaps; the agent writes each number into /dev/kmsg as well (see [`kmsg_line`]), so that frames
//! and console share one clock.
//!
//! Not here: any judgement. A frame states what was seen; `harness::verdict` decides what it means.

use crate::catalogue::{Counter, Workload};
use crate::model::Mismatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// Version of this protocol; host and guest refuse each other when it differs.
pub const VERSION: u32 = 1;
/// Name of the virtio-serial port that carries frames.
pub const PORT_NAME: &str = "patchproof.frames";
/// Where the agent as PID 1 finds its request.
pub const REQUEST_PATH: &str = "/patchproof/request.json";
/// The largest payload of one frame, in bytes.
pub const PAYLOAD_LEN_MAX: u32 = 1 << 20;
/// Length of a frame's header on the wire, in bytes.
pub const HEADER_LEN: usize = 12;
/// First four bytes of every frame on the wire: "PPF1".
pub const MAGIC: u32 = u32::from_le_bytes(*b"PPF1");

/// What one boot of a guest is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Protocol version ([`VERSION`]).
    pub v: u32,
    /// Number that stamps of this boot carry, so that a page of another boot is told apart.
    pub run: u32,
    /// The cases to run, in order.
    pub cases: Vec<CaseRequest>,
}

/// One case: a workload with its parameters, a seed and a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseRequest {
    /// The cell's id, repeated in every frame about it.
    pub id: String,
    /// What to run.
    pub workload: Workload,
    /// Seed of every random choice the workload makes.
    pub seed: u64,
    /// How long the workload keeps up the pressure, in guest milliseconds.
    pub budget_ms: u64,
    /// Racepoints to arm for the length of the case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub racepoints: Vec<Arm>,
}

/// The name of an [`Arm`] that means one to three racepoints, drawn by the seed, others every few
/// seconds, each with delays drawn from those given. No racepoint has this name.
pub const RANDOM: &str = "random";

/// One armed racepoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// The racepoint's name: a directory of /sys/kernel/debug/racepoint.
    pub name: String,
    /// Shortest delay, in microseconds.
    pub delay_us_min: u32,
    /// Longest delay, in microseconds.
    pub delay_us_max: u32,
    /// Longest hold, in microseconds: the workload's script holds threads there, and there is no delay.
    /// 0 for a racepoint that delays.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hold_us_max: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One numbered message of the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Number of the frame, from 0, without gaps.
    pub seq: u64,
    /// Guest time since boot, in nanoseconds (the clock of the kernel's log).
    pub t_ns: u64,
    /// What is said.
    pub body: Body,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// First frame: the guest is up.
    Hello(Hello),
    /// A case starts; detection times count from here.
    Start(Start),
    /// Counters so far, several times a second.
    Progress(Progress),
    /// The kernel broke a promise.
    Finding(Finding),
    /// What a case covered.
    Coverage(Coverage),
    /// A case has ended.
    End(End),
    /// Last frame: every case has ended and the guest powers off.
    Done(Done),
}

/// The guest is up: who it is and what its kernel can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol version ([`VERSION`]).
    pub v: u32,
    /// `uname -r` of the kernel.
    pub release: String,
    /// CPUs online.
    pub cpus: u32,
    /// MemTotal, in KiB.
    pub memory_kib: u64,
    /// /proc/sys/kernel/tainted at start.
    pub taint: u64,
    /// What the kernel was found to offer, by name (`zswap`, `racepoints`, `memcg` …).
    pub features: BTreeMap<String, bool>,
}

/// A case starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The cell's id.
    pub case: String,
}

/// Counters so far. All values are totals since the case started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The cell's id.
    pub case: String,
    /// Since the case started, in guest milliseconds.
    pub elapsed_ms: u64,
    /// What was exercised so far.
    pub counters: BTreeMap<Counter, u64>,
    /// CPU time that the hypervisor took away from the guest since the case started, in milliseconds (all CPUs).
    pub steal_ms: u64,
}

/// What a case covered: how often each of the things that it composes on purpose was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The cell's id.
    pub case: String,
    /// By its words; what was not met is there with 0.
    pub met: BTreeMap<String, u64>,
}

/// The kernel broke a promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The cell's id.
    pub case: String,
    /// What was seen.
    pub what: Seen,
    /// One line for people.
    pub title: String,
    /// Context: swap slot, counters, last operations … (free form, shown as it is).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
}

/// The kinds of evidence a guest can give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Seen {
    /// A page that holds what it must not hold.
    Mismatch(Mismatch),
    /// A worker made no progress for longer than its deadline.
    Hang {
        /// The worker's name.
        worker: String,
        /// /proc/PID/task/TID/stack, where readable.
        stack: String,
    },
    /// Something that had to be gone at teardown is still there.
    Leak {
        /// What is left: `zswap_stored_pages`, `swap_used` …
        what: String,
        /// How much of it.
        left: u64,
    },
    /// Two of the kernel's own counters that must agree at rest do not.
    Conservation {
        /// Which counters.
        what: String,
        /// The first one's value.
        one: u64,
        /// The other one's value.
        other: u64,
    },
    /// The machine ran out of memory outside of every limit that the workload had set.
    OutOfMemory {
        /// Processes that the kernel ended for it.
        kills: u64,
    },
    /// The kernel's taint mask grew while the case ran.
    Taint {
        /// Before.
        before: u64,
        /// After.
        after: u64,
    },
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The budget was used up (or a finding ended it) and teardown ran.
    Completed,
    /// The kernel lacks what the case needs.
    Skipped {
        /// What is missing.
        why: String,
    },
    /// The suite itself failed: nothing is said about the kernel.
    Failed {
        /// What went wrong, with the path or call that it went wrong at.
        error: String,
    },
}

/// A case has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The cell's id.
    pub case: String,
    /// How.
    pub outcome: Outcome,
    /// Length of the pressure phase, in guest milliseconds (what rates are computed from).
    pub pressure_ms: u64,
    /// What was exercised, totals of the pressure phase.
    pub counters: BTreeMap<Counter, u64>,
    /// Hits of each armed racepoint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub racepoint_hits: BTreeMap<String, u64>,
    /// Holds that timed out, over all racepoints (a case with any is inconclusive).
    pub holds_timed_out: u64,
    /// CPU time that the hypervisor took away during the pressure phase, in milliseconds.
    pub steal_ms: u64,
}

/// Everything has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Cases that ended.
    pub cases: u32,
    /// /proc/sys/kernel/tainted at the end.
    pub taint: u64,
}

/// The line that goes into the kernel's log with frame `seq`.
#[must_use]
pub fn kmsg_line(seq: u64) -> String {
    format!("patchproof: frame {seq}")
}

/// Why bytes could not be read as a frame.
#[derive(Debug)]
pub enum WireError {
    /// The stream ended between two frames.
    End,
    /// The stream ended inside a frame.
    CutOff,
    /// The first bytes are not [`MAGIC`].
    Magic(u32),
    /// The header promises more than [`PAYLOAD_LEN_MAX`].
    TooLong(u32),
    /// The payload's checksum does not match the header's.
    Checksum,
    /// The payload is not a frame.
    Json(serde_json::Error),
    /// Reading failed.
    Io(io::Error),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => write!(f, "the stream ended"),
            Self::CutOff => write!(f, "the stream ended inside a frame"),
            Self::Magic(m) => write!(f, "expected the start of a frame, found {m:#010x}"),
            Self::TooLong(n) => write!(
                f,
                "a frame claims {n} bytes, more than the {PAYLOAD_LEN_MAX} allowed"
            ),
            Self::Checksum => write!(f, "a frame's checksum does not match"),
            Self::Json(e) => write!(f, "a frame's payload is not valid: {e}"),
            Self::Io(e) => write!(f, "reading frames failed: {e}"),
        }
    }
}

impl std::error::Error for WireError {}

/// Encodes one frame for the wire.
///
/// # Errors
/// When the payload would be larger than [`PAYLOAD_LEN_MAX`].
pub fn encode(frame: &Frame) -> io::Result<Vec<u8>> {
    let payload = serde_json::to_vec(frame)?;
    let len = u32::try_from(payload.len())
        .ok()
        .filter(|&n| n <= PAYLOAD_LEN_MAX);
    let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "frame too large"))?;
    let mut wire = Vec::with_capacity(HEADER_LEN + payload.len());
    wire.extend_from_slice(&MAGIC.to_le_bytes());
    wire.extend_from_slice(&len.to_le_bytes());
    wire.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    wire.extend_from_slice(&payload);
    Ok(wire)
}

/// Writes one frame in one call, so that a stream never holds half a frame of a living guest.
///
/// # Errors
/// Those of the writer, and a frame that is too large.
pub fn write_frame(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    to.write_all(&encode(frame)?)?;
    to.flush()
}

/// Reads one frame.
///
/// # Errors
/// [`WireError::End`] at a clean end of the stream; any other error means that the stream can't be
/// trusted from here on.
pub fn read_frame(from: &mut impl Read) -> Result<Frame, WireError> {
    let mut header = [0u8; HEADER_LEN];
    fill(from, &mut header).map_err(|e| match e {
        Fill::Short(0) => WireError::End,
        Fill::Short(_) => WireError::CutOff,
        Fill::Io(e) => WireError::Io(e),
    })?;
    let (len, crc) = parse_header(&header)?;
    let mut payload = vec![0u8; len as usize];
    fill(from, &mut payload).map_err(|e| match e {
        Fill::Short(_) => WireError::CutOff,
        Fill::Io(e) => WireError::Io(e),
    })?;
    parse_payload(&payload, crc)
}

/// Reads a header: payload length and checksum.
///
/// # Errors
/// [`WireError::Magic`] and [`WireError::TooLong`].
pub fn parse_header(header: &[u8; HEADER_LEN]) -> Result<(u32, u32), WireError> {
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (magic, len, crc) = (word(0), word(4), word(8));
    if magic != MAGIC {
        return Err(WireError::Magic(magic));
    }
    if len > PAYLOAD_LEN_MAX {
        return Err(WireError::TooLong(len));
    }
    Ok((len, crc))
}

/// Reads a payload whose header has been read.
///
/// # Errors
/// [`WireError::Checksum`] and [`WireError::Json`].
pub fn parse_payload(payload: &[u8], crc: u32) -> Result<Frame, WireError> {
    if crc32fast::hash(payload) != crc {
        return Err(WireError::Checksum);
    }
    serde_json::from_slice(payload).map_err(WireError::Json)
}

enum Fill {
    Short(usize),
    Io(io::Error),
}

fn fill(from: &mut impl Read, buf: &mut [u8]) -> Result<(), Fill> {
    let mut at = 0;
    while at < buf.len() {
        match from.read(&mut buf[at..]) {
            Ok(0) => return Err(Fill::Short(at)),
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Fill::Io(e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64) -> Frame {
        Frame {
            seq,
            t_ns: 7,
            body: Body::Done(Done { cases: 1, taint: 0 }),
        }
    }

    #[test]
    fn frames_survive_the_wire() {
        let mut wire = Vec::new();
        for seq in 0..3 {
            write_frame(&mut wire, &frame(seq)).unwrap();
        }
        let mut from = wire.as_slice();
        for seq in 0..3 {
            assert_eq!(read_frame(&mut from).unwrap(), frame(seq));
        }
        assert!(matches!(read_frame(&mut from), Err(WireError::End)));
    }

    #[test]
    fn every_cut_is_told_apart_from_the_end() {
        let wire = encode(&frame(0)).unwrap();
        for cut in 1..wire.len() {
            assert!(
                matches!(read_frame(&mut &wire[..cut]), Err(WireError::CutOff)),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        let mut wire = encode(&frame(0)).unwrap();
        wire[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            read_frame(&mut wire.as_slice()),
            Err(WireError::TooLong(u32::MAX))
        ));
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut wire = encode(&frame(0)).unwrap();
        let last = wire.len() - 1;
        wire[last] ^= 1;
        assert!(matches!(
            read_frame(&mut wire.as_slice()),
            Err(WireError::Checksum)
        ));
    }
}
