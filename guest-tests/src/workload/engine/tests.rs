//! Every operation that the host's kernel allows, against the model; and lies, which are caught.

use super::log::Entry;
use super::owner::Stopped;
use super::step::{Act, Mix, Step};
use super::*;
use proptest::prelude::*;
use std::sync::atomic::Ordering;

fn engine(owners: usize, seed: u64) -> Engine {
    let mut engine = Engine::new(owners, 3, seed, "balanced").unwrap();
    if seed.is_multiple_of(2) {
        engine.on_disk(&std::env::temp_dir());
    }
    engine
}

fn owner(engine: &Engine, seed: u64) -> Owner<'_> {
    Owner::new(engine, 0, None, 0, seed).unwrap()
}

fn step(text: &str) -> Step {
    text.parse().unwrap()
}

fn drawn(seed: u64, mix: Mix, n: usize) -> Vec<Step> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    (0..n)
        .map(|_| Step::draw(mix, &REGIONS.map(|(_, pages)| pages), &mut rng))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_done_to_it_memory_holds_what_the_model_says(
        seed: u64,
        mix in prop_oneof![Just(Mix::Balanced), Just(Mix::Destructive), Just(Mix::Swapping), Just(Mix::Huge)],
    ) {
        let engine = engine(1, seed);
        let mut owner = owner(&engine, seed);
        for step in drawn(seed, mix, 600) {
            let outcome = owner.carry_out(step);
            prop_assert!(outcome.is_ok(), "{step}: {outcome:?} {:?}\n{}", owner.found, engine.log.text());
        }
        prop_assert!(owner.survey().is_ok(), "{:?}\n{}", owner.found, engine.log.text());
        prop_assert!(engine.counts.verified.load(Ordering::Relaxed) > 1000);
    }

    #[test]
    fn triples_hold_without_pressure_too(seed: u64) {
        let engine = engine(1, seed);
        let mut owner = owner(&engine, seed);
        for _ in 0..8 {
            let outcome = owner.next_triples();
            prop_assert!(outcome.is_ok(), "{outcome:?} {:?}\n{}", owner.found, engine.log.text());
        }
    }
}

