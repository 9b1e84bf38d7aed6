//! One Kubernetes object on its way through the kustomizations, and the names that it had before.

use std::fmt;

use prograde_model::Diagnostic;

use crate::codes;
use crate::located::{Located, Place, Value};

/// An object's identity: two objects of a rendering never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// API group; empty for the core group.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, `default` where none is given, empty for kinds without namespaces.
    pub namespace: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)?;
        if !self.namespace.is_empty() && self.namespace != "default" {
            write!(f, " in namespace `{}`", self.namespace)?;
        }
        Ok(())
    }
}

/// One rendered object. `Debug` shows its identity and origin only, because it may be a `Secret`.
#[derive(Clone)]
pub struct Resource {
    pub(crate) tree: Located,
    /// The identities it had, oldest first.
    pub(super) previous: Vec<Id>,
    pub(super) prefixes: Vec<String>,
    pub(super) suffixes: Vec<String>,
    /// Whether a hash of its content is put behind its name.
    pub(super) needs_hash: bool,
}

impl Resource {
    /// Takes a document for an object: it needs `apiVersion`, `kind` and `metadata.name`.
    pub(super) fn new(tree: Located) -> Result<Self, Diagnostic> {
        if !matches!(tree.value, Value::Map(_)) {
            let message = format!("expected a Kubernetes object, found {}", tree.kind());
            return Err(tree.place.diagnostic(
                codes::NOT_AN_OBJECT,
                message,
                "write `apiVersion`, `kind` and `metadata`",
            ));
        }
        for path in [&["apiVersion"][..], &["kind"], &["metadata", "name"]] {
            let found = tree.at(path);
            if found.and_then(Located::as_str).is_none_or(str::is_empty) {
                let message = format!("the object has no `{}`, or it is not a text", path.join("."));
                let place = found.map_or(&tree.place, |value| &value.place);
                return Err(place.diagnostic(codes::NOT_AN_OBJECT, message, "every Kubernetes object needs one"));
            }
        }
        let resource = Self { tree, previous: vec![], prefixes: vec![], suffixes: vec![], needs_hash: false };
        if resource.kind().ends_with("List") && resource.tree.get("items").is_some() {
            let message = format!("`{}` is not rendered", resource.kind());
            let hint = "write each of its items as a document of its own, separated by `---`";
            return Err(resource.tree.place.diagnostic(codes::NOT_AN_OBJECT, message, hint));
        }
        Ok(resource)
    }

    /// The object with the place of each part.
    pub fn tree(&self) -> &Located {
        &self.tree
    }

    /// Where the object begins in the file that a person wrote.
    pub fn origin(&self) -> &Place {
        &self.tree.place
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.tree.text_at(&["apiVersion"]).unwrap_or_default()
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.tree.text_at(&["kind"]).unwrap_or_default()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.tree.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// `metadata.namespace`; empty where none is given.
    pub fn namespace(&self) -> &str {
        self.tree.text_at(&["metadata", "namespace"]).unwrap_or_default()
    }

    /// API group and version.
    pub fn group_version(&self) -> (&str, &str) {
        split_api_version(self.api_version())
    }

    /// The identity it has now.
    pub fn id(&self) -> Id {
        let (group, version) = self.group_version();
        Id::new(group, version, self.kind(), self.name(), self.namespace())
    }

    /// The identity it was written with.
    pub(super) fn original(&self) -> Id {
        self.previous.first().cloned().unwrap_or_else(|| self.id())
    }

    /// Every identity it has or had.
    pub(super) fn any_id(&self, matches: impl Fn(&Id) -> bool) -> bool {
        self.previous.iter().any(&matches) || matches(&self.id())
    }

    /// To be called before its identity changes.
    pub(super) fn remember_id(&mut self) {
        let id = self.id();
        self.previous.push(id);
    }

    pub(super) fn set_name(&mut self, name: String) {
        let place = self.tree.place.clone();
        if let Some(metadata) = self.tree.map_at("metadata", &place) {
            let place = metadata.get("name").map_or(place, |old| old.place.clone());
            metadata.set("name", Located::text(&place, name));
        }
    }

    /// The object as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        self.tree.to_json()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.id(), self.origin())
    }
}

impl Id {
    pub(super) fn new(group: &str, version: &str, kind: &str, name: &str, namespace: &str) -> Self {
        let namespace = match namespace {
            _ if is_cluster_scoped(group, kind) => "",
            "" => "default",
            given => given,
        };
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    pub(super) fn is_cluster_scoped(&self) -> bool {
        self.namespace.is_empty()
    }
}

/// Group and version of an `apiVersion`.
pub(crate) fn split_api_version(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("", text))
}

/// Kinds without a namespace, by group (Kubernetes API reference). Kinds that are not known have one.
const CLUSTER_SCOPED: [(&str, &[&str]); 13] = [
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("authentication.k8s.io", &["SelfSubjectReview", "TokenReview"]),
    ("authorization.k8s.io", &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"]),
    ("certificates.k8s.io", &["CertificateSigningRequest"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["IngressClass"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
];

fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    CLUSTER_SCOPED.iter().any(|(in_group, kinds)| *in_group == group && kinds.contains(&kind))
}
