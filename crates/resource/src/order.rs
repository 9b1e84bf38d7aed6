//! In which order a sync applies objects, and what it does next.
//!
//! Phases follow each other; within one, waves from the lowest; within one, kinds that others need come first. A wave is
//! begun when the one before is healthy. [`Plan::decide`] is asked again and again with what is seen, and keeps nothing in
//! between. Invariant: the order does not depend on that in which objects were given, and nothing of a wave is applied
//! before all of the wave before it is healthy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use prograde_kustomize::Place;
use prograde_model::Diagnostics;
use serde::Serialize;

use crate::annotations::{HookDeletion, Phase, Sync};
use crate::codes;
use crate::health::Status;
use crate::json::text;
use crate::object::{Identity, Object};

/// Kinds in the order in which they are applied; others come after them.
/// Source: Argo CD's order of kinds (gitops-engine, `pkg/sync/sync_tasks.go`), which is Helm's (`kind_sorter.go`).
const KINDS: [&str; 31] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "",
];

/// Where a kind comes among others.
pub fn rank(kind: &str) -> usize {
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1)
}

/// What has to be there before what is in it, or of its kind, can be applied.
fn is_ground(identity: &Identity) -> bool {
    matches!(
        (identity.group.as_str(), identity.kind.as_str()),
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// One object in one phase. Tasks sort in the order in which they are carried out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Task {
    /// The phase.
    pub phase: Phase,
    /// The wave within it.
    pub wave: i64,
    /// Where its kind comes.
    pub rank: usize,
    /// The object.
    pub identity: Identity,
    /// Whether it is a hook.
    pub hook: bool,
    /// When a hook is deleted.
    pub deletions: Vec<HookDeletion>,
}

/// What is seen of one task of this revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It could not be applied.
    Failed(String),
    /// It was applied, and this is how well it is.
    Applied(Status),
}

/// What is seen of a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The newest revision that there is.
    pub newest: String,
    /// What came of tasks; those that are not here were not begun.
    pub outcomes: BTreeMap<(Identity, Phase), Outcome>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Decision {
    /// These are to be applied, in this order.
    Apply(Vec<Task>),
    /// These are waited for.
    Wait {
        /// The phase.
        phase: Phase,
        /// The wave.
        wave: i64,
        /// What is not healthy yet.
        on: Vec<(Identity, Status)>,
    },
    /// A newer revision is there: nothing more of this one is done, and these hooks of it are to be ended.
    Superseded(Vec<Identity>),
    /// Something failed, and what is to be done then is done.
    Failed {
        /// What failed, and why.
        why: Vec<(Identity, String)>,
        /// Hooks that are to be deleted.
        clean: Vec<Identity>,
    },
    /// Everything is applied and healthy.
    Done {
        /// Hooks that are to be deleted.
        clean: Vec<Identity>,
    },
}

/// A sync of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The revision.
    pub revision: String,
    /// What is applied, in order.
    pub tasks: Vec<Task>,
}

