//! What is searched: the commits of a git range, the patches of a series as prefixes, or a list of sources. Each
//! candidate becomes the request for one kernel; everything else of it (fragments, racepoints) is the cell's.

use crate::bisect::{History, Problem, Touched};
use crate::kernel::Request;
use crate::source::{
    self, Cancel, Commit, Ends, Patch, Series, SeriesError, SeriesKind, Source, SourceError,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is searched, as it is kept: a resumed search reads this and not the world again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Range {
    /// The commits between two revisions.
    Git {
        /// The repository, absolute.
        repo: PathBuf,
        /// The good end, as given.
        good: String,
        /// The bad end, as given.
        bad: String,
        /// The good end first, parents before children, the bad end last.
        commits: Vec<Commit>,
    },
    /// The patches of a series: candidate `n` is the source with the first `n` of them.
    Series {
        /// The series, absolute.
        path: PathBuf,
        /// Its identity when the search began.
        id: String,
        /// What it goes onto.
        base: Source,
        /// Name and subject of each patch.
        patches: Vec<(String, String)>,
    },
    /// Sources in order, the good one first.
    Sources {
        /// Name and source of each.
        sources: Vec<(String, Source)>,
    },
}

/// One candidate, for readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What trials call it.
    pub id: String,
    /// The same, short, and safe as a file name.
    pub short: String,
    /// Its first line.
    pub subject: String,
    /// Who wrote it, where that is known.
    pub author: String,
}

/// Why there is nothing to search.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RangeError {
    /// The ends are wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Problem(#[from] Problem),
    /// The repository cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    /// The series cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Series(#[from] SeriesError),
    /// The series is another one than it was.
    #[error("the series {path} has changed since the search began", path = .path.display())]
    #[diagnostic(help("put it back, or start a new search"))]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// A racepoint series is nothing to search in.
    #[error("{name} is a series of racepoints: its patches are independent, none of them can be a culprit")]
    #[diagnostic(help("name a series that is under test"))]
    Racepoints {
        /// Which.
        name: String,
    },
}

impl Range {
    /// The commits of a git range.
    ///
    /// # Errors
    /// [`RangeError`]: a bad range, each in one sentence.
    pub fn git(repo: &Path, good: &str, bad: &str, cancel: &Cancel) -> Result<Self, RangeError> {
        let problem = match source::range(repo, good, bad, cancel)? {
            Ends::Range(commits) => {
                return Ok(Self::Git {
                    repo: repo.canonicalize().unwrap_or_else(|_| repo.to_owned()),
                    good: good.to_owned(),
                    bad: bad.to_owned(),
                    commits,
                });
            }
            Ends::Same => Problem::Same,
            Ends::Reversed => Problem::Reversed,
            Ends::Unrelated => Problem::Unrelated,
            Ends::Forked { at } => Problem::Forked {
                at: at.chars().take(12).collect(),
            },
        };
        Err(problem.into())
    }

    /// The patches of a series.
    ///
    /// # Errors
    /// [`RangeError`] where it cannot be read.
    pub fn series(path: &Path, base: Source) -> Result<Self, RangeError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let series = Series::load(&path)?;
        if series.kind == SeriesKind::Racepoint {
            return Err(RangeError::Racepoints { name: series.name });
        }
        Ok(Self::Series {
            path,
            id: series.id(),
            base,
            patches: series
                .patches
                .iter()
                .map(|p| (p.name.clone(), p.subject.clone()))
                .collect(),
        })
    }

    /// Every candidate, the good end first.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        match self {
            Self::Git { commits, .. } => commits
                .iter()
                .map(|c| Candidate {
                    id: c.id.clone(),
                    short: c.id.chars().take(12).collect(),
                    subject: c.subject.clone(),
                    author: c.author.clone(),
                })
                .collect(),
            Self::Series { patches, base, .. } => {
                let none = Candidate {
                    id: "0".to_owned(),
                    short: "0".to_owned(),
                    subject: format!("no patch: {}", shown(base)),
                    author: String::new(),
                };
                let patches = patches.iter().enumerate().map(|(at, (name, subject))| Candidate {
                    id: (at + 1).to_string(),
                    short: (at + 1).to_string(),
                    subject: if subject.is_empty() {
                        name.clone()
                    } else {
                        subject.clone()
                    },
                    author: String::new(),
                });
                std::iter::once(none).chain(patches).collect()
            }
            Self::Sources { sources } => sources
                .iter()
                .map(|(name, source)| Candidate {
                    id: name.clone(),
                    short: name.clone(),
                    subject: shown(source),
                    author: String::new(),
                })
                .collect(),
        }
    }

    /// Who contains whom.
    ///
    /// # Errors
    /// [`Problem`] where nothing lies between the ends.
    pub fn history(&self) -> Result<History, Problem> {
        match self {
            Self::Git { commits, .. } => History::merged(
                commits
                    .iter()
                    .map(|c| (c.id.clone(), c.parents.clone()))
                    .collect(),
            ),
            Self::Series { .. } | Self::Sources { .. } => {
                History::linear(self.candidates().into_iter().map(|c| c.id).collect())
            }
        }
    }

    /// The candidates' weights before anything was tried, the good end left out; empty where all are alike.
    ///
    /// # Errors
    /// [`RangeError`] where a series cannot be read.
    pub fn weights(&self, paths: &[String]) -> Result<Vec<f64>, RangeError> {
        Ok(match self {
            Self::Git { commits, .. } => {
                let files = |c: &Commit| Touched::new(c.files.iter().map(String::as_str), paths).weight();
                commits.iter().skip(1).map(files).collect()
            }
            Self::Series { path, .. } if !paths.is_empty() => {
                let weight = |patch: &Patch| {
                    let files = source::patch::read(&patch.bytes).unwrap_or_default();
                    let names: Vec<String> = files
                        .iter()
                        .filter_map(|f| Some(f.path()?.to_string_lossy().into_owned()))
                        .collect();
                    Touched::new(names.iter().map(String::as_str), paths).weight()
                };
                Series::load(path)?.patches.iter().map(weight).collect()
            }
            Self::Series { .. } | Self::Sources { .. } => Vec::new(),
        })
    }

    /// Whether a commit can be undone on top of the bad end.
    #[must_use]
    pub fn reverts(&self) -> bool {
        match self {
            Self::Git { .. } | Self::Series { .. } => true,
            Self::Sources { .. } => false,
        }
    }

    /// The line by which a later commit names the culprit, and the one for the tracker of regressions.
    #[must_use]
    pub fn tags(&self, candidate: usize) -> Option<(String, String)> {
        let Self::Git { commits, .. } = self else {
            return None;
        };
        let commit = commits.get(candidate)?;
        let short: String = commit.id.chars().take(12).collect();
        Some((
            format!("Fixes: {short} (\"{}\")", commit.subject),
            format!("#regzbot introduced: {short}"),
        ))
    }
}

