//! What targets answer: the text format 0.0.4 of Prometheus, and OpenMetrics 1.0.
//!
//! [`Parser`] goes through a body line by line and borrows from it. A sample is given with the text of its series as it
//! stands there, so that a scraper that knows the text need not read its labels again.
//!
//! Taken is what Prometheus 2.42 takes, which in places is more than the specifications say: commas between labels may be
//! left out in the text format, and a label's value may go over several lines. Otherwise than there, a line of the text
//! format may begin with spaces, as its specification says, and a zero byte between lines is an error where Prometheus
//! silently leaves out all that follows.
//!
//! Exemplars are read, so that a broken one is found, and left out: nothing stores them.
//!
//! Source: Prometheus documentation, "Exposition formats"; OpenMetrics 1.0; Prometheus 2.42, `model/textparse`.

mod cursor;
mod open;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;

use crate::labels::METRIC_NAME;
use cursor::{Cursor, is_label_start};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

/// What a target may be asked for, in the words of `Accept`.
pub const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

impl Format {
    /// The format that a `Content-Type` names. What is not known is read as text, as by Prometheus; `None` for Protocol
    /// Buffers, which are not asked for.
    pub fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            return Some(Self::OpenMetrics);
        }
        (!media.eq_ignore_ascii_case("application/vnd.google.protobuf")).then_some(Self::Text)
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets that are cumulative.
    Histogram,
    /// Counts in buckets that go up and down; OpenMetrics only.
    GaugeHistogram,
    /// Quantiles that the target has calculated.
    Summary,
    /// Labels about the target; OpenMetrics only.
    Info,
    /// Which of some states hold; OpenMetrics only.
    StateSet,
    /// Not known.
    Unknown,
}

impl MetricKind {
    /// As Prometheus' API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }

    fn of(name: &[u8], format: Format) -> Option<Self> {
        let is_open = format == Format::OpenMetrics;
        match name {
            b"counter" => Some(Self::Counter),
            b"gauge" => Some(Self::Gauge),
            b"histogram" => Some(Self::Histogram),
            b"summary" => Some(Self::Summary),
            b"untyped" if !is_open => Some(Self::Unknown),
            b"unknown" if is_open => Some(Self::Unknown),
            b"gaugehistogram" if is_open => Some(Self::GaugeHistogram),
            b"info" if is_open => Some(Self::Info),
            b"stateset" if is_open => Some(Self::StateSet),
            _ => None,
        }
    }
}

/// What one line says. Comments and empty lines are left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// What a metric means.
    Help {
        /// The metric family.
        metric: &'a str,
        /// For people.
        help: Cow<'a, str>,
    },
    /// What a metric is.
    Type {
        /// The metric family.
        metric: &'a str,
        /// Its kind.
        kind: MetricKind,
    },
    /// What a metric is measured in.
    Unit {
        /// The metric family.
        metric: &'a str,
        /// The unit; may be empty.
        unit: &'a str,
    },
    /// A sample of a series.
    Sample(Line<'a>),
}

/// A sample as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    /// The series' name and labels as they were written; two texts may mean the same series.
    pub series: &'a str,
    /// How much of it is the name.
    name_bytes: usize,
    /// Where in the body it begins.
    at: usize,
    /// Its value; any NaN is the same one.
    pub value: f64,
    /// Milliseconds since 1970, where the target says it.
    pub timestamp: Option<i64>,
}

impl<'a> Line<'a> {
    /// The metric's name.
    pub fn name(&self) -> &'a str {
        self.series.get(..self.name_bytes).unwrap_or_default()
    }

    /// The labels in the order in which they were written, the metric's name first. A value may be empty, and a name may
    /// come twice.
    pub fn labels(&self) -> Vec<(&'a str, Cow<'a, str>)> {
        let mut labels = vec![(METRIC_NAME, Cow::Borrowed(self.name()))];
        let mut cursor = Cursor::new(self.series.as_bytes());
        cursor.skip(self.name_bytes);
        // The text has been read once before, so that there are names, equal signs and values and nothing else.
        while !cursor.is_at_end() {
            if cursor.peek().is_some_and(is_label_start) {
                let name = cursor.name(false);
                cursor.skip_until(b'"');
                let value = cursor.quoted(true).unwrap_or_default();
                labels.push((as_text(name), unescaped(value, true)));
            } else {
                cursor.skip(1);
            }
        }
        labels
    }
}

/// Names are letters, and values were found to be UTF-8 when the line was read.
fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// `\\` and `\n`, and in values of labels `\"`, are what they stand for; any other backslash stands for itself.
fn unescaped(bytes: &[u8], quotes: bool) -> Cow<'_, str> {
    let text = as_text(bytes);
    let Some(first) = memchr::memchr(b'\\', bytes) else { return Cow::Borrowed(text) };
    let (before, mut rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len());
    out.push_str(before);
    while let Some(at) = rest.find('\\') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let (stands_for, taken) = match tail.as_bytes().get(1) {
            Some(b'\\') => ('\\', 2),
            Some(b'n') => ('\n', 2),
            Some(b'"') if quotes => ('"', 2),
            Some(_) | None => ('\\', 1),
        };
        out.push(stands_for);
        rest = tail.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Why a body can't be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ParseError {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub reason: String,
}

/// Goes through a body. After an error there is nothing more.
#[derive(Debug)]
pub struct Parser<'a> {
    cursor: Cursor<'a>,
    format: Format,
    ended: bool,
}

/// What is wrong at the place where the cursor stands.
type Wrong = Cow<'static, str>;

impl<'a> Parser<'a> {
    /// Over a body in a format.
    pub fn new(format: Format, body: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(body), format, ended: false }
    }

    /// The number of the line that a sample of this body is in, from 1.
    pub fn line_of(&self, sample: &Line<'_>) -> u32 {
        self.cursor.place_of(sample.at).0
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = match self.format {
            Format::Text => text::next(&mut self.cursor),
            Format::OpenMetrics => open::next(&mut self.cursor),
        };
        match next {
            Ok(Some(entry)) => Some(Ok(entry)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(reason) => {
                self.ended = true;
                let (line, column) = self.cursor.place();
                Some(Err(ParseError { line, column, reason: reason.into_owned() }))
            }
        }
    }
}
