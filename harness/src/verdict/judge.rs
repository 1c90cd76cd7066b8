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
    if let Ending::Deadline(waited) = evidence.ending {
        // Only a starved host keeps a deadline that ran out from being a finding.
        let why = format!(
            "the host starved the guest: {} did not come in time",
            waited.words()
        );
        return Verdict::Inconclusive {
            why: vec![why, host_words(evidence, 0)],
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
        page: None,
        t_ns: splat.t_ns,
        detail: splat.report.clone(),
    }
}

fn guest_finding(finding: &protocol::Finding, t_ns: u64) -> Finding {
    let class = match &finding.what {
        Seen::Mismatch(mismatch) => Class::Mismatch(mismatch.class),
        Seen::Hang { .. } => Class::Hang,
        Seen::OutOfMemory { .. } => Class::Oom,
        Seen::Leak { .. } => Class::Leak,
        Seen::Conservation { .. } => Class::Conservation,
        Seen::Taint { .. } => Class::Taint,
    };
    let (page, stack) = match &finding.what {
        Seen::Mismatch(mismatch) => (Some(mismatch.page), ""),
        Seen::Hang { stack, .. } => (None, stack.as_str()),
        Seen::Leak { .. } | Seen::Conservation { .. } | Seen::OutOfMemory { .. } | Seen::Taint { .. } => {
            (None, "")
        }
    };
    let detail = finding
        .context
        .iter()
        .map(|(k, v)| format!("{k}: {v}\n"))
        .chain(stack.lines().map(|frame| format!("  {frame}\n")))
        .collect();
    Finding {
        class,
        title: finding.title.clone(),
        function: None,
        page,
        t_ns: Some(t_ns),
        detail,
    }
}

/// A guest that died or fell silent by itself: never something that the harness did.
fn death(evidence: &Evidence<'_>, told: &Told<'_>) -> Option<Finding> {
    let lost = |title: &str| Some(Finding::new(Class::Lost, title));
    let booted = !evidence.frames.is_empty();
    let late = |class, title: &str| {
        Some(Finding {
            detail: evidence.last_words.to_owned(),
            ..Finding::new(class, format!("{title}{}", console_words(evidence)))
        })
    };
    match evidence.ending {
        Ending::Deadline(_) if evidence.host.hardly_ran() => None,
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
        Ending::Deadline(Waited::FirstFrame) => {
            late(Class::Boot, "the kernel did not reach the agent in time")
        }
        Ending::Deadline(Waited::NextFrame) => {
            late(Class::Hang, "the guest fell silent: no frame came any more")
        }
        Ending::Deadline(Waited::CaseEnd) => Some(Finding {
            detail: evidence.last_words.to_owned(),
            ..Finding::new(
                Class::Hang,
                "the case did not end in time though frames still came",
            )
        }),
        Ending::Deadline(Waited::PowerOff) => late(Class::Hang, "the guest said done, but did not power off"),
        Ending::PoweredOff | Ending::Cancelled | Ending::Emulator(_) => None,
    }
}

/// Whether the console went on after the guest's last frame; fits behind what did not come.
fn console_words(evidence: &Evidence<'_>) -> &'static str {
    let Some(console) = evidence.console else {
        return ", and the console could not be read";
    };
    let mark = evidence.frames.last().map(|frame| protocol::kmsg_line(frame.seq));
    let text = String::from_utf8_lossy(console);
    let after = match mark.and_then(|mark| text.rfind(&mark).map(|at| at + mark.len())) {
        Some(at) => &text[at..],
        None => &text[..],
    };
    if after.trim().is_empty() {
        ", nor a word on the console"
    } else {
        ", though the console went on talking"
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
        if evidence.host.starved() || end.steal_ms > end.pressure_ms / 2 {
            why.push("the host starved the guest".to_owned());
        }
        why.push(host_words(evidence, end.steal_ms));
    }
    why
}

/// What the host gave, for people.
fn host_words(evidence: &Evidence<'_>, steal_ms: u64) -> String {
    let host = evidence.host;
    let waited = host
        .wait_s
        .map_or_else(String::new, |s| format!(" and waited {s:.1} s for more"));
    format!(
        "the emulator got {:.1} CPU seconds{waited} in {:.1} s for {} CPUs; the guest lost {steal_ms} ms to steal",
        host.cpu_s, host.wall_s, host.cpus
    )
}
