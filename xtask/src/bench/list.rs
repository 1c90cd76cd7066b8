//! A matrix of 5,000 cells: expanded, listed and split.

use super::overhead::resident_kib;
use super::{ROUNDS, median, tempdir};
use crate::root;
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

/// 5 sources × 5 machines of 2 sizes × 5 parameters × 20 seeds, an exclude, an include and an expectation.
const MATRIX: &str = "\
version: 1
sources:
  a: { debian: linux-source-6.1 }
  b: { debian: linux-source-6.12 }
  c: { git: https://example.invalid/linux.git, rev: v6.6 }
  d: { git: https://example.invalid/linux.git, rev: v6.7 }
  e: { git: https://example.invalid/linux.git, rev: v6.8 }
kernels: { k: { source: a, kconfigs: [base, mm] } }
machines: { m: { memory: 300MiB, swap: 16MiB } }
cases: { c: { workload: zswap_pressure, budget: 30s } }
matrix:
  kernel: [k]
  source: [a, b, c, d, e]
  machine: [m]
  cpus: [1, 2, 3, 4, 6]
  memory: [256MiB, 512MiB]
  case: [c]
  params: { arena: [1MiB, 2MiB, 4MiB, 8MiB, 16MiB] }
  seed: [1..20]
  exclude: [{ source: a, cpus: 6, memory: 512MiB, seed: 20, params: { arena: 16MiB } }]
  include: [{ source: b, budget: 60s }, { source: a, kernel: k, machine: m, case: c, seed: 21 }]
expect:
  - { verdict: pass }
  - { source: [d, e], cpus: 1, verdict: any }
";
const CELLS: usize = 5000;

pub(super) fn list(patchproof: &Path) -> Result<()> {
    let work = tempdir("list")?;
    let matrix = work.join("matrix.yaml");
    std::fs::write(&matrix, MATRIX)?;
    println!(
        "a matrix of {CELLS} cells, the whole command, median of {ROUNDS} (to reach: under 1 s, 100 MB):"
    );
    for (what, more) in [
        ("list", &[][..]),
        ("list --json", &["--json"]),
        ("list --shards 16", &["--shards", "16"]),
    ] {
        let (mut took_s, mut most_kib) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let args = [
                OsStr::new("list"),
                matrix.as_os_str(),
                "--root".as_ref(),
                root().as_os_str(),
            ]
            .map(OsStr::to_owned);
            let args = args.into_iter().chain(more.iter().map(OsString::from));
            let reader = duct::cmd(patchproof, args).reader()?;
            let mut lines = BufReader::new(&reader).lines();
            lines.next().context("nothing was listed")??;
            // All of it was made before the first line, and does not fit into the pipe: it waits for us.
            let pid = reader.pids().first().copied().context("it runs")?;
            most_kib = most_kib.max(resident_kib(pid)?);
            let mut cells = 0;
            for line in lines {
                cells += usize::from(line?.contains("@qemu.c+arena"));
            }
            took_s.push(started.elapsed().as_secs_f64());
            anyhow::ensure!(cells >= CELLS - 2, "{cells} cells were listed");
        }
        println!(
            "  {what:<20} {:.3} s, at most {:.1} MB resident",
            median(took_s),
            most_kib as f64 * 1024.0 / 1e6
        );
    }
    std::fs::remove_dir_all(&work)?;
    Ok(())
}
