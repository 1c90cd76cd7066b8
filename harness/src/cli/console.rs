//! `console`: classifies saved kernel logs.

use super::Done;
use super::args::Console;
use super::show::Failure;
use crate::console;
use serde_json::json;

/// 0 where no log has a splat, 1 where one has.
pub(super) fn console(what: &Console, json: bool) -> Done {
    let mut found = false;
    for file in &what.files {
        let raw = std::fs::read(file).map_err(|e| Failure::File(file.clone(), e))?;
        let splats = console::analyze(&raw);
        found |= !splats.is_empty();
        if json {
            let shown: Vec<_> = splats
                .iter()
                .map(|s| json!({ "title": s.title, "kind": s.kind, "function": s.function, "corrupted": s.corrupted }))
                .collect();
            println!("{}", json!({ "file": file, "splats": shown }));
            continue;
        }
        if splats.is_empty() {
            println!("{}: nothing", file.display());
        }
        for splat in &splats {
            let at = splat
                .t_ns
                .map_or_else(String::new, |t| format!(" at {:.3} s", t as f64 / 1e9));
            let note = if splat.corrupted {
                " (the report is damaged)"
            } else {
                ""
            };
            println!("{}: {}{at}{note}", file.display(), splat.title);
        }
    }
    Ok(u8::from(found))
}
