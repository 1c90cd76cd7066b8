//! One command in a guest: its streams kept apart, and its true end.

use super::{Session, SshError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// What one read takes at most, in bytes.
const CHUNK: usize = 32 << 10;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exit(i32),
    /// A signal ended it: `KILL`, `SEGV` …
    Signal(String),
}

impl Ended {
    /// The status that a shell would show.
    #[must_use]
    pub fn status(&self) -> i32 {
        match self {
            Self::Exit(status) => *status,
            Self::Signal(name) => {
                let signal = format!("SIG{name}").parse::<nix::sys::signal::Signal>();
                128 + signal.map_or(0, |signal| signal as i32)
            }
        }
    }
}

/// Where a command's streams go, and where its input comes from.
pub struct Streams<'a> {
    /// Standard input; without it the command finds its end at once.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Takes standard output.
    pub stdout: &'a mut dyn Write,
    /// Takes standard error.
    pub stderr: &'a mut dyn Write,
}

/// What else may happen while a command runs.
pub(super) struct Aside<'a> {
    /// Becomes readable when `act` is to be called.
    pub(super) wake: BorrowedFd<'a>,
    /// Called with the channel, which does not block.
    pub(super) act: &'a mut dyn FnMut(&mut ssh2::Channel) -> Result<(), SshError>,
}

impl Session {
    /// Runs a command line of the guest's shell to its end, at most for `limit`.
    ///
    /// # Errors
    /// [`SshError`]: a connection that is lost is never an exit status.
    pub fn run(
        &self,
        command: &str,
        streams: Streams<'_>,
        limit: Option<Duration>,
    ) -> Result<Ended, SshError> {
        let mut channel = self.channel()?;
        channel
            .exec(command)
            .map_err(|e| SshError::step("starting the command", e))?;
        self.converse(channel, streams, limit, None)
    }

    /// Passes everything on until the other side has closed the channel.
    pub(super) fn converse(
        &self,
        mut channel: ssh2::Channel,
        streams: Streams<'_>,
        limit: Option<Duration>,
        mut aside: Option<Aside<'_>>,
    ) -> Result<Ended, SshError> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut input = Input::default();
        if streams.stdin.is_none() {
            channel
                .send_eof()
                .map_err(|e| SshError::step("closing the command's input", e))?;
            input.ended = true;
        }
        self.raw.set_blocking(false);
        while !channel.eof() {
            let out = drain(&mut channel.stream(0), streams.stdout)?;
            let err = drain(&mut channel.stderr(), streams.stderr)?;
            let sent = input.pass_on(&mut channel)?;
            if out || err || sent || channel.eof() {
                continue;
            }
            let from = streams.stdin.filter(|_| input.wants());
            let ready = self.wait(from, aside.as_ref().map(|a| a.wake), until)?;
            if ready.timed_out {
                let after = limit.unwrap_or_default();
                return Err(SshError::Late { after });
            }
            if let (true, Some(from)) = (ready.input, from) {
                input.take(from)?;
            }
            if let (true, Some(aside)) = (ready.wake, aside.as_mut()) {
                (aside.act)(&mut channel)?;
            }
        }
        self.raw.set_blocking(true);
        self.ended(channel)
    }

    /// Takes leave, and learns how the command ended.
    fn ended(&self, mut channel: ssh2::Channel) -> Result<Ended, SshError> {
        // Only a channel that the other side closed has told how its command ended.
        channel
            .close()
            .and_then(|()| channel.wait_close())
            .map_err(|e| SshError::step("learning how the command ended", e))?;
        let signal = channel
            .exit_signal()
            .map_err(|e| SshError::step("learning how the command ended", e))?;
        if let Some(signal) = signal.exit_signal {
            return Ok(Ended::Signal(signal));
        }
        let status = channel
            .exit_status()
            .map_err(|e| SshError::step("learning how the command ended", e))?;
        Ok(Ended::Exit(status))
    }

    fn wait(
        &self,
        input: Option<BorrowedFd<'_>>,
        wake: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
    ) -> Result<Ready, SshError> {
        let mut on_wire = PollFlags::POLLIN;
        if self.raw.block_directions() != ssh2::BlockDirections::Inbound {
            on_wire |= PollFlags::POLLOUT;
        }
        let mut fds = vec![PollFd::new(self.wire.as_fd(), on_wire)];
        fds.extend(input.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(wake.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            let left = until.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let count = match poll(&mut fds, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => return Ok(Ready::default()),
            Err(e) => return Err(SshError::io("waiting for the guest", e.into())),
        };
        let any = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let mut rest = fds.iter().skip(1);
        Ok(Ready {
            timed_out: count == 0,
            input: input.is_some() && rest.next().is_some_and(any),
            wake: wake.is_some() && rest.next().is_some_and(any),
        })
    }
}

/// What is ready.
#[derive(Default)]
struct Ready {
    timed_out: bool,
    input: bool,
    wake: bool,
}

/// Input on its way to the guest.
#[derive(Default)]
struct Input {
    waiting: Vec<u8>,
    ended: bool,
    told: bool,
}

impl Input {
    /// Whether there is room for more.
    fn wants(&self) -> bool {
        !self.ended && self.waiting.is_empty()
    }

    fn take(&mut self, from: BorrowedFd<'_>) -> Result<(), SshError> {
        let mut chunk = vec![0; CHUNK];
        let count = loop {
            match nix::unistd::read(from, &mut chunk) {
                Err(nix::errno::Errno::EINTR) => {}
                // A terminal that hung up.
                Err(nix::errno::Errno::EIO) => break 0,
                Err(nix::errno::Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(SshError::io("reading the input", e.into())),
                Ok(count) => break count,
            }
        };
        self.ended = count == 0;
        self.waiting.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// Sends what waits; tells whether anything went.
    fn pass_on(&mut self, channel: &mut ssh2::Channel) -> Result<bool, SshError> {
        if !self.waiting.is_empty() {
            return match channel.write(&self.waiting) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    Ok(count > 0)
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(source) => Err(SshError::Wire {
                    doing: "sending the input",
                    source,
                }),
            };
        }
        if self.ended && !self.told {
            return match channel.send_eof() {
                Ok(()) => {
                    self.told = true;
                    Ok(true)
                }
                Err(e) if e.code() == ssh2::ErrorCode::Session(WOULD_BLOCK) => Ok(false),
                Err(e) => Err(SshError::step("closing the command's input", e)),
            };
        }
        Ok(false)
    }
}

/// libssh2's number for what has to be tried again later.
pub(super) const WOULD_BLOCK: i32 = -37;

/// Passes on what has come; tells whether anything had.
fn drain(from: &mut ssh2::Stream, to: &mut dyn Write) -> Result<bool, SshError> {
    let mut chunk = vec![0; CHUNK];
    let mut any = false;
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(any),
            Ok(count) => {
                any = true;
                to.write_all(&chunk[..count])
                    .and_then(|()| to.flush())
                    .map_err(|e| SshError::io("writing the command's output", e))?;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            Err(source) => {
                return Err(SshError::Wire {
                    doing: "reading the command's output",
                    source,
                });
            }
        }
    }
}
