//! A whole request: first frame, every case in order, last frame.

use super::args::ByHand;
use super::frames::{Frames, Sink, open_kmsg};
use super::ktap::{Ktap, Tally};
use super::link::{Disks, Finished, Job};
use super::{probe, supervise};
use crate::protocol::{Body, CaseRequest, Done, End, Outcome, Request, Start, VERSION};
use crate::sys::{proc, process, swap};
use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Cases that ended.
    pub cases: u32,
    /// Whether a thread hung: nothing that waits for the kernel may be asked of it any more.
    pub hung: bool,
}

/// Runs a request from its file. `disks` is asked once, when the request is good.
pub fn run(frames: &mut Frames, request: &Path, disks: impl FnOnce() -> Disks) -> Summary {
    // Without locked memory the supervisor can be paged out by the pressure that it watches; that
    // slows it, and no more.
    if let Err(e) = process::lock_everything().and_then(|()| process::oom_score(-1000)) {
        frames.log(&e.to_string());
    }
    say(frames, Body::Hello(probe::hello()));
    let request = match load(request) {
        Ok(request) => request,
        Err(why) => {
            give_up(frames, &why);
            return Summary::default();
        }
    };
    let disks = disks();
    let mut summary = Summary::default();
    for case in &request.cases {
        say(
            frames,
            Body::Start(Start {
                case: case.id.clone(),
            }),
        );
        let job = Job {
            run: request.run,
            case: case.clone(),
            swap_disk: disks.swap.clone(),
            data_disk: disks.data.clone(),
        };
        summary.hung |= one(frames, &job);
        summary.cases += 1;
        if summary.hung {
            frames.log("a case hung: the cases after it are not run");
            break;
        }
    }
    for case in &request.cases[summary.cases as usize..] {
        let why = "an earlier case of this boot hung the kernel".to_owned();
        say(
            frames,
            Body::End(end(&case.id, Finished::early(Outcome::Failed { error: why }))),
        );
        summary.cases += 1;
    }
    say(
        frames,
        Body::Done(Done {
            cases: summary.cases,
            taint: proc::taint().unwrap_or(u64::MAX),
        }),
    );
    summary
}

/// Runs one case, whatever happens in it; tells whether it hung.
fn one(frames: &mut Frames, job: &Job) -> bool {
    match catch_unwind(AssertUnwindSafe(|| supervise::run(frames, job))) {
        Ok(hung) => hung,
        Err(panic) => {
            let error = panic_text(panic.as_ref());
            say(
                frames,
                Body::End(end(&job.case.id, Finished::early(Outcome::Failed { error }))),
            );
            false
        }
    }
}

/// Makes an `End` of what a case knows of its end, with no racepoints.
#[must_use]
pub fn end(case: &str, finished: Finished) -> End {
    End {
        case: case.to_owned(),
        outcome: finished.outcome,
        pressure_ms: finished.pressure_ms,
        counters: finished.counters,
        racepoint_hits: BTreeMap::new(),
        holds_timed_out: 0,
        steal_ms: finished.steal_ms,
    }
}

/// Sends a frame; a sink that fails can't be told of it, the kernel's log can.
pub fn say(frames: &mut Frames, body: Body) {
    if let Err(e) = frames.send(body) {
        frames.log(&format!("a frame could not be sent: {e}"));
    }
}

/// Ends a session that could not begin: an `End` that names no case says why, and `Done` follows.
pub fn give_up(frames: &mut Frames, why: &str) {
    if frames.is_fresh() {
        say(frames, Body::Hello(probe::hello()));
    }
    let outcome = Outcome::Failed {
        error: why.to_owned(),
    };
    say(frames, Body::End(end("", Finished::early(outcome))));
    say(
        frames,
        Body::Done(Done {
            cases: 0,
            taint: proc::taint().unwrap_or(u64::MAX),
        }),
    );
}

