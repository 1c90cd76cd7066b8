//! Run folders, their history, and reading them back: what a run leaves behind, written so that a stop at any moment leaves a valid record.
//!
//! ```text
//! runs/ID/            ID = date-time-name-random
//!   run.json          matrix, agent hash, when and how it was started
//!   spec.yaml         the matrix as it was read
//!   events.jsonl      every event, a line each, as it came
//!   summary.json      the end of the run (absent while it goes on)
//!   cells/CELL/       cell.json request.json console.log frames.bin verdict.json qemu.json
//!   lock              held while the run goes on
//! ```
//! Not here: what the records mean.

pub mod history;
mod merge;
mod record;
#[cfg(test)]
pub(crate) mod sample;

pub use merge::{MergeError, Merged, merge};
pub use record::{Build, Cell, Record, Sample};

use crate::host;
use crate::run::{Event, Summary, Versioned};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a run was started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunHeader {
    /// Version of this record.
    pub v: u32,
    /// The run's id.
    pub run: String,
    /// The matrix file, absolute.
    pub spec: PathBuf,
    /// Folder that kconfigs/ and patches/ were taken from.
    pub root: PathBuf,
    /// Ids of the cells that were to run (a filter may have left some out); empty in records of before.
    #[serde(default)]
    pub cells: Vec<String>,
    /// Which part of a split matrix it is; none where it is all of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardHeader>,
    /// Hash of the guest agent.
    pub agent: String,
    /// Version of patchproof.
    pub patchproof: String,
    /// Arguments as given.
    pub args: Vec<String>,
    /// When it was started (RFC 3339).
    pub started: String,
}

/// Which part of a split matrix a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardHeader {
    /// From 1.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The digest of what the split was made from: shards with one digest are parts of one split.
    pub split: String,
    /// Ids of all cells that were split, in order.
    pub all: Vec<String>,
}

/// Why a run folder could not be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{path}: {source}", path = .path.display())]
    #[diagnostic(help(
        "is the disk full, or the folder not yours? PATCHPROOF_STATE_DIR names another place for runs"
    ))]
    Io {
        /// At which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is not what it must be.
    #[error("{path} is not a valid record: {source}", path = .path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another process still works on it.
    #[error("the run in {path} still goes on", path = .path.display())]
    #[diagnostic(help("wait for it, or stop it first"))]
    Busy {
        /// The run's folder.
        path: PathBuf,
    },
    /// There is no such run.
    #[error("there is no run {run:?} in {dir}", dir = .dir.display())]
    #[diagnostic(help("the folder's name, a unique beginning of it, a path, or `last`"))]
    NoRun {
        /// As given.
        run: String,
        /// Where was looked.
        dir: PathBuf,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

/// A run folder that is being written.
#[derive(Debug)]
pub struct RunDir {
    id: String,
    path: PathBuf,
    events: fs::File,
    _lock: fs::File,
}

impl RunDir {
    /// Makes a new run folder under `runs`, named by time, `name` and four random digits.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(runs: &Path, name: &str) -> Result<Self, StoreError> {
        fs::create_dir_all(runs).map_err(at(runs))?;
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let prefix = format!("{stamp}-{name}-");
        let made = tempfile::Builder::new()
            .prefix(&prefix)
            .rand_bytes(4)
            .tempdir_in(runs)
            .map_err(at(runs))?;
        let path = made.keep();
        let id = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let lock_path = path.join("lock");
        let lock = fs::File::create(&lock_path).map_err(at(&lock_path))?;
        lock.lock().map_err(at(&lock_path))?;
        let events_path = path.join("events.jsonl");
        let events = fs::File::create(&events_path).map_err(at(&events_path))?;
        Ok(Self {
            id,
            path,
            events,
            _lock: lock,
        })
    }

    /// Opens the folder of a run that was stopped, to go on with it. A line that was being written when it
    /// was stopped is cut off, and what it said about its end goes.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another process holds it; [`StoreError::Io`].
    pub fn reopen(path: &Path) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(at(path))?;
        let id = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let lock_path = path.join("lock");
        let lock = fs::File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Busy { path }),
            Err(fs::TryLockError::Error(e)) => return Err(at(&lock_path)(e)),
        }
        let events_path = path.join("events.jsonl");
        let events = append_whole_lines(&events_path).map_err(at(&events_path))?;
        let summary = path.join("summary.json");
        match fs::remove_file(&summary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&summary)(e)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self {
            id,
            path,
            events,
            _lock: lock,
        })
    }

    /// The run's id: its folder's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one event. Whole lines only: a reader never sees half of one that was completed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        let path = self.path.join("events.jsonl");
        let mut line = to_json(&path, &Versioned::now(event), false)?;
        line.push(b'\n');
        self.events.write_all(&line).map_err(at(&path))
    }

    /// Writes a record of the run.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&self, name: &str, record: &impl Serialize) -> Result<(), StoreError> {
        write_json(&self.path.join(name), record)
    }

    /// Writes a file of the run as it is.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        host::fs::write_atomic(&path, bytes).map_err(at(&path))
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn summary(&self, summary: &Summary) -> Result<(), StoreError> {
        self.write("summary.json", &Versioned::new(Event::Summary(summary.clone())))
    }
}

