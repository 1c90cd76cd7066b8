//! Consoles of our own kernels, as QEMU gave them.

use crate::console::{analyze, marks};

fn titles(raw: &[u8]) -> Vec<String> {
    analyze(raw).into_iter().map(|s| s.title).collect()
}

#[test]
fn a_clean_run_is_clean() {
    let raw = include_bytes!("../testdata/clean.log");
    assert_eq!(titles(raw), Vec::<String>::new());
    assert_eq!(marks(raw), [(0, 1_103_875_000), (2, 1_104_689_000)]);
}

#[test]
fn backtraces_that_were_asked_for_are_no_splats() {
    assert_eq!(
        titles(include_bytes!("../testdata/show-tasks.log")),
        Vec::<String>::new()
    );
}

#[test]
fn an_oom_kill_is_no_splat_but_an_oom_panic_is() {
    assert_eq!(
        titles(include_bytes!("../testdata/oom-kill.log")),
        Vec::<String>::new()
    );
    assert_eq!(
        titles(include_bytes!("../testdata/oom-panic.log")),
        ["kernel panic: Out of memory"]
    );
}

#[test]
fn a_boot_that_ends_in_a_panic_says_why() {
    let raw = include_bytes!("../testdata/boot-without-root.log");
    assert_eq!(titles(raw), ["kernel panic: VFS: Unable to mount root fs"]);
    let raw = include_bytes!("../testdata/init-killed.log");
    let splats = analyze(raw);
    assert_eq!(splats.len(), 1);
    assert_eq!(
        (splats[0].title.as_str(), splats[0].t_ns),
        ("kernel panic: Attempted to kill init!", Some(1_645_699_000))
    );
}
