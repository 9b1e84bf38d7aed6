//! Texts with variables: `{{ expression }}`, replaced by the expression's value, and `$(path)`, replaced by another value
//! of the same document.
//!
//! A text that is one variable becomes the value itself, of whatever type. Variables within variables are replaced from
//! the inside out. Expressions that stand in the policy are compiled when it is loaded.
//!
//! Source: Kyverno's documentation, "Variables", "Variables from Admission Review" and "References".

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::anchor;
use crate::jmespath::{Error, Expression, Scope, TEXT_MAX, go_string};
use crate::leaf::{self, Operator};

/// How often a text is looked through for variables that variables brought in.
const ROUNDS_MAX: usize = 16;
/// How deep a document may nest.
const DEPTH_MAX: usize = 64;

/// A compiled document.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    /// Nothing to replace within.
    Fixed(Value),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

/// One text and its variables.
#[derive(Debug, Clone)]
struct Text {
    raw: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Plain,
    /// The whole text is one variable.
    Whole(Expression),
    /// Variables that stand apart, each compiled, and the texts before each.
    Parts(Vec<(String, Expression)>, String),
    /// Variables within variables, or the place itself (`{{@}}`): read as it goes.
    Dynamic,
}

/// Where a variable begins and ends within a text, braces included; the first that holds no other.
fn find_variable(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        let pair = (bytes.get(at), bytes.get(at + 1));
        if pair == (Some(&b'{'), Some(&b'{')) {
            let escaped = at > 0 && bytes.get(at - 1) == Some(&b'\\');
            if !escaped {
                // `{{{a: b}}}`: the braces of an object stand inside.
                if let Some(end) = close_of(bytes, at + 2) {
                    return Some((at, end));
                }
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// The end of a variable that begins before `at`, if no other begins within: one level of single braces may.
fn close_of(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'}' => return (bytes.get(at + 1) == Some(&b'}')).then_some(at + 2),
            b'{' => {
                let inner = bytes.get(at + 1..)?;
                let end = inner.iter().position(|byte| matches!(byte, b'{' | b'}'))?;
                if inner.get(end) != Some(&b'}') {
                    return None;
                }
                at += end + 2;
            }
            _ => at += 1,
        }
    }
    None
}

/// Whether a text holds a variable or a reference.
pub(crate) fn has_variable(text: &str) -> bool {
    find_variable(text).is_some()
}

/// The expression between braces, and whether it is `{{-`: not replaced within again.
fn expression_of(variable: &str) -> (String, bool) {
    let inner = variable.replace("{{", "").replace("}}", "");
    let inner = inner.trim();
    match inner.strip_prefix('-') {
        Some(rest) => (rest.trim().to_owned(), true),
        None => (inner.to_owned(), false),
    }
}

impl Text {
    fn compile(raw: &str) -> Result<Self, String> {
        Ok(Self { raw: raw.to_owned(), kind: kind_of(raw)? })
    }
}

fn kind_of(raw: &str) -> Result<Kind, String> {
    let Some((start, end)) = find_variable(raw) else {
        return Ok(if raw.contains("\\{{") { Kind::Dynamic } else { Kind::Plain });
    };
    let mut rest = raw;
    let mut parts = Vec::new();
    while let Some((start, end)) = find_variable(rest) {
        let before = rest.get(..start).unwrap_or_default();
        let (expression, shallow) = expression_of(rest.get(start..end).unwrap_or_default());
        if before.contains("{{") || expression.contains('@') && expression == "@" || shallow {
            return Ok(Kind::Dynamic);
        }
        let compiled = Expression::parse(&expression).map_err(|why| format!("`{{{{ {expression} }}}}`: {why}"))?;
        parts.push((before.to_owned(), compiled));
        rest = rest.get(end..).unwrap_or_default();
    }
    if rest.contains("}}") {
        return Ok(Kind::Dynamic);
    }
    if (start, end) == (0, raw.len())
        && let Some((_, expression)) = parts.pop()
    {
        return Ok(Kind::Whole(expression));
    }
    Ok(Kind::Parts(parts, rest.to_owned()))
}

impl Template {
    /// Compiles a document: references are resolved, expressions parsed.
    pub(crate) fn compile(document: &Value) -> Result<Self, String> {
        let resolved = references(document)?;
        Ok(Self { node: node(&resolved, DEPTH_MAX)? })
    }

    /// The document, where nothing is to be replaced in it.
    pub(crate) fn fixed(&self) -> Option<&Value> {
        match &self.node {
            Node::Fixed(value) => Some(value),
            Node::Text(_) | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// The document with its variables replaced. `here` is what `{{@}}` refers to: the path of the document's root in the
    /// resource.
    pub(crate) fn render(&self, scope: &dyn Scope, delete: bool) -> Result<Cow<'_, Value>, Error> {
        if let Node::Fixed(value) = &self.node {
            return Ok(Cow::Borrowed(value));
        }
        let mut path = Vec::new();
        Ok(Cow::Owned(render(&self.node, &mut Render { scope, delete, path: &mut path })?))
    }
}

/// A text's variables replaced, without having been compiled before.
pub(crate) fn render_text(text: &str, scope: &dyn Scope, delete: bool) -> Result<Value, Error> {
    let mut path = Vec::new();
    dynamic(text, &mut Render { scope, delete, path: &mut path })
}

fn node(document: &Value, depth: usize) -> Result<Node, String> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("the document nests deeper than {DEPTH_MAX}"))?;
    let compiled = match document {
        Value::String(text) => {
            let text = Text::compile(text)?;
            if matches!(text.kind, Kind::Plain) { Node::Fixed(document.clone()) } else { Node::Text(text) }
        }
        Value::Array(items) => {
            let items: Result<Vec<Node>, String> = items.iter().map(|item| node(item, depth)).collect();
            Node::List(items?)
        }
        Value::Object(entries) => {
            let mut compiled = Vec::with_capacity(entries.len());
            for (name, value) in entries {
                compiled.push((Text::compile(name)?, node(value, depth)?));
            }
            Node::Map(compiled)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Node::Fixed(document.clone()),
    };
    let fixed = match &compiled {
        Node::List(items) => items.iter().all(|item| matches!(item, Node::Fixed(_))),
        Node::Map(entries) => {
            entries.iter().all(|(key, value)| matches!((&key.kind, value), (Kind::Plain, Node::Fixed(_))))
        }
        Node::Fixed(_) | Node::Text(_) => false,
    };
    Ok(if fixed { Node::Fixed(document.clone()) } else { compiled })
}

struct Render<'r> {
    scope: &'r dyn Scope,
    delete: bool,
    path: &'r mut Vec<String>,
}

