//! KTAP for people who run the agent by hand: a plan, a result a case, findings as comments.

use crate::catalogue::Floor;
use crate::protocol::{Body, End, Outcome, Request};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the results add up to; shared with whoever sets the exit status.
#[derive(Debug, Clone, Default)]
pub struct Tally(Rc<Cell<Counts>>);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    planned: u32,
    ended: u32,
    failed: u32,
    broken: u32,
    unproved: u32,
}

impl Tally {
    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.get();
        change(&mut counts);
        self.0.set(counts);
    }

    /// 0 every case passed, 1 the kernel failed one, 3 the suite failed, 4 nothing was proved.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let c = self.0.get();
        if c.failed > 0 {
            1
        } else if c.broken > 0 || c.ended != c.planned {
            3
        } else if c.unproved == c.planned {
            4
        } else {
            0
        }
    }
}

/// Turns frames into KTAP lines.
#[derive(Debug)]
pub struct Ktap {
    floors: BTreeMap<String, Vec<Floor>>,
    order: Vec<String>,
    findings: BTreeMap<String, u32>,
    tally: Tally,
}

impl Ktap {
    /// Prepares for a request.
    #[must_use]
    pub fn new(request: &Request, tally: Tally) -> Self {
        tally.change(|c| c.planned = u32::try_from(request.cases.len()).unwrap_or(u32::MAX));
        Self {
            floors: request
                .cases
                .iter()
                .map(|c| (c.id.clone(), c.workload.floors()))
                .collect(),
            order: request.cases.iter().map(|c| c.id.clone()).collect(),
            findings: BTreeMap::new(),
            tally,
        }
    }

    /// Says one frame in lines.
    pub fn lines(&mut self, body: &Body) -> Vec<String> {
        match body {
            Body::Hello(h) => {
                let there: Vec<_> = h
                    .features
                    .iter()
                    .filter(|(_, on)| **on)
                    .map(|(name, _)| name.as_str())
                    .collect();
                let kernel = format!(
                    "# kernel {}, {} CPUs, {} KiB: {}",
                    h.release,
                    h.cpus,
                    h.memory_kib,
                    there.join(" ")
                );
                vec![
                    "KTAP version 1".to_owned(),
                    format!("1..{}", self.order.len()),
                    kernel,
                ]
            }
            Body::Start(s) => vec![format!("# {}: start", s.case)],
            Body::Progress(p) => {
                let counters: Vec<_> = p
                    .counters
                    .iter()
                    .map(|(c, n)| format!("{n} {}", c.words()))
                    .collect();
                vec![format!(
                    "# {}: {} ms: {}",
                    p.case,
                    p.elapsed_ms,
                    counters.join(", ")
                )]
            }
            Body::Finding(f) => {
                *self.findings.entry(f.case.clone()).or_default() += 1;
                let mut lines = vec![format!("# {}: {}", f.case, f.title)];
                for (key, value) in &f.context {
                    lines.extend(value.lines().map(|value| format!("#   {key}: {value}")));
                }
                lines
            }
            Body::Coverage(c) => {
                let met = c.met.values().filter(|&&n| n > 0).count();
                vec![format!("# {}: {met} of {} compositions met", c.case, c.met.len())]
            }
            Body::End(e) => vec![self.result(e)],
            Body::Done(d) => vec![format!("# done: {} cases, taint {}", d.cases, d.taint)],
        }
    }

    fn result(&mut self, end: &End) -> String {
        let number = self
            .order
            .iter()
            .position(|id| *id == end.case)
            .map_or(0, |at| at + 1);
        let line = |ok: &str, rest: String| format!("{ok} {number} {}{rest}", end.case);
        self.tally.change(|c| c.ended += 1);
        let found = self.findings.get(&end.case).copied().unwrap_or(0);
        if found > 0 {
            self.tally.change(|c| c.failed += 1);
            return line(
                "not ok",
                format!(" # {found} finding{}", if found == 1 { "" } else { "s" }),
            );
        }
        match &end.outcome {
            Outcome::Failed { error } => {
                self.tally.change(|c| c.broken += 1);
                line("not ok", format!(" # ERROR {}", error.replace('\n', " ")))
            }
            Outcome::Skipped { why } => {
                self.tally.change(|c| c.unproved += 1);
                line("ok", format!(" # SKIP {why}"))
            }
            Outcome::Completed => match self.unproved(end) {
                Some(why) => {
                    self.tally.change(|c| c.unproved += 1);
                    line("ok", format!(" # SKIP inconclusive: {why}"))
                }
                None => line("ok", String::new()),
            },
        }
    }

