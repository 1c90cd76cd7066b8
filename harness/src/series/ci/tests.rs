//! The order of things, with scripted builds and boots.

use super::*;
use crate::console::Kind;
use crate::series::report::{FindingProblem, PatchLine};
use crate::series::sight::signature;
use crate::verdict::{Class, Finding};
use guest_tests::model;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

type Play = Box<dyn Fn(usize, &str, u32) -> Verdict + Send>;

/// What is built and booted, by a script.
struct Scripted {
    broken: BTreeSet<usize>,
    play: Play,
    ran: Vec<(usize, String, u32)>,
    budgets: BTreeMap<String, Duration>,
    told: Vec<Step>,
    stop_after: usize,
}

impl Scripted {
    fn new(play: impl Fn(usize, &str, u32) -> Verdict + Send + 'static) -> Self {
        Self {
            broken: BTreeSet::new(),
            play: Box::new(play),
            ran: Vec::new(),
            budgets: BTreeMap::new(),
            told: Vec::new(),
            stop_after: usize::MAX,
        }
    }

    fn broken(mut self, parts: &[usize]) -> Self {
        self.broken.extend(parts);
        self
    }

    /// Runs of a part in a case.
    fn count(&self, part: usize, case: &str) -> usize {
        self.ran
            .iter()
            .filter(|(p, c, _)| *p == part && c == case)
            .count()
    }
}

impl Works for Scripted {
    type Error = String;

    async fn build(&mut self, part: usize) -> Result<Build, String> {
        Ok(if self.broken.contains(&part) {
            Build::Broken {
                file: Some("mm/zswap.c".into()),
                line: Some(7),
                message: format!("part {part} is broken"),
            }
        } else {
            Build::Built(Some(1.0))
        })
    }

    async fn look_at_builds(&mut self, _report: &mut Report) -> Result<(), String> {
        Ok(())
    }

    fn add(&mut self, case: &CaseText) -> Result<(), String> {
        self.budgets.insert(case.name.clone(), case.budget);
        Ok(())
    }

    async fn run(&mut self, part: usize, case: &str, nth: u32) -> Result<Option<CellRecord>, String> {
        let known = (part, case.to_owned(), nth);
        if self.ran.contains(&known) {
            return Err(format!("{known:?} was run twice"));
        }
        if self.ran.len() >= self.stop_after {
            return Ok(None);
        }
        self.ran.push(known);
        Ok(Some(record(part, case, nth, (self.play)(part, case, nth))))
    }

    fn tell(&mut self, step: Step) -> Result<(), String> {
        self.told.push(step);
        Ok(())
    }
}

fn record(part: usize, case: &str, nth: u32, full: Verdict) -> CellRecord {
    let found = matches!(full, Verdict::Fail { .. });
    CellRecord {
        id: crate::series::matrix::cell(part, case, nth),
        group: String::new(),
        kernel: crate::series::matrix::kernel(part),
        machine: "ci".into(),
        workload: case.to_owned(),
        verdict: full.word().to_owned(),
        as_expected: !found,
        reason: full.reason(),
        findings: Vec::new(),
        detect_s: found.then_some(1.5),
        guest_s: if found { 1.5 } else { 30.0 },
        pages_verified: 100,
        round_trips: 10,
        boot_s: Some(1.0),
        attempts: 1,
        build_s: None,
        repeat: format!("patchproof replay RUN {part}"),
        full,
        expected: "pass".into(),
    }
}

fn foreign() -> Verdict {
    let class = Class::Mismatch(model::Class::Foreign);
    Verdict::fail(Finding::new(class, "page 7: another page's data"))
}

fn stale() -> Verdict {
    Verdict::fail(Finding::new(
        Class::Mismatch(model::Class::Stale),
        "page 9: old data",
    ))
}

fn oops() -> Verdict {
    let mut finding = Finding::new(Class::Splat(Kind::Oops), "BUG: oops in zs_free");
    finding.function = Some("zs_free".into());
    Verdict::fail(finding)
}

