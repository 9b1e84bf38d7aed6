//! Evaluates a targeting rule for one user. Pure, and bounded: whatever a client sends, an evaluation ends after
//! [`STEPS_MAX`] steps, where a step is an operation or a byte that is made.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::fractional;
use super::rule::{Each, Operation, Rule};
use super::value::{from_number, is_at_most, is_less, is_true, loosely_equal, number, strictly_equal, text};
use super::version;

/// How much work an evaluation may be; a rule of a dozen conditions takes about a hundred steps.
const STEPS_MAX: usize = 100_000;

/// The evaluation was more work than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

type Evaluated<'a> = Result<Cow<'a, Value>, TooMuch>;

/// What `var` looks into.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    /// The context and what flagd adds to it as `$flagd`.
    Whole { context: &'a Map<String, Value>, flagd: &'a Value },
    /// An item of a list.
    Item(&'a Value),
    /// An item of a list, and what came of those before.
    Step { current: &'a Value, accumulator: &'a Value },
}

/// One evaluation.
struct Evaluation<'a> {
    context: &'a Map<String, Value>,
    flag: &'a str,
    left: usize,
}

/// The rule's value for a context; `flagd` is what `{"var": "$flagd"}` gives.
pub(super) fn evaluate<'a>(
    rule: &'a Rule,
    flag: &'a str,
    context: &'a Map<String, Value>,
    flagd: &'a Value,
) -> Evaluated<'a> {
    Evaluation { context, flag, left: STEPS_MAX }.value(rule, Scope::Whole { context, flagd })
}

impl Evaluation<'_> {
    fn spend(&mut self, steps: usize) -> Result<(), TooMuch> {
        self.left = self.left.checked_sub(steps).ok_or(TooMuch)?;
        Ok(())
    }

    fn value<'s>(&mut self, rule: &'s Rule, scope: Scope<'s>) -> Evaluated<'s> {
        self.spend(1)?;
        match rule {
            Rule::Constant(value) => Ok(Cow::Borrowed(value)),
            Rule::List(rules) => Ok(Cow::Owned(Value::Array(self.owned(rules, scope)?))),
            Rule::Var(rules) => self.var(rules, scope),
            Rule::If(rules) => self.choose(rules, scope),
            Rule::And(rules) => self.first(rules, scope, false),
            Rule::Or(rules) => self.first(rules, scope, true),
            Rule::Each(each, pair) => self.each(*each, pair, scope),
            Rule::Reduce(parts) => self.reduce(parts, scope),
            Rule::Fractional(rules) => {
                let values = self.owned(rules, scope)?;
                Ok(Cow::Owned(fractional::choose(&values, self.flag, self.context)))
            }
            Rule::Call(operation, rules) => self.call(*operation, rules, scope),
        }
    }

    fn values<'s>(&mut self, rules: &'s [Rule], scope: Scope<'s>) -> Result<Vec<Cow<'s, Value>>, TooMuch> {
        rules.iter().map(|rule| self.value(rule, scope)).collect()
    }

    fn owned(&mut self, rules: &[Rule], scope: Scope<'_>) -> Result<Vec<Value>, TooMuch> {
        let mut values = Vec::new();
        for rule in rules {
            let value = self.value(rule, scope)?;
            values.push(self.take(value)?);
        }
        Ok(values)
    }

    /// An owned value; copying is work.
    fn take(&mut self, value: Cow<'_, Value>) -> Result<Value, TooMuch> {
        if let Cow::Borrowed(value) = value {
            self.spend(size(value))?;
        }
        Ok(value.into_owned())
    }

    /// `[path, otherwise]`: without a path, or with an empty one, all there is.
    fn var<'s>(&mut self, rules: &'s [Rule], scope: Scope<'s>) -> Evaluated<'s> {
        let path = match rules.first() {
            Some(rule) => self.value(rule, scope)?,
            None => Cow::Owned(Value::Null),
        };
        if let Some(found) = lookup(&text(&path), scope).filter(|found| !found.is_null()) {
            return Ok(found);
        }
        match rules.get(1) {
            Some(otherwise) => self.value(otherwise, scope),
            None => Ok(Cow::Owned(Value::Null)),
        }
    }

    fn choose<'s>(&mut self, rules: &'s [Rule], scope: Scope<'s>) -> Evaluated<'s> {
        for pair in rules.chunks(2) {
            match pair {
                [condition, value] if is_true(&*self.value(condition, scope)?) => return self.value(value, scope),
                [otherwise] => return self.value(otherwise, scope),
                _ => {}
            }
        }
        Ok(Cow::Owned(Value::Null))
    }

    /// The first value of that truth, or the last one.
    fn first<'s>(&mut self, rules: &'s [Rule], scope: Scope<'s>, truth: bool) -> Evaluated<'s> {
        let mut last = Cow::Owned(Value::Null);
        for rule in rules {
            last = self.value(rule, scope)?;
            if is_true(&last) == truth {
                break;
            }
        }
        Ok(last)
    }

    fn each<'s>(&mut self, each: Each, pair: &'s [Rule; 2], scope: Scope<'s>) -> Evaluated<'s> {
        let [list, rule] = pair;
        let list = self.value(list, scope)?;
        let items = list.as_array().map_or(&[][..], Vec::as_slice);
        let mut made = Vec::new();
        let mut hits = 0_usize;
        for item in items {
            let value = self.value(rule, Scope::Item(item))?;
            match each {
                Each::Map => made.push(self.take(value)?),
                Each::Filter if is_true(&value) => made.push(self.take(Cow::Borrowed(item))?),
                Each::Filter => {}
                Each::All | Each::Some | Each::None => hits += usize::from(is_true(&value)),
            }
        }
        Ok(Cow::Owned(match each {
            Each::Map | Each::Filter => Value::Array(made),
            // No list at all is never all of something (jsonlogic.com, "all, none and some").
            Each::All => Value::Bool(!items.is_empty() && hits == items.len()),
            Each::Some => Value::Bool(hits > 0),
            Each::None => Value::Bool(hits == 0),
        }))
    }

    fn reduce<'s>(&mut self, parts: &'s [Rule; 3], scope: Scope<'s>) -> Evaluated<'s> {
        let [list, rule, start] = parts;
        let list = self.value(list, scope)?;
        let start = self.value(start, scope)?;
        let mut accumulator = self.take(start)?;
        for current in list.as_array().map_or(&[][..], Vec::as_slice) {
            let value = self.value(rule, Scope::Step { current, accumulator: &accumulator })?;
            accumulator = self.take(value)?;
        }
        Ok(Cow::Owned(accumulator))
    }

    fn call<'s>(&mut self, operation: Operation, rules: &'s [Rule], scope: Scope<'s>) -> Evaluated<'s> {
        let values = self.values(rules, scope)?;
        self.spend(values.iter().map(|value| shallow_size(value)).sum())?;
        if matches!(operation, Operation::Cat | Operation::Merge | Operation::Substr | Operation::Missing) {
            // These copy what they are given.
            self.spend(values.iter().map(|value| size(value)).sum())?;
        }
        Ok(Cow::Owned(apply(operation, &values, scope)))
    }
}

