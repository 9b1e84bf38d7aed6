//! What decides which samples are taken in, and writes them to the log before anybody sees them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use super::chunk::{Kind, Last};
use super::error::DatabaseError;
use super::head::Head;
use super::wal::record::{self, LABEL_BYTES_MAX, NewSeries};
use super::wal::writer::{Mark, Writer};
use crate::append::{Appended, Incoming, IncomingHistogram};
use crate::histogram::BUCKETS_MAX;
use crate::labels::{Label, Labels};

/// The latest sample of a series, by which the next one is judged.
#[derive(Debug, Clone, Copy)]
struct Tail {
    id: u32,
    // Without the space that `Last` has behind it: there are as many as there are series.
    kind: Kind,
    timestamp: i64,
    bits: u64,
}

impl Tail {
    fn new(id: u32, Last { timestamp, kind, bits }: Last) -> Self {
        Self { id, kind, timestamp, bits }
    }

    fn last(&self) -> Last {
        Last { timestamp: self.timestamp, kind: self.kind, bits: self.bits }
    }
}

/// What is taken in: floats or histograms.
pub(super) trait Arriving {
    fn labels(&self) -> &Labels;
    /// What the next one will be judged by.
    fn last(&self) -> Last;
    /// True if it is larger than anything that is taken in.
    fn is_too_large(&self) -> bool;
    /// Adds records of those that are taken in, each with its series' number.
    fn put(out: &mut Vec<u8>, taken: &[(u32, &Self)]);
    /// Adds it to what is in memory.
    fn push(&self, id: u32, head: &mut Head);
}

impl Arriving for Incoming<'_> {
    fn labels(&self) -> &Labels {
        self.labels
    }

    fn last(&self) -> Last {
        Last::float(self.sample)
    }

    fn is_too_large(&self) -> bool {
        false
    }

    fn put(out: &mut Vec<u8>, taken: &[(u32, &Self)]) {
        record::put_samples(out, taken.iter().map(|(id, incoming)| (*id, incoming.sample)));
    }

    fn push(&self, id: u32, head: &mut Head) {
        head.push(id, self.sample);
    }
}

impl Arriving for IncomingHistogram<'_> {
    fn labels(&self) -> &Labels {
        self.labels
    }

    fn last(&self) -> Last {
        Last::histogram(self.sample)
    }

    fn is_too_large(&self) -> bool {
        self.sample.histogram.positive.len() + self.sample.histogram.negative.len() > BUCKETS_MAX
    }

    fn put(out: &mut Vec<u8>, taken: &[(u32, &Self)]) {
        let of = |(id, incoming): &(u32, &Self)| (*id, incoming.sample.timestamp, &*incoming.sample.histogram);
        record::put_histograms(out, taken.iter().map(of));
    }

    fn push(&self, id: u32, head: &mut Head) {
        head.push_histogram(id, self.sample.clone());
    }
}

/// What only one append at a time may touch.
#[derive(Debug)]
pub(super) struct Appender {
    series: HashMap<Labels, Tail>,
    symbols: HashSet<Arc<str>>,
    next_id: u32,
    pub(super) log: Writer,
    /// Samples before this would belong into a block that is written already.
    pub(super) cut_until_ms: i64,
    /// Samples before this are older than what is kept.
    pub(super) kept_from_ms: i64,
    /// Samples after this are too far ahead.
    pub(super) ceiling_ms: i64,
    series_max: usize,
    staged: Vec<Staged>,
    records: Vec<u8>,
}

/// A sample that will be taken in, unless the log can't be written.
#[derive(Debug, Clone, Copy)]
struct Staged {
    /// Where in the batch.
    index: usize,
    id: u32,
    /// The series' tail before; `None` if it was made for this sample.
    before: Option<Tail>,
}

impl Appender {
    pub(super) fn new(head: &Head, next_id: u32, log: Writer, cut_until_ms: i64, series_max: usize) -> Self {
        let mut this = Self {
            series: HashMap::new(),
            symbols: HashSet::new(),
            next_id,
            log,
            cut_until_ms,
            kept_from_ms: i64::MIN,
            ceiling_ms: i64::MAX,
            series_max,
            staged: Vec::new(),
            records: Vec::new(),
        };
        for id in head.ids() {
            let Some(series) = head.get(id) else { continue };
            let Some(last) = series.last() else { continue };
            let labels = this.interned(series.labels());
            this.series.insert(labels, Tail::new(id, last));
        }
        this
    }

