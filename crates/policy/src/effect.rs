//! What a policy of expressions does where it selects a resource: validate it, change it, make others, or delete it.
//!
//! Source: Kyverno's documentation, "`MutatingPolicy`", "`GeneratingPolicy`" and "`DeletingPolicy`"; Kubernetes'
//! documentation, "Mutating Admission Policy".

use serde_json::{Map, Value};

use crate::cel::{Input, Policy as Expressions, Program};
use crate::mutate::{applied, json6902};
use crate::request::text;

/// How many placeholders a template may have.
const PLACEHOLDERS_MAX: usize = 1_000;

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    /// An object that is merged into the resource, within the fields that lead to a pod's template.
    Apply(Program, &'static [&'static str]),
    /// A list of operations.
    Json(Program),
}

/// What resources follow from.
#[derive(Debug, Clone)]
pub(crate) enum Generation {
    /// An expression that hands resources to the generator.
    Expression(Program),
    /// Resources written out, with places for expressions.
    Template(Vec<Node>),
}

/// A part of a template.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Fixed(Value),
    /// The value of an expression.
    Splice(Program),
    /// Text, and expressions within it.
    Text(Vec<Piece>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A part of a text.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Plain(String),
    Value(Program),
}

/// What is done with what is selected.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Validate,
    Mutate(Vec<Mutation>),
    Generate(Vec<Generation>),
    Delete,
}

impl Effect {
    /// Reads what a policy of a kind does; `path` leads to the pod's template where the policy was written for pods.
    pub(crate) fn compile(kind: &str, spec: &Value, path: &'static [&'static str]) -> Result<Self, String> {
        let list = |name: &str| spec.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match kind.trim_start_matches("Namespaced") {
            "MutatingPolicy" | "MutatingAdmissionPolicy" => {
                let made: Vec<Mutation> =
                    list("mutations").iter().map(|item| mutation(item, path)).collect::<Result<_, _>>()?;
                if made.is_empty() { Err("the policy has no mutations".to_owned()) } else { Ok(Self::Mutate(made)) }
            }
            "GeneratingPolicy" => {
                let made: Vec<Generation> = list("generate").iter().map(generation).collect::<Result<_, _>>()?;
                if made.is_empty() { Err("the policy generates nothing".to_owned()) } else { Ok(Self::Generate(made)) }
            }
            "DeletingPolicy" => Ok(Self::Delete),
            _ if list("validations").is_empty() => Err("the policy has no validations".to_owned()),
            _ => Ok(Self::Validate),
        }
    }
}

fn mutation(item: &Value, path: &'static [&'static str]) -> Result<Mutation, String> {
    let source = |name: &str| item.get(name).map(|part| text(part, &["expression"])).filter(|text| !text.is_empty());
    match (text(item, &["patchType"]), source("applyConfiguration"), source("jsonPatch")) {
        ("ApplyConfiguration" | "", Some(source), None) => {
            // Only an object that is written out is moved into the template, as Kyverno does.
            let whole =
                source.trim_start().strip_prefix("Object").is_some_and(|rest| rest.trim_start().starts_with('{'));
            Ok(Mutation::Apply(Program::compile(source)?, if whole { path } else { &[] }))
        }
        ("JSONPatch" | "", None, Some(source)) => Program::compile(source).map(Mutation::Json),
        (kind @ ("ApplyConfiguration" | "JSONPatch" | ""), _, _) => {
            Err(format!("a mutation of the type `{kind}` needs exactly the expression of this type"))
        }
        (kind, _, _) => Err(format!("unknown patchType `{kind}`: expected ApplyConfiguration or JSONPatch")),
    }
}

fn generation(item: &Value) -> Result<Generation, String> {
    let source = text(item, &["expression"]);
    let template = item.get("template").filter(|template| !template.is_null());
    match (source, template) {
        ("", None) => Err("an entry of generate needs an expression or a template".to_owned()),
        ("", Some(template)) => compiled_template(template).map(Generation::Template),
        (_, Some(_)) => Err("an entry of generate has an expression or a template, not both".to_owned()),
        (source, None) => Program::compile(source).map(Generation::Expression),
    }
}

fn compiled_template(template: &Value) -> Result<Vec<Node>, String> {
    let interpolate = match text(template, &["interpolate"]) {
        "" | "none" => false,
        "cel" => true,
        other => return Err(format!("unknown interpolation `{other}` of a template: expected cel or none")),
    };
    let documents = prograde_yaml::documents("template", text(template, &["value"]))
        .map_err(|error| format!("the template can't be read: {}", error.message))?;
    let mut left = PLACEHOLDERS_MAX;
    let mut made = Vec::new();
    for document in documents.iter().map(prograde_yaml::Node::to_json).filter(|document| !document.is_null()) {
        if !document.is_object() && !document.is_string() {
            return Err("a document of the template is no resource".to_owned());
        }
        made.push(if interpolate { node(document, &mut left)? } else { Node::Fixed(document) });
    }
    if made.is_empty() { Err("the template has no document".to_owned()) } else { Ok(made) }
}

