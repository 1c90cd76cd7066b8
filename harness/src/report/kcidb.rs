//! JSON for KernelCI's database, version 5.3 of its schema.
//!
//! A kernel is a checkout and a build, a cell is a test. Nothing is null, what the schema has no place for is
//! in `misc`. A defect that was put in on purpose and found is told as what it is, but waived.

use super::words::{cut, short};
use crate::run::CellRecord;
use crate::store::{Build, Cell, Record};
use crate::verdict::{Class, Finding, Verdict};
use serde_json::{Map, Value, json};

const ORIGIN: &str = "patchproof";
/// Longest excerpt that the schema takes, in characters.
const EXCERPT_CHARS_MAX: usize = 16_384;

pub(super) fn kcidb(record: &Record) -> String {
    let kernels: Vec<(&Build, Option<&Finding>)> = record
        .builds
        .iter()
        .map(|build| (build, broken_by(record, &build.kernel)))
        .collect();
    let report = json!({
        "version": { "major": 5, "minor": 3 },
        "checkouts": kernels.iter().map(|(b, broken)| checkout(record, b, *broken)).collect::<Vec<_>>(),
        "builds": kernels.iter().filter_map(|(b, broken)| build(record, b, *broken)).collect::<Vec<_>>(),
        "tests": record.results().filter_map(|(c, r)| test(record, c, r)).collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

/// Why a kernel could not be made, as its cells were judged by it.
fn broken_by<'r>(record: &'r Record, kernel: &str) -> Option<&'r Finding> {
    let of = |(_, cell): (_, &'r CellRecord)| {
        (cell.kernel == kernel && cell.attempts == 0).then(|| cell.full.findings().next())?
    };
    record.results().find_map(of)
}

fn id(record: &Record, rest: &str) -> String {
    plain(&format!("{ORIGIN}:{}/{rest}", record.run))
}

fn checkout(record: &Record, build: &Build, broken: Option<&Finding>) -> Value {
    let mut checkout = Map::new();
    let id = id(record, &build.kernel);
    checkout.insert("id".into(), id.into());
    checkout.insert("origin".into(), ORIGIN.into());
    checkout.insert(
        "comment".into(),
        plain(&format!("kernel {} of {}", build.kernel, record.spec.display())).into(),
    );
    put(&mut checkout, "start_time", build.from_ms.and_then(time));
    let applies = broken.is_none_or(|finding| finding.class != Class::Apply);
    if build.made.is_some() || broken.is_some() {
        checkout.insert("valid".into(), applies.into());
    }
    if let (false, Some(finding)) = (applies, broken) {
        checkout.insert("log_excerpt".into(), excerpt(finding).into());
    }
    checkout.into()
}

fn build(record: &Record, build: &Build, broken: Option<&Finding>) -> Option<Value> {
    if broken.is_some_and(|finding| finding.class == Class::Apply) {
        return None;
    }
    let mut out = Map::new();
    let id = id(record, &build.kernel);
    out.insert("checkout_id".into(), id.clone().into());
    out.insert("id".into(), id.into());
    out.insert("origin".into(), ORIGIN.into());
    out.insert("architecture".into(), "x86_64".into());
    put(&mut out, "start_time", build.from_ms.and_then(time));
    let status = match (&build.made, broken) {
        (Some(_), _) => "PASS",
        (None, Some(_)) => "FAIL",
        (None, None) => "MISS",
    };
    out.insert("status".into(), status.into());
    put(&mut out, "log_excerpt", broken.map(excerpt));
    put(&mut out, "comment", build.failure.as_deref().map(plain));
    if let Some(made) = &build.made {
        put(&mut out, "duration", made.build_s);
        out.insert(
            "misc".into(),
            json!({ "key": made.key, "cached": made.cached, "notes": made.notes }),
        );
    }
    Some(out.into())
}

/// A cell that never ran, since its kernel does not build, is no test: the build tells it.
fn test(record: &Record, cell: &Cell, result: &CellRecord) -> Option<Value> {
    let status = match &result.full {
        Verdict::Fail { .. } if result.attempts == 0 => return None,
        Verdict::Fail { .. } => "FAIL",
        Verdict::Pass => "PASS",
        Verdict::Inconclusive { .. } => "DONE",
        Verdict::Skip { .. } => "SKIP",
        Verdict::Infra { .. } => "MISS",
    };
    let mut out = Map::new();
    out.insert("build_id".into(), id(record, &result.kernel).into());
    out.insert("id".into(), id(record, &result.id).into());
    out.insert("origin".into(), ORIGIN.into());
    out.insert("path".into(), path(result).into());
    out.insert("comment".into(), plain(&short(result)).into());
    out.insert("status".into(), status.into());
    put(&mut out, "start_time", cell.from_ms.and_then(time));
    if let (Some(from), Some(to)) = (cell.from_ms, cell.to_ms) {
        out.insert("duration".into(), (to.saturating_sub(from) as f64 / 1e3).into());
    }
    put(
        &mut out,
        "log_excerpt",
        result.full.findings().next().map(excerpt),
    );
    let accel = cell.accel.as_ref().map_or("", |(accel, _)| accel.as_str());
    out.insert(
        "environment".into(),
        json!({ "comment": plain(format!("{} {accel}", result.machine).trim()) }),
    );
    let waived = result.as_expected && status == "FAIL";
    let mut misc = json!({
        "verdict": result.verdict, "expected": result.expected, "as_expected": result.as_expected,
        "waived": waived, "findings": result.findings, "guest_s": result.guest_s,
        "pages_verified": result.pages_verified, "round_trips": result.round_trips,
        "attempts": result.attempts, "repeat": result.repeat,
    });
    if let Some(detect_s) = result.detect_s {
        misc["detect_s"] = detect_s.into();
    }
    out.insert("misc".into(), misc);
    Some(out.into())
}

/// The test's place in the tree of tests: the same for every kernel and repeat.
fn path(cell: &CellRecord) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '_'
        }
    };
    std::iter::once(ORIGIN)
        .chain(cell.case().split('.'))
        .filter(|part| !part.is_empty())
        .map(|part| part.chars().map(allowed).collect::<String>())
        .collect::<Vec<_>>()
        .join(".")
}

fn excerpt(finding: &Finding) -> String {
    let all = plain(&format!(
        "{}: {}\n{}",
        finding.class.word(),
        finding.title,
        finding.detail
    ));
    cut(&all, EXCERPT_CHARS_MAX).to_owned()
}

/// Text without zero characters, which the database refuses.
fn plain(text: &str) -> String {
    text.replace('\0', " ")
}

fn time(ms: u64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(at.to_string())
}

fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}