/// Makes the requests for candidates' kernels: the cell's own kernel with the source or series exchanged.
#[derive(Debug)]
pub struct Maker {
    range: Range,
    /// The cell's kernel: fragments, series beside the one searched, jobs, sandbox.
    like: Request,
    /// Where sources are searched: each one's kernel of the matrix.
    own: Vec<Request>,
    /// The series that is searched.
    series: Option<Series>,
}

impl Maker {
    /// For a range; reads its series again. `own`: the kernels of the matrix, where sources are searched.
    ///
    /// # Errors
    /// [`RangeError`] where the series is not what it was.
    pub fn new(range: Range, mut like: Request, own: Vec<Request>) -> Result<Self, RangeError> {
        let series = match &range {
            Range::Series { path, id, .. } => {
                let series = Series::load(path)?;
                if series.id() != *id {
                    return Err(RangeError::Changed { path: path.clone() });
                }
                // The cell's kernel may have it already: it is put on patch by patch here.
                like.series.retain(|other| other.id() != *id);
                Some(series)
            }
            Range::Git { .. } | Range::Sources { .. } => None,
        };
        Ok(Self {
            range,
            like,
            own,
            series,
        })
    }

    /// What the kernel of a candidate is made of.
    #[must_use]
    pub fn request(&self, candidate: usize) -> Request {
        let mut request = self.like.clone();
        match &self.range {
            Range::Git { repo, commits, .. } => {
                request.source = Source::Git {
                    repo: repo.clone(),
                    rev: commits.get(candidate).map_or_else(String::new, |c| c.id.clone()),
                };
            }
            Range::Series { base, .. } => {
                request.source = base.clone();
                request.series.extend(self.some_patches(|at| at < candidate));
            }
            Range::Sources { .. } => {
                if let Some(own) = self.own.get(candidate) {
                    request.clone_from(own);
                }
            }
        }
        request
    }

    /// What the bad end without one candidate's change is made of; `None` where nothing can be taken out.
    ///
    /// # Errors
    /// [`SourceError`] where git fails.
    pub fn reverted(&self, candidate: usize, cancel: &Cancel) -> Result<Option<Request>, SourceError> {
        match &self.range {
            Range::Git { repo, commits, .. } => {
                let Some(commit) = commits.get(candidate) else {
                    return Ok(None);
                };
                let Some(bytes) = source::revert(repo, &commit.id, cancel)? else {
                    return Ok(None);
                };
                let mut request = self.request(commits.len() - 1);
                request.series.push(Series {
                    name: "revert".to_owned(),
                    kind: SeriesKind::Carry,
                    title: format!("Revert \"{}\"", commit.subject),
                    fits: Vec::new(),
                    patches: vec![Patch {
                        name: "0001-revert.patch".to_owned(),
                        subject: format!("Revert \"{}\"", commit.subject),
                        bytes,
                        notes: Vec::new(),
                    }],
                });
                Ok(Some(request))
            }
            Range::Series { base, .. } => {
                let mut request = self.like.clone();
                request.source = base.clone();
                request.series.extend(self.some_patches(|at| at + 1 != candidate));
                Ok(Some(request))
            }
            Range::Sources { .. } => Ok(None),
        }
    }

    /// The series with some of its patches only; `None` where none is left.
    fn some_patches(&self, keep: impl Fn(usize) -> bool) -> Option<Series> {
        let series = self.series.as_ref()?;
        let all = series.patches.iter().enumerate();
        let patches: Vec<Patch> = all.filter(|(at, _)| keep(*at)).map(|(_, p)| p.clone()).collect();
        (!patches.is_empty()).then(|| Series {
            patches,
            ..series.clone()
        })
    }
}

/// A source, for readers.
fn shown(source: &Source) -> String {
    match source {
        Source::Debian { package } => package.clone(),
        Source::Dir { path } | Source::Tarball { path } | Source::Image { path } => {
            path.display().to_string()
        }
        Source::Git { repo, rev } => format!("{} at {rev}", repo.display()),
    }
}
