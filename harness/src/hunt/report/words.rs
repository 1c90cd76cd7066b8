//! What several reports say in the same words.

use crate::bisect::Ending;
use crate::hunt::check::{Check, Held, What};
use crate::hunt::range::Range;

/// What is searched.
#[must_use]
pub fn what(range: &Range) -> String {
    match range {
        Range::Git { repo, good, bad, .. } => format!("{good}..{bad} of {}", repo.display()),
        Range::Series { path, .. } => format!("the patches of {}", path.display()),
        Range::Sources { sources } => {
            let name = |at: Option<&(String, _)>| at.map_or("?", |s| s.0.as_str()).to_owned();
            format!(
                "{} sources from {} to {}",
                sources.len(),
                name(sources.first()),
                name(sources.last())
            )
        }
    }
}

/// Why a search ended, after "the search".
#[must_use]
pub fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Sure => "is as sure as was asked for",
        Ending::Budget => "used its budget up before it was sure",
        Ending::Exhausted => "cannot become any surer: no commit that can be tested would tell more",
    }
}

/// The word for whether a check held.
#[must_use]
pub fn held(held: Held) -> &'static str {
    match held {
        Held::Yes => "held",
        Held::No => "did not hold",
        Held::Untold => "cannot be told",
        Held::Open => "is open",
    }
}

/// What a check is about, as a claim.
#[must_use]
pub fn claim(check: &Check, short: &str) -> String {
    match check.what {
        What::ParentClean => format!("its parent {short} is clean"),
        What::CulpritAgain => format!("{short} shows the bug again"),
        What::RevertedClean => "the bad end without it is clean".to_owned(),
    }
}

/// What a check rests on.
#[must_use]
pub fn rests_on(check: &Check) -> String {
    let quiet = format!(
        "{} quiet for {:.0} s in all",
        count(check.quiet, "trial"),
        check.quiet_s
    );
    let found = count(check.found, "trial");
    match (check.what, check.held) {
        (_, Held::Untold) => format!("{} ({quiet}, {} owed)", check.why, check.owed),
        (What::CulpritAgain, Held::Yes) if check.quiet == 0 => "found in the first trial".to_owned(),
        (What::CulpritAgain, Held::Yes) => format!("found after {quiet}"),
        (What::CulpritAgain, Held::No) => format!("{quiet}: it did not show"),
        (What::CulpritAgain, Held::Open) => quiet,
        (What::ParentClean | What::RevertedClean, Held::No) => format!("{found} showed the bug, {quiet}"),
        (What::ParentClean | What::RevertedClean, Held::Yes | Held::Open) => {
            format!("{quiet}, {} owed by the hit rate", check.owed)
        }
    }
}

/// `1 trial`, `2 trials`.
#[must_use]
pub fn count(n: u32, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// `45 s`, `12 min`, `3 h 20 min`.
#[must_use]
pub fn time(s: f64) -> String {
    let whole = s.max(0.0).round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole.div_ceil(60)),
        7200.. => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A probability, never rounded to certainty.
#[must_use]
pub fn percent(p: f64) -> String {
    let p = 100.0 * p;
    if p > 99.9 {
        "over 99.9 %".to_owned()
    } else if p >= 99.0 {
        format!("{p:.1} %")
    } else if p >= 1.0 {
        format!("{p:.0} %")
    } else {
        "under 1 %".to_owned()
    }
}

/// Text with nothing in it that moves a terminal or breaks a line.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !crate::report::hides(*c))
        .collect()
}
