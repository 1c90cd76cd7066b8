//! Reading nodes as what they should be. Each method notes what is wrong and goes on, so that one
//! pass finds every error of a file.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::problem::Problem;
use super::units;
use super::words::{closest, did_you_mean, listed, quoted};
use super::yaml::{Node, Value};

/// Longest name of a kernel, machine, case or racepoint setting, in characters.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// Collects problems while a file is walked.
#[derive(Debug, Default)]
pub(super) struct Check {
    pub(super) problems: Vec<Problem>,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Slot<T> {
    /// It is not given.
    Absent,
    /// It is given, and wrong: already told.
    Bad,
    /// It is given and right.
    Got(T),
}

impl<T> Slot<T> {
    pub(super) fn or(self, default: T) -> T {
        match self {
            Self::Got(value) => value,
            Self::Absent | Self::Bad => default,
        }
    }

    pub(super) fn got(self) -> Option<T> {
        match self {
            Self::Got(value) => Some(value),
            Self::Absent | Self::Bad => None,
        }
    }
}

/// A map whose keys are known.
pub(super) struct Table<'n> {
    entries: &'n [(Node, Node)],
    /// The entries of the blocks that it is like, the nearest first.
    inherited: Vec<&'n [(Node, Node)]>,
    /// Where to say that something is missing.
    pub(super) at: Range<usize>,
    /// Known keys that unknown ones were probably meant to be.
    misspelt: Vec<&'static str>,
}

impl<'n> Table<'n> {
    /// The value of a key; of a duplicate, the first one.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value; of a block that is like another one, its own first.
    pub(super) fn entry(&self, key: &str) -> Option<(&'n Node, &'n Node)> {
        self.entries_of(key).next()
    }

    /// Key and value in each block of the chain that has them, its own first.
    pub(super) fn entries_of(&self, key: &str) -> impl Iterator<Item = (&'n Node, &'n Node)> {
        let all = std::iter::once(self.entries).chain(self.inherited.iter().copied());
        all.filter_map(move |entries| {
            let found = entries.iter().find(|(k, _)| k.spelled == key);
            found.map(|(k, v)| (k, v))
        })
    }

    /// The same table with what it does not give taken from others.
    pub(super) fn like(mut self, chain: &[&'n [(Node, Node)]]) -> Self {
        self.inherited = chain.iter().skip(1).copied().collect();
        self
    }

    /// Reads a key that may be left out. One that is only misspelt is given, and wrong.
    pub(super) fn slot<T>(&self, key: &str, read: impl FnOnce(&'n Node) -> Option<T>) -> Slot<T> {
        match self.get(key) {
            None if self.misspelt.contains(&key) => Slot::Bad,
            None => Slot::Absent,
            Some(node) => read(node).map_or(Slot::Bad, Slot::Got),
        }
    }

    /// Whether a key is not there, misspelt neither.
    pub(super) fn lacks(&self, key: &str) -> bool {
        self.get(key).is_none() && !self.misspelt.contains(&key)
    }
}

impl Check {
    pub(super) fn error(&mut self, at: &Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.problems.push(Problem::new(at.clone(), message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn not(&mut self, node: &Node, key: &str, what: &str) {
        self.error(
            &node.span,
            format!("{} must be {what}, not {}", quoted(key), node.describe()),
        );
    }

    /// A map with keys out of `known`; the others are told. `at` is where a missing key is told.
    pub(super) fn table<'n>(
        &mut self,
        node: &'n Node,
        at: &Range<usize>,
        what: &str,
        known: &[&'static str],
    ) -> Option<Table<'n>> {
        let entries = self.map(node, what)?;
        let mut misspelt = Vec::new();
        for (key, _) in entries {
            if !known.contains(&key.spelled.as_str()) && key.spelled != "<<" {
                misspelt.extend(self.unknown_key(key, known));
            }
        }
        Some(Table {
            entries,
            inherited: Vec::new(),
            at: at.clone(),
            misspelt,
        })
    }

    /// Tells an unknown key; returns the known one that was probably meant.
    fn unknown_key(&mut self, key: &Node, known: &[&'static str]) -> Option<&'static str> {
        let given = &key.spelled;
        if matches!(key.value, Value::List(_) | Value::Map(_)) {
            self.error(&key.span, format!("a key must be a word, not {}", key.describe()));
            return None;
        }
        let meant = closest(given, known.iter().copied());
        if let Some(word) = meant {
            self.error(
                &key.span,
                format!("unknown key {}; did you mean `{word}`?", quoted(given)),
            );
        } else {
            let help = format!("known here: {}", listed(known.iter().copied()));
            self.error(&key.span, format!("unknown key {}", quoted(given)))
                .help = Some(help);
        }
        meant
    }

    /// A map with any keys.
    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        if let Value::Map(entries) = &node.value {
            return Some(entries);
        }
        self.error(
            &node.span,
            format!("{what} must be a map, not {}", node.describe()),
        );
        None
    }

    /// Tells that a key is missing.
    pub(super) fn missing(&mut self, at: &Range<usize>, what: &str, key: &str) -> &mut Problem {
        self.error(at, format!("{what} lacks the key `{key}`"))
    }

    /// A list, which may be empty.
    pub(super) fn list<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n [Node]> {
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.not(node, key, "a list");
        if let Value::Text(text) = &node.value
            && let Some(problem) = self.problems.last_mut()
        {
            problem.help = Some(format!("write `{key}: [{text}]`"));
        }
        None
    }

    /// A text that is not empty.
    pub(super) fn text<'n>(&mut self, node: &'n Node, key: &str, what: &str) -> Option<&'n str> {
        if let Value::Text(text) = &node.value
            && !text.is_empty()
        {
            return Some(text);
        }
        self.not(node, key, what);
        None
    }

    /// A scalar as it is spelled: for names and revisions, where `12` and `1e5` are words too.
    pub(super) fn word<'n>(&mut self, node: &'n Node, key: &str, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => Some(text),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => Some(&node.spelled),
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                self.not(node, key, what);
                None
            }
        }
    }

