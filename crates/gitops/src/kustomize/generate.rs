//! `configMapGenerator` and `secretGenerator`: objects made of literals, files and environment files, and the hash of
//! their content that Kustomize puts behind their names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_model::Diagnostic;
use sha2::{Digest as _, Sha256};

use super::kustomization::{Behavior, Generator, Named};
use super::load::Loader;
use super::patch::here;
use super::resource::Resource;
use crate::codes;
use crate::located::{Located, Place, Value};

/// Makes one object and puts it among the others.
pub(super) fn generate(
    resources: &mut Vec<Resource>,
    generator: &Generator,
    kind: &'static str,
    loader: &Loader,
    dir: &str,
) -> Result<(), Diagnostic> {
    let mut made = Resource::new(object(generator, kind, loader, dir)?)?;
    made.needs_hash = !generator.options.disable_hash;
    let id = made.id();
    let same: Vec<usize> = resources
        .iter()
        .enumerate()
        .filter(|(_, resource)| resource.any_id(|other| *other == id))
        .map(|(index, _)| index)
        .collect();
    match (same.as_slice(), generator.behavior) {
        ([], Behavior::Create) => resources.push(made),
        ([index], Behavior::Merge | Behavior::Replace) => {
            if let Some(old) = resources.get_mut(*index) {
                combine(old, made, generator.behavior);
            }
        }
        (_, Behavior::Create) => {
            let message = format!("{id} exists already");
            let hint = "write `behavior: merge` or `behavior: replace`";
            return Err(generator.place.diagnostic(codes::DUPLICATE, message, hint));
        }
        (found, Behavior::Merge | Behavior::Replace) => {
            let message = match found {
                [] => format!("{id} is not there, so nothing can be merged into it or replaced"),
                _ => format!("there are {} objects that were called {id}", found.len()),
            };
            return Err(generator.place.diagnostic(codes::NO_TARGET, message, here(resources)));
        }
    }
    Ok(())
}

/// The new object takes the old one's place and names; with `merge` also its data.
fn combine(old: &mut Resource, mut made: Resource, behavior: Behavior) {
    let place = made.tree.place.clone();
    let mut fields = vec![("metadata", "labels"), ("metadata", "annotations")];
    if behavior == Behavior::Merge {
        fields.extend([("", "data"), ("", "binaryData")]);
    }
    for (above, field) in fields {
        let path = [above, field];
        let path = if above.is_empty() { path.get(1..).unwrap_or_default() } else { &path[..] };
        let Some(kept) = old.tree.at(path).filter(|kept| !kept.entries().is_empty()).cloned() else { continue };
        let target = if above.is_empty() { Some(&mut made.tree) } else { made.tree.map_at(above, &place) };
        let Some(all) = target.and_then(|target| target.map_at(field, &place)) else { continue };
        for entry in kept.entries().iter().filter(|entry| all.get(&entry.name).is_none()).cloned().collect::<Vec<_>>() {
            all.set(&entry.name, entry.value);
        }
    }
    if let Some(metadata) = made.tree.map_at("metadata", &place) {
        for field in ["name", "namespace"] {
            match old.tree.at(&["metadata", field]).cloned() {
                Some(value) => metadata.set(field, value),
                None => {
                    metadata.remove(field);
                }
            }
        }
    }
    old.tree = made.tree;
    old.needs_hash = old.needs_hash && made.needs_hash;
}

fn object(generator: &Generator, kind: &'static str, loader: &Loader, dir: &str) -> Result<Located, Diagnostic> {
    let place = &generator.place;
    let mut object = Located::map(place);
    object.set("apiVersion", Located::text(place, "v1"));
    object.set("kind", Located::text(place, kind));
    let mut metadata = Located::map(place);
    metadata.set("name", Located::text(place, generator.name.as_str()));
    if let Some(namespace) = &generator.namespace {
        metadata.set("namespace", Located::text(place, namespace.as_str()));
    }
    for (field, pairs) in [("labels", &generator.options.labels), ("annotations", &generator.options.annotations)] {
        if !pairs.is_empty() {
            let mut all = Located::map(place);
            for (key, value) in pairs {
                all.set(key, value.clone());
            }
            metadata.set(field, all);
        }
    }
    object.set("metadata", metadata);
    let secret = kind == "Secret";
    if secret {
        let kind = generator.secret_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("Opaque");
        object.set("type", Located::text(place, kind));
    }
    for (key, value, at) in pairs(generator, loader, dir)? {
        let (field, text) = match String::from_utf8(value) {
            Ok(text) if !secret => ("data", text),
            Ok(text) => ("data", wrapped_base64(text.as_bytes())),
            Err(binary) => (if secret { "data" } else { "binaryData" }, wrapped_base64(binary.as_bytes())),
        };
        if ["data", "binaryData"].iter().any(|field| object.at(&[field, &key]).is_some()) {
            let message = format!("the key `{key}` is given twice");
            return Err(at.diagnostic(codes::GENERATOR, message, "keep one of them"));
        }
        if let Some(data) = object.map_at(field, place) {
            data.set(&key, Located::text(&at, text));
        }
    }
    if generator.options.immutable {
        object.set("immutable", Located { place: place.clone(), value: Value::Bool(true) });
    }
    Ok(object)
}

/// A key, its value and where it was written.
type Pair = (String, Vec<u8>, Place);

