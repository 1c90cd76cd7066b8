//! Configuration fragments: what is asked of a kernel's configuration, line by line, and whether it came.
//!
//! A line is `CONFIG_X=value` or `# CONFIG_X is not set`, and may end in a remark for this tool:
//! `# optional: REASON` (the kernel may lack it) or `# override: REASON` (it wins over an earlier fragment).
//! Two fragments that disagree without saying so are an error that names both places, and a line that the
//! final configuration does not honour is an error that says why: the kernel's own tools drop it silently.
//!
//! Not here: making a configuration (that is `build`).

use crate::source::kconfig;
use crate::source::manifest::{Manifest, ManifestError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One asked-for line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Without `CONFIG_`.
    pub symbol: String,
    /// The value as it is spelled in a configuration; `None` for "is not set".
    pub value: Option<String>,
    /// In which fragment.
    pub file: PathBuf,
    /// Where in it, counted from 1.
    pub line: u32,
    /// Why it may be missing.
    pub optional: Option<String>,
    /// Why it wins over an earlier fragment.
    pub overrides: Option<String>,
}

impl Asked {
    /// The line as it stands in a configuration.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.value {
            Some(value) => format!("CONFIG_{}={value}", self.symbol),
            None => format!("# CONFIG_{} is not set", self.symbol),
        }
    }
}

/// What is wrong with fragments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum FragmentError {
    /// It cannot be read.
    #[error("could not read {file}: {why}", file = .file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A line that is none.
    #[error("{file}:{line}: {text:?} is not a configuration line", file = .file.display())]
    #[diagnostic(help("write `CONFIG_X=y` or `# CONFIG_X is not set`, then perhaps `# optional: REASON`"))]
    Line {
        /// Which fragment.
        file: PathBuf,
        /// Counted from 1.
        line: u32,
        /// What it says.
        text: String,
    },
    /// Two that disagree.
    #[error("{file}:{line}: {text} contradicts {earlier_file}:{earlier_line}: {earlier_text}",
        file = .file.display(), earlier_file = .earlier_file.display())]
    #[diagnostic(help("if the later fragment is meant to win, end its line in `# override: REASON`"))]
    Conflict {
        /// Which fragment.
        file: PathBuf,
        /// Counted from 1.
        line: u32,
        /// What it says.
        text: String,
        /// The fragment before.
        earlier_file: PathBuf,
        /// Counted from 1.
        earlier_line: u32,
        /// What that says.
        earlier_text: String,
    },
}

/// An asked-for line that the final configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{file}:{line}: {text} is not in the final config ({why})", file = .file.display())]
#[diagnostic(help("ask for what it depends on too, or end the line in `# optional: REASON`"))]
pub struct MissingLine {
    /// Which fragment.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u32,
    /// The line asked for.
    pub text: String,
    /// What is known about it: dependencies, no such symbol, another value.
    pub why: String,
}

/// Fragments, merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    by_symbol: BTreeMap<String, Asked>,
}

/// Reads one fragment.
///
/// # Errors
/// [`FragmentError::Line`], all of them.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Asked>, Vec<FragmentError>> {
    let mut asked = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match parse_line(line.trim()) {
            Ok(None) => {}
            Ok(Some((symbol, value, remark))) => asked.push(Asked {
                symbol,
                value,
                file: file.to_path_buf(),
                line: number,
                optional: remark
                    .as_deref()
                    .and_then(|r| r.strip_prefix("optional:"))
                    .map(|r| r.trim().to_owned()),
                overrides: remark
                    .as_deref()
                    .and_then(|r| r.strip_prefix("override:"))
                    .map(|r| r.trim().to_owned()),
            }),
            Err(()) => {
                wrong.push(FragmentError::Line {
                    file: file.to_path_buf(),
                    line: number,
                    text: line.to_owned(),
                });
            }
        }
    }
    if wrong.is_empty() { Ok(asked) } else { Err(wrong) }
}

type Parsed = Option<(String, Option<String>, Option<String>)>;

fn parse_line(line: &str) -> Result<Parsed, ()> {
    let symbol = |text: &str| -> Result<String, ()> {
        let legal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if legal { Ok(text.to_owned()) } else { Err(()) }
    };
    if let Some(comment) = line.strip_prefix('#') {
        // Only this exact shape is no comment; its near misses are mistakes worth telling.
        let Some(rest) = comment.trim_start().strip_prefix("CONFIG_") else {
            return Ok(None);
        };
        let Some((name, rest)) = rest.split_once(" is not set") else {
            return if rest.contains('=') { Err(()) } else { Ok(None) };
        };
        return Ok(Some((symbol(name)?, None, remark(rest)?)));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let (name, rest) = line
        .strip_prefix("CONFIG_")
        .and_then(|l| l.split_once('='))
        .ok_or(())?;
    let (value, rest) = split_value(rest.trim_start())?;
    let value = (value != "n").then(|| value.to_owned());
    Ok(Some((symbol(name)?, value, remark(rest)?)))
}

/// The value and what follows it; a string may hold blanks and `#`.
fn split_value(text: &str) -> Result<(&str, &str), ()> {
    if text.starts_with('"') {
        let mut escaped = false;
        for (at, byte) in text.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Ok(text.split_at(at + 1)),
                _ => {}
            }
        }
        return Err(());
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    if end == 0 { Err(()) } else { Ok(text.split_at(end)) }
}

fn remark(rest: &str) -> Result<Option<String>, ()> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(None);
    }
    rest.strip_prefix('#')
        .map(|r| Some(r.trim().to_owned()))
        .ok_or(())
}

