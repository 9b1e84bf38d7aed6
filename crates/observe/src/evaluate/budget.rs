//! What a query may still take.

use std::cell::Cell;

use super::error::EvaluateError;

/// How many samples are worked through between two questions whether to go on.
const WORK_BETWEEN: u64 = 4096;

/// The bounds of one query.
pub(super) struct Budget<'a> {
    max: u64,
    spent: Cell<u64>,
    work: Cell<u64>,
    goes_on: &'a dyn Fn() -> bool,
}

impl<'a> Budget<'a> {
    pub(super) fn new(max: u64, goes_on: &'a dyn Fn() -> bool) -> Self {
        // The first work asks.
        Self { max, spent: Cell::new(0), work: Cell::new(WORK_BETWEEN), goes_on }
    }

    /// Takes samples that are read or made. To be called before there is memory for them.
    pub(super) fn spend(&self, samples: usize) -> Result<(), EvaluateError> {
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        let spent = self.spent.get().saturating_add(samples);
        if spent > self.max {
            return Err(self.exhausted());
        }
        self.spent.set(spent);
        self.work(samples)
    }

    /// How many samples may still be read or made.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.max.saturating_sub(self.spent.get())).unwrap_or(usize::MAX)
    }

    pub(super) fn exhausted(&self) -> EvaluateError {
        EvaluateError::TooManySamples { max: self.max }
    }

    /// Counts samples that are gone through once more, which costs time but no memory.
    pub(super) fn work(&self, samples: u64) -> Result<(), EvaluateError> {
        let work = self.work.get().saturating_add(samples);
        if work < WORK_BETWEEN {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        if (self.goes_on)() { Ok(()) } else { Err(EvaluateError::GivenUp) }
    }
}
