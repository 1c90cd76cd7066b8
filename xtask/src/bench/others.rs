//! What others find: stress-ng, with all its checks, on the kernels of the historic bugs, for as long as
//! the suite's own cells may take there. What is told is what it says itself, and the kernel's log.

use crate::root;
use anyhow::Result;
use std::path::Path;
use std::time::Instant;

/// How long it runs on each kernel; `PATCHPROOF_BENCH_SECONDS` says otherwise.
const SECONDS: u32 = 60;
/// The kernels of `workflows/seeds.yaml`, and what each is to swap to.
const KERNELS: [(&str, &str); 8] = [
    ("fixed", "zswap"),
    ("async-free", "zram"),
    ("writeback-race", "zswap"),
    ("unstable", "zram"),
    ("rmap-order", "zswap"),
    ("private-pages", "zswap"),
    ("recheck", "disk"),
    ("missed", "disk"),
];
/// What a guest is asked for: swap like the suite's, then the stressors that move, swap, map and share pages.
const SCRIPT: &str = r#"
disk() { for d in /sys/block/vd*; do test "$(cat $d/size)" = 32768 && echo /dev/${d##*/} && return; done; }
case KIND in
zram) echo 64M > /sys/block/zram0/disksize; area=/dev/zram0;;
zswap) echo 1 > /sys/module/zswap/parameters/enabled; area=$(disk);;
disk) echo 0 > /sys/module/zswap/parameters/enabled; area=$(disk);;
esac
mkswap $area > /dev/null && swapon $area || exit 99
cd /tmp
stress-ng --timeout SECONDSs --verify --quiet --oomable --pageswap 1 --vm 2 --vm-bytes 160M --madvise 1 --mremap 1 \
    --shm 1 --shm-bytes 16M --userfaultfd 1 --userfaultfd-bytes 16M --memfd 1 --memfd-bytes 16M
code=$?
dmesg | grep -E -m1 'BUG|Oops|WARNING|Bad page|Bad rss|blocked for more|Decompression failed'
exit $code
"#;

/// Runs them one after the other and prints a table.
pub(super) fn others(patchproof: &Path) -> Result<()> {
    let given = std::env::var("PATCHPROOF_BENCH_SECONDS").ok();
    let seconds = given.and_then(|n| n.parse().ok()).unwrap_or(SECONDS);
    println!("stress-ng --verify, {seconds} s on each kernel of workflows/seeds.yaml, 2 CPUs, 300 MiB:");
    for (kernel, kind) in KERNELS {
        let script = SCRIPT
            .replace("KIND", kind)
            .replace("SECONDS", &seconds.to_string());
        let matrix = root().join("workflows/seeds.yaml");
        let cmd = duct::cmd!(
            patchproof,
            "shell",
            kernel,
            "--matrix",
            matrix,
            "--host-root",
            "--",
            script
        );
        let started = Instant::now();
        let ran = cmd
            .stdin_null()
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .run()?;
        let (took, said) = (started.elapsed().as_secs(), String::from_utf8_lossy(&ran.stdout));
        let told = match (ran.status.code(), said.trim()) {
            (Some(0), "") => "nothing found".to_owned(),
            (Some(0), said) => format!("it passed; the kernel's log says: {said}"),
            (Some(99), _) => "not run: no swap area".to_owned(),
            (code, said) => {
                let errors = String::from_utf8_lossy(&ran.stderr);
                let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("");
                format!("exit code {code:?} after {took} s (boot included): {said} {last}")
            }
        };
        println!("  {kernel:<16} swap on {kind:<6} {told}");
    }
    Ok(())
}
