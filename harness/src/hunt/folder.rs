//! The folder of a hunt, written so that a stop at any moment loses and repeats no finished trial.
//!
//! ```text
//! bisects/ID/         ID = date-time-name-random
//!   bisect.json       range, cell and rule, written before the first trial
//!   spec.yaml         the matrix as it was read
//!   state.jsonl       the search: a line for its rule, then a line a trial
//!   verify.jsonl      a line for each trial of the verification
//!   bisect.log        for `git bisect replay`, after each trial
//!   report.html …     the report, text, JSON and mail, at each end
//!   cells/            what each boot left
//!   lock              held while it goes on
//! ```
//! Not here: what the lines mean (that is `bisect::state` and `check`).

use super::bug::{Bug, Wanted};
use super::check::{self, Check, Verified};
use super::range::{Candidate, Range};
use crate::bisect::state::{self, Header as StateHeader};
use crate::bisect::{Answer, History, Problem, Rule, Search, Step, Trial};
use crate::host::fs::write_atomic;
use crate::store::{self, StoreError};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// `bisect.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of this record.
    pub v: u32,
    /// What is searched.
    pub range: Range,
    /// The paths that shape the prior.
    pub paths: Vec<String>,
    /// The matrix file, absolute; its text lies in spec.yaml.
    pub matrix: PathBuf,
    /// Folder with kconfigs/ and patches/.
    pub root: PathBuf,
    /// The id of the cell that each trial runs.
    pub cell: String,
    /// How long a trial presses, in seconds.
    pub budget_s: f64,
    /// Which finding counts.
    pub bug: Wanted,
    /// How sure the answer is to be, and more.
    pub rule: Rule,
    /// The candidates' weights.
    pub weights: Vec<f64>,
    /// Whether the answer is to be verified.
    pub verify: bool,
    /// Whether patches are applied and built in the sandbox.
    pub sandbox: bool,
    /// Hash of the guest agent.
    pub agent: String,
    /// Version of patchproof.
    pub patchproof: String,
    /// Arguments as given.
    pub args: Vec<String>,
    /// When it began (RFC 3339).
    pub started: String,
}

/// A hunt's folder, held by this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

impl Folder {
    /// Makes the folder of a new hunt under `bisects`, with what it is to be resumed from.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create(
        bisects: &Path,
        name: &str,
        header: &Header,
        history: &History,
        spec: &str,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(bisects).map_err(at(bisects))?;
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let made = tempfile::Builder::new()
            .prefix(&format!("{stamp}-{name}-"))
            .rand_bytes(4)
            .tempdir_in(bisects)
            .map_err(at(bisects))?;
        let folder = Self::hold(made.keep())?;
        folder.write("spec.yaml", spec.as_bytes())?;
        let first = state::line(&StateHeader::new(history, &header.weights, header.rule));
        folder.write("state.jsonl", first.as_bytes())?;
        // Last: a folder without it is none.
        store::write_json(&folder.path.join("bisect.json"), header)?;
        Ok(folder)
    }

    /// Opens the folder of a hunt that was stopped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another process holds it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::hold(std::path::absolute(path).map_err(at(path))?)
    }

    fn hold(path: PathBuf) -> Result<Self, StoreError> {
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::Busy { path }),
            Err(fs::TryLockError::Error(e)) => Err(at(&lock_path)(e)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> String {
        self.path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        write_atomic(&path, bytes).map_err(at(&path))
    }

    /// Opens the lines of the search, or of its verification, to append to them. A line that a kill cut off goes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn lines(&self, name: &str) -> Result<Lines, StoreError> {
        let path = self.path.join(name);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path)(e)),
            read => read.unwrap_or_default(),
        };
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(at(&path))?;
        file.set_len(whole as u64).map_err(at(&path))?;
        Ok(Lines { file })
    }
}

/// A file of lines that is appended to.
#[derive(Debug)]
pub struct Lines {
    file: File,
}

