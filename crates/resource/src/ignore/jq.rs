//! The part of jq that names fields: read by the parser of the crate `jaq-core`, evaluated here to paths with a budget.
//!
//! jq is a programming language whose programs need not end; what is ignored in a comparison is named by paths and
//! conditions. What is beyond that is an error when the expression is read.
//! Source of the language: <https://jqlang.org/manual/>.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "an expression takes some values, and all others fail; places are handed on"
)]

use std::borrow::Cow;
use std::cell::Cell;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path::{Opt, Part};
use regex::Regex;
use serde_json::Value;

use crate::compare::{Path, Step};

/// The longest expression that is read, in bytes.
const LENGTH_MAX: usize = 4_096;
/// How deep an expression may nest.
const DEPTH_MAX: usize = 64;
/// How many steps one expression may take on one object.
const STEPS_MAX: u64 = 500_000;
/// The stack that the parser is given, in bytes.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Filter(Expression);

#[derive(Debug)]
enum Expression {
    Here,
    All,
    Literal(Value),
    List(Option<Box<Expression>>),
    Pipe(Box<Expression>, Box<Expression>),
    Comma(Box<Expression>, Box<Expression>),
    Else(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Compare(Box<Expression>, Cmp, Box<Expression>),
    Plus(Box<Expression>, Box<Expression>),
    Try(Box<Expression>),
    If(Vec<(Expression, Expression)>, Option<Box<Expression>>),
    At(Box<Expression>, Vec<Into>),
    Select(Box<Expression>),
    First(Box<Expression>),
    Map(Box<Expression>),
    Any(Box<Expression>),
    Every(Box<Expression>),
    Match(Regex),
    Call(Function, Option<Box<Expression>>),
}

/// A part of a path.
#[derive(Debug)]
struct Into {
    /// The index; none for all entries.
    index: Option<Expression>,
    optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Empty,
    Not,
    Length,
    Type,
    ToText,
    Keys,
    Lower,
    Upper,
    StartsWith,
    EndsWith,
    Contains,
    Has,
}

/// Functions, and how many arguments they take.
const FUNCTIONS: [(&str, Function, usize); 12] = [
    ("empty", Function::Empty, 0),
    ("not", Function::Not, 0),
    ("length", Function::Length, 0),
    ("type", Function::Type, 0),
    ("tostring", Function::ToText, 0),
    ("keys", Function::Keys, 0),
    ("ascii_downcase", Function::Lower, 0),
    ("ascii_upcase", Function::Upper, 0),
    ("startswith", Function::StartsWith, 1),
    ("endswith", Function::EndsWith, 1),
    ("contains", Function::Contains, 1),
    ("has", Function::Has, 1),
];

impl Filter {
    /// Reads an expression; the message says what is wrong.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        if source.len() > LENGTH_MAX {
            return Err(format!("it has more than the {LENGTH_MAX} bytes that are read"));
        }
        // The parser recurses as deep as the text says.
        let read = || {
            let term = jaq_core::load::parse(source, |parser| parser.term());
            compiled(&term.ok_or("it is no jq")?, 0)
        };
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, read);
            let worker = worker.map_err(|error| error.to_string())?;
            worker.join().unwrap_or_else(|_| Err("the parser gave up".to_owned())).map(Self)
        })
    }

    /// The paths that the expression names in a value; none where it fails, as Argo CD takes it.
    pub(super) fn paths(&self, root: &Value) -> Vec<Path> {
        let run = Run { steps: Cell::new(0) };
        let start = Place { path: Some(Vec::new()), value: Cow::Borrowed(root) };
        let found = run.eval(&self.0, start).unwrap_or_default();
        found.into_iter().filter_map(|place| place.path).filter(|path| !path.is_empty()).map(Path).collect()
    }
}

