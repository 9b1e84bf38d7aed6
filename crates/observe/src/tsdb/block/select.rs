//! Finding series in a block, and their chunks.

use std::collections::HashMap;
use std::sync::Arc;

use super::directory::{Extent, Name};
use super::reader::Block;
use super::{SERIES_PER_PAGE, SUM_BYTES, TEXTS_PER_PAGE};
use crate::labels::{Label, Labels};
use crate::matcher::Matcher;
use crate::tsdb::candidates::{Index, candidates};
use crate::tsdb::chunk::{self, Chunk, Kind};
use crate::tsdb::codec::Reader;
use crate::tsdb::error::DatabaseError;

/// Where a chunk is, and what it holds.
#[derive(Debug, Clone, Copy)]
struct Place {
    first_ms: i64,
    last_ms: i64,
    count: u32,
    kind: Kind,
    offset: u64,
    length: usize,
}

/// A series of a page.
#[derive(Debug)]
struct Entry {
    /// The texts of its labels' names and values.
    labels: Vec<(u32, u32)>,
    places: Vec<Place>,
}

/// A series that was found, whose chunks have not been read.
#[derive(Debug)]
pub(in crate::tsdb) struct Found {
    pub(in crate::tsdb) labels: Labels,
    places: Vec<Place>,
}

impl Found {
    /// How much its chunks are in a query's account.
    pub(in crate::tsdb) fn weight(&self) -> u64 {
        self.places.iter().map(|place| chunk::weight(place.kind, place.count, place.length)).sum()
    }
}

impl Block {
    /// The series that all matchers accept and that have chunks in a time, by their labels.
    pub(in crate::tsdb) fn find(
        &self,
        matchers: &[Matcher],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Found>, DatabaseError> {
        let mut pages = Pages::new(self);
        let mut found = Vec::new();
        for id in candidates(self, matchers)? {
            let Some(Entry { labels, places }) = pages.entry(id)? else { continue };
            let inside = |place: &Place| place.first_ms <= to_ms && place.last_ms >= from_ms;
            let places: Vec<Place> = places.into_iter().filter(inside).collect();
            if places.is_empty() {
                continue;
            }
            let labels = pages.labels(&labels)?;
            if Matcher::accept_all(matchers, &labels) {
                found.push(Found { labels, places });
            }
        }
        Ok(found)
    }

    /// Reads the chunks of a series, which lie behind each other.
    pub(in crate::tsdb) fn chunks(&self, found: &Found) -> Result<Vec<Chunk>, DatabaseError> {
        let (Some(first), Some(last)) = (found.places.first(), found.places.last()) else { return Ok(Vec::new()) };
        let length = (last.offset + (last.length + SUM_BYTES) as u64).saturating_sub(first.offset);
        let bytes = self.bytes(first.offset, length)?;
        let mut rest = Reader::new(&bytes);
        let mut chunks = Vec::with_capacity(found.places.len());
        for Place { first_ms, last_ms, count, kind, offset, length } in found.places.iter().copied() {
            let page = rest.take(length + SUM_BYTES).unwrap_or_default();
            let bytes = self.checked(offset, page)?.into();
            chunks.push(Chunk { first_ms, last_ms, count, kind, bytes });
        }
        Ok(chunks)
    }

    /// All names of labels.
    pub(in crate::tsdb) fn label_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.directory.names.iter().map(|name| &name.text)
    }

    /// All values of a label.
    pub(in crate::tsdb) fn label_values(&self, name: &str) -> Result<Vec<String>, DatabaseError> {
        let mut all = Vec::new();
        for (_, page) in self.name(name).map(|name| name.pages.as_slice()).unwrap_or_default() {
            self.values(*page, |value, _| {
                all.push(value.to_owned());
                Ok(())
            })?;
        }
        Ok(all)
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let names = &self.directory.names;
        names.binary_search_by(|known| (*known.text).cmp(name)).ok().and_then(|at| names.get(at))
    }

    /// Goes through a page of values and where their series are listed.
    fn values(
        &self,
        page: Extent,
        mut each: impl FnMut(&str, Extent) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let bytes = self.page(page)?;
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() {
            let value = reader.text().zip(Extent::read(&mut reader));
            let (value, ids) = value.ok_or_else(|| self.damaged(page.offset, "a value can't be read"))?;
            each(value, ids)?;
        }
        Ok(())
    }

    fn postings(&self, extent: Extent, ids: &mut Vec<u32>) -> Result<(), DatabaseError> {
        let bytes = self.page(extent)?;
        let mut read = || {
            let mut reader = Reader::new(&bytes);
            let mut id = 0_u32;
            for index in 0..reader.count()? {
                let more = u32::try_from(reader.number()?).ok()?;
                if index > 0 && more == 0 {
                    return None;
                }
                id = id.checked_add(more).filter(|id| *id < self.summary().series)?;
                ids.push(id);
            }
            reader.is_empty().then_some(())
        };
        read().ok_or_else(|| self.damaged(extent.offset, "a list of series can't be read"))
    }
}

impl Index for Block {
    fn all(&self) -> Vec<u32> {
        // As many as there are pages for.
        let held = self.directory.series.len().saturating_mul(SERIES_PER_PAGE);
        (0..self.summary().series.min(u32::try_from(held).unwrap_or(u32::MAX))).collect()
    }

