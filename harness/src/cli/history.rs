//! `history`, and remembering a run that has ended.

use super::Done;
use super::args::History as Args;
use super::run::runs;
use super::show::Failure;
use crate::host::dirs;
use crate::plan::{self, Durations};
use crate::report::history_table;
use crate::store::history::{History, HistoryError, Line};
use serde_json::json;
use std::path::Path;

/// Durations are those of the newest runs: what is older was another kernel, another suite.
const RUNS_FOR_DURATIONS: u32 = 200;

/// Puts a run into the history. Failing to do so never loses the run, nor changes its exit code.
pub(super) fn remember(run: &Path) {
    let done = || -> Result<Option<String>, HistoryError> {
        let Ok(state) = dirs::state() else { return Ok(None) };
        let (mut history, moved) = History::open(&state)?;
        history.record(run)?;
        Ok(moved)
    };
    match done() {
        Ok(None) => {}
        Ok(Some(moved)) => eprintln!("warning: {moved}"),
        Err(e) => eprintln!("warning: the run is recorded, but not in the history: {e}"),
    }
}

/// What cells and kernels took, as this host's history tells it; nothing where it has none, or can't say.
pub(super) fn durations() -> Durations {
    let read = || -> Result<Option<Durations>, HistoryError> {
        let Ok(state) = dirs::state() else { return Ok(None) };
        // Looking something up makes no history.
        if !state.join("history.sqlite").is_file() {
            return Ok(None);
        }
        let (history, _) = History::open(&state)?;
        Ok(Some(of(&history)?))
    };
    match read() {
        Ok(durations) => durations.unwrap_or_default(),
        Err(e) => {
            eprintln!("warning: the history tells no durations: {e}");
            Durations::default()
        }
    }
}

fn of(history: &History) -> Result<Durations, HistoryError> {
    let (cells, builds) = (
        history.durations(RUNS_FOR_DURATIONS)?,
        history.build_durations(RUNS_FOR_DURATIONS)?,
    );
    Ok(Durations::new(cells, builds))
}

pub(super) fn history(what: &Args, json: bool) -> Done {
    let (mut history, moved) = History::open(&dirs::state()?)?;
    if let Some(moved) = moved {
        eprintln!("warning: {moved}");
    }
    // Runs that were killed, and those of another history, are taken in now.
    history.sync(&runs()?)?;
    if what.durations {
        let durations = of(&history)?;
        let text = serde_json::to_string(&durations).map_err(|e| Failure::Own(e.to_string()))?;
        println!("{text}");
        return Ok(0);
    }
    let lines = history.lines(what.limit, |id| {
        what.case.as_deref().is_none_or(|case| plan::selects(case, id))
    })?;
    if json {
        for line in &lines {
            println!("{}", as_json(line));
        }
        return Ok(0);
    }
    if lines.is_empty() {
        println!("no cell of an earlier run fits");
        return Ok(0);
    }
    for line in history_table(&lines) {
        println!("{line}");
    }
    Ok(0)
}

fn as_json(line: &Line) -> serde_json::Value {
    json!({
        "v": 1, "event": "history", "case": line.case, "kernel": line.kernel, "key": line.key,
        "passed": line.passed, "failed": line.failed, "unproved": line.unproved,
        "pass_rate": line.pass_rate(), "flakiness": line.flakiness(),
        "detect_s_median": line.detect_s(), "guest_s": line.guest_s, "last_ms": line.last_ms, "last_run": line.last_run,
    })
}
