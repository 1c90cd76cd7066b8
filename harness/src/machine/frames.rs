//! Frames as they arrive: bytes in, frames and faults out. Pure.
//!
//! A guest may say anything. Whatever it says becomes data: a gap in the numbers, a stream that
//! was cut off, a length that lies. After a wire error nothing further of the stream is believed.
//!
//! Not here: what a fault means for the verdict.

use guest_tests::protocol::{self, Body, Done, Frame, HEADER_LEN, Hello, WireError};
use std::collections::VecDeque;

/// Payload bytes of frames that are kept at each end of a stream; progress of days fits.
const KEPT_EACH_END: usize = 4 << 20;
/// Gaps in the numbers that are kept one by one.
const GAPS_KEPT: usize = 64;

/// How the stream of frames ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// Between two frames, or without any.
    Clean,
    /// Inside a frame that starts at this byte.
    CutOff {
        /// Offset in the stream.
        at: u64,
    },
    /// Bytes that are no frame start at this byte; what follows was not read.
    Broken {
        /// Offset in the stream.
        at: u64,
        /// What is wrong there.
        why: String,
    },
    /// Reading was given up while the stream was still open.
    Open,
}

/// A frame whose number is not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The number that was due.
    pub expected: u64,
    /// The number that came.
    pub found: u64,
}

/// Takes bytes as they come and gives frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buf: Vec<u8>,
    /// Offset in the stream of the first byte of `buf`.
    at: u64,
    broken: Option<String>,
}

impl Decoder {
    /// Takes the next bytes; `each` gets every frame that they complete and the length of its payload.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Frame, usize)) {
        if self.broken.is_some() {
            return;
        }
        self.buf.extend_from_slice(bytes);
        let mut done = 0;
        loop {
            match next(&self.buf[done..]) {
                Ok(None) => break,
                Ok(Some((frame, payload_len))) => {
                    done += HEADER_LEN + payload_len;
                    each(frame, payload_len);
                }
                Err(e) => {
                    self.broken = Some(e.to_string());
                    break;
                }
            }
        }
        self.at += done as u64;
        self.buf.drain(..done);
        if self.broken.is_some() {
            self.buf = Vec::new();
        }
    }

    /// Says how the stream ended, once no more bytes will come.
    #[must_use]
    pub fn finish(self) -> StreamEnd {
        match self.broken {
            Some(why) => StreamEnd::Broken { at: self.at, why },
            None if self.buf.is_empty() => StreamEnd::Clean,
            None => StreamEnd::CutOff { at: self.at },
        }
    }
}

/// Reads the frame at the start of `buf`; `None` where it is not complete yet.
fn next(buf: &[u8]) -> Result<Option<(Frame, usize)>, WireError> {
    let Some(header) = buf.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let (len, crc) = protocol::parse_header(header)?;
    let len = len as usize;
    let Some(payload) = buf.get(HEADER_LEN..HEADER_LEN + len) else {
        return Ok(None);
    };
    Ok(Some((protocol::parse_payload(payload, crc)?, len)))
}

/// Every frame of a machine, in order of arrival, and what is wrong with the stream.
#[derive(Debug, Clone)]
pub struct FrameLog {
    head: Vec<Frame>,
    head_len: usize,
    tail: VecDeque<(Frame, usize)>,
    tail_len: usize,
    next_seq: u64,
    /// Frames that arrived.
    pub total: u64,
    /// Frames left out between the first and the last ones, for want of room.
    pub left_out: u64,
    /// Numbers that were not the next one; the first 64 of them.
    pub gaps: Vec<Gap>,
    /// How many there were.
    pub gaps_total: u64,
    /// Frames that came after the last one, `done`.
    pub after_done: u64,
    /// How the stream ended.
    pub end: StreamEnd,
    done: Option<Done>,
}

impl Default for FrameLog {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            head_len: 0,
            tail: VecDeque::new(),
            tail_len: 0,
            next_seq: 0,
            total: 0,
            left_out: 0,
            gaps: Vec::new(),
            gaps_total: 0,
            after_done: 0,
            end: StreamEnd::Open,
            done: None,
        }
    }
}

impl FrameLog {
    /// Takes the next frame.
    pub fn push(&mut self, frame: Frame, payload_len: usize) {
        if frame.seq != self.next_seq {
            self.gaps_total += 1;
            if self.gaps.len() < GAPS_KEPT {
                self.gaps.push(Gap {
                    expected: self.next_seq,
                    found: frame.seq,
                });
            }
        }
        self.next_seq = frame.seq.saturating_add(1);
        self.total += 1;
        if self.done.is_some() {
            self.after_done += 1;
        }
        if let Body::Done(done) = &frame.body {
            self.done.get_or_insert_with(|| done.clone());
        }
        if self.tail.is_empty() && self.head_len + payload_len <= KEPT_EACH_END {
            self.head_len += payload_len;
            self.head.push(frame);
            return;
        }
        self.tail_len += payload_len;
        self.tail.push_back((frame, payload_len));
        while self.tail_len > KEPT_EACH_END
            && let Some((_, len)) = self.tail.pop_front()
        {
            self.tail_len -= len;
            self.left_out += 1;
        }
    }

