//! Locks and hangs, on hand-written reports in the kernel's wording.

use super::{check, report, titles};

#[test]
fn locks() {
    let deadlock = "WARNING: possible circular locking dependency detected\n6.12.0 #1 Not tainted\n----\nw/9 is trying to acquire lock:\nffff888100000000 (&pool->lock){+.+.}-{2:2}, at: zs_free+0x1/0x2\n\nbut task is already holding lock:\nffff888100000001 (&b){+.+.}, at: other+0x1/0x2\n\nstack backtrace:\n";
    check(
        &report(deadlock, &["lock_acquire", "zs_free"]),
        ("possible deadlock in zs_free", "lockdep", Some("zs_free")),
    );
    let state = "WARNING: inconsistent lock state\n----\ninconsistent {IN-HARDIRQ-W} -> {HARDIRQ-ON-W} usage.\nw/9 [HC0[0]:SC0[0]:HE0:SE1] takes:\nffff (&l){?...}, at: zs_free+0x1/0x2\n";
    check(
        &report(state, &["lock_acquire", "zs_free"]),
        ("inconsistent lock state in zs_free", "lockdep", Some("zs_free")),
    );
    let rcu = "WARNING: suspicious RCU usage\n----\nmm/zswap.c:9 suspicious rcu_dereference_check() usage!\n\nstack backtrace:\n";
    check(
        &report(rcu, &["dump_stack_lvl", "lockdep_rcu_suspicious", "zswap_load"]),
        (
            "WARNING: suspicious RCU usage in zswap_load",
            "lockdep",
            Some("zswap_load"),
        ),
    );
    let freed = "WARNING: held lock freed!\n----\nw/9 is freeing memory ffff-ffff, with a lock still held there!\nffff (&l){+.+.}, at: zs_free+0x1/0x2\n";
    check(
        &report(freed, &["kfree", "zs_put"]),
        ("WARNING: held lock freed in zs_free", "lockdep", Some("zs_free")),
    );
    let unlock = "WARNING: bad unlock balance detected!\n----\nw/9 is trying to release lock (&l) at:\n[<ffffffff81000000>] zs_free+0x1/0x2\nbut there are no more locks to release!\n";
    check(
        &report(unlock, &["lock_release", "zs_free"]),
        (
            "WARNING: bad unlock balance in zs_free",
            "lockdep",
            Some("zs_free"),
        ),
    );
    check(
        &report(
            "BUG: spinlock bad magic on CPU#0, w/9",
            &["spin_bug", "do_raw_spin_lock", "_raw_spin_lock", "zs_free"],
        ),
        ("BUG: spinlock bad magic in zs_free", "lockdep", Some("zs_free")),
    );
    let preempt =
        "BUG: using smp_processor_id() in preemptible [00000000] code: w/9\ncaller is zs_map+0x1/0x2\n";
    check(
        &report(preempt, &["check_preemption_disabled", "zs_map"]),
        (
            "BUG: using smp_processor_id() in preemptible code in zs_map",
            "lockdep",
            Some("zs_map"),
        ),
    );
    check(
        &report(
            "BUG: sleeping function called from invalid context at mm/slub.c:300",
            &["__might_resched", "kmem_cache_alloc_noprof", "zs_malloc"],
        ),
        (
            "BUG: sleeping function called from invalid context in zs_malloc",
            "atomic",
            Some("zs_malloc"),
        ),
    );
    check(
        &report(
            "BUG: scheduling while atomic: w/9/0x00000002",
            &["__schedule_bug", "__schedule", "schedule", "zs_wait"],
        ),
        (
            "BUG: scheduling while atomic in zs_wait",
            "atomic",
            Some("zs_wait"),
        ),
    );
}

#[test]
fn hangs() {
    let hung = "INFO: task kswapd0:31 blocked for more than 10 seconds.\n      Not tainted 6.12.0 #1\ntask:kswapd0 state:D stack:0 pid:31\n";
    check(
        &report(
            hung,
            &[
                "__schedule",
                "schedule",
                "io_schedule",
                "folio_wait_bit_common",
                "zswap_writeback_entry",
            ],
        ),
        (
            "INFO: task hung in zswap_writeback_entry",
            "hang",
            Some("zswap_writeback_entry"),
        ),
    );
    let rcu = "rcu: INFO: rcu_preempt self-detected stall on CPU\nrcu: \t0-....: (100 ticks this GP)\nNMI backtrace for cpu 0\n";
    let stack = [
        "dump_stack_lvl",
        "nmi_cpu_backtrace",
        "rcu_dump_cpu_stacks",
        "update_process_times",
        "asm_sysvec_apic_timer_interrupt",
        "zs_map",
        "zram_write",
        "tun_chr_ioctl",
        "__x64_sys_ioctl",
    ];
    check(
        &report(rcu, &stack),
        (
            "INFO: rcu detected stall in tun_chr_ioctl",
            "hang",
            Some("tun_chr_ioctl"),
        ),
    );
    let soft = "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [w:9]\nRIP: 0010:zs_map+0x1/0x2\n";
    check(
        &report(soft, &["helper_of_zs", "__x64_sys_madvise"]),
        ("BUG: soft lockup in sys_madvise", "hang", Some("sys_madvise")),
    );
    let hard = "watchdog: Watchdog detected hard LOCKUP on cpu 1\nRIP: 0010:zs_map+0x1/0x2\n";
    check(
        &report(hard, &["__x64_sys_madvise"]),
        ("BUG: hard lockup in sys_madvise", "hang", Some("sys_madvise")),
    );
    check(
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 32s!",
        ("BUG: workqueue lockup", "hang", None),
    );
    let alone =
        titles("[   12.000000] working\nSeaBIOS (version 1.16.2)\n[    0.000000] Linux version 6.12.0\n");
    assert_eq!(alone, ["unexpected kernel reboot"]);
    assert!(
        titles("[   12.000000] reboot: Restarting system\n[    0.000000] Linux version 6.12.0\n").is_empty()
    );
    assert!(
        titles("SeaBIOS (version 1)\n[    0.000000] Linux version 6.12.0\n[    1.500000] up\n").is_empty()
    );
}
