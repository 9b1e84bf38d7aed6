//! A series in memory.

use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::sample::Sample;
use crate::tsdb::chunk::{self, Chunk, Last, Open, OpenChunk, SAMPLES_MAX};
use crate::tsdb::histograms::OpenHistograms;

/// A series with its latest samples, in chunks that each lie within one block's time.
#[derive(Debug)]
pub(in crate::tsdb) struct Series {
    labels: Labels,
    closed: Vec<Chunk>,
    open: Option<Open>,
    /// When the block's time ends that the open chunk lies in.
    open_until_ms: i64,
}

/// How much was added, or taken away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::tsdb) struct Sizes {
    pub(in crate::tsdb) samples: u64,
    pub(in crate::tsdb) chunks: u64,
}

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Self { labels, closed: Vec::new(), open: None, open_until_ms: i64::MIN }
    }

    pub(in crate::tsdb) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Its latest sample.
    pub(in crate::tsdb) fn last(&self) -> Option<Last> {
        self.open.as_ref().map(Open::last)
    }

    /// Adds a sample that is later than all before.
    pub(super) fn push(&mut self, sample: Sample, block_ms: i64) -> Sizes {
        if let Some(Open::Floats(open)) = &mut self.open
            && open.count() < SAMPLES_MAX
            && sample.timestamp < self.open_until_ms
        {
            open.push(sample);
            return Sizes { samples: 1, chunks: 0 };
        }
        self.begin(sample.timestamp, block_ms, Open::Floats(OpenChunk::new(sample)))
    }

    /// Adds a histogram that is later than all before.
    pub(super) fn push_histogram(&mut self, sample: HistogramSample, block_ms: i64) -> Sizes {
        if let Some(Open::Histograms(open)) = &mut self.open
            && !open.is_full()
            && sample.timestamp < self.open_until_ms
        {
            open.push(sample);
            return Sizes { samples: 1, chunks: 0 };
        }
        self.begin(sample.timestamp, block_ms, Open::Histograms(Box::new(OpenHistograms::new(sample))))
    }

    fn begin(&mut self, timestamp: i64, block_ms: i64, open: Open) -> Sizes {
        self.closed.extend(self.open.take().map(|full| full.snapshot()));
        self.open_until_ms = window_end(timestamp, block_ms);
        self.open = Some(open);
        Sizes { samples: 1, chunks: 1 }
    }

    /// Takes in a chunk that is later than all before, as one that was written by [`Self::chunks`].
    pub(super) fn restore(&mut self, chunk: Chunk) -> Sizes {
        self.closed.extend(self.open.take().map(|full| full.snapshot()));
        let sizes = Sizes { samples: u64::from(chunk.count), chunks: 1 };
        self.closed.push(chunk);
        sizes
    }

    /// Makes the latest restored chunk one that samples can be added to; `None` if it can't be decoded.
    pub(super) fn reopen(&mut self, block_ms: i64) -> Option<()> {
        if self.open.is_some() {
            return Some(());
        }
        let Some(latest) = self.closed.pop() else { return Some(()) };
        let open = Open::again(&latest)?;
        self.open_until_ms = window_end(open.first_ms(), block_ms);
        self.open = Some(open);
        Some(())
    }

    /// Its chunks in a time, in order.
    pub(in crate::tsdb) fn chunks(&self, from_ms: i64, to_ms: i64) -> Vec<Chunk> {
        let begin = self.closed.partition_point(|chunk| chunk.last_ms < from_ms);
        let later = self.closed.get(begin..).unwrap_or_default().iter();
        let mut found: Vec<Chunk> = later.take_while(|chunk| chunk.first_ms <= to_ms).cloned().collect();
        let open = self.open.as_ref().filter(|open| open.first_ms() <= to_ms && open.last_ms() >= from_ms);
        found.extend(open.map(Open::snapshot));
        found
    }

    /// How much its chunks in a time are in a query's account.
    pub(in crate::tsdb) fn weight_in(&self, from_ms: i64, to_ms: i64) -> u64 {
        let open = self.open.iter().map(|open| (open.first_ms(), open.last_ms(), open.weight()));
        let closed = self.closed.iter();
        let closed = closed.map(|one| (one.first_ms, one.last_ms, chunk::weight(one.kind, one.count, one.bytes.len())));
        let inside = closed.chain(open).filter(|(first, last, _)| *first <= to_ms && *last >= from_ms);
        inside.map(|(_, _, weight)| weight).sum()
    }

    /// How many samples its chunks have in a time, and whether there are any chunks.
    pub(in crate::tsdb) fn sizes_in(&self, from_ms: i64, to_ms: i64) -> Sizes {
        let mut sizes = Sizes::default();
        let open = self.open.iter().map(|open| (open.first_ms(), open.last_ms(), open.count()));
        let closed = self.closed.iter().map(|chunk| (chunk.first_ms, chunk.last_ms, chunk.count));
        for (_, _, count) in closed.chain(open).filter(|(first, last, _)| *first <= to_ms && *last >= from_ms) {
            sizes.samples += u64::from(count);
            sizes.chunks += 1;
        }
        sizes
    }

    /// Takes away the chunks that end before a time, and says how much that was.
    pub(super) fn truncate(&mut self, before_ms: i64) -> Sizes {
        let gone = self.closed.partition_point(|chunk| chunk.last_ms < before_ms);
        let mut sizes = Sizes::default();
        for chunk in self.closed.drain(..gone) {
            sizes.samples += u64::from(chunk.count);
            sizes.chunks += 1;
        }
        self.closed.shrink_to_fit();
        if let Some(open) = self.open.take_if(|open| open.last_ms() < before_ms) {
            sizes.samples += u64::from(open.count());
            sizes.chunks += 1;
        }
        sizes
    }

    /// When its first sample is.
    pub(super) fn first_ms(&self) -> Option<i64> {
        let open = self.open.as_ref().map(Open::first_ms);
        self.closed.first().map(|chunk| chunk.first_ms).or(open)
    }

    /// When its last sample is.
    pub(super) fn last_ms(&self) -> Option<i64> {
        let closed = self.closed.last().map(|chunk| chunk.last_ms);
        self.open.as_ref().map(Open::last_ms).or(closed)
    }

    /// How many bytes its samples take in memory.
    pub(super) fn bytes_held(&self) -> u64 {
        let closed = self.closed.iter().map(|chunk| chunk.bytes.len() + size_of::<Chunk>());
        (closed.sum::<usize>() + self.open.as_ref().map_or(0, Open::bytes_held)) as u64
    }
}

