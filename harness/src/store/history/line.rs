//! One line of the history: how a case came out on one kernel (pure).

use crate::store::median;

/// How a case came out on one kernel, over the runs that were looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Machine, case and racepoint.
    pub case: String,
    /// The kernel's name in its matrix.
    pub kernel: String,
    /// The kernel's content key; `None` where it could not be made.
    pub key: Option<String>,
    /// Cells that passed.
    pub passed: u32,
    /// Cells that failed.
    pub failed: u32,
    /// Cells that proved nothing.
    pub unproved: u32,
    /// Detection times in guest seconds, ascending.
    pub after: Vec<f64>,
    /// Guest seconds of pressure, all together.
    pub guest_s: f64,
    /// When its last run began, in milliseconds since 1970.
    pub last_ms: i64,
    /// That run.
    pub last_run: String,
    changes: u32,
    pairs: u32,
    last: Option<(String, bool)>,
}

impl Line {
    /// Share of those that passed among those that proved something.
    #[must_use]
    pub fn pass_rate(&self) -> Option<f64> {
        share(self.passed, self.passed + self.failed)
    }

    /// How often the outcome changed from one go to the next with the same kernel and the same guest suite:
    /// 0 always the same, 1 never twice the same; `None` below two goes.
    #[must_use]
    pub fn flakiness(&self) -> Option<f64> {
        share(self.changes, self.pairs)
    }

    /// The median time to detection, in guest seconds.
    #[must_use]
    pub fn detect_s(&self) -> Option<f64> {
        median(&self.after)
    }

    /// A line with nothing in it yet, for what a row is of.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            case: row.case.clone(),
            kernel: row.kernel.clone(),
            key: row.key.clone(),
            passed: 0,
            failed: 0,
            unproved: 0,
            after: Vec::new(),
            guest_s: 0.0,
            last_ms: 0,
            last_run: String::new(),
            changes: 0,
            pairs: 0,
            last: None,
        }
    }

    /// Counts a cell; rows come oldest first.
    pub(super) fn add(&mut self, row: &Row) {
        self.guest_s += row.guest_s;
        (self.last_ms, self.last_run) = (row.started_ms, row.run.clone());
        let failed = match row.verdict.as_str() {
            "pass" => false,
            "fail" => true,
            _ => {
                self.unproved += 1;
                return;
            }
        };
        self.passed += u32::from(!failed);
        self.failed += u32::from(failed);
        self.after.extend(row.detect_s.filter(|_| failed));
        if let Some((agent, before)) = &self.last
            && *agent == row.agent
        {
            self.pairs += 1;
            self.changes += u32::from(*before != failed);
        }
        self.last = Some((row.agent.clone(), failed));
    }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// A cell of the database.
pub(super) struct Row {
    pub(super) run: String,
    pub(super) started_ms: i64,
    pub(super) agent: String,
    pub(super) group: String,
    pub(super) case: String,
    pub(super) kernel: String,
    pub(super) key: Option<String>,
    pub(super) verdict: String,
    pub(super) detect_s: Option<f64>,
    pub(super) guest_s: f64,
}
