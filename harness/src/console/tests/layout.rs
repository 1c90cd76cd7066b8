//! How reports stand in a console: order, consequences, other writers on the same wire.

use super::{analyze, check, titles, trace};
use crate::console::Kind;

#[test]
fn consequences_are_no_splats_of_their_own() {
    let log = "BUG: kernel NULL pointer dereference, address: 0000000000000008\n#PF: supervisor read access in kernel mode\n\
        Oops: Oops: 0000 [#1] PREEMPT SMP\nRIP: 0010:zs_free+0x1/0x2\nCall Trace:\n x+0x1/0x2\n---[ end trace 0000000000000000 ]---\n\
        Kernel panic - not syncing: Fatal exception\n";
    assert_eq!(
        titles(log),
        ["BUG: unable to handle kernel NULL pointer dereference in zs_free"]
    );
    let log = "WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2\nKernel panic - not syncing: kernel: panic_on_warn set ...\nCall Trace:\n panic+0x1/0x2\n zs_free+0x1/0x2\n";
    assert_eq!(titles(log), ["WARNING in zs_free"]);
    assert_eq!(
        titles("Kernel panic - not syncing: Fatal exception\n"),
        ["kernel panic: Fatal exception"]
    );
}

#[test]
fn the_first_cause_comes_first_and_independent_ones_follow() {
    let log = format!(
        "[    1.000000] WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2\n{}[    2.000000] BUG: Bad rss-counter state mm:0 type:MM_SWAPENTS val:1\n",
        trace(&["zs_free"])
    );
    let splats = analyze(log.as_bytes());
    let seen: Vec<_> = splats.iter().map(|s| (s.kind, s.t_ns)).collect();
    assert_eq!(
        seen,
        [
            (Kind::Warning, Some(1_000_000_000)),
            (Kind::Oops, Some(2_000_000_000))
        ]
    );
}

#[test]
fn caller_tags_keep_interleaved_cpus_apart() {
    let one = [
        "BUG: Bad page map in process a  pte:1 pmd:2",
        "Call Trace:",
        " print_bad_pte+0x1/0x2",
        " zap_pte_range+0x1/0x2",
    ];
    let two = [
        "WARNING: CPU: 1 PID: 2 at mm/x.c:1 zs_free+0x1/0x2",
        "Call Trace:",
        " zs_free+0x1/0x2",
        " zram_free_page+0x1/0x2",
    ];
    let mut log = String::new();
    for (a, b) in one.iter().zip(two) {
        log.push_str(&format!(
            "[    3.000000][    T1] {a}\n[    3.000000][    T2] {b}\n"
        ));
    }
    let splats = analyze(log.as_bytes());
    assert_eq!(
        titles(&log),
        ["BUG: Bad page map in zap_pte_range", "WARNING in zs_free"]
    );
    let stacks: Vec<Vec<String>> = splats
        .iter()
        .map(|s| s.stack.iter().map(|f| f.function()).collect())
        .collect();
    assert_eq!(
        stacks,
        [["print_bad_pte", "zap_pte_range"], ["zs_free", "zram_free_page"]]
    );
    assert!(splats.iter().all(|s| !s.corrupted));
}

#[test]
fn mixed_reports_without_tags_are_corrupted() {
    let log = "WARNING: CPU: 1 PID: 2 at mm/x.c:1 zs_free+0x1/0x2\nCPU: 1 PID: 2 Comm: a Not tainted\nCPU: 0 PID: 3 Comm: b Not tainted\nCall Trace:\n zs_free+0x1/0x2\n";
    assert!(check(log, ("WARNING in zs_free", "warning", Some("zs_free"))).corrupted);
}