/// Runs a future that never waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("a script waits for nothing"),
    }
}

fn check_of(patches: usize, works: &mut Scripted) -> Report {
    let patch = |number| PatchLine {
        number,
        title: format!("patch {number}"),
        ..PatchLine::default()
    };
    let mut report = Report {
        patches: (1..=patches).map(patch).collect(),
        ..Report::default()
    };
    let asked = Asked {
        cases: vec![CaseText {
            name: "zswap_pressure".into(),
            workload: "zswap_pressure".into(),
            budget: Duration::from_secs(30),
        }],
        looks: 2,
        rule: Rule::default(),
    };
    now(check(works, &asked, &mut report)).expect("the script plays it");
    report
}

fn finding(report: &Report) -> &FindingProblem {
    match report.problems.as_slice() {
        [Problem::Finding(finding)] => finding,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_good_series_is_looked_at_and_passes() {
    let mut works = Scripted::new(|_, _, _| Verdict::Pass);
    let report = check_of(3, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Pass, 0));
    // One pair for the boot, two for the workload; no part in between is booted.
    assert_eq!(works.ran.len(), 6);
    assert!(works.ran.iter().all(|(part, ..)| [0, 3].contains(part)));
    assert_eq!((report.totals.cells, report.totals.round_trips), (6, 60));
    assert!(report.cases.iter().all(|c| c.outcome == Outcome::NothingNew));
}

#[test]
fn the_patch_that_brings_a_finding_is_named_after_fresh_pairs() {
    let mut works = Scripted::new(|part, case, nth| match (part >= 3, case) {
        (true, "boot") | (false, _) => Verdict::Pass,
        (true, _) if nth % 2 == 0 => stale(),
        (true, _) => foreign(),
    });
    let report = check_of(5, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Fail, 1));
    let found = finding(&report);
    assert_eq!(
        (found.patches.as_slice(), found.class.as_str()),
        ([3].as_slice(), "foreign")
    );
    assert!(found.confidence >= 0.95, "{found:#?}");
    assert_eq!(found.shown.first().map(|s| (s.patches, s.found)), Some((0, 0)));
    let whole = found.shown.last().expect("the whole series was run");
    assert_eq!((whole.patches, whole.runs), (5, whole.found));
    // Patch 2 and patch 3 were told apart by runs of both.
    let of = |part| works.count(part, "zswap_pressure-again");
    assert!(of(2) > 0 && of(3) > 0, "{:?}", works.ran);
    // The pairs of the test are shorter, since it shows soon.
    assert_eq!(works.budgets["zswap_pressure-again"], Duration::from_secs(6));
    assert!(works.told.iter().any(|s| matches!(s, Step::Suspected { .. })));
}

#[test]
fn what_base_shows_as_well_blames_nobody() {
    let mut works = Scripted::new(|part, case, nth| match (case, part, nth) {
        ("boot", ..) | (_, 2, 2) => Verdict::Pass,
        _ => oops(),
    });
    let report = check_of(2, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Pass, 0));
    assert_eq!(report.on_base, ["zswap_pressure: oops in zs_free"]);
    assert!(report.problems.is_empty());
    // Where no run of it was clean, nothing is known of the series either.
    let mut always = Scripted::new(|_, case, _| if case == "boot" { Verdict::Pass } else { oops() });
    let report = check_of(2, &mut always);
    assert_eq!((report.verdict, report.exit), (Word::Inconclusive, 4));
    assert!(report.problems.is_empty());
}

#[test]
fn a_finding_beside_one_of_base_is_still_found() {
    let mut works = Scripted::new(|part, case, _| match (part, case) {
        (_, "boot") => Verdict::Pass,
        (0 | 1, _) => oops(),
        _ => foreign(),
    });
    let report = check_of(2, &mut works);
    assert_eq!(report.on_base, ["zswap_pressure: oops in zs_free"]);
    assert_eq!(finding(&report).class, "foreign");
}

