//! Matrix files and series files: YAML as written → typed, with errors that point at
//! file:line:column, all of them at once.
//!
//! [`load`] reads a matrix; [`series`] reads a `series.yaml`. Nothing is expanded here (that is
//! [`crate::plan`]), nothing is fetched or built, and nobody else reads YAML.

mod axes;
mod cases;
mod entries;
mod expect;
mod file;
mod finding;
mod kernels;
mod like;
mod lookup;
mod machines;
mod matrix;
mod problem;
mod racepoints;
mod read;
mod schema;
pub mod series;
mod sources;
#[cfg(test)]
pub(crate) mod tests;
mod types;
mod units;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

pub use axes::{Axis, Choice, Given, Sets};
pub use cases::vary;
pub use expect::FINDING_CLASSES;
pub use file::FILE_LEN_MAX;
pub use finding::{FindingPattern, FindingView, Pattern};
pub use lookup::{Folders, Lies, Lookup};
pub use machines::BOOT_ARGS_CHARS_MAX;
pub use problem::{Problem, SpecError};
pub use types::{
    Accel, Backend, CaseSpec, Defaults, Exclude, Expectation, ExpectedVerdict, Filter, Include, KernelSpec,
    MachineSpec, Matrix, RacepointSetting, Reference, SourceSpec, Spec,
};

pub use schema::schema;
pub use units::{parse_bytes, parse_duration};

use read::{Check, Table};
use yaml::{Node, Value};

const KEYS: &[&str] = &[
    "version",
    "defaults",
    "sources",
    "racepoints",
    "kernels",
    "machines",
    "cases",
    "matrix",
    "expect",
];
/// The version of the format that is read.
const VERSION: i128 = 1;

/// Reads a matrix file.
///
/// # Errors
/// Everything that is wrong with the file (of its syntax, the first thing only).
pub fn load(path: &Path, lookup: &dyn Lookup) -> Result<Spec, SpecError> {
    parse(path, &file::read(path)?, lookup)
}

/// Reads a matrix from bytes; `path` names it in errors, and relative paths in it start at its folder.
///
/// # Errors
/// Everything that is wrong with the file (of its syntax, the first thing only).
pub fn parse(path: &Path, bytes: &[u8], lookup: &dyn Lookup) -> Result<Spec, SpecError> {
    let text = file::decode(path, bytes)?;
    let fail = |problems| Err(SpecError::new(path, &text, problems));
    let root = match yaml::read(&text) {
        Ok(root) => root,
        Err(problem) if problem.at.is_none() => {
            return fail(vec![
                problem.help("start with `version: 1`; workflows/demo.yaml explains each part"),
            ]);
        }
        Err(problem) => return fail(vec![problem]),
    };
    let mut check = Check::default();
    yaml::check_keys(&root, &mut check.problems);
    let parts = walk(&mut check, &root, path, lookup);
    match parts {
        Some(parts) if check.problems.is_empty() => Ok(Spec {
            path: path.to_owned(),
            text: text.into(),
            ..parts
        }),
        Some(_) | None if check.problems.is_empty() => fail(vec![Problem::whole("can't be used")]),
        Some(_) | None => fail(check.problems),
    }
}

