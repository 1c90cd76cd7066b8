//! Source lines for splats: of a console that somebody looks at, and of a cell's findings.
//!
//! Not here: reading debug information (`kernel::lines`). A finding gets its lines after the verdict,
//! which never depends on them: a kernel without debug information, or with some that nobody can read,
//! leaves the report as the kernel printed it.

use crate::console::{self, SourcePlace, StackFrame};
use crate::host::{Cmd, Output};
use crate::kernel::lines::{self, LinesError, Place};
use crate::verdict::{Class, Verdict};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

/// How long frames of one console are looked up.
const LOOK_UP_MAX: Duration = Duration::from_secs(30);
/// How long the lines of a cell's findings are waited for, start and end of the process included.
const APART_MAX: Duration = Duration::from_secs(45);
/// Most bytes that the other process may answer.
const ANSWER_LEN_MAX: usize = 16 << 20;
/// What runs: this program, whatever has become of its file since.
const SELF: &str = "/proc/self/exe";

/// What a vmlinux says about frames.
#[derive(Debug, Default)]
pub struct Sources(HashMap<Place, Vec<SourcePlace>>);

impl Sources {
    /// Looks up every frame that the reports show.
    ///
    /// # Errors
    /// Where the vmlinux cannot be read, or has no debug information.
    pub fn of(vmlinux: &Path, splats: &[&console::Splat]) -> Result<Self, LinesError> {
        let shown = splats.iter().flat_map(|splat| console::frames_in(&splat.report));
        let stacks = splats.iter().flat_map(|splat| splat.stack.clone());
        let wanted: HashSet<Place> = shown.chain(stacks).filter_map(|frame| place(&frame)).collect();
        let wanted: Vec<Place> = wanted.into_iter().collect();
        let found = lines::resolve(vmlinux, &wanted, LOOK_UP_MAX)?;
        let told = found.into_iter().map(|all| {
            all.into_iter()
                .map(|line| SourcePlace {
                    function: line.function,
                    at: format!("{}:{}", line.file, line.line),
                })
                .collect()
        });
        Ok(Self(wanted.into_iter().zip(told).collect()))
    }

    /// Who was inlined at a frame, innermost first, and then the frame's own function.
    #[must_use]
    pub fn find(&self, frame: &StackFrame) -> Vec<SourcePlace> {
        let all = place(frame).and_then(|place| self.0.get(&place));
        all.cloned().unwrap_or_default()
    }
}

fn place(frame: &StackFrame) -> Option<Place> {
    Some(Place {
        symbol: frame.symbol.clone(),
        offset: frame.offset?,
        size: frame.size,
        exact: frame.exact,
    })
}

/// One console's answer of `patchproof console --json --vmlinux`.
#[derive(Deserialize)]
struct Answer {
    splats: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    title: String,
    t_ns: Option<u64>,
    report: String,
}

/// Puts source lines into the reports of a verdict's findings, where the kernel has debug information.
pub(super) async fn put(verdict: Verdict, vmlinux: &Path, console: &Path) -> Verdict {
    let is_splat = |class| matches!(class, Class::Splat(_));
    if !verdict.findings().any(|finding| is_splat(finding.class)) || !lines::has_lines(vmlinux) {
        return verdict;
    }
    let (plain, vmlinux, console) = (verdict.clone(), vmlinux.to_owned(), console.to_owned());
    tokio::task::spawn_blocking(move || put_apart(verdict, &vmlinux, &console))
        .await
        .unwrap_or(plain)
}

/// Puts source lines into the reports of a verdict's findings. Blocks for less than a minute.
///
/// The vmlinux may be hostile, so that a process of its own reads it: whatever becomes of that, the
/// verdict has the reports that it had.
#[must_use]
pub fn put_apart(mut verdict: Verdict, vmlinux: &Path, console: &Path) -> Verdict {
    let answer = Cmd::new(SELF)
        .args(["--json", "console", "--vmlinux"])
        .arg(vmlinux)
        .arg(console)
        .stdout(Output::Capture {
            limit: ANSWER_LEN_MAX,
        })
        .deadline(APART_MAX, "the source lines of a report")
        .run();
    let told = answer
        .ok()
        .and_then(|done| serde_json::from_slice::<Answer>(&done.stdout).ok());
    let Some(mut told) = told.map(|answer| answer.splats) else {
        return verdict;
    };
    if let Verdict::Fail { first, later } = &mut verdict {
        for finding in std::iter::once(first).chain(later) {
            let same = |said: &Told| said.title == finding.title && said.t_ns == finding.t_ns;
            if matches!(finding.class, Class::Splat(_))
                && let Some(at) = told.iter().position(same)
            {
                finding.detail = told.remove(at).report;
            }
        }
    }
    verdict
}
