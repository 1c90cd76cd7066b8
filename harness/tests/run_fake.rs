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
fn a_guest_that_ran_out_of_memory_by_itself_is_red() {
    check("runs out of memory", "fail", Some("oom"), 1);
}

#[test]
fn what_the_host_or_the_stream_did_is_told_in_words() {
    for (script, words) in [
        ("finds the disk full", "the host failed to serve the guest's disk"),
        ("is told to end", "told by a signal to quit"),
        ("lies about a length", "a frame claims 4294967295 bytes"),
        ("skips a number", "number 1 had to come, 3 came"),
        ("refuses", "QEMU gave up with status 3"),
        ("dies in the middle", "QEMU was killed by signal 6"),
    ] {
        let cell = check(script, "infra", None, 3);
        let reason = cell["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{script}: {reason}");
    }
}

#[test]
fn a_broken_harness_is_expected_by_its_own_word_and_reason_only() {
    let bench = Bench::new();
    let matrix = bench.matrix("skips a number");
    let text = std::fs::read_to_string(&matrix).unwrap();
    for (expect, exit) in [
        ("{ verdict: infra, reason: number 1 had to come }", 4),
        ("{ verdict: infra, reason: something else }", 3),
        ("{ verdict: any }", 3),
        ("{ verdict: fail }", 3),
    ] {
        let matrix = bench.write("expect.yaml", &format!("{text}expect: [{expect}]\n"));
        let run = bench.patchproof(&["run", &matrix, "--json"], &[]);
        // 4: as expected, and nothing is proved by it.
        assert_eq!(run.exit, exit, "{expect}: {run:?}");
    }
}

#[test]
fn a_frozen_guest_waits_for_whoever_looks_and_stays_a_finding() {
    let bench = Bench::new();
    let matrix = bench.matrix("finds something and goes on");
    let started = tool::start(
        &["run", &matrix, "--json", "--freeze-on-finding"],
        &bench.env(&[]),
    );
    let frozen = started.wait_for("cell_frozen");
    assert!(frozen["how"][0].as_str().unwrap().starts_with("gdb "), "{frozen}");
    assert!(std::path::Path::new(frozen["dump"].as_str().unwrap()).is_file());
    started.signal(nix::sys::signal::Signal::SIGINT);
    let ran = started.finish();
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert_eq!(cell(&ran.summary(), 0)["findings"][0]["class"], "oom");
}

/// The cells of which an event told.
fn cells_of(ran: &tool::Ran, event: &str, key: &str) -> Vec<String> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|object| object["event"] == event)
        .map(|object| object[key].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn a_stopped_run_is_finished_without_running_again_what_was_done() {
    let bench = Bench::new();
    let plain = std::fs::read_to_string(bench.matrix("keeps its promises")).unwrap();
    let many = plain.replace("case: [c] }", "case: [c], repeat: 30 }");
    let matrix = bench.write("many.yaml", &many);
    let started = tool::start(&["run", &matrix, "--json"], &bench.env(&[]));
    started.wait_for("cell_done");
    started.signal(nix::sys::signal::Signal::SIGINT);
    let stopped = started.finish();
    assert_eq!(stopped.exit, 3, "{stopped:?}");
    let done = cells_of(&stopped, "cell_done", "id");
    let left = stopped.summary()["not_run"].as_array().unwrap().len();
    assert_eq!(done.len() + left, 30);

    let again = bench.patchproof(&["run", "--resume", "last", "--json"], &[]);
    assert_eq!(again.exit, 0, "{again:?}");
    assert_eq!(again.run_dir(), stopped.run_dir(), "it is the same run");
    let started = cells_of(&again, "cell_started", "cell");
    assert_eq!(started.len(), left, "{started:?}");
    assert!(
        started.iter().all(|id| !done.contains(id)),
        "{started:?} {done:?}"
    );
    let summary = again.summary();
    assert_eq!(summary["cells"].as_array().unwrap().len(), 30);
    assert_eq!(summary["not_run"], Value::Array(Vec::new()));
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
