//! How a machine ended, and the rule that finds it out: the first cause wins.

use super::boot_args::BootArgError;
use super::deadlines::Awaited;
use super::qmp::{Event, Reason};
use super::ssh::SshError;
use super::virtme::VirtmeError;
use crate::host::{Finished, ProcessError, Status};
use std::io;
use std::path::PathBuf;

/// How a machine ended.
#[derive(Debug)]
pub enum MachineEnd {
    /// The guest powered off, as it does when the agent is done.
    PoweredOff,
    /// The guest's kernel said that it panicked.
    Panicked,
    /// The guest reset itself and did not say why: a triple fault, or a panic that pvpanic could not report.
    Reset,
    /// QEMU was ended by a signal that was not ours.
    Killed {
        /// Which; `None` where QEMU caught it and does not say.
        signal: Option<i32>,
    },
    /// QEMU ended by itself, without a word about the guest.
    QemuExited {
        /// Its exit code.
        status: i32,
        /// The end of its standard error.
        stderr: String,
    },
    /// Something was waited for in vain, and QEMU was ended.
    Deadline {
        /// What was waited for.
        awaited: Awaited,
    },
    /// The caller gave up, and QEMU was ended.
    Cancelled,
    /// It never ran.
    NotStarted(MachineError),
    /// The host failed while it ran; nothing is said about the guest.
    HostFailed(MachineError),
}

/// What of the host failed a machine.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum MachineError {
    /// There is no QEMU.
    #[error("{program} is not installed", program = .program.display())]
    #[diagnostic(help("install it: apt-get install qemu-system-x86"))]
    QemuMissing {
        /// What was looked for.
        program: PathBuf,
    },
    /// The kernel image cannot be read.
    #[error("kernel image {path} cannot be read", path = .path.display())]
    #[diagnostic(help("if it came from the cache, `patchproof cache prune` and run again"))]
    Kernel {
        /// The image.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A boot argument may not be used.
    #[error("boot argument `{arg}` {why}")]
    #[diagnostic(help("remove it from the machine's boot arguments"))]
    BootArg {
        /// The argument.
        arg: String,
        /// What is wrong with it.
        why: BootArgError,
    },
    /// A disk's description is impossible.
    #[error("disk `{serial}` {why}")]
    #[diagnostic(help(
        "a serial has 1 to 20 letters, digits, `-` or `_`, each disk its own; a size is a multiple of 512 bytes"
    ))]
    Disk {
        /// Its serial number.
        serial: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file or socket of the machine could not be made or written.
    #[error("{what} at {path} failed", path = .path.display())]
    #[diagnostic(help("look for a full disk (`df`), a missing folder or missing rights there"))]
    File {
        /// What was being done: "writing the console".
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host could not serve one of the guest's disks.
    #[error("the host failed to serve the guest's disk: {reason}")]
    #[diagnostic(help("look for a full disk (`df`) where the machine's scratch folder is"))]
    GuestDisk {
        /// Whether it is full.
        full: bool,
        /// In QEMU's words.
        reason: String,
    },
    /// QEMU and we could not talk to each other.
    #[error("talking to QEMU failed")]
    #[diagnostic(help("QEMU 7.0 or newer is needed"))]
    Qmp(#[source] io::Error),
    /// QEMU could not be run or waited for.
    #[error("QEMU could not be run")]
    Process(#[source] ProcessError),
    /// virtme-ng could not be prepared.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Virtme(#[from] VirtmeError),
    /// There is no way into the guest over SSH, although it runs.
    #[error("the guest runs, but could not be entered over SSH")]
    #[diagnostic(help("the end of the guest's console says what its SSH server said"))]
    Ssh(#[source] SshError),
    /// QEMU was ended, and is still there.
    #[error("QEMU did not go away after it was ended")]
    #[diagnostic(help("a process that no signal ends is stuck in the host's kernel: look into `dmesg`"))]
    Stuck,
}

impl MachineError {
    /// Whether a disk of the host is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::File { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::GuestDisk { full, .. } => *full,
            Self::QemuMissing { .. } | Self::Kernel { .. } | Self::BootArg { .. } | Self::Disk { .. } => {
                false
            }
            Self::Virtme(VirtmeError::Root { source, .. } | VirtmeError::File { source, .. }) => {
                source.kind() == io::ErrorKind::StorageFull
            }
            Self::Virtme(_) | Self::Ssh(_) | Self::Qmp(_) | Self::Process(_) | Self::Stuck => false,
        }
    }
}

/// What was seen of a machine's end so far; the first cause stays.
#[derive(Debug, Default)]
pub(super) struct Causes {
    first: Option<MachineEnd>,
}

impl Causes {
    /// Notes a cause; later ones change nothing.
    pub(super) fn note(&mut self, cause: MachineEnd) {
        self.first.get_or_insert(cause);
    }

    /// Notes an event of QEMU.
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::GuestPanicked | Event::Shutdown(Reason::GuestPanic) => self.note(MachineEnd::Panicked),
            Event::Shutdown(Reason::GuestShutdown) => self.note(MachineEnd::PoweredOff),
            Event::Shutdown(Reason::GuestReset) => self.note(MachineEnd::Reset),
            Event::Shutdown(Reason::HostSignal) => self.note(MachineEnd::Killed { signal: None }),
            Event::DiskError { full, reason } => {
                self.note(MachineEnd::HostFailed(MachineError::GuestDisk { full, reason }));
            }
            // The exit status says more; a dump says nothing about the end.
            Event::Shutdown(Reason::Other(_)) | Event::Dumped(_) => {}
        }
    }

    /// Says how the machine ended, once QEMU has. A panic or power-off that was reported stands,
    /// however QEMU ended after it.
    pub(super) fn conclude(self, exit: Result<Finished, ProcessError>) -> MachineEnd {
        if let Some(first) = self.first {
            return first;
        }
        match exit {
            Ok(Finished {
                status: Status::Signal(signal),
                ..
            }) => MachineEnd::Killed { signal: Some(signal) },
            Ok(Finished {
                status: Status::Exit(status),
                stderr,
                ..
            }) => MachineEnd::QemuExited {
                status,
                stderr: tail(&stderr),
            },
            Err(e) => MachineEnd::HostFailed(MachineError::Process(e)),
        }
    }
}

