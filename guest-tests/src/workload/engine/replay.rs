//! Replays a log: its steps in the order in which they began, one after the other on one thread.
//!
//! What races did is not repeated by it; what the steps alone do is.

use super::Engine;
use super::log::Entry;
use super::owner::{Owner, Stopped};
use crate::model::Mismatch;
use crate::workload::CaseError;

/// Carries the steps of a log out and verifies everything at the end; returns what was found.
///
/// # Errors
/// When a call failed that must not.
pub fn run(engine: &Engine, entries: &[Entry]) -> Result<Vec<Mismatch>, CaseError> {
    let mut owners = (0..engine.owners())
        .map(|number| Owner::new(engine, number, None, 0, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for entry in entries {
        let number = usize::from(entry.owner);
        let Some(owner) = owners.get_mut(number) else {
            return Err(CaseError::Broken(format!(
                "the log names owner {number} of {}",
                engine.owners()
            )));
        };
        if !owner.has(&entry.step) {
            return Err(CaseError::Broken(format!("there is nothing at {}", entry.step)));
        }
        match owner.carry_out(entry.step) {
            Ok(()) => {}
            Err(Stopped::Found) => break,
            Err(Stopped::Case(e)) => return Err(e),
        }
    }
    for mut owner in owners {
        if owner.found.is_empty() {
            match owner.survey() {
                Ok(()) | Err(Stopped::Found) => {}
                Err(Stopped::Case(e)) => return Err(e),
            }
        }
        found.append(&mut owner.found);
    }
    Ok(found)
}
