//! What a target says about its metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::exposition::{Entry, MetricKind};

/// How many good scrapes a metric is remembered for after it was last described.
const SCRAPES_REMEMBERED: u64 = 10;

/// A metric's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: MetricKind,
    /// What it means; may be empty.
    pub help: String,
    /// What it is measured in; may be empty.
    pub unit: String,
}

/// Descriptions by the name of the metric family, with the scrape that had each last.
pub(crate) type Described = Arc<Mutex<BTreeMap<String, (Metadata, u64)>>>;

#[derive(Debug, Default)]
pub(super) struct Store(Described);

impl Store {
    pub(super) fn shared(&self) -> Described {
        Arc::clone(&self.0)
    }

    pub(super) fn take(&self, entry: &Entry<'_>, scrape: u64) {
        let metric = match entry {
            Entry::Help { metric, .. } | Entry::Type { metric, .. } | Entry::Unit { metric, .. } => metric,
            Entry::Sample(_) => return,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || (Metadata { kind: MetricKind::Unknown, help: String::new(), unit: String::new() }, scrape);
        if !all.contains_key(*metric) {
            all.insert((*metric).to_owned(), unknown());
        }
        let Some((metadata, seen)) = all.get_mut(*metric) else { return };
        *seen = scrape;
        match entry {
            Entry::Help { help, .. } if metadata.help != *help => metadata.help = help.clone().into_owned(),
            Entry::Unit { unit, .. } if metadata.unit != *unit => (*unit).clone_into(&mut metadata.unit),
            Entry::Type { kind, .. } => metadata.kind = *kind,
            Entry::Help { .. } | Entry::Unit { .. } | Entry::Sample(_) => {}
        }
    }

    pub(super) fn forget(&self, scrape: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, seen)| *seen + SCRAPES_REMEMBERED >= scrape);
    }
}
