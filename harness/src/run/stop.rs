//! What ends a run before everything is done, and telling those who work.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

/// Why a run ends before everything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhy {
    /// The user said so.
    Signal,
    /// Its time is over.
    TimeBudget,
    /// A cell failed, and that was to end it.
    FailFast,
    /// A cell has a finding, and that was all that was asked for.
    Found,
}

impl StopWhy {
    /// In words, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Signal => "the run was stopped",
            Self::TimeBudget => "the time given to the run was over",
            Self::FailFast => "a cell had failed",
            Self::Found => "a cell had a finding",
        }
    }
}

/// Watches for reasons to stop. The first one counts.
pub(super) struct Stops {
    signal: watch::Receiver<bool>,
    deadline: Option<Instant>,
    halt: watch::Sender<bool>,
    why: Option<StopWhy>,
}

impl Stops {
    /// Watches for the user's signal, and for the end of a time that begins now.
    pub(super) fn new(signal: watch::Receiver<bool>, budget: Option<Duration>) -> Self {
        Self {
            signal,
            deadline: budget.and_then(|budget| Instant::now().checked_add(budget)),
            halt: watch::Sender::new(false),
            why: None,
        }
    }

    /// What tells those who work that they are to stop: it turns true.
    pub(super) fn halted(&self) -> watch::Receiver<bool> {
        self.halt.subscribe()
    }

    /// Why everything is being stopped, if it is.
    pub(super) fn why(&self) -> Option<StopWhy> {
        self.why
    }

    /// When time is over, in milliseconds from now.
    pub(super) fn left_ms(&self) -> Option<u64> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// A reason that is there already and was not noted.
    pub(super) fn new_reason(&self) -> Option<StopWhy> {
        if self.why.is_some() {
            None
        } else if *self.signal.borrow() {
            Some(StopWhy::Signal)
        } else if self.left_ms() == Some(0) {
            Some(StopWhy::TimeBudget)
        } else {
            None
        }
    }

    /// Waits for a reason to stop; for ever, once one was noted.
    pub(super) async fn asked(&mut self) -> StopWhy {
        if self.why.is_some() {
            return std::future::pending().await;
        }
        let over = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let signal = async {
            // Nobody left who could say so.
            if self.signal.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = signal => StopWhy::Signal,
            () = over => StopWhy::TimeBudget,
        }
    }

    /// Notes a reason, and tells everybody.
    pub(super) fn stop(&mut self, why: StopWhy) {
        self.why.get_or_insert(why);
        self.halt.send_replace(true);
    }
}
