//! Samples that another Prometheus sends: its remote write protocol, version 1.0.
//!
//! Each series is decoded and given on by itself, and none may be larger than [`SERIES_BYTES_MAX`], so that a request takes
//! no more memory than a few times its size. Markers of staleness and other NaNs arrive bit by bit. Exemplars and metadata
//! are read over. Native histograms are taken but for those of custom buckets, which are refused by name.
//!
//! Source: Prometheus documentation, "Remote write specification 1.0"; Prometheus 2.42, `prompb`, `storage/remote`.

mod native;

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::append::{Append, Appended, Incoming, IncomingHistogram};
use crate::histogram::{HistogramError, HistogramSample};
use crate::labels::{Labels, is_label_name};
use crate::sample::Sample;
use crate::store::StoreError;
use native::Native;

/// The largest request, unpacked. Prometheus sends up to 2,000 samples in one.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The largest series in a request.
pub const SERIES_BYTES_MAX: usize = 1024 * 1024;
/// Samples in a request.
const SAMPLES_MAX: usize = 1_000_000;

/// The number of `timeseries` in a request.
const SERIES_FIELD: u32 = 1;

/// `prometheus.TimeSeries`
#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Native>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Point {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Why a request is not taken, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It is not in Snappy's block format.
    #[error("the body can't be unpacked: {0}")]
    Snappy(#[from] snap::Error),
    /// It is larger than is read.
    #[error("{what} has {bytes} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The request, or a series in it.
        what: &'static str,
        /// Its size, unpacked.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There are more samples than are taken at once.
    #[error("the request has more than {SAMPLES_MAX} samples")]
    TooMany,
    /// It is no write request.
    #[error("the request can't be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A series can't be stored under its labels.
    #[error("series {0} can't be stored: {1}")]
    Labels(String, &'static str),
    /// A native histogram that is none, or none that can be stored.
    #[error("{0} is a native histogram that can't be stored: {1}")]
    NativeHistogram(Labels, HistogramError),
    /// All others were kept.
    #[error("left out were {} samples out of order, {} with another value than is stored, {} too old or too new, \
             {} for which there is no room", .0.out_of_order, .0.duplicate, .0.out_of_bounds, .0.over_limit)]
    LeftOut(Appended),
    /// The sender should try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReceiveError {
    /// The HTTP status that the specification wants for it: after 4xx the sender gives up, after 5xx it tries again.
    pub fn status(&self) -> u16 {
        match self {
            Self::Store(_) => 500,
            Self::Snappy(_)
            | Self::TooLarge { .. }
            | Self::TooMany
            | Self::Decode(_)
            | Self::Labels(..)
            | Self::NativeHistogram(..)
            | Self::LeftOut(_) => 400,
        }
    }
}

/// Stores the samples of a request's body. A request that is wrong anywhere is not taken at all; samples that the store
/// leaves out do not keep the others out.
pub fn receive(body: &[u8], append: &dyn Append) -> Result<Appended, ReceiveError> {
    let all = decode(body)?;
    let (mixed, plain): (Vec<&Received>, Vec<&Received>) =
        all.iter().partition(|series| !series.samples.is_empty() && !series.histograms.is_empty());
    let floats = plain.iter().flat_map(|series| series.floats());
    let mut appended = append.append(&floats.collect::<Vec<_>>())?;
    let histograms: Vec<IncomingHistogram<'_>> = plain.iter().flat_map(|series| series.histograms()).collect();
    if !histograms.is_empty() {
        appended = appended.plus(append.append_histograms(&histograms)?);
    }
    for series in mixed {
        appended = appended.plus(series.append_mixed(append)?);
    }
    if appended.left_out() == 0 { Ok(appended) } else { Err(ReceiveError::LeftOut(appended)) }
}

/// A series of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// What it is called.
    pub labels: Labels,
    /// Its values, in the request's order.
    pub samples: Vec<Sample>,
    /// Its native histograms, in the request's order.
    pub histograms: Vec<HistogramSample>,
}

