//! Consoles without a report: boots of many machines, user space that talks, a kernel that chats.

use super::titles;

#[track_caller]
fn quiet(log: &str) {
    assert_eq!(titles(log), Vec::<String>::new(), "in\n{log}");
    // The same without stamps, as `dmesg -t` or a serial console without CONFIG_PRINTK_TIME gives it.
    let bare: String = log
        .lines()
        .map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_eq!(titles(&bare), Vec::<String>::new(), "in\n{bare}");
}

#[test]
fn boots_of_many_machines_are_quiet() {
    quiet(
        "SeaBIOS (version 1.16.2-debian-1.16.2-1)\nBooting from ROM..\n\
        [    0.000000] Linux version 6.12.0 (kbuild@host) (gcc 12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC\n\
        [    0.000000] Command line: console=ttyS0 panic=-1 oops=panic panic_on_warn=1 slub_debug=FZPU kasan.fault=report\n\
        [    0.000000] BIOS-provided physical RAM map:\n\
        [    0.000000] x86/fpu: x87 FPU will use FXSAVE\n\
        [    0.010000] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!\n\
        [    0.010001] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!\n\
        [    0.011000] Speculative Return Stack Overflow: IBPB-extending microcode not applied!\n\
        [    0.011001] Speculative Return Stack Overflow: WARNING: See https://kernel.org/doc/html/latest/admin-guide/hw-vuln/srso.html for mitigation options.\n\
        [    0.012000] rcu: \tRCU lockdep checking is enabled.\n\
        [    0.012001] kfence: initialized - using 2097152 bytes for 255 objects at 0x(____ptrval____)-0x(____ptrval____)\n\
        [    0.012002] KASAN init done\n\
        [    0.900000] Run /init as init process\n",
    );
    quiet(
        "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]\n\
        [    0.000000] Linux version 6.12.0 (kbuild@host) (aarch64-linux-gnu-gcc 12.2.0)\n\
        [    0.000000] Machine model: linux,dummy-virt\n\
        [    0.000000] CPU features: detected: Spectre-v3a\n\
        [    0.000000] CPU features: kernel page table isolation forced ON by KASLR\n\
        [    0.010000] arm64: KASAN: KernelAddressSanitizer initialized (generic)\n\
        [    0.400000] kvm [1]: HYP mode not available\n\
        [    0.500000] SError is masked until now\n\
        [    1.200000] Freeing unused kernel memory: 10240K\n\
        [    1.300000] Run /init as init process\n",
    );
    quiet(
        "OpenSBI v1.3\nPlatform Name             : riscv-virtio,qemu\n\
        [    0.000000] Linux version 6.12.0 (kbuild@host) (riscv64-linux-gnu-gcc 12.2.0)\n\
        [    0.000000] SBI implementation ID=0x1 Version=0x10003\n\
        [    0.000000] riscv: base ISA extensions acdfhim\n\
        [    0.001000] Unaligned memory access: slow\n\
        [    0.300000] 10000000.serial: ttyS0 at MMIO 0x10000000 (irq = 12, base_baud = 230400) is a 16550A\n",
    );
    quiet(
        "[    0.000000] hash-mmu: Page sizes from device-tree:\n\
        [    0.000000] Linux version 6.12.0 (kbuild@host) (powerpc64le-linux-gnu-gcc 12.2.0)\n\
        [    0.000000] firmware_features = 0x0000000000000000\n\
        [    0.000000] stf-barrier: eieio barrier available\n\
        [    0.100000] EEH: No capable adapters found: recovery disabled.\n\
        [    0.200000] kvm-hv: machine check error recovery enabled\n",
    );
    quiet(
        "[    0.010000] Linux version 6.12.0 (kbuild@host) (s390x-linux-gnu-gcc 12.2.0)\n\
        [    0.010001] setup: Linux is running under KVM in 64-bit mode\n\
        [    0.010002] setup: The maximum memory size is 512MB\n\
        [    0.020000] Write protected kernel read-only data: 20480k\n",
    );
    quiet(
        "[    0.000000] Linux version 6.12.0 (kbuild@host) (mips-linux-gnu-gcc 12.2.0)\n\
        [    0.000000] CPU0 revision is: 00019300 (MIPS 24Kc)\n\
        [    0.000000] MIPS: machine is mti,malta\n\
        [    0.000000] Fast TLB refill handler is 1252 bytes\n\
        [    0.000000] This processor doesn't support highmem. 0k highmem ignored\n",
    );
}

