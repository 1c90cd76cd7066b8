//! The names of helpers that are innocent of certain kinds of report only.

use super::Signs;

/// Read-copy-update by any name, but no circular one.
const RCU_WORD: &str = "(?:^|_)\\w?rcu|rcu(?:_|$)";

pub(super) const SCHED: Signs = Signs {
    parts: &["schedule", "retint_kernel"],
    words: &[],
    names: &[
        "context_switch",
        "switch_to\\w*",
        "preempt_\\w+",
        "cond_resched\\w*",
        "(?:do_)?wait_for_common",
    ],
};

pub(super) const WAIT: Signs = Signs {
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

pub(super) const RCU: Signs = Signs {
    parts: &[RCU_WORD, "kmem", "slab"],
    words: &[],
    names: &[],
};

pub(super) const TICK: Signs = Signs {
    parts: &[RCU_WORD, "apic_timer_interrupt"],
    words: &[],
    names: &[],
};

pub(super) const SOCK: Signs = Signs {
    parts: &["lock_sock", "release_sock"],
    words: &[],
    names: &[],
};

pub(super) const KEY: Signs = Signs {
    parts: &["stack", "lock", "IRQ"],
    words: &[],
    names: &["spin_(?:bug|dump)"],
};

pub(super) const SPIN: Signs = Signs {
    parts: &["spin_", "_lock", "_unlock"],
    words: &["rwlock_bug"],
    names: &[],
};

pub(super) const PREEMPT: Signs = Signs {
    parts: &["preempt", "debug_", "processor_id", "this_cpu"],
    words: &[],
    names: &[],
};

pub(super) const TRACKED: Signs = Signs {
    parts: &["debug_", RCU_WORD, "percpu_", "__free_"],
    words: &[],
    names: &[
        "(?:init_)?(?:hr)?timer_\\w+",
        "(?:delayed_)?work_\\w+",
        "destroy_(?:hr)?timer_on_stack",
        "init_(?:timer|work)\\w*",
    ],
};

pub(super) const FREE: Signs = Signs {
    parts: &["kfree", "vunmap", "vfree", "slab_"],
    words: &[],
    names: &["free_(?:frozen_)?pages\\w*", "free_unref_\\w+"],
};

pub(super) const BROKER: Signs = Signs {
    parts: &["alloc", "mmap", "kmem", "slab", "create_object"],
    words: &["idr_get", "list_lru_init", "pcpu_create"],
    names: &[],
};

pub(super) const BUFFER: Signs = Signs {
    parts: &["^skb_"],
    words: &[],
    names: &[],
};

pub(super) const CONDUIT: Signs = Signs {
    parts: &["alloc_skb", "_encrypt$", "^(?:crypto|cipher|drbg|rng)_"],
    words: &[],
    names: &["netlink_(?:ack|rcv_skb)"],
};

pub(super) const QUEUE: Signs = Signs {
    parts: &["process_one_work"],
    words: &[],
    names: &["process_scheduled_works"],
};

pub(super) const URB: Signs = Signs {
    parts: &["usb_(?:submit_urb|start_wait_urb|bulk_msg|interrupt_msg|control_msg)"],
    words: &[],
    names: &["usb_internal_control_msg"],
};

pub(super) const PROC: Signs = Signs {
    parts: &["proc_"],
    words: &[],
    names: &[],
};

pub(super) const PAGE: Signs = Signs {
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
    names: &[
        "post_alloc_hook",
        "prep_new_page",
        "get_page_from_freelist",
        "check_new_pages?\\w*",
        "free_tail_page\\w*",
        "filemap_free_folio",
        "free_frozen_pages\\w*",
        "free_pages_(?:prepare|ok)\\w*",
        "free_pcp_prepare",
        "free_pcppages_bulk",
        "free_one_page",
    ],
};
