//! Series: an ordered list of patches, from a folder under `patches/`, an mbox, or one patch file.
//!
//! Its identity is the hash of its patches in order (and of its kind, which decides what a patch that does
//! not fit means), not its name: a renamed series is the same kernel.
//!
//! Not here: applying, and what `series.yaml` may say (that is `spec`).

use super::{mbox, thread};
use crate::spec::series as spec;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What a series is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeriesKind {
    /// Puts a historic bug back.
    Defect,
    /// 0001 is the infrastructure; each later patch is one site, left out where it does not fit.
    Racepoint,
    /// Mends something.
    Fix,
    /// Needed to build or boot, or simply under test: the kind of a mailed series.
    Carry,
}

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its file name, or one made from its subject.
    pub name: String,
    /// Its subject, without tags; empty where it has none.
    pub subject: String,
    /// The patch as it is given to git.
    pub bytes: Vec<u8>,
    /// What was done to it on the way (line endings).
    pub notes: Vec<String>,
}

impl Patch {
    /// The site of a racepoint patch: `NAME` of `NNNN-site-NAME.patch`, else its file name without the end.
    #[must_use]
    pub fn site(&self) -> &str {
        let stem = self.name.strip_suffix(".patch").unwrap_or(&self.name);
        stem.split_once("-site-").map_or(stem, |(_, name)| name)
    }
}

/// An ordered list of patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Folder or file name.
    pub name: String,
    /// What it is for.
    pub kind: SeriesKind,
    /// One line.
    pub title: String,
    /// The sources it is made for; none where it does not say (a mail, a patch file).
    pub fits: Vec<spec::Fit>,
    /// In order.
    pub patches: Vec<Patch>,
}

/// Why a series cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("series {path}: {problem}", path = .path.display())]
pub struct SeriesError {
    /// Folder or file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[diagnostic(transparent)]
    #[source]
    pub problem: SeriesProblem,
}

/// What is wrong with a series, whatever it is to be applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SeriesProblem {
    /// A file could not be read.
    #[error("could not read {path}: {why}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No `series.yaml`.
    #[error("there is no series.yaml in it")]
    #[diagnostic(help("a series folder holds series.yaml (title, kind) and 0001-….patch, 0002-….patch, …"))]
    NoDescription,
    /// What is wrong with `series.yaml`, as `spec` tells it.
    #[error("{0}")]
    Description(String),
    /// No patch in it.
    #[error("there is no patch in it")]
    NoPatch,
    /// Too much.
    #[error("it has more than {MAX_SERIES_BYTES} bytes of patches")]
    Huge,
    /// A mail that does not parse.
    #[error("mail {number} does not parse: {why}")]
    Mail {
        /// Counted from 1.
        number: usize,
        /// Why.
        why: String,
    },
    /// Gaps.
    #[error("{} missing", parts(numbers, *more, *total))]
    #[diagnostic(help("save the whole thread (`b4 am` does)"))]
    Missing {
        /// Which, the first ones.
        numbers: Vec<u32>,
        /// How many more.
        more: usize,
        /// Of how many.
        total: u32,
    },
    /// Two different ones of the same version.
    #[error("patch {number}/{total} is there twice, with different contents")]
    #[diagnostic(help("keep one series in the mbox"))]
    Twice {
        /// Which.
        number: u32,
        /// Of how many.
        total: u32,
    },
    /// A patch that is not part of the count.
    #[error("{subject:?} is not one of the {total} patches of the series")]
    #[diagnostic(help("keep one series in the mbox"))]
    Stray {
        /// Whose.
        subject: String,
        /// Of how many.
        total: u32,
    },
}

fn parts(numbers: &[u32], more: usize, total: u32) -> String {
    let each: Vec<String> = numbers.iter().map(|n| format!("{n}/{total}")).collect();
    match (each.as_slice(), more) {
        ([one], 0) => format!("patch {one} is"),
        (_, 0) => format!("patches {} are", each.join(", ")),
        (_, more) => format!("patches {} and {more} more are", each.join(", ")),
    }
}

/// Most bytes of a whole series.
pub const MAX_SERIES_BYTES: u64 = 256 << 20;

impl From<spec::Kind> for SeriesKind {
    fn from(kind: spec::Kind) -> Self {
        match kind {
            spec::Kind::Defect => Self::Defect,
            spec::Kind::Racepoint => Self::Racepoint,
            spec::Kind::Fix => Self::Fix,
            spec::Kind::Carry => Self::Carry,
        }
    }
}

impl Series {
    /// Reads a series from a folder, an mbox or a patch file.
    ///
    /// # Errors
    /// [`SeriesError`].
    pub fn load(path: &Path) -> Result<Self, SeriesError> {
        let named = |problem| SeriesError {
            path: path.to_path_buf(),
            problem,
        };
        let series = if path.is_dir() {
            from_folder(path)
        } else {
            from_file(path)
        }
        .map_err(named)?;
        if series.patches.is_empty() {
            return Err(named(SeriesProblem::NoPatch));
        }
        Ok(series)
    }