/// What an operation gives for its operands' values. Operands that are missing are nothing.
fn apply(operation: Operation, values: &[Cow<'_, Value>], scope: Scope<'_>) -> Value {
    let at = |index: usize| values.get(index).map_or(&Value::Null, |value| &**value);
    let numbers = || values.iter().map(|value| number(value));
    let between = |holds: fn(&Value, &Value) -> bool| {
        let third = values.get(2);
        Value::Bool(holds(at(0), at(1)) && third.is_none_or(|third| holds(at(1), third)))
    };
    match operation {
        Operation::Equal => Value::Bool(loosely_equal(at(0), at(1))),
        Operation::StrictlyEqual => Value::Bool(strictly_equal(at(0), at(1))),
        Operation::NotEqual => Value::Bool(!loosely_equal(at(0), at(1))),
        Operation::StrictlyNotEqual => Value::Bool(!strictly_equal(at(0), at(1))),
        Operation::Not => Value::Bool(!is_true(at(0))),
        Operation::Truth => Value::Bool(is_true(at(0))),
        Operation::Less => between(is_less),
        Operation::AtMost => between(is_at_most),
        Operation::Greater => between(|one, other| is_less(other, one)),
        Operation::AtLeast => between(|one, other| is_at_most(other, one)),
        Operation::Max => from_number(numbers().fold(f64::NEG_INFINITY, f64::max)),
        Operation::Min => from_number(numbers().fold(f64::INFINITY, f64::min)),
        Operation::Add => from_number(numbers().sum()),
        Operation::Subtract if values.len() == 1 => from_number(-number(at(0))),
        Operation::Subtract => from_number(number(at(0)) - number(at(1))),
        Operation::Multiply => from_number(numbers().product()),
        Operation::Divide => from_number(number(at(0)) / number(at(1))),
        Operation::Remainder => from_number(number(at(0)) % number(at(1))),
        Operation::Cat => Value::String(values.iter().map(|value| text(value)).collect()),
        Operation::Substr => Value::String(substr(&text(at(0)), number(at(1)), values.get(2).map(|end| number(end)))),
        Operation::In => Value::Bool(is_in(at(0), at(1))),
        Operation::Merge => values.iter().flat_map(|value| listed(value).to_vec()).collect(),
        Operation::Missing => {
            let names = match values {
                [only] if only.is_array() => listed(only).to_vec(),
                _ => values.iter().map(|value| value.clone().into_owned()).collect(),
            };
            Value::Array(missing(names, scope))
        }
        Operation::MissingSome => {
            let names = listed(at(1)).to_vec();
            let total = names.len();
            let missing = missing(names, scope);
            let there = total.saturating_sub(missing.len());
            #[expect(clippy::cast_precision_loss, reason = "a count of names in a rule")]
            let enough = there as f64 >= number(at(0));
            Value::Array(if enough { Vec::new() } else { missing })
        }
        Operation::StartsWith => affix(at(0), at(1), |text, part| text.starts_with(part)),
        Operation::EndsWith => affix(at(0), at(1), |text, part| text.ends_with(part)),
        Operation::SemVer => version::compare(at(0), at(1), at(2)).map_or(Value::Null, Value::Bool),
    }
}

/// flagd's string comparison: nothing unless both are texts.
fn affix(text: &Value, part: &Value, holds: fn(&str, &str) -> bool) -> Value {
    match (text, part) {
        (Value::String(text), Value::String(part)) => Value::Bool(holds(text, part)),
        _ => Value::Null,
    }
}

fn is_in(part: &Value, whole: &Value) -> bool {
    match whole {
        Value::String(whole) => part.as_str().is_some_and(|part| whole.contains(part)),
        Value::Array(items) => items.iter().any(|item| strictly_equal(item, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// A list's items; anything else is a list of one.
fn listed(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice)
}

fn missing(names: Vec<Value>, scope: Scope<'_>) -> Vec<Value> {
    let lacks = |name: &Value| match lookup(&text(name), scope) {
        Some(found) => found.is_null() || found.as_str() == Some(""),
        None => true,
    };
    names.into_iter().filter(lacks).collect()
}

/// Characters from `start`, counted from the end where it is negative; `length` of them, or all but the last `-length`.
fn substr(text: &str, start: f64, length: Option<f64>) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, which is what is wanted")]
    let whole = |number: f64| number as i64;
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let start = whole(start);
    let from = if start < 0 { count.saturating_add(start).max(0) } else { start.min(count) };
    let to = match length.map(whole) {
        None => count,
        Some(length) if length < 0 => count.saturating_add(length),
        Some(length) => from.saturating_add(length).min(count),
    };
    let taken = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
    text.chars().skip(usize::try_from(from).unwrap_or(0)).take(taken).collect()
}

/// What a path such as `user.roles.0` leads to.
fn lookup<'s>(path: &str, scope: Scope<'s>) -> Option<Cow<'s, Value>> {
    let mut parts = path.split('.');
    let start = match scope {
        Scope::Item(item) if path.is_empty() => return Some(Cow::Borrowed(item)),
        Scope::Item(item) => step(item, parts.next()?)?,
        Scope::Step { current, accumulator } => match parts.next()? {
            "current" => current,
            "accumulator" => accumulator,
            _ => return None,
        },
        Scope::Whole { flagd, context } => match parts.next()? {
            // All of the context is nothing that a variant could be chosen by.
            "" => return None,
            "$flagd" => flagd,
            name => context.get(name)?,
        },
    };
    parts.try_fold(start, step).map(Cow::Borrowed)
}

fn step<'s>(value: &'s Value, name: &str) -> Option<&'s Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// How much work it is to compare a value: its length.
fn shallow_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len() / 16,
        Value::Array(items) => 1 + items.len(),
        Value::Object(fields) => 1 + fields.len(),
    }
}

/// How much work it is to copy a value. The depth is bounded by the reader of the context.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.iter().map(|(name, value)| 1 + name.len() + size(value)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests;
