//! Answers out of the head and the blocks.
//!
//! The head is asked first: what it has handed over to a block since is then in a block that the list has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::block::{Block, Found};
use super::chunk::{Chunk, Decoded, Kind};
use super::database::Database;
use super::error::DatabaseError;
use super::head::Snapshot;
use super::read;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::sample::Series;
use crate::store::{Store, StoreError};

impl Store for Database {
    fn select(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, StoreError> {
        self.selected(matchers, from_ms, to_ms).map_err(StoreError::new)
    }

    fn series(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Labels>, StoreError> {
        let found = self.found(matchers, from_ms, to_ms).map_err(StoreError::new)?;
        Ok(found.into_iter().collect())
    }

    fn label_names(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError> {
        let names: BTreeSet<Arc<str>> = if matchers.is_empty() {
            self.all_names(from_ms, to_ms)
        } else {
            let series = self.found(matchers, from_ms, to_ms).map_err(StoreError::new)?;
            series.iter().flat_map(Labels::iter).map(|label| Arc::clone(&label.name)).collect()
        };
        Ok(names.iter().map(ToString::to_string).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<String>, StoreError> {
        let values: BTreeSet<String> = if matchers.is_empty() {
            self.all_values(name, from_ms, to_ms).map_err(StoreError::new)?
        } else {
            let series = self.found(matchers, from_ms, to_ms).map_err(StoreError::new)?;
            series.iter().map(|labels| labels.get(name).to_owned()).filter(|value| !value.is_empty()).collect()
        };
        Ok(values.into_iter().collect())
    }
}

impl Database {
    fn selected(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, DatabaseError> {
        let mut left = self.options.select_samples_max;
        let mut chunks: HashMap<Labels, Vec<Chunk>> = HashMap::new();
        let in_head = self.in_head(matchers, from_ms, to_ms, &mut left)?;
        for block in self.overlapping(from_ms, to_ms) {
            for found in block.find(matchers, from_ms, to_ms)? {
                self.spend(&mut left, found.weight())?;
                let read = block.chunks(&found)?;
                chunks.entry(found.labels).or_default().extend(read);
            }
        }
        for Snapshot { labels, chunks: latest } in in_head {
            chunks.entry(labels).or_default().extend(latest);
        }
        let mut all = Vec::with_capacity(chunks.len());
        for (labels, chunks) in chunks {
            let decoded = decoded(chunks, from_ms, to_ms);
            let Decoded { floats: samples, histograms } =
                decoded.ok_or_else(|| self.undecodable("a chunk can't be decoded"))?;
            if !samples.is_empty() || !histograms.is_empty() {
                all.push(Series { labels, samples, histograms });
            }
        }
        Ok(all)
    }

    /// What the head has, as it is at one moment.
    fn in_head(
        &self,
        matchers: &[Matcher],
        from_ms: i64,
        to_ms: i64,
        left: &mut u64,
    ) -> Result<Vec<Snapshot>, DatabaseError> {
        let head = read(&self.head);
        let mut found = Vec::new();
        for id in head.matching(matchers, from_ms, to_ms)? {
            let Some(series) = head.get(id) else { continue };
            self.spend(left, series.weight_in(from_ms, to_ms))?;
            found.push(Snapshot { labels: series.labels().clone(), chunks: series.chunks(from_ms, to_ms) });
        }
        Ok(found)
    }

    fn spend(&self, left: &mut u64, samples: u64) -> Result<(), DatabaseError> {
        let max = self.options.select_samples_max;
        *left = left.checked_sub(samples).ok_or(DatabaseError::TooManySamples { max })?;
        Ok(())
    }

    fn overlapping(&self, from_ms: i64, to_ms: i64) -> Vec<Arc<Block>> {
        self.blocks().iter().filter(|block| block.overlaps(from_ms, to_ms)).cloned().collect()
    }

    /// The labels of the series that have chunks in a time.
    fn found(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<BTreeSet<Labels>, DatabaseError> {
        let mut labels: BTreeSet<Labels> = {
            let head = read(&self.head);
            let ids = head.matching(matchers, from_ms, to_ms)?;
            ids.into_iter().filter_map(|id| head.get(id)).map(|series| series.labels().clone()).collect()
        };
        for block in self.overlapping(from_ms, to_ms) {
            labels.extend(block.find(matchers, from_ms, to_ms)?.into_iter().map(|Found { labels, .. }| labels));
        }
        Ok(labels)
    }

    /// Of a head or block that has anything in a time, all of its names: to look at each series would cost much and tell
    /// little more.
    fn all_names(&self, from_ms: i64, to_ms: i64) -> BTreeSet<Arc<str>> {
        let mut names = BTreeSet::new();
        {
            let head = read(&self.head);
            if head.overlaps(from_ms, to_ms) {
                names.extend(head.label_names().cloned());
            }
        }
        for block in self.overlapping(from_ms, to_ms) {
            names.extend(block.label_names().cloned());
        }
        names
    }

    fn all_values(&self, name: &str, from_ms: i64, to_ms: i64) -> Result<BTreeSet<String>, DatabaseError> {
        let mut values = BTreeSet::new();
        {
            let head = read(&self.head);
            if head.overlaps(from_ms, to_ms) {
                values.extend(head.label_values(name).map(ToString::to_string));
            }
        }
        for block in self.overlapping(from_ms, to_ms) {
            values.extend(block.label_values(name)?);
        }
        Ok(values)
    }

    /// Bytes whose checksum was right, and that are no chunk all the same.
    pub(super) fn undecodable(&self, reason: &'static str) -> DatabaseError {
        DatabaseError::Damaged { path: self.options.path.clone(), offset: 0, reason }
    }
}

/// The samples of a series' chunks in a time. Chunks come from several places, which may overlap while one is being replaced
/// by another.
pub(super) fn decoded(mut chunks: Vec<Chunk>, from_ms: i64, to_ms: i64) -> Option<Decoded> {
    chunks.sort_by_key(|chunk| chunk.first_ms);
    let floats = chunks.iter().filter(|chunk| chunk.kind == Kind::Floats);
    let count: usize = floats.filter_map(|chunk| usize::try_from(chunk.count).ok()).sum();
    let mut decoded = Decoded { floats: Vec::with_capacity(count), histograms: Vec::new() };
    let mut overlap = false;
    let mut end_ms = None;
    for chunk in chunks {
        overlap |= end_ms.is_some_and(|end_ms| chunk.first_ms <= end_ms);
        end_ms = end_ms.max(Some(chunk.last_ms));
        decoded.add(&chunk)?;
    }
    cut(&mut decoded.floats, |sample| sample.timestamp, overlap, (from_ms, to_ms));
    cut(&mut decoded.histograms, |sample| sample.timestamp, overlap, (from_ms, to_ms));
    Some(decoded)
}

/// Leaves out what is there twice, if chunks overlap, and what is not in a time.
fn cut<T>(samples: &mut Vec<T>, time: impl Fn(&T) -> i64, overlap: bool, (from_ms, to_ms): (i64, i64)) {
    if overlap {
        samples.sort_by_key(&time);
        samples.dedup_by_key(|sample| time(sample));
    }
    let end = samples.partition_point(|sample| time(sample) <= to_ms);
    samples.truncate(end);
    let begin = samples.partition_point(|sample| time(sample) < from_ms);
    samples.drain(..begin);
}
