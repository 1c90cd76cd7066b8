//! How surely and how soon the five historic bugs are found: every defect's cell of `workflows/seeds.yaml`
//! many times over, each time with a seed of its own.

use super::tempdir;
use crate::{exit_code, root};
use anyhow::Result;
use std::path::Path;
use std::process::ExitCode;

/// How often each cell is run; `PATCHPROOF_BENCH_TIMES` says otherwise.
const TIMES: u32 = 20;

/// Runs them; the table with intervals and medians is `patchproof`'s own.
pub(super) fn seeds(patchproof: &Path) -> Result<ExitCode> {
    let given = std::env::var("PATCHPROOF_BENCH_TIMES").ok();
    let times = given.and_then(|n| n.parse().ok()).unwrap_or(TIMES);
    let matrix = tempdir("seeds")?.join("seeds.yaml");
    let text = std::fs::read_to_string(root().join("workflows/seeds.yaml"))?;
    std::fs::write(&matrix, repeated(&text, times))?;
    let mut cmd = vec![
        "run".to_owned(),
        matrix.display().to_string(),
        "--root".to_owned(),
        root().display().to_string(),
    ];
    // The controls are another question, and what bare pressure is not expected to show another one still.
    let filters = [
        "async-free.*",
        "writeback-race.*",
        "unstable.*",
        "rmap-order.*",
        "private-pages.*",
        "recheck.*held*",
        "missed.*held*",
    ];
    cmd.extend(
        filters
            .iter()
            .flat_map(|filter| ["--filter".to_owned(), (*filter).to_owned()]),
    );
    let status = duct::cmd(patchproof, cmd).unchecked().run()?.status;
    Ok(exit_code(status))
}

/// Repeats each cell that a line of `include` names.
fn repeated(text: &str, times: u32) -> String {
    let line = |line: &str| {
        let is_cell = line.trim_start().starts_with("- { kernel: ") && line.contains("machine: ");
        match line.strip_suffix(" }").filter(|_| is_cell) {
            Some(head) => format!("{head}, repeat: {times} }}\n"),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cells_are_repeated() {
        let text = "include:\n    - { kernel: a, machine: m, case: c, racepoint: { r: { delay: 1us..2us } } }\n\
                    expect:\n  - { kernel: a, verdict: pass }\n";
        let want = "include:\n    - { kernel: a, machine: m, case: c, racepoint: { r: { delay: 1us..2us } }, repeat: 7 }\n\
                    expect:\n  - { kernel: a, verdict: pass }\n";
        assert_eq!(repeated(text, 7), want);
    }
}
