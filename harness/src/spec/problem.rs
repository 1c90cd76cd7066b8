//! What is wrong with a YAML file, and how it is shown: to people on a terminal through miette, and
//! plainly, a stable text, everywhere else.
//!
//! Not here: any rule about what a file may say.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// Most problems told about one file; a file with more has one cause anyway.
const PROBLEMS_MAX: usize = 100;
/// Widest source line shown in a plain rendering, in characters; of a longer one a part is shown.
const LINE_CHARS_MAX: usize = 120;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where, in bytes of the file; `None` where it is the file as a whole.
    pub at: Option<Range<usize>>,
    /// What to do next.
    pub help: Option<String>,
    /// Another place that matters, and why.
    pub also: Option<(Range<usize>, String)>,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: Some(at),
            help: None,
            also: None,
        }
    }

    /// A problem with the file as a whole.
    #[must_use]
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: None,
            help: None,
            also: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn also(mut self, at: Range<usize>, why: impl Into<String>) -> Self {
        self.also = Some((at, why.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let here = self
            .at
            .iter()
            .map(|at| LabeledSpan::new_primary_with_span(Some("here".to_owned()), at.clone()));
        let also = self
            .also
            .iter()
            .map(|(at, why)| LabeledSpan::new_with_span(Some(why.clone()), at.clone()));
        Some(Box::new(here.chain(also)))
    }
}

/// Everything that is wrong with one YAML file.
///
/// As a [`miette::Diagnostic`] it shows each problem with its source line; [`SpecError::render_plain`]
/// gives the same as stable plain text.
#[derive(Debug, Clone)]
pub struct SpecError {
    told: Box<Told>,
}

#[derive(Debug, Clone)]
struct Told {
    path: String,
    source: NamedSource<String>,
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
    untold: usize,
}

impl SpecError {
    /// Puts problems in the order of the file. `text` is the file's; each place is cut to one line.
    #[must_use]
    pub fn new(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        let text = harmless(text);
        for problem in &mut problems {
            problem.message = harmless_line(&problem.message);
            problem.at = problem.at.take().map(|at| one_line(&text, at));
            problem.also = problem.also.take().map(|(at, why)| (one_line(&text, at), why));
        }
        problems.sort_by_key(|p| p.at.as_ref().map_or((0, 0), |at| (at.start, at.end)));
        problems.dedup();
        let untold = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        let path = harmless_line(&path.display().to_string());
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let source = NamedSource::new(&path, text);
        Self {
            told: Box::new(Told {
                path,
                source,
                line_starts,
                problems,
                untold,
            }),
        }
    }

    /// The problems told, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.told.problems
    }

    /// Line and column (in characters), both from 1, of a place in bytes.
    #[must_use]
    pub fn position(&self, at: usize) -> (usize, usize) {
        let line = self.told.line_starts.partition_point(|&start| start <= at);
        let start = self
            .told
            .line_starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let before = self.text().get(start..at).unwrap_or("");
        (line.max(1), before.chars().count() + 1)
    }

    /// Renders every problem as plain text: `file:line:column: error: message`, the source line and a
    /// marker under the place. The same bytes on every host; ends with a newline.
    #[must_use]
    pub fn render_plain(&self) -> String {
        let mut out = String::new();
        for problem in &self.told.problems {
            match &problem.at {
                None => {
                    let _ = writeln!(out, "{}: error: {}", self.told.path, problem.message);
                }
                Some(at) => {
                    let (line, column) = self.position(at.start);
                    let _ = writeln!(
                        out,
                        "{}:{line}:{column}: error: {}",
                        self.told.path, problem.message
                    );
                    self.snippet(&mut out, at);
                }
            }
            if let Some((at, why)) = &problem.also {
                let (line, column) = self.position(at.start);
                let _ = writeln!(out, "{}:{line}:{column}: note: {why}", self.told.path);
                self.snippet(&mut out, at);
            }
            if let Some(help) = &problem.help {
                let _ = writeln!(out, "  help: {help}");
            }
        }
        if self.told.untold > 0 {
            let _ = writeln!(out, "{}: error: and {} more", self.told.path, self.told.untold);
        }
        out
    }

    fn text(&self) -> &str {
        self.told.source.inner()
    }

    /// The source line of a place and a marker under it; long lines are cut around the place.
    fn snippet(&self, out: &mut String, at: &Range<usize>) {
        let (line, column) = self.position(at.start);
        let start = self.told.line_starts.get(line - 1).copied().unwrap_or(0);
        let source = self
            .text()
            .get(start..)
            .unwrap_or("")
            .lines()
            .next()
            .unwrap_or("");
        let from = if source.chars().count() > LINE_CHARS_MAX {
            column.saturating_sub(LINE_CHARS_MAX / 2)
        } else {
            0
        };
        let shown: String = source.chars().skip(from).take(LINE_CHARS_MAX).collect();
        let before: String = shown
            .chars()
            .chain(std::iter::repeat(' '))
            .take(column - 1 - from)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let width = self.text().get(at.clone()).unwrap_or("").chars().count();
        let room = shown.chars().count().saturating_sub(column - 1 - from);
        let marker = "^".repeat(width.min(room).max(1));
        let number = line.to_string();
        let indent = " ".repeat(number.len());
        let _ = writeln!(out, "  {number} | {}", shown.trim_end());
        let _ = writeln!(out, "  {indent} | {before}{marker}");
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.told.problems.len() + self.told.untold {
            1 => write!(f, "{} can't be used: 1 error", self.told.path),
            n => write!(f, "{} can't be used: {n} errors", self.told.path),
        }
    }
}

