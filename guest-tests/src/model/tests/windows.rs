//! The ledger's rules: what is legal before, during and after a change, seen by owner and reader.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PAGE: u32 = 1003;

fn ledger(policy: FillPolicy) -> Ledger {
    Ledger::new(3, 1000, 8, policy, 42)
}

/// Writes and commits the page's next generation; returns its content.
fn write(ledger: &Ledger) -> Box<Page> {
    let intent = ledger.begin(PAGE);
    let page = stamped(intent.stamp);
    intent.commit();
    page
}

fn destroy(ledger: &Ledger, how: Destroy) {
    ledger.begin_destroy(PAGE, how).commit();
}

/// Judges a copy that was made at rest, as reader and as owner: they must agree.
fn at_rest(ledger: &Ledger, data: &Page) -> Result<Verified, Class> {
    let reader = ledger.check(PAGE, ledger.window_before(PAGE), data);
    let owner = ledger.check_owner(PAGE, data);
    assert_eq!(reader, owner);
    owner.map_err(|mismatch| mismatch.class)
}

const ZERO: &Page = &[0; PAGE_WORDS];

#[test]
fn a_fresh_page_is_zero_and_nothing_else() {
    let ledger = ledger(FillPolicy::Mixed);
    assert_eq!(at_rest(&ledger, ZERO), Ok(Verified::Whole(Held::Zero)));
    let never_written = stamped(ledger.origin().stamp(PAGE, 1));
    assert_eq!(at_rest(&ledger, &never_written), Err(Class::Foreign));
}

#[test]
fn at_rest_only_the_committed_generation_is_legal() {
    let ledger = ledger(FillPolicy::Mixed);
    let first = write(&ledger);
    assert_eq!(at_rest(&ledger, &first), Ok(Verified::Whole(Held::Generation(1))));
    let second = write(&ledger);
    assert_eq!(
        at_rest(&ledger, &second),
        Ok(Verified::Whole(Held::Generation(2)))
    );
    assert_eq!(at_rest(&ledger, &first), Err(Class::Stale));
    assert_eq!(at_rest(&ledger, ZERO), Err(Class::Zeroed));
}

#[test]
fn a_write_in_flight_allows_both_generations_and_their_mixture() {
    let ledger = ledger(FillPolicy::Mixed);
    let oldest = write(&ledger);
    let old = write(&ledger);
    let before = ledger.window_before(PAGE);
    let intent = ledger.begin(PAGE);
    let new = stamped(intent.stamp);
    let mut half = old.clone();
    splice(&mut half, &new, 10..40);
    for legal in [&old, &new, &half] {
        assert!(ledger.check(PAGE, before, legal).is_ok());
    }
    let mut within_a_line = old.clone();
    within_a_line[..13].copy_from_slice(&new[..13]);
    let torn = ledger
        .check(PAGE, before, &within_a_line)
        .expect("a line caught half-way is legal");
    assert!(matches!(torn, Verified::Mixed(held) if held[1] == Held::Torn { oldest: 2 }));
    within_a_line[13] ^= 1 << 20;
    within_a_line[200] ^= 1 << 20;
    assert_eq!(
        ledger.check(PAGE, before, &within_a_line).unwrap_err().class,
        Class::Flipped
    );
    let mut older = half.clone();
    splice(&mut older, &oldest, 63..64);
    assert_eq!(ledger.check(PAGE, before, &older).unwrap_err().class, Class::Torn);
    assert_eq!(ledger.check(PAGE, before, ZERO).unwrap_err().class, Class::Zeroed);
    intent.commit();
    assert!(
        ledger.check(PAGE, before, &half).is_ok(),
        "the copy may have been made before the commit"
    );
    assert_eq!(
        ledger
            .check(PAGE, ledger.window_before(PAGE), &half)
            .unwrap_err()
            .class,
        Class::Torn
    );
    assert_eq!(
        ledger
            .check(PAGE, ledger.window_before(PAGE), &old)
            .unwrap_err()
            .class,
        Class::Stale
    );
}

