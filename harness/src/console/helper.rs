//! General lists of functions that notice a bug but are not guilty of it.
//!
//! Names are matched without their leading underscores. The lists say what a function *is* (a lock,
//! a list primitive, a sanitizer hook …); none knows about a certain bug or log.

use std::sync::LazyLock;

use regex::Regex;

/// A family of helpers; a rule says which families may not be blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Printing a report, taking a trap, sanitizer hooks.
    Report,
    /// Copying, comparing, formatting memory.
    Memory,
    /// Getting and freeing memory.
    Alloc,
    /// Locks, atomics, waiting primitives and their checkers.
    Lock,
    /// Lists, trees, bitmaps, counters.
    Container,
    /// Giving up the CPU and being woken.
    Sched,
    /// The timer interrupt and cross-CPU machinery by which a stall is noticed.
    Tick,
    /// Deferring work: timers, work queues, RCU callbacks.
    Defer,
    /// Registering with a subsystem's core, and leaving it.
    Device,
    /// Who gives memory out on behalf of others: socket buffers and their like.
    Broker,
}

const REPORT: &str = r"perf_trace_\w+|trace_event_(?:raw_event|buffer)\w*|perf_(?:trace_run|tp_event)\w*|trace_\w*lock_\w+|x86_indirect_thunk_\w+|x86_return_thunk|\w+_panic|\w*ass(?:ert)?_?fail\w*|print_tainted|add_taint|init_oops_id|warn_bogus_irq_restore|fortify_(?:report|panic)|rustc::rust_begin_unwind|x64_sys_call|do_syscall_\w+|dump_stack\w*|dump_trace|show_(?:stack|trace|regs)\w*|(?:dump|unwind)_backtrace|backtrace|print_(?:address_description|report|usage_bug|lock\w*|circular_bug|deadlock_bug|bad_irq_dependency|trailer|unlock_imbalance_bug|trace)\w*|object_err|slab_err|slab_(?:bug|fix)|(?:hw|k)?asan_\w+|k?msan_\w+|metadata_\w+|kcsan_\w+|tsan_\w+|kfence_\w+|ubsan_\w+|sanitizer_\w+|write_comp_data|check_(?:memory_region|access)\w*|memory_is_poisoned\w*|report_(?:bug|fault|access|overflow|enabled|div_overflow)\w*|handle_(?:bug|overflow)|val_to_string|bug_(?:handler|at)\w*|call_break_hook|brk_handler|bug_brk_handler|kasan_handler|do_debug_exception|warn|warn_(?:slowpath|printk|thunk)\w*|v?panic|nmi_panic|check_panic_on_warn|crash_kexec|machine_kexec|stack_chk_fail|oops_\w+|die\w*|do_trap\w*|do_error_trap|do_invalid_op|invalid_op|do_general_protection|general_protection|do_divide_error|divide_error|do_double_fault|double_fault|df_debug|handle_stack_overflow|handle_bad_stack|panic_bad_stack|panic_other_stack|bad_mode|bad_el0_sync|exc_\w+|asm_exc_\w+|error_entry|error_code|common_exception\w*|common_interrupt|idtentry_\w+|noist_exc\w*|do_(?:page|user_addr|kern_addr|kernel|translation|tag_check|alignment|bad_area|sp_pc|sync_abort)_?fault\w*|do_(?:DataAbort|PrefetchAbort|mem_abort|undefinstr|el0_undef|el1_undef|sea|bad|bad_area|serror|alignment|sp_pc_abort)|\w*page_fault\w*|bad_area\w*|bad_kernel_trap|no_context|fault_in_kernel_space|mmput_async|spurious_\w*fault|el1h?_\w+|arm64_serror_panic|fixup_(?:bug|exception)\w*|bad_page\w*|print_bad_pte|check_new_pages?\w*|free_page_is_bad\w*|page_table_check_\w*|usercopy_(?:abort|warn)|report_usercopy|check_(?:object_size|heap_object|stack_object|bogus_address)|page_counter_\w+|debug_print_object|debug_object_\w+|debug_check_no_obj_freed|debug_(?:work|timer|hrtimer|rcu)\w*|debug_smp_processor_id|this_cpu_preempt_check|check_preemption_disabled|trace_hardirqs_\w+|trace_raw_\w+|save_stack\w*|save_trace|stack_(?:trace|depot)\w*|depot_\w+|arch_stack_walk|set_track\w*|should_fail\w*|fail_dump|vm_bug|mce_\w+|rust_begin_unwind|<?core::.*|.*::panic_(?:fmt|const)\w*|rust_helper_BUG";