/// Has an owner with a witness do something.
fn with_a_witness<T>(seed: u64, act: impl FnOnce(&Engine, &mut Owner<'_>) -> T) -> T {
    crate::sys::board::Board::make().unwrap().catch_faults().unwrap();
    let (engine, witness) = (engine(1, seed), Witness::default());
    std::thread::scope(|scope| {
        let _over = OverOnDrop(&witness);
        scope.spawn(|| witness.work(&engine.field));
        let mut owner = owner(&engine, seed);
        owner.witness = Some(&witness);
        act(&engine, &mut owner)
    })
}

#[test]
fn what_is_promised_holds_on_another_cpu_too() {
    for (seed, mix) in [(1, Mix::Balanced), (2, Mix::Destructive), (3, Mix::Huge)] {
        with_a_witness(seed, |engine, owner| {
            for step in drawn(seed, mix, 1500) {
                let outcome = owner.carry_out_watched(step);
                assert!(
                    outcome.is_ok(),
                    "{step}: {outcome:?} {:?}\n{}",
                    owner.found,
                    engine.log.text()
                );
            }
            assert!(owner.survey().is_ok(), "{:?}", owner.found);
            assert!(engine.counts.watched.load(Ordering::Relaxed) > 100);
        });
    }
}

#[test]
fn a_promise_that_does_not_hold_on_another_cpu_is_told() {
    use super::promise::Tally;
    use super::witness::Look;
    // A page that was to be moved away, and one that was counted in: nothing of the kind happened.
    with_a_witness(1, |engine, owner| {
        owner.carry_out(step("0:0+4store")).unwrap();
        let plot = owner.regions[0].plot();
        let (_, sight) = owner.watched((plot, 1), Look::Load, |_| ());
        let sight = sight.unwrap();
        assert!(matches!(owner.judge_emptied(0, 1, &sight), Err(Stopped::Found)));
        assert_eq!(owner.found[0].class, crate::model::Class::Resurrected);

        let mut was = [0; crate::sys::arena::PAGE_WORDS];
        engine.field.read(plot, 2, &mut was);
        let (page, word, from) = (2, 9, 7 << 32);
        let tally = Tally {
            page,
            word,
            was: was[word],
            from,
        };
        let (_, sight) = owner.watched((plot, page), tally.look(), |_| ());
        let sight = sight.unwrap();
        assert!(owner.judge_count(0, tally, &sight).is_ok());
        // The last store is lost; or all of them.
        for there in [sight.last - 1, was[word]] {
            engine.field.poke(plot, page, word, there);
            let outcome = owner.judge_count(0, tally, &sight);
            assert!(matches!(outcome, Err(Stopped::Found)), "{there}");
        }

        // Stores that the witness was told of and could not see, and one that is not there.
        let tells = |owner: &mut Owner<'_>| owner.witness.unwrap().tell(from + 2);
        let (_, sight) = owner.watched((plot, page), tally.follow(), tells);
        for (stored, sight) in [(from, sight), (from + 1, None)] {
            let outcome = owner.judge_followed(0, tally, stored, sight);
            assert!(matches!(outcome, Err(Stopped::Found)), "{stored}");
        }

        // A child that sees more than there was when it was forked.
        owner.carry_out(step("0:0+4store")).unwrap();
        engine.field.read(plot, page, &mut was);
        let tally = Tally {
            was: was[word],
            ..tally
        };
        engine.field.poke(plot, page, word, from + 8);
        for (newest, is_right) in [(from + 8, true), (from + 7, false)] {
            let mut child = owner.fork_child(0, 0..4).unwrap().unwrap();
            child.counted = Some((tally, newest));
            assert_eq!(owner.end_child(0, child).is_ok(), is_right);
        }
    });
}

#[test]
fn a_pinned_page_that_is_another_one_afterwards_is_told() {
    use crate::model::Class;
    use crate::sys::field::Ask;
    let engine = engine(1, 1);
    let mut owner = owner(&engine, 1);
    let Some(mut pins) = owner.pins.take() else {
        eprintln!("this kernel has no io_uring, or forbids it");
        return;
    };
    owner.carry_out(step("0:0+4store")).unwrap();
    let plot = owner.regions[0].plot();
    pins.pin(&engine.field, plot, &(0..2)).unwrap();
    owner.fill(&mut pins, 0, &(0..2)).unwrap();
    owner.carry_out(step("0:0+2verify")).unwrap();
    owner.carry_out(step("0:0+2store")).unwrap();
    owner.drain(&mut pins, 0, &(0..2)).unwrap();
    // Another page of the same content, as if it had been collapsed or migrated.
    let mut page = [0; crate::sys::arena::PAGE_WORDS];
    engine.field.read(plot, 1, &mut page);
    engine.field.ask(plot, 1..2, Ask::DontNeed).unwrap();
    engine.field.write(plot, 1, &page);
    owner.drain(&mut pins, 0, &(0..2)).unwrap();
    owner.fill(&mut pins, 0, &(0..2)).unwrap();
    assert!(matches!(
        owner.carry_out(step("0:0+2verify")),
        Err(Stopped::Found)
    ));
    assert_eq!(owner.found[0].class, Class::Stale);
    owner.carry_out(step("0:0+2store")).unwrap();
    assert!(matches!(owner.drain(&mut pins, 0, &(0..2)), Err(Stopped::Found)));
}

#[test]
fn every_act_is_carried_out_on_every_region() {
    carry_everything_out(1);
    // With a file on a disk.
    carry_everything_out(2);
}

fn carry_everything_out(seed: u64) {
    let engine = engine(1, seed);
    let mut owner = owner(&engine, seed);
    for region in 0..REGIONS.len() {
        for act in Act::ALL {
            let step = Step {
                region: region as u8,
                page: 3,
                pages: 9,
                act,
            };
            assert!(owner.carry_out(step).is_ok(), "{step}");
            assert!(owner.survey().is_ok(), "{step}: {:?}", owner.found);
        }
    }
    let refused: Vec<Entry> = engine
        .log
        .entries()
        .into_iter()
        .filter(|e| e.errno != 0)
        .collect();
    // The host may refuse to collapse, to clear soft-dirty bits and to compact; nothing else.
    let may = |e: &Entry| matches!(e.step.act, Act::Collapse | Act::ClearRefs | Act::Compact);
    assert!(refused.iter().all(may), "{}", super::log::write(&refused));
}

/// Does `steps`, then `lie`, and expects the next look at region 0 to find it.
fn caught(steps: &[&str], lie: impl FnOnce(&Engine, usize)) -> crate::model::Class {
    let engine = engine(1, 1);
    let mut owner = owner(&engine, 1);
    for text in steps {
        owner.carry_out(step(text)).unwrap();
    }
    lie(&engine, owner.regions[0].plot());
    let outcome = owner.survey();
    assert!(matches!(outcome, Err(Stopped::Found)), "{steps:?}: not caught");
    owner.found[0].class
}

#[test]
fn lies_are_caught_and_called_by_their_names() {
    use crate::model::Class;
    use crate::sys::arena::PAGE_WORDS;
    let copy = |from: usize, to: usize| {
        move |engine: &Engine, plot: usize| {
            let mut page = [0; PAGE_WORDS];
            engine.field.read(plot, from, &mut page);
            engine.field.write(plot, to, &page);
        }
    };
    let zero = |engine: &Engine, plot: usize| engine.field.write(plot, 1, &[0; PAGE_WORDS]);
    let stamped = |generation| {
        move |engine: &Engine, plot: usize| {
            let mut page = [0; PAGE_WORDS];
            engine
                .origin
                .stamp(first_page(0, 0) + 1, generation)
                .write(&mut page);
            engine.field.write(plot, 1, &page);
        }
    };
    assert_eq!(caught(&["0:0+8store"], copy(2, 1)), Class::Foreign);
    assert_eq!(caught(&["0:0+8store"], zero), Class::Zeroed);
    assert_eq!(caught(&["0:0+8store", "0:0+8store"], stamped(1)), Class::Stale);
    assert_eq!(
        caught(&["0:0+8store", "0:0+8dontneed"], stamped(1)),
        Class::Resurrected
    );
    assert_eq!(
        caught(&["0:0+8store", "0:0+8free", "0:0+8store"], stamped(1)),
        Class::Stale
    );
    assert_eq!(
        caught(&["0:0+8store", "0:0+8free", "0:0+8verify"], copy(2, 1)),
        Class::Foreign
    );
    assert_eq!(caught(&["0:0+8store", "0:0+8mremap"], copy(2, 1)), Class::Foreign);
    assert_eq!(caught(&["0:0+8store", "0:1+8fork"], stamped(1)), Class::Stale);
    assert_eq!(
        caught(&["0:0+8store"], |engine, plot| engine
            .field
            .poke(plot, 1, 9, 0xdead)),
        Class::Garbage
    );
}

#[test]
fn a_log_is_replayed_in_its_order() {
    let first = engine(2, 5);
    let mut owners = [owner(&first, 1), Owner::new(&first, 1, None, 0, 2).unwrap()];
    for (at, step) in drawn(9, Mix::Balanced, 400).into_iter().enumerate() {
        owners[at % 2].carry_out(step).unwrap();
    }
    let text = first.log.text();
    drop(owners);
    let second = engine(2, 5);
    let entries = super::log::parse(&text).unwrap();
    assert_eq!(replay::run(&second, &entries).unwrap(), []);
    let steps = |log: &Log| {
        log.entries()
            .iter()
            .map(|e| (e.owner, e.step))
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(&first.log), steps(&second.log));
}

#[test]
fn a_log_of_somewhere_else_is_refused() {
    let engine = engine(1, 1);
    for text in ["7/0:0+1store", "0/9:0+1store", "0/0:500+40store"] {
        let entries = super::log::parse(text).unwrap();
        assert!(replay::run(&engine, &entries).is_err(), "{text}");
    }
}
