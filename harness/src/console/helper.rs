//! General lists of functions that notice a bug but are not guilty of it.
//!
//! A list says what a function *is* (a lock, a list primitive, a sanitizer hook …), by words of its
//! name where the kernel's naming allows, by whole name where not; none knows about a certain bug or
//! log. Names are matched without their leading underscores.

use std::sync::LazyLock;

use regex::Regex;

/// A family of helpers; a rule says which families may not be blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Printing a report, taking a trap, sanitizer and tracing hooks.
    Report,
    /// Copying, comparing, formatting memory; port and register access.
    Memory,
    /// Getting and freeing memory.
    Alloc,
    /// Locks, atomics, waiting primitives and their checkers.
    Lock,
    /// Lists, trees, bitmaps, reference counts.
    Container,
    /// Giving up the CPU and being woken.
    Sched,
    /// Waiting for other people's work, on somebody's behalf.
    Wait,
    /// The timer interrupt and cross-CPU machinery by which a stall is noticed.
    Tick,
    /// Deferring work: timers, work queues, RCU callbacks.
    Defer,
    /// A subsystem's core that warns about what its callers did.
    Core,
    /// Who gives memory out on behalf of others: socket buffers and their like.
    Broker,
}

impl Family {
    const ALL: [Self; 11] = [
        Self::Report,
        Self::Memory,
        Self::Alloc,
        Self::Lock,
        Self::Container,
        Self::Sched,
        Self::Wait,
        Self::Tick,
        Self::Defer,
        Self::Core,
        Self::Broker,
    ];

