//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up; far more than it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// How often is looked.
const PERIOD: Duration = Duration::from_millis(20);

/// Looks again and again until there is an answer.
///
/// # Panics
///
/// When there is none in time.
#[track_caller]
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    try_until(look).unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// Looks again and again until there is an answer, or patience is at its end.
pub(crate) fn try_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if now() >= deadline {
            return None;
        }
        pause(PERIOD);
    }
}

/// The time, for deadlines alone.
#[expect(clippy::disallowed_methods, reason = "nothing here runs on an asynchronous runtime, and nothing is decided")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets others run.
#[expect(clippy::disallowed_methods, reason = "nothing here runs on an asynchronous runtime")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
