//! The order in which objects are printed.

use std::collections::HashMap;

use prograde_model::Diagnostic;

use crate::codes;
use crate::id::{Gvk, Id};
use crate::place::Place;
use crate::resource::Resource;
use crate::schema::Schemas;

/// The kinds that come first and last (kustomize 5, `SortOrderTransformer`).
const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// How objects are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sorting {
    /// As they come.
    Fifo,
    /// By kind, with these first and last.
    Legacy(Vec<String>, Vec<String>),
}

impl Default for Sorting {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self::Legacy(list(&FIRST), list(&LAST))
    }
}

/// Where a kind comes among others: negative at the front, positive at the end.
pub(crate) fn rank(kind: &str) -> i32 {
    let at = |list: &[&str]| list.iter().position(|known| *known == kind).and_then(|at| i32::try_from(at).ok());
    match (at(&FIRST), at(&LAST)) {
        (Some(at), _) => at - 22,
        (None, Some(at)) => at + 1,
        (None, None) => 0,
    }
}

/// The text that kinds are compared by.
pub(crate) fn gvk_text(gvk: &Gvk) -> String {
    let or = |text: &str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{}_{}_{}", or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K"))
}

fn id_text(id: &Id) -> String {
    let or = |text: &str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{}|{}|{}", id.gvk, or(&id.namespace, "~X"), or(&id.name, "~N"))
}

/// Sorts the objects.
pub(crate) fn sort(resources: &mut Vec<Resource>, sorting: &Sorting, scopes: &Schemas) {
    let Sorting::Legacy(first, last) = sorting else { return };
    let signed = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let mut ranks: HashMap<&str, i32> = HashMap::new();
    for (at, kind) in first.iter().enumerate() {
        ranks.insert(kind, signed(at) - signed(first.len()));
    }
    for (at, kind) in last.iter().enumerate() {
        ranks.insert(kind, signed(at) + 1);
    }
    let mut keyed: Vec<_> = std::mem::take(resources)
        .into_iter()
        .map(|resource| {
            let id = resource.id(scopes);
            let rank = ranks.get(id.gvk.kind.as_str()).copied().unwrap_or(0);
            ((rank, gvk_text(&id.gvk), id_text(&id)), resource)
        })
        .collect();
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    *resources = keyed.into_iter().map(|(_, resource)| resource).collect();
}

/// Reads the field `sortOptions`.
pub(crate) fn sorting(
    order: &str,
    lists: Option<(Vec<String>, Vec<String>)>,
    place: &Place,
) -> Result<Sorting, Diagnostic> {
    let wrong = |message: &str| Err(place.diagnostic(codes::INVALID_FIELD, message, ""));
    match (order, lists) {
        ("fifo", None) => Ok(Sorting::Fifo),
        ("fifo", Some(_)) => wrong("`legacySortOptions` goes with the order `legacy` only"),
        ("legacy", None) => Ok(Sorting::default()),
        ("legacy", Some((first, last))) => Ok(Sorting::Legacy(first, last)),
        _ => wrong("`sortOptions.order` must be `legacy` or `fifo`"),
    }
}
