//! What can be written on the command line of `bisect` and `step`.

use super::args::How;
use crate::hunt::report::Format;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// The cell that each trial runs, and which of its findings count.
#[derive(Debug, Args)]
pub(super) struct Trial {
    /// The matrix that has the cell
    #[arg(long, value_name = "FILE")]
    pub(super) matrix: Option<PathBuf>,
    /// The cell: its id, a part of it, or a glob; what is searched takes the place of its kernel's source
    #[arg(long, value_name = "PATTERN", requires = "matrix")]
    pub(super) cell: Option<String>,
    /// The cell's case, by name
    #[arg(long, value_name = "NAME", requires = "matrix")]
    pub(super) case: Option<String>,
    /// In place of a matrix: a workload with its defaults, in a machine of 2 CPUs and 300 MiB
    #[arg(long, value_name = "NAME", conflicts_with_all = ["matrix", "cell", "case"])]
    pub(super) workload: Option<String>,
    /// A parameter of the workload; may be repeated (`patchproof workloads` has them)
    #[arg(long, value_name = "NAME=VALUE", requires = "workload")]
    pub(super) param: Vec<String>,
    /// A racepoint with its delay, such as zswap_writeback=100us..300us; may be repeated
    #[arg(long, value_name = "NAME=A..B", requires = "workload")]
    pub(super) delay: Vec<String>,
    /// How long a trial presses where nothing is found (default: the case's, or 30s)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) budget: Option<Duration>,
    /// Folder with kconfigs/ and patches/ (default: the nearest one at or above the matrix, or here)
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Every finding counts, not only those like the bad end's first
    #[arg(long, conflicts_with = "finding")]
    pub(super) any: bool,
    /// Only findings of that class or function count (`data`: wrong data in a page); may be repeated
    #[arg(long, value_name = "CLASS|FUNCTION")]
    pub(super) finding: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Bisect {
    /// Searches the commits of a git range: the repository
    #[arg(long, value_name = "LINUX", requires_all = ["good", "bad"])]
    pub(super) repo: Option<PathBuf>,
    /// The good end: a revision without the bug
    #[arg(long, value_name = "REV", requires = "repo")]
    pub(super) good: Option<String>,
    /// The bad end: a later revision with the bug
    #[arg(long, value_name = "REV", requires = "repo")]
    pub(super) bad: Option<String>,
    /// Searches the patches of a series: a folder of patches/, a path, or an mbox
    #[arg(long, value_name = "SERIES", conflicts_with = "repo")]
    pub(super) series: Option<String>,
    /// What the series goes onto: a kernel of the matrix, a package, a folder, a tarball, or REPO@REV (default: the cell's)
    #[arg(long, value_name = "SOURCE", requires = "series")]
    pub(super) base: Option<String>,
    /// Searches kernels of the matrix in this order, the good one first
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', conflicts_with_all = ["repo", "series"], requires = "matrix")]
    pub(super) kernels: Vec<String>,
    #[command(flatten)]
    pub(super) trial: Trial,
    /// Commits that touch these are likelier; the others stay candidates; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) paths: Vec<String>,
    /// The probability that the answer has to reach
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub(super) confidence: f64,
    /// Trials of an end that may stay quiet before the bug counts as not there
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) end_trials: u32,
    /// Machine time after which the search ends with what it knows
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) limit: Option<Duration>,
    /// Starts from what a log of `git bisect log` says: bad and skip are believed, good is somebody's word
    #[arg(long, value_name = "FILE", requires = "repo")]
    pub(super) log: Option<PathBuf>,
    /// Leaves out the verification: parent clean, culprit again, reverted clean
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Goes on with a search that was stopped: its folder, its id, a unique beginning of it, or `last`
    #[arg(long, value_name = "BISECT", conflicts_with_all = ["repo", "series", "kernels", "matrix", "workload"])]
    pub(super) resume: Option<String>,
    #[command(flatten)]
    pub(super) how: How,
    /// Writes a report at the end, as `html=FILE`; may be repeated (text, json, html, mail, log)
    #[arg(long, value_name = "FORMAT=FILE", value_parser = report)]
    pub(super) report: Vec<(Format, PathBuf)>,
}

#[derive(Debug, Args)]
pub(super) struct Step {
    /// The repository that is being bisected
    #[arg(long, value_name = "LINUX", default_value = ".")]
    pub(super) repo: PathBuf,
    /// Takes the working tree as it is, changes that are not committed included, in place of HEAD
    #[arg(long)]
    pub(super) tree: bool,
    #[command(flatten)]
    pub(super) trial: Trial,
    /// Trials that have to stay quiet before a commit is called good
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) trials: u32,
    #[command(flatten)]
    pub(super) how: How,
}

pub(super) const BISECT_HELP: &str = "\
Examples:
  patchproof bisect --repo ~/linux --good v6.12.10 --bad v6.12.11 --matrix my.yaml --case pressure
  patchproof bisect --repo ~/linux --good v6.12 --bad HEAD --workload zswap_pressure --paths mm/
  patchproof bisect --series my-series.mbox --base linux-source-6.12 --workload uffd_move
  patchproof bisect --series ./0000-cover.mbox --base ~/linux@v6.12.10 --matrix my.yaml --cell 'k.*.zram.off'
  patchproof bisect --kernels v1,v2,v3 --matrix my.yaml --case pressure
  patchproof bisect --resume last
  git bisect replay ~/.local/state/patchproof/bisects/ID/bisect.log

A bug that shows in one boot of ten is not bisected by one boot a step. This search keeps a probability for
each commit, learns how often a bad kernel fails, and next tries what tells most a second, builds counted. Both
ends are tried first. Commits that do not build or boot are no reason to stop; where they hide the culprit, the
answer names all that cannot be told apart.

Ctrl-C ends it in good order; --resume goes on where it was and repeats no trial. Everything is kept in
bisects/ID in the state folder: report.html, report.txt, report.json, mail.txt, bisect.log.

Exit codes: 0 a sure answer that nothing contradicts, 1 a check contradicts the answer, 2 the range or the
command is wrong, 3 stopped, or the harness or the host broke, 4 no sure answer.";

pub(super) const STEP_HELP: &str = "\
Examples:
  git bisect start v6.12.11 v6.12.10
  git bisect run patchproof step --matrix ~/my.yaml --case pressure --trials 20
  git bisect run patchproof step --workload zswap_pressure --delay zswap_writeback=100us..300us

Exit codes, as `git bisect run` wants them: 0 every trial stayed quiet, 1 the bug showed, 125 the commit cannot
be tested (does not apply, build or boot, shows another bug, or proves nothing), 128 the harness or the host
broke: git ends the search.

At a hit rate of 10 %, ten quiet trials still call a bad commit good once in three times, at each step:
`patchproof bisect` knows what a quiet trial is worth.";

fn time(text: &str) -> Result<Duration, String> {
    crate::spec::parse_duration(text)
}

fn report(text: &str) -> Result<(Format, PathBuf), String> {
    match text.split_once('=') {
        Some((format, file)) if !file.is_empty() => Ok((format.parse()?, file.into())),
        Some(_) | None => Err("write it as FORMAT=FILE, for example html=bisect.html".to_owned()),
    }
}
