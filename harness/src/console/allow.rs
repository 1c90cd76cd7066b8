//! The allowlist: splats that are known, tracked somewhere, and tolerated until a date.
//!
//! An entry without reason, link or future expiry date is an error, so that no list rots in silence.
//! How entries are written (YAML, with positions) is `spec`'s business.

use jiff::civil::Date;
use miette::Diagnostic;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Splat;

/// Largest compiled size of one pattern, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// One entry as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowEntry {
    /// Regular expression over the splat's title.
    pub regex: String,
    /// Why the splat is tolerated.
    pub reason: String,
    /// Where it is tracked: a http or https address.
    pub link: String,
    /// Last day on which the entry holds: `YYYY-MM-DD`.
    pub expires: String,
}

/// One entry that holds.
#[derive(Debug, Clone)]
pub struct Allow {
    /// Matched against the splat's title.
    pub regex: Regex,
    /// Why the splat is tolerated.
    pub reason: String,
    /// Where it is tracked.
    pub link: String,
    /// Last day on which the entry holds.
    pub expires: Date,
}

/// The entries that hold today.
#[derive(Debug, Clone, Default)]
pub struct Allowlist {
    entries: Vec<Allow>,
}

/// Why an allowlist is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum AllowError {
    /// An entry's day has passed.
    #[error("allowlist entry {index} (`{pattern}`) expired on {expires}")]
    #[diagnostic(help(
        "look at its link: fix the kernel or drop the entry; if it must stay, say why and give it a new date"
    ))]
    Expired {
        /// The entry's place in the list, from 0.
        index: usize,
        /// Its pattern.
        pattern: String,
        /// Its last day.
        expires: Date,
    },
    /// An entry can't be read.
    #[error("allowlist entry {index} (`{pattern}`): {field}: {why}")]
    #[diagnostic(help(
        "each entry needs `regex` (over the splat's title), `reason`, `link` (http…) and `expires` (YYYY-MM-DD)"
    ))]
    Bad {
        /// The entry's place in the list, from 0.
        index: usize,
        /// Its pattern.
        pattern: String,
        /// The field that is wrong.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl AllowError {
    /// The entry's place in the list, from 0, so that the reader of the file can point at it.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Expired { index, .. } | Self::Bad { index, .. } => *index,
        }
    }
}

impl Allowlist {
    /// Checks entries against today's date.
    ///
    /// # Errors
    /// The first entry that has expired, lacks a field, has a pattern that does not compile, or one
    /// that matches any title.
    pub fn parse(entries: impl IntoIterator<Item = AllowEntry>, today: Date) -> Result<Self, AllowError> {
        let checked = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| check(index, entry, today));
        Ok(Self {
            entries: checked.collect::<Result<_, _>>()?,
        })
    }

    /// The entry that tolerates a splat, if any.
    #[must_use]
    pub fn allows(&self, splat: &Splat) -> Option<&Allow> {
        self.entries
            .iter()
            .find(|allow| allow.regex.is_match(&splat.title))
    }

    /// The entries, in the order they were written.
    #[must_use]
    pub fn entries(&self) -> &[Allow] {
        &self.entries
    }
}

fn check(index: usize, entry: AllowEntry, today: Date) -> Result<Allow, AllowError> {
    let AllowEntry {
        regex: pattern,
        reason,
        link,
        expires,
    } = entry;
    let bad = |field, why: String| AllowError::Bad {
        index,
        pattern: pattern.clone(),
        field,
        why,
    };
    if reason.trim().is_empty() {
        return Err(bad("reason", "is empty".to_owned()));
    }
    if !link.starts_with("https://") && !link.starts_with("http://") {
        return Err(bad("link", "is not a http or https address".to_owned()));
    }
    let expires: Date = expires
        .parse()
        .map_err(|_| bad("expires", format!("`{expires}` is not a date")))?;
    let compiled = RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE_MAX).build();
    let regex = compiled.map_err(|e| bad("regex", e.to_string()))?;
    if regex.is_match("") {
        return Err(bad("regex", "matches any title".to_owned()));
    }
    if expires < today {
        return Err(AllowError::Expired {
            index,
            pattern,
            expires,
        });
    }
    Ok(Allow {
        regex,
        reason,
        link,
        expires,
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::console::analyze;

    fn entry(regex: &str, expires: &str) -> AllowEntry {
        AllowEntry {
            regex: regex.to_owned(),
            reason: "known upstream".to_owned(),
            link: "https://lore.kernel.org/r/1".to_owned(),
            expires: expires.to_owned(),
        }
    }

    fn refused(entry: AllowEntry) -> String {
        Allowlist::parse([entry], date(2026, 3, 1))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_entry_allows_what_its_pattern_says_and_nothing_else() {
        let list = Allowlist::parse([entry("^WARNING in zs_", "2026-03-01")], date(2026, 3, 1)).unwrap();
        let splat = |function: &str| {
            let log = format!(
                "WARNING: CPU: 0 PID: 1 at mm/x.c:1 {function}+0x1/0x2\nCall Trace:\n {function}+0x1/0x2\n"
            );
            analyze(log.as_bytes()).remove(0)
        };
        assert_eq!(
            list.allows(&splat("zs_free")).map(|a| a.reason.as_str()),
            Some("known upstream")
        );
        assert!(list.allows(&splat("zswap_load")).is_none());
        assert_eq!(list.entries().len(), 1);
    }

    #[test]
    fn an_expired_entry_is_an_error() {
        let error = Allowlist::parse(
            [entry("a", "2026-03-02"), entry("b", "2026-02-28")],
            date(2026, 3, 1),
        )
        .unwrap_err();
        assert_eq!(error.index(), 1);
        assert_eq!(error.to_string(), "allowlist entry 1 (`b`) expired on 2026-02-28");
    }

    #[test]
    fn a_bad_entry_is_an_error() {
        assert_eq!(
            refused(entry("a", "soon")),
            "allowlist entry 0 (`a`): expires: `soon` is not a date"
        );
        assert_eq!(
            refused(entry(".*", "2026-04-01")),
            "allowlist entry 0 (`.*`): regex: matches any title"
        );
        assert!(refused(entry("(", "2026-04-01")).starts_with("allowlist entry 0 (`(`): regex: "));
        assert!(
            refused(AllowEntry {
                reason: " ".to_owned(),
                ..entry("a", "2026-04-01")
            })
            .ends_with("reason: is empty")
        );
        let linkless = AllowEntry {
            link: "TODO".to_owned(),
            ..entry("a", "2026-04-01")
        };
        assert!(refused(linkless).ends_with("link: is not a http or https address"));
    }
}
