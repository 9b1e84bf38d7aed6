//! Which requests Kubernetes has to ask about, for policies to be held to at admission: the `rules` of a webhook.
//!
//! Source: Kubernetes' API reference, `RuleWithOperations` of `admissionregistration.k8s.io/v1`.
//! Invariant: what a policy selects is asked about. Where a kind's name in the API is not known, more is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::constraints::plural;
use crate::kyverno::{KyvernoPolicy, Purpose};
use crate::matching::KindSelector;
use crate::request::Kind;
use crate::rule::{Body, Check, Rule};
use crate::set::{Policy, PolicySet, Stage};
use crate::wildcard::has_wildcard;

/// Kubernetes' own kinds, by group. Their names in the API are the plurals that can be guessed.
///
/// Source: Kubernetes' API reference.
const KINDS: [(&str, &[&str]); 13] = [
    (
        "",
        &[
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("batch", &["CronJob", "Job"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("networking.k8s.io", &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("policy", &["PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("coordination.k8s.io", &["Lease"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    (
        "admissionregistration.k8s.io",
        &["MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingWebhookConfiguration"],
    ),
];

/// The operations of Kubernetes.
const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];

/// The kind of Kubernetes' own that is known by a name in the API.
fn known(group: &str, resource: &str) -> Option<&'static str> {
    let (_, kinds) = KINDS.iter().find(|(of, _)| *of == group)?;
    kinds.iter().find(|kind| plural(kind) == resource).copied()
}

/// The kind of the resource that a request is about. A request about a subresource may bring another kind with it, such as
/// `Scale`: then it is one of Kubernetes' own, one that a policy names, or what the name in the API suggests. Of others'
/// kinds only `Scale` is of another group. Where a kind's name in the API can't be guessed, it is taken for the one that a
/// policy names with a subresource in this group.
pub fn kind_of(set: &PolicySet, asked: &Kind, (group, version, resource): (&str, &str, &str)) -> Kind {
    let known = known(group, resource).map(str::to_owned);
    let own = || (asked.group == group).then(|| asked.kind.clone());
    let named = || set.kinds().find(|found| !has_wildcard(&found.kind) && plural(&found.kind) == resource);
    let of_group = || set.kinds().find(|found| found.group == group && !found.subresource.is_empty());
    let kind = known.or_else(own).or_else(|| named().or_else(of_group).map(|found| found.kind.clone()));
    let kind = kind.unwrap_or_else(|| singular(resource));
    Kind { group: group.to_owned(), version: version.to_owned(), kind }
}

/// The kind that a plural suggests.
fn singular(resource: &str) -> String {
    let stem = match (resource.strip_suffix("ies"), resource.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) => {
            let long =
                stem.strip_suffix('e').filter(|stem| ["s", "x", "ch", "sh"].iter().any(|end| stem.ends_with(end)));
            long.unwrap_or(stem).to_owned()
        }
        (None, None) => resource.to_owned(),
    };
    let mut characters = stem.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

/// One of a webhook's rules, but for its operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hook {
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
}

impl Hook {
    fn of_selector(selector: &KindSelector) -> Self {
        let exactly = |text: &str| if has_wildcard(text) { "*".to_owned() } else { text.to_owned() };
        let (group, version) = (exactly(&selector.group), exactly(&selector.version));
        // Where no group is named, kinds of others with the same name are meant as well, which have the same plural.
        let of = |(of, kinds): &(&str, &[&str])| {
            kinds.contains(&selector.kind.as_str()) && [*of, "*"].contains(&group.as_str())
        };
        let resource = if KINDS.iter().any(of) { plural(&selector.kind) } else { "*".to_owned() };
        let resources = match selector.subresource.as_str() {
            // Kyverno holds rules for pods to containers that are added to one.
            "" if selector.kind == "Pod" => vec![resource, "pods/ephemeralcontainers".to_owned()],
            "" => vec![resource],
            sub if has_wildcard(sub) => vec![format!("{resource}/*"), resource],
            sub => vec![format!("{resource}/{sub}")],
        };
        Self { groups: vec![group], versions: vec![version], resources }
    }

    fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { groups: all(), versions: all(), resources: vec!["*/*".to_owned()] }
    }

    /// Whether it is about kinds that nobody named.
    fn is_wide(&self) -> bool {
        self.groups.iter().any(|group| group == "*") && self.resources.iter().any(|resource| resource.starts_with('*'))
    }
}

type Hooks = BTreeMap<Hook, BTreeSet<&'static str>>;

impl PolicySet {
    /// The rules of the webhook for one part of the answers; none where no policy is asked for it.
    pub fn hooks(&self, stage: Stage) -> Vec<Value> {
        let mut all = Hooks::new();
        for policy in self.policies.iter().filter(|policy| policy.is_asked(stage)) {
            match policy {
                Policy::Kyverno(policy) => of_kyverno(policy, stage, &mut all),
                Policy::Admission(of) => {
                    let purpose = if stage == Stage::Mutate { Purpose::Mutate } else { Purpose::Validate };
                    for rule in of.constraints().filter(|_| policy.has(purpose)).flat_map(|found| &found.rules) {
                        let operations = operations(&rule.operations, stage, true);
                        let hook = Hook {
                            groups: rule.groups.clone(),
                            versions: rule.versions.clone(),
                            resources: rule.resources.clone(),
                        };
                        all.entry(hook).or_default().extend(operations);
                    }
                }
            }
        }
        merged(all)
    }

    /// Whether policies are about kinds that nobody named, so that Kubernetes asks about all of them.
    pub fn is_wide(&self, stage: Stage) -> bool {
        let wide = |rule: &Value| {
            let texts = |name: &str| -> Vec<String> { crate::matching::texts(rule.get(name)) };
            Hook { groups: texts("apiGroups"), versions: Vec::new(), resources: texts("resources") }.is_wide()
        };
        self.hooks(stage).iter().any(wide)
    }

    /// The kinds that policies name.
    fn kinds(&self) -> impl Iterator<Item = &KindSelector> {
        let rules = self.policies.iter().filter_map(|policy| match policy {
            Policy::Kyverno(policy) => Some(&policy.rules),
            Policy::Admission(_) => None,
        });
        rules.flatten().flat_map(|rule| rule.matches.filters()).flat_map(|filter| &filter.kinds)
    }
}

fn of_kyverno(policy: &KyvernoPolicy, stage: Stage, all: &mut Hooks) {
    for rule in policy.rules.iter().filter(|rule| is_for(rule, stage)) {
        for filter in rule.matches.filters() {
            let operations = operations(&filter.operations, stage, minds_deletion(&rule.body));
            let hooks = match filter.kinds.as_slice() {
                [] => vec![Hook::everything()],
                kinds => kinds.iter().filter(|kind| !is_own(kind)).map(Hook::of_selector).collect(),
            };
            for hook in hooks {
                all.entry(hook).or_default().extend(operations.iter().copied());
            }
        }
    }
}

/// Whether it is about images in the registry, which no cluster knows.
fn is_own(selector: &KindSelector) -> bool {
    let group = ["*", "registry.prograde.dev"].contains(&selector.group.as_str());
    group && ["ImagePush", "ImagePull"].contains(&selector.kind.as_str())
}

fn is_for(rule: &Rule, stage: Stage) -> bool {
    match rule.purpose() {
        Purpose::Mutate => stage != Stage::Validate,
        Purpose::Validate => stage != Stage::Mutate,
        Purpose::VerifyImages => {
            stage != Stage::Mutate || matches!(&rule.body, Body::VerifyImages(images) if images.pin())
        }
        Purpose::Generate => stage == Stage::Whole,
    }
}

/// Whether a rule may have something to say to what is deleted, or connected to.
fn minds_deletion(body: &Body) -> bool {
    fn of(check: &Check) -> bool {
        check.deny.is_some() || check.each.is_some()
    }
    match body {
        Body::Validate(check) => of(check),
        Body::PodSecurity(_)
        | Body::Manifests(_)
        | Body::Cel(_)
        | Body::Mutate(_)
        | Body::Generate(_)
        | Body::VerifyImages(_) => false,
    }
}

fn operations(named: &[String], stage: Stage, all: bool) -> Vec<&'static str> {
    let any = named.is_empty() || named.iter().any(|name| name == "*");
    let wanted = |operation: &&'static str| {
        let makes = matches!(*operation, "CREATE" | "UPDATE");
        // What is deleted can't be changed.
        (makes || stage != Stage::Mutate) && ((any && (all || makes)) || named.iter().any(|name| name == operation))
    };
    OPERATIONS.into_iter().filter(wanted).collect()
}

