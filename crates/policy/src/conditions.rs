//! Conditions of preconditions and of `deny`: a key, an operator and a value, in `any` and `all`.
//!
//! Source: Kyverno's documentation, "Preconditions", "Operators". Comparisons go from key to value; texts are tried as
//! durations, quantities, numbers and versions, in this order; members of lists fit by wildcards in both directions.

use std::borrow::Cow;
use std::cmp::Ordering;

use semver::Version;
use serde_json::Value;

use crate::jmespath::{Error, Scope, equal, float, go_string};
use crate::leaf::{self, Leaf, Operator as LeafOperator};
use crate::quantity::Quantity;
use crate::template::Template;
use crate::{duration, wildcard};

/// Operators of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    NotEquals,
    In,
    NotIn,
    AnyIn,
    AllIn,
    AnyNotIn,
    AllNotIn,
    Numeric(Order),
    Duration(Order),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Names of operators.
const OPERATORS: [(&str, Operator); 18] = [
    ("Equals", Operator::Equals),
    ("Equal", Operator::Equals),
    ("NotEquals", Operator::NotEquals),
    ("NotEqual", Operator::NotEquals),
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("AnyIn", Operator::AnyIn),
    ("AllIn", Operator::AllIn),
    ("AnyNotIn", Operator::AnyNotIn),
    ("AllNotIn", Operator::AllNotIn),
    ("GreaterThan", Operator::Numeric(Order::Greater)),
    ("GreaterThanOrEquals", Operator::Numeric(Order::GreaterOrEqual)),
    ("LessThan", Operator::Numeric(Order::Less)),
    ("LessThanOrEquals", Operator::Numeric(Order::LessOrEqual)),
    ("DurationGreaterThan", Operator::Duration(Order::Greater)),
    ("DurationGreaterThanOrEquals", Operator::Duration(Order::GreaterOrEqual)),
    ("DurationLessThan", Operator::Duration(Order::Less)),
    ("DurationLessThanOrEquals", Operator::Duration(Order::LessOrEqual)),
];

/// One condition.
#[derive(Debug, Clone)]
struct Condition {
    key: Template,
    operator: Operator,
    value: Template,
    message: String,
    /// How it is written, cut where it is long.
    written: Box<str>,
}

/// One block of `any` and `all`.
#[derive(Debug, Clone, Default)]
struct Block {
    any: Option<Vec<Condition>>,
    all: Vec<Condition>,
}

/// Conditions that have to hold together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    blocks: Vec<Block>,
}

/// What came of conditions, and the messages of those that decided.
pub(crate) struct Outcome {
    pub(crate) holds: bool,
    pub(crate) message: String,
    /// What does not hold, where something does not.
    pub(crate) unmet: Option<Unmet>,
}

/// Conditions that do not hold: one of `all`, or each of `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unmet {
    block: usize,
    /// Which of `all`.
    one: Option<usize>,
}

impl Conditions {
    /// Compiles `{any, all}`, a list of such, or a plain list of conditions.
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let blocks = match value {
            Value::Null => Vec::new(),
            Value::Object(_) => vec![block(value)?],
            Value::Array(items) if items.iter().any(|item| item.get("any").is_some() || item.get("all").is_some()) => {
                items.iter().map(block).collect::<Result<_, _>>()?
            }
            Value::Array(items) => {
                let all = items.iter().map(condition).collect::<Result<_, _>>()?;
                vec![Block { any: None, all }]
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err("conditions are a list, or `any` and `all`".to_owned());
            }
        };
        Ok(Self { blocks })
    }

    /// Whether they hold. Without conditions they do.
    pub(crate) fn evaluate(&self, scope: &dyn Scope, delete: bool) -> Result<Outcome, Error> {
        let mut messages = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            let outcome = block.evaluate(at, scope, delete)?;
            if !outcome.holds {
                return Ok(outcome);
            }
            messages.push(outcome.message);
        }
        Ok(Outcome { holds: true, message: joined(&messages), unmet: None })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Which conditions do not hold, as they are written.
    pub(crate) fn told(&self, unmet: Unmet) -> String {
        let block = self.blocks.get(unmet.block);
        if let Some(at) = unmet.one {
            let one = block.and_then(|block| block.all.get(at));
            return format!("condition {at} of all, {},", one.map_or("", |condition| &condition.written));
        }
        let any: Vec<&str> =
            block.and_then(|block| block.any.as_ref()).into_iter().flatten().map(|one| &*one.written).collect();
        format!("any of {}", if any.is_empty() { "no conditions".to_owned() } else { any.join(", ") })
    }
}

