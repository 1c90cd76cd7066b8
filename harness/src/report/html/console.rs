//! What a page shows of a cell's console: the splats with what stands around them, and the end.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes shown before and after a splat.
const AROUND_LEN: usize = 2048;

/// A piece of a console.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether it is a splat.
    pub(super) splat: bool,
    /// Bytes left out before it.
    pub(super) left_out: usize,
}

#[derive(Deserialize)]
struct Machine {
    splats: Vec<Span>,
}

/// Where a splat stands in the console, as the run found it.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Span {
    offset: usize,
    end: usize,
}

/// The pieces of the console in an attempt's folder, at most about `len_max` bytes; none where it is gone.
pub(super) fn excerpt(attempt: &Path, len_max: usize) -> Vec<Piece> {
    let Ok(raw) = std::fs::read(attempt.join("console.log")) else {
        return Vec::new();
    };
    let machine: Option<Machine> = std::fs::read(attempt.join("machine.json"))
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok());
    let spans = machine.map(|m| m.splats).unwrap_or_default();
    pieces(&raw, &spans, len_max)
}

fn pieces(raw: &[u8], splats: &[Span], len_max: usize) -> Vec<Piece> {
    // Most for the first cause; what is left of the room for the end.
    let mut shown: Vec<(usize, usize)> = Vec::new();
    let mut room = len_max;
    for splat in splats.iter().take(3) {
        let from = line_start(raw, splat.offset.saturating_sub(AROUND_LEN.min(len_max / 4)));
        let to = (splat.end + AROUND_LEN / 4)
            .min(from + room * 3 / 4)
            .min(raw.len());
        if to > from {
            room -= to - from;
            shown.push((from, to));
        }
    }
    shown.push((line_start(raw, raw.len().saturating_sub(room)), raw.len()));
    shown.sort_unstable();
    let mut pieces = Vec::new();
    let mut at = 0;
    for (from, to) in shown {
        let from = from.max(at);
        let mut left_out = from - at;
        let mut here = from;
        while here < to {
            let inside = splats.iter().find(|s| s.offset <= here && here < s.end);
            let next = match inside {
                Some(splat) => splat.end,
                None => splats
                    .iter()
                    .map(|s| s.offset)
                    .filter(|o| *o > here)
                    .min()
                    .unwrap_or(to),
            };
            let next = next.min(to);
            pieces.push(Piece {
                text: text(&raw[here..next]),
                splat: inside.is_some(),
                left_out: std::mem::take(&mut left_out),
            });
            here = next;
        }
        at = at.max(to);
    }
    pieces
}

/// The start of the first line at or after `at`.
fn line_start(raw: &[u8], at: usize) -> usize {
    if at == 0 {
        return 0;
    }
    let from = at.min(raw.len()) - 1;
    raw[from..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(raw.len(), |n| from + n + 1)
}

/// Bytes as text, without what only moves a terminal.
fn text(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(lines: usize) -> Vec<u8> {
        (0..lines)
            .flat_map(|i| format!("[{i:5}] line\r\n").into_bytes())
            .collect()
    }

    #[test]
    fn a_short_console_is_shown_whole_with_its_splat_marked() {
        let raw = console(10);
        let splat = Span { offset: 28, end: 56 };
        let pieces = pieces(&raw, &[splat], 1 << 14);
        let splats: Vec<_> = pieces
            .iter()
            .filter(|p| p.splat)
            .map(|p| p.text.as_str())
            .collect();
        assert_eq!(splats, ["[    2] line\n[    3] line\n"]);
        let all: String = pieces.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(all, text(&raw));
        assert!(pieces.iter().all(|p| p.left_out == 0));
    }

    #[test]
    fn of_a_long_console_the_splat_and_the_end_stay() {
        let raw = console(20_000);
        let splat = Span {
            offset: 14 * 10_000,
            end: 14 * 10_010,
        };
        let pieces = pieces(&raw, &[splat], 8192);
        let len: usize = pieces.iter().map(|p| p.text.len()).sum();
        assert!(len <= 8192, "{len}");
        assert!(pieces.iter().any(|p| p.splat && p.text.contains("[10005]")));
        assert!(pieces.last().unwrap().text.ends_with("[19999] line\n"));
        let left_out: usize = pieces.iter().map(|p| p.left_out).sum();
        let kept = raw.len() - left_out;
        assert_eq!(kept - kept / 14, len, "every byte is shown or told as left out");
    }

    #[test]
    fn spans_that_lie_and_bytes_that_are_no_text_do_no_harm() {
        let raw = [0xff, 0x1b, b'[', b'0', b'm', 0, b'\n', b'x'];
        for (offset, end) in [(0, 999), (7, 3), (99, 100)] {
            let pieces = pieces(&raw, &[Span { offset, end }], 64);
            assert!(pieces.iter().all(|p| !p.text.contains('\u{1b}')));
        }
        assert!(pieces(&[], &[], 64).is_empty());
    }
}