impl Plan {
    /// The sync of a revision's objects. Annotations that have no meaning are errors with their places.
    pub fn new<'o>(
        revision: impl Into<String>,
        objects: impl IntoIterator<Item = &'o Object>,
    ) -> Result<Self, Diagnostics> {
        let (mut tasks, mut wrong) = (Vec::new(), Vec::new());
        let mut made = BTreeMap::new();
        for object in objects {
            let sync = match Sync::of(&object.value) {
                Ok(sync) => sync,
                Err(why) => {
                    let place = object.place.clone().unwrap_or_else(|| Place::file("objects"));
                    let message = format!("{}: {why}", object.identity);
                    wrong.push(place.diagnostic(codes::ANNOTATION, message, "correct it, or take it out"));
                    continue;
                }
            };
            if object.identity.kind == "CustomResourceDefinition" {
                let kind = text(&object.value, &["spec", "names", "kind"]).to_owned();
                made.insert((text(&object.value, &["spec", "group"]).to_owned(), kind), object.identity.clone());
            }
            for phase in sync.phases {
                tasks.push(Task {
                    phase,
                    wave: sync.wave,
                    rank: rank(&object.identity.kind),
                    identity: object.identity.clone(),
                    hook: sync.hook,
                    deletions: sync.deletions.clone(),
                });
            }
        }
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        advance(&mut tasks, &made);
        tasks.sort();
        Ok(Self { revision: revision.into(), tasks })
    }

    /// What to do next.
    pub fn decide(&self, seen: &Seen) -> Decision {
        if !seen.newest.is_empty() && seen.newest != self.revision {
            let running = self.tasks.iter().filter(|task| task.hook && is_running(seen, task));
            return Decision::Superseded(running.map(|task| task.identity.clone()).collect());
        }
        for phase in [Phase::PreSync, Phase::Sync, Phase::PostSync] {
            match self.phase(phase, seen) {
                Step::Decided(decision) => return decision,
                Step::Failed(why) => return self.failed(why, seen),
                Step::Passed => {}
            }
        }
        Decision::Done { clean: self.clean(seen) }
    }

    /// The sync by which an application goes: its hooks of deletion before and after that, and nothing that should be there.
    #[must_use]
    pub fn leaving(self) -> Self {
        let in_time = |task: Task| {
            let phase = match task.phase {
                Phase::PreDelete => Phase::PreSync,
                Phase::PostDelete => Phase::PostSync,
                Phase::PreSync | Phase::Sync | Phase::PostSync | Phase::SyncFail => return None,
            };
            Some(Task { phase, ..task })
        };
        let mut tasks: Vec<Task> = self.tasks.into_iter().filter_map(in_time).collect();
        tasks.sort();
        Self { tasks, ..self }
    }

    fn failed(&self, why: Vec<(Identity, String)>, seen: &Seen) -> Decision {
        match self.phase(Phase::SyncFail, seen) {
            Step::Decided(decision) => decision,
            Step::Failed(more) => {
                Decision::Failed { why: why.into_iter().chain(more).collect(), clean: self.clean(seen) }
            }
            Step::Passed => Decision::Failed { why, clean: self.clean(seen) },
        }
    }

    fn phase(&self, phase: Phase, seen: &Seen) -> Step {
        let mut waves: BTreeMap<(i64, bool), Vec<&Task>> = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| task.phase == phase) {
            // Within a wave namespaces and definitions stand before what needs them.
            waves.entry((task.wave, !is_ground(&task.identity))).or_default().push(task);
        }
        for ((wave, _), tasks) in waves {
            match stage(phase, wave, &tasks, seen) {
                Step::Passed => {}
                Step::Decided(decision) => return Step::Decided(decision),
                Step::Failed(why) => return Step::Failed(why),
            }
        }
        Step::Passed
    }

    /// The hooks that are to be deleted, as they ended.
    pub(crate) fn clean(&self, seen: &Seen) -> Vec<Identity> {
        let due = |task: &&Task| {
            let policy = match seen.outcomes.get(&(task.identity.clone(), task.phase)) {
                Some(Outcome::Applied(Status::Healthy | Status::Suspended)) => HookDeletion::Succeeded,
                Some(Outcome::Applied(Status::Degraded) | Outcome::Failed(_)) => HookDeletion::Failed,
                Some(Outcome::Applied(_)) | None => return false,
            };
            task.hook && task.deletions.contains(&policy)
        };
        self.tasks.iter().filter(due).map(|task| task.identity.clone()).collect()
    }
}

/// How far a phase or a wave is.
enum Step {
    Passed,
    Decided(Decision),
    Failed(Vec<(Identity, String)>),
}

fn is_running(seen: &Seen, task: &Task) -> bool {
    let outcome = seen.outcomes.get(&(task.identity.clone(), task.phase));
    matches!(outcome, Some(Outcome::Applied(Status::Progressing | Status::Unknown | Status::Missing)))
}

