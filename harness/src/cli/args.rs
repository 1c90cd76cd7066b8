//! What can be written on the command line.

use crate::report::Format;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Puts a Linux kernel patch through real memory pressure in QEMU and proves, page by page, that no data was lost.
#[derive(Debug, Parser)]
#[command(name = "patchproof", version, about, after_help = EXIT_CODES)]
pub(super) struct Args {
    /// Writes only JSON to standard output, an object a line, errors included
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 everything came out as expected, 1 a kernel failed (or an expected defect was missed),
2 usage or matrix error, 3 the harness or the host broke, 4 nothing was proved.

Places: kernels and sources are kept in $PATCHPROOF_CACHE_DIR (else $XDG_CACHE_HOME/patchproof),
runs in $PATCHPROOF_STATE_DIR (else $XDG_STATE_HOME/patchproof).";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Builds the kernels of a matrix, runs its cells and judges them
    #[command(after_help = "\
Examples:
  patchproof run workflows/demo.yaml
  patchproof run workflows/demo.yaml --filter 'defect.*'
  patchproof run --resume last
  patchproof run my.yaml --time-budget 30min --fail-fast
  patchproof run my.yaml --filter 'fixed.*' --repeat-until-fail
  patchproof run my.yaml --shard 2/4 --durations durations.json
  patchproof run my.yaml --json | jq 'select(.event == \"cell_done\") | {id, verdict}'")]
    Run(Run),
    /// Checks a patch series against its base: applies, builds patch by patch, boots, keeps its pages
    #[command(after_help = SERIES_HELP)]
    Series(Series),
    /// Runs one cell of an earlier run again: same kernel, seed and parameters
    #[command(after_help = "\
Examples:
  patchproof replay last defect.small@qemu.pressure.zswap_writeback
  patchproof replay 20260301-101500-demo-aB3x fixed.small@qemu.pressure.off

Thread schedules are not promised to repeat: a race may need several goes.")]
    Replay(Replay),
    /// Writes a report of a run: for people, for CI, for other programs
    #[command(after_help = "\
Examples:
  patchproof report last --format html -o run.html
  patchproof report last --format junit -o junit.xml
  patchproof report last --format github >> \"$GITHUB_STEP_SUMMARY\"
  patchproof run my.yaml --report html=run.html --report junit=junit.xml")]
    Report(Report),
    /// Prints how cells came out in earlier runs: pass rate, flakiness, time to detection
    #[command(after_help = "\
Examples:
  patchproof history
  patchproof history pressure.zswap_writeback
  patchproof history 'small@qemu.*' --json
  patchproof history --durations > durations.json")]
    History(History),
    /// Boots a kernel under virtme-ng and logs in over SSH
    #[command(after_help = "\
Examples:
  patchproof shell fixed                                   a kernel of workflows/demo.yaml
  patchproof shell defect --matrix my.yaml --host-root     with this host's files, read-only
  patchproof shell fixed.small@qemu.pressure.off           the machine of a cell
  patchproof shell arch/x86/boot/bzImage -- uname -r       one command in a kernel built by hand
  patchproof shell fixed --put repro.c --get /tmp/out:out.txt -- 'cc repro.c && ./a.out > /tmp/out'

The guest has no network. Without --host-root (or `trusted: true` in the matrix) it has a small root of
its own: a shell, busybox, an SSH server. What is written there is gone with the guest. Exit code: the
command's own (128 + N after signal N), else 2 or 3 as everywhere, with a line that says so.")]
    Shell(Shell),
    /// Finds the commit, patch or source that made a bug, when it shows only in some of the trials
    #[command(after_help = super::hunt_args::BISECT_HELP)]
    Bisect(Box<super::hunt_args::Bisect>),
    /// Tries one commit, for those who drive `git bisect run` themselves
    #[command(after_help = super::hunt_args::STEP_HELP)]
    Step(Box<super::hunt_args::Step>),
    /// Prints the cells of a matrix and the kernels they need; nothing is built or booted
    #[command(after_help = super::plan_args::LIST_HELP)]
    List(super::plan_args::List),
    /// Joins the runs of all shards into one
    #[command(after_help = super::plan_args::MERGE_HELP)]
    Merge(super::plan_args::Merge),
    /// Writes what another CI system needs to run a matrix on several hosts
    #[command(after_help = super::plan_args::CI_HELP)]
    Ci(super::plan_args::Ci),
    /// Prints the JSON schema of matrix files, with which editors complete them
    Schema,
    /// Builds the kernels of a matrix and prints where they are; nothing is booted
    #[command(after_help = "\
Examples:
  patchproof build workflows/demo.yaml
  patchproof build workflows/demo.yaml --filter 'fixed.*' --json | jq -r 'select(.event == \"kernel_ready\").dir'")]
    Build(Build),
    /// Says what this host can do: tools, sandbox, space, and whether a kernel really boots
    #[command(after_help = "\
Exit code 3 where a demo could not run; each thing that is missing comes with the line that mends it.
Whether the accelerator works is found out by booting a kernel of the cache, where there is one.")]
    Doctor,
    /// Prints the workloads with their parameters, defaults and limits
    Workloads,
    /// Shows or shrinks what is kept: kernels, sources, build folders
    Cache(Cache),
    /// Classifies saved kernel logs
    #[command(after_help = "\
Examples:
  patchproof console console.log
  patchproof console --vmlinux ~/.cache/patchproof/kernels/KEY/vmlinux console.log
  patchproof console --json runs/*/cells/*/attempt-1/console.log")]
    Console(Console),
}

