//! A deliberate lie for every class: it is caught, and called by its name.

use super::*;

const RUN: u32 = 3;
const PAGE: u32 = 17;
const NOW: u32 = 12;

fn origin(policy: FillPolicy) -> Origin {
    Origin {
        run: RUN,
        seed: 99,
        policy,
    }
}

fn policies() -> impl Strategy<Value = FillPolicy> {
    prop_oneof![
        Just(FillPolicy::Mixed),
        fills().prop_map(FillPolicy::Fixed),
        (fills(), fills()).prop_map(|(even, odd)| FillPolicy::Alternate { even, odd }),
    ]
}

/// Judges a page that must hold generation [`NOW`].
fn lie(policy: FillPolicy, data: &Page) -> Mismatch {
    lie_to(policy, &Legal::generation(NOW), data)
}

fn lie_to(policy: FillPolicy, legal: &Legal, data: &Page) -> Mismatch {
    *judge(&origin(policy), PAGE, legal, data).expect_err("the lie is caught")
}

fn held(policy: FillPolicy, page: u32, generation: u32) -> Box<Page> {
    stamped(origin(policy).stamp(page, generation))
}

proptest! {
    #[test]
    fn the_truth_is_accepted(policy in policies(), generation: u32) {
        let legal = Legal::generation(generation);
        let verified = judge(&origin(policy), PAGE, &legal, &held(policy, PAGE, generation));
        prop_assert_eq!(verified, Ok(Verified::Whole(Held::Generation(generation))));
    }

    #[test]
    fn an_older_generation_is_stale(policy in policies(), generation in 1..NOW) {
        let found = lie(policy, &held(policy, PAGE, generation));
        prop_assert_eq!(found.class, Class::Stale);
        prop_assert_eq!(found.behind, Some(NOW - generation));
        prop_assert_eq!(found.found.len(), 1);
    }

    #[test]
    fn another_page_is_foreign(policy in policies(), page in 0u32..1 << 20, generation in 1u32..60_000) {
        prop_assume!(page != PAGE);
        let found = lie(policy, &held(policy, page, generation));
        prop_assert_eq!(found.class, Class::Foreign);
        let owner = Owner::Stamp { run: RUN, page, generation, displaced: false, damaged: false };
        // Same-filled stamps carry 16 bits of the generation, which are completed near the expected one.
        let near = generation.abs_diff(NOW) < 1 << 15;
        prop_assert!(!near || found.found == [Lines { from: 0, to: 63, owner }], "{:?}", found.found);
    }

    #[test]
    fn another_run_and_a_generation_of_the_future_are_foreign(policy in policies(), ahead in 1u32..1000) {
        let other = Origin { run: RUN + 1, ..origin(policy) };
        prop_assert_eq!(lie(policy, &stamped(other.stamp(PAGE, NOW))).class, Class::Foreign);
        prop_assert_eq!(lie(policy, &held(policy, PAGE, NOW + ahead)).class, Class::Foreign);
    }

    #[test]
    fn two_generations_are_torn(policy in policies(), old in 1..NOW, from in 0usize..64, len in 1usize..64) {
        let mut page = held(policy, PAGE, NOW);
        splice(&mut page, &held(policy, PAGE, old), from..(from + len).min(64));
        let found = lie(policy, &page);
        let class = if from == 0 && len == 64 { Class::Stale } else { Class::Torn };
        prop_assert_eq!(found.class, class);
        prop_assert_eq!(found.behind, Some(NOW - old));
    }

    #[test]
    fn lines_of_two_pages_are_spliced(policy in policies(), from in 0usize..63, len in 1usize..63) {
        let mut page = held(policy, PAGE, NOW);
        splice(&mut page, &held(policy, 403, 9), from..(from + len).min(63));
        prop_assert_eq!(lie(policy, &page).class, Class::Spliced);
    }

    #[test]
    fn lines_in_wrong_places_are_spliced(words in 0..=RANDOM_WORDS_MAX, one in 0usize..64, other in 0usize..64) {
        prop_assume!(one != other);
        let policy = FillPolicy::Fixed(Fill::Random { words });
        let mut page = held(policy, PAGE, NOW);
        page.as_chunks_mut::<LINE_WORDS>().0.swap(one, other);
        let found = lie(policy, &page);
        prop_assert_eq!(found.class, Class::Spliced);
        let displaced = |lines: &Lines| matches!(lines.owner, Owner::Stamp { displaced: true, .. });
        prop_assert_eq!(found.found.iter().filter(|lines| displaced(lines)).count(), if one.abs_diff(other) == 1 { 1 } else { 2 });
    }

    #[test]
    fn zero_is_zeroed_in_whole_or_in_part(policy in policies(), from in 0usize..64, len in 1usize..64) {
        prop_assert_eq!(lie(policy, &[0; PAGE_WORDS]).class, Class::Zeroed);
        let mut page = held(policy, PAGE, NOW);
        splice(&mut page, &[0; PAGE_WORDS], from..(from + len).min(64));
        prop_assert_eq!(lie(policy, &page).class, Class::Zeroed);
    }

    #[test]
    fn dropped_data_that_is_back_is_resurrected(policy in policies(), old in 1..NOW, lines in 1usize..=64) {
        let mut page = Box::new([0; PAGE_WORDS]);
        splice(&mut page, &held(policy, PAGE, old), 0..lines);
        prop_assert_eq!(lie_to(policy, &Legal::zero(NOW), &page).class, Class::Resurrected);
        let rewritten = Legal { dropped: NOW - 1, ..Legal::generation(NOW) };
        prop_assert_eq!(lie_to(policy, &rewritten, &held(policy, PAGE, old)).class, Class::Resurrected);
    }

    #[test]
    fn few_flipped_bits_are_counted_and_placed(policy in policies(), bits in proptest::collection::btree_set(0u16..32768, 1..=16)) {
        let mut page = held(policy, PAGE, NOW);
        flip(&mut page, &bits);
        let found = lie(policy, &page);
        prop_assert_eq!(found.class, Class::Flipped);
        let flips = found.flips.expect("flipped bits are told");
        prop_assert_eq!(flips.bits as usize, bits.len());
        let first: Vec<u16> = bits.iter().copied().take(FLIPPED_PLACES_MAX).collect();
        prop_assert_eq!(flips.places, first);

        let mut zero = Box::new([0; PAGE_WORDS]);
        flip(&mut zero, &bits);
        prop_assert_eq!(lie_to(policy, &Legal::zero(NOW), &zero).class, Class::Flipped);
    }

    #[test]
    fn poison_is_recognised(policy in policies(), byte in proptest::sample::select(POISON_BYTES.to_vec()), lines in 1usize..=64) {
        let mut page = held(policy, PAGE, NOW);
        let mut poison = [u64::from_ne_bytes([byte; 8]); PAGE_WORDS];
        poison[lines * LINE_WORDS - 1] = u64::from_ne_bytes([byte, byte, byte, byte, byte, byte, byte, 0xa5]);
        splice(&mut page, &poison, 0..lines);
        let found = lie(policy, &page);
        prop_assert_eq!(found.class, Class::Poison);
        prop_assert_eq!(found.found[0].owner, Owner::Poison { byte });
    }

    #[test]
    fn anything_else_is_garbage(policy in policies(), seed: u64, lines in 1usize..=64) {
        let mut page = held(policy, PAGE, NOW);
        let junk: Vec<u64> = (0..PAGE_WORDS as u64).map(|at| (seed ^ at).wrapping_mul(0x2545_f491_4f6c_dd1d) | 1).collect();
        splice(&mut page, junk.as_slice().try_into().unwrap(), 0..lines);
        prop_assert_eq!(lie(policy, &page).class, Class::Garbage);
    }

    #[test]
    fn a_line_torn_between_generations_is_torn(words in 0..=RANDOM_WORDS_MAX, old in 5..NOW, line in 0usize..64, cut in 3usize..8) {
        let policy = FillPolicy::Fixed(Fill::Random { words });
        let mut page = held(policy, PAGE, NOW);
        let older = held(policy, PAGE, old);
        let words = line * LINE_WORDS + cut..(line + 1) * LINE_WORDS;
        page[words.clone()].copy_from_slice(&older[words]);
        prop_assert_eq!(lie(policy, &page).class, Class::Torn);
    }

    #[test]
    fn whatever_a_page_holds_the_mismatch_is_bounded(policy in policies(), donors in proptest::collection::vec(0u32..6, 64)) {
        let mut page = held(policy, PAGE, NOW);
        for (line, donor) in donors.iter().enumerate() {
            splice(&mut page, &held(policy, 400 + donor, 9), line..line + 1);
        }
        let found = lie(policy, &page);
        prop_assert_eq!(found.class, Class::Foreign);
        prop_assert_eq!(usize::from(found.found[0].from), 0);
        prop_assert!(found.found.windows(2).all(|pair| pair[0].to + 1 == pair[1].from && pair[0].owner != pair[1].owner));
        prop_assert_eq!(found.found.last().unwrap().to, 63);
        let json = serde_json::to_string(&found).unwrap();
        prop_assert!(json.len() < 8192, "{} bytes", json.len());
        prop_assert_eq!(serde_json::from_str::<Mismatch>(&json).unwrap(), found);
    }
}

