//! The map `kernels`: sources, fragments, series, and `like:`.

use std::ops::Range;
use std::path::Path;

use indexmap::IndexMap;

use super::lookup::{Lies, Lookup};
use super::read::{Check, Slot};
use super::sources;
use super::types::{KernelSpec, Reference, SourceSpec};
use super::words::{did_you_mean, listed, quoted};
use super::yaml::Node;

pub(super) const KEYS: &[&str] = &["like", "source", "kconfigs", "series", "trusted"];

/// A kernel as it is written, before `like:`.
struct Draft {
    at: Range<usize>,
    like: Slot<(String, Range<usize>)>,
    source: Slot<SourceSpec>,
    kconfigs: Slot<Vec<Reference>>,
    series: Slot<Vec<Reference>>,
    trusted: Slot<bool>,
    /// The keys `kconfigs` and `series`, where given: an image takes none.
    extra: Vec<(&'static str, Range<usize>)>,
}

/// What the kernels' readers need to know.
pub(super) struct Surroundings<'a> {
    /// The matrix file's folder, absolute.
    pub(super) base: &'a Path,
    pub(super) lookup: &'a dyn Lookup,
    pub(super) kconfigs: Vec<String>,
    pub(super) series: Vec<String>,
    /// The sources that the file names; `None` where one has an error.
    pub(super) sources: IndexMap<String, Option<SourceSpec>>,
}

/// Reads all kernels; one that has an error is left out.
pub(super) fn read(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
) -> IndexMap<String, KernelSpec> {
    let mut drafts: IndexMap<String, Option<Draft>> = IndexMap::new();
    for (key, value) in check.map(node, "`kernels`").unwrap_or_default() {
        let name = check.name(key, "a kernel").map(str::to_owned);
        let draft = draft(check, around, key, value);
        if let Some(name) = name {
            drafts.entry(name).or_insert(draft);
        }
    }
    let mut kernels = IndexMap::new();
    for name in drafts.keys() {
        if let Some(kernel) = resolve(check, &drafts, name) {
            kernels.insert(name.clone(), kernel);
        }
    }
    if kernels.len() < drafts.len() && check.problems.is_empty() {
        check.error(&node.span, "some of these kernels can't be used");
    }
    kernels
}

fn draft(check: &mut Check, around: &Surroundings<'_>, key: &Node, node: &Node) -> Option<Draft> {
    let what = format!("kernel {}", quoted(&key.spelled));
    let table = check.table(node, &key.span, &what, KEYS)?;
    let like = table.slot("like", |n| {
        check
            .word(n, "like", "a kernel's name")
            .map(|name| (name.to_owned(), n.span.clone()))
    });
    let source = table.slot("source", |n| sources::read(check, around, n));
    let kconfigs = table.slot("kconfigs", |n| references(check, around, n, &KCONFIGS));
    let series = table.slot("series", |n| references(check, around, n, &SERIES));
    let trusted = table.slot("trusted", |n| check.boolean(n, "trusted"));
    let extra = ["kconfigs", "series"];
    let extra = extra
        .into_iter()
        .filter_map(|k| table.entry(k).map(|(key, _)| (k, key.span.clone())))
        .collect();
    Some(Draft {
        at: key.span.clone(),
        like,
        source,
        kconfigs,
        series,
        trusted,
        extra,
    })
}

/// Works `like:` in: a key that a kernel does not give is taken from the one it is like. What the last
/// of a chain lacks is told there only.
fn resolve(check: &mut Check, drafts: &IndexMap<String, Option<Draft>>, name: &str) -> Option<KernelSpec> {
    let chain = chain(check, drafts, name)?;
    let first = chain.first()?;
    let source = inherited(&chain, |d| &d.source);
    let kconfigs = inherited(&chain, |d| &d.kconfigs);
    let series = inherited(&chain, |d| &d.series).or(Vec::new());
    let trusted = inherited(&chain, |d| &d.trusted).or(false);
    let what = format!("kernel {}", quoted(name));
    if matches!(source, Slot::Absent) && chain.len() == 1 {
        check.missing(&first.at, &what, "source").help =
            Some("for example `source: { debian: linux-source-6.12 }`".to_owned());
    }
    let source = source.got()?;
    if matches!(source, SourceSpec::Image { .. }) {
        return image(check, &chain, source, trusted);
    }
    // A chain that ends at an image ends at a kernel that is right without fragments: told here, then.
    let ends_at_image = matches!(
        chain.last().map(|d| &d.source),
        Some(Slot::Got(SourceSpec::Image { .. }))
    );
    if matches!(&kconfigs, Slot::Absent) && (chain.len() == 1 || ends_at_image) {
        check.missing(&first.at, &what, "kconfigs").help =
            Some("for example `kconfigs: [base, mm]`: a configuration grows from nothing".to_owned());
    }
    Some(KernelSpec {
        source,
        kconfigs: kconfigs.got()?,
        series,
        trusted,
    })
}

