//! Which labels of a series count when series are matched or grouped.

use crate::labels::{Labels, METRIC_NAME};
use crate::promql::expression::LabelList;

/// The labels by which a series is matched or grouped.
pub(super) fn key(list: &LabelList, labels: &Labels) -> Labels {
    match list {
        LabelList::Only(names) if names.is_empty() => Labels::default(),
        LabelList::Only(names) => labels.retain(|name| names.iter().any(|listed| **listed == *name)),
        LabelList::AllBut(names) => {
            labels.retain(|name| name != METRIC_NAME && !names.iter().any(|listed| **listed == *name))
        }
    }
}
