//! Where an object came from, as the annotations of `buildMetadata` tell it.

use serde_json::{Map, Value as Json};

use crate::emit;

/// Where an object, a generator or a transformer is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) path: String,
    pub(crate) repository: String,
    pub(crate) reference: String,
    pub(crate) configured_in: String,
    pub(crate) by: Option<By>,
}

/// Which generator or transformer made or changed an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Origin {
    /// The origin of what is named in a kustomization whose origin this is.
    pub(crate) fn append(&self, path: &str) -> Self {
        Self { path: clean(&format!("{}/{path}", self.path)), ..self.clone() }
    }

    /// What a kustomization's own field makes or changes.
    pub(crate) fn configured(&self, file: &str, kind: &str) -> Self {
        let by = By { api_version: "builtin".into(), kind: kind.into(), ..By::default() };
        Self {
            path: String::new(),
            configured_in: clean(&format!("{}/{file}", self.path)),
            by: Some(by),
            ..self.clone()
        }
    }

    fn json(&self) -> Json {
        let mut map = Map::new();
        let mut put = |name: &str, text: &str| {
            if !text.is_empty() {
                map.insert(name.into(), Json::String(text.into()));
            }
        };
        put("path", &self.path);
        put("repo", &self.repository);
        put("ref", &self.reference);
        put("configuredIn", &self.configured_in);
        if let Some(by) = &self.by {
            let mut inner = Map::new();
            for (name, text) in
                [("apiVersion", &by.api_version), ("kind", &by.kind), ("name", &by.name), ("namespace", &by.namespace)]
            {
                if !text.is_empty() {
                    inner.insert(name.into(), Json::String(text.clone()));
                }
            }
            map.insert("configuredBy".into(), Json::Object(inner));
        }
        Json::Object(map)
    }

    /// The annotation's text.
    pub(crate) fn text(&self) -> String {
        emit::document_in_order(&self.json())
    }

    /// The text of several in one annotation.
    pub(crate) fn list_text(all: &[Self]) -> String {
        emit::document_in_order(&Json::Array(all.iter().map(Self::json).collect()))
    }
}

/// A path in normal form, which may begin with `..`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}