fn render(node: &Node, run: &mut Render<'_>) -> Result<Value, Error> {
    Ok(match node {
        Node::Fixed(value) => value.clone(),
        Node::Text(text) => render_one(text, run)?,
        Node::List(items) => {
            let mut rendered = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                run.path.push(at.to_string());
                rendered.push(render(item, run)?);
                run.path.pop();
            }
            Value::Array(rendered)
        }
        Node::Map(entries) => {
            let mut rendered = Map::new();
            for (key, value) in entries {
                let name = match &key.kind {
                    Kind::Plain => key.raw.clone(),
                    Kind::Whole(_) | Kind::Parts(..) | Kind::Dynamic => match render_one(key, run)? {
                        Value::String(name) => name,
                        other @ (Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::Array(_)
                        | Value::Object(_)) => {
                            return Err(Error::new(format!("the key `{}` became {other}, not a text", key.raw)));
                        }
                    },
                };
                run.path.push(anchor::bare(&name).to_owned());
                let value = render(value, run)?;
                run.path.pop();
                rendered.insert(name, value);
            }
            Value::Object(rendered)
        }
    })
}

fn render_one(text: &Text, run: &mut Render<'_>) -> Result<Value, Error> {
    if run.delete {
        return dynamic(&text.raw, run);
    }
    match &text.kind {
        Kind::Plain => Ok(Value::String(text.raw.clone())),
        Kind::Whole(expression) => {
            let value = expression.search(run.scope)?.into_owned();
            Ok(value)
        }
        Kind::Parts(parts, tail) => {
            let mut made = String::new();
            for (before, expression) in parts {
                made.push_str(before);
                made.push_str(&go_string(&*expression.search(run.scope)?));
                bound(&made)?;
            }
            made.push_str(tail);
            if made.contains("{{") && !run.scope.is_foreign() { dynamic(&made, run) } else { Ok(Value::String(made)) }
        }
        Kind::Dynamic => dynamic(&text.raw, run),
    }
}

