//! The search as a file: a line for what is searched and by which rule, then a line a trial, written as
//! they end. Reading it back gives the same search to the bit, however it was ended.

use super::history::History;
use super::problem::Problem;
use super::rule::Rule;
use super::search::Search;
use super::trial::Trial;
use serde::{Deserialize, Serialize};

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of this format: 1.
    pub v: u32,
    /// Every commit's id, good end first, as the history has them.
    pub commits: Vec<String>,
    /// The candidates' prior weights, without the good end's.
    pub weights: Vec<f64>,
    /// The rule.
    pub rule: Rule,
}

impl Header {
    /// Of a search that starts.
    #[must_use]
    pub fn new(history: &History, weights: &[f64], rule: Rule) -> Self {
        Self {
            v: 1,
            commits: (0..history.len()).map(|c| history.id(c).to_owned()).collect(),
            weights: weights.to_vec(),
            rule,
        }
    }
}

/// One line of the file, its end included.
#[must_use]
pub fn line(what: &impl Serialize) -> String {
    // Numbers, strings and lists: nothing of it can fail to be written as JSON.
    serde_json::to_string(what).unwrap_or_default() + "\n"
}

/// Reads a search back. A last line that was cut off is left out: its trial had not been kept.
///
/// # Errors
/// [`Problem::Log`] names the line that is wrong, or says that the file is of another range.
pub fn resume(text: &str, history: History) -> Result<Search, Problem> {
    let mut lines = text
        .split_inclusive('\n')
        .enumerate()
        .filter(|(_, l)| l.ends_with('\n'));
    let wrong = |line: usize, what: String| Problem::Log { line: line + 1, what };
    let Some((_, first)) = lines.next() else {
        return Err(wrong(0, "it is empty".into()));
    };
    let header: Header = serde_json::from_str(first).map_err(|e| wrong(0, e.to_string()))?;
    if header.v != 1 {
        return Err(wrong(0, format!("it is of version {}, this reads 1", header.v)));
    }
    if header != Header::new(&history, &header.weights, header.rule) {
        return Err(wrong(0, "it is of another range of commits".into()));
    }
    let mut search = Search::new(history, &header.weights, header.rule)?;
    for (at, text) in lines {
        let trial: Trial = serde_json::from_str(text).map_err(|e| wrong(at, e.to_string()))?;
        search.record(trial).map_err(|problem| {
            if let Problem::Log { what, .. } = problem {
                wrong(at, what)
            } else {
                problem
            }
        })?;
    }
    Ok(search)
}
