//! What becomes of a target's answer: samples with the labels that they are stored under, markers of staleness for series
//! that are gone, and what is told about the scrape itself.
//!
//! A scrape is taken as a whole or not at all: where a line can't be read or a limit is exceeded, nothing of it is stored,
//! and all series of the target end, as they do when it does not answer.
//!
//! Series that were seen before are known by the text that they were written as, so that most lines cost a look-up and a
//! number. What has not been seen in the last good scrape is forgotten.
//!
//! Source: Prometheus 2.42, `scrape/scrape.go`; Prometheus documentation, "Jobs and instances".

mod metadata;
mod series;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub(crate) use metadata::Described;
pub use metadata::Metadata;
pub use series::SeriesError;

use super::config::{Limits, ScrapeJob};
use crate::append::{Append, Appended, Incoming};
use crate::exposition::{Entry, Format, Line, ParseError, Parser};
use crate::labels::{Labels, METRIC_NAME};
use crate::relabel::Rule;
use crate::sample::Sample;
use crate::store::StoreError;

/// How far ahead of the scrape a target's own timestamp may be.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;
/// Series that failing scrapes may add to twice those of the last good one, before they are forgotten.
const SURPLUS_SERIES: usize = 1000;

/// What is told about each scrape.
const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// It can't be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A series can't be stored under its labels.
    #[error("line {line}: {error}")]
    Series {
        /// The line that it is in, from 1.
        line: u32,
        /// What is wrong with it.
        error: SeriesError,
    },
    /// There are too many samples.
    #[error("sample_limit exceeded: {found} samples after relabelling, more than {limit}")]
    Samples {
        /// How many there are.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

/// How samples of a target are treated.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) relabelling: Vec<Rule>,
    pub(crate) limits: Limits,
}

impl Settings {
    pub(crate) fn of(job: &ScrapeJob) -> Self {
        Self {
            honor_labels: job.honor_labels,
            honor_timestamps: job.honor_timestamps,
            relabelling: job.metric_relabelling.clone(),
            limits: job.limits,
        }
    }
}

/// How many samples a scrape had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the answer.
    pub scraped: u64,
    /// After relabelling.
    pub kept: u64,
    /// Series that were not known.
    pub added: u64,
}

/// A series by its text.
#[derive(Debug)]
struct Known {
    /// None where relabelling drops it.
    labels: Option<Labels>,
    /// The scrape that it was last seen in.
    seen: u64,
    /// The scrape that it last had a sample in whose time was the scrape's own: such a series ends when it is gone.
    tracked: u64,
    /// Whether it had one in the scrape before that as well.
    twice: bool,
}

impl Known {
    fn track(&mut self, scrape: u64) {
        if self.tracked != scrape {
            self.twice = self.tracked + 1 == scrape;
            self.tracked = scrape;
        }
    }
}

/// One target's series from scrape to scrape.
#[derive(Debug)]
pub(crate) struct Ingest {
    settings: Settings,
    target: Labels,
    reports: [Labels; 5],
    known: HashMap<Box<str>, Known>,
    known_when_good: usize,
    /// Series of a target that this one continues, until its first scrape.
    carried: Vec<Labels>,
    metadata: metadata::Store,
    /// Counts scrapes, the first is 2: a series that has never been tracked, 0, was not in the scrape before it.
    scrape: u64,
}

/// An answer, and the time that its samples get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) format: Format,
    pub(crate) body: &'a [u8],
}

/// What a scrape came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Why the target is not up.
    pub(crate) error: Option<String>,
    /// How many samples there were, whether they were taken or not.
    pub(crate) counts: Counts,
    pub(crate) appended: Result<Appended, StoreError>,
}

impl Ingest {
    pub(crate) fn new(settings: Settings, target: &Labels, carried: Vec<Labels>) -> Self {
        Self {
            settings,
            target: target.clone(),
            reports: REPORTS.map(|name| target.with(METRIC_NAME, name)),
            known: HashMap::new(),
            known_when_good: 0,
            carried,
            metadata: metadata::Store::default(),
            scrape: 1,
        }
    }

