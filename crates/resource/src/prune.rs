//! What is deleted because Git names it no longer, and what is not.
//!
//! Invariant: a rendering that failed or is empty deletes nothing; nothing that holds data, or other objects, is deleted
//! before a person has said so; and nothing that somebody else owns is deleted at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use prograde_model::quantity::Share;
use serde::Serialize;
use serde_json::Value;

use crate::annotations::{Permission, Sync};
use crate::json::{at, items};
use crate::object::{Identity, Object};
use crate::order::for_deletion;

/// How much one sync may delete without asking.
///
/// More than half at once is more often a path that was renamed, a branch that was emptied or a wrong overlay than a
/// wish. Of fewer than three objects a share says nothing: taking one of two, or two of three, out is ordinary work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// The largest share of all that was applied.
    pub share: Share,
    /// So few are deleted whatever their share, as long as something is left.
    pub free: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self { share: Share::basis_points(5_000), free: 2 }
    }
}

/// What was rendered.
#[derive(Debug, Clone, Copy)]
pub enum Rendered<'o> {
    /// It could not be rendered, or read.
    Failed(&'o str),
    /// The objects that should be.
    Objects(&'o BTreeMap<Identity, Object>),
}

/// Why an object is kept, or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Reason {
    /// `Prune=false`.
    Forbidden,
    /// It has another object as its owner, which deletes it.
    Owned,
    /// It is a hook, which its own policy deletes.
    Hook,
    /// It is being deleted.
    Going,
    /// `Prune=confirm`, or `Delete=confirm`.
    Confirm,
    /// Everything in it, or of its kind, is deleted with it.
    HoldsOthers,
    /// It holds data.
    HoldsData,
    /// Its annotations can't be read.
    Unreadable,
    /// The sync as a whole is asked for.
    TooMany,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forbidden => "its annotation says Prune=false",
            Self::Owned => "another object owns it",
            Self::Hook => "it is a hook",
            Self::Going => "it is being deleted",
            Self::Confirm => "its annotation asks for a confirmation",
            Self::HoldsOthers => "other objects go with it",
            Self::HoldsData => "it holds data",
            Self::Unreadable => "its annotations can't be read",
            Self::TooMany => "too much would go at once",
        })
    }
}

/// Why nothing at all is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum Refusal {
    /// The rendering failed.
    #[error("nothing is deleted, because what should be could not be worked out: {0}")]
    Failed(String),
    /// Nothing should be there any more.
    #[error("nothing is deleted, because nothing at all should be there any more: {} would go", counted(*.0))]
    Empty(usize),
    /// Too large a share would go.
    #[error("nothing is deleted, because {gone} of {all} objects would go, more than {share}")]
    Share {
        /// How many would go.
        gone: usize,
        /// How many there are.
        all: usize,
        /// The share that may go.
        share: String,
    },
}

fn counted(objects: usize) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

/// What is deleted, asked for, and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruning {
    /// What is to be deleted, in this order.
    pub delete: Vec<Identity>,
    /// What a person has to say yes to first.
    pub asks: Vec<(Identity, Reason)>,
    /// What stays.
    pub kept: Vec<(Identity, Reason)>,
    /// Why nothing is deleted, where that is so.
    pub refusal: Option<Refusal>,
}

/// What a person has said yes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    /// These objects may go, whatever they hold.
    pub objects: BTreeSet<Identity>,
    /// The share may be exceeded, or everything may go.
    pub many: bool,
}

/// What to delete of the objects that were applied and are there.
pub fn prune(
    rendered: Rendered<'_>,
    there: &BTreeMap<Identity, Object>,
    guard: Guard,
    approvals: &Approvals,
) -> Pruning {
    let desired = match rendered {
        Rendered::Failed(why) => {
            return Pruning { refusal: Some(Refusal::Failed(why.to_owned())), ..Pruning::default() };
        }
        Rendered::Objects(desired) => desired,
    };
    let mut pruning = Pruning::default();
    let mut free = Vec::new();
    let (mut all, mut gone) = (0, 0);
    for (identity, object) in there {
        let kept = if desired.contains_key(identity) { None } else { stays(&object.value) };
        if kept != Some(Reason::Hook) {
            all += 1;
        }
        if desired.contains_key(identity) {
            continue;
        }
        if let Some(reason) = kept {
            pruning.kept.push((identity.clone(), reason));
            continue;
        }
        gone += 1;
        match asks(&object.value).filter(|_| !approvals.objects.contains(identity)) {
            Some(reason) => pruning.asks.push((identity.clone(), reason)),
            None => free.push(object),
        }
    }
    pruning.refusal = refusal(desired.len(), (gone, all), guard).filter(|_| !approvals.many);
    if pruning.refusal.is_some() {
        pruning.asks.extend(free.iter().map(|object| (object.identity.clone(), Reason::TooMany)));
        pruning.asks.sort();
    } else {
        pruning.delete = for_deletion(free);
    }
    pruning
}

