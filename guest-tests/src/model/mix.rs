//! Keyed bijections of 64-bit words: they make identities look random and give them back.
//!
//! Not cryptography: the only adversary is a kernel that mixes pages up.

/// The golden ratio's odd fraction, a step that visits words far apart.
pub(super) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const M1: u64 = 0xd1b5_4a32_d192_ed03;
const M2: u64 = 0xaef1_7502_108e_f2d9;
const M1_INVERSE: u64 = inverse(M1);
const M2_INVERSE: u64 = inverse(M2);

/// Returns the inverse of an odd number modulo 2^64 (Newton's method doubles the right bits each round).
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 5 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// Mixes a word: a bijection whose every output bit depends on every input bit.
#[inline]
pub(super) const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(M1);
    let word = (word ^ (word >> 29)).wrapping_mul(M2);
    word ^ (word >> 32)
}

/// Undoes [`mix`].
#[inline]
pub(super) const fn unmix(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(M2_INVERSE);
    let word = (word ^ (word >> 29) ^ (word >> 58)).wrapping_mul(M1_INVERSE);
    word ^ (word >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn mixing_can_be_undone(word: u64) {
            prop_assert_eq!(unmix(mix(word)), word);
            prop_assert_eq!(mix(unmix(word)), word);
        }

        #[test]
        fn one_input_bit_moves_many_output_bits(word: u64, bit in 0u32..64) {
            let moved = (mix(word) ^ mix(word ^ (1 << bit))).count_ones();
            prop_assert!((8..=56).contains(&moved), "{moved} bits moved");
        }
    }
}
