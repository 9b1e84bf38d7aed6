//! Environment variables: `env` and `envFrom`, resolved from the rendered `ConfigMap`s and `Secret`s, with `$(NAME)`
//! expanded as the kubelet does it (`third_party/forked/golang/expansion`). Invariant: what comes from a `Secret`, in
//! whole or in part, stays marked as one and is in no message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use prograde_model::workload::{EnvValue, PodField};

use super::fields::{Fields, Findings};
use crate::codes;
use crate::kustomize::Resource;
use crate::located::{Located, Place};

/// The longest value, in bytes: Linux starts no program with a longer one (`MAX_ARG_STRLEN`).
const VALUE_BYTES_MAX: usize = 128 * 1024;
/// The most bytes of all names and values together.
const ENVIRONMENT_BYTES_MAX: usize = 1024 * 1024;

/// The data of one `ConfigMap` or `Secret`.
struct Data {
    /// `None`: the value is no text, so it can't be a variable.
    values: BTreeMap<String, Option<String>>,
}

/// The rendered `ConfigMap`s and `Secret`s by name.
#[derive(Default)]
pub(super) struct Sources {
    config_maps: BTreeMap<String, Data>,
    secrets: BTreeMap<String, Data>,
}

impl Sources {
    /// Reads the objects of a namespace.
    pub(super) fn read(resources: &[Resource], namespace: &str, found: &mut Findings) -> Self {
        let mut all = Self::default();
        for resource in resources.iter().filter(|resource| resource.effective_namespace() == namespace) {
            match (resource.api_version(), resource.kind()) {
                ("v1", "ConfigMap") => {
                    all.config_maps.insert(resource.name().to_owned(), config_map(resource, found));
                }
                ("v1", "Secret") => {
                    all.secrets.insert(resource.name().to_owned(), secret(resource, found));
                }
                _ => {}
            }
        }
        all
    }

    fn of(&self, secret: bool) -> &BTreeMap<String, Data> {
        if secret { &self.secrets } else { &self.config_maps }
    }
}

fn config_map(resource: &Resource, found: &mut Findings) -> Data {
    let mut values = BTreeMap::new();
    if let Some(mut fields) = Fields::new(&resource.tree, "", found) {
        super::header(&mut fields, found);
        fields.flag("immutable", found);
        for (key, value) in fields.pairs("data", found) {
            values.insert(key.to_owned(), value.as_str().map(str::to_owned));
        }
        // Never a variable (core/v1 `ConfigMapKeySelector` selects from `data`).
        fields.pairs("binaryData", found);
        fields.finish(found);
    }
    Data { values }
}

fn secret(resource: &Resource, found: &mut Findings) -> Data {
    let engine = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());
    let mut values = BTreeMap::new();
    if let Some(mut fields) = Fields::new(&resource.tree, "", found) {
        super::header(&mut fields, found);
        fields.flag("immutable", found);
        fields.text("type", found);
        for (key, value) in fields.pairs("data", found) {
            let text: String =
                value.as_str().unwrap_or_default().chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
            match engine.decode(text) {
                Ok(bytes) => {
                    values.insert(key.to_owned(), String::from_utf8(bytes).ok());
                }
                Err(_) => found.invalid(value, format!("`data.{key}` is not base64"), "encode it, or use `stringData`"),
            }
        }
        for (key, value) in fields.pairs("stringData", found) {
            values.insert(key.to_owned(), value.as_str().map(str::to_owned));
        }
        fields.finish(found);
    }
    Data { values }
}

/// A container's variables in the order in which they are set, each once, the last value winning.
#[derive(Default)]
pub(super) struct Variables {
    order: Vec<String>,
    values: BTreeMap<String, EnvValue>,
    bytes: usize,
}

/// Reads `envFrom` and `env` of a container.
pub(super) fn read(container: &mut Fields, sources: &Sources, found: &mut Findings) -> Variables {
    let mut all = Variables::default();
    let path = container.path("envFrom");
    for item in container.list("envFrom", found) {
        if let Some(fields) = Fields::new(item, path.as_str(), found) {
            all.take_all(fields, sources, found);
        }
    }
    let path = container.path("env");
    for item in container.list("env", found) {
        if let Some(fields) = Fields::new(item, path.as_str(), found) {
            all.take_one(fields, sources, found);
        }
    }
    all
}

