//! Measures how fast one core stamps and verifies pages, beside memcpy and memcmp of the same pages.
//!
//! Prints a table, or with `--json` one line:
//! `{"v":1,"event":"model_bench","memcpy_gb_s":…,"memcmp_gb_s":…,"fills":[{"fill":…,"write_gb_s":…,"matches_gb_s":…}],"owner_gb_s":…}`.
//! All are measured by turns in each round and the fastest round of each counts, so that a busy host
//! slows all of them alike.

use guest_tests::model::{Fill, FillPolicy, Ledger, PAGE_WORDS, Page, Stamp};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Pages of the working set: 512 KiB, so that memory bandwidth is not what is measured.
const PAGES: usize = 128;
const ROUNDS: usize = 40;

const FILLS: [(&str, Fill); 5] = [
    ("same", Fill::Same),
    ("small", Fill::SMALL),
    ("medium", Fill::MEDIUM),
    ("huge_limit", Fill::Random { words: 330 }),
    ("incompressible", Fill::INCOMPRESSIBLE),
];

fn main() -> ExitCode {
    let json = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--json" => true,
        other => {
            eprintln!("model_bench: unknown arguments {other:?}; only --json is known");
            return ExitCode::from(2);
        }
    };
    let speeds = measure();
    if json {
        println!("{}", speeds.json());
    } else {
        speeds.print();
    }
    ExitCode::SUCCESS
}

/// Gigabytes (10^9 bytes) a second.
struct Speeds {
    memcpy: f64,
    memcmp: f64,
    owner: f64,
    write: [f64; FILLS.len()],
    matches: [f64; FILLS.len()],
}

impl Speeds {
    fn json(&self) -> serde_json::Value {
        let fill = |at: usize| {
            serde_json::json!({
                "fill": FILLS[at].0,
                "write_gb_s": rounded(self.write[at]),
                "matches_gb_s": rounded(self.matches[at]),
            })
        };
        serde_json::json!({
            "v": 1,
            "event": "model_bench",
            "memcpy_gb_s": rounded(self.memcpy),
            "memcmp_gb_s": rounded(self.memcmp),
            "owner_gb_s": rounded(self.owner),
            "fills": (0..FILLS.len()).map(fill).collect::<Vec<_>>(),
        })
    }

    fn print(&self) {
        println!("{:<16} {:>10} {:>12}", "GB/s, one core", "write", "matches");
        println!(
            "{:<16} {:>10.2} {:>12.2}",
            "memcpy / memcmp", self.memcpy, self.memcmp
        );
        for (at, (name, _)) in FILLS.iter().enumerate() {
            println!("{name:<16} {:>10.2} {:>12.2}", self.write[at], self.matches[at]);
        }
        println!("{:<16} {:>10} {:>12.2}", "ledger, mixed", "", self.owner);
    }
}

fn rounded(speed: f64) -> f64 {
    (speed * 100.0).round() / 100.0
}

/// What each round measures, in turn: fastest times so far.
struct Best {
    memcpy: Duration,
    memcmp: Duration,
    owner: Duration,
    write: [Duration; FILLS.len()],
    matches: [Duration; FILLS.len()],
}

fn measure() -> Speeds {
    let mut arena = vec![[0u64; PAGE_WORDS]; PAGES];
    let mut other = vec![[1u64; PAGE_WORDS]; PAGES];
    let (ledger, owned) = owned();
    let long = Duration::MAX;
    let fills = [long; FILLS.len()];
    let mut best = Best {
        memcpy: long,
        memcmp: long,
        owner: long,
        write: fills,
        matches: fills,
    };
    for round in 0..ROUNDS {
        let generation = u32::try_from(round).unwrap_or(0);
        for (at, (_, fill)) in FILLS.into_iter().enumerate() {
            let stamp = |page| Stamp {
                run: 1,
                page,
                generation,
                fill,
            };
            fastest(&mut best.write[at], || {
                for (page, to) in (0u32..).zip(arena.iter_mut()) {
                    stamp(black_box(page)).write(to);
                }
                black_box(&mut arena);
            });
            fastest(&mut best.matches[at], || {
                assert!(
                    (0u32..)
                        .zip(black_box(&arena))
                        .all(|(page, found)| stamp(black_box(page)).matches(found))
                );
            });
        }
        fastest(&mut best.memcpy, || {
            for (to, from) in other.iter_mut().zip(black_box(&arena)) {
                to.copy_from_slice(from);
            }
            black_box(&mut other);
        });
        fastest(&mut best.memcmp, || {
            assert!(
                black_box(&arena)
                    .iter()
                    .zip(black_box(&other))
                    .all(|(one, other)| one == other)
            );
        });
        fastest(&mut best.owner, || {
            assert!(
                (0u32..)
                    .zip(black_box(&owned))
                    .all(|(page, found)| ledger.check_owner(page, found).is_ok())
            );
        });
    }
    let speed = |time: Duration| (PAGES * PAGE_WORDS * 8) as f64 / time.as_secs_f64() / 1e9;
    Speeds {
        memcpy: speed(best.memcpy),
        memcmp: speed(best.memcmp),
        owner: speed(best.owner),
        write: best.write.map(speed),
        matches: best.matches.map(speed),
    }
}

/// Pages under a ledger whose fills are mixed: what a workload's owner verifies.
fn owned() -> (Ledger, Vec<Page>) {
    let ledger = Ledger::new(1, 0, PAGES as u32, FillPolicy::Mixed, 7);
    let mut pages = vec![[0u64; PAGE_WORDS]; PAGES];
    for (page, to) in ledger.pages().zip(&mut pages) {
        let intent = ledger.begin(page);
        intent.stamp.write(to);
        intent.commit();
    }
    (ledger, pages)
}

fn fastest(best: &mut Duration, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    *best = (*best).min(start.elapsed());
}