impl std::error::Error for SpecError {}

impl Diagnostic for SpecError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.told.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.told.problems.iter().map(|p| p as &dyn Diagnostic)))
    }
}

/// Replaces what could steer a terminal by something of the same length in bytes, so that places stay right.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => c,
            '\u{80}'..='\u{9f}' => '\u{bf}',
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '?',
            c => c,
        })
        .collect()
}

/// The same for what must stay on one line.
fn harmless_line(text: &str) -> String {
    harmless(text).replace(['\n', '\r', '\t'], " ")
}

/// Cuts a place to its first line, within the text and on character boundaries.
fn one_line(text: &str, at: Range<usize>) -> Range<usize> {
    let floor = |mut n: usize| {
        n = n.min(text.len());
        while !text.is_char_boundary(n) {
            n -= 1;
        }
        n
    };
    let (start, end) = (floor(at.start), floor(at.end.max(at.start)));
    let inside = text.get(start..end).unwrap_or("");
    let line = inside.lines().next().unwrap_or("").trim_end();
    start..start + line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, at: Range<usize>) -> SpecError {
        SpecError::new(Path::new("a.yaml"), text, vec![Problem::new(at, "wrong")])
    }

    #[test]
    fn the_marker_stands_under_the_place_whatever_is_before_it() {
        insta::assert_snapshot!(error("x\n\tä: b\n", 6..7).render_plain(), @r"
        a.yaml:2:4: error: wrong
          2 | 	ä: b
            | 	  ^
        ");
    }

    #[test]
    fn nothing_reaches_the_terminal_that_could_steer_it() {
        let text = "a: \u{1b}[31m\u{202e}\u{9b}2J\n";
        let mut shown = error(text, 0..1);
        assert!(!shown.render_plain().contains(['\u{1b}', '\u{202e}', '\u{9b}']));
        shown = SpecError::new(Path::new("a\u{1b}[2J"), text, vec![Problem::whole("b\u{7}\nc")]);
        insta::assert_snapshot!(shown.render_plain(), @"a?[2J: error: b? c");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}", "x".repeat(1000), "y".repeat(1000));
        let shown = error(&text, 1000..1004).render_plain();
        assert!(
            shown.lines().all(|l| l.chars().count() <= LINE_CHARS_MAX + 8),
            "{shown}"
        );
        let (source, marker) = (shown.lines().nth(1).unwrap(), shown.lines().nth(2).unwrap());
        assert_eq!(source.find("HERE"), marker.find("^^^^"));
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        for (start, end) in [(0, 0), (4, 9), (100, 200), (3, 1)] {
            assert!(
                error("ab\nç", Range { start, end })
                    .render_plain()
                    .starts_with("a.yaml:")
            );
        }
    }
}
