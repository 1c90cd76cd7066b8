//! The history: one database over all runs, made from their folders.
//!
//! Run folders are the truth. The history is an index of them that may be lost: whatever it lacks is taken
//! in again from the folders that are still there. It is written by several processes at once (WAL, one
//! transaction a run), and a database that is damaged is moved aside, never repaired and never in the way.

mod line;

pub use line::Line;

use line::Row;

use super::{Record, RunHeader, StoreError, median, read_json};
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "history.sqlite";
/// How long a writer waits for the others.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// What brings a database from one version (its place here) to the next. Never changed, only added to.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, spec TEXT NOT NULL, agent TEXT NOT NULL,
        patchproof TEXT NOT NULL, exit INTEGER, events_len INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE cells (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, id TEXT NOT NULL, grp TEXT NOT NULL,
        case_name TEXT NOT NULL, kernel TEXT NOT NULL, kernel_key TEXT, workload TEXT NOT NULL,
        verdict TEXT NOT NULL, as_expected INTEGER NOT NULL, class TEXT, title TEXT, detect_s REAL,
        guest_s REAL NOT NULL, wall_s REAL, pages_verified INTEGER NOT NULL, round_trips INTEGER NOT NULL,
        attempts INTEGER NOT NULL, PRIMARY KEY (run, id)
    ) WITHOUT ROWID;
    CREATE INDEX cells_by_group ON cells (grp, run);
    CREATE TABLE builds (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, kernel TEXT NOT NULL, kernel_key TEXT,
        build_s REAL, PRIMARY KEY (run, kernel)
    ) WITHOUT ROWID;
"];