fn bound(text: &str) -> Result<(), Error> {
    if text.len() <= TEXT_MAX { Ok(()) } else { Err(Error::new(format!("a text grows beyond {TEXT_MAX} bytes"))) }
}

/// Replaces from the inside out until nothing is left to replace.
fn dynamic(raw: &str, run: &mut Render<'_>) -> Result<Value, Error> {
    let mut text = raw.to_owned();
    let mut rounds = 0;
    let mut done = 0;
    while let Some((start, end)) = text.get(done..).and_then(find_variable) {
        rounds += 1;
        if rounds > ROUNDS_MAX * 16 {
            return Err(Error::new("variables keep bringing in more variables"));
        }
        let (start, end) = (start + done, end + done);
        let (mut expression, shallow) = expression_of(text.get(start..end).unwrap_or_default());
        if expression == "@" {
            expression = here(run);
        }
        if run.delete {
            expression = expression.replace("request.object", "request.oldObject");
        }
        let compiled = Expression::parse(&expression).map_err(Error::new)?;
        let value = compiled.search(run.scope)?;
        if (start, end) == (0, text.len()) {
            return Ok(value.into_owned());
        }
        let mut made = go_string(&value);
        if shallow || run.scope.is_foreign() {
            made = made.replace("{{", "\\{{");
        }
        text.replace_range(start..end, &made);
        bound(&text)?;
        done = 0;
    }
    Ok(Value::String(text.replace("\\{{", "{{")))
}

/// The value of the resource at the place where the text stands.
fn here(run: &Render<'_>) -> String {
    let root = if run.scope.lookup("target").is_ok_and(|found| found.is_some()) { "target" } else { "request.object" };
    let mut expression = root.to_owned();
    for step in run.path.iter() {
        if step.parse::<usize>().is_ok() {
            expression.extend(["[", step, "]"]);
        } else {
            expression.extend([".\"", step, "\""]);
        }
    }
    expression
}

/// Replaces `$(path)` by the value that stands at the path in the same document.
fn references(document: &Value) -> Result<Value, String> {
    if !document.to_string().contains("$(") {
        return Ok(document.clone());
    }
    resolve(document, document, &mut Vec::new())
}

