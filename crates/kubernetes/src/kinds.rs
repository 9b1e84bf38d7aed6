//! The kinds that a cluster knows.
//!
//! Source: Kubernetes' documentation, "Aggregated discovery". It takes two requests, and is there since Kubernetes 1.27.

use std::collections::BTreeMap;

use prograde_resource::Identity;
use prograde_resource::object::group_of;
use serde_json::Value;

use crate::refused::Refused;

/// The most kinds that are taken in.
const KINDS_MAX: usize = 20_000;

/// A kind in one version, and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The name in paths.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    verbs: Vec<String>,
}

impl Resource {
    /// The `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether it can be done to its objects.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// The path of all objects, of those in a namespace, or of one. What would mean another path is refused.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> Result<String, Refused> {
        let mut path =
            if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", segment(&self.group)?) };
        path.extend(["/", &segment(&self.version)?]);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.extend(["/namespaces/", &segment(namespace)?]);
        }
        path.extend(["/", &segment(&self.plural)?]);
        if let Some(name) = name {
            path.extend(["/", &segment(name)?]);
        }
        Ok(path)
    }
}

/// A part of a path, with what has a meaning in paths written otherwise.
fn segment(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text == "." || text == ".." {
        return Err(Refused::Unusable(format!("`{text}` can't be a name")));
    }
    let mut made = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            made.push(char::from(byte));
        } else {
            made.extend([format!("%{byte:02X}")]);
        }
    }
    Ok(made)
}

/// All kinds.
#[derive(Debug, Clone, Default)]
pub struct Kinds(BTreeMap<(String, String), Vec<Resource>>);

impl Kinds {
    /// Takes in what the API server says of its groups.
    pub(crate) fn add(&mut self, answer: &Value) -> Result<(), Refused> {
        if answer.get("kind").and_then(Value::as_str) != Some("APIGroupDiscoveryList") {
            let why = "it has no aggregated discovery, which Kubernetes has since version 1.27";
            return Err(Refused::Strange(why.to_owned()));
        }
        for group in list(answer, "items") {
            let name = text(group.get("metadata").unwrap_or(&Value::Null), "name");
            for version in list(group, "versions") {
                for resource in list(version, "resources") {
                    self.one(name, text(version, "version"), resource)?;
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, group: &str, version: &str, resource: &Value) -> Result<(), Refused> {
        if self.0.len() >= KINDS_MAX {
            return Err(Refused::Strange(format!("it has more than {KINDS_MAX} kinds")));
        }
        let kind = resource.get("responseKind").map_or("", |kind| text(kind, "kind"));
        if kind.is_empty() {
            return Ok(());
        }
        let verbs = list(resource, "verbs").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let made = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: text(resource, "resource").to_owned(),
            namespaced: text(resource, "scope") == "Namespaced",
            verbs,
        };
        self.0.entry((group.to_owned(), kind.to_owned())).or_default().push(made);
        Ok(())
    }

    /// The kind of an object.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        let versions = self.0.get(&(group_of(api_version).to_owned(), kind.to_owned()))?;
        versions.iter().find(|resource| resource.version == version)
    }

    /// The kind of an object, in the version that the cluster likes best.
    pub fn preferred(&self, identity: &Identity) -> Option<&Resource> {
        self.0.get(&(identity.group.clone(), identity.kind.clone()))?.first()
    }

    /// Whether objects of a kind are in namespaces; nothing for one that is not known.
    pub fn is_namespaced(&self, group: &str, kind: &str) -> Option<bool> {
        self.0.get(&(group.to_owned(), kind.to_owned()))?.first().map(|resource| resource.namespaced)
    }

    /// All kinds whose objects can be listed and deleted. What only tells of others is left out.
    pub fn kept(&self) -> impl Iterator<Item = &Resource> {
        let first = self.0.values().filter_map(|versions| versions.first());
        first.filter(|resource| resource.can("list") && resource.can("delete") && resource.kind != "Event")
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds() -> Kinds {
        let resource = |name: &str, kind: &str, scope: &str| {
            json!({"resource": name, "scope": scope,
            "responseKind": {"kind": kind}, "verbs": ["list", "delete", "get"]})
        };
        let mut kinds = Kinds::default();
        let answer = json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"name": "apps"}, "versions": [
                {"version": "v1", "resources": [resource("deployments", "Deployment", "Namespaced")]},
                {"version": "v1beta1", "resources": [resource("deployments", "Deployment", "Namespaced")]}]},
            {"metadata": {}, "versions": [{"version": "v1", "resources": [
                resource("namespaces", "Namespace", "Cluster"), resource("events", "Event", "Namespaced")]}]}]});
        kinds.add(&answer).unwrap();
        kinds
    }

    #[test]
    fn kinds_are_found_in_their_versions() {
        let kinds = kinds();
        assert_eq!(kinds.find("apps/v1beta1", "Deployment").unwrap().version, "v1beta1");
        assert!(kinds.find("apps/v2", "Deployment").is_none() && kinds.find("v1", "Deployment").is_none());
        assert_eq!(kinds.is_namespaced("", "Namespace"), Some(false));
        let kept: Vec<&str> = kinds.kept().map(|resource| resource.plural.as_str()).collect();
        assert_eq!(kept, ["namespaces", "deployments"]);
        assert!(Kinds::default().add(&json!({"kind": "APIGroupList"})).is_err());
    }

    #[test]
    fn a_name_can_not_mean_another_path() {
        let kinds = kinds();
        let deployments = kinds.find("apps/v1", "Deployment").unwrap();
        let path = deployments.path(Some("shop"), Some("a/../../b?x=1#é"));
        assert_eq!(path.unwrap(), "/apis/apps/v1/namespaces/shop/deployments/a%2F..%2F..%2Fb%3Fx%3D1%23%C3%A9");
        for wrong in ["", ".", ".."] {
            assert!(deployments.path(Some(wrong), Some("a")).is_err() && deployments.path(None, Some(wrong)).is_err());
        }
    }
}
