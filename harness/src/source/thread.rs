//! Threads: which letters of an mbox are the series, in which order, and what was left out.
//!
//! The order is what `[PATCH n/m]` says, not that of arrival. Of several versions the newest that is complete
//! is taken, and that is said; cover letters and replies carry no patch of the series. Pure.

use super::mbox::{self, Letter};
use super::series::{Patch, SeriesProblem};
use std::collections::{BTreeMap, BTreeSet};

/// The series of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Its patches, in order; each has a patch.
    pub letters: Vec<Letter>,
    /// Its cover letter.
    pub cover: Option<Letter>,
    /// What was left out and why, each a sentence.
    pub notes: Vec<String>,
}

/// Missing numbers that are named one by one.
const NAMED_MAX: usize = 5;

type Version = (u32, u32);

impl Picked {
    /// The patches, named by number and title.
    pub(super) fn into_patches(self) -> Vec<Patch> {
        let patch = |(index, letter): (usize, Letter)| Patch {
            name: mbox::file_name(index + 1, &letter.title),
            subject: letter.title,
            bytes: letter.patch.unwrap_or_default(),
            notes: vec![],
        };
        self.letters.into_iter().enumerate().map(patch).collect()
    }
}

/// Picks the series out of the letters of a thread.
///
/// # Errors
/// [`SeriesProblem`]: parts that are missing or there twice, strangers.
pub fn pick(letters: Vec<Letter>) -> Result<Picked, SeriesProblem> {
    let (covers, rest): (Vec<Letter>, Vec<Letter>) = letters
        .into_iter()
        .filter(|letter| !letter.is_reply)
        .partition(|letter| letter.place.is_some_and(|(n, _)| n == 0));
    let mut versions: BTreeMap<Version, Vec<Letter>> = BTreeMap::new();
    for letter in rest.into_iter().filter(|letter| letter.patch.is_some()) {
        versions.entry(letter.version).or_default().push(letter);
    }
    let mut notes = Vec::new();
    let mut first_problem = None;
    let mut older: Vec<Version> = versions.keys().copied().collect();
    while let Some(version) = older.pop() {
        match complete(versions.remove(&version).unwrap_or_default(), &mut notes) {
            Ok(letters) => {
                if let Some((newer, problem)) = first_problem {
                    notes.push(format!(
                        "{} is not complete ({problem}): {} is taken, the newest that is",
                        named(newer),
                        named(version)
                    ));
                } else if let Some(last) = older.last() {
                    notes.push(format!(
                        "{} is taken, the newest; {} and what is older is left out",
                        named(version),
                        named(*last)
                    ));
                }
                let cover = covers.into_iter().rfind(|cover| cover.version == version);
                return Ok(Picked {
                    letters,
                    cover,
                    notes,
                });
            }
            Err(problem) => first_problem = first_problem.or(Some((version, problem))),
        }
    }
    first_problem.map_or_else(
        || {
            Ok(Picked {
                letters: Vec::new(),
                cover: None,
                notes: Vec::new(),
            })
        },
        |(_, problem)| Err(problem),
    )
}

fn named((major, minor): Version) -> String {
    if minor == 0 {
        format!("v{major}")
    } else {
        format!("v{major}.{minor}")
    }
}

/// The letters of one version in their order, if each of its count is there once.
fn complete(letters: Vec<Letter>, notes: &mut Vec<String>) -> Result<Vec<Letter>, SeriesProblem> {
    let Some(total) = letters
        .iter()
        .filter_map(|letter| letter.place.map(|p| p.1))
        .max()
    else {
        return Ok(letters);
    };
    let mut parts: BTreeMap<u32, Letter> = BTreeMap::new();
    let mut stray = None;
    for letter in letters {
        let number = match letter.place {
            Some((number, of)) if of == total && number <= total => number,
            Some(_) | None => {
                stray = stray.or(Some(letter.subject));
                continue;
            }
        };
        match parts.get(&number) {
            None => {
                parts.insert(number, letter);
            }
            // Lists send everything once for each address.
            Some(had) if had.patch == letter.patch => {
                notes.push(format!(
                    "patch {number}/{total} is there twice, the same both times"
                ));
            }
            Some(_) => return Err(SeriesProblem::Twice { number, total }),
        }
    }
    let have: BTreeSet<u32> = parts.keys().copied().collect();
    let missing: Vec<u32> = (1..=total)
        .filter(|n| !have.contains(n))
        .take(NAMED_MAX)
        .collect();
    if !missing.is_empty() {
        let all = total as usize - have.len();
        let more = all - missing.len();
        return Err(SeriesProblem::Missing {
            numbers: missing,
            more,
            total,
        });
    }
    match stray {
        Some(subject) => Err(SeriesProblem::Stray { subject, total }),
        None => Ok(parts.into_values().collect()),
    }
}
