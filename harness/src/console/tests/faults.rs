//! Failed assertions, faults, panics and warnings, on hand-written reports in the kernel's wording.

use super::{check, trace};

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
        "Kernel BUG at page_table_check_set.part.0+0x1/0x2 [verbose debug info unavailable]",
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
