//! `patchproof series` as a whole against a toy source tree and a fake QEMU: from commits to exit code, report
//! and reply. No kernel is built and no VM is booted.

mod tool;
mod toy;

use serde_json::Value;
use tool::{Bench, Ran};
use toy::{FRAGMENT, Toy};

const GOOD: &str = "keeps its promises";
const BAD: &str = "oopses and reports success";

struct Case {
    bench: Bench,
    toy: Toy,
}

impl Case {
    fn new() -> Self {
        let bench = Bench::new();
        for dir in ["kconfigs", "patches"] {
            std::fs::create_dir_all(bench.path(dir)).expect("a folder");
        }
        bench.write("kconfigs/tiny.config", FRAGMENT);
        let toy = Toy::new(&bench.path("linux"), GOOD);
        Self { bench, toy }
    }

    fn check(&self, series: &str, more: &[&str]) -> Ran {
        let base = format!("{}@base", self.toy.path());
        let root = self.bench.path("");
        let root = root.to_str().expect("a plain path");
        let mut args = vec![
            "series",
            series,
            "--base",
            &base,
            "--root",
            root,
            "--kconfigs",
            "tiny",
        ];
        args.extend([
            "--accel",
            "tcg",
            "--budget",
            "1s",
            "--from",
            "CI Bot <ci@example.net>",
            "--json",
        ]);
        args.extend(more);
        self.bench.patchproof(&args, &[])
    }

    fn range(&self) -> Ran {
        self.check(&format!("{}:base..HEAD", self.toy.path()), &[])
    }
}

/// The result among the events.
fn result(ran: &Ran) -> Value {
    let mut events = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events
        .find(|event| event["event"] == "series")
        .unwrap_or_else(|| panic!("no result: {ran:?}"))
}

fn reply(ran: &Ran) -> String {
    std::fs::read_to_string(ran.run_dir().join("reply.eml")).expect("there is a reply")
}

