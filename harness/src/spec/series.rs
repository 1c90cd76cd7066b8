//! `series.yaml`: what a folder of patches is.
//!
//! ```yaml
//! title: one line
//! what: what the patches do, for people
//! kind: defect            # defect | racepoint | fix | carry
//! fits: [linux-source-6.12, 6.10..6.14]
//! links: [https://…]
//! patches: [0001-one.patch, 0002-two.patch]   # optional: else all *.patch, sorted by name
//! ```

use std::path::Path;

use super::file;
use super::problem::SpecError;
use super::read::{Check, Slot};
use super::words::quoted;
use super::yaml::{self, Node};

const KEYS: &[&str] = &["title", "what", "kind", "fits", "links", "patches"];
const KINDS: &[(&str, Kind)] = &[
    ("defect", Kind::Defect),
    ("racepoint", Kind::Racepoint),
    ("fix", Kind::Fix),
    ("carry", Kind::Carry),
];

/// What a series is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFile {
    /// One line.
    pub title: String,
    /// What the patches do, for people; may have several lines.
    pub what: String,
    /// What it is for.
    pub kind: Kind,
    /// The sources it is made for; never empty.
    pub fits: Vec<Fit>,
    /// Web addresses: mails, commits.
    pub links: Vec<String>,
    /// File names in the order in which they are applied; `None` for all `*.patch`, sorted by name.
    pub patches: Option<Vec<String>>,
}

/// What a series is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Puts a historic bug back.
    Defect,
    /// Adds racepoints; a site that does not fit is dropped and reported.
    Racepoint,
    /// Repairs a bug.
    Fix,
    /// Makes a source build or boot here; changes nothing that is tested.
    Carry,
}

impl Kind {
    /// The word of YAML.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Defect => "defect",
            Self::Racepoint => "racepoint",
            Self::Fix => "fix",
            Self::Carry => "carry",
        }
    }
}

/// A source that a series is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// A distribution package of that name.
    Package(String),
    /// Kernel releases from the first to the last, both in it: `6.12`, `6.1..6.12`, `6.12..`.
    Releases {
        /// First release.
        first: (u32, u32),
        /// Last release; `None` for every later one.
        last: Option<(u32, u32)>,
    },
}

impl Fit {
    /// Whether a kernel of this release (`VERSION`, `PATCHLEVEL` of its Makefile), from this package if any, fits.
    #[must_use]
    pub fn takes(&self, package: Option<&str>, release: (u32, u32)) -> bool {
        match self {
            Self::Package(name) => package == Some(name),
            Self::Releases { first, last } => *first <= release && last.is_none_or(|last| release <= last),
        }
    }
}

impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Package(name) => write!(f, "{name}"),
            Self::Releases {
                first: (major, minor),
                last,
            } => match last {
                None => write!(f, "{major}.{minor}.."),
                Some(last) if last == &(*major, *minor) => write!(f, "{major}.{minor}"),
                Some((to_major, to_minor)) => write!(f, "{major}.{minor}..{to_major}.{to_minor}"),
            },
        }
    }
}

/// Reads a `series.yaml`.
///
/// # Errors
/// Everything that is wrong with the file (of its syntax, the first thing only).
pub fn load(path: &Path) -> Result<SeriesFile, SpecError> {
    parse(path, &file::read(path)?)
}

/// Reads a series file from bytes; `path` names it in errors.
///
/// # Errors
/// Everything that is wrong with the file (of its syntax, the first thing only).
pub fn parse(path: &Path, bytes: &[u8]) -> Result<SeriesFile, SpecError> {
    let text = file::decode(path, bytes)?;
    let root = yaml::read(&text).map_err(|problem| SpecError::new(path, &text, vec![problem]))?;
    let mut check = Check::default();
    yaml::check_keys(&root, &mut check.problems);
    match walk(&mut check, &root) {
        Some(series) if check.problems.is_empty() => Ok(series),
        Some(_) | None => Err(SpecError::new(path, &text, check.problems)),
    }
}