    /// One word out of a table.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node, key: &str, words: &[(&str, T)]) -> Option<T> {
        let names = || words.iter().map(|(word, _)| *word);
        if let Some((_, value)) = words
            .iter()
            .find(|(word, _)| matches!(&node.value, Value::Text(t) if t == word))
        {
            return Some(*value);
        }
        let hint = did_you_mean(&node.spelled, names());
        let what = format!("one of {}", listed(names()));
        self.error(
            &node.span,
            format!("{} must be {what}, not {}{hint}", quoted(key), node.describe()),
        );
        None
    }

    pub(super) fn boolean(&mut self, node: &Node, key: &str) -> Option<bool> {
        if let Value::Bool(b) = node.value {
            return Some(b);
        }
        self.not(node, key, "true or false");
        None
    }

    /// A whole number within limits.
    pub(super) fn count(&mut self, node: &Node, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        if let Value::Int(n) = node.value
            && let Ok(n) = u64::try_from(n)
            && range.contains(&n)
        {
            return Some(n);
        }
        let what = if *range.end() == u64::MAX {
            "a whole number of 64 bits".to_owned()
        } else {
            format!("a whole number from {} to {}", range.start(), range.end())
        };
        self.not(node, key, &what);
        None
    }

    /// What has a unit: `read` is one of [`units`]; `show` names the limits.
    fn measured<T: PartialOrd>(
        &mut self,
        node: &Node,
        key: &str,
        range: &RangeInclusive<T>,
        read: fn(&str) -> Result<T, String>,
        show: fn(&T) -> String,
    ) -> Option<T> {
        // A bare number is read as text, so that the error speaks of the missing unit.
        let problem = match self.word(node, key, "a value with a unit").map(read)? {
            Ok(value) if range.contains(&value) => return Some(value),
            Ok(value) => {
                format!(
                    "must be from {} to {}, not {}",
                    show(range.start()),
                    show(range.end()),
                    show(&value)
                )
            }
            Err(why) => why,
        };
        self.error(&node.span, format!("{} {problem}", quoted(key)));
        None
    }

    /// A size in bytes, within limits.
    pub(super) fn size(&mut self, node: &Node, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.measured(node, key, &range, units::size, |n| units::show_size(*n))
    }

    /// A duration within limits.
    pub(super) fn duration(
        &mut self,
        node: &Node,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.measured(node, key, &range, units::duration, |d| units::show_duration(*d))
    }

    /// A name that may become part of a cell's id and of a folder's name.
    pub(super) fn name<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let given = match &node.value {
            Value::List(_) | Value::Map(_) | Value::Null => "",
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => &node.spelled,
        };
        match name_error(given) {
            None => Some(given),
            Some(why) => {
                self.error(
                    &node.span,
                    format!("{what} can't be called {}: {why}", quoted(given)),
                );
                None
            }
        }
    }

    /// A reference to something defined in this file; `None` for names that can't be known, since what
    /// defines them has an error: then any will do.
    pub(super) fn defined(
        &mut self,
        node: &Node,
        key: &str,
        what: &str,
        names: Option<&[&str]>,
    ) -> Option<String> {
        let given = self.word(node, key, "a name")?;
        let names = match names {
            Some(names) if !names.contains(&given) => names,
            Some(_) | None => return Some(given.to_owned()),
        };
        let hint = did_you_mean(given, names.iter().copied());
        let help = match (hint.is_empty(), names.is_empty()) {
            (false, _) => None,
            (true, false) => Some(format!("defined here: {}", listed(names.iter().copied()))),
            (true, true) => Some(format!("this file defines no {what}")),
        };
        self.error(&node.span, format!("there is no {what} {}{hint}", quoted(given)))
            .help = help;
        None
    }

    /// A path; a relative one starts at `base`.
    pub(super) fn path(&mut self, node: &Node, key: &str, base: &Path) -> Option<PathBuf> {
        let text = self.text(node, key, "a path")?;
        if text.contains('\0') || text.contains('\n') {
            self.error(&node.span, format!("{} must be a path on one line", quoted(key)));
            return None;
        }
        if text.starts_with('~') {
            self.error(&node.span, format!("`~` is not expanded in {}", quoted(key)))
                .help = Some("give an absolute path, or one relative to this file".to_owned());
            return None;
        }
        Some(base.join(text).components().collect())
    }
}

/// Why a text can't be a name, if it can't.
pub(super) fn name_error(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.chars().count() > NAME_CHARS_MAX {
        Some("a name has at most 64 characters")
    } else if !name.starts_with(first) || !name.chars().all(allowed) {
        Some("a name is made of a-z, 0-9, `_` and `-`, and starts with a letter or digit")
    } else {
        None
    }
}
