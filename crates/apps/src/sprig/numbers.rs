//! Functions of numbers.

use prograde_template::{CallError, Value};

use super::{Answer, ITEMS_MAX, bounded_list, int, no_such, shown};
use crate::template::Missing;

pub(super) const NAMES: &[&str] = &[
    "add",
    "add1",
    "add1f",
    "addf",
    "biggest",
    "ceil",
    "div",
    "divf",
    "float64",
    "floor",
    "int",
    "int64",
    "max",
    "maxf",
    "min",
    "minf",
    "mod",
    "mul",
    "mulf",
    "round",
    "seq",
    "sub",
    "subf",
    "toDecimal",
    "until",
    "untilStep",
];

pub(super) fn call(name: &str, arguments: &[Value], _: Missing) -> Answer {
    let whole: Vec<i64> = arguments.iter().map(to_int).collect();
    let real: Vec<f64> = arguments.iter().map(to_float).collect();
    match (name, whole.as_slice(), real.as_slice()) {
        ("int" | "int64", [number], _) => Ok(Value::Int(*number)),
        ("float64", _, [number]) => Ok(Value::Float(*number)),
        ("toDecimal", ..) => octal(arguments),
        ("add1", [number], _) => Ok(Value::Int(number.wrapping_add(1))),
        ("add", numbers, _) => Ok(Value::Int(numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number)))),
        ("sub", [left, right], _) => Ok(Value::Int(left.wrapping_sub(*right))),
        ("mul", [first, rest @ ..], _) => {
            Ok(Value::Int(rest.iter().fold(*first, |product, number| product.wrapping_mul(*number))))
        }
        ("div", [left, right], _) => left.checked_div(*right).map(Value::Int).ok_or_else(by_zero),
        ("mod", [left, right], _) => left.checked_rem(*right).map(Value::Int).ok_or_else(by_zero),
        ("max" | "biggest", [_, ..], _) => Ok(Value::Int(whole.iter().copied().max().unwrap_or(0))),
        ("min", [_, ..], _) => Ok(Value::Int(whole.iter().copied().min().unwrap_or(0))),
        ("maxf", _, [_, ..]) => Ok(Value::Float(real.iter().copied().fold(f64::NEG_INFINITY, f64::max))),
        ("minf", _, [_, ..]) => Ok(Value::Float(real.iter().copied().fold(f64::INFINITY, f64::min))),
        ("floor", _, [number]) => Ok(Value::Float(number.floor())),
        ("ceil", _, [number]) => Ok(Value::Float(number.ceil())),
        ("round", [_, places, ..], [number, _, more @ ..]) => Ok(Value::Float(rounded(*number, *places, more.first()))),
        ("add1f", _, [number]) => Ok(Value::Float(number + 1.0)),
        ("addf", ..) => Ok(Value::Float(real.iter().sum())),
        ("subf", _, [first, rest @ ..]) => Ok(Value::Float(rest.iter().fold(*first, |left, right| left - right))),
        ("mulf", _, [first, rest @ ..]) => Ok(Value::Float(rest.iter().fold(*first, |left, right| left * right))),
        ("divf", _, [first, rest @ ..]) => Ok(Value::Float(rest.iter().fold(*first, |left, right| left / right))),
        ("until", [_], _) => {
            let end = int(arguments.first().unwrap_or(&Value::Nil))?;
            steps(0, end, if end < 0 { -1 } else { 1 })
        }
        ("untilStep", [start, end, step], _) => steps(*start, *end, *step),
        ("seq", numbers, _) => sequence(numbers),
        _ => Err(no_such(name, arguments)),
    }
}

fn by_zero() -> CallError {
    CallError::new("integer divide by zero")
}

/// Source: spf13/cast, `ToInt64`: what is no number is 0.
fn to_int(value: &Value) -> i64 {
    match value.plain() {
        Value::Int(number) => number,
        #[expect(clippy::cast_possible_truncation, reason = "Go truncates too")]
        Value::Float(number) => number as i64,
        Value::Bool(flag) => i64::from(flag),
        Value::Text(text) => parsed(&text).unwrap_or(0),
        _ => 0,
    }
}

/// A whole number with the prefixes that Go's base 0 knows.
fn parsed(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

fn to_float(value: &Value) -> f64 {
    match value.plain() {
        #[expect(clippy::cast_precision_loss, reason = "Go loses it too")]
        Value::Int(number) => number as f64,
        Value::Float(number) => number,
        Value::Bool(flag) => f64::from(u8::from(flag)),
        Value::Text(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

fn octal(arguments: &[Value]) -> Answer {
    let [value] = arguments else { return Err(no_such("toDecimal", arguments)) };
    Ok(Value::Int(i64::from_str_radix(&shown(value), 8).unwrap_or(0)))
}

fn rounded(number: f64, places: i64, round_on: Option<&f64>) -> f64 {
    let on = round_on.copied().unwrap_or(0.5);
    let power = 10_f64.powi(i32::try_from(places).unwrap_or(0).clamp(-300, 300));
    let digit = power * number;
    let fraction = digit - digit.trunc();
    let up = if fraction >= on { digit.ceil() } else { digit.floor() };
    up / power
}

fn steps(start: i64, end: i64, step: i64) -> Answer {
    if step == 0 || (end < start && step > 0) || (end > start && step < 0) {
        return Ok(Value::from(Vec::new()));
    }
    let mut items = Vec::new();
    let mut at = start;
    while (step > 0 && at < end) || (step < 0 && at > end) {
        items.push(Value::Int(at));
        if items.len() > ITEMS_MAX {
            break;
        }
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    bounded_list(items)
}

/// `seq END`, `seq START END`, `seq START STEP END`, as the program of this name prints it.
fn sequence(numbers: &[i64]) -> Answer {
    let (start, step, end) = match numbers {
        [end] => (1, if *end < 1 { -1 } else { 1 }, *end),
        [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
        [start, step, end] => (*start, *step, *end),
        _ => return Ok(Value::from("")),
    };
    let past = if step < 0 { end.saturating_sub(1) } else { end.saturating_add(1) };
    let items = steps(start, past, step)?;
    let shown: Vec<String> = super::texts::strings(&items);
    super::bounded(shown.join(" "))
}
