//! What templates are given: the same as in tests/peer/main.go.

use std::sync::Arc;

use prograde_template::{
    Call, CallError, Error, Escape, Function, Functions, Limits, Map, Object, Templates, Value, time,
};

/// A map with methods.
#[derive(Debug)]
struct Pairs;

impl Object for Pairs {
    fn name(&self) -> &'static str {
        "main.Pairs"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let wrong = || Err(CallError::new("wrong arguments"));
        match (name, arguments) {
            ("Names", []) => Some(Ok(list(["a", "b"].map(Value::from)))),
            ("Join", [separator]) => {
                let Some(separator) = separator.as_text() else { return Some(wrong()) };
                Some(Ok(Value::from(["a", "b"].join(&separator))))
            }
            ("Names" | "Join", _) => Some(wrong()),
            _ => None,
        }
    }

    fn plain(&self) -> Value {
        Value::texts([("b", "2"), ("a", "1")])
    }
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from(items.into_iter().collect::<Vec<_>>())
}

fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(name, value)| (Arc::from(name), value)).collect();
    Value::Map(Arc::new(Map { entries, missing: Value::Nil }))
}

fn record(name: &str, count: i64, tags: &[&str]) -> Value {
    let tags = list(tags.iter().map(|tag| Value::from(*tag)));
    Value::record("main.Record", vec![("Name", Value::from(name)), ("Count", Value::Int(count)), ("Tags", tags)])
}

pub(crate) fn data() -> Value {
    map([
        ("nothing", Value::Nil),
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("n", Value::Int(3)),
        ("neg", Value::Int(-7)),
        ("zero", Value::Int(0)),
        ("f", Value::Float(2.5)),
        ("big", Value::Float(1e9)),
        ("s", Value::from("hello")),
        ("uni", Value::from("Zoë 🚀")),
        ("html", Value::from("<a href='x'>\"&\0")),
        ("empty", Value::from("")),
        ("space", Value::from("a b\tc\n")),
        (
            "list",
            list([
                Value::Int(1),
                Value::from("two"),
                Value::Float(3.5),
                Value::Bool(true),
                list([Value::from("in"), Value::Int(7)]),
            ]),
        ),
        ("words", list(["alpha", "beta", "gamma"].map(Value::from))),
        ("none", list([])),
        ("labels", Value::texts([("job", "api"), ("instance", "a:9090"), ("le", "0.5")])),
        ("nested", map([("a", map([("b", Value::from("deep")), ("c", Value::Nil)]))])),
        ("rec", record("thing", 2, &["x", "y"])),
        ("recs", list([record("one", 1, &[]), record("two", 2, &["z"])])),
        ("at", time(1_234_567_890_120).unwrap()),
        ("early", time(-62_135_596_800_000).unwrap()),
        ("pairs", Value::Object(Arc::new(Pairs))),
    ])
}

pub(crate) fn functions() -> Functions<'static> {
    Functions::new()
        .with("up", |arguments| match arguments {
            [text] if text.as_text().is_some() => Ok(Value::from(text.as_text().unwrap_or_default().to_uppercase())),
            _ => Err(CallError::new("expected a string")),
        })
        .with("counter", |_| {
            Ok(Value::Function(Function::new(|values| {
                Ok(Value::Int(i64::try_from(values.len()).map_err(|error| CallError::new(error.to_string()))?))
            })))
        })
        .with("fail", |_| Err(CallError::new("failed")))
}

pub(crate) fn fill_within(text: &str, limits: Limits) -> Result<String, Error> {
    let functions = functions();
    let mut templates = Templates::new();
    templates.add("main", text, &functions, &[])?;
    let call = Call { data: data(), variables: &[], functions: &functions, limits, escape: Escape::Nothing };
    templates.execute("main", &call)
}

pub(crate) fn fill(text: &str) -> Result<String, Error> {
    fill_within(text, Limits::default())
}