/// Opens a file of lines for appending, without the half line that a kill may have left at its end.
fn append_whole_lines(path: &Path) -> io::Result<fs::File> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        read => read.unwrap_or_default(),
    };
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let file = fs::File::options().create(true).append(true).open(path)?;
    file.set_len(whole as u64)?;
    Ok(file)
}

fn to_json(path: &Path, record: &impl Serialize, pretty: bool) -> Result<Vec<u8>, StoreError> {
    let bytes = if pretty {
        serde_json::to_vec_pretty(record)
    } else {
        serde_json::to_vec(record)
    };
    bytes.map_err(|source| StoreError::Record {
        path: path.to_owned(),
        source,
    })
}

/// Writes a record as JSON, whole or not at all; makes its folder where it isn't there.
///
/// # Errors
/// [`StoreError::Io`].
pub fn write_json(path: &Path, record: &impl Serialize) -> Result<(), StoreError> {
    let bytes = to_json(path, record, true)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(at(dir))?;
    }
    host::fs::write_atomic(path, &bytes).map_err(at(path))
}

/// Reads a record.
///
/// # Errors
/// [`StoreError`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let bytes = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Record {
        path: path.to_owned(),
        source,
    })
}

/// Finds a run by path, folder name, unique beginning of it, or `last`.
///
/// # Errors
/// [`StoreError::NoRun`].
pub fn find(runs: &Path, run: &str) -> Result<PathBuf, StoreError> {
    let as_path = Path::new(run);
    if as_path.join("run.json").is_file() {
        return Ok(as_path.to_owned());
    }
    let names: Vec<PathBuf> = fs::read_dir(runs)
        .map(|entries| {
            entries
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.join("run.json").is_file())
                .collect()
        })
        .unwrap_or_default();
    let found = if run == "last" {
        names.into_iter().max_by_key(|path| begun(path))
    } else {
        let fits = |p: &&PathBuf| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(run))
        };
        let mut fitting = names.iter().filter(fits);
        fitting.next().filter(|_| fitting.next().is_none()).cloned()
    };
    found.ok_or_else(|| StoreError::NoRun {
        run: run.to_owned(),
        dir: runs.to_owned(),
    })
}

/// When a run began: the second that its name tells, and among those of one second its header's time.
fn begun(run: &Path) -> (String, Option<std::time::SystemTime>) {
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let second = name.chars().take("20260101-000000".len()).collect();
    let header = fs::metadata(run.join("run.json")).and_then(|data| data.modified());
    (second, header.ok())
}

/// The median of ascending values.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (
        sorted.get(sorted.len().checked_sub(1)? / 2)?,
        sorted.get(sorted.len() / 2)?,
    );
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0]), Some(1.0));
        assert_eq!(median(&[1.0, 2.0, 4.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 8.0]), Some(3.0));
    }

    #[test]
    fn a_run_that_was_killed_is_taken_up_where_its_record_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path(), "x").unwrap();
        let path = run.path().to_owned();
        assert!(matches!(RunDir::reopen(&path), Err(StoreError::Busy { .. })));
        drop(run);
        fs::write(path.join("events.jsonl"), "{\"v\":1}\n{\"v\"").unwrap();
        fs::write(path.join("summary.json"), "{}").unwrap();
        let mut again = RunDir::reopen(&path).unwrap();
        again.event(&Event::Interrupted).unwrap();
        let text = fs::read_to_string(path.join("events.jsonl")).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        assert_eq!(first, "{\"v\":1}", "half a line is gone");
        let second: Versioned<Event> = serde_json::from_str(second).unwrap();
        assert!(matches!(second.what, Event::Interrupted) && second.at_ms.is_some());
        assert!(!path.join("summary.json").exists());
        assert_eq!(again.id(), path.file_name().unwrap().to_str().unwrap());
    }

    #[test]
    fn the_last_run_is_the_one_that_began_last_even_within_a_second() {
        let runs = tempfile::tempdir().expect("a folder");
        let start = std::time::SystemTime::UNIX_EPOCH;
        for (name, ms) in [
            ("20260102-030405-demo-Zzzz", 900_100),
            ("20260102-030405-demo-Aaaa", 900_700),
            // Copied later, begun before.
            ("20260102-030404-demo-Mmmm", 999_999),
        ] {
            let dir = runs.path().join(name);
            fs::create_dir(&dir).expect("a folder");
            let header = fs::File::create(dir.join("run.json")).expect("a file");
            header
                .set_modified(start + std::time::Duration::from_millis(ms))
                .expect("its time can be set");
        }
        let last = find(runs.path(), "last").expect("there is one");
        assert!(last.ends_with("20260102-030405-demo-Aaaa"), "{}", last.display());
    }
}
