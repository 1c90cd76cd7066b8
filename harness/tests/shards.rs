//! Several hosts, and bounds of a run: shards and joining them, budgets, ends before the end. Against a fake QEMU.

mod tool;

use serde_json::Value;
use std::path::{Path, PathBuf};
use tool::{Bench, Ran};

/// A matrix whose cells play these scripts, each a kernel `k0`, `k1` … with so many repeats.
fn matrix(bench: &Bench, scripts: &[&str], repeat: u32) -> String {
    bench.matrix("keeps its promises");
    let mut kernels = String::new();
    for (at, script) in scripts.iter().enumerate() {
        bench.write(&format!("kernel{at}"), script);
        kernels.push_str(&format!("  k{at}: {{ source: {{ image: kernel{at} }} }}\n"));
    }
    let names: Vec<String> = (0..scripts.len()).map(|at| format!("k{at}")).collect();
    bench.write(
        "many.yaml",
        &format!(
            "version: 1\nkernels:\n{kernels}\
             machines: {{ m: {{ backend: qemu, accel: tcg, cpus: 1, memory: 300MiB, swap: 16MiB }} }}\n\
             cases: {{ c: {{ workload: zswap_pressure, budget: 10s }} }}\n\
             matrix: {{ kernel: [{}], machine: [m], case: [c], repeat: {repeat} }}\n",
            names.join(", ")
        ),
    )
}

fn ids(summary: &Value, key: &str) -> Vec<String> {
    let all = summary[key].as_array().expect("a list");
    let id = |v: &Value| v["id"].as_str().or(v.as_str()).expect("an id").to_owned();
    all.iter().map(id).collect()
}

/// Runs every shard but those left out, each on a host of its own.
fn shards(matrix: &str, bench: &Bench, count: u32, without: &[u32]) -> Vec<PathBuf> {
    (1..=count)
        .filter(|k| !without.contains(k))
        .map(|k| {
            let state = bench.path(&format!("host{k}"));
            let own = [("PATCHPROOF_STATE_DIR", state.to_str().expect("a plain path"))];
            let ran = bench.patchproof(
                &["run", matrix, "--json", "--shard", &format!("{k}/{count}")],
                &own,
            );
            assert!([0, 1].contains(&ran.exit), "{ran:?}");
            ran.run_dir().to_owned()
        })
        .collect()
}

fn merge(bench: &Bench, runs: &[PathBuf], out: &Path) -> Ran {
    let mut args = vec!["merge", "--json", "--out", out.to_str().expect("a plain path")];
    args.extend(runs.iter().map(|run| run.to_str().expect("a plain path")));
    bench.patchproof(&args, &[])
}

/// What `merge` told.
fn told(ran: &Ran) -> Vec<String> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|object| object["event"] == "merge_note")
        .map(|object| object["message"].as_str().expect("a text").to_owned())
        .collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn shards_make_up_the_whole_and_join_into_one_run() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["keeps its promises", "oopses and reports success"], 3);
    let runs = shards(&matrix, &bench, 3, &[]);
    let out = bench.path("merged");
    let ran = merge(&bench, &runs, &out);
    assert_eq!((ran.exit, told(&ran)), (1, Vec::new()), "{ran:?}");
    let summary = read(&out.join("summary.json"));
    let wanted: Vec<String> = ["k0", "k1"]
        .iter()
        .flat_map(|k| (1..=3).map(move |n| format!("{k}.m@qemu.c.off#{n}")))
        .collect();
    assert_eq!(ids(&summary, "cells"), wanted, "in the plan's order");
    for (cell, id) in summary["cells"].as_array().expect("a list").iter().zip(&wanted) {
        let attempt = out.join("cells").join(id).join("attempt-1");
        assert!(attempt.join("console.log").is_file(), "{id} has its evidence");
        let repeat = cell["repeat"].as_str().expect("a command");
        assert!(repeat.contains(out.to_str().expect("a plain path")), "{repeat}");
    }
    // It is a run as any other: it can be reported.
    let report = bench.patchproof(
        &["report", out.to_str().expect("a plain path"), "--format", "ktap"],
        &[],
    );
    assert_eq!(report.exit, 0, "{report:?}");
    assert_eq!(
        report.stdout.matches("\nok ").count() + report.stdout.matches("\nnot ok ").count(),
        6,
        "{}",
        report.stdout
    );
    // And not over what is there.
    assert_eq!(merge(&bench, &runs, &out).exit, 2);
}

#[test]
fn a_shard_that_is_missing_is_told_and_never_green() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["keeps its promises"], 4);
    let runs = shards(&matrix, &bench, 2, &[2]);
    let ran = merge(&bench, &runs, &bench.path("merged"));
    assert_eq!(ran.exit, 3, "{ran:?}");
    let said = told(&ran);
    assert!(said.iter().any(|t| t == "shard 2/2 is missing"), "{said:?}");
    assert!(said.iter().any(|t| t == "2 of 4 cells were not run"), "{said:?}");
    let summary = read(&bench.path("merged").join("summary.json"));
    assert_eq!(ids(&summary, "not_run").len(), 2);
}