fn flip(page: &mut Page, bits: &std::collections::BTreeSet<u16>) {
    for &bit in bits {
        let (word, byte) = (usize::from(bit) / 64, usize::from(bit) / 8 % 8);
        let mut mask = [0u8; 8];
        mask[byte] = 1 << (bit % 8);
        page[word] ^= u64::from_ne_bytes(mask);
    }
}

#[test]
fn a_fault_is_faulted_unless_it_is_legal() {
    let origin = origin(FillPolicy::Mixed);
    let legal = Legal::generation(NOW);
    let found = judge_fault(&origin, PAGE, &legal, Fault::Sigbus).expect_err("the fault is caught");
    assert_eq!((found.class, found.fault), (Class::Faulted, Some(Fault::Sigbus)));
    let may_fault = Legal { fault: true, ..legal };
    assert_eq!(
        judge_fault(&origin, PAGE, &may_fault, Fault::Sigbus),
        Ok(Verified::Faulted)
    );
}

#[test]
fn the_first_wrong_line_is_kept_as_it_was_read() {
    let mut page = held(FillPolicy::Mixed, PAGE, NOW);
    page[5 * LINE_WORDS..6 * LINE_WORDS].fill(0);
    let sample = lie(FillPolicy::Mixed, &page).sample.expect("data has a sample");
    assert_eq!((sample.line, sample.hex), (5, "00".repeat(64)));
}
