//! Where a block's pages are.

use std::sync::Arc;

use crate::tsdb::codec::{Reader, put_bytes, put_number, put_signed};

/// Where a page's content is; its checksum lies behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Extent {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_number(out, self.offset);
        put_number(out, u64::from(self.length));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { offset: reader.number()?, length: u32::try_from(reader.number()?).ok()? })
    }
}

/// What a block is, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tsdb) struct Summary {
    /// The time that it covers, whether or not there are samples at all of it; the end does not belong to it.
    pub(in crate::tsdb) from_ms: i64,
    pub(in crate::tsdb) until_ms: i64,
    /// When its first and last samples are.
    pub(in crate::tsdb) first_ms: i64,
    pub(in crate::tsdb) last_ms: i64,
    pub(in crate::tsdb) series: u32,
    pub(in crate::tsdb) chunks: u64,
    pub(in crate::tsdb) samples: u64,
    /// The numbers of the blocks that it takes the place of.
    pub(in crate::tsdb) replaces: Vec<u64>,
}

/// A label's values.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) text: Arc<str>,
    pub(super) value_count: usize,
    /// The pages of values, each with its first value.
    pub(super) pages: Vec<(Arc<str>, Extent)>,
}

/// Where a block's pages are.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    pub(super) summary: Summary,
    pub(super) texts: Vec<Extent>,
    pub(super) series: Vec<Extent>,
    /// Sorted.
    pub(super) names: Vec<Name>,
}

impl Directory {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let summary = &self.summary;
        for time in [summary.from_ms, summary.until_ms, summary.first_ms, summary.last_ms] {
            put_signed(&mut out, time);
        }
        for count in [u64::from(summary.series), summary.chunks, summary.samples] {
            put_number(&mut out, count);
        }
        put_number(&mut out, summary.replaces.len() as u64);
        summary.replaces.iter().for_each(|number| put_number(&mut out, *number));
        for pages in [&self.texts, &self.series] {
            put_number(&mut out, pages.len() as u64);
            for page in pages {
                page.put(&mut out);
            }
        }
        put_number(&mut out, self.names.len() as u64);
        for Name { text, value_count, pages } in &self.names {
            put_bytes(&mut out, text.as_bytes());
            put_number(&mut out, *value_count as u64);
            put_number(&mut out, pages.len() as u64);
            for (first, page) in pages {
                put_bytes(&mut out, first.as_bytes());
                page.put(&mut out);
            }
        }
        out
    }

    /// `None` if the bytes are no directory.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        let [from_ms, until_ms, first_ms, last_ms] =
            [reader.signed()?, reader.signed()?, reader.signed()?, reader.signed()?];
        let series = u32::try_from(reader.number()?).ok()?;
        let (chunks, samples) = (reader.number()?, reader.number()?);
        let replaces = many(reader, Reader::number)?;
        let summary = Summary { from_ms, until_ms, first_ms, last_ms, series, chunks, samples, replaces };
        let (texts, series) = (many(reader, Extent::read)?, many(reader, Extent::read)?);
        let names = many(reader, |reader| {
            let text = reader.text()?.into();
            let value_count = usize::try_from(reader.number()?).ok()?;
            let pages = many(reader, |reader| Some((reader.text()?.into(), Extent::read(reader)?)))?;
            Some(Name { text, value_count, pages })
        })?;
        reader.is_empty().then_some(Self { summary, texts, series, names })
    }
}

fn many<'a, T>(reader: &mut Reader<'a>, one: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
    let count = reader.count()?;
    (0..count).map(|_| one(reader)).collect()
}