fn joined(messages: &[String]) -> String {
    messages.iter().filter(|message| !message.is_empty()).cloned().collect::<Vec<_>>().join("; ")
}

fn block(value: &Value) -> Result<Block, String> {
    let Value::Object(entries) = value else { return Err("a block of conditions has `any` or `all`".to_owned()) };
    let mut made = Block::default();
    for (name, list) in entries {
        let Value::Array(items) = list else {
            if list.is_null() {
                continue;
            }
            return Err(format!("`{name}` takes a list of conditions"));
        };
        let conditions: Vec<Condition> = items.iter().map(condition).collect::<Result<_, _>>()?;
        match name.as_str() {
            "any" => made.any = Some(conditions),
            "all" => made.all = conditions,
            other => return Err(format!("unknown field `{other}` beside `any` and `all`")),
        }
    }
    Ok(made)
}

fn condition(value: &Value) -> Result<Condition, String> {
    let Value::Object(entries) = value else { return Err("a condition has `key`, `operator` and `value`".to_owned()) };
    if let Some(unknown) =
        entries.keys().find(|name| !matches!(name.as_str(), "key" | "operator" | "value" | "message"))
    {
        return Err(format!("unknown field `{unknown}` of a condition"));
    }
    let name = entries.get("operator").and_then(Value::as_str).unwrap_or_default();
    let operator = OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator);
    let null = Value::Null;
    let shown =
        |name: &str| crate::pattern::shown(entries.get(name).unwrap_or(&null)).chars().take(100).collect::<String>();
    Ok(Condition {
        written: format!("`{} {name} {}`", shown("key"), shown("value")).into(),
        key: Template::compile(entries.get("key").unwrap_or(&null))?,
        operator: operator.ok_or_else(|| format!("unknown operator `{name}` of a condition"))?,
        value: Template::compile(entries.get("value").unwrap_or(&null))?,
        message: entries.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

impl Block {
    fn evaluate(&self, at: usize, scope: &dyn Scope, delete: bool) -> Result<Outcome, Error> {
        let (mut held, mut failed) = (Vec::new(), Vec::new());
        let mut any_holds = self.any.is_none();
        for condition in self.any.iter().flatten() {
            if condition.holds(scope, delete)? {
                any_holds = true;
                held.push(condition.message.clone());
                break;
            }
            failed.push(condition.message.clone());
        }
        let mut unmet = (!any_holds).then_some(Unmet { block: at, one: None });
        for (index, condition) in self.all.iter().enumerate() {
            if !condition.holds(scope, delete)? {
                unmet = unmet.or(Some(Unmet { block: at, one: Some(index) }));
                failed.push(condition.message.clone());
                break;
            }
            held.push(condition.message.clone());
        }
        let holds = unmet.is_none();
        Ok(Outcome { holds, message: joined(if holds { &held } else { &failed }), unmet })
    }
}

impl Condition {
    fn holds(&self, scope: &dyn Scope, delete: bool) -> Result<bool, Error> {
        let key = self.key.render(scope, delete)?;
        let value = self.value.render(scope, delete)?;
        Ok(match self.operator {
            Operator::Equals => equals(&key, &value),
            Operator::NotEquals => not_equals(&key, &value),
            Operator::In => in_set(&key, &value).unwrap_or(false),
            Operator::NotIn => not_in_set(&key, &value).unwrap_or(false),
            Operator::AnyIn => member(&key, &value, Quantifier::Any),
            Operator::AllIn => member(&key, &value, Quantifier::All),
            Operator::AnyNotIn => member(&key, &value, Quantifier::NotAny),
            Operator::AllNotIn => member(&key, &value, Quantifier::None),
            Operator::Numeric(order) => compare(&key, &value).is_some_and(|found| order.fits(found)),
            Operator::Duration(order) => compare_durations(&key, &value).is_some_and(|found| order.fits(found)),
        })
    }
}

impl Order {
    fn fits(self, found: Ordering) -> bool {
        match self {
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
        }
    }
}

/// Nanoseconds of key and value, if one of them is a duration and the other is one or a number of seconds. `0` alone
/// makes no duration.
fn durations(key: &Value, value: &Value) -> Option<(i64, i64)> {
    let as_duration = |value: &Value| value.as_str().filter(|text| *text != "0").and_then(duration::parse);
    let seconds = |value: &Value| value.as_f64().and_then(|seconds| nano(seconds * 1e9));
    match (as_duration(key), as_duration(value)) {
        (Some(key), Some(value)) => Some((key, value)),
        (Some(key), None) => seconds(value).map(|value| (key, value)),
        (None, Some(value)) => seconds(key).map(|key| (key, value)),
        (None, None) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "Rust's casts of floats saturate")]
fn nano(value: f64) -> Option<i64> {
    value.is_finite().then_some(value as i64)
}

#[expect(clippy::float_cmp, reason = "numbers are compared as they are written")]
fn equals(key: &Value, value: &Value) -> bool {
    match (key, value) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => float(a) == float(b),
        (Value::String(key_text), _) => {
            if let Some((a, b)) = durations(key, value) {
                return a == b;
            }
            let Value::String(text) = value else { return false };
            if let Some(a) = Quantity::parse(key_text) {
                return Quantity::parse(text).is_some_and(|b| a.nano == b.nano);
            }
            wildcard::matches(text, key_text)
        }
        (Value::Number(a), Value::String(text)) => {
            durations(key, value).map_or_else(|| text.parse::<f64>().is_ok_and(|b| float(a) == b), |(a, b)| a == b)
        }
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => equal(key, value),
        _ => false,
    }
}

/// Not the opposite of [`equals`] where types do not fit: a key that is nothing is never unequal.
fn not_equals(key: &Value, value: &Value) -> bool {
    match (key, value) {
        (Value::Null, _) => false,
        (Value::String(key_text), Value::String(text)) => {
            if durations(key, value).is_none() && Quantity::parse(key_text).is_some() && Quantity::parse(text).is_none()
            {
                return true;
            }
            !equals(key, value)
        }
        _ => !equals(key, value),
    }
}

/// A key as one text or a list of texts.
fn key_texts(key: &Value) -> Option<(Vec<Cow<'_, str>>, bool)> {
    match key {
        Value::String(text) => Some((vec![Cow::Borrowed(text.as_str())], false)),
        Value::Number(_) | Value::Bool(_) => Some((vec![Cow::Owned(go_string(key))], false)),
        Value::Array(items) => Some((items.iter().map(printed).collect(), true)),
        Value::Null | Value::Object(_) => None,
    }
}

/// As Go prints a value.
fn printed(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed("<nil>"),
        Value::Array(items) => Cow::Owned(format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" "))),
        Value::Object(entries) => {
            let mut parts: Vec<String> = entries.iter().map(|(k, v)| format!("{k}:{}", printed(v))).collect();
            parts.sort();
            Cow::Owned(format!("map[{}]", parts.join(" ")))
        }
        Value::Bool(_) | Value::Number(_) => Cow::Owned(go_string(value)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Any,
    All,
    NotAny,
    None,
}

