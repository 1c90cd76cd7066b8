//! Reports and history through the binary, against a fake QEMU; formats are judged by other people's
//! validators where those are installed.

mod tool;

use serde_json::Value;
use std::path::{Path, PathBuf};
use tool::Bench;

#[test]
fn reports_are_written_at_the_end_of_a_run_and_later() {
    let bench = Bench::new();
    let matrix = bench.matrix("oopses and reports success");
    let (html, junit) = (bench.path("run.html"), bench.path("junit.xml"));
    let html_arg = format!("html={}", html.display());
    let junit_arg = format!("junit={}", junit.display());
    let run = bench.patchproof(
        &[
            "run", &matrix, "--json", "--report", &html_arg, "--report", &junit_arg,
        ],
        &[],
    );
    assert_eq!(run.exit, 1, "{run:?}");
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(
        page.starts_with("<!doctype html>") && page.contains("<mark>"),
        "the splat is marked"
    );
    let later = bench.path("later.html");
    let again = bench.patchproof(
        &[
            "report",
            "last",
            "--format",
            "html",
            "-o",
            later.to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(again.exit, 0, "{again:?}");
    assert_eq!(
        std::fs::read_to_string(&later).unwrap(),
        page,
        "live and later are the same"
    );
    assert!(std::fs::read_to_string(&junit).unwrap().contains("<failure "));
}

#[test]
fn a_report_that_cannot_be_written_loses_no_result() {
    let bench = Bench::new();
    // Below a file there is no place for anybody, root included.
    let file = bench.path("file");
    std::fs::write(&file, "").unwrap();
    let page = file.join("run.html").display().to_string();
    for (script, exit) in [("keeps its promises", 3), ("oopses and reports success", 1)] {
        let matrix = bench.matrix(script);
        let run = bench.patchproof(&["run", &matrix, "--report", &format!("html={page}")], &[]);
        assert_eq!(run.exit, exit, "{run:?}");
        assert!(run.stderr.contains(&page), "{run:?}");
    }
}

#[test]
fn a_format_that_is_none_is_a_usage_error() {
    let bench = Bench::new();
    let matrix = bench.matrix("keeps its promises");
    for args in [
        &["report", "last", "--format", "pdf"][..],
        &["run", &matrix, "--report", "pdf=x"],
        &["report", "no-such-run"],
    ] {
        assert_eq!(bench.patchproof(args, &[]).exit, 2, "{args:?}");
    }
}

#[test]
fn programs_get_a_report_and_the_history_as_json() {
    let bench = Bench::new();
    bench.run_script("keeps its promises", &[]);
    for args in [
        &["report", "--format", "ktap", "--json"][..],
        &["history", "--json"],
    ] {
        let out = bench.patchproof(args, &[]);
        assert_eq!(out.exit, 0, "{out:?}");
        assert_eq!(out.stdout.lines().count(), 1, "{out:?}");
        let object: Value = serde_json::from_str(&out.stdout).unwrap();
        assert_eq!(object["v"], 1);
    }
}

#[test]
fn several_runs_at_once_are_all_in_the_history() {
    const RUNS: usize = 4;
    let bench = Bench::new();
    let matrix = bench.matrix("keeps its promises");
    std::thread::scope(|scope| {
        let one = || bench.patchproof(&["run", &matrix, "--json"], &[]);
        let all: Vec<_> = (0..RUNS).map(|_| scope.spawn(one)).collect();
        for run in all {
            let run = run.join().unwrap();
            assert_eq!(run.exit, 0, "{run:?}");
            assert!(!run.stderr.contains("warning"), "{run:?}");
        }
    });
    // Without the folders nothing can be taken in later: what is there was written by the runs themselves.
    std::fs::remove_dir_all(bench.path("state").join("runs")).unwrap();
    let history = bench.patchproof(&["history", "m@qemu", "--json"], &[]);
    let line: Value = serde_json::from_str(&history.stdout).unwrap();
    assert_eq!(line["passed"], RUNS, "{line:#}");
    assert_eq!(line["flakiness"], 0.0);
}

#[test]
fn a_history_that_cannot_be_written_loses_no_run() {
    let bench = Bench::new();
    let matrix = bench.matrix("keeps its promises");
    std::fs::create_dir_all(bench.path("state").join("history.sqlite")).unwrap();
    let run = bench.patchproof(&["run", &matrix, "--json"], &[]);
    assert_eq!(run.exit, 0, "{run:?}");
    assert!(run.stderr.contains("not in the history"), "{run:?}");
    assert!(run.run_dir().join("summary.json").is_file());
}

/// What `cargo xtask setup` has installed to judge formats with.
fn validator(name: &str) -> Option<PathBuf> {
    let target = Path::new(tool::PATCHPROOF).ancestors().nth(2)?;
    let path = target.join("validators").join(name);
    if !path.exists() {
        eprintln!(
            "not tested: {} is missing; `cargo xtask setup` installs it",
            path.display()
        );
    }
    path.exists().then_some(path)
}

#[test]
fn kcidb_takes_what_we_write() {
    let Some(python) = validator("bin/python") else {
        return;
    };
    let bench = Bench::new();
    for script in ["keeps its promises", "oopses and reports success", "crashes"] {
        bench.run_script(script, &[]);
        let file = bench.path("kcidb.json");
        let report = bench.patchproof(
            &["report", "--format", "kcidb", "-o", file.to_str().unwrap()],
            &[],
        );
        assert_eq!(report.exit, 0, "{report:?}");
        let check = "import json, sys, kcidb_io\n\
                     data = json.load(open(sys.argv[1]))\n\
                     kcidb_io.schema.LATEST.validate(data)\n\
                     assert data['version'] == {'major': 5, 'minor': 3} and data['tests'] and data['builds']\n";
        let valid = duct::cmd!(&python, "-c", check, &file)
            .stderr_to_stdout()
            .unchecked()
            .stdout_capture();
        let out = valid.run().unwrap();
        assert!(
            out.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&out.stdout)
        );
        // A validator that takes anything would prove nothing.
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replacen("\"PASS\"", "\"GREEN\"", 1);
        std::fs::write(&file, text).unwrap();
        let out = duct::cmd!(&python, "-c", check, &file)
            .stderr_null()
            .unchecked()
            .run()
            .unwrap();
        assert!(!out.status.success(), "{script}: a status that does not exist");
    }
}

#[test]
fn the_kernels_own_parser_reads_our_ktap() {
    let Some(parser) = validator("tools/testing/kunit/kunit.py") else {
        return;
    };
    let bench = Bench::new();
    for (script, words) in [
        ("keeps its promises", "passed: 1"),
        ("oopses and reports success", "failed: 1"),
    ] {
        bench.run_script(script, &[]);
        let file = bench.path("ktap");
        bench.patchproof(&["report", "--format", "ktap", "-o", file.to_str().unwrap()], &[]);
        let parse = duct::cmd!("python3", &parser, "parse", &file)
            .stderr_to_stdout()
            .unchecked()
            .stdout_capture();
        let out = String::from_utf8_lossy(&parse.run().unwrap().stdout).into_owned();
        assert!(out.contains(words) && !out.contains("[ERROR]"), "{script}: {out}");
    }
}
