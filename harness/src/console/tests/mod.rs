//! Tests of the classifier as a whole: rule families, real consoles of our own kernels, hostile bytes.

mod arches;
mod blame;
mod faults;
mod formats;
mod hostile;
mod layout;
mod locks;
mod memory;
mod own;
mod quiet;
mod soundness;

use super::{Splat, analyze};

/// What is expected of the first splat: title, kind, function.
type Expect<'a> = (&'a str, &'a str, Option<&'a str>);

/// Checks the first splat of a console.
#[track_caller]
fn check(log: &str, expect: Expect<'_>) -> Splat {
    let splats = analyze(log.as_bytes());
    let first = splats.first().unwrap_or_else(|| panic!("no splat in\n{log}"));
    assert_eq!(
        (first.title.as_str(), first.kind.name(), first.function.as_deref()),
        expect,
        "in\n{log}"
    );
    first.clone()
}

/// The titles of all splats of a console.
fn titles(log: &str) -> Vec<String> {
    analyze(log.as_bytes()).into_iter().map(|s| s.title).collect()
}

/// A stack as x86 prints it.
fn trace(functions: &[&str]) -> String {
    let mut out = "Call Trace:\n <TASK>\n".to_owned();
    for function in functions {
        out.push_str(&format!(" {function}+0x1a/0x2b0\n"));
    }
    out + " </TASK>\n"
}

/// A report of header lines and a stack.
fn report(head: &str, functions: &[&str]) -> String {
    format!(
        "{head}\nCPU: 0 UID: 0 PID: 9 Comm: w Not tainted 6.12.0 #1\n{}",
        trace(functions)
    )
}
