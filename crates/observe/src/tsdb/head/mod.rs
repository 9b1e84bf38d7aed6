//! What is in memory: the series that have samples not yet in a block, their samples, and the index of their labels.

mod postings;
mod series;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::candidates::candidates;
use super::chunk::Chunk;
use super::error::DatabaseError;
use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::sample::Sample;
use postings::Postings;
pub(super) use series::{Series, Sizes, window_end};

/// Numbers of series count up, so that they spread by themselves.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    /// By the golden ratio (Knuth, "The art of computer programming", volume 3, section 6.4).
    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A map by the numbers of series.
pub(super) type ById<T> = HashMap<u32, T, BuildHasherDefault<Spread>>;

/// A series as it was at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) labels: Labels,
    pub(super) chunks: Vec<Chunk>,
}

/// All series in memory.
#[derive(Debug)]
pub(super) struct Head {
    block_ms: i64,
    // Boxed, so that the map grows without moving them.
    series: ById<Box<Series>>,
    postings: Postings,
    sizes: Sizes,
    times: Option<(i64, i64)>,
}

impl Head {
    pub(super) fn new(block_ms: i64) -> Self {
        Self { block_ms, series: ById::default(), postings: Postings::default(), sizes: Sizes::default(), times: None }
    }

    /// Makes a series. Its number has not been used before.
    pub(super) fn create(&mut self, id: u32, labels: Labels) {
        self.postings.add(id, &labels);
        self.series.insert(id, Box::new(Series::new(labels)));
    }

    /// Adds a sample that is later than all that the series has.
    pub(super) fn push(&mut self, id: u32, sample: Sample) {
        if let Some(series) = self.series.get_mut(&id) {
            self.sizes.add(series.push(sample, self.block_ms));
            self.times = around(self.times, (sample.timestamp, sample.timestamp));
        }
    }

    /// Adds a histogram that is later than all that the series has.
    pub(super) fn push_histogram(&mut self, id: u32, sample: HistogramSample) {
        if let Some(series) = self.series.get_mut(&id) {
            self.times = around(self.times, (sample.timestamp, sample.timestamp));
            self.sizes.add(series.push_histogram(sample, self.block_ms));
        }
    }

    /// Adds a chunk that is later than all samples that the series has.
    pub(super) fn restore(&mut self, id: u32, chunk: Chunk) {
        if let Some(series) = self.series.get_mut(&id) {
            self.times = around(self.times, (chunk.first_ms, chunk.last_ms));
            self.sizes.add(series.restore(chunk));
        }
    }

    /// Makes a restored series one that samples can be added to; `None` if its last chunk can't be decoded.
    pub(super) fn reopen(&mut self, id: u32) -> Option<()> {
        self.series.get_mut(&id).map_or(Some(()), |series| series.reopen(self.block_ms))
    }

    pub(super) fn get(&self, id: u32) -> Option<&Series> {
        self.series.get(&id).map(|series| &**series)
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The numbers of all series, ascending.
    pub(super) fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.series.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The numbers of those that the matchers accept and that have samples in chunks of this time, ascending.
    pub(super) fn matching(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<u32>, DatabaseError> {
        let mut ids = candidates(&self.postings, matchers)?;
        ids.retain(|id| {
            self.get(*id).is_some_and(|series| {
                series.sizes_in(from_ms, to_ms).chunks > 0 && Matcher::accept_all(matchers, series.labels())
            })
        });
        Ok(ids)
    }

    /// All names of labels, in no order.
    pub(super) fn label_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.postings.names()
    }

    /// All values of a label, in no order.
    pub(super) fn label_values(&self, name: &str) -> impl Iterator<Item = &Arc<str>> {
        self.postings.values(name)
    }

    /// Takes away the chunks of some series that end before a time.
    pub(super) fn truncate(&mut self, ids: &[u32], before_ms: i64) {
        for id in ids {
            if let Some(series) = self.series.get_mut(id) {
                self.sizes.remove(series.truncate(before_ms));
            }
        }
    }

    /// Takes away the series that have no samples, and gives their labels. To be called after [`Self::truncate`].
    pub(super) fn remove_empty(&mut self) -> Vec<Labels> {
        let empty: HashSet<u32> =
            self.series.iter().filter(|(_, series)| series.first_ms().is_none()).map(|(id, _)| *id).collect();
        let gone: Vec<Labels> =
            empty.iter().filter_map(|id| self.series.remove(id)).map(|series| series.labels().clone()).collect();
        if !gone.is_empty() {
            self.postings.remove(&empty, gone.iter());
        }
        let of = |series: &Series| Some((series.first_ms()?, series.last_ms()?));
        self.times = self.series.values().filter_map(|series| of(series)).fold(None, around);
        gone
    }

    /// When the first and the last sample are.
    pub(super) fn times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// True if it has samples in a time, or may have.
    pub(super) fn overlaps(&self, from_ms: i64, to_ms: i64) -> bool {
        self.times.is_some_and(|(first, last)| first <= to_ms && last >= from_ms)
    }

    /// How many bytes the samples take.
    pub(super) fn bytes_held(&self) -> u64 {
        self.series.values().map(|series| series.bytes_held()).sum()
    }
}

/// The time that holds both.
fn around(known: Option<(i64, i64)>, (first, last): (i64, i64)) -> Option<(i64, i64)> {
    known.map_or(Some((first, last)), |(from, to)| Some((from.min(first), to.max(last))))
}

impl Sizes {
    fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.chunks += other.chunks;
    }

    fn remove(&mut self, other: Self) {
        self.samples = self.samples.saturating_sub(other.samples);
        self.chunks = self.chunks.saturating_sub(other.chunks);
    }
}
