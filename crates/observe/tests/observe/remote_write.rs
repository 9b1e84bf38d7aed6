//! Samples as Prometheus takes them in bit by bit: its remote write protocol carries markers of staleness and any NaN,
//! which no text format does.
//!
//! Source: Prometheus documentation, "Remote write specification 1.0"; Protocol Buffers, "Encoding"; Snappy, "Format
//! description".

use prograde_observe::{HistogramSample, Series};

/// The body of a write request.
pub(crate) fn request(series: &[Series]) -> Vec<u8> {
    let mut message = Vec::new();
    for series in series.iter().filter(|series| !series.is_empty()) {
        let mut one = Vec::new();
        for label in series.labels.iter() {
            let mut pair = Vec::new();
            field(&mut pair, 1, label.name.as_bytes());
            field(&mut pair, 2, label.value.as_bytes());
            field(&mut one, 1, &pair);
        }
        for sample in &series.samples {
            let mut pair = vec![(1 << 3) | 1];
            pair.extend(sample.value.to_bits().to_le_bytes());
            pair.push(2 << 3);
            varint(&mut pair, sample.timestamp.cast_unsigned());
            field(&mut one, 2, &pair);
        }
        for sample in &series.histograms {
            field(&mut one, 4, &native(sample));
        }
        field(&mut message, 1, &one);
    }
    snappy(&message)
}

/// `prometheus.Histogram`: of whole numbers where all are, or else of floats.
fn native(sample: &HistogramSample) -> Vec<u8> {
    let mut out = Vec::new();
    let histogram = &sample.histogram;
    let buckets = [(8, &histogram.negative), (11, &histogram.positive)];
    let counts = buckets.iter().flat_map(|(_, buckets)| buckets.iter().map(|bucket| bucket.count));
    let is_whole = counts.chain([histogram.count, histogram.zero_count]).all(|count| count.fract() == 0.0);
    for (number, count) in [(1, histogram.count), (6, histogram.zero_count)] {
        if is_whole {
            out.push(number << 3);
            varint(&mut out, whole(count).cast_unsigned());
        } else {
            double(&mut out, number + 1, count);
        }
    }
    double(&mut out, 3, histogram.sum);
    out.push(4 << 3);
    varint(&mut out, zigzag(i64::from(histogram.schema)));
    double(&mut out, 5, histogram.zero_threshold);
    for (number, buckets) in buckets {
        let mut end = 0;
        for bucket in buckets {
            let mut span = vec![1 << 3];
            varint(&mut span, zigzag(i64::from(bucket.index) - end));
            span.extend([2 << 3, 1]);
            field(&mut out, number, &span);
            end = i64::from(bucket.index) + 1;
        }
        let mut packed = Vec::new();
        let mut before = 0;
        for bucket in buckets {
            if is_whole {
                varint(&mut packed, zigzag(whole(bucket.count) - before));
                before = whole(bucket.count);
            } else {
                packed.extend(bucket.count.to_bits().to_le_bytes());
            }
        }
        field(&mut out, if is_whole { number + 1 } else { number + 2 }, &packed);
    }
    out.extend([14 << 3, histogram.hint as u8, 15 << 3]);
    varint(&mut out, sample.timestamp.cast_unsigned());
    out
}

#[expect(clippy::cast_possible_truncation, reason = "it is a whole number")]
fn whole(count: f64) -> i64 {
    count as i64
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn double(out: &mut Vec<u8>, number: u8, value: f64) {
    out.push((number << 3) | 1);
    out.extend(value.to_bits().to_le_bytes());
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A field of a known length.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push((number << 3) | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Snappy's format, of which nothing but literals is needed.
fn snappy(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, content.len() as u64);
    for chunk in content.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend(u16::try_from(chunk.len() - 1).unwrap().to_le_bytes());
        out.extend(chunk);
    }
    out
}