fn compiled(term: &Term<&str>, depth: usize) -> Result<Expression, String> {
    if depth > DEPTH_MAX {
        return Err("it nests too deep".to_owned());
    }
    let inner = |term: &Term<&str>| compiled(term, depth + 1).map(Box::new);
    Ok(match term {
        Term::Id => Expression::Here,
        Term::Recurse => Expression::All,
        Term::Num(text) => {
            Expression::Literal(serde_json::from_str(text).map_err(|_| format!("`{text}` is no number"))?)
        }
        Term::Neg(number) => match compiled(number, depth + 1)? {
            Expression::Literal(Value::Number(number)) => {
                let text = format!("-{number}");
                Expression::Literal(serde_json::from_str(&text).map_err(|_| format!("`{text}` is no number"))?)
            }
            _ => return Err("`-` is supported before numbers only".to_owned()),
        },
        Term::Str(None, parts) => Expression::Literal(Value::from(literal(parts)?)),
        Term::Arr(items) => Expression::List(items.as_deref().map(inner).transpose()?),
        Term::BinOp(left, operator, right) => operation(inner(left)?, operator, inner(right)?)?,
        Term::TryCatch(tried, None) => Expression::Try(inner(tried)?),
        Term::IfThenElse(cases, other) => {
            let case = |(when, then): &(Term<&str>, Term<&str>)| {
                Ok::<_, String>((compiled(when, depth + 1)?, compiled(then, depth + 1)?))
            };
            let cases = cases.iter().map(case).collect::<Result<_, _>>()?;
            Expression::If(cases, other.as_deref().map(inner).transpose()?)
        }
        Term::Path(base, path) => {
            let mut parts = Vec::with_capacity(path.0.len());
            for (part, optional) in &path.0 {
                let index = match part {
                    Part::Index(index) => Some(compiled(index, depth + 1)?),
                    Part::Range(None, None) => None,
                    Part::Range(..) => return Err("slices are not supported".to_owned()),
                };
                parts.push(Into { index, optional: matches!(optional, Opt::Optional) });
            }
            Expression::At(inner(base)?, parts)
        }
        Term::Call(name, arguments) => call(name, arguments, depth)?,
        Term::Str(Some(_), _) => return Err("formats such as @text are not supported".to_owned()),
        Term::Obj(_) => return Err("making objects is not supported".to_owned()),
        Term::Label(..) | Term::Break(_) => return Err("labels are not supported".to_owned()),
        Term::Fold(..) => return Err("reduce and foreach are not supported".to_owned()),
        Term::TryCatch(_, Some(_)) => return Err("catch is not supported".to_owned()),
        Term::Def(..) => return Err("definitions are not supported".to_owned()),
        Term::Var(name) => return Err(format!("variables such as {name} are not supported")),
    })
}

fn literal(parts: &[StrPart<&str, Term<&str>>]) -> Result<String, String> {
    let mut made = String::new();
    for part in parts {
        match part {
            StrPart::Str(text) => made.push_str(text),
            StrPart::Char(one) => made.push(*one),
            StrPart::Term(_) => return Err("texts with expressions in them are not supported".to_owned()),
        }
    }
    Ok(made)
}

fn operation(left: Box<Expression>, operator: &BinaryOp<&str>, right: Box<Expression>) -> Result<Expression, String> {
    Ok(match operator {
        BinaryOp::Pipe(None) => Expression::Pipe(left, right),
        BinaryOp::Comma => Expression::Comma(left, right),
        BinaryOp::Alt => Expression::Else(left, right),
        BinaryOp::Or => Expression::Or(left, right),
        BinaryOp::And => Expression::And(left, right),
        BinaryOp::Cmp(operator) => Expression::Compare(left, *operator, right),
        BinaryOp::Math(Math::Add) => Expression::Plus(left, right),
        BinaryOp::Pipe(Some(_)) => return Err("variables are not supported".to_owned()),
        BinaryOp::Math(_) => return Err("arithmetic other than + is not supported".to_owned()),
        BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
            return Err("an expression names fields and can't change them".to_owned());
        }
    })
}

fn call(name: &str, arguments: &[Term<&str>], depth: usize) -> Result<Expression, String> {
    let mut read = arguments.iter().map(|argument| compiled(argument, depth + 1)).collect::<Result<Vec<_>, _>>()?;
    let first = if read.is_empty() { None } else { Some(Box::new(read.remove(0))) };
    Ok(match (name, first) {
        ("true", None) => Expression::Literal(Value::Bool(true)),
        ("false", None) => Expression::Literal(Value::Bool(false)),
        ("null", None) => Expression::Literal(Value::Null),
        ("recurse", None) => Expression::All,
        ("any", None) => Expression::Any(Box::new(Expression::Here)),
        ("all", None) => Expression::Every(Box::new(Expression::Here)),
        ("select", Some(condition)) => Expression::Select(condition),
        ("first", Some(of)) => Expression::First(of),
        ("map", Some(of)) => Expression::Map(of),
        ("any", Some(of)) => Expression::Any(of),
        ("all", Some(of)) => Expression::Every(of),
        ("test", Some(pattern)) => {
            let Expression::Literal(Value::String(pattern)) = *pattern else {
                return Err("`test` takes a text that is written out".to_owned());
            };
            let flags = match read.first() {
                None => String::new(),
                Some(Expression::Literal(Value::String(flags))) if flags.chars().all(|flag| "xisn".contains(flag)) => {
                    flags.replace('n', "")
                }
                Some(_) => return Err("the flags of `test` are of x, i, s and n".to_owned()),
            };
            let pattern = if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") };
            Expression::Match(Regex::new(&pattern).map_err(|_| format!("`{pattern}` is no regular expression"))?)
        }
        (name, first) => {
            let count = usize::from(first.is_some()) + read.len();
            let found = FUNCTIONS.iter().find(|(known, _, takes)| *known == name && *takes == count);
            let (_, function, _) = found.ok_or_else(|| format!("the function {name}/{count} is not supported"))?;
            Expression::Call(*function, first)
        }
    })
}