    /// Words that make a function a helper wherever they stand in its name.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Report => &[
                "kasan",
                "hwasan",
                "asan",
                "kmsan",
                "msan",
                "kcsan",
                "tsan",
                "kfence",
                "ubsan",
                "sanitizer",
                "lockdep",
                "dump_stack",
                "show_stack",
                "show_trace",
                "backtrace",
                "save_stack",
                "stack_trace",
                "stack_depot",
                "stack_walk",
                "print_report",
                "print_address_description",
                "page_fault",
                "fault_inject",
                "should_fail",
                "failslab",
                "warn_slowpath",
                "report_bug",
                "handle_bug",
                "fixup_bug",
                "debug_object",
                "debug_print_object",
                "check_memory_region",
                "indirect_thunk",
                "fortify",
                "usercopy",
                "preempt_check",
                "preemption_disabled",
                "perf_trace",
                "trace_event",
                "page_table_check",
                "bad_page",
                "check_panic",
            ],
            Self::Memory => &[
                "memcpy",
                "memset",
                "memmove",
                "memcmp",
                "memchr",
                "memscan",
                "copy_to_user",
                "copy_from_user",
                "copy_in_user",
                "copy_user",
                "copy_to_iter",
                "copy_from_iter",
                "snprintf",
                "scnprintf",
                "vsnprintf",
                "vscnprintf",
                "sprintf",
                "vsprintf",
                "kasprintf",
                "kvasprintf",
                "printk",
                "vprintk",
                "csum_partial",
                "csum_and_copy",
                "strncpy_from",
                "strnlen_user",
                "strndup_user",
                "memdup",
                "fault_in_readable",
                "fault_in_writeable",
            ],
            Self::Alloc => &[
                "kmalloc",
                "kzalloc",
                "kcalloc",
                "kvmalloc",
                "kvzalloc",
                "krealloc",
                "kmemdup",
                "kstrdup",
                "kmem_cache",
                "kfree",
                "kvfree",
                "kzfree",
                "kmemleak",
                "slab_alloc",
                "slab_free",
                "slab_post",
                "slab_pre",
                "vmalloc",
                "vzalloc",
                "vfree",
                "alloc_page",
                "alloc_pages",
                "free_unref",
                "mempool",
                "freelist",
                "pcpu_alloc",
                "alloc_percpu",
                "free_percpu",
            ],
            Self::Lock => &[
                "spin_lock",
                "spin_unlock",
                "spin_trylock",
                "read_lock",
                "read_unlock",
                "write_lock",
                "write_unlock",
                "mutex_lock",
                "mutex_unlock",
                "mutex_trylock",
                "rt_mutex",
                "ww_mutex",
                "rwsem",
                "down_read",
                "down_write",
                "up_read",
                "up_write",
                "trylock",
                "lock_acquire",
                "lock_release",
                "lock_is_held",
                "lock_class",
                "lock_held",
                "seqlock",
                "seqcount",
                "might_sleep",
                "might_fault",
                "might_resched",
                "cmpxchg",
                "xchg",
                "bh_enable",
                "bh_disable",
                "percpu_rwsem",
                "queued_spin",
                "osq_lock",
                "wait_for_common",
                "wait_for_completion",
            ],
            Self::Container => &[
                "list_add",
                "list_del",
                "list_move",
                "list_splice",
                "list_replace",
                "list_empty",
                "hlist",
                "llist",
                "klist",
                "plist",
                "rb_erase",
                "rb_insert",
                "rb_next",
                "rb_prev",
                "rb_first",
                "radix_tree",
                "rhashtable",
                "refcount",
                "kref",
                "ref_tracker",
                "percpu_ref",
                "percpu_counter",
                "lockref",
                "notifier_call",
                "interval_tree",
            ],
            Self::Sched => &["wait_on_bit", "bit_wait", "context_switch", "switch_to"],
            Self::Wait => &[
                "fdatawait",
                "rcu_barrier",
                "wait_on_page",
                "wait_on_folio",
                "folio_wait",
                "wait_on_buffer",
            ],
            Self::Tick => &[
                "apic_timer",
                "nmi",
                "hrtimer",
                "softlockup",
                "cpu_stall",
                "rcu_sched_clock",
                "trigger_cpumask",
            ],
            Self::Defer => &[
                "call_rcu",
                "call_srcu",
                "cancel_work",
                "cancel_delayed_work",
                "flush_work",
                "flush_workqueue",
                "del_timer",
                "mod_timer",
                "add_timer",
                "timer_delete",
                "timer_shutdown",
            ],
            Self::Core => &[
                "rollback_registered",
                "unregister_netdevice",
                "unregister_client",
                "unregister_adapter",
                "kobject_uevent",
                "add_uevent",
            ],
            Self::Broker => &["alloc", "zalloc", "clone", "strdup", "memdup"],
        }
    }

    /// Whole names, as regular expressions.
    fn names(self) -> &'static str {
        match self {
            Self::Report => {
                r"check_(?:bytes_and_report|object|slab|pad\w*)|on_freelist|\w+_consistency_checks|(?:free|alloc)_debug_processing|free_to_partial_list|(?:debug|check)_dma_\w+|check_unmap|add_dma_entry|dump_trace|show_regs\w*|print_(?:usage|lock|circular|deadlock|bad_irq|trailer|unlock_imbalance|trace|tainted|oops|bfs|shortest|irq)\w*|object_err|slab_(?:err|bug|fix)\w*|write_comp_data|check_(?:access|region_inline)\w*|memory_is_\w+|report_\w+_report|report_(?:fault|access|overflow|enabled|div_overflow|usercopy)\w*|handle_overflow|val_to_string|bug_(?:handler|at)\w*|call_break_hook|brk_handler|bug_brk_handler|do_debug_exception|warn(?:_printk|_thunk\w*|_bogus_\w+)?|v?panic\w*|nmi_panic|(?:__)?crash_kexec|machine_kexec|stack_chk_fail|oops_\w+|die\w*|do_trap\w*|do_error_trap|do_invalid_op|invalid_op|(?:do_)?(?:general_protection|divide_error|double_fault|int3|stack_segment)|df_debug|handle_(?:stack_overflow|bad_stack)|panic_(?:bad|other)_stack|bad_mode|bad_el0_sync|(?:asm_)?exc_\w+|error_(?:entry|code)|common_(?:exception|interrupt)\w*|idtentry_\w+|noist_exc\w*|do_(?:user_addr|kern_addr|kernel|translation|tag_check|alignment|tag_recovery)_?fault\w*|do_(?:DataAbort|PrefetchAbort|mem_abort|undefinstr|el1_undef|sea|bad|bad_area\w*|serror|sp_pc_abort)|bad_area\w*|no_context|mm_fault_error|fault_in_kernel_space|el1h?_\w+|arm64_serror_panic|fixup_exception\w*|print_bad_pte|check_new_pages?\w*|free_page_is_bad\w*|check_(?:object_size|heap_object|stack_object|bogus_address)|debug_(?:check_no_obj_freed|work_activate|smp_processor_id)|trace_(?:hardirqs|softirqs|preempt)_\w+|trace_\w*lock_\w+|save_trace|depot_\w+|set_track\w*|fail_dump|walk_stackframe|print_context_stack|rust_begin_unwind|rustc::rust_begin_unwind|<?core::.*|.*::panic_(?:fmt|const)\w*|rust_helper_BUG|x64_sys_call|ia32_sys_call|do_syscall_\w+|do_el0_svc|invoke_syscall\w*|x86_return_thunk|\w+_panic|\w*ass(?:ert)?_?fail\w*|add_taint|init_oops_id|el0_svc_common|vm_warn\w*|dump_(?:page|mm|vma|header)\w*|lookup_bug"
            }
            Self::Memory => {
                r"kstrto\w+|simple_strto\w+|v?sscanf|strim|skip_spaces|memparse|hex_dump_to_buffer|print_hex_dump\w*|bcmp|sg_copy_\w+|do_csum|csum_\w+|str(?:n?len|n?cpy|l?cpy|scpy|n?cmp|n?casecmp|n?str|l?cat|n?cat|r?chr|pbrk|spn|sep|nchr)\w*|sized_str\w*|raw_copy\w*|rep_(?:movs|stos)\w*|(?:clear|copy|zero)_(?:page|highpage|user_highpage|user_page)\w*|copy(?:out|in)(?:_\w+)?|copy_page_(?:to|from)_iter\w*|iterate_(?:and_advance|bvec|iovec)\w*|put_user\w*|get_user(?:_nocheck|_asm|_\d)?|string(?:_nocheck)?|pointer|widen_string|format_decode|hex_string|ip[46]?\w*_addr_string|symbol_string|resource_string|number|dev_v?printk_emit|(?:dev|netdev|pci)_(?:emerg|alert|crit|err|warn|notice|info|dbg)|dynamic_\w*dbg|read_once_\w+|write_once_\w+|read_word_at_a_time|(?:get|put)_unaligned\w*|unaligned_\w*|load_unaligned_zeropad|native_(?:read|write)_\w+|(?:raw_)?(?:read|write|in|out)s?[bwlq](?:_relaxed)?|logic_(?:in|out)\w+|io(?:read|write)\w+|find_(?:first|next|last)_\w*bit\w*|(?:arch_)?(?:test|set|clear|change)_bit\w*|test_and_\w+|crc\w+|jhash\w*|siphash\w*|xxh\w+|swab\d*|hash_(?:32|64|name)|full_name_hash|hashlen_string|virt_to_\w+|phys_addr|kallsyms_\w+|instrument_\w+|set_(?:precision|field_width)|bstr_printf"
            }
            Self::Alloc => {
                r"free_pages?(?:_ok|_prepare|_bulk|_exact|_nolock)?|do_k(?:malloc|free)\w*|do_slab_free|ksize|new_slab\w*|allocate_slab|free_slab\w*|discard_slab|free_large_\w+|(?:do_)?cache_(?:alloc|free|grow|flush|magazine)\w*|fallback_alloc|memcg_\w*slab\w*|get_freepointer\w*|vunmap\w*|v[mu]n?map_\w+|(?:folio|page)_alloc\w*|alloc_(?:frozen|contig)_\w+|get_free_pages?\w*|get_zeroed_page\w*|free_page|free_(?:frozen_|pcppages|one_page|the_page)\w*|prep_new_page|post_alloc_hook|rmqueue\w*|pcpu_\w+|warn_alloc\w*|create_object\w*|dma_pool_\w+|obj_cgroup_\w+|skb_(?:release|free)_\w+|sk_skb_reason_drop"
            }
            Self::Lock => {
                r"(?:arch_|raw_|instrument_)?atomic(?:64|_long)?_\w+|lock_text_start|raw_\w*lock\w*|(?:native|pv|xen)_(?:queued_spin|wait|kick)\w*|queued_(?:read|write)\w*|(?:spin|rwlock)_(?:bug|dump)|lock_(?:pin|contended|acquired|downgrade|set_class|sock\w*)|release_sock|mark_(?:lock|held|usage|irqflags)\w*|validate_chain|check_(?:prev|chain|deadlock|noncircular|irq|usage|wait|flags)\w*|find_usage\w*|bad_lock\w*|debug_check_no_locks\w*|debug_(?:spin|mutex|rt_mutex|rwsem)\w*|debug_locks_off|mutex_(?:spin|remove|optimistic|is|slow|can)\w*|(?:down|up)(?:_(?:interruptible|killable|timeout|common))?|percpu_(?:down|up)_\w+|cpus_read_\w+|rcu_(?:lock|read)_\w+|rcu_lockdep\w*|do_(?:read|write)_seq\w*|write_seq\w*|bit_spin_\w+|(?:prepare_to|finish|init|add|remove_from)_?wait\w*(?:_entry|_event|_exclusive)?|prepare_to_(?:swait|wait)\w*|wake_up(?:_(?:common|state|process|q|bit|var|interruptible|locked|sync|all|poll|key)\w*)?|complete(?:_all)?|swake_up\w*|try_to_wake_up|ttwu_\w+|task_rq_lock|nested_lock\w*|assert_\w*lock\w*|(?:kthread)_(?:stop|park)\w*|call_rwsem_\w+|local_(?:bh|irq|lock)_\w+"
            }
            Self::Container => {
                r"bitmap_(?:set|clear|find|weight|and|or|copy|zero|fill|empty|full|parse|list)\w*|(?:h|k|s|l)?list_\w+|rb_\w+|rht_\w+|xas_\w+|xa_\w+|idr_\w+|ida_\w+|mas_\w+|mtree_\w+|kobject_(?:get|put|add|del|init|cleanup|release|set|create)\w*|kset_(?:find|get|put)\w*|(?:get|put)_device|(?:raw|atomic|blocking|srcu)_notifier_\w+|skb_(?:put|push|pull|panic|over_panic|under_panic)\w*|iput|(?:fast_|retain_)?dput|folio_(?:un)?lock\w*|unlock_page|(?:folio|page)_(?:get|put|ref\w*)|(?:get|put)_page\w*|find_(?:lock|get)_(?:entr|page)\w*|truncate_inode_pages\w*|filemap_get_(?:entry|folio\w*)"
            }
            Self::Sched => {
                r"schedule\w*|io_schedule\w*|preempt_schedule\w*|do_nanosleep|cond_resched\w*|cant_migrate|(?:out_of_line_|wake_)?wait_(?:woken|event)\w*|out_of_line_wait\w*|swait\w*|msleep\w*|usleep\w*|freezing_slow_path|refrigerator|dequeue_task\w*|ptrace_(?:stop|notify|do_notify)\w*|(?:do_)?futex_wait_queue\w*|retint_kernel|(?:raw_)?irqentry_\w+|rwbase_\w+|rtlock_\w+|kernel_fpu_begin\w*"
            }
            Self::Wait => {
                r"submit_bio_wait|console_lock|wait_rcu_gp|exp_funnel_lock|do_read_cache_\w+|(?:folio|page)?_?lock_page\w*|folio_lock\w*|lock_buffer|percpu_ref_kill\w*|synchronize_irq|wait_extent_\w+|drain_workqueue|start_flush_work"
            }
            Self::Tick => {
                r"(?:_)?sched_show_task|dump_cpu_task|rcu_(?:dump|check|pending|gp_|is_watching|core|note|preempt_\w*qs)\w*|print_(?:cpu|other_cpu)_stall\w*|update_process_times|tick_\w+|run_hrtimer\w*|local_apic_timer_\w+|sysvec_\w+|asm_sysvec_\w+|asm_call_\w+|irq_exit\w*|smp_\w*interrupt\w*|watchdog\w*|arch_timer_\w+|handle_percpu_devid\w*|gic_handle_irq|handle_domain_irq|generic_handle\w*|do_softirq\w*|invoke_softirq|do_IRQ|handle_irq\w*|irq_\w+|ret_from_(?:fork|intr)\w*|kthread|call_on_irq_stack|do_interrupt_handler|el1_interrupt"
            }
            Self::Defer => {
                r"try_to_grab_pending|lock_timer_base|detach_(?:if_pending|timer)|timer_(?:is_static|fixup)\w*|try_to_del_timer\w*|(?:mod_)?queue_(?:delayed_)?work\w*|insert_work|debug_(?:timer|work|rcu_head)\w*|h?rtimer_(?:start|cancel|try_to_cancel|active|init)\w*|irq_work_queue\w*|tasklet_schedule\w*|(?:drain|destroy)_workqueue|start_flush_work"
            }
            Self::Core => {
                r"usb_(?:start_wait_urb|bulk_msg|control_msg\w*|internal_control_msg|interrupt_msg)|tty_(?:un)?register_device\w*|device_(?:add|del|register|unregister|release|create|destroy|initialize|for_each_child)\w*|get_device_parent|sysfs_\w+|dpm_sysfs_\w+|devres_release\w*|kobject_\w+|hwrng_(?:un)?register|i2c_del_adapter|usb_(?:submit|kill|unlink|poison|free)_(?:anchored_)?urbs?|cdev_(?:add|del|device_\w+)|driver_(?:un)?register|bus_(?:add|remove)_\w+|(?:drop|inc|clear|set)_nlink|mark_buffer_dirty\w*|proc_(?:register|mkdir\w*|create\w*)|remove_proc_\w+"
            }
            Self::Broker => {
                r"skb_(?:clone|copy|release|free|put|push|pull|ext|unref)\w*|pskb_\w+|build_skb\w*|sk_(?:free|destruct)|consume_skb|sock_(?:wmalloc|kmalloc)|getname\w*|d_alloc\w*|kobject_\w+|security_\w*alloc\w*|lsm_\w*alloc\w*"
            }
        }
    }
}