fn load(path: &Path) -> Result<Request, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("reading {}: {e}", path.display()))?;
    parse(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads a request and checks what it asks for.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(text: &str) -> Result<Request, String> {
    let request: Request = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if request.v != VERSION {
        return Err(format!(
            "protocol version {} is asked for, this agent speaks {VERSION}",
            request.v
        ));
    }
    let ids: std::collections::BTreeSet<_> = request.cases.iter().map(|c| &c.id).collect();
    if ids.len() != request.cases.len() {
        return Err("two cases have the same id".to_owned());
    }
    for case in &request.cases {
        consistent(case).map_err(|why| format!("case {}: {why}", case.id))?;
    }
    Ok(request)
}

fn consistent(case: &CaseRequest) -> Result<(), String> {
    case.workload.consistent()?;
    match case
        .racepoints
        .iter()
        .find(|r| r.delay_us_min > r.delay_us_max || r.name.contains('/'))
    {
        Some(bad) => Err(format!("impossible racepoint setting {bad:?}")),
        None => Ok(()),
    }
}

/// The text of a panic.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the suite panicked: {}", text.unwrap_or("no text"))
}

/// Runs a request by hand, printing KTAP.
#[must_use]
pub fn by_hand(call: &ByHand) -> ExitCode {
    let request = match load(&call.request).and_then(|request| may_run(call).map(|()| request)) {
        Ok(request) => request,
        Err(why) => {
            eprintln!("patchproof-agent: {why}");
            return ExitCode::from(2);
        }
    };
    let tally = Tally::default();
    let mut sinks = Vec::new();
    match &call.frames {
        Some(path) if path.as_os_str() == "-" => sinks.push(Sink::Wire(Box::new(io::stdout()))),
        Some(path) => match File::create(path) {
            Ok(file) => sinks.push(Sink::Wire(Box::new(file))),
            Err(e) => {
                eprintln!("patchproof-agent: creating {}: {e}", path.display());
                return ExitCode::from(3);
            }
        },
        None => {}
    }
    let to_stdout = call.frames.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let lines: Box<dyn Write> = if to_stdout {
        Box::new(io::sink())
    } else {
        Box::new(io::stdout())
    };
    sinks.push(Sink::Ktap(Ktap::new(&request, tally.clone()), lines));
    let mut frames = Frames::new(sinks, open_kmsg());
    run(&mut frames, &call.request, || Disks {
        swap: call.swap_disk.clone(),
        data: call.data_disk.clone(),
    });
    ExitCode::from(tally.exit_code())
}

/// Refuses to run where the machine's own swap would come to harm.
fn may_run(call: &ByHand) -> Result<(), String> {
    if call.swap_disk.is_none() {
        return Err(
            "every case of this suite swaps: name a disk that may be overwritten with --swap-disk".to_owned(),
        );
    }
    let active = swap::active().map_err(|e| e.to_string())?;
    match active.first() {
        Some(area) => Err(format!(
            "{} is in use as swap; the suite needs all swap to itself (swapoff it first)",
            area.path
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Workload;

    fn request(change: impl FnOnce(&mut Request)) -> String {
        let case = CaseRequest {
            id: "c1".into(),
            workload: Workload::build("zswap_pressure", &BTreeMap::new()).unwrap(),
            seed: 1,
            budget_ms: 1000,
            racepoints: vec![],
        };
        let mut request = Request {
            v: VERSION,
            run: 1,
            cases: vec![case],
        };
        change(&mut request);
        serde_json::to_string(&request).unwrap()
    }

    fn refused(change: impl FnOnce(&mut Request), why: &str) {
        let text = request(change);
        let told = parse(&text).unwrap_err();
        assert!(told.contains(why), "{told:?} lacks {why:?}");
    }

    #[test]
    fn a_good_request_is_taken_as_it_is() {
        assert_eq!(parse(&request(|_| {})).unwrap().cases[0].id, "c1");
    }

    #[test]
    fn a_bad_request_is_refused_with_the_reason() {
        refused(|r| r.v = 99, "version 99");
        refused(|r| r.cases.push(r.cases[0].clone()), "same id");
        refused(
            |r| {
                let arm = crate::protocol::Arm {
                    name: "x".into(),
                    delay_us_min: 9,
                    delay_us_max: 1,
                    hold_us_max: 0,
                };
                r.cases[0].racepoints.push(arm);
            },
            "impossible racepoint",
        );
        refused(
            |r| {
                if let Workload::ZswapPressure(p) = &mut r.cases[0].workload {
                    p.threads = p.arena;
                }
            },
            "case c1",
        );
        assert!(parse("{}").is_err());
    }

    #[test]
    fn a_panic_keeps_its_text() {
        let panic = catch_unwind(|| panic!("page {}", 7)).unwrap_err();
        assert_eq!(panic_text(panic.as_ref()), "the suite panicked: page 7");
    }
}