#[test]
fn of_two_verdicts_on_a_cell_the_worse_one_counts() {
    let bench = Bench::new();
    let file = matrix(&bench, &["keeps its promises"], 1);
    let good = bench.patchproof(&["run", &file, "--json"], &[]);
    bench.write("kernel0", "oopses and reports success");
    let bad = bench.patchproof(&["run", &file, "--json"], &[]);
    for (name, order) in [("ab", [&good, &bad]), ("ba", [&bad, &good])] {
        let runs = order.map(|ran| ran.run_dir().to_owned());
        let ran = merge(&bench, &runs, &bench.path(name));
        assert_eq!(ran.exit, 1, "{ran:?}");
        let said = told(&ran);
        let (id, counts) = (
            "k0.m@qemu.c.off is in ",
            format!("{} counts", bad.run_dir().display()),
        );
        assert!(
            said.iter().any(|t| t.starts_with(id) && t.ends_with(&counts)),
            "{said:?}"
        );
    }
    // Runs of different matrices are no whole.
    let other = bench.run_script("keeps its promises", &[]);
    let ran = merge(
        &bench,
        &[good.run_dir().to_owned(), other.run_dir().to_owned()],
        &bench.path("other"),
    );
    assert_eq!(ran.exit, 2, "{ran:?}");
    assert!(ran.stdout.contains("different matrices"), "{ran:?}");
}

#[test]
fn a_split_is_the_same_wherever_the_durations_are() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["keeps its promises", "keeps its promises"], 2);
    let file = bench.write(
        "durations.json",
        r#"{"v":1,"cells":{"k0.m@qemu.c.off":300.0,"k1.m@qemu.c.off":1.5},"builds":{}}"#,
    );
    let list = |more: &[&str]| {
        let mut args = vec!["list", &matrix, "--json"];
        args.extend(more);
        let out = bench.patchproof(&args, &[]);
        assert_eq!(out.exit, 0, "{out:?}");
        out.stdout
    };
    let whole = list(&["--shards", "2", "--durations", &file]);
    assert_eq!(whole, list(&["--shards", "2", "--durations", &file]));
    let digest = |text: &str| {
        let line = text
            .lines()
            .find(|l| l.contains(r#""event":"shard""#))
            .expect("a shard");
        serde_json::from_str::<Value>(line).expect("JSON")["split"].clone()
    };
    assert_ne!(
        digest(&whole),
        digest(&list(&["--shards", "2"])),
        "other durations"
    );
    // What `--shard` lists is what `--shards` says.
    for k in [1, 2] {
        let of = |text: &str, all: bool| -> Vec<String> {
            text.lines()
                .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
                .filter(|o| o["event"] == "cell" && (all || o["shard"] == k))
                .map(|o| o["id"].as_str().expect("an id").to_owned())
                .collect()
        };
        let shard = format!("{k}/2");
        let own = of(&list(&["--shard", &shard, "--durations", &file]), true);
        assert_eq!(own, of(&whole, false));
        assert_eq!(own.len(), 2, "one long one and one short one each");
    }
    for (text, words) in [
        ("{}", "missing field"),
        (r#"{"v":9,"cells":{},"builds":{}}"#, "its version is 9"),
    ] {
        let bad = bench.write("bad.json", text);
        let out = bench.patchproof(&["list", &matrix, "--shard", "1/2", "--durations", &bad], &[]);
        assert_eq!(out.exit, 2, "{out:?}");
        assert!(out.stderr.contains(words), "{out:?}");
    }
}

#[test]
fn the_history_tells_what_cells_took() {
    let bench = Bench::new();
    bench.run_script("keeps its promises", &[]);
    let out = bench.patchproof(&["history", "--durations"], &[]);
    let durations: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert!(
        durations["cells"]["k.m@qemu.c.off"]
            .as_f64()
            .is_some_and(|s| s >= 0.0),
        "{durations}"
    );
    assert_eq!(durations["v"], 1);
}

#[test]
fn a_shard_without_cells_is_a_usage_error() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["keeps its promises"], 2);
    let ran = bench.patchproof(&["run", &matrix, "--shard", "3/3"], &[]);
    assert_eq!(ran.exit, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("shard 3/3 has no cell: there are 2 in all"),
        "{ran:?}"
    );
    assert!(!bench.path("state").exists(), "no run was recorded");
}

