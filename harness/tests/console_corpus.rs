//! Measures the console classifier against real kernel logs that are kept outside the project.
//!
//! Each log is headed by what a good classifier says of it: `TITLE`, `ALT` spellings, `TYPE`,
//! `CORRUPTED`; an empty line; the raw console. No `TITLE` means no splat. The folder is named by
//! `PATCHPROOF_CORPUS`; where it is absent this test says so and passes. `PATCHPROOF_CORPUS_SHOW=0`
//! (to `3`) prints the misses of that quarter, so that rules can be written against some quarters and
//! checked against the others.

use std::path::{Path, PathBuf};

use harness::console::{Kind, Splat, analyze};

const KINDS: [Kind; 12] = [
    Kind::Kasan,
    Kind::Kmsan,
    Kind::Kcsan,
    Kind::Kfence,
    Kind::Ubsan,
    Kind::Hang,
    Kind::Lockdep,
    Kind::Warning,
    Kind::Atomic,
    Kind::Leak,
    Kind::Reboot,
    Kind::Oops,
];

struct Log {
    name: String,
    /// Which quarter of the corpus it is in: rules are written on some and checked on the others.
    part: usize,
    /// The title and its other spellings; none where there is no splat.
    titles: Vec<String>,
    kind: Option<Kind>,
    corrupted: bool,
    raw: Vec<u8>,
}

fn read_log(path: &Path) -> Log {
    let bytes = std::fs::read(path).expect("a log of the corpus can be read");
    let split = bytes.windows(2).position(|w| w == b"\n\n");
    let (head, raw) = match split {
        _ if bytes.starts_with(b"\n") => (&bytes[..0], &bytes[1..]),
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (&bytes[..], &bytes[..0]),
    };
    let head = String::from_utf8_lossy(head);
    let values = |key: &str| -> Vec<String> {
        let lines = head
            .lines()
            .filter_map(|l| l.split_once(": ").filter(|(k, _)| *k == key));
        lines
            .map(|(_, v)| v.trim().to_owned())
            .filter(|v| !v.is_empty())
            .collect()
    };
    let kind = values("TYPE").first().map(|t| {
        let t = t.to_ascii_lowercase();
        KINDS
            .into_iter()
            .find(|k| t.contains(k.name()))
            .unwrap_or(Kind::Oops)
    });
    let name = path
        .file_stem()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let part = (crc32(name.as_bytes()) & 3) as usize;
    let titles: Vec<String> = values("TITLE").into_iter().chain(values("ALT")).collect();
    Log {
        name,
        part,
        titles,
        kind,
        corrupted: !values("CORRUPTED").is_empty(),
        raw: raw.to_vec(),
    }
}

/// CRC-32, so that the halves are easy to reproduce with any tool.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 {
                (c >> 1) ^ 0xedb8_8320
            } else {
                c >> 1
            }
        })
    };
    !bytes.iter().fold(!0, step)
}

/// The function that a title names, if any.
fn named(title: &str) -> Option<&str> {
    let (_, function) = title.rsplit_once(" in ")?;
    let plain = !function.contains(' ');
    // `f/usb_submit_urb` names the caller whose fault it is, then who noticed.
    plain
        .then(|| function.split('/').next().unwrap_or(function))
        .filter(|f| *f != "corrupted")
}

struct Score {
    right: usize,
    of: usize,
}

impl Score {
    const NONE: Self = Self { right: 0, of: 0 };

    fn add(&mut self, right: bool) -> bool {
        self.right += usize::from(right);
        self.of += 1;
        right
    }

    fn percent(&self) -> f64 {
        if self.of == 0 {
            100.0
        } else {
            100.0 * self.right as f64 / self.of as f64
        }
    }
}

struct Figures {
    splat: Score,
    kind: Score,
    function: Score,
    title: Score,
    corrupted: Score,
    false_alarms: Vec<String>,
}

