//! Histograms as bytes, each told by what differs from the one before it, and chunks of them.
//!
//! | part | content |
//! |---|---|
//! | flags | a byte: 0 for a marker of staleness, of which nothing follows; else bit 0 is set, bit 1 says that schema, threshold and buckets are those of the histogram before, bit 2 that all counts are whole, bits 3 and 4 are the hint |
//! | layout | unless it is as before: the schema; the threshold's 8 bytes; above and below zero how many buckets, the first one's index, and the distances of the others less one |
//! | counts | of all observations, of those around zero, of the buckets: differences from before if they are whole, and else bits that differ |
//! | sum | bits that differ |
//!
//! What was not before, or is not whole, counts as 0. Bits that differ are a byte, whose upper half says how many bytes are 0
//! before those that differ and whose lower half how many follow, and these bytes, the highest first.
//!
//! A chunk's first time is kept beside it, as that of floats; each histogram is the difference of its distance in time from
//! that of the one before, and itself.

use std::sync::Arc;

use super::chunk::{Chunk, Kind, SAMPLES_MAX};
use super::codec::{Reader, put_number, put_signed};
use crate::histogram::{BUCKETS_MAX, Bucket, Hint, Histogram, HistogramSample, SCHEMA_MAX, SCHEMA_MIN};

/// How many bytes a chunk has before the next one is begun.
const CHUNK_BYTES: usize = 16 * 1024;
/// The most bytes that one histogram takes: 15 a bucket, and less than 100 beside them.
const ONE_BYTES_MAX: usize = BUCKETS_MAX * 15 + 100;
/// The most bytes that a chunk can have.
pub(super) const BYTES_MAX: usize = CHUNK_BYTES + ONE_BYTES_MAX;

const SAME: u8 = 2;
const WHOLE: u8 = 4;

/// The number, if it is whole and floats count so far.
fn whole(value: f64) -> Option<i64> {
    const MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is compared with what it was")]
    let found = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "it is compared with what it was")]
    let is_exact = (found as f64).to_bits() == value.to_bits();
    (is_exact && value.abs() <= MAX).then_some(found)
}

fn put_differing(out: &mut Vec<u8>, value: f64, before: f64) {
    let bits = value.to_bits() ^ before.to_bits();
    let zeros = bits.leading_zeros() / 8;
    let count = 8 - zeros - if bits == 0 { 0 } else { bits.trailing_zeros() / 8 };
    out.push((zeros << 4 | count).to_le_bytes()[0]);
    let bytes = bits.to_be_bytes();
    out.extend(bytes.iter().skip(zeros as usize).take(count as usize));
}

fn read_differing(reader: &mut Reader<'_>, before: f64) -> Option<f64> {
    let [told] = reader.array()?;
    let (zeros, count) = (usize::from(told >> 4), usize::from(told & 15));
    let mut bytes = [0; 8];
    bytes.get_mut(zeros..zeros + count)?.copy_from_slice(reader.take(count)?);
    Some(f64::from_bits(u64::from_be_bytes(bytes) ^ before.to_bits()))
}

fn same_buckets(one: &[Bucket], other: &[Bucket]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.index == other.index)
}

fn same_layout(one: &Histogram, other: &Histogram) -> bool {
    one.schema == other.schema
        && one.zero_threshold.to_bits() == other.zero_threshold.to_bits()
        && same_buckets(&one.positive, &other.positive)
        && same_buckets(&one.negative, &other.negative)
}

/// What was counted in each bucket before, for those that there are now.
fn counts_before<'a>(now: &'a [Bucket], before: &'a [Bucket]) -> impl Iterator<Item = f64> + 'a {
    let mut before = before.iter().peekable();
    now.iter().map(move |bucket| {
        while before.next_if(|other| other.index < bucket.index).is_some() {}
        before.next_if(|other| other.index == bucket.index).map_or(0.0, |other| other.count)
    })
}

fn put_buckets(out: &mut Vec<u8>, buckets: &[Bucket]) {
    put_number(out, buckets.len() as u64);
    let mut end: Option<i64> = None;
    for bucket in buckets {
        let index = i64::from(bucket.index);
        match end {
            None => put_signed(out, index),
            Some(end) => put_number(out, index.wrapping_sub(end).cast_unsigned()),
        }
        end = Some(index + 1);
    }
}

fn read_buckets(reader: &mut Reader<'_>) -> Option<Vec<Bucket>> {
    let count = reader.count().filter(|count| *count <= BUCKETS_MAX)?;
    let mut buckets = Vec::with_capacity(count);
    let mut end: Option<i64> = None;
    for _ in 0..count {
        let index = match end {
            None => reader.signed()?,
            Some(end) => end.checked_add_unsigned(reader.number()?)?,
        };
        buckets.push(Bucket { index: i32::try_from(index).ok()?, count: 0.0 });
        end = Some(index + 1);
    }
    Some(buckets)
}

