//! Each family of rules on hand-written reports in the kernel's wording.

use super::{check, trace};

/// A report of header lines and a stack.
fn report(head: &str, functions: &[&str]) -> String {
    format!(
        "{head}\nCPU: 0 UID: 0 PID: 9 Comm: w Not tainted 6.12.0 #1\n{}",
        trace(functions)
    )
}

#[test]
fn sanitizers() {
    let kasan = "BUG: KASAN: slab-use-after-free in __list_del_entry_valid+0x12/0x90\nRead of size 8 at addr ffff888100000000 by task w/9\n";
    let stack = [
        "dump_stack_lvl",
        "print_report",
        "kasan_report",
        "__list_del_entry_valid",
        "zs_free",
        "zram_free_page",
    ];
    check(
        &report(kasan, &stack),
        (
            "KASAN: slab-use-after-free Read in zs_free",
            "kasan",
            Some("zs_free"),
        ),
    );
    let kasan = "BUG: KASAN: out-of-bounds in zs_map+0x12/0x90\nWrite of size 8 at addr ffff888100000000 by task w/9\n";
    check(
        &report(kasan, &["kasan_report", "zs_map"]),
        ("KASAN: out-of-bounds Write in zs_map", "kasan", Some("zs_map")),
    );
    let free = "BUG: KASAN: double-free in kfree+0x12/0x90\nFree of addr ffff888100000000 by task w/9\n";
    check(
        &report(free, &["kasan_report", "kfree", "zs_destroy_pool"]),
        (
            "KASAN: double-free in zs_destroy_pool",
            "kasan",
            Some("zs_destroy_pool"),
        ),
    );
    let kmsan = "BUG: KMSAN: uninit-value in zswap_load+0x12/0x90\n zswap_load+0x12/0x90\n do_swap_page+0x1/0x2\n\nUninit was created at:\n other+0x1/0x2\n";
    check(
        kmsan,
        ("KMSAN: uninit-value in zswap_load", "kmsan", Some("zswap_load")),
    );
    let kcsan = "BUG: KCSAN: data-race in zswap_store / zswap_writeback_entry\n\nwrite to 0xffff888100000000 of 8 bytes by task 9 on cpu 1:\n zswap_store+0x12/0x90\n";
    check(
        kcsan,
        (
            "KCSAN: data-race in zswap_store / zswap_writeback_entry",
            "kcsan",
            Some("zswap_store"),
        ),
    );
    let kfence = "BUG: KFENCE: use-after-free read in zs_free+0x12/0x90\n\nUse-after-free read at 0xffff888100000000 (in kfence-#3):\n zs_free+0x12/0x90\n";
    check(
        kfence,
        (
            "KFENCE: use-after-free read in zs_free",
            "kfence",
            Some("zs_free"),
        ),
    );
    let ubsan = "UBSAN: shift-out-of-bounds in mm/zsmalloc.c:100:7\nshift exponent 64 is too large\n";
    check(
        &report(
            ubsan,
            &[
                "dump_stack_lvl",
                "__ubsan_handle_shift_out_of_bounds",
                "obj_malloc",
            ],
        ),
        (
            "UBSAN: shift-out-of-bounds in obj_malloc",
            "ubsan",
            Some("obj_malloc"),
        ),
    );
}

