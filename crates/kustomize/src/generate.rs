//! `configMapGenerator` and `secretGenerator`: objects made of literals, files and environment files, and the hash of
//! their content that is put behind their names.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_model::Diagnostic;
use prograde_yaml::Style;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use crate::codes;
use crate::kustomization::Generator;
use crate::load::{Dir, Loader, Named};
use crate::node::{Kind, Node, Scalar, Value};
use crate::place::Place;
use crate::resource::{Behavior, Resource};
use crate::scalar::Tag;
use crate::schema::Schemas;

/// How much data one object may be made of, in bytes.
const DATA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which kind is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    ConfigMap,
    Secret,
}

/// A key, its value and where it was written.
type Pair = (String, Vec<u8>, Place);

/// Makes one object.
pub(crate) fn generate(generator: &Generator, made: Made, loader: &Loader, dir: &Dir) -> Result<Resource, Diagnostic> {
    let place = &generator.place;
    if generator.name.is_empty() {
        return Err(place.diagnostic(codes::GENERATOR, "a generated object must have a `name`", ""));
    }
    let kind = if made == Made::Secret { "Secret" } else { "ConfigMap" };
    let mut object = Node::map(place);
    object.set("apiVersion", Node::text(place, "v1"));
    object.set("kind", Node::text(place, kind));
    let mut metadata = Node::map(place);
    metadata.set("name", Node::text(place, generator.name.as_str()));
    if !generator.namespace.is_empty() {
        metadata.set("namespace", Node::text(place, generator.namespace.as_str()));
    }
    for (field, pairs) in [("labels", &generator.options.labels), ("annotations", &generator.options.annotations)] {
        if !pairs.is_empty() {
            let mut map = Node::map(place);
            for (key, value) in pairs {
                map.set(key, Node::text(place, value.as_str()));
            }
            metadata.set(field, map);
        }
    }
    object.set("metadata", metadata);
    if made == Made::Secret {
        let kind = if generator.secret_type.is_empty() { "Opaque" } else { &generator.secret_type };
        object.set("type", Node::text(place, kind));
        object.set("data", Node::map(place));
    }
    let mut seen = BTreeMap::new();
    for (key, value, at) in pairs(generator, loader, dir)? {
        if let Some((first, _)) = seen.insert(key.clone(), (at.clone(), value)) {
            let _: Place = first;
            let message = format!("the key `{}` is given twice", key.chars().take(100).collect::<String>());
            return Err(at.diagnostic(codes::GENERATOR, message, "keep one of them"));
        }
    }
    for (key, (at, value)) in seen {
        put_data(&mut object, &key, value, made, &at);
    }
    if generator.options.immutable {
        object.set("immutable", Node::scalar(place, Tag::Bool, "true"));
    }
    let mut resource = Resource::new(object);
    resource.needs_hash = !generator.options.disable_hash;
    resource.behavior = generator.behavior;
    Ok(resource)
}

fn put_data(object: &mut Node, key: &str, value: Vec<u8>, made: Made, at: &Place) {
    let (field, text) = match (made, String::from_utf8(value)) {
        (Made::ConfigMap, Ok(text)) => ("data", text),
        (Made::ConfigMap, Err(binary)) => ("binaryData", wrapped_base64(binary.as_bytes())),
        (Made::Secret, Ok(text)) => ("data", wrapped_base64(text.as_bytes())),
        (Made::Secret, Err(binary)) => ("data", wrapped_base64(binary.as_bytes())),
    };
    if let Some(data) = object.map_at(field) {
        data.set(key, block_text(at, text));
    }
}

/// A text, as a block where it has lines.
fn block_text(place: &Place, text: String) -> Node {
    let style = if text.contains('\n') { Style::Literal } else { Style::Plain };
    Node { place: place.clone(), value: Value::Scalar(Scalar { tag: Tag::Str, style, text }) }
}