fn hint_number(hint: Hint) -> u8 {
    match hint {
        Hint::Unknown => 0,
        Hint::Reset => 1,
        Hint::NoReset => 2,
        Hint::Gauge => 3,
    }
}

/// Adds a histogram.
pub(super) fn put(out: &mut Vec<u8>, now: &Histogram, before: &Histogram) {
    if now.is_stale() {
        out.push(0);
        return;
    }
    let buckets = || now.positive.iter().chain(&now.negative).map(|bucket| bucket.count);
    let is_whole = [now.count, now.zero_count].into_iter().chain(buckets()).all(|count| whole(count).is_some());
    let is_same = same_layout(now, before);
    let flags = [(is_same, SAME), (is_whole, WHOLE)].into_iter().filter(|(is_set, _)| *is_set);
    out.push(flags.fold(1 | (hint_number(now.hint) << 3), |flags, (_, flag)| flags | flag));
    if !is_same {
        put_signed(out, i64::from(now.schema));
        out.extend_from_slice(&now.zero_threshold.to_bits().to_le_bytes());
        put_buckets(out, &now.positive);
        put_buckets(out, &now.negative);
    }
    let (above, below) = buckets_before(now, before);
    let before_all = [before.count, before.zero_count].into_iter();
    let before_all = before_all.chain(counts_before(&now.positive, above)).chain(counts_before(&now.negative, below));
    for (count, before) in [now.count, now.zero_count].into_iter().chain(buckets()).zip(before_all) {
        match whole(count).filter(|_| is_whole) {
            Some(count) => put_signed(out, count - whole(before).unwrap_or(0)),
            None => put_differing(out, count, before),
        }
    }
    put_differing(out, now.sum, before.sum);
}

/// Buckets of another schema are others.
fn buckets_before<'a>(now: &Histogram, before: &'a Histogram) -> (&'a [Bucket], &'a [Bucket]) {
    if now.schema == before.schema { (&before.positive, &before.negative) } else { (&[], &[]) }
}

/// Reads a histogram; `None` if there is none.
pub(super) fn read(reader: &mut Reader<'_>, before: &Histogram) -> Option<Histogram> {
    let [flags] = reader.array()?;
    if flags == 0 {
        return Some(Histogram::stale());
    }
    let hint = match flags >> 3 {
        0 => Hint::Unknown,
        1 => Hint::Reset,
        2 => Hint::NoReset,
        3 => Hint::Gauge,
        _ => return None,
    };
    if flags & 1 == 0 {
        return None;
    }
    let mut now = if flags & SAME == 0 {
        let schema = i32::try_from(reader.signed()?).ok().filter(|at| (SCHEMA_MIN..=SCHEMA_MAX).contains(at))?;
        let zero_threshold = f64::from_bits(reader.u64()?);
        let (positive, negative) = (read_buckets(reader)?, read_buckets(reader)?);
        Histogram { schema, zero_threshold, positive, negative, hint, ..Histogram::default() }
    } else {
        Histogram { hint, ..before.clone() }
    };
    let mut count = |before: f64| {
        if flags & WHOLE == 0 {
            return read_differing(reader, before);
        }
        #[expect(clippy::cast_precision_loss, reason = "what was written is no larger than floats count")]
        let count = whole(before).unwrap_or(0).wrapping_add(reader.signed()?) as f64;
        Some(count)
    };
    (now.count, now.zero_count) = (count(before.count)?, count(before.zero_count)?);
    let (above, below) = buckets_before(&now, before);
    for (buckets, before) in [(&mut now.positive, above), (&mut now.negative, below)] {
        let counts: Option<Vec<f64>> = counts_before(buckets, before).map(&mut count).collect();
        for (bucket, count) in buckets.iter_mut().zip(counts?) {
            bucket.count = count;
        }
    }
    now.sum = read_differing(reader, before.sum)?;
    Some(now)
}

/// A chunk that histograms are added to.
#[derive(Debug, Clone)]
pub(super) struct OpenHistograms {
    bytes: Vec<u8>,
    first_ms: i64,
    last: HistogramSample,
    distance: i64,
    count: u32,
}

impl OpenHistograms {
    /// A chunk with its first sample.
    pub(super) fn new(sample: HistogramSample) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, &sample.histogram, &Histogram::default());
        Self { bytes, first_ms: sample.timestamp, last: sample, distance: 0, count: 1 }
    }

    /// True if the next sample belongs into another chunk.
    pub(super) fn is_full(&self) -> bool {
        self.count >= SAMPLES_MAX || self.bytes.len() >= CHUNK_BYTES
    }

    /// Adds a sample that is later than all before.
    pub(super) fn push(&mut self, sample: HistogramSample) {
        let distance = sample.timestamp.wrapping_sub(self.last.timestamp);
        put_signed(&mut self.bytes, distance.wrapping_sub(self.distance));
        put(&mut self.bytes, &sample.histogram, &self.last.histogram);
        (self.distance, self.last) = (distance, sample);
        self.count += 1;
    }

    pub(super) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// The latest sample.
    pub(super) fn last(&self) -> &HistogramSample {
        &self.last
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes the samples take, and the latest one once more.
    pub(super) fn bytes_held(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>() + self.last.histogram.size() * size_of::<Bucket>()
    }

    /// What it holds now.
    pub(super) fn snapshot(&self) -> Chunk {
        let (first_ms, last_ms) = (self.first_ms, self.last.timestamp);
        Chunk { first_ms, last_ms, count: self.count, kind: Kind::Histograms, bytes: self.bytes.as_slice().into() }
    }
}

