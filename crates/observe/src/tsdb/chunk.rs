//! Compressed samples of one series: as many as are decoded together.
//!
//! A time is written as the difference of its distance from that of the sample before, which is 0 for a series that is
//! scraped at a steady pace; a value as what differs in its bits from the value before, which is nothing for most gauges and
//! a few bits for most counters. All of it is exact for any times and any bits, since sums and differences wrap.
//!
//! The first sample's time is kept beside the chunk, as is the number of its samples. The bits are: the first value; then of
//! each sample its time as one of
//!
//! | bits | difference of distances |
//! |---|---|
//! | `0` | 0 |
//! | `10` and 7 bits | -64 to 63 |
//! | `110` and 12 bits | -2048 to 2047 |
//! | `1110` and 20 bits | -524288 to 524287 |
//! | `1111` and 64 bits | any |
//!
//! and its value as one of
//!
//! | bits | bits that differ |
//! |---|---|
//! | `0` | none |
//! | `10` and those bits | in the same places as in the last value of the third kind, or fewer |
//! | `11`, 5 bits, 6 bits, and the bits between | how many bits before, at most 31, and how many between, less one, are told |
//!
//! Source: Pelkonen et al., "Gorilla: a fast, scalable, in-memory time series database", VLDB 2015, section 4.1. The paper
//! counts in seconds; the widths of times here are for milliseconds, where a steady pace is off by a few.

use std::sync::Arc;

use super::bits::{BitReader, BitWriter};
use super::codec::{Reader, put_number};
use super::histograms::{self, OpenHistograms};
use crate::histogram::HistogramSample;
use crate::sample::Sample;

/// As many samples as a chunk takes: 30 minutes at a sample each 15 seconds. More would save little, and cost a query that
/// needs only some of them.
pub(super) const SAMPLES_MAX: u32 = 120;

/// The most bytes that a chunk can have: each sample takes 68 bits for its time and 77 for its value at most.
pub(super) const BYTES_MAX: usize = (SAMPLES_MAX as usize * (68 + 77)).div_ceil(8);

/// What a chunk's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Floats,
    Histograms,
}

/// What is added to the count of a chunk's samples where they are histograms, which format 1 does not have.
const HISTOGRAMS: u64 = 1 << 16;

/// A chunk that no more samples are added to; cloning one costs a counter.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// When its first sample is.
    pub(super) first_ms: i64,
    /// When its last sample is.
    pub(super) last_ms: i64,
    /// How many samples it has; never 0.
    pub(super) count: u32,
    pub(super) kind: Kind,
    /// What the samples are decoded from.
    pub(super) bytes: Arc<[u8]>,
}

/// How much a chunk is in a query's account, in samples of floats: a histogram's bucket takes a byte at least, and 16 once it
/// is decoded.
pub(super) fn weight(kind: Kind, count: u32, bytes: usize) -> u64 {
    match kind {
        Kind::Floats => u64::from(count),
        Kind::Histograms => u64::from(count).max(bytes as u64),
    }
}

/// Adds how many samples there are and what they are.
pub(super) fn put_count(out: &mut Vec<u8>, count: u32, kind: Kind) {
    let kind = match kind {
        Kind::Floats => 0,
        Kind::Histograms => HISTOGRAMS,
    };
    put_number(out, u64::from(count) + kind);
}

/// Reads them; `None` if no chunk has as many.
pub(super) fn read_count(reader: &mut Reader<'_>) -> Option<(u32, Kind)> {
    let number = reader.number()?;
    let (number, kind) = match number.checked_sub(HISTOGRAMS) {
        Some(number) => (number, Kind::Histograms),
        None => (number, Kind::Floats),
    };
    let count = u32::try_from(number).ok().filter(|count| (1..=SAMPLES_MAX).contains(count))?;
    Some((count, kind))
}

/// The most bytes that a chunk can have.
pub(super) fn bytes_max(kind: Kind) -> usize {
    match kind {
        Kind::Floats => BYTES_MAX,
        Kind::Histograms => histograms::BYTES_MAX,
    }
}

/// The samples of chunks.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) floats: Vec<Sample>,
    pub(super) histograms: Vec<HistogramSample>,
}

impl Decoded {
    /// Adds a chunk's samples; `None` if the bytes are not those of such a chunk.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Option<()> {
        match chunk.kind {
            Kind::Floats => chunk.decode_into(&mut self.floats),
            Kind::Histograms => histograms::decode_into(chunk, &mut self.histograms),
        }
    }
}

impl Chunk {
    /// All samples, which are floats; `None` if the bytes are not those of such a chunk.
    pub(super) fn decode_into(&self, samples: &mut Vec<Sample>) -> Option<()> {
        let mut decoder = Decoder::new(self.first_ms, &self.bytes)?;
        samples.push(decoder.sample());
        for _ in 1..self.count {
            decoder.advance()?;
            samples.push(decoder.sample());
        }
        (decoder.time == self.last_ms).then_some(())
    }
}