fn fits(key: &str, value: &str) -> bool {
    wildcard::matches(key, value) || wildcard::matches(value, key)
}

impl Quantifier {
    fn of(self, keys: &[Cow<'_, str>], found: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Any => keys.iter().any(|key| found(key)),
            Self::All => keys.iter().all(|key| found(key)),
            Self::NotAny => keys.iter().any(|key| !found(key)),
            Self::None => !keys.iter().any(|key| found(key)),
        }
    }

    /// The same for one key that is no list.
    fn negated(self) -> bool {
        matches!(self, Self::NotAny | Self::None)
    }
}

fn member(key: &Value, value: &Value, quantifier: Quantifier) -> bool {
    let Some((keys, is_list)) = key_texts(key) else { return false };
    match value {
        Value::Array(items) => {
            let values: Vec<Cow<'_, str>> = items.iter().map(printed).collect();
            quantifier.of(&keys, |key| values.iter().any(|value| fits(key, value)))
        }
        Value::String(text) => member_of_text(&keys, is_list, text, quantifier),
        Value::Number(_) | Value::Bool(_) if is_list && matches!(quantifier, Quantifier::Any | Quantifier::NotAny) => {
            let text = go_string(value);
            quantifier.of(&keys, |key| fits(key, &text))
        }
        Value::Null | Value::Number(_) | Value::Bool(_) | Value::Object(_) => false,
    }
}

