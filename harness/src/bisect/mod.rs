//! The search for the commit that made a bug, when the bug shows only in some of the trials.
//!
//! A posterior over the culprit, jointly with how a bad kernel behaves, which is learned on the way; the
//! next trial is the one that tells most a second, builds and boots counted; the answer is a named set
//! with its probability. Pure but for [`drive()`], which awaits trials that something else executes.
//! Not here: git, kernels, what counts as the bug.

mod answer;
mod belief;
mod choose;
mod drive;
pub mod gitlog;
mod history;
mod hits;
mod prior;
mod problem;
mod rule;
mod search;
pub mod simulate;
pub mod state;
mod step;
mod trial;

pub use answer::{Answer, Ending, Learned};
pub use drive::{DriveError, Driven, Finished, Job, Trials, drive};
pub use history::History;
pub use prior::Touched;
pub use problem::Problem;
pub use rule::Rule;
pub use search::Search;
pub use step::{Choice, Purpose, Step, Tally};
pub use trial::{Outcome, Seen, Skip, Trial};

#[cfg(test)]
mod tests;
