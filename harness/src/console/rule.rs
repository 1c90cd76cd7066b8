//! What a report's first line looks like, and where its blame is found.
//!
//! A rule says nothing about how lines are read (`line`) or stacks parsed (`frame`). Order matters:
//! the first rule whose header matches a line names it, so the narrow ones stand before the wide.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Kind;
use super::helper::Family;

/// Where the guilty function of a report is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The report is about no function in particular.
    Nobody,
    /// The first frame that is not a helper: header, stack.
    Stack,
    /// The same, but nothing that was printed before the program counter counts.
    Trap,
    /// The operation's entry point: where it was sampled says little, what it was about does.
    Entry,
    /// The place that `… at: func+0x1/0x2` names after the header; else the stack.
    AtLine,
    /// The first frame of the first stack, whatever section it stands in.
    FirstSection,
    /// The function named by `caller is func+…`; else the stack.
    CallerIs,
    /// The function named by `last function: func`.
    LastFunction,
}

/// How a report relates to one that is already open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Always a report of its own.
    Alone,
    /// The first words of a report whose own header follows.
    Preface,
    /// The trap that a report above it announces (`kernel BUG` → `invalid opcode`).
    Trap,
    /// What the kernel does after any report (`panic_on_warn set`).
    Aftermath,
    /// A line of the report above it, and a report only if that one was lost.
    Part,
    /// A panic: the aftermath of a report just above it, else a report.
    Panic,
}

/// One kind of report.
#[derive(Debug)]
pub(super) struct Rule {
    pub kind: Kind,
    /// Regular expression over the line's text.
    pub header: &'static str,
    /// `{1}` … are captures, `{rw}` is Read/Write from the report, ` in {f}` the guilty function.
    pub title: &'static str,
    pub blame: Blame,
    /// Families that may not be blamed.
    pub skip: &'static [Family],
    pub stands: Stands,
}

use Family::{Alloc, Broker, Container, Core, Defer, Lock, Memory, Report, Sched, Tick, Wait};

const FAULT: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Core];
const LIGHT: &[Family] = &[Report];
const LEAK: &[Family] = &[Report, Memory, Alloc, Container, Broker];
const ATOMIC: &[Family] = &[Report, Memory, Alloc, Lock, Sched];
const HANG: &[Family] = &[Report, Lock, Sched, Wait, Defer];
const STALL: &[Family] = &[Report, Memory, Alloc, Lock, Container, Sched, Tick];
const LOCKS: &[Family] = &[Report, Memory, Alloc, Lock, Sched, Defer];

const fn rule(kind: Kind, header: &'static str, title: &'static str, blame: Blame, skip: &'static [Family]) -> Rule {
    Rule { kind, header, title, blame, skip, stands: Stands::Alone }
}

const fn when(stands: Stands, mut rule: Rule) -> Rule {
    rule.stands = stands;
    rule
}