/// A chunk that samples are added to.
#[derive(Debug, Clone)]
pub(super) struct OpenChunk {
    bits: BitWriter,
    first_ms: i64,
    last_ms: i64,
    distance: i64,
    value: u64,
    count: u32,
    /// How many bits are 0 before those that differed, when they were last told.
    before: u32,
    /// How many bits differed then; 0 as long as none have been told.
    between: u32,
}

impl OpenChunk {
    /// A chunk with its first sample.
    pub(super) fn new(sample: Sample) -> Self {
        let value = sample.value.to_bits();
        let mut bits = BitWriter::default();
        bits.write(value, 64);
        let (first_ms, last_ms) = (sample.timestamp, sample.timestamp);
        Self { bits, first_ms, last_ms, distance: 0, value, count: 1, before: 0, between: 0 }
    }

    /// Adds a sample that is later than all before.
    pub(super) fn push(&mut self, sample: Sample) {
        let distance = sample.timestamp.wrapping_sub(self.last_ms);
        self.write_time(distance.wrapping_sub(self.distance));
        self.write_value(sample.value.to_bits());
        self.distance = distance;
        self.last_ms = sample.timestamp;
        self.count += 1;
    }

    fn write_time(&mut self, difference: i64) {
        let low = |count: u32| difference.cast_unsigned() & ((1 << count) - 1);
        match difference {
            0 => self.bits.write(0, 1),
            -64..64 => self.bits.write((0b10 << 7) | low(7), 2 + 7),
            -2048..2048 => self.bits.write((0b110 << 12) | low(12), 3 + 12),
            -524_288..524_288 => self.bits.write((0b1110 << 20) | low(20), 4 + 20),
            i64::MIN..=i64::MAX => {
                self.bits.write(0b1111, 4);
                self.bits.write(difference.cast_unsigned(), 64);
            }
        }
    }

    fn write_value(&mut self, value: u64) {
        let differs = value ^ self.value;
        self.value = value;
        if differs == 0 {
            self.bits.write(0, 1);
            return;
        }
        // Both are below 64, since a bit differs.
        let before = differs.leading_zeros().min(31);
        let after = differs.trailing_zeros();
        let known_after = 64 - self.before - self.between;
        if self.between > 0 && before >= self.before && after >= known_after {
            self.bits.write(0b10, 2);
            self.bits.write(differs >> known_after, self.between);
            return;
        }
        self.before = before;
        self.between = 64 - before - after;
        self.bits.write((0b11 << 11) | (u64::from(before) << 6) | u64::from(self.between - 1), 2 + 5 + 6);
        self.bits.write(differs >> after, self.between);
    }

    pub(super) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// The latest sample.
    pub(super) fn last(&self) -> Sample {
        Sample { timestamp: self.last_ms, value: f64::from_bits(self.value) }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes it takes in memory beside its own size.
    pub(super) fn bytes_held(&self) -> usize {
        self.bits.capacity()
    }

    /// What it holds now.
    pub(super) fn snapshot(&self) -> Chunk {
        let bytes = self.bits.to_bytes().into();
        Chunk { first_ms: self.first_ms, last_ms: self.last_ms, count: self.count, kind: Kind::Floats, bytes }
    }
}

/// The latest sample of a series, as far as the next one is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) timestamp: i64,
    pub(super) kind: Kind,
    /// A float's bits, or a number that tells a histogram from others.
    pub(super) bits: u64,
}

impl Last {
    pub(super) fn float(sample: Sample) -> Self {
        Self { timestamp: sample.timestamp, kind: Kind::Floats, bits: sample.value.to_bits() }
    }

    pub(super) fn histogram(sample: &HistogramSample) -> Self {
        let bits = histograms::fingerprint(&sample.histogram);
        Self { timestamp: sample.timestamp, kind: Kind::Histograms, bits }
    }
}

/// A chunk that samples of either kind are added to.
#[derive(Debug, Clone)]
pub(super) enum Open {
    Floats(OpenChunk),
    // Few series have histograms, and no other pays for their size.
    Histograms(Box<OpenHistograms>),
}

impl Open {
    /// A chunk with the samples of another one.
    pub(super) fn again(chunk: &Chunk) -> Option<Self> {
        let mut decoded = Decoded::default();
        decoded.add(chunk)?;
        match chunk.kind {
            Kind::Floats => {
                let mut samples = decoded.floats.into_iter();
                let mut open = OpenChunk::new(samples.next()?);
                samples.for_each(|sample| open.push(sample));
                Some(Self::Floats(open))
            }
            Kind::Histograms => {
                let mut samples = decoded.histograms.into_iter();
                let mut open = OpenHistograms::new(samples.next()?);
                samples.for_each(|sample| open.push(sample));
                Some(Self::Histograms(Box::new(open)))
            }
        }
    }

    pub(super) fn first_ms(&self) -> i64 {
        match self {
            Self::Floats(open) => open.first_ms(),
            Self::Histograms(open) => open.first_ms(),
        }
    }

    pub(super) fn last_ms(&self) -> i64 {
        match self {
            Self::Floats(open) => open.last().timestamp,
            Self::Histograms(open) => open.last().timestamp,
        }
    }

