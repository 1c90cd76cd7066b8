//! The map of a page's 64 lines: which line is of whom.

use guest_tests::model::{Expected, Mismatch, Owner};
use serde::Serialize;

const COLUMNS: usize = 16;
const LINES: usize = 64;
/// Distance of neighbouring lines in the picture's own coordinates.
const PITCH: usize = 20;

/// A mismatch, drawn.
#[derive(Debug, Serialize)]
pub(super) struct Map {
    expected: String,
    svg: String,
    legend: Vec<Entry>,
    fault: Option<String>,
    sample: Option<(u8, String)>,
}

/// Whose some lines are.
#[derive(Debug, Serialize)]
struct Entry {
    letter: char,
    class: &'static str,
    words: String,
    lines: String,
}

pub(super) fn map(mismatch: &Mismatch) -> Map {
    let mut owners: Vec<(Owner, Vec<(usize, usize)>)> = Vec::new();
    for lines in &mismatch.found {
        // The guest is not to be trusted: a line number above 63 draws nothing.
        let span = (usize::from(lines.from), usize::from(lines.to).min(LINES - 1));
        if span.0 > span.1 {
            continue;
        }
        match owners.iter_mut().find(|(owner, _)| *owner == lines.owner) {
            Some((_, spans)) => spans.push(span),
            None => owners.push((lines.owner, vec![span])),
        }
    }
    let letter = |i: usize| char::from(b'A' + u8::try_from(i % 26).unwrap_or(0));
    let mut svg = String::new();
    let mut legend = Vec::new();
    for (i, (owner, spans)) in owners.iter().enumerate() {
        let class = class(mismatch, *owner);
        for line in spans.iter().flat_map(|(from, to)| *from..=*to) {
            svg.push_str(&square(line, class, letter(i)));
        }
        let said: Vec<String> = spans
            .iter()
            .map(|(from, to)| {
                if from == to {
                    from.to_string()
                } else {
                    format!("{from}–{to}")
                }
            })
            .collect();
        legend.push(Entry {
            letter: letter(i),
            class,
            words: words(mismatch, *owner),
            lines: said.join(", "),
        });
    }
    Map {
        expected: mismatch.expected.to_string(),
        svg,
        legend,
        fault: mismatch.fault.map(|fault| fault.to_string()),
        sample: mismatch.sample.as_ref().map(|s| (s.line, bytes(&s.hex))),
    }
}

fn square(line: usize, class: &str, letter: char) -> String {
    let (x, y) = (line % COLUMNS * PITCH, line / COLUMNS * PITCH);
    format!(
        "<g class=\"{class}\"><rect x=\"{}\" y=\"{}\" width=\"18\" height=\"18\" rx=\"3\"/><text x=\"{}\" y=\"{}\">{letter}</text></g>",
        x + 1,
        y + 1,
        x + 10,
        y + 14
    )
}

/// Colour of an owner's lines: legal, of this page but wrong, of another one, nothing, and two kinds of noise.
fn class(mismatch: &Mismatch, owner: Owner) -> &'static str {
    match owner {
        Owner::Stamp { run, page, .. } if run != mismatch.run || page != mismatch.page => "other",
        Owner::Stamp {
            displaced: false,
            damaged: false,
            generation,
            ..
        } if legal(&mismatch.expected, generation) => "right",
        Owner::Stamp { .. } => "own",
        Owner::Zero => "zero",
        Owner::Poison { .. } => "poison",
        Owner::Garbage => "garbage",
    }
}

fn legal(expected: &Expected, found: u32) -> bool {
    match expected {
        Expected::Generation { generation } | Expected::GenerationOrZero { generation } => {
            found == *generation
        }
        Expected::Between { from, to, .. } | Expected::NotBefore { from, to, .. } => {
            (*from..=*to).contains(&found)
        }
        Expected::Zero | Expected::Missing => false,
    }
}

fn words(mismatch: &Mismatch, owner: Owner) -> String {
    match owner {
        Owner::Stamp {
            run,
            page,
            generation,
            displaced,
            damaged,
        } => {
            let mut words = if page == mismatch.page && run == mismatch.run {
                format!("this page, generation {generation}")
            } else {
                format!("page {page}, generation {generation}")
            };
            if run != mismatch.run {
                words += ", of another boot";
            }
            if displaced {
                words += ", in the wrong place";
            }
            if damaged {
                words += ", damaged";
            }
            if class(mismatch, owner) == "right" {
                words += " (legal)";
            }
            words
        }
        Owner::Zero => "zero".to_owned(),
        Owner::Poison { byte } => format!("the kernel's poison {byte:#04x}"),
        Owner::Garbage => "nobody's: garbage".to_owned(),
    }
}

/// Hexadecimal in groups of eight bytes.
fn bytes(hex: &str) -> String {
    let chars: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).take(128).collect();
    let groups: Vec<String> = chars.chunks(16).map(|word| word.iter().collect()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_tests::model::{Class, Lines};

    fn spliced() -> Mismatch {
        let stamp = |page, generation| Owner::Stamp {
            run: 1,
            page,
            generation,
            displaced: false,
            damaged: false,
        };
        let lines = |from, to, owner| Lines { from, to, owner };
        Mismatch {
            page: 7,
            run: 1,
            expected: Expected::Generation { generation: 3 },
            class: Class::Spliced,
            found: vec![
                lines(0, 31, stamp(7, 3)),
                lines(32, 62, stamp(9, 1)),
                lines(63, 63, Owner::Zero),
            ],
            fault: None,
            flips: None,
            behind: None,
            sample: None,
        }
    }

    #[test]
    fn every_line_is_drawn_once_as_its_owners() {
        let map = map(&spliced());
        assert_eq!(map.svg.matches("<rect").count(), 64);
        let of = |class: &str| map.svg.matches(&format!("<g class=\"{class}\">")).count();
        assert_eq!((of("right"), of("other"), of("zero")), (32, 31, 1));
        let legend: Vec<_> = map
            .legend
            .iter()
            .map(|e| format!("{} {}: {}", e.letter, e.words, e.lines))
            .collect();
        assert_eq!(
            legend,
            [
                "A this page, generation 3 (legal): 0–31",
                "B page 9, generation 1: 32–62",
                "C zero: 63"
            ]
        );
    }

    #[test]
    fn lines_that_a_page_does_not_have_are_not_drawn() {
        let mut lying = spliced();
        lying.found = vec![
            Lines {
                from: 60,
                to: 255,
                owner: Owner::Garbage,
            },
            Lines {
                from: 200,
                to: 255,
                owner: Owner::Zero,
            },
        ];
        assert_eq!(map(&lying).svg.matches("<rect").count(), 4);
    }
}