/// Reports of the sanitizers and of the memory debugging in slab, page allocator and swap.
const MEMORY_RULES: &[Rule] = &[
    rule(Kind::Kasan, r"\bBUG: KASAN: (?:double-free or )?([a-z-]+)(?: on address)? in (?P<f>\S+)", "KASAN: {1}{rw} in {f}", Blame::Stack, FAULT),
    rule(Kind::Kasan, r"\bBUG: KASAN: (?:double-free or )?([a-z-]+)(?: on address.*|\s*)$", "KASAN: {1}{rw} in {f}", Blame::Stack, FAULT),
    when(Stands::Part, rule(Kind::Kasan, r"^BUG \S+ \(.*\): kasan: bad access detected", "KASAN: bad access in {f}", Blame::Stack, FAULT)),
    rule(Kind::Kmsan, r"\bBUG: KMSAN: ([a-z-]+) in (?P<f>\S+)", "KMSAN: {1} in {f}", Blame::Stack, FAULT),
    rule(Kind::Kcsan, r"\bBUG: KCSAN: (assert: race|data-race) in (?P<f>\S+)", "KCSAN: {1} in {f}", Blame::Stack, FAULT),
    rule(Kind::Kfence, r"\bBUG: KFENCE: ([a-z -]+?) in (?P<f>\S+)", "KFENCE: {1} in {f}", Blame::Stack, FAULT),
    rule(Kind::Kfence, r"\bBUG: KFENCE: ([a-z -]+?)\s*$", "KFENCE: {1} in {f}", Blame::Stack, FAULT),
    rule(Kind::Ubsan, r"^UBSAN: Undefined behaviour in ", "UBSAN: undefined-behaviour in {f}", Blame::Stack, FAULT),
    rule(Kind::Ubsan, r"^UBSAN: ([a-z][a-z-]+) in \S+:\d+", "UBSAN: {1} in {f}", Blame::Stack, FAULT),
    rule(Kind::Leak, r"\bBUG: memory leak\s*$", "memory leak in {f}", Blame::Stack, LEAK),
    rule(Kind::Leak, r"^kmemleak: \d+ new suspected memory leaks", "kmemleak: new suspected memory leaks", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^BUG: Bad page state in process ", "BUG: Bad page state in {f}", Blame::Stack, FAULT),
    rule(Kind::Oops, r"^BUG: Bad page (map|cache) in process ", "BUG: Bad page {1} in {f}", Blame::Stack, FAULT),
    rule(Kind::Oops, r"^BUG: Bad rss-counter state mm:\S+ type:(\w+)", "BUG: Bad rss-counter state {1}", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^BUG: Bad rss-counter state", "BUG: Bad rss-counter state", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^BUG: non-zero (\S+ ?\S*) on freeing mm: (-?\d+)", "BUG: non-zero {1} on freeing mm", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^(?:zram\d*|zswap): [Dd]ecompress(?:ion failed|ion error|\w* error)", "zram: Decompression failed", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^BUG \S.*\(.*\): (\S.*)", "BUG: {1}", Blame::Stack, FAULT),
    rule(Kind::Oops, r"^slab error in \w+\(\): cache \S+: (.*)", "slab error: {1}", Blame::Stack, FAULT),
    when(Stands::Part, rule(Kind::Oops, r"^INFO: ((?:Allocated|Freed) in .*)", "INFO: {1}", Blame::Nobody, &[])),
    when(Stands::Part, rule(Kind::Oops, r"^INFO: (Slab 0x|Object 0x).*", "INFO: {1}ADDR", Blame::Nobody, &[])),
];

/// Lockdep and the other lock debugging.
const LOCK_RULES: &[Rule] = &[
    rule(Kind::Lockdep, r"^(?:\[ INFO: |WARNING: )possible (?:circular locking dependency|recursive locking|irq lock inversion dependency) detected", "possible deadlock in {f}", Blame::AtLine, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ INFO: |WARNING: )(?:HARDIRQ|SOFTIRQ|RECLAIM_FS)\S* -> \S+ lock order detected", "possible deadlock in {f}", Blame::FirstSection, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ INFO: |WARNING: )inconsistent lock state", "inconsistent lock state in {f}", Blame::AtLine, LOCKS),
    rule(Kind::Lockdep, r"^\[ INFO: suspicious RCU usage", "INFO: suspicious RCU usage in {f}", Blame::Stack, LOCKS),
    rule(Kind::Lockdep, r"^WARNING: suspicious RCU usage", "WARNING: suspicious RCU usage in {f}", Blame::Stack, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ )?(BUG|WARNING): (?:\S+ )?still has locks held", "{1}: still has locks held in {f}", Blame::AtLine, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ )?(BUG|WARNING): lock held when returning to user space", "{1}: lock held when returning to user space in {f}", Blame::AtLine, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ )?(BUG|WARNING): (held lock freed|bad unlock balance|bad contention)", "{1}: {2} in {f}", Blame::AtLine, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ )?(BUG|WARNING): (Nested lock was not taken|Invalid wait context|bad lock \w+)", "{1}: {2} in {f}", Blame::Stack, LOCKS),
    rule(Kind::Lockdep, r"^(?:\[ )?(INFO|WARNING): (possible \S+ bug|ww_mutex \w+|DEADLOCK)", "{1}: {2} in {f}", Blame::Stack, LOCKS),
    rule(Kind::Lockdep, r"^INFO: trying to register non-static key", "INFO: trying to register non-static key in {f}", Blame::Stack, LOCKS),
    rule(Kind::Lockdep, r"^BUG: (spinlock|rwlock) (recursion|bad magic|wrong owner|wrong CPU|already unlocked|lockup suspected|cpu recursion|uninitialized|trylock failure on UP|lockup)\b", "BUG: {1} {2} in {f}", Blame::Stack, LOCKS),
    rule(Kind::Lockdep, r"^BUG: using ([\w()]+) in preemptible \[\w+\](?: code)?", "BUG: using {1} in preemptible code in {f}", Blame::CallerIs, LIGHT),
    rule(Kind::Lockdep, r"^BUG: workqueue leaked (?:atomic, )?lock or (?:RCU|atomic)", "BUG: workqueue leaked lock or atomic in {f}", Blame::LastFunction, LIGHT),
    rule(Kind::Lockdep, r"^BUG: (MAX_\w+ too low!)", "BUG: {1}", Blame::Nobody, &[]),
    when(Stands::Preface, rule(Kind::Lockdep, r"^(?:DEBUG_LOCKS_WARN_ON\(.*\)|BUG: key \S+ has not been registered|BUG: key \S+ not in \.data)", "WARNING: locking bug in {f}", Blame::Stack, LOCKS)),
    rule(Kind::Atomic, r"^BUG: sleeping function called from invalid context", "BUG: sleeping function called from invalid context in {f}", Blame::Stack, ATOMIC),
    rule(Kind::Atomic, r"^BUG: scheduling while atomic", "BUG: scheduling while atomic in {f}", Blame::Stack, ATOMIC),
];

