//! What is asked about: a resource, what is done with it, and by whom.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::constraints::plural;
use crate::image::Image;

/// Who asks, as Kubernetes' `AdmissionReview` and Kyverno's `UserInfo` files say it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// Roles as `namespace:name`.
    pub roles: Vec<String>,
    /// Cluster roles.
    pub cluster_roles: Vec<String>,
    /// `userInfo` as it came, for expressions.
    pub info: Value,
}

impl User {
    /// Whether nothing is known of the user.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Group, version and kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// API group; nothing for the core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

impl Kind {
    /// The kind that a resource says it has.
    pub fn of(resource: &Value) -> Self {
        let api = resource.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let kind = resource.get("kind").and_then(Value::as_str).unwrap_or_default();
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }
}

/// One question. `object` is nothing on DELETE, `old` is nothing on CREATE.
#[derive(Debug, Clone)]
pub struct Request<'r> {
    /// The resource as it shall be.
    pub object: Option<Cow<'r, Value>>,
    /// The resource as it is.
    pub old: Option<Cow<'r, Value>>,
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub operation: &'r str,
    /// Group, version and kind that rules are matched with: the parent's for a subresource.
    pub kind: Kind,
    /// The subresource, or nothing.
    pub subresource: &'r str,
    /// The kind's name in the API, where it is known; else it is guessed.
    pub plural: &'r str,
    /// Who asks.
    pub user: Cow<'r, User>,
    /// Labels of the resource's namespace, where they are known.
    pub namespace_labels: Cow<'r, BTreeMap<String, String>>,
    /// The resource's namespace itself, where it is known.
    pub namespace: Option<Cow<'r, Value>>,
    /// Now.
    pub now: Timestamp,
}

impl<'r> Request<'r> {
    /// The question whether a resource may be created.
    pub fn create(object: &'r Value, now: Timestamp) -> Self {
        Self {
            kind: Kind::of(object),
            object: Some(Cow::Borrowed(object)),
            old: None,
            operation: "CREATE",
            subresource: "",
            plural: "",
            user: Cow::Owned(User::default()),
            namespace_labels: Cow::Owned(BTreeMap::new()),
            namespace: None,
            now,
        }
    }

    /// The resource, new or old.
    pub fn resource(&self) -> &Value {
        self.object.as_deref().or(self.old.as_deref()).unwrap_or(&Value::Null)
    }

    /// The kind's name in the API.
    pub(crate) fn plural(&self) -> Cow<'r, str> {
        if self.plural.is_empty() { Cow::Owned(plural(&self.kind.kind)) } else { Cow::Borrowed(self.plural) }
    }

    /// Whether something is deleted.
    pub fn is_delete(&self) -> bool {
        self.operation == "DELETE"
    }

    /// What variables see: `request`, `images` and the service account.
    pub(crate) fn document(&self) -> Value {
        let resource = self.resource();
        let mut request = Map::new();
        if let Some(object) = &self.object {
            request.insert("object".to_owned(), object.as_ref().clone());
        }
        if let Some(old) = &self.old {
            request.insert("oldObject".to_owned(), old.as_ref().clone());
        }
        request.insert("operation".to_owned(), Value::from(self.operation));
        for part in ["name", "namespace"] {
            request.insert(part.to_owned(), Value::from(text(resource, &["metadata", part])));
        }
        let Kind { group, version, kind } = &self.kind;
        request.insert("kind".to_owned(), json!({"group": group, "version": version, "kind": kind}));
        let mut document = Map::new();
        let info = &self.user.info;
        request.insert("userInfo".to_owned(), if info.is_null() { json!({}) } else { info.clone() });
        request.insert("roles".to_owned(), json!(self.user.roles));
        request.insert("clusterRoles".to_owned(), json!(self.user.cluster_roles));
        let account = self.user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let (namespace, name) = account.unwrap_or_default();
        document.insert("serviceAccountName".to_owned(), Value::from(name));
        document.insert("serviceAccountNamespace".to_owned(), Value::from(namespace));
        document.insert("request".to_owned(), Value::Object(request));
        if let Some(images) = images(resource) {
            document.insert("images".to_owned(), images);
        }
        Value::Object(document)
    }
}

/// A text at a path, or nothing.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// A value at a path.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| value.get(step))
}

/// Where the pod is within a resource of a kind that has one.
pub(crate) fn pod_path(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &[],
        "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            &["spec", "template"]
        }
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

/// The lists of a pod's containers.
pub(crate) const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The images of a resource that has a pod: by list, then by container's name.
pub(crate) fn images(resource: &Value) -> Option<Value> {
    let path = pod_path(text(resource, &["kind"]))?;
    let spec = at(resource, path)?.get("spec")?;
    let mut lists = Map::new();
    for list in CONTAINERS {
        let mut found = Map::new();
        for (index, container) in spec.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let (name, image) = (text(container, &["name"]), text(container, &["image"]));
            let pointer = format!(
                "/{}/{list}/{index}/image",
                path.iter().chain(&["spec"]).copied().collect::<Vec<_>>().join("/")
            );
            if let Ok(image) = Image::parse(image) {
                found.insert(name.to_owned(), image.to_json(&pointer));
            }
        }
        if !found.is_empty() {
            lists.insert(list.to_owned(), Value::Object(found));
        }
    }
    (!lists.is_empty()).then_some(Value::Object(lists))
}
