//! Properties of the rule tables themselves.

use std::collections::BTreeSet;

use crate::console::rule::{Blame, Stands, find};
use crate::console::rules;

#[test]
fn titles_and_blame_agree() {
    for rule in rules::all() {
        let names = rule.title.contains("{f}");
        if names {
            assert_ne!(rule.blame, Blame::Nobody, "{}", rule.title);
            assert!(!rule.skip.is_empty(), "{}: blames helpers", rule.title);
        }
        if rule.stands == Stands::Aftermath {
            assert!(!names, "{}: an aftermath is nobody's fault", rule.title);
        }
    }
}

#[test]
fn every_header_is_anchored_or_distinct() {
    let headers: Vec<&str> = rules::all().map(|r| r.header).collect();
    assert_eq!(
        headers.iter().collect::<BTreeSet<_>>().len(),
        headers.len(),
        "a header stands twice"
    );
}

#[test]
fn plain_words_find_nothing() {
    for text in [
        "",
        " ",
        "BUG",
        "WARNING:",
        "INFO: ",
        "a BUG in the error path of a fault",
        "stack overflow dot com",
    ] {
        assert!(find(text, true).is_none(), "{text}");
    }
}
