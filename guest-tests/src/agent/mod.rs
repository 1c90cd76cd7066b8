//! The agent: a supervisor that runs each case in a process of its own and reports in frames.
//!
//! Parts, from the outside in: [`args`] (how it was called), [`init`] (PID 1's duties), [`probe`]
//! (what the kernel offers), [`session`] (a whole request), [`supervise`] (one case, watched from
//! outside), [`runner`] (the case's own process), [`link`] (what that process tells), [`frames`] and
//! [`ktap`] (what leaves the agent).
//!
//! The supervisor stays out of the pressured control group, is locked in memory and never the OOM
//! killer's victim; a case that dies, hangs or panics is reported, never survived in silence.

pub mod args;
pub mod frames;
mod hang;
pub mod init;
pub mod ktap;
pub mod link;
mod oom;
pub mod probe;
pub mod races;
pub mod runner;
pub mod session;
pub mod supervise;

use crate::workload::engine::{self, Engine};
use args::Call;
use std::path::Path;
use std::process::ExitCode;

/// Runs the agent as its command line (or its being PID 1) asks.
#[must_use]
pub fn main() -> ExitCode {
    if crate::sys::process::is_init() {
        return init::run();
    }
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Call::Help) => {
            println!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Call::Guest { request }) => init::run_in_guest(&request),
        Ok(Call::Case { board_fd }) => runner::run(board_fd),
        Ok(Call::Replay { log }) => replay(&log),
        Ok(Call::SwapOff { device }) => runner::swap_off(&device),
        Ok(Call::ByHand(by_hand)) => session::by_hand(&by_hand),
        Err(e) => {
            eprintln!("patchproof-agent: {e}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}

/// Carries out a log by hand.
fn replay(log: &Path) -> ExitCode {
    let text = if log == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(log)
    };
    let outcome = text
        .map_err(|e| format!("{}: {e}", log.display()))
        .and_then(|text| {
            let entries = engine::log::parse(&text).map_err(|e| e.to_string())?;
            let owners = entries
                .iter()
                .map(|e| usize::from(e.owner) + 1)
                .max()
                .unwrap_or(0);
            // The run's number only tells stamps of one run from those of another.
            let engine = Engine::new(owners.max(1), 1, 1, "balanced").map_err(|e| e.to_string())?;
            let found = engine::replay::run(&engine, &entries).map_err(|e| e.to_string())?;
            Ok((entries.len(), found))
        });
    match outcome {
        Ok((steps, found)) => {
            println!("{steps} steps carried out, {} wrong pages", found.len());
            for mismatch in &found {
                println!("{}", mismatch.title());
            }
            ExitCode::from(u8::from(!found.is_empty()))
        }
        Err(e) => {
            eprintln!("patchproof-agent: {e}");
            ExitCode::from(2)
        }
    }
}