const MEMORY: &str = r"(?:raw_)?(?:read|write|in|out)s?[bwlq](?:_relaxed)?|logic_(?:in|out)\w+|io(?:read|write)\w+|(?:simple_)?copy_(?:to|from)_iter\w*|copy(?:out|in)(?:_\w+)?|copy_page_(?:to|from)_iter\w*|iov_iter_\w+|iterate_(?:and_advance|bvec|iovec)\w*|crc\w+|mem(?:cpy|set|move|cmp|chr|scan|zero)\w*|str(?:n?len|n?cpy|l?cpy|scpy|n?cmp|n?casecmp|n?str|l?cat|n?cat|r?chr|pbrk|spn|sep|n?chr|dup)\w*|strndup_user|sized_str\w*|memdup_user\w*|\w*copy_(?:to|from)_user\w*|(?:raw_)?copy_(?:in_user|user)\w*|copy_user\w*|inline_copy\w*|arch_copy_\w+|csum_(?:partial|and_copy)\w*|rep_(?:movs|stos)\w*|(?:clear|copy)_(?:page|highpage|user_highpage)(?:_\w+)?|put_user\w*|get_user_(?:nocheck|asm)\w*|v?s[cn]*printf|string|string_nocheck|pointer|widen_string|format_decode|hex_string|ip[46]?\w*_addr_string|symbol_string|resource_string|number|vprintk\w*|printk\w*|kvasprintf\w*|kasprintf|(?:dev|netdev)_printk\w*|dev_v?printk_emit|_?dev_(?:emerg|alert|crit|err|warn|notice|info|dbg)|dynamic_\w*dbg|(?:wild_)?memory_\w*poison\w*|read_once_\w+|write_once_\w+|read_word_at_a_time|get_unaligned\w*|put_unaligned\w*|unaligned_\w*|native_(?:read|write)_\w+|load_unaligned_zeropad|find_(?:first|next|last)_\w*bit\w*|bitmap_\w+|jhash\w*|swab\d*|hash_(?:32|64|name)|virt_to_\w+|phys_addr|instrument_\w+|kallsyms_\w+|refill_obj_stock";

const ALLOC: &str = r"skb_(?:release|free)_\w+|k[mzc]alloc\w*|kmem_cache_\w+|kmemdup\w*|kstr(?:n?dup)\w*|kv?[mz]?alloc\w*|kv?z?free\w*|kfree\w*|krealloc\w*|ksize|do_k(?:malloc|free)\w*|do_slab_free|slab_(?:alloc|free|post|pre|pad|want)\w*|_*slab_(?:alloc|free)\w*|new_slab\w*|allocate_slab|alloc_slab\w*|free_slab\w*|discard_slab|(?:cache|fallback|do_cache)_(?:alloc|free|grow|flusharray)\w*|cache_(?:alloc|free|grow|flush)\w*|memcg_\w*slab\w*|get_freepointer\w*|vm?alloc(?:_\w+)?|vz?alloc\w*|vmalloc_\w+|vfree\w*|vunmap\w*|v[mu]n?map_\w+|alloc_pages?\w*|(?:folio|page)_alloc|alloc_frozen_pages\w*|get_free_pages?\w*|get_zeroed_page\w*|free_pages?\w*|free_(?:frozen_|unref_)\w*|free_one_page|free_pcppages\w*|free_the_page|get_page_from_freelist|prep_new_page|rmqueue\w*|mempool_\w+|pcpu_\w+|warn_alloc\w*|create_object\w*|kmemleak_\w+|dma_pool_\w+|dev[mr]_k[mz]?alloc\w*|devm_kmalloc\w*|obj_cgroup_\w+";

