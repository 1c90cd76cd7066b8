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

use args::Call;
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
        Ok(Call::SwapOff { device }) => runner::swap_off(&device),
        Ok(Call::ByHand(by_hand)) => session::by_hand(&by_hand),
        Err(e) => {
            eprintln!("patchproof-agent: {e}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}