/// Which cells of a matrix.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The matrix
    pub(super) matrix: PathBuf,
    /// Only cells whose id this glob matches, or contains it; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(super) filter: Vec<String>,
    /// Folder with kconfigs/ and patches/ (default: the nearest one at or above the matrix that has them)
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The matrix
    #[arg(required_unless_present = "resume")]
    pub(super) matrix: Option<PathBuf>,
    /// Only cells whose id this glob matches, or contains it; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(super) filter: Vec<String>,
    /// Folder with kconfigs/ and patches/ (default: the nearest one at or above the matrix that has them)
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Finishes a run that was stopped: its folder, its id, a unique beginning of it, or `last`
    #[arg(long, value_name = "RUN", conflicts_with_all = ["matrix", "filter", "root", "shard"])]
    pub(super) resume: Option<String>,
    #[command(flatten)]
    pub(super) how: How,
    #[command(flatten)]
    pub(super) bounds: super::plan_args::Bounds,
    #[command(flatten)]
    pub(super) left: Left,
    /// Stops a guest at its first finding: with a gdb stub and its memory in a file, until Ctrl-C
    #[arg(long)]
    pub(super) freeze_on_finding: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Build {
    #[command(flatten)]
    pub(super) what: Selection,
    #[command(flatten)]
    pub(super) how: How,
    #[command(flatten)]
    pub(super) left: Left,
}

const SERIES_HELP: &str = "\
Examples:
  patchproof series ./v3_20260301_jane_zswap.mbx --base debian
  patchproof series patches/my-fix --base ../linux --workloads zswap_pressure --budget 60s
  patchproof series ../linux:v6.12..my-branch --base ../linux@v6.12 --reply reply.eml
  patchproof series 0001-*.patch 0002-*.patch --base linux-source-6.12 --all --json

SERIES is an mbox (as `b4 am` writes it), patch files, a folder of them, or commits as REPO:FROM..TO.
SOURCE is `debian` or a package, a kernel tree's folder, a tarball, or REPO@REVISION (REPO@base-commit takes
what the series says). Base and patched are run with the same seeds; what base shows is never blamed on the
series. A finding that only patched shows is tried on fresh pairs until a sequential test decides: at most 1 %
of harmless series are blamed, over all cases together.

Exit codes: 0 nothing new was found, 1 something is wrong with the series, 2 usage error, 3 the harness or the
host broke, 4 nothing was proved, or a finding is left undecided.";

#[derive(Debug, clap::Args)]
pub(super) struct Series {
    /// The series: an mbox, patch files, a folder, or REPO:FROM..TO
    #[arg(required = true, value_name = "SERIES")]
    pub(super) series: Vec<String>,
    /// What it is put on: `debian`, a package, a folder, a tarball, or REPO@REVISION
    #[arg(long, value_name = "SOURCE")]
    pub(super) base: String,
    /// Repository of a range that names none
    #[arg(long, value_name = "DIR")]
    pub(super) repo: Option<PathBuf>,
    /// Workloads to run (default: those that the touched files call for)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "all")]
    pub(super) workloads: Vec<String>,
    /// Runs all workloads
    #[arg(long)]
    pub(super) all: bool,
    /// How long the pressure of each run is kept up
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(super) budget: std::time::Duration,
    /// Pairs of runs that are looked at where nothing is found
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) repeats: u32,
    /// Most pairs of runs for a finding that only patched has shown
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(20..=200))]
    pub(super) pairs_max: u32,
    /// Seed of every workload
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Configuration fragments, by name or path
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "base,mm,virtme"
    )]
    pub(super) kconfigs: Vec<String>,
    /// What machines run on: auto, kvm or tcg
    #[arg(long, value_name = "WORD", default_value = "auto", value_parser = ["auto", "kvm", "tcg"])]
    pub(super) accel: String,
    /// Writes the reply there as well
    #[arg(long, value_name = "FILE")]
    pub(super) reply: Option<PathBuf>,
    /// Who sends the reply, as `Name <address>` (default: git's user.name and user.email)
    #[arg(long, value_name = "WHO", value_parser = who)]
    pub(super) from: Option<crate::source::Mailbox>,
    /// Folder with kconfigs/ and patches/ (default: the nearest one at or above this folder)
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    #[command(flatten)]
    pub(super) how: How,
    #[command(flatten)]
    pub(super) left: Left,
}