/// What the build of a part compiled.
fn compiled(ran: &Ran, part: &str) -> Vec<String> {
    let events = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let ready = |event: &Value| event["event"] == "kernel_ready" && event["kernel"] == part;
    let dir = events
        .into_iter()
        .find(ready)
        .map(|e| e["dir"].as_str().expect("a folder").to_owned());
    let dir = dir.unwrap_or_else(|| panic!("{part} was built: {ran:?}"));
    let log = std::fs::read_to_string(format!("{dir}/build.log")).expect("a log");
    log.lines()
        .filter_map(|line| line.strip_prefix("  CC      "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_good_series_gets_an_all_clear_and_each_patch_costs_what_it_changes() {
    let case = Case::new();
    case.toy.edit("include/swap.h", "int x", "int y");
    case.toy.commit("swap: rename");
    case.toy.edit("mm/zswap.c", "x + 3", "x + 4 - 1");
    case.toy.commit("zswap: spell it out");
    case.toy.edit("mm/zswap.c", "x + 5", "5 + x");
    case.toy.commit("zswap: turn round");
    let ran = case.range();
    let result = result(&ran);
    assert_eq!(
        (ran.exit, &result["verdict"]),
        (0, &Value::from("pass")),
        "{result:#}"
    );
    // A header is compiled once, not again for each patch after it.
    assert_eq!(compiled(&ran, "p1").len(), 2);
    assert_eq!(compiled(&ran, "p2"), ["mm/zswap.o"]);
    assert_eq!(compiled(&ran, "p3"), ["mm/zswap.o"]);
    assert_eq!(result["workloads"][0]["workload"], "zswap_pressure");
    let reply = reply(&ran);
    assert!(
        reply.contains("nothing was found that this series (3 patches on "),
        "{reply}"
    );
    assert!(!reply.contains("Reported-by"), "{reply}");
    // Once more: nothing is built again, and it comes to the same.
    let again = case.range();
    assert_eq!(again.exit, 0, "{again:?}");
    assert!(
        again.summary()["kernels"]
            .as_array()
            .expect("kernels")
            .iter()
            .all(|k| k["cached"] == true)
    );
}

#[test]
fn the_patch_that_breaks_is_named_and_its_author_answered() {
    let case = Case::new();
    for n in 1..=4 {
        case.toy
            .edit("mm/zswap.c", &format!("x + {n};"), &format!("{n} + x;"));
        if n == 3 {
            case.toy.put("script", BAD);
        }
        case.toy.commit(&format!("zswap: turn {n}"));
    }
    let ran = case.range();
    let result = result(&ran);
    assert_eq!(
        (ran.exit, &result["verdict"]),
        (1, &Value::from("fail")),
        "{result:#}"
    );
    let problem = &result["problems"][0];
    assert_eq!(problem["patches"], serde_json::json!([3]), "{problem:#}");
    assert_eq!(problem["class"], "oops");
    let reply = reply(&ran);
    let commit = case.toy.git(&["rev-parse", "--short=12", "HEAD~1"]);
    assert!(
        reply.contains(&format!("| Fixes: {commit} (\"zswap: turn 3\")\n")),
        "{reply}"
    );
    assert!(reply.contains("To: Jane Doe <jane@example.org>\n"), "{reply}");
    assert!(
        reply.contains("| Reported-by: CI Bot <ci@example.net>\n"),
        "{reply}"
    );
    // The record is a run like any other: the cell that showed it runs again.
    let repeat = problem["repeat"].as_str().expect("a command").to_owned();
    let words: Vec<&str> = repeat.split(' ').skip(1).chain(["--json"]).collect();
    let again = case.bench.patchproof(&words, &[]);
    assert_eq!(again.exit, 1, "{again:?}");
    assert_eq!(again.summary()["cells"][0]["findings"][0]["class"], "oops");
}

#[test]
fn what_does_not_build_in_the_middle_is_named_with_its_line() {
    let case = Case::new();
    case.toy.edit("mm/zswap.c", "x + 2;", "nonsense;");
    case.toy.commit("zswap: two");
    case.toy.edit("mm/zswap.c", "nonsense;", "x + 2;");
    case.toy.commit("zswap: three");
    let ran = case.range();
    let result = result(&ran);
    assert_eq!(ran.exit, 1, "{result:#}");
    let problem = &result["problems"][0];
    assert_eq!(
        (&problem["kind"], &problem["patch"]),
        (&Value::from("build"), &Value::from(1))
    );
    assert_eq!(
        (&problem["file"], &problem["line"]),
        (&Value::from("mm/zswap.c"), &Value::from(15))
    );
    assert_eq!(problem["mended_by"], 2);
    let reply = reply(&ran);
    assert!(reply.contains("mm/zswap.c:15: error: "), "{reply}");
}

#[test]
fn what_does_not_apply_is_named_and_nothing_is_built() {
    let case = Case::new();
    case.toy.edit("mm/zswap.c", "x + 7;", "7 + x;");
    case.toy.commit("zswap: seven");
    let mail = case.bench.path("series.mbox");
    std::fs::write(&mail, case.toy.patches()).expect("it can be written");
    case.toy.reset();
    case.toy.edit("mm/zswap.c", "x + 7;", "x * 7;");
    case.toy.commit("other");
    case.toy.git(&["tag", "-f", "base"]);
    let ran = case.check(mail.to_str().expect("a plain path"), &[]);
    let result = result(&ran);
    assert_eq!(ran.exit, 1, "{result:#}");
    let problem = &result["problems"][0];
    assert_eq!(
        (&problem["kind"], &problem["file"]),
        (&Value::from("apply"), &Value::from("mm/zswap.c"))
    );
    assert!(ran.summary()["kernels"].as_array().expect("kernels").is_empty());
    assert!(
        reply(&ran).contains("Subject: Re: [PATCH] zswap: seven\n"),
        "{}",
        reply(&ran)
    );
}

#[test]
fn a_new_warning_is_told_of_its_patch_and_an_old_one_is_not() {
    let case = Case::new();
    case.toy
        .edit("mm/zswap.c", "return x + 9;", "int old;\n\treturn x + 9;");
    case.toy.commit("with a warning");
    case.toy.git(&["tag", "-f", "base"]);
    case.toy.edit("mm/zswap.c", "x + 1;", "1 + x;");
    case.toy.commit("zswap: one");
    case.toy
        .edit("mm/zswap.c", "return x + 5;", "int fresh;\n\treturn x + 5;");
    case.toy.commit("zswap: two");
    let ran = case.range();
    let result = result(&ran);
    assert_eq!(ran.exit, 0, "{result:#}");
    assert_eq!(result["patches"][0]["warnings"], serde_json::json!([]));
    let warnings = result["patches"][1]["warnings"].as_array().expect("a list");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = warnings[0].as_str().expect("text");
    assert!(
        warning.contains("mm/zswap.c:") && warning.contains("fresh"),
        "{warning}"
    );
}

#[test]
fn a_series_that_nothing_exercises_is_booted_and_that_is_said() {
    let case = Case::new();
    case.toy.put("lib/new.c", "int lib_new;\n");
    case.toy.commit("lib: new");
    let ran = case.range();
    let result = result(&ran);
    assert_eq!(ran.exit, 0, "{result:#}");
    assert_eq!(result["workloads"], serde_json::json!([]));
    assert_eq!(result["not_exercised"], serde_json::json!(["lib/new.c"]));
    assert_eq!(result["not_compiled"], serde_json::json!(["lib/new.c"]));
    let reply = reply(&ran);
    assert!(
        reply.contains("no workload exercises what this series touches"),
        "{reply}"
    );
}

#[test]
fn usage_errors_are_told_and_start_nothing() {
    let case = Case::new();
    for (args, words) in [
        (
            vec!["series", "/nothing/there", "--base", "debian"],
            "neither a file, a folder, nor a range",
        ),
        (vec!["series", "x", "--base", "image:x"], "neither a file"),
        (
            vec![
                "series",
                case.toy.path(),
                "--base",
                "debian",
                "--workloads",
                "nonsense",
            ],
            "there is no workload nonsense",
        ),
    ] {
        let mut args = args.clone();
        let root = case.bench.path("");
        args.extend(["--root", root.to_str().expect("a plain path")]);
        let ran = case.bench.patchproof(&args, &[]);
        assert_eq!(ran.exit, 2, "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    assert!(!case.bench.path("state/runs").exists(), "no run was recorded");
}
