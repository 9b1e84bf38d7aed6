//! Argo CD's and Helm's annotations, by which objects say when and how they are synchronised.
//!
//! Source: Argo CD's documentation, "Sync Phases and Waves", "Resource Hooks", "Sync Options", and Helm's "Chart Hooks";
//! Helm's hooks count as Argo CD counts them: only where an object has none of Argo CD's own.

use serde::Serialize;
use serde_json::Value;

use crate::json::{annotation, annotation_list};

/// When an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Phase {
    /// Before everything else.
    PreSync,
    /// With everything else.
    Sync,
    /// Once everything is healthy.
    PostSync,
    /// Once something has failed.
    SyncFail,
    /// Before an application is deleted.
    PreDelete,
    /// Once an application is deleted.
    PostDelete,
}

/// When what a hook has left is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum HookDeletion {
    /// Before it is made again.
    BeforeCreation,
    /// Once it has succeeded.
    Succeeded,
    /// Once it has failed.
    Failed,
}

/// How an object may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Permission {
    /// As the sync decides.
    Free,
    /// Once a person has said so.
    Confirm,
    /// Never.
    Never,
}

/// An annotation that has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the annotation `{name}` can't be `{value}`: {expected}")]
pub struct Meaningless {
    /// The annotation.
    pub name: &'static str,
    /// Its value, shortened.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
}

const HOOK: &str = "argocd.argoproj.io/hook";
const HELM_HOOK: &str = "helm.sh/hook";
const DELETE_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
const HELM_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
const WAVE: &str = "argocd.argoproj.io/sync-wave";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
pub(crate) const OPTIONS: &str = "argocd.argoproj.io/sync-options";
/// Helm's hooks that Argo CD takes for one of its own; others, such as `test`, are not run.
const HELM_PHASES: [(&str, Phase); 6] = [
    ("pre-install", Phase::PreSync),
    ("pre-upgrade", Phase::PreSync),
    ("post-install", Phase::PostSync),
    ("post-upgrade", Phase::PostSync),
    ("pre-delete", Phase::PreDelete),
    ("post-delete", Phase::PostDelete),
];

/// What an object's annotations say of its synchronisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sync {
    /// When it is applied; empty for what is never applied.
    pub phases: Vec<Phase>,
    /// Whether it is a hook: made anew each time, and no part of what should be.
    pub hook: bool,
    /// The wave within the phase, the lowest first.
    pub wave: i64,
    /// When a hook is deleted.
    pub deletions: Vec<HookDeletion>,
    /// Whether it may be deleted when Git names it no longer.
    pub prune: Permission,
    /// Whether it may be deleted with its application.
    pub delete: Permission,
    /// Whether it is pruned after everything else.
    pub prune_last: bool,
    /// Whether it is replaced, not applied.
    pub replace: bool,
}

impl Sync {
    /// Reads an object's annotations.
    pub fn of(object: &Value) -> Result<Self, Meaningless> {
        let (phases, hook) = phases(object)?;
        let wave = match (annotation(object, WAVE), annotation(object, HELM_WEIGHT)) {
            (Some(text), _) => number(WAVE, text)?,
            (None, Some(text)) => number(HELM_WEIGHT, text)?,
            (None, None) => 0,
        };
        let options = annotation_list(object, OPTIONS);
        let is = |option: &str| options.contains(&option);
        let permission = |name: &str| match () {
            () if is(&format!("{name}=false")) => Permission::Never,
            () if is(&format!("{name}=confirm")) => Permission::Confirm,
            () => Permission::Free,
        };
        Ok(Self {
            phases,
            hook,
            wave,
            deletions: deletions(object)?,
            prune: permission("Prune"),
            delete: permission("Delete"),
            prune_last: is("PruneLast=true"),
            replace: is("Replace=true") || is("Force=true"),
        })
    }
}

fn wrong(name: &'static str, value: &str, expected: &'static str) -> Meaningless {
    Meaningless { name, value: value.chars().take(100).collect(), expected }
}

fn number(name: &'static str, text: &str) -> Result<i64, Meaningless> {
    let read: Result<i32, _> = text.trim().parse();
    read.map(i64::from).map_err(|_| wrong(name, text, "a whole number, which may be negative, is expected"))
}

