//! What records of the log hold. The first byte is the kind.
//!
//! | kind | content |
//! |---|---|
//! | 1 | series: their count; of each its number, the count of its labels, and their names and values |
//! | 2 | samples: their count; of each the difference of its series' number and of its time from those before, and the value's 8 bytes |
//! | 3 | a series of a checkpoint: its number and labels as in kind 1; the count of its chunks; of each its first time, its length in time, its count of samples, and its bytes |
//! | 4 | the end of a checkpoint: the next free number |
//! | 5 | histograms: their count; of each the differences as in kind 2, and what differs from a histogram without observations |
//!
//! A chunk's count says what its samples are. Kind 5 and chunks of histograms are in format 2 and later.

use std::sync::Arc;

use super::frame::{self, RECORD_BYTES_MAX};
use crate::histogram::{Histogram, HistogramSample};
use crate::labels::Labels;
use crate::sample::Sample;
use crate::tsdb::chunk::{Chunk, bytes_max, put_count, read_count};
use crate::tsdb::codec::{Reader, put_bytes, put_number, put_signed};
use crate::tsdb::histograms;

/// The most bytes of one series' names and values of labels, which a record must have room for.
pub(in crate::tsdb) const LABEL_BYTES_MAX: usize = 64 * 1024;
/// How many samples are in one record at most. Each takes 5 + 10 + 8 bytes at most.
const SAMPLES_PER_RECORD: usize = 32 * 1024;
/// How many bytes a record of series has before the next one is begun.
const SERIES_BYTES: usize = 1024 * 1024;

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const CHUNKS: u8 = 3;
const END: u8 = 4;
const HISTOGRAMS: u8 = 5;

/// A series that has come up.
pub(in crate::tsdb) struct NewSeries {
    pub(in crate::tsdb) id: u32,
    pub(in crate::tsdb) labels: Labels,
}

/// A record that has been read.
pub(in crate::tsdb) enum Record {
    Series(Vec<NewSeries>),
    Samples(Vec<(u32, Sample)>),
    Histograms(Vec<(u32, HistogramSample)>),
    Chunks { series: NewSeries, chunks: Vec<Chunk> },
    End { next_id: u32 },
}

/// Adds records of series.
pub(in crate::tsdb) fn put_series(out: &mut Vec<u8>, series: &[NewSeries]) {
    let mut body = Vec::new();
    let mut count = 0;
    for (index, one) in series.iter().enumerate() {
        put_number(&mut body, u64::from(one.id));
        put_labels(&mut body, &one.labels);
        count += 1;
        if body.len() >= SERIES_BYTES || index + 1 == series.len() {
            frame::put(out, |out| {
                out.push(SERIES);
                put_number(out, count);
                out.append(&mut body);
            });
            count = 0;
        }
    }
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_number(out, labels.iter().count() as u64);
    for label in labels.iter() {
        put_bytes(out, label.name.as_bytes());
        put_bytes(out, label.value.as_bytes());
    }
}

/// Adds records of samples.
pub(in crate::tsdb) fn put_samples(out: &mut Vec<u8>, samples: impl ExactSizeIterator<Item = (u32, Sample)>) {
    let mut left = samples.len();
    let mut samples = samples;
    while left > 0 {
        let count = left.min(SAMPLES_PER_RECORD);
        left -= count;
        frame::put(out, |out| {
            out.push(SAMPLES);
            put_number(out, count as u64);
            let (mut id_before, mut time_before) = (0, 0);
            for (id, sample) in samples.by_ref().take(count) {
                put_signed(out, i64::from(id) - id_before);
                put_signed(out, sample.timestamp.wrapping_sub(time_before));
                out.extend_from_slice(&sample.value.to_bits().to_le_bytes());
                (id_before, time_before) = (i64::from(id), sample.timestamp);
            }
        });
    }
}

/// Adds records of histograms.
pub(in crate::tsdb) fn put_histograms<'a>(out: &mut Vec<u8>, samples: impl Iterator<Item = (u32, i64, &'a Histogram)>) {
    let (mut body, mut count, mut before) = (Vec::new(), 0, (0, 0));
    let mut samples = samples.peekable();
    while let Some((id, timestamp, histogram)) = samples.next() {
        put_signed(&mut body, i64::from(id) - before.0);
        put_signed(&mut body, timestamp.wrapping_sub(before.1));
        histograms::put(&mut body, histogram, &Histogram::default());
        before = (i64::from(id), timestamp);
        count += 1;
        if body.len() >= SERIES_BYTES || samples.peek().is_none() {
            frame::put(out, |out| {
                out.push(HISTOGRAMS);
                put_number(out, count);
                out.append(&mut body);
            });
            (count, before) = (0, (0, 0));
        }
    }
}

fn read_histograms(reader: &mut Reader<'_>) -> Option<Vec<(u32, HistogramSample)>> {
    let count = reader.count()?;
    let (mut id, mut timestamp) = (0_i64, 0_i64);
    let mut one = || {
        id = id.checked_add(reader.signed()?)?;
        timestamp = timestamp.wrapping_add(reader.signed()?);
        let histogram = Arc::new(histograms::read(reader, &Histogram::default())?);
        Some((u32::try_from(id).ok()?, HistogramSample { timestamp, histogram }))
    };
    (0..count).map(|_| one()).collect()
}

