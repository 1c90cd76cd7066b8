//! The verdict of one cell.

use super::{Class, Ending, Evidence, Finding, Stream, Verdict, Waited};
use crate::console;
use guest_tests::protocol::{self, Body, Done, End, Frame, Hello, Outcome, Seen};
use std::collections::BTreeMap;

/// Judges one cell by what it left behind.
///
/// In this order: a finding fails the cell, the first cause in guest time first; a broken harness or
/// host is `Infra`; a missing feature is `Skip`; missing proof is `Inconclusive`; only what is left passes.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let told = Told::of(evidence);
    let mut findings = findings(evidence, &told);
    if !findings.is_empty() {
        findings.sort_by_key(|f| {
            (
                f.class.rank() >= Class::Hang.rank(),
                f.t_ns.unwrap_or(u64::MAX),
                f.class.rank(),
            )
        });
        let first = findings.remove(0);
        return Verdict::Fail {
            first,
            later: findings,
        };
    }
    if let Some(error) = infra(evidence, &told) {
        return Verdict::Infra { error };
    }
    let Some(end) = told.end else {
        return Verdict::Infra {
            error: "the guest said done, but never that the case had ended".to_owned(),
        };
    };
    match &end.outcome {
        Outcome::Skipped { why } => return Verdict::Skip { why: why.clone() },
        Outcome::Failed { error } => {
            return Verdict::Infra {
                error: format!("the guest suite failed: {error}"),
            };
        }
        Outcome::Completed => {}
    }
    let why = unproved(evidence, end);
    if why.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Inconclusive { why }
    }
}

/// What the frames say, looked up once.
struct Told<'a> {
    hello: Option<&'a Hello>,
    end: Option<&'a End>,
    done: Option<&'a Done>,
    /// Whether frames about other cases than the planned one were sent.
    stray: Option<&'a str>,
    /// Where the kernel's log has each frame's number: its time there.
    marks: BTreeMap<u64, u64>,
}

impl<'a> Told<'a> {
    fn of(evidence: &Evidence<'a>) -> Self {
        let mut told = Self {
            hello: None,
            end: None,
            done: None,
            stray: None,
            marks: BTreeMap::new(),
        };
        for frame in evidence.frames {
            let case = match &frame.body {
                Body::Hello(hello) => {
                    told.hello = Some(hello);
                    None
                }
                Body::Start(start) => Some(start.case.as_str()),
                Body::Progress(progress) => Some(progress.case.as_str()),
                Body::Finding(finding) => Some(finding.case.as_str()),
                Body::Coverage(coverage) => Some(coverage.case.as_str()),
                Body::End(end) => {
                    told.end = Some(end);
                    Some(end.case.as_str())
                }
                Body::Done(done) => {
                    told.done = Some(done);
                    None
                }
            };
            if case.is_some_and(|c| c != evidence.planned.case) {
                told.stray = case;
            }
        }
        told.marks = evidence
            .console
            .map(console::marks)
            .unwrap_or_default()
            .into_iter()
            .collect();
        told
    }

    /// A frame's time on the console's clock, where the log has it; its own clock otherwise.
    fn t_ns(&self, frame: &Frame) -> u64 {
        self.marks.get(&frame.seq).copied().unwrap_or(frame.t_ns)
    }
}

fn findings(evidence: &Evidence<'_>, told: &Told<'_>) -> Vec<Finding> {
    let mut all: Vec<Finding> = evidence.splats.iter().map(splat_finding).collect();
    for frame in evidence.frames {
        if let Body::Finding(seen) = &frame.body {
            all.push(guest_finding(seen, told.t_ns(frame)));
        }
    }
    if all.is_empty()
        && let (Some(hello), Some(done)) = (told.hello, told.done)
        && done.taint & !hello.taint != 0
    {
        let title = format!(
            "the kernel became tainted: {:#x} at start, {:#x} at the end",
            hello.taint, done.taint
        );
        all.push(Finding::new(Class::Taint, title));
    }
    if let Some(finding) = death(evidence, told) {
        all.push(finding);
    }
    all
}

fn splat_finding(splat: &console::Splat) -> Finding {
    Finding {
        class: Class::Splat(splat.kind),
        title: splat.title.clone(),
        function: splat.function.clone(),
        t_ns: splat.t_ns,
        detail: splat.report.clone(),
    }
}

fn guest_finding(finding: &protocol::Finding, t_ns: u64) -> Finding {
    let class = match &finding.what {
        Seen::Mismatch(mismatch) => Class::Mismatch(mismatch.class),
        Seen::Hang { .. } => Class::Hang,
        Seen::Leak { .. } => Class::Leak,
        Seen::Conservation { .. } => Class::Conservation,
        Seen::Taint { .. } => Class::Taint,
    };
    let detail = finding
        .context
        .iter()
        .map(|(k, v)| format!("{k}: {v}\n"))
        .collect();
    Finding {
        class,
        title: finding.title.clone(),
        function: None,
        t_ns: Some(t_ns),
        detail,
    }
}

