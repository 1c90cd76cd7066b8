//! `patchproof bisect` as a user runs it, against a fake QEMU: images in place of kernels, so that nothing is
//! built. What is real: the search, the trials, what is kept, the verification, the reports, the sentences.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

mod tool;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tool::{Bench, Ran};

const GOOD: &str = "keeps its promises";
const BAD: &str = "runs out of memory";
const HALF: &str = "runs out of memory with every second seed";
const OTHER: &str = "oopses and reports success";
const DEAD: &str = "resets";

/// A matrix whose kernels v0, v1 … are images that play these scripts.
fn matrix(bench: &Bench, scripts: &[&str]) -> String {
    for dir in ["kconfigs", "patches"] {
        std::fs::create_dir_all(bench.path(dir)).unwrap();
    }
    let mut kernels = String::new();
    let mut names = Vec::new();
    for (at, script) in scripts.iter().enumerate() {
        bench.write(&format!("image{at}"), script);
        kernels.push_str(&format!("  v{at}: {{ source: {{ image: image{at} }} }}\n"));
        names.push(format!("v{at}"));
    }
    bench.write(
        "matrix.yaml",
        &format!(
            "version: 1\nkernels:\n{kernels}machines: {{ m: {{ backend: qemu, accel: tcg, cpus: 1, memory: 300MiB, swap: 16MiB }} }}\n\
             cases: {{ c: {{ workload: zswap_pressure, budget: 10s }} }}\n\
             matrix: {{ kernel: [{}], machine: [m], case: [c] }}\n",
            names.join(", ")
        ),
    )
}

fn arguments(bench: &Bench, scripts: &[&str]) -> Vec<String> {
    let names: Vec<String> = (0..scripts.len()).map(|at| format!("v{at}")).collect();
    let matrix = matrix(bench, scripts);
    let words = [
        "bisect",
        "--kernels",
        &names.join(","),
        "--matrix",
        &matrix,
        "--case",
        "c",
        "--cores",
        "2",
    ];
    words.map(str::to_owned).to_vec()
}

fn bisect(bench: &Bench, scripts: &[&str], more: &[&str]) -> Ran {
    let own = arguments(bench, scripts);
    let mut args: Vec<&str> = own.iter().map(String::as_str).collect();
    args.extend(more);
    bench.patchproof(&args, &[])
}

/// Events of a name.
fn events(ran: &Ran, name: &str) -> Vec<Value> {
    let lines = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|object| object["event"] == name).collect()
}

fn answer(ran: &Ran) -> Value {
    events(ran, "bisect")
        .pop()
        .unwrap_or_else(|| panic!("no answer: {ran:?}"))
}