fn phases(object: &Value) -> Result<(Vec<Phase>, bool), Meaningless> {
    let own = annotation_list(object, HOOK);
    if !own.is_empty() {
        let mut found = Vec::new();
        for text in &own {
            found.extend(match *text {
                "PreSync" => Some(Phase::PreSync),
                "Sync" => Some(Phase::Sync),
                "PostSync" => Some(Phase::PostSync),
                "SyncFail" => Some(Phase::SyncFail),
                "PreDelete" => Some(Phase::PreDelete),
                "PostDelete" => Some(Phase::PostDelete),
                "Skip" => None,
                other => {
                    let expected = "PreSync, Sync, PostSync, SyncFail, PreDelete, PostDelete or Skip is expected";
                    return Err(wrong(HOOK, other, expected));
                }
            });
        }
        found.sort();
        found.dedup();
        return Ok((found, true));
    }
    let helm = annotation_list(object, HELM_HOOK);
    // Definitions were hooks in Helm 2, and are installed like anything else.
    if helm.is_empty() || helm == ["crd-install"] {
        return Ok((vec![Phase::Sync], false));
    }
    let known = |text: &&str| HELM_PHASES.iter().find(|(name, _)| name == text).map(|(_, phase)| *phase);
    let mut found: Vec<Phase> = helm.iter().filter_map(known).collect();
    found.sort();
    found.dedup();
    Ok((found, true))
}

fn deletions(object: &Value) -> Result<Vec<HookDeletion>, Meaningless> {
    let mut found = Vec::new();
    for text in annotation_list(object, DELETE_POLICY) {
        found.push(match text {
            "BeforeHookCreation" => HookDeletion::BeforeCreation,
            "HookSucceeded" => HookDeletion::Succeeded,
            "HookFailed" => HookDeletion::Failed,
            other => {
                let expected = "BeforeHookCreation, HookSucceeded or HookFailed is expected";
                return Err(wrong(DELETE_POLICY, other, expected));
            }
        });
    }
    for text in annotation_list(object, HELM_DELETE_POLICY) {
        found.push(match text {
            "before-hook-creation" => HookDeletion::BeforeCreation,
            "hook-succeeded" => HookDeletion::Succeeded,
            "hook-failed" => HookDeletion::Failed,
            other => {
                let expected = "before-hook-creation, hook-succeeded or hook-failed is expected";
                return Err(wrong(HELM_DELETE_POLICY, other, expected));
            }
        });
    }
    if found.is_empty() {
        found.push(HookDeletion::BeforeCreation);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sync(annotations: Value) -> Result<Sync, Meaningless> {
        Sync::of(&json!({"metadata": {"annotations": annotations}}))
    }

    #[test]
    fn annotations_are_read() {
        let plain = sync(json!({})).unwrap();
        assert_eq!((plain.phases.as_slice(), plain.hook, plain.wave), (&[Phase::Sync][..], false, 0));
        let hook = sync(json!({HOOK: "PostSync, PreSync", WAVE: "-5", DELETE_POLICY: "HookSucceeded"})).unwrap();
        assert_eq!((hook.phases.as_slice(), hook.hook, hook.wave), (&[Phase::PreSync, Phase::PostSync][..], true, -5));
        assert_eq!(hook.deletions, [HookDeletion::Succeeded]);
        let helm =
            sync(json!({HELM_HOOK: "pre-install,pre-upgrade", HELM_WEIGHT: "3", HELM_DELETE_POLICY: "hook-failed"}));
        let helm = helm.unwrap();
        assert_eq!((helm.phases.as_slice(), helm.wave), (&[Phase::PreSync][..], 3));
        assert_eq!(sync(json!({HELM_HOOK: "test"})).unwrap().phases, []);
        assert_eq!(sync(json!({HOOK: "Skip"})).unwrap().phases, []);
        assert_eq!(sync(json!({HELM_HOOK: "crd-install"})).unwrap().phases, [Phase::Sync]);
        assert_eq!(sync(json!({HELM_HOOK: "post-install", HOOK: "PreSync"})).unwrap().phases, [Phase::PreSync]);
        let options = sync(json!({OPTIONS: "Prune=confirm,Delete=false, PruneLast=true"})).unwrap();
        assert_eq!((options.prune, options.delete, options.prune_last), (Permission::Confirm, Permission::Never, true));
        for wrong in [
            json!({HOOK: "PreSnyc"}),
            json!({WAVE: "first"}),
            json!({WAVE: "99999999999"}),
            json!({DELETE_POLICY: "x"}),
        ] {
            assert!(sync(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
