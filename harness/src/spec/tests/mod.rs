//! Whole files, good and bad: what a user reads of each kind of error, word for word.

mod axes;
mod cases;
mod expect;
mod kernels;
mod machines;
mod racepoints;
mod robust;
mod series_files;
mod shipped;
mod syntax;
mod whole;

use std::path::{Path, PathBuf};

use super::{Axis, Lies, Lookup, RacepointSetting, Sets, Spec, parse};

/// A world without a disk.
pub(crate) struct World;

impl Lookup for World {
    fn kconfigs(&self) -> Vec<String> {
        ["base", "mm", "racepoints", "debug-kasan"]
            .map(str::to_owned)
            .to_vec()
    }

    fn series(&self) -> Vec<String> {
        ["racepoints", "zswap-writeback-race"].map(str::to_owned).to_vec()
    }

    fn racepoints(&self) -> Option<Vec<String>> {
        Some(
            ["zswap_writeback", "swap_in_cache", "zs_migrate"]
                .map(str::to_owned)
                .to_vec(),
        )
    }

    fn at(&self, path: &Path) -> Lies {
        match path.to_str().unwrap_or_default() {
            "/m/linux" | "/src/linux" | "/m/mine" => Lies::Folder,
            "/m/bzImage" | "/m/linux.tar.xz" | "/m/my.config" | "/m/fix.mbox" => Lies::File,
            _ => Lies::Nothing,
        }
    }
}

/// A small file without an error; tests change parts of it.
pub(crate) const GOOD: &str = "\
version: 1
kernels:
  fixed: { source: { debian: linux-source-6.12 }, kconfigs: [base, mm], series: [racepoints] }
  defect: { like: fixed, series: [racepoints, zswap-writeback-race] }
machines:
  small: { backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
cases:
  pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: 4MiB } }
matrix:
  kernel: [fixed, defect]
  case: [pressure]
  machine: [small]
  racepoint: [off, { zswap_writeback: { delay: 100us..300us } }]
expect:
  - { kernel: fixed, verdict: pass }
  - { kernel: defect, racepoint: zswap_writeback, verdict: fail, finding: [foreign, stale] }
";

pub(crate) fn path() -> PathBuf {
    PathBuf::from("/m/a.yaml")
}

pub(crate) fn good(text: &str) -> Spec {
    match parse(&path(), text.as_bytes(), &World) {
        Ok(spec) => spec,
        Err(e) => panic!("{}", e.render_plain()),
    }
}

/// What a user reads of a bad file.
pub(crate) fn bad(bytes: impl AsRef<[u8]>) -> String {
    match parse(&path(), bytes.as_ref(), &World) {
        Ok(spec) => panic!("accepted: {spec:#?}"),
        Err(e) => e.render_plain(),
    }
}

/// [`GOOD`] with one part changed.
pub(crate) fn edited(from: &str, to: &str) -> String {
    assert_eq!(
        GOOD.matches(from).count(),
        1,
        "`{from}` must stand in the good file once"
    );
    GOOD.replace(from, to)
}

/// What a user reads of each of several changes.
pub(crate) fn each_bad(edits: &[(&str, &str)]) -> String {
    edits
        .iter()
        .map(|(from, to)| bad(edited(from, to)))
        .collect::<Vec<_>>()
        .join("--\n")
}

/// The settings on the axis `racepoint`.
pub(crate) fn settings(spec: &Spec) -> Vec<RacepointSetting> {
    let choices = spec.matrix.axis(&Axis::Racepoint).unwrap_or_default();
    let mut settings = Vec::new();
    for choice in choices {
        if let Sets::Racepoint(setting) = &choice.sets {
            settings.push(setting.clone());
        }
    }
    settings
}