/// Puts a generated object among the others, as its behavior says.
pub(crate) fn absorb(resources: &mut Vec<Resource>, mut made: Resource, scopes: &Schemas) -> Result<(), Diagnostic> {
    let id = made.id(scopes);
    let same: Vec<usize> = resources
        .iter()
        .enumerate()
        .filter(|(_, resource)| resource.is_or_was(&id.name) && resource.any_id(scopes, |other| other.same(&id)))
        .map(|(index, _)| index)
        .collect();
    let refused = |code: &str, message: String, hint: &str| Err(made.place().diagnostic(code, message, hint));
    match (same.as_slice(), made.behavior) {
        ([], Behavior::Create) => resources.push(made),
        ([], Behavior::Merge | Behavior::Replace) => {
            let message = format!("{id} is not there, so nothing can be merged into it or replaced");
            return refused(codes::NO_TARGET, message, "remove `behavior`, or correct the name");
        }
        ([_], Behavior::Create) => {
            let hint = "write `behavior: merge` or `behavior: replace`";
            return refused(codes::DUPLICATE, format!("{id} exists already"), hint);
        }
        ([index], Behavior::Merge | Behavior::Replace) => {
            let Some(old) = resources.get(*index) else { return Ok(()) };
            combine(old, &mut made);
            let now = made.id(scopes);
            let at = resources.iter().position(|resource| resource.is(&now, scopes)).unwrap_or(*index);
            if let Some(slot) = resources.get_mut(at) {
                *slot = made;
            }
        }
        (found, _) => {
            let message = format!("there are {} objects that are or were called {id}", found.len());
            return refused(codes::NO_TARGET, message, "give them names that differ");
        }
    }
    Ok(())
}

/// The new object takes the old one's names, labels and annotations; with `merge` also its data.
fn combine(old: &Resource, made: &mut Resource) {
    for field in ["labels", "annotations"] {
        let mut all = old.texts(field);
        all.extend(made.texts(field));
        made.set_texts(field, &all);
    }
    made.set_name(old.name());
    made.set_namespace(old.namespace());
    if made.behavior == Behavior::Merge {
        merge_data(old, made);
        made.origin = old.origin.clone().or(made.origin.take());
    } else {
        made.origin = made.origin.take().or_else(|| old.origin.clone());
    }
    made.transformations.clone_from(&old.transformations);
    made.earlier.clone_from(&old.earlier);
    made.prefixes.clone_from(&old.prefixes);
    made.suffixes.clone_from(&old.suffixes);
    made.variables.clone_from(&old.variables);
    made.needs_hash = made.needs_hash && old.needs_hash;
    made.behavior = old.behavior;
}

fn merge_data(old: &Resource, made: &mut Resource) {
    let texts = |tree: &Node, field: &str| -> BTreeMap<String, String> {
        let map = tree.get(field).into_iter().flat_map(Node::entries);
        let text = |node: &Node| if node.is_null() { String::new() } else { node.raw().to_owned() };
        map.map(|entry| (entry.name.clone(), text(&entry.value))).collect()
    };
    let place = made.tree.place.clone();
    for field in ["data", "binaryData"] {
        let mut all = texts(&old.tree, field);
        if field == "data" && made.kind() == "Secret" {
            for (key, text) in texts(&old.tree, "stringData") {
                all.insert(key, wrapped_base64(text.as_bytes()));
            }
        }
        all.extend(texts(&made.tree, field));
        made.tree.remove(field);
        if all.is_empty() {
            continue;
        }
        let mut map = Node::map(&place);
        for (key, text) in all {
            map.set(&key, block_text(&place, text));
        }
        made.tree.set(field, map);
    }
}

fn pairs(generator: &Generator, loader: &Loader, dir: &Dir) -> Result<Vec<Pair>, Diagnostic> {
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
    let mut bytes = 0;
    for source in &generator.files {
        let (key, path) = match source.text.split_once('=') {
            None => (base_name(&source.text), source.text.as_str()),
            Some((key, path)) => (key, path),
        };
        if key.is_empty() || path.is_empty() || (source.text.contains('=') && path.contains('=')) {
            let message = "a file must be `path` or `key=path`";
            return Err(source.place.diagnostic(codes::GENERATOR, message, ""));
        }
        let (_, content) = loader.file(dir, &Named { text: path.to_owned(), place: source.place.clone() })?;
        bytes += content.len();
        if bytes <= DATA_BYTES_MAX {
            found.push((key.to_owned(), content.to_vec(), source.place.clone()));
        } else {
            let message = format!("the files have more than {DATA_BYTES_MAX} bytes");
            return Err(source.place.diagnostic(
                codes::TOO_LARGE,
                message,
                "Kubernetes keeps objects of at most 1 MiB",
            ));
        }
    }
    Ok(found)
}

