//! Which series have which label: for each, their numbers in ascending order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::labels::Labels;
use crate::tsdb::candidates::Index;
use crate::tsdb::error::DatabaseError;

/// The series of each value of each label.
#[derive(Debug, Default)]
pub(super) struct Postings {
    all: Vec<u32>,
    by_name: HashMap<Arc<str>, HashMap<Arc<str>, Vec<u32>>>,
}

impl Postings {
    /// Adds a series, whose number is nearly always higher than all before.
    pub(super) fn add(&mut self, id: u32, labels: &Labels) {
        insert(&mut self.all, id);
        for label in labels.iter() {
            let values = match self.by_name.get_mut(&label.name) {
                Some(values) => values,
                None => self.by_name.entry(Arc::clone(&label.name)).or_default(),
            };
            match values.get_mut(&label.value) {
                Some(ids) => insert(ids, id),
                None => drop(values.insert(Arc::clone(&label.value), vec![id])),
            }
        }
    }

    /// Takes series away, whose labels are those given.
    pub(super) fn remove<'a>(&mut self, gone: &HashSet<u32>, labels: impl Iterator<Item = &'a Labels>) {
        self.all.retain(|id| !gone.contains(id));
        let touched: HashSet<_> = labels.flat_map(Labels::iter).collect();
        for label in touched {
            let Some(values) = self.by_name.get_mut(&label.name) else { continue };
            let Some(ids) = values.get_mut(&label.value) else { continue };
            ids.retain(|id| !gone.contains(id));
            if ids.is_empty() {
                values.remove(&label.value);
            }
            if values.is_empty() {
                self.by_name.remove(&label.name);
            }
        }
    }

    /// All names of labels, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.keys()
    }

    /// All values of a label, in no order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.get(name).into_iter().flat_map(HashMap::keys)
    }
}

fn insert(ids: &mut Vec<u32>, id: u32) {
    if ids.last().is_none_or(|last| *last < id) {
        ids.push(id);
    } else if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

impl Index for Postings {
    fn all(&self) -> Vec<u32> {
        self.all.clone()
    }

    fn value_count(&self, name: &str) -> usize {
        self.by_name.get(name).map_or(0, HashMap::len)
    }

    fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, DatabaseError> {
        Ok(self.by_name.get(name).and_then(|values| values.get(value)).cloned().unwrap_or_default())
    }

    fn accepted(&self, name: &str, accepts: &dyn Fn(&str) -> bool) -> Result<Vec<u32>, DatabaseError> {
        let values = self.by_name.get(name).into_iter().flatten();
        Ok(values.filter(|(value, _)| accepts(value)).flat_map(|(_, ids)| ids).copied().collect())
    }
}
