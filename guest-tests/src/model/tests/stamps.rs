//! Stamps come back as what was written, nothing else is taken for one, and sizes are as promised.

use super::*;
use std::collections::BTreeSet;

proptest! {
    #[test]
    fn every_line_decodes_to_what_was_written(stamp in stamps()) {
        let page = stamped(stamp);
        prop_assert!(stamp.matches(&page));
        for (index, line) in (0u8..).zip(lines(&page)) {
            prop_assert_eq!(*line, stamp.line(index));
            let raw = decode_line(line).expect("a stamp's line decodes");
            let id = raw.completed(stamp.run, stamp.page, stamp.generation);
            prop_assert_eq!((id.run, id.page, id.generation), (stamp.run, stamp.page, stamp.generation));
            prop_assert_eq!(id.wrong_words, 0);
            match (stamp.fill, id.fill) {
                (Fill::Same, LineFill::Same) => prop_assert_eq!(id.line, None),
                (Fill::Lone { line }, LineFill::Same) if line != index => prop_assert_eq!(id.line, None),
                (Fill::Lone { line }, LineFill::Random(0)) if line == index => prop_assert_eq!(id.line, Some(index)),
                (Fill::Random { .. }, LineFill::Random(words)) => {
                    prop_assert_eq!(id.line, Some(index));
                    prop_assert_eq!(words, stamp.fill.random_words_of(index));
                }
                (fill, class) => prop_assert!(false, "{fill:?} decoded as {class:?}"),
            }
        }
    }

    #[test]
    fn any_changed_word_is_noticed(stamp in stamps(), at in 0..PAGE_WORDS, change in 1u64..) {
        let mut page = stamped(stamp);
        page[at] ^= change;
        prop_assert!(!stamp.matches(&page));
    }

    #[test]
    fn another_identity_never_matches(stamp in stamps(), other in stamps()) {
        let narrow = |s: Stamp| (s.run & 0xf, s.page & 0xf_ffff, s.generation & 0xffff);
        prop_assume!(narrow(stamp) != narrow(other));
        prop_assert!(!stamp.matches(&stamped(other)));
        let alike = Stamp { fill: stamp.fill, ..other };
        prop_assert!(!stamp.matches(&stamped(alike)));
    }

    #[test]
    fn damaged_payload_leaves_the_owner_known(stamp in stamps(), wrong in 1usize..6, change in 1u64..) {
        prop_assume!(matches!(stamp.fill, Fill::Random { .. }));
        let mut line = stamp.line(17);
        for word in line.iter_mut().rev().take(wrong) {
            *word ^= change;
        }
        let id = decode_line(&line).expect("one right payload word is enough");
        prop_assert_eq!((id.page, usize::from(id.wrong_words)), (stamp.page, wrong));
    }

    #[test]
    fn random_lines_are_no_stamps(line: [u64; LINE_WORDS], word: u64) {
        prop_assert_eq!(decode_line(&line), None);
        prop_assert_eq!(decode_line(&[word; LINE_WORDS]), None);
    }

    #[test]
    fn a_right_head_with_a_foreign_payload_is_no_stamp(stamp in stamps(), payload: [u64; 6]) {
        prop_assume!(matches!(stamp.fill, Fill::Random { .. }));
        let mut line = stamp.line(3);
        line[2..].copy_from_slice(&payload);
        prop_assert_eq!(decode_line(&line), None);
    }

    #[test]
    fn same_filled_generations_are_completed_to_the_nearest(generation: u32, behind in 0u32..0x7fff) {
        let stamp = Stamp { run: 9, page: 0x0fed_cba9, generation, fill: Fill::Same };
        let id = decode_line(&stamp.line(0)).expect("a stamp's line decodes");
        let near = generation.saturating_add(behind);
        prop_assert_eq!(id.completed(9, 0x0fed_cba9, near).generation, generation);
    }
}

#[test]
fn a_lone_line_is_all_that_keeps_a_page_from_being_same_filled() {
    let stamp = |fill| Stamp {
        run: 1,
        page: 5,
        generation: 7,
        fill,
    };
    let same = stamped(stamp(Fill::Same));
    for line in 0..64 {
        let lone = stamped(stamp(Fill::Lone { line }));
        let differ: Vec<_> = (0..64)
            .filter(|&at| lines(&lone)[at] != lines(&same)[at])
            .collect();
        assert_eq!(differ, [usize::from(line)]);
    }
}

#[test]
fn what_kernels_fill_memory_with_is_no_stamp() {
    for byte in 0..=u8::MAX {
        assert_eq!(
            decode_line(&[u64::from_ne_bytes([byte; 8]); LINE_WORDS]),
            None,
            "byte {byte:#x}"
        );
    }
    for small in 0..100_000 {
        assert_eq!(decode_line(&[small; LINE_WORDS]), None, "word {small}");
    }
}

#[test]
fn same_filled_pages_are_one_word_and_never_zero() {
    let mut words = BTreeSet::new();
    for page in 0..64 {
        for generation in 0..256 {
            let page = stamped(Stamp {
                run: 1,
                page,
                generation,
                fill: Fill::Same,
            });
            assert_ne!(page[0], 0);
            assert!(page.iter().all(|word| *word == page[0]));
            words.insert(page[0]);
        }
    }
    assert_eq!(
        words.len(),
        64 * 256,
        "every page and generation has a word of its own"
    );
}

/// Size under lz4, the largest over a few pages.
fn compressed(fill: Fill) -> usize {
    let size = |page| {
        let page = stamped(Stamp {
            run: 1,
            page,
            generation: 5,
            fill,
        });
        let bytes: Vec<u8> = page.iter().flat_map(|word| word.to_ne_bytes()).collect();
        lz4_flex::block::compress(&bytes).len()
    };
    (0..8).map(size).max().unwrap()
}

#[test]
fn compressed_sizes_follow_the_random_words() {
    assert!(
        (600..900).contains(&compressed(Fill::SMALL)),
        "{}",
        compressed(Fill::SMALL)
    );
    assert!(
        (1800..2300).contains(&compressed(Fill::MEDIUM)),
        "{}",
        compressed(Fill::MEDIUM)
    );
    assert!(
        compressed(Fill::INCOMPRESSIBLE) >= 4096,
        "{}",
        compressed(Fill::INCOMPRESSIBLE)
    );
    let sizes: Vec<_> = (0..=14)
        .map(|step| compressed(Fill::Random { words: step * 32 }))
        .collect();
    for pair in sizes.windows(2) {
        assert!(
            (100..420).contains(&(pair[1] - pair[0])),
            "steps of 32 words: {sizes:?}"
        );
    }
    let (least, most) = (
        compressed(Fill::Random { words: 288 }),
        compressed(Fill::Random { words: 372 }),
    );
    assert!(
        least < 3264 && 3632 < most,
        "zram's huge limits lie within: {least} to {most}"
    );
}
