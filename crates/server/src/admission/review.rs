//! `AdmissionReview`: what Kubernetes asks, and how it is answered.
//!
//! Source: Kubernetes' API reference, `admission.k8s.io/v1`, and its documentation, "Dynamic Admission Control".
//! Invariant: what is not understood is refused where it is known what it was, never let in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prograde_policy::{Kind, PolicySet, Request, User, kind_of};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The only version that is spoken. Kubernetes has it since 1.16.
const VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The longest identity of a question, in bytes; Kubernetes' own have 36.
const UID_BYTES_MAX: usize = 128;

/// Why a question can't be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misread {
    /// It is no question at all.
    Nothing(String),
    /// It is one, and has this identity.
    Of(String, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    kind: Named,
    #[serde(default)]
    resource: Named,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    user_info: Value,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

/// A kind, or a resource.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    group: String,
    version: String,
    kind: String,
    resource: String,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            _ => return None,
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A question that was understood.
#[derive(Debug)]
pub(super) struct Review {
    pub(super) uid: String,
    pub(super) operation: Operation,
    pub(super) namespace: String,
    pub(super) name: String,
    kind: Kind,
    resource: (String, String, String),
    subresource: String,
    user: User,
    object: Option<Value>,
    old: Option<Value>,
    /// What was written into the object's metadata beside what it had itself.
    added: Vec<&'static str>,
}

impl Review {
    /// Reads a question.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Misread> {
        let nothing = |why: String| Misread::Nothing(why);
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| nothing(format!("it is no {KIND} in JSON: {error}")))?;
        if (document.api_version.as_str(), document.kind.as_str()) != (VERSION, KIND) {
            return Err(nothing(format!("expected is the kind {KIND} of {VERSION}")));
        }
        let asked = document.request.ok_or_else(|| nothing("it has no request".to_owned()))?;
        if asked.uid.is_empty() || asked.uid.len() > UID_BYTES_MAX {
            return Err(nothing("its request has no uid".to_owned()));
        }
        let uid = asked.uid.clone();
        Self::of(asked).map_err(|why| Misread::Of(uid, why))
    }

    fn of(asked: Asked) -> Result<Self, String> {
        let operation = Operation::parse(&asked.operation)
            .ok_or_else(|| format!("the operation `{}` is not known", asked.operation))?;
        let (object, old) = (resource("object", asked.object)?, resource("oldObject", asked.old_object)?);
        let missing = match operation {
            Operation::Create => object.is_none().then_some("object"),
            Operation::Update if object.is_none() => Some("object"),
            Operation::Update | Operation::Delete => old.is_none().then_some("oldObject"),
            Operation::Connect => None,
        };
        if let Some(missing) = missing {
            return Err(format!("a request to {} has no {missing}", operation.as_str()));
        }
        let Named { group, version, kind, .. } = asked.kind;
        if kind.is_empty() || asked.resource.resource.is_empty() {
            return Err("the request has no kind or no resource".to_owned());
        }
        let mut review = Self {
            uid: asked.uid,
            operation,
            namespace: asked.namespace.unwrap_or_default(),
            name: asked.name.unwrap_or_default(),
            kind: Kind { group, version, kind },
            resource: (asked.resource.group, asked.resource.version, asked.resource.resource),
            subresource: asked.sub_resource.unwrap_or_default(),
            user: user(asked.user_info)?,
            // What is connected to has no object of its own.
            object: object.or_else(|| (operation == Operation::Connect).then(|| json!({}))),
            old,
            added: Vec::new(),
        };
        review.complete();
        Ok(review)
    }

    /// Writes name and namespace into objects that came without, such as the options of `exec`: policies look there.
    fn complete(&mut self) {
        let of_namespace = self.kind.kind == "Namespace" && self.kind.group.is_empty();
        let namespace = if of_namespace { "" } else { self.namespace.as_str() };
        for (name, value) in [("name", self.name.as_str()), ("namespace", namespace)] {
            if let Some(object) = self.object.as_mut().and_then(Value::as_object_mut)
                && put(object, name, value)
            {
                self.added.push(name);
            }
            if let Some(old) = self.old.as_mut().and_then(Value::as_object_mut) {
                put(old, name, value);
            }
        }
    }

    /// The object as Kubernetes has it.
    pub(super) fn as_sent(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            self.added.iter().for_each(|name| drop(metadata.shift_remove(*name)));
            if metadata.is_empty() && !self.added.is_empty() {
                object.as_object_mut().map(|object| object.shift_remove("metadata"));
            }
        }
        object
    }

    /// The object, where there is one.
    pub(super) fn object(&self) -> Option<&Value> {
        self.object.as_ref()
    }

    /// What of it has pods, for the server to put in what it knows itself.
    pub(super) fn objects(&mut self) -> impl Iterator<Item = &mut Value> {
        self.object.iter_mut().chain(&mut self.old)
    }

    /// Whether it is about a namespace itself.
    pub(super) fn is_of_namespace(&self) -> bool {
        let (group, _, resource) = &self.resource;
        group.is_empty() && resource == "namespaces"
    }

    /// What is asked of policies, where the resource's namespace is known or not.
    pub(super) fn request<'r>(&'r self, set: &PolicySet, namespace: Option<&'r Value>, now: Timestamp) -> Request<'r> {
        let (group, version, resource) = &self.resource;
        let own = self.object.as_ref().or(self.old.as_ref()).filter(|_| self.is_of_namespace());
        Request {
            object: self.object.as_ref().filter(|_| self.operation != Operation::Delete).map(Cow::Borrowed),
            old: self.old.as_ref().map(Cow::Borrowed),
            operation: self.operation.as_str(),
            kind: kind_of(set, &self.kind, (group, version, resource)),
            subresource: &self.subresource,
            plural: resource,
            user: Cow::Borrowed(&self.user),
            namespace_labels: Cow::Owned(own.or(namespace).map(labels).unwrap_or_default()),
            namespace: namespace.map(Cow::Borrowed),
            now,
        }
    }

    /// What it is about, for the log and for people.
    pub(super) fn shown(&self) -> String {
        let name = [self.namespace.as_str(), self.name.as_str()]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>();
        let sub = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        format!("{} {}{sub} {} by {}", self.operation.as_str(), self.resource.2, name.join("/"), self.user.name)
    }
}

