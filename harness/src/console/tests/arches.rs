//! The same bug as many machines and years report it, on hand-written reports in each one's wording.

use super::check;

#[test]
fn i386_of_all_ages() {
    check(
        "[   12.000000] BUG: unable to handle kernel NULL pointer dereference at 00000004\n[   12.000000] IP: [<c10f1a8e>] zs_free+0x2e/0x80\n[   12.000000] *pde = 00000000\n[   12.000000] Oops: 0002 [#1] SMP\n[   12.000000] EIP: 0060:[<c10f1a8e>] EFLAGS: 00010246 CPU: 0\n[   12.000000] EIP is at zs_free+0x2e/0x80\n[   12.000000] Call Trace:\n[   12.000000]  [<c10f2b00>] zram_free_page+0x60/0x90\n[   12.000000] ---[ end trace 0 ]---\n",
        (
            "BUG: unable to handle kernel NULL pointer dereference in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "BUG: kernel NULL pointer dereference, address: 00000004\n#PF: supervisor write access in kernel mode\nOops: 0002 [#1] SMP\nCPU: 0 PID: 9 Comm: w Not tainted 5.15.0 #1\nEIP: list_del+0x9/0x20\nCall Trace:\n zs_free+0x2e/0x80\n zram_free_page+0x60/0x90\n",
        (
            "BUG: unable to handle kernel NULL pointer dereference in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
}

#[test]
fn arm_and_arm64() {
    check(
        "Unable to handle kernel NULL pointer dereference at virtual address 00000004 when write\n[00000004] *pgd=00000000\nInternal error: Oops: 805 [#1] SMP ARM\nCPU: 0 PID: 9 Comm: w Not tainted 6.1.0 #1\nHardware name: ARM-Versatile Express\nPC is at zs_free+0x10/0x80\nLR is at zram_free_page+0x60/0x90\npc : [<c010f1a8>]    lr : [<c010b4f8>]    psr: 60000013\nBacktrace: \n[<c010f198>] (zs_free) from [<c010b4f8>] (zram_free_page+0x60/0x90)\n",
        (
            "BUG: unable to handle kernel NULL pointer dereference in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "Unable to handle kernel paging request at virtual address dfff800000000001\nKASAN: null-ptr-deref in range [0x0000000000000008-0x000000000000000f]\nMem abort info:\n  ESR = 0x0000000096000005\nInternal error: Oops: 0000000096000005 [#1] PREEMPT SMP\nCPU: 0 PID: 9 Comm: w Not tainted 6.12.0 #1\npc : zs_free+0x10/0x80\nlr : zram_free_page+0x60/0x90\nCall trace:\n zs_free+0x10/0x80 (P)\n zram_free_page+0x60/0x90\n el0t_64_sync+0x190/0x198\n",
        (
            "BUG: unable to handle kernel paging request in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "Internal error: synchronous external abort: 0000000096000010 [#1] PREEMPT SMP\npc : readl+0x10/0x80\nlr : x+0x60/0x90\nCall trace:\n readl+0x10/0x80\n zs_map+0x60/0x90\n",
        ("Internal error in zs_map", "oops", Some("zs_map")),
    );
    check(
        "BUG: KASAN: invalid-access in zs_free+0x10/0x80\nRead at addr f5ff000008d2ca00 by task w/9\nPointer tag: [f5], memory tag: [fe]\nCall trace:\n dump_backtrace+0x94/0xec\n kasan_report+0x74/0xb4\n __do_kernel_fault+0x11c/0x1d8\n do_tag_check_fault+0x78/0x90\n do_mem_abort+0x44/0xa0\n el1_abort+0x40/0x64\n el1h_64_sync_handler+0xb0/0xd8\n el1h_64_sync+0x64/0x68\n memcpy+0x10/0x20\n zs_free+0x10/0x80\n",
        ("KASAN: invalid-access Read in zs_free", "kasan", Some("zs_free")),
    );
}

#[test]
fn riscv_powerpc_s390_and_others() {
    check(
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008\nOops [#1]\nCPU: 0 PID: 9 Comm: w Not tainted 6.12.0 #1\nepc : zs_free+0x10/0x80\n ra : zram_free_page+0x60/0x90\nstatus: 0000000200000120 badaddr: 0000000000000008 cause: 000000000000000d\n[<ffffffff80010000>] zs_free+0x10/0x80\n[<ffffffff80010100>] zram_free_page+0x60/0x90\n---[ end trace 0000000000000000 ]---\n",
        (
            "BUG: unable to handle kernel NULL pointer dereference in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "BUG: Kernel NULL pointer dereference on read at 0x00000008\nFaulting instruction address: 0xc000000000123456\nOops: Kernel access of bad area, sig: 11 [#1]\nLE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=2048 NUMA pSeries\nNIP:  c000000000123456 LR: c000000000123460 CTR: 0\nNIP [c000000000123456] zs_free+0x10/0x80\nLR [c000000000123460] zram_free_page+0x60/0x90\nCall Trace:\n[c0000000f7a2bb30] [c0000000f7a2bb60] 0xc0000000f7a2bb60 (unreliable)\n[c0000000f7a2bb60] [c000000000123460] zram_free_page+0x60/0x90\n",
        (
            "BUG: unable to handle kernel NULL pointer dereference in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "Unable to handle kernel pointer dereference in virtual kernel address space\nFailing address: 0000000000000000 TEID: 0000000000000483\nOops: 0004 ilc:3 [#1] SMP\nCPU: 0 PID: 9 Comm: w Not tainted 6.12.0 #1\nKrnl PSW : 0704c00180000000 00000000001234b4 (zs_free+0x1c/0x80)\nCall Trace:\n [<00000000001234b4>] zs_free+0x1c/0x80\n([<00000000001234c0>] zram_free_page+0x60/0x90)\n",
        (
            "BUG: unable to handle kernel paging request in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "CPU 0 Unable to handle kernel paging request at virtual address 00000008, epc == 80105a14, ra == 80105a24\nOops[#1]:\nepc   : 80105a14 zs_free+0x10/0x80\nra    : 80105a24 zram_free_page+0x60/0x90\nCall Trace:\n[<80105a14>] zs_free+0x10/0x80\n[<80105a24>] zram_free_page+0x60/0x90\n",
        (
            "BUG: unable to handle kernel paging request in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "CPU 0 Unable to handle kernel paging request at virtual address 0000000000000008, era == 9000000000223344, ra == 9000000000223350\nOops[#1]:\npc 9000000000223344 ra 9000000000223350 tp 9000000100a28000 sp 9000000100a2ba90\n   ra: 9000000000223350 zram_free_page+0x60/0x90\n  ERA: 9000000000223344 zs_free+0x10/0x80\nCall Trace:\n[<9000000000223344>] zs_free+0x10/0x80\n[<9000000000223350>] zram_free_page+0x60/0x90\n",
        (
            "BUG: unable to handle kernel paging request in zs_free",
            "oops",
            Some("zs_free"),
        ),
    );
    check(
        "kernel BUG at mm/zsmalloc.c:1234!\nOops: Exception in kernel mode, sig: 5 [#1]\nNIP [c000000000123456] zs_free+0x10/0x80\nLR [c000000000123460] zram_free_page+0x60/0x90\nCall Trace:\n[c0000000f7a2bb60] [c000000000123460] zram_free_page+0x60/0x90\n",
        ("kernel BUG in zs_free", "oops", Some("zs_free")),
    );
}

#[test]
fn warnings_of_all_ages() {
    for (head, below) in [
        (
            "WARNING: at mm/zsmalloc.c:77 zs_free+0x10/0x80()",
            "Call Trace:\n [<ffffffff8104e3ba>] warn_slowpath_common+0x7a/0xb0\n [<ffffffff8104e405>] warn_slowpath_null+0x15/0x20\n [<ffffffff81100000>] zs_free+0x10/0x80\n",
        ),
        (
            "WARNING: CPU: 1 PID: 9 at mm/zsmalloc.c:77 zs_free+0x10/0x80",
            "Kernel panic - not syncing: panic_on_warn set ...\nCall Trace:\n dump_stack+0x1/0x2\n panic+0x1/0x2\n __warn+0x1/0x2\n report_bug+0x1/0x2\n fixup_bug.part.0+0x1/0x2\n do_error_trap+0x1/0x2\n do_invalid_op+0x1/0x2\n invalid_op+0x1/0x2\nRIP: 0010:zs_free+0x10/0x80\n zram_free_page+0x60/0x90\n",
        ),
        (
            "WARNING: CPU: 1 PID: 9 at mm/zsmalloc.c:77 zs_free+0x10/0x80 mm/zsmalloc.c:77",
            "RIP: 0010:zs_free+0x10/0x80 mm/zsmalloc.c:77\nCall Trace:\n <TASK>\n zram_free_page+0x60/0x90 drivers/block/zram/zram_drv.c:1\n </TASK>\n",
        ),
        (
            "WARNING: mm/zsmalloc.c:77 at zs_free+0x10/0x80, CPU#1: w/9",
            "RIP: 0010:zs_free+0x10/0x80\nCall Trace:\n <TASK>\n zram_free_page+0x60/0x90\n </TASK>\n",
        ),
    ] {
        check(
            &format!("{head}\n{below}"),
            ("WARNING in zs_free", "warning", Some("zs_free")),
        );
    }
}

#[test]
fn a_symbolizer_does_not_move_the_blame() {
    let plain = "BUG: KASAN: use-after-free in zs_free+0x10/0x80\nRead of size 8 at addr ffff888100000000 by task w/9\nCall Trace:\n dump_stack+0x1/0x2\n kasan_report+0x1/0x2\n zs_free+0x10/0x80\n";
    let symbolized = "BUG: KASAN: use-after-free in obj_to_head+0x10/0x80 mm/zsmalloc.c:9\nRead of size 8 at addr ffff888100000000 by task w/9\nCall Trace:\n __dump_stack lib/dump_stack.c:77 [inline]\n dump_stack+0x1/0x2 lib/dump_stack.c:118\n kasan_report+0x1/0x2 mm/kasan/report.c:1\n obj_to_head mm/zsmalloc.c:9 [inline]\n zs_free+0x10/0x80 mm/zsmalloc.c:90\n";
    let expect = ("KASAN: use-after-free Read in zs_free", "kasan", Some("zs_free"));
    check(plain, expect);
    check(&symbolized.replace("in obj_to_head", "in zs_free"), expect);
}
