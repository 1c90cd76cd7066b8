//! What the defaults find: the cases of `workflows/nightly.yaml` as they are, which know nothing of any bug, on the
//! kernels of `workflows/seeds.yaml`, with random racepoints and bare.

use super::tempdir;
use crate::{exit_code, root};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::ExitCode;

/// The kernels, and the case of the workload that exercises what each one breaks.
const CELLS: [(&str, &str); 7] = [
    ("async-free", "zram"),
    ("writeback-race", "zswap"),
    ("unstable", "zram"),
    ("rmap-order", "collapse"),
    ("private-pages", "collapse"),
    ("recheck", "move"),
    ("missed", "move"),
];

/// Runs them; the table is `patchproof`'s own.
pub(super) fn nightly(patchproof: &Path) -> Result<ExitCode> {
    let read = |name: &str| std::fs::read_to_string(root().join("workflows").join(name));
    let text = composed(&read("nightly.yaml")?, &read("seeds.yaml")?)?;
    let matrix = tempdir("nightly")?.join("nightly-seeds.yaml");
    std::fs::write(&matrix, text)?;
    let run = duct::cmd!(patchproof, "run", matrix, "--root", root());
    Ok(exit_code(run.unchecked().run()?.status))
}

/// A matrix of the machines and cases of `nightly` on the kernels of `seeds`.
fn composed(nightly: &str, seeds: &str) -> Result<String> {
    let block = |text: &str, name: &str| {
        let top = |line: &&str| !line.starts_with([' ', '#']) && !line.is_empty();
        let mut lines = text.lines().skip_while(|line| *line != format!("{name}:"));
        let head = lines.next().with_context(|| format!("no block {name}"))?;
        let rest: String = lines
            .take_while(|line| !top(line))
            .map(|line| format!("{line}\n"))
            .collect();
        anyhow::Ok(format!("{head}\n{rest}"))
    };
    let cells: String = CELLS
        .iter()
        .flat_map(|(kernel, case)| {
            ["off", "{ random: { delay: 10us..300us } }"].map(|racepoint| {
                format!(
                    "    - {{ kernel: {kernel}, machine: small, case: {case}, racepoint: {racepoint} }}\n"
                )
            })
        })
        .collect();
    Ok(format!(
        "version: 1\n{}{}{}matrix:\n  include:\n{cells}expect:\n  - {{ verdict: any }}\n",
        block(seeds, "kernels")?,
        block(nightly, "machines")?,
        block(nightly, "cases")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_come_from_one_file_and_cases_from_the_other() {
        let nightly = "version: 1\n\nkernels:\n  a: {}\n\nmachines:\n  small: { cpus: 2 }\n# why\ncases:\n  zram: {}\n\nmatrix:\n  kernel: [a]\n";
        let seeds = "kernels:\n  b: {}\n  # c\n\ncases:\n  other: {}\n";
        let text = composed(nightly, seeds).unwrap();
        assert!(
            text.starts_with("version: 1\nkernels:\n  b: {}\n  # c\n\nmachines:\n  small: { cpus: 2 }\n# why\ncases:\n  zram: {}\n\nmatrix:\n  include:\n"),
            "{text}"
        );
        assert!(!text.contains("other") && !text.contains("a: {}"), "{text}");
        assert!(composed("", seeds).is_err());
    }
}
