//! CycloneDX 1.6 in JSON (cyclonedx.org/docs/1.6/json).

use serde_json::{Map, Value, json};

use super::components::{Component, components};
use super::{About, uuid_of};
use crate::licence::{Written, written};
use crate::package::{Inventory, Origin, Scope};

/// The whole's name in the document.
const ROOT: &str = "prograde:root";

/// The document.
pub fn write(inventory: &Inventory, about: &About) -> Value {
    let listed = components(inventory);
    let mut list: Vec<Value> = listed.all.iter().map(component).collect();
    list.extend(inventory.distribution.as_ref().map(|system| {
        let name = if system.name.is_empty() { &system.id } else { &system.name };
        let mut one =
            json!({"type": "operating-system", "bom-ref": "prograde:system", "name": system.id, "description": name});
        put(&mut one, "version", Some(system.version.clone()).filter(|version| !version.is_empty()));
        one
    }));
    let mut dependencies = vec![json!({"ref": ROOT, "dependsOn": listed.direct})];
    for one in &listed.all {
        dependencies.push(if one.needs.is_empty() {
            json!({"ref": one.purl})
        } else {
            json!({"ref": one.purl, "dependsOn": one.needs})
        });
    }
    let mut metadata = Map::new();
    if let Some(created) = &about.created {
        metadata.insert("timestamp".to_owned(), json!(created));
    }
    metadata.insert("tools".to_owned(), tools(about));
    let mut whole = json!({"type": "application", "bom-ref": ROOT, "name": about.name});
    put(&mut whole, "version", about.version.clone());
    metadata.insert("component".to_owned(), whole);
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": list,
        "dependencies": dependencies,
    });
    number(&mut document);
    document
}

/// The tool that makes the document.
pub(crate) fn tools(about: &About) -> Value {
    json!({"components": [{"type": "application", "name": "prograde", "version": about.tool_version}]})
}

/// Gives the document a serial number that follows from its content.
pub(crate) fn number(document: &mut Value) {
    let serial = format!("urn:uuid:{}", uuid_of(document.to_string().as_bytes()));
    if let Value::Object(fields) = document {
        let rest = std::mem::take(fields);
        for (key, value) in rest {
            let before = key == "version";
            if before {
                fields.insert("serialNumber".to_owned(), json!(serial));
            }
            fields.insert(key, value);
        }
    }
}

fn put(object: &mut Value, key: &str, value: Option<String>) {
    if let (Value::Object(fields), Some(value)) = (object, value) {
        fields.insert(key.to_owned(), json!(value));
    }
}

fn component(one: &Component<'_>) -> Value {
    let package = one.package;
    let (group, name) = group_and_name(&package.name);
    let mut value =
        json!({"type": if package.origin == Origin::Local { "application" } else { "library" }, "bom-ref": one.purl});
    put(&mut value, "group", group.map(str::to_owned));
    put(&mut value, "name", Some(name.to_owned()));
    put(&mut value, "version", package.version.clone());
    let scope = match package.scope {
        Scope::Runtime => "required",
        Scope::Optional => "optional",
        Scope::Development => "excluded",
    };
    put(&mut value, "scope", Some(scope.to_owned()));
    let Value::Object(fields) = &mut value else { return value };
    if !package.hashes.is_empty() {
        let hashes = package.hashes.iter().map(|hash| json!({"alg": hash.algorithm, "content": hash.digits}));
        fields.insert("hashes".to_owned(), hashes.collect());
    }
    if let Some(text) = &package.licence {
        let licence = match written(text) {
            Written::Id(id) => json!([{"license": {"id": id}}]),
            Written::Expression(expression) => json!([{"expression": expression}]),
            Written::Name(name) => json!([{"license": {"name": name}}]),
        };
        fields.insert("licenses".to_owned(), licence);
    }
    fields.insert("purl".to_owned(), json!(one.purl));
    if let Origin::Git(url) = &package.origin {
        fields.insert("externalReferences".to_owned(), json!([{"type": "vcs", "url": reference(url)}]));
    } else if let Origin::Url(url) = &package.origin {
        fields.insert("externalReferences".to_owned(), json!([{"type": "distribution", "url": reference(url)}]));
    }
    let place = |(file, line): &(&str, u32)| {
        let value = if *line > 0 { format!("{file}:{line}") } else { (*file).to_owned() };
        json!({"name": "prograde:file", "value": value})
    };
    fields.insert("properties".to_owned(), one.places.iter().map(place).collect());
    value
}

/// An address as `iri-reference` allows it.
fn reference(url: &str) -> String {
    let mut good = String::with_capacity(url.len());
    let mut fragment = false;
    for c in url.chars() {
        match c {
            '#' if fragment => good.push_str("%23"),
            ' ' | '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`' => {
                good.push_str(&format!("%{:02X}", u32::from(c)))
            }
            c if c.is_control() => {}
            c => {
                fragment |= c == '#';
                good.push(c);
            }
        }
    }
    good
}

fn group_and_name(name: &str) -> (Option<&str>, &str) {
    if name.starts_with('@') {
        return name.split_once('/').map_or((None, name), |(group, name)| (Some(group), name));
    }
    name.split_once(':').map_or((None, name), |(group, name)| (Some(group), name))
}