/// Reads and merges fragments, in order.
///
/// # Errors
/// Every [`FragmentError`] of all of them.
pub fn merge(files: &[PathBuf]) -> Result<Merged, Vec<FragmentError>> {
    let mut merged = Merged::default();
    let mut wrong = Vec::new();
    for file in files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => {
                wrong.push(FragmentError::Read {
                    file: file.clone(),
                    why: e.to_string(),
                });
                continue;
            }
        };
        match parse(file, &text) {
            Ok(asked) => asked.into_iter().for_each(|one| wrong.extend(merged.add(one))),
            Err(errors) => wrong.extend(errors),
        }
    }
    if wrong.is_empty() { Ok(merged) } else { Err(wrong) }
}

impl Merged {
    fn add(&mut self, one: Asked) -> Option<FragmentError> {
        if let Some(earlier) = self.by_symbol.get(&one.symbol)
            && earlier.value != one.value
            && one.overrides.is_none()
        {
            return Some(FragmentError::Conflict {
                text: one.text(),
                file: one.file,
                line: one.line,
                earlier_text: earlier.text(),
                earlier_file: earlier.file.clone(),
                earlier_line: earlier.line,
            });
        }
        self.by_symbol.insert(one.symbol.clone(), one);
        None
    }

    /// The lines as one configuration file; where `known` is given, only those whose symbol is in it.
    #[must_use]
    pub fn text(&self, known: Option<&BTreeSet<String>>) -> String {
        let wanted = |asked: &&Asked| known.is_none_or(|known| known.contains(&asked.symbol));
        self.by_symbol
            .values()
            .filter(wanted)
            .map(|asked| asked.text() + "\n")
            .collect()
    }

    /// Whether every asked-for symbol is in `known`.
    #[must_use]
    pub fn is_known(&self, known: &BTreeSet<String>) -> bool {
        self.by_symbol.keys().all(|symbol| known.contains(symbol))
    }

    /// The lines that ask for a symbol which is nowhere in `known`: no configuration can honour them.
    #[must_use]
    pub fn nowhere(&self, known: &[&BTreeSet<String>]) -> Vec<MissingLine> {
        let mut missing: Vec<MissingLine> = self
            .by_symbol
            .values()
            .filter(|asked| asked.optional.is_none() && asked.value.is_some())
            .filter(|asked| !known.iter().any(|known| known.contains(&asked.symbol)))
            .map(|asked| MissingLine {
                file: asked.file.clone(),
                line: asked.line,
                text: asked.text(),
                why: NO_SUCH_SYMBOL.to_owned(),
            })
            .collect();
        missing.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        missing
    }

    /// Hash of what is asked for; remarks other than "optional" and places do not count.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for asked in self.by_symbol.values() {
            hasher.update(asked.text().as_bytes());
            hasher.update(if asked.optional.is_some() { b"?\n" } else { b"!\n" });
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The asked-for lines that a configuration does not honour, those marked optional left out.
    #[must_use]
    pub fn unmet(&self, config: &str) -> Vec<&Asked> {
        let lines: BTreeSet<&str> = config.lines().collect();
        let set: BTreeSet<&str> = config
            .lines()
            .filter_map(|l| l.strip_prefix("CONFIG_")?.split_once('='))
            .map(|(n, _)| n)
            .collect();
        self.by_symbol
            .values()
            .filter(|asked| asked.optional.is_none())
            .filter(|asked| match asked.value {
                Some(_) => !lines.contains(asked.text().as_str()),
                None => set.contains(asked.symbol.as_str()),
            })
            .collect()
    }

    /// Says of every unmet line why it may be missing, as the Kconfig files of the first of `trees` that
    /// has the symbol tell it.
    ///
    /// # Errors
    /// Those of reading Kconfig files.
    pub fn missing(
        &self,
        config: &str,
        trees: &[(&Path, &Manifest)],
    ) -> Result<Vec<MissingLine>, ManifestError> {
        let mut missing = Vec::new();
        for asked in self.unmet(config) {
            let mut about = None;
            for (tree, manifest) in trees {
                about = match about {
                    None => kconfig::about(tree, manifest, &asked.symbol)?,
                    found => found,
                };
            }
            missing.push(MissingLine {
                file: asked.file.clone(),
                line: asked.line,
                text: asked.text(),
                why: why(asked, config, about.as_ref()),
            });
        }
        missing.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Ok(missing)
    }
}

const NO_SUCH_SYMBOL: &str = "there is no such symbol in this tree";

fn why(asked: &Asked, config: &str, about: Option<&kconfig::About>) -> String {
    let prefix = format!("CONFIG_{}=", asked.symbol);
    let instead = config.lines().find(|l| l.starts_with(&prefix));
    let Some(about) = about else {
        return NO_SUCH_SYMBOL.to_owned();
    };
    let mut parts = Vec::new();
    if let Some(line) = instead {
        parts.push(format!("it says {line}"));
    }
    if !about.has_prompt && asked.value.is_some() {
        parts.push("it cannot be asked for, only selected by other options".to_owned());
    }
    if asked.value.is_none() {
        parts.push("another option selects it, or it has no prompt to say no to".to_owned());
    } else if !about.depends.is_empty() {
        parts.push(format!("depends on {}", about.depends.join(" && ")));
    }
    if parts.is_empty() {
        "it depends on nothing: look for a choice it is part of".to_owned()
    } else {
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests;
