//! The guest agent that this binary carries: built by the build script from `guest-tests`.
//!
//! Not here: what it does, and how it gets into a guest (`initramfs`).

use std::sync::OnceLock;

/// The agent: a statically linked x86-64 executable.
pub const BYTES: &[u8] = include_bytes!(env!("PATCHPROOF_AGENT"));

/// The agent's BLAKE3 hash in hex: part of what a result is reproduced from.
#[must_use]
pub fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| blake3::hash(BYTES).to_hex().to_string())
}

/// The BLAKE3 hash in hex of every workload's parameters and their defaults.
#[must_use]
pub fn defaults() -> String {
    let rows = guest_tests::catalogue::Workload::all()
        .into_iter()
        .flat_map(|info| {
            let row = |param: &guest_tests::catalogue::ParamInfo| {
                format!("{}.{} = {}\n", info.name, param.name, param.default)
            };
            info.params.iter().map(row).collect::<Vec<_>>()
        });
    let text: String = rows.collect();
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_an_executable_that_needs_no_interpreter() {
        let word = |at: usize, len: usize| {
            BYTES[at..at + len]
                .iter()
                .rev()
                .fold(0usize, |acc, &b| acc << 8 | usize::from(b))
        };
        assert_eq!(&BYTES[..5], b"\x7fELF\x02", "a 64-bit ELF file");
        assert_eq!(word(18, 2), 62, "for x86-64");
        let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
        let interpreters = (0..count).filter(|i| word(table + i * size, 4) == 3).count();
        assert_eq!(interpreters, 0, "a guest has no dynamic loader");
    }

    #[test]
    fn the_hash_of_the_defaults_is_the_same_each_time() {
        assert_eq!(defaults(), defaults());
        assert_eq!(defaults().len(), 64);
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        assert_eq!(hash(), blake3::hash(BYTES).to_hex().as_str());
    }
}
