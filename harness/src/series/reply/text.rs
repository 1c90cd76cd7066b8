//! The forms that a reply's text has: paragraphs, lists, and lines that are quoted as they are.

use std::fmt::Write as _;

/// Longest line of text that we wrap at.
const WIDTH: usize = 75;
/// Longest line that is quoted.
const EVIDENCE_CHARS_MAX: usize = 400;

/// A paragraph, wrapped.
pub(super) fn paragraph(out: &mut String, text: &str) {
    wrap(out, text, "", "");
    out.push('\n');
}

/// A list, each entry wrapped.
pub(super) fn bullets(out: &mut String, lines: &[String]) {
    for line in lines {
        wrap(out, line, "  - ", "    ");
    }
    out.push('\n');
}

/// A list under its head; nothing where it is empty.
pub(super) fn section(out: &mut String, head: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(out, "{head}");
        bullets(out, lines);
    }
}

/// Lines as they are, indented; no line can pass for a header, a tag or a quotation of somebody.
pub(super) fn quote(out: &mut String, lines: &[String]) {
    for line in lines {
        let tame: String = line
            .chars()
            .take(EVIDENCE_CHARS_MAX)
            .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
            .collect();
        let _ = writeln!(out, "    {}", tame.trim_end());
    }
    out.push('\n');
}

fn wrap(out: &mut String, text: &str, first: &str, rest: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
    {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            (line, empty) = (rest.to_owned(), true);
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}
