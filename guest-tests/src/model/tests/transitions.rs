//! Each operation's documented meaning: what may be read afterwards, and what is a lie.

use super::*;

const PAGE: u32 = 5;
const OTHER: u32 = 6;

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

fn zero() -> Box<Page> {
    Box::new([0; PAGE_WORDS])
}

fn is_read(state: &PageState, data: &Page) -> Result<PageState, Class> {
    state.read(&origin(), data).map_err(|mismatch| mismatch.class)
}

fn faults(state: &PageState) -> Result<PageState, Class> {
    state
        .fault(&origin(), Fault::Sigbus)
        .map_err(|mismatch| mismatch.class)
}

fn fresh(backing: Backing) -> PageState {
    PageState::fresh(PAGE, backing, Holds::Stamp(name(OTHER, 3)))
}

/// A page of the kind that holds its own first generation.
fn written(backing: Backing) -> PageState {
    fresh(backing).apply(Op::Store(name(PAGE, 1)))
}

const MISSING: Op = Op::Register(Armed {
    missing: true,
    wp: false,
    minor: false,
});
const WP: Op = Op::Register(Armed {
    missing: false,
    wp: true,
    minor: false,
});
const BACKINGS: [Backing; 3] = [Backing::PrivateAnon, Backing::Shared, Backing::PrivateFile];
const KEEPS: [Keep; 9] = [
    Keep::PageOut,
    Keep::Cold,
    Keep::WillNeed,
    Keep::Protect,
    Keep::Ksm,
    Keep::Compaction,
    Keep::Migration,
    Keep::SwapOff,
    Keep::Reclaim,
];

#[test]
fn what_preserves_content_preserves_all_of_it() {
    for backing in BACKINGS {
        for state in [fresh(backing), written(backing), written(backing).apply(Op::Free)] {
            for keep in KEEPS {
                assert_eq!(state.apply(Op::Keep(keep)), state);
            }
        }
        for op in [
            Op::PopulateRead,
            Op::PopulateWrite,
            Op::Collapse,
            Op::Touch,
            Op::Remap {
                keeps_userfaults: false,
            },
        ] {
            assert_eq!(written(backing).apply(op), written(backing));
        }
    }
}

#[test]
fn dont_need_means_zero_file_or_nothing_by_mapping() {
    let anon = written(Backing::PrivateAnon).apply(Op::DontNeed);
    assert!(is_read(&anon, &zero()).is_ok());
    assert_eq!(is_read(&anon, &held(PAGE, 1)), Err(Class::Resurrected));
    let file = written(Backing::PrivateFile).apply(Op::DontNeed);
    assert!(is_read(&file, &held(OTHER, 3)).is_ok());
    assert!(is_read(&file, &held(PAGE, 1)).is_err());
    assert_eq!(is_read(&file, &zero()), Err(Class::Zeroed));
    let shared = written(Backing::Shared).apply(Op::DontNeed);
    assert!(is_read(&shared, &held(PAGE, 1)).is_ok());
    assert_eq!(is_read(&shared, &zero()), Err(Class::Zeroed));
}

#[test]
fn an_armed_range_faults_where_nothing_is() {
    let armed = written(Backing::PrivateAnon).apply(MISSING);
    assert_eq!(faults(&armed), Err(Class::Faulted));
    let dropped = armed.apply(Op::DontNeed);
    assert!(faults(&dropped).is_ok());
    assert_eq!(is_read(&dropped, &zero()), Err(Class::Resurrected));
    let filled = dropped.apply(Op::Store(name(OTHER, 9)));
    assert!(is_read(&filled, &held(OTHER, 9)).is_ok());
    assert!(is_read(&dropped.apply(Op::ZeroPage), &zero()).is_ok());
    assert!(is_read(&dropped.apply(Op::Unregister), &zero()).is_ok());
}

