//! Which finding is the bug that is looked for. Others are shown, and say nothing about it.
//!
//! Unless the user names it, the first finding of the bad end does: what has the same fingerprint (kind and
//! function of a report) or the same class counts. What a page held that it must not hold is one class here: a
//! race that gives one page another's content shows as `foreign` in one boot and as `stale` in the next.

use crate::bisect::Seen;
use crate::verdict::{Class, Finding, Verdict};
use serde::{Deserialize, Serialize};

/// Which findings count, as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Those like the bad end's first.
    #[default]
    LikeBad,
    /// Every one.
    Any,
    /// Those of one of these classes, or that blame one of these functions.
    Named(Vec<String>),
}

/// Which findings count, with what was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bug {
    wanted: Wanted,
    sign: Option<Sign>,
}

/// What a finding is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The class, all mismatches of data being one.
    pub class: String,
    /// The function that it blames.
    pub function: Option<String>,
}

/// The word for all classes of wrong data.
pub const DATA: &str = "data";

impl Sign {
    /// Of a finding.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        let class = match finding.class {
            Class::Mismatch(_) => DATA,
            other @ (Class::Splat(_)
            | Class::Hang
            | Class::Oom
            | Class::Leak
            | Class::Conservation
            | Class::Taint
            | Class::Lost
            | Class::Boot
            | Class::Apply
            | Class::Config
            | Class::Build) => other.word(),
        };
        Self {
            class: class.to_owned(),
            function: finding.function.clone(),
        }
    }
}

impl Bug {
    /// As asked for; nothing is learned yet.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self { wanted, sign: None }
    }

    /// Learns from what a kept trial saw, in the order in which they were kept. Only the first finding of the
    /// bad end is a lesson.
    pub fn learn(&mut self, seen: Option<&Seen>, at_bad_end: bool) {
        // What cannot be made shows nothing.
        let unmade = [Class::Apply, Class::Config, Class::Build].map(Class::word);
        let class = seen.and_then(|s| s.class.clone());
        let Some(class) = class.filter(|c| at_bad_end && !unmade.contains(&c.as_str())) else {
            return;
        };
        if self.sign.is_none() {
            self.sign = Some(Sign {
                class: if is_data(&class) { DATA.to_owned() } else { class },
                function: seen.and_then(|s| s.function.clone()),
            });
        }
    }

    /// What was learned.
    #[must_use]
    pub fn sign(&self) -> Option<&Sign> {
        self.sign.as_ref()
    }

    /// Whether a verdict shows the bug. Its first cause decides: what follows may be that one's doing.
    #[must_use]
    pub fn shows(&self, verdict: &Verdict) -> bool {
        let Some(first) = verdict.findings().next() else {
            return false;
        };
        // What cannot be made is no kernel, so it has no bug.
        if matches!(first.class, Class::Apply | Class::Config | Class::Build) {
            return false;
        }
        match &self.wanted {
            Wanted::Any => true,
            Wanted::Named(words) => words.iter().any(|word| {
                word == first.class.word()
                    || *word == Sign::of(first).class
                    || Some(word) == first.function.as_ref()
            }),
            Wanted::LikeBad => self.sign.as_ref().is_none_or(|sign| {
                let own = Sign::of(first);
                own.class == sign.class || (own.function.is_some() && own.function == sign.function)
            }),
        }
    }

    /// The words for readers.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.wanted, &self.sign) {
            (Wanted::Any, _) => "any finding".to_owned(),
            (Wanted::Named(words), _) => words.join(" or "),
            (Wanted::LikeBad, Some(sign)) => {
                let class = if sign.class == DATA {
                    "wrong data in a page"
                } else {
                    &sign.class
                };
                match &sign.function {
                    Some(function) => format!("{class}, or anything in {function}"),
                    None => class.to_owned(),
                }
            }
            (Wanted::LikeBad, None) => "whatever the bad end shows first".to_owned(),
        }
    }
}

/// Whether a class's word is one of the model's.
fn is_data(word: &str) -> bool {
    use guest_tests::model::Class as Model;
    [
        Model::Stale,
        Model::Foreign,
        Model::Torn,
        Model::Spliced,
        Model::Zeroed,
        Model::Resurrected,
        Model::Flipped,
        Model::Poison,
        Model::Garbage,
        Model::Faulted,
    ]
    .iter()
    .any(|class| class.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Kind;
    use guest_tests::model::Class as Model;

    fn fail(class: Class, function: Option<&str>) -> Verdict {
        let mut finding = Finding::new(class, "x");
        finding.function = function.map(str::to_owned);
        Verdict::fail(finding)
    }

    fn seen(class: &str, function: Option<&str>) -> Seen {
        Seen {
            class: Some(class.to_owned()),
            function: function.map(str::to_owned),
            ..Seen::default()
        }
    }

    #[test]
    fn only_what_is_like_the_bad_ends_first_finding_counts() {
        let mut bug = Bug::new(Wanted::LikeBad);
        assert!(bug.shows(&fail(Class::Hang, None)), "nothing is learned yet");
        bug.learn(Some(&seen("foreign", None)), false);
        assert_eq!(bug.sign(), None, "another commit teaches nothing");
        bug.learn(None, true);
        bug.learn(Some(&seen("build", None)), true);
        assert_eq!(bug.sign(), None, "what cannot be built shows nothing");
        bug.learn(Some(&seen("foreign", None)), true);
        bug.learn(Some(&seen("hang", None)), true);
        assert!(bug.shows(&fail(Class::Mismatch(Model::Foreign), None)));
        assert!(
            bug.shows(&fail(Class::Mismatch(Model::Stale), None)),
            "the same race, another page"
        );
        assert!(!bug.shows(&fail(Class::Hang, None)), "another bug");
        assert!(!bug.shows(&Verdict::Pass));
    }

    #[test]
    fn a_report_is_known_by_its_kind_or_its_function() {
        let mut bug = Bug::new(Wanted::LikeBad);
        bug.learn(Some(&seen("oops", Some("zs_free"))), true);
        assert!(bug.shows(&fail(Class::Splat(Kind::Oops), Some("obj_malloc"))));
        assert!(bug.shows(&fail(Class::Splat(Kind::Kasan), Some("zs_free"))));
        assert!(!bug.shows(&fail(Class::Splat(Kind::Warning), Some("other"))));
        assert!(!bug.shows(&fail(Class::Splat(Kind::Warning), None)));
    }

    #[test]
    fn what_the_user_names_is_what_counts() {
        let bug = Bug::new(Wanted::Named(vec![
            "data".into(),
            "kasan".into(),
            "zs_free".into(),
        ]));
        assert!(bug.shows(&fail(Class::Mismatch(Model::Torn), None)));
        assert!(bug.shows(&fail(Class::Splat(Kind::Oops), Some("zs_free"))));
        assert!(!bug.shows(&fail(Class::Splat(Kind::Oops), Some("other"))));
        let any = Bug::new(Wanted::Any);
        assert!(any.shows(&fail(Class::Boot, None)));
        assert!(
            !any.shows(&fail(Class::Build, None)),
            "what cannot be built has no bug"
        );
    }
}