fn named(ran: &Ran) -> Vec<String> {
    let answer = answer(ran);
    let named = answer["named"].as_array().expect("a list").iter();
    named
        .map(|c| c["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn folder(ran: &Ran) -> PathBuf {
    events(ran, "bisect_started")[0]["dir"]
        .as_str()
        .expect("a folder")
        .into()
}

/// Commit and number of every trial that was kept.
fn kept(dir: &std::path::Path, file: &str) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    let trials = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    trials
        .filter(|trial| trial["commit"].is_string())
        .map(|trial| {
            (
                trial["commit"].as_str().unwrap().to_owned(),
                trial["nth"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_culprit_is_named_though_it_shows_in_half_of_the_boots() {
    let bench = Bench::new();
    let scripts = [GOOD, GOOD, GOOD, GOOD, GOOD, HALF, HALF, HALF, HALF];
    let html = bench.path("page.html");
    let report = format!("html={}", html.display());
    let ran = bisect(&bench, &scripts, &["--json", "--report", &report]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(named(&ran), ["v5"]);
    let answer = answer(&ran);
    assert!(answer["confidence"].as_f64() >= Some(0.95), "{answer:#}");
    let rate = answer["rate"][0].as_f64().unwrap();
    assert!((0.25..0.75).contains(&rate), "{answer:#}");
    let held: Vec<&str> = answer["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["held"].as_str().unwrap())
        .collect();
    assert_eq!(held, ["yes", "yes"], "parent clean, culprit again: {answer:#}");
    let dir = folder(&ran);
    for name in [
        "bisect.json",
        "spec.yaml",
        "state.jsonl",
        "verify.jsonl",
        "report.txt",
        "report.json",
        "mail.txt",
    ] {
        assert!(dir.join(name).is_file(), "{name} is there");
    }
    let page = std::fs::read_to_string(html).unwrap();
    assert_eq!(page, std::fs::read_to_string(dir.join("report.html")).unwrap());
    assert!(
        page.contains("default-src 'none'") && !page.contains("<script"),
        "nothing runs there"
    );
    // Each trial has a seed of its own, and left its evidence.
    let mut seeds = BTreeSet::new();
    let trials = kept(&dir, "state.jsonl");
    for (commit, nth) in trials.iter().filter(|(commit, _)| commit == "v8") {
        let asked = dir.join(format!("cells/{commit}.{nth}/attempt-1/asked.json"));
        let asked: Value = serde_json::from_slice(&std::fs::read(asked).unwrap()).unwrap();
        assert!(seeds.insert(asked["request"]["cases"][0]["seed"].as_u64().unwrap()));
    }
    assert!(seeds.len() >= 6, "the bad end had to fail six times");
}

#[test]
fn what_does_not_boot_widens_the_answer_and_what_is_another_bug_says_nothing() {
    let bench = Bench::new();
    let ran = bisect(&bench, &[GOOD, GOOD, GOOD, DEAD, BAD, BAD, BAD, BAD], &["--json"]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(named(&ran), ["v3", "v4"], "which of them nobody can tell");

    let bench = Bench::new();
    let scripts = [GOOD, GOOD, OTHER, GOOD, GOOD, BAD, OTHER, BAD, BAD];
    let ran = bisect(&bench, &scripts, &["--json"]);
    assert_eq!((ran.exit, named(&ran)), (0, vec!["v5".to_owned()]), "{ran:?}");
    let others = events(&ran, "bisect_trial");
    let other = others.iter().find(|t| t["commit"] == "v2" || t["commit"] == "v6");
    if let Some(other) = other {
        assert_eq!(
            (&other["outcome"], &other["why"]),
            (&"skip".into(), &"other".into()),
            "{other:#}"
        );
        assert_eq!(
            other["seen"]["class"], "oops",
            "it is shown all the same: {other:#}"
        );
    }
    // Asked for any finding, the first one counts.
    let bench = Bench::new();
    let ran = bisect(
        &bench,
        &[GOOD, GOOD, OTHER, OTHER, BAD, BAD],
        &["--json", "--any"],
    );
    assert_eq!((ran.exit, named(&ran)), (0, vec!["v2".to_owned()]), "{ran:?}");
}

#[test]
fn a_wrong_range_is_told_in_a_sentence_with_what_to_try() {
    for (scripts, sentence, advice) in [
        (
            &[BAD, BAD, BAD][..],
            "the good end has the bug too: found ",
            "go back to an older --good",
        ),
        (
            &[GOOD, GOOD, GOOD],
            "nothing reproduces: 20 trials of the bad end found nothing",
            "first make it show",
        ),
        (
            &[BAD, GOOD, GOOD],
            "the ends are the wrong way round",
            "swap --good and --bad",
        ),
        (
            &[GOOD, BAD, DEAD],
            "the bad end (v2) cannot be tested: it does not boot",
            "name a neighbour of it",
        ),
        (
            &[DEAD, BAD, BAD],
            "the good end (v0) cannot be tested: it does not boot",
            "name a neighbour of it",
        ),
        (&[BAD], "the same commit", "name an older --good"),
    ] {
        let bench = Bench::new();
        // A finding of "does not boot" is the bug where it is not said otherwise.
        let ran = bisect(&bench, scripts, &["--finding", "oom", "--end-trials", "20"]);
        assert_eq!(ran.exit, 2, "{scripts:?}: {ran:?}");
        let said = ran.stderr.lines().next().unwrap_or_default();
        assert!(said.contains(sentence), "{scripts:?}: {said}");
        assert!(ran.stderr.contains(advice), "{scripts:?}: {}", ran.stderr);
    }
}

#[test]
fn a_budget_ends_it_with_what_is_left() {
    let bench = Bench::new();
    let scripts = [GOOD, GOOD, GOOD, GOOD, HALF, HALF, HALF];
    let ran = bisect(&bench, &scripts, &["--json", "--limit", "1us"]);
    assert_eq!(ran.exit, 4, "{ran:?}");
    let answer = answer(&ran);
    assert!(
        answer["title"].as_str().unwrap().contains("used its budget up"),
        "{answer:#}"
    );
    assert_eq!(
        answer["checks"],
        Value::Array(Vec::new()),
        "nothing is sure, so nothing is verified"
    );
}

#[test]
fn killed_anywhere_and_resumed_no_trial_is_lost_or_repeated() {
    let scripts = [GOOD, GOOD, GOOD, GOOD, GOOD, HALF, HALF, HALF, HALF];
    use nix::sys::signal::Signal::{SIGINT, SIGKILL};
    for (kill_after, then, signal) in [
        (1, None, SIGKILL),
        (6, None, SIGINT),
        (14, None, SIGKILL),
        // In the verification.
        (1, Some("bisect_answer"), SIGKILL),
    ] {
        let bench = Bench::new();
        let own = arguments(&bench, &scripts);
        let mut args: Vec<&str> = own.iter().map(String::as_str).collect();
        args.push("--json");
        let started = tool::start(&args, &bench.env(&[]));
        for _ in 0..kill_after {
            started.wait_for("bisect_trial");
        }
        if let Some(then) = then {
            started.wait_for(then);
        }
        started.signal(signal);
        let stopped = started.finish();
        let dir = folder(&stopped);
        let mut before = kept(&dir, "state.jsonl");
        before.extend(kept(&dir, "verify.jsonl"));
        assert!(before.len() >= kill_after, "what was told is kept");

        let resumed = bench.patchproof(&["bisect", "--resume", "last", "--json", "--cores", "2"], &[]);
        assert_eq!(resumed.exit, 0, "{resumed:?}");
        assert_eq!(named(&resumed), ["v5"], "after {kill_after}");
        let mut all = kept(&dir, "state.jsonl");
        all.extend(kept(&dir, "verify.jsonl"));
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "a trial was made twice");
        assert!(before.iter().all(|trial| all.contains(trial)), "a trial was lost");
        let again = events(&resumed, "bisect_trial").len();
        assert_eq!(
            before.len() + again,
            all.len(),
            "after {kill_after}: no more were made than were missing"
        );
        // What has an answer is told again, and nothing is run.
        let told = bench.patchproof(&["bisect", "--resume", "last", "--json"], &[]);
        assert_eq!((told.exit, named(&told)), (0, vec!["v5".to_owned()]));
        assert!(events(&told, "bisect_trial").is_empty());
    }
}

#[test]
fn two_do_not_work_on_one_search() {
    let bench = Bench::new();
    let ran = bisect(&bench, &[GOOD, BAD], &["--json"]);
    let lock = std::fs::File::create(folder(&ran).join("lock")).unwrap();
    lock.lock().unwrap();
    let second = bench.patchproof(&["bisect", "--resume", "last"], &[]);
    assert_eq!(second.exit, 2, "{second:?}");
    assert!(second.stderr.contains("still goes on"), "{}", second.stderr);
}

/// A repository of git's with two branches that part at the second commit, and one that has nothing in common.
fn repo(bench: &Bench) -> PathBuf {
    let dir = bench.path("linux");
    std::fs::create_dir_all(&dir).unwrap();
    let git = |args: &[&str]| {
        let own = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-C"];
        let all = own
            .into_iter()
            .chain([dir.to_str().unwrap()])
            .chain(args.iter().copied());
        let done = duct::cmd("git", all)
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .run()
            .unwrap();
        assert!(
            done.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    git(&["init", "--quiet", "-b", "main"]);
    for name in ["one", "two"] {
        git(&["commit", "--quiet", "--allow-empty", "-m", name]);
        git(&["tag", name]);
    }
    git(&["commit", "--quiet", "--allow-empty", "-m", "three"]);
    git(&["tag", "three"]);
    git(&["checkout", "--quiet", "-b", "side", "two"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "aside"]);
    git(&["checkout", "--quiet", "--orphan", "stranger"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "from nowhere"]);
    dir
}

#[test]
fn a_git_range_that_is_none_is_told_before_anything_is_built() {
    let bench = Bench::new();
    let (repo, matrix) = (repo(&bench), matrix(&bench, &[GOOD]));
    let repo = repo.to_str().unwrap();
    for (good, bad, sentence, advice) in [
        ("one", "one", "the same commit", "name an older --good"),
        (
            "three",
            "one",
            "the bad end is an ancestor of the good one",
            "swap --good and --bad",
        ),
        ("one", "stranger", "no common history", "--unshallow"),
        (
            "side",
            "three",
            "is no ancestor of the bad one: their histories part at ",
            "try --good ",
        ),
        (
            "one",
            "nowhere",
            "\"nowhere\" is not a revision of",
            "fetch it first",
        ),
    ] {
        let args = [
            "bisect", "--repo", repo, "--good", good, "--bad", bad, "--matrix", &matrix, "--case", "c",
        ];
        let ran = bench.patchproof(&args, &[]);
        assert_eq!(ran.exit, 2, "{good}..{bad}: {ran:?}");
        assert!(ran.stderr.contains(sentence), "{good}..{bad}: {}", ran.stderr);
        assert!(ran.stderr.contains(advice), "{good}..{bad}: {}", ran.stderr);
        assert!(!bench.path("state").exists(), "no search was begun");
    }
}

#[test]
fn a_trial_is_one_cell_and_what_is_searched_is_said() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &[GOOD, BAD]);
    for (args, words) in [
        (
            &["bisect", "--matrix", &matrix, "--case", "c"][..],
            "a trial is one cell, but 2 are meant",
        ),
        (
            &["bisect", "--kernels", "v0,v9", "--matrix", &matrix, "--case", "c"],
            "the matrix has no kernel v9",
        ),
        (
            &["bisect", "--kernels", "v0,v1", "--matrix", &matrix, "--case", "d"],
            "no cell of the matrix",
        ),
        (
            &["bisect", "--matrix", &matrix, "--cell", "v0.m@qemu.c.off"],
            "nothing says what is searched",
        ),
        (
            &["bisect", "--repo", ".", "--good", "a", "--bad", "b"],
            "nothing says what a trial runs",
        ),
        (
            &[
                "bisect",
                "--kernels",
                "v0,v1",
                "--matrix",
                &matrix,
                "--case",
                "c",
                "--confidence",
                "2",
            ],
            "the confidence must lie",
        ),
        (&["bisect", "--resume", "nothing"], "there is no run"),
    ] {
        let ran = bench.patchproof(args, &[]);
        assert_eq!(ran.exit, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_step_that_cannot_be_taken_ends_gits_search() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &[GOOD]);
    let nowhere = bench.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for args in [
        &["step", "--repo", nowhere, "--matrix", &matrix, "--case", "c"][..],
        &["step", "--matrix", "absent.yaml", "--case", "c"],
        &["step"],
    ] {
        let ran = bench.patchproof(args, &[]);
        assert_eq!(ran.exit, 128, "{args:?}: {ran:?}");
    }
}