impl Lines {
    /// Appends one line and makes it durable.
    ///
    /// # Errors
    /// As the file says.
    pub fn keep(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.file.write_all(state::line(what).as_bytes())?;
        self.file.sync_data()
    }
}

/// A hunt as it is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What it was started with.
    pub header: Header,
    /// Every candidate, the good end first.
    pub candidates: Vec<Candidate>,
    /// The search, with every trial that was kept.
    pub search: Search,
    /// Every trial of the verification.
    pub verified: Vec<Verified>,
}

/// Why a hunt's folder cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum KeptError {
    /// A file of it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// What it says.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Problem(#[from] Problem),
}

impl Kept {
    /// Reads a hunt's folder.
    ///
    /// # Errors
    /// [`KeptError`] names the file, or the line, that is wrong.
    pub fn read(dir: &Path) -> Result<Self, KeptError> {
        let header: Header = store::read_json(&dir.join("bisect.json"))?;
        let path = dir.join("state.jsonl");
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let search = state::resume(&text, header.range.history()?)?;
        let path = dir.join("verify.jsonl");
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path)(e).into()),
            read => read.unwrap_or_default(),
        };
        let mut verified = Vec::new();
        for (line, text) in text
            .split_inclusive('\n')
            .enumerate()
            .filter(|(_, l)| l.ends_with('\n'))
        {
            verified.push(serde_json::from_str(text).map_err(|e| Problem::Log {
                line: line + 1,
                what: e.to_string(),
            })?);
        }
        Ok(Self {
            candidates: header.range.candidates(),
            header,
            search,
            verified,
        })
    }

    /// Which finding is looked for, with what the kept trials taught.
    #[must_use]
    pub fn bug(&self) -> Bug {
        let mut bug = Bug::new(self.header.bug.clone());
        let bad = self.search.history().id(self.search.history().bad());
        for trial in self.search.log() {
            bug.learn(trial.seen.as_ref(), trial.commit == bad);
        }
        bug
    }

    /// The answer, once there is one.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        match self.search.step(&[]) {
            Step::Done(answer) => Some(answer),
            Step::Try(_) | Step::Wait | Step::Bad(_) => None,
        }
    }

    /// The checks of the answer.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        match self.answer() {
            Some(answer) if self.header.verify => {
                check::checks(&self.search, &answer, self.header.range.reverts(), &self.verified)
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// A candidate's short name.
    #[must_use]
    pub fn short(&self, candidate: usize) -> String {
        self.candidates
            .get(candidate)
            .map_or_else(|| "?".to_owned(), |c| c.short.clone())
    }

    /// A candidate's first line.
    #[must_use]
    pub fn subject(&self, candidate: usize) -> String {
        self.candidates
            .get(candidate)
            .map_or_else(String::new, |c| c.subject.clone())
    }

    /// Every trial, those of the verification last.
    pub fn trials(&self) -> impl Iterator<Item = &Trial> {
        self.search
            .log()
            .iter()
            .chain(self.verified.iter().map(|v| &v.trial))
    }
}

/// Finds a hunt by path, folder name, unique beginning of it, or `last`.
///
/// # Errors
/// [`StoreError::NoRun`].
pub fn find(bisects: &Path, id: &str) -> Result<PathBuf, StoreError> {
    let as_path = Path::new(id);
    if as_path.join("bisect.json").is_file() {
        return Ok(as_path.to_owned());
    }
    let entries = fs::read_dir(bisects)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path());
    let mut all: Vec<PathBuf> = entries.filter(|p| p.join("bisect.json").is_file()).collect();
    let found = if id == "last" {
        let begun = |path: &PathBuf| {
            let header = fs::metadata(path.join("bisect.json")).and_then(|data| data.modified());
            header.ok()
        };
        all.into_iter().max_by_key(begun)
    } else {
        all.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(id)));
        all.pop().filter(|_| all.is_empty())
    };
    found.ok_or_else(|| StoreError::NoRun {
        run: id.to_owned(),
        dir: bisects.to_owned(),
    })
}
