//! Every format, on runs that hold text which tries to be something else.

mod html;
mod machine;

use crate::run::CellRecord;
use crate::store::Record;
use crate::store::sample::{self, HOSTILE, cell, foreign};
use crate::verdict::{Class, Finding, Verdict};

/// A cell for every way that a cell can come out.
fn cells() -> Vec<CellRecord> {
    let at = |case: &str| format!("small@qemu.{case}.off");
    let mut broken = cell(
        "broken",
        &at("c"),
        None,
        Verdict::fail(Finding::new(Class::Build, HOSTILE)),
        false,
    );
    broken.attempts = 0;
    vec![
        cell("fixed", &at("pass"), None, Verdict::Pass, true),
        cell("fixed", &at("fail"), None, foreign(HOSTILE), false),
        cell("defect", &at("fail"), Some(1), foreign("page 7: told"), true),
        cell("defect", &at("fail"), Some(2), Verdict::Pass, false),
        cell(
            "fixed",
            &at("unsure"),
            None,
            Verdict::Inconclusive {
                why: vec![HOSTILE.into()],
            },
            false,
        ),
        cell(
            "fixed",
            &at("skip"),
            None,
            Verdict::Skip {
                why: "no zswap".into(),
            },
            true,
        ),
        cell(
            "fixed",
            &at("infra"),
            None,
            Verdict::Infra {
                error: HOSTILE.into(),
            },
            false,
        ),
        broken,
    ]
}

/// The record of such a run, with or without an end.
fn record(exit: Option<u8>) -> (tempfile::TempDir, Record) {
    let dir = tempfile::tempdir().unwrap();
    let run = sample::run(dir.path(), "matrix", "agent", &cells(), exit);
    let attempt = run.join("cells/fixed.small@qemu.fail.off/attempt-1");
    std::fs::create_dir_all(&attempt).unwrap();
    let head = "[    1.0] boot\n";
    std::fs::write(
        attempt.join("console.log"),
        format!("{head}{HOSTILE}\n[    9.9] end\n"),
    )
    .unwrap();
    let (offset, end) = (head.len(), head.len() + HOSTILE.len());
    let machine = format!("{{\"splats\":[{{\"title\":\"x\",\"offset\":{offset},\"end\":{end}}}]}}");
    std::fs::write(attempt.join("machine.json"), machine).unwrap();
    let record = Record::read(&run).unwrap();
    (dir, record)
}

#[test]
fn a_record_is_read_up_to_where_it_was_cut_off() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let run = sample::run(dir.path(), "killed", "agent", &cells(), None);
    let mut events = std::fs::File::options()
        .append(true)
        .open(run.join("events.jsonl"))
        .unwrap();
    writeln!(events, "{{\"v\":9,\"event\":\"from_the_future\"}}").unwrap();
    writeln!(events, "{{\"v\":1,\"event\":\"cell_started\",\"cell\":\"late\"}}").unwrap();
    write!(events, "{{\"v\":1,\"event\":\"cell_do").unwrap();
    let record = Record::read(&run).unwrap();
    assert_eq!(
        (record.exit, record.unread, record.cells.len()),
        (None, 2, cells().len())
    );
    assert_eq!(record.not_run, ["late"]);
    assert!(super::words::closing(&record).contains("no end"));
}

#[test]
fn cells_stand_in_the_plans_order_and_know_what_happened_to_them() {
    let (_dir, record) = record(Some(1));
    let ids: Vec<&str> = record.results().map(|(_, r)| r.id.as_str()).collect();
    assert_eq!(ids, cells().iter().map(|c| c.id.clone()).collect::<Vec<_>>());
    let (cell, _) = record.results().nth(1).unwrap();
    assert_eq!(cell.mismatches, [sample::mismatch()]);
    assert_eq!(cell.samples.len(), 8);
    for at in [cell.from_ms, cell.booted_ms, cell.found_ms, cell.to_ms] {
        assert!(at >= record.from_ms && at <= record.to_ms && at.is_some());
    }
}

#[test]
fn of_a_long_cell_an_even_selection_of_samples_stays() {
    let dir = tempfile::tempdir().unwrap();
    let run = sample::run(dir.path(), "long", "agent", &[], None);
    let mut lines = Vec::new();
    for event in sample::events_of(&cells()[0], 10_000) {
        serde_json::to_writer(&mut lines, &crate::run::Versioned::new(event)).unwrap();
        lines.push(b'\n');
    }
    let mut all = std::fs::read(run.join("events.jsonl")).unwrap();
    all.extend(lines);
    std::fs::write(run.join("events.jsonl"), all).unwrap();
    let record = Record::read(&run).unwrap();
    let samples = &record.cells[0].samples;
    assert!((128..=256).contains(&samples.len()), "{}", samples.len());
    let gap = samples[1].elapsed_ms - samples[0].elapsed_ms;
    assert!(
        samples
            .windows(2)
            .all(|w| w[1].elapsed_ms - w[0].elapsed_ms == gap)
    );
}
