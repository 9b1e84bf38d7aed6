//! The list generator: parameters as they are written.

use prograde_kustomize::documents;
use prograde_model::Diagnostic;
use serde_json::Value as Json;

use super::Generation;
use crate::codes;
use crate::data::{Data, Params};
use crate::template::Mode;

/// What a list gives.
pub(super) fn params(generation: &Generation<'_>, body: &Json) -> Result<Vec<Params>, Diagnostic> {
    let wrong =
        |message: String| generation.wrong(codes::GENERATOR, message, "write each element as a mapping of texts");
    let elements = body.get("elements").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    generation.count(elements.len())?;
    let mut found = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let Data::Map(element) = Data::from_json(element) else {
            return Err(wrong(format!("`elements[{index}]` of a list generator is no mapping")));
        };
        found.push(match generation.filler.mode() {
            Mode::Go(_) => element,
            Mode::Fast => texts(element).map_err(|name| {
                wrong(format!(
                    "`elements[{index}].{name}` of a list generator is no text, which needs `goTemplate: true`"
                ))
            })?,
        });
    }
    let yaml = body.get("elementsYaml").and_then(Json::as_str).unwrap_or_default();
    if !yaml.is_empty() {
        let more = from_yaml(yaml).map_err(|why| wrong(format!("`elementsYaml` of a list generator {why}")))?;
        generation.count(more.len())?;
        found.extend(more);
    }
    Ok(found)
}

/// An element whose values, and those of its `values`, are all texts; else the name of one that is not.
fn texts(element: Params) -> Result<Params, String> {
    let mut found = Params::new();
    for (name, value) in element {
        match value {
            Data::Map(values) if name == "values" => {
                for (inner, value) in values {
                    let Data::Text(_) = value else { return Err(format!("values.{inner}")) };
                    found.insert(format!("values.{inner}"), value);
                }
            }
            Data::Text(_) if name != "values" => {
                found.insert(name, value);
            }
            Data::Null
            | Data::Bool(_)
            | Data::Number(_)
            | Data::Text(_)
            | Data::List(_)
            | Data::Map(_)
            | Data::Texts(_) => return Err(name),
        }
    }
    Ok(found)
}

fn from_yaml(text: &str) -> Result<Vec<Params>, String> {
    let documents = documents("elementsYaml", text).map_err(|found| format!("is no YAML: {}", found.message))?;
    let Some(node) = documents.first() else { return Ok(Vec::new()) };
    let json = node.to_json().map_err(|found| format!("can't be read: {}", found.message))?;
    let items = json.as_array().ok_or("is no list")?;
    items
        .iter()
        .map(|item| match Data::from_json(item) {
            Data::Map(params) => Ok(params),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Texts(_) => {
                Err("has an item that is no mapping".to_owned())
            }
        })
        .collect()
}