#[test]
fn a_freed_page_is_old_until_it_is_zero_for_good() {
    let freed = written(Backing::PrivateAnon).apply(Op::Free);
    let still = is_read(&freed, &held(PAGE, 1)).unwrap();
    assert_eq!(still, freed);
    let mut taken_while_copied = held(PAGE, 1);
    splice(&mut taken_while_copied, &zero(), 0..9);
    for reading in [zero(), taken_while_copied] {
        let taken = is_read(&still, &reading).unwrap();
        assert!(is_read(&taken, &held(PAGE, 1)).is_err());
        assert!(is_read(&taken, &zero()).is_ok());
    }
    assert!(is_read(&freed.apply(Op::Store(name(PAGE, 2))), &held(PAGE, 1)).is_err());
}

#[test]
fn the_first_store_fixes_what_a_freed_page_is() {
    let touched = written(Backing::PrivateAnon).apply(Op::Free).apply(Op::Touch);
    let old = is_read(&touched, &held(PAGE, 1)).unwrap();
    assert_eq!(is_read(&old, &zero()), Err(Class::Zeroed));
    let zeroed = is_read(&touched, &zero()).unwrap();
    assert!(is_read(&zeroed, &held(PAGE, 1)).is_err());
    let mut half = held(PAGE, 1);
    splice(&mut half, &zero(), 0..9);
    assert!(is_read(&touched, &half).is_err());
    let armed = written(Backing::PrivateAnon).apply(MISSING).apply(Op::Free);
    assert_eq!(
        is_read(&armed, &zero()),
        Err(Class::Zeroed),
        "taken means missing in an armed range"
    );
    assert!(faults(&armed).is_ok());
    assert_eq!(faults(&armed.apply(Op::Touch)), Err(Class::Faulted));
}

#[test]
fn populating_does_not_fix_a_freed_page() {
    let freed = written(Backing::PrivateAnon).apply(Op::Free);
    assert_eq!(freed.apply(Op::PopulateWrite), freed);
}

#[test]
fn after_a_fork_each_side_resolves_alone() {
    let (parent, child) = written(Backing::PrivateAnon).apply(Op::Free).fork(false);
    let parent = is_read(&parent, &zero()).unwrap();
    assert!(is_read(&parent, &held(PAGE, 1)).is_err());
    assert!(is_read(&child, &held(PAGE, 1)).is_ok());
    let (parent, child) = written(Backing::PrivateAnon)
        .apply(WP)
        .apply(Op::WriteProtect)
        .fork(false);
    assert!(!parent.store_may_succeed() && child.store_may_succeed());
    let (_, child) = parent.fork(true);
    assert!(!child.store_may_succeed());
    let (parent, child) = written(Backing::PrivateAnon).fork(false);
    let parent = parent.apply(Op::Store(name(PAGE, 2)));
    assert!(is_read(&parent, &held(PAGE, 2)).is_ok());
    assert_eq!(
        is_read(&child, &held(PAGE, 2)),
        Err(Class::Foreign),
        "the child sees its parent's later write"
    );
}

#[test]
fn collapse_fills_holes_unless_userfaults_forbid() {
    let armed_after = |state: PageState| state.apply(Op::Collapse).apply(MISSING);
    let anon = armed_after(fresh(Backing::PrivateAnon));
    assert!(faults(&anon).is_ok() && is_read(&anon, &zero()).is_ok());
    let anon = armed_after(fresh(Backing::PrivateAnon).apply(WP));
    assert!(faults(&anon).is_ok());
    assert_eq!(is_read(&anon, &zero()), Err(Class::Resurrected));
    let shared = armed_after(fresh(Backing::Shared).apply(WP));
    assert!(is_read(&shared, &zero()).is_ok());
    let shared = armed_after(fresh(Backing::Shared).apply(MISSING));
    assert!(is_read(&shared, &zero()).is_err());
}

