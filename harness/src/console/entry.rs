//! Names the operation that a CPU was busy with when it was sampled.
//!
//! A stall, a lockup or an overflown stack is caught at a random place of a loop or a recursion, so
//! the innermost frame says little. What the kernel was asked to do says more: the function that a
//! dispatcher (the system call table, the work queue, the timer wheel, a file's operations) called.

use std::sync::LazyLock;

use regex::Regex;

use super::blame::proven;
use super::frame::StackFrame;
use super::helper::is_helper;
use super::rule::Rule;
use super::stacks::Stacks;

/// Functions that call one of many by a table or a pointer.
static DISPATCHER: LazyLock<Regex> = LazyLock::new(|| {
    let groups = [
        // System calls, and the way out to user space.
        r"do_(?:fast_|int80_)?syscall|^do_int80_emulation$|^(?:x64|x32|ia32)_sys_call$|^(?:handle_)?syscall(?:_handler|_common|_call)?$|^do_trap_ecall_u$|^entry_(?:SYSCALL|SYSENTER|INT80)|^system_call(?:_fastpath)?$|^sysenter_do_call$|sysenter_dispatch|tracesys_phase2|el0_svc_handler|invoke_syscall|ret_fast_syscall|system_call_(?:exception|common)|exit_to_usermode|task_work_run|__fput",
        // Threads, work and whatever interrupts leave behind.
        r"^kthread$|smpboot_thread_fn|run_ksoftirqd|ret_from_fork|start_secondary|cpu_startup_entry|process_one_work|do_softirq|^handle_softirqs$|call_timer_fn|_run_timers|run_timer_softirq|hrtimer_run|tasklet_(?:hi_)?action|smp_call_function",
        // Files: what is called depends on what was opened.
        r"vfs_(?:iter_)?(?:read|write)|vfs_(?:ioctl|open)|do_iter_(?:read|write)|(?:call|new_sync)_(?:read|write)|compat_ioctl|ksys_ioctl|blkdev_(?:driver_)?ioctl|do_dentry_open|call_mmap|mmap_region|do_mmap",
        // Sockets and protocols.
        r"^(?:__)?sock_release|^_*sock_(?:sendmsg|recvmsg|mmap)|^do_sock_[gs]etsockopt$|^(?:compat_)?sock_(?:do_)?ioctl|kernel_(?:setsockopt|listen|accept)|sock_common_setsockopt|sk_common_release|netif_receive_skb|^(?:nfnetlink|rtnetlink)_rcv_msg|^netlink_dump",
        // System calls that say nothing without what they are called on.
        r"^(?:compat_)?(?:sys_)?(?:socketpair|connect|ioctl)|^(?:setsockopt|listen|accept)$",
        // Page faults.
        r"__do_fault|do_page_fault|^page_fault$",
    ];
    Regex::new(&groups.join("|")).expect("the list of dispatchers compiles")
});

/// Handles page faults, of the kernel's own accesses too: it is asked only where nothing else dispatched.
const PAGE_FAULT: &str = "do_user_addr_fault";

/// Where a timer interrupt entered the kernel: below stands what it interrupted.
static INTERRUPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"apic_timer_interrupt|^el1h_64_irq$|^el1_irq$|^__irq_svc$|^timer_interrupt_common$|^decrementer_common|^do_ext_interrupt$|^ext_(?:int|no_vtime)|^(?:asm_)?common_interrupt$|^ret_from_intr$|^handle_riscv_irq$|^(?:rollback_)?handle_v?int$|^do_vint$")
        .expect("the list of interrupt entries compiles")
});

/// The operation that the program counter and the first stack belong to.
pub(super) fn sampled(rule: &Rule, stacks: &Stacks) -> Option<String> {
    operation(rule, &stacks.spoken())
}

/// The operation that the first timer interrupt on any of the stacks came upon.
pub(super) fn interrupted(rule: &Rule, stacks: &Stacks) -> Option<String> {
    stacks.all.iter().find_map(|stack| {
        let entered = stack.frames.iter().position(is_interrupt).map(|at| at + 1);
        let from = entered.or(stack.pc_at)?;
        operation(rule, stack.frames.get(from..)?)
    })
}

/// The first function below a timer interrupt that is no helper: where no dispatcher is in sight, what was
/// running says more than what noticed it.
pub(super) fn running(rule: &Rule, stacks: &Stacks) -> Option<String> {
    stacks.all.iter().find_map(|stack| {
        let from = stack.frames.iter().position(is_interrupt)? + 1;
        proven(stack.frames.get(from..)?).find(|f| !is_helper(f, rule.skip))
    })
}

fn is_interrupt(frame: &StackFrame) -> bool {
    frame.reliable && INTERRUPT.is_match(&frame.symbol)
}

/// What the innermost dispatcher of a stack called.
fn operation(rule: &Rule, frames: &[StackFrame]) -> Option<String> {
    let (mut called, mut faulted): (Option<String>, Option<String>) = (None, None);
    for function in proven(frames).filter(|f| !is_helper(f, rule.skip)) {
        if function.contains("smp_call_function") {
            return Some("smp_call_function".to_owned());
        }
        if DISPATCHER.is_match(&function) {
            return Some(called.unwrap_or(function));
        }
        if function == PAGE_FAULT && faulted.is_none() {
            faulted.clone_from(&called);
        }
        called = Some(function);
    }
    // Where the outermost frames are missing, a system call's wrapper still says what was asked for.
    called
        .filter(|name| name.starts_with("sys_") || name.starts_with("compat_sys_"))
        .or(faulted)
}
