//! The map `cases`: workloads of the catalogue with their parameters.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use guest_tests::catalogue::{BuildError, Info, Kind, ParamInfo, Value as Param, Workload};
use indexmap::IndexMap;

use super::axes::Given;
use super::like;
use super::machines::BUDGET;
use super::problem::Problem;
use super::read::{Check, Slot};
use super::types::{CaseSpec, Defaults};
use super::units;
use super::words::{did_you_mean, listed, quoted};
use super::yaml::{Node, Value};

pub(super) const KEYS: &[&str] = &["like", "workload", "seed", "budget", "params"];

/// Reads all cases; one whose workload has an error is left out.
pub(super) fn read(check: &mut Check, defaults: &Defaults, node: &Node) -> IndexMap<String, Arc<CaseSpec>> {
    let mut cases = IndexMap::new();
    let entries = check.map(node, "`cases`").unwrap_or_default();
    let chains = like::chains(check, entries, "case");
    for (key, value) in entries {
        let name = check.name(key, "a case").map(str::to_owned);
        let chain = chains.get(key.spelled.as_str()).and_then(Option::as_deref);
        let case = case(check, defaults, key, value, chain);
        if let (Some(name), Some(case)) = (name, case) {
            cases.entry(name).or_insert(Arc::new(case));
        }
    }
    if cases.len() < entries.len() && check.problems.is_empty() {
        check.error(&node.span, "some of these cases can't be used");
    }
    cases
}

/// Cases of workloads that a matrix names in place of cases: with defaults, under the workload's name.
pub(super) fn of_workloads(defaults: &Defaults, matrix: &Node) -> Vec<(String, Arc<CaseSpec>)> {
    let Value::Map(entries) = &matrix.value else {
        return Vec::new();
    };
    let found = entries.iter().find(|(key, _)| key.spelled == "workload");
    let Some((
        _,
        Node {
            value: Value::List(items),
            ..
        },
    )) = found
    else {
        return Vec::new();
    };
    let case = |item: &Node| {
        let workload = Workload::build(&item.spelled, &BTreeMap::new()).ok()?;
        let case = CaseSpec {
            workload,
            seed: defaults.seed,
            budget: defaults.budget,
        };
        Some((item.spelled.clone(), Arc::new(case)))
    };
    items.iter().filter_map(case).collect()
}

fn case(
    check: &mut Check,
    defaults: &Defaults,
    key: &Node,
    node: &Node,
    chain: Option<&[&[(Node, Node)]]>,
) -> Option<CaseSpec> {
    let what = format!("case {}", quoted(&key.spelled));
    let table = check
        .table(node, &key.span, &what, KEYS)?
        .like(chain.unwrap_or_default());
    let like = table.slot("like", |n| check.word(n, "like", "a case's name"));
    let seed = table
        .slot("seed", |n| check.count(n, "seed", 0..=u64::MAX))
        .or(defaults.seed);
    let budget = table.slot("budget", |n| budget(check, n)).or(defaults.budget);
    let catalogue = Workload::all();
    let info = table.slot("workload", |n| workload(check, &catalogue, n));
    // What a chain lacks is told at its end.
    if matches!(info, Slot::Absent) && matches!(like, Slot::Absent) {
        check.missing(&key.span, &what, "workload").help = Some(there_are(&catalogue));
    }
    let info = info.got()?;
    let mut given = BTreeMap::new();
    for node in params_of(chain.unwrap_or_default(), info.name) {
        given.extend(params(check, info, node)?);
    }
    let at = table.entry("params").map_or(&key.span, |(k, _)| &k.span);
    let workload = build(check, info, &given, at)?;
    Some(CaseSpec {
        workload,
        seed,
        budget,
    })
}

/// The maps `params` of a chain of cases, the farthest first; those of another workload do not count.
fn params_of<'n>(chain: &[&'n [(Node, Node)]], workload: &str) -> Vec<&'n Node> {
    let get = |entries: &&'n [(Node, Node)], key: &str| {
        let found = entries.iter().find(|(k, _)| k.spelled == key);
        found.map(|(_, value)| value)
    };
    let counts = |at: &usize| {
        let own = chain[*at..].iter().find_map(|entries| get(entries, "workload"));
        own.is_some_and(|own| own.spelled == workload)
    };
    let taken = (0..chain.len()).rev().filter(counts);
    taken.filter_map(|at| get(&chain[at], "params")).collect()
}

/// Reads a budget.
pub(super) fn budget(check: &mut Check, node: &Node) -> Option<Duration> {
    check.duration(node, "budget", BUDGET)
}

/// A case with some of its workload's parameters changed.
///
/// # Errors
/// Parameters that the workload has not, values that it does not take, and what is impossible together.
pub fn vary(case: &CaseSpec, changes: &[(&str, &Given)]) -> Result<CaseSpec, Vec<Problem>> {
    let name = case.workload.name();
    let catalogue = Workload::all();
    let Some(info) = catalogue.iter().find(|info| info.name == name) else {
        return Ok(case.clone());
    };
    let mut given = values_of(&case.workload, info);
    let mut check = Check::default();
    for (param_name, change) in changes {
        let node = &change.node;
        let Some(row) = info.params.iter().find(|p| p.name == *param_name) else {
            let message = format!("workload `{name}` has no parameter {}", quoted(param_name));
            check.error(&node.span, message).help =
                Some("leave its cells out with `exclude`, or give it a matrix of its own".to_owned());
            continue;
        };
        match checked(row, node) {
            Ok(value) => {
                given.insert(row.name.to_owned(), value);
            }
            Err((why, help)) => check.error(&node.span, why).help = help,
        }
    }
    let at = changes.first().map_or(0..0, |(_, change)| change.at());
    let workload = if check.problems.is_empty() {
        build(&mut check, info, &given, &at)
    } else {
        None
    };
    match workload {
        Some(workload) => Ok(CaseSpec {
            workload,
            ..case.clone()
        }),
        None => Err(check.problems),
    }
}

/// Every parameter of a workload as it is now.
fn values_of(workload: &Workload, info: &Info) -> BTreeMap<String, Param> {
    let json = serde_json::to_value(workload).unwrap_or_default();
    let value = |row: &ParamInfo| {
        let value = &json["params"][row.name];
        let value = match row.kind {
            Kind::Bytes => Param::Bytes(value.as_u64()?),
            Kind::Count => Param::Count(value.as_u64()?),
            Kind::Bool => Param::Bool(value.as_bool()?),
            Kind::Word(_) | Kind::Set(_) => Param::Word(value.as_str()?.to_owned()),
        };
        Some((row.name.to_owned(), value))
    };
    info.params.iter().filter_map(value).collect()
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
        match checked(row, value) {
            Ok(v) => {
                given.insert(row.name.to_owned(), v);
            }
            Err((why, help)) => {
                check.error(&value.span, why).help = help;
                good = false;
            }
        }
    }
    good.then_some(given)
}

/// Reads a value of a parameter and checks it; else what is wrong, and what the parameter is for.
fn checked(row: &ParamInfo, value: &Node) -> Result<Param, (String, Option<String>)> {
    let read = param(row, value).and_then(|v| row.check(&v).map(|()| v));
    read.map_err(|why| {
        let hint = match row.kind {
            Kind::Word(words) => did_you_mean(&value.spelled, words.iter().copied()),
            Kind::Bytes | Kind::Count | Kind::Bool | Kind::Set(_) => String::new(),
        };
        (
            format!("parameter `{}` {why}{hint}", row.name),
            Some(format!("`{}`: {}", row.name, row.doc)),
        )
    })
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
