//! The whole tool on real kernels in real QEMU: a defect that must be found, a control that must stay
//! clean, and nothing left after a SIGKILL at any stage.
//!
//! They take minutes and a kernel, so they run where `PATCHPROOF_VM_TESTS=1` is set (`cargo xtask
//! test` does), one after the other, and share the user's own cache of kernels with `cargo xtask demo`.

mod tool;

use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use tool::{Bench, PATCHPROOF, Ran, descendants, project, run};

/// Guests that starve each other prove nothing: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> Option<MutexGuard<'static, ()>> {
    if std::env::var_os("PATCHPROOF_VM_TESTS").is_none_or(|v| v != "1") {
        eprintln!("skipped: builds kernels and boots VMs; set PATCHPROOF_VM_TESTS=1");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// The demo's kernels and machine with a shorter case.
const MATRIX: &str = "
version: 1
kernels:
  fixed: { source: { debian: linux-source-6.12 }, kconfigs: [base, mm, virtme, racepoints], series: [racepoints] }
  defect: { like: fixed, series: [racepoints, zswap-writeback-race] }
machines:
  small: { backend: qemu, accel: tcg, cpus: 2, memory: 300MiB, swap: 16MiB }
cases:
  short: { workload: zswap_pressure, seed: 1, budget: 8s }
  long: { workload: zswap_pressure, seed: 2, budget: 60s }
matrix:
  kernel: [fixed]
  machine: [small]
  case: [short]
  racepoint: [{ zswap_writeback: { delay: 100us..300us } }]
  include:
    - { kernel: defect, machine: small, case: long, racepoint: { zswap_writeback: { delay: 100us..300us } } }
expect:
  - { kernel: fixed, verdict: pass }
  - { kernel: defect, verdict: fail, finding: [foreign, stale] }
";

const FIXED: &str = "fixed.small@qemu.short.zswap_writeback";
const DEFECT: &str = "defect.small@qemu.long.zswap_writeback";

/// Runs on the shared cache, with runs recorded in the bench's own folder.
fn on_shared_cache(bench: &Bench, args: &[&str]) -> Ran {
    let root = project().to_str().expect("a plain path");
    let mut all = args.to_vec();
    all.extend(["--root", root, "--json"]);
    run(
        &all,
        &[("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string())],
    )
}

fn cell<'a>(summary: &'a Value, id: &str) -> &'a Value {
    let cells = summary["cells"].as_array().expect("a summary has cells");
    cells
        .iter()
        .find(|c| c["id"] == id)
        .unwrap_or_else(|| panic!("{id} ran: {summary:#}"))
}

#[test]
fn the_defect_is_found_and_the_control_is_clean() {
    let Some(_alone) = alone() else { return };
    let bench = Bench::new();
    let matrix = bench.write("matrix.yaml", MATRIX);
    let ran = on_shared_cache(&bench, &["run", &matrix]);
    let summary = ran.summary();
    let (fixed, defect) = (cell(&summary, FIXED), cell(&summary, DEFECT));
    assert_eq!(fixed["verdict"], "pass", "{fixed:#}");
    assert!(fixed["round_trips"].as_u64() > Some(1000), "{fixed:#}");
    assert_eq!(defect["verdict"], "fail", "{defect:#}");
    let class = defect["findings"][0]["class"].as_str().unwrap();
    assert!(["foreign", "stale"].contains(&class), "{defect:#}");
    assert!(defect["detect_s"].as_f64() > Some(0.0), "{defect:#}");
    assert_eq!(ran.exit, 0, "{summary:#}");

    // What was made once is found again, and a cell is repeated from its record.
    let words: Vec<&str> = defect["repeat"].as_str().unwrap().split(' ').skip(1).collect();
    let again = run(
        &[&words[..], &["--json"]].concat(),
        &[("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string())],
    );
    let summary = again.summary();
    assert_eq!(summary["kernels"][0]["cached"], true, "{summary:#}");
    assert_eq!(cell(&summary, DEFECT)["verdict"], "fail", "{summary:#}");
}

#[test]
fn a_kernel_that_lacks_what_a_cell_asks_for_skips_and_proves_nothing() {
    let Some(_alone) = alone() else { return };
    let bench = Bench::new();
    let bare = MATRIX.replace(
        "kconfigs: [base, mm, virtme, racepoints], series: [racepoints]",
        "kconfigs: [base, mm, virtme]",
    );
    let matrix = bench.write("matrix.yaml", &bare);
    let ran = on_shared_cache(&bench, &["run", &matrix, "--filter", FIXED]);
    let summary = ran.summary();
    let skipped = cell(&summary, FIXED);
    assert_eq!(skipped["verdict"], "skip", "{skipped:#}");
    assert!(
        skipped["reason"].as_str().unwrap().contains("zswap_writeback"),
        "{skipped:#}"
    );
    assert_eq!(ran.exit, 4, "{summary:#}");
}

/// Runs canaries of the shipped workflow.
fn canaries(bench: &Bench, acts: &[&str]) -> Ran {
    let matrix = project().join("workflows/canaries.yaml");
    let filters: Vec<String> = acts.iter().map(|act| format!("*@qemu.{act}.off")).collect();
    let mut args = vec!["run", matrix.to_str().expect("a plain path")];
    args.extend(filters.iter().flat_map(|filter| ["--filter", filter.as_str()]));
    on_shared_cache(bench, &args)
}

#[test]
fn a_canary_is_reported_as_exactly_what_it_is() {
    let Some(_alone) = alone() else { return };
    let bench = Bench::new();
    // Those that take seconds; `patchproof run workflows/canaries.yaml` runs all of them.
    let acts = [
        "healthy", "corrupt", "tear", "warn", "oops", "panic", "taint", "stall", "oom", "exit", "lie", "idle",
    ];
    let ran = canaries(&bench, &acts);
    let summary = ran.summary();
    let cells = summary["cells"].as_array().expect("a summary has cells");
    assert_eq!(cells.len(), acts.len(), "{summary:#}");
    for cell in cells {
        assert_eq!(cell["as_expected"], true, "{cell:#}");
    }
    assert_eq!(ran.exit, 0, "{summary:#}");
}

#[test]
fn a_lockup_without_a_word_is_asked_and_its_answer_kept() {
    let Some(_alone) = alone() else { return };
    let bench = Bench::new();
    let ran = canaries(&bench, &["lockup"]);
    let summary = ran.summary();
    let first = &summary["cells"][0]["full"]["first"];
    assert_eq!(ran.exit, 0, "{summary:#}");
    // Both CPUs spin there.
    let detail = first["detail"].as_str().unwrap();
    let spinning = detail.matches("RIP: 0010:lkdtm_HARDLOCKUP").count();
    assert_eq!(spinning, 2, "{detail}");
}

#[test]
fn a_frozen_guest_has_a_stub_that_answers_and_a_dump() {
    let Some(_alone) = alone() else { return };
    let bench = Bench::new();
    let matrix = project().join("workflows/canaries.yaml");
    let matrix = matrix.to_str().expect("a plain path");
    let state = ("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string());
    let args = [
        "run",
        matrix,
        "--filter",
        "*@qemu.corrupt.off",
        "--freeze-on-finding",
        "--json",
    ];
    let started = tool::start(&args, &[state]);
    let frozen = started.wait_for("cell_frozen");
    let dump = frozen["dump"].as_str().expect("a dump");
    let mut magic = [0; 4];
    File::open(dump)
        .and_then(|mut file| file.read_exact(&mut magic))
        .expect("the dump can be read");
    assert_eq!(&magic, b"\x7fELF");
    assert!(
        std::fs::metadata(dump).unwrap().len() > 200 << 20,
        "all of the memory"
    );
    let mut stub = UnixStream::connect(frozen["gdb"].as_str().expect("a socket")).expect("it listens");
    stub.write_all(b"$?#3f").unwrap();
    let mut answer = [0; 4];
    stub.read_exact(&mut answer).unwrap();
    // Acknowledged, and stopped by a trap.
    assert_eq!(&answer, b"+$T0", "{frozen}");
    started.signal(nix::sys::signal::Signal::SIGINT);
    let ran = started.finish();
    let summary = ran.summary();
    assert_eq!(
        summary["cells"][0]["findings"][0]["class"], "flipped",
        "{summary:#}"
    );
}

/// Starts a run, kills it with SIGKILL when an event of `stage` has come, and waits until everything
/// that it had started is gone.
fn kill_at(stage: &str, argv: &[&str], env: &[(&str, OsString)]) {
    let mut cmd = duct::cmd(argv[0], &argv[1..])
        .stdin_null()
        .stderr_null()
        .unchecked();
    for (name, value) in env {
        cmd = cmd.env(name, value);
    }
    let reader = cmd.reader().expect("patchproof can be started");
    let mut tree = None;
    for line in BufReader::new(&reader).lines() {
        let line = line.expect("output is UTF-8");
        if line.contains(&format!("\"event\":\"{stage}\"")) {
            tree = Some(
                reader
                    .pids()
                    .into_iter()
                    .flat_map(descendants)
                    .collect::<Vec<_>>(),
            );
            reader.kill().expect("it can be killed");
            break;
        }
    }
    let tree = tree.unwrap_or_else(|| panic!("{stage} never came"));
    // The keeper's namespaces die with their pipe, so this ends without being helped.
    let started = std::time::Instant::now();
    while let Some(left) = tree.iter().find(|process| process.lives()) {
        assert!(
            started.elapsed().as_secs() < 60,
            "left after SIGKILL at {stage}: {left:?}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_left_after_sigkill_at_any_stage() {
    let Some(_alone) = alone() else { return };
    let bench = Bench::new();
    let matrix = bench.write("matrix.yaml", MATRIX);
    let root = project().to_str().expect("a plain path");
    let args = [
        PATCHPROOF, "run", &matrix, "--root", root, "--json", "--filter", FIXED,
    ];
    let state = ("PATCHPROOF_STATE_DIR", bench.path("state").into_os_string());
    // A cache of its own: source, configuration and the first compilers.
    let cold = [
        state.clone(),
        ("PATCHPROOF_CACHE_DIR", bench.path("cache").into_os_string()),
    ];
    kill_at("kernel_started", &args, &cold);
    kill_at("kernel_step", &args, &cold);
    // The shared cache: boot, and pressure.
    for stage in ["cell_started", "cell_booted", "cell_progress"] {
        kill_at(stage, &args, std::slice::from_ref(&state));
    }
    // The next one starts clean.
    let ran = on_shared_cache(&bench, &["run", &matrix, "--filter", FIXED]);
    assert_eq!(ran.exit, 0, "{:#}", ran.summary());
    assert_eq!(leftovers(Path::new("/tmp")), 0, "no socket folder is left");
}

/// A ready kernel in one short cell, for a user who has no cache to share.
const IMAGE: &str = "
version: 1
kernels: { fixed: { source: { image: bzImage } } }
machines: { small: { backend: qemu, accel: tcg, cpus: 2, memory: 300MiB, swap: 16MiB } }
cases: { short: { workload: zswap_pressure, seed: 1, budget: 8s } }
matrix: { kernel: [fixed], machine: [small], case: [short] }
";

fn open_to_all(path: &Path) {
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(path, all).expect("our own file");
}

/// Copies what a user without rights needs to run the tool: the binary and the project's folders.
fn for_anybody(bench: &Bench) -> [String; 2] {
    open_to_all(&bench.path(""));
    let (tool, root) = (bench.path("patchproof"), bench.path("project"));
    std::fs::create_dir(&root).expect("the folder can be written");
    for part in ["kconfigs", "patches"] {
        duct::cmd!("cp", "-r", project().join(part), &root)
            .run()
            .expect("cp");
    }
    std::fs::copy(PATCHPROOF, &tool).expect("the binary can be copied");
    open_to_all(&tool);
    [tool, root].map(|path| path.to_str().expect("a plain path").to_owned())
}

/// Where the cache has the fixed kernel's image.
fn fixed_image(bench: &Bench) -> PathBuf {
    let matrix = bench.write("fixed.yaml", MATRIX);
    let ran = on_shared_cache(bench, &["build", &matrix, "--filter", FIXED]);
    let dir = ran
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == "kernel_ready")
        .find_map(|event| Some(PathBuf::from(event["dir"].as_str()?)));
    dir.unwrap_or_else(|| panic!("the kernel's folder is told: {}", ran.stdout))
        .join("bzImage")
}

#[test]
fn nothing_is_left_of_an_ordinary_users_run_either() {
    let Some(_alone) = alone() else { return };
    if !nix::unistd::geteuid().is_root() {
        // The test before this one ran as an ordinary user already.
        return;
    }
    let bench = Bench::new();
    let [tool, root] = for_anybody(&bench);
    let env = ["PATCHPROOF_CACHE_DIR", "PATCHPROOF_STATE_DIR"].map(|name| {
        std::fs::create_dir(bench.path(name)).expect("the folder can be written");
        open_to_all(&bench.path(name));
        (name, bench.path(name).into_os_string())
    });
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &tool,
    ];
    let whole = |matrix: &str| {
        let rest = ["run", matrix, "--root", &root, "--json"];
        user.iter()
            .copied()
            .chain(rest)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let kill = |stage: &str, matrix: &str| {
        let argv = whole(matrix);
        kill_at(stage, &argv.iter().map(String::as_str).collect::<Vec<_>>(), &env);
    };
    let source = bench.write("matrix.yaml", MATRIX);
    for stage in ["kernel_started", "kernel_step"] {
        kill(stage, &source);
    }
    std::fs::copy(fixed_image(&bench), bench.path("bzImage")).expect("the image can be copied");
    let image = bench.write("image.yaml", IMAGE);
    for stage in ["cell_started", "cell_booted", "cell_progress"] {
        kill(stage, &image);
    }
    let argv = whole(&image);
    let last = env
        .iter()
        .fold(duct::cmd(&argv[0], &argv[1..]), |cmd, (name, value)| {
            cmd.env(name, value)
        });
    last.stdin_null()
        .stdout_null()
        .run()
        .expect("the next one starts clean and passes");
}

/// Socket folders of machines that are gone.
fn leftovers(tmp: &Path) -> usize {
    let dir = tmp.join(format!("patchproof-{}", nix::unistd::geteuid()));
    std::fs::read_dir(dir).map_or(0, |entries| {
        entries.flatten().filter(|e| e.path().is_dir()).count()
    })
}
