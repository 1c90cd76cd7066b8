//! The names of helpers, a family at a time.
//!
//! Where the kernel names a whole group alike, the list has the word and not its members; where a
//! word would catch too much, it has whole names. Names of old kernels stand beside the new ones.

use super::{Family, Signs};

/// How a family's functions are told.
pub(super) fn signs(family: Family) -> Signs {
    match family {
        Family::Report => REPORT,
        Family::Memory => MEMORY,
        Family::Alloc => ALLOC,
        Family::Lock => LOCK,
        Family::Container => CONTAINER,
        Family::Defer => DEFER,
        Family::Object => OBJECT,
        Family::Sched => SCHED,
        Family::Wait => WAIT,
        Family::Rcu => RCU,
        Family::Tick => TICK,
        Family::Sock => SOCK,
        Family::Key => KEY,
        Family::Preempt => PREEMPT,
        Family::Tracked => TRACKED,
        Family::Free => FREE,
        Family::Broker => BROKER,
        Family::Buffer => BUFFER,
        Family::Conduit => CONDUIT,
        Family::Queue => QUEUE,
        Family::Urb => URB,
        Family::Proc => PROC,
        Family::Page => PAGE,
    }
}

const REPORT: Signs = Signs {
    parts: &[
        "walk_stack",
        "k(?:a|m|c)san",
        "hwasan",
        "sanitizer",
        "lockdep",
        "panic",
        "assert_?fail",
        "_trap$",
    ],
    words: &[
        "asan",
        "msan",
        "tsan",
        "ubsan",
        "dump_stack",
        "show_stack",
        "stack_walk",
        "show_trace",
        "dump_backtrace",
        "stack_trace_(?:save|consume)\\w*",
        "unwind_backtrace",
        "print_report",
        "print_address_description",
        "print_tainted",
        "warn_slowpath",
        "report_bug",
        "handle_bug",
        "fixup_bug",
        "debug_object",
        "check_memory_region",
        "indirect_thunk",
        "fortify_report",
        "perf_trace",
        "imbalance_bug",
        "should_fail",
        "fail_dump",
        "invalid_op",
        "do_error_trap",
        "do_trap",
        "do_error",
        "usercopy_abort",
        "usercopy_warn",
    ],
    names: &[
        "warn",
        "warn_(?:alloc|bogus|printk|thunk)\\w*",
        "report_\\w+_report",
        "print_(?:usage_bug|unlock|trailer|circular_bug|deadlock_bug|lock|irqtrace)\\w*",
        "check_(?:heap|stack|bogus)_?\\w*",
        "check_object\\w*",
        "check_(?:access|region_inline|bytes_and_report)\\w*",
        "(?:object|slab)_(?:err|bug|fix)\\w*",
        "memory_is_\\w+",
        "kfence_(?:report|handle)\\w*",
        "read_word_at_a_time",
        "(?:read|write)_once_\\w*nocheck\\w*",
        "ubsan_\\w+",
        "handle_overflow",
        "report_(?:fault|access|usercopy)\\w*",
        "val_to_string",
        "program_check_(?:exception|common)",
        "bug_handler",
        "call_break_hook",
        "(?:bug_)?brk_handler",
        "do_debug_exception",
        "handle_invalid_op",
        "rust_begin_unwind",
        "rust_helper_BUG",
        "__rustc::rust_begin_unwind",
        "oops_(?:begin|end|enter|exit)",
        "die(?:_body)?",
        "get_taint",
        "add_taint",
        "do_mem_abort",
        "do_(?:kernel|translation|tag_check|tag_recovery)_fault",
        "el1_(?:abort|da|sync)\\w*",
        "el1h_64_sync\\w*",
        "stack_chk_fail",
        "print_bad_pte",
        "bad_page\\w*",
        "save_stack_trace\\w*",
        "show_regs\\w*",
        "seqprop_assert",
    ],
};