#[test]
fn pages_slabs_and_swap() {
    let page = report(
        "BUG: Bad page state in process kswapd0  pfn:12345",
        &["dump_stack_lvl", "bad_page", "free_unref_page", "__zs_compact"],
    );
    check(
        &page,
        (
            "BUG: Bad page state in __zs_compact",
            "oops",
            Some("__zs_compact"),
        ),
    );
    let map = report(
        "BUG: Bad page map in process w  pte:80000 pmd:12",
        &["print_bad_pte", "unmap_page_range"],
    );
    check(
        &map,
        (
            "BUG: Bad page map in unmap_page_range",
            "oops",
            Some("unmap_page_range"),
        ),
    );
    let rss = "BUG: Bad rss-counter state mm:00000000deadbeef type:MM_ANONPAGES val:3";
    check(rss, ("BUG: Bad rss-counter state MM_ANONPAGES", "oops", None));
    check(
        "BUG: non-zero pgtables_bytes on freeing mm: 4096",
        ("BUG: non-zero pgtables_bytes on freeing mm", "oops", None),
    );
    check(
        "zram: Decompression failed! err=-22, page=17",
        ("zram: Decompression failed", "oops", None),
    );
    let slab = report(
        "BUG zspage (Not tainted): Poison overwritten",
        &["check_bytes_and_report", "zs_malloc"],
    );
    let splat = check(&slab, ("BUG: Poison overwritten", "oops", Some("zs_malloc")));
    assert!(!splat.corrupted);
    let leak = "BUG: memory leak\nunreferenced object 0xffff888100000000 (size 64):\n  backtrace (crc 0):\n    [<0>] kmem_cache_alloc_noprof+0x1/0x2\n    [<00000000aabbccdd>] zs_create_pool+0x1/0x2\n";
    check(
        leak,
        ("memory leak in zs_create_pool", "leak", Some("zs_create_pool")),
    );
    check(
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        ("kmemleak: new suspected memory leaks", "leak", None),
    );
}

#[test]
fn failed_assertions() {
    let bug = |place: &str, functions: &[&str]| {
        format!(
            "------------[ cut here ]------------\n{place}\nOops: invalid opcode: 0000 [#1] PREEMPT SMP\nRIP: 0010:{}+0x1/0x2\n{}",
            functions[0],
            trace(&functions[1..])
        )
    };
    check(
        &bug(
            "kernel BUG at mm/rmap.c:1200!",
            &["__folio_set_anon", "move_pages_pte"],
        ),
        ("kernel BUG in __folio_set_anon", "oops", Some("__folio_set_anon")),
    );
    check(
        &bug(
            "Kernel BUG at move_pages_pte+0x1/0x2 [verbose debug info unavailable]",
            &["move_pages_pte", "x"],
        ),
        ("kernel BUG in move_pages_pte", "oops", Some("move_pages_pte")),
    );
    let table = bug(
        "kernel BUG at mm/page_table_check.c:143!",
        &["__page_table_check_zero", "post_alloc_hook", "collapse_huge_page"],
    );
    check(
        &table,
        (
            "BUG: page table check failed in collapse_huge_page",
            "oops",
            Some("collapse_huge_page"),
        ),
    );
    let table = bug(
        "Kernel BUG at page_table_check_set+0x1/0x2 [verbose debug info unavailable]",
        &["page_table_check_set", "set_huge_pmd"],
    );
    check(
        &table,
        (
            "BUG: page table check failed in set_huge_pmd",
            "oops",
            Some("set_huge_pmd"),
        ),
    );
    let list = bug(
        "list_del corruption, ffff888100000000->next is LIST_POISON1\nkernel BUG at lib/list_debug.c:56!",
        &["__list_del_entry_valid_or_report", "zs_page_migrate"],
    );
    check(
        &list,
        (
            "BUG: corrupted list in zs_page_migrate",
            "oops",
            Some("zs_page_migrate"),
        ),
    );
    let copy = bug(
        "kernel BUG at mm/usercopy.c:102!",
        &["usercopy_abort", "__check_object_size", "zram_read"],
    );
    check(
        &copy,
        ("BUG: bad usercopy in zram_read", "oops", Some("zram_read")),
    );
    let rust = "[    1.000000] rust_kernel: panicked at drivers/x.rs:1:2:\n[    1.000001] attempt to add with overflow\n[    1.000002] kernel BUG at rust/helpers/bug.c:7!\n[    1.000003] Call Trace:\n[    1.000004]  rust_begin_unwind+0x1/0x2\n[    1.000005]  _RNvMs3_NtCshgDM7dBCdno_6binder7processNtB5_7Process10update_ref+0x1/0x2\n";
    check(
        rust,
        (
            "attempt to add with overflow in <binder::process::Process>::update_ref",
            "oops",
            Some("<binder::process::Process>::update_ref"),
        ),
    );
}

