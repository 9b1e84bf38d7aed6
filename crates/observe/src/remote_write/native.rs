//! Native histograms as remote write has them.
//!
//! Source: Prometheus, `prompb/types.proto`, `Histogram`; "Remote write specification 1.0".

use std::sync::Arc;

use prost::{Message, Oneof};

use crate::histogram::{Bucket, Hint, Histogram, HistogramError, HistogramSample, of_spans};

/// `prometheus.Histogram`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Native {
    #[prost(oneof = "Count", tags = "1, 2")]
    count: Option<Count>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    zero_count: Option<ZeroCount>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Span>,
    /// Of whole numbers: each count less the one before it.
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    /// Of floats: each count.
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    /// 1 if counting has begun anew, 2 if not, 3 of a gauge.
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(super) enum Count {
    #[prost(uint64, tag = "1")]
    Whole(u64),
    #[prost(double, tag = "2")]
    Float(f64),
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(super) enum ZeroCount {
    #[prost(uint64, tag = "6")]
    Whole(u64),
    #[prost(double, tag = "7")]
    Float(f64),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus calculates with floats")]
fn float(count: u64) -> f64 {
    count as f64
}

fn buckets(spans: &[Span], deltas: &[i64], counts: &[f64], is_whole: bool) -> Result<Vec<Bucket>, HistogramError> {
    let spans = spans.iter().map(|span| (span.offset, span.length));
    if !is_whole {
        return if deltas.is_empty() { of_spans(spans, counts.iter().copied()) } else { Err(HistogramError::Spans) };
    }
    if !counts.is_empty() {
        return Err(HistogramError::Spans);
    }
    let mut last = 0_i64;
    #[expect(clippy::cast_precision_loss, reason = "Prometheus calculates with floats")]
    let whole = deltas.iter().map(|delta| {
        last = last.wrapping_add(*delta);
        last as f64
    });
    of_spans(spans, whole)
}

impl Native {
    /// What it tells, checked.
    pub(super) fn sample(&self) -> Result<HistogramSample, HistogramError> {
        let at = |histogram| HistogramSample { timestamp: self.timestamp, histogram: Arc::new(histogram) };
        if self.sum.to_bits() == crate::sample::STALE_BITS {
            return Ok(at(Histogram::stale()));
        }
        let (count, is_whole) = match self.count {
            Some(Count::Float(count)) => (count, false),
            Some(Count::Whole(count)) => (float(count), true),
            None => (0.0, true),
        };
        let zero_count = match self.zero_count {
            Some(ZeroCount::Float(count)) => count,
            Some(ZeroCount::Whole(count)) => float(count),
            None => 0.0,
        };
        let hint = match self.reset_hint {
            1 => Hint::Reset,
            2 => Hint::NoReset,
            3 => Hint::Gauge,
            _ => Hint::Unknown,
        };
        // A schema that is not known says more than spans that do not fit it.
        let shape = Histogram { schema: self.schema, zero_threshold: self.zero_threshold, ..Histogram::default() };
        shape.check()?;
        let histogram = Histogram {
            zero_count,
            count,
            sum: self.sum,
            positive: buckets(&self.positive_spans, &self.positive_deltas, &self.positive_counts, is_whole)?,
            negative: buckets(&self.negative_spans, &self.negative_deltas, &self.negative_counts, is_whole)?,
            hint,
            ..shape
        };
        histogram.check()?;
        if is_whole {
            histogram.check_sum()?;
        }
        Ok(at(histogram))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_histogram_or_an_error(bytes: Vec<u8>, deltas: Vec<i64>, spans: Vec<(i32, u32)>) {
            if let Ok(native) = Native::decode(bytes.as_slice()) {
                let _ = native.sample();
            }
            let positive_spans = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
            let native = Native { positive_spans, positive_deltas: deltas, ..Native::default() };
            if let Ok(sample) = native.sample() {
                prop_assert!(sample.histogram.check().is_ok());
            }
        }
    }

    #[test]
    fn whole_numbers_and_floats_are_read() {
        let whole = Native {
            count: Some(Count::Whole(10)),
            sum: 12.5,
            schema: 3,
            zero_threshold: 0.001,
            zero_count: Some(ZeroCount::Whole(2)),
            positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
            positive_deltas: vec![1, 2, -1],
            negative_spans: vec![Span { offset: 4, length: 2 }],
            negative_deltas: vec![2, -2],
            reset_hint: 1,
            timestamp: 5,
            ..Native::default()
        };
        let bucket = |(index, count): (i32, f64)| Bucket { index, count };
        let wanted = Histogram {
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 10.0,
            sum: 12.5,
            positive: [(-1, 1.0), (0, 3.0), (4, 2.0)].map(bucket).to_vec(),
            negative: vec![bucket((4, 2.0))],
            hint: Hint::Reset,
        };
        assert_eq!(whole.sample(), Ok(HistogramSample { timestamp: 5, histogram: Arc::new(wanted.clone()) }));
        let floats = Native {
            count: Some(Count::Float(10.0)),
            zero_count: Some(ZeroCount::Float(2.0)),
            positive_deltas: Vec::new(),
            positive_counts: vec![1.0, 3.0, 2.0],
            negative_deltas: Vec::new(),
            negative_counts: vec![2.0, 0.0],
            reset_hint: 3,
            ..whole.clone()
        };
        assert_eq!(*floats.sample().unwrap().histogram, Histogram { hint: Hint::Gauge, ..wanted });
        let stale = Native { sum: f64::from_bits(crate::sample::STALE_BITS), schema: 99, ..whole.clone() };
        assert!(stale.sample().unwrap().histogram.is_stale());
        let refused = |change: &dyn Fn(&mut Native)| {
            let mut native = whole.clone();
            change(&mut native);
            native.sample().unwrap_err()
        };
        assert_eq!(refused(&|native| native.schema = -53), HistogramError::CustomBuckets);
        assert_eq!(refused(&|native| native.count = Some(Count::Whole(9))), HistogramError::Sum);
        assert_eq!(refused(&|native| native.positive_deltas[1] = -2), HistogramError::Count);
        assert_eq!(refused(&|native| native.positive_counts = vec![1.0]), HistogramError::Spans);
        assert_eq!(refused(&|native| native.positive_spans[1].offset = -3), HistogramError::Spans);
        assert_eq!(refused(&|native| native.negative_spans[0].length = u32::MAX), HistogramError::Spans);
    }
}