impl Figures {
    const fn new() -> Self {
        Self {
            splat: Score::NONE,
            kind: Score::NONE,
            function: Score::NONE,
            title: Score::NONE,
            corrupted: Score::NONE,
            false_alarms: Vec::new(),
        }
    }

    /// Scores one log and says what was missed.
    fn add(&mut self, log: &Log, splats: &[Splat]) -> Vec<&'static str> {
        let mut missed = Vec::new();
        let first = splats.first();
        let mut note = |right: bool, what: &'static str| {
            if !right {
                missed.push(what);
            }
        };
        note(self.splat.add(first.is_some() != log.titles.is_empty()), "SPLAT");
        let Some(title) = log.titles.first() else {
            if first.is_some() {
                self.false_alarms.push(log.name.clone());
            }
            return missed;
        };
        if let Some(kind) = log.kind {
            note(self.kind.add(first.is_some_and(|s| s.kind == kind)), "KIND");
        }
        if let Some(function) = named(title) {
            let ours = first.and_then(|s| s.function.as_deref());
            let wanted = log
                .titles
                .iter()
                .filter_map(|t| named(t))
                .any(|f| Some(f) == ours);
            note(self.function.add(wanted || Some(function) == ours), "FUNCTION");
        }
        note(
            self.title
                .add(first.is_some_and(|s| log.titles.contains(&s.title))),
            "TITLE",
        );
        note(
            self.corrupted
                .add(first.is_some_and(|s| s.corrupted == log.corrupted)),
            "CORRUPTED",
        );
        missed
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} logs, splat {:.1}%, kind {:.1}% of {}, function {:.1}% of {}, exact title {:.1}%, corrupted {:.1}%, false alarms {}",
            self.splat.of,
            self.splat.percent(),
            self.kind.percent(),
            self.kind.of,
            self.function.percent(),
            self.function.of,
            self.title.percent(),
            self.corrupted.percent(),
            self.false_alarms.len(),
        );
    }
}

#[test]
fn corpus() {
    let folder = std::env::var_os("PATCHPROOF_CORPUS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../shared/console-corpus"
            ))
        },
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!(
            "no corpus at {}: nothing measured (name one with PATCHPROOF_CORPUS)",
            folder.display()
        );
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "log"));
    assert!(
        !paths.is_empty(),
        "{} holds no logs: nothing would be measured",
        folder.display()
    );
    paths.sort();
    let show = std::env::var("PATCHPROOF_CORPUS_SHOW")
        .ok()
        .and_then(|s| s.parse::<usize>().ok());
    let (mut all, mut parts) = (Figures::new(), [const { Figures::new() }; 4]);
    for path in &paths {
        let log = read_log(path);
        let splats = analyze(&log.raw);
        let missed = all.add(&log, &splats);
        parts[log.part].add(&log, &splats);
        if show == Some(log.part) && !missed.is_empty() {
            let ours = splats.first().map_or_else(String::new, |s| {
                format!(
                    "{} [{}]{}",
                    s.title,
                    s.kind.name(),
                    if s.corrupted { " corrupted" } else { "" }
                )
            });
            println!(
                "{}: {missed:?}\n    want {:?} {:?}{}\n    got  {ours}",
                log.name,
                log.titles,
                log.kind,
                if log.corrupted { " corrupted" } else { "" }
            );
        }
    }
    for (i, figures) in parts.iter().enumerate() {
        figures.print(&format!("part {i}"));
    }
    all.print("corpus");
    assert!(
        all.splat.percent() >= 99.0,
        "splat or no splat: {:.1}%",
        all.splat.percent()
    );
    assert!(all.kind.percent() >= 95.0, "kind: {:.1}%", all.kind.percent());
    assert!(
        all.function.percent() >= 85.0,
        "function: {:.1}%",
        all.function.percent()
    );
    assert!(
        all.false_alarms.is_empty(),
        "false alarms: {:?}",
        all.false_alarms
    );
}
