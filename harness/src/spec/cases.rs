//! The map `cases`: workloads of the catalogue with their parameters.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use guest_tests::catalogue::{BuildError, Info, Kind, ParamInfo, Value as Param, Workload};
use indexmap::IndexMap;

use super::machines::BUDGET;
use super::read::{Check, Slot};
use super::types::{CaseSpec, Defaults};
use super::units;
use super::words::{did_you_mean, listed, quoted};
use super::yaml::{Node, Value};

const KEYS: &[&str] = &["workload", "seed", "budget", "params"];

/// Reads all cases; one whose workload has an error is left out.
pub(super) fn read(check: &mut Check, defaults: &Defaults, node: &Node) -> IndexMap<String, Arc<CaseSpec>> {
    let mut cases = IndexMap::new();
    let entries = check.map(node, "`cases`").unwrap_or_default();
    for (key, value) in entries {
        let name = check.name(key, "a case").map(str::to_owned);
        let case = case(check, defaults, key, value);
        if let (Some(name), Some(case)) = (name, case) {
            cases.entry(name).or_insert(Arc::new(case));
        }
    }
    if cases.len() < entries.len() && check.problems.is_empty() {
        check.error(&node.span, "some of these cases can't be used");
    }
    cases
}

fn case(check: &mut Check, defaults: &Defaults, key: &Node, node: &Node) -> Option<CaseSpec> {
    let what = format!("case {}", quoted(&key.spelled));
    let table = check.table(node, &key.span, &what, KEYS)?;
    let seed = table
        .slot("seed", |n| check.count(n, "seed", 0..=u64::MAX))
        .or(defaults.seed);
    let budget = table
        .slot("budget", |n| check.duration(n, "budget", BUDGET))
        .or(defaults.budget);
    let catalogue = Workload::all();
    let info = table.slot("workload", |n| workload(check, &catalogue, n));
    if matches!(info, Slot::Absent) {
        check.missing(&key.span, &what, "workload").help = Some(there_are(&catalogue));
    }
    let info = info.got()?;
    let given = match table.get("params") {
        None => BTreeMap::new(),
        Some(node) => params(check, info, node)?,
    };
    let at = table.entry("params").map_or(&key.span, |(k, _)| &k.span);
    let workload = build(check, info, &given, at)?;
    Some(CaseSpec {
        workload,
        seed,
        budget,
    })
}

fn workload<'i>(check: &mut Check, catalogue: &'i [Info], node: &Node) -> Option<&'i Info> {
    let given = check.word(node, "workload", "a workload's name")?;
    if let Some(info) = catalogue.iter().find(|i| i.name == given) {
        return Some(info);
    }
    let hint = did_you_mean(given, catalogue.iter().map(|i| i.name));
    let help = hint.is_empty().then(|| there_are(catalogue));
    check
        .error(
            &node.span,
            format!("there is no workload {}{hint}", quoted(given)),
        )
        .help = help;
    None
}

fn there_are(catalogue: &[Info]) -> String {
    format!("workloads are {}", listed(catalogue.iter().map(|i| i.name)))
}

fn params(check: &mut Check, info: &Info, node: &Node) -> Option<BTreeMap<String, Param>> {
    let names: Vec<&str> = info.params.iter().map(|p| p.name).collect();
    let mut given = BTreeMap::new();
    let mut good = true;
    for (key, value) in check.map(node, "`params`")? {
        let Some(row) = info.params.iter().find(|p| p.name == key.spelled) else {
            unknown_param(check, info, key, &names);
            good = false;
            continue;
        };
        match param(row, value).and_then(|v| row.check(&v).map(|()| v)) {
            Ok(v) => {
                given.insert(row.name.to_owned(), v);
            }
            Err(why) => {
                let hint = match row.kind {
                    Kind::Word(words) => did_you_mean(&value.spelled, words.iter().copied()),
                    Kind::Bytes | Kind::Count | Kind::Bool | Kind::Set(_) => String::new(),
                };
                check
                    .error(&value.span, format!("parameter `{}` {why}{hint}", row.name))
                    .help = Some(format!("`{}`: {}", row.name, row.doc));
                good = false;
            }
        }
    }
    good.then_some(given)
}

fn unknown_param(check: &mut Check, info: &Info, key: &Node, names: &[&str]) {
    if key.spelled == "<<" {
        return; // told with the merge keys
    }
    let hint = did_you_mean(&key.spelled, names.iter().copied());
    let help = hint
        .is_empty()
        .then(|| format!("its parameters are {}", listed(names.iter().copied())));
    let message = format!(
        "workload `{}` has no parameter {}{hint}",
        info.name,
        quoted(&key.spelled)
    );
    check.error(&key.span, message).help = help;
}

/// Reads a value as its row asks; the error fits after "parameter `name` ".
fn param(row: &ParamInfo, node: &Node) -> Result<Param, String> {
    let wrong = |what: &str| format!("must be {what}, not {}", node.describe());
    match (row.kind, &node.value) {
        (Kind::Bytes, Value::Int(0)) => Ok(Param::Bytes(0)),
        (Kind::Bytes, Value::Text(_) | Value::Int(_) | Value::Float(_)) => {
            units::size(&node.spelled).map(Param::Bytes)
        }
        (Kind::Count, Value::Int(n)) => u64::try_from(*n)
            .map(Param::Count)
            .map_err(|_| wrong("a whole number from 0 up")),
        // `20%` is as good as `20` where the parameter's name says that it is a percentage.
        (Kind::Count, Value::Text(text)) if row.name.ends_with("_percent") && text.ends_with('%') => {
            units::percent(text).map(Param::Count)
        }
        (Kind::Bool, Value::Bool(b)) => Ok(Param::Bool(*b)),
        (Kind::Word(_), Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
            Ok(Param::Word(node.spelled.clone()))
        }
        (Kind::Set(_), Value::Text(_)) => Ok(Param::Word(node.spelled.clone())),
        (Kind::Bytes | Kind::Count | Kind::Bool | Kind::Word(_) | Kind::Set(_), _) => {
            Err(wrong(&row.kind.to_string()))
        }
    }
}

fn build(
    check: &mut Check,
    info: &Info,
    given: &BTreeMap<String, Param>,
    at: &Range<usize>,
) -> Option<Workload> {
    match Workload::build(info.name, given) {
        Ok(workload) => Some(workload),
        Err(BuildError::Together(why)) => {
            check.error(at, format!("impossible parameters: {why}"));
            None
        }
        Err(BuildError::Unknown) => {
            check.error(at, format!("workload `{}` can't be made", info.name));
            None
        }
        Err(BuildError::Params(wrong)) => {
            for one in wrong {
                let why = one.why.unwrap_or_else(|| "is not known".to_owned());
                check.error(at, format!("parameter `{}` {why}", one.name));
            }
            None
        }
    }
}
