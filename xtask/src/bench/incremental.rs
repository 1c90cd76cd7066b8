//! One changed mm/*.c in an already built kernel, beside an incremental make by hand.

use super::{median, number, tempdir};
use crate::kernels::kernel_dir;
use crate::root;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(super) fn incremental(patchproof: &Path) -> Result<()> {
    let work = tempdir("incremental")?;
    // By hand: one full build, outside of everything, then one more with one file changed.
    let config = kernel_dir(patchproof, "fixed")?.join("config");
    let (tree, build) = (work.join("linux-source-6.12"), work.join("build"));
    std::fs::create_dir_all(&build)?;
    duct::cmd!("tar", "-C", &work, "-xf", "/usr/src/linux-source-6.12.tar.xz").run()?;
    for patch in sorted(&root().join("patches/racepoints"))? {
        duct::cmd!("git", "apply", &patch)
            .dir(&tree)
            .env("GIT_CEILING_DIRECTORIES", &work)
            .run()?;
    }
    std::fs::copy(config, build.join(".config"))?;
    let jobs = format!("-j{}", std::thread::available_parallelism()?);
    let make = || -> Result<f64> {
        let started = Instant::now();
        duct::cmd!(
            "make",
            "-s",
            "-C",
            &tree,
            format!("O={}", build.display()),
            &jobs,
            "bzImage",
            "vmlinux"
        )
        .stdout_null()
        .run()?;
        Ok(started.elapsed().as_secs_f64())
    };
    println!("building a kernel by hand first (minutes) …");
    make()?;
    let (mut by_hand, mut ours) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let note = format!(
            "\n/* bench {round} {} */\nstatic int bench_{round} __maybe_unused;\n",
            std::process::id()
        );
        let file = tree.join("mm/swap_state.c");
        let text = std::fs::read_to_string(&file)? + &note;
        std::fs::write(&file, text)?;
        by_hand.push(make()?);
        ours.push(incremental_ours(patchproof, &work, &note)?);
    }
    let (ours, by_hand) = (median(ours), median(by_hand));
    println!("one changed mm/*.c in a built kernel, medians of 3:");
    println!("  by hand (make bzImage vmlinux)     {by_hand:.1} s");
    println!("  patchproof, sandbox included       {ours:.1} s");
    println!(
        "  ratio                              {:.2} (to reach: at most 1.50)",
        ours / by_hand
    );
    std::fs::remove_dir_all(&work)?;
    Ok(())
}

/// Builds the base of the demo with one file changed by a patch.
fn incremental_ours(patchproof: &Path, work: &Path, note: &str) -> Result<f64> {
    let package = "linux-source-6.12";
    let full = duct::cmd!(
        "tar",
        "-xOf",
        format!("/usr/src/{package}.tar.xz"),
        format!("{package}/mm/swap_state.c")
    );
    let old = full.read()? + "\n";
    let dir = work.join("patch");
    std::fs::create_dir_all(dir.join("a/mm"))?;
    std::fs::create_dir_all(dir.join("b/mm"))?;
    std::fs::write(dir.join("a/mm/swap_state.c"), &old)?;
    std::fs::write(dir.join("b/mm/swap_state.c"), old.clone() + note)?;
    let diff = duct::cmd!("diff", "-u", "a/mm/swap_state.c", "b/mm/swap_state.c")
        .dir(&dir)
        .unchecked()
        .read()?;
    std::fs::write(work.join("change.patch"), format!("{diff}\n"))?;
    let matrix = work.join("matrix.yaml");
    std::fs::write(
        &matrix,
        "version: 1\n\
         kernels: { k: { source: { debian: linux-source-6.12 }, kconfigs: [base, mm, virtme], series: [./change.patch] } }\n\
         machines: { m: { backend: qemu } }\n\
         cases: { c: { workload: zswap_pressure } }\n\
         matrix: { kernel: [k], machine: [m], case: [c] }\n",
    )?;
    let out = duct::cmd!(patchproof, "build", &matrix, "--root", root(), "--json").read()?;
    let line = out
        .lines()
        .find(|l| l.contains(r#""event":"kernel_ready""#))
        .context("no kernel was made")?;
    number(line, "build_s").context("it came from the cache")
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    all.retain(|p| p.extension().is_some_and(|e| e == "patch"));
    all.sort();
    Ok(all)
}