#[test]
fn faults() {
    let fault = |head: &str| {
        format!(
            "{head}\nOops: Oops: 0000 [#1] PREEMPT SMP\nRIP: 0010:memcpy_erms+0x1/0x2\n{}",
            trace(&["zswap_writeback_entry"])
        )
    };
    let guilty = Some("zswap_writeback_entry");
    check(
        &fault("BUG: unable to handle page fault for address: ffff888100000000"),
        (
            "BUG: unable to handle kernel paging request in zswap_writeback_entry",
            "oops",
            guilty,
        ),
    );
    check(
        &fault("BUG: kernel NULL pointer dereference, address: 0000000000000008"),
        (
            "BUG: unable to handle kernel NULL pointer dereference in zswap_writeback_entry",
            "oops",
            guilty,
        ),
    );
    let gpf = "Oops: general protection fault, probably for non-canonical address 0xdffffc0000000000: 0000 [#1] PREEMPT SMP KASAN\nKASAN: null-ptr-deref in range [0x0-0x7]\nRIP: 0010:zs_free+0x1/0x2\n";
    check(
        &(gpf.to_owned() + &trace(&["x"])),
        ("general protection fault in zs_free", "oops", Some("zs_free")),
    );
    let arm64 = "Unable to handle kernel paging request at virtual address dead000000000100\nInternal error: Oops: 0000000096000004 [#1] PREEMPT SMP\npc : zs_free+0x1/0x2\nlr : x+0x1/0x2\nCall trace:\n zs_free+0x1/0x2\n";
    check(
        arm64,
        (
            "BUG: unable to handle kernel paging request in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    let divide = format!(
        "Oops: divide error: 0000 [#1] PREEMPT SMP\nRIP: 0010:zs_size+0x1/0x2\n{}",
        trace(&["x"])
    );
    check(&divide, ("divide error in zs_size", "oops", Some("zs_size")));
    let double = format!(
        "traps: PANIC: double fault, error_code: 0x0\nRIP: 0010:zs_size+0x1/0x2\n{}",
        trace(&["x"])
    );
    check(
        &double,
        ("PANIC: double fault in zs_size", "oops", Some("zs_size")),
    );
    let guard = format!(
        "BUG: TASK stack guard page was hit at ffffc90000000000 (stack is ffffc90000001000..ffffc90000002000)\nkernel stack overflow (double-fault): 0000 [#1]\nRIP: 0010:deep+0x1/0x2\n{}",
        trace(&["deep", "deep", "tun_chr_ioctl", "__x64_sys_ioctl"])
    );
    check(
        &guard,
        (
            "BUG: stack guard page was hit in tun_chr_ioctl",
            "oops",
            Some("tun_chr_ioctl"),
        ),
    );
    let wild = "BUG: unable to handle kernel paging request at ffffffffffffffff\nRIP: 0010:0xffffffffffffffff\nCall Trace:\n <IRQ>\n __run_timers+0x1/0x2\n apic_timer_interrupt+0x1/0x2\nRIP: 0010:other+0x1/0x2\n </IRQ>\n";
    check(
        wild,
        (
            "BUG: unable to handle kernel paging request in __run_timers",
            "oops",
            Some("__run_timers"),
        ),
    );
}

#[test]
fn panics() {
    let check_panic = |text: &str, title: &str| {
        check(
            &format!("Kernel panic - not syncing: {text}\n"),
            (title, "oops", None),
        )
    };
    check_panic(
        "Out of memory: compulsory panic_on_oom is enabled",
        "kernel panic: Out of memory",
    );
    check_panic(
        "System is deadlocked on memory",
        "kernel panic: System is deadlocked on memory",
    );
    check_panic(
        "VFS: Unable to mount root fs on unknown-block(0,0)",
        "kernel panic: VFS: Unable to mount root fs",
    );
    check_panic(
        "Attempted to kill init! exitcode=0x0000000b",
        "kernel panic: Attempted to kill init!",
    );
    assert!(check_panic("Fatal exception in interrupt", "kernel panic: Fatal exception").corrupted);
    let stack =
        "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: zs_free+0x1/0x2\n";
    check(
        stack,
        (
            "kernel panic: stack is corrupted in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
}

#[test]
fn warnings() {
    let warn = |place: &str, functions: &[&str]| {
        format!(
            "------------[ cut here ]------------\n{place}\nRIP: 0010:{}+0x1/0x2\n{}---[ end trace 0000000000000000 ]---\n",
            functions[0],
            trace(&functions[1..])
        )
    };
    check(
        &warn(
            "WARNING: CPU: 1 PID: 9 at mm/zswap.c:100 zswap_free+0x1/0x2",
            &["zswap_free", "x"],
        ),
        ("WARNING in zswap_free", "warning", Some("zswap_free")),
    );
    check(
        &warn(
            "WARNING: mm/zswap.c:100 at zswap_free+0x1/0x2, CPU#1: w/9",
            &["zswap_free", "x"],
        ),
        ("WARNING in zswap_free", "warning", Some("zswap_free")),
    );
    check(
        &warn(
            "WARNING: CPU: 1 PID: 9 at zswap_free+0x1/0x2",
            &["zswap_free", "x"],
        ),
        ("WARNING in zswap_free", "warning", Some("zswap_free")),
    );
    let refs = ["refcount_warn_saturate", "zs_put"];
    check(
        &warn(
            "WARNING: CPU: 1 PID: 9 at lib/refcount.c:28 refcount_warn_saturate+0x1/0x2",
            &refs,
        ),
        ("WARNING: refcount bug in zs_put", "warning", Some("zs_put")),
    );
    check(
        &warn("WARNING: CPU: 1 PID: 9 at refcount_warn_saturate+0x1/0x2", &refs),
        ("WARNING: refcount bug in zs_put", "warning", Some("zs_put")),
    );
    let object = [
        "debug_print_object",
        "debug_check_no_obj_freed",
        "kfree",
        "zs_put",
    ];
    check(
        &warn(
            "WARNING: CPU: 1 PID: 9 at lib/debugobjects.c:612 debug_print_object+0x1/0x2",
            &object,
        ),
        ("WARNING: ODEBUG bug in zs_put", "warning", Some("zs_put")),
    );
    let list = "list_add corruption. next->prev should be prev (0), but was 1. (next=2).\nWARNING: CPU: 0 PID: 9 at lib/list_debug.c:29 __list_add_valid_or_report+0x1/0x2";
    check(
        &warn(list, &["__list_add_valid_or_report", "zs_put"]),
        ("WARNING: corrupted list in zs_put", "warning", Some("zs_put")),
    );
    let urb = ["usb_submit_urb", "my_start"];
    check(
        &warn(
            "WARNING: CPU: 0 PID: 9 at drivers/usb/core/urb.c:500 usb_submit_urb+0x1/0x2",
            &urb,
        ),
        ("WARNING in my_start/usb_submit_urb", "warning", Some("my_start")),
    );
}

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
    let alone = analyze_reboot(
        "[   12.000000] working\nSeaBIOS (version 1.16.2)\n[    0.000000] Linux version 6.12.0\n",
    );
    assert_eq!(alone, ["unexpected kernel reboot"]);
    assert!(
        analyze_reboot("[   12.000000] reboot: Restarting system\n[    0.000000] Linux version 6.12.0\n")
            .is_empty()
    );
    assert!(
        analyze_reboot("SeaBIOS (version 1)\n[    0.000000] Linux version 6.12.0\n[    1.500000] up\n")
            .is_empty()
    );
}

fn analyze_reboot(log: &str) -> Vec<String> {
    super::titles(log)
}
