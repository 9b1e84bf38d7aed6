//! Which fields each transformation changes: what is built in, and what `configurations` and `crds` add.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::codes;
use crate::fields::FieldSpec;
use crate::id::Gvk;
use crate::node::Node;
use crate::place::Place;
use crate::reader::{Mode, Reader};

const BUILT_IN: &str = include_str!("../data/fields.txt");

/// The configurations that nearly all kustomizations have. They are shared, because merging them takes longer than most of what
/// is rendered, and comes to the same each time.
static EMPTY: LazyLock<Arc<Config>> = LazyLock::new(Arc::default);
static DEFAULT: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(Config::built_in()));

/// Who may refer to objects of a kind by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) target: Gvk,
    pub(crate) referrers: Vec<FieldSpec>,
}

/// The fields of all transformations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) prefix: Vec<FieldSpec>,
    pub(crate) suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) claim_labels: Vec<FieldSpec>,
    pub(crate) annotations: Vec<FieldSpec>,
    pub(crate) references: Vec<References>,
    pub(crate) variables: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

/// The sections by the names that they have in files.
const SECTIONS: [&str; 11] = [
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "templateLabels",
    "volumeClaimTemplateLabels",
    "commonAnnotations",
    "varReference",
    "images",
    "replicas",
];

impl Config {
    /// Nothing.
    pub(crate) fn none() -> Arc<Self> {
        Arc::clone(&EMPTY)
    }

    /// What is built in.
    pub(crate) fn default_fields() -> Arc<Self> {
        Arc::clone(&DEFAULT)
    }

    fn section(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        match name {
            "namePrefix" => Some(&mut self.prefix),
            "nameSuffix" => Some(&mut self.suffix),
            "namespace" => Some(&mut self.namespace),
            "commonLabels" => Some(&mut self.common_labels),
            "labels" => Some(&mut self.labels),
            "templateLabels" => Some(&mut self.template_labels),
            "volumeClaimTemplateLabels" => Some(&mut self.claim_labels),
            "commonAnnotations" => Some(&mut self.annotations),
            "varReference" => Some(&mut self.variables),
            "images" => Some(&mut self.images),
            "replicas" => Some(&mut self.replicas),
            _ => None,
        }
    }

    /// What is built in. The text is in the order that sorting and merging come to.
    fn built_in() -> Self {
        let mut config = Self::default();
        let or_empty = |word: Option<&str>| word.filter(|word| *word != "-").unwrap_or_default().to_owned();
        let mut section = "";
        for line in BUILT_IN.lines().filter(|line| !line.starts_with('#')) {
            if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let mut words = head.split_ascii_whitespace();
                section = words.next().unwrap_or_default();
                if section == "nameReference" {
                    let target = Gvk {
                        group: or_empty(words.next()),
                        version: or_empty(words.next()),
                        kind: or_empty(words.next()),
                    };
                    config.references.push(References { target, referrers: Vec::new() });
                }
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let gvk =
                Gvk { group: or_empty(words.next()), version: or_empty(words.next()), kind: or_empty(words.next()) };
            let path = Cow::Borrowed(words.next().unwrap_or_default());
            let spec = FieldSpec { gvk, path, create: words.next() == Some("create") };
            let list = if section == "nameReference" {
                config.references.last_mut().map(|references| &mut references.referrers)
            } else {
                config.section(section)
            };
            if let Some(list) = list {
                list.push(spec);
            }
        }
        config
    }

    fn sort(&mut self) {
        for name in SECTIONS {
            if let Some(list) = self.section(name) {
                list.sort_by_cached_key(|spec| spec.gvk.sort_key());
            }
        }
        self.references.sort_by_cached_key(|references| references.target.sort_key());
    }

    /// Reads a file of `configurations`.
    pub(crate) fn read(document: &Node) -> Result<Self, Diagnostic> {
        let mut config = Self::default();
        let mut reader = Reader::new(document, "a transformer configuration", Mode::Strict)?;
        for name in SECTIONS {
            let specs = reader.field_specs(name)?;
            if let Some(list) = config.section(name) {
                *list = specs;
            }
        }
        for item in reader.items("nameReference")? {
            let mut inner = Reader::new(item, "an entry of `nameReference`", Mode::Strict)?;
            let target = inner.gvk()?;
            config.references.push(References { target, referrers: inner.field_specs("fieldSpecs")? });
            inner.finish()?;
        }
        reader.finish()?;
        config.sort();
        Ok(config)
    }

    /// Adds another configuration.
    pub(crate) fn merge(this: &mut Arc<Self>, other: Arc<Self>, place: &Place) -> Result<(), Diagnostic> {
        if Arc::ptr_eq(this, &EMPTY) && Arc::ptr_eq(&other, &DEFAULT) {
            *this = other;
            return Ok(());
        }
        if Arc::ptr_eq(this, &other) || **this == *other {
            return Ok(());
        }
        Arc::make_mut(this).merge_all(Arc::unwrap_or_clone(other), place)
    }

