//! The key `source` of a kernel: where its tree comes from.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::kernels::Surroundings;
use super::lookup::Lies;
use super::read::{Check, Slot, Table};
use super::types::SourceSpec;
use super::words::{listed, quoted};
use super::yaml::{Node, Value};

pub(super) const PROVIDERS: &[&str] = &["debian", "dir", "tarball", "git", "image"];
const SOURCE_KEYS: &[&str] = &["debian", "dir", "tarball", "git", "image", "rev"];
/// On an axis a source may say what it is called.
const NAMED_KEYS: &[&str] = &["debian", "dir", "tarball", "git", "image", "rev", "name"];
/// How a git URL may start. Others are refused: `ext::` runs a command.
const GIT_SCHEMES: &[&str] = &["https://", "http://", "ssh://", "git://", "file://"];

/// Reads the map `sources`: sources with names. One that has an error is there, and `None`.
pub(super) fn named(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
) -> IndexMap<String, Option<SourceSpec>> {
    let mut found = IndexMap::new();
    for (key, value) in check.map(node, "`sources`").unwrap_or_default() {
        let name = check.name(key, "a source").map(str::to_owned);
        let source = provided(check, around, value, SOURCE_KEYS);
        if let Some(name) = name {
            found.entry(name).or_insert(source);
        }
    }
    found
}

/// Reads `source`: the name of one of `sources`, or exactly one provider.
pub(super) fn read(check: &mut Check, around: &Surroundings<'_>, node: &Node) -> Option<SourceSpec> {
    any(check, around, node, SOURCE_KEYS)
}

/// The same on an axis, where `name:` may be given as well.
pub(super) fn on_axis(check: &mut Check, around: &Surroundings<'_>, node: &Node) -> Option<SourceSpec> {
    any(check, around, node, NAMED_KEYS)
}

fn any(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
    keys: &[&'static str],
) -> Option<SourceSpec> {
    if matches!(node.value, Value::Text(_)) && !around.sources.is_empty() {
        let names: Vec<&str> = around.sources.keys().map(String::as_str).collect();
        let name = check.defined(node, "source", "source", Some(&names))?;
        return around.sources.get(&name).cloned().flatten();
    }
    provided(check, around, node, keys)
}

fn provided(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
    keys: &[&'static str],
) -> Option<SourceSpec> {
    let table = check.table(node, &node.span, "`source`", keys)?;
    let given: Vec<_> = PROVIDERS
        .iter()
        .filter_map(|p| table.entry(p).map(|(k, v)| (*p, k, v)))
        .collect();
    let &[(provider, _, value)] = given.as_slice() else {
        if let [_, (_, key, _), ..] = given.as_slice() {
            check.error(
                &key.span,
                format!("a source is one of {}", listed(PROVIDERS.iter().copied())),
            );
        } else {
            check.error(
                &table.at,
                format!("`source` needs one of {}", listed(PROVIDERS.iter().copied())),
            );
        }
        return None;
    };
    if provider != "git"
        && let Some((key, _)) = table.entry("rev")
    {
        check.error(&key.span, "`rev` belongs to a `git` source");
    }
    match provider {
        "debian" => debian(check, value),
        "dir" => existing(check, around, value, provider, Lies::Folder).map(|path| SourceSpec::Dir { path }),
        "tarball" => {
            existing(check, around, value, provider, Lies::File).map(|path| SourceSpec::Tarball { path })
        }
        "image" => {
            existing(check, around, value, provider, Lies::File).map(|path| SourceSpec::Image { path })
        }
        _ => git(check, around, &table, value),
    }
}

fn debian(check: &mut Check, node: &Node) -> Option<SourceSpec> {
    let package = check.text(node, "debian", "a package such as linux-source-6.12")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c);
    if package.starts_with("linux-source") && package.chars().all(allowed) {
        return Some(SourceSpec::Debian {
            package: package.to_owned(),
        });
    }
    check
        .error(
            &node.span,
            format!("{} is not a package of kernel sources", quoted(package)),
        )
        .help =
        Some("such packages are called linux-source-VERSION: `apt-cache search ^linux-source`".to_owned());
    None
}

fn existing(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
    key: &str,
    wanted: Lies,
) -> Option<PathBuf> {
    let path = check.path(node, key, around.base)?;
    let kind = if wanted == Lies::Folder {
        "directory"
    } else {
        "file"
    };
    match around.lookup.at(&path) {
        found if found == wanted => return Some(path),
        Lies::Nothing => check.error(&node.span, format!("there is no {kind} {}", path.display())),
        Lies::File | Lies::Folder => check.error(&node.span, format!("{} is not a {kind}", path.display())),
    };
    None
}

fn git(check: &mut Check, around: &Surroundings<'_>, table: &Table<'_>, node: &Node) -> Option<SourceSpec> {
    let rev = table.slot("rev", |n| {
        let rev = check.word(n, "rev", "a tag, branch or commit")?;
        let bad = rev.starts_with('-')
            || rev.contains("..")
            || rev.contains(|c: char| c.is_whitespace() || c.is_control());
        if bad {
            check.error(
                &n.span,
                format!("`rev` must be a tag, branch or commit, not {}", quoted(rev)),
            );
        }
        (!bad).then(|| rev.to_owned())
    });
    if matches!(rev, Slot::Absent) {
        check.missing(&table.at, "a `git` source", "rev").help =
            Some("add `rev: TAG, BRANCH or COMMIT`".to_owned());
    }
    let text = check.text(node, "git", "a repository's path or URL")?;
    let repo = if GIT_SCHEMES.iter().any(|s| text.starts_with(s)) || is_scp_like(text) {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            check.error(&node.span, format!("{} is not a URL", quoted(text)));
            return None;
        }
        text.to_owned()
    } else if text.contains("::") || text.contains("://") {
        check
            .error(&node.span, format!("git can't be asked for {}", quoted(text)))
            .help = Some(format!(
            "a path, `user@host:path`, or a URL that starts with {}",
            GIT_SCHEMES.join(", ")
        ));
        return None;
    } else {
        existing(check, around, node, "git", Lies::Folder)?
            .to_str()?
            .to_owned()
    };
    Some(SourceSpec::Git {
        repo,
        rev: rev.got()?,
    })
}

/// `user@host:path`, where nothing can be taken for an option.
fn is_scp_like(text: &str) -> bool {
    let word = |s: &str| {
        !s.is_empty()
            && !s.starts_with('-')
            && s.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.split_once(':').is_some_and(|(host, path)| {
        !path.is_empty()
            && !path.starts_with(':')
            && host
                .split_once('@')
                .is_some_and(|(user, host)| word(user) && word(host))
    })
}
