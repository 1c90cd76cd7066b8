//! `patchproof bisect` on real kernels: a series of eight patches in CI, and in the soak a git history of 32
//! commits made from the kernel's source, from a cold cache.
//!
//! They take minutes and more, so they run where `PATCHPROOF_VM_TESTS=1` is set, the long ones where
//! `PATCHPROOF_SOAK=1` is set as well (`cargo xtask soak bisect` does both).

mod tool;

use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;
use tool::{Bench, project, run};

/// Guests that starve each other prove nothing: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The package that the histories are made from.
const PACKAGE: &str = "linux-source-6.12";
/// Files that harmless commits change; each is compiled.
const FILES: [&str; 5] = [
    "mm/swap_state.c",
    "mm/page_io.c",
    "mm/vmscan.c",
    "mm/madvise.c",
    "mm/memory.c",
];

fn asked_for(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|v| v == "1")
}

fn alone(soak: bool) -> Option<MutexGuard<'static, ()>> {
    if !asked_for("PATCHPROOF_VM_TESTS") || (soak && !asked_for("PATCHPROOF_SOAK")) {
        eprintln!(
            "skipped: builds kernels and boots VMs; set PATCHPROOF_VM_TESTS=1, for the long ones PATCHPROOF_SOAK=1 too"
        );
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn command(program: &str, dir: &Path, args: &[&str]) -> String {
    let done = duct::cmd(program, args)
        .dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .unwrap_or_else(|e| panic!("{program} can be run: {e}"));
    assert!(
        done.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned()
}

fn git(dir: &Path, args: &[&str]) -> String {
    let own = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "core.autocrlf=false",
    ];
    command("git", dir, &own.iter().chain(args).copied().collect::<Vec<_>>())
}

/// What a commit of a made-up history does.
#[derive(Clone, Copy)]
enum Change<'a> {
    /// Nothing that anybody could notice.
    Harmless,
    /// It does not compile; the next commit mends that.
    Broken,
    /// A patch of the project's.
    Patch(&'a str),
}

/// Makes commits in `dir`, which holds the files that they change; gives their ids, the first one without any.
fn history(dir: &Path, changes: &[Change<'_>], force: bool) -> Vec<String> {
    git(dir, &["init", "--quiet", "-b", "main"]);
    git(
        dir,
        if force {
            &["add", "--all", "--force"]
        } else {
            &["add", "--all"]
        },
    );
    git(dir, &["commit", "--quiet", "-m", "as it was"]);
    let mut ids = vec![git(dir, &["rev-parse", "HEAD"])];
    let mut unmended: Option<(PathBuf, String)> = None;
    for (at, change) in changes.iter().enumerate() {
        if let Some((path, text)) = unmended.take() {
            std::fs::write(path, text).expect("a file");
        }
        let file = dir.join(FILES[at % FILES.len()]);
        let text = std::fs::read_to_string(&file).expect("a source file");
        let subject = match change {
            Change::Harmless => {
                std::fs::write(
                    &file,
                    format!("{text}\nstatic int history_{at} __maybe_unused;\n"),
                )
                .expect("a file");
                format!("mm: change {at}")
            }
            Change::Broken => {
                std::fs::write(&file, format!("{text}\n#error \"half done\"\n")).expect("a file");
                unmended = Some((file, text));
                format!("mm: half of change {at}")
            }
            Change::Patch(patch) => {
                let patch = project().join("patches").join(patch);
                git(dir, &["apply", patch.to_str().expect("a plain path")]);
                format!("mm: simplify a check ({at})")
            }
        };
        git(dir, &["commit", "--quiet", "--all", "-m", &subject]);
        ids.push(git(dir, &["rev-parse", "HEAD"]));
    }
    ids
}

/// Unpacks files of the kernel's source, all of them where none is named.
fn unpack(dir: &Path, files: &[&str]) {
    std::fs::create_dir_all(dir).expect("a folder");
    let tarball = format!("/usr/src/{PACKAGE}.tar.xz");
    let named: Vec<String> = files.iter().map(|file| format!("{PACKAGE}/{file}")).collect();
    let mut args = vec!["-xf", &tarball, "--strip-components=1"];
    args.extend(named.iter().map(String::as_str));
    command("tar", dir, &args);
}

/// A series in an mbox, of which patch `culprit` (from 1) is a defect.
fn series(bench: &Bench, patches: usize, culprit: usize, defect: &str, touches: &str) -> String {
    let dir = bench.path("few-files");
    unpack(&dir, &[&FILES[..], &[touches]].concat());
    let changes: Vec<Change<'_>> = (1..=patches)
        .map(|at| {
            if at == culprit {
                Change::Patch(defect)
            } else {
                Change::Harmless
            }
        })
        .collect();
    let ids = history(&dir, &changes, false);
    let mbox = git(&dir, &["format-patch", "--stdout", &format!("{}..HEAD", ids[0])]);
    bench.write("series.mbox", &format!("{mbox}\n"))
}

const MATRIX: &str = "
version: 1
kernels:
  k: { source: { debian: linux-source-6.12 }, kconfigs: [base, mm, virtme] }
machines:
  small: { backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 16MiB, data: 64MiB }
cases:
  collapse: { workload: khugepaged_collapse, seed: 1, budget: 6s }
  pressure: { workload: zswap_pressure, seed: 1, budget: 1s }
matrix:
  kernel: [k]
  machine: [small]
  case: [collapse, pressure]
";

/// Runs a search, prints what it comes to, and gives its answer.
fn bisect(bench: &Bench, args: &[&str], cache: Option<&Path>) -> Value {
    let matrix = bench.write("matrix.yaml", MATRIX);
    let root = project().to_str().expect("a plain path");
    let mut all = vec!["bisect", "--matrix", &matrix, "--root", root, "--json"];
    all.extend(args);
    let mut env = vec![("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string())];
    env.extend(cache.map(|cache| ("PATCHPROOF_CACHE_DIR", OsString::from(cache))));
    let started = Instant::now();
    let ran = run(&all, &env);
    let last = ran.stdout.lines().last().unwrap_or_default();
    let answer: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(
        (ran.exit, &answer["event"]),
        (0, &"bisect".into()),
        "{answer:#}\n{}",
        ran.stderr
    );
    let report = std::fs::read_dir(bench.path("state/bisects"))
        .expect("searches are kept")
        .flatten()
        .filter_map(|e| std::fs::read_to_string(e.path().join("report.txt")).ok())
        .next();
    println!(
        "{:.0} s in all\n{}",
        started.elapsed().as_secs_f64(),
        report.unwrap_or_default()
    );
    answer
}

fn named(answer: &Value) -> Vec<&str> {
    let named = answer["named"].as_array().expect("a list").iter();
    named.map(|c| c["id"].as_str().expect("an id")).collect()
}

fn held(answer: &Value) -> Vec<&str> {
    let checks = answer["checks"].as_array().expect("a list").iter();
    checks.map(|c| c["held"].as_str().expect("a word")).collect()
}

/// A data-visible defect that shows within seconds.
const QUICK: (&str, &str) = (
    "khugepaged-private-pages/0001-khugepaged-retract-from-mappings-with-private-pages.patch",
    "mm/khugepaged.c",
);
/// One that shows in about half of the trials of one second (6 of 12 when it was tried).
const HALF: (&str, &str) = (
    "zswap-writeback-race/0001-zswap-write-back-what-the-slot-held.patch",
    "mm/zswap.c",
);

#[test]
fn a_patch_of_a_series_is_named() {
    let Some(_alone) = alone(false) else { return };
    let bench = Bench::new();
    let mbox = series(&bench, 8, 5, QUICK.0, QUICK.1);
    // It shows as wrong data and as a wrong count of pages, which are different bugs unless one says so.
    let args = ["--series", &mbox, "--case", "collapse", "--any"];
    let answer = bisect(&bench, &args, None);
    assert_eq!(named(&answer), ["5"], "{answer:#}");
    assert_eq!(held(&answer), ["yes", "yes", "yes"], "{answer:#}");
}

/// A cache of the test's own: cold.
fn cold(bench: &Bench) -> PathBuf {
    let cache = bench.path("cache");
    std::fs::create_dir_all(&cache).expect("a folder");
    cache
}

#[test]
fn a_commit_of_a_git_history_is_named_from_a_cold_cache() {
    let Some(_alone) = alone(true) else { return };
    let bench = Bench::new();
    let repo = bench.path("linux");
    unpack(&repo, &[]);
    let mut changes = [Change::Harmless; 32];
    changes[18] = Change::Patch(HALF.0);
    changes[8] = Change::Broken;
    changes[23] = Change::Broken;
    let ids = history(&repo, &changes, true);
    let (good, bad) = (ids[0].as_str(), ids[32].as_str());
    let repo = repo.to_str().expect("a plain path");
    let args = [
        "--repo", repo, "--good", good, "--bad", bad, "--case", "pressure", "--paths", "mm/",
    ];
    let answer = bisect(&bench, &args, Some(&cold(&bench)));
    assert_eq!(named(&answer), [ids[19].as_str()], "{answer:#}");
    assert!(!held(&answer).contains(&"no"), "{answer:#}");
    // git concludes the same from the log.
    let dir = Path::new(repo);
    let logs = std::fs::read_dir(bench.path("state/bisects")).expect("searches are kept");
    let log = logs.flatten().next().expect("one").path().join("bisect.log");
    git(dir, &["bisect", "replay", log.to_str().expect("a plain path")]);
    let theirs = git(dir, &["bisect", "log"]);
    assert!(
        theirs.contains(&format!("# first bad commit: [{}]", ids[19])),
        "{theirs}"
    );
}

#[test]
fn git_bisect_run_that_is_driven_by_step_names_the_commit() {
    let Some(_alone) = alone(true) else { return };
    let bench = Bench::new();
    let dir = bench.path("linux");
    unpack(&dir, &[]);
    let mut changes = [Change::Harmless; 8];
    changes[3] = Change::Broken; // the middle, where git looks first
    changes[5] = Change::Patch(QUICK.0);
    let ids = history(&dir, &changes, true);
    let matrix = bench.write("matrix.yaml", MATRIX);
    git(&dir, &["bisect", "start", &ids[8], &ids[0]]);
    let mut step = vec!["bisect", "run", env!("CARGO_BIN_EXE_patchproof"), "step"];
    step.extend(["--matrix", &matrix, "--case", "collapse", "--trials", "2"]);
    step.extend(["--root", project().to_str().expect("a plain path")]);
    println!("{}", git(&dir, &step));
    let log = git(&dir, &["bisect", "log"]);
    println!("{log}");
    assert!(
        log.contains(&format!("# first bad commit: [{}]", ids[6])),
        "{log}"
    );
    assert!(log.contains(&format!("# skip: [{}]", ids[4])), "{log}");
}

#[test]
fn a_patch_of_a_series_that_shows_in_half_of_the_trials_is_named_from_a_cold_cache() {
    let Some(_alone) = alone(true) else { return };
    let bench = Bench::new();
    let mbox = series(&bench, 8, 3, HALF.0, HALF.1);
    let answer = bisect(
        &bench,
        &["--series", &mbox, "--case", "pressure"],
        Some(&cold(&bench)),
    );
    assert_eq!(named(&answer), ["3"], "{answer:#}");
    assert!(!held(&answer).contains(&"no"), "{answer:#}");
}
