//! Puts file and line into reports, once somebody has looked them up.
//!
//! Does not look anything up, and changes nothing that a report is known by: title, blame and
//! fingerprint stay what they were.

use super::frame::{Item, StackFrame, item};
use super::{REPORT_LEN_MAX, Splat};

/// A function and where in the source it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// The function.
    pub function: String,
    /// `file:line`.
    pub at: String,
}

/// The frame that a line of a report shows, if it is one of the kernel's own that has no line yet.
fn unplaced(line: &str) -> Option<StackFrame> {
    let frame = match item(line) {
        Item::Frame(frame) | Item::Pc(frame) | Item::Pair(_, frame) | Item::Main(Some(frame)) => frame,
        Item::Main(None) | Item::WildPc | Item::Other(_) | Item::Foreign | Item::Text => return None,
    };
    wanted(&frame).then_some(frame)
}

fn wanted(frame: &StackFrame) -> bool {
    frame.source.is_none() && frame.module.is_none() && frame.offset.is_some()
}

/// The frames of a report's text that want a source line.
#[must_use]
pub fn frames_in(report: &str) -> Vec<StackFrame> {
    report.lines().filter_map(unplaced).collect()
}

/// A report's text with source lines: `find` gives the functions that were inlined at a frame,
/// innermost first, and then the frame's own. At most [`REPORT_LEN_MAX`] bytes, or as many as it had.
#[must_use]
pub fn placed(report: &str, find: impl Fn(&StackFrame) -> Vec<SourcePlace>) -> String {
    let mut room = REPORT_LEN_MAX.saturating_sub(report.len());
    let mut out = String::with_capacity(report.len());
    for line in report.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let mut places = unplaced(bare).map(|frame| find(&frame)).unwrap_or_default();
        let own = places.pop();
        let indent = &bare[..bare.len() - bare.trim_start().len()];
        let inlined: String = places
            .iter()
            .map(|place| format!("{indent}{} {} [inline]\n", place.function, place.at))
            .collect();
        let at = own.map_or_else(String::new, |own| format!(" {}", own.at));
        let added = inlined.len() + at.len();
        if added > room {
            out.push_str(line);
            continue;
        }
        room -= added;
        out.push_str(&inlined);
        out.push_str(bare);
        out.push_str(&at);
        out.push_str(&line[bare.len()..]);
    }
    out
}

impl Splat {
    /// Puts source lines into the report and its stack, where inlined functions become frames of their own.
    pub fn place(&mut self, find: impl Fn(&StackFrame) -> Vec<SourcePlace>) {
        self.report = placed(&self.report, &find);
        let stack = std::mem::take(&mut self.stack);
        for mut frame in stack {
            let mut places = if wanted(&frame) { find(&frame) } else { Vec::new() };
            let own = places.pop();
            self.stack.extend(places.into_iter().map(|place| StackFrame {
                symbol: place.function,
                offset: None,
                size: None,
                module: None,
                source: Some(place.at),
                reliable: frame.reliable,
                exact: frame.exact,
            }));
            frame.source = frame.source.or(own.map(|own| own.at));
            self.stack.push(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::analyze;

    const LOG: &str = "BUG: KASAN: use-after-free in zs_free+0x10/0x80\nRead of size 8 at addr ffff888100000000 by task w/9\nCall Trace:\n dump_stack+0x1/0x2\n kasan_report+0x1/0x2\n zs_free+0x10/0x80\n mod_fn+0x1/0x2 [zram]\n";

    fn find(frame: &StackFrame) -> Vec<SourcePlace> {
        let place = |function: &str, at: &str| SourcePlace {
            function: function.to_owned(),
            at: at.to_owned(),
        };
        match frame.symbol.as_str() {
            "zs_free" => vec![
                place("obj_free", "mm/zsmalloc.c:9"),
                place("zs_free", "mm/zsmalloc.c:90"),
            ],
            "dump_stack" => vec![place("dump_stack", "lib/dump_stack.c:1")],
            _ => Vec::new(),
        }
    }

    #[test]
    fn lines_go_into_text_and_stack_and_move_nothing_else() {
        let mut splat = analyze(LOG.as_bytes()).remove(0);
        let (before, print) = (splat.clone(), splat.fingerprint());
        let names: Vec<String> = frames_in(&splat.report).into_iter().map(|f| f.symbol).collect();
        assert_eq!(
            names,
            ["dump_stack", "kasan_report", "zs_free"],
            "frames of modules are not ours"
        );
        splat.place(find);
        assert_eq!(splat.fingerprint(), print);
        assert_eq!((&splat.title, &splat.function), (&before.title, &before.function));
        assert!(splat.report.ends_with(
            " dump_stack+0x1/0x2 lib/dump_stack.c:1\n kasan_report+0x1/0x2\n obj_free mm/zsmalloc.c:9 [inline]\n zs_free+0x10/0x80 mm/zsmalloc.c:90\n mod_fn+0x1/0x2 [zram]\n"
        ), "{}", splat.report);
        let stack: Vec<_> = splat
            .stack
            .iter()
            .map(|f| (f.symbol.as_str(), f.source.as_deref()))
            .collect();
        assert_eq!(
            stack[2..4],
            [
                ("obj_free", Some("mm/zsmalloc.c:9")),
                ("zs_free", Some("mm/zsmalloc.c:90"))
            ]
        );
        let again = analyze(splat.report.as_bytes()).remove(0);
        assert_eq!((again.title, again.function), (before.title, before.function));
        assert_eq!(
            placed(&splat.report, find),
            splat.report,
            "what has lines gets no more"
        );
    }

    #[test]
    fn a_report_that_is_full_stays_as_it_is() {
        let full = format!("{}{LOG}", "x".repeat(REPORT_LEN_MAX - LOG.len()));
        assert_eq!(placed(&full, find), full);
        assert_eq!(placed("", find), "");
        assert_eq!(
            placed("é\r\n zs_free+0x1/0x2", find),
            "é\r\n obj_free mm/zsmalloc.c:9 [inline]\n zs_free+0x1/0x2 mm/zsmalloc.c:90"
        );
    }
}
