//! YAML text → values with places.
//!
//! Two readers see the same text: `serde_yaml` says what the values are, an event parser says where
//! they stand and bounds what the first one may be given. Their results are joined node by node into
//! one tree of [`Node`]s; where the two disagree about the structure, the file is refused.
//!
//! Anchors and aliases work, bounded; merge keys (`<<`) and tags are refused. Not here: any rule about
//! what a file may say.

mod outline;
mod values;

use std::ops::Range;

use outline::{Outline, Shape};
use values::Raw;

use super::problem::Problem;
use super::words::quoted;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where it stands, in bytes of the file; an alias stands where it is used.
    pub(super) span: Range<usize>,
    /// A scalar as it is spelled, unquoted: `1e5`, where the value is a number. Empty for lists and maps.
    pub(super) spelled: String,
    /// What it is.
    pub(super) value: Value,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing: `~`, `null`, or nothing after the colon.
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What it is, for "…, not {}".
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(_) | Value::Float(_) => self.spelled.clone(),
            Value::Text(text) if text.is_empty() => "an empty text".to_owned(),
            Value::Text(text) => quoted(text),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(entries) if entries.is_empty() => "an empty map".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// Reads one document.
///
/// # Errors
/// One problem where the text is not YAML or is out of bounds.
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    let outline = outline::read(text)?;
    let raw = values::read(text)?;
    join(raw, outline)
}

fn join(raw: Raw, outline: Outline) -> Result<Node, Problem> {
    let span = outline.span;
    let node = |spelled: String, value: Value| Node {
        span: span.clone(),
        spelled,
        value,
    };
    match (raw, outline.shape) {
        (Raw::Null, Shape::Scalar(s)) => Ok(node(s, Value::Null)),
        (Raw::Bool(b), Shape::Scalar(s)) => Ok(node(s, Value::Bool(b))),
        (Raw::Int(n), Shape::Scalar(s)) => Ok(node(s, Value::Int(n))),
        (Raw::Float(n), Shape::Scalar(s)) => Ok(node(s, Value::Float(n))),
        (Raw::Text(text), Shape::Scalar(s)) => Ok(node(s, Value::Text(text))),
        (Raw::List(raws), Shape::List(outlines)) if raws.len() == outlines.len() => {
            let items: Result<_, _> = raws.into_iter().zip(outlines).map(|(r, o)| join(r, o)).collect();
            Ok(node(String::new(), Value::List(items?)))
        }
        (Raw::Map(raws), Shape::Map(outlines)) if raws.len() == outlines.len() => {
            let entries: Result<_, _> = raws
                .into_iter()
                .zip(outlines)
                .map(|((rk, rv), (ok, ov))| Ok((join(rk, ok)?, join(rv, ov)?)))
                .collect();
            Ok(node(String::new(), Value::Map(entries?)))
        }
        (
            Raw::Null
            | Raw::Bool(_)
            | Raw::Int(_)
            | Raw::Float(_)
            | Raw::Text(_)
            | Raw::List(_)
            | Raw::Map(_),
            Shape::Scalar(_) | Shape::List(_) | Shape::Map(_),
        ) => Err(Problem::new(span, "this YAML can be read in two ways")
            .help("write it more plainly: quote the text here")),
    }
}

/// Finds every key that is given twice in one map, and merge keys, anywhere in the file.
pub(super) fn check_keys(node: &Node, problems: &mut Vec<Problem>) {
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
        Value::List(items) => items.iter().for_each(|i| check_keys(i, problems)),
        Value::Map(entries) => {
            let mut seen = std::collections::HashMap::new();
            for (key, value) in entries {
                if key.spelled == "<<" {
                    problems.push(
                        Problem::new(key.span.clone(), "merge keys (`<<`) are not used here")
                            .help("a kernel takes over another one's keys with `like: NAME`"),
                    );
                } else if let Some(first) = seen.insert(&key.spelled, key) {
                    let message = format!("the key {} is given twice", quoted(&key.spelled));
                    problems.push(
                        Problem::new(key.span.clone(), message).also(first.span.clone(), "first given here"),
                    );
                    seen.insert(&key.spelled, first);
                }
                check_keys(key, problems);
                check_keys(value, problems);
            }
        }
    }
}