fn base_name(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    trimmed.rsplit('/').next().unwrap_or_default()
}

/// Quotes around a literal's value are the shell's, not the value's.
fn unquoted(value: &str) -> &str {
    let pair = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    pair('"').or_else(|| pair('\'')).unwrap_or(value)
}

/// An environment file: `KEY=value` lines, empty lines and `#` comments.
fn environment(source: &Named, loader: &Loader, dir: &Dir) -> Result<Vec<Pair>, Diagnostic> {
    let (path, content) = loader.file(dir, source)?;
    let file: std::sync::Arc<str> = path.into();
    let Ok(text) = std::str::from_utf8(&content) else {
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
        if key.is_empty() {
            continue;
        }
        let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let place = Place { file: file.clone(), line, column: 1 };
        found.push((key.to_owned(), value.as_bytes().to_vec(), place));
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
pub(crate) fn add_hashes(resources: &mut [Resource], scopes: &Schemas) -> Result<(), Diagnostic> {
    for resource in resources.iter_mut().filter(|resource| resource.needs_hash) {
        let hash = content_hash(resource)?;
        resource.remember(scopes);
        let name = format!("{}-{hash}", resource.name());
        resource.set_name(&name);
    }
    Ok(())
}

/// Ten digits of the SHA-256 of the object's content as JSON, in letters that make no words (Kubernetes' `pkg/util/hash`).
/// The name's field is there and empty, as Kustomize has it: an object's hash does not depend on prefixes.
fn content_hash(resource: &Resource) -> Result<String, Diagnostic> {
    let field = |name: &str| -> Result<Json, Diagnostic> {
        match resource.tree.get(name) {
            None => Ok(Json::String(String::new())),
            Some(found) if found.kind() == Kind::Scalar => Ok(Json::String(found.raw().to_owned())),
            Some(found) => found.to_json(),
        }
    };
    let mut content = Map::new();
    match resource.kind() {
        "ConfigMap" | "Secret" => {
            content.insert("kind".into(), Json::String(resource.kind().to_owned()));
            content.insert("name".into(), Json::String(String::new()));
            content.insert("data".into(), field("data")?);
            let (always, also) = match resource.kind() {
                "Secret" => (Some("type"), "stringData"),
                _ => (None, "binaryData"),
            };
            if let Some(always) = always {
                content.insert(always.into(), field(always)?);
            }
            let more = field(also)?;
            if more.is_object() {
                content.insert(also.into(), more);
            }
        }
        _ => {
            if let Json::Object(all) = resource.to_json()? {
                content = all;
            }
        }
    }
    let mut text = String::new();
    write_go_json(&Json::Object(content), &mut text);
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    let letter = |digit: char| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    Ok(digest.chars().take(10).map(letter).collect())
}

/// JSON as Go's `encoding/json` writes it: keys sorted, and what HTML minds escaped.
pub(crate) fn write_go_json(value: &Json, out: &mut String) {
    match value {
        Json::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_bytes());
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_go_json(&Json::String(name.clone()), out);
                out.push(':');
                write_go_json(value, out);
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_go_json(item, out);
            }
            out.push(']');
        }
        Json::String(text) => {
            out.push_str(&go_text(text));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => out.push_str(&value.to_string()),
    }
}

fn go_text(text: &str) -> String {
    let mut escaped = String::new();
    for c in Json::String(text.to_owned()).to_string().chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_wrapped_as_kustomize_does() {
        assert_eq!(wrapped_base64(b"x"), "eA==");
        assert_eq!(wrapped_base64(&[0; 51]), "A".repeat(68));
        let long = wrapped_base64(&[0; 54]);
        assert_eq!(long, format!("{}\nAA\n", "A".repeat(70)));
    }

    #[test]
    fn only_pairs_of_quotes_are_taken_off() {
        assert_eq!([unquoted("\"a\""), unquoted("'a'"), unquoted("'a\""), unquoted("'")], ["a", "a", "'a\"", "'"]);
    }
}
