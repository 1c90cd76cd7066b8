//! QEMU's own words about a machine (QMP): why it stopped, whether its guest panicked, whether the
//! host failed it. Nothing is guessed from exit codes where QEMU can be asked.
//!
//! Not here: what is done about it.

use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The longest line that is read; QEMU's are a few hundred bytes.
const LINE_LEN_MAX: u64 = 1 << 18;

/// Why QEMU stopped a machine: the reasons of its `SHUTDOWN` event that are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The guest powered off.
    GuestShutdown,
    /// The guest reset itself (also by a triple fault).
    GuestReset,
    /// The guest panicked.
    GuestPanic,
    /// A signal told QEMU to end.
    HostSignal,
    /// Another one, in QEMU's word.
    Other(String),
}

/// What QEMU reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The machine stopped.
    Shutdown(Reason),
    /// The guest's kernel said through pvpanic that it panicked.
    GuestPanicked,
    /// The host could not read or write one of the guest's disks; the machine is stopped.
    DiskError {
        /// Whether the host's disk is full.
        full: bool,
        /// In QEMU's words.
        reason: String,
    },
    /// The file with the guest's memory is written, or why it is not.
    Dumped(Result<(), String>),
}

/// What QEMU is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Quit.
    Quit,
    /// Interrupt the guest with an NMI, which makes its kernel say what its CPUs do.
    Nmi,
    /// Stop the guest, open a gdb stub, and write its memory to a file.
    Freeze {
        /// Socket of the stub.
        gdb: PathBuf,
        /// The file.
        dump: PathBuf,
    },
}

/// What the command that writes the memory is known by, where it is refused.
const DUMP_ID: &str = "dump";

impl Order {
    /// The commands, in order.
    fn commands(&self) -> Vec<Value> {
        match self {
            Self::Quit => vec![json!({ "execute": "quit" })],
            Self::Nmi => vec![json!({ "execute": "inject-nmi" })],
            Self::Freeze { gdb, dump } => {
                let stub = format!("gdbserver unix:{},server=on,wait=off", gdb.display());
                let file = format!("file:{}", dump.display());
                vec![
                    json!({ "execute": "stop" }),
                    // QEMU has no such command but that of its monitor for people.
                    json!({ "execute": "human-monitor-command", "arguments": { "command-line": stub } }),
                    json!({ "execute": "dump-guest-memory", "id": DUMP_ID, "arguments": { "paging": false, "protocol": file } }),
                ]
            }
        }
    }
}

impl Event {
    /// Reads one line of QMP; `None` for everything that is of no interest here.
    fn parse(line: &Value) -> Option<Self> {
        if line["id"] == DUMP_ID {
            let why = line["error"]["desc"].as_str()?;
            return Some(Self::Dumped(Err(why.to_owned())));
        }
        let data = &line["data"];
        let word = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        match line["event"].as_str()? {
            "SHUTDOWN" => Some(Self::Shutdown(match word("reason").as_str() {
                "guest-shutdown" => Reason::GuestShutdown,
                "guest-reset" => Reason::GuestReset,
                "guest-panic" => Reason::GuestPanic,
                "host-signal" => Reason::HostSignal,
                other => Reason::Other(other.to_owned()),
            })),
            "GUEST_PANICKED" => Some(Self::GuestPanicked),
            // Only `stop` leaves the guest unable to go on; `report` shows it an I/O error.
            "BLOCK_IO_ERROR" => Some(Self::DiskError {
                full: data["nospace"] == Value::Bool(true),
                reason: word("reason"),
            }),
            "DUMP_COMPLETED" => Some(Self::Dumped(match word("error") {
                error if error.is_empty() => Ok(()),
                error => Err(error),
            })),
            _ => None,
        }
    }
}

/// The half that speaks.
pub(super) struct Control(OwnedWriteHalf);

/// The half that listens.
pub(super) struct Events(BufReader<OwnedReadHalf>);

/// Takes up a connection: negotiates, so that from here on no event is lost.
pub(super) async fn negotiate(stream: UnixStream) -> io::Result<(Control, Events)> {
    let (read, write) = stream.into_split();
    let (mut control, mut events) = (Control(write), Events(BufReader::new(read)));
    let greeting = events.line().await?.unwrap_or_default();
    if greeting.get("QMP").is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "QEMU did not greet"));
    }
    control.send(&json!({ "execute": "qmp_capabilities" })).await?;
    Ok((control, events))
}

impl Control {
    /// Lets the machine run.
    pub(super) async fn cont(&mut self) -> io::Result<()> {
        self.send(&json!({ "execute": "cont" })).await
    }

    /// Gives an order; its answers are not waited for.
    pub(super) async fn order(&mut self, order: &Order) -> io::Result<()> {
        for command in order.commands() {
            self.send(&command).await?;
        }
        Ok(())
    }

    async fn send(&mut self, command: &Value) -> io::Result<()> {
        let line = command.to_string() + "\r\n";
        self.0.write_all(line.as_bytes()).await
    }
}

impl Events {
    /// Waits for the next event; `None` when QEMU hung up.
    pub(super) async fn next(&mut self) -> io::Result<Option<Event>> {
        while let Some(line) = self.line().await? {
            if let Some(event) = Event::parse(&line) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    async fn line(&mut self) -> io::Result<Option<Value>> {
        let mut line = Vec::new();
        (&mut self.0)
            .take(LINE_LEN_MAX)
            .read_until(b'\n', &mut line)
            .await?;
        match line.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
            // QEMU died in the middle of a line, or never ends it.
            Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let shutdown = |r| Some(Event::Shutdown(r));
        for (line, want) in [
            (
                r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}"#,
                shutdown(Reason::GuestShutdown),
            ),
            (
                r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}"#,
                shutdown(Reason::GuestReset),
            ),
            (
                r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-panic"}}"#,
                shutdown(Reason::GuestPanic),
            ),
            (
                r#"{"event":"SHUTDOWN","data":{"guest":false,"reason":"host-signal"}}"#,
                shutdown(Reason::HostSignal),
            ),
            (
                r#"{"event":"SHUTDOWN","data":{"reason":"x"}}"#,
                shutdown(Reason::Other("x".into())),
            ),
            (r#"{"event":"SHUTDOWN"}"#, shutdown(Reason::Other(String::new()))),
            (
                r#"{"event":"GUEST_PANICKED","data":{"action":"run"}}"#,
                Some(Event::GuestPanicked),
            ),
            (
                r#"{"event":"BLOCK_IO_ERROR","data":{"action":"stop","nospace":true,"reason":"No space left on device"}}"#,
                Some(Event::DiskError {
                    full: true,
                    reason: "No space left on device".into(),
                }),
            ),
            (
                r#"{"event":"DUMP_COMPLETED","data":{"result":{"status":"completed"}}}"#,
                Some(Event::Dumped(Ok(()))),
            ),
            (
                r#"{"event":"DUMP_COMPLETED","data":{"result":{"status":"failed"},"error":"dump: no space"}}"#,
                Some(Event::Dumped(Err("dump: no space".into()))),
            ),
            (
                r#"{"id":"dump","error":{"class":"GenericError","desc":"no such folder"}}"#,
                Some(Event::Dumped(Err("no such folder".into()))),
            ),
            (r#"{"id":"dump","return":{}}"#, None),
            (r#"{"event":"RESUME"}"#, None),
            (r#"{"return":{}}"#, None),
            (r#"[1]"#, None),
        ] {
            assert_eq!(Event::parse(&serde_json::from_str(line).unwrap()), want, "{line}");
        }
    }
}
