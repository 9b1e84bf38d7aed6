//! Which resources a rule is about: `match` and `exclude`.
//!
//! Source: Kyverno's documentation, "Selecting Resources". Attributes of one block hold together, members of one list are
//! alternatives. Who asks counts only where it is known.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::request::{Kind, Request, User, text};
use crate::wildcard;

/// A kind as policies write it: `Group/Version/Kind/subresource`, parts of it, with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KindSelector {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) subresource: String,
}

/// `v1`, `v1beta1`, or `*`.
fn is_version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else { return text == "*" };
    let mut characters = rest.chars();
    let digit = characters.next().is_some_and(|c| c.is_ascii_digit());
    let rest = characters.as_str();
    let stage = rest.strip_prefix("alpha").or(rest.strip_prefix("beta"));
    digit
        && (rest.is_empty()
            || stage.is_some_and(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit())))
}

impl KindSelector {
    pub(crate) fn parse(input: &str) -> Self {
        let (head, last) = input.rsplit_once('/').map_or((None, input), |(head, last)| (Some(head), last));
        let mut parts: Vec<&str> = head.into_iter().flat_map(|head| head.split('/')).collect();
        parts.extend(last.split('.'));
        let (group, version, kind, subresource) = match parts.as_slice() {
            [kind] => ("*", "*", *kind, ""),
            ["*", "*"] => ("*", "*", "*", "*"),
            ["*", sub] if sub.to_lowercase() == *sub => ("*", "*", "*", *sub),
            [version, kind] if is_version(version) => ("*", *version, *kind, ""),
            [kind, subresource] => ("*", "*", *kind, *subresource),
            [version, kind, subresource] if is_version(version) => ("*", *version, *kind, *subresource),
            [group, version, kind] => (*group, *version, *kind, ""),
            [group, version, kind, subresource] => (*group, *version, *kind, *subresource),
            _ => ("", "", "", ""),
        };
        let owned = str::to_owned;
        Self { group: owned(group), version: owned(version), kind: owned(kind), subresource: owned(subresource) }
    }

    /// Whether it names exactly this kind.
    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Whether it names this kind, and not just by a wildcard.
    fn names(&self, kind: &Kind) -> bool {
        self.is_kind(&kind.kind) && self.matches(kind, "")
    }

    pub(crate) fn matches(&self, kind: &Kind, subresource: &str) -> bool {
        let ephemeral =
            kind.group.is_empty() && kind.version == "v1" && kind.kind == "Pod" && subresource == "ephemeralcontainers";
        wildcard::matches(&self.kind, &kind.kind)
            && wildcard::matches(&self.group, &kind.group)
            && wildcard::matches(&self.version, &kind.version)
            && (wildcard::matches(&self.subresource, subresource) || ephemeral)
    }
}

/// A label selector; keys and values may hold wildcards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<(String, String)>,
    expressions: Vec<Requirement>,
}

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    operator: Presence,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let mut made = Self::default();
        for (name, label) in value.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            made.labels.push((name.clone(), crate::pattern::shown(label).into_owned()));
        }
        for requirement in value.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match text(requirement, &["operator"]) {
                "In" => Presence::In,
                "NotIn" => Presence::NotIn,
                "Exists" => Presence::Exists,
                "DoesNotExist" => Presence::DoesNotExist,
                other => return Err(format!("unknown operator `{other}` of a selector")),
            };
            made.expressions.push(Requirement {
                key: text(requirement, &["key"]).to_owned(),
                operator,
                values: texts(requirement.get("values")),
            });
        }
        Ok(made)
    }

    pub(crate) fn matches<'l>(
        &self,
        labels: impl Fn(&str) -> Option<&'l str>,
        all: impl Fn(&dyn Fn(&str, &str) -> bool) -> bool,
    ) -> bool {
        let label = |(name, value): &(String, String)| {
            if wildcard::has_wildcard(name) || wildcard::has_wildcard(value) {
                return all(&|found_name, found| {
                    wildcard::matches(name, found_name) && wildcard::matches(value, found)
                });
            }
            labels(name) == Some(value)
        };
        let expression = |requirement: &Requirement| {
            let found = labels(&requirement.key);
            let listed = found.is_some_and(|found| requirement.values.iter().any(|value| value == found));
            match requirement.operator {
                Presence::In => listed,
                Presence::NotIn => !listed,
                Presence::Exists => found.is_some(),
                Presence::DoesNotExist => found.is_none(),
            }
        };
        self.labels.iter().all(label) && self.expressions.iter().all(expression)
    }

    /// Whether it fits labels as a resource has them.
    pub(crate) fn matches_json(&self, labels: Option<&Value>) -> bool {
        let entries = labels.and_then(Value::as_object);
        self.matches(
            |name| entries.and_then(|entries| entries.get(name)).and_then(Value::as_str),
            |test| {
                entries.into_iter().flatten().any(|(name, value)| value.as_str().is_some_and(|value| test(name, value)))
            },
        )
    }

    /// Whether it fits a namespace's labels.
    pub(crate) fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(
            |name| labels.get(name).map(String::as_str),
            |test| labels.iter().any(|(name, value)| test(name, value)),
        )
    }
}