fn walk(check: &mut Check, root: &Node) -> Option<SeriesFile> {
    let start = root.span.start..root.span.start;
    let table = check.table(root, &start, "a series file", KEYS)?;
    let title = table.slot("title", |n| one_line(check, n));
    let what = table.slot("what", |n| {
        check.text(n, "what", "a text").map(|t| t.trim().to_owned())
    });
    let kind = table.slot("kind", |n| check.one_of(n, "kind", KINDS));
    let fits = table.slot("fits", |n| each(check, n, "fits", fit));
    let links = table.slot("links", |n| each(check, n, "links", link));
    let patches = table.slot("patches", |n| each(check, n, "patches", patch));
    for key in ["title", "what", "kind", "fits"] {
        if table.lacks(key) {
            check.missing(&table.at, "the file", key);
        }
    }
    if let (Slot::Got(fits), Some(node)) = (&fits, table.get("fits"))
        && fits.is_empty()
    {
        check.error(&node.span, "`fits` must name at least one source");
    }
    if let (Slot::Got(patches), Some(node)) = (&patches, table.get("patches")) {
        let twice = patches
            .iter()
            .enumerate()
            .find(|(at, p)| patches[..*at].contains(p));
        if let Some((_, twice)) = twice {
            check.error(&node.span, format!("the patch {} is listed twice", quoted(twice)));
        } else if patches.is_empty() {
            check.error(&node.span, "`patches` is empty").help =
                Some("leave it out to take every *.patch of the folder".to_owned());
        }
    }
    Some(SeriesFile {
        title: title.got()?,
        what: what.got()?,
        kind: kind.got()?,
        fits: fits.got()?,
        links: links.or(Vec::new()),
        patches: patches.got(),
    })
}

fn one_line(check: &mut Check, node: &Node) -> Option<String> {
    let text = check.text(node, "title", "one line")?.trim();
    if text.contains('\n') {
        check.error(&node.span, "`title` must be one line").help =
            Some("the rest belongs to `what`".to_owned());
        return None;
    }
    Some(text.to_owned())
}

fn each<T>(
    check: &mut Check,
    node: &Node,
    key: &str,
    mut read: impl FnMut(&mut Check, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let items: Vec<_> = check.list(node, key)?.iter().map(|n| read(check, n)).collect();
    items.into_iter().collect()
}

/// Reads a package's name or a range of releases, as spelled: `6.10` is not the number 6.1.
fn fit(check: &mut Check, node: &Node) -> Option<Fit> {
    let given = check.word(node, "fits", "a list of packages and releases")?;
    let package = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c);
    if given.starts_with(|c: char| c.is_ascii_lowercase()) && given.chars().all(package) {
        return Some(Fit::Package(given.to_owned()));
    }
    let found = match given.split_once("..") {
        None => release(given).map(|r| (r, Some(r))),
        Some((first, "")) => release(first).map(|first| (first, None)),
        Some((first, last)) => release(first)
            .zip(release(last))
            .map(|(first, last)| (first, Some(last))),
    };
    match found {
        Some((first, Some(last))) if first > last => {
            check.error(
                &node.span,
                format!("the range {} ends before it starts", quoted(given)),
            );
            None
        }
        Some((first, last)) => Some(Fit::Releases { first, last }),
        None => {
            check
                .error(
                    &node.span,
                    format!("{} is neither a package nor a range of releases", quoted(given)),
                )
                .help = Some("for example `linux-source-6.12`, `6.12`, `6.1..6.12` or `6.12..`".to_owned());
            None
        }
    }
}

fn release(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    let number = |s: &str| {
        s.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| s.parse().ok())
            .flatten()
    };
    Some((number(major)?, number(minor)?))
}

fn link(check: &mut Check, node: &Node) -> Option<String> {
    let text = check.text(node, "links", "a list of web addresses")?;
    let good = ["https://", "http://"]
        .iter()
        .any(|s| text.strip_prefix(s).is_some_and(|rest| !rest.is_empty()));
    if !good || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        check.error(&node.span, format!("{} is not a web address", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

fn patch(check: &mut Check, node: &Node) -> Option<String> {
    let text = check.text(node, "patches", "a list of file names")?;
    if !text.ends_with(".patch")
        || text.contains('/')
        || text.starts_with('-')
        || text.contains(char::is_control)
    {
        check
            .error(
                &node.span,
                format!("{} is not the name of a patch in this folder", quoted(text)),
            )
            .help = Some("for example `0001-one-thing.patch`".to_owned());
        return None;
    }
    Some(text.to_owned())
}
