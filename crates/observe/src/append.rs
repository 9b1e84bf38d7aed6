//! Where samples go.

use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::sample::Sample;
use crate::store::StoreError;

/// A sample of a series, on its way into a store.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The series; made when the store does not have it yet.
    pub labels: &'a Labels,
    /// What is added to it.
    pub sample: Sample,
}

/// A histogram of a series, on its way into a store.
#[derive(Debug, Clone, Copy)]
pub struct IncomingHistogram<'a> {
    /// The series; made when the store does not have it yet.
    pub labels: &'a Labels,
    /// What is added to it.
    pub sample: &'a HistogramSample,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Samples that are kept, and those that are, to the bit, the newest one that their series has already.
    pub kept: usize,
    /// Samples older than the newest one of their series, and left out.
    pub out_of_order: usize,
    /// Samples with another value than the one that the series has at that time, and left out.
    pub duplicate: usize,
    /// Samples too old or too far ahead for the store to take in, and left out.
    pub out_of_bounds: usize,
    /// Samples of series that the store has no room for, or whose labels or histograms are larger than it takes, and left out.
    pub over_limit: usize,
}

impl Appended {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            kept: self.kept + other.kept,
            out_of_order: self.out_of_order + other.out_of_order,
            duplicate: self.duplicate + other.duplicate,
            out_of_bounds: self.out_of_bounds + other.out_of_bounds,
            over_limit: self.over_limit + other.over_limit,
        }
    }

    /// Samples that are not kept.
    pub fn left_out(&self) -> usize {
        self.out_of_order + self.duplicate + self.out_of_bounds + self.over_limit
    }
}

/// What takes samples in: the end of scraping, of remote write, of rules that record.
pub trait Append: Send + Sync {
    /// Takes in a batch, in its order. What is kept is there after a crash once this has returned; a sample that can't be
    /// kept does not keep the others out. Blocks for as long as the disk takes.
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError>;

    /// The same of histograms. What only takes floats in answers with an error.
    fn append_histograms(&self, batch: &[IncomingHistogram<'_>]) -> Result<Appended, StoreError> {
        if batch.is_empty() { Ok(Appended::default()) } else { Err(StoreError::new("it takes no histograms in")) }
    }
}