impl Variables {
    /// The variables as the runtime sets them.
    pub(super) fn into_pairs(mut self) -> Vec<(String, EnvValue)> {
        let order = std::mem::take(&mut self.order);
        order.into_iter().filter_map(|name| self.values.remove(&name).map(|value| (name, value))).collect()
    }

    /// A command or its arguments, expanded.
    pub(super) fn program(&self, parts: Option<Vec<&Located>>, found: &mut Findings) -> Option<Vec<String>> {
        let expanded = parts?.into_iter().filter_map(|part| match self.expand(part.as_str().unwrap_or_default()) {
            Ok(EnvValue::Plain(text)) => Some(text),
            Ok(EnvValue::Secret(_)) => {
                let message = "an argument can't have the value of a Secret: every user of the machine could read it";
                found.error(part, codes::REFUSED_FIELD, message, "let the program read the variable itself");
                None
            }
            Ok(EnvValue::Field(_)) | Err(ExpandError::Field(_)) => {
                let message = "an argument can't have a field of the replica, which is known only when it starts";
                found.error(part, codes::REFUSED_FIELD, message, "let the program read the variable itself");
                None
            }
            Err(error @ ExpandError::TooLong) => {
                found.invalid(part, error.to_string(), "");
                None
            }
        });
        // Kubernetes takes an empty list for none.
        Some(expanded.collect::<Vec<_>>()).filter(|parts| !parts.is_empty())
    }

    fn take_all(&mut self, mut fields: Fields, sources: &Sources, found: &mut Findings) {
        let prefix = fields.text("prefix", found).unwrap_or_default();
        let (config_map, secret) = (fields.fields("configMapRef", found), fields.fields("secretRef", found));
        let place = fields.tree.place.clone();
        let (mut reference, is_secret) = match (config_map, secret) {
            (Some(reference), None) => (reference, false),
            (None, Some(reference)) => (reference, true),
            (Some(_), Some(_)) | (None, None) => {
                found.invalid(fields.tree, "an entry of `envFrom` needs either `configMapRef` or `secretRef`", "");
                return fields.finish(found);
            }
        };
        fields.finish(found);
        let at = reference.required("name", found);
        let name = reference.text("name", found).unwrap_or_default();
        let optional = reference.flag("optional", found);
        reference.finish(found);
        let Some(at) = at else { return };
        match sources.of(is_secret).get(name) {
            Some(data) => {
                for (key, value) in &data.values {
                    let Some(text) = value else { continue };
                    let value = if is_secret { EnvValue::Secret(text.clone()) } else { EnvValue::Plain(text.clone()) };
                    self.set(&format!("{prefix}{key}"), value, &place, found);
                }
            }
            None if optional => {}
            None => missing(at, name, is_secret, sources, found),
        }
    }

    fn take_one(&mut self, mut fields: Fields, sources: &Sources, found: &mut Findings) {
        fields.required("name", found);
        let name = fields.text("name", found).unwrap_or_default();
        let place = fields.tree.place.clone();
        let (text, from) = (fields.text("value", found), fields.fields("valueFrom", found));
        let value = match (text, from) {
            (Some(text), Some(_)) if !text.is_empty() => {
                found.invalid(fields.tree, format!("`{name}` has both `value` and `valueFrom`"), "keep one of them");
                None
            }
            (_, Some(from)) => value_from(from, sources, found),
            (text, None) => match self.expand(text.unwrap_or_default()) {
                Ok(value) => Some(value),
                Err(error) => {
                    found.error(
                        fields.tree,
                        codes::REFUSED_FIELD,
                        format!("`{name}`: {error}"),
                        "let the program put them together",
                    );
                    None
                }
            },
        };
        fields.finish(found);
        if let Some(value) = value {
            self.set(name, value, &place, found);
        }
    }

