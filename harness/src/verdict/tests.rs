//! What each kind of evidence comes to. Every row that is not perfect must not be green.

use super::{Class, Ending, Evidence, HostShare, Planned, Stream, Verdict, Waited, judge};
use crate::console;
use guest_tests::catalogue::{Counter, Floor};
use guest_tests::protocol::{
    Body, Done, End, Finding, Frame, Hello, Outcome, Seen, Start, VERSION, kmsg_line,
};
use std::collections::BTreeMap;
use std::time::Duration;

const CASE: &str = "k.m@qemu.c.off";

/// A cell's evidence that a test can spoil in one place.
struct Cell {
    planned: Planned,
    frames: Vec<Frame>,
    stream: Stream,
    console: Option<Vec<u8>>,
    ending: Ending,
    host: HostShare,
}

impl Cell {
    /// A cell that passes.
    fn good() -> Self {
        let frames = numbered([hello(), start(), Body::End(end()), done(0)]);
        let console = log(&frames, &[]);
        Self {
            planned: Planned {
                case: CASE.to_owned(),
                budget: Duration::from_secs(10),
                floors: vec![Floor {
                    counter: Counter::RoundTrips,
                    per_s: 100,
                }],
                racepoints: Vec::new(),
            },
            frames,
            stream: Stream::Clean,
            console: Some(console),
            ending: Ending::PoweredOff,
            host: HostShare {
                cpu_s: 20.0,
                wait_s: Some(0.5),
                wall_s: 11.0,
                cpus: 2,
            },
        }
    }

    fn with_frames(bodies: impl IntoIterator<Item = Body>) -> Self {
        let frames = numbered(bodies);
        let console = Some(log(&frames, &[]));
        Self {
            frames,
            console,
            ..Self::good()
        }
    }

    fn ended(change: impl FnOnce(&mut End)) -> Self {
        let mut it = end();
        change(&mut it);
        Self::with_frames([hello(), start(), Body::End(it), done(0)])
    }

    fn judge(&self) -> Verdict {
        let splats = self.console.as_deref().map(console::analyze).unwrap_or_default();
        judge(&Evidence {
            planned: &self.planned,
            frames: &self.frames,
            stream: &self.stream,
            console: self.console.as_deref(),
            splats: &splats,
            ending: &self.ending,
            last_words: "",
            host: self.host,
        })
    }
}

fn hello() -> Body {
    Body::Hello(Hello {
        v: VERSION,
        release: "6.12".into(),
        cpus: 2,
        memory_kib: 300_000,
        taint: 0,
        features: BTreeMap::new(),
    })
}

fn start() -> Body {
    Body::Start(Start { case: CASE.into() })
}

fn end() -> End {
    End {
        case: CASE.into(),
        outcome: Outcome::Completed,
        pressure_ms: 10_000,
        counters: [(Counter::RoundTrips, 1000)].into(),
        racepoint_hits: BTreeMap::new(),
        holds_timed_out: 0,
        steal_ms: 0,
    }
}

fn done(taint: u64) -> Body {
    Body::Done(Done { cases: 1, taint })
}

fn leak() -> Body {
    Body::Finding(Finding {
        case: CASE.into(),
        what: Seen::Leak {
            what: "swap_used".into(),
            left: 3,
        },
        title: "3 swap slots are still used".into(),
        context: BTreeMap::new(),
    })
}

fn numbered(bodies: impl IntoIterator<Item = Body>) -> Vec<Frame> {
    bodies
        .into_iter()
        .zip(0..)
        .map(|(body, seq)| Frame {
            seq,
            t_ns: seq * 1_000_000_000,
            body,
        })
        .collect()
}

/// A console: each frame's number at its second, and further lines at theirs.
fn log(frames: &[Frame], more: &[(f64, &str)]) -> Vec<u8> {
    let mut lines: Vec<(f64, String)> = frames
        .iter()
        .map(|f| (f.t_ns as f64 / 1e9 + 0.1, kmsg_line(f.seq)))
        .collect();
    lines.extend(more.iter().map(|(t, text)| (*t, (*text).to_owned())));
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines
        .iter()
        .map(|(t, text)| format!("[{t:12.6}] {text}\r\n"))
        .collect::<String>()
        .into_bytes()
}

const OOPS: &[&str] = &[
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "Oops: Oops: 0000 [#1] PREEMPT SMP",
    "CPU: 1 UID: 0 PID: 77 Comm: worker Not tainted 6.12.0 #1",
    "RIP: 0010:zs_free+0x51/0x1a0",
    "Call Trace:",
    " <TASK>",
    " zswap_entry_free+0x3c/0xb0",
    " do_swap_page+0x5f1/0xe40",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---",
];

fn oops_at(t: f64) -> Vec<(f64, &'static str)> {
    OOPS.iter()
        .zip(0..)
        .map(|(line, i)| (t + f64::from(i) / 1e5, *line))
        .collect()
}

