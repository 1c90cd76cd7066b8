//! The whole tool against a fake QEMU (`examples/fake_qemu.rs`): from a matrix to exit code, summary
//! and run folder. No kernel is built and no VM is booted.

mod tool;

use serde_json::Value;
use tool::Bench;

/// A cell of a run's summary.
fn cell(summary: &Value, at: usize) -> &Value {
    &summary["cells"][at]
}

#[track_caller]
fn check(script: &str, verdict: &str, class: Option<&str>, exit: i32) -> Value {
    let bench = Bench::new();
    let run = bench.run_script(script, &[]);
    let summary = run.summary();
    let it = cell(&summary, 0);
    assert_eq!(it["verdict"], verdict, "{script}: {it:#}");
    assert_eq!(it["findings"][0]["class"].as_str(), class, "{script}: {it:#}");
    assert_eq!(
        (run.exit, &summary["exit"]),
        (exit, &Value::from(exit)),
        "{script}"
    );
    it.clone()
}

#[test]
fn a_guest_that_keeps_its_promises_is_green() {
    let cell = check("keeps its promises", "pass", None, 0);
    assert_eq!(cell["as_expected"], true);
    assert_eq!(cell["attempts"], 1);
}

#[test]
fn an_oops_is_red_though_the_guest_reports_success() {
    let cell = check("oopses and reports success", "fail", Some("oops"), 1);
    assert!(
        cell["findings"][0]["title"].as_str().unwrap().contains("zs_free"),
        "{cell:#}"
    );
    assert_eq!(cell["attempts"], 1, "a finding is never tried away");
}

#[test]
fn frames_that_are_cut_off_are_never_green() {
    let cell = check("stops inside a frame", "infra", None, 3);
    assert_eq!(cell["attempts"], 2, "broken infrastructure is tried once more");
}

#[test]
fn a_guest_that_dies_is_red() {
    check("resets", "fail", Some("boot"), 1);
    check("panics", "fail", Some("oops"), 1);
}

#[test]
fn an_emulator_that_dies_is_no_verdict_on_the_kernel() {
    check("crashes", "infra", None, 3);
    check("dies in the middle", "infra", None, 3);
}

#[test]
fn without_qemu_the_error_says_what_to_install() {
    let bench = Bench::new();
    let run = bench.run_script("keeps its promises", &[("PATCHPROOF_QEMU", "/nonexistent/qemu")]);
    assert_eq!(run.exit, 3);
    let reason = cell(&run.summary(), 0)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("/nonexistent/qemu"), "{reason}");
}

#[test]
fn an_empty_selection_is_an_error_and_starts_nothing() {
    let bench = Bench::new();
    let matrix = bench.matrix("keeps its promises");
    let run = bench.patchproof(&["run", &matrix, "--filter", "no-such-cell"], &[]);
    assert_eq!(run.exit, 2, "{run:?}");
    assert!(run.stderr.contains("no-such-cell"), "{run:?}");
    assert!(!bench.path("state").exists(), "no run was recorded");
}

#[test]
fn programs_get_json_only_errors_included() {
    let bench = Bench::new();
    let matrix = bench.matrix("keeps its promises");
    for args in [
        &["run", &matrix, "--json"][..],
        &["run", "absent.yaml", "--json"],
        &["list", &matrix, "--json"],
    ] {
        let run = bench.patchproof(args, &[]);
        assert!(!run.stdout.is_empty(), "{run:?}");
        for line in run.stdout.lines() {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
            assert_eq!(object["v"], 1, "{line}");
            assert!(object["event"].is_string(), "{line}");
        }
    }
}

#[test]
fn a_run_folder_has_everything_to_repeat_a_cell() {
    let bench = Bench::new();
    let run = bench.run_script("keeps its promises", &[]);
    let dir = run.run_dir();
    let attempt = dir.join("cells/k.m@qemu.c.off/attempt-1");
    for name in [
        "run.json",
        "spec.yaml",
        "events.jsonl",
        "summary.json",
        "cells/k.m@qemu.c.off/cell.json",
    ] {
        assert!(dir.join(name).is_file(), "{name} is there");
    }
    for name in [
        "asked.json",
        "console.log",
        "frames.bin",
        "machine.json",
        "verdict.json",
    ] {
        assert!(attempt.join(name).is_file(), "{name} is there");
    }
    let repeat = cell(&run.summary(), 0)["repeat"].as_str().unwrap().to_owned();
    let words: Vec<&str> = repeat.split(' ').skip(1).chain(["--json"]).collect();
    let again = bench.patchproof(&words, &[]);
    assert_eq!(again.exit, 0, "{again:?}");
    assert_eq!(cell(&again.summary(), 0)["id"], "k.m@qemu.c.off");
    let seed = |run: &tool::Ran| {
        let text = std::fs::read(run.run_dir().join("cells/k.m@qemu.c.off/attempt-1/asked.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["request"]["cases"][0]["seed"].clone()
    };
    assert_eq!(seed(&run), seed(&again));
}