#[test]
fn a_reader_that_slept_through_writes_may_have_seen_any_of_them() {
    let ledger = ledger(FillPolicy::Mixed);
    let too_old = write(&ledger);
    write(&ledger);
    let before = ledger.window_before(PAGE);
    let passed: Vec<_> = (0..20).map(|_| write(&ledger)).collect();
    for page in &passed {
        assert!(ledger.check(PAGE, before, page).is_ok());
    }
    let mut mixture = passed[3].clone();
    splice(&mut mixture, &passed[17], 20..50);
    assert!(ledger.check(PAGE, before, &mixture).is_ok());
    assert!(ledger.check(PAGE, before, &too_old).is_err());
}

#[test]
fn a_write_that_was_never_committed_stays_possible() {
    let ledger = ledger(FillPolicy::Mixed);
    let old = write(&ledger);
    let abandoned = ledger.begin(PAGE);
    let new = stamped(abandoned.stamp);
    std::mem::drop(abandoned);
    assert!(at_rest(&ledger, &old).is_ok() && at_rest(&ledger, &new).is_ok());
    let next = write(&ledger);
    assert!(at_rest(&ledger, &next).is_ok());
    assert_eq!(at_rest(&ledger, &new), Err(Class::Stale));
}

#[test]
fn dont_need_leaves_zero_and_what_comes_back_is_resurrected() {
    let ledger = ledger(FillPolicy::Mixed);
    let old = write(&ledger);
    let before = ledger.window_before(PAGE);
    let intent = ledger.begin_destroy(PAGE, Destroy::DontNeed);
    assert!(ledger.check(PAGE, before, &old).is_ok() && ledger.check(PAGE, before, ZERO).is_ok());
    intent.commit();
    assert_eq!(at_rest(&ledger, ZERO), Ok(Verified::Whole(Held::Zero)));
    assert_eq!(at_rest(&ledger, &old), Err(Class::Resurrected));
    let new = write(&ledger);
    assert_eq!(at_rest(&ledger, &new), Ok(Verified::Whole(Held::Generation(3))));
    assert_eq!(at_rest(&ledger, &old), Err(Class::Resurrected));
    assert_eq!(at_rest(&ledger, ZERO), Err(Class::Zeroed));
    assert!(
        ledger.check(PAGE, before, ZERO).is_ok(),
        "the copy may have been made between drop and write"
    );
}

#[test]
fn a_freed_page_is_old_or_zero_and_zero_is_for_good() {
    let ledger = ledger(FillPolicy::Mixed);
    let older = write(&ledger);
    let old = write(&ledger);
    destroy(&ledger, Destroy::Free);
    assert_eq!(at_rest(&ledger, &old), Ok(Verified::Whole(Held::Generation(2))));
    assert_eq!(at_rest(&ledger, &older), Err(Class::Stale));
    let mut taken_while_copied = old.clone();
    splice(&mut taken_while_copied, ZERO, 33..64);
    let reader = ledger.check(PAGE, ledger.window_before(PAGE), &taken_while_copied);
    assert!(matches!(reader, Ok(Verified::Mixed(_))));
    assert!(ledger.check_owner(PAGE, ZERO).is_ok());
    assert_eq!(at_rest(&ledger, &old), Err(Class::Resurrected));
    let before = ledger.window_before(PAGE);
    let intent = ledger.begin(PAGE);
    let new = stamped(intent.stamp);
    assert!(ledger.check(PAGE, before, ZERO).is_ok() && ledger.check(PAGE, before, &new).is_ok());
    assert_eq!(
        ledger.check(PAGE, before, &old).unwrap_err().class,
        Class::Resurrected
    );
    intent.commit();
    assert_eq!(at_rest(&ledger, &new), Ok(Verified::Whole(Held::Generation(3))));
    assert_eq!(at_rest(&ledger, &old), Err(Class::Resurrected));
    assert_eq!(at_rest(&ledger, ZERO), Err(Class::Zeroed));
}

