//! One case, watched from outside: starts its process, passes on what it tells, and speaks for it
//! when it can't any more (a fault, a hang, the OOM killer, a panic).

use super::frames::Frames;
use super::hang::{self, Hang};
use super::link::{Finished, Job, Lines, Told};
use super::oom;
use super::races::Races;
use super::session::{end, say};
use crate::model::{Fault as ModelFault, FillPolicy, Legal, Origin, judge_fault};
use crate::protocol::{Body, Finding, Outcome, Seen};
use crate::sys::board::{Board, FAULT_EXIT, Fault};
use crate::sys::{Doing, SysError, arena, proc, process};
use crate::workload;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// How often the beats are looked at, in milliseconds.
const LOOK_MS: u32 = 500;
/// A look that comes this much too late says that the supervisor itself did not run: the whole guest
/// was starved, and nobody is blamed for the time.
const STARVED_MS: u64 = 1000;
/// How long a killed process may take to end, in milliseconds; longer is a thread stuck in the kernel.
const KILL_MS_MAX: u32 = 5000;

/// Runs one case and sends everything up to its `End`; tells whether a thread hung in the kernel.
pub fn run(frames: &mut Frames, job: &Job) -> bool {
    let before = Before::look();
    let (finished, races, hung) = match Races::arm(job) {
        Err(outcome) => (Finished::early(outcome), Races::default(), false),
        Ok(mut races) => {
            let watched = watch(frames, job, &before, &mut races);
            let (finished, hung) = watched.unwrap_or_else(|e| (failed(e.to_string()), false));
            (finished, races, hung)
        }
    };
    let after = proc::taint().unwrap_or(before.taint);
    if after & !before.taint != 0 {
        let what = Seen::Taint {
            before: before.taint,
            after,
        };
        let title = format!(
            "the kernel was tainted: {:#x} before, {after:#x} after",
            before.taint
        );
        let finding = Finding {
            case: job.case.id.clone(),
            what,
            title,
            context: BTreeMap::new(),
        };
        say(frames, Body::Finding(finding));
    }
    let mut end = end(&job.case.id, finished);
    races.note(&mut end, frames);
    say(frames, Body::End(end));
    hung
}

fn failed(error: String) -> Finished {
    Finished::early(Outcome::Failed { error })
}

/// What the machine was like before the case.
struct Before {
    taint: u64,
    oom_kills: u64,
}

impl Before {
    fn look() -> Self {
        Self {
            taint: proc::taint().unwrap_or(0),
            oom_kills: oom::kills(),
        }
    }
}

/// Starts the case's process and watches it to its end.
fn watch(
    frames: &mut Frames,
    job: &Job,
    before: &Before,
    races: &mut Races,
) -> Result<(Finished, bool), SysError> {
    let board = Board::make()?;
    let mut child = spawn(job, &board)?;
    let Some(mut pipe) = child.stdout.take() else {
        return Err(SysError::content("starting the case's process", "it has no pipe"));
    };
    let mut watch = Watch {
        lines: Lines::default(),
        finished: None,
        seen: Vec::new(),
        looked_ns: proc::uptime_ns(),
    };
    let ended = loop {
        races.tick(proc::uptime_ns())?;
        match watch.step(frames, &mut pipe, &board)? {
            Step::Goes => {}
            Step::Closed => break None,
            Step::Hangs(hang) => break Some(hang),
            Step::Rubbish(why) => {
                let _ = child.kill();
                watch.finished = Some(failed(why));
                break None;
            }
        }
    };
    if let Some(hang) = ended {
        say(frames, Body::Finding(hang::finding(job, child.id(), &hang)));
        // While it still hangs: afterwards nobody can say what waited for whom.
        if let Err(e) = hang::show_backtraces() {
            frames.log(&e.to_string());
        }
        let _ = child.kill();
        let gone = reap(&mut child);
        let outcome = if gone && workload::clean_up().is_ok() {
            Outcome::Completed
        } else {
            Outcome::Failed {
                error: format!(
                    "the hung case could not be ended: {} stays in the kernel",
                    hang.worker
                ),
            }
        };
        return Ok((watch.finished.unwrap_or_else(|| Finished::early(outcome)), !gone));
    }
    let status = child
        .wait()
        .doing(|| "waiting for the case's process".to_owned())?;
    if status.success()
        && let Some(finished) = watch.finished
    {
        return Ok((finished, false));
    }
    let finished = post_mortem(frames, job, &board, status, before, watch.finished);
    Ok((finished, false))
}