#[track_caller]
fn check(cell: &Cell, word: &str, class: Option<&str>) -> Verdict {
    let verdict = cell.judge();
    let found = verdict.findings().next().map(|f| f.class.word());
    assert_eq!((verdict.word(), found), (word, class), "{verdict:#?}");
    verdict
}

#[test]
fn only_full_proof_is_green() {
    check(&Cell::good(), "pass", None);
}

#[test]
fn missing_proof_is_inconclusive_and_says_every_reason() {
    check(&Cell::ended(|e| e.counters.clear()), "inconclusive", None);
    check(&Cell::ended(|e| e.holds_timed_out = 1), "inconclusive", None);
    check(&Cell::ended(|e| e.pressure_ms = 2_000), "inconclusive", None);
    let mut armed = Cell::good();
    armed.planned.racepoints = vec!["zswap_writeback".into()];
    check(&armed, "inconclusive", None);
    let mut aimless = Cell::good();
    aimless.planned.floors.clear();
    check(&aimless, "inconclusive", None);
    let verdict = Cell::ended(|e| {
        e.pressure_ms = 2_000;
        e.counters.insert(Counter::RoundTrips, 20);
    })
    .judge();
    let reason = verdict.reason();
    assert!(reason.contains("2000 ms of the 10000 ms"), "{reason}");
    assert!(
        reason.contains("round trips: 10/s, the floor is 100/s"),
        "{reason}"
    );
    assert!(reason.contains("CPU seconds"), "{reason}");
}

#[test]
fn what_the_guest_could_not_do_is_told_apart() {
    check(
        &Cell::ended(|e| {
            e.outcome = Outcome::Skipped {
                why: "no zswap".into(),
            }
        }),
        "skip",
        None,
    );
    check(
        &Cell::ended(|e| {
            e.outcome = Outcome::Failed {
                error: "mount".into(),
            }
        }),
        "infra",
        None,
    );
}

#[test]
fn frames_that_cannot_be_trusted_are_never_green() {
    for stream in [
        Stream::CutOff,
        Stream::Broken("length".into()),
        Stream::OutOfOrder {
            expected: 2,
            found: 3,
        },
    ] {
        check(
            &Cell {
                stream,
                ..Cell::good()
            },
            "infra",
            None,
        );
    }
    let without_done = Cell::with_frames([hello(), start(), Body::End(end())]);
    check(&without_done, "fail", Some("lost"));
    check(
        &Cell {
            stream: Stream::CutOff,
            ..without_done
        },
        "infra",
        None,
    );
    check(&Cell::with_frames([hello(), start(), done(0)]), "infra", None);
    let mut other = end();
    other.case = "another".into();
    check(
        &Cell::with_frames([hello(), start(), Body::End(other), done(0)]),
        "infra",
        None,
    );
    let two = Body::Done(Done { cases: 2, taint: 0 });
    check(
        &Cell::with_frames([hello(), start(), Body::End(end()), two]),
        "infra",
        None,
    );
}

#[test]
fn a_console_that_is_no_witness_is_never_green() {
    check(
        &Cell {
            console: None,
            ..Cell::good()
        },
        "infra",
        None,
    );
    check(
        &Cell {
            console: Some(Vec::new()),
            ..Cell::good()
        },
        "infra",
        None,
    );
    check(
        &Cell {
            console: Some(b"[    0.1] something else\n".to_vec()),
            ..Cell::good()
        },
        "infra",
        None,
    );
}

#[test]
fn an_oops_on_the_console_fails_a_guest_that_reports_success() {
    let mut cell = Cell::good();
    cell.console = Some(log(&cell.frames, &oops_at(1.5)));
    let verdict = check(&cell, "fail", Some("oops"));
    assert_eq!(
        verdict.findings().next().and_then(|f| f.function.as_deref()),
        Some("zs_free")
    );
}

#[test]
fn the_first_cause_wins_in_guest_time() {
    let bodies = || [hello(), start(), leak(), Body::End(end()), done(0)];
    let mut cell = Cell::with_frames(bodies());
    check(&cell, "fail", Some("leak"));
    cell.console = Some(log(&cell.frames, &oops_at(1.5)));
    check(&cell, "fail", Some("oops"));
    cell.console = Some(log(&cell.frames, &oops_at(2.5)));
    let verdict = check(&cell, "fail", Some("leak"));
    assert_eq!(verdict.findings().count(), 2);
    // A death after a cause is what the cause did.
    cell.ending = Ending::Reset;
    check(&cell, "fail", Some("leak"));
}

#[test]
fn a_new_taint_fails_where_nothing_else_was_seen() {
    check(
        &Cell::with_frames([hello(), start(), Body::End(end()), done(512)]),
        "fail",
        Some("taint"),
    );
}

