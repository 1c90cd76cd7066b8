//! Faults, failed assertions, panics, and whatever else begins with `BUG: `.

use super::{ASSERT, ATOMIC, FAULT, PAGES};
use crate::console::Kind;
use crate::console::rule::{Blame, Rule, Stands, from_kernel, rule, when};

pub(super) const RULES: &[Rule] = &[
    when(
        Stands::Preface,
        rule(
            Kind::Oops,
            r"^list_(?:add|del) corruption",
            "BUG: corrupted list in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])[Kk]ernel BUG at (?:\S*/)?(?:lib/list_debug\.c:\d+|__list_(?:add|del)_[\w.]+\+0x)",
            "BUG: corrupted list in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])[Kk]ernel BUG at (?:\S*/)?(?:mm/usercopy\.c:\d+|usercopy_abort[\w.]*\+0x)",
            "BUG: bad usercopy in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])[Kk]ernel BUG at (?:\S*/)?(?:mm/page_table_check\.c:\d+|_*page_table_check_[\w.]+\+0x)",
            "BUG: page table check failed in {f}",
            Blame::Trap,
            PAGES,
        ),
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])[Kk]ernel BUG at (?:\S+:\d+|(?P<f>\S+\+0x\S+))",
            "kernel BUG in {f}",
            Blame::Trap,
            ASSERT,
        ),
    ),
    rule(
        Kind::Oops,
        r"(?:^|[^\w\x22\x27`=(/])[Uu]nable to handle kernel NULL pointer dereference|^BUG: (?:kernel |Kernel )NULL pointer dereference",
        "BUG: unable to handle kernel NULL pointer dereference in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"(?:^|[^\w\x22\x27`=(/])[Uu]nable to handle kernel access to user memory",
        "BUG: unable to handle kernel access to user memory in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"(?:^|[^\w\x22\x27`=(/])[Uu]nable to handle (?:kernel paging request|page fault for address|kernel (?:data|unaligned) access|kernel execution of user|kernel instruction fetch|kernel fault|kernel pointer dereference)",
        "BUG: unable to handle kernel paging request in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"^Unable to handle kernel .* at (?:virtual )?address",
        "BUG: unable to handle kernel paging request in {f}",
        Blame::Trap,
        FAULT,
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"general protection fault(?:\b.*\[#\d+\]|: \d{4}|, probably for)",
            "general protection fault in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    rule(
        Kind::Oops,
        r"^(?:traps: )?PANIC: double fault",
        "PANIC: double fault in {f}",
        Blame::Trap,
        FAULT,
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"^(?:Oops: )?double fault: [0-9a-f]{4} \[#",
            "PANIC: double fault in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    rule(
        Kind::Oops,
        r"^PANIC: early exception",
        "PANIC: early exception in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"^CFI failure at (?P<f>\S+\+0x\S+)",
        "CFI failure in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"^BUG: (?:\w+ )?stack guard page was hit",
        "BUG: stack guard page was hit in {f}",
        Blame::Entry,
        FAULT,
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"^[Kk]ernel stack overflow|^Insufficient stack space to handle exception",
            "kernel stack overflow in {f}",
            Blame::Entry,
            FAULT,
        ),
    ),
    rule(
        Kind::Oops,
        r"^Unhandled fault: .* at 0x",
        "Unhandled fault in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"^Unhandled prefetch abort: .* at 0x",
        "Unhandled prefetch abort in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"^Alignment trap: (?:not handling|\S+ \(\d+\) PC=)",
        "Alignment trap in {f}",
        Blame::Trap,
        FAULT,
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"^Internal error: .*\[#\d+\]",
            "Internal error in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    // mips and riscv say no more of a failed assertion.
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"^Kernel (?:bug detected|BUG) ?\[#\d+\]",
            "kernel BUG in {f}",
            Blame::Trap,
            ASSERT,
        ),
    ),
    // Old kernels wrote the trap's name as a symbol.
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"(?:^|Oops: |traps: |[a-z])divide[ _]error(?:,[^:]*)?: [0-9a-f]{4} \[#\d+\]",
            "divide error in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    // s390.
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"^([a-z][a-z /-]+): [0-9a-f]{4} ilc:\d \[#\d+\]",
            "{1} in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"(?:^|Oops: |traps: |[a-z])(invalid opcode|stack segment|int3|bounds|alignment check|segment not present|invalid TSS|overflow|coprocessor \w+|control protection|device not available|SIMD exception|debug)(?:,[^:]*)?: [0-9a-f]{4} \[#\d+\]",
            "{1} in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Trap,
        rule(
            Kind::Oops,
            r"^Oops(?: -[^:]*)?: (?:.*\[#\d+\]|.*sig: \d+)|^Oops(?: ?- ?[\w ,/()-]+)? ?\[#\d+\]|^[A-Z][\w ,/()-]*\bkernel\b[\w ,/()-]*\w\[#\d+\]:",
            "Oops in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Detail,
        rule(
            Kind::Oops,
            r"^(attempt to (?:add|subtract|multiply|divide|negate|shift \w+) with overflow|index out of bounds|called `\w+::\w+\(\)` on an? `\w+` value)",
            "{1} in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    when(
        Stands::Preface,
        rule(
            Kind::Oops,
            r"^rust_kernel: panicked at ",
            "Rust panic in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    rule(
        Kind::Oops,
        r"^VFS: Close: file count is (?:zero|0)",
        "VFS: Close: file count is zero (use-after-free)",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^VFS: Busy inodes after (?:un|re)?mount",
        "VFS: Busy inodes after unmount (use-after-free)",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^BUG: Dentry \S+ +still in use \(\d+\) \[(unmount)",
        "BUG: Dentry still in use in {1}",
        Blame::Nobody,
        &[],
    ),
    when(
        Stands::Aftermath,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])Kernel panic - not syncing: (Fatal exception)",
            "kernel panic: {1}",
            Blame::Nobody,
            &[],
        ),
    ),
    when(
        Stands::Aftermath,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])Kernel panic - not syncing: ((?:\S+: )?panic_on_(?:warn|oops|taint|rcu_stall|io_nmi|unrecovered_nmi)|hung_task|softlockup|RCU Stall|Hard LOCKUP|Machine halted|Fatal hardware error|Aiee, killing interrupt handler)",
            "kernel panic: {1}",
            Blame::Nobody,
            &[],
        ),
    ),
    rule(
        Kind::Oops,
        r"(?:^|[^\w\x22\x27`=(/])Kernel panic - not syncing: (?:stack-protector: )?[Kk]ernel stack is corrupted in:? ?(?P<f>\S+)?",
        "kernel panic: stack is corrupted in {f}",
        Blame::Header,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"(?:^|[^\w\x22\x27`=(/])Kernel panic - not syncing: corrupted stack end detected",
        "kernel panic: corrupted stack end in {f}",
        Blame::Entry,
        ATOMIC,
    ),
    when(
        Stands::Panic,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])Kernel panic - not syncing: (VFS: Unable to mount root fs)",
            "kernel panic: {1}",
            Blame::Nobody,
            &[],
        ),
    ),
    when(
        Stands::Panic,
        rule(
            Kind::Oops,
            r"(?:^|[^\w\x22\x27`=(/])Kernel panic - not syncing: ((?:[\w -]+ \(device [^)]*\)(?:: )?)?(?:.*?!|.*?))(?:\.\.\.|\.|:| for .*| exitcode=.*|$)",
            "kernel panic: {1}",
            Blame::Nobody,
            &[],
        ),
    ),
    // Not the kernel, but the end of the test all the same: what a fuzzer says when it breaks.
    rule(
        Kind::Oops,
        r"^(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?(SYZ(?:FAIL|FATAL): .*)",
        "{1}",
        Blame::Nobody,
        &[],
    ),
    // What is left: lines that the kernel itself begins with `BUG: `.
    from_kernel(rule(
        Kind::Oops,
        r"^BUG: ([A-Za-z].*)",
        "BUG: {1}",
        Blame::Nobody,
        &[],
    )),
];