/// Texts of a list, or of one text.
pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().map(|item| crate::pattern::shown(item).into_owned()).collect(),
        Some(Value::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}

#[derive(Debug, Clone)]
struct Subject {
    kind: String,
    /// Of users and groups; of a service account with its namespace, as a user's name.
    name: String,
}

/// One block of resources and users.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) kinds: Vec<KindSelector>,
    names: Vec<String>,
    /// `name`, which has to fit beside `names`.
    name: Option<String>,
    namespaces: Vec<String>,
    annotations: Vec<(String, String)>,
    selector: Option<Selector>,
    namespace_selector: Option<Selector>,
    pub(crate) operations: Vec<String>,
    roles: Vec<String>,
    cluster_roles: Vec<String>,
    subjects: Vec<Subject>,
    all_kinds: bool,
}

impl Filter {
    /// Compiles `{resources, subjects, roles, clusterRoles}`.
    fn compile(value: &Value) -> Result<Self, String> {
        let resources = value.get("resources").unwrap_or(&Value::Null);
        let selector = |name: &str| resources.get(name).filter(|v| !v.is_null()).map(Selector::compile).transpose();
        let annotations = resources.get("annotations").and_then(Value::as_object);
        let kinds = texts(resources.get("kinds"));
        let mut made = Self {
            all_kinds: kinds.iter().any(|kind| kind == "*"),
            kinds: kinds.iter().map(|kind| KindSelector::parse(kind)).collect(),
            names: texts(resources.get("names")),
            name: resources.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned),
            namespaces: texts(resources.get("namespaces")),
            annotations: annotations
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), crate::pattern::shown(v).into_owned()))
                .collect(),
            selector: selector("selector")?,
            namespace_selector: selector("namespaceSelector")?,
            operations: texts(resources.get("operations")),
            roles: texts(value.get("roles")),
            cluster_roles: texts(value.get("clusterRoles")),
            subjects: Vec::new(),
        };
        for subject in value.get("subjects").and_then(Value::as_array).into_iter().flatten() {
            let (kind, name) = (text(subject, &["kind"]), text(subject, &["name"]));
            let name = match kind {
                "ServiceAccount" => format!("system:serviceaccount:{}:{name}", text(subject, &["namespace"])),
                "User" | "Group" => name.to_owned(),
                other => return Err(format!("unknown kind `{other}` of a subject")),
            };
            made.subjects.push(Subject { kind: kind.to_owned(), name });
        }
        Ok(made)
    }

    fn names_no_resource(&self) -> bool {
        self.kinds.is_empty()
            && self.names.is_empty()
            && self.name.is_none()
            && self.namespaces.is_empty()
            && self.annotations.is_empty()
            && self.selector.is_none()
            && self.namespace_selector.is_none()
            && self.operations.is_empty()
    }

    fn names_no_user(&self) -> bool {
        self.roles.is_empty() && self.cluster_roles.is_empty() && self.subjects.is_empty()
    }

    fn resource_fits(&self, request: &Request<'_>) -> bool {
        let resource = request.resource();
        if !self.operations.is_empty() && !self.operations.iter().any(|operation| operation == request.operation) {
            return false;
        }
        if !self.kinds.is_empty() && !self.kinds.iter().any(|kind| kind.matches(&request.kind, request.subresource)) {
            return false;
        }
        let metadata = resource.get("metadata").unwrap_or(&Value::Null);
        let given = text(metadata, &["name"]);
        let name = if given.is_empty() { text(metadata, &["generateName"]) } else { given };
        if self.name.as_ref().is_some_and(|wanted| !wildcard::matches(wanted, name)) {
            return false;
        }
        if !self.names.is_empty() && !self.names.iter().any(|wanted| wildcard::matches(wanted, name)) {
            return false;
        }
        let own_kind = text(resource, &["kind"]);
        let namespace = if own_kind == "Namespace" { given } else { text(metadata, &["namespace"]) };
        if !self.namespaces.is_empty() && !self.namespaces.iter().any(|wanted| wildcard::matches(wanted, namespace)) {
            return false;
        }
        self.metadata_fits(metadata, own_kind, request)
    }

    fn metadata_fits(&self, metadata: &Value, own_kind: &str, request: &Request<'_>) -> bool {
        let annotations = metadata.get("annotations").and_then(Value::as_object);
        let annotated = |(key, value): &(String, String)| {
            annotations.into_iter().flatten().any(|(found_key, found)| {
                wildcard::matches(key, found_key) && found.as_str().is_some_and(|found| wildcard::matches(value, found))
            })
        };
        if !self.annotations.iter().all(annotated) {
            return false;
        }
        if self.selector.as_ref().is_some_and(|selector| !selector.matches_json(metadata.get("labels"))) {
            return false;
        }
        match &self.namespace_selector {
            Some(_) if own_kind == "Namespace" => false,
            Some(selector) if !own_kind.is_empty() || self.all_kinds => selector.matches_map(&request.namespace_labels),
            Some(_) | None => true,
        }
    }

    fn user_fits(&self, user: &User) -> bool {
        let one_of =
            |wanted: &[String], has: &[String]| wanted.is_empty() || has.iter().any(|role| wanted.contains(role));
        let subject = |subject: &Subject| match subject.kind.as_str() {
            "Group" => user.groups.iter().any(|group| wildcard::matches(&subject.name, group)),
            _ => wildcard::matches(&subject.name, &user.name),
        };
        one_of(&self.roles, &user.roles)
            && one_of(&self.cluster_roles, &user.cluster_roles)
            && (self.subjects.is_empty() || self.subjects.iter().any(subject))
    }

    /// For `match`: who asks counts only where it is known.
    fn includes(&self, request: &Request<'_>) -> bool {
        if request.user.is_unknown() {
            return !self.names_no_resource() && self.resource_fits(request);
        }
        !(self.names_no_resource() && self.names_no_user())
            && self.resource_fits(request)
            && self.user_fits(&request.user)
    }

    /// For `exclude`, and for exceptions.
    fn excludes(&self, request: &Request<'_>) -> bool {
        !(self.names_no_resource() && self.names_no_user())
            && self.resource_fits(request)
            && self.user_fits(&request.user)
    }
}