#[test]
fn files_that_shrink_take_private_pages_along_and_holes_do_not() {
    for backing in [Backing::Shared, Backing::PrivateFile] {
        let cut = written(backing).apply(Op::Truncate);
        assert!(faults(&cut).is_ok());
        assert!(is_read(&cut, &zero()).is_err() && is_read(&cut, &held(PAGE, 1)).is_err());
        assert_eq!(cut.apply(Op::Punch), cut);
        assert_eq!(cut.apply(Op::DontNeed), cut);
        let grown = cut.apply(Op::Extend);
        assert!(is_read(&grown, &zero()).is_ok());
        assert_eq!(is_read(&grown, &held(PAGE, 1)), Err(Class::Resurrected));
    }
    assert!(is_read(&written(Backing::PrivateFile).apply(Op::Punch), &held(PAGE, 1)).is_ok());
    assert!(is_read(&fresh(Backing::PrivateFile).apply(Op::Punch), &zero()).is_ok());
    let shared = written(Backing::Shared).apply(Op::Punch);
    assert_eq!(is_read(&shared, &held(PAGE, 1)), Err(Class::Resurrected));
    let anon = written(Backing::PrivateAnon);
    assert_eq!(anon.apply(Op::Truncate), anon);
}

#[test]
fn a_huge_page_across_the_end_of_a_file_may_show_zeros_and_nothing_else() {
    for backing in [Backing::Shared, Backing::PrivateFile] {
        let cut = written(backing).apply(Op::Truncate);
        assert!(is_read(&cut, &zero()).is_err(), "no huge page, no zeros");
        let across = cut.apply(Op::Collapse);
        assert!(is_read(&across, &zero()).is_ok() && faults(&across).is_ok());
        assert_eq!(is_read(&across, &held(PAGE, 1)), Err(Class::Resurrected));
        assert_eq!(is_read(&across, &held(OTHER, 1)), Err(Class::Foreign));
    }
}

#[test]
fn a_private_mapping_shows_the_file_until_it_is_written_to() {
    let mapped = fresh(Backing::PrivateFile);
    assert!(is_read(&mapped, &held(OTHER, 3)).is_ok());
    let changed = mapped.apply(Op::FileStore(name(OTHER, 4)));
    assert!(is_read(&changed, &held(OTHER, 4)).is_ok());
    let own = mapped.apply(Op::Touch).apply(Op::FileStore(name(OTHER, 4)));
    assert!(is_read(&own, &held(OTHER, 3)).is_ok());
    assert_eq!(is_read(&own, &held(OTHER, 4)), Err(Class::Foreign));
}

#[test]
fn protection_holds_for_pages_that_were_there() {
    let there = written(Backing::PrivateAnon).apply(WP);
    assert!(!there.apply(Op::WriteProtect).store_may_succeed());
    assert!(
        there
            .apply(Op::WriteProtect)
            .apply(Op::WriteUnprotect)
            .store_may_succeed()
    );
    assert!(
        there
            .apply(Op::WriteProtect)
            .apply(Op::DontNeed)
            .store_may_succeed()
    );
    assert!(
        there
            .apply(Op::WriteProtect)
            .apply(Op::Remap {
                keeps_userfaults: false
            })
            .store_may_succeed()
    );
    assert!(
        !there
            .apply(Op::WriteProtect)
            .apply(Op::Keep(Keep::PageOut))
            .store_may_succeed()
    );
    let hole = fresh(Backing::PrivateAnon).apply(WP).apply(Op::WriteProtect);
    assert_eq!(hole.protection, Protection::Unspecified);
}

#[test]
fn a_copy_of_a_page_being_written_is_fixed_by_its_first_reading() {
    let copy = fresh(Backing::PrivateAnon).apply(Op::CopyOf {
        page: OTHER,
        from: 3,
        to: 4,
    });
    let mut first = held(OTHER, 3);
    splice(&mut first, &held(OTHER, 4), 7..30);
    let fixed = is_read(&copy, &first).unwrap();
    assert_eq!(is_read(&fixed, &first), Ok(fixed.clone()));
    assert_eq!(is_read(&fixed, &held(OTHER, 4)), Err(Class::Torn));
    let whole = is_read(&copy, &held(OTHER, 4)).unwrap();
    assert_eq!(is_read(&whole, &first), Err(Class::Torn));
    assert!(is_read(&copy, &held(OTHER, 2)).is_err());
    let freed = fixed.apply(Op::Free);
    assert!(is_read(&freed, &first).is_ok() && is_read(&freed, &zero()).is_ok());
}