#[test]
fn terminals_log_levels_and_broken_utf8_do_not_hide_a_splat() {
    let log = b"\x1b[?25l[\x1b[32m ok \x1b[39m] start\xff\xfe: [    4.000000] WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2\r\r\n\
        <4>[    4.000001] Call Trace:\r\n<4>[    4.000002]  zs_free+0x1/0x2\xc3\r\n";
    let splats = analyze(log);
    assert_eq!(splats.len(), 1);
    let splat = &splats[0];
    assert_eq!(
        (splat.title.as_str(), splat.t_ns, splat.corrupted),
        ("WARNING in zs_free", Some(4_000_000_000), false)
    );
    assert!(log[splat.offset..].starts_with(b"[    4.000000] WARNING"));
    assert!(log[..splat.end].ends_with(b"zs_free+0x1/0x2\xc3"));
    assert_eq!(
        splat.report.lines().next(),
        Some("WARNING: CPU: 0 PID: 1 at mm/x.c:1 zs_free+0x1/0x2")
    );
}

#[test]
fn a_cut_off_report_is_still_named_and_called_corrupted() {
    let log = "BUG: KASAN: slab-out-of-bounds in zs_map+0x1/0x2\nRead of siz";
    assert!(
        check(
            log,
            ("KASAN: slab-out-of-bounds in zs_map", "kasan", Some("zs_map"))
        )
        .corrupted
    );
    let log = "general protection fault: 0000 [#1] SMP\nModules lin";
    assert!(check(log, ("general protection fault in corrupted", "oops", None)).corrupted);
}

#[test]
fn what_user_space_and_the_chatty_kernel_say_is_no_splat() {
    for log in [
        "WARNING: the mand mount option is being deprecated and",
        "WARNING: /etc/moduli does not exist, using fixed modulus",
        "BUG: my program failed",
        "panicked at src/main.rs:1:2:\nindex out of bounds: the len is 1 but the index is 2",
        "[    1.000000] traps: w[9] general protection fault ip:401000 sp:7ffe error:0 in w[401000+1000]",
        "[    1.000000] w[9]: segfault at 0 ip 0000000000401000 sp 00007ffe error 6 in w[401000+1000]",
        "[    1.000000] INFO: lockdep is turned off.",
        "[    1.000000] INFO: NMI handler (perf_event_nmi_handler) took too long to run: 2.277 msecs",
        "[    1.000000] EXT4-fs (loop1): INFO: recovery required on readonly filesystem",
        "[    1.000000] sysrq: Show Blocked State",
        "Internal error: the daemon gave up",
        "write(1, \"BUG: KASAN: use-after-free in x\", 10)",
        "[    1.000000] kernel: Speculative Return Stack Overflow: WARNING: See the documentation",
    ] {
        assert_eq!(titles(log), Vec::<String>::new(), "{log}");
    }
}

#[test]
fn fingerprints_group_by_cause_and_not_by_address() {
    let log = |t: u32, place: u32, function: &str| {
        format!(
            "[    {t}.000000] BUG: KASAN: slab-use-after-free in {function}+0x{place:x}/0x90\nRead of size 8 at addr ffff8881{place:08x} by task w/{t}\nCall Trace:\n kasan_report+0x1/0x2\n {function}+0x{place:x}/0x90\n"
        )
    };
    let print = |log: String| analyze(log.as_bytes()).remove(0).fingerprint();
    assert_eq!(print(log(1, 16, "zs_free")), print(log(7, 32, "zs_free")));
    assert_ne!(print(log(1, 16, "zs_free")), print(log(1, 16, "zs_map")));
    assert!(print(log(1, 16, "zs_free")).starts_with("kasan-"));
}

#[test]
fn kinds_are_lower_case_for_programs() {
    let splat = check(
        "zram: Decompression failed! err=-22, page=17",
        ("zram: Decompression failed", "oops", None),
    );
    let json = serde_json::to_value(&splat).unwrap();
    assert_eq!(
        (&json["kind"], &json["function"]),
        (&"oops".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        serde_json::from_value::<Kind>("kfence".into()).unwrap(),
        Kind::Kfence
    );
}
