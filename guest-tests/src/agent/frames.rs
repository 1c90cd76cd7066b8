//! What leaves the agent: numbered frames to any number of sinks, and each number to the kernel's log.

use super::ktap::Ktap;
use crate::protocol::{Body, Frame, encode, kmsg_line};
use crate::sys::proc;
use std::fs::File;
use std::io::{self, Write};

/// Level of the lines in the kernel's log: warning, which `loglevel=5` shows on the console.
const KMSG_LEVEL: u8 = 4;

/// Something that takes frames.
pub enum Sink {
    /// A stream of frames on the wire.
    Wire(Box<dyn Write>),
    /// Lines for people.
    Ktap(Ktap, Box<dyn Write>),
}

/// The one place that numbers frames.
pub struct Frames {
    next: u64,
    sinks: Vec<Sink>,
    kmsg: Option<File>,
}

impl Frames {
    /// Starts at frame 0. `kmsg` is /dev/kmsg, where frame numbers are to go into the kernel's log.
    #[must_use]
    pub fn new(sinks: Vec<Sink>, kmsg: Option<File>) -> Self {
        Self { next: 0, sinks, kmsg }
    }

    /// Sends one frame about now.
    ///
    /// # Errors
    /// Those of the sinks, after every sink was tried.
    pub fn send(&mut self, body: Body) -> io::Result<()> {
        self.send_at(proc::uptime_ns(), body)
    }

    /// Sends one frame about something that happened at `t_ns`.
    ///
    /// # Errors
    /// Those of the sinks, after every sink was tried.
    pub fn send_at(&mut self, t_ns: u64, body: Body) -> io::Result<()> {
        let frame = Frame {
            seq: self.next,
            t_ns,
            body,
        };
        self.next += 1;
        self.note(frame.seq);
        let mut outcome = Ok(());
        for sink in &mut self.sinks {
            let sent = match sink {
                // In one call: half a frame of a guest that dies here is worth nothing.
                Sink::Wire(to) => encode(&frame)
                    .and_then(|wire| to.write_all(&wire))
                    .and_then(|()| to.flush()),
                Sink::Ktap(ktap, to) => ktap
                    .lines(&frame.body)
                    .iter()
                    .try_for_each(|line| writeln!(to, "{line}")),
            };
            outcome = outcome.and(sent);
        }
        outcome
    }

    /// Writes a frame's number into the kernel's log. A log that refuses it costs only the common clock.
    fn note(&mut self, seq: u64) {
        if let Some(kmsg) = &mut self.kmsg {
            let _ = kmsg.write_all(format!("<{KMSG_LEVEL}>{}", kmsg_line(seq)).as_bytes());
        }
    }

    /// Writes a line of the suite's own into the kernel's log (beside the frames, for people).
    pub fn log(&mut self, line: &str) {
        if let Some(kmsg) = &mut self.kmsg {
            let _ = kmsg.write_all(format!("<{KMSG_LEVEL}>patchproof: {line}").as_bytes());
        }
    }

    /// Whether nothing was sent yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.next == 0
    }
}

/// Opens the kernel's log for writing, where there is one.
#[must_use]
pub fn open_kmsg() -> Option<File> {
    std::fs::OpenOptions::new().write(true).open("/dev/kmsg").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Done, read_frame};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn frames_are_numbered_without_gaps_and_one_broken_sink_stops_no_other() {
        let wire = Shared::default();
        let sinks = vec![Sink::Wire(Box::new(Broken)), Sink::Wire(Box::new(wire.clone()))];
        let mut frames = Frames::new(sinks, None);
        for cases in 0..3 {
            assert!(frames.send(Body::Done(Done { cases, taint: 0 })).is_err());
        }
        let bytes = wire.0.lock().unwrap().clone();
        let mut from = bytes.as_slice();
        for seq in 0..3 {
            assert_eq!(read_frame(&mut from).unwrap().seq, seq);
        }
    }
}
