//! Putting blocks together: a query over a day then reads a few blocks and not twelve, and labels are stored fewer times.

use std::sync::Arc;

use super::block::{Block, BlockWriter, Found, Texts, Walk};
use super::blocks;
use super::chunk::{Chunk, Decoded, Kind, Open, OpenChunk, SAMPLES_MAX};
use super::database::Database;
use super::error::DatabaseError;
use super::histograms::OpenHistograms;
use super::read::decoded;
use crate::histogram::HistogramSample;
use crate::labels::Labels;

/// How many blocks of one length make up the next longer one.
const STEP: i64 = 3;

impl Database {
    /// Puts together blocks whose longer block's time is over; false if there are none.
    pub(super) fn compact(&self) -> Result<bool, DatabaseError> {
        let all = self.blocks();
        let Some(group) = due(&all, self.options.block_ms, self.options.retention_ms / 10) else { return Ok(false) };
        let texts: Result<Vec<_>, _> = group.iter().map(|block| block.texts()).collect();
        let texts: Texts = texts?.into_iter().flatten().collect();
        let folder = self.blocks_folder();
        let mut writer = BlockWriter::begin(&self.disk, &folder, texts)?;
        let mut sources: Vec<Source<'_>> = Vec::new();
        for block in &group {
            sources.push(Source::begin(block)?);
        }
        while let Some(labels) = sources.iter().filter_map(Source::labels).min().cloned() {
            let mut chunks = Vec::new();
            for source in &mut sources {
                if source.labels() == Some(&labels) {
                    chunks.extend(source.take()?);
                }
            }
            let chunks = joined(chunks).ok_or_else(|| self.undecodable("a chunk of a block can't be decoded"))?;
            writer.add(&labels, &chunks)?;
        }
        let from_ms = group.iter().map(|block| block.summary().from_ms).min().unwrap_or_default();
        let number = blocks::next_number(&all);
        let path = blocks::path(&folder, number);
        let replaces: Vec<u64> = group.iter().map(|block| block.number()).collect();
        writer.finish(&path, (from_ms, blocks::end(&group)), replaces.clone())?;
        let block = Arc::new(Block::open(number, &path)?);
        let mut kept: Vec<Arc<Block>> =
            all.iter().filter(|block| !replaces.contains(&block.number())).cloned().collect();
        kept.push(block);
        self.set_blocks(kept);
        for block in group {
            self.disk.remove(block.path())?;
        }
        Ok(true)
    }
}

/// A block that is read series by series.
struct Source<'a> {
    block: &'a Block,
    walk: Walk<'a>,
    next: Option<Found>,
}

impl<'a> Source<'a> {
    fn begin(block: &'a Block) -> Result<Self, DatabaseError> {
        let mut walk = Walk::new(block);
        let next = walk.advance()?;
        Ok(Self { block, walk, next })
    }

    fn labels(&self) -> Option<&Labels> {
        self.next.as_ref().map(|found| &found.labels)
    }

    /// The chunks of the next series.
    fn take(&mut self) -> Result<Vec<Chunk>, DatabaseError> {
        let chunks = self.next.as_ref().map_or(Ok(Vec::new()), |found| self.block.chunks(found))?;
        self.next = self.walk.advance()?;
        Ok(chunks)
    }
}

/// Blocks next to each other that are to become one: at least two within a longer block's time that is over, the shortest
/// such time first, which is at most `longest_ms`.
fn due(blocks: &[Arc<Block>], block_ms: i64, longest_ms: i64) -> Option<Vec<Arc<Block>>> {
    let end = blocks::end(blocks);
    let mut length = block_ms.checked_mul(STEP)?;
    while length <= longest_ms {
        let window = |block: &Arc<Block>| block.summary().from_ms.div_euclid(length);
        for group in blocks.chunk_by(|a, b| window(a) == window(b)) {
            let over = group.first().and_then(|first| window(first).checked_add(1)?.checked_mul(length));
            if group.len() > 1 && over.is_some_and(|over| over <= end && blocks::end(group) <= over) {
                return Some(group.to_vec());
            }
        }
        length = length.checked_mul(STEP)?;
    }
    None
}