fn refusal(desired: usize, (gone, all): (usize, usize), guard: Guard) -> Option<Refusal> {
    if gone == 0 {
        return None;
    }
    if desired == 0 {
        return Some(Refusal::Empty(gone));
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of objects are small")]
    let exceeds = gone as f64 > guard.share.ratio() * all as f64;
    (exceeds && gone > guard.free).then(|| Refusal::Share { gone, all, share: guard.share.to_string() })
}

/// Why an object is never pruned.
fn stays(object: &Value) -> Option<Reason> {
    if at(object, &["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null()) {
        return Some(Reason::Going);
    }
    if !items(object, &["metadata", "ownerReferences"]).is_empty() {
        return Some(Reason::Owned);
    }
    let sync = Sync::of(object).ok()?;
    if sync.prune == Permission::Never || sync.delete == Permission::Never {
        return Some(Reason::Forbidden);
    }
    sync.hook.then_some(Reason::Hook)
}

/// Why a person is asked before an object is deleted.
fn asks(object: &Value) -> Option<Reason> {
    let kind = crate::json::text(object, &["kind"]);
    match kind {
        "Namespace" | "CustomResourceDefinition" => return Some(Reason::HoldsOthers),
        "PersistentVolumeClaim" | "PersistentVolume" => return Some(Reason::HoldsData),
        _ => {}
    }
    match Sync::of(object) {
        Ok(sync) => [sync.prune, sync.delete].contains(&Permission::Confirm).then_some(Reason::Confirm),
        Err(_) => Some(Reason::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object(kind: &str, name: &str, metadata: &Value) -> Object {
        let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        for (key, field) in metadata.as_object().into_iter().flatten() {
            value["metadata"][key] = field.clone();
        }
        Object::new(value, "default").unwrap()
    }

    fn set(objects: impl IntoIterator<Item = Object>) -> BTreeMap<Identity, Object> {
        crate::object::unique(objects).unwrap()
    }

    fn configs(count: usize) -> BTreeMap<Identity, Object> {
        set((0..count).map(|number| object("ConfigMap", &format!("c{number}"), &json!({}))))
    }

    fn pruned(desired: usize, there: usize) -> Pruning {
        prune(Rendered::Objects(&configs(desired)), &configs(there), Guard::default(), &Approvals::default())
    }

    #[test]
    fn the_guard_asks_where_much_would_go() {
        for (desired, there, deleted) in
            [(1, 2, 1), (1, 3, 2), (9, 10, 1), (5, 10, 5), (4, 10, 0), (1, 4, 0), (0, 1, 0), (0, 9, 0)]
        {
            let found = pruned(desired, there);
            assert_eq!(found.delete.len(), deleted, "{desired} of {there}");
            assert_eq!(found.asks.len(), there - desired - deleted, "{desired} of {there}");
            assert_eq!(found.refusal.is_some(), deleted == 0, "{desired} of {there}");
        }
        assert_eq!(
            pruned(4, 10).refusal.unwrap().to_string(),
            "nothing is deleted, because 6 of 10 objects would go, more than 50%"
        );
        let approved = Approvals { many: true, ..Approvals::default() };
        assert_eq!(prune(Rendered::Objects(&configs(0)), &configs(4), Guard::default(), &approved).delete.len(), 4);
        let failed = prune(Rendered::Failed("no such file"), &configs(4), Guard::default(), &approved);
        assert!(failed.delete.is_empty() && failed.refusal.is_some());
    }

    #[test]
    fn some_objects_stay_and_some_are_asked_for() {
        let annotated = |text: &str| json!({"annotations": {"argocd.argoproj.io/sync-options": text}});
        let gone = [
            object("Namespace", "a", &json!({})),
            object("PersistentVolumeClaim", "b", &json!({})),
            object("ConfigMap", "c", &annotated("Prune=false")),
            object("ConfigMap", "d", &annotated("Prune=confirm")),
            object("ConfigMap", "e", &json!({"ownerReferences": [{"kind": "X"}]})),
            object("ConfigMap", "f", &json!({"annotations": {"argocd.argoproj.io/hook": "PreSync"}})),
            object("ConfigMap", "g", &json!({"annotations": {"argocd.argoproj.io/hook": "wrong"}})),
            object("ConfigMap", "h", &json!({})),
            object("ConfigMap", "i", &annotated("Delete=false")),
            object("ConfigMap", "j", &annotated("Delete=confirm")),
        ];
        let desired = configs(10);
        let there = set(gone.into_iter().chain(configs(10).into_values()));
        let found = prune(Rendered::Objects(&desired), &there, Guard::default(), &Approvals::default());
        let names = |list: &[(Identity, Reason)]| {
            list.iter().map(|(one, why)| format!("{} {why:?}", one.name)).collect::<Vec<_>>()
        };
        assert_eq!(found.delete.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["h"]);
        assert_eq!(names(&found.asks), ["d Confirm", "g Unreadable", "j Confirm", "a HoldsOthers", "b HoldsData"]);
        assert_eq!(names(&found.kept), ["c Forbidden", "e Owned", "f Hook", "i Forbidden"]);
        let approvals = Approvals { objects: found.asks.iter().map(|(one, _)| one.clone()).collect(), many: false };
        let found = prune(Rendered::Objects(&desired), &there, Guard::default(), &approvals);
        assert_eq!((found.delete.len(), found.asks.len()), (6, 0));
    }

    proptest! {
        #[test]
        fn nothing_that_should_be_is_deleted(desired in 0..12_usize, there in 0..12_usize, many: bool) {
            let wanted = configs(desired);
            let approvals = Approvals { many, ..Approvals::default() };
            let found = prune(Rendered::Objects(&wanted), &configs(there), Guard::default(), &approvals);
            prop_assert!(found.delete.iter().all(|one| !wanted.contains_key(one)));
            prop_assert!(desired > 0 || many || found.delete.is_empty());
            prop_assert_eq!(found.delete.len() + found.asks.len(), there.saturating_sub(desired));
        }
    }
}
