//! The same reports in the words of more kernels and tools: what machines print and symbolizers add.

use super::{check, report, titles, trace};

/// A stall's report: who noticed it, then what the timer interrupt found.
fn stall(head: &str, below: &[&str]) -> String {
    let interrupted: String = below.iter().map(|f| format!(" {f}+0x1/0x2\n")).collect();
    format!(
        "{head}\nCPU: 0 PID: 9 Comm: w\nCall Trace:\n <IRQ>\n rcu_sched_clock_irq+0x1/0x2\n tick_nohz_handler+0x1/0x2\n sysvec_apic_timer_interrupt+0x1/0x2\n </IRQ>\n <TASK>\n asm_sysvec_apic_timer_interrupt+0x1/0x2\nRIP: 0010:zs_map+0x1/0x2\n{interrupted} </TASK>\n"
    )
}

#[test]
fn dispatchers_of_new_kernels() {
    for (below, expect) in [
        (
            &["zs_map", "__x64_sys_swapoff", "x64_sys_call", "do_syscall_64"][..],
            "sys_swapoff",
        ),
        (
            &[
                "zs_map",
                "__ia32_sys_swapoff",
                "ia32_sys_call",
                "do_int80_emulation",
            ],
            "sys_swapoff",
        ),
        (
            &[
                "zs_map",
                "__riscv_sys_swapoff",
                "syscall_handler",
                "do_trap_ecall_u",
            ],
            "sys_swapoff",
        ),
        (
            &[
                "poll",
                "__napi_poll",
                "net_rx_action",
                "handle_softirqs",
                "do_softirq",
            ],
            "net_rx_action",
        ),
        (
            &[
                "a",
                "my_sendmsg",
                "__sock_sendmsg",
                "____sys_sendmsg",
                "x64_sys_call",
            ],
            "my_sendmsg",
        ),
        (
            &["a", "my_setsockopt", "do_sock_setsockopt", "__sys_setsockopt"],
            "my_setsockopt",
        ),
        (
            &["a", "handle_mm_fault", "do_user_addr_fault", "exc_page_fault"],
            "handle_mm_fault",
        ),
        (
            &[
                "a",
                "do_user_addr_fault",
                "exc_page_fault",
                "my_write",
                "vfs_write",
                "do_syscall_64",
            ],
            "my_write",
        ),
        (&["zs_map", "nobody_knows"], "zs_map"),
    ] {
        for head in [
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: INFO: rcu_sched detected stall, but suppressed full report due to a stuck CSD-lock.",
        ] {
            check(
                &stall(head, below),
                (
                    &format!("INFO: rcu detected stall in {expect}"),
                    "hang",
                    Some(expect),
                ),
            );
        }
    }
}

#[test]
fn the_stack_of_the_grace_period_thread_is_no_culprit() {
    let log = format!(
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\nrcu: RCU grace-period kthread stack dump:\ntask:rcu_preempt state:R\n{}rcu: Stack dump where RCU GP kthread last ran:\nNMI backtrace for cpu 0\nRIP: 0010:zs_map+0x1/0x2\n{}",
        trace(&["__schedule", "schedule_timeout", "rcu_gp_fqs_loop", "kthread"]),
        trace(&["zs_map", "__x64_sys_swapoff", "do_syscall_64"])
    );
    check(
        &log,
        (
            "INFO: rcu detected stall in sys_swapoff",
            "hang",
            Some("sys_swapoff"),
        ),
    );
}

#[test]
fn lockups_of_powerpc_and_sparc() {
    let below = "NIP [c000000000123456] zs_map+0x10/0x80\nCall Trace:\n[c0000000f7a2bb60] [c000000000123460] my_thread+0x60/0x90\n[c0000000f7a2bb60] [c000000000123460] kthread+0x60/0x90\n";
    for head in [
        "watchdog: CPU 0 self-detected hard LOCKUP @ zs_map+0x10/0x80",
        "watchdog: CPU 0 Hard LOCKUP",
        "BUG: NMI Watchdog detected LOCKUP on CPU0, ip c0000000, registers:",
    ] {
        check(
            &format!("{head}\n{below}"),
            ("BUG: hard lockup in my_thread", "hang", Some("my_thread")),
        );
    }
}