fn stage(phase: Phase, wave: i64, tasks: &[&Task], seen: &Seen) -> Step {
    let (mut fresh, mut waiting, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for task in tasks {
        match seen.outcomes.get(&(task.identity.clone(), task.phase)) {
            None => fresh.push((*task).clone()),
            Some(Outcome::Failed(why)) => failed.push((task.identity.clone(), why.clone())),
            Some(Outcome::Applied(Status::Degraded)) => {
                failed.push((task.identity.clone(), "it is degraded".to_owned()));
            }
            // What was stopped on purpose holds nobody up.
            Some(Outcome::Applied(Status::Healthy | Status::Suspended)) => {}
            Some(Outcome::Applied(status)) => waiting.push((task.identity.clone(), *status)),
        }
    }
    match (failed.is_empty(), fresh.is_empty(), waiting.is_empty()) {
        (false, _, _) => Step::Failed(failed),
        (true, false, _) => Step::Decided(Decision::Apply(fresh)),
        (true, true, false) => Step::Decided(Decision::Wait { phase, wave, on: waiting }),
        (true, true, true) => Step::Passed,
    }
}

/// Brings namespaces and definitions forward to the first wave that needs them.
fn advance(tasks: &mut [Task], definitions: &BTreeMap<(String, String), Identity>) {
    let mut earliest: BTreeMap<Identity, (Phase, i64)> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !is_ground(&task.identity)) {
        let identity = &task.identity;
        let namespace = Identity {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: String::new(),
            name: identity.namespace.clone(),
        };
        let definition = definitions.get(&(identity.group.clone(), identity.kind.clone())).cloned();
        for needed in [Some(namespace), definition].into_iter().flatten() {
            let at = (task.phase, task.wave);
            earliest.entry(needed).and_modify(|first| *first = (*first).min(at)).or_insert(at);
        }
    }
    for task in tasks.iter_mut().filter(|task| is_ground(&task.identity)) {
        if let Some((phase, wave)) = earliest.get(&task.identity).filter(|first| **first < (task.phase, task.wave)) {
            (task.phase, task.wave) = (*phase, *wave);
        }
    }
}