/// All histograms of a chunk; `None` if its bytes are not those of such a chunk.
pub(super) fn decode_into(chunk: &Chunk, samples: &mut Vec<HistogramSample>) -> Option<()> {
    let mut reader = Reader::new(&chunk.bytes);
    let (mut timestamp, mut distance) = (chunk.first_ms, 0_i64);
    let mut before = Arc::new(Histogram::default());
    for index in 0..chunk.count {
        if index > 0 {
            distance = distance.wrapping_add(reader.signed()?);
            timestamp = timestamp.wrapping_add(distance);
        }
        before = Arc::new(read(&mut reader, &before)?);
        samples.push(HistogramSample { timestamp, histogram: Arc::clone(&before) });
    }
    (reader.is_empty() && timestamp == chunk.last_ms).then_some(())
}

/// A number by which two histograms are told apart.
pub(super) fn fingerprint(histogram: &Histogram) -> u64 {
    let mut bytes = Vec::new();
    put(&mut bytes, histogram, &Histogram::default());
    let mut hasher = siphasher::sip::SipHasher13::new();
    std::hash::Hasher::write(&mut hasher, &bytes);
    std::hash::Hasher::finish(&hasher)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (1_u32..1000).prop_map(f64::from),
            1 => any::<f64>().prop_filter("no bucket is empty", |count| *count != 0.0),
            1 => Just(-9_007_199_254_740_992.0),
        ]
    }

    fn buckets() -> impl Strategy<Value = Vec<Bucket>> {
        let index = prop_oneof![8 => -9_i32..9, 1 => any::<i32>()];
        proptest::collection::btree_map(index, count(), 0..6)
            .prop_map(|all| all.into_iter().map(|(index, count)| Bucket { index, count }).collect())
    }

    pub(crate) fn histogram() -> impl Strategy<Value = Histogram> {
        let hint = prop_oneof![Just(Hint::Unknown), Just(Hint::Reset), Just(Hint::NoReset), Just(Hint::Gauge)];
        let parts = (0_i32..2, 0_u8..2, count(), count(), any::<f64>(), buckets(), buckets(), hint);
        let any = parts.prop_map(|(schema, threshold, zero_count, count, sum, positive, negative, hint)| {
            let zero_threshold = f64::from(threshold);
            Histogram { schema, zero_threshold, zero_count, count, sum, positive, negative, hint }
        });
        prop_oneof![8 => any, 1 => Just(Histogram::stale())]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(steps in proptest::collection::vec((1_i64..100_000, histogram()), 1..40)) {
            let mut timestamp = -50_000;
            let samples: Vec<HistogramSample> = steps.into_iter().map(|(step, histogram)| {
                timestamp += step;
                HistogramSample { timestamp, histogram: Arc::new(histogram) }
            }).collect();
            let mut open = OpenHistograms::new(samples[0].clone());
            samples[1..].iter().for_each(|sample| open.push(sample.clone()));
            let mut decoded = Vec::new();
            decode_into(&open.snapshot(), &mut decoded).unwrap();
            prop_assert_eq!(format!("{decoded:?}"), format!("{samples:?}"));
        }

        #[test]
        fn any_bytes_are_histograms_or_nothing(bytes: Vec<u8>, first_ms: i64, count in 1..=SAMPLES_MAX) {
            let mut decoded = Vec::new();
            let chunk = Chunk { first_ms, last_ms: 0, count, kind: Kind::Histograms, bytes: bytes.into() };
            let _ = decode_into(&chunk, &mut decoded);
            prop_assert!(decoded.len() <= SAMPLES_MAX as usize);
        }
    }

    #[test]
    fn a_steady_histogram_takes_few_bytes() {
        let positive: Vec<Bucket> = (0..100).map(|index| Bucket { index, count: 1e9 }).collect();
        let histogram = Arc::new(Histogram { count: 1e11, sum: 0.5, positive, ..Histogram::default() });
        let at = |timestamp| HistogramSample { timestamp, histogram: Arc::clone(&histogram) };
        let mut open = OpenHistograms::new(at(0));
        let first = open.bytes.len();
        (1..3).for_each(|step| open.push(at(step * 15_000)));
        assert_eq!(open.bytes.len() - first - 2, 2 * (1 + 1 + 102 + 1));
        assert!(first < 800, "{first}");
    }
}
