//! Which names are helpers of which family, and which are nobody's.

use super::{Family, is_helper};
use crate::console::rules::NOTICE;

#[test]
fn helpers_are_told_from_the_guilty() {
    let check = |function: &str, family: Option<Family>| {
        let found: Vec<Family> = Family::ALL
            .into_iter()
            .filter(|f| is_helper(function, &[*f]))
            .collect();
        match family {
            Some(family) => assert!(found.contains(&family), "{function}: {found:?}"),
            None => assert!(!is_helper(function, NOTICE), "{function}: {found:?}"),
        }
    };
    check("__kasan_report", Some(Family::Report));
    check("kasan_check_range", Some(Family::Report));
    check("__asan_load8", Some(Family::Report));
    check("__sanitizer_cov_trace_pc", Some(Family::Report));
    check("__list_del_entry_valid", Some(Family::Container));
    check("refcount_warn_saturate", Some(Family::Lock));
    check("_raw_spin_lock_irqsave", Some(Family::Lock));
    check("__mutex_lock", Some(Family::Lock));
    check("kmem_cache_free", Some(Family::Alloc));
    check("__alloc_pages_noprof", Some(Family::Alloc));
    check("zs_malloc", None);
    check("kvzalloc_node_noprof", Some(Family::Alloc));
    check("__memcpy", Some(Family::Memory));
    check("_copy_from_user", Some(Family::Memory));
    check("__schedule", Some(Family::Sched));
    check("zs_free", None);
    check("zswap_writeback_entry", None);
    check("move_pages_pte", None);
    check("collapse_pte_mapped_thp", None);
    check("shrink_folio_list", None);
    check("do_swap_page", None);
    check("drm_atomic_helper_commit", None);
    check("ext4_read_block_bitmap_nowait", None);
    check("free_pages_and_swap_cache", None);
    check("shrink_slab", None);
    check("atomic_dec_and_test", Some(Family::Lock));
    check("lock_sock_nested", Some(Family::Sock));
    check("process_one_work", Some(Family::Queue));
    check("_atomic_dec_and_lock_irqsave", Some(Family::Lock));
    check("__free_pages", Some(Family::Page));
    for (family, functions) in [
        (
            Family::Report,
            &["__cant_sleep", "assfail", "handle_null_ptr_deref"][..],
        ),
        (
            Family::Memory,
            &[
                "strncasecmp",
                "bcmp",
                "_find_next_bit",
                "__bitmap_weight",
                "inb",
                "__arch_clear_user",
            ],
        ),
        (
            Family::Lock,
            &[
                "rwsem_wake",
                "__ww_mutex_lock",
                "up",
                "complete_all",
                "spin_dump",
                "atomic_long_add",
            ],
        ),
        (
            Family::Defer,
            &[
                "mod_timer",
                "timer_shutdown_sync",
                "hrtimer_cancel",
                "cancel_delayed_work_sync",
            ],
        ),
        (Family::Sched, &["__cond_resched", "do_wait_for_common"]),
        (
            Family::Tracked,
            &[
                "init_timer_key",
                "__init_work",
                "call_rcu",
                "percpu_counter_destroy_many",
            ],
        ),
        (
            Family::Rcu,
            &["synchronize_rcu", "srcu_read_lock", "__kfree_rcu_sheaf"],
        ),
    ] {
        for function in functions {
            check(function, Some(family));
        }
    }
    for (family, function) in [
        (Family::Rcu, "circular_buf_x"),
        (Family::Tracked, "network_free"),
        (Family::Tracked, "snd_timer_close"),
    ] {
        assert!(!is_helper(function, &[family]), "{function}");
    }
    check("bitmap_ip_add", None);
    check("add_timer_randomness", None);
    check("mb_find_next_zero_bit", None);
}