    pub(super) fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Takes in a batch: the log first, then the head. What has to be flushed is told for whoever waits for that.
    pub(super) fn append<A: Arriving>(
        &mut self,
        batch: &[A],
        head: &RwLock<Head>,
    ) -> Result<(Appended, Mark), DatabaseError> {
        let mut appended = Appended::default();
        let mut created = Vec::new();
        self.staged.clear();
        for (index, incoming) in batch.iter().enumerate() {
            *self.stage(index, incoming, &mut created).counter(&mut appended) += 1;
        }
        self.records.clear();
        record::put_series(&mut self.records, &created);
        let taken = self.staged.iter().filter_map(|staged| Some((staged.id, batch.get(staged.index)?)));
        let taken: Vec<(u32, &A)> = taken.collect();
        A::put(&mut self.records, &taken);
        if !self.records.is_empty()
            && let Err(error) = self.log.write(&self.records)
        {
            self.take_back(batch);
            return Err(error);
        }
        let mut head = super::write(head);
        for NewSeries { id, labels } in created {
            head.create(id, labels);
        }
        for (id, arriving) in taken {
            arriving.push(id, &mut head);
        }
        // A batch much larger than usual should not hold its memory for ever.
        self.records.shrink_to(1024 * 1024);
        self.staged.shrink_to(32 * 1024);
        Ok((appended, self.log.mark()))
    }

    /// Judges a sample by its series' latest one.
    fn stage(&mut self, index: usize, arriving: &impl Arriving, created: &mut Vec<NewSeries>) -> Fate {
        let (labels, last) = (arriving.labels(), arriving.last());
        let timestamp = last.timestamp;
        if timestamp < self.cut_until_ms.max(self.kept_from_ms) || timestamp > self.ceiling_ms {
            return Fate::OutOfBounds;
        }
        if arriving.is_too_large() {
            return Fate::OverLimit;
        }
        if let Some(tail) = self.series.get_mut(labels) {
            if timestamp < tail.timestamp {
                return Fate::OutOfOrder;
            }
            if timestamp == tail.timestamp {
                return if last == tail.last() { Fate::Kept } else { Fate::Duplicate };
            }
            let before = Some(*tail);
            *tail = Tail::new(tail.id, last);
            self.staged.push(Staged { index, id: tail.id, before });
            return Fate::Kept;
        }
        let label_bytes: usize = labels.iter().map(|label| label.name.len() + label.value.len() + 2).sum();
        if self.series.len() >= self.series_max || label_bytes > LABEL_BYTES_MAX || self.next_id == u32::MAX {
            return Fate::OverLimit;
        }
        let id = self.next_id;
        self.next_id += 1;
        let labels = self.interned(labels);
        self.series.insert(labels.clone(), Tail::new(id, last));
        created.push(NewSeries { id, labels });
        self.staged.push(Staged { index, id, before: None });
        Fate::Kept
    }

    /// The same labels, with texts that all series share.
    fn interned(&mut self, labels: &Labels) -> Labels {
        let mut shared = |text: &Arc<str>| {
            if let Some(known) = self.symbols.get(text) {
                return Arc::clone(known);
            }
            self.symbols.insert(Arc::clone(text));
            Arc::clone(text)
        };
        let labels = labels.iter().map(|label| Label { name: shared(&label.name), value: shared(&label.value) });
        Labels::from_sorted(labels.collect())
    }

    /// Forgets what was staged.
    fn take_back(&mut self, batch: &[impl Arriving]) {
        for Staged { index, before, .. } in self.staged.drain(..).rev() {
            let Some(labels) = batch.get(index).map(Arriving::labels) else { continue };
            match before {
                Some(tail) => drop(self.series.insert(labels.clone(), tail)),
                None => drop(self.series.remove(labels)),
            }
        }
    }

    /// Forgets series that are no longer in memory, and the texts that no other has.
    pub(super) fn forget(&mut self, gone: &[Labels]) {
        for labels in gone {
            self.series.remove(labels);
        }
        self.series.shrink_to(self.series.len().saturating_mul(2));
        self.symbols.retain(|symbol| Arc::strong_count(symbol) > 1);
    }
}

/// What becomes of a sample.
enum Fate {
    Kept,
    OutOfOrder,
    Duplicate,
    OutOfBounds,
    OverLimit,
}

impl Fate {
    fn counter(self, appended: &mut Appended) -> &mut usize {
        match self {
            Self::Kept => &mut appended.kept,
            Self::OutOfOrder => &mut appended.out_of_order,
            Self::Duplicate => &mut appended.duplicate,
            Self::OutOfBounds => &mut appended.out_of_bounds,
            Self::OverLimit => &mut appended.over_limit,
        }
    }
}
