//! `patchproof` killed at random moments: nothing of it is left, and the run can be finished.
//!
//! Against the fake QEMU always, some times; on a real kernel under both backends where `PATCHPROOF_VM_TESTS=1` is set, and 50
//! times where `PATCHPROOF_SOAK=1` is (`cargo xtask soak kill` does both). `PATCHPROOF_SOAK_TIMES` and
//! `PATCHPROOF_SOAK_SEED` change how often and which moments.

mod tool;

use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tool::{Bench, project};

/// Guests that starve each other prove nothing: one real run at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// How long what a killed run had started may take to be gone: the host's kernel alone is in the way.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// Where the moments come from: the same seed gives the same ones.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var("PATCHPROOF_SOAK_SEED")
            .ok()
            .and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("PATCHPROOF_SOAK_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn within(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.next() as f64 / f64::from(1u32 << 31))
    }
}

fn times(usual: u32) -> u32 {
    let given = std::env::var("PATCHPROOF_SOAK_TIMES")
        .ok()
        .and_then(|n| n.parse().ok());
    let soak = std::env::var_os("PATCHPROOF_SOAK").is_some_and(|v| v == "1");
    given.unwrap_or(if soak { 50 } else { usual })
}

/// What a soak is made of.
struct Soak {
    bench: Bench,
    matrix: String,
    root: Option<PathBuf>,
    env: Vec<(&'static str, OsString)>,
    cells: usize,
    /// Kills come from the start up to this.
    span: Duration,
}

impl Soak {
    fn args<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["run", "--json"];
        args.extend(rest);
        args
    }

    /// Kills one run at `after` and finishes it; says at which event it was.
    fn once(&self, after: Duration, signal: Signal) -> String {
        let root = self.root.as_deref().and_then(Path::to_str);
        let mut rest = vec![self.matrix.as_str()];
        rest.extend(root.iter().flat_map(|root| ["--root", *root]));
        let started = tool::start(&self.args(&rest), &self.env);
        let runs = self.bench.path("state/runs");
        let before: BTreeSet<PathBuf> = entries(&runs);
        let over = started.ends_within(after);
        let below = tool::descendants(started.pid());
        if !over {
            started.signal(signal);
        }
        let ran = started.finish();
        // The keepers' namespaces die with their pipes, without being helped.
        let ended = Instant::now();
        while let Some(left) = self.left(&below) {
            assert!(
                ended.elapsed() < GONE_WITHIN,
                "left after {signal} at {after:?}: {left}"
            );
            std::thread::yield_now();
        }
        let stage = ran
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|object| object["event"].as_str().map(str::to_owned))
            .next_back()
            .unwrap_or_else(|| "nothing".to_owned());
        // Killed before its folder had its record, there is nothing to go on with.
        let made: Vec<PathBuf> = entries(&runs).difference(&before).cloned().collect();
        let resume = made.iter().find(|dir| dir.join("run.json").is_file());
        let again = match resume.and_then(|dir| dir.to_str()) {
            Some(dir) => tool::run(&self.args(&["--resume", dir]), &self.env),
            None => tool::run(&self.args(&rest), &self.env),
        };
        let summary = again.summary();
        assert_eq!(again.exit, 0, "{summary:#}");
        assert_eq!(
            summary["cells"].as_array().map(Vec::len),
            Some(self.cells),
            "{summary:#}"
        );
        assert_eq!(
            summary["not_run"].as_array().map(Vec::len),
            Some(0),
            "{summary:#}"
        );
        let sockets = entries(&self.bench.path("x/patchproof"));
        assert!(
            sockets.iter().all(|path| !path.is_dir()),
            "the next run cleans up: {sockets:?}"
        );
        let scratch = entries(&self.bench.path("cache/tmp"));
        assert!(scratch.is_empty(), "the next run cleans up: {scratch:?}");
        stage
    }

    /// A process, mount, socket or lock of the bench's folders that is left.
    fn left(&self, below: &[tool::Process]) -> Option<String> {
        if let Some(process) = below.iter().find(|process| process.lives()) {
            return Some(format!("{process:?}"));
        }
        let own = self.bench.path("");
        let own = own.to_str().expect("a plain path").trim_end_matches('/');
        for file in ["/proc/self/mountinfo", "/proc/net/unix"] {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if let Some(line) = text.lines().find(|line| line.contains(own)) {
                return Some(format!("{file}: {line}"));
            }
        }
        for process in tool::processes() {
            let command = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if command.contains(own) {
                return Some(format!("{process:?} {command}"));
            }
        }
        let mut inodes = BTreeSet::new();
        collect_inodes(Path::new(own), &mut inodes);
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        for line in locks.lines().filter(|line| line.contains("FLOCK")) {
            let inode = line.split_ascii_whitespace().find_map(|word| {
                let mut parts = word.split(':');
                let (_, _, inode) = (parts.next()?, parts.next()?, parts.next()?);
                inode.parse::<u64>().ok()
            });
            if inode.is_some_and(|inode| inodes.contains(&inode)) {
                return Some(format!("a lock: {line}"));
            }
        }
        None
    }

    fn run(&self, times: u32) {
        let mut moments = Moments::new();
        let signals = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT];
        for n in 0..times {
            let signal = signals[moments.next() as usize % signals.len()];
            let after = moments.within(self.span);
            let stage = self.once(after, signal);
            eprintln!("{n}: {signal} after {after:.1?}, last event {stage}: nothing left, finished");
        }
    }
}