/// A guest that died or fell silent by itself: never something that the harness did.
fn death(evidence: &Evidence<'_>, told: &Told<'_>) -> Option<Finding> {
    let lost = |title: &str| Some(Finding::new(Class::Lost, title));
    let silent = |title: &str| Some(Finding::new(Class::Hang, title));
    let booted = !evidence.frames.is_empty();
    match evidence.ending {
        Ending::Reset | Ending::Panicked if !booted => Some(Finding::new(
            Class::Boot,
            "the guest reset itself before it reached the agent",
        )),
        Ending::Reset => lost("the guest reset itself"),
        Ending::Panicked => lost("the guest reported a panic to its machine"),
        Ending::PoweredOff if !booted => Some(Finding::new(
            Class::Boot,
            "the guest powered off before it reached the agent",
        )),
        Ending::PoweredOff if told.done.is_none() && *evidence.stream == Stream::Clean => {
            lost("the guest powered off without having said that it was done")
        }
        Ending::Deadline(Waited::FirstFrame) => Some(Finding::new(
            Class::Boot,
            "the kernel did not reach the agent in time",
        )),
        Ending::Deadline(Waited::NextFrame) => silent("the guest fell silent: no frame came any more"),
        Ending::Deadline(Waited::CaseEnd) => silent("the case did not end in time though frames still came"),
        Ending::Deadline(Waited::PowerOff) => silent("the guest said done, but did not power off"),
        Ending::PoweredOff | Ending::Cancelled | Ending::Emulator(_) => None,
    }
}

fn infra(evidence: &Evidence<'_>, told: &Told<'_>) -> Option<String> {
    match evidence.ending {
        Ending::Emulator(error) => return Some(error.clone()),
        Ending::Cancelled => return Some("stopped before the cell had ended".to_owned()),
        Ending::PoweredOff | Ending::Reset | Ending::Panicked | Ending::Deadline(_) => {}
    }
    match evidence.stream {
        Stream::Clean => {}
        Stream::CutOff => return Some("the frames end inside a frame".to_owned()),
        Stream::Broken(why) => return Some(format!("the frames can't be trusted: {why}")),
        Stream::OutOfOrder { expected, found } => {
            return Some(format!(
                "the frames can't be trusted: number {expected} had to come, {found} came"
            ));
        }
    }
    if told.hello.is_none() || told.done.is_none() {
        return Some("the guest never said that it was done".to_owned());
    }
    if let Some(case) = told.stray {
        return Some(format!(
            "the guest spoke of a case that was not asked of it: {case}"
        ));
    }
    match told.done {
        Some(done) if done.cases != 1 => {
            return Some(format!("one case was asked for, {} ended", done.cases));
        }
        Some(_) | None => {}
    }
    if evidence.console.is_none() {
        return Some("the console could not be read".to_owned());
    }
    // The guest writes each frame's number into its log: a console without the last one is not this
    // guest's, shows nothing of this level, or ended before the guest did.
    let last = evidence.frames.last().map(|frame| frame.seq);
    if !last.is_some_and(|seq| told.marks.contains_key(&seq)) {
        return Some(
            "the console does not show the number of the guest's last frame: it is not a witness".to_owned(),
        );
    }
    None
}

/// Everything that keeps a clean case from being proof.
fn unproved(evidence: &Evidence<'_>, end: &End) -> Vec<String> {
    let mut why = Vec::new();
    let budget_ms = u64::try_from(evidence.planned.budget.as_millis()).unwrap_or(u64::MAX);
    if end.pressure_ms < budget_ms / 10 * 9 {
        why.push(format!(
            "the pressure lasted {} ms of the {budget_ms} ms asked for",
            end.pressure_ms
        ));
    }
    if evidence.planned.floors.is_empty() {
        why.push("the workload has no exercise floor: it can prove nothing".to_owned());
    }
    let mut low = false;
    for floor in &evidence.planned.floors {
        let count = end.counters.get(&floor.counter).copied().unwrap_or(0);
        let per_s = u128::from(count) * 1000 / u128::from(end.pressure_ms.max(1));
        if per_s < u128::from(floor.per_s) {
            low = true;
            why.push(format!(
                "{}: {per_s}/s, the floor is {}/s",
                floor.counter.words(),
                floor.per_s
            ));
        }
    }
    for name in &evidence.planned.racepoints {
        if end.racepoint_hits.get(name).copied().unwrap_or(0) == 0 {
            why.push(format!("racepoint {name} was armed and never hit"));
        }
    }
    if end.holds_timed_out > 0 {
        why.push(format!("{} holds at racepoints timed out", end.holds_timed_out));
    }
    if low {
        let host = evidence.host;
        why.push(format!(
            "the emulator got {:.1} CPU seconds in {:.1} s for {} CPUs; the guest lost {} ms to steal",
            host.cpu_s, host.wall_s, host.cpus, end.steal_ms
        ));
    }
    why
}
