//! `patchproof series` on real kernels in real QEMU: a good series, one whose third patch of five spoils data, and
//! one that does not build in the middle. Each is told as what it is, and the patch is named.
//!
//! They take minutes and a kernel, so they run where `PATCHPROOF_VM_TESTS=1` is set (`cargo xtask test` does), and
//! share the user's own cache of kernels with `cargo xtask demo`.

mod tool;

use serde_json::Value;
use std::sync::{Mutex, MutexGuard};
use tool::{Bench, Ran, project, run};

/// Guests that starve each other prove nothing: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> Option<MutexGuard<'static, ()>> {
    if std::env::var_os("PATCHPROOF_VM_TESTS").is_none_or(|v| v != "1") {
        eprintln!("skipped: builds kernels and boots VMs; set PATCHPROOF_VM_TESTS=1");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Checks one of the shipped examples, on the shared cache, with the run recorded in the bench's own folder; each run
/// presses for so long.
fn check(bench: &Bench, example: &str, budget: &str) -> (Ran, Value, String) {
    let series = project().join("patches/examples").join(example);
    let root = project().to_str().expect("a plain path");
    let args = [
        "series",
        series.to_str().expect("a plain path"),
        "--base",
        "linux-source-6.12",
        "--root",
        root,
        "--budget",
        budget,
        "--repeats",
        "1",
        "--from",
        "CI Bot <ci@example.net>",
        "--json",
    ];
    let state = ("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string());
    let ran = run(&args, &[state]);
    let events = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let result = events.into_iter().find(|event| event["event"] == "series");
    let result = result.unwrap_or_else(|| panic!("no result: {ran:?}"));
    let reply = std::fs::read_to_string(ran.run_dir().join("reply.eml")).expect("there is a reply");
    (ran, result, reply)
}

#[test]
fn a_good_series_gets_an_all_clear() {
    let Some(_alone) = alone() else { return };
    let (ran, result, reply) = check(&Bench::new(), "zswap-good.mbox", "8s");
    assert_eq!(
        (ran.exit, &result["verdict"]),
        (0, &Value::from("pass")),
        "{result:#}"
    );
    assert_eq!(result["workloads"][0]["workload"], "zswap_pressure", "{result:#}");
    assert!(result["totals"]["round_trips"].as_u64() > Some(500), "{result:#}");
    assert!(
        reply.contains("nothing was found that this series (2 patches on linux-source-6.12"),
        "{reply}"
    );
    assert!(
        reply.contains("Subject: Re: [PATCH v2 0/2] mm/zswap: tidy up erasing\n"),
        "{reply}"
    );
}

#[test]
fn the_third_of_five_patches_is_named_for_the_data_that_it_spoils() {
    let Some(_alone) = alone() else { return };
    // It shows within two seconds, and base has to stay quiet in many runs.
    let (ran, result, reply) = check(&Bench::new(), "zswap-bad.mbox", "4s");
    assert_eq!(
        (ran.exit, &result["verdict"]),
        (1, &Value::from("fail")),
        "{result:#}"
    );
    let problem = &result["problems"][0];
    assert_eq!(problem["patches"], serde_json::json!([3]), "{result:#}");
    assert_eq!(problem["case"], "zswap_pressure", "{result:#}");
    assert_eq!(problem["shown"][0]["found"], 0, "base never shows it: {result:#}");
    assert!(
        result["patches"]
            .as_array()
            .expect("patches")
            .iter()
            .all(|p| p["builds"] == true)
    );
    assert!(
        reply.contains("In-Reply-To: <20260301100000.2-3-jane@example.org>\n"),
        "{reply}"
    );
    let unwrapped = reply.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        unwrapped.contains("patch 3/5 (\"mm/zswap: compress under the lock, allocate without it\")"),
        "{reply}"
    );
}

#[test]
fn the_patch_that_does_not_build_is_named_and_so_is_what_mends_it() {
    let Some(_alone) = alone() else { return };
    let (ran, result, reply) = check(&Bench::new(), "zswap-nobuild.mbox", "4s");
    assert_eq!(
        (ran.exit, &result["verdict"]),
        (1, &Value::from("fail")),
        "{result:#}"
    );
    let problem = &result["problems"][0];
    assert_eq!(
        (&problem["kind"], &problem["patch"]),
        (&Value::from("build"), &Value::from(2)),
        "{result:#}"
    );
    assert_eq!(problem["file"], "mm/zswap.c", "{result:#}");
    assert_eq!(problem["mended_by"], 3, "{result:#}");
    assert!(reply.contains("zswap_fetch"), "{reply}");
}
