//! Which requests a policy of expressions is about: `matchConstraints` and `matchResources`.
//!
//! Source: Kubernetes' API reference, `MatchResources` of `admissionregistration.k8s.io/v1`.

use serde_json::Value;

use crate::matching::{Selector, texts};
use crate::request::{Kind, Request, at, text};
use crate::world::is_cluster_kind;

/// Which resources and operations.
#[derive(Debug, Clone)]
pub(crate) struct ResourceRule {
    pub(crate) groups: Vec<String>,
    pub(crate) versions: Vec<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

/// `matchConstraints` and `matchResources`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constraints {
    pub(crate) rules: Vec<ResourceRule>,
    exclude: Vec<ResourceRule>,
    namespaces: Option<Selector>,
    objects: Option<Selector>,
}

fn resource_rules(list: Option<&Value>) -> Vec<ResourceRule> {
    let rule = |item: &Value| ResourceRule {
        groups: texts(item.get("apiGroups")),
        versions: texts(item.get("apiVersions")),
        operations: texts(item.get("operations")),
        resources: texts(item.get("resources")),
        names: texts(item.get("resourceNames")),
        scope: text(item, &["scope"]).to_owned(),
    };
    list.and_then(Value::as_array).into_iter().flatten().map(rule).collect()
}

/// The plural by which the API knows a kind.
///
/// Source: Kubernetes' `UnsafeGuessKindToResource`, which clients use without discovery, and for words such as "gateway"
/// the names in the API reference.
pub(crate) fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower == "endpoints" || lower == "podmetrics" {
        return if lower == "podmetrics" { "pods".to_owned() } else { lower };
    }
    if let Some(stem) = lower.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    if ["s", "x", "ch", "sh"].iter().any(|end| lower.ends_with(end)) {
        format!("{lower}es")
    } else {
        format!("{lower}s")
    }
}

impl ResourceRule {
    /// Whether it names a kind of this group, and not just by a wildcard.
    fn names(&self, kind: &Kind) -> bool {
        let resource = plural(&kind.kind);
        self.resources.contains(&resource) && self.groups.iter().any(|group| group == "*" || *group == kind.group)
    }

    fn fits(&self, request: &Request<'_>) -> bool {
        let one = |wanted: &[String], found: &str| wanted.iter().any(|wanted| wanted == "*" || wanted == found);
        let resource = request.plural();
        let sub = request.subresource;
        let resource_fits = |wanted: &String| {
            let (name, wanted_sub) = wanted.split_once('/').unwrap_or((wanted, ""));
            let name_fits = name == "*" || *name == *resource || name.eq_ignore_ascii_case(&request.kind.kind);
            name_fits && (wanted_sub == sub || wanted_sub == "*" || (wanted == "*" && sub.is_empty()))
        };
        let metadata = request.resource().get("metadata").unwrap_or(&Value::Null);
        let namespaced = !text(metadata, &["namespace"]).is_empty();
        let scope_fits = match self.scope.as_str() {
            "Namespaced" => namespaced || !is_cluster_kind(&request.kind.kind),
            "Cluster" => !namespaced,
            _ => true,
        };
        one(&self.groups, &request.kind.group)
            && one(&self.versions, &request.kind.version)
            && (self.operations.is_empty() || one(&self.operations, request.operation))
            && self.resources.iter().any(resource_fits)
            && (self.names.is_empty() || self.names.iter().any(|name| name == text(metadata, &["name"])))
            && scope_fits
    }
}

impl Constraints {
    pub(crate) fn compile(value: Option<&Value>) -> Result<Self, String> {
        let value = value.unwrap_or(&Value::Null);
        let selector = |name: &str| value.get(name).filter(|found| !found.is_null()).map(Selector::compile).transpose();
        Ok(Self {
            rules: resource_rules(value.get("resourceRules")),
            exclude: resource_rules(value.get("excludeResourceRules")),
            namespaces: selector("namespaceSelector")?,
            objects: selector("objectSelector")?,
        })
    }

    /// Whether a kind stands in them by its name.
    pub(crate) fn names_kind(&self, kind: &Kind) -> bool {
        self.rules.iter().any(|rule| rule.names(kind))
    }

    /// Whether they select a request. A binding without rules selects everything that its policy does.
    pub(crate) fn select(&self, request: &Request<'_>, of_binding: bool) -> bool {
        let labels = |resource| at(resource, &["metadata", "labels"]);
        let object_fits = self.objects.as_ref().is_none_or(|selector| {
            [request.object.as_deref(), request.old.as_deref()]
                .into_iter()
                .flatten()
                .any(|found| selector.matches_json(labels(found)))
        });
        let namespace_fits = self.namespaces.as_ref().is_none_or(|selector| {
            let resource = request.resource();
            if text(resource, &["kind"]) == "Namespace" {
                return selector.matches_json(at(resource, &["metadata", "labels"]));
            }
            text(resource, &["metadata", "namespace"]).is_empty() || selector.matches_map(&request.namespace_labels)
        });
        let rules_fit = (of_binding && self.rules.is_empty()) || self.rules.iter().any(|rule| rule.fits(request));
        rules_fit && object_fits && namespace_fits && !self.exclude.iter().any(|rule| rule.fits(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals() {
        for (kind, want) in [
            ("Pod", "pods"),
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("Gateway", "gateways"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
            ("Service", "services"),
        ] {
            assert_eq!(plural(kind), want);
        }
    }
}