fn member_of_text(keys: &[Cow<'_, str>], is_list: bool, text: &str, quantifier: Quantifier) -> bool {
    if let ([only], true) = (keys, is_list)
        && only == text
    {
        return !quantifier.negated();
    }
    if !is_list && keys.iter().any(|key| wildcard::matches(text, key)) {
        return !quantifier.negated();
    }
    if leaf::operator_of(text).0 == LeafOperator::InRange {
        let range = Leaf::text(text);
        return quantifier.of(keys, |key| range.matches(&Value::String(key.to_owned())));
    }
    let values = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            let Some(texts) = texts else { return false };
            texts
        }
        Ok(_) => return false,
        Err(_) => vec![text.to_owned()],
    };
    if is_list {
        quantifier.of(keys, |key| values.iter().any(|value| fits(key, value)))
    } else {
        quantifier.of(keys, |key| values.iter().any(|value| value == key))
    }
}

/// The texts of a list, or of a text that is a JSON list.
fn set(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(list @ Value::Array(_)) => set(&list),
            Ok(_) | Err(_) => None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// The old operator `In`: exact for lists, by wildcards for one key.
fn in_set(key: &Value, value: &Value) -> Option<bool> {
    let (keys, is_list) = key_texts(key)?;
    if !is_list {
        let key = keys.first()?;
        if let Value::Array(items) = value {
            return Some(items.iter().any(|item| fits(key, &printed(item))));
        }
        if value.as_str().is_some_and(|text| wildcard::matches(text, key)) {
            return Some(true);
        }
        return set(value).map(|values| values.iter().any(|value| value == key));
    }
    if let ([only], Value::String(text)) = (keys.as_slice(), value)
        && only == text
    {
        return Some(true);
    }
    let values = set(value)?;
    Some(keys.iter().all(|key| values.iter().any(|value| value == key)))
}

fn not_in_set(key: &Value, value: &Value) -> Option<bool> {
    in_set(key, value).map(|found| !found)
}

/// How key and value are ordered, as durations, quantities, numbers or versions.
fn compare(key: &Value, value: &Value) -> Option<Ordering> {
    if let Some((a, b)) = durations(key, value) {
        return Some(a.cmp(&b));
    }
    if let (Value::String(a), Value::String(b)) = (key, value)
        && let (Some(a), Some(b)) = (Quantity::parse(a), Quantity::parse(b))
    {
        return Some(a.nano.cmp(&b.nano));
    }
    let number = |value: &Value| match value {
        Value::Number(number) => Some(float(number)),
        Value::String(text) => text.parse::<f64>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    if let Some(key) = number(key) {
        return key.partial_cmp(&number(value)?);
    }
    let version = |value: &Value| Version::parse(value.as_str()?).ok();
    Some(version(key)?.cmp_precedence(&version(value)?))
}

fn compare_durations(key: &Value, value: &Value) -> Option<Ordering> {
    let read = |value: &Value| match value {
        Value::Number(number) => nano(float(number).trunc() * 1e9),
        Value::String(text) => duration::parse(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Some(read(key)?.cmp(&read(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Empty;
    impl Scope for Empty {
        fn lookup(&self, _: &str) -> Result<Option<&Value>, Error> {
            Ok(None)
        }
        fn whole(&self) -> Cow<'_, Value> {
            Cow::Owned(json!({}))
        }
    }

    fn check(key: Value, operator: &str, value: Value, want: bool) {
        let condition = json!([{"key": key, "operator": operator, "value": value}]);
        let outcome = Conditions::compile(&condition).unwrap().evaluate(&Empty, false).unwrap();
        assert_eq!(outcome.holds, want, "{condition}");
    }

    #[test]
    fn operators() {
        check(json!("a"), "Equals", json!("a"), true);
        check(json!("abc"), "Equals", json!("a*"), true);
        check(json!(1), "Equals", json!("1"), true);
        check(json!("1h"), "Equals", json!("60m"), true);
        check(json!("1Gi"), "Equals", json!("1024Mi"), true);
        check(json!(["a"]), "Equals", json!(["a"]), true);
        check(json!(null), "Equals", json!(null), false);
        check(json!("a"), "NotEquals", json!("b"), true);
        check(json!(true), "NotEquals", json!("true"), true);
        check(json!(["a", "b"]), "AnyIn", json!(["b", "c"]), true);
        check(json!(["a", "b"]), "AllIn", json!(["b", "c"]), false);
        check(json!(["a", "b"]), "AnyNotIn", json!(["b", "c"]), true);
        check(json!(["a", "b"]), "AllNotIn", json!(["c"]), true);
        check(json!([]), "AllIn", json!(["c"]), true);
        check(json!([]), "AnyIn", json!(["c"]), false);
        check(json!("kube-system"), "AnyIn", json!(["kube-*"]), true);
        check(json!("5"), "AnyIn", json!("1-10"), true);
        check(json!(["5", "11"]), "AllIn", json!("1-10"), false);
        check(json!("a"), "AllNotIn", json!(["b"]), true);
        check(json!("2h"), "GreaterThan", json!("90m"), true);
        check(json!("512Mi"), "LessThan", json!("1Gi"), true);
        check(json!("1.10.0"), "GreaterThan", json!("1.9.0"), true);
        check(json!(3), "GreaterThanOrEquals", json!("3"), true);
        check(json!("1h"), "DurationGreaterThan", json!(60), true);
        check(json!("x"), "GreaterThan", json!(1), false);
    }

    #[test]
    fn unknown_operators_and_fields_are_errors() {
        assert!(Conditions::compile(&json!([{"key": 1, "operator": "Like", "value": 1}])).is_err());
        assert!(Conditions::compile(&json!([{"key": 1, "operator": "Equals", "values": 1}])).is_err());
        assert!(Conditions::compile(&json!({"some": []})).is_err());
    }

    #[test]
    fn any_and_all_together() {
        let holds = |value: Value| Conditions::compile(&value).unwrap().evaluate(&Empty, false).unwrap().holds;
        let (yes, no) =
            (json!({"key": 1, "operator": "Equals", "value": 1}), json!({"key": 1, "operator": "Equals", "value": 2}));
        assert!(holds(json!({"any": [no, yes], "all": [yes]})));
        assert!(!holds(json!({"any": [no, no], "all": [yes]})));
        assert!(!holds(json!({"any": []})));
        assert!(holds(json!({"all": []})));
        assert!(!holds(json!([{"all": [yes]}, {"any": [no]}])));
    }
}
