//! The formats that programs read.

use super::{cells, record};
use crate::report::Format;
use serde_json::Value;

#[test]
fn ktap_has_a_result_for_every_cell_and_nothing_else_looks_like_one() {
    let (_dir, record) = record(Some(1));
    let text = Format::Ktap.render(&record).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("KTAP version 1"));
    let rest: Vec<&str> = lines.filter(|line| !line.starts_with("# ")).collect();
    let short: Vec<String> = rest
        .iter()
        .map(|line| {
            line.split(" inconclusive:")
                .next()
                .unwrap_or(line)
                .chars()
                .take(62)
                .collect()
        })
        .collect();
    assert_eq!(
        short,
        [
            "1..9",
            "ok 1 fixed.small@qemu.pass.off",
            "not ok 2 fixed.small@qemu.fail.off",
            "ok 3 defect.small@qemu.fail.off.1 # XFAIL foreign: page 7: tol",
            "not ok 4 defect.small@qemu.fail.off.2",
            "ok 5 fixed.small@qemu.unsure.off # SKIP",
            "ok 6 fixed.small@qemu.skip.off # SKIP skip: no zswap",
            "not ok 7 fixed.small@qemu.infra.off # ERROR infra: </pre><scri",
            "not ok 8 broken.small@qemu.c.off",
            "ok 9 fixed.small@qemu.late.off # SKIP not run: the run was sto",
        ]
    );
    assert!(!text.contains('\u{1b}') && !text.contains('\0'));
}

#[test]
fn ktap_of_a_run_without_an_end_reads_as_a_crash() {
    let (_dir, record) = record(None);
    let text = Format::Ktap.render(&record).unwrap();
    let all = cells().len();
    assert!(text.contains(&format!("\n1..{}\n", all + 1)), "{text}");
    assert_eq!(
        text.lines()
            .filter(|l| l.contains("ok ") && !l.starts_with('#'))
            .count(),
        all
    );
}

#[test]
fn junit_is_read_back_with_every_cell_once() {
    let (_dir, record) = record(Some(1));
    let text = Format::Junit.render(&record).unwrap();
    assert!(!text.contains(['\u{1b}', '\0']));
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    assert_eq!(
        (report.tests, report.failures, report.errors),
        (9, 3, 1),
        "{text}"
    );
    let mut names: Vec<(String, String)> = Vec::new();
    for case in report.test_suites.iter().flat_map(|suite| &suite.test_cases) {
        let class = case.classname.as_ref().map_or("", |c| c.as_str());
        names.push((class.to_owned(), case.name.as_str().to_owned()));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 9, "no name repeats another's");
    assert!(names.contains(&(
        "defect.small@qemu.fail.off".to_owned(),
        "defect.small@qemu.fail.off#2".to_owned()
    )));
}

#[test]
fn junit_of_a_run_without_an_end_has_an_error() {
    let (_dir, record) = record(None);
    let text = Format::Junit.render(&record).unwrap();
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    assert_eq!(report.errors, 2, "the broken host's, and the missing end");
}

fn no_null(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(all) => all.iter().all(no_null),
        Value::Object(all) => all.values().all(no_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[test]
fn kcidb_tells_kernels_from_tests_and_has_no_nulls() {
    let (_dir, record) = record(Some(1));
    let report: Value = serde_json::from_str(&Format::Kcidb.render(&record).unwrap()).unwrap();
    assert!(no_null(&report), "{report:#}");
    let all = |what: &str, field: &str| -> Vec<String> {
        let rows = report[what].as_array().unwrap().iter();
        rows.map(|row| row[field].as_str().unwrap_or("-").to_owned())
            .collect()
    };
    assert_eq!(all("builds", "status"), ["PASS", "PASS", "PASS"]);
    // The cell of the kernel that does not build is no test.
    assert_eq!(
        all("tests", "status"),
        ["PASS", "FAIL", "FAIL", "PASS", "DONE", "SKIP", "MISS"]
    );
    assert_eq!(all("tests", "path")[2], "patchproof.small_qemu.fail.off");
    assert_eq!(
        all("tests", "path")[2],
        all("tests", "path")[3],
        "repeats are runs of one test"
    );
    let ids = all("tests", "id");
    assert!(ids.iter().all(|id| id.starts_with("patchproof:")) && ids[2] != ids[3]);
    let excerpt = report["tests"][1]["log_excerpt"].as_str().unwrap();
    assert!(excerpt.chars().count() <= 16_384 && !excerpt.contains('\0'));
}

#[test]
fn nothing_begins_a_workflow_command_of_its_own() {
    let (_dir, record) = record(Some(1));
    let text = Format::Annotations.render(&record).unwrap();
    let kinds: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        kinds,
        ["::error", "::error", "::warning", "::error", "::error", "::error"],
        "{text}"
    );
    assert!(text.contains("%0A::error::gotcha"), "it is data: {text}");
}

#[test]
fn a_step_summary_holds_no_markup_but_ours() {
    let (_dir, record) = record(Some(1));
    let text = Format::Github.render(&record).unwrap();
    for (tag, times) in [
        ("<details>", 1),
        ("</details>", 1),
        ("<summary>", 1),
        ("</summary>", 1),
        ("<br>", 5),
    ] {
        assert_eq!(text.matches(tag).count(), times, "{tag}: {text}");
    }
    assert_eq!(text.matches('<').count(), 9, "{text}");
    assert!(!text.contains("](http") && !text.contains("http:"), "{text}");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    assert!(rows.clone().all(|row| row.matches('|').count() == 6), "{text}");
    assert_eq!(rows.count(), 1 + cells().len() + 1);
}

#[test]
fn a_format_is_named_by_its_word() {
    for format in Format::ALL {
        assert_eq!(format.word().parse(), Ok(format));
    }
    let error = "pdf".parse::<Format>().unwrap_err();
    assert!(error.contains("html"), "{error}");
}
