//! The case's own process: reads its job, runs the workload, tells the rest through the link.

use super::link::{Finished, Job, Link, Told};
use super::session::panic_text;
use crate::protocol::Outcome;
use crate::sys::board::Board;
use crate::sys::{SysError, process, swap};
use crate::workload::{self, CaseError, Env};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// Runs the case that comes on standard input.
#[must_use]
pub fn run(board_fd: i32) -> ExitCode {
    let link = Link::new(Box::new(std::io::stdout()));
    let finished = match catch_unwind(AssertUnwindSafe(|| prepared(board_fd, &link))) {
        Ok(Ok(finished)) => finished,
        Ok(Err(CaseError::Missing(why))) => Finished::early(Outcome::Skipped { why }),
        Ok(Err(e)) => Finished::early(Outcome::Failed { error: e.to_string() }),
        Err(panic) => Finished::early(Outcome::Failed {
            error: panic_text(panic.as_ref()),
        }),
    };
    match link.tell(Told::Finished(finished)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn prepared(board_fd: i32, link: &Link) -> Result<Finished, CaseError> {
    // By hand the supervisor may be interrupted; nothing of it may go on swapping then.
    process::end_with_parent()?;
    process::oom_score(0)?;
    let board = Board::open(process::inherited(board_fd)?)?;
    board.catch_faults()?;
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|e| CaseError::Broken(format!("reading the job: {e}")))?;
    let job: Job = serde_json::from_str(&text).map_err(|e| CaseError::Broken(format!("the job: {e}")))?;
    let Some(lane) = board.lane("case") else {
        return Err(CaseError::Broken("the board is full".to_owned()));
    };
    workload::run(&Env {
        job: &job,
        board: &board,
        lane,
        link,
    })
}

/// Switches one swap area off; the exit status is the kernel's answer (0, or its `errno`).
#[must_use]
pub fn swap_off(device: &Path) -> ExitCode {
    // It would be the first victim anyway; being told so spares the others for certain.
    let _ = process::end_with_parent().and_then(|()| process::oom_score(1000));
    match swap::off(device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => ExitCode::from(errno_status(&e)),
    }
}

fn errno_status(e: &SysError) -> u8 {
    e.errno()
        .and_then(|errno| u8::try_from(errno).ok())
        .unwrap_or(u8::MAX)
}
