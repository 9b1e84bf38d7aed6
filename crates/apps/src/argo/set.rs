//! An ApplicationSet: generators, a template, and what is done with what comes out.

use prograde_kustomize::Place;
use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::argo::application::Metadata;
use crate::codes;
use crate::template::{Missing, Mode};

/// An Argo CD `ApplicationSet`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationSet {
    /// Where it is written.
    pub place: Place,
    /// Its metadata.
    pub metadata: Metadata,
    /// Which language its templates are in.
    pub(crate) mode: Mode,
    /// The generators, each a checked mapping.
    pub(crate) generators: Vec<Json>,
    /// The template.
    pub(crate) template: Json,
    /// A patch for what the template gives.
    pub(crate) patch: Option<String>,
    /// Whether applications are deleted without what they deployed.
    pub preserves_resources: bool,
    /// What the controller may do with the applications: `sync` unless said.
    pub applications_sync: String,
    /// Steps in which applications are brought up to date: each with what its applications' labels have to be.
    pub strategy: Option<Json>,
}

impl ApplicationSet {
    /// An ApplicationSet of an object that was checked against the table of fields.
    pub(crate) fn new(place: Place, object: &Json) -> Result<Self, Diagnostic> {
        let at = |pointer: &str| object.pointer(pointer).cloned();
        let metadata = at("/metadata").unwrap_or_default();
        let metadata =
            serde_json::from_value(if metadata.is_null() { Json::Object(serde_json::Map::new()) } else { metadata })
                .map_err(|problem| place.diagnostic(codes::FIELD, format!("it can't be read: {problem}"), ""))?;
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str);
        let flag = |pointer: &str| object.pointer(pointer).and_then(Json::as_bool).unwrap_or(false);
        let set = Self {
            mode: mode(&place, object, flag("/spec/goTemplate"))?,
            metadata,
            generators: at("/spec/generators").and_then(|list| list.as_array().cloned()).unwrap_or_default(),
            template: at("/spec/template").unwrap_or(Json::Null),
            patch: text("/spec/templatePatch").map(str::to_owned),
            preserves_resources: flag("/spec/syncPolicy/preserveResourcesOnDeletion"),
            applications_sync: text("/spec/syncPolicy/applicationsSync").unwrap_or("sync").to_owned(),
            strategy: at("/spec/strategy"),
            place,
        };
        set.check()?;
        Ok(set)
    }

    /// The repositories that its Git generators ask, each with the revision that they name.
    pub fn git_sources(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut open: Vec<&Json> = self.generators.iter().collect();
        while let Some(generator) = open.pop() {
            let text = |git: &Json, field: &str| git.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
            found.extend(generator.get("git").map(|git| (text(git, "repoURL"), text(git, "revision"))));
            for nested in ["matrix", "merge"] {
                let inner = generator.get(nested).and_then(|nested| nested.get("generators"));
                open.extend(inner.and_then(Json::as_array).into_iter().flatten());
            }
        }
        found
    }

    /// Whether an application stays once the set makes it no longer.
    pub(crate) fn lets_outlive(&self) -> bool {
        ["create-only", "create-update"].contains(&self.applications_sync.as_str())
    }

    fn check(&self) -> Result<(), Diagnostic> {
        let wrong = |message: String, hint: &str| Err(self.place.diagnostic(codes::VALUE, message, hint));
        let name = &self.metadata.name;
        if !["sync", "create-only", "create-update", "create-delete"].contains(&self.applications_sync.as_str()) {
            return wrong(
                format!("`{name}` has the unknown `applicationsSync` `{}`", self.applications_sync),
                "write `sync`, `create-only`, `create-update` or `create-delete`",
            );
        }
        let strategy = self.strategy.as_ref().and_then(|strategy| strategy.get("type")).and_then(Json::as_str);
        if strategy.is_some_and(|kind| !["", "RollingSync", "AllAtOnce"].contains(&kind)) {
            return wrong(format!("`{name}` has an unknown strategy"), "write `RollingSync` or `AllAtOnce`");
        }
        if self.template.is_null() {
            return wrong(format!("`{name}` has no template"), "set `spec.template`");
        }
        if self.generators.is_empty() {
            return wrong(format!("`{name}` has no generators"), "set `spec.generators`");
        }
        Ok(())
    }
}

fn mode(place: &Place, object: &Json, go: bool) -> Result<Mode, Diagnostic> {
    let options = object.pointer("/spec/goTemplateOptions").and_then(Json::as_array).cloned().unwrap_or_default();
    let mut missing = Missing::Invalid;
    for option in options.iter().filter_map(Json::as_str) {
        missing = match option {
            "missingkey=default" | "missingkey=invalid" => Missing::Invalid,
            "missingkey=zero" => Missing::Zero,
            "missingkey=error" => Missing::Error,
            other => {
                let message = format!("`goTemplateOptions` has the unknown option `{other}`");
                let hint = "write `missingkey=default`, `missingkey=zero` or `missingkey=error`";
                return Err(place.diagnostic(codes::VALUE, message, hint));
            }
        };
    }
    Ok(if go { Mode::Go(missing) } else { Mode::Fast })
}