fn entries(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn collect_inodes(dir: &Path, into: &mut BTreeSet<u64>) {
    for path in entries(dir) {
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.is_dir() {
            collect_inodes(&path, into);
        } else {
            into.insert(meta.ino());
        }
    }
}

/// Folders of its own for everything that could be left behind.
fn runtime(bench: &Bench) -> (&'static str, OsString) {
    let dir = bench.path("x");
    std::fs::create_dir_all(&dir).expect("the folder can be written");
    ("XDG_RUNTIME_DIR", dir.into_os_string())
}

#[test]
fn a_run_that_is_killed_at_random_leaves_nothing_and_can_be_finished() {
    let bench = Bench::new();
    let plain = bench.matrix("keeps its promises");
    let text = std::fs::read_to_string(&plain).expect("it was just written");
    let cells = 12;
    let matrix = bench.write(
        "many.yaml",
        &text.replace("case: [c] }", &format!("case: [c], repeat: {cells} }}")),
    );
    let mut env = bench.env(&[]);
    env.push(runtime(&bench));
    let soak = Soak {
        matrix,
        root: None,
        env,
        cells,
        span: Duration::from_millis(1500),
        bench,
    };
    soak.run(times(9));
}

/// Canaries that end soon and well: the demo's kernel, three boots.
const REAL: &str = "
version: 1
kernels:
  fixed: { source: { debian: linux-source-6.12 }, kconfigs: [base, mm, virtme, racepoints], series: [racepoints] }
machines:
  small: { backend: BACKEND, accel: auto, cpus: 2, memory: 300MiB, swap: 8MiB }
cases:
  healthy: { workload: canary, budget: 2s, params: { act: healthy } }
  corrupt: { workload: canary, budget: 2s, params: { act: corrupt } }
  pressure: { workload: zswap_pressure, budget: 3s }
matrix: { kernel: [fixed], machine: [small], case: [healthy, pressure, corrupt] }
expect:
  # Beside whatever else runs on the host: how much it does is not what is tested.
  - { case: pressure, verdict: any }
  - { case: corrupt, verdict: fail, finding: flipped }
";

fn real(backend: &str, usual: u32) {
    if std::env::var_os("PATCHPROOF_VM_TESTS").is_none_or(|v| v != "1") {
        eprintln!("skipped: boots VMs; set PATCHPROOF_VM_TESTS=1");
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let bench = Bench::new();
    // The user's own cache, where the kernel is.
    let env = vec![
        ("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string()),
        runtime(&bench),
    ];
    let soak = Soak {
        matrix: bench.write("real.yaml", &REAL.replace("BACKEND", backend)),
        root: Some(project().to_owned()),
        env,
        cells: 3,
        span: Duration::from_secs(16),
        bench,
    };
    soak.run(times(usual));
}

#[test]
fn a_real_run_that_is_killed_at_random_leaves_nothing_and_can_be_finished() {
    real("qemu", 2);
}

#[test]
fn a_real_run_under_virtme_ng_that_is_killed_at_random_leaves_nothing_and_can_be_finished() {
    real("virtme-ng", 1);
}