#[test]
fn deaths_are_told_apart() {
    let booted = |ending| Cell {
        ending,
        ..Cell::with_frames([hello(), start()])
    };
    let never = |ending| Cell {
        ending,
        ..Cell::with_frames([])
    };
    check(&booted(Ending::Reset), "fail", Some("lost"));
    check(&booted(Ending::Panicked), "fail", Some("lost"));
    check(&booted(Ending::Deadline(Waited::NextFrame)), "fail", Some("hang"));
    check(&booted(Ending::Deadline(Waited::CaseEnd)), "fail", Some("hang"));
    check(&booted(Ending::Emulator("killed".into())), "infra", None);
    check(&booted(Ending::Cancelled), "infra", None);
    check(&never(Ending::Reset), "fail", Some("boot"));
    check(&never(Ending::PoweredOff), "fail", Some("boot"));
    check(&never(Ending::Deadline(Waited::FirstFrame)), "fail", Some("boot"));
    check(&never(Ending::Emulator("no such file".into())), "infra", None);
    check(
        &Cell {
            ending: Ending::Deadline(Waited::PowerOff),
            ..Cell::good()
        },
        "fail",
        Some("hang"),
    );
}

#[test]
fn a_hang_says_whether_the_console_went_on() {
    let mut cell = Cell::with_frames([hello(), start()]);
    cell.ending = Ending::Deadline(Waited::NextFrame);
    let reason = check(&cell, "fail", Some("hang")).reason();
    assert!(
        reason.ends_with("no frame came any more, nor a word on the console"),
        "{reason}"
    );
    cell.console = Some(log(&cell.frames, &[(3.0, "eth0: link is up")]));
    let reason = check(&cell, "fail", Some("hang")).reason();
    assert!(reason.ends_with("though the console went on talking"), "{reason}");
}

#[test]
fn what_did_not_come_on_a_starved_host_proves_nothing() {
    for waited in [
        Waited::FirstFrame,
        Waited::NextFrame,
        Waited::CaseEnd,
        Waited::PowerOff,
    ] {
        let frames = if waited == Waited::FirstFrame {
            vec![]
        } else {
            vec![hello(), start()]
        };
        let mut cell = Cell::with_frames(frames);
        cell.ending = Ending::Deadline(waited);
        (cell.host.cpu_s, cell.host.wait_s, cell.host.wall_s) = (20.0, Some(30.0), 65.0);
        // It ran for long enough: that nothing came is its own doing.
        assert_eq!(cell.judge().word(), "fail");
        cell.host.cpu_s = 2.0;
        let reason = check(&cell, "inconclusive", None).reason();
        assert!(reason.contains("the host starved the guest"), "{reason}");
        // What the kernel itself said counts all the same.
        cell.console = Some(log(&cell.frames, &oops_at(1.5)));
        check(&cell, "fail", Some("oops"));
    }
    let mut slow = Cell::ended(|e| {
        e.counters.insert(Counter::RoundTrips, 20);
    });
    slow.host.wait_s = Some(30.0);
    let reason = check(&slow, "inconclusive", None).reason();
    assert!(reason.contains("the host starved the guest"), "{reason}");
}

#[test]
fn a_page_seen_wrong_twice_is_told_once_and_kept_twice() {
    let finding = |page, t_ns| super::Finding {
        page: Some(page),
        t_ns: Some(t_ns),
        ..super::Finding::new(Class::Mismatch(guest_tests::model::Class::Stale), "x")
    };
    let verdict = Verdict::Fail {
        first: finding(7, 1),
        later: vec![
            finding(8, 2),
            finding(7, 3),
            super::Finding::new(Class::Taint, "t"),
        ],
    };
    let told: Vec<_> = verdict.told().map(|f| f.page).collect();
    assert_eq!(told, [Some(7), Some(8), None]);
    assert_eq!(verdict.findings().count(), 4);
}

#[test]
fn memory_that_ran_out_by_itself_is_a_finding() {
    let oom = Body::Finding(Finding {
        case: CASE.into(),
        what: Seen::OutOfMemory { kills: 1 },
        title: "the guest ran out of memory".into(),
        context: BTreeMap::new(),
    });
    check(
        &Cell::with_frames([hello(), start(), oom, Body::End(end()), done(0)]),
        "fail",
        Some("oom"),
    );
}

#[test]
fn a_death_is_blamed_on_the_splat_that_caused_it() {
    let mut cell = Cell::with_frames([hello(), start()]);
    cell.console = Some(log(&cell.frames, &oops_at(1.5)));
    cell.ending = Ending::Panicked;
    let verdict = check(&cell, "fail", Some("oops"));
    assert_eq!(verdict.findings().last().map(|f| f.class), Some(Class::Lost));
    cell.stream = Stream::CutOff;
    check(&cell, "fail", Some("oops"));
}
