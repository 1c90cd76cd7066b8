//! Running a child so that somebody else may stop it.
//!
//! Not here: how children are owned and ended (that is `host`).

use crate::host::{Cmd, Finished, Killer, ProcessError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stops long work from another thread: what runs is ended, and nothing more is started.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    running: Vec<(u64, Killer)>,
    next: u64,
}

/// Why a child did not do its work to the end.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum Stopped {
    /// Somebody said so.
    #[error("stopped on request")]
    OnRequest,
    /// It could not be run.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Process(#[from] ProcessError),
}

impl Cancel {
    /// Stops the work. May be called any number of times, from anywhere.
    pub fn stop(&self) {
        let mut state = self.locked();
        state.stopped = true;
        state.running.iter().for_each(|(_, killer)| killer.kill());
    }

    /// Says whether to go on.
    ///
    /// # Errors
    /// [`Stopped::OnRequest`] after [`Cancel::stop`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.locked().stopped {
            Err(Stopped::OnRequest)
        } else {
            Ok(())
        }
    }

    /// Runs a child to its end, or to ours.
    pub(crate) fn run(&self, cmd: Cmd) -> Result<Finished, Stopped> {
        self.check()?;
        let job = cmd.start()?;
        let id = {
            let mut state = self.locked();
            if state.stopped {
                job.kill();
            }
            state.next += 1;
            let id = state.next;
            state.running.push((id, job.killer()));
            id
        };
        let done = job.wait();
        self.locked().running.retain(|(other, _)| *other != id);
        self.check()?;
        Ok(done?)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