/// An image is ready: what would change it is an error where it is written, and not inherited.
fn image(check: &mut Check, chain: &[&Draft], source: SourceSpec, trusted: bool) -> Option<KernelSpec> {
    let first = chain.first()?;
    for (key, at) in &first.extra {
        check.error(
            at,
            format!("a kernel from an image is ready: it takes no `{key}`"),
        );
    }
    Some(KernelSpec {
        source,
        kconfigs: Vec::new(),
        series: Vec::new(),
        trusted,
    })
}

/// The kernel itself, then the one it is like, and so on.
fn chain<'d>(
    check: &mut Check,
    drafts: &'d IndexMap<String, Option<Draft>>,
    name: &str,
) -> Option<Vec<&'d Draft>> {
    let mut names = vec![name.to_owned()];
    let mut chain = vec![drafts.get(name)?.as_ref()?];
    loop {
        let (like, at) = match &chain.last()?.like {
            Slot::Absent => return Some(chain),
            Slot::Bad => return None,
            Slot::Got(like) => like,
        };
        if names.contains(like) {
            // Each kernel of a circle tells it at its own line; one that only leads into it stays silent.
            if like == name {
                names.push(like.clone());
                check.error(at, format!("`like` goes in a circle: {}", names.join(" → ")));
            }
            return None;
        }
        let Some(draft) = drafts.get(like) else {
            if names.len() == 1 {
                let hint = did_you_mean(like, drafts.keys().map(String::as_str).filter(|k| *k != name));
                check.error(at, format!("there is no kernel {}{hint}", quoted(like)));
            }
            return None;
        };
        chain.push(draft.as_ref()?);
        names.push(like.clone());
    }
}

fn inherited<T: Clone>(chain: &[&Draft], of: impl Fn(&Draft) -> &Slot<T>) -> Slot<T> {
    chain
        .iter()
        .map(|d| of(d))
        .find(|slot| !matches!(slot, Slot::Absent))
        .cloned()
        .unwrap_or(Slot::Absent)
}

/// What the entries of a list refer to.
pub(super) struct Referred {
    pub(super) key: &'static str,
    what: &'static str,
    names: for<'a> fn(&'a Surroundings<'_>) -> &'a [String],
    /// The kind of thing that a path leads to; `None` for a file or a folder.
    kind: Option<Lies>,
    needs_one: bool,
}

pub(super) const KCONFIGS: Referred = Referred {
    key: "kconfigs",
    what: "kconfig fragment",
    names: |around| &around.kconfigs,
    kind: Some(Lies::File),
    needs_one: true,
};
pub(super) const SERIES: Referred = Referred {
    key: "series",
    what: "series",
    names: |around| &around.series,
    kind: None,
    needs_one: false,
};

pub(super) fn references(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
    to: &Referred,
) -> Option<Vec<Reference>> {
    let items = check.list(node, to.key)?;
    if items.is_empty() && to.needs_one {
        check.error(
            &node.span,
            format!("`{}` must name at least one {}", to.key, to.what),
        );
        return None;
    }
    let mut found: Vec<Reference> = Vec::new();
    let mut good = true;
    for item in items {
        match reference(check, around, item, to) {
            Some(r) if found.contains(&r) => {
                check.error(
                    &item.span,
                    format!("the {} {} is listed twice", to.what, quoted(&item.spelled)),
                );
                good = false;
            }
            Some(r) => found.push(r),
            None => good = false,
        }
    }
    good.then_some(found)
}

/// Reads one name or path.
pub(super) fn reference(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
    to: &Referred,
) -> Option<Reference> {
    let given = check.word(node, to.key, "a list of names")?;
    if given.contains('/') {
        let path = check.path(node, to.key, around.base)?;
        return match (around.lookup.at(&path), to.kind) {
            (Lies::Nothing, _) => {
                check.error(
                    &node.span,
                    format!("there is no {} at {}", to.what, path.display()),
                );
                None
            }
            (found, Some(kind)) if found != kind => {
                check.error(&node.span, format!("{} is not a file", path.display()));
                None
            }
            (Lies::File | Lies::Folder, _) => Some(Reference::Path(path)),
        };
    }
    let names = (to.names)(around);
    if names.iter().any(|n| n == given) {
        return Some(Reference::Named(given.to_owned()));
    }
    let hint = did_you_mean(given, names.iter().map(String::as_str));
    let file = [".config", ".mbox", ".patch"]
        .iter()
        .any(|end| given.ends_with(end));
    let problem = check.error(
        &node.span,
        format!("there is no {} {}{hint}", to.what, quoted(given)),
    );
    problem.help = if file {
        Some(format!(
            "a file beside this one is written with a path: `./{given}`"
        ))
    } else if hint.is_empty() && !names.is_empty() {
        Some(format!("there are {}", listed(names.iter().map(String::as_str))))
    } else {
        None
    };
    None
}