/// Adds the record of a series with its chunks. More than fit into a record, which no series has, are an error when read.
pub(in crate::tsdb) fn put_chunks(out: &mut Vec<u8>, id: u32, labels: &Labels, chunks: &[Chunk]) {
    frame::put(out, |out| {
        out.push(CHUNKS);
        put_number(out, u64::from(id));
        put_labels(out, labels);
        put_number(out, chunks.len() as u64);
        for chunk in chunks {
            put_signed(out, chunk.first_ms);
            put_number(out, chunk.last_ms.wrapping_sub(chunk.first_ms).cast_unsigned());
            put_count(out, chunk.count, chunk.kind);
            put_bytes(out, &chunk.bytes);
        }
    });
}

/// Adds the record that ends a checkpoint.
pub(in crate::tsdb) fn put_end(out: &mut Vec<u8>, next_id: u32) {
    frame::put(out, |out| {
        out.push(END);
        put_number(out, u64::from(next_id));
    });
}

/// How many bytes of chunks, each with 40 more, fit into a record with any labels.
pub(in crate::tsdb) const CHUNK_BYTES_PER_RECORD: usize = RECORD_BYTES_MAX - 8 * LABEL_BYTES_MAX;

/// Reads a record; `None` if it is none of these.
pub(in crate::tsdb) fn read(record: &[u8]) -> Option<Record> {
    let mut reader = Reader::new(record);
    let [kind] = reader.array()?;
    let record = match kind {
        SERIES => {
            let count = reader.count()?;
            Record::Series((0..count).map(|_| read_series(&mut reader)).collect::<Option<_>>()?)
        }
        SAMPLES => Record::Samples(read_samples(&mut reader)?),
        HISTOGRAMS => Record::Histograms(read_histograms(&mut reader)?),
        CHUNKS => {
            let series = read_series(&mut reader)?;
            let count = reader.count()?;
            Record::Chunks { series, chunks: (0..count).map(|_| read_chunk(&mut reader)).collect::<Option<_>>()? }
        }
        END => Record::End { next_id: u32::try_from(reader.number()?).ok()? },
        _ => return None,
    };
    reader.is_empty().then_some(record)
}

fn read_series(reader: &mut Reader<'_>) -> Option<NewSeries> {
    let id = u32::try_from(reader.number()?).ok()?;
    let count = reader.count()?;
    let pairs = (0..count).map(|_| Some((reader.text()?, reader.text()?))).collect::<Option<Vec<_>>>()?;
    Some(NewSeries { id, labels: pairs.into_iter().collect() })
}

fn read_samples(reader: &mut Reader<'_>) -> Option<Vec<(u32, Sample)>> {
    let count = reader.count()?;
    let mut samples = Vec::with_capacity(count.min(SAMPLES_PER_RECORD));
    let (mut id, mut timestamp) = (0_i64, 0_i64);
    for _ in 0..count {
        id = id.checked_add(reader.signed()?)?;
        timestamp = timestamp.wrapping_add(reader.signed()?);
        let value = f64::from_bits(reader.u64()?);
        samples.push((u32::try_from(id).ok()?, Sample { timestamp, value }));
    }
    Some(samples)
}

fn read_chunk(reader: &mut Reader<'_>) -> Option<Chunk> {
    let first_ms = reader.signed()?;
    let last_ms = first_ms.wrapping_add(reader.number()?.cast_signed());
    let (count, kind) = read_count(reader)?;
    let bytes = reader.bytes()?;
    let fits = bytes.len() <= bytes_max(kind) && first_ms <= last_ms;
    fits.then(|| Chunk { first_ms, last_ms, count, kind, bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsdb::chunk::OpenChunk;
    use proptest::prelude::*;

    fn only(bytes: &[u8]) -> Option<Record> {
        read(&bytes[12..])
    }

    proptest! {
        #[test]
        fn samples_come_back(samples in proptest::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 1..50)) {
            let mut out = Vec::new();
            let of = |(id, timestamp, bits): (u32, i64, u64)| (id, Sample { timestamp, value: f64::from_bits(bits) });
            put_samples(&mut out, samples.clone().into_iter().map(of));
            let Some(Record::Samples(read)) = only(&out) else { panic!("no samples") };
            let read: Vec<_> = read.iter().map(|(id, sample)| (*id, sample.timestamp, sample.value.to_bits())).collect();
            prop_assert_eq!(read, samples);
        }

        #[test]
        fn any_bytes_are_a_record_or_none(kind in 0_u8..7, bytes: Vec<u8>) {
            let _ = read(&[&[kind], &bytes[..]].concat());
        }
    }

    #[test]
    fn series_and_chunks_come_back() {
        let labels: Labels = [("__name__", "up"), ("job", "é\n")].into_iter().collect();
        let mut out = Vec::new();
        put_series(&mut out, &[NewSeries { id: 7, labels: labels.clone() }]);
        let Some(Record::Series(series)) = only(&out) else { panic!("no series") };
        assert_eq!((series[0].id, &series[0].labels), (7, &labels));

        let mut open = OpenChunk::new(Sample::stale(i64::MIN));
        open.push(Sample { timestamp: i64::MAX, value: -0.0 });
        out.clear();
        put_chunks(&mut out, u32::MAX, &labels, &[open.snapshot(), open.snapshot()]);
        let Some(Record::Chunks { series, chunks }) = only(&out) else { panic!("no chunks") };
        assert_eq!((series.id, &series.labels, chunks.len()), (u32::MAX, &labels, 2));
        assert_eq!((chunks[1].first_ms, chunks[1].last_ms, chunks[1].count), (i64::MIN, i64::MAX, 2));
        assert_eq!(chunks[1].bytes, open.snapshot().bytes);
    }
}