    /// The latest sample.
    pub(super) fn last(&self) -> Last {
        match self {
            Self::Floats(open) => Last::float(open.last()),
            Self::Histograms(open) => Last::histogram(open.last()),
        }
    }

    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Floats(open) => open.count(),
            Self::Histograms(open) => open.count(),
        }
    }

    /// How much it is in a query's account.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Floats(open) => weight(Kind::Floats, open.count(), 0),
            Self::Histograms(open) => weight(Kind::Histograms, open.count(), open.bytes_held()),
        }
    }

    /// How many bytes it takes in memory beside its own size.
    pub(super) fn bytes_held(&self) -> usize {
        match self {
            Self::Floats(open) => open.bytes_held(),
            Self::Histograms(open) => open.bytes_held(),
        }
    }

    /// What it holds now.
    pub(super) fn snapshot(&self) -> Chunk {
        match self {
            Self::Floats(open) => open.snapshot(),
            Self::Histograms(open) => open.snapshot(),
        }
    }
}

struct Decoder<'a> {
    bits: BitReader<'a>,
    time: i64,
    distance: i64,
    value: u64,
    /// How many bits are 0 after those that differed, when they were last told.
    after: u32,
    /// How many bits differed then.
    between: u32,
}

impl<'a> Decoder<'a> {
    fn new(first_ms: i64, bytes: &'a [u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes);
        let value = bits.read(64)?;
        Some(Self { bits, time: first_ms, distance: 0, value, after: 0, between: 0 })
    }

    fn sample(&self) -> Sample {
        Sample { timestamp: self.time, value: f64::from_bits(self.value) }
    }

    #[inline]
    fn advance(&mut self) -> Option<()> {
        let difference = self.read_time()?;
        self.distance = self.distance.wrapping_add(difference);
        self.time = self.time.wrapping_add(self.distance);
        self.read_value()
    }

    #[inline]
    fn read_time(&mut self) -> Option<i64> {
        if self.bits.read(1)? == 0 {
            return Some(0);
        }
        let mut ones = 1;
        while ones < 4 && self.bits.read(1)? == 1 {
            ones += 1;
        }
        let count = match ones {
            1 => 7,
            2 => 12,
            3 => 20,
            _ => 64,
        };
        let shift = 64 - count;
        Some((self.bits.read(count)? << shift).cast_signed() >> shift)
    }

    #[inline]
    fn read_value(&mut self) -> Option<()> {
        if self.bits.read(1)? == 0 {
            return Some(());
        }
        if self.bits.read(1)? == 1 {
            let told = self.bits.read(5 + 6)?;
            let (before, between) = (u32::try_from(told >> 6).ok()?, u32::try_from(told & 63).ok()? + 1);
            self.after = 64_u32.checked_sub(before + between)?;
            self.between = between;
        }
        if self.between == 0 {
            return None;
        }
        self.value ^= self.bits.read(self.between)? << self.after;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(samples: &[Sample]) -> Vec<(i64, u64)> {
        let mut open = OpenChunk::new(samples[0]);
        samples[1..].iter().for_each(|sample| open.push(*sample));
        let chunk = open.snapshot();
        assert!(chunk.bytes.len() <= BYTES_MAX);
        let mut decoded = Vec::new();
        chunk.decode_into(&mut decoded).unwrap();
        decoded.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect()
    }

    fn bits() -> impl Strategy<Value = u64> {
        let plain = prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), (-9_i32..9).prop_map(f64::from)];
        prop_oneof![any::<u64>(), plain.prop_map(f64::to_bits), Just(crate::sample::STALE_BITS), Just(u64::MAX)]
    }

    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![
            any::<i64>(),
            -3000_i64..3000,
            Just(i64::MIN),
            Just(i64::MAX),
            1_600_000_000_000_i64..1_600_003_000_000
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_goes_in_comes_out(values in proptest::collection::vec((time(), bits()), 1..=SAMPLES_MAX as usize)) {
            let mut values = values;
            values.sort_unstable();
            values.dedup_by_key(|(time, _)| *time);
            let samples: Vec<Sample> =
                values.iter().map(|(time, bits)| Sample { timestamp: *time, value: f64::from_bits(*bits) }).collect();
            prop_assert_eq!(round_trip(&samples), values);
        }

        #[test]
        fn any_bytes_are_samples_or_nothing(bytes: Vec<u8>, first_ms: i64, count in 1..=SAMPLES_MAX) {
            let mut decoded = Vec::new();
            let _ = Chunk { first_ms, last_ms: 0, count, kind: Kind::Floats, bytes: bytes.into() }.decode_into(&mut decoded);
            prop_assert!(decoded.len() <= SAMPLES_MAX as usize);
        }
    }

    #[test]
    fn a_steady_series_takes_two_bits_a_sample() {
        let steady = |index: i64| Sample { timestamp: 1_600_000_000_000 + index * 15_000, value: 7.0 };
        let mut open = OpenChunk::new(steady(0));
        (1..120).for_each(|index| open.push(steady(index)));
        assert_eq!(open.snapshot().bytes.len(), 8 + (24 + 1 + 118 * 2_usize).div_ceil(8));
    }
}