fn spawn(job: &Job, board: &Board) -> Result<Child, SysError> {
    let doing = || "starting the case's process".to_owned();
    #[expect(
        clippy::disallowed_methods,
        reason = "the guest has no keeper: the supervisor owns its one child"
    )]
    let mut command = Command::new("/proc/self/exe");
    command.arg("case").arg(board.fd().as_raw_fd().to_string());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .doing(doing)?;
    let bytes = serde_json::to_vec(job)
        .map_err(std::io::Error::from)
        .doing(doing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&bytes).doing(doing)?;
    }
    Ok(child)
}

enum Step {
    Goes,
    Closed,
    Hangs(Hang),
    Rubbish(String),
}

/// What the watch over one process remembers.
struct Watch {
    lines: Lines,
    finished: Option<Finished>,
    /// Per lane: beats at the last look that saw a new one, and when that was.
    seen: Vec<(u64, u64)>,
    looked_ns: u64,
}

impl Watch {
    /// Waits for the pipe or the time of the next look, whichever is first.
    fn step(&mut self, frames: &mut Frames, pipe: &mut ChildStdout, board: &Board) -> Result<Step, SysError> {
        if process::readable(&*pipe, LOOK_MS)? {
            let mut bytes = [0u8; 16 << 10];
            let n = pipe
                .read(&mut bytes)
                .doing(|| "reading from the case's process".to_owned())?;
            if n == 0 {
                return Ok(Step::Closed);
            }
            match self.lines.take(&bytes[..n]) {
                Ok(lines) => lines
                    .into_iter()
                    .for_each(|line| self.pass_on(frames, line.t_ns, line.told)),
                Err(why) => return Ok(Step::Rubbish(why)),
            }
        }
        Ok(self
            .look(board, proc::uptime_ns())
            .map_or(Step::Goes, Step::Hangs))
    }

    fn pass_on(&mut self, frames: &mut Frames, t_ns: u64, told: Told) {
        let body = match told {
            Told::Progress(p) => Body::Progress(p),
            Told::Finding(f) => Body::Finding(f),
            Told::Coverage(c) => Body::Coverage(c),
            Told::Finished(f) => {
                self.finished = Some(f);
                return;
            }
        };
        if let Err(e) = frames.send_at(t_ns, body) {
            frames.log(&format!("a frame could not be sent: {e}"));
        }
    }

    /// Looks for a lane that did not beat within its patience.
    fn look(&mut self, board: &Board, now_ns: u64) -> Option<Hang> {
        let late_ns = now_ns.saturating_sub(self.looked_ns);
        self.looked_ns = now_ns;
        let forgiven_ns = if late_ns / 1_000_000 > u64::from(LOOK_MS) + STARVED_MS {
            late_ns
        } else {
            0
        };
        for (at, lane) in board.lanes().iter().enumerate() {
            let beats = lane.beats();
            if self.seen.len() <= at {
                self.seen.push((beats, now_ns));
            }
            let seen = &mut self.seen[at];
            seen.1 += forgiven_ns;
            let patience_ms = u64::from(lane.patience_s()) * 1000;
            if beats != seen.0 || patience_ms == 0 {
                *seen = (beats, now_ns);
                continue;
            }
            let silent_ms = now_ns.saturating_sub(seen.1) / 1_000_000;
            if silent_ms > patience_ms {
                return Some(Hang {
                    worker: lane.name(),
                    tid: lane.tid(),
                    silent_ms,
                });
            }
        }
        None
    }
}

/// Waits for a killed process; `false` when it does not end.
fn reap(child: &mut Child) -> bool {
    process::ended(child, KILL_MS_MAX).unwrap_or(false) && child.wait().is_ok()
}

