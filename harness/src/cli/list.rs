//! `list` and `workloads`.

use super::Done;
use super::args::List;
use super::run::read;
use guest_tests::catalogue::Workload;
use serde_json::json;

pub(super) fn list(what: &List, json: bool) -> Done {
    let read = read(&what.what)?;
    if json {
        for cell in &read.plan.cells {
            let line = json!({
                "v": 1, "event": "cell", "id": cell.id, "group": cell.group, "kernel": cell.kernel,
                "machine": cell.machine.name, "workload": cell.case.spec.workload.name(), "seed": cell.seed,
                "racepoint": cell.racepoint.name,
                "expected": cell.expect.as_ref().map_or("pass", |e| e.verdict.word()),
            });
            println!("{line}");
        }
        return Ok(0);
    }
    println!("{} kernels:", read.plan.kernels.len());
    for (name, kernel) in &read.plan.kernels {
        let series: Vec<String> = kernel.series.iter().map(ToString::to_string).collect();
        let on = if series.is_empty() {
            String::new()
        } else {
            format!(" + {}", series.join(" + "))
        };
        println!("  {name}: {}{on}", kernel.source);
    }
    println!("{} cells:", read.plan.cells.len());
    for cell in &read.plan.cells {
        let expected = cell.expect.as_ref().map_or("pass", |e| e.verdict.word());
        println!(
            "  {}  (seed {}, {:?}, expected: {expected})",
            cell.id, cell.seed, cell.case.spec.budget
        );
    }
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