fn node(value: Value, left: &mut usize) -> Result<Node, String> {
    Ok(match value {
        Value::String(text) if text.contains("((") => {
            let mut pieces = pieces(&text, left)?;
            match (pieces.len(), pieces.pop()) {
                (1, Some(Piece::Value(program))) => Node::Splice(program),
                (_, last) => Node::Text(pieces.into_iter().chain(last).collect()),
            }
        }
        Value::Array(items) => {
            Node::List(items.into_iter().map(|item| node(item, left)).collect::<Result<_, String>>()?)
        }
        Value::Object(fields) => {
            let mut made = Vec::with_capacity(fields.len());
            for (name, value) in fields {
                if name.contains("((") {
                    return Err(format!("the key `{name}` of a template holds an expression, which only values can"));
                }
                made.push((name, node(value, left)?));
            }
            Node::Map(made)
        }
        fixed @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Node::Fixed(fixed),
    })
}

/// Text and what stands between `((` and the first `))` that makes it an expression.
fn pieces(text: &str, left: &mut usize) -> Result<Vec<Piece>, String> {
    const TRIES: usize = 16;
    let mut made = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("((") {
        *left =
            left.checked_sub(1).ok_or_else(|| format!("a template has more than {PLACEHOLDERS_MAX} expressions"))?;
        if !before.is_empty() {
            made.push(Piece::Plain(before.to_owned()));
        }
        let mut trouble = "a `((` of a template has no `))`".to_owned();
        let mut found = None;
        for (end, _) in after.match_indices("))").take(TRIES) {
            let (inner, tail) = after.split_at(end);
            match Program::compile(inner.trim()) {
                Ok(program) => {
                    found = Some((program, tail.get(2..).unwrap_or_default()));
                    break;
                }
                Err(why) => trouble = why,
            }
        }
        let (program, tail) = found.ok_or(trouble)?;
        made.push(Piece::Value(program));
        rest = tail;
    }
    if !rest.is_empty() {
        made.push(Piece::Plain(rest.to_owned()));
    }
    Ok(made)
}

impl Mutation {
    /// The changed resource.
    pub(crate) fn apply(&self, resource: &Value, with: &Expressions, input: &Input<'_>) -> Result<Value, String> {
        match self {
            Self::Apply(program, path) => {
                let mut configuration = with.value(program, input)?;
                if !configuration.is_object() {
                    return Err("an apply configuration is an object".to_owned());
                }
                for step in path.iter().rev() {
                    configuration = Value::Object(Map::from_iter([((*step).to_owned(), configuration)]));
                }
                Ok(applied::apply(resource, &configuration))
            }
            Self::Json(program) => {
                let operations = with.value(program, input)?;
                let operations = operations.as_array().ok_or("a JSON patch is a list of operations")?;
                json6902::apply(resource, operations)
            }
        }
    }
}

impl Generation {
    /// The resources that follow.
    pub(crate) fn run(&self, with: &Expressions, input: &Input<'_>) -> Result<Vec<Value>, String> {
        match self {
            Self::Expression(program) => with.generated(program, input),
            Self::Template(documents) => documents.iter().map(|node| node.render(with, input)).collect(),
        }
    }
}

impl Node {
    fn render(&self, with: &Expressions, input: &Input<'_>) -> Result<Value, String> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Splice(program) => with.value(program, input)?,
            Self::Text(pieces) => {
                let mut made = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Plain(text) => made.push_str(text),
                        Piece::Value(program) => match with.value(program, input)? {
                            Value::Array(_) | Value::Object(_) => {
                                return Err("an expression within a text of a template gives no text".to_owned());
                            }
                            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                                made.push_str(&crate::pattern::shown(&scalar));
                            }
                        },
                    }
                }
                Value::String(made)
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.render(with, input)).collect::<Result<_, String>>()?)
            }
            Self::Map(fields) => {
                let mut made = Map::new();
                for (name, node) in fields {
                    made.insert(name.clone(), node.render(with, input)?);
                }
                Value::Object(made)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mutations_are_read_with_their_type() {
        let compile = |item: Value| mutation(&item, &[]).map(|_| ());
        let apply = json!({"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"});
        assert!(compile(json!({"patchType": "ApplyConfiguration", "applyConfiguration": apply})).is_ok());
        assert!(compile(json!({"patchType": "JSONPatch", "applyConfiguration": apply})).is_err());
        assert!(compile(json!({"patchType": "Other", "applyConfiguration": apply})).is_err());
        assert!(compile(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "["}})).is_err());
    }

    #[test]
    fn templates_take_expressions_apart_from_text() {
        let mut left = 10;
        let found = pieces("a-(( size((('x'))) ))-(( 'y' ))", &mut left).unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(left, 8);
        assert!(pieces("(( ", &mut left).is_err());
        assert!(compiled_template(&json!({"value": "((a)): b", "interpolate": "cel"})).is_err());
        assert!(compiled_template(&json!({"value": "a: b", "interpolate": "go"})).is_err());
        assert!(compiled_template(&json!({"value": ""})).is_err());
        assert!(pieces(&"(('x'))".repeat(20), &mut left).is_err(), "the number of expressions is bounded");
    }
}