/// A value, and where it is, if it is anywhere.
#[derive(Clone)]
struct Place<'v> {
    path: Option<Vec<Step>>,
    value: Cow<'v, Value>,
}

impl Place<'_> {
    fn made<'v>(value: Value) -> Place<'v> {
        Place { path: None, value: Cow::Owned(value) }
    }
}

/// Why there is no answer; jq's errors are caught by `?` and else end the expression.
#[derive(Debug)]
enum Failure {
    Error,
    Steps,
}

type Found<'v> = Result<Vec<Place<'v>>, Failure>;

struct Run {
    steps: Cell<u64>,
}

fn holds(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

impl Run {
    fn step(&self, by: usize) -> Result<(), Failure> {
        self.steps.set(self.steps.get().saturating_add(by as u64));
        if self.steps.get() > STEPS_MAX { Err(Failure::Steps) } else { Ok(()) }
    }

    fn eval<'v>(&self, expression: &Expression, at: Place<'v>) -> Found<'v> {
        self.step(1)?;
        Ok(match expression {
            Expression::Here => vec![at],
            Expression::All => self.all(at)?,
            Expression::Literal(value) => vec![Place::made(value.clone())],
            Expression::List(None) => vec![Place::made(Value::Array(Vec::new()))],
            Expression::List(Some(items)) => vec![Place::made(self.list(self.eval(items, at)?)?)],
            Expression::Pipe(first, then) => {
                let mut found = Vec::new();
                for place in self.eval(first, at)? {
                    found.extend(self.eval(then, place)?);
                }
                found
            }
            Expression::Comma(one, other) => {
                let mut found = self.eval(one, at.clone())?;
                found.extend(self.eval(other, at)?);
                found
            }
            Expression::Else(one, other) => {
                let mut found = match self.eval(one, at.clone()) {
                    Err(Failure::Error) => Vec::new(),
                    found => found?,
                };
                found.retain(|place| holds(&place.value));
                if found.is_empty() { self.eval(other, at)? } else { found }
            }
            Expression::Try(tried) => match self.eval(tried, at) {
                Err(Failure::Error) => Vec::new(),
                found => found?,
            },
            Expression::If(cases, other) => self.branch(cases, other.as_deref(), at)?,
            Expression::At(base, parts) => self.into(base, parts, at)?,
            Expression::Select(condition) => {
                let found = self.eval(condition, at.clone())?;
                found.iter().filter(|place| holds(&place.value)).map(|_| at.clone()).collect()
            }
            Expression::First(of) => self.eval(of, at)?.into_iter().take(1).collect(),
            _ => self.value(expression, at)?,
        })
    }

    /// Expressions whose values are nowhere in the object.
    fn value<'v>(&self, expression: &Expression, at: Place<'v>) -> Found<'v> {
        let truth = |truth: bool| vec![Place::made(Value::Bool(truth))];
        Ok(match expression {
            Expression::Or(one, other) => truth(self.holds(one, at.clone())? || self.holds(other, at)?),
            Expression::And(one, other) => truth(self.holds(one, at.clone())? && self.holds(other, at)?),
            Expression::Compare(one, operator, other) => {
                let mut found = Vec::new();
                for right in self.eval(other, at.clone())? {
                    for left in self.eval(one, at.clone())? {
                        self.step(1)?;
                        found.extend(truth(compared(&left.value, *operator, &right.value)));
                    }
                }
                found
            }
            Expression::Plus(one, other) => {
                let mut found = Vec::new();
                for right in self.eval(other, at.clone())? {
                    for left in self.eval(one, at.clone())? {
                        found.push(Place::made(self.sum(&left.value, &right.value)?));
                    }
                }
                found
            }
            Expression::Map(of) => {
                let mut made = Vec::new();
                for item in self.entries(at)? {
                    made.extend(self.eval(of, item)?);
                }
                vec![Place::made(self.list(made)?)]
            }
            Expression::Any(of) | Expression::Every(of) => {
                let every = matches!(expression, Expression::Every(_));
                let mut answer = every;
                for item in self.entries(at)? {
                    answer = if every { answer && self.holds(of, item)? } else { answer || self.holds(of, item)? };
                }
                truth(answer)
            }
            Expression::Match(pattern) => {
                let text = at.value.as_str().ok_or(Failure::Error)?;
                self.step(text.len() / 16)?;
                truth(pattern.is_match(text))
            }
            Expression::Call(function, argument) => self.call(*function, argument.as_deref(), at)?,
            _ => return Err(Failure::Error),
        })
    }

    fn holds(&self, expression: &Expression, at: Place<'_>) -> Result<bool, Failure> {
        Ok(self.eval(expression, at)?.first().is_some_and(|place| holds(&place.value)))
    }

    fn branch<'v>(&self, cases: &[(Expression, Expression)], other: Option<&Expression>, at: Place<'v>) -> Found<'v> {
        for (when, then) in cases {
            if self.holds(when, at.clone())? {
                return self.eval(then, at);
            }
        }
        other.map_or_else(|| Ok(vec![at.clone()]), |other| self.eval(other, at.clone()))
    }

    /// A value and all that is in it.
    fn all<'v>(&self, at: Place<'v>) -> Found<'v> {
        let mut found = Vec::new();
        let mut open = vec![at];
        while let Some(place) = open.pop() {
            if place.value.is_object() || place.value.is_array() {
                let mut inner = self.entries(place.clone())?;
                inner.reverse();
                open.extend(inner);
            }
            found.push(place);
        }
        Ok(found)
    }

    /// The entries of a list or an object.
    fn entries<'v>(&self, at: Place<'v>) -> Found<'v> {
        let step = |step: Step| {
            at.path.clone().map(|mut path| {
                path.push(step);
                path
            })
        };
        match &at.value {
            Cow::Borrowed(Value::Array(items)) => {
                self.step(items.len())?;
                let place = |(index, value)| Place { path: step(Step::Index(index)), value: Cow::Borrowed(value) };
                Ok(items.iter().enumerate().map(place).collect())
            }
            Cow::Borrowed(Value::Object(fields)) => {
                self.step(fields.len())?;
                let place = |(name, value): (&String, &'v Value)| Place {
                    path: step(Step::Field(name.clone())),
                    value: Cow::Borrowed(value),
                };
                Ok(fields.iter().map(place).collect())
            }
            Cow::Owned(Value::Array(items)) => {
                self.step(items.len())?;
                Ok(items.iter().cloned().map(Place::made).collect())
            }
            Cow::Owned(Value::Object(fields)) => {
                self.step(fields.len())?;
                Ok(fields.values().cloned().map(Place::made).collect())
            }
            _ => Err(Failure::Error),
        }
    }

    fn into<'v>(&self, base: &Expression, parts: &[Into], at: Place<'v>) -> Found<'v> {
        let mut found = self.eval(base, at.clone())?;
        for part in parts {
            let mut next = Vec::new();
            for place in found {
                match self.part(part, place, &at) {
                    Ok(inner) => next.extend(inner),
                    Err(Failure::Error) if part.optional => {}
                    Err(failure) => return Err(failure),
                }
            }
            found = next;
        }
        Ok(found)
    }

    fn part<'v>(&self, part: &Into, place: Place<'v>, root: &Place<'v>) -> Found<'v> {
        let Some(index) = &part.index else { return self.entries(place) };
        let mut found = Vec::new();
        for index in self.eval(index, root.clone())? {
            self.step(1)?;
            let step = step_of(&index.value, &place.value).ok_or(Failure::Error)?;
            let value = match &place.value {
                Cow::Borrowed(value) => Cow::Borrowed(inner(value, &step).unwrap_or(&Value::Null)),
                Cow::Owned(value) => Cow::Owned(inner(value, &step).cloned().unwrap_or(Value::Null)),
            };
            let path = place.path.clone().map(|mut path| {
                path.push(step);
                path
            });
            found.push(Place { path, value });
        }
        Ok(found)
    }

    /// What was found, as one list; its size counts.
    fn list(&self, found: Vec<Place<'_>>) -> Result<Value, Failure> {
        let mut made = Vec::with_capacity(found.len());
        for place in found {
            self.step(weight(&place.value))?;
            made.push(place.value.into_owned());
        }
        Ok(Value::Array(made))
    }

    fn sum(&self, one: &Value, other: &Value) -> Result<Value, Failure> {
        match (one, other) {
            (Value::String(one), Value::String(other)) => {
                self.step(one.len() + other.len())?;
                Ok(Value::from(format!("{one}{other}")))
            }
            (Value::Number(one), Value::Number(other)) => {
                let sum = one.as_f64().zip(other.as_f64()).map(|(one, other)| one + other);
                Ok(sum.map_or(Value::Null, Value::from))
            }
            (Value::Null, other) | (other, Value::Null) => Ok(other.clone()),
            _ => Err(Failure::Error),
        }
    }

    fn call<'v>(&self, function: Function, argument: Option<&Expression>, at: Place<'v>) -> Found<'v> {
        let argument = argument.map(|argument| self.eval(argument, at.clone())).transpose()?;
        let Some(arguments) = argument else {
            if function == Function::Empty {
                return Ok(Vec::new());
            }
            self.step(weight(&at.value))?;
            return Ok(vec![Place::made(plain(function, &at.value).ok_or(Failure::Error)?)]);
        };
        let mut found = Vec::new();
        for argument in arguments {
            self.step(weight(&at.value) + weight(&argument.value))?;
            let answer = asked(function, &at.value, &argument.value).ok_or(Failure::Error)?;
            found.push(Place::made(Value::Bool(answer)));
        }
        Ok(found)
    }
}