/// An object, or nothing.
fn resource(name: &str, value: Value) -> Result<Option<Value>, String> {
    match value {
        Value::Null => Ok(None),
        object @ Value::Object(_) => Ok(Some(object)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(format!("`{name}` of the request is no object"))
        }
    }
}

fn user(info: Value) -> Result<User, String> {
    let name = info.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err("the request does not say who asks".to_owned());
    }
    let groups = info.get("groups").and_then(Value::as_array).into_iter().flatten();
    let groups = groups.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(User { name, groups, info, ..User::default() })
}

/// Puts a value into the metadata, where none is there.
fn put(object: &mut Map<String, Value>, name: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else { return false };
    if metadata.get(name).and_then(Value::as_str).is_some_and(|found| !found.is_empty()) {
        return false;
    }
    metadata.insert(name.to_owned(), Value::from(value));
    true
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The answer to a question.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Why it is refused, with a status of HTTP.
    pub(super) refused: Option<(u16, String)>,
    /// What is told beside.
    pub(super) warnings: Vec<String>,
    /// What is changed.
    pub(super) patch: Vec<Value>,
}

impl Answer {
    /// A refusal.
    pub(super) fn refused(status: u16, why: impl Into<String>) -> Self {
        Self { refused: Some((status, why.into())), ..Self::default() }
    }

    /// As Kubernetes reads it.
    pub(super) fn to_json(&self, uid: &str) -> Value {
        let mut response = Map::new();
        let mut set = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        set("uid", Value::from(uid));
        set("allowed", Value::from(self.refused.is_none()));
        if let Some((code, message)) = &self.refused {
            let reason = if *code == 403 { "Forbidden" } else { "" };
            set("status", json!({"code": code, "message": message, "reason": reason}));
        } else if !self.patch.is_empty() {
            set("patchType", Value::from("JSONPatch"));
            set("patch", Value::from(STANDARD.encode(Value::from(self.patch.clone()).to_string())));
        }
        if !self.warnings.is_empty() {
            set("warnings", json!(self.warnings));
        }
        json!({"apiVersion": VERSION, "kind": KIND, "response": response})
    }
}
