//! What lies outside of a resource, where somebody provides it: nothing here reaches for a cluster or the network.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::constraints::plural;
use crate::request::text;
use crate::selection::Selection;

/// Named values by policy and rule.
pub type OfRules<V> = BTreeMap<(String, String), Vec<(String, V)>>;

/// Everything that policies may refer to beside the resource.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Resources of the cluster, where they are known.
    pub resources: Vec<Value>,
    /// Metadata of images by reference.
    pub images: BTreeMap<String, Value>,
    /// Answers to API and HTTP calls, by `METHOD:url` or url: status and body.
    pub answers: BTreeMap<String, (u16, Value)>,
    /// Entries of the global context, by name.
    pub globals: BTreeMap<String, Value>,
    /// Values by policy and rule.
    pub rule_values: OfRules<Value>,
    /// Values for each element that `foreach` goes through, by policy and rule.
    pub each_values: OfRules<Vec<Value>>,
    /// What random texts are made from. Without it a policy that asks for one ends in an error.
    pub seed: Option<u64>,
}

impl Outside {
    /// A resource by API version, plural, namespace and name.
    pub(crate) fn resource(&self, api: &str, resources: &str, namespace: &str, name: &str) -> Option<&Value> {
        let named =
            |found: &&Value| text(found, &["metadata", "name"]) == name && is_of(found, api, resources, namespace);
        self.resources.iter().find(named)
    }

    /// A list of resources, as the API gives it.
    pub(crate) fn list(&self, api: &str, resources: &str, namespace: &str) -> Value {
        let items: Vec<&Value> =
            self.resources.iter().filter(|found| is_of(found, api, resources, namespace)).collect();
        json!({"items": items})
    }

    /// Values of a rule by its own name, else by the one without the prefix of rules for controllers.
    pub(crate) fn values(&self, policy: &str, rule: &str, base: &str) -> &[(String, Value)] {
        of_rule(&self.rule_values, policy, rule, base)
    }

    /// The same for values of elements.
    pub(crate) fn each(&self, policy: &str, rule: &str, base: &str) -> &[(String, Vec<Value>)] {
        of_rule(&self.each_values, policy, rule, base)
    }

    /// The answer to a call: what was given for it, else what the known resources say to a path of Kubernetes' API.
    pub(crate) fn answer(&self, method: &str, url: &str) -> Option<(u16, Value)> {
        let given = self.answers.get(&format!("{method}:{url}")).or_else(|| self.answers.get(url));
        if given.is_some() || method != "GET" {
            return given.cloned();
        }
        self.at_path(url)
    }

    fn at_path(&self, url: &str) -> Option<(u16, Value)> {
        if self.resources.is_empty() {
            return None;
        }
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = path.trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let (api, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        let missing = || (404, json!({"message": format!("{path} is not among the resources")}));
        let selection = match Selection::parse(query) {
            Ok(selection) => selection,
            Err(why) => return Some((400, json!({"message": why}))),
        };
        let list = |resources: &str, namespace: &str| {
            let mut found = self.list(&api, resources, namespace);
            if let Some(items) = found.get_mut("items").and_then(Value::as_array_mut) {
                items.retain(|item| selection.selects(item));
            }
            (200, found)
        };
        Some(match rest {
            ["namespaces", namespace, resources, name] => {
                self.resource(&api, resources, namespace, name).map_or_else(missing, |found| (200, found.clone()))
            }
            ["namespaces", namespace, resources] => list(resources, namespace),
            [resources, name] => {
                self.resource(&api, resources, "", name).map_or_else(missing, |found| (200, found.clone()))
            }
            [resources] => list(resources, ""),
            _ => missing(),
        })
    }
}

fn of_rule<'v, V>(all: &'v OfRules<V>, policy: &str, rule: &str, base: &str) -> &'v [(String, V)] {
    let of = |rule: &str| all.get(&(policy.to_owned(), rule.to_owned()));
    of(rule).or_else(|| of(base)).map(Vec::as_slice).unwrap_or_default()
}

