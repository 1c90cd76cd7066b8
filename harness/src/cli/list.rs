//! `list`, `schema` and `workloads`.

use super::Done;
use super::plan_args::List;
use super::run::{durations, read};
use super::show::Failure;
use crate::plan::{Cell, Durations, Plan, Split};
use crate::spec;
use guest_tests::catalogue::Workload;
use serde_json::json;
use std::io::Write;

pub(super) fn list(what: &List, json: bool) -> Done {
    let mut plan = read(&what.what)?.plan;
    let mut shards = None;
    if what.part.shard.is_some() || what.shards.is_some() {
        let durations = durations(&what.part)?;
        if let Some(shard) = what.part.shard {
            plan = plan.shard(&durations, shard.index, shard.count)?.0;
        }
        if let Some(count) = what.shards {
            shards = Some(Shards::new(&plan, &durations, count));
        }
    }
    let mut text = String::new();
    if json {
        in_json(&plan, shards.as_ref(), &mut text);
    } else {
        for_people(&plan, shards.as_ref(), &mut text);
    }
    // Whoever has seen enough closes the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(0)
}

/// A split, and the shard of each cell.
struct Shards {
    split: Split,
    of: Vec<usize>,
}

impl Shards {
    fn new(plan: &Plan, durations: &Durations, count: u32) -> Self {
        let split = plan.split(durations, count);
        let mut of = vec![0; plan.cells.len()];
        for (number, shard) in (1..).zip(&split.shards) {
            for at in &shard.cells {
                of[*at] = number;
            }
        }
        Self { split, of }
    }
}

fn expected(cell: &Cell) -> &'static str {
    cell.expect.as_ref().map_or("pass", |e| e.verdict.word())
}

fn in_json(plan: &Plan, shards: Option<&Shards>, out: &mut String) {
    let mut line = |value: serde_json::Value| {
        out.push_str(&value.to_string());
        out.push('\n');
    };
    for (at, cell) in plan.cells.iter().enumerate() {
        let mut object = json!({
            "v": 1, "event": "cell", "id": cell.id, "group": cell.group, "kernel": cell.kernel,
            "machine": cell.machine.name, "workload": cell.case.spec.workload.name(), "seed": cell.seed,
            "racepoint": cell.racepoint.name, "expected": expected(cell),
        });
        if let Some(shards) = shards {
            object["shard"] = shards.of[at].into();
        }
        line(object);
    }
    for (name, kernel) in &plan.kernels {
        let names = |all: &[spec::Reference]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        line(json!({
            "v": 1, "event": "kernel", "kernel": name, "source": kernel.source.to_string(),
            "kconfigs": names(&kernel.kconfigs), "series": names(&kernel.series),
        }));
    }
    for (number, shard) in (1..).zip(shards.iter().flat_map(|s| &s.split.shards)) {
        line(json!({
            "v": 1, "event": "shard", "index": number, "count": shards.map_or(0, |s| s.split.shards.len()),
            "cells": shard.cells.len(), "about_s": shard.ms / 1000, "split": shards.map(|s| &s.split.digest),
        }));
    }
}

fn for_people(plan: &Plan, shards: Option<&Shards>, out: &mut String) {
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("{} kernels:", plan.kernels.len()));
    for (name, kernel) in &plan.kernels {
        let series: Vec<String> = kernel.series.iter().map(ToString::to_string).collect();
        let on = if series.is_empty() {
            String::new()
        } else {
            format!(" + {}", series.join(" + "))
        };
        line(format!("  {name}: {}{on}", kernel.source));
    }
    line(format!("{} cells:", plan.cells.len()));
    for (at, cell) in plan.cells.iter().enumerate() {
        let shard = shards.map_or_else(String::new, |s| format!(", shard {}", s.of[at]));
        line(format!(
            "  {}  (seed {}, {:?}, expected: {}{shard})",
            cell.id,
            cell.seed,
            cell.case.spec.budget,
            expected(cell)
        ));
    }
    let Some(shards) = shards else { return };
    line(format!(
        "{} shards (split {}):",
        shards.split.shards.len(),
        shards.split.digest
    ));
    for (number, shard) in (1..).zip(&shards.split.shards) {
        line(format!(
            "  {number}: {} cells, about {} s",
            shard.cells.len(),
            shard.ms / 1000
        ));
    }
}

pub(super) fn schema() -> Done {
    let text = serde_json::to_string_pretty(&spec::schema()).map_err(|e| Failure::Own(e.to_string()))?;
    println!("{text}");
    Ok(0)
}

pub(super) fn workloads(json: bool) -> Done {
    for info in Workload::all() {
        if json {
            let params: Vec<_> = info
                .params
                .iter()
                .map(|p| json!({ "name": p.name, "doc": p.doc, "kind": p.kind.to_string(), "default": p.default.to_string() }))
                .collect();
            println!(
                "{}",
                json!({ "v": 1, "event": "workload", "name": info.name, "doc": info.doc, "params": params,
                    "needs": info.needs, "files": info.files, "symbols": info.symbols })
            );
            continue;
        }
        println!("{}: {}", info.name, info.doc);
        println!("  needs CONFIG_{}", info.needs.join(", CONFIG_"));
        for (what, list) in [
            ("exercises", info.files),
            ("exercises the functions", info.symbols),
        ] {
            if !list.is_empty() {
                println!("  {what} {}", list.join(", "));
            }
        }
        for p in &info.params {
            println!("  {} = {}\n      {}", p.name, p.default, p.doc);
        }
    }
    Ok(0)
}