/// `any`, `all`, or one block.
#[derive(Debug, Clone)]
pub(crate) enum Match {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    One(Box<Filter>),
}

impl Match {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let filters = |name: &str| {
            let list = value.get(name).and_then(Value::as_array).filter(|items| !items.is_empty());
            list.map(|items| items.iter().map(Filter::compile).collect::<Result<Vec<_>, _>>()).transpose()
        };
        if let Some(any) = filters("any")? {
            return Ok(Self::Any(any));
        }
        if let Some(all) = filters("all")? {
            return Ok(Self::All(all));
        }
        Ok(Self::One(Box::new(Filter::compile(value)?)))
    }

    /// Whether a kind stands in it by its name.
    pub(crate) fn names_kind(&self, kind: &Kind) -> bool {
        self.filters().iter().flat_map(|filter| &filter.kinds).any(|selector| selector.names(kind))
    }

    /// All blocks. What holds together is among them one by one.
    pub(crate) fn filters(&self) -> &[Filter] {
        match self {
            Self::Any(filters) | Self::All(filters) => filters,
            Self::One(filter) => std::slice::from_ref(filter),
        }
    }

    pub(crate) fn includes(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.includes(request)),
            Self::All(filters) => filters.iter().all(|filter| filter.includes(request)),
            Self::One(filter) => filter.includes(request),
        }
    }

    /// For exceptions: `any`, or `all` together; one block alone covers nothing.
    pub(crate) fn covers(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.excludes(request)),
            Self::All(filters) => filters.iter().all(|filter| filter.excludes(request)),
            Self::One(_) => false,
        }
    }

    pub(crate) fn excludes(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.excludes(request)),
            Self::All(filters) => filters.iter().all(|filter| filter.excludes(request)),
            Self::One(filter) => filter.excludes(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_as_policies_write_them() {
        let check = |selector: &str, group: &str, version: &str, kind: &str, sub: &str, want: bool| {
            let kind = Kind { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
            assert_eq!(KindSelector::parse(selector).matches(&kind, sub), want, "{selector}");
        };
        check("Pod", "", "v1", "Pod", "", true);
        check("v1/Pod", "", "v1", "Pod", "", true);
        check("apps/v1/Deployment", "apps", "v1", "Deployment", "", true);
        check("apps/*/Deployment", "apps", "v1", "Deployment", "", true);
        check("Pod/exec", "", "v1", "Pod", "exec", true);
        check("Pod/exec", "", "v1", "Pod", "", false);
        check("*", "apps", "v1", "Deployment", "", true);
        check("*", "apps", "v1", "Deployment", "scale", false);
        check("*/*", "apps", "v1", "Deployment", "scale", true);
        check("Deployment.scale", "apps", "v1", "Deployment", "scale", true);
        check("networking.k8s.io/v1/NetworkPolicy/status", "networking.k8s.io", "v1", "NetworkPolicy", "status", true);
        check("Pod", "", "v1", "Pod", "ephemeralcontainers", true);
        let pod = Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() };
        for (selector, named) in [("Pod", true), ("v1/Pod", true), ("*", false), ("P*", false), ("a/v1/Pod", false)] {
            assert_eq!(KindSelector::parse(selector).names(&pod), named, "{selector}");
        }
    }

    #[test]
    fn blocks_and_users() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}}});
        let mut request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
        let compile = |value: Value| Match::compile(&value).unwrap();
        let kinds = |kinds: Value| json!({"resources": {"kinds": kinds}});
        assert!(compile(json!({"any": [kinds(json!(["Job"])), kinds(json!(["Pod"]))]})).includes(&request));
        assert!(!compile(json!({"all": [kinds(json!(["Job"])), kinds(json!(["Pod"]))]})).includes(&request));
        assert!(
            compile(json!({"resources": {"kinds": ["Pod"], "selector": {"matchLabels": {"x": "?*"}}}}))
                .includes(&request)
        );
        assert!(!compile(json!({"resources": {"kinds": ["Pod"], "namespaces": ["kube-*"]}})).includes(&request));
        let users = json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "jane*"}]});
        assert!(compile(users.clone()).includes(&request), "nobody is known, so it does not count");
        assert!(!compile(json!({"subjects": [{"kind": "User", "name": "jane"}]})).excludes(&request));
        request.user.to_mut().name = "jane.d".to_owned();
        assert!(compile(users.clone()).excludes(&request));
        request.user.to_mut().name = "joe".to_owned();
        assert!(!compile(users).includes(&request));
        assert!(!compile(json!({})).includes(&request), "nothing matches everything by accident");
    }
}