#[test]
fn fatal_traps_of_many_machines() {
    let riscv = "epc : zs_free+0x10/0x80\n ra : b+0x60/0x90\n[<ffffffff80010000>] zs_free+0x10/0x80\n";
    let s390 = "Krnl PSW : 0704c00180000000 0000000000123456 (zs_free+0x1c/0x80)\nCall Trace:\n [<0000000000123456>] zs_free+0x1c/0x80\n";
    let mips = "epc   : 80105a14 zs_free+0x10/0x80\nra    : 80105a24 b+0x60/0x90\nCall Trace:\n[<80105a14>] zs_free+0x10/0x80\n";
    let x86 = format!("RIP: 0010:zs_free+0x10/0x80\n{}", trace(&["b"]));
    for (head, below, title) in [
        ("Oops - illegal instruction [#1]", riscv, "Oops in zs_free"),
        (
            "kernel BUG at mm/x.c:1!\nKernel BUG [#1]",
            riscv,
            "kernel BUG in zs_free",
        ),
        (
            "illegal operation: 0001 ilc:1 [#1] SMP",
            s390,
            "illegal operation in zs_free",
        ),
        (
            "kernel BUG at mm/x.c:1!\nmonitor event: 0040 ilc:2 [#1] SMP",
            s390,
            "kernel BUG in zs_free",
        ),
        ("Kernel bug detected[#1]:", mips, "kernel BUG in zs_free"),
        (
            "Reserved instruction in kernel code[#1]:",
            mips,
            "Oops in zs_free",
        ),
        (
            "divide_error: 0000 [#1] SMP",
            x86.as_str(),
            "divide error in zs_free",
        ),
        (
            "PANIC: early exception 0x0e IP 10:ffffffff81000000",
            x86.as_str(),
            "PANIC: early exception in zs_free",
        ),
        (
            "CFI failure at zs_free+0x10/0x80 (target: b+0x0/0x10; expected type: 0x1)\nOops: invalid opcode: 0000 [#1] SMP",
            x86.as_str(),
            "CFI failure in zs_free",
        ),
        (
            "traps: PANIC: double fault, error_code: 0x0\nOops: double fault: 0000 [#1] SMP",
            x86.as_str(),
            "PANIC: double fault in zs_free",
        ),
    ] {
        let log = format!("{head}\n{below}");
        assert!(!check(&log, (title, "oops", Some("zs_free"))).corrupted, "{log}");
        assert_eq!(titles(&log), [title], "{log}");
    }
}

#[test]
fn warnings_with_their_condition() {
    let below = |at: &str| format!("RIP: 0010:{at}+0x1/0x2\n{}", trace(&["zs_free"]));
    for (head, at, title) in [
        (
            "[pool == NULL] mm/x.c:1 at zs_free+0x1/0x2, CPU#1: w/9",
            "zs_free",
            "WARNING in zs_free",
        ),
        (
            "rust/kernel/x.rs:1 at zs_free+0x1/0x2, CPU#1: w/9",
            "zs_free",
            "WARNING in zs_free",
        ),
        (
            "[saturated] lib/refcount.c:22 at refcount_warn_saturate+0x1/0x2, CPU#1: w/9",
            "refcount_warn_saturate",
            "WARNING: refcount bug in zs_free",
        ),
    ] {
        check(
            &format!("WARNING: {head}\n{}", below(at)),
            (title, "warning", Some("zs_free")),
        );
    }
    let flags = "DEBUG_LOCKS_WARN_ON(!irqs)\nWARNING: CPU: 0 PID: 9 at kernel/locking/lockdep.c:5500 check_flags+0x1/0x2\n";
    check(
        &(flags.to_owned() + &below("check_flags")),
        ("WARNING: locking bug in zs_free", "lockdep", Some("zs_free")),
    );
}

#[test]
fn headers_that_a_symbolizer_repeats() {
    for (head, title, kind) in [
        (
            "BUG: KASAN: use-after-free in obj_get mm/x.c:1 [inline]\nBUG: KASAN: use-after-free in zs_free+0x1/0x2 mm/x.c:9\nRead of size 8 at addr ffff888100000000 by task w/9",
            "KASAN: use-after-free Read in zs_free",
            "kasan",
        ),
        (
            "BUG: KMSAN: uninit-value in obj_get mm/x.c:1 [inline]\nBUG: KMSAN: uninit-value in zs_free+0x1/0x2 mm/x.c:9",
            "KMSAN: uninit-value in zs_free",
            "kmsan",
        ),
        (
            "WARNING: CPU: 0 PID: 9 at mm/x.c:1 obj_get mm/x.c:1 [inline]\nWARNING: CPU: 0 PID: 9 at mm/x.c:1 zs_free+0x1/0x2 mm/x.c:9",
            "WARNING in zs_free",
            "warning",
        ),
        (
            "WARNING: bad unlock balance detected!\nw/9 is trying to release lock (&l) at:\n[<ffffffff81000000>] spin_unlock include/x.h:1 [inline]\n[<ffffffff81000000>] zs_free+0x1/0x2 mm/x.c:9\nbut there are no more locks to release!",
            "WARNING: bad unlock balance in zs_free",
            "lockdep",
        ),
    ] {
        let log = report(head, &["zs_free", "zram_free_page"]);
        check(&log, (title, kind, Some("zs_free")));
        assert_eq!(titles(&log).len(), 1, "{log}");
    }
}

