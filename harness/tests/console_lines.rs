//! `patchproof console --vmlinux`, and what a run makes of it.

mod tool;

use harness::console::Kind;
use harness::run::put_apart;
use harness::verdict::{Class, Finding, Verdict};
use std::path::{Path, PathBuf};

const LOG: &str = "[    1.000000] BUG: KASAN: use-after-free in probe_outer+0x3/0x20\n\
    [    1.000001] Read of size 8 at addr ffff888100000000 by task w/9\n\
    [    1.000002] Call Trace:\n\
    [    1.000003]  probe_twin+0x42/0x50\n\
    [    1.000004]  probe_outer+0xb/0x20\n\
    [    1.000005]  ? probe_second+0x5/0x10\n";

fn probe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernel/lines/probe.elf")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test folders have plain names")
}

#[test]
fn stacks_are_shown_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("console.log");
    std::fs::write(&log, LOG).unwrap();
    let probe = probe();
    let shown = tool::run(&["console", "--vmlinux", text(&probe), text(&log)], &[]);
    assert_eq!(shown.exit, 1, "{}", shown.stderr);
    let lines: Vec<&str> = shown.stdout.lines().skip(1).collect();
    assert_eq!(
        lines,
        ["    probe_twin  probe.c:33", "    probe_outer  probe.c:26"],
        "{}",
        shown.stdout
    );
    let json = tool::run(&["console", "--json", "--vmlinux", text(&probe), text(&log)], &[]);
    let told: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let splat = &told["splats"][0];
    assert_eq!(splat["title"], "KASAN: use-after-free Read in probe_outer");
    assert_eq!(splat["stack"][1]["source"], "probe.c:26");
    let plain = tool::run(&["console", text(&log)], &[]);
    assert_eq!(plain.stdout.lines().count(), 1, "nobody asked for the stack");
}

#[test]
fn a_file_without_debug_information_is_told_of_once_and_a_wrong_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("console.log");
    std::fs::write(&log, LOG.repeat(3)).unwrap();
    let mut stripped = std::fs::read(probe()).unwrap();
    let at = stripped.windows(11).position(|w| w == b".debug_line").unwrap();
    stripped[at + 1] = b'x';
    let vmlinux = dir.path().join("vmlinux");
    std::fs::write(&vmlinux, stripped).unwrap();
    let shown = tool::run(
        &["console", "--vmlinux", text(&vmlinux), text(&log), text(&log)],
        &[],
    );
    assert_eq!(shown.exit, 1, "{}", shown.stderr);
    assert_eq!(
        shown.stderr.matches("has no debug information").count(),
        1,
        "{}",
        shown.stderr
    );
    let wrong = tool::run(&["console", "--vmlinux", text(&log), text(&log)], &[]);
    assert_eq!(wrong.exit, 3, "{}", wrong.stderr);
}

#[test]
fn a_finding_gets_lines_and_a_verdict_survives_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("console.log");
    std::fs::write(&log, LOG).unwrap();
    let splat = harness::console::analyze(LOG.as_bytes()).remove(0);
    let mut finding = Finding::new(Class::Splat(Kind::Kasan), splat.title);
    (finding.t_ns, finding.detail) = (splat.t_ns, splat.report);
    let verdict = Verdict::fail(finding);
    let put = put_apart(verdict.clone(), &probe(), &log);
    let detail = &put.findings().next().unwrap().detail;
    assert!(detail.contains(" probe_outer+0xb/0x20 probe.c:26\n"), "{detail}");
    let mut same = put.clone();
    if let (Verdict::Fail { first, .. }, Verdict::Fail { first: before, .. }) = (&mut same, &verdict) {
        first.detail.clone_from(&before.detail);
    }
    assert_eq!(same, verdict, "nothing but the report changed");
    assert_eq!(put_apart(verdict.clone(), &log, &log), verdict);
    assert_eq!(put_apart(verdict.clone(), Path::new("/nowhere"), &log), verdict);
}