/// Tasks and CPUs that make no progress.
const HANG_RULES: &[Rule] = &[
    rule(Kind::Hang, r"^(?:rcu: )?INFO: rcu_?\w* (?:self-)?detected (?:expedited )?stalls? on CPU", "INFO: rcu detected stall in {f}", Blame::Entry, STALL),
    rule(Kind::Hang, r"^(?:NMI )?(?:watchdog: )?BUG: soft lockup - CPU", "BUG: soft lockup in {f}", Blame::Entry, STALL),
    rule(Kind::Hang, r"^(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?Watchdog (?:detected hard LOCKUP|CPU:\d+ Hard LOCKUP)", "BUG: hard lockup in {f}", Blame::Entry, STALL),
    rule(Kind::Hang, r"^INFO: task .{1,64} blocked (?:in I/O wait )?(?:on an? \S+ likely owned by .* )?for more than \d+ seconds", "INFO: task hung in {f}", Blame::Stack, HANG),
    rule(Kind::Hang, r"^INFO: task .{1,64} can't die for more than \d+ seconds", "INFO: task can't die in {f}", Blame::Stack, HANG),
    rule(Kind::Hang, r"^unregister_netdevice: waiting for \S+ to become free", "unregister_netdevice: waiting for DEV to become free", Blame::Nobody, &[]),
    rule(Kind::Hang, r"^BUG: workqueue lockup", "BUG: workqueue lockup", Blame::Nobody, &[]),
    rule(Kind::Hang, r"^(?:rcu: )?INFO: rcu_tasks(?:_\w+)? detected stalls on tasks", "INFO: rcu detected stall in {f}", Blame::Entry, STALL),
];