#[test]
fn user_space_may_say_anything() {
    quiet(
        "[    2.000000] systemd[1]: Inserted module 'autofs4'\n\
        [    2.100000] systemd[1]: WARNING: /etc/machine-id is missing, using a transient one.\n\
        [    2.200000] systemd-journald[101]: Received SIGTERM from PID 1 (systemd).\n\
        [    2.300000] audit: type=1400 audit(1700000000.000:2): apparmor=\"STATUS\" operation=\"profile_load\" name=\"BUG: KASAN: x in y\" pid=1\n\
        [    2.400000] audit: type=1701 audit(1700000000.100:3): auid=0 uid=0 gid=0 ses=1 pid=77 comm=\"general protection fault\" sig=11 res=1\n\
        [    2.500000] w[9]: segfault at 8 ip 0000000000401136 sp 00007ffc error 4 in w[401000+1000] likely on CPU 0 (core 0, socket 0)\n\
        [    2.600000] traps: w[9] trap invalid opcode ip:401136 sp:7ffc error:0 in w[401000+1000]\n\
        [    2.700000] traps: w[9] trap divide error ip:401136 sp:7ffc error:0 in w[401000+1000]\n\
        [    2.800000] w: vmalloc error: size 0, failed to allocate pages, mode:0xcc0(GFP_KERNEL)\n",
    );
    for said in [
        "WARNING: apt does not have a stable CLI interface. Use with caution in scripts.",
        "WARNING: Running pip as the 'root' user can result in broken permissions",
        "fsck: WARNING: couldn't open /etc/fstab: No such file or directory",
        "mkfs.btrfs: WARNING: failed to open /dev/btrfs-control, skipping device registration",
        "ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010",
        "==9==ERROR: LeakSanitizer: detected memory leaks",
        "w.c:7:5: runtime error: index 9 out of bounds for type 'int [4]'",
        "thread 'main' panicked at src/main.rs:2:5:",
        "Traceback (most recent call last):",
        "Segmentation fault (core dumped)",
        "bash: line 1:    77 Killed                  ./w",
        "# grep 'Kernel panic - not syncing' /var/log/kern.log",
        "$ dmesg | grep \"BUG: KASAN\"",
        "expect(\"kernel BUG at mm/slub.c:1\")",
        "awk '/unable to handle kernel NULL pointer dereference/'",
        "re='general protection fault'",
        "INFO: task finished in 3 seconds",
        "INFO: rcu is a kernel mechanism",
        "BUG: the test program has one",
        "The stack guard page was hit hard, said the book",
        "Oops: I did it again",
        "Internal error: please report this to the vendor",
        "int3",
        "debug: 1",
        "overflow: hidden",
        "bounds: 0000",
    ] {
        quiet(said);
    }
}

#[test]
fn a_kernel_may_chat_of_errors_that_are_not_its_own() {
    quiet(
        "[    3.000000] EXT4-fs (loop0): warning: mounting unchecked fs, running e2fsck is recommended\n\
        [    3.000001] EXT4-fs error (device loop0): ext4_fill_super:4000: inode #2: comm mount: iget: bad extra_isize 65535\n\
        [    3.000002] XFS (loop0): Metadata CRC error detected at xfs_agf_read_verify+0x1a/0x60, xfs_agf block 0x1\n\
        [    3.000003] XFS (loop0): Internal error xfs_trans_cancel at line 1 of file fs/xfs/xfs_trans.c.  Caller xfs_create+0x1/0x2\n\
        [    3.000004] BTRFS warning (device loop0): checksum verify failed on logical 1 mirror 1\n\
        [    3.000005] FAT-fs (loop0): error, corrupted directory (invalid entries)\n\
        [    3.000006] usb 1-1: device descriptor read/64, error -71\n\
        [    3.000007] swapper/0: page allocation failure: order:5, mode:0xcc0(GFP_KERNEL), nodemask=(null)\n\
        [    3.000008] Out of memory: Killed process 77 (w) total-vm:1000kB, anon-rss:900kB\n\
        [    3.000009] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom\n\
        [    3.000010] FAULT_INJECTION: forcing a failure.\n\
        [    3.000011] name failslab, interval 1, probability 0, space 0, times 0\n\
        [    3.000012] INFO: lockdep is turned off.\n\
        [    3.000013] hrtimer: interrupt took 3000000 ns\n\
        [    3.000014] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew is too large:\n\
        [    3.000015] perf: interrupt took too long (2511 > 2500), lowering kernel.perf_event_max_sample_rate to 79000\n\
        [    3.000016] TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.\n\
        [    3.000017] zram0: detected capacity change from 0 to 131072\n\
        [    3.000018] MCE: Killing w:77 due to hardware memory corruption fault at 7f0000000000\n\
        [    3.000019] Memory failure: 0x1234: recovery action for dirty LRU page: Recovered\n\
        [    3.000020] kauditd_printk_skb: 12 callbacks suppressed\n\
        [    3.000021] sysrq: Show backtrace of all active CPUs\n\
        [    3.000022] lkdtm: Performing direct entry NONE\n",
    );
}
