//! `label_replace` and `label_join`.

use crate::labels::Labels;
use crate::promql::expression::Relabelling;

pub(crate) fn apply(relabelling: &Relabelling, labels: &Labels) -> Labels {
    match relabelling {
        Relabelling::Replace { target, replacement, source, pattern } => {
            match pattern.expand(labels.get(source), replacement) {
                Some(value) => labels.with(target, &value),
                None => labels.clone(),
            }
        }
        Relabelling::Join { target, separator, sources } => {
            let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
            labels.with(target, &values.join(separator))
        }
    }
}