/// How much there is in a value.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len() / 16,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(weight).sum::<usize>(),
    }
}

fn step_of(index: &Value, value: &Value) -> Option<Step> {
    match (index, value) {
        (Value::String(name), Value::Object(_) | Value::Null) => Some(Step::Field(name.clone())),
        (Value::Number(number), Value::Array(items)) => {
            let number = number.as_i64()?;
            let from_end = i64::try_from(items.len()).ok()?.checked_add(number)?;
            usize::try_from(if number < 0 { from_end } else { number }).ok().map(Step::Index)
        }
        _ => None,
    }
}

fn inner<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
        Step::Key(_) | Step::Item(_) => None,
    }
}

fn compared(one: &Value, operator: Cmp, other: &Value) -> bool {
    let order = match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64().partial_cmp(&other.as_f64()),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    };
    let equal = order.map_or_else(|| one == other, std::cmp::Ordering::is_eq);
    match operator {
        Cmp::Eq => equal,
        Cmp::Ne => !equal,
        Cmp::Lt => order.is_some_and(std::cmp::Ordering::is_lt),
        Cmp::Le => order.is_some_and(std::cmp::Ordering::is_le),
        Cmp::Gt => order.is_some_and(std::cmp::Ordering::is_gt),
        Cmp::Ge => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn plain(function: Function, value: &Value) -> Option<Value> {
    Some(match (function, value) {
        (Function::Not, value) => Value::Bool(!holds(value)),
        (Function::Length, Value::Null) => Value::from(0),
        (Function::Length, Value::String(text)) => Value::from(text.chars().count()),
        (Function::Length, Value::Array(items)) => Value::from(items.len()),
        (Function::Length, Value::Object(fields)) => Value::from(fields.len()),
        (Function::Type, value) => Value::from(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }),
        (Function::ToText, Value::String(text)) => Value::from(text.clone()),
        (Function::ToText, value) => Value::from(value.to_string()),
        (Function::Keys, Value::Object(fields)) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            names.into_iter().cloned().collect()
        }
        (Function::Lower, Value::String(text)) => Value::from(text.to_ascii_lowercase()),
        (Function::Upper, Value::String(text)) => Value::from(text.to_ascii_uppercase()),
        _ => return None,
    })
}