impl Received {
    fn floats(&self) -> impl Iterator<Item = Incoming<'_>> {
        self.samples.iter().map(|sample| Incoming { labels: &self.labels, sample: *sample })
    }

    fn histograms(&self) -> impl Iterator<Item = IncomingHistogram<'_>> {
        self.histograms.iter().map(|sample| IncomingHistogram { labels: &self.labels, sample })
    }

    /// Stores values and histograms in the order of their times: the series has changed from one to the other.
    fn append_mixed(&self, append: &dyn Append) -> Result<Appended, StoreError> {
        let mut appended = Appended::default();
        let (mut floats, mut histograms) = (self.floats().peekable(), self.histograms().peekable());
        while floats.peek().is_some() || histograms.peek().is_some() {
            let until = histograms.peek().map_or(i64::MAX, |next| next.sample.timestamp);
            let mut batch = Vec::new();
            while let Some(float) = floats.next_if(|float| float.sample.timestamp <= until) {
                batch.push(float);
            }
            appended = appended.plus(append.append(&batch)?);
            let until = floats.peek().map_or(i64::MAX, |next| next.sample.timestamp);
            let mut batch = Vec::new();
            while let Some(histogram) = histograms.next_if(|histogram| histogram.sample.timestamp <= until) {
                batch.push(histogram);
            }
            appended = appended.plus(append.append_histograms(&batch)?);
        }
        Ok(appended)
    }
}