    fn set(&mut self, name: &str, value: EnvValue, place: &Place, found: &mut Findings) {
        // Since Kubernetes 1.32, names are any printable ASCII without `=`.
        if name.is_empty() || !name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
            let message = "a variable's name must be printable ASCII without `=`";
            found.errors.push(place.diagnostic(codes::INVALID_VALUE, message, ""));
            return;
        }
        let length = match &value {
            EnvValue::Plain(text) | EnvValue::Secret(text) => {
                if text.contains('\0') {
                    let message = format!("the value of `{name}` has a NUL byte, which no variable can have");
                    found.errors.push(place.diagnostic(codes::INVALID_VALUE, message, ""));
                    return;
                }
                text.len()
            }
            EnvValue::Field(_) => 0,
        };
        let before = self.bytes;
        self.bytes += name.len() + length;
        if length > VALUE_BYTES_MAX || (before <= ENVIRONMENT_BYTES_MAX && self.bytes > ENVIRONMENT_BYTES_MAX) {
            let message = format!("with `{name}`, the environment is larger than a program can be started with");
            let hint = "a value has at most 128 KiB, all together at most 1 MiB";
            found.errors.push(place.diagnostic(codes::INVALID_VALUE, message, hint));
        }
        // What follows is an error anyway; it must not take the memory.
        if self.bytes <= ENVIRONMENT_BYTES_MAX && self.values.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }

    /// Replaces `$(NAME)` by the variable's value, where there is one, and `$$` by `$`.
    fn expand(&self, text: &str) -> Result<EnvValue, ExpandError> {
        let mut expanded = String::new();
        let mut secret = false;
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            let after = from.get(1..).unwrap_or_default();
            let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            if let Some(after) = after.strip_prefix('$') {
                expanded.push('$');
                rest = after;
            } else if let Some((name, after)) = reference {
                match self.values.get(name) {
                    Some(EnvValue::Plain(value)) => expanded.push_str(value),
                    Some(EnvValue::Secret(value)) => {
                        secret = true;
                        expanded.push_str(value);
                    }
                    Some(EnvValue::Field(field)) if text.len() == name.len() + 3 => return Ok(EnvValue::Field(*field)),
                    Some(EnvValue::Field(_)) => return Err(ExpandError::Field(name.to_owned())),
                    None => {
                        expanded.push_str("$(");
                        expanded.push_str(name);
                        expanded.push(')');
                    }
                }
                rest = after;
            } else {
                expanded.push('$');
                rest = after;
            }
            if expanded.len() > VALUE_BYTES_MAX {
                return Err(ExpandError::TooLong);
            }
        }
        expanded.push_str(rest);
        if expanded.len() > VALUE_BYTES_MAX {
            return Err(ExpandError::TooLong);
        }
        Ok(if secret { EnvValue::Secret(expanded) } else { EnvValue::Plain(expanded) })
    }
}

#[derive(Debug, thiserror::Error)]
enum ExpandError {
    #[error("`$({0})` is a field of the replica, which is known only when it starts, so it can't be part of a text")]
    Field(String),
    #[error("the value has more than 128 KiB when `$(...)` is expanded")]
    TooLong,
}

fn value_from(mut from: Fields, sources: &Sources, found: &mut Findings) -> Option<EnvValue> {
    let (config_map, secret) = (from.fields("configMapKeyRef", found), from.fields("secretKeyRef", found));
    let field = from.fields("fieldRef", found);
    from.refuse(found, &["resourceFieldRef", "fileKeyRef"], "write the value itself; plain processes are not limited");
    let tree = from.tree;
    from.finish(found);
    match (config_map, secret, field) {
        (Some(reference), None, None) => key_ref(reference, false, sources, found),
        (None, Some(reference), None) => key_ref(reference, true, sources, found),
        (None, None, Some(field)) => field_ref(field, found),
        (None, None, None) if !tree.entries().is_empty() => None,
        _ => {
            let message = "`valueFrom` needs exactly one of `configMapKeyRef`, `secretKeyRef` and `fieldRef`";
            found.invalid(tree, message, "");
            None
        }
    }
}