#[test]
fn a_reader_never_sees_a_line_go_back() {
    let ledger = ledger(FillPolicy::Mixed);
    let old = write(&ledger);
    let before = ledger.window_before(PAGE);
    let new = write(&ledger);
    let mut half = old.clone();
    splice(&mut half, &new, 0..20);
    let mut other_half = old.clone();
    splice(&mut other_half, &new, 10..64);
    let seen = &mut Seen::new(&ledger);
    assert!(ledger.check_seen(PAGE, before, &old, seen).is_ok());
    assert!(ledger.check_seen(PAGE, before, &half, seen).is_ok());
    let back = ledger.check_seen(PAGE, before, &other_half, seen).unwrap_err();
    assert_eq!(
        (back.class, back.expected),
        (
            Class::Torn,
            Expected::NotBefore {
                line: 0,
                from: 2,
                to: 2
            }
        )
    );
    assert!(
        ledger.check(PAGE, before, &other_half).is_ok(),
        "another reader may see it so"
    );
    assert!(ledger.check_seen(PAGE, before, &new, seen).is_ok());
    assert_eq!(
        ledger.check_seen(PAGE, before, &old, seen).unwrap_err().class,
        Class::Stale
    );
}

#[test]
fn a_reader_never_sees_dropped_data_again() {
    let ledger = ledger(FillPolicy::Mixed);
    let old = write(&ledger);
    let before = ledger.window_before(PAGE);
    destroy(&ledger, Destroy::DontNeed);
    let seen = &mut Seen::new(&ledger);
    assert!(ledger.check_seen(PAGE, before, &old, seen).is_ok());
    assert!(ledger.check_seen(PAGE, before, ZERO, seen).is_ok());
    assert_eq!(
        ledger.check_seen(PAGE, before, &old, seen).unwrap_err().class,
        Class::Resurrected
    );
    let new = write(&ledger);
    assert!(ledger.check_seen(PAGE, before, &new, seen).is_ok());
    assert_eq!(
        ledger.check_seen(PAGE, before, ZERO, seen).unwrap_err().class,
        Class::Zeroed
    );
    destroy(&ledger, Destroy::Free);
    for legal in [&*new, &*new, ZERO, ZERO] {
        assert!(
            ledger
                .check_seen(PAGE, ledger.window_before(PAGE), legal, seen)
                .is_ok()
        );
    }
    let back = ledger
        .check_seen(PAGE, ledger.window_before(PAGE), &new, seen)
        .unwrap_err();
    assert_eq!(back.class, Class::Resurrected);
}

#[test]
#[should_panic(expected = "two writers")]
fn a_second_writer_is_our_own_bug_and_stops_the_run() {
    let ledger = ledger(FillPolicy::Mixed);
    let one = ledger.begin(PAGE);
    let other = ledger.begin(PAGE);
    other.commit();
    one.commit();
}

/// A page that threads may really race on: each word is an atomic.
fn copy(memory: &[AtomicU64]) -> Box<Page> {
    let words: Vec<u64> = memory.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    words.into_boxed_slice().try_into().expect("a page of words")
}

#[test]
fn concurrent_readers_never_blame_an_honest_writer() {
    let ledger = ledger(FillPolicy::Mixed);
    let memory: Vec<AtomicU64> = (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let seen = &mut Seen::new(&ledger);
                while !done.load(Ordering::Relaxed) {
                    let before = ledger.window_before(PAGE);
                    let data = copy(&memory);
                    if let Err(mismatch) = ledger.check_seen(PAGE, before, &data, seen) {
                        done.store(true, Ordering::Relaxed);
                        panic!("{mismatch}");
                    }
                }
            });
        }
        for round in 0..20_000 {
            if round % 7 == 3 {
                let intent = ledger.begin_destroy(PAGE, Destroy::DontNeed);
                memory.iter().for_each(|word| word.store(0, Ordering::Relaxed));
                intent.commit();
            } else {
                let intent = ledger.begin(PAGE);
                for (word, right) in memory.iter().zip(stamped(intent.stamp).iter()) {
                    word.store(*right, Ordering::Relaxed);
                }
                intent.commit();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
