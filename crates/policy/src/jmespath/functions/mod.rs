//! Functions: `JMESPath`'s own and Kyverno's, each with the number and the types of its arguments.
//!
//! Source of names, arguments and results: the `JMESPath` specification, "Built-in functions", and Kyverno's documentation,
//! "`JMESPath`" (<https://kyverno.io/docs/policy-types/cluster-policy/jmespath/>).

mod arithmetic;
mod builtin;
mod certificate;
mod kyverno;
mod random;

use std::borrow::Cow;

use serde_json::Value;

use super::eval::Run;
use super::parser::Node;
use super::{Error, TEXT_MAX};

/// What a function is given.
pub(super) enum Argument<'a> {
    Json(Cow<'a, Value>),
    Reference(&'a Node),
}

/// Arguments of a call, read by type.
pub(super) struct Call<'c, 'a> {
    name: &'static str,
    arguments: &'c [Argument<'a>],
    pub(super) run: &'c Run<'a>,
}

type Body = for<'c, 'a> fn(&Call<'c, 'a>) -> Result<Value, Error>;

/// One function.
pub(super) struct Function {
    name: &'static str,
    least: usize,
    most: usize,
    body: Body,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn function(name: &'static str, least: usize, most: usize, body: Body) -> Function {
    Function { name, least, most, body }
}

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    builtin::FUNCTIONS.iter().chain(&kyverno::FUNCTIONS).find(|function| function.name == name)
}

impl Function {
    /// Whether so many arguments fit.
    pub(super) fn check_count(&self, count: usize) -> Result<(), String> {
        if (self.least..=self.most).contains(&count) {
            return Ok(());
        }
        Err(format!("`{}` takes {} argument(s), not {count}", self.name, self.least))
    }

    pub(super) fn call<'a>(&'static self, run: &Run<'a>, arguments: &[Argument<'a>]) -> Result<Value, Error> {
        (self.body)(&Call { name: self.name, arguments, run })
    }
}

impl<'a> Call<'_, 'a> {
    fn wrong(&self, index: usize, wanted: &str) -> Error {
        let got = match self.arguments.get(index) {
            Some(Argument::Json(value)) => kind(value),
            Some(Argument::Reference(_)) => "an expression reference",
            None => "nothing",
        };
        Error::new(format!("function `{}`: argument {} must be {wanted}, not {got}", self.name, index + 1))
    }

    fn failed(&self, why: impl std::fmt::Display) -> Error {
        Error::new(format!("function `{}`: {why}", self.name))
    }

    fn value(&self, index: usize) -> Result<&Value, Error> {
        match self.arguments.get(index) {
            Some(Argument::Json(value)) => Ok(value),
            Some(Argument::Reference(_)) | None => Err(self.wrong(index, "a value")),
        }
    }

    fn text(&self, index: usize) -> Result<&str, Error> {
        self.value(index)?.as_str().ok_or_else(|| self.wrong(index, "a text"))
    }

    fn number(&self, index: usize) -> Result<f64, Error> {
        self.value(index)?.as_f64().ok_or_else(|| self.wrong(index, "a number"))
    }

    fn list(&self, index: usize) -> Result<&[Value], Error> {
        self.value(index)?.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(index, "a list"))
    }

    fn object(&self, index: usize) -> Result<&serde_json::Map<String, Value>, Error> {
        self.value(index)?.as_object().ok_or_else(|| self.wrong(index, "an object"))
    }

    /// A text, or a number or a boolean written as one.
    fn written(&self, index: usize) -> Result<String, Error> {
        match self.value(index)? {
            Value::String(text) => Ok(text.clone()),
            other @ (Value::Number(_) | Value::Bool(_)) => Ok(go_string(other)),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(self.wrong(index, "a text or a number")),
        }
    }

    fn reference(&self, index: usize) -> Result<&'a Node, Error> {
        match self.arguments.get(index) {
            Some(Argument::Reference(node)) => Ok(node),
            Some(Argument::Json(_)) | None => Err(self.wrong(index, "an expression reference")),
        }
    }

    /// A text that a function made, which is bounded.
    fn made(&self, text: String) -> Result<Value, Error> {
        if text.len() > TEXT_MAX {
            return Err(self.failed(format!("the text would have more than {TEXT_MAX} bytes")));
        }
        Ok(Value::String(text))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as Go writes it into a text: texts bare, all else as JSON with sorted keys.
pub(crate) fn go_string(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => super::number(super::float(number)).to_string(),
        other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => sorted(other).to_string(),
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(entries) => {
            let mut entries: Vec<(String, Value)> = entries.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Number(number) => super::number(super::float(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}