fn pairs(generator: &Generator, loader: &Loader, dir: &str) -> Result<Vec<Pair>, Diagnostic> {
    let mut found = Vec::new();
    for source in &generator.envs {
        found.extend(environment(source, loader, dir)?);
    }
    for source in &generator.literals {
        // The literal itself is not shown: it may be a secret.
        let Some((key, value)) = source.text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(source.place.diagnostic(codes::GENERATOR, "a literal must be `key=value`", ""));
        };
        found.push((key.to_owned(), unquoted(value).as_bytes().to_vec(), source.place.clone()));
    }
    for source in &generator.files {
        let (key, path) = match source.text.split_once('=') {
            None => (source.text.rsplit('/').next().unwrap_or_default(), source.text.as_str()),
            Some((key, path)) => (key, path),
        };
        if key.is_empty() || path.is_empty() || path.contains('=') {
            let message = "a file must be `path` or `key=path`";
            return Err(source.place.diagnostic(codes::GENERATOR, message, ""));
        }
        let (_, content) = loader.file(dir, &Named { text: path.to_owned(), place: source.place.clone() })?;
        found.push((key.to_owned(), content.to_vec(), source.place.clone()));
    }
    match found.iter().find(|(key, _, _)| !is_data_key(key)) {
        None => Ok(found),
        Some((key, _, at)) => {
            let key: String = key.chars().take(100).collect();
            let message = format!("`{key}` can't be a key: expected letters, digits, `-`, `_` and `.`, at most 253");
            Err(at.diagnostic(codes::GENERATOR, message, "give the file a key of its own with `key=path`"))
        }
    }
}

/// Keys of `data` (Kubernetes API reference, `ConfigMap`).
fn is_data_key(key: &str) -> bool {
    !matches!(key, "" | "." | "..")
        && !key.starts_with("..")
        && key.len() <= 253
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Quotes around a literal's value are the shell's, not the value's.
fn unquoted(value: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value)
}

/// An environment file: `KEY=value` lines, empty lines and `#` comments.
fn environment(source: &Named, loader: &Loader, dir: &str) -> Result<Vec<Pair>, Diagnostic> {
    let (path, content) = loader.file(dir, source)?;
    let file: std::sync::Arc<str> = path.into();
    let at = |line: usize| Place { file: file.clone(), line: u32::try_from(line + 1).unwrap_or(u32::MAX), column: 1 };
    let Ok(text) = std::str::from_utf8(content) else {
        return Err(source.place.diagnostic(codes::GENERATOR, "the environment file is not UTF-8", "use `files`"));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain || key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
            let message =
                "expected `NAME=value`: the name has letters, digits, `_`, `-` and `.`, and no digit in front";
            return Err(at(number).diagnostic(codes::GENERATOR, message, ""));
        }
        found.push((key.to_owned(), value.as_bytes().to_vec(), at(number)));
    }
    Ok(found)
}

/// Base64 in lines of 70 characters where it does not fit into one: the hash is taken over this very text.
fn wrapped_base64(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let encoded = STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut wrapped = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        wrapped.push_str(line);
        wrapped.push('\n');
        rest = after;
    }
    wrapped
}

/// Puts the hash of its content behind the name of each generated object.
pub(super) fn add_hashes(resources: &mut [Resource]) {
    for resource in resources.iter_mut().filter(|resource| resource.needs_hash) {
        let hash = content_hash(resource);
        resource.remember_id();
        resource.set_name(format!("{}-{hash}", resource.name()));
    }
}

/// Ten digits of the SHA-256 of the object's content as JSON, in letters that make no words (Kubernetes' `pkg/util/hash`).
/// The name's field is there and empty, as Kustomize has it: an object's hash does not depend on prefixes.
fn content_hash(resource: &Resource) -> String {
    let secret = resource.kind() == "Secret";
    let field = |path: &[&str]| match resource.tree.at(path) {
        Some(found) => found.to_json(),
        None => serde_json::Value::String(String::new()),
    };
    let mut content =
        vec![("data", field(&["data"])), ("kind", resource.kind().into()), ("name", String::new().into())];
    if secret {
        content.push(("type", field(&["type"])));
    }
    let binary = if secret { "stringData" } else { "binaryData" };
    if resource.tree.get(binary).is_some_and(|found| matches!(found.value, Value::Map(_))) {
        content.push((binary, field(&[binary])));
    }
    content.sort_by_key(|(name, _)| *name);
    let object = content.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut text = String::new();
    write_go_json(&serde_json::Value::Object(object), &mut text);
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    digest
        .chars()
        .take(10)
        .map(|digit| match digit {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}

/// JSON as Go's `encoding/json` writes it: keys sorted, and what HTML minds escaped.
fn write_go_json(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_bytes());
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_go_json(&serde_json::Value::String(name.clone()), out);
                out.push(':');
                write_go_json(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_go_json(item, out);
            }
            out.push(']');
        }
        serde_json::Value::String(_) => {
            for c in value.to_string().chars() {
                match c {
                    '<' => out.push_str("\\u003c"),
                    '>' => out.push_str("\\u003e"),
                    '&' => out.push_str("\\u0026"),
                    '\u{2028}' => out.push_str("\\u2028"),
                    '\u{2029}' => out.push_str("\\u2029"),
                    other => out.push(other),
                }
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_wrapped_as_kustomize_does() {
        assert_eq!(wrapped_base64(b"x"), "eA==");
        assert_eq!(wrapped_base64(&[0; 51]), format!("{}", "A".repeat(68)));
        let long = wrapped_base64(&[0; 54]);
        assert_eq!(long, format!("{}\nAA\n", "A".repeat(70)));
    }

    #[test]
    fn only_pairs_of_quotes_are_taken_off() {
        assert_eq!([unquoted("\"a\""), unquoted("'a'"), unquoted("'a\""), unquoted("'")], ["a", "a", "'a\"", "'"]);
    }
}
