//! PID 1: mounts, finds the frames' port, runs the request, switches the machine off; and the same
//! without the mounts, where another init has brought the guest up. It must never end in silence: a
//! panic or an error becomes a frame, or at least a line in the kernel's log.

use super::frames::{Frames, Sink, open_kmsg};
use super::link::Disks;
use super::session;
use crate::protocol::{PORT_NAME, REQUEST_PATH};
use crate::sys::{SysError, machine, process};
use std::fs::OpenOptions;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// Serial number of the disk that is meant for swap.
pub const SWAP_SERIAL: &str = "swap0";
/// Serial number of the disk that is meant for a file system.
pub const DATA_SERIAL: &str = "data0";

/// Does PID 1's work; returns only where even switching off fails.
#[must_use]
pub fn run() -> ExitCode {
    let mut frames = Frames::new(Vec::new(), None);
    serve(&mut frames, boot)
}

/// Does PID 1's work on a guest that another init has brought up: the frames' port, the request, the
/// end of the machine. Returns where there is no such port, which no other machine has, or where even
/// switching off fails.
#[must_use]
pub fn run_in_guest(request: &Path) -> ExitCode {
    let mut frames = Frames::new(Vec::new(), open_kmsg());
    if let Err(e) = open_port(&mut frames) {
        eprintln!("patchproof-agent: {e}");
        return ExitCode::from(2);
    }
    serve(&mut frames, |frames| Ok(requested(frames, request)))
}

/// Runs a request, whatever happens in it, and switches the machine off.
fn serve(frames: &mut Frames, work: impl FnOnce(&mut Frames) -> Result<bool, SysError>) -> ExitCode {
    let hung = match catch_unwind(AssertUnwindSafe(|| work(frames))) {
        Ok(Ok(hung)) => hung,
        Ok(Err(e)) => {
            frames.log(&e.to_string());
            session::give_up(frames, &e.to_string());
            false
        }
        Err(panic) => {
            let why = session::panic_text(panic.as_ref());
            frames.log(&why);
            session::give_up(frames, &why);
            false
        }
    };
    let Err(e) = process::power_off(hung) else {
        return ExitCode::SUCCESS;
    };
    frames.log(&e.to_string());
    ExitCode::FAILURE
}

/// Brings the machine up and runs the request; tells whether something hung.
fn boot(frames: &mut Frames) -> Result<bool, SysError> {
    let missing = machine::mount_all()?;
    *frames = Frames::new(Vec::new(), open_kmsg());
    for e in missing {
        frames.log(&e.to_string());
    }
    open_port(frames)?;
    Ok(requested(frames, Path::new(REQUEST_PATH)))
}

/// Has frames leave through the port that is ours.
fn open_port(frames: &mut Frames) -> Result<(), SysError> {
    let port = machine::virtio_port(PORT_NAME)?;
    let wire = OpenOptions::new().write(true).open(&port);
    let wire = wire.map_err(|source| SysError {
        doing: format!("opening {}", port.display()),
        source,
    })?;
    *frames = Frames::new(vec![Sink::Wire(Box::new(wire))], open_kmsg());
    Ok(())
}

fn requested(frames: &mut Frames, request: &Path) -> bool {
    let disks = || Disks {
        swap: machine::disk(SWAP_SERIAL).ok(),
        data: machine::disk(DATA_SERIAL).ok(),
    };
    session::run(frames, request, disks).hung
}
