//! What Kubernetes is told so that it asks: `ValidatingWebhookConfiguration` and `MutatingWebhookConfiguration`.
//!
//! Source: Kubernetes' API reference, `admissionregistration.k8s.io/v1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_policy::Stage;
use serde_json::{Value, json};

use crate::policies::Policies;

/// The namespaces that are never asked about: without what runs there, no cluster repairs itself.
const LEFT_OUT: [&str; 2] = ["kube-system", "kube-node-lease"];
/// What is not asked about where policies are about all kinds: what clusters live by, and questions that change nothing.
const NEVER: [(&str, &str); 5] = [
    ("coordination.k8s.io", "leases"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// Where the server is, seen from the cluster.
#[derive(Debug, Clone)]
pub enum Address {
    /// Its URL, without a path.
    Url(String),
    /// A service of the cluster.
    Service {
        /// Its namespace, which is not asked about either.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// How Kubernetes shall ask.
#[derive(Debug, Clone)]
pub struct Asking {
    /// What the configurations are called.
    pub name: String,
    /// Where.
    pub address: Address,
    /// Certificates in PEM that vouch for the server; the cluster's own roots by default.
    pub ca: Option<String>,
    /// More namespaces that are not asked about.
    pub except: Vec<String>,
    /// Whether things are let in when nobody answers.
    pub ignore: bool,
    /// How long is waited, in seconds.
    pub timeout_s: u8,
}

/// The configurations for policies: one for each webhook that any of them needs.
pub fn configurations(policies: &Policies, asking: &Asking) -> Vec<Value> {
    let kinds = [
        ("MutatingWebhookConfiguration", "mutate", Stage::Mutate),
        ("ValidatingWebhookConfiguration", "validate", Stage::Validate),
    ];
    let made = kinds.into_iter().filter_map(|(kind, path, stage)| {
        let rules = policies.set().hooks(stage);
        let webhook = (!rules.is_empty()).then(|| asking.webhook(path, &rules, policies.set().is_wide(stage)))?;
        Some(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": asking.name},
            "webhooks": [webhook]}))
    });
    made.collect()
}

impl Asking {
    fn webhook(&self, path: &str, rules: &[Value], wide: bool) -> Value {
        let mut webhook = json!({
            "name": format!("{path}.prograde.dev"),
            "clientConfig": self.client(path),
            "rules": rules,
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": self.left_out()},
            ]},
            "failurePolicy": if self.ignore { "Ignore" } else { "Fail" },
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": self.timeout_s,
            "admissionReviewVersions": ["v1"],
        });
        let Some(fields) = webhook.as_object_mut() else { return webhook };
        if path == "mutate" {
            fields.insert("reinvocationPolicy".to_owned(), Value::from("IfNeeded"));
        }
        if wide {
            let never = NEVER.iter().map(|(group, resource)| {
                let expression =
                    format!("request.resource.group != '{group}' || request.resource.resource != '{resource}'");
                let of = if group.is_empty() { "core" } else { group };
                json!({"name": format!("not-{resource}.{of}"), "expression": expression})
            });
            fields.insert("matchConditions".to_owned(), never.collect());
        }
        webhook
    }

    fn client(&self, path: &str) -> Value {
        let mut client = match &self.address {
            Address::Url(url) => json!({"url": format!("{}/{path}", url.trim_end_matches('/'))}),
            Address::Service { namespace, name, port } => {
                json!({"service": {"namespace": namespace, "name": name, "port": port, "path": format!("/{path}")}})
            }
        };
        if let (Some(ca), Some(fields)) = (&self.ca, client.as_object_mut()) {
            fields.insert("caBundle".to_owned(), Value::from(STANDARD.encode(ca)));
        }
        client
    }

    fn left_out(&self) -> Vec<&str> {
        let own = match &self.address {
            Address::Url(_) => None,
            Address::Service { namespace, .. } => Some(namespace.as_str()),
        };
        let mut all: Vec<&str> =
            LEFT_OUT.into_iter().chain(own).chain(self.except.iter().map(String::as_str)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(address: Address) -> Asking {
        Asking { name: "prograde".to_owned(), address, ca: None, except: Vec::new(), ignore: false, timeout_s: 10 }
    }

    #[test]
    fn one_configuration_for_each_webhook_that_is_needed() {
        let policies = Policies::read("baseline", &[]).unwrap();
        let service = Address::Service { namespace: "deploy".to_owned(), name: "prograde".to_owned(), port: 8443 };
        let made = configurations(&policies, &Asking { ca: Some("PEM".to_owned()), ..asking(service) });
        assert_eq!(made.len(), 1);
        insta::assert_snapshot!(prograde_yaml::write(&made[0]).unwrap());
    }

    #[test]
    fn what_clusters_live_by_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yaml");
        let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "labelled"},
            "spec": {"rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["*"]}}]},
                "mutate": {"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}}}]}});
        std::fs::write(&file, policy.to_string()).unwrap();
        let policies = Policies::read(crate::policies::NO_SET, &[file]).unwrap();
        let made = configurations(&policies, &asking(Address::Url("https://prograde.example/".to_owned())));
        let webhook = &made[0]["webhooks"][0];
        assert_eq!((made.len(), &webhook["clientConfig"]["url"]), (1, &json!("https://prograde.example/mutate")));
        assert_eq!(webhook["matchConditions"].as_array().unwrap().len(), NEVER.len());
        assert_eq!(webhook["rules"][0]["resources"], json!(["*"]));
    }
}
