//! `patchproof doctor` on hosts that lack something: a PATH of links to the tools that it is to find.

mod tool;

use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tool::{Bench, Ran};

/// A folder with links to every program of PATH but the named ones.
fn path_without(bench: &Bench, missing: &[&str]) -> String {
    let dir = bench.path("bin");
    std::fs::create_dir_all(&dir).expect("the folder can be written");
    let path = std::env::var_os("PATH").expect("a PATH");
    for folder in std::env::split_paths(&path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !missing.iter().any(|m| name == *m) {
                // The first folder of PATH wins.
                let _ = symlink(entry.path(), dir.join(name));
            }
        }
    }
    dir.to_str().expect("a plain path").to_owned()
}

fn doctor(bench: &Bench, env: &[(&str, &str)]) -> (Ran, Vec<Value>) {
    let ran = bench.patchproof(&["doctor", "--json"], env);
    let lines = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines = lines.collect();
    (ran, lines)
}

#[track_caller]
fn check<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let found = lines.iter().find(|l| l["event"] == "check" && l["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is looked at: {lines:#?}"))
}

#[test]
fn what_is_missing_is_named_with_the_line_that_installs_it() {
    let bench = Bench::new();
    let path = path_without(&bench, &["make", "ccache"]);
    let (ran, lines) = doctor(&bench, &[("PATH", &path)]);
    let make = check(&lines, "make");
    assert_eq!(make["state"], "missing", "{make}");
    assert!(make["fix"].as_str().unwrap().ends_with(" make"), "{make}");
    // Without it a demo runs all the same.
    assert_eq!(check(&lines, "ccache")["state"], "warning");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["able"]),
        (&Value::from("doctor"), &Value::from(false))
    );
    assert_eq!(ran.exit, 3, "{ran:?}");
}

#[test]
fn without_anything_every_tool_is_named_and_nothing_panics() {
    let bench = Bench::new();
    let nothing = bench.path("empty");
    std::fs::create_dir_all(&nothing).unwrap();
    let qemu = ("PATCHPROOF_QEMU", "qemu-system-x86_64");
    let nothing = nothing.to_str().unwrap();
    let env = [("PATH", nothing), ("PATCHPROOF_DATA_DIR", nothing), qemu];
    let (ran, lines) = doctor(&bench, &env);
    for name in [
        "qemu-system-x86_64",
        "bwrap",
        "git",
        "gcc",
        "keeper",
        "sandbox",
        "kernel source",
    ] {
        let it = check(&lines, name);
        assert_eq!(it["state"], "missing", "{it}");
    }
    assert_eq!(check(&lines, "virtme-ng")["state"], "warning");
    assert_eq!(ran.exit, 3, "{ran:?}");
    let text = bench.patchproof(&["doctor"], &env);
    assert!(
        text.stdout.contains("MISSING  bwrap") && text.stdout.contains("apt-get install"),
        "{text:?}"
    );
}

/// Puts a kernel on the cache's shelf whose guest plays `script`.
fn kernel(bench: &Bench, script: &str) -> PathBuf {
    // A run of an image leaves one there, with everything that belongs to it.
    bench.run_script(script, &[]);
    bench.path("cache/kernels")
}

#[test]
fn whether_machines_boot_is_found_out_by_booting_one() {
    let bench = Bench::new();
    let (_, lines) = doctor(&bench, &[]);
    let accel = check(&lines, "accelerator");
    assert_eq!(accel["state"], "warning", "{accel}");
    assert!(accel["says"].as_str().unwrap().contains("no kernel"), "{accel}");

    assert!(kernel(&bench, "keeps its promises").is_dir());
    let (_, lines) = doctor(&bench, &[]);
    assert_eq!(check(&lines, "accelerator")["state"], "ok");
    let boot = check(&lines, "boot");
    assert_eq!(boot["state"], "ok", "{boot}");
    assert!(
        boot["says"].as_str().unwrap().contains("reached the agent in"),
        "{boot}"
    );
}

#[test]
fn a_kernel_that_does_not_boot_is_told() {
    let bench = Bench::new();
    kernel(&bench, "powers off silently");
    let (ran, lines) = doctor(&bench, &[]);
    let boot = check(&lines, "boot");
    assert_eq!(boot["state"], "missing", "{boot}");
    assert!(
        boot["says"].as_str().unwrap().contains("without its frames"),
        "{boot}"
    );
    assert_eq!(ran.exit, 3, "{ran:?}");
}