    fn merge_all(&mut self, mut other: Self, place: &Place) -> Result<(), Diagnostic> {
        for name in SECTIONS {
            let more = other.section(name).map(std::mem::take).unwrap_or_default();
            if let Some(list) = self.section(name) {
                merge_specs(list, more, place)?;
            }
        }
        for references in other.references {
            self.merge_references(references, place)?;
        }
        self.sort();
        Ok(())
    }

    fn merge_references(&mut self, more: References, place: &Place) -> Result<(), Diagnostic> {
        if let Some(known) = self.references.iter_mut().find(|known| known.target == more.target) {
            merge_specs(&mut known.referrers, more.referrers, place)
        } else {
            self.references.push(more);
            Ok(())
        }
    }

    /// What the extensions of custom resources' schemas say.
    pub(crate) fn of_crds(definitions: &Json, place: &Place) -> Result<Self, Diagnostic> {
        let mut config = Self::default();
        let Some(all) = definitions.as_object() else {
            return Err(place.diagnostic(codes::SCHEMA, "expected definitions of types by their names", ""));
        };
        for (name, definition) in all {
            let Some(properties) = properties(definition) else { continue };
            if !["kind", "apiVersion", "metadata"].iter().all(|field| properties.contains_key(*field)) {
                continue;
            }
            let kind = name.rsplit('.').next().unwrap_or_default().to_owned();
            let gvk = Gvk { kind, ..Gvk::default() };
            config.take_crd(&gvk, all, name, &mut Vec::new(), place)?;
        }
        config.sort();
        Ok(config)
    }

    fn take_crd(
        &mut self,
        gvk: &Gvk,
        all: &serde_json::Map<String, Json>,
        name: &str,
        path: &mut Vec<String>,
        place: &Place,
    ) -> Result<(), Diagnostic> {
        const DEPTH_MAX: usize = 60;
        let Some(properties) = all.get(name).and_then(properties) else { return Ok(()) };
        if path.len() > DEPTH_MAX {
            return Err(place.diagnostic(codes::TOO_LARGE, format!("the type `{name}` holds itself"), ""));
        }
        for (field, property) in properties {
            path.push(field.clone());
            let spec = |path: &[String]| FieldSpec { gvk: gvk.clone(), path: path.join("/").into(), create: false };
            let extension = |name: &str| property.get(name).and_then(Json::as_str);
            if extension("x-kubernetes-annotation").is_some() {
                merge_specs(&mut self.annotations, vec![spec(path)], place)?;
            }
            if extension("x-kubernetes-label-selector").is_some() {
                merge_specs(&mut self.common_labels, vec![spec(path)], place)?;
            }
            if extension("x-kubernetes-identity").is_some() {
                merge_specs(&mut self.prefix, vec![spec(path)], place)?;
            }
            let version = extension("x-kubernetes-object-ref-api-version");
            if let (Some(version), Some(kind)) = (version, extension("x-kubernetes-object-ref-kind")) {
                let key = extension("x-kubernetes-object-ref-name-key").unwrap_or("name");
                path.push(key.to_owned());
                let target = Gvk { group: String::new(), version: version.to_owned(), kind: kind.to_owned() };
                self.merge_references(References { target, referrers: vec![spec(path)] }, place)?;
                path.pop();
            }
            if let Some(target) = property.get("$ref").and_then(Json::as_str) {
                self.take_crd(gvk, all, target, path, place)?;
            }
            path.pop();
        }
        Ok(())
    }
}

fn properties(definition: &Json) -> Option<&serde_json::Map<String, Json>> {
    let schema = definition.get("Schema").or_else(|| definition.get("schema"))?;
    schema.get("properties")?.as_object()
}

/// Adds fields that are not there yet.
pub(crate) fn merge_specs(list: &mut Vec<FieldSpec>, more: Vec<FieldSpec>, place: &Place) -> Result<(), Diagnostic> {
    for spec in more {
        match list.iter().find(|known| known.gvk.is_selected(&spec.gvk) && known.path == spec.path) {
            None => list.push(spec),
            Some(known) if known.create == spec.create => {}
            Some(_) => {
                let message = format!("`{}` is to be created, and not to be created", spec.path);
                let hint = "write `create` as the built-in configuration and the other files have it";
                return Err(place.diagnostic(codes::CONFIGURATION, message, hint));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_written_as_sorting_and_merging_make_it() {
        let (mut sorted, mut merged) = (Config::built_in(), Config::default());
        sorted.sort();
        merged.merge_all(sorted.clone(), &Place::file("")).unwrap();
        assert!(sorted == **DEFAULT && merged == **DEFAULT);
        merged.merge_all(sorted, &Place::file("")).unwrap();
        assert!(merged == **DEFAULT);
    }
}
