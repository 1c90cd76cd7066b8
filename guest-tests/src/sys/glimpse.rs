//! Accesses by one instruction where a fault may be right: a fault ends the access, not the process.
//!
//! What goes through the kernel instead (/proc/self/mem) walks the page tables. An instruction goes through what the CPU
//! remembers of them, so only it can show that a translation outlived what was taken out of a table.
//!
//! The three accesses are functions in assembler, since the handler of the fault has to know the very instruction
//! (x86-64 only, as the guests are). Not here: which addresses may be accessed (that is [`super::field`]).

use std::sync::atomic::AtomicU64;

std::arch::global_asm!(
    ".pushsection .text.patchproof_glimpse, \"ax\", @progbits",
    ".globl patchproof_glimpse_load",
    "patchproof_glimpse_load:",
    "mov rax, qword ptr [rdi]",
    "mov qword ptr [rsi], rax",
    "mov eax, 1",
    "ret",
    ".globl patchproof_glimpse_store",
    "patchproof_glimpse_store:",
    "mov qword ptr [rdi], rsi",
    "mov eax, 1",
    "ret",
    // Exchanges a value for itself: needs the right to write, and changes nothing.
    ".globl patchproof_glimpse_touch",
    "patchproof_glimpse_touch:",
    "mov rax, rsi",
    ".globl patchproof_glimpse_touch_at",
    "patchproof_glimpse_touch_at:",
    "lock cmpxchg qword ptr [rdi], rsi",
    "mov eax, 1",
    "ret",
    ".globl patchproof_glimpse_faulted",
    "patchproof_glimpse_faulted:",
    "xor eax, eax",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn patchproof_glimpse_load(at: *const AtomicU64, into: *mut u64) -> u32;
    fn patchproof_glimpse_store(at: *const AtomicU64, value: u64) -> u32;
    fn patchproof_glimpse_touch(at: *const AtomicU64, any: u64) -> u32;
    fn patchproof_glimpse_touch_at();
    fn patchproof_glimpse_faulted();
}

/// Loads a word; `None` where that faults.
///
/// # Safety
/// The address is aligned, and no reference but to atomics is ever made to what may lie there.
pub(super) unsafe fn load(at: *const AtomicU64) -> Option<u64> {
    let mut word = 0;
    // SAFETY: an aligned load, which is atomic on x86-64; the handler of faults ends it where it can't be made.
    let done = unsafe { patchproof_glimpse_load(at, &raw mut word) };
    (done != 0).then_some(word)
}

/// Stores a word; tells whether that went without a fault.
///
/// # Safety
/// As for [`load`], and what lies there may be written.
pub(super) unsafe fn store(at: *const AtomicU64, value: u64) -> bool {
    // SAFETY: an aligned store, which is atomic on x86-64; the handler of faults ends it where it can't be made.
    unsafe { patchproof_glimpse_store(at, value) != 0 }
}

/// Stores to a word without changing it; tells whether that went without a fault.
///
/// # Safety
/// As for [`store`].
pub(super) unsafe fn touch(at: *const AtomicU64) -> bool {
    // The value hardly matters: the word is exchanged for itself or stays.
    const ANY: u64 = 0x5eed_0000_5eed;
    // SAFETY: one locked exchange; the handler of faults ends it where it can't be made.
    unsafe { patchproof_glimpse_touch(at, ANY) != 0 }
}

/// Where to go on after a fault at an instruction; `None` where it is none of these accesses.
pub(super) fn after_fault(instruction: usize) -> Option<usize> {
    let known = [
        patchproof_glimpse_load as *const () as usize,
        patchproof_glimpse_store as *const () as usize,
        patchproof_glimpse_touch_at as *const () as usize,
    ];
    known
        .contains(&instruction)
        .then_some(patchproof_glimpse_faulted as *const () as usize)
}
