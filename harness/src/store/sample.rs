//! Run folders for tests: made by the same code that real ones are made by.

use super::{RunDir, RunHeader};
use crate::run::{CellRecord, Event, FindingLine, KernelRecord, Summary};
use crate::verdict::{Class, Finding, Verdict};
use guest_tests::catalogue::Counter;
use guest_tests::model::{self, Expected, Lines, Mismatch, Owner};
use std::path::{Path, PathBuf};

/// Text that tries to be something else in every format at once.
pub(crate) const HOSTILE: &str = "</pre><script>alert(1)</script>\u{1b}[31m ]]> \"q\" & | `x` # SKIP\n::error::gotcha\r\nok 1 fake\0 [a](http://evil.example)";

/// A cell's result.
pub(crate) fn cell(
    kernel: &str,
    rest: &str,
    repeat: Option<u32>,
    full: Verdict,
    as_expected: bool,
) -> CellRecord {
    let group = format!("{kernel}.{rest}");
    let id = repeat.map_or_else(|| group.clone(), |n| format!("{group}#{n}"));
    let failed = matches!(full, Verdict::Fail { .. });
    CellRecord {
        repeat: format!("patchproof replay RUN {id}"),
        id,
        group,
        kernel: kernel.to_owned(),
        machine: "small".to_owned(),
        workload: "zswap_pressure".to_owned(),
        verdict: full.word().to_owned(),
        as_expected,
        reason: full.reason(),
        findings: full.findings().map(FindingLine::from).collect(),
        detect_s: failed.then_some(1.5),
        guest_s: 10.0,
        pages_verified: 1000,
        round_trips: 200,
        boot_s: Some(2.0),
        attempts: 1,
        build_s: None,
        full,
        expected: "pass".to_owned(),
    }
}

/// A mismatch's verdict, with such a title.
pub(crate) fn foreign(title: &str) -> Verdict {
    let mut finding = Finding::new(Class::Mismatch(model::Class::Foreign), title);
    finding.t_ns = Some(3_000_000_000);
    finding.detail = format!("page before the read: swapped\n{title}");
    Verdict::fail(finding)
}

/// The mismatch that such a finding told of: half a page is another's.
pub(crate) fn mismatch() -> Mismatch {
    let stamp = |page, generation| Owner::Stamp {
        run: 1,
        page,
        generation,
        displaced: false,
        damaged: false,
    };
    Mismatch {
        page: 7,
        run: 1,
        expected: Expected::Generation { generation: 3 },
        class: model::Class::Spliced,
        found: vec![
            Lines {
                from: 0,
                to: 31,
                owner: stamp(7, 3),
            },
            Lines {
                from: 32,
                to: 63,
                owner: stamp(9, 1),
            },
        ],
        fault: None,
        flips: None,
        behind: None,
        sample: None,
    }
}

/// Everything that happens to a cell, from its start to its verdict.
pub(crate) fn events_of(cell: &CellRecord, samples: u64) -> Vec<Event> {
    let id = || cell.id.clone();
    let mut events = vec![
        Event::CellStarted { cell: id() },
        Event::CellBooted {
            cell: id(),
            boot_s: 2.0,
            backend: "qemu".to_owned(),
            backend_why: "asked for".to_owned(),
            accel: "tcg".to_owned(),
            accel_why: "asked for".to_owned(),
        },
    ];
    for i in 1..=samples {
        events.push(Event::CellProgress {
            cell: id(),
            elapsed_ms: 250 * i,
            budget_ms: 250 * samples,
            pages_verified: 100 * i,
            round_trips: 20 * i,
            counters: [
                (Counter::PagesVerified, 100 * i),
                (Counter::RoundTrips, 20 * i),
                (Counter::SwapOut, 50 * i),
            ]
            .into(),
        });
    }
    for finding in &cell.findings {
        events.push(Event::CellFinding {
            cell: id(),
            title: finding.title.clone(),
            mismatch: Some(Box::new(mismatch())),
        });
    }
    events.push(Event::CellDone(Box::new(cell.clone())));
    events
}

/// A run's folder with such cells. Without an `exit` it has no end.
pub(crate) fn run(runs: &Path, name: &str, agent: &str, cells: &[CellRecord], exit: Option<u8>) -> PathBuf {
    let mut dir = RunDir::create(runs, name).unwrap();
    let header = RunHeader {
        v: 1,
        run: dir.id().to_owned(),
        spec: "/matrix.yaml".into(),
        root: "/".into(),
        cells: cells.iter().map(|cell| cell.id.clone()).collect(),
        shard: None,
        agent: agent.to_owned(),
        patchproof: "0".to_owned(),
        args: Vec::new(),
        started: jiff::Timestamp::now().to_string(),
    };
    dir.write("run.json", &header).unwrap();
    let mut kernels: Vec<KernelRecord> = Vec::new();
    for cell in cells {
        if !kernels.iter().any(|k| k.kernel == cell.kernel) {
            kernels.push(KernelRecord {
                kernel: cell.kernel.clone(),
                key: format!("key-of-{}", cell.kernel),
                dir: "/kernels".into(),
                build_s: Some(60.0),
                cached: false,
                notes: vec!["hunk 1 applied +3 lines from where it says".to_owned()],
            });
        }
    }
    let mut events = vec![Event::RunStarted {
        run: dir.id().to_owned(),
        dir: dir.path().to_owned(),
        spec: "matrix.yaml".into(),
        cells: cells.len(),
        kernels: kernels.len(),
        done: 0,
        notes: Vec::new(),
        defaults: String::new(),
    }];
    for kernel in &kernels {
        events.push(Event::KernelStarted {
            kernel: kernel.kernel.clone(),
        });
        events.push(Event::KernelReady(kernel.clone()));
    }
    for cell in cells {
        events.extend(events_of(cell, 8));
    }
    events.extend(exit.map(|exit| {
        Event::Summary(Summary {
            run: dir.id().to_owned(),
            cells: cells.to_vec(),
            kernels,
            not_run: vec!["fixed.small@qemu.late.off".to_owned()],
            not_run_why: None,
            exit,
        })
    }));
    for event in &events {
        dir.event(event).unwrap();
    }
    dir.path().to_owned()
}
