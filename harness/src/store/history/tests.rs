use super::*;
use crate::store::sample::{self, cell, foreign};
use crate::verdict::Verdict;

fn pass() -> Verdict {
    Verdict::Pass
}

fn open(state: &Path) -> History {
    let (history, moved) = History::open(state).unwrap();
    assert_eq!(moved, None);
    history
}

#[test]
fn a_case_has_its_rate_its_flakiness_and_its_time_to_detection_on_each_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let rest = "small@qemu.pressure.off";
    // In order: pass, fail, fail, then with another suite pass and one that proved nothing.
    for (name, agent, full) in [
        ("a", "one", pass()),
        ("b", "one", foreign("x")),
        ("c", "one", foreign("x")),
        ("d", "two", pass()),
        (
            "e",
            "two",
            Verdict::Skip {
                why: "no zswap".into(),
            },
        ),
    ] {
        let cells = [
            cell("fixed", rest, None, full, true),
            cell("other", rest, None, pass(), true),
        ];
        let run = sample::run(&dir.path().join("runs"), name, agent, &cells, Some(0));
        history.record(&run).unwrap();
    }
    let lines = history.lines(100, |id| id.starts_with("fixed.")).unwrap();
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (line.case.as_str(), line.kernel.as_str(), line.key.as_deref()),
        (rest, "fixed", Some("key-of-fixed"))
    );
    assert_eq!((line.passed, line.failed, line.unproved), (2, 2, 1));
    assert_eq!(line.pass_rate(), Some(0.5));
    // Of pass → fail and fail → fail one changed; what another suite saw is not compared.
    assert_eq!(line.flakiness(), Some(0.5));
    assert_eq!(line.detect_s(), Some(1.5));
    assert_eq!(history.lines(100, |_| true).unwrap().len(), 2);
    assert_eq!(history.lines(1, |_| true).unwrap()[0].unproved, 1);
}

#[test]
fn recording_a_run_again_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let run = sample::run(
        &dir.path().join("runs"),
        "a",
        "x",
        &[cell("k", "m@qemu.c.off", None, pass(), true)],
        Some(0),
    );
    history.record(&run).unwrap();
    history.record(&run).unwrap();
    assert_eq!(history.lines(10, |_| true).unwrap()[0].passed, 1);
}

#[test]
fn several_writers_at_once_lose_nothing() {
    const WRITERS: usize = 8;
    const RUNS: usize = 5;
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<Vec<PathBuf>> = (0..WRITERS)
        .map(|w| {
            let one = |r| {
                let cells = [cell("k", &format!("m@qemu.c{w}.off"), None, pass(), true)];
                sample::run(
                    &dir.path().join("runs"),
                    &format!("w{w}r{r}"),
                    "x",
                    &cells,
                    Some(0),
                )
            };
            (0..RUNS).map(one).collect()
        })
        .collect();
    let start = std::sync::Barrier::new(WRITERS);
    // Each with a connection of its own, from the making of the database on.
    std::thread::scope(|scope| {
        for runs in &all {
            let (start, dir) = (&start, &dir);
            scope.spawn(move || {
                start.wait();
                let mut history = open(dir.path());
                for run in runs {
                    history.record(run).unwrap();
                }
            });
        }
    });
    let lines = open(dir.path()).lines(1000, |_| true).unwrap();
    assert_eq!(lines.len(), WRITERS);
    assert!(lines.iter().all(|line| line.passed as usize == RUNS), "{lines:?}");
}

#[test]
fn migrations_run_once_each_and_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Connection::open(dir.path().join("db")).unwrap();
    let version = |db: &Connection| {
        db.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
            .unwrap()
    };
    let first = "CREATE TABLE t (a); INSERT INTO t VALUES (1);";
    assert_eq!(migrate(&mut db, &[first]).unwrap(), 1);
    assert_eq!(migrate(&mut db, &[first]).unwrap(), 1);
    let broken = "ALTER TABLE t ADD COLUMN b; INSERT INTO nowhere VALUES (1);";
    assert!(migrate(&mut db, &[first, broken]).is_err());
    assert_eq!(version(&db), 1);
    assert!(
        db.prepare("SELECT b FROM t").is_err(),
        "nothing of the broken step stays"
    );
    let second = "ALTER TABLE t ADD COLUMN b DEFAULT 7;";
    assert_eq!(migrate(&mut db, &[first, second]).unwrap(), 2);
    let row = db
        .query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(row, (1, 7), "what was there is still there");
    assert_eq!(
        migrate(&mut db, &[first]).unwrap(),
        2,
        "a newer version is told as it is"
    );
}

#[test]
fn a_history_of_a_newer_patchproof_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join(FILE);
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        History::open(dir.path()),
        Err(HistoryError::Newer { found: 99, .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_history_is_moved_aside_and_made_again() {
    let damage: [fn(&Path); 2] = [
        |path| {
            fs::write(
                path,
                b"this is no database, but it is long enough to be taken for a header of one",
            )
            .unwrap()
        },
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let half = bytes.len() / 2;
            bytes[100..half].fill(0xa5);
            fs::write(path, bytes).unwrap();
        },
    ];
    for damage in damage {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("runs");
        let run = sample::run(
            &runs,
            "a",
            "x",
            &[cell("k", "m@qemu.c.off", None, pass(), true)],
            Some(0),
        );
        open(dir.path()).record(&run).unwrap();
        damage(&dir.path().join(FILE));
        let (mut history, told) = History::open(dir.path()).unwrap();
        let told = told.expect("the user is told");
        assert!(told.contains(".damaged-"), "{told}");
        let kept = fs::read_dir(dir.path()).unwrap().flatten();
        assert!(
            kept.into_iter()
                .any(|e| told.contains(&e.path().display().to_string())),
            "{told}"
        );
        assert_eq!(history.sync(&runs).unwrap(), 1);
        assert_eq!(history.lines(10, |_| true).unwrap()[0].passed, 1);
    }
}

#[test]
fn runs_that_were_killed_are_taken_in_and_those_that_go_on_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let killed = sample::run(
        &runs,
        "killed",
        "x",
        &[cell("k", "m@qemu.c.off", None, foreign("x"), false)],
        None,
    );
    let going = sample::run(
        &runs,
        "going",
        "x",
        &[cell("k", "m@qemu.c.off", None, pass(), true)],
        None,
    );
    fs::create_dir(runs.join("no-run")).unwrap();
    let lock = File::open(going.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut history = open(dir.path());
    assert_eq!(history.sync(&runs).unwrap(), 1);
    assert_eq!(history.sync(&runs).unwrap(), 0);
    let line = &history.lines(10, |_| true).unwrap()[0];
    assert_eq!((line.failed, line.passed), (1, 0));
    assert_eq!(Path::new(&line.last_run), killed.file_name().unwrap());
    drop(lock);
    assert_eq!(history.sync(&runs).unwrap(), 1);
}

#[test]
fn durations_are_the_median_of_what_cells_took() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let run = sample::run(
        &dir.path().join("runs"),
        "a",
        "x",
        &[cell("k", "m@qemu.c.off", None, pass(), true)],
        Some(0),
    );
    history.record(&run).unwrap();
    history.db.execute("UPDATE cells SET wall_s = 12.5", []).unwrap();
    assert_eq!(
        history.durations(10).unwrap(),
        [("k.m@qemu.c.off".to_owned(), 12.5)].into()
    );
}