    /// Why the case proved nothing, if so.
    fn unproved(&self, end: &End) -> Option<String> {
        if end.holds_timed_out > 0 {
            return Some(format!("{} racepoint holds timed out", end.holds_timed_out));
        }
        let floors = self.floors.get(&end.case)?;
        floors.iter().find_map(|floor| {
            let n = end.counters.get(&floor.counter).copied().unwrap_or(0);
            let per_s = n.saturating_mul(1000) / end.pressure_ms.max(1);
            let words = floor.counter.words();
            (per_s < floor.per_s)
                .then(|| format!("{per_s} {words} a second, at least {} are needed", floor.per_s))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Counter, Workload};
    use crate::protocol::{CaseRequest, Finding, Seen, VERSION};

    fn ktap(ids: &[&str]) -> (Ktap, Tally) {
        let case = |id: &&str| CaseRequest {
            id: (*id).to_owned(),
            workload: Workload::build("zswap_pressure", &BTreeMap::new()).unwrap(),
            seed: 1,
            budget_ms: 1000,
            racepoints: vec![],
        };
        let request = Request {
            v: VERSION,
            run: 1,
            cases: ids.iter().map(case).collect(),
        };
        let tally = Tally::default();
        (Ktap::new(&request, tally.clone()), tally)
    }

    fn end(case: &str, outcome: Outcome, each_counter: u64) -> Body {
        let all = [
            Counter::PagesVerified,
            Counter::RoundTrips,
            Counter::ZswapStore,
            Counter::ZswapWriteback,
        ];
        Body::End(End {
            case: case.into(),
            outcome,
            pressure_ms: 1000,
            counters: all.into_iter().map(|c| (c, each_counter)).collect(),
            racepoint_hits: BTreeMap::new(),
            holds_timed_out: 0,
            steal_ms: 0,
        })
    }

    #[test]
    fn a_case_above_its_floors_passes() {
        let (mut ktap, tally) = ktap(&["a"]);
        assert_eq!(ktap.lines(&end("a", Outcome::Completed, 1_000_000)), ["ok 1 a"]);
        assert_eq!(tally.exit_code(), 0);
    }

    #[test]
    fn a_case_below_a_floor_proved_nothing() {
        let (mut ktap, tally) = ktap(&["a"]);
        let line = ktap.lines(&end("a", Outcome::Completed, 1)).remove(0);
        assert!(
            line.starts_with("ok 1 a # SKIP inconclusive: 1 pages verified a second"),
            "{line}"
        );
        assert_eq!(tally.exit_code(), 4);
    }

    #[test]
    fn a_finding_outweighs_every_outcome() {
        let (mut ktap, tally) = ktap(&["a", "b"]);
        let what = Seen::Taint {
            before: 0,
            after: 512,
        };
        let context = [("last".to_owned(), "one\ntwo".to_owned())].into_iter().collect();
        let finding = Finding {
            case: "b".into(),
            what,
            title: "tainted".into(),
            context,
        };
        assert_eq!(
            ktap.lines(&Body::Finding(finding)),
            ["# b: tainted", "#   last: one", "#   last: two"]
        );
        ktap.lines(&end("a", Outcome::Failed { error: "x".into() }, 0));
        let line = ktap
            .lines(&end("b", Outcome::Failed { error: "x".into() }, 0))
            .remove(0);
        assert_eq!(line, "not ok 2 b # 1 finding");
        assert_eq!(tally.exit_code(), 1);
    }

    #[test]
    fn a_plan_that_was_cut_short_is_no_pass() {
        let (mut ktap, tally) = ktap(&["a", "b"]);
        ktap.lines(&end("a", Outcome::Completed, 1_000_000));
        assert_eq!(tally.exit_code(), 3);
    }
}