fn asked(function: Function, value: &Value, argument: &Value) -> Option<bool> {
    Some(match (function, value, argument) {
        (Function::StartsWith, Value::String(text), Value::String(part)) => text.starts_with(part.as_str()),
        (Function::EndsWith, Value::String(text), Value::String(part)) => text.ends_with(part.as_str()),
        (Function::Contains, value, part) => contains(value, part)?,
        (Function::Has, Value::Object(fields), Value::String(name)) => fields.contains_key(name),
        (Function::Has, Value::Array(items), Value::Number(index)) => {
            index.as_u64().is_some_and(|index| index < items.len() as u64)
        }
        _ => return None,
    })
}

fn contains(value: &Value, part: &Value) -> Option<bool> {
    Some(match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(items), Value::Array(parts)) => {
            parts.iter().all(|part| items.iter().any(|item| contains(item, part) == Some(true)))
        }
        (Value::Object(fields), Value::Object(parts)) => {
            parts.iter().all(|(name, part)| fields.get(name).is_some_and(|field| contains(field, part) == Some(true)))
        }
        (Value::String(_) | Value::Array(_) | Value::Object(_), _) => return None,
        (one, other) => one == other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(source: &str) -> Result<String, String> {
        let value = json!({"spec": {"replicas": 3, "items": [{"name": "a", "on": true}, {"name": "b"}, {"name": "ab"}],
            "hooks": [{"clientConfig": {"caBundle": "x"}}, {"clientConfig": {}}]}, "data": {"a.b": 1, "c": "text"}});
        let found = Filter::parse(source)?.paths(&value);
        Ok(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    fn check(source: &str, expected: &str) {
        assert_eq!(paths(source), Ok(expected.to_owned()), "{source}");
    }

    #[test]
    fn expressions_name_paths() {
        check(".spec.replicas", "spec.replicas");
        check(".spec.items[].name", "spec.items[0].name spec.items[1].name spec.items[2].name");
        check(".spec.items[0,-1].name", "spec.items[0].name spec.items[2].name");
        check(".spec.items[] | select(.name == \"b\")", "spec.items[1]");
        check(".spec.items[] | select(.name | startswith(\"a\")).name", "spec.items[0].name spec.items[2].name");
        check(".spec.items[] | select(.name | test(\"^A\"; \"i\"))", "spec.items[0] spec.items[2]");
        check(".spec.items[] | select(.name == \"a\" and .on) | .on", "spec.items[0].on");
        check(".spec.items[] | select(has(\"on\") | not) | .name", "spec.items[1].name spec.items[2].name");
        check(
            ".spec.hooks[]?.clientConfig.caBundle",
            "spec.hooks[0].clientConfig.caBundle spec.hooks[1].clientConfig.caBundle",
        );
        check(".data[\"a.b\"]", "data[\"a.b\"]");
        check(".data.\"a.b\", .spec.replicas", "data[\"a.b\"] spec.replicas");
        check(".. | select(type == \"number\")", "spec.replicas data[\"a.b\"]");
        check(".nothing[]?", "");
        check(".nothing[]", "");
        check(".data | .[] | select(. == \"text\")", "data.c");
        check("if .spec.replicas > 2 then .spec.replicas else empty end", "spec.replicas");
        check("first(.spec.items[]).name", "spec.items[0].name");
    }

    #[test]
    fn what_is_no_path_is_an_error() {
        for source in [
            ".a |",
            "",
            "def f: f; f",
            "reduce .[] as $x (0; . + $x)",
            "$x",
            ".a = 1",
            "{a: 1}",
            "input",
            "@base64 \"x\"",
            "range(10)",
            "repeat(.)",
            "env",
            ".[1:2]",
            "test(.a)",
            "test(\"[\")",
        ] {
            assert!(paths(source).is_err(), "{source}: {:?}", paths(source));
        }
        assert!(paths(&"(".repeat(4_000)).is_err());
        assert!(paths(&"-".repeat(4_000)).is_err());
        assert!(paths(&format!("{}.a{}", "[".repeat(500), "]".repeat(500))).is_err());
        assert!(paths(&".a".repeat(5_000)).is_err());
    }

    #[test]
    fn work_is_bounded() {
        let value = json!({"a": vec![1; 2_000]});
        for source in ["[.. | ..] | [.[] | .. | ..]", ".. as $x | 1", ".a | map(.) | map([.]) | map(map(.))"] {
            if let Ok(filter) = Filter::parse(source) {
                assert!(filter.paths(&value).is_empty(), "{source}");
            }
        }
        let wide = Filter::parse(&format!(".a[]{}", " | (., .)".repeat(40))).unwrap();
        assert!(wide.paths(&value).is_empty());
    }
}