fn key_ref(mut reference: Fields, secret: bool, sources: &Sources, found: &mut Findings) -> Option<EnvValue> {
    let (at, at_key) = (reference.required("name", found), reference.required("key", found));
    let (name, key) = (reference.text("name", found), reference.text("key", found));
    let optional = reference.flag("optional", found);
    reference.finish(found);
    let (at, at_key, name, key) = (at?, at_key?, name?, key?);
    let Some(data) = sources.of(secret).get(name) else {
        if !optional {
            missing(at, name, secret, sources, found);
        }
        return None;
    };
    match data.values.get(key) {
        Some(Some(text)) if secret => Some(EnvValue::Secret(text.clone())),
        Some(Some(text)) => Some(EnvValue::Plain(text.clone())),
        Some(None) => {
            found.error(
                at_key,
                codes::REFERENCE,
                format!("the value of `{key}` is not UTF-8, so it can't be a variable"),
                "encode it as text",
            );
            None
        }
        None if optional => None,
        None => {
            let keys: Vec<&str> = data.values.keys().map(String::as_str).take(10).collect();
            let message = format!("the {} `{name}` has no key `{key}`", kind(secret));
            found.error(at_key, codes::REFERENCE, message, there_is(&keys));
            None
        }
    }
}

fn kind(secret: bool) -> &'static str {
    if secret { "Secret" } else { "ConfigMap" }
}

fn there_is(names: &[&str]) -> String {
    if names.is_empty() { "there is none".into() } else { format!("there is {}", names.join(", ")) }
}

fn missing(at: &Located, name: &str, secret: bool, sources: &Sources, found: &mut Findings) {
    let names: Vec<&str> = sources.of(secret).keys().map(String::as_str).take(10).collect();
    let message = format!("there is no {} `{name}` among the rendered objects", kind(secret));
    found.error(at, codes::REFERENCE, message, there_is(&names));
}

fn field_ref(mut field: Fields, found: &mut Findings) -> Option<EnvValue> {
    field.text("apiVersion", found);
    let at = field.required("fieldPath", found);
    let path = field.text("fieldPath", found);
    field.finish(found);
    let value = match path? {
        "metadata.name" => PodField::Name,
        "metadata.namespace" => PodField::Namespace,
        "status.podIP" => PodField::Ip,
        other => {
            let message = format!("the field `{other}` can't be had on this runtime");
            let hint = "there is metadata.name, metadata.namespace and status.podIP";
            found.error(at?, codes::REFUSED_FIELD, message, hint);
            return None;
        }
    };
    Some(EnvValue::Field(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_as_the_kubelet_does() {
        let mut all = Variables::default();
        let place = Place { file: "x".into(), line: 1, column: 1 };
        let mut found = Findings::default();
        all.set("A", EnvValue::Plain("a".into()), &place, &mut found);
        all.set("S", EnvValue::Secret("s".into()), &place, &mut found);
        all.set("IP", EnvValue::Field(PodField::Ip), &place, &mut found);
        for (text, expanded) in [
            ("$(A)-$(A)", "a-a"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$$$$", "$$"),
            ("$()", "$()"),
        ] {
            assert_eq!(all.expand(text).unwrap(), EnvValue::Plain(expanded.into()), "{text}");
        }
        assert_eq!(all.expand("x$(S)").unwrap(), EnvValue::Secret("xs".into()));
        assert_eq!(all.expand("$(IP)").unwrap(), EnvValue::Field(PodField::Ip));
        assert!(all.expand("http://$(IP)").is_err());
        assert!(found.errors.is_empty());
    }

    #[test]
    fn growing_references_are_stopped() {
        let mut all = Variables::default();
        let place = Place { file: "x".into(), line: 1, column: 1 };
        let mut found = Findings::default();
        all.set("V", EnvValue::Plain("x".repeat(1000)), &place, &mut found);
        let error = (0..100).find_map(|_| match all.expand("$(V)$(V)") {
            Ok(value) => {
                all.set("V", value, &place, &mut found);
                None
            }
            Err(error) => Some(error),
        });
        assert!(matches!(error, Some(ExpandError::TooLong)));
    }
}
