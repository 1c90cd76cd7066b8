//! The end of the pressure, as an event: whoever has to pause waits for it with a timeout.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Set once; wakes everyone who waits.
#[derive(Debug, Default)]
pub struct Stop {
    set: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    /// Ends the pressure.
    pub fn set(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.set.store(true, Ordering::Release);
        self.wake.notify_all();
    }

    /// Whether the pressure is over.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits for the end, at most `timeout`; tells whether it has come.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(guard, timeout, |()| !self.is_set());
        drop(waited);
        self.is_set()
    }
}

/// Sets the stop when it is dropped, so that a thread that panics stops the others.
#[derive(Debug)]
pub struct StopOnDrop<'a>(pub &'a Stop);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_event_and_not_with_the_timeout() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::ZERO));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| stop.wait(Duration::MAX / 4));
            drop(StopOnDrop(&stop));
            assert!(waiter.join().unwrap());
        });
        assert!(stop.is_set());
    }
}
