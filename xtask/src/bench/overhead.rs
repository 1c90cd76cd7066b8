//! What a cache hit costs, and the orchestrator itself while a VM runs.

use super::{ROUNDS, median};
use crate::kernels::kernel_dir;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

pub(super) fn overhead(patchproof: &Path) -> Result<()> {
    kernel_dir(patchproof, "fixed")?;
    let mut hits = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        kernel_dir(patchproof, "fixed")?;
        hits.push(started.elapsed().as_secs_f64());
    }
    println!("a kernel found in the cache, the whole command, median of {ROUNDS}:");
    println!(
        "  a package                          {:.3} s (to reach: under 0.3 s)",
        median(hits)
    );
    let run = duct::cmd!(
        patchproof,
        "run",
        "workflows/demo.yaml",
        "--filter",
        "fixed.small@qemu.pressure.off",
        "--json"
    );
    let reader = run.unchecked().reader()?;
    let pid = reader.pids().first().copied().context("patchproof runs")?;
    let mut last = None;
    let mut first = None;
    for line in BufReader::new(&reader).lines() {
        if line?.contains(r#""event":"cell_progress""#) {
            let now = (Instant::now(), cpu_ticks(pid)?, resident_kib(pid)?);
            first.get_or_insert(now);
            last = Some(now);
        }
    }
    let ((t0, c0, _), (t1, c1, kib)) = first.zip(last).context("the guest reported nothing")?;
    let share = (c1 - c0) as f64 / 100.0 / (t1 - t0).as_secs_f64();
    println!("the orchestrator while a VM runs:");
    println!(
        "  resident, at most                  {:.1} MiB (to reach: under 50 MB)",
        kib as f64 / 1024.0
    );
    println!(
        "  share of a core                    {:.2} % (to reach: under 2 %)",
        share * 100.0
    );
    Ok(())
}

/// utime + stime, in ticks of 10 ms.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let mut fields = stat[stat.rfind(')').unwrap_or(0) + 1..]
        .split_ascii_whitespace()
        .skip(11);
    let mut next = || -> Result<u64> { Ok(fields.next().context("a short line")?.parse()?) };
    Ok(next()? + next()?)
}

/// The most memory that a process had so far.
pub(super) fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|l| l.starts_with("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line
        .split_ascii_whitespace()
        .nth(1)
        .context("a short line")?
        .parse()?)
}