/// The series of a request's body, in its order.
pub fn decode(body: &[u8]) -> Result<Vec<Received>, ReceiveError> {
    let bytes = snap::raw::decompress_len(body)?;
    check_size("the request", bytes, REQUEST_BYTES_MAX)?;
    let unpacked = snap::raw::Decoder::new().decompress_vec(body)?;
    let mut rest = unpacked.as_slice();
    let (mut all, mut count) = (Vec::new(), 0_usize);
    while rest.has_remaining() {
        let (field, wire) = decode_key(&mut rest)?;
        if field != SERIES_FIELD || wire != WireType::LengthDelimited {
            skip_field(wire, field, &mut rest, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
        check_size("a series", length, SERIES_BYTES_MAX)?;
        let Some((series, after)) = rest.split_at_checked(length) else {
            return Err(ReceiveError::Labels("at the end".to_owned(), "it is cut off"));
        };
        rest = after;
        let TimeSeries { labels, samples: points, histograms } = TimeSeries::decode(series)?;
        let labels = checked(&labels)?;
        count += points.len() + histograms.len();
        if count > SAMPLES_MAX {
            return Err(ReceiveError::TooMany);
        }
        let sample = |point: Point| Sample { timestamp: point.timestamp, value: point.value };
        let samples = points.into_iter().map(sample).collect();
        let histograms: Result<Vec<_>, _> = histograms.iter().map(Native::sample).collect();
        match histograms {
            Ok(histograms) => all.push(Received { labels, samples, histograms }),
            Err(error) => return Err(ReceiveError::NativeHistogram(labels, error)),
        }
    }
    Ok(all)
}

fn check_size(what: &'static str, bytes: usize, limit: usize) -> Result<(), ReceiveError> {
    if bytes > limit { Err(ReceiveError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// Labels in any order, each once.
fn checked(pairs: &[LabelPair]) -> Result<Labels, ReceiveError> {
    let labels: Labels = pairs.iter().map(|pair| (&pair.name, &pair.value)).collect();
    let wrong = |why| Err(ReceiveError::Labels(labels.to_string().chars().take(200).collect(), why));
    if labels.is_empty() {
        return wrong("it has no labels");
    }
    if !pairs.iter().all(|pair| is_label_name(&pair.name)) {
        return wrong("a label's name has other than letters, digits and `_`");
    }
    let mut names: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < pairs.len() { wrong("it has a label twice") } else { Ok(labels) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(message, repeated, tag = "1")]
        series: Vec<TimeSeries>,
        /// Metadata, which is read over.
        #[prost(bytes = "vec", repeated, tag = "3")]
        metadata: Vec<Vec<u8>>,
    }

    fn series(labels: &[(&str, &str)], points: &[(f64, i64)]) -> TimeSeries {
        let pair = |(name, value): &(&str, &str)| LabelPair { name: (*name).into(), value: (*value).into() };
        let points = points.iter().map(|(value, timestamp)| Point { value: *value, timestamp: *timestamp });
        TimeSeries { labels: labels.iter().map(pair).collect(), samples: points.collect(), histograms: Vec::new() }
    }

    fn body(series: Vec<TimeSeries>) -> Vec<u8> {
        let request = Request { series, metadata: vec![b"x".to_vec()] };
        snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
    }

    fn refused(series: Vec<TimeSeries>) -> String {
        let error = decode(&body(series)).unwrap_err();
        assert_eq!(error.status(), 400);
        error.to_string()
    }

    /// Leaves out what is older than 10.
    struct Picky;

    impl Append for Picky {
        fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
            if batch.is_empty() {
                return Err(StoreError::new("broken"));
            }
            let old = batch.iter().filter(|one| one.sample.timestamp < 10).count();
            Ok(Appended { kept: batch.len() - old, out_of_order: old, ..Appended::default() })
        }
    }

    #[test]
    fn samples_arrive_bit_by_bit() {
        let stale = Sample::stale(5);
        let sent = vec![series(&[("b", "1"), ("__name__", "a"), ("c", "")], &[(1.5, -3), (stale.value, 5)])];
        let samples = decode(&body(sent)).unwrap();
        assert_eq!(samples[0].labels.to_string(), r#"a{b="1"}"#);
        assert_eq!(samples[0].samples[0], Sample { timestamp: -3, value: 1.5 });
        assert!(samples[0].samples[1].is_stale());
    }

    #[test]
    fn what_can_not_be_stored_is_refused() {
        assert_eq!(refused(vec![series(&[], &[])]), "series {} can't be stored: it has no labels");
        assert!(refused(vec![series(&[("a", "1"), ("a", "2")], &[])]).ends_with("it has a label twice"));
        assert!(refused(vec![series(&[("a-b", "1")], &[])]).ends_with("has other than letters, digits and `_`"));
        let custom = Native::decode(&[4 << 3, 105][..]).unwrap();
        let native = TimeSeries { histograms: vec![custom], ..series(&[("__name__", "h")], &[]) };
        assert!(refused(vec![native]).starts_with("h is a native histogram that can't be stored: custom buckets"));
        let long = "x".repeat(SERIES_BYTES_MAX);
        assert!(refused(vec![series(&[("a", &long)], &[])]).starts_with("a series has 1048"));
    }

    #[test]
    fn broken_and_hostile_bodies_are_refused() {
        let whole = body(vec![series(&[("a", "1")], &[(1.0, 1)])]);
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "{end}");
        }
        // A length of 4 GiB in a body of a few bytes.
        assert!(matches!(decode(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err(ReceiveError::TooLarge { .. })));
        let zeros = snap::raw::Encoder::new().compress_vec(&vec![0; REQUEST_BYTES_MAX + 1]).unwrap();
        assert!(matches!(decode(&zeros), Err(ReceiveError::TooLarge { .. })));
        assert!(decode(&snap::raw::Encoder::new().compress_vec(b"\x0a\xff\xff\x03").unwrap()).is_err());
    }

    #[test]
    fn a_part_may_be_left_out() {
        let sent = body(vec![series(&[("a", "1")], &[(1.0, 1), (2.0, 20)])]);
        let error = receive(&sent, &Picky).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.to_string().starts_with("left out were 1 samples out of order"), "{error}");
        assert_eq!(receive(&body(Vec::new()), &Picky).unwrap_err().status(), 500);
        assert_eq!(receive(&body(vec![series(&[("a", "1")], &[(1.0, 10)])]), &Picky).unwrap().kept, 1);
    }
}
