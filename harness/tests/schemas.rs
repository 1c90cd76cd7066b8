//! The schemas: ours of matrix files, and those that others publish of what we write for their systems, each
//! checked by a validator that is not ours. No VM, no kernel.

mod tool;

use std::path::{Path, PathBuf};
use tool::Bench;

/// `check-jsonschema`, which `cargo xtask setup` installs.
fn validator() -> Option<PathBuf> {
    let target = Path::new(tool::PATCHPROOF).ancestors().nth(2)?;
    let path = target.join("validators/bin/check-jsonschema");
    if !path.exists() {
        eprintln!(
            "not tested: {} is missing; `cargo xtask setup` installs it",
            path.display()
        );
    }
    path.exists().then_some(path)
}

/// Whether the validator takes all of these files, and what it says: `FILE::` where one is wrong.
fn takes<P: AsRef<Path>>(validator: &Path, schema: &[&str], files: &[P]) -> (bool, String) {
    let mut args: Vec<&str> = schema.to_vec();
    args.extend(
        files
            .iter()
            .map(|file| file.as_ref().to_str().expect("a plain path")),
    );
    let out = duct::cmd(validator, args)
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .expect("the validator can be started");
    (
        out.status.success(),
        String::from_utf8_lossy(&out.stdout).into_owned(),
    )
}

fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tool::project().join("workflows")).expect("there are workflows");
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    all.sort();
    all
}

/// Uses everything that a matrix can say.
const FULL: &str = r#"
version: 1
defaults: { backend: qemu, memory: 300MiB, swap: 16MiB, data: none, boot_args: [slab_nomerge], seed: 3, budget: 20s }
sources:
  new: { debian: linux-source-6.12 }
racepoints:
  slow: { zswap_writeback: { delay: 1ms } }
kernels:
  fixed: { source: new, kconfigs: [base, mm], series: [racepoints] }
  defect: { like: fixed, series: [racepoints, zswap-writeback-race], trusted: false }
machines:
  small: { cpus: 2 }
  large: { like: small, memory: 1GiB, swap: none }
cases:
  pressure: { workload: zswap_pressure, params: { arena: 4MiB, shrinker: true, pool_percent: 20% } }
  long: { like: pressure, budget: 1min, params: { threads: 4 } }
matrix:
  kernel: [fixed, defect]
  source: [new, { name: old, debian: linux-source-6.1 }]
  series: [none, { name: two, series: [uffd-move-missed-folio] }]
  kconfigs: [none, debug]
  machine: [small, large]
  backend: [qemu]
  accel: [tcg]
  cpus: [1, 2]
  memory: [256MiB]
  swap: [none, 8MiB]
  boot_args: [none, { name: poison, boot_args: [page_poison=1] }]
  case: [pressure, long]
  params: { arena: [1MiB, 2MiB] }
  budget: [10s]
  racepoint: [off, slow, random: { delay: 10us..300us }]
  seed: [1, 5..6]
  exclude:
    - { kernel: fixed, cpus: 1, params: { arena: 1MiB } }
    - { racepoint: [slow], seed: [5, 6] }
  include:
    - { kernel: defect, repeat: 2 }
expect:
  - { kernel: fixed, verdict: pass }
  - { kernel: defect, racepoint: [slow, random], cpus: 2, verdict: fail, finding: [foreign, { splat: "x", function: "y" }] }
"#;

#[test]
fn every_matrix_that_ships_fits_the_schema_that_ships() {
    let Some(validator) = validator() else { return };
    let schema = tool::project().join("workflows/matrix.schema.json");
    let with = ["--schemafile", schema.to_str().expect("a plain path")];
    let bench = Bench::new();
    let mut good = shipped();
    good.push(bench.write("full.yaml", FULL).into());
    let (taken, said) = takes(&validator, &with, &good);
    assert!(taken, "{said}");
    let list = |file: &str| {
        let root = tool::project().to_str().expect("a plain path");
        bench.patchproof(&["list", file, "--root", root], &[])
    };
    let out = list(good[good.len() - 1].to_str().expect("a plain path"));
    assert_eq!(out.exit, 0, "{out:?}");
    // A validator that takes anything would prove nothing.
    let edits = [
        ("budget: 20s", "budget: 20"),
        ("backend: [qemu]", "backend: [qmeu]"),
        ("machines:", "mashines:"),
        ("arena: 4MiB", "arenas: 4MiB"),
        ("verdict: pass", "verdict: passed"),
        ("finding: [foreign", "finding: [strange"),
        ("delay: 1ms", "dealy: 1ms"),
        ("cpus: [1, 2]", "cpus: []"),
        ("seed: [1, 5..6]", "seed: [1, 5-6]"),
        ("repeat: 2", "repeat: 0"),
    ];
    let mut bad = Vec::new();
    for (number, (from, to)) in edits.iter().enumerate() {
        assert_eq!(FULL.matches(from).count(), 1, "`{from}` stands there once");
        let file = bench.write(&format!("bad{number}.yaml"), &FULL.replace(from, to));
        assert_eq!(list(&file).exit, 2, "the reader takes `{to}`");
        bad.push(file);
    }
    let (taken, said) = takes(&validator, &with, &bad);
    assert!(!taken);
    for (file, (_, to)) in bad.iter().zip(edits) {
        assert!(
            said.contains(&format!("{file}::")),
            "the schema takes `{to}`: {said}"
        );
    }
}

