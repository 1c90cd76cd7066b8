//! Sanitizers, pages, slabs and swap, on hand-written reports in the kernel's wording.

use super::{check, report, titles};

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
        "swap_info_get: Unused swap offset entry 00000217",
        ("swap_info_get: Unused swap offset entry", "oops", None),
    );
    check(
        "BUG: non-zero pgtables_bytes on freeing mm: 4096",
        ("BUG: non-zero pgtables_bytes on freeing mm", "oops", None),
    );
    check(
        "zram: Decompression failed! err=-22, page=17",
        ("zram: Decompression failed", "oops", None),
    );
    let poison = report(
        "pagealloc: memory corruption\n00000000dd99eef6: 2c 82 a8 ad 04 da b7 00 9e 36 a0 4d 40 20 07 fc  ,........6.M@ ..",
        &[
            "dump_stack_lvl",
            "__kernel_unpoison_pages",
            "prep_new_page",
            "zs_malloc",
        ],
    );
    check(&poison, ("pagealloc: memory corruption", "oops", None));
    check(
        "pagealloc: single bit error",
        ("pagealloc: single bit error", "oops", None),
    );
    assert!(titles("pagealloc: memory corruption checks are on").is_empty());
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
