//! Answers out of the head and the blocks.

use std::collections::{BTreeSet, HashMap};

use super::chunk::Chunk;
use super::database::Database;
use super::error::DatabaseError;
use super::head::Snapshot;
use super::read;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::sample::{Sample, Series};
use crate::store::{Store, StoreError};

impl Store for Database {
    fn select(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, StoreError> {
        self.selected(matchers, from_ms, to_ms).map_err(StoreError::new)
    }

    fn series(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Labels>, StoreError> {
        self.named(matchers, from_ms, to_ms).map_err(StoreError::new)
    }
}

impl Database {
    fn selected(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, DatabaseError> {
        let mut left = self.options.select_samples_max;
        let mut found: HashMap<Labels, Vec<Chunk>> = HashMap::new();
        for Snapshot { labels, chunks } in self.head_chunks(matchers, from_ms, to_ms, &mut left)? {
            found.entry(labels).or_default().extend(chunks);
        }
        let mut all = Vec::with_capacity(found.len());
        for (labels, chunks) in found {
            let samples = decoded(chunks, from_ms, to_ms).ok_or_else(|| self.undecodable())?;
            if !samples.is_empty() {
                all.push(Series { labels, samples });
            }
        }
        Ok(all)
    }

    /// What the head has, as it is at one moment.
    fn head_chunks(
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
            self.spend(left, series.sizes_in(from_ms, to_ms).samples)?;
            found.push(Snapshot { labels: series.labels().clone(), chunks: series.chunks(from_ms, to_ms) });
        }
        Ok(found)
    }

    pub(super) fn spend(&self, left: &mut u64, samples: u64) -> Result<(), DatabaseError> {
        let max = self.options.select_samples_max;
        *left = left.checked_sub(samples).ok_or(DatabaseError::TooManySamples { max })?;
        Ok(())
    }

    fn named(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Labels>, DatabaseError> {
        let mut found = BTreeSet::new();
        let head = read(&self.head);
        for id in head.matching(matchers, from_ms, to_ms)? {
            found.extend(head.get(id).map(|series| series.labels().clone()));
        }
        Ok(found.into_iter().collect())
    }

    /// Bytes whose checksum was right, and that are no chunk all the same.
    fn undecodable(&self) -> DatabaseError {
        let reason = "a chunk in memory can't be decoded";
        DatabaseError::Damaged { path: self.options.path.clone(), offset: 0, reason }
    }
}

/// The samples of a series' chunks in a time. Chunks come from several places, which may overlap while one is being replaced
/// by another.
fn decoded(mut chunks: Vec<Chunk>, from_ms: i64, to_ms: i64) -> Option<Vec<Sample>> {
    chunks.sort_by_key(|chunk| chunk.first_ms);
    let count: usize = chunks.iter().map(|chunk| chunk.count as usize).sum();
    let mut samples = Vec::with_capacity(count);
    let mut overlap = false;
    for chunk in chunks {
        overlap |= samples.last().is_some_and(|last: &Sample| last.timestamp >= chunk.first_ms);
        chunk.decode_into(&mut samples)?;
    }
    if overlap {
        samples.sort_by_key(|sample| sample.timestamp);
        samples.dedup_by_key(|sample| sample.timestamp);
    }
    let end = samples.partition_point(|sample| sample.timestamp <= to_ms);
    samples.truncate(end);
    let begin = samples.partition_point(|sample| sample.timestamp < from_ms);
    samples.drain(..begin);
    Some(samples)
}