fn resolve(value: &Value, document: &Value, path: &mut Vec<String>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => resolve_text(text, document, path)?,
        Value::Array(items) => {
            let mut resolved = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                resolved.push(resolve(item, document, path)?);
                path.pop();
            }
            Value::Array(resolved)
        }
        Value::Object(entries) => {
            let mut resolved = Map::new();
            for (name, item) in entries {
                path.push(anchor::bare(name).to_owned());
                let item = resolve(item, document, path)?;
                path.pop();
                resolved.insert(name.clone(), item);
            }
            Value::Object(resolved)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

fn resolve_text(text: &str, document: &Value, path: &[String]) -> Result<Value, String> {
    let mut made = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let (before, tail) = rest.split_at(start);
        let Some(end) = tail.find(')').filter(|end| *end > 2) else { break };
        let reference = tail.get(2..end).unwrap_or_default();
        let after = tail.get(end + 1..).unwrap_or_default();
        // Shell's `$(command)` and Kubernetes' `$(VARIABLE)` are no paths.
        let (operator, length) = leaf::operator_of(reference);
        let target = reference.get(length..).unwrap_or_default();
        if let Some(kept) = before.strip_suffix('\\') {
            made.push_str(kept);
            made.push_str(tail.get(..=end).unwrap_or_default());
        } else if reference.contains(' ') || !(target.starts_with('.') || target.starts_with('/')) {
            made.push_str(before);
            made.push_str(tail.get(..=end).unwrap_or_default());
        } else {
            let found = at_path(document, path, target)
                .ok_or_else(|| format!("the reference $({reference}) leads to nothing"))?;
            let shown = match (operator, found) {
                (_, Value::String(text)) => text.clone(),
                (Operator::Equal, other) => {
                    return Err(format!("the reference $({reference}) leads to {other}, not to a text"));
                }
                (_, number @ Value::Number(_)) => number.to_string(),
                (_, other) => return Err(format!("the reference $({reference}) leads to {other}")),
            };
            made.push_str(before);
            made.push_str(reference.get(..length).unwrap_or_default());
            made.push_str(&shown);
        }
        rest = after;
    }
    made.push_str(rest);
    Ok(Value::String(made))
}

fn at_path<'d>(document: &'d Value, from: &[String], target: &str) -> Option<&'d Value> {
    let mut steps: Vec<&str> =
        if target.starts_with('/') { Vec::new() } else { from.iter().map(String::as_str).collect() };
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            other => steps.push(anchor::bare(other)),
        }
    }
    steps.into_iter().try_fold(document, |value, step| match value {
        Value::Object(entries) => entries.iter().find(|(name, _)| anchor::bare(name) == step).map(|(_, value)| value),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Doc(Value);
    impl Scope for Doc {
        fn lookup(&self, name: &str) -> Result<Option<&Value>, Error> {
            Ok(self.0.get(name))
        }
        fn whole(&self) -> Cow<'_, Value> {
            Cow::Borrowed(&self.0)
        }
    }

    fn check(document: Value, want: Value) {
        let scope = Doc(json!({
            "a": "x", "n": 5, "l": [1, 2], "key": "a", "loop": "{{ loop }}", "inner": "{{ a }}",
            "request": {"object": {"spec": {"image": "i"}}, "oldObject": {"name": "old"}},
        }));
        let template = Template::compile(&document).unwrap();
        assert_eq!(template.render(&scope, false).map(Cow::into_owned), Ok(want), "{document}");
    }

    #[test]
    fn variables_are_replaced() {
        check(json!("{{ a }}"), json!("x"));
        check(json!("{{n}}"), json!(5));
        check(json!("n={{n}}, l={{ l }}"), json!("n=5, l=[1,2]"));
        check(json!("{{ {{key}} }}"), json!("x"));
        check(json!("a{{ '{b}' }}"), json!("a{b}"));
        check(json!("{{ {x: a} }}"), json!({"x": "x"}));
        check(json!("\\{{ a }}"), json!("{{ a }}"));
        check(json!("<{{ inner }}>"), json!("<x>"));
        check(json!({"{{ a }}": ["{{ n }}"]}), json!({"x": [5]}));
        check(json!({"spec": {"(image)": "{{@}}"}}), json!({"spec": {"(image)": "i"}}));
        check(json!("plain $(HOME)"), json!("plain $(HOME)"));
        check(json!({"a": "1", "b": ">$(./../a)"}), json!({"a": "1", "b": ">1"}));
        check(json!({"a": 3, "b": "$(<=./../a)"}), json!({"a": 3, "b": "<=3"}));
    }

    #[test]
    fn what_never_ends_is_an_error() {
        let scope = Doc(json!({"loop": "-{{ loop }}-"}));
        let template = Template::compile(&json!("x{{ loop }}")).unwrap();
        assert!(template.render(&scope, false).is_err());
        assert!(Template::compile(&json!("{{ a. }}")).is_err());
        assert!(Template::compile(&json!({"b": "$(./../missing)"})).is_err());
    }
}
