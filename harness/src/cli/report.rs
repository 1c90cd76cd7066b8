//! `report`: an earlier run in another format.

use super::Done;
use super::args::Report;
use super::run::runs;
use crate::{report, store};
use serde_json::json;

pub(super) fn report(what: &Report, json: bool) -> Done {
    let dir = store::find(&runs()?, &what.run)?;
    let format = what.format;
    if let Some(file) = &what.output {
        report::write(&dir, format, Some(file))?;
        if json {
            println!(
                "{}",
                json!({ "v": 1, "event": "report", "format": format.word(), "file": file })
            );
        }
    } else if json {
        let text = report::render(&dir, format)?;
        println!(
            "{}",
            json!({ "v": 1, "event": "report", "format": format.word(), "text": text })
        );
    } else {
        report::write(&dir, format, None)?;
    }
    Ok(0)
}
