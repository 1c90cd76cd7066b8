//! A move beside other acts: every legal order is found, and a lie in any answer is caught.

use super::*;
use proptest::prelude::*;

const SOURCE: u32 = 5;
const DESTINATION: u32 = 6;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;

fn origin() -> Origin {
    Origin {
        run: 1,
        seed: 7,
        policy: FillPolicy::Mixed,
    }
}

fn name(page: u32, generation: u32) -> Name {
    Name { page, generation }
}

fn held(page: u32, generation: u32) -> Box<Page> {
    stamped(origin().stamp(page, generation))
}

fn place(page: u32) -> PageState {
    PageState {
        armed: Armed {
            missing: true,
            wp: true,
            minor: false,
        },
        ..PageState::fresh(page, Backing::PrivateAnon, Holds::Hole)
    }
}

/// A page at the source, nothing at the destination.
fn start() -> [PageState; 2] {
    [
        place(SOURCE).apply(Op::Store(name(SOURCE, 1))),
        place(DESTINATION),
    ]
}

fn fought(errno: Option<i32>, holes: bool, acts: &[Act]) -> Result<Vec<[Content; 2]>, Unexplained> {
    let outcomes = duel(&origin(), &start(), OneMove { errno, holes }, acts)?;
    Ok(outcomes
        .into_iter()
        .map(|ends| ends.map(|end| end.content))
        .collect())
}

fn is(page: u32, generation: u32) -> Content {
    Content::Is(Holds::Stamp(name(page, generation)))
}

const HOLE: Content = Content::Is(Holds::Hole);

#[test]
fn alone_a_move_moves_or_does_not() {
    assert_eq!(fought(None, false, &[]), Ok(vec![[HOLE, is(SOURCE, 1)]]));
    assert_eq!(fought(Some(EBUSY), false, &[]), Ok(vec![[is(SOURCE, 1), HOLE]]));
    for lie in [Some(ENOENT), Some(EEXIST), Some(14), Some(22)] {
        assert_eq!(fought(lie, false, &[]), Err(Unexplained::Replies), "{lie:?}");
    }
}

#[test]
fn what_is_filled_again_goes_in_either_order() {
    let again = [
        Act::Drop(Side::Source),
        Act::Fill(Side::Source, name(SOURCE, 2), None),
    ];
    let moved = fought(None, false, &again).unwrap();
    assert_eq!(moved, [[is(SOURCE, 2), is(SOURCE, 1)], [HOLE, is(SOURCE, 2)]]);
    let hole_moved = fought(None, true, &again).unwrap();
    assert!(hole_moved.contains(&[is(SOURCE, 2), HOLE]));
    assert_eq!(
        fought(Some(ENOENT), false, &again),
        Ok(vec![[is(SOURCE, 2), HOLE]])
    );
    assert_eq!(fought(Some(ENOENT), true, &again), Err(Unexplained::Replies));
}

#[test]
fn one_of_two_takes_the_destination() {
    let fill = |errno| [Act::Fill(Side::Destination, name(DESTINATION, 1), errno)];
    assert_eq!(
        fought(None, false, &fill(Some(EEXIST))),
        Ok(vec![[HOLE, is(SOURCE, 1)]])
    );
    let lost = fought(Some(EEXIST), false, &fill(None));
    assert_eq!(lost, Ok(vec![[is(SOURCE, 1), is(DESTINATION, 1)]]));
    assert_eq!(
        fought(None, false, &fill(None)),
        Err(Unexplained::Replies),
        "both say that they did"
    );
}

#[test]
fn readings_tell_when_the_page_went() {
    let seen = |data: Option<Box<Page>>| Act::Read(Side::Source, data);
    let there = held(SOURCE, 1);
    let fine = [seen(Some(there.clone())), seen(None)];
    assert_eq!(fought(None, false, &fine), Ok(vec![[HOLE, is(SOURCE, 1)]]));
    let back = [seen(None), seen(Some(there.clone()))];
    let wrong = fought(None, false, &back).expect_err("it was gone and came back");
    assert!(matches!(wrong, Unexplained::Reading(m) if m.class == Class::Resurrected));
    let wrong = fought(Some(EBUSY), false, &[seen(None)]).expect_err("it never left");
    assert!(matches!(wrong, Unexplained::Reading(m) if m.class == Class::Faulted));
    let both = [
        seen(Some(there.clone())),
        Act::Read(Side::Destination, Some(there)),
    ];
    assert!(fought(None, false, &both).is_ok());
    let reversed: Vec<Act> = both.into_iter().rev().collect();
    assert!(fought(None, false, &reversed).is_err(), "at most one side has it");
}