/// Walks the whole file, whatever is wrong with parts of it.
fn walk(check: &mut Check, root: &Node, path: &Path, lookup: &dyn Lookup) -> Option<Spec> {
    let start = root.span.start..root.span.start;
    let table = check.table(root, &start, "a matrix file", KEYS)?;
    version(check, &table);
    let defaults = table
        .get("defaults")
        .map(|n| machines::defaults(check, n))
        .unwrap_or_default();
    // A matrix of workloads needs no cases.
    let of_workloads = matrix_has(&table, "workload");
    let mut section = |key: &str| {
        let node = table.get(key);
        if table.lacks(key) && !(key == "cases" && of_workloads) {
            check.missing(&table.at, "the file", key);
        }
        node
    };
    let [kernels_at, machines_at, cases_at, matrix_at] =
        ["kernels", "machines", "cases", "matrix"].map(&mut section);
    let base = folder(path);
    let mut around = kernels::Surroundings {
        base: &base,
        lookup,
        kconfigs: lookup.kconfigs(),
        series: lookup.series(),
        sources: IndexMap::new(),
    };
    around.sources = table
        .get("sources")
        .map(|n| sources::named(check, &around, n))
        .unwrap_or_default();
    let kernels = kernels_at
        .map(|n| kernels::read(check, &around, n))
        .unwrap_or_default();
    let machines = machines_at
        .map(|n| machines::read(check, &defaults, n))
        .unwrap_or_default();
    let mut cases = cases_at
        .map(|n| cases::read(check, &defaults, n))
        .unwrap_or_default();
    if let Some(node) = matrix_at {
        cases.extend(cases::of_workloads(&defaults, node));
    }
    let mut names = names(check, &table, racepoints(&kernels, &table, lookup));
    let matrix = matrix_at
        .and_then(|_| table.entry("matrix"))
        .and_then(|(key, node)| matrix::read(check, &around, &mut names, key, node));
    let expect = table
        .get("expect")
        .map(|n| expect::read(check, &around, &names, n))
        .unwrap_or_default();
    Some(Spec {
        path: PathBuf::new(),
        text: "".into(),
        defaults,
        kernels,
        machines,
        cases,
        matrix: matrix?,
        expect,
    })
}

/// The names that the file defines; they count even where what they define has an error: one mistake is told once.
fn names<'n>(check: &mut Check, table: &Table<'n>, racepoints: Option<Vec<String>>) -> matrix::Names<'n> {
    let defined = |key| keys(table.get(key));
    let mut names = matrix::Names {
        kernel: defined("kernels"),
        machine: defined("machines"),
        case: defined("cases"),
        racepoints,
        settings: IndexMap::new(),
        given: BTreeMap::new(),
    };
    if matrix_has(table, "workload") {
        let all = guest_tests::catalogue::Workload::all();
        let all = all.iter().map(|info| info.name);
        names.case.get_or_insert_default().extend(all);
    }
    if let Some(node) = table.get("racepoints") {
        racepoints::named(check, &mut names, node);
    }
    names
}

fn version(check: &mut Check, table: &Table<'_>) {
    match table.get("version") {
        None if table.lacks("version") => {
            check.missing(&table.at, "the file", "version").help = Some("start with `version: 1`".to_owned());
        }
        Some(node) if node.value != Value::Int(VERSION) => {
            check.error(
                &node.span,
                format!("`version` must be {VERSION}, not {}", node.describe()),
            );
        }
        Some(_) | None => {}
    }
}

/// The names that a section defines; `None` where it is missing or no map.
fn keys(node: Option<&Node>) -> Option<Vec<&str>> {
    match &node?.value {
        Value::Map(entries) => Some(entries.iter().map(|(key, _)| key.spelled.as_str()).collect()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => {
            None
        }
    }
}

/// Whether the matrix has a key.
fn matrix_has(table: &Table<'_>, key: &str) -> bool {
    match table.get("matrix").map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().any(|(k, _)| k.spelled == key),
        Some(_) | None => false,
    }
}

/// The racepoints there are; not known where a series or an image of the user's own may bring more.
fn racepoints(
    kernels: &IndexMap<String, KernelSpec>,
    table: &Table<'_>,
    lookup: &dyn Lookup,
) -> Option<Vec<String>> {
    let own = kernels.values().any(|k| {
        matches!(k.source, SourceSpec::Image { .. })
            || k.series.iter().any(|s| matches!(s, Reference::Path(_)))
    });
    let own = own || matrix_has(table, "series") && lists_a_path(table);
    if own { None } else { lookup.racepoints() }
}

/// Whether the axis `series` has something of the user's own.
fn lists_a_path(table: &Table<'_>) -> bool {
    fn any(node: &Node) -> bool {
        match &node.value {
            Value::Text(text) => text.contains('/'),
            Value::List(items) => items.iter().any(any),
            Value::Map(entries) => entries.iter().any(|(_, value)| any(value)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        }
    }
    let Some(Value::Map(entries)) = table.get("matrix").map(|node| &node.value) else {
        return false;
    };
    let series = entries.iter().find(|(key, _)| key.spelled == "series");
    series.is_some_and(|(_, value)| any(value))
}

/// The folder of a file, absolute.
fn folder(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}
