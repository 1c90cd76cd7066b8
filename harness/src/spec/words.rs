//! Words for errors: quoting what a user wrote, and "did you mean".

/// Longest text of a user shown in a message, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// Most known words that a wrong one is compared with.
const COMPARED_MAX: usize = 1_000;

/// A user's text between backticks, on one line and not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The known word that was probably meant, if one is close.
///
/// Case, `-` and `_` are not told apart; beyond that, one slip is allowed for every three letters.
pub(super) fn closest<'w>(given: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Nobody means a name by a text of a thousand letters, and the distance costs length × length.
    if given.is_empty() || given.len() > 128 {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let wanted = plain(given);
    known
        .into_iter()
        .take(COMPARED_MAX)
        .map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word))
        .filter(|(distance, word)| {
            *distance <= given.len().max(word.len()).div_ceil(3).min(3) && *distance < word.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `; did you mean …?` for a word that is close, else nothing.
pub(super) fn did_you_mean<'w>(given: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    closest(given, known).map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

/// Words in backticks, joined by commas: `` `a`, `b` ``.
pub(super) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words
        .into_iter()
        .map(|w| format!("`{w}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_found_and_far_ones_are_not() {
        let known = ["source", "series", "kconfigs", "like", "trusted"];
        for (given, meant) in [
            ("soruce", Some("source")),
            ("Source", Some("source")),
            ("serie", Some("series")),
            ("kconfig", Some("kconfigs")),
            ("like_", Some("like")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(given, known), meant, "{given}");
        }
        assert_eq!(
            closest("zswap-presure", ["zswap_pressure"]),
            Some("zswap_pressure")
        );
        assert_eq!(closest(&"a".repeat(1 << 20), known), None);
    }
}