#[test]
fn a_moved_page_is_on_one_side_only() {
    let source = written(Backing::PrivateAnon);
    let target = PageState::fresh(OTHER, Backing::PrivateAnon, Holds::Zero).apply(MISSING);
    let (left, arrived) = apply_move(&source, &target, Moved::Yes);
    assert!(is_read(&left, &zero()).is_ok() && is_read(&arrived, &held(PAGE, 1)).is_ok());
    assert_eq!(is_read(&left, &held(PAGE, 1)), Err(Class::Resurrected));
    assert_eq!(faults(&arrived), Err(Class::Faulted));
    assert_eq!(arrived.protection, Protection::Unspecified);
    assert_eq!(
        apply_move(&source, &target, Moved::No),
        (source.clone(), target.clone())
    );

    let (left, arrived) = apply_move(&source, &target, Moved::Unknown);
    let stayed = is_read(&left, &held(PAGE, 1)).unwrap();
    let not_arrived = settle_move(&stayed, &arrived);
    assert!(faults(&not_arrived).is_ok() && is_read(&not_arrived, &held(PAGE, 1)).is_err());
    let went = faults(&arrived).unwrap();
    assert_eq!(is_read(&settle_move(&went, &left), &zero()), Err(Class::Zeroed));
    let (left, arrived) = apply_move(&source.apply(Op::Free), &target, Moved::Unknown);
    assert!(is_read(&left, &zero()).is_ok() && is_read(&arrived, &held(PAGE, 1)).is_ok());
}

#[test]
fn move_replies_say_how_many_pages_or_are_impossible() {
    let reply = |errno, moved_bytes| moved_pages(8 * 4096, MoveReply { errno, moved_bytes }).ok();
    let (ebusy, eagain) = (Some(16), Some(11));
    assert_eq!(reply(None, 8 * 4096), Some(8));
    assert_eq!(reply(eagain, 3 * 4096), Some(3));
    assert_eq!(reply(eagain, -11), Some(0));
    assert_eq!(reply(ebusy, -16), Some(0));
    assert_eq!(
        reply(ebusy, 0),
        Some(0),
        "refused before it began: the preset is untouched"
    );
    for impossible in [
        (None, 4096),
        (None, 0),
        (None, 9 * 4096),
        (eagain, 8 * 4096),
        (eagain, 100),
        (ebusy, 4096),
        (ebusy, -11),
    ] {
        assert_eq!(reply(impossible.0, impossible.1), None, "{impossible:?}");
    }
}

#[test]
fn a_block_is_old_or_new_by_sector_after_a_failed_write() {
    let block = BlockState::fresh(PAGE)
        .apply(BlockOp::Written(1))
        .apply(BlockOp::Unsure(2));
    let read =
        |block: BlockState, data: &Page| block.read(&origin(), data).map_err(|mismatch| mismatch.class);
    let mut sectors = held(PAGE, 1);
    splice(&mut sectors, &held(PAGE, 2), 8..24);
    assert!(read(block, &sectors).is_ok());
    splice(&mut sectors, &held(PAGE, 2), 24..25);
    assert_eq!(read(block, &sectors), Err(Class::Torn));
    let fixed = read(block, &held(PAGE, 2)).unwrap();
    assert_eq!(read(fixed, &held(PAGE, 1)), Err(Class::Stale));
    let gone = fixed.apply(BlockOp::Discarded);
    assert!(read(gone, &zero()).is_ok());
    assert_eq!(read(gone, &held(PAGE, 2)), Err(Class::Resurrected));
    let partly = fixed.apply(BlockOp::PartlyDiscarded);
    assert!(read(partly, &held(PAGE, 2)).is_ok() && read(partly, &zero()).is_ok());
    assert_eq!(
        read(BlockState::fresh(PAGE).apply(BlockOp::PartlyDiscarded), &zero()),
        Ok(BlockState::fresh(PAGE))
    );
}