const LOCK: &str = r"local_bh_(?:en|dis)able\w*|call_rwsem_\w+|lock_sock\w*|release_sock|kthread_(?:stop|park)\w*|wait_for_(?:completion|common)\w*|\w+_(?:write|read)_lock\w*|(?:do_)?raw_(?:spin|read|write|r?w?lock)\w*|raw_\w*lock\w*|(?:native|pv|xen)_(?:queued_spin|wait|kick)\w*|queued_(?:spin|read|write)\w*|(?:spin|read|write|rspin)_(?:un|try)?lock\w*|spin_(?:bug|dump)|rwlock_bug|lock_(?:acquire|release|is_held|pin|contended|acquired|downgrade|set_class)\w*|lockdep_\w+|mark_(?:lock|held|usage|irqflags)\w*|validate_chain|check_(?:prev|chain|deadlock|noncircular|irq|usage|wait)\w*|look_up_lock_class|(?:register|assign)_lock_(?:class|key)|find_usage\w*|bad_lock\w*|debug_check_no_locks\w*|debug_(?:spin|mutex|rt_mutex|rwsem)\w*|debug_locks_off|(?:rt_|ww_)?mutex_(?:lock|unlock|trylock|spin|remove|optimistic|is|slow|can)\w*|down|up|down_(?:read|write|trylock|interruptible|killable|timeout)\w*|up_(?:read|write)\w*|rwsem_\w+|percpu_(?:down|up)_\w+|percpu_rwsem_\w+|might_(?:sleep|resched|fault)\w*|rcu_(?:lock|read)_\w+|rcu_lockdep\w*|seqcount_\w+|seqprop_\w+|do_(?:read|write)_seq\w*|write_seq\w*|bit_spin_\w+|(?:arch_)?atomic\w*|arch_\w*xchg\w*|test_and_\w+|(?:add|prepare_to|finish|init|remove_from)_?wait\w*|prepare_to_(?:swait|wait)\w*|wake_up(?:_(?:common|state|process|q|bit|var|interruptible|locked|sync|all|poll|key)\w*)?|complete(?:_all)?|swake_up\w*|try_to_wake_up|ttwu_\w+|task_rq_lock|x?chg\w*|cmpxchg\w*|nested_lock\w*|assert_\w*lock\w*|cond_resched_lock";

const CONTAINER: &str = r"find_(?:lock|get)_(?:entr|page)\w*|truncate_inode_pages\w*|filemap_get_(?:entry|folio\w*)|folio_(?:un)?lock\w*|unlock_page|(?:folio|page)_(?:get|put|ref\w*)|(?:get|put)_page\w*|skb_(?:put|push|pull|panic|over_panic|under_panic)\w*|iput|(?:fast_|retain_)?dput|lockref_\w+|(?:h|k|q|s|l)?list_\w+|hlist_\w+|h?list_(?:add|del)\w*|llist_\w+|rb_\w+|rbt_\w+|rhashtable_\w+|rht_\w+|radix_tree_\w+|xas_\w+|xa_\w+|idr_\w+|ida_\w+|mas_\w+|interval_tree_\w+|refcount_\w+|kref_\w+|kobject_(?:get|put|add|del|init|cleanup|release|set)\w*|kset_(?:find|get|put)\w*|get_device|put_device|percpu_ref_\w+|percpu_counter_\w+|klist_\w+|plist_\w+|notifier_(?:call|chain)\w*|(?:raw|atomic|blocking|srcu)_notifier_\w+";

const SCHED: &str = r"console_lock|rcu_barrier\w*|wait_rcu_gp|exp_funnel_lock|schedule\w*|io_schedule\w*|preempt_schedule\w*|do_(?:wait_for_common|nanosleep)|wait_for_(?:common|completion)\w*|context_switch|switch_to\w*|schedule_debug|schedule_bug|cond_resched\w*|cant_migrate|(?:bit_|out_of_line_|wake_)?wait_(?:on|woken|event)\w*|wait_on_(?:bit|page|folio|buffer)\w*|bit_wait\w*|out_of_line_wait\w*|folio_wait_\w*|folio_lock\w*|lock_page\w*|folio_wait_bit\w*|swait\w*|msleep\w*|usleep\w*|freezing_slow_path|refrigerator|kthread_(?:park|stop)\w*|percpu_ref_kill\w*|flush_work\w*|flush_workqueue\w*|start_flush_work|drain_workqueue|flush_delayed_work|cancel_(?:delayed_)?work\w*|synchronize_irq|(?:rt_)?spin_lock\w*|rwbase_\w+|rtlock_\w+|rt_mutex\w*|fault_in_\w+|rcu_note_context_switch|dequeue_task\w*|ptrace_(?:stop|notify|do_notify)\w*|(?:do_)?futex_wait_queue\w*|retint_kernel|irqentry_\w+|raw_irqentry_\w+";