#[test]
fn a_budget_that_is_too_short_for_a_cell_starts_none() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["keeps its promises"], 3);
    // Ten seconds under pressure cannot end within five.
    let ran = bench.patchproof(&["run", &matrix, "--json", "--time-budget", "5s"], &[]);
    assert_eq!(ran.exit, 4, "nothing was proved: {ran:?}");
    let summary = ran.summary();
    assert_eq!(
        (ids(&summary, "cells").len(), ids(&summary, "not_run").len()),
        (0, 3)
    );
    assert_eq!(summary["not_run_why"], "the time given to the run was over");
    let resumed = bench.patchproof(&["run", "--resume", "last", "--json"], &[]);
    assert_eq!(resumed.exit, 0, "{resumed:?}");
    assert_eq!(ids(&resumed.summary(), "cells").len(), 3);
}

#[test]
fn a_budget_that_is_over_ends_what_runs() {
    let bench = Bench::new();
    // A frozen guest stays until it is ended.
    let matrix = matrix(&bench, &["finds something and goes on"], 1);
    let file = bench.write(
        "durations.json",
        r#"{"v":1,"cells":{"k0.m@qemu.c.off":0.1},"builds":{}}"#,
    );
    let ran = bench.patchproof(
        &[
            "run",
            &matrix,
            "--json",
            "--freeze-on-finding",
            "--time-budget",
            "3s",
            "--durations",
            &file,
        ],
        &[],
    );
    assert!(
        ran.stdout.contains(r#""event":"stopping","why":"time_budget""#),
        "{ran:?}"
    );
    assert!(ran.run_dir().join("summary.json").is_file());
}

#[test]
fn the_first_failure_may_end_a_run() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["oopses and reports success"], 20);
    let ran = bench.patchproof(&["run", &matrix, "--json", "--fail-fast", "--cores", "1"], &[]);
    assert_eq!(ran.exit, 1, "{ran:?}");
    let summary = ran.summary();
    assert_eq!(ids(&summary, "cells").len(), 1, "{summary:#}");
    assert_eq!(ids(&summary, "not_run").len(), 19);
    assert_eq!(summary["not_run_why"], "a cell had failed");
}

#[test]
fn cells_may_be_run_until_one_fails() {
    let bench = Bench::new();
    let matrix = matrix(&bench, &["keeps its promises"], 1);
    let ran = bench.patchproof(&["run", &matrix, "--json", "--repeat-until-fail=4"], &[]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    let summary = ran.summary();
    let id = "k0.m@qemu.c.off";
    let wanted = [
        id.to_owned(),
        format!("{id}#2"),
        format!("{id}#3"),
        format!("{id}#4"),
    ];
    assert_eq!(ids(&summary, "cells"), wanted);
    // Each has a seed of its own, and can be run again by its id.
    let seed = |ran: &Ran, id: &str| {
        let asked = ran.run_dir().join("cells").join(id).join("attempt-1/asked.json");
        read(&asked)["request"]["cases"][0]["seed"].clone()
    };
    assert_ne!(seed(&ran, &wanted[2]), seed(&ran, &wanted[3]));
    let again = bench.patchproof(
        &[
            "replay",
            ran.run_dir().to_str().expect("a plain path"),
            &wanted[2],
            "--json",
        ],
        &[],
    );
    assert_eq!(again.exit, 0, "{again:?}");
    assert_eq!(seed(&again, &wanted[2]), seed(&ran, &wanted[2]));

    bench.write("kernel0", "oopses and reports success");
    let ran = bench.patchproof(&["run", &matrix, "--json", "--repeat-until-fail"], &[]);
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert_eq!(ids(&ran.summary(), "cells"), [id]);
}

#[test]
fn a_machine_larger_than_the_host_runs_only_when_told_to() {
    let bench = Bench::new();
    let file = matrix(&bench, &["keeps its promises"], 1);
    let text = std::fs::read_to_string(&file)
        .expect("a file")
        .replace("cpus: 1", "cpus: 4");
    std::fs::write(&file, text).expect("a file");
    let ran = bench.patchproof(&["run", &file, "--json", "--cores", "2"], &[]);
    assert_eq!(ran.exit, 3, "{ran:?}");
    let reason = ran.summary()["cells"][0]["reason"]
        .as_str()
        .expect("a reason")
        .to_owned();
    assert!(
        reason.contains("the machine has 4 CPUs, and 2 may be used"),
        "{reason}"
    );
    let ran = bench.patchproof(&["run", &file, "--json", "--cores", "2", "--overcommit=2"], &[]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("up to 4 virtual CPUs at once on 2 CPUs"),
        "{ran:?}"
    );
    let ran = bench.patchproof(
        &["run", &file, "--json", "--cores", "4", "--memory", "200MiB"],
        &[],
    );
    assert_eq!(ran.exit, 3, "{ran:?}");
    let reason = ran.summary()["cells"][0]["reason"]
        .as_str()
        .expect("a reason")
        .to_owned();
    assert!(
        reason.contains("the machine needs 428 MiB, and 200 MiB may be used"),
        "{reason}"
    );
}
