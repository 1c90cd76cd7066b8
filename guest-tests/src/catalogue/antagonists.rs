//! The antagonists by name, and how a parameter of kind [`Set`](super::Kind::Set) chooses among words.
//!
//! What each one does is the agent's; a workload offers those that make sense beside it.

/// Every antagonist of the suite, in the order of its declaration in the agent.
pub const ALL: &[&str] = &[
    "compaction",
    "reclaim",
    "sweep",
    "swapoff",
    "fork",
    "clear_refs",
    "drop_caches",
    "affinity",
    "hotplug",
    "cgroup",
    "lru_gen",
    "thp",
    "ksm",
];

/// What a set's value asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    None,
    /// Some of them, drawn by the seed, others each round.
    Drawn,
    /// All of them, all the time.
    All,
    /// Exactly these, all the time.
    These(Vec<String>),
}

impl Choice {
    /// Reads a value that was checked with [`unknown`].
    #[must_use]
    pub fn parse(value: &str) -> Self {
        match value {
            "none" => Self::None,
            "drawn" => Self::Drawn,
            "all" => Self::All,
            words => Self::These(words.split('+').map(|word| word.trim().to_owned()).collect()),
        }
    }
}

/// Returns the first word of a value that is none of `words`; [`None`] where the value is right.
#[must_use]
pub fn unknown<'v>(value: &'v str, words: &[&str]) -> Option<&'v str> {
    if matches!(value, "none" | "drawn" | "all") {
        return None;
    }
    value.split('+').map(str::trim).find(|word| !words.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_word_of_its_own_or_some_of_the_list() {
        for good in ["none", "drawn", "all", "fork", "fork+ksm", "fork + ksm"] {
            assert_eq!(unknown(good, ALL), None, "{good}");
        }
        assert_eq!(unknown("fork+knits", ALL), Some("knits"));
        assert_eq!(unknown("", ALL), Some(""));
        assert_eq!(
            Choice::parse("fork + ksm"),
            Choice::These(vec!["fork".into(), "ksm".into()])
        );
        assert_eq!(Choice::parse("drawn"), Choice::Drawn);
    }
}