    /// Stores what came, or that nothing came.
    pub(crate) fn take(
        &mut self,
        answer: Result<Answer<'_>, String>,
        at_ms: i64,
        seconds: f64,
        append: &dyn Append,
    ) -> Outcome {
        self.scrape += 1;
        let mut counts = Counts::default();
        let mut batch = Vec::new();
        let read = answer
            .and_then(|answer| self.read(answer, at_ms, &mut batch, &mut counts).map_err(|error| error.to_string()));
        if read.is_err() {
            batch.clear();
        }
        self.end_missing(at_ms, read.is_ok(), &mut batch);
        self.forget(read.is_ok());
        let up = if read.is_ok() { 1.0 } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "fewer than a number can count exactly")]
        let values = [up, seconds, counts.scraped as f64, counts.kept as f64, counts.added as f64];
        let reports = self.reports.iter().cloned().zip(values);
        batch.extend(reports.map(|(labels, value)| (labels, Sample { timestamp: at_ms, value })));
        Outcome { error: read.err(), counts, appended: store(&batch, append) }
    }

    /// Ends all series, those about the scrapes as well: the target is gone.
    pub(crate) fn end(&mut self, at_ms: i64, append: &dyn Append) -> Result<Appended, StoreError> {
        self.scrape += 1;
        let mut batch = Vec::new();
        self.end_missing(at_ms, false, &mut batch);
        batch.extend(self.reports.iter().map(|labels| (labels.clone(), Sample::stale(at_ms))));
        store(&batch, append)
    }

    /// The series that the last scrape had: what a target that continues this one has to end if they are gone by then.
    pub(crate) fn tracked(&self) -> Vec<Labels> {
        let last = self.known.values().filter(|known| known.tracked == self.scrape);
        last.filter_map(|known| known.labels.clone()).chain(self.carried.iter().cloned()).collect()
    }

    /// What the target says about its metrics.
    pub(crate) fn metadata(&self) -> Described {
        self.metadata.shared()
    }

    fn read(
        &mut self,
        answer: Answer<'_>,
        at_ms: i64,
        batch: &mut Vec<(Labels, Sample)>,
        counts: &mut Counts,
    ) -> Result<(), IngestError> {
        batch.reserve(self.known.len());
        let limit = self.settings.limits.samples;
        let mut parser = Parser::new(answer.format, answer.body);
        while let Some(entry) = parser.next() {
            let entry = match entry? {
                Entry::Sample(entry) => entry,
                described @ (Entry::Help { .. } | Entry::Type { .. } | Entry::Unit { .. }) => {
                    self.metadata.take(&described, self.scrape);
                    continue;
                }
            };
            counts.scraped += 1;
            let own_time = entry.timestamp.filter(|_| self.settings.honor_timestamps);
            let is_over = limit.is_some_and(|limit| counts.kept >= limit);
            let labels = self
                .labels_of(&entry, own_time.is_none(), is_over, counts)
                .map_err(|error| IngestError::Series { line: parser.line_of(&entry), error })?;
            let Some(labels) = labels else { continue };
            counts.kept += 1;
            let timestamp = own_time.unwrap_or(at_ms);
            if !is_over && timestamp <= at_ms.saturating_add(AHEAD_MS_MAX) {
                batch.push((labels, Sample { timestamp, value: entry.value }));
            }
        }
        match limit {
            // All are counted, so that one sees how far the limit is away.
            Some(limit) if counts.kept > limit => Err(IngestError::Samples { found: counts.kept, limit }),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends series that the scrape before had and this one has not; all of them where this one is not taken.
    fn end_missing(&mut self, at_ms: i64, is_taken: bool, batch: &mut Vec<(Labels, Sample)>) {
        let scrape = self.scrape;
        let mut ended: BTreeSet<Labels> = std::mem::take(&mut self.carried).into_iter().collect();
        for known in self.known.values_mut() {
            let is_now = known.tracked == scrape;
            let was_before = known.tracked + 1 == scrape || (is_now && known.twice);
            if was_before && !(is_now && is_taken) {
                ended.extend(known.labels.clone());
            }
            if is_now && !is_taken {
                known.tracked = 0;
            }
        }
        if !ended.is_empty() {
            // The same series may be there under another text.
            for known in self.known.values().filter(|known| known.tracked == scrape) {
                known.labels.as_ref().map(|labels| ended.remove(labels));
            }
        }
        batch.extend(ended.into_iter().map(|labels| (labels, Sample::stale(at_ms))));
    }

    /// Forgets texts that the scrape has not had. One that was not taken says nothing about them, but must not make them
    /// more and more either.
    fn forget(&mut self, is_taken: bool) {
        let scrape = self.scrape;
        if is_taken || self.known.len() > 2 * self.known_when_good + SURPLUS_SERIES {
            self.known.retain(|_, known| known.seen == scrape);
        }
        if is_taken {
            self.known_when_good = self.known.len();
            self.metadata.forget(scrape);
        }
    }

    /// What a line's series is stored as; none where it is dropped.
    fn labels_of(
        &mut self,
        line: &Line<'_>,
        tracks: bool,
        is_over: bool,
        counts: &mut Counts,
    ) -> Result<Option<Labels>, SeriesError> {
        if let Some(known) = self.known.get_mut(line.series) {
            known.seen = self.scrape;
            if tracks && !is_over {
                known.track(self.scrape);
            }
            return Ok(known.labels.clone());
        }
        let labels = series::stored(&self.settings, &self.target, line)?;
        // What is over the limit is counted and not remembered.
        if !is_over {
            counts.added += u64::from(labels.is_some());
            let tracked = if tracks { self.scrape } else { 0 };
            let known = Known { labels: labels.clone(), seen: self.scrape, tracked, twice: false };
            self.known.insert(line.series.into(), known);
        }
        Ok(labels)
    }
}

fn store(batch: &[(Labels, Sample)], append: &dyn Append) -> Result<Appended, StoreError> {
    let batch: Vec<Incoming<'_>> = batch.iter().map(|(labels, sample)| Incoming { labels, sample: *sample }).collect();
    append.append(&batch)
}