const MEMORY: Signs = Signs {
    parts: &[
        "mem(?:cpy|cmp|set|chr|move|dup)",
        "str(?:n?cmp|[nls]?cpy|scpy|n?len|n?str|chr|n?dup)",
        "copy_(?:to|from)_(?:user|iter)",
        "copy_(?:page|folio)_(?:to|from)_iter",
        "sc?nprintf",
        "kv?asprintf",
        "printk",
        "string",
        "pointer",
        "(?:set|clear|change|test)_bit",
        "(?:read|write)[bwlq]$",
    ],
    words: &[
        "(?:put|get)_user",
        "hex_dump",
        "extract_(?:user|iter)_to_sg",
        "logic_(?:in|out)\\w*",
        "va_format",
    ],
    names: &[
        "copy(?:in|out)(?:_nofault)?",
        "raw_copy_\\w+",
        "(?:\\w+_)?(?:dev|netdev)_(?:emerg|alert|crit|err|warn|notice|info)",
        "crc\\d+\\w*",
        "crc_itu_t",
        "phys_addr(?:_symbol)?",
        "csum_partial\\w*",
        "rep_(?:movs|stos)\\w*",
        "v?sprintf",
        "format_decode",
        "clear_page(?:_\\w{3,4})?",
        "copy_page(?:_\\w{3,4})?",
        "kstrto\\w+",
        "simple_strto\\w+",
    ],
};

const ALLOC: Signs = Signs {
    parts: &[
        "[kv][mzc]alloc",
        "krealloc",
        "kmem_cache",
        "slab_",
        "alloc_page",
        "allocate_slab",
        "folio_(?:alloc|unlock)",
        "kfree_skb",
    ],
    words: &["kmemleak", "grab_cache_page_write_begin"],
    names: &[
        "kv?free(?:_const|_sensitive)?",
        "kzfree",
        "alloc_frozen_pages",
        "new_slab\\w*",
        "(?:un)?lock_page",
        "filemap_(?:alloc|get)_folio",
        "find_or_create_page",
        "pagecache_get_page",
        "do_read_cache_(?:page|folio)",
        "read_cache_page\\w*",
        "cache_(?:alloc|free|grow|flusharray)\\w*",
        "fallback_alloc",
        "create_object\\w*",
    ],
};

const LOCK: Signs = Signs {
    parts: &[
        "spin_(?:lock|trylock|unlock)",
        "(?:read|write)_(?:lock|trylock|unlock)",
        "down_(?:read|write|trylock)",
        "up_(?:read|write)",
        "lock_(?:acquire|release|class)",
        "mark_lock",
        "bh_(?:enable|disable)",
        "atomic(?:64)?_(?:dec|inc|read|set|or|xor|and|add|sub|fetch|xchg|cmpxchg|try)",
        "might_(?:fault|sleep|resched)",
        "wait_for_completion",
        "ref_tracker",
        "osq_(?:lock|unlock)",
        "__wake_up",
        "owner_on_cpu",
        "raw_spin_rq",
        "finish_wait",
        "kthread_stop",
        "(?:trace|lockdep)_(?:hard|soft)irq",
    ],
    words: &[],
    names: &[
        "down",
        "complete",
        "(?:rt_)?mutex_\\w+",
        "refcount_\\w+",
        "kref_\\w+",
        "(?:reacquire|mark)_held_locks",
        "check_(?:prev|chain|noncircular|irq_usage|usage|wait_context|deadlock)\\w*",
        "validate_chain",
        "mark_(?:usage|irqflags)",
        "valid_state",
    ],
};

const CONTAINER: Signs = Signs {
    parts: &[
        "list_(?:add|del|replace|move|splice)",
        "rhashtable_lookup",
        "find_lock_entries",
        "truncate_inode_pages_range",
    ],
    words: &[],
    names: &["rb_\\w+", "klist_\\w+", "xas_(?:start|load|find)\\w*", "ida_free"],
};

const DEFER: Signs = Signs {
    parts: &[
        "del_timer",
        "flush_work",
        "queue_work",
        "queue_delayed_work_on",
        "cancel_work_(?:sync|timer)",
        "__cancel_work",
        "__queue_delayed_work",
        "__mod_timer",
        "(?:drain|destroy)_workqueue",
    ],
    words: &[],
    names: &[
        "insert_work",
        "try_to_grab_pending",
        "lock_timer_base",
        "(?:timer|work)_is_static_object",
        "timer_delete_sync",
        "sk_stop_timer_sync",
        "cleanup_srcu_struct",
    ],
};

