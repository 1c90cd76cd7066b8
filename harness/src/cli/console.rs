//! `console`: classifies saved kernel logs.

use super::Done;
use super::args::Console;
use super::show::Failure;
use crate::console::{self, Splat};
use crate::kernel::lines::LinesError;
use crate::run::Sources;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::path::Path;

/// Most memory that the command may take where it reads somebody's vmlinux, in bytes.
const MEMORY_MAX: u64 = 8 << 30;

/// 0 where no log has a splat, 1 where one has.
pub(super) fn console(what: &Console, json: bool) -> Done {
    let mut all: Vec<Vec<Splat>> = Vec::new();
    for file in &what.files {
        let raw = std::fs::read(file).map_err(|e| Failure::File(file.clone(), e))?;
        all.push(console::analyze(&raw));
    }
    let placed = what.vmlinux.is_some();
    if let Some(vmlinux) = &what.vmlinux {
        place(vmlinux, &mut all)?;
    }
    for (file, splats) in what.files.iter().zip(&all) {
        if json {
            let shown: Vec<Value> = splats.iter().map(|splat| told(splat, placed)).collect();
            println!("{}", json!({ "file": file, "splats": shown }));
        } else {
            print(file, splats, placed);
        }
    }
    Ok(u8::from(all.iter().any(|splats| !splats.is_empty())))
}

/// Puts source lines into all reports. A kernel without debug information is told of, once.
fn place(vmlinux: &Path, all: &mut [Vec<Splat>]) -> Result<(), Failure> {
    bound_memory();
    let splats: Vec<&Splat> = all.iter().flatten().collect();
    match Sources::of(vmlinux, &splats) {
        Ok(sources) => {
            for splat in all.iter_mut().flatten() {
                splat.place(|frame| sources.find(frame));
            }
            Ok(())
        }
        Err(none @ LinesError::NoDebugInfo(_)) => {
            let help = miette::Diagnostic::help(&none).map_or_else(String::new, |help| format!(" ({help})"));
            eprintln!("note: {none}{help}");
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}

/// A vmlinux may lie about what it holds: what it makes this process take is bounded by the host.
fn bound_memory() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_AS) {
        // Where the limit cannot be set, the file is read all the same, as any other tool would.
        let _ = setrlimit(Resource::RLIMIT_AS, soft.min(MEMORY_MAX), hard);
    }
}

fn told(splat: &Splat, placed: bool) -> Value {
    let mut told = json!({
        "title": splat.title, "kind": splat.kind, "function": splat.function, "corrupted": splat.corrupted,
    });
    if placed {
        told["t_ns"] = json!(splat.t_ns);
        told["stack"] = json!(splat.stack);
        told["report"] = json!(splat.report);
    }
    told
}

fn print(file: &Path, splats: &[Splat], placed: bool) {
    if splats.is_empty() {
        println!("{}: nothing", file.display());
    }
    for splat in splats {
        let at = splat
            .t_ns
            .map_or_else(String::new, |t| format!(" at {:.3} s", t as f64 / 1e9));
        let note = if splat.corrupted {
            " (the report is damaged)"
        } else {
            ""
        };
        println!("{}: {}{at}{note}", file.display(), splat.title);
        let shown = splat.stack.iter().filter(|frame| placed && frame.reliable);
        for frame in shown {
            let inlined = if frame.is_inlined() { " [inlined]" } else { "" };
            let at = frame
                .source
                .as_deref()
                .map_or_else(String::new, |at| format!("  {at}"));
            println!("    {}{at}{inlined}", frame.function());
        }
    }
}
