//! Bytes that want to hurt: nothing panics, everything is bounded, work stays linear.

use proptest::prelude::*;

use crate::console::line::work;
use crate::console::scan::BODY_LINES_MAX;
use crate::console::{REPORT_LEN_MAX, REPORTS_MAX, Splat, TITLE_LEN_MAX, analyze, lines, marks};

/// Pieces that consoles are made of, so that random consoles reach the rules.
const PIECES: &[&str] = &[
    "[    1.000000] ",
    "[    2.000000][    T7] ",
    "[    2.000000][    C1] ",
    "BUG: KASAN: slab-use-after-free in zs_free+0x1/0x2",
    "Read of size 8 at addr ffff888100000000 by task w/9",
    "WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2",
    "WARNING: possible circular locking dependency detected",
    "list_del corruption",
    "kernel BUG at lib/list_debug.c:56!",
    "general protection fault: 0000 [#1]",
    "Kernel panic - not syncing: ",
    "INFO: task w:9 blocked for more than 10 seconds.",
    "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "Call Trace:",
    " <IRQ>",
    " zs_free+0x1/0x2 [zram]",
    " ? zs_free+0x1/0x2",
    "RIP: 0010:zs_free+0x1/0x2",
    "Allocated by task 9:",
    "[<c0000000>] (a) from [<c0000000>] (b+0x1/0x2)",
    "---[ end trace 0 ]---",
    "==========================",
    "lock at: ",
    "caller is ",
    "Linux version 6.12",
    "patchproof: frame 3",
    "\n",
    "\r\n",
    "\u{1b}[32m",
    "é",
    " ",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..PIECES.len()).prop_map(|i| PIECES[i].as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

fn bounded(raw: &[u8], splats: &[Splat]) {
    assert!(splats.len() <= REPORTS_MAX);
    for pair in splats.windows(2) {
        assert!(pair[0].offset <= pair[1].offset, "first cause first");
    }
    for splat in splats {
        assert!(splat.offset < splat.end && splat.end <= raw.len());
        assert!(!splat.title.is_empty() && splat.title.len() <= TITLE_LEN_MAX);
        assert!(splat.report.len() <= REPORT_LEN_MAX);
        assert!(splat.stack.len() <= 64);
        assert!(!splat.fingerprint().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(raw in prop::collection::vec(any::<u8>(), 0..600)) {
        bounded(&raw, &analyze(&raw));
        prop_assert!(marks(&raw).len() <= raw.len());
    }

    #[test]
    fn arbitrary_consoles_are_survived(pieces in prop::collection::vec(piece(), 0..80)) {
        let raw = pieces.concat();
        bounded(&raw, &analyze(&raw));
        bounded(&raw[raw.len() / 3..], &analyze(&raw[raw.len() / 3..]));
    }

    #[test]
    fn lines_cover_their_bytes_in_order(pieces in prop::collection::vec(piece(), 0..40)) {
        let raw = pieces.concat();
        let mut at = 0;
        for line in lines(&raw) {
            prop_assert!(at <= line.offset && line.offset < line.end);
            prop_assert!(raw[at..line.offset].iter().all(|b| matches!(b, b'\n' | b'\r')));
            at = line.end;
        }
        prop_assert!(raw[at..].iter().all(|b| matches!(b, b'\n' | b'\r')));
    }
}

/// Lines read by one analysis.
fn lines_read(raw: &[u8]) -> u64 {
    work::LINES.with(|n| n.set(0));
    bounded(raw, &analyze(raw));
    work::LINES.with(std::cell::Cell::get)
}

#[test]
fn work_grows_with_the_console_and_no_faster() {
    let most = (REPORTS_MAX * BODY_LINES_MAX * 3) as u64;
    for unit in [
        "[    1.000000] quiet line\n",
        "[    1.000000] WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2\n",
        "[    1.000000][    T1] rcu: INFO: rcu_preempt self-detected stall on CPU\n[    1.000000][    T2] general protection fault: 0000 [#1]\n",
        "[    1.000000] Kernel panic - not syncing: Fatal exception\n",
        "list_del corruption\n",
    ] {
        let raw = unit.repeat(4000);
        let count = lines(raw.as_bytes()).count() as u64;
        let read = lines_read(raw.as_bytes());
        assert!(read <= count + 1 + most, "{unit}: {read} lines read of {count}");
    }
}

#[test]
fn one_endless_line_is_read_in_part() {
    let mut raw = b"WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2 ".to_vec();
    raw.extend(std::iter::repeat_n(b'[', 1 << 20));
    let splats = analyze(&raw);
    bounded(&raw, &splats);
    assert_eq!(splats.len(), 1);
}

#[test]
fn a_flood_of_reports_is_cut() {
    let flood =
        "[    1.000000] BUG: Bad rss-counter state mm:0 type:MM_FILEPAGES val:1\n".repeat(REPORTS_MAX + 9);
    assert_eq!(analyze(flood.as_bytes()).len(), REPORTS_MAX);
}