    /// The frames that were kept, in order of arrival.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.head.iter().chain(self.tail.iter().map(|(frame, _)| frame))
    }

    /// The first frame, where it is a hello.
    #[must_use]
    pub fn hello(&self) -> Option<&Hello> {
        match self.head.first().map(|f| &f.body) {
            Some(Body::Hello(hello)) => Some(hello),
            _ => None,
        }
    }

    /// The guest's word that every case has ended.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        self.done.as_ref()
    }

    /// Whether nothing is wrong with the stream: numbers without gaps, a clean end, `done` last, nothing left out.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.gaps_total == 0
            && self.left_out == 0
            && self.after_done == 0
            && self.done.is_some()
            && self.end == StreamEnd::Clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_tests::protocol::{MAGIC, Start, encode};

    fn frame(seq: u64) -> Frame {
        Frame {
            seq,
            t_ns: seq,
            body: Body::Start(Start {
                case: "c".repeat(seq as usize % 5),
            }),
        }
    }

    fn done(seq: u64) -> Frame {
        Frame {
            seq,
            t_ns: seq,
            body: Body::Done(Done { cases: 1, taint: 0 }),
        }
    }

    fn decode(wire: &[u8], chunk: usize) -> (Vec<Frame>, StreamEnd) {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        wire.chunks(chunk)
            .for_each(|c| decoder.push(c, |f, _| frames.push(f)));
        (frames, decoder.finish())
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_frames() {
        let frames: Vec<_> = (0..9).map(frame).collect();
        let wire: Vec<u8> = frames.iter().flat_map(|f| encode(f).unwrap()).collect();
        for chunk in 1..wire.len() {
            assert_eq!(
                decode(&wire, chunk),
                (frames.clone(), StreamEnd::Clean),
                "pieces of {chunk}"
            );
        }
    }

    #[test]
    fn a_stream_cut_off_anywhere_keeps_what_came_before() {
        let first = encode(&frame(0)).unwrap();
        let wire = [first.clone(), encode(&frame(1)).unwrap()].concat();
        for cut in first.len() + 1..wire.len() {
            let at = first.len() as u64;
            assert_eq!(
                decode(&wire[..cut], 7),
                (vec![frame(0)], StreamEnd::CutOff { at }),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn nothing_after_a_broken_frame_is_believed() {
        let (one, two) = (encode(&frame(0)).unwrap(), encode(&frame(1)).unwrap());
        let mut lying = one.clone();
        lying[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut flipped = one.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut no_frame = MAGIC.to_le_bytes().to_vec();
        no_frame.extend(2u32.to_le_bytes());
        no_frame.extend(crc32(b"{}").to_le_bytes());
        no_frame.extend(b"{}");
        for (bad, why) in [
            (lying, "claims 4294967295 bytes"),
            (flipped, "checksum"),
            (no_frame, "not valid"),
            (b"[ 0.1] oops ".to_vec(), "start of a frame"),
        ] {
            let wire = [one.clone(), bad, two.clone()].concat();
            for chunk in [1, 11, wire.len()] {
                let (frames, end) = decode(&wire, chunk);
                assert_eq!(frames, [frame(0)]);
                let StreamEnd::Broken { at, why: got } = end else {
                    panic!("{end:?}")
                };
                assert!(at == one.len() as u64 && got.contains(why), "{got} at {at}");
            }
        }
    }

    /// CRC-32, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let bit = |crc: u32| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        };
        !bytes.iter().fold(u32::MAX, |crc, &b| {
            (0..8).fold(crc ^ u32::from(b), |crc, _| bit(crc))
        })
    }

    #[test]
    fn gaps_repeats_and_late_frames_are_counted() {
        let mut log = FrameLog::default();
        for f in [frame(0), frame(2), frame(2), done(3), frame(4)] {
            log.push(f, 10);
        }
        log.end = StreamEnd::Clean;
        assert_eq!(
            log.gaps,
            [
                Gap {
                    expected: 1,
                    found: 2
                },
                Gap {
                    expected: 3,
                    found: 2
                }
            ]
        );
        assert_eq!((log.gaps_total, log.after_done, log.total), (2, 1, 5));
        assert!(!log.is_sound());
    }

    #[test]
    fn only_a_whole_stream_is_sound() {
        let whole = |frames: &[Frame], end: StreamEnd| {
            let mut log = FrameLog {
                end,
                ..FrameLog::default()
            };
            frames.iter().for_each(|f| log.push(f.clone(), 10));
            log.is_sound()
        };
        assert!(whole(&[frame(0), done(1)], StreamEnd::Clean));
        assert!(!whole(&[], StreamEnd::Clean));
        assert!(!whole(&[frame(0)], StreamEnd::Clean));
        assert!(!whole(&[frame(0), done(1)], StreamEnd::Open));
        assert!(!whole(&[frame(0), done(1)], StreamEnd::CutOff { at: 1 }));
        assert!(!whole(&[frame(1), done(2)], StreamEnd::Clean));
    }

    #[test]
    fn a_guest_that_talks_without_end_is_bounded() {
        let mut log = FrameLog::default();
        for seq in 0..24 {
            log.push(frame(seq), 1 << 20);
        }
        let kept: Vec<u64> = log.frames().map(|f| f.seq).collect();
        assert_eq!(kept, [0, 1, 2, 3, 20, 21, 22, 23]);
        assert_eq!((log.total, log.left_out), (24, 16));
    }
}