/// Rules with the same groups, versions and operations are one.
fn merged(all: Hooks) -> Vec<Value> {
    let mut by: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (hook, operations) in all.into_iter().filter(|(_, operations)| !operations.is_empty()) {
        let operations: Vec<&str> = OPERATIONS.into_iter().filter(|name| operations.contains(name)).collect();
        by.entry((hook.groups, hook.versions, operations)).or_default().extend(hook.resources);
    }
    let rule = |((groups, versions, operations), resources): (_, BTreeSet<String>)| {
        let resources = without_doubles(&resources);
        json!({"apiGroups": groups, "apiVersions": versions, "operations": operations, "resources": resources, "scope": "*"})
    };
    by.into_iter().map(rule).collect()
}

/// Names less those that others hold already, which Kubernetes refuses to be told twice.
fn without_doubles(resources: &BTreeSet<String>) -> Vec<&str> {
    let has = |name: &str| resources.contains(name);
    let alone = |name: &&str| match name.split_once('/') {
        None => *name == "*" || !has("*"),
        Some((resource, sub)) => {
            (sub == "*" || !has(&format!("{resource}/*"))) && (resource == "*" || !has(&format!("*/{sub}")))
        }
    };
    if has("*/*") { vec!["*/*"] } else { resources.iter().map(String::as_str).filter(alone).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(policies: &[Value]) -> PolicySet {
        let mut set = PolicySet::default();
        for policy in policies {
            set.read("p.yaml", &policy.to_string()).unwrap();
        }
        set
    }

    fn policy(kinds: Value, body: (&str, Value)) -> Value {
        let mut rule = json!({"name": "r", "match": {"any": [{"resources": {"kinds": kinds}}]}});
        rule[body.0] = body.1;
        json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
            "metadata": {"name": "p", "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
            "spec": {"rules": [rule]}})
    }

    fn shown(set: &PolicySet, stage: Stage) -> Vec<String> {
        let list = |rule: &Value, name: &str| crate::matching::texts(rule.get(name)).join(",");
        let one = |rule: &Value| {
            ["apiGroups", "apiVersions", "resources", "operations"].map(|name| list(rule, name)).join(" ")
        };
        set.hooks(stage).iter().map(one).collect()
    }

    #[test]
    fn rules_follow_from_kinds() {
        let pattern = || ("validate", json!({"pattern": {"metadata": {"name": "?*"}}}));
        let deny = ("validate", json!({"deny": {}}));
        let check = |kinds: Value, body: (&str, Value), want: &[&str]| {
            assert_eq!(shown(&set(&[policy(kinds, body)]), Stage::Validate), want);
        };
        check(json!(["Pod"]), pattern(), &["* * pods,pods/ephemeralcontainers CREATE,UPDATE"]);
        check(json!(["Pod/exec"]), deny.clone(), &["* * pods/exec CREATE,UPDATE,DELETE,CONNECT"]);
        check(
            json!(["apps/v1/Deployment", "StatefulSet"]),
            pattern(),
            &["* * statefulsets CREATE,UPDATE", "apps v1 deployments CREATE,UPDATE"],
        );
        check(json!(["cert-manager.io/v1/Certificate"]), pattern(), &["cert-manager.io v1 * CREATE,UPDATE"]);
        check(json!(["Widget"]), pattern(), &["* * * CREATE,UPDATE"]);
        check(json!(["*"]), deny, &["* * * CREATE,UPDATE,DELETE,CONNECT"]);
        check(json!(["Widget", "Pod", "Pod/*"]), pattern(), &["* * *,pods/* CREATE,UPDATE"]);
        check(json!(["ImagePush", "Pod/log"]), pattern(), &["* * pods/log CREATE,UPDATE"]);
        check(json!(["*/*", "Pod"]), pattern(), &["* * */* CREATE,UPDATE"]);
        check(json!(["other.io/*/Service"]), pattern(), &["other.io * * CREATE,UPDATE"]);
    }

    #[test]
    fn each_webhook_has_its_own() {
        let mutate =
            policy(json!(["Pod"]), ("mutate", json!({"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}})));
        let verify = |pin: bool| {
            let images = json!([{"imageReferences": ["*"], "mutateDigest": pin, "attestors": [{"entries": [{"keys": {"publicKeys": "x"}}]}]}]);
            policy(json!(["Job"]), ("verifyImages", images))
        };
        let of = |policies: &[Value], stage| shown(&set(policies), stage);
        assert_eq!(
            of(std::slice::from_ref(&mutate), Stage::Mutate),
            ["* * pods,pods/ephemeralcontainers CREATE,UPDATE"]
        );
        assert_eq!(of(&[mutate], Stage::Validate), [""; 0]);
        assert_eq!(of(&[verify(true)], Stage::Mutate), ["* * jobs CREATE,UPDATE"]);
        assert_eq!(of(&[verify(false)], Stage::Mutate), [""; 0]);
        assert_eq!(of(&[verify(false)], Stage::Validate), ["* * jobs CREATE,UPDATE"]);
        let mut left_out = verify(true);
        left_out["spec"]["admission"] = json!(false);
        assert_eq!(of(&[left_out], Stage::Validate), [""; 0]);
    }

    #[test]
    fn expressions_say_it_themselves() {
        let policy = json!({"apiVersion": "policies.kyverno.io/v1", "kind": "ValidatingPolicy", "metadata": {"name": "v"},
            "spec": {"matchConstraints": {"resourceRules": [{"apiGroups": ["x.io"], "apiVersions": ["v1"], "operations": ["DELETE"],
                "resources": ["widgets"]}]}, "validations": [{"expression": "true"}]}});
        assert_eq!(shown(&set(&[policy]), Stage::Validate), ["x.io v1 widgets DELETE"]);
    }

    #[test]
    fn kinds_of_subresources() {
        let kinds = json!(["KafkaTopic/scale", "odd.io/v1/Datum/scale"]);
        let set = set(&[policy(kinds, ("validate", json!({"deny": {}})))]);
        let check = |group: &str, asked: &str, resource: (&str, &str, &str), want: &str| {
            let asked = Kind { group: group.to_owned(), version: "v1".to_owned(), kind: asked.to_owned() };
            assert_eq!(kind_of(&set, &asked, resource).kind, want, "{resource:?}");
        };
        check("", "Pod", ("", "v1", "pods"), "Pod");
        check("", "PodExecOptions", ("", "v1", "pods"), "Pod");
        check("autoscaling", "Scale", ("apps", "v1", "deployments"), "Deployment");
        check("autoscaling", "Scale", ("kafka.io", "v1", "kafkatopics"), "KafkaTopic");
        check("autoscaling", "Scale", ("x.io", "v1", "rollouts"), "Rollout");
        check("autoscaling", "Scale", ("x.io", "v1", "policies"), "Policy");
        check("x.io", "Datum", ("x.io", "v1", "data"), "Datum");
        check("policy", "Eviction", ("", "v1", "pods"), "Pod");
        check("autoscaling", "Scale", ("odd.io", "v1", "data"), "Datum");
    }
}
