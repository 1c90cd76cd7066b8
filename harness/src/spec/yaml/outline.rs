//! Where everything stands: the file's structure with places, read by an event parser.
//!
//! It runs before the values are read, so it is also what bounds them: depth, number of values with
//! aliases written out, one document, no tags.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScanError, Span, StrInput};

use crate::spec::problem::Problem;

/// Deepest nesting of lists and maps.
pub(super) const DEPTH_MAX: usize = 32;
/// Most values (keys counted) once every alias is written out.
pub(super) const VALUES_MAX: usize = 50_000;

/// One value with its place.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    pub(super) span: Range<usize>,
    pub(super) shape: Shape,
    /// Values in it, itself counted.
    size: usize,
    /// Levels of lists and maps in it, itself counted.
    depth: usize,
}

/// What stands there.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// The text of a scalar, unquoted.
    Scalar(String),
    List(Vec<Outline>),
    Map(Vec<(Outline, Outline)>),
}

/// Reads the structure of a file that must hold one document.
pub(super) fn read(text: &str) -> Result<Outline, Problem> {
    let places = Places::of(text);
    let mut builder = Builder {
        places: &places,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        total: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = next(&mut parser) {
        let (event, span) = event.map_err(|e| places.syntax_error(text, &e))?;
        builder.event(event, &span)?;
    }
    builder.root.ok_or_else(|| Problem::whole("the file is empty"))
}

type Step<'t> = Result<(Event<'t>, Span), ScanError>;

fn next<'t>(parser: &mut Parser<'t, StrInput<'t>>) -> Option<Step<'t>> {
    parser.next_event()
}

/// Turns the parser's positions, which count characters, into bytes.
struct Places {
    /// Byte of every character, and the end; empty where all are ASCII.
    bytes: Vec<usize>,
    len: usize,
}

impl Places {
    fn of(text: &str) -> Self {
        let bytes = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .collect()
        };
        Self {
            bytes,
            len: text.len(),
        }
    }

    fn byte(&self, char_index: usize) -> usize {
        if self.bytes.is_empty() {
            char_index.min(self.len)
        } else {
            self.bytes.get(char_index).copied().unwrap_or(self.len)
        }
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    fn syntax_error(&self, text: &str, error: &ScanError) -> Problem {
        let at = self.byte(error.marker().index());
        syntax_problem(text, at, error.info())
    }
}

/// A problem with the syntax at a byte; a tab near there is the likeliest cause and is named.
pub(super) fn syntax_problem(text: &str, at: usize, info: &str) -> Problem {
    let at = text.floor_char_boundary(at);
    let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    // A scalar that a tab ends is told where the scalar starts, a line before the tab.
    let next_line = text[at..]
        .find('\n')
        .filter(|_| info.contains("tab"))
        .map(|n| at + n + 1);
    if let Some(tab) = [Some(line_start), next_line]
        .into_iter()
        .flatten()
        .find_map(|start| tab_in_indent(text, start))
    {
        return Problem::new(tab..tab + 1, "a tab may not indent YAML").help("indent with spaces");
    }
    if info.contains("recursion limit") {
        return Problem::new(at..at + 1, format!("nested deeper than {DEPTH_MAX} levels"));
    }
    let width = text[at..].chars().next().map_or(0, char::len_utf8);
    Problem::new(at..at + width, format!("not valid YAML: {info}"))
}

fn tab_in_indent(text: &str, line_start: usize) -> Option<usize> {
    let line = &text[line_start..];
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    line[..indent].find('\t').map(|at| line_start + at)
}

/// A list or map that is still open.
struct Frame {
    start: Range<usize>,
    anchor: usize,
    map: bool,
    items: Vec<Outline>,
}

struct Builder<'p> {
    places: &'p Places,
    open: Vec<Frame>,
    anchors: HashMap<usize, Outline>,
    root: Option<Outline>,
    total: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let at = self.places.range(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_none() => Ok(()),
            Event::DocumentStart(_) => Err(Problem::new(
                at,
                "a second document starts here; a file holds one",
            )
            .help("put the second part into a file of its own")),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Err(Problem::new(at, "tags (`!…`) are not used here")),
            Event::Scalar(text, _, anchor, None) => {
                let shape = Shape::Scalar(text.into_owned());
                self.close(
                    Outline {
                        span: at,
                        shape,
                        size: 1,
                        depth: 0,
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, None) => self.start(at, anchor, false),
            Event::MappingStart(anchor, None) => self.start(at, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(&at),
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor) else {
                    return Err(Problem::new(at, "this alias stands inside what it repeats"));
                };
                // Checked before the copy is made: that is what defuses an alias bomb.
                check_size(self.total + target.size, &at)?;
                check_depth(self.open.len() + target.depth, &at)?;
                let copy = Outline {
                    span: at,
                    ..target.clone()
                };
                self.close(copy, 0)
            }
        }
    }

    fn start(&mut self, start: Range<usize>, anchor: usize, map: bool) -> Result<(), Problem> {
        check_depth(self.open.len() + 1, &start)?;
        self.open.push(Frame {
            start,
            anchor,
            map,
            items: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self, at: &Range<usize>) -> Result<(), Problem> {
        let Some(frame) = self.open.pop() else {
            return Err(Problem::new(
                at.clone(),
                "not valid YAML: something ends that never started",
            ));
        };
        let size = 1 + frame.items.iter().map(|i| i.size).sum::<usize>();
        let depth = 1 + frame.items.iter().map(|i| i.depth).max().unwrap_or(0);
        let span = frame.start.start..at.end.max(frame.start.end);
        // What is inside has been counted when it was closed.
        self.total -= size - 1;
        let shape = if frame.map {
            Shape::Map(pairs(frame.items))
        } else {
            Shape::List(frame.items)
        };
        self.close(
            Outline {
                span,
                shape,
                size,
                depth,
            },
            frame.anchor,
        )
    }

    fn close(&mut self, outline: Outline, anchor: usize) -> Result<(), Problem> {
        self.total += outline.size;
        check_size(self.total, &outline.span)?;
        if anchor != 0 {
            self.anchors.insert(anchor, outline.clone());
        }
        match self.open.last_mut() {
            Some(frame) => frame.items.push(outline),
            None => self.root = Some(outline),
        }
        Ok(())
    }
}

fn check_depth(depth: usize, at: &Range<usize>) -> Result<(), Problem> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    Err(Problem::new(
        at.start..at.start + 1,
        format!("nested deeper than {DEPTH_MAX} levels"),
    ))
}

fn check_size(values: usize, at: &Range<usize>) -> Result<(), Problem> {
    if values <= VALUES_MAX {
        return Ok(());
    }
    Err(Problem::new(
        at.clone(),
        format!("more than {VALUES_MAX} values, with every alias written out"),
    ))
}

fn pairs(items: Vec<Outline>) -> Vec<(Outline, Outline)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}
