//! What everything is: the values, read by `serde_yaml` (its only use).
//!
//! A type of our own rather than `serde_yaml::Value`, because that one stops at the first duplicate
//! key and forgets the order of the rest.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::spec::problem::Problem;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Raw>),
    /// In the order of the file, duplicates kept.
    Map(Vec<(Raw, Raw)>),
}

/// Reads the values of a file whose outline has been found sound.
pub(super) fn read(text: &str) -> Result<Raw, Problem> {
    serde_yaml::from_str(text).map_err(|e| {
        let at = e.location().map_or(0, |l| l.index().min(text.len()));
        // The place is told by us, in the same words as everywhere.
        let words = e.to_string();
        let info = words.split(" at line ").next().unwrap_or(&words);
        super::outline::syntax_problem(text, at, info)
    })
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: Error>(self, b: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(b))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Raw, E> {
        Ok(Raw::Int(n.into()))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Raw, E> {
        Ok(Raw::Int(n.into()))
    }

    fn visit_i128<E: Error>(self, n: i128) -> Result<Raw, E> {
        Ok(Raw::Int(n))
    }

    fn visit_u128<E: Error>(self, n: u128) -> Result<Raw, E> {
        // Out of every range that is allowed anywhere, which is all that matters.
        Ok(Raw::Int(i128::try_from(n).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Raw, E> {
        Ok(Raw::Float(n))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
