//! Texts with places that are filled in: Go's templates with Sprig's functions, or the older `{{name}}` form.
//!
//! Source: Argo CD 3.4, documentation, "Templates" and "Go Template"; `valyala/fasttemplate` for the older form.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prograde_template::{Call, CallError, Escape, Functions, Limits, Map, Object, Templates, Value};

use crate::data::{Data, Params};
use crate::sprig;

/// How many different texts are kept parsed.
const PARSED_MAX: usize = 4_096;

/// What one text may take.
const LIMITS: Limits = Limits { output_bytes_max: 256 * 1024, steps_max: 100_000, depth_max: 100 };

/// Which language templates are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Go's templates.
    Go(Missing),
    /// `{{name}}`, where only texts are filled in and what is not known is left as it is.
    Fast,
}

/// What a key that is not there gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing, also of what is asked of it.
    Invalid,
    /// The zero value of the mapping's type.
    Zero,
    /// An error.
    Error,
}

/// A mapping that `set` and `unset` change, as in Sprig.
pub(crate) struct Dict {
    entries: Mutex<BTreeMap<Arc<str>, Value>>,
    missing: Missing,
    texts: bool,
}

/// A mapping as a value.
pub(crate) fn dict(entries: BTreeMap<Arc<str>, Value>, missing: Missing, texts: bool) -> Value {
    Value::Object(Arc::new(Dict { entries: Mutex::new(entries), missing, texts }))
}

impl std::fmt::Debug for Dict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dict")
    }
}

impl Object for Dict {
    fn name(&self) -> &'static str {
        "map"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        // The two ways by which Sprig changes a mapping; no template can write such names.
        match (name, arguments) {
            ("\u{0}set", [Value::Text(key), value]) => {
                self.lock().insert(Arc::clone(key), value.clone());
                return Some(Ok(Value::Nil));
            }
            ("\u{0}unset", [Value::Text(key)]) => {
                self.lock().remove(key);
                return Some(Ok(Value::Nil));
            }
            _ => {}
        }
        if let Some(value) = self.lock().get(name) {
            return Some(if arguments.is_empty() {
                Ok(value.clone())
            } else {
                Err(CallError::new("it is no method and takes no arguments"))
            });
        }
        Some(match self.missing {
            Missing::Invalid => Ok(nothing()),
            Missing::Zero => Ok(if self.texts { Value::from("") } else { Value::Nil }),
            Missing::Error => Err(CallError::new("there is no such key")),
        })
    }

    fn plain(&self) -> Value {
        let missing = if self.texts { Value::from("") } else { Value::Nil };
        Value::Map(Arc::new(Map { entries: self.lock().clone(), missing }))
    }
}

impl Dict {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Value>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a key that is not there gives under `missingkey=default`: nothing, of which anything may be asked.
#[derive(Debug)]
struct Nothing;

fn nothing() -> Value {
    Value::Object(Arc::new(Nothing))
}

impl Object for Nothing {
    fn name(&self) -> &'static str {
        "nil"
    }

    fn member(&self, _: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        Some(Ok(nothing()))
    }

    fn plain(&self) -> Value {
        Value::Nil
    }
}

/// Fills in texts of one language; each text is parsed once.
pub(crate) struct Filler {
    mode: Mode,
    functions: Functions<'static>,
    parsed: RefCell<BTreeMap<String, Templates>>,
}

impl Filler {
    pub(crate) fn new(mode: Mode) -> Self {
        let missing = match mode {
            Mode::Go(missing) => missing,
            Mode::Fast => Missing::Invalid,
        };
        Self { mode, functions: sprig::functions(missing), parsed: RefCell::default() }
    }

    /// Which language it is.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A text that is filled in, or why it can't be.
    pub(crate) fn fill(&self, text: &str, params: &Scope<'_>) -> Result<String, String> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        match self.mode {
            Mode::Fast => fast(text, params.params),
            Mode::Go(missing) => self.go(text, params.value(missing)),
        }
    }

    fn go(&self, text: &str, data: Value) -> Result<String, String> {
        let mut parsed = self.parsed.borrow_mut();
        if parsed.len() > PARSED_MAX {
            parsed.clear();
        }
        if !parsed.contains_key(text) {
            let mut templates = Templates::new();
            templates.add("", text, &self.functions, &[]).map_err(|error| told(&error, text))?;
            parsed.insert(text.to_owned(), templates);
        }
        let Some(templates) = parsed.get(text) else { return Ok(String::new()) };
        let call = Call { data, variables: &[], functions: &self.functions, limits: LIMITS, escape: Escape::Nothing };
        templates.execute("", &call).map_err(|error| told(&error, text))
    }
}