/// The last 4 KiB of what QEMU said, for people.
fn tail(stderr: &[u8]) -> String {
    let from = stderr.len().saturating_sub(4096);
    String::from_utf8_lossy(&stderr[from..]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: Status) -> Result<Finished, ProcessError> {
        Ok(Finished {
            status,
            stdout: Vec::new(),
            stderr: b"qemu: sorry\n".to_vec(),
        })
    }

    fn end(events: &[Event], status: Status) -> String {
        let mut causes = Causes::default();
        events.iter().for_each(|e| causes.event(e.clone()));
        format!("{:?}", causes.conclude(exit(status)))
    }

    #[test]
    fn the_first_cause_wins() {
        let shutdown = |r| Event::Shutdown(r);
        let ok = Status::Exit(0);
        for (events, status, want) in [
            (vec![shutdown(Reason::GuestShutdown)], ok, "PoweredOff"),
            (
                vec![shutdown(Reason::GuestShutdown)],
                Status::Signal(11),
                "PoweredOff",
            ),
            (vec![shutdown(Reason::GuestReset)], ok, "Reset"),
            (
                vec![Event::GuestPanicked, shutdown(Reason::GuestReset)],
                ok,
                "Panicked",
            ),
            (vec![shutdown(Reason::GuestPanic)], ok, "Panicked"),
            (vec![shutdown(Reason::HostSignal)], ok, "Killed { signal: None }"),
            (vec![], Status::Signal(9), "Killed { signal: Some(9) }"),
            (
                vec![],
                Status::Exit(1),
                r#"QemuExited { status: 1, stderr: "qemu: sorry" }"#,
            ),
            (vec![], ok, r#"QemuExited { status: 0, stderr: "qemu: sorry" }"#),
            (
                vec![shutdown(Reason::Other("x".into()))],
                ok,
                r#"QemuExited { status: 0, stderr: "qemu: sorry" }"#,
            ),
        ] {
            assert_eq!(end(&events, status), want, "{events:?}");
        }
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = MachineError::GuestDisk {
            full: true,
            reason: String::new(),
        };
        let file = |kind: io::ErrorKind| MachineError::File {
            what: "",
            path: PathBuf::new(),
            source: kind.into(),
        };
        assert!(full.is_disk_full() && file(io::ErrorKind::StorageFull).is_disk_full());
        assert!(!file(io::ErrorKind::PermissionDenied).is_disk_full() && !MachineError::Stuck.is_disk_full());
    }
}