const TICK: &str = r"nmi_\w+|arch_trigger_\w+|trigger_\w*backtrace\w*|(?:_)?sched_show_task|dump_cpu_task|rcu_(?:dump|check|sched_clock|pending|gp_|is_watching|core|preempt_\w*qs)\w*|print_(?:cpu|other_cpu)_stall\w*|check_cpu_stall\w*|update_process_times|tick_\w+|h?rtimer_(?:interrupt|run)\w*|run_hrtimer\w*|local_apic_timer_\w+|\w*apic_timer_interrupt\w*|sysvec_\w+|asm_sysvec_\w+|irq_exit\w*|irqentry_\w+|smp_\w*interrupt\w*|watchdog\w*|perf_event_nmi\w*|arch_timer_\w+|handle_percpu_devid\w*|gic_handle_irq|handle_domain_irq|generic_handle\w*|do_softirq\w*|invoke_softirq|do_IRQ|handle_irq\w*|irq_\w+|ret_from_(?:fork|intr)\w*|kthread|(?:end_)?repeat_nmi|default_do_nmi|do_nmi|first_nmi";

const DEFER: &str = r"flush_(?:delayed_)?work\w*|start_flush_work|drain_workqueue|destroy_workqueue|(?:k?v?free_)?call_s?rcu\w*|(?:del|mod|add|try_to_del|timer_delete|timer_shutdown)_?timer\w*|timer_(?:delete|shutdown|is_static|fixup)\w*|try_to_grab_pending|cancel_work_\w+|lock_timer_base|detach_(?:if_pending|timer)|(?:mod_)?queue_(?:delayed_)?work\w*|insert_work|debug_(?:timer|work|rcu_head)\w*|h?rtimer_(?:start|cancel|try_to_cancel|active|init)\w*|irq_work_queue\w*|tasklet_schedule\w*";

const DEVICE: &str = r"device_(?:add|del|register|unregister|release|create|initialize|for_each_child)\w*|get_device_parent|sysfs_\w+|dpm_sysfs_\w+|devres_release\w*|kobject_\w+|hwrng_(?:un)?register|i2c_del_adapter|unregister_client|rollback_registered\w*|unregister_netdevice\w*|usb_(?:submit|kill|unlink|poison|free)_(?:anchored_)?urbs?|cdev_(?:add|del|device_\w+)|driver_(?:un)?register|bus_(?:add|remove)_\w+";

const BROKER: &str = r"\w+_z?alloc(?:_(?:node|gfp|info))?|alloc_skb\w*|(?:netdev_|napi_|dev_)?alloc_skb\w*|build_skb\w*|skb_(?:clone|copy|release|free|put|push|pull|over_panic|under_panic|panic|ext|unref)\w*|pskb_\w+|sk_(?:alloc|prot_alloc|clone\w*|free|destruct)|consume_skb|sock_(?:wmalloc|alloc_send_\w+|kmalloc)|bpf_(?:map_(?:area|kmalloc|kzalloc)|prog_alloc)\w*|prot_alloc|getname\w*|d_alloc\w*|seq_buf_alloc|kobject_\w+|anon_vma_\w+|alloc_workqueue\w*|alloc_percpu\w*|security_\w*alloc\w*|lsm_\w*alloc\w*|inode_alloc\w*";

struct Table {
    report: Regex,
    memory: Regex,
    alloc: Regex,
    lock: Regex,
    container: Regex,
    sched: Regex,
    tick: Regex,
    broker: Regex,
    defer: Regex,
    device: Regex,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let whole = |p: &str| Regex::new(&format!("^(?:{p})$")).expect("a list of this module compiles");
    Table {
        report: whole(REPORT),
        memory: whole(MEMORY),
        alloc: whole(ALLOC),
        lock: whole(LOCK),
        container: whole(CONTAINER),
        sched: whole(SCHED),
        tick: whole(TICK),
        broker: whole(BROKER),
        defer: whole(DEFER),
        device: whole(DEVICE),
    }
});

/// Whether a function (in its canonical name) is a helper of one of the families.
pub(super) fn is_helper(function: &str, families: &[Family]) -> bool {
    let bare = function.trim_start_matches('_');
    families.iter().any(|family| {
        let list = match family {
            Family::Report => &TABLE.report,
            Family::Memory => &TABLE.memory,
            Family::Alloc => &TABLE.alloc,
            Family::Lock => &TABLE.lock,
            Family::Container => &TABLE.container,
            Family::Sched => &TABLE.sched,
            Family::Tick => &TABLE.tick,
            Family::Broker => &TABLE.broker,
            Family::Defer => &TABLE.defer,
            Family::Device => &TABLE.device,
        };
        list.is_match(bare)
    })
}