#[test]
fn a_patch_that_does_not_build_is_named_and_so_is_what_mends_it() {
    let mut works = Scripted::new(|_, _, _| Verdict::Pass).broken(&[2]);
    let report = check_of(3, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Fail, 1));
    assert!(matches!(
        report.problems.as_slice(),
        [Problem::Build {
            patch: 2,
            line: Some(7),
            mended_by: Some(3),
            ..
        }]
    ));
    assert_eq!(report.patches[1].builds, Some(false));
    // The whole series builds, so it is run all the same.
    assert_eq!(works.count(3, "zswap_pressure"), 2);
}

#[test]
fn what_never_builds_again_is_not_booted() {
    let mut works = Scripted::new(|_, _, _| Verdict::Pass).broken(&[2, 3]);
    let report = check_of(3, &mut works);
    assert_eq!(report.problems.len(), 1, "later parts break by the same");
    assert!(works.ran.is_empty());
    assert_eq!(report.exit, 1);
}

#[test]
fn a_base_that_does_not_build_proves_nothing() {
    let mut works = Scripted::new(|_, _, _| Verdict::Pass).broken(&[0]);
    let report = check_of(2, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Inconclusive, 4));
    assert!(
        report.open[0].contains("mm/zswap.c:7: part 0 is broken"),
        "{report:#?}"
    );
}

#[test]
fn a_kernel_that_does_not_boot_is_searched_and_no_workload_is_tried() {
    let dead = || Verdict::fail(Finding::new(Class::Boot, "the kernel never reached the agent"));
    let mut works = Scripted::new(move |part, _, _| if part >= 2 { dead() } else { Verdict::Pass });
    let report = check_of(4, &mut works);
    let found = finding(&report);
    assert_eq!(
        (found.case.as_str(), found.patches.as_slice()),
        (BOOT, [2].as_slice())
    );
    assert_eq!(works.count(4, "zswap_pressure"), 0);
    assert_eq!(report.exit, 1);
}

#[test]
fn one_sighting_that_never_comes_again_is_neither_green_nor_blamed() {
    let mut works = Scripted::new(|part, case, nth| match (part, case, nth) {
        (1, "zswap_pressure", 1) => foreign(),
        _ => Verdict::Pass,
    });
    let report = check_of(1, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Inconclusive, 4));
    assert!(report.problems.is_empty());
    assert!(
        report.open[0].contains("seen once on the patched kernel"),
        "{report:#?}"
    );
}

#[test]
fn what_is_not_exercised_is_never_green() {
    let nothing = || Verdict::Inconclusive {
        why: vec!["too few round trips".into()],
    };
    let mut works = Scripted::new(move |_, case, _| if case == "boot" { Verdict::Pass } else { nothing() });
    let report = check_of(1, &mut works);
    assert_eq!((report.verdict, report.exit), (Word::Inconclusive, 4));
    assert!(report.open[0].contains("too few round trips"), "{report:#?}");
}

#[test]
fn a_broken_host_or_a_stop_says_nothing_about_the_series() {
    let broken = || Verdict::Infra {
        error: "the disk is full".into(),
    };
    let report = check_of(1, &mut Scripted::new(move |_, _, _| broken()));
    assert_eq!((report.verdict, report.exit), (Word::Infra, 3));
    assert!(report.open[0].contains("the disk is full"));
    let mut stopped = Scripted::new(|_, _, _| Verdict::Pass);
    stopped.stop_after = 3;
    let report = check_of(1, &mut stopped);
    assert_eq!((report.verdict, report.exit), (Word::Infra, 3));
    assert_eq!(report.totals.cells, 3);
}

#[test]
fn findings_are_told_apart_by_class_and_function_and_pages_are_not() {
    let sig = |verdict: Verdict| verdict.findings().map(signature).next().expect("a finding");
    assert_eq!(sig(foreign()), sig(stale()));
    assert_eq!(sig(oops()).0, "oops in zs_free");
    let hang = Finding::new(Class::Hang, "no progress for 10 s on CPU 1");
    assert_eq!(signature(&hang).0, "hang");
}
