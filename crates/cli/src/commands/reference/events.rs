//! The page on the journal's events, from the schemas of the types that are stored.

use prograde_model::application::ApplicationFact;
use prograde_model::event::{Event, VERSION};
use prograde_model::rollout::RolloutEvent;
use serde_json::{Map, Value};

use super::cell;

/// `events.md`.
pub(super) fn page() -> String {
    let mut text = format!(
        "# Events\n\nWritten by `prograde reference`; do not edit. All are of version {VERSION}. Times are RFC 3339; \
         an event's own time, its flight and its place in the journal stand beside what is listed here. Those about \
         applications in clusters are no flight's.\n"
    );
    let mut types = Map::new();
    for (schema, in_environment) in [
        (schemars::schema_for!(Event), false),
        (schemars::schema_for!(RolloutEvent), true),
        (schemars::schema_for!(ApplicationFact), false),
    ] {
        let schema = schema.to_value();
        for variant in items(&schema, "oneOf") {
            event(variant, in_environment, &schema, &mut text);
        }
        types.extend(schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default());
    }
    // Told above, event by event.
    types.remove("RolloutEvent");
    types.sort_keys();
    text.push_str("\n## Types\n");
    for (name, schema) in &types {
        text.extend([format!("\n### {name}\n\n{}\n", described(schema))]);
        shape(schema, &mut text);
    }
    text
}

/// One event: an object with the type as its only key.
fn event(variant: &Value, in_environment: bool, root: &Value, text: &mut String) {
    let Some((name, payload)) = variant.get("properties").and_then(Value::as_object).and_then(|map| map.iter().next())
    else {
        return;
    };
    // The envelope of the rollout's events, which are stored under types of their own.
    if name == "rollout" {
        return;
    }
    text.extend([format!("\n## {name}\n\n{}\n", described(variant))]);
    let mut fields = Vec::new();
    if in_environment {
        fields.push(("environment".to_owned(), "EnvironmentName, as text".to_owned(), "Which environment.".to_owned()));
        let of_group = "Which service of a group; absent where there is none.".to_owned();
        fields.push(("service".to_owned(), "ServiceName, as text, optional".to_owned(), of_group));
    }
    collect(resolved(payload, root), &mut fields);
    table(&fields, text);
    for variant in items(resolved(payload, root), "oneOf") {
        choice(variant, text);
    }
}

fn shape(schema: &Value, text: &mut String) {
    let mut fields = Vec::new();
    collect(schema, &mut fields);
    table(&fields, text);
    for variant in items(schema, "oneOf") {
        choice(variant, text);
    }
}

/// One of several forms.
fn choice(variant: &Value, text: &mut String) {
    let mut fields = Vec::new();
    collect(variant, &mut fields);
    let names: Vec<&str> = items(variant, "enum").iter().filter_map(Value::as_str).collect();
    let constant = variant.get("const").and_then(Value::as_str);
    let tag = fields.iter().find(|(_, kind, _)| kind.starts_with('"')).map(|(name, kind, _)| format!("{name}: {kind}"));
    let title = tag.or_else(|| constant.map(str::to_owned)).unwrap_or_else(|| names.join(", "));
    text.extend([format!("\n- `{title}`: {}\n", described(variant))]);
    for (name, kind, meaning) in fields.iter().filter(|(_, kind, _)| !kind.starts_with('"')) {
        text.extend([format!("  - `{name}` ({kind}): {meaning}\n")]);
    }
}

type Field = (String, String, String);

fn collect(schema: &Value, fields: &mut Vec<Field>) {
    let required: Vec<&str> = items(schema, "required").iter().filter_map(Value::as_str).collect();
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let optional = if required.contains(&name.as_str()) { "" } else { ", optional" };
        fields.push((name.clone(), format!("{}{optional}", kind(field)), described(field)));
    }
}

fn table(fields: &[Field], text: &mut String) {
    if fields.is_empty() {
        return;
    }
    text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for (name, kind, meaning) in fields {
        text.extend([format!("| `{name}` | {} | {meaning} |\n", cell(kind))]);
    }
}

/// A schema's type in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    if let Some(constant) = schema.get("const") {
        return constant.to_string();
    }
    for key in ["anyOf", "allOf", "oneOf"] {
        let all: Vec<String> = items(schema, key).iter().map(kind).collect();
        if !all.is_empty() {
            return all.join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            format!("list of {}", schema.get("items").map_or_else(|| "anything".to_owned(), kind))
        }
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}

fn described(schema: &Value) -> String {
    cell(schema.get("description").and_then(Value::as_str).unwrap_or_default())
}

fn items<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What a reference points to within the same schema.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}
