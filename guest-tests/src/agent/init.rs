//! PID 1: mounts, finds the frames' port, runs the request, switches the machine off. It must never
//! end in silence: a panic or an error becomes a frame, or at least a line in the kernel's log.

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
    let end = catch_unwind(AssertUnwindSafe(|| boot(&mut frames)));
    let hung = match end {
        Ok(Ok(hung)) => hung,
        Ok(Err(e)) => {
            frames.log(&e.to_string());
            session::give_up(&mut frames, &e.to_string());
            false
        }
        Err(panic) => {
            let why = session::panic_text(panic.as_ref());
            frames.log(&why);
            session::give_up(&mut frames, &why);
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
    let port = machine::virtio_port(PORT_NAME)?;
    let wire = OpenOptions::new().write(true).open(&port);
    let wire = wire.map_err(|source| SysError {
        doing: format!("opening {}", port.display()),
        source,
    })?;
    *frames = Frames::new(vec![Sink::Wire(Box::new(wire))], open_kmsg());
    let summary = session::run(frames, Path::new(REQUEST_PATH), || Disks {
        swap: machine::disk(SWAP_SERIAL).ok(),
        data: machine::disk(DATA_SERIAL).ok(),
    });
    Ok(summary.hung)
}