/// How kernels are built and machines are run.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// CPUs that builds and machines may use (default: all)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) cores: Option<u32>,
    /// Whether patches are applied and built in a sandbox without network; `off` is for kernels that you trust
    #[arg(long, value_enum, default_value_t = Sandbox::On)]
    pub(super) sandbox: Sandbox,
}

/// What is left of a run for those who read it later.
#[derive(Debug, clap::Args)]
pub(super) struct Left {
    /// Writes a report at the end, as `html=FILE`; may be repeated (formats: see `patchproof report --help`)
    #[arg(long, value_name = "FORMAT=FILE", value_parser = report)]
    pub(super) report: Vec<(Format, PathBuf)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sandbox {
    On,
    Off,
}

#[derive(Debug, clap::Args)]
pub(super) struct Report {
    /// A run: its folder, its id, a unique beginning of it, or `last`
    #[arg(default_value = "last")]
    pub(super) run: String,
    /// text, ktap, junit, kcidb, html, github (Markdown for a step summary), annotations (`::error` lines)
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: Format,
    /// Writes to a file, whole or not at all, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// Only cells whose id this glob matches, or contains it
    pub(super) case: Option<String>,
    /// Only the newest runs, so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(super) limit: u32,
    /// Writes what cells and kernels took, as JSON: what a matrix can be split with the same way everywhere
    #[arg(long, conflicts_with = "case")]
    pub(super) durations: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// A run: its folder, its id, a unique beginning of it, or `last`
    pub(super) run: String,
    /// The cell's id
    pub(super) cell: String,
    #[command(flatten)]
    pub(super) how: How,
    #[command(flatten)]
    pub(super) left: Left,
    /// Stops a guest at its first finding: with a gdb stub and its memory in a file, until Ctrl-C
    #[arg(long)]
    pub(super) freeze_on_finding: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Shell {
    /// A kernel of the matrix, a cell's id (or a part of it that only one machine's cells have), or a kernel image
    pub(super) target: String,
    /// The matrix
    #[arg(long, value_name = "FILE", default_value = "workflows/demo.yaml")]
    pub(super) matrix: PathBuf,
    /// Folder with kconfigs/ and patches/ (default: the nearest one at or above the matrix that has them)
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Shows the guest this host's files, read-only: for kernels that you trust
    #[arg(long)]
    pub(super) host_root: bool,
    /// CPUs of the guest (default: the machine's)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) cpus: Option<u32>,
    /// Memory of the guest, such as 1GiB (default: the machine's)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) memory: Option<u64>,
    /// Copies a file into the guest first (default place: the home folder there)
    #[arg(long, value_name = "FILE[:PATH]")]
    pub(super) put: Vec<String>,
    /// Copies a file out of the guest at the end, whatever the command came to (default place: here)
    #[arg(long, value_name = "PATH[:FILE]")]
    pub(super) get: Vec<String>,
    /// Gives the command a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    #[command(flatten)]
    pub(super) how: How,
    /// Runs this in place of a login: one word is a line for the guest's shell, several are taken as they are
    #[arg(last = true)]
    pub(super) command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Cache {
    #[command(subcommand)]
    pub(super) what: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Prints what is kept, least recently used first
    List,
    /// Removes the least recently used until the rest fits
    Prune {
        /// What may stay (default: $PATCHPROOF_CACHE_SIZE, else 20GiB)
        #[arg(long, value_name = "SIZE", value_parser = size)]
        limit: Option<u64>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Console {
    /// Saved kernel logs
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Shows each report's stack with file and line, and what was inlined, from this kernel's debug information
    #[arg(long, value_name = "FILE")]
    pub(super) vmlinux: Option<PathBuf>,
}

fn report(text: &str) -> Result<(Format, PathBuf), String> {
    match text.split_once('=') {
        Some((format, file)) if !file.is_empty() => Ok((format.parse()?, file.into())),
        Some(_) | None => Err("write it as FORMAT=FILE, for example html=run.html".to_owned()),
    }
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::spec::parse_duration(text)
}

fn who(text: &str) -> Result<crate::source::Mailbox, String> {
    crate::source::Mailbox::parse(text).ok_or_else(|| "write it as `Name <local@domain>`".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    crate::spec::parse_bytes(text)
}

#[cfg(test)]
mod tests {
    use super::Args;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
