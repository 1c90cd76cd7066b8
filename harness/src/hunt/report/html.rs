//! One self-contained page: nothing outside of it is loaded, it has no script, and the template escapes whatever
//! it is given. The belief is drawn after each trial; that picture consists of numbers only.

use super::View;
use super::text::capital;
use super::words::{percent, time};
use minijinja::{Environment, context};
use std::fmt::Write as _;

/// Columns and rows of the picture at most: what lies together is shown together.
const COLUMNS_MAX: usize = 160;
const ROWS_MAX: usize = 240;
/// Probabilities below that are not drawn.
const DRAWN_MIN: f64 = 0.004;
/// Trials in the table at most, the last ones.
const TRIALS_MAX: usize = 400;

pub(super) fn html(view: &View) -> Result<String, minijinja::Error> {
    let mut env = Environment::new();
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.add_filter("percent", percent);
    env.add_filter("time", time);
    env.add_template("bisect.html", include_str!("bisect.html"))?;
    let left_out = view.trials.len().saturating_sub(TRIALS_MAX);
    let page = env.get_template("bisect.html")?.render(context! {
        css => include_str!("../../report/html/page.css"),
        own_css => include_str!("bisect.css"),
        title => capital(&view.title),
        v => view,
        picture => picture(view),
        trials => &view.trials[left_out..],
        left_out => left_out,
        total_s => view.spent_s.iter().sum::<f64>(),
    })?;
    // The engine escapes slashes too, which says nothing more and weighs much.
    let page = page.replace("&#x2f;", "/");
    Ok(page.chars().filter(|c| !crate::report::hides(*c)).collect())
}

/// The belief after each trial: a row a trial, a column a candidate, the good end on the left.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Picture {
    svg: String,
    width: usize,
    height: usize,
    /// Candidates in a column.
    per_column: usize,
    /// Trials in a row.
    per_row: usize,
}

/// Width and height of a square.
const SQUARE: (usize, usize) = (6, 5);

fn picture(view: &View) -> Option<Picture> {
    let candidates = view.shorts.len();
    let rows = view.beliefs.len();
    if rows == 0 || candidates < 2 {
        return None;
    }
    let (per_column, per_row) = (candidates.div_ceil(COLUMNS_MAX), rows.div_ceil(ROWS_MAX));
    // Few candidates get wide columns.
    let wide = (COLUMNS_MAX / candidates.div_ceil(per_column)).clamp(1, 8) * SQUARE.0;
    let mut svg = String::new();
    let mut at = 0;
    for last in (0..rows).filter(|r| (r + 1) % per_row == 0 || r + 1 == rows) {
        let belief = &view.beliefs[last];
        for (column, some) in belief.chunks(per_column).enumerate() {
            let p: f64 = some.iter().sum();
            if p >= DRAWN_MIN {
                // Writing to a string does not fail. The eye sees the square root better.
                let _ = write!(
                    svg,
                    "<rect x=\"{}\" y=\"{}\" width=\"{wide}\" height=\"{}\" opacity=\"{:.2}\"/>",
                    column * wide,
                    at * SQUARE.1,
                    SQUARE.1,
                    p.min(1.0).sqrt()
                );
            }
        }
        let tried = view.trials.get(last).and_then(|t| Some((t.number?, t.class)));
        if let Some((number, class)) = tried {
            let _ = write!(
                svg,
                "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"2\"/>",
                number / per_column * wide + wide / 2,
                at * SQUARE.1 + SQUARE.1 / 2
            );
        }
        at += 1;
    }
    Some(Picture {
        svg,
        width: candidates.div_ceil(per_column) * wide,
        height: at * SQUARE.1,
        per_column,
        per_row,
    })
}
