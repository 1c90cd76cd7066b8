//! Nothing that is fed to the readers makes them panic, hang or point outside of the file.

use std::path::Path;

use proptest::prelude::*;

use super::super::{SpecError, parse, series};
use super::{GOOD, World, path};

/// Every place that an error tells lies in the file, on a line that is there.
fn sound(error: &SpecError, text: &[u8]) {
    let lines = text.iter().filter(|b| **b == b'\n').count() + 1;
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        if let Some(at) = &problem.at {
            let (line, column) = error.position(at.start);
            assert!(
                line >= 1 && line <= lines && column >= 1,
                "{line}:{column} of {lines} lines"
            );
        }
    }
    assert!(error.render_plain().ends_with('\n'));
}

fn feed(bytes: &[u8]) {
    if let Err(e) = parse(&path(), bytes, &World) {
        sound(&e, bytes);
    }
    if let Err(e) = series::parse(Path::new("series.yaml"), bytes) {
        sound(&e, bytes);
    }
}

/// Text that looks like YAML more than noise does.
fn yamlish() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "version",
        "kernels",
        "fixed",
        "like",
        "source",
        "matrix",
        "racepoint",
        "off",
        "- ",
        ": ",
        ":\n  ",
        "\n",
        "\n\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "<<",
        "!",
        "!!str ",
        "|\n",
        ">\n",
        "\"",
        "'",
        "#",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        "1",
        "0x1F",
        "1e9",
        ".nan",
        "~",
        "null",
        "true",
        "ä",
        "\u{202e}",
        "\r",
        "\u{85}",
        "@",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|w| w.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        feed(&bytes);
    }

    #[test]
    fn arbitrary_yaml(text in yamlish()) {
        feed(text.as_bytes());
    }

    #[test]
    fn a_good_file_with_a_piece_replaced(at in 0..GOOD.len(), len in 0..40usize, piece in yamlish()) {
        let end = (at + len).min(GOOD.len());
        feed(format!("{}{piece}{}", &GOOD[..at], &GOOD[end..]).as_bytes());
    }

    #[test]
    fn a_good_file_cut_off(at in 0..GOOD.len()) {
        feed(&GOOD.as_bytes()[..at]);
    }
}

/// Shapes that are known to cost a YAML reader more than their length; each must stay cheap enough
/// that the test ends, whatever is told.
#[test]
fn a_lot_of_anything_is_read_or_refused() {
    let long = |piece: &str| piece.repeat((1 << 18) / piece.len());
    for piece in [
        "[", "{", "- ", "? ", ": ", "a: ", "&a ", "!a ", "\"", "'", "|\n", "a\n", "a: b\n", "#\n", "*a ",
        "{a: ", "[a, ", "%", "\n", "a ",
    ] {
        feed(long(piece).as_bytes());
    }
    feed(
        format!(
            "version: 1\nkernels:\n{}",
            (0..20_000)
                .map(|n| format!("  k{n}: {{ like: j{n} }}\n"))
                .collect::<String>()
        )
        .as_bytes(),
    );
}
