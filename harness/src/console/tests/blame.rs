//! Whose stack counts, on hand-written reports with more than one.

use super::{check, report, trace};

#[test]
fn a_bad_page_is_whose_it_was_last() {
    let log = report(
        "BUG: Bad page state in process w  pfn:12345\npage: refcount:0 mapcount:1 mapping:0000000000000000 index:0x0 pfn:0x12345\npage_owner tracks the page as allocated\npage last allocated via order 0, migratetype Movable, gfp_mask 0x100cca(GFP_HIGHUSER_MOVABLE), pid 9, tgid 9 (w), ts 1, free_ts 0\n post_alloc_hook+0x1/0x2\n get_page_from_freelist+0x1/0x2\n __alloc_pages_noprof+0x1/0x2\n folio_alloc_noprof+0x1/0x2\n zswap_store+0x1/0x2\npage last free pid 8 tgid 8 stack trace:\n free_unref_page+0x1/0x2\n zram_free_page+0x1/0x2\nModules linked in:",
        &["dump_stack", "bad_page", "free_unref_page", "unmap_page_range"],
    );
    check(
        &log,
        ("BUG: Bad page state in zswap_store", "oops", Some("zswap_store")),
    );
}

#[test]
fn whoever_waits_for_a_grace_period_is_its_victim() {
    let hung = "INFO: task w:9 blocked for more than 143 seconds.\n      Not tainted 6.12.0 #1\ntask:w state:D stack:0 pid:9 tgid:9 ppid:1 flags:0x4000\n";
    for waits in ["synchronize_rcu_expedited", "synchronize_srcu", "synchronize_net"] {
        let stack = [
            "__schedule",
            "schedule",
            "schedule_timeout",
            "__wait_for_common",
            waits,
            "zram_reset",
        ];
        check(
            &format!("{hung}{}", trace(&stack)),
            (
                "INFO: task hung in synchronize_rcu",
                "hang",
                Some("synchronize_rcu"),
            ),
        );
    }
    let stack = [
        "__schedule",
        "schedule_preempt_disabled",
        "__mutex_lock",
        "rtnl_lock",
        "tun_chr_close",
    ];
    check(
        &format!("{hung}{}", trace(&stack)),
        ("INFO: task hung in rtnl_lock", "hang", Some("rtnl_lock")),
    );
}

#[test]
fn a_stall_is_what_a_dispatcher_called() {
    let soft = |stack: &[&str]| {
        format!(
            "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [w:9]\nRIP: 0010:zs_map+0x1/0x2\n{}",
            trace(stack)
        )
    };
    for (stack, expect) in [
        (
            &[
                "zram_write_page",
                "zram_submit_bio",
                "blk_run",
                "process_one_work",
                "worker_thread",
                "kthread",
            ][..],
            "blk_run",
        ),
        (
            &["call_me", "call_timer_fn", "run_timer_softirq", "handle_softirqs"][..],
            "call_me",
        ),
        (
            &[
                "zram_write_page",
                "tun_chr_write_iter",
                "vfs_write",
                "ksys_write",
                "do_syscall_64",
            ][..],
            "tun_chr_write_iter",
        ),
        (
            &["zram_write_page", "__x64_sys_madvise", "do_syscall_64"][..],
            "sys_madvise",
        ),
        (
            &[
                "smp_call_function_many_cond",
                "on_each_cpu_cond_mask",
                "flush_tlb_mm_range",
            ][..],
            "smp_call_function",
        ),
    ] {
        check(
            &soft(stack),
            (&format!("BUG: soft lockup in {expect}"), "hang", Some(expect)),
        );
    }
}

#[test]
fn a_chosen_function_is_kept_and_a_conduit_is_not() {
    let bare = |head: &str, stack: &[&str]| {
        let frames: String = stack.iter().map(|f| format!(" {f}+0x1/0x2\n")).collect();
        format!(
            "{head}\n{frames}\nUninit was created at:\n slab_post_alloc_hook+0x1/0x2\n other_fn+0x1/0x2\n"
        )
    };
    check(
        &bare(
            "BUG: KMSAN: kernel-usb-infoleak in usb_submit_urb+0x1/0x2",
            &[
                "usb_submit_urb",
                "usb_start_wait_urb",
                "usb_bulk_msg",
                "hif_usb_send",
            ],
        ),
        (
            "KMSAN: kernel-usb-infoleak in usb_submit_urb",
            "kmsan",
            Some("usb_submit_urb"),
        ),
    );
    check(
        &bare(
            "BUG: KMSAN: uninit-value in aes_encrypt+0x1/0x2",
            &[
                "aes_encrypt",
                "crypto_aes_encrypt",
                "crypto_cipher_encrypt_one",
                "zram_encrypt_page",
            ],
        ),
        (
            "KMSAN: uninit-value in zram_encrypt_page",
            "kmsan",
            Some("zram_encrypt_page"),
        ),
    );
    check(
        "BUG: KCSAN: data-race in list_add_tail / zs_free\n\nwrite to 0xffff888100000000 of 8 bytes by task 9 on cpu 0:\n list_add_tail+0x1/0x2\n zs_free+0x1/0x2\n",
        (
            "KCSAN: data-race in list_add_tail / zs_free",
            "kcsan",
            Some("list_add_tail"),
        ),
    );
}
