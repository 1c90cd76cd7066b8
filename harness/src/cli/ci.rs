//! `ci`: pipelines for other CI systems.

use super::Done;
use super::args::Selection;
use super::plan_args::{Ci, CiOf, Part, System};
use super::run::{durations, read};
use super::show::Failure;
use crate::ci::Pipeline;
use crate::host;
use serde_json::json;

pub(super) fn ci(what: &Ci, json: bool) -> Done {
    let (of, github) = match &what.system {
        System::Github(of) => (of, true),
        System::Gitlab(of) => (of, false),
    };
    let text = pipeline(of, github)?;
    let word = if github { "github" } else { "gitlab" };
    match (&of.output, json) {
        (Some(file), _) => {
            host::fs::write_atomic(file, text.as_bytes()).map_err(|e| Failure::File(file.clone(), e))?;
            if json {
                println!(
                    "{}",
                    json!({ "v": 1, "event": "ci", "system": word, "file": file })
                );
            }
        }
        (None, true) => println!(
            "{}",
            json!({ "v": 1, "event": "ci", "system": word, "text": text })
        ),
        (None, false) => println!("{}", text.trim_end()),
    }
    Ok(0)
}

/// The pipeline, or its jobs. The matrix is read either way: a pipeline for one that has an error is of no use.
fn pipeline(of: &CiOf, github: bool) -> Result<String, Failure> {
    let plan = read(&Selection {
        matrix: of.matrix.clone(),
        filter: of.filter.clone(),
        root: of.root.clone(),
    })?
    .plan;
    let named = of.matrix.to_string_lossy();
    let pipeline = Pipeline::new(&named, &of.filter, of.shards)?;
    if !of.jobs {
        return Ok(if github {
            pipeline.github()
        } else {
            pipeline.gitlab()
        });
    }
    // No more jobs than there are cells: an empty shard would fail.
    let cells = u32::try_from(plan.cells.len()).unwrap_or(u32::MAX);
    let durations = durations(&Part {
        shard: None,
        durations: of.durations.clone(),
    })?;
    let split = plan.split(&durations, of.shards.min(cells));
    Ok(if github {
        pipeline.github_jobs(&split)
    } else {
        pipeline.gitlab_jobs(&split)
    })
}