#[test]
fn locks_and_contexts_by_their_rarer_reports() {
    for (head, functions, title, kind) in [
        (
            "WARNING: chain_key collision",
            &["print_collision", "validate_chain", "lock_acquire", "zs_free"][..],
            "WARNING: chain_key collision in zs_free",
            "lockdep",
        ),
        (
            "BUG: looking up invalid subclass: 8",
            &["look_up_lock_class", "lock_acquire", "zs_free"],
            "BUG: looking up invalid subclass in zs_free",
            "lockdep",
        ),
        (
            "[ BUG: bad unlock balance detected! ]\nw/9 is trying to release lock (&l) at:\n[<ffffffff81000000>] mutex_unlock+0x1/0x2\nbut there are no more locks to release!\n\nother info that might help us debug this:\n1 lock held by w/9:\n #0:  (&m), at: [<ffffffff81000000>] holder+0x1/0x2",
            &["lock_release", "mutex_unlock", "zs_free"],
            "BUG: bad unlock balance in zs_free",
            "lockdep",
        ),
        (
            "BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[9]\n     preempt=0x00000000 lock=0->1 RCU=0->0 workfn=zs_free",
            &["dump_stack", "process_one_work"],
            "BUG: workqueue leaked lock or atomic in zs_free",
            "lockdep",
        ),
        (
            "BUG: assuming atomic context at mm/x.c:1",
            &["__cant_sleep", "zs_free"],
            "BUG: assuming atomic context in zs_free",
            "atomic",
        ),
        (
            "BUG: scheduling while atomic: w/9/0x00000002",
            &[
                "__schedule_bug",
                "__schedule",
                "preempt_schedule_common",
                "__cond_resched",
                "zs_free",
            ],
            "BUG: scheduling while atomic in zs_free",
            "atomic",
        ),
        (
            "INFO: task w:9 blocked for more than 143 seconds.",
            &["__schedule", "schedule", "mutex_lock", "rtnl_net_lock", "victim"],
            "INFO: task hung in rtnl_net_lock",
            "hang",
        ),
    ] {
        let log = report(head, functions);
        let function = title.rsplit_once(" in ").map(|(_, f)| f);
        assert!(!check(&log, (title, kind, function)).corrupted, "{log}");
    }
    // A report that never has a stack lacks nothing.
    let leaving = "WARNING: lock held when returning to user space!\n1 lock held by w/9:\n #0: ffff (&l){+.+.}, at: zs_free+0x1/0x2\n";
    let title = "WARNING: lock held when returning to user space in zs_free";
    assert!(!check(leaving, (title, "lockdep", Some("zs_free"))).corrupted);
}

#[test]
fn sanitizers_of_old_kernels() {
    let rule = "=".repeat(77);
    let slab = format!(
        "Read of size 4 by task w/9\n{rule}\nBUG kmalloc-64 (Not tainted): kasan: bad access detected\nINFO: Slab 0xffffea00 objects=1\nCall Trace:\n [<ffffffff81000000>] kasan_report_error+0x1/0x2\n [<ffffffff81000000>] zs_free+0x1/0x2\n{}\nother_fn+0x1/0x2\n",
        "=".repeat(66)
    );
    for (head, title) in [
        (
            "BUG: KASAN: use-after-free in zs_free+0x1/0x2 at addr ffff880036",
            "KASAN: use-after-free Read in zs_free",
        ),
        (
            "BUG: KASan: out of bounds access in zs_free+0x1/0x2 at addr ffff880036",
            "KASAN: out of bounds Read in zs_free",
        ),
    ] {
        let splat = check(&format!("{head}\n{slab}"), (title, "kasan", Some("zs_free")));
        assert!(!splat.corrupted && splat.stack.len() == 2, "{:?}", splat.stack);
    }
    let race = "BUG: KCSAN: data-race in zs_free / zs_free\n\nwrite to 0xffff888100000000 of 8 bytes by task 9 on cpu 0:\n zs_free+0x1/0x2\n";
    check(
        race,
        ("KCSAN: data-race in zs_free / zs_free", "kcsan", Some("zs_free")),
    );
}

#[test]
fn panics_end_once_and_name_their_device() {
    let panic = format!(
        "Kernel panic - not syncing: EXT4-fs (device loop0): panic forced after error\n{}{}---[ end Kernel panic - not syncing: EXT4-fs (device loop0): panic forced after error ]---\n",
        trace(&["panic", "ext4_handle_error"]),
        "noise\n".repeat(500)
    );
    assert_eq!(
        titles(&panic),
        ["kernel panic: EXT4-fs (device loop0): panic forced after error"]
    );
}
