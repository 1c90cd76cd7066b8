//! What can be wrong with a range, each in one sentence with what to try.

/// Why a range cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum Problem {
    /// Good and bad are one commit, or nothing lies between them.
    #[error("the good and the bad end are the same commit, so there is nothing between them to search")]
    #[diagnostic(help("name an older --good, or a newer --bad"))]
    Same,
    /// The same commit is listed twice.
    #[error("{commit} is listed twice")]
    #[diagnostic(help("a range lists each of its commits once"))]
    Twice {
        /// Which.
        commit: String,
    },
    /// A child comes before its parent.
    #[error("{commit} is listed before one of its parents")]
    #[diagnostic(help("list the commits oldest first, as `git rev-list --topo-order --reverse` does"))]
    Order {
        /// Which.
        commit: String,
    },
    /// A commit that the bad end does not contain.
    #[error("the bad end does not contain {commit}, so the ends have no common history to search")]
    #[diagnostic(help(
        "`git merge-base GOOD BAD` names the commit where both histories meet; try that as --good"
    ))]
    Stray {
        /// Which.
        commit: String,
    },
    /// The ends have no common history at all.
    #[error("the good and the bad end have no common history, so nothing lies between them")]
    #[diagnostic(help(
        "are both of the same project, and is the repository complete (`git fetch --unshallow`)?"
    ))]
    Unrelated,
    /// The good end is on another branch.
    #[error("the good end is no ancestor of the bad one: their histories part at {at}")]
    #[diagnostic(help(
        "try --good {at}; if the bug is there already, it was fixed on the good end's branch"
    ))]
    Forked {
        /// The newest commit that both contain.
        at: String,
    },
    /// Bad is older than good.
    #[error("the bad end is an ancestor of the good one: the bug was fixed between them, not made")]
    #[diagnostic(help(
        "swap --good and --bad to search for what fixed it, or name a --good older than --bad"
    ))]
    Reversed,
    /// The bug is there at the good end.
    #[error("the good end has the bug too: found {found} times in {trials} trials")]
    #[diagnostic(help("go back to an older --good, one that was released before the bug was first seen"))]
    GoodIsBad {
        /// Findings there.
        found: u32,
        /// Trials there.
        trials: u32,
    },
    /// The bug is there at the good end, and not at the bad one.
    #[error(
        "the ends are the wrong way round: {trials} trials of the bad end found nothing, while the good end failed"
    )]
    #[diagnostic(help("swap --good and --bad to search for what fixed it"))]
    BadIsGood {
        /// Quiet trials of the bad end.
        trials: u32,
    },
    /// Neither end shows it.
    #[error(
        "nothing reproduces: {trials} trials of the bad end found nothing; a hit rate of {rate_percent} % would have shown but for one chance in twenty"
    )]
    #[diagnostic(help(
        "first make it show at the bad end: a longer budget, more pressure, a racepoint with a delay, or --any if another finding is meant"
    ))]
    Nothing {
        /// Quiet trials of the bad end.
        trials: u32,
        /// The least hit rate that they exclude, in per cent, rounded up.
        rate_percent: u32,
    },
    /// An end cannot be tested.
    #[error("the {end} end ({commit}) cannot be tested: {why}")]
    #[diagnostic(help("name a neighbour of it that builds and boots as --{end}"))]
    Untestable {
        /// Good or bad.
        end: &'static str,
        /// Which commit.
        commit: String,
        /// What happened there.
        why: String,
    },
    /// A rule outside of what makes sense.
    #[error("{what} must lie between {least} and {most}")]
    #[diagnostic(help("leave it out to take the default"))]
    Rule {
        /// Which setting.
        what: &'static str,
        /// Its least value.
        least: f64,
        /// Its greatest value.
        most: f64,
    },
    /// A log that belongs to something else.
    #[error("line {line} of the log: {what}")]
    #[diagnostic(help("resume with the range that the log was made for, or start afresh"))]
    Log {
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}
