//! What the compiler warned of, and what it compiled at all: read from a build's output (pure).
//!
//! Not here: errors (`failure`), and which warnings are new (whoever compares two builds).

use regex::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A warning of the compiler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The file, relative to the tree.
    pub file: PathBuf,
    /// Its line, counted from 1.
    pub line: u32,
    /// What it says, with the option that switches it.
    pub message: String,
}

impl Warning {
    /// Whether it is the same warning, wherever the line has moved to.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.file == other.file && self.message == other.message
    }
}

#[expect(clippy::unwrap_used, reason = "the pattern is a constant, and a test uses it")]
static WARNING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([^\s:][^:]*):(\d+):(?:\d+:)?\s*warning: (.+)$").unwrap());

/// Most warnings that are looked at; a hostile Makefile prints what it likes.
const WARNINGS_MAX: usize = 1000;

/// The tree's name inside of the sandbox.
const SRC: &str = "/src";

/// Every warning of a build's output, each once, in order.
#[must_use]
pub fn warnings(output: &str) -> Vec<Warning> {
    let mut seen = BTreeSet::new();
    let warning = |line: &str| {
        let c = WARNING.captures(line.trim_end())?;
        Some(Warning {
            file: inside(&c[1]),
            line: c[2].parse().ok()?,
            message: c[3].to_owned(),
        })
    };
    let each = output.lines().filter_map(warning);
    each.filter(|w| seen.insert(w.clone()))
        .take(WARNINGS_MAX)
        .collect()
}

fn inside(file: &str) -> PathBuf {
    let path = Path::new(file);
    let path = path.strip_prefix(SRC).unwrap_or(path);
    path.strip_prefix("./").unwrap_or(path).to_owned()
}

/// The objects that a build's output says were compiled: `mm/zswap.o`.
#[must_use]
pub fn compiled(output: &str) -> BTreeSet<PathBuf> {
    let object = |line: &str| {
        let rest = line
            .strip_prefix("  CC ")
            .or_else(|| line.strip_prefix("  AS "))?
            .trim();
        Some(PathBuf::from(rest.strip_prefix("[M]").map_or(rest, str::trim)))
    };
    output.lines().filter_map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_once_each_and_told_from_errors() {
        let log = "  CC      mm/zswap.o\n/src/mm/zswap.c: In function ‘f’:\n/src/mm/zswap.c:12:6: warning: unused variable ‘x’ [-Wunused-variable]\n/src/mm/zswap.c:12:6: warning: unused variable ‘x’ [-Wunused-variable]\n   12 |  int x;\n/src/mm/a.c:3: warning: y\n/src/mm/a.c:4:1: error: z\nld: warning: stack\n";
        let found = warnings(log);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].file.as_path(), found[0].line),
            (Path::new("mm/zswap.c"), 12)
        );
        assert_eq!(found[0].message, "unused variable ‘x’ [-Wunused-variable]");
        let moved = Warning {
            line: 99,
            ..found[0].clone()
        };
        assert!(moved.is_same(&found[0]) && !moved.is_same(&found[1]));
        assert!(compiled(log).contains(Path::new("mm/zswap.o")));
    }

    #[test]
    fn a_flood_of_warnings_is_bounded() {
        let log: String = (1..5000).map(|n| format!("a.c:{n}:1: warning: w\n")).collect();
        assert_eq!(warnings(&log).len(), WARNINGS_MAX);
    }
}