/// Warnings: by the file that warns where that file is only the messenger.
const WARNING_RULES: &[Rule] = &[
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?lib/refcount\.c:\d+", "WARNING: refcount bug in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?lib/list_debug\.c:\d+", "WARNING: corrupted list in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?lib/debugobjects\.c:\d+", "WARNING: ODEBUG bug in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?lib/kobject\.c:\d+", "WARNING: kobject bug in {f}", Blame::Trap, FAULT),
    rule(Kind::Lockdep, r"^WARNING: (?:.*\bat )?(?:\S*/)?kernel/(?:locking/)?(?:lockdep|mutex|rwsem|rtmutex\w*)\.c:\d+", "WARNING: locking bug in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?mm/(?:slab_common|slab|slub|util)\.c:\d+(?: at)? (?:__)?(?:kmalloc|kv?malloc|kmem_cache)", "WARNING: kmalloc bug in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?mm/vmalloc\.c:\d+(?: at)? __vmalloc_node_range", "WARNING: zero-size vmalloc in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?fs/proc/generic\.c:\d+(?: at)? (?:__)?proc_(?:register|create)", "WARNING: proc registration bug in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:.*\bat )?(?:\S*/)?drivers/usb/core/urb\.c:\d+(?: at)? usb_submit_urb", "WARNING in {f}/usb_submit_urb", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (?:CPU: \d+ PID: \d+ )?at \S+:\d+(?: (?P<f>\S+\+0x\S+))?", "WARNING in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: \S+\.[ch]:\d+ at (?P<f>\S+\+0x\S+)?", "WARNING in {f}", Blame::Trap, FAULT),
    rule(Kind::Warning, r"^WARNING: (kernel stack (?:regs|frame pointer)) at\s+\S+ in \S+ (has bad (?:'\w+' )?value)", "WARNING: {1} {2}", Blame::Nobody, &[]),
];

/// Faults, failed assertions and panics.
const FAULT_RULES: &[Rule] = &[
    when(Stands::Preface, rule(Kind::Oops, r"^list_(?:add|del) corruption", "BUG: corrupted list in {f}", Blame::Trap, FAULT)),
    when(Stands::Trap, rule(Kind::Oops, r"\bkernel BUG at (?:\S*/)?lib/list_debug\.c:\d+", "BUG: corrupted list in {f}", Blame::Trap, FAULT)),
    when(Stands::Trap, rule(Kind::Oops, r"\bkernel BUG at (?:\S*/)?mm/usercopy\.c:\d+", "BUG: bad usercopy in {f}", Blame::Trap, FAULT)),
    when(Stands::Trap, rule(Kind::Oops, r"\bkernel BUG at (?:\S*/)?mm/page_table_check\.c:\d+", "BUG: page table check failed in {f}", Blame::Trap, FAULT)),
    when(Stands::Trap, rule(Kind::Oops, r"(?:^|[^'\x22=])\bkernel BUG at \S+[:!]", "kernel BUG in {f}", Blame::Trap, FAULT)),
    rule(Kind::Oops, r"\b[Uu]nable to handle kernel NULL pointer dereference|^BUG: (?:kernel |Kernel )NULL pointer dereference", "BUG: unable to handle kernel NULL pointer dereference in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"\b[Uu]nable to handle kernel access to user memory", "BUG: unable to handle kernel access to user memory in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"\b[Uu]nable to handle (?:kernel paging request|page fault for address|kernel (?:data|unaligned) access|kernel execution of user|kernel instruction fetch|kernel fault|kernel pointer dereference)", "BUG: unable to handle kernel paging request in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"^Unable to handle kernel .* at (?:virtual )?address", "BUG: unable to handle kernel paging request in {f}", Blame::Trap, FAULT),
    when(Stands::Trap, rule(Kind::Oops, r"general protection fault(?:\b.*\[#\d+\]|: \d{4}|, probably for)", "general protection fault in {f}", Blame::Trap, FAULT)),
    rule(Kind::Oops, r"^(?:traps: )?PANIC: double fault|^(?:Oops: )?double fault: [0-9a-f]{4} \[#", "PANIC: double fault in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"^BUG: (?:\w+ )?stack guard page was hit", "BUG: stack guard page was hit in {f}", Blame::Entry, STALL),
    when(Stands::Trap, rule(Kind::Oops, r"^[Kk]ernel stack overflow|^Insufficient stack space to handle exception", "kernel stack overflow in {f}", Blame::Entry, STALL)),
    rule(Kind::Oops, r"^Unhandled fault: ", "Unhandled fault in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"^Unhandled prefetch abort: ", "Unhandled prefetch abort in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"^Alignment trap: ", "Alignment trap in {f}", Blame::Trap, FAULT),
    when(Stands::Trap, rule(Kind::Oops, r"^Internal error: ", "Internal error in {f}", Blame::Trap, FAULT)),
    when(Stands::Trap, rule(Kind::Oops, r"(?:^|Oops: |traps: |[a-z])(divide[ _]error|invalid opcode|stack segment|int3|bounds|alignment check|segment not present|invalid TSS|overflow|coprocessor \w+|control protection|device not available|SIMD exception|debug)(?:,[^:]*)?: [0-9a-f]{4} \[#\d+\]", "{1} in {f}", Blame::Trap, FAULT)),
    when(Stands::Trap, rule(Kind::Oops, r"^Oops(?: -[^:]*)?: (?:.*\[#\d+\]|.*sig: \d+)", "Oops in {f}", Blame::Trap, FAULT)),
    rule(Kind::Oops, r"^(attempt to (?:add|subtract|multiply|divide|negate|shift \w+) with overflow|index out of bounds|called `\w+::\w+\(\)` on an? `\w+` value)", "{1} in {f}", Blame::Trap, FAULT),
    when(Stands::Preface, rule(Kind::Oops, r"^rust_kernel: panicked at ", "Rust panic in {f}", Blame::Trap, FAULT)),
    rule(Kind::Oops, r"^VFS: Close: file count is (?:zero|0)", "VFS: Close: file count is zero (use-after-free)", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^VFS: Busy inodes after (?:un|re)?mount", "VFS: Busy inodes after unmount (use-after-free)", Blame::Nobody, &[]),
    rule(Kind::Oops, r"^BUG: Dentry \S+ +still in use \(\d+\) \[(unmount)", "BUG: Dentry still in use in {1}", Blame::Nobody, &[]),
    when(Stands::Aftermath, rule(Kind::Oops, r"\bKernel panic - not syncing: (Fatal exception)", "kernel panic: {1}", Blame::Nobody, &[])),
    when(Stands::Aftermath, rule(Kind::Oops, r"\bKernel panic - not syncing: (\S*panic_on_\w+ set|KASAN: panic_on_warn|hung_task|softlockup|RCU Stall|Hard LOCKUP|Machine halted|Fatal hardware error|Aiee, killing interrupt handler|.*panic_on_\w+)", "kernel panic: {1}", Blame::Nobody, &[])),
    rule(Kind::Oops, r"\bKernel panic - not syncing: (?:stack-protector: )?[Kk]ernel stack is corrupted in:? ?(?P<f>\S+)?", "kernel panic: stack is corrupted in {f}", Blame::Trap, FAULT),
    rule(Kind::Oops, r"\bKernel panic - not syncing: corrupted stack end detected", "kernel panic: corrupted stack end in {f}", Blame::Entry, STALL),
    when(Stands::Panic, rule(Kind::Oops, r"\bKernel panic - not syncing: (VFS: Unable to mount root fs)", "kernel panic: {1}", Blame::Nobody, &[])),
    when(Stands::Panic, rule(Kind::Oops, r"\bKernel panic - not syncing: (.*?)(?:!|\.\.\.|\.|:| (?:for|exitcode) .*|$)", "kernel panic: {1}", Blame::Nobody, &[])),
];

/// What is left: lines that the kernel begins with `BUG: `.
const LAST_RULES: &[Rule] = &[
    rule(Kind::Oops, r"^BUG: ([A-Za-z].*)", "BUG: {1}", Blame::Nobody, &[]),
];

/// A rule with its compiled header.
#[derive(Debug)]
pub(super) struct Compiled {
    pub rule: &'static Rule,
    header: Regex,
}

static RULES: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    [MEMORY_RULES, LOCK_RULES, HANG_RULES, WARNING_RULES, FAULT_RULES, LAST_RULES]
        .into_iter()
        .flatten()
        .map(|rule| Compiled { rule, header: Regex::new(rule.header).expect("a rule's header compiles") })
        .collect()
});

/// Words of which every header has at least one.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"BUG|WARNING|INFO|UBSAN|fault|error|panic|nable to handle|PANIC|stack|corruption|Oops|Unhandled|Alignment|kmemleak|ecompress|lockup|LOCKUP|Busy inodes|file count|become free|overflow|DEBUG_LOCKS|out of bounds|called `|invalid opcode|bounds|alignment|segment|invalid TSS|coprocessor|device not|SIMD|debug:|control protection|int3",
    )
    .expect("the word list compiles")
});

/// Finds the rule whose header a line is.
pub(super) fn find(text: &str) -> Option<(&'static Rule, Captures<'_>)> {
    if !WORDS.is_match(text) {
        return None;
    }
    RULES.iter().find_map(|c| Some((c.rule, c.header.captures(text)?)))
}