/// Whether a resource is of a kind, in one namespace or in all.
fn is_of(found: &Value, api: &str, resources: &str, namespace: &str) -> bool {
    let own = text(found, &["metadata", "namespace"]);
    text(found, &["apiVersion"]) == api
        && plural(text(found, &["kind"])) == resources
        && (namespace.is_empty() || own.is_empty() || own == namespace)
}

/// Whether resources of a kind are of the cluster, not of a namespace.
///
/// Source: Kubernetes' API reference; kinds of others are called `Cluster…` by custom.
pub(crate) fn is_cluster_kind(kind: &str) -> bool {
    const KINDS: [&str; 22] = [
        "Namespace",
        "Node",
        "PersistentVolume",
        "StorageClass",
        "CustomResourceDefinition",
        "PriorityClass",
        "IngressClass",
        "RuntimeClass",
        "CSIDriver",
        "CSINode",
        "VolumeAttachment",
        "APIService",
        "CertificateSigningRequest",
        "FlowSchema",
        "PriorityLevelConfiguration",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "GatewayClass",
        "ComponentStatus",
        "ComputeClass",
    ];
    KINDS.contains(&kind) || kind.starts_with("Cluster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_with_selectors() {
        let pod = |name: &str, labels: Value, node: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "labels": labels}, "spec": {"nodeName": node}});
        let outside = Outside {
            resources: vec![pod("a", json!({"tier": "web", "app": "x"}), "n1"), pod("b", json!({"tier": "db"}), "n2")],
            ..Outside::default()
        };
        let names = |query: &str| {
            let (status, body) = outside.answer("GET", &format!("/api/v1/namespaces/n/pods?{query}")).unwrap();
            let items = body.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let names: Vec<String> = items.iter().map(|item| text(item, &["metadata", "name"]).to_owned()).collect();
            (status, names.join(","))
        };
        for (query, want) in [
            ("", "a,b"),
            ("limit=500", "a,b"),
            ("labelSelector=tier=web", "a"),
            ("labelSelector=tier%3D%3Ddb", "b"),
            ("labelSelector=tier!=web", "b"),
            ("labelSelector=app", "a"),
            ("labelSelector=%21app", "b"),
            ("labelSelector=tier%20in%20(web,%20db),app", "a"),
            ("labelSelector=tier+notin+(web)", "b"),
            ("fieldSelector=metadata.name=b", "b"),
            ("fieldSelector=spec.nodeName!=n2,metadata.namespace=n", "a"),
            ("labelSelector=tier=web&fieldSelector=metadata.name=b", ""),
        ] {
            assert_eq!(names(query), (200, want.to_owned()), "{query}");
        }
        for query in
            ["labelSelector=tier in web", "labelSelector=a b", "labelSelector=%zz", "fieldSelector=metadata.name"]
        {
            assert_eq!(names(query).0, 400, "{query}");
        }
    }

    #[test]
    fn paths_of_the_api() {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}});
        let class = json!({"apiVersion": "x.io/v1", "kind": "GatewayClass", "metadata": {"name": "g"}});
        let outside = Outside { resources: vec![map.clone(), class.clone()], ..Outside::default() };
        let status = |url: &str| outside.answer("GET", url).map(|(status, _)| status);
        assert_eq!(outside.answer("GET", "/api/v1/namespaces/n/configmaps/a"), Some((200, map)));
        assert_eq!(outside.answer("GET", "/apis/x.io/v1/gatewayclasses/g"), Some((200, class)));
        assert_eq!(status("/api/v1/namespaces/n/configmaps/b"), Some(404));
        assert_eq!(status("/api/v1/configmaps"), Some(200));
        assert_eq!(status("/healthz"), None);
        assert_eq!(outside.answer("POST", "/api/v1/configmaps"), None);
    }
}
