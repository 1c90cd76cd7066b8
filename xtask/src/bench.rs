//! Measurements, side by side in one run: ratios, never a pass or fail by the clock. The results are
//! printed as a table and kept in `bench/results.md`, which the README quotes.

use crate::{exit_code, patchproof, root, setup, target_dir};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Cached kernel to the guest's first frame, beside the same boot by hand
    Boot,
    /// One changed mm/*.c in an already built kernel, beside an incremental make by hand
    Incremental,
    /// Cache hits, and the orchestrator's own memory and CPU while a VM runs
    Overhead,
    /// Stamping and verifying a page, beside memcpy and memcmp
    Model,
    /// The demo's cells, ten times each: found n of 10, clean n of 10
    Detect,
}

const ALL: [Part; 5] = [
    Part::Boot,
    Part::Incremental,
    Part::Overhead,
    Part::Model,
    Part::Detect,
];
/// Pairs of boots, and of cache look-ups.
const ROUNDS: usize = 10;

/// Runs the parts, all when none is named.
///
/// # Errors
/// When something can't be measured.
pub fn run(parts: &[Part]) -> Result<ExitCode> {
    if let Some(missing) = setup::ensure()? {
        return Ok(missing);
    }
    let patchproof = patchproof()?;
    let mut code = ExitCode::SUCCESS;
    for part in if parts.is_empty() { &ALL[..] } else { parts } {
        match part {
            Part::Boot => boot(&patchproof)?,
            Part::Incremental => incremental(&patchproof)?,
            Part::Overhead => overhead(&patchproof)?,
            Part::Model => model()?,
            Part::Detect => code = detect(&patchproof)?,
        }
    }
    Ok(code)
}

/// What `patchproof build` says of the kernel `name`: its folder.
fn kernel_dir(patchproof: &Path, name: &str) -> Result<PathBuf> {
    let out = duct::cmd!(
        patchproof,
        "build",
        "workflows/demo.yaml",
        "--filter",
        format!("{name}.*"),
        "--json"
    )
    .read()?;
    let line = out
        .lines()
        .find(|l| l.contains(r#""event":"kernel_ready""#))
        .context("no kernel was made")?;
    Ok(PathBuf::from(
        field(line, "dir").context("the event names no folder")?,
    ))
}

/// A string member of a JSON object on one line.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!(r#""{name}":""#))?.1.split('"').next()
}

/// A number member of a JSON object on one line.
fn number(line: &str, name: &str) -> Option<f64> {
    let rest = line.split_once(&format!(r#""{name}":"#))?.1;
    rest.split([',', '}']).next()?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn boot(patchproof: &Path) -> Result<()> {
    let kernel = kernel_dir(patchproof, "fixed")?.join("bzImage");
    let work = tempdir("boot")?;
    let (mut by_hand, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(first_frame_ours(patchproof)?);
        by_hand.push(first_frame_by_hand(&kernel, &work, round)?);
    }
    let (ours, by_hand) = (median(ours), median(by_hand));
    println!("boot to the first frame, medians of {ROUNDS} interleaved pairs:");
    println!("  by hand (qemu-system-x86_64)       {by_hand:.2} s");
    println!("  patchproof, from its start         {ours:.2} s");
    println!(
        "  difference                         {:+.2} s (to reach: at most +0.50 s)",
        ours - by_hand
    );
    Ok(())
}

/// From the start of `patchproof run` on a cached kernel to its report of the first frame.
fn first_frame_ours(patchproof: &Path) -> Result<f64> {
    let started = Instant::now();
    let filter = "fixed.small@qemu.pressure.off";
    let run = duct::cmd!(
        patchproof,
        "run",
        "workflows/demo.yaml",
        "--filter",
        filter,
        "--json"
    );
    let reader = run.unchecked().reader()?;
    let mut found = None;
    for line in BufReader::new(&reader).lines() {
        if line?.contains(r#""event":"cell_booted""#) {
            found = Some(started.elapsed().as_secs_f64());
            break;
        }
    }
    for pid in reader.pids() {
        // SIGINT, as a user would: the run ends its machine and its record.
        duct::cmd!("kill", "-INT", pid.to_string()).unchecked().run()?;
    }
    let mut rest = Vec::new();
    (&reader).read_to_end(&mut rest)?;
    found.context("the guest never booted")
}

/// From the start of QEMU, given everything ready, to the first byte on the port of frames.
fn first_frame_by_hand(kernel: &Path, work: &Path, round: usize) -> Result<f64> {
    let initrd = work.join("initrd");
    if !initrd.exists() {
        let agent = target_dir()?.join("agent/x86_64-unknown-linux-gnu/release/patchproof-agent");
        let tree = work.join("root");
        std::fs::create_dir_all(tree.join("dev"))?;
        std::fs::create_dir_all(tree.join("patchproof"))?;
        std::fs::copy(&agent, tree.join("init")).with_context(|| agent.display().to_string())?;
        std::fs::write(
            tree.join("patchproof/request.json"),
            r#"{"v":1,"run":1,"cases":[]}"#,
        )?;
        let names = "init\npatchproof\npatchproof/request.json\ndev\n";
        duct::cmd!("cpio", "--quiet", "-o", "-H", "newc")
            .dir(&tree)
            .stdin_bytes(names)
            .stdout_path(&initrd)
            .run()?;
    }
    let fifo = work.join(format!("frames{round}"));
    duct::cmd!("mkfifo", &fifo).run()?;
    let append = "console=ttyS0 loglevel=5 panic=-1 printk.devkmsg=on oops=panic slab_nomerge page_poison=1";
    let started = Instant::now();
    let qemu = duct::cmd!(
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-M",
        "pc",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "300M",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-kernel",
        kernel,
        "-initrd",
        &initrd,
        "-append",
        append,
        "-serial",
        format!("file:{}", work.join("console").display()),
        "-device",
        "virtio-serial-pci",
        "-chardev",
        format!("pipe,id=frames,path={}", fifo.display()),
        "-device",
        "virtserialport,chardev=frames,name=patchproof.frames"
    )
    .stdin_null()
    .unchecked()
    .start()?;
    let mut byte = [0];
    let read = std::fs::File::open(&fifo)?.read(&mut byte)?;
    let took = started.elapsed().as_secs_f64();
    qemu.kill()?;
    if read == 0 {
        bail!("the guest sent nothing; its console is in {}", work.display())
    }
    Ok(took)
}

fn incremental(patchproof: &Path) -> Result<()> {
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
         kernels: { k: { source: { debian: linux-source-6.12 }, kconfigs: [base, mm], series: [./change.patch] } }\n\
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

fn overhead(patchproof: &Path) -> Result<()> {
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

fn resident_kib(pid: u32) -> Result<u64> {
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

fn model() -> Result<()> {
    duct::cmd!(
        env!("CARGO"),
        "run",
        "--quiet",
        "--release",
        "--locked",
        "-p",
        "guest-tests",
        "--example",
        "model_bench"
    )
    .run()?;
    Ok(())
}

/// Runs the demo's cells ten times each; the table is `patchproof`'s own.
fn detect(patchproof: &Path) -> Result<ExitCode> {
    let status = duct::cmd!(patchproof, "run", "workflows/detect.yaml")
        .unchecked()
        .run()?
        .status;
    Ok(exit_code(status))
}

fn tempdir(name: &str) -> Result<PathBuf> {
    let dir = target_dir()?.join("bench").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
