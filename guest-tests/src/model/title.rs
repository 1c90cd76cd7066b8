//! Says a mismatch in one line, for people.

use super::mismatch::{Flips, Mismatch, Owner};
use std::fmt;

/// Most owners that a title names.
const TITLE_OWNERS_MAX: usize = 3;

impl Mismatch {
    /// Says it in one line, for people.
    #[must_use]
    pub fn title(&self) -> String {
        let Self {
            page,
            expected,
            class,
            ..
        } = self;
        let found = match (&self.fault, &self.flips) {
            (Some(fault), _) => fault.to_string(),
            (None, Some(flips)) => self.flips_in_words(flips),
            (None, None) => self.owners_in_words(),
        };
        format!("page {page}: expected {expected}, found {found} ({class})")
    }

    fn flips_in_words(&self, flips: &Flips) -> String {
        let places: Vec<_> = flips
            .places
            .iter()
            .map(|at| format!("{}.{}", at / 8, at % 8))
            .collect();
        let more = if (flips.bits as usize) > places.len() {
            " …"
        } else {
            ""
        };
        let plural = if flips.bits == 1 { "" } else { "s" };
        format!(
            "it with {} bit{plural} flipped at byte.bit {}{more}",
            flips.bits,
            places.join(", ")
        )
    }

    fn owners_in_words(&self) -> String {
        let mut owners: Vec<(Owner, Vec<(u8, u8)>)> = Vec::new();
        for lines in &self.found {
            let span = (lines.from, lines.to);
            match owners.iter_mut().find(|(owner, _)| *owner == lines.owner) {
                Some((_, spans)) => spans.push(span),
                None => owners.push((lines.owner, vec![span])),
            }
        }
        let said: Vec<_> = owners
            .iter()
            .take(TITLE_OWNERS_MAX)
            .map(|(owner, spans)| format!("{} in {}", self.owner_in_words(*owner), spans_in_words(spans)))
            .collect();
        let more = owners.len().saturating_sub(TITLE_OWNERS_MAX);
        let more = if more > 0 {
            format!(", and {more} more owners")
        } else {
            String::new()
        };
        format!("{}{more}", said.join(", "))
    }

    fn owner_in_words(&self, owner: Owner) -> String {
        match owner {
            Owner::Stamp {
                run,
                page,
                generation,
                displaced,
                damaged,
            } => {
                let mut words = format!("generation {generation}");
                if page != self.page {
                    words += &format!(" of page {page}");
                }
                if run != self.run {
                    words += &format!(" of run {run}");
                }
                if displaced {
                    words += " from other lines";
                }
                if damaged {
                    words += ", damaged,";
                }
                words
            }
            Owner::Zero => "zero".to_owned(),
            Owner::Poison { byte } => format!("poison {byte:#04x}"),
            Owner::Garbage => "garbage".to_owned(),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

/// Names runs of lines: `all 64 lines`, `line 7`, `lines 0-31, 40`, at most three runs.
fn spans_in_words(spans: &[(u8, u8)]) -> String {
    const SPANS_MAX: usize = 3;
    let count: usize = spans.iter().map(|(from, to)| usize::from(to - from) + 1).sum();
    if count == super::stamp::LINES {
        return "all 64 lines".to_owned();
    }
    if spans.len() > SPANS_MAX {
        return format!("{count} lines");
    }
    let said: Vec<_> = spans
        .iter()
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    format!("line{} {}", if count == 1 { "" } else { "s" }, said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Expected, Fault, Lines};

    fn stamp(page: u32, generation: u32) -> Owner {
        Owner::Stamp {
            run: 1,
            page,
            generation,
            displaced: false,
            damaged: false,
        }
    }

    fn mismatch(class: Class, found: Vec<Lines>) -> Mismatch {
        let expected = Expected::Generation { generation: 12 };
        Mismatch {
            page: 17,
            run: 1,
            expected,
            class,
            found,
            fault: None,
            flips: None,
            behind: None,
            sample: None,
        }
    }

    #[test]
    fn titles_read_as_sentences() {
        let foreign = mismatch(
            Class::Foreign,
            vec![Lines {
                from: 0,
                to: 63,
                owner: stamp(403, 9),
            }],
        );
        assert_eq!(
            foreign.title(),
            "page 17: expected generation 12, found generation 9 of page 403 in all 64 lines (foreign)"
        );
        let torn = mismatch(
            Class::Torn,
            vec![
                Lines {
                    from: 0,
                    to: 30,
                    owner: stamp(17, 12),
                },
                Lines {
                    from: 31,
                    to: 31,
                    owner: stamp(17, 11),
                },
                Lines {
                    from: 32,
                    to: 63,
                    owner: stamp(17, 12),
                },
            ],
        );
        assert_eq!(
            torn.title(),
            "page 17: expected generation 12, found generation 12 in lines 0-30, 32-63, generation 11 in line 31 (torn)"
        );
        let flips = Flips {
            bits: 2,
            places: vec![0, 4095 * 8 + 7],
        };
        let flipped = Mismatch {
            flips: Some(flips),
            ..mismatch(Class::Flipped, vec![])
        };
        assert_eq!(
            flipped.title(),
            "page 17: expected generation 12, found it with 2 bits flipped at byte.bit 0.0, 4095.7 (flipped)"
        );
        let faulted = Mismatch {
            fault: Some(Fault::Sigbus),
            ..mismatch(Class::Faulted, vec![])
        };
        assert_eq!(
            faulted.title(),
            "page 17: expected generation 12, found SIGBUS (faulted)"
        );
    }

    #[test]
    fn a_title_stays_short_whatever_the_page_holds() {
        let found = (0..64)
            .map(|at| Lines {
                from: at,
                to: at,
                owner: stamp(u32::from(at), 9),
            })
            .collect();
        let title = mismatch(Class::Foreign, found).title();
        assert!(title.ends_with("and 61 more owners (foreign)"), "{title}");
        assert!(title.len() < 250, "{title}");
    }

    #[test]
    fn json_names_stay_as_they_are() {
        let found = vec![Lines {
            from: 0,
            to: 63,
            owner: stamp(403, 9),
        }];
        let json = serde_json::to_string(&mismatch(Class::Foreign, found)).unwrap();
        assert_eq!(
            json,
            r#"{"page":17,"run":1,"expected":{"must":"generation","generation":12},"class":"foreign","found":[{"from":0,"to":63,"owner":"stamp","run":1,"page":403,"generation":9,"displaced":false,"damaged":false}]}"#
        );
        let back: Mismatch = serde_json::from_str(&json).unwrap();
        assert_eq!(back.class, Class::Foreign);
        assert_eq!(back.found[0].owner, stamp(403, 9));
    }
}