    fn value_count(&self, name: &str) -> usize {
        self.name(name).map_or(0, |name| name.value_count)
    }

    fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, DatabaseError> {
        let mut ids = Vec::new();
        let pages = self.name(name).map(|name| name.pages.as_slice()).unwrap_or_default();
        let at = pages.partition_point(|(first, _)| **first <= *value);
        if let Some((_, page)) = at.checked_sub(1).and_then(|at| pages.get(at)) {
            self.values(*page, |known, extent| if known == value { self.postings(extent, &mut ids) } else { Ok(()) })?;
        }
        Ok(ids)
    }

    fn accepted(&self, name: &str, accepts: &dyn Fn(&str) -> bool) -> Result<Vec<u32>, DatabaseError> {
        let mut ids = Vec::new();
        for (_, page) in self.name(name).map(|name| name.pages.as_slice()).unwrap_or_default() {
            self.values(*page, |value, extent| if accepts(value) { self.postings(extent, &mut ids) } else { Ok(()) })?;
        }
        Ok(ids)
    }
}

/// The pages that one query has read.
struct Pages<'a> {
    block: &'a Block,
    texts: HashMap<usize, Vec<Arc<str>>>,
    /// The page of series that was read last, and those of its series that have not been asked for.
    series: Option<(usize, Vec<Option<Entry>>)>,
}

impl<'a> Pages<'a> {
    fn new(block: &'a Block) -> Self {
        Self { block, texts: HashMap::new(), series: None }
    }

    /// A series, once.
    fn entry(&mut self, id: u32) -> Result<Option<Entry>, DatabaseError> {
        let id = usize::try_from(id).unwrap_or(usize::MAX);
        let (page, within) = (id / SERIES_PER_PAGE, id % SERIES_PER_PAGE);
        if self.series.as_ref().is_none_or(|(read, _)| *read != page) {
            let Some(extent) = self.block.directory.series.get(page) else {
                return Err(self.block.damaged(0, "a listed series is in no page"));
            };
            let bytes = self.block.page(*extent)?;
            let entries = read_series(&bytes);
            let entries = entries.ok_or_else(|| self.block.damaged(extent.offset, "a series can't be read"))?;
            self.series = Some((page, entries));
        }
        Ok(self.series.as_mut().and_then(|(_, entries)| entries.get_mut(within)).and_then(Option::take))
    }

    fn labels(&mut self, pairs: &[(u32, u32)]) -> Result<Labels, DatabaseError> {
        let mut labels = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            labels.push(Label { name: self.text(*name)?, value: self.text(*value)? });
        }
        Ok(Labels::from_sorted(labels))
    }

    fn text(&mut self, place: u32) -> Result<Arc<str>, DatabaseError> {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let page = place / TEXTS_PER_PAGE;
        let missing = |block: &Block| block.damaged(0, "a text is in no page");
        if !self.texts.contains_key(&page) {
            let extent = self.block.directory.texts.get(page).ok_or_else(|| missing(self.block))?;
            self.texts.insert(page, self.block.text_page(*extent)?);
        }
        let found = self.texts.get(&page).and_then(|texts| texts.get(place % TEXTS_PER_PAGE));
        found.cloned().ok_or_else(|| missing(self.block))
    }
}

/// The series of a page; `None` if the bytes are none.
fn read_series(bytes: &[u8]) -> Option<Vec<Option<Entry>>> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::with_capacity(SERIES_PER_PAGE);
    while !reader.is_empty() {
        let count = reader.count()?;
        let mut text = || u32::try_from(reader.number()?).ok();
        let labels = (0..count).map(|_| Some((text()?, text()?))).collect::<Option<_>>()?;
        let mut offset = reader.number()?;
        let count = reader.count()?;
        let mut time = 0_i64;
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            let first_ms = time.wrapping_add(reader.signed()?);
            let last_ms = first_ms.wrapping_add(reader.number()?.cast_signed());
            let (count, kind) = chunk::read_count(&mut reader)?;
            let length = usize::try_from(reader.number()?).ok().filter(|length| *length <= chunk::bytes_max(kind))?;
            places.push(Place { first_ms, last_ms, count, kind, offset, length });
            offset = offset.checked_add((length + SUM_BYTES) as u64)?;
            time = last_ms;
        }
        entries.push(Some(Entry { labels, places }));
    }
    Some(entries)
}

/// All series of a block, by their labels, with their chunks.
pub(in crate::tsdb) struct Walk<'a> {
    pages: Pages<'a>,
    next: u32,
}

impl<'a> Walk<'a> {
    pub(in crate::tsdb) fn new(block: &'a Block) -> Self {
        Self { pages: Pages::new(block), next: 0 }
    }

    /// The next series.
    pub(in crate::tsdb) fn advance(&mut self) -> Result<Option<Found>, DatabaseError> {
        if self.next >= self.pages.block.summary().series {
            return Ok(None);
        }
        let id = self.next;
        self.next += 1;
        let Some(Entry { labels, places }) = self.pages.entry(id)? else {
            return Err(self.pages.block.damaged(0, "a series is missing"));
        };
        Ok(Some(Found { labels: self.pages.labels(&labels)?, places }))
    }
}
