//! A login with a real terminal: ours is made raw, so that every key goes to the guest, Ctrl-C included.

use super::talk::{Aside, Ended, Streams, WOULD_BLOCK};
use super::{Session, SshError};
use rustix::termios::{self, OptionalActions, Termios};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the guest is told where our side does not say which terminal it is.
const TERM: &str = "xterm";

/// Our side of an interactive login.
pub struct Terminal {
    /// The terminal that keys come from.
    pub input: OwnedFd,
    /// Becomes readable when the window's size has changed (a byte a time).
    pub resized: OwnedFd,
    /// TERM, as programs there are to see it.
    pub term: String,
}

impl Terminal {
    /// The user's own terminal.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub fn of_user(resized: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            input: io::stdin().as_fd().try_clone_to_owned()?,
            resized,
            term: std::env::var("TERM").unwrap_or_else(|_| TERM.to_owned()),
        })
    }

    /// Columns and rows.
    fn size(&self) -> (u32, u32) {
        match termios::tcgetwinsize(&self.input) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            // A serial line knows no size.
            Ok(_) | Err(_) => (80, 24),
        }
    }
}

impl Session {
    /// Runs a login shell, or `command`, on a terminal of the guest's until it ends.
    ///
    /// # Errors
    /// [`SshError`]; our terminal is as it was, however it ends.
    pub fn interactive(
        &self,
        terminal: &Terminal,
        command: Option<&str>,
        screen: &mut dyn io::Write,
    ) -> Result<Ended, SshError> {
        let mut channel = self.channel()?;
        let (columns, rows) = terminal.size();
        channel
            .request_pty(&terminal.term, None, Some((columns, rows, 0, 0)))
            .map_err(|e| SshError::step("opening a terminal", e))?;
        match command {
            Some(command) => channel.exec(command),
            None => channel.shell(),
        }
        .map_err(|e| SshError::step("starting a shell", e))?;
        let raw =
            Raw::enter(terminal.input.as_fd()).map_err(|e| SshError::io("setting the terminal up", e))?;
        let mut resize = |channel: &mut ssh2::Channel| resize(channel, terminal);
        let ended = self.converse(
            channel,
            Streams {
                stdin: Some(terminal.input.as_fd()),
                stdout: screen,
                stderr: &mut io::sink(),
            },
            None,
            Some(Aside {
                wake: terminal.resized.as_fd(),
                act: &mut resize,
            }),
        );
        drop(raw);
        ended
    }
}

/// Tells the guest the new size of the window.
fn resize(channel: &mut ssh2::Channel, terminal: &Terminal) -> Result<(), SshError> {
    let mut bytes = [0; 64];
    // Many changes are one; nothing to read means that somebody else was faster.
    let _ = rustix::io::read(&terminal.resized, &mut bytes);
    let (columns, rows) = terminal.size();
    loop {
        match channel.request_pty_size(columns, rows, None, None) {
            // The request is half sent: libssh2 wants the same call again.
            Err(e) if e.code() == ssh2::ErrorCode::Session(WOULD_BLOCK) => std::thread::yield_now(),
            Err(e) => return Err(SshError::step("telling the window's size", e)),
            Ok(()) => return Ok(()),
        }
    }
}

/// A terminal in raw mode, until this is dropped.
struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn enter(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no repair.
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
