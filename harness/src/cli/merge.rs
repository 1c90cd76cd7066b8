//! `merge`: the runs of all shards as one.

use super::Done;
use super::plan_args::Merge;
use super::run::{runs, write_reports};
use crate::report;
use crate::run::Event;
use crate::store;
use serde_json::json;
use std::path::PathBuf;

pub(super) fn merge(what: &Merge, json: bool) -> Done {
    let place = runs()?;
    let found: Vec<PathBuf> = what
        .runs
        .iter()
        .map(|run| store::find(&place, run))
        .collect::<Result<_, _>>()?;
    let merged = store::merge(&found, &what.out)?;
    for told in &merged.told {
        if json {
            println!("{}", json!({ "v": 1, "event": "merge_note", "message": told }));
        } else {
            eprintln!("note: {told}");
        }
    }
    // A log, whatever the output is: nothing moves.
    let mut reporter = report::for_output(json, false);
    let exit = merged.summary.exit;
    reporter.event(&Event::Summary(merged.summary));
    if !json {
        println!("{} runs joined in {}", found.len(), merged.dir.display());
    }
    write_reports(&merged.dir, &what.left, exit, json)
}