/// When the block's time ends that a time lies in; the end of time if that is past it.
pub(in crate::tsdb) fn window_end(time_ms: i64, block_ms: i64) -> i64 {
    time_ms.saturating_sub(time_ms.rem_euclid(block_ms)).saturating_add(block_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_with_its_block_and_when_it_is_full() {
        let mut series = Series::new(Labels::default());
        for index in 0..300 {
            series.push(Sample { timestamp: index * 10, value: 1.0 }, 2000);
        }
        let chunks: Vec<_> =
            series.chunks(i64::MIN, i64::MAX).iter().map(|chunk| (chunk.first_ms, chunk.count)).collect();
        assert_eq!(chunks, [(0, 120), (1200, 80), (2000, 100)]);
        assert_eq!(series.truncate(2000), Sizes { samples: 200, chunks: 2 });
        assert_eq!(series.first_ms(), Some(2000));
        assert_eq!(series.truncate(2991), Sizes { samples: 100, chunks: 1 });
        assert_eq!(series.last(), None);
    }

    #[test]
    fn a_restored_chunk_goes_on() {
        let mut series = Series::new(Labels::default());
        for index in 0..50 {
            series.push(Sample { timestamp: index, value: 0.5 }, 2000);
        }
        let mut again = Series::new(Labels::default());
        for chunk in series.chunks(i64::MIN, i64::MAX) {
            again.restore(chunk);
        }
        again.reopen(2000).unwrap();
        for series in [&mut series, &mut again] {
            series.push(Sample { timestamp: 50, value: 0.25 }, 2000);
        }
        assert_eq!(series.chunks(0, 99)[0].bytes, again.chunks(0, 99)[0].bytes);
    }

    #[test]
    fn windows_at_the_ends_of_time_do_no_harm() {
        assert_eq!(window_end(i64::MAX, 7_200_000), i64::MAX);
        assert!(window_end(i64::MIN, 7_200_000) > i64::MIN);
        assert_eq!([-1, 0, 1, 1999, 2000].map(|time| window_end(time, 2000)), [0, 2000, 2000, 2000, 4000]);
    }
}