/// The order in which objects are deleted: backwards, and what asks for it last of all.
pub fn for_deletion<'o>(objects: impl IntoIterator<Item = &'o Object>) -> Vec<Identity> {
    let keyed = objects.into_iter().map(|object| {
        let sync = Sync::of(&object.value).ok();
        let wave = sync.as_ref().map_or(0, |sync| sync.wave);
        let last = sync.is_some_and(|sync| sync.prune_last);
        ((last, Reverse(wave), Reverse(rank(&object.identity.kind))), object.identity.clone())
    });
    let sorted: BTreeSet<_> = keyed.collect();
    sorted.into_iter().map(|(_, identity)| identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn object(kind: &str, name: &str, annotations: Value) -> Object {
        let group = match kind {
            "Deployment" => "apps/v1",
            "Job" => "batch/v1",
            "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
            "Widget" => "example.com/v1",
            _ => "v1",
        };
        let mut value =
            json!({"apiVersion": group, "kind": kind, "metadata": {"name": name, "annotations": annotations}});
        if kind == "CustomResourceDefinition" {
            value["spec"] = json!({"group": "example.com", "names": {"kind": "Widget"}});
        }
        Object::new(value, "shop").unwrap()
    }

    fn wave(number: i64) -> Value {
        json!({"argocd.argoproj.io/sync-wave": number.to_string()})
    }

    fn hook(phase: &str) -> Value {
        json!({"argocd.argoproj.io/hook": phase, "argocd.argoproj.io/hook-delete-policy": "HookSucceeded"})
    }

    /// Everything that a sync does, where all that is applied becomes what `health` says.
    fn played(objects: &[Object], health: impl Fn(&str) -> Status) -> Vec<String> {
        let plan = Plan::new("r1", objects).unwrap();
        let (mut seen, mut told) = (Seen { newest: "r1".into(), ..Seen::default() }, Vec::new());
        for _ in 0..50 {
            match plan.decide(&seen) {
                Decision::Apply(tasks) => {
                    told.push(tasks.iter().map(|task| task.identity.name.as_str()).collect::<Vec<_>>().join(" "));
                    for task in tasks {
                        let status = health(&task.identity.name);
                        seen.outcomes.insert((task.identity.clone(), task.phase), Outcome::Applied(status));
                    }
                }
                Decision::Wait { on, .. } => {
                    told.push(format!("wait for {}", on[0].0.name));
                    return told;
                }
                Decision::Done { clean } => {
                    told.push(format!("done, clean {}", clean.len()));
                    return told;
                }
                Decision::Failed { why, .. } => {
                    told.push(format!("failed {}", why[0].0.name));
                    return told;
                }
                Decision::Superseded(_) => return told,
            }
        }
        panic!("no end: {told:?}");
    }

    fn shop() -> Vec<Object> {
        vec![
            object("Deployment", "web", json!({})),
            object("ConfigMap", "settings", json!({})),
            object("Deployment", "first", wave(-1)),
            object("Job", "migrate", hook("PreSync")),
            object("Job", "smoke", hook("PostSync")),
            object("Job", "tell", hook("SyncFail")),
            object("Namespace", "shop", json!({})),
        ]
    }

    #[test]
    fn phases_waves_and_kinds_follow_each_other() {
        let healthy = played(&shop(), |_| Status::Healthy);
        assert_eq!(healthy, ["shop", "migrate", "first", "settings web", "smoke", "done, clean 2"]);
        let stuck = played(&shop(), |name| if name == "first" { Status::Progressing } else { Status::Healthy });
        assert_eq!(stuck, ["shop", "migrate", "first", "wait for first"]);
        let failed = played(&shop(), |name| if name == "web" { Status::Degraded } else { Status::Healthy });
        assert_eq!(failed, ["shop", "migrate", "first", "settings web", "tell", "failed web"]);
    }

    #[test]
    fn definitions_come_before_what_they_define() {
        let objects = [
            object("Widget", "w", wave(-3)),
            object("CustomResourceDefinition", "widgets", wave(2)),
            object("ConfigMap", "c", wave(-3)),
        ];
        let all = played(&objects, |_| Status::Healthy);
        assert_eq!(all, ["widgets", "c w", "done, clean 0"]);
    }

    #[test]
    fn a_newer_revision_takes_over_at_once() {
        let plan = Plan::new("r1", &shop()).unwrap();
        let migrate = shop()[3].identity.clone();
        let mut seen = Seen { newest: "r2".into(), ..Seen::default() };
        assert_eq!(plan.decide(&seen), Decision::Superseded(Vec::new()));
        seen.outcomes.insert((migrate.clone(), Phase::PreSync), Outcome::Applied(Status::Progressing));
        assert_eq!(plan.decide(&seen), Decision::Superseded(vec![migrate]));
    }

    #[test]
    fn what_goes_has_its_hooks_of_deletion_and_nothing_else() {
        let mut all = shop();
        let hook = |phase: &str| json!({"argocd.argoproj.io/hook": phase});
        all.extend([object("Job", "last", hook("PostDelete")), object("Job", "save", hook("PreDelete, PostSync"))]);
        let tasks = Plan::new("r", &all).unwrap().leaving().tasks;
        let seen: Vec<_> = tasks.iter().map(|task| (task.identity.name.as_str(), task.phase)).collect();
        assert_eq!(seen, [("save", Phase::PreSync), ("last", Phase::PostSync)]);
    }

    #[test]
    fn wrong_annotations_are_errors() {
        let wrong = Plan::new("r", &[object("Job", "a", json!({"argocd.argoproj.io/hook": "Presync"}))]).unwrap_err();
        assert_eq!(wrong.0[0].code, "PG1326");
        assert_eq!(rank("Widget"), rank("Other"));
        assert!(rank("Namespace") < rank("Deployment") && rank("APIService") < rank("Widget"));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_no_input(order in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle(), waves in prop::collection::vec(-3..3_i64, 7)) {
            let mut all = shop();
            for (object, number) in all.iter_mut().zip(&waves) {
                object.value["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] = json!(number.to_string());
            }
            let shuffled: Vec<Object> = order.iter().map(|at| all[*at].clone()).collect();
            let (one, other) = (Plan::new("r", &all).unwrap(), Plan::new("r", &shuffled).unwrap());
            prop_assert_eq!(&one, &other);
            prop_assert!(one.tasks.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(for_deletion(&all), for_deletion(&shuffled));
        }
    }
}
