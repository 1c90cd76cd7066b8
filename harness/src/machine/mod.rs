//! Machines: boots a kernel in QEMU, starts the guest agent there, and tells how that went.
//!
//! One call, [`boot`], is one machine from its start to its end: it prepares what the guest needs,
//! keeps console and frames, watches the deadlines, and says how the machine ended ([`MachineEnd`])
//! by QEMU's own word. Every way a machine can end is a value, never an `Err` and never a panic.
//! [`accel`] decides what a machine runs on, [`backend`] what boots it.
//!
//! Not here: what a frame or a console line means (`verdict`, `console`), which machines run when (`run`).

pub mod accel;
pub mod agent;
pub mod backend;
pub mod boot_args;
pub mod bounded;
pub mod frames;
pub mod initramfs;
pub mod ssh;
pub mod virtme;

mod boot;
mod channels;
mod deadlines;
mod end;
mod qemu;
mod qmp;
mod runtime_dir;
mod start;
mod usage;
mod visit;

pub use accel::{Accel, AccelChoice, AccelPref};
pub use backend::{Backend, BackendChoice, BackendPref};
pub use boot::{boot, boot_and_visit};
pub use deadlines::{Awaited, Deadlines};
pub use end::{MachineEnd, MachineError};
pub use frames::{FrameLog, StreamEnd};
pub use usage::Usage;
pub use visit::Visit;

use bounded::Kept;
use guest_tests::protocol::{Frame, Request};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The program that runs a machine, where nothing else is said.
pub const QEMU: &str = "qemu-system-x86_64";

/// One machine to be.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// QEMU's executable: a path, or a name to look up in PATH ([`QEMU`]).
    pub qemu: PathBuf,
    /// What boots it; [`backend::choose`] finds out.
    pub backend: Backend,
    /// What it runs on; [`accel::choose`] finds out.
    pub accel: Accel,
    /// The kernel image (bzImage).
    pub kernel: PathBuf,
    /// The guest's root under plain QEMU, without the request; made once of [`agent::BYTES`], shared by all cells.
    pub base: Arc<initramfs::Base>,
    /// What the guest is asked to do.
    pub request: Request,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Empty disks, in order; they are gone after the run.
    pub disks: Vec<Disk>,
    /// Arguments for the kernel beside those that every guest gets.
    pub boot_args: Vec<String>,
    /// Folder that gets `console.log` and `frames.bin`; created where missing.
    pub evidence: PathBuf,
    /// Folder on a real disk for the machine's disks and initramfs; they are deleted at the end.
    pub scratch: PathBuf,
    /// Whether the guest is stopped at its first finding, to be looked at, until the caller gives up.
    pub freeze_on_finding: bool,
    /// How long it may take.
    pub deadlines: Deadlines,
}

/// An empty disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Serial number, by which the guest finds it (/sys/block/vd?/serial): at most 20 letters, digits, `-` or `_`.
    pub serial: String,
    /// Size, in bytes; a multiple of 512.
    pub size: u64,
}

/// News of a running machine, for whoever watches. A watcher that lags misses some: the record is [`MachineRun`].
#[derive(Debug, Clone)]
pub enum MachineEvent {
    /// A frame arrived.
    Frame(Box<Frame>, Instant),
    /// The console said that many bytes more.
    ConsoleBytes(u64),
    /// The guest's kernel said that it panicked.
    Panicked,
    /// The guest was stopped at its first finding, and stays so until the caller gives up.
    Frozen(Frozen),
    /// QEMU has ended.
    Exited,
}

/// A guest that was stopped, and how it can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Socket of a gdb stub.
    pub gdb: PathBuf,
    /// The guest's memory, an ELF file that crash and drgn read; or why there is none.
    pub dump: Result<PathBuf, String>,
}

/// What a machine left.
#[derive(Debug)]
pub struct MachineRun {
    /// How it ended.
    pub end: MachineEnd,
    /// The console, raw: its first and last bytes.
    pub console: PathBuf,
    /// How much of the console there was.
    pub console_kept: Kept,
    /// The stream of frames, raw: its first and last bytes.
    pub frames_raw: PathBuf,
    /// The frames, decoded.
    pub frames: FrameLog,
    /// Whether it was asked, by an NMI, why something did not come: what the console says after that is
    /// an answer and no cause.
    pub asked: bool,
    /// What it ran on.
    pub accel: Accel,
    /// From the call of [`boot`], preparations included, to the first frame, in seconds.
    pub boot_s: Option<f64>,
    /// From the call of [`boot`] to the end of QEMU, in seconds.
    pub wall_s: f64,
    /// What QEMU got from the host, up to its end or shortly before.
    pub usage: Usage,
}