    /// Hash of its kind and of its patches in order.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(if self.kind == SeriesKind::Racepoint {
            b"racepoint"
        } else {
            b"series"
        });
        for patch in &self.patches {
            hasher.update(&(patch.bytes.len() as u64).to_le_bytes());
            hasher.update(&patch.bytes);
            if self.kind == SeriesKind::Racepoint {
                hasher.update(patch.name.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The order in which series go onto a source: racepoints last, so that the series under test never has to
/// fit around them, otherwise as asked for.
#[must_use]
pub fn in_order(series: &[Series]) -> Vec<&Series> {
    let (last, first): (Vec<_>, Vec<_>) = series.iter().partition(|s| s.kind == SeriesKind::Racepoint);
    first.into_iter().chain(last).collect()
}

pub(crate) fn read(path: &Path, left: &mut u64) -> Result<Vec<u8>, SeriesProblem> {
    let failed = |e: std::io::Error| SeriesProblem::Read {
        path: path.to_path_buf(),
        why: e.to_string(),
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(*left + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    *left = left.checked_sub(bytes.len() as u64).ok_or(SeriesProblem::Huge)?;
    Ok(bytes)
}

fn from_folder(dir: &Path) -> Result<Series, SeriesProblem> {
    let yaml = dir.join("series.yaml");
    if !yaml.exists() {
        return Err(SeriesProblem::NoDescription);
    }
    let mut left = MAX_SERIES_BYTES;
    let text = read(&yaml, &mut left)?;
    let about = spec::parse(&yaml, &text).map_err(|e| SeriesProblem::Description(e.render_plain()))?;
    let failed = |e: std::io::Error| SeriesProblem::Read {
        path: dir.to_path_buf(),
        why: e.to_string(),
    };
    let mut names: Vec<OsString> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name.to_string_lossy().ends_with(".patch") {
            names.push(name);
        }
    }
    names.sort();
    if let Some(listed) = about.patches {
        names = listed.into_iter().map(OsString::from).collect();
    }
    let mut patches = Vec::new();
    for name in names {
        let bytes = read(&dir.join(&name), &mut left)?;
        let name = name.to_string_lossy().into_owned();
        let subject = subject_of(&bytes);
        patches.push(unix_lines(Patch {
            name,
            subject,
            bytes,
            notes: vec![],
        }));
    }
    let name = dir
        .file_name()
        .map_or_else(|| "series".into(), |n| n.to_string_lossy().into_owned());
    Ok(Series {
        name,
        kind: about.kind.into(),
        title: about.title,
        fits: about.fits,
        patches,
    })
}

fn from_file(path: &Path) -> Result<Series, SeriesProblem> {
    let bytes = read(path, &mut MAX_SERIES_BYTES.clone())?;
    let file_name = path
        .file_name()
        .map_or_else(|| "patch".into(), |n| n.to_string_lossy().into_owned());
    let patches = if mbox::is_mail(&bytes) {
        thread::pick(mbox::letters(&bytes)?)?.into_patches()
    } else {
        vec![Patch {
            name: file_name,
            subject: subject_of(&bytes),
            bytes,
            notes: vec![],
        }]
    };
    let patches: Vec<Patch> = patches.into_iter().map(unix_lines).collect();
    let name = path
        .file_stem()
        .map_or_else(|| "patch".into(), |n| n.to_string_lossy().into_owned());
    let title = patches.first().map(|p| p.subject.clone()).unwrap_or_default();
    Ok(Series {
        name,
        kind: SeriesKind::Carry,
        title,
        fits: vec![],
        patches,
    })
}

pub(crate) fn subject_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("Subject: "))
        .unwrap_or_default();
    line.rsplit_once("] ")
        .map_or(line, |(_, title)| title)
        .trim()
        .to_owned()
}

/// Undoes what mail programs do to whole patches. Where only some lines end in CRLF, the file that is
/// changed has such lines, and they are left as they are.
pub(crate) fn unix_lines(mut patch: Patch) -> Patch {
    let mut lines = patch
        .bytes
        .split_inclusive(|b| *b == b'\n')
        .filter(|l| l.ends_with(b"\n"))
        .peekable();
    if lines.peek().is_some() && lines.all(|l| l.ends_with(b"\r\n")) {
        let text = std::mem::take(&mut patch.bytes);
        let kept = text
            .iter()
            .enumerate()
            .filter(|(i, b)| !(**b == b'\r' && text.get(i + 1) == Some(&b'\n')));
        patch.bytes = kept.map(|(_, b)| *b).collect();
        patch
            .notes
            .push("its line endings were CRLF throughout and have been made LF".to_owned());
    }
    patch
}

#[cfg(test)]
mod tests;