/// The parameters of one filling, turned into values once.
pub(crate) struct Scope<'a> {
    params: &'a Params,
    value: RefCell<Option<Value>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(params: &'a Params) -> Self {
        Self { params, value: RefCell::new(None) }
    }

    /// Whether there is nothing to fill in with.
    pub(crate) fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    fn value(&self, missing: Missing) -> Value {
        // A fresh one each time would be right too; `set` changes what is only seen by the text that does it.
        let changed = || Data::Map(self.params.clone()).to_value(missing);
        self.value.borrow_mut().get_or_insert_with(changed).clone()
    }
}

fn told(error: &prograde_template::Error, text: &str) -> String {
    format!("{} in `{}`", error.message, crate::schema::shortened(text))
}

fn fast(text: &str, params: &Params) -> Result<String, String> {
    let on_one_line =
        |line: &str| line.find("{{").is_some_and(|start| line.get(start + 2..).is_some_and(|rest| rest.contains("}}")));
    if !text.split('\n').any(on_one_line) {
        return Ok(text.to_owned());
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((tag, after)) = after.split_once("}}") else {
            return Err(format!("`{{{{` is not closed in `{}`", crate::schema::shortened(text)));
        };
        match params.get(tag.trim()) {
            Some(Data::Text(value)) => filled.push_str(value),
            _ => filled.extend(["{{", tag, "}}"]),
        }
        if filled.len() > LIMITS.output_bytes_max {
            return Err(format!("this makes more than {} bytes", LIMITS.output_bytes_max));
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(mode: Mode, text: &str, json: &str) -> String {
        let Data::Map(params) = Data::from_json(&serde_json::from_str(json).unwrap()) else { panic!() };
        Filler::new(mode).fill(text, &Scope::new(&params)).unwrap_or_else(|why| format!("error: {why}"))
    }

    #[test]
    fn the_older_form_fills_in_texts_only() {
        let json = r#"{"a":"1","path.basename":"x","path[0]":"y","n":3}"#;
        for (text, expected) in [
            ("{{a}}-{{ path.basename }}/{{path[0]}}", "1-x/y"),
            ("{{n}} {{nope}}", "{{n}} {{nope}}"),
            ("a {{\n}}", "a {{\n}}"),
            ("{{a}} {{", "error: `{{` is not closed in `{{a}} {{`"),
            ("}} {{a}}", "}} 1"),
        ] {
            assert_eq!(filled(Mode::Fast, text, json), expected, "{text}");
        }
    }

    #[test]
    fn missing_keys_are_what_the_option_says() {
        let json = r#"{"a":{"b":"c"},"n":8080,"big":1000000,"z":null}"#;
        let go = |missing, text| filled(Mode::Go(missing), text, json);
        for (missing, text, expected) in [
            (Missing::Invalid, "{{.a.b}} {{.n}} {{.big}}", "c 8080 1e+06"),
            (Missing::Invalid, "{{.x}} {{.x.y}} {{.z}}", "<no value> <no value> <no value>"),
            (Missing::Zero, "{{.x}}", "<no value>"),
            (Missing::Invalid, "{{default \"d\" .x}}{{if .x}}t{{else}}e{{end}}", "de"),
            (Missing::Error, "{{.a.b}}", "c"),
            (Missing::Error, "{{range $k, $v := .a}}{{$k}}={{$v}}{{end}}{{index .a \"b\"}}{{len .a}}", "b=cc1"),
        ] {
            assert_eq!(go(missing, text), expected, "{text}");
        }
        assert!(go(Missing::Error, "{{.a.x}}").starts_with("error: "), "{}", go(Missing::Error, "{{.a.x}}"));
        assert!(go(Missing::Error, "{{.x}}").starts_with("error: "));
    }

    #[test]
    fn what_argo_takes_away_is_not_there() {
        for text in ["{{env \"HOME\"}}", "{{expandenv \"$HOME\"}}", "{{getHostByName \"localhost\"}}", "{{now}}", "{{"]
        {
            assert!(filled(Mode::Go(Missing::Invalid), text, "{}").starts_with("error: "), "{text}");
        }
    }

    #[test]
    fn bombs_end() {
        let loops = "{{range until 100000}}{{range until 100000}}x{{end}}{{end}}";
        assert!(filled(Mode::Go(Missing::Invalid), loops, "{}").starts_with("error: "));
        let doubled = "{{$x := \"aaaaaaaaaa\"}}{{$x = repeat 100000 $x}}{{$x = repeat 100000 $x}}{{$x}}";
        assert!(filled(Mode::Go(Missing::Invalid), doubled, "{}").starts_with("error: "));
    }
}