/// A series' chunks in order, small ones made into larger ones.
fn joined(mut chunks: Vec<Chunk>) -> Option<Vec<Chunk>> {
    chunks.sort_by_key(|chunk| chunk.first_ms);
    let overlap = chunks.iter().zip(chunks.iter().skip(1)).any(|(a, b)| a.last_ms >= b.first_ms);
    if overlap {
        return encoded(chunks);
    }
    let mut joined: Vec<Chunk> = Vec::with_capacity(chunks.len());
    let mut small: Vec<Chunk> = Vec::new();
    for chunk in chunks {
        let gathered: u32 = small.iter().map(|chunk| chunk.count).sum();
        let is_other = small.last().is_some_and(|last| last.kind != chunk.kind);
        // Chunks of histograms are full by their bytes, and are put together with nothing.
        if is_other || chunk.kind == Kind::Histograms || gathered + chunk.count > SAMPLES_MAX {
            joined.extend(encoded(std::mem::take(&mut small))?);
        }
        small.push(chunk);
    }
    joined.extend(encoded(small)?);
    Some(joined)
}

/// The samples of chunks in as few as they fit into.
fn encoded(chunks: Vec<Chunk>) -> Option<Vec<Chunk>> {
    if chunks.len() < 2 {
        return Some(chunks);
    }
    let Decoded { floats, histograms } = decoded(chunks, i64::MIN, i64::MAX)?;
    let mut chunks = Vec::new();
    let mut open: Option<Open> = None;
    let mut histograms = histograms.into_iter().peekable();
    for sample in floats {
        while let Some(earlier) = histograms.next_if(|histogram| histogram.timestamp < sample.timestamp) {
            add_histogram(&mut open, earlier, &mut chunks);
        }
        match &mut open {
            Some(Open::Floats(floats)) if floats.count() < SAMPLES_MAX => floats.push(sample),
            Some(_) | None => {
                chunks.extend(open.replace(Open::Floats(OpenChunk::new(sample))).map(|full| full.snapshot()));
            }
        }
    }
    histograms.for_each(|histogram| add_histogram(&mut open, histogram, &mut chunks));
    chunks.extend(open.map(|last| last.snapshot()));
    Some(chunks)
}

fn add_histogram(open: &mut Option<Open>, sample: HistogramSample, chunks: &mut Vec<Chunk>) {
    match open {
        Some(Open::Histograms(histograms)) if !histograms.is_full() => histograms.push(sample),
        Some(_) | None => {
            let next = Open::Histograms(Box::new(OpenHistograms::new(sample)));
            chunks.extend(open.replace(next).map(|full| full.snapshot()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::histogram::Histogram;
    use crate::sample::Sample;

    fn floats(from: i64, count: i64) -> Chunk {
        let mut open = OpenChunk::new(Sample { timestamp: from, value: 1.0 });
        (1..count).for_each(|step| open.push(Sample { timestamp: from + step, value: 1.0 }));
        open.snapshot()
    }

    fn histograms(from: i64, count: i64) -> Chunk {
        let at = |timestamp| HistogramSample { timestamp, histogram: Arc::new(Histogram::default()) };
        let mut open = OpenHistograms::new(at(from));
        (1..count).for_each(|step| open.push(at(from + step)));
        open.snapshot()
    }

    fn told(chunks: Vec<Chunk>) -> Vec<(i64, u32, Kind)> {
        joined(chunks).unwrap().iter().map(|chunk| (chunk.first_ms, chunk.count, chunk.kind)).collect()
    }

    #[test]
    fn chunks_of_floats_are_put_together_up_to_one_of_histograms() {
        let chunks = vec![floats(0, 10), floats(20, 10), histograms(40, 5), floats(50, 5), floats(60, 5)];
        let wanted = [(0, 20, Kind::Floats), (40, 5, Kind::Histograms), (50, 10, Kind::Floats)];
        assert_eq!(told(chunks), wanted);
        let chunks = vec![histograms(0, 5), histograms(10, 5)];
        assert_eq!(told(chunks), [(0, 5, Kind::Histograms), (10, 5, Kind::Histograms)]);
    }

    #[test]
    fn chunks_that_overlap_are_taken_apart() {
        let chunks = vec![floats(0, 10), floats(5, 10), histograms(12, 1), histograms(20, 5), histograms(22, 5)];
        let wanted =
            [(0, 13, Kind::Floats), (12, 1, Kind::Histograms), (13, 2, Kind::Floats), (20, 7, Kind::Histograms)];
        assert_eq!(told(chunks), wanted);
    }
}
