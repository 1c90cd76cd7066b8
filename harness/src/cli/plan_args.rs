//! What can be written on the command line of commands that plan, split and join runs.

use crate::spec;
use clap::Subcommand;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::args::{Left, Selection};

/// One of several shards: `2/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) index: u32,
    pub(super) count: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(k, n)| Some((k.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) && count <= crate::plan::SHARDS_MAX => {
                Ok(Self { index, count })
            }
            Some(_) | None => Err(format!(
                "write it as K/N, for example 2/4: the second of four (at most {})",
                crate::plan::SHARDS_MAX
            )),
        }
    }
}

/// Which part of a split matrix.
#[derive(Debug, clap::Args)]
pub(super) struct Part {
    /// Only one shard of several, as K/N; all shards of one split, on whatever hosts, make up the whole
    #[arg(long, value_name = "K/N")]
    pub(super) shard: Option<Shard>,
    /// Takes durations from a file of `patchproof history --durations`, not from this host's history: the same
    /// file makes the same split everywhere
    #[arg(long, value_name = "FILE")]
    pub(super) durations: Option<PathBuf>,
}

/// What bounds a run.
#[derive(Debug, clap::Args)]
pub(super) struct Bounds {
    #[command(flatten)]
    pub(super) part: Part,
    /// Memory that machines may have together, such as 8GiB (default: nine tenths of what is available)
    #[arg(long, value_name = "SIZE", value_parser = spec::parse_bytes)]
    pub(super) memory: Option<u64>,
    /// Lets up to N virtual CPUs run at once for each CPU; a guest that has to wait may prove nothing
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) overcommit: Option<u32>,
    /// Ends the run after so long, such as 30min: what can't end in time is not started, and is told
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) time_budget: Option<Duration>,
    /// Ends the run at the first cell that fails, or that does not find its defect
    #[arg(long)]
    pub(super) fail_fast: bool,
    /// Runs the cells again and again, each time with other seeds, until one has a finding: N times at most
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1000",
          value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with = "resume")]
    pub(super) repeat_until_fail: Option<u32>,
}

/// A duration as matrices spell it; `30m` is 30 minutes here, where nothing else is written.
fn duration(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('m') {
        Some(minutes) if minutes.bytes().all(|b| b.is_ascii_digit()) && !minutes.is_empty() => {
            spec::parse_duration(&format!("{minutes}min"))
        }
        Some(_) | None => spec::parse_duration(text),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) what: Selection,
    #[command(flatten)]
    pub(super) part: Part,
    /// Says of each cell in which of N shards it is, and how long each shard is likely to take
    #[arg(long, value_name = "N", conflicts_with = "shard",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::plan::SHARDS_MAX)))]
    pub(super) shards: Option<u32>,
}

pub(super) const LIST_HELP: &str = "\
Examples:
  patchproof list workflows/demo.yaml
  patchproof list my.yaml --filter 'defect.*' --json | jq -r 'select(.event == \"cell\").id'
  patchproof list my.yaml --shards 4          which cells are run by which of four hosts
  patchproof list my.yaml --shard 2/4         the cells of the second one

A split depends on the matrix, the filter, the number of shards and the durations, and on nothing else. With
--durations FILE these come from the file; without it from this host's history, which others may not have.";

pub(super) const MERGE_HELP: &str = "\
Examples:
  patchproof merge shards/* --out merged --report html=run.html --report junit=junit.xml
  patchproof report merged --format github >> \"$GITHUB_STEP_SUMMARY\"

Shards that are missing and cells that two runs have are told; of two verdicts on a cell the worse one counts.
Exit codes are those of a run of all of it: a cell that nobody ran makes it 3.";

#[derive(Debug, clap::Args)]
pub(super) struct Merge {
    /// Runs: folders, ids, unique beginnings of them
    #[arg(required = true, value_name = "RUN")]
    pub(super) runs: Vec<String>,
    /// The folder of the joined run; it must not exist yet
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) left: Left,
}

pub(super) const CI_HELP: &str = "\
Examples:
  patchproof ci github workflows/nightly.yaml --shards 4 -o .github/workflows/patchproof.yaml
  patchproof ci gitlab workflows/nightly.yaml --shards 4 -o .gitlab-ci.yml
  patchproof ci github workflows/nightly.yaml --shards 4 --jobs      what the first job of it calls

docs/ci-github.md and docs/ci-gitlab.md are a page each on what to set.";

#[derive(Debug, clap::Args)]
pub(super) struct Ci {
    #[command(subcommand)]
    pub(super) system: System,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum System {
    /// GitHub Actions
    Github(CiOf),
    /// GitLab CI
    Gitlab(CiOf),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct CiOf {
    /// The matrix, as it is named in the tree whose CI this is
    pub(super) matrix: PathBuf,
    /// How many hosts it is split over
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::plan::SHARDS_MAX)))]
    pub(super) shards: u32,
    /// Writes the jobs of the shards instead: what the first job of the pipeline calls, each time anew
    #[arg(long)]
    pub(super) jobs: bool,
    /// Only cells whose id this glob matches, or contains it; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(super) filter: Vec<String>,
    /// Folder with kconfigs/ and patches/ (default: the nearest one at or above the matrix that has them)
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Durations that the split is made with
    #[arg(long, value_name = "FILE", requires = "jobs")]
    pub(super) durations: Option<PathBuf>,
    /// Writes to a file, whole or not at all, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for wrong in ["0/4", "5/4", "2", "a/b", "1/100000", "-1/4", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn minutes_may_be_short() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("30min"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["m", "30", "x30m", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
