//! Locks over plain data.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. A holder that panicked leaves data that is whole: every critical section here writes plain fields.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