const OBJECT: Signs = Signs {
    parts: &[
        "kobject_",
        "dput",
        "device_(?:add|del|unregister|destroy|release)",
        "unregister_netdev",
        "sysfs_remove",
        "usb_(?:control_msg|hcd_submit_urb|submit_urb|kill_urb|kill_anchored_urbs)",
    ],
    words: &[
        "add_uevent_var",
        "rollback_registered",
        "device_remove_file",
        "device_for_each_child",
    ],
    names: &[
        "i(?:put|put_final|hold)",
        "drop_nlink",
        "mark_buffer_dirty",
        "put_device",
        "get_device_parent",
        "devres_release_all",
        "hwrng_unregister",
        "i2c_del_adapter",
        "unregister_client",
        "tty_unregister_device",
        "dummy_urb_enqueue",
    ],
};

const SCHED: Signs = Signs {
    parts: &["schedule", "retint_kernel"],
    words: &[],
    names: &["context_switch", "switch_to\\w*", "preempt_\\w+"],
};

const WAIT: Signs = Signs {
    parts: &[
        "sched",
        "_(?:slow)?lock",
        "down",
        "rwsem",
        "completion",
        "kthread",
        "wait",
        "synchronize",
        "context_switch",
        "__switch_to",
        "cancel_delayed_work",
        "rcu_barrier",
    ],
    words: &[],
    names: &[],
};

const RCU: Signs = Signs {
    parts: &["rcu", "kmem", "slab"],
    words: &[],
    names: &[],
};

const TICK: Signs = Signs {
    parts: &["rcu", "apic_timer_interrupt"],
    words: &[],
    names: &[],
};

const SOCK: Signs = Signs {
    parts: &["lock_sock", "release_sock"],
    words: &[],
    names: &[],
};

const KEY: Signs = Signs {
    parts: &["stack", "lock", "IRQ"],
    words: &[],
    names: &["spin_(?:bug|dump)"],
};

const PREEMPT: Signs = Signs {
    parts: &["preempt", "debug_", "processor_id", "this_cpu"],
    words: &[],
    names: &[],
};

const TRACKED: Signs = Signs {
    parts: &[
        "debug_", "rcu", "hrtimer_", "timer_", "work_", "percpu_", "__free_",
    ],
    words: &[],
    names: &[],
};

const FREE: Signs = Signs {
    parts: &["kfree", "vunmap", "vfree", "slab_"],
    words: &[],
    names: &[],
};

const BROKER: Signs = Signs {
    parts: &["alloc", "mmap", "kmem", "slab", "create_object"],
    words: &["idr_get", "list_lru_init", "pcpu_create"],
    names: &[],
};

const BUFFER: Signs = Signs {
    parts: &["^skb_"],
    words: &[],
    names: &[],
};

const CONDUIT: Signs = Signs {
    parts: &["alloc_skb", "_encrypt$", "^(?:crypto|cipher|drbg|rng)_"],
    words: &[],
    names: &["netlink_(?:ack|rcv_skb)"],
};

const QUEUE: Signs = Signs {
    parts: &["process_one_work"],
    words: &[],
    names: &["process_scheduled_works"],
};

const URB: Signs = Signs {
    parts: &["usb_(?:submit_urb|start_wait_urb|bulk_msg|interrupt_msg|control_msg)"],
    words: &[],
    names: &["usb_internal_control_msg"],
};

const PROC: Signs = Signs {
    parts: &["proc_"],
    words: &[],
    names: &[],
};

const PAGE: Signs = Signs {
    parts: &[
        "(?:free|put|get|update|release)_page",
        "free_unref",
        "^_*folio",
        "truncate_inode_pages",
        "page_frag_free",
        "alloc",
        "vmap",
        "page_owner",
    ],
    words: &["page_table_check"],
    names: &["post_alloc_hook", "prep_new_page", "get_page_from_freelist"],
};