/// Speaks for a process that ended without its last line.
fn post_mortem(
    frames: &mut Frames,
    job: &Job,
    board: &Board,
    status: ExitStatus,
    before: &Before,
    finished: Option<Finished>,
) -> Finished {
    let kills = oom::kills().saturating_sub(before.oom_kills);
    let provoked = oom::in_groups();
    let cleaned = workload::clean_up();
    let completed = |cleaned: Result<(), SysError>| {
        let outcome = cleaned.map_or_else(
            |e| Outcome::Failed { error: e.to_string() },
            |()| Outcome::Completed,
        );
        Finished::early(outcome)
    };
    if status.signal() == Some(libc::SIGKILL) && kills > 0 && provoked == 0 {
        say(frames, Body::Finding(oom::finding(job, kills)));
        return completed(cleaned);
    }
    let fault = board.fault().filter(|_| status.code() == Some(FAULT_EXIT));
    let mut error = match fault {
        Some(fault) => match fault_finding(job, fault) {
            Some(finding) => {
                say(frames, Body::Finding(finding));
                return completed(cleaned);
            }
            None => format!(
                "the case's process got signal {} at {:#x}, outside the arena",
                fault.signal, fault.address
            ),
        },
        None => match (status.code(), status.signal()) {
            (Some(0), _) => "the case's process ended without saying how".to_owned(),
            (Some(code), _) => format!("the case's process ended with status {code}"),
            (None, signal) => format!("the case's process was ended by signal {}", signal.unwrap_or(0)),
        },
    };
    if kills > 0 {
        error.push_str(&format!(" ({kills} OOM kills were counted)"));
    }
    match finished {
        // The case had said why; its process then ended badly on top of it.
        Some(Finished {
            outcome: Outcome::Failed { error: first },
            ..
        }) => failed(first),
        _ => failed(error),
    }
}

/// Makes a finding of a fault inside the arena: the kernel could not give a page back.
fn fault_finding(job: &Job, fault: Fault) -> Option<Finding> {
    let page = if fault.in_field {
        // The kernel's own access, on behalf of a thread that reads nothing, has no note: page 0.
        fault.noted.map_or(0, |(page, _)| page)
    } else {
        let page = fault.address.checked_sub(fault.arena)? / arena::PAGE_LEN as u64;
        u32::try_from(page)
            .ok()
            .filter(|_| fault.arena != 0 && page < fault.arena_pages)?
    };
    let is_bus = fault.signal == libc::SIGBUS.unsigned_abs();
    let how = if is_bus {
        ModelFault::Sigbus
    } else {
        ModelFault::Sigsegv
    };
    let legal = match fault.noted {
        Some((noted, generation)) if noted == page => Legal::generation(generation),
        // Another thread's page, or the kernel's own access: any generation would have been data.
        _ => Legal {
            to: u32::MAX,
            ..Legal::generation(1)
        },
    };
    let origin = Origin {
        run: job.run,
        seed: job.case.seed,
        policy: FillPolicy::Mixed,
    };
    let mismatch = *judge_fault(&origin, page, &legal, how).err()?;
    let title = mismatch.title();
    let context = [("address".to_owned(), format!("{:#x}", fault.address))]
        .into_iter()
        .collect();
    Some(Finding {
        case: job.case.id.clone(),
        what: Seen::Mismatch(mismatch),
        title,
        context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn watch() -> Watch {
        Watch {
            lines: Lines::default(),
            finished: None,
            seen: Vec::new(),
            looked_ns: 0,
        }
    }

    /// Looks every half second from `from` to `to`; returns the first hang.
    fn look_until(watch: &mut Watch, board: &Board, from: u64, to: u64) -> Option<Hang> {
        (from * 2..=to * 2).find_map(|half| watch.look(board, half * S / 2))
    }

    #[test]
    fn a_lane_that_stops_beating_hangs_and_one_without_patience_does_not() {
        let board = Board::make().unwrap();
        let (steady, stuck) = (board.lane("idle").unwrap(), board.lane("stuck").unwrap());
        stuck.expect_within(10);
        steady.expect_within(0);
        let mut watch = watch();
        assert!(look_until(&mut watch, &board, 0, 10).is_none());
        let hang = look_until(&mut watch, &board, 11, 12).unwrap();
        assert_eq!((hang.worker.as_str(), hang.silent_ms > 10_000), ("stuck", true));
    }

    #[test]
    fn beats_reset_the_patience() {
        let board = Board::make().unwrap();
        let lane = board.lane("worker").unwrap();
        lane.expect_within(10);
        let mut watch = watch();
        assert!(look_until(&mut watch, &board, 0, 9).is_none());
        lane.beat();
        assert!(look_until(&mut watch, &board, 10, 19).is_none());
    }

    #[test]
    fn time_in_which_nobody_ran_is_nobodys_fault() {
        let board = Board::make().unwrap();
        board.lane("worker").unwrap().expect_within(10);
        let mut watch = watch();
        assert!(look_until(&mut watch, &board, 0, 5).is_none());
        assert!(watch.look(&board, 60 * S).is_none());
        assert!(look_until(&mut watch, &board, 61, 64).is_none());
        assert!(look_until(&mut watch, &board, 65, 70).is_some());
    }
}