/// Why the history could not be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HistoryError {
    /// The database refused.
    #[error("the history in {path}: {source}", path = .path.display())]
    #[diagnostic(help(
        "it may be removed at any time: it is made again from the run folders that are still there"
    ))]
    Database {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It was made by a newer patchproof.
    #[error("the history in {path} is of version {found}; this patchproof knows {known}", path = .path.display())]
    #[diagnostic(help("use the newer patchproof, or name another place with PATCHPROOF_STATE_DIR"))]
    Newer {
        /// Its file.
        path: PathBuf,
        /// The version found.
        found: usize,
        /// The newest version that is known here.
        known: usize,
    },
    /// A file could not be read, written or moved.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run's folder could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// The history of all runs.
#[derive(Debug)]
pub struct History {
    db: Connection,
    path: PathBuf,
}

impl History {
    /// Opens the history in a state folder, and makes it where there is none. A damaged one is moved aside;
    /// what to tell the user of that comes back with it.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn open(state: &Path) -> Result<(Self, Option<String>), HistoryError> {
        let path = state.join(FILE);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| HistoryError::Io { path, source }
        };
        fs::create_dir_all(state).map_err(io(state))?;
        // One at a time makes, migrates or moves the database; SQLite itself does not let several begin.
        let lock_path = state.join("history.lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        match Self::open_at(&path) {
            Err(HistoryError::Database { source, .. }) if damaged(&source) => {
                let aside = move_aside(&path).map_err(io(&path))?;
                let told = format!(
                    "the history was damaged ({source}) and is now {}; a new one is made from the run folders \
                     that are still there",
                    aside.display()
                );
                Ok((Self::open_at(&path)?, Some(told)))
            }
            opened => Ok((opened?, None)),
        }
    }

    fn open_at(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Database {
            path: path.to_owned(),
            source,
        };
        let mut db = Connection::open(path).map_err(failed)?;
        db.busy_timeout(BUSY_WAIT).map_err(failed)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        db.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        db.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        let check: String = db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if check != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(failed(rusqlite::Error::SqliteFailure(code, Some(check))));
        }
        let found = migrate(&mut db, MIGRATIONS).map_err(failed)?;
        if found > MIGRATIONS.len() {
            return Err(HistoryError::Newer {
                path: path.to_owned(),
                found,
                known: MIGRATIONS.len(),
            });
        }
        Ok(Self {
            db,
            path: path.to_owned(),
        })
    }

    /// Takes a run in from its folder, in place of what was known of it.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn record(&mut self, run: &Path) -> Result<(), HistoryError> {
        let header: RunHeader = read_json(&run.join("run.json"))?;
        let events = run.join("events.jsonl");
        let io = |source| HistoryError::Io {
            path: events.clone(),
            source,
        };
        // Taken before reading: what is added meanwhile makes the run be taken in again.
        let len = fs::metadata(&events).map_err(io)?.len();
        let record = Record::read(run).map_err(io)?;
        self.insert(&header, &record, len)
            .map_err(|source| HistoryError::Database {
                path: self.path.clone(),
                source,
            })
    }

    fn insert(&mut self, header: &RunHeader, record: &Record, len: u64) -> rusqlite::Result<()> {
        let started_ms = header
            .started
            .parse::<jiff::Timestamp>()
            .map_or(0, jiff::Timestamp::as_millisecond);
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM runs WHERE id = ?1", [&header.run])?;
        tx.execute(
            "INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                header.run,
                started_ms,
                header.spec.to_string_lossy(),
                header.agent,
                header.patchproof,
                record.exit,
                i64::try_from(len).unwrap_or(i64::MAX)
            ],
        )?;
        let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
        for build in &record.builds {
            let made = build.made.as_ref();
            keys.extend(made.map(|m| (build.kernel.as_str(), m.key.as_str())));
            tx.prepare_cached("INSERT OR REPLACE INTO builds VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    header.run,
                    build.kernel,
                    made.map(|m| &m.key),
                    made.and_then(|m| m.build_s)
                ])?;
        }
        let mut insert = tx.prepare_cached(
            "INSERT INTO cells VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?;
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (cell, result) in record.results() {
            let wall_s = cell
                .from_ms
                .zip(cell.to_ms)
                .map(|(from, to)| to.saturating_sub(from) as f64 / 1e3);
            let first = result.findings.first();
            insert.execute(params![
                header.run,
                result.id,
                result.group,
                result.case(),
                result.kernel,
                keys.get(result.kernel.as_str()),
                result.workload,
                result.verdict,
                result.as_expected,
                first.map(|f| &f.class),
                first.map(|f| &f.title),
                result.detect_s,
                result.guest_s,
                wall_s,
                whole(result.pages_verified),
                whole(result.round_trips),
                result.attempts
            ])?;
        }
        drop(insert);
        tx.commit()
    }

    /// Takes in every run folder that is not in the history as it is now: runs that were killed, that were
    /// finished later, or whose history was lost. Runs that still go on are left out, and so are folders
    /// that can't be read. Says how many were taken in.
    ///
    /// # Errors
    /// [`HistoryError`], where the database refuses.
    pub fn sync(&mut self, runs: &Path) -> Result<usize, HistoryError> {
        let known = self.known().map_err(|source| self.failed(source))?;
        let mut taken = 0;
        let Ok(entries) = fs::read_dir(runs) else {
            return Ok(0);
        };
        for dir in entries.flatten().map(|entry| entry.path()) {
            let Ok(len) = fs::metadata(dir.join("events.jsonl")).map(|data| data.len()) else {
                continue;
            };
            let name = dir
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            if known.get(&name) == i64::try_from(len).ok().as_ref() || goes_on(&dir) {
                continue;
            }
            match self.record(&dir) {
                Ok(()) => taken += 1,
                Err(HistoryError::Store(_) | HistoryError::Io { .. }) => {}
                Err(e @ (HistoryError::Database { .. } | HistoryError::Newer { .. })) => return Err(e),
            }
        }
        Ok(taken)
    }

    fn known(&self) -> rusqlite::Result<BTreeMap<String, i64>> {
        let mut rows = self.db.prepare("SELECT id, events_len FROM runs")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    /// How the cells that `fits` picks by their id (without repeat) came out in the newest runs: a line for
    /// each case and kernel, cases in order of their names, a case's kernels by when they came up.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn lines(&self, runs_max: u32, fits: impl Fn(&str) -> bool) -> Result<Vec<Line>, HistoryError> {
        let rows = self.rows(runs_max).map_err(|source| self.failed(source))?;
        let mut lines: Vec<Line> = Vec::new();
        let mut place: BTreeMap<(String, String, Option<String>), usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| fits(&row.group)) {
            let what = (row.case.clone(), row.kernel.clone(), row.key.clone());
            let at = *place.entry(what).or_insert_with(|| {
                lines.push(Line::of(row));
                lines.len() - 1
            });
            lines[at].add(row);
        }
        for line in &mut lines {
            line.after.sort_by(f64::total_cmp);
        }
        lines.sort_by(|a, b| a.case.cmp(&b.case));
        Ok(lines)
    }

    fn rows(&self, runs_max: u32) -> rusqlite::Result<Vec<Row>> {
        let mut rows = self.db.prepare(
            "SELECT r.id, r.started_ms, r.agent, c.grp, c.case_name, c.kernel, c.kernel_key, c.verdict, c.detect_s, \
             c.guest_s FROM (SELECT * FROM runs ORDER BY started_ms DESC, id DESC LIMIT ?1) r \
             JOIN cells c ON c.run = r.id ORDER BY r.started_ms, r.id, c.id",
        )?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                run: row.get(0)?,
                started_ms: row.get(1)?,
                agent: row.get(2)?,
                group: row.get(3)?,
                case: row.get(4)?,
                kernel: row.get(5)?,
                key: row.get(6)?,
                verdict: row.get(7)?,
                detect_s: row.get(8)?,
                guest_s: row.get(9)?,
            })
        };
        rows.query_map([runs_max], row)?.collect()
    }

    /// What cells took, from their machines' start to their verdict: the median in seconds by group (a cell's
    /// id without its repeat), of the newest `runs_max` runs.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn durations(&self, runs_max: u32) -> Result<BTreeMap<String, f64>, HistoryError> {
        self.medians(
            "SELECT c.grp, c.wall_s FROM (SELECT id FROM runs ORDER BY started_ms DESC, id DESC LIMIT ?1) r \
             JOIN cells c ON c.run = r.id WHERE c.wall_s IS NOT NULL ORDER BY c.wall_s",
            runs_max,
        )
    }

    /// What building kernels took: the median in seconds by the kernel's name, of the newest `runs_max` runs.
    /// Kernels that came from the cache tell nothing.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn build_durations(&self, runs_max: u32) -> Result<BTreeMap<String, f64>, HistoryError> {
        self.medians(
            "SELECT b.kernel, b.build_s FROM (SELECT id FROM runs ORDER BY started_ms DESC, id DESC LIMIT ?1) r \
             JOIN builds b ON b.run = r.id WHERE b.build_s IS NOT NULL ORDER BY b.build_s",
            runs_max,
        )
    }

    /// The medians of what a query gives: names and seconds, ascending.
    fn medians(&self, query: &str, runs_max: u32) -> Result<BTreeMap<String, f64>, HistoryError> {
        let read = || -> rusqlite::Result<Vec<(String, f64)>> {
            let mut rows = self.db.prepare(query)?;
            rows.query_map([runs_max], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (name, took_s) in read().map_err(|source| self.failed(source))? {
            all.entry(name).or_default().push(took_s);
        }
        Ok(all
            .into_iter()
            .filter_map(|(name, took)| Some((name, median(&took)?)))
            .collect())
    }

    fn failed(&self, source: rusqlite::Error) -> HistoryError {
        HistoryError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

/// Brings a database to the newest version, each step whole or not at all; returns the version it then has,
/// which is higher than known where a newer patchproof made it.
fn migrate(db: &mut Connection, steps: &[&str]) -> rusqlite::Result<usize> {
    loop {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let at: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let Some(step) = steps.get(at as usize) else {
            return Ok(at as usize);
        };
        tx.execute_batch(step)?;
        tx.pragma_update(None, "user_version", at + 1)?;
        tx.commit()?;
    }
}

fn damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Moves a database out of the way, its log first, so that no new one ever meets the old one's log.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S%.3f").to_string();
    let aside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{stamp}{suffix}"));
        PathBuf::from(name)
    };
    for suffix in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::rename(PathBuf::from(name), aside(suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, aside(""))?;
    Ok(aside(""))
}

/// Whether a run still holds its lock.
fn goes_on(run: &Path) -> bool {
    File::open(run.join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

#[cfg(test)]
mod tests;