#[test]
fn the_schema_that_ships_is_the_one_that_is_made() {
    let out = Bench::new().patchproof(&["schema"], &[]);
    let shipped = std::fs::read_to_string(tool::project().join("workflows/matrix.schema.json"));
    assert!(
        shipped.is_ok_and(|shipped| shipped == out.stdout),
        "workflows/matrix.schema.json is not current: `cargo xtask schema` writes it"
    );
    for file in shipped_texts() {
        let first = file.1.lines().next().unwrap_or_default();
        assert_eq!(
            first,
            "# yaml-language-server: $schema=matrix.schema.json",
            "{}",
            file.0.display()
        );
    }
}

fn shipped_texts() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file");
        (path, text)
    };
    shipped().into_iter().map(read).collect()
}

#[test]
fn pipelines_fit_what_their_systems_publish() {
    let Some(validator) = validator() else { return };
    let bench = Bench::new();
    let project = tool::project().to_str().expect("a plain path");
    let matrix = tool::project().join("workflows/seeds.yaml");
    let matrix = matrix.to_str().expect("a plain path");
    for (system, schema) in [
        ("github", "vendor.github-workflows"),
        ("gitlab", "vendor.gitlab-ci"),
    ] {
        let file = bench.path("pipeline.yml");
        let name = file.to_str().expect("a plain path");
        let all = [
            "ci", system, matrix, "--root", project, "--shards", "3", "--filter", "fixed.*", "-o", name,
        ];
        let out = bench.patchproof(&all, &[]);
        assert_eq!(out.exit, 0, "{out:?}");
        let with = ["--builtin-schema", schema];
        let (taken, said) = takes(&validator, &with, &[&file]);
        assert!(taken, "{system}: {said}");
        let text = std::fs::read_to_string(&file).expect("a file");
        std::fs::write(
            &file,
            text.replace("artifacts:", "artefakts:")
                .replace("runs-on:", "run-on:"),
        )
        .expect("a file");
        assert!(
            !takes(&validator, &with, &[&file]).0,
            "{system}: a key that does not exist"
        );
    }
    // What the first job of a pipeline calls.
    let file = bench.path("jobs.yml");
    let name = file.to_str().expect("a plain path");
    let out = bench.patchproof(
        &[
            "ci", "gitlab", matrix, "--root", project, "--shards", "3", "--jobs", "-o", name,
        ],
        &[],
    );
    assert_eq!(out.exit, 0, "{out:?}");
    let (taken, said) = takes(&validator, &["--builtin-schema", "vendor.gitlab-ci"], &[&file]);
    assert!(taken, "{said}");
    let out = bench.patchproof(
        &[
            "ci", "github", matrix, "--root", project, "--shards", "3", "--jobs",
        ],
        &[],
    );
    let jobs: serde_json::Value = serde_json::from_str(&out.stdout).expect("one line of JSON");
    let shards = jobs["include"].as_array().expect("a list");
    assert_eq!(shards.len(), 3, "{jobs}");
    assert_eq!(shards[1]["shard"], "2/3");
}

#[test]
fn our_own_workflows_fit_githubs_schema() {
    let Some(validator) = validator() else { return };
    let folder = tool::project().join(".github/workflows");
    let files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("there are workflows")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(!files.is_empty());
    let (taken, said) = takes(
        &validator,
        &["--builtin-schema", "vendor.github-workflows"],
        &files,
    );
    assert!(taken, "{said}");
}