#[test]
fn poison_stays_where_it_is_until_it_is_dropped_or_filled() {
    let poisoned = place(SOURCE).apply(Op::Poison);
    assert!(poisoned.fault(&origin(), Fault::Sigbus).is_ok());
    assert!(poisoned.read(&origin(), &held(SOURCE, 1)).is_err());
    let zero = poisoned.read(&origin(), &[0; PAGE_WORDS]);
    assert!(zero.is_err(), "poison that reads zero was lost");
    assert_eq!(replied(&poisoned, &place(DESTINATION), None, true), None);
    assert!(replied(&poisoned, &place(DESTINATION), Some(14), false).is_some());
    assert_eq!(
        replied(&start()[0], &poisoned, None, false),
        None,
        "a destination that is taken"
    );
    assert_eq!(poisoned.apply(Op::DontNeed).content, HOLE);
    assert_eq!(poisoned.apply(Op::Free).content, HOLE);
    let filled = fill_replied(&poisoned, name(SOURCE, 3), None).expect("poison is replaced");
    assert_eq!(filled.content, is(SOURCE, 3));
    assert_eq!(fill_replied(&start()[0], name(SOURCE, 3), None), None);
}

#[derive(Debug, Clone, Copy)]
enum Do {
    Read(Side),
    Drop(Side),
    Fill(Side),
}

fn acts() -> impl Strategy<Value = Vec<Do>> {
    let side = || prop_oneof![Just(Side::Source), Just(Side::Destination)];
    let one = prop_oneof![
        side().prop_map(Do::Read),
        side().prop_map(Do::Drop),
        side().prop_map(Do::Fill)
    ];
    proptest::collection::vec(one, 0..6)
}

/// A kernel that is right: does it all in one order, and answers.
fn in_order(plan: &[Do], at: usize, holes: bool) -> (OneMove, Vec<Act>, [Content; 2]) {
    let (mut ends, mut acts, mut errno) = (start(), Vec::new(), None);
    for number in 0..=plan.len() {
        if number == at {
            let [source, destination] = &ends;
            errno = if destination.content != HOLE {
                Some(EEXIST)
            } else if source.content == HOLE && !holes {
                Some(ENOENT)
            } else {
                None
            };
            let after = replied(source, destination, errno, holes).expect("the model takes what is right");
            ends = [after.0, after.1];
        }
        match plan.get(number) {
            Some(Do::Read(side)) => {
                let data = if let Content::Is(Holds::Stamp(of)) = ends[*side as usize].content {
                    Some(held(of.page, of.generation))
                } else {
                    None
                };
                acts.push(Act::Read(*side, data));
            }
            Some(Do::Drop(side)) => {
                ends[*side as usize] = ends[*side as usize].apply(Op::DontNeed);
                acts.push(Act::Drop(*side));
            }
            Some(Do::Fill(side)) => {
                let end = &mut ends[*side as usize];
                let name = name(end.page, 10 + number as u32);
                let errno = (end.content != HOLE).then_some(EEXIST);
                *end = fill_replied(end, name, errno).expect("the model takes what is right");
                acts.push(Act::Fill(*side, name, errno));
            }
            None => {}
        }
    }
    (OneMove { errno, holes }, acts, ends.map(|end| end.content))
}

proptest! {
    #[test]
    fn what_a_right_kernel_does_in_any_order_is_legal(plan in acts(), at in 0usize..7, holes: bool) {
        let at = at.min(plan.len());
        let (moved, acts, ends) = in_order(&plan, at, holes);
        let legal = duel(&origin(), &start(), moved, &acts).expect("it is right");
        prop_assert!(legal.iter().any(|l| l[0].content == ends[0] && l[1].content == ends[1]));
    }

    #[test]
    fn a_page_of_nobody_is_never_legal(plan in acts(), at in 0usize..7, lie in 0usize..6) {
        let at = at.min(plan.len());
        let (moved, mut acts, _) = in_order(&plan, at, false);
        let readings: Vec<usize> = (0..acts.len()).filter(|&n| matches!(acts[n], Act::Read(..))).collect();
        prop_assume!(!readings.is_empty());
        let victim = readings[lie % readings.len()];
        if let Act::Read(_, data) = &mut acts[victim] {
            *data = Some(held(99, 3));
        }
        let caught = matches!(duel(&origin(), &start(), moved, &acts), Err(Unexplained::Reading(_)));
        prop_assert!(caught);
    }
}
