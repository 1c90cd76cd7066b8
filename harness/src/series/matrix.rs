//! The matrix of a series' run, as a file that `patchproof replay` and everybody else can read (pure).
//!
//! Kernel `base` has no patch, kernel `pN` the first N. Paths of patches start at the run's folder.

use std::fmt::Write as _;
use std::time::Duration;

/// A case of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseText {
    /// Its name.
    pub name: String,
    /// Its workload.
    pub workload: String,
    /// How long the pressure is kept up.
    pub budget: Duration,
}

/// What the matrix is made of.
#[derive(Debug, Clone)]
pub struct MatrixText {
    /// The base, as YAML: `{ debian: linux-source-6.12 }`.
    pub source: String,
    /// Names or paths of fragments.
    pub kconfigs: Vec<String>,
    /// File names of the patches, in order.
    pub patches: Vec<String>,
    /// `auto`, `kvm` or `tcg`.
    pub accel: String,
    /// Seed of every case.
    pub seed: u64,
    /// What is run.
    pub cases: Vec<CaseText>,
}

/// Name of the machine.
pub const MACHINE: &str = "ci";
/// Cells that the matrix may have; far below what a plan takes.
const CELLS_MAX: usize = 95_000;
/// Times that each cell may be repeated.
const REPEATS_MAX: usize = 250;

/// Name of the kernel with the first `patches` patches.
#[must_use]
pub fn kernel(patches: usize) -> String {
    if patches == 0 {
        "base".to_owned()
    } else {
        format!("p{patches}")
    }
}

/// Id of a cell; `nth` is counted from 1.
#[must_use]
pub fn cell(patches: usize, case: &str, nth: u32) -> String {
    format!("{}.{MACHINE}@qemu.{case}.off#{nth}", kernel(patches))
}

/// A scalar that means itself, whatever is in it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl MatrixText {
    /// How often each cell can be repeated.
    #[must_use]
    pub fn repeats(&self) -> u32 {
        let groups = (self.patches.len() + 1) * self.cases.len().max(1);
        u32::try_from((CELLS_MAX / groups).clamp(2, REPEATS_MAX)).unwrap_or(2)
    }

    /// The file.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from(
            "# A series, patch by patch: `base` has no patch, `pN` the first N.\nversion: 1\n\nkernels:\n",
        );
        let kconfigs: Vec<String> = self.kconfigs.iter().map(|k| quoted(k)).collect();
        let _ = writeln!(
            out,
            "  base: {{ source: {}, kconfigs: [{}] }}",
            self.source,
            kconfigs.join(", ")
        );
        let files: Vec<String> = self
            .patches
            .iter()
            .map(|p| quoted(&format!("./patches/{p}")))
            .collect();
        for n in 1..=files.len() {
            let _ = writeln!(
                out,
                "  {}: {{ like: base, series: [{}] }}",
                kernel(n),
                files[..n].join(", ")
            );
        }
        let _ = write!(
            out,
            "\nmachines:\n  {MACHINE}: {{ backend: qemu, accel: {}, cpus: 2, memory: 300MiB, swap: 16MiB, data: 64MiB }}\n\ncases:\n",
            self.accel
        );
        for case in &self.cases {
            let _ = writeln!(
                out,
                "  {}: {{ workload: {}, seed: {}, budget: {}ms }}",
                case.name,
                case.workload,
                self.seed,
                case.budget.as_millis()
            );
        }
        let kernels: Vec<String> = (0..=files.len()).map(kernel).collect();
        let cases: Vec<&str> = self.cases.iter().map(|c| c.name.as_str()).collect();
        let _ = write!(
            out,
            "\nmatrix:\n  kernel: [{}]\n  machine: [{MACHINE}]\n  case: [{}]\n  repeat: {}\n\n# What base and parts of the series show is looked at, and not expected.\nexpect:\n  - {{ kernel: [{}], verdict: any }}\n",
            kernels.join(", "),
            cases.join(", "),
            self.repeats(),
            kernels[..kernels.len() - 1].join(", ")
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::spec::{self, Lies, Lookup};
    use std::path::Path;

    struct Everything;

    impl Lookup for Everything {
        fn kconfigs(&self) -> Vec<String> {
            vec!["base".into(), "mm".into()]
        }
        fn series(&self) -> Vec<String> {
            vec![]
        }
        fn racepoints(&self) -> Option<Vec<String>> {
            None
        }
        fn at(&self, _path: &Path) -> Lies {
            Lies::File
        }
    }

    fn matrix(patches: usize) -> MatrixText {
        MatrixText {
            source: "{ debian: linux-source-6.12 }".into(),
            kconfigs: vec!["base".into(), "mm".into()],
            patches: (1..=patches).map(|n| format!("{n:04}-a-b.patch")).collect(),
            accel: "tcg".into(),
            seed: 7,
            cases: vec![CaseText {
                name: "zswap_pressure".into(),
                workload: "zswap_pressure".into(),
                budget: Duration::from_millis(8500),
            }],
        }
    }

    #[test]
    fn it_is_a_matrix_like_any_other_and_both_arms_have_the_same_seeds() {
        let text = matrix(3).text();
        let spec = spec::parse(Path::new("/runs/x/spec.yaml"), text.as_bytes(), &Everything)
            .unwrap_or_else(|e| panic!("{}", e.render_plain()));
        let plan = plan::expand(&spec).unwrap_or_else(|e| panic!("{}", e.render_plain()));
        let find = |patches, nth| {
            let id = cell(patches, "zswap_pressure", nth);
            plan.cells
                .iter()
                .find(|c| c.id == id)
                .unwrap_or_else(|| panic!("{id}"))
        };
        assert_eq!(find(0, 1).seed, 7);
        assert_eq!(find(0, 5).seed, find(3, 5).seed);
        assert_ne!(find(0, 5).seed, find(0, 6).seed);
        assert_eq!(plan.kernels["p2"].series.len(), 2);
        assert_eq!(find(0, 1).case.spec.budget, Duration::from_millis(8500));
    }

    #[test]
    fn a_long_series_stays_within_what_a_plan_takes() {
        assert_eq!(matrix(3).repeats(), 250);
        assert!(matrix(2000).repeats() >= 2);
        assert!((2001 * matrix(2000).repeats() as usize) < plan::CELLS_MAX);
    }

    #[test]
    fn what_is_quoted_means_itself() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