static TABLE: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let list = |family: &Family| {
        let (words, names) = (family.words().join("|"), family.names());
        Regex::new(&format!(
            "^(?:{names})$|(?:^|_)(?:{words})(?:_|\\d|$)|^(?:{names})_(?:noprof|nested|inline)$"
        ))
        .expect("a list of this module compiles")
    };
    Family::ALL.iter().map(list).collect()
});

/// Whether a function (in its canonical name) is a helper of one of the families.
pub(super) fn is_helper(function: &str, families: &[Family]) -> bool {
    let bare = function.trim_start_matches('_');
    families
        .iter()
        .any(|family| TABLE[*family as usize].is_match(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_told_from_the_guilty() {
        let check = |function: &str, family: Option<Family>| {
            let found: Vec<Family> = Family::ALL
                .into_iter()
                .filter(|f| is_helper(function, &[*f]))
                .collect();
            match family {
                Some(family) => assert!(found.contains(&family), "{function}: {found:?}"),
                None => assert!(found.is_empty(), "{function}: {found:?}"),
            }
        };
        check("__kasan_report", Some(Family::Report));
        check("kasan_check_range", Some(Family::Report));
        check("__asan_load8", Some(Family::Report));
        check("__sanitizer_cov_trace_pc", Some(Family::Report));
        check("__list_del_entry_valid", Some(Family::Container));
        check("refcount_warn_saturate", Some(Family::Container));
        check("_raw_spin_lock_irqsave", Some(Family::Lock));
        check("__mutex_lock", Some(Family::Lock));
        check("kmem_cache_free", Some(Family::Alloc));
        check("__alloc_pages_noprof", Some(Family::Alloc));
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
        check("_atomic_dec_and_lock_irqsave", Some(Family::Lock));
        check("__free_pages", Some(Family::Alloc));
    }
}
