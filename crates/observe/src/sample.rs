//! Samples and series.

use crate::histogram::HistogramSample;
use crate::labels::Labels;

/// The bits of the value that marks the end of a series: a NaN that no calculation makes.
///
/// Source: Prometheus, `model/value`; Prometheus documentation, "Querying basics", "Staleness".
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Any number, NaN and the infinities among them.
    pub value: f64,
}

impl Sample {
    /// What a scraper writes when a series has ended: from here on it has no value.
    pub fn stale(timestamp: i64) -> Self {
        Self { timestamp, value: f64::from_bits(STALE_BITS) }
    }

    /// True of what [`Sample::stale`] makes, false of any other NaN.
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE_BITS
    }
}

/// A series with the samples of some time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is called.
    pub labels: Labels,
    /// Its values, by ascending time, no time twice.
    pub samples: Vec<Sample>,
    /// Its histograms, by ascending time, at no time that it has a value at. Few series have any.
    pub histograms: Vec<HistogramSample>,
}

impl Series {
    /// A series of values.
    pub fn of_floats(labels: Labels, samples: Vec<Sample>) -> Self {
        Self { labels, samples, histograms: Vec::new() }
    }

    /// True if it has neither values nor histograms.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }
}
