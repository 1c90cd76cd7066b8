//! The control socket between a job and its keeper: what is said on it, as lines of text.
//!
//! One end is held by patchproof alone (close-on-exec), the other is the standard input of keeper and init.
//! Nothing is ever sent down: the end of file is the order to die, which the kernel gives even when
//! patchproof is killed. Reports come up. Not here: who acts on them.

use super::process::Status;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The longest line that is believed, in bytes; ours stay far below.
const LINE_LEN_MAX: usize = 64 << 10;

/// How a tree of processes is owned, so that nothing of it outlives its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// A PID namespace: the kernel ends everything in it together, whatever happens to us.
    Namespace,
    /// A subreaper that looks for what it started, because no namespace was to be had (the reason is given).
    /// Its own death by SIGKILL would leave orphans.
    Subreaper(String),
}

/// One report from keeper, init or sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// The keeper owns its tree, this way.
    Mode(Ownership),
    /// The command runs.
    Started,
    /// The command ended.
    Ended(Status),
    /// The command could not be run; `errno` is 0 where the cause is not the operating system's.
    Failed { errno: i32, what: String },
    /// Bubblewrap reports that the command inside it ended with this code.
    Inside(i32),
}

impl Message {
    /// The message as it goes over the socket.
    pub(super) fn encode(&self) -> String {
        match self {
            Self::Mode(Ownership::Namespace) => "mode namespace\n".to_owned(),
            Self::Mode(Ownership::Subreaper(why)) => format!("mode subreaper {}\n", one_line(why)),
            Self::Started => "started\n".to_owned(),
            Self::Ended(Status::Exit(code)) => format!("exited {code}\n"),
            Self::Ended(Status::Signal(number)) => format!("signalled {number}\n"),
            Self::Failed { errno, what } => format!("failed {errno} {}\n", one_line(what)),
            Self::Inside(code) => format!("{{ \"exit-code\": {code} }}\n"),
        }
    }

    /// Reads one line; `None` for what is of no interest here (bubblewrap reports its child's number, for one).
    pub(super) fn decode(line: &str) -> Option<Self> {
        if line.starts_with('{') {
            let object: serde_json::Value = serde_json::from_str(line).ok()?;
            let code = object.get("exit-code")?.as_i64()?;
            return i32::try_from(code).ok().map(Self::Inside);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "mode" => match rest.split_once(' ').unwrap_or((rest, "")) {
                ("namespace", _) => Some(Self::Mode(Ownership::Namespace)),
                ("subreaper", why) => Some(Self::Mode(Ownership::Subreaper(why.to_owned()))),
                _ => None,
            },
            "started" => Some(Self::Started),
            "exited" => rest.parse().ok().map(|code| Self::Ended(Status::Exit(code))),
            "signalled" => rest
                .parse()
                .ok()
                .map(|number| Self::Ended(Status::Signal(number))),
            "failed" => {
                let (errno, what) = rest.split_once(' ')?;
                Some(Self::Failed {
                    errno: errno.parse().ok()?,
                    what: what.to_owned(),
                })
            }
            _ => None,
        }
    }

    /// A failure of the operating system, with what was being done.
    pub(super) fn failed(what: impl Into<String>, source: &io::Error) -> Self {
        match source.raw_os_error() {
            Some(errno) => Self::Failed {
                errno,
                what: what.into(),
            },
            None => Self::Failed {
                errno: 0,
                what: format!("{}: {source}", what.into()),
            },
        }
    }

    /// Sends the message up `socket`. That patchproof is gone is no error: the end of file says so as well.
    pub(super) fn send(&self, socket: impl AsFd) {
        let line = self.encode();
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match nix::unistd::write(&socket, rest) {
                Ok(written) => rest = &rest[written..],
                Err(nix::Error::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// What reading the control socket gave.
pub(super) enum Heard {
    /// A report.
    Message(Message),
    /// Every process that held the other end is gone.
    End,
    /// The given moment came first.
    TimedOut,
}

/// Reads reports on patchproof's side.
pub(super) struct Listener {
    socket: UnixStream,
    pending: Vec<u8>,
}

impl Listener {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            pending: Vec::new(),
        }
    }

    /// Waits for the next report, at most until `deadline`.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Heard> {
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                if let Some(message) = Message::decode(String::from_utf8_lossy(&line).trim_end()) {
                    return Ok(Heard::Message(message));
                }
            }
            if self.pending.len() > LINE_LEN_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the keeper's report has no end",
                ));
            }
            let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return Ok(Heard::TimedOut),
                left => left,
            };
            self.socket.set_read_timeout(timeout)?;
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Ok(Heard::End),
                Ok(length) => self.pending.extend_from_slice(&chunk[..length]),
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted) => {}
                // Around again: the check of the deadline decides.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset) => {
                    return Ok(Heard::End);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_socket() {
        let messages = [
            Message::Mode(Ownership::Namespace),
            Message::Mode(Ownership::Subreaper("unshare: not permitted".to_owned())),
            Message::Started,
            Message::Ended(Status::Exit(255)),
            Message::Ended(Status::Signal(11)),
            Message::Failed {
                errno: 2,
                what: "running /x y".to_owned(),
            },
            Message::Inside(3),
        ];
        let (ours, theirs) = UnixStream::pair().unwrap();
        for message in &messages {
            message.send(&theirs);
        }
        drop(theirs);
        let mut listener = Listener::new(ours);
        for expected in &messages {
            let Heard::Message(heard) = listener.next(None).unwrap() else {
                panic!("{expected:?} was lost")
            };
            assert_eq!(&heard, expected);
        }
        assert!(matches!(listener.next(None).unwrap(), Heard::End));
    }

    #[test]
    fn a_newline_in_a_cause_forges_no_second_message() {
        let forged = Message::Failed {
            errno: 0,
            what: "a\nexited 0".to_owned(),
        };
        assert_eq!(forged.encode().lines().count(), 1);
    }

    #[test]
    fn what_bubblewrap_says_besides_is_ignored() {
        assert_eq!(
            Message::decode("{ \"child-pid\": 41, \"net-namespace\": 4026532 }"),
            None
        );
        assert_eq!(Message::decode("{ \"exit-code\": \"0\" }"), None);
        assert_eq!(Message::decode("exited"), None);
        assert_eq!(Message::decode(""), None);
    }
}
