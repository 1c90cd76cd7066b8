//! Kconfig files of a tree: which symbols there are, and what one depends on.
//!
//! Read as text, for messages and for leaving out what a base tree cannot know; whoever needs the truth
//! asks the kernel's own `conf` (that is `kernel`).

use super::manifest::{Kind, Manifest, ManifestError, on_all_cores};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whether a path is a Kconfig file by its name.
pub(crate) fn is_kconfig(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|n| n.to_string_lossy().starts_with("Kconfig"))
}

fn kconfig_files(tree: &Path, manifest: &Manifest) -> Result<Vec<(PathBuf, String)>, ManifestError> {
    // Other architectures define the same names with other dependencies.
    let ours = |path: &Path| {
        !path.starts_with("arch") || path.starts_with("arch/x86") || path == Path::new("arch/Kconfig")
    };
    let paths: Vec<&PathBuf> = manifest
        .entries
        .iter()
        .filter(|(path, e)| e.kind != Kind::Link && is_kconfig(path) && ours(path))
        .map(|(path, _)| path)
        .collect();
    on_all_cores(&paths, |path| {
        let full = tree.join(path);
        let bytes = std::fs::read(&full).map_err(|source| ManifestError::Read { path: full, source })?;
        Ok(((*path).clone(), String::from_utf8_lossy(&bytes).into_owned()))
    })
    .into_iter()
    .collect()
}

/// Every symbol that the tree defines for x86.
pub(crate) fn symbols(tree: &Path, manifest: &Manifest) -> Result<BTreeSet<String>, ManifestError> {
    let files = kconfig_files(tree, manifest)?;
    Ok(files
        .iter()
        .flat_map(|(_, text)| text.lines().filter_map(defined))
        .map(str::to_owned)
        .collect())
}

/// Every symbol that the Kconfig files among some files define.
pub(crate) fn symbols_in(tree: &Path, paths: &[PathBuf]) -> Result<BTreeSet<String>, ManifestError> {
    let mut all = BTreeSet::new();
    for path in paths.iter().filter(|path| is_kconfig(path)) {
        let full = tree.join(path);
        let bytes = std::fs::read(&full).map_err(|source| ManifestError::Read { path: full, source })?;
        all.extend(
            String::from_utf8_lossy(&bytes)
                .lines()
                .filter_map(defined)
                .map(str::to_owned),
        );
    }
    Ok(all)
}

/// The symbol that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    match words.next()? {
        "config" | "menuconfig" => words.next().filter(|name| is_symbol(name)),
        _ => None,
    }
}

fn is_symbol(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What can be said about why a symbol is not as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Its dependencies, of each place that defines it.
    pub depends: Vec<String>,
    /// Whether it can be asked for, rather than only be selected.
    pub has_prompt: bool,
}

/// Looks a symbol up; `None` where the tree has no such symbol.
pub(crate) fn about(tree: &Path, manifest: &Manifest, symbol: &str) -> Result<Option<About>, ManifestError> {
    let mut found: Option<About> = None;
    for (_, text) in kconfig_files(tree, manifest)? {
        for block in blocks(&text, symbol) {
            let all = found.get_or_insert(About {
                depends: vec![],
                has_prompt: false,
            });
            all.has_prompt |= block.has_prompt;
            for one in block.depends {
                if !all.depends.contains(&one) {
                    all.depends.push(one);
                }
            }
        }
    }
    Ok(found)
}

/// The definitions of a symbol in one file, with the `if`s and menus around them.
fn blocks(text: &str, symbol: &str) -> Vec<About> {
    // Dependencies of what encloses a line: one list for each open `if`, `menu` and `choice`.
    let mut around: Vec<Vec<String>> = vec![];
    let mut found: Vec<About> = Vec::new();
    let mut inside: Place = Place::Nowhere;
    let mut help_indent: Option<usize> = None;
    for line in logical_lines(text) {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first().copied() else {
            continue;
        };
        if help_indent.is_some_and(|help| indent >= help) {
            continue;
        }
        help_indent = None;
        let rest = || words[1..].join(" ");
        match first {
            "help" | "---help---" => help_indent = Some(indent + 1),
            "config" | "menuconfig" => {
                inside = if words.get(1) == Some(&symbol) {
                    found.push(About {
                        depends: around.concat(),
                        has_prompt: false,
                    });
                    Place::Symbol
                } else {
                    Place::Nowhere
                };
            }
            "if" => around.push(vec![rest()]),
            "menu" | "choice" => {
                around.push(vec![]);
                inside = Place::Around;
            }
            "endif" | "endmenu" | "endchoice" => {
                around.pop();
                inside = Place::Nowhere;
            }
            "comment" | "source" | "mainmenu" => inside = Place::Nowhere,
            "depends" => {
                let condition = words.get(2..).unwrap_or_default().join(" ");
                match inside {
                    Place::Symbol => found
                        .iter_mut()
                        .next_back()
                        .into_iter()
                        .for_each(|f| f.depends.push(condition.clone())),
                    Place::Around => around
                        .iter_mut()
                        .next_back()
                        .into_iter()
                        .for_each(|a| a.push(condition.clone())),
                    Place::Nowhere => {}
                }
            }
            "bool" | "tristate" | "int" | "hex" | "string" | "prompt" | "def_bool" | "def_tristate"
                if inside == Place::Symbol =>
            {
                let prompt = !first.starts_with("def_") && words.len() > 1;
                found
                    .iter_mut()
                    .next_back()
                    .into_iter()
                    .for_each(|f| f.has_prompt |= prompt);
            }
            _ => {}
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the definition of the symbol.
    Symbol,
    /// In the head of a menu or choice.
    Around,
    /// In anything else.
    Nowhere,
}

/// Lines without comments, those that end in a backslash joined with the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let line = line.replace('\t', "        ");
        let (line, goes_on) = line
            .strip_suffix('\\')
            .map_or((line.as_str(), false), |l| (l, true));
        if line.trim_start().starts_with('#') && !open {
            continue;
        }
        match lines.last_mut().filter(|_| open) {
            Some(last) => last.push_str(line),
            None => lines.push(line.to_owned()),
        }
        open = goes_on;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "menu \"Memory\"\n\tdepends on MMU\n\nconfig SWAP\n\tbool \"Swap\"\n\thelp\n\t  depends on nothing at all:\n\t  config FAKE\n\nif SWAP\n\nmenuconfig ZSWAP\n\tbool \"Compressed cache\"\n\tdepends on CRYPTO && \\\n\t  ZPOOL\n\tselect X\n\nendif # SWAP\nconfig HIDDEN\n\tbool\n\tdepends on A\nendmenu\nconfig OUT\n\tdef_bool y\n";

    #[test]
    fn dependencies_are_those_of_the_symbol_and_of_what_is_around_it() {
        let check = |symbol: &str| blocks(TEXT, symbol).pop();
        let about = |depends: &[&str], has_prompt| {
            Some(About {
                depends: depends.iter().map(|d| (*d).to_owned()).collect(),
                has_prompt,
            })
        };
        assert_eq!(check("SWAP"), about(&["MMU"], true));
        assert_eq!(check("ZSWAP"), about(&["MMU", "SWAP", "CRYPTO && ZPOOL"], true));
        assert_eq!(check("HIDDEN"), about(&["MMU", "A"], false));
        assert_eq!(check("OUT"), about(&[], false));
        assert_eq!(check("FAKE"), None);
        assert_eq!(check("NONE"), None);
    }
}
