//! `like:` of machines and cases: a block takes the keys that it does not give from another one.
//!
//! Kernels have their own ([`super::kernels`]), since what they lack must be told at the right one.

use std::ops::Range;

use indexmap::IndexMap;

use super::read::Check;
use super::words::{did_you_mean, quoted};
use super::yaml::{Node, Value};

/// A block's entries, then those of the block it is like, and so on.
pub(super) type Chain<'n> = Vec<&'n [(Node, Node)]>;

/// Follows `like` from each block of a section, by the blocks' names; `None` where that leads nowhere,
/// which has been told.
pub(super) fn chains<'n>(
    check: &mut Check,
    section: &'n [(Node, Node)],
    what: &str,
) -> IndexMap<&'n str, Option<Chain<'n>>> {
    let mut blocks: IndexMap<&str, &[(Node, Node)]> = IndexMap::new();
    for (key, value) in section {
        if let Value::Map(entries) = &value.value {
            blocks.entry(&key.spelled).or_insert(entries);
        }
    }
    let names: Vec<&str> = section.iter().map(|(key, _)| key.spelled.as_str()).collect();
    let chain = |check: &mut Check, name: &'n str| {
        let mut seen = vec![name];
        let mut chain: Chain<'n> = vec![blocks.get(name)?];
        while let Some((like, at)) = like(chain.last()?) {
            if seen.contains(&like) {
                // Each block of a circle tells it at its own line; one that only leads into it stays silent.
                if like == name {
                    seen.push(like);
                    check.error(&at, format!("`like` goes in a circle: {}", seen.join(" → ")));
                }
                return None;
            }
            let Some(next) = blocks.get(like) else {
                if seen.len() == 1 && !names.contains(&like) {
                    let hint = did_you_mean(like, names.iter().copied().filter(|n| *n != name));
                    check.error(&at, format!("there is no {what} {}{hint}", quoted(like)));
                }
                return None;
            };
            chain.push(next);
            seen.push(like);
        }
        Some(chain)
    };
    blocks.keys().map(|name| (*name, chain(check, name))).collect()
}

/// The name that a block's `like` gives; what is no name is told where the key is read.
fn like(entries: &[(Node, Node)]) -> Option<(&str, Range<usize>)> {
    let (_, value) = entries.iter().find(|(key, _)| key.spelled == "like")?;
    match &value.value {
        Value::List(_) | Value::Map(_) | Value::Null => None,
        Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            Some((&value.spelled, value.span.clone()))
        }
    }
}
