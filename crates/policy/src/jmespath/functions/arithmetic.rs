//! Arithmetic over numbers, quantities and durations.

use serde_json::Value;

use super::super::{Error, number};
use super::Call;
use crate::duration;
use crate::quantity::Quantity;

/// What can be calculated with.
#[derive(Clone, Copy)]
enum Operand {
    Number(f64),
    Quantity(Quantity),
    Duration(i64),
}

fn operand(c: &Call<'_, '_>, value: &Value) -> Result<Operand, Error> {
    let found = match value {
        Value::Number(number) => Some(Operand::Number(super::super::float(number))),
        Value::String(text) => {
            Quantity::parse(text).map(Operand::Quantity).or_else(|| duration::parse(text).map(Operand::Duration))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    found.ok_or_else(|| c.failed(format!("{value} is no number, quantity or duration")))
}

fn both(c: &Call<'_, '_>) -> Result<(Operand, Operand), Error> {
    Ok((operand(c, c.value(0)?)?, operand(c, c.value(1)?)?))
}

fn mismatch(c: &Call<'_, '_>) -> Error {
    c.failed("the types of the operands do not fit together")
}

fn quantity(c: &Call<'_, '_>, nano: Option<i128>, like: Quantity) -> Result<Value, Error> {
    let nano = nano.ok_or_else(|| c.failed("the result is too large"))?;
    Ok(Value::String(Quantity { nano, format: like.format }.to_string()))
}

fn span(c: &Call<'_, '_>, nano: Option<i64>) -> Result<Value, Error> {
    Ok(Value::String(duration::format(nano.ok_or_else(|| c.failed("the result is too large"))?)))
}

/// Nanoseconds of a float, capped.
#[expect(clippy::cast_possible_truncation, reason = "Rust's casts of floats saturate")]
fn nano(value: f64) -> i64 {
    value as i64
}

#[expect(clippy::cast_precision_loss, reason = "durations are calculated with in floats, as in Kyverno")]
fn seconds(nano: i64) -> f64 {
    nano as f64 / 1e9
}

fn plus(c: &Call<'_, '_>, left: Operand, right: Operand, sign: i8) -> Result<Value, Error> {
    match (left, right) {
        (Operand::Number(a), Operand::Number(b)) => Ok(number(a + f64::from(sign) * b)),
        (Operand::Quantity(a), Operand::Quantity(b)) => quantity(c, a.nano.checked_add(b.nano * i128::from(sign)), a),
        (Operand::Duration(a), Operand::Duration(b)) => {
            span(c, b.checked_mul(i64::from(sign)).and_then(|b| a.checked_add(b)))
        }
        _ => Err(mismatch(c)),
    }
}

pub(super) fn add(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (left, right) = both(c)?;
    plus(c, left, right, 1)
}

pub(super) fn subtract(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (left, right) = both(c)?;
    plus(c, left, right, -1)
}

pub(super) fn sum(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (first, rest) = c.list(0)?.split_first().ok_or_else(|| c.failed("the list is empty"))?;
    let mut total = first.clone();
    for item in rest {
        total = plus(c, operand(c, &total)?, operand(c, item)?, 1)?;
    }
    Ok(total)
}

pub(super) fn multiply(c: &Call<'_, '_>) -> Result<Value, Error> {
    match both(c)? {
        (Operand::Number(a), Operand::Number(b)) => Ok(number(a * b)),
        (Operand::Quantity(a), Operand::Number(b)) | (Operand::Number(b), Operand::Quantity(a)) => {
            let factor = Quantity::parse(&number(b).to_string()).ok_or_else(|| mismatch(c))?;
            quantity(c, a.nano.checked_mul(factor.nano).map(|nano| nano / 1_000_000_000), a)
        }
        (Operand::Duration(a), Operand::Number(b)) | (Operand::Number(b), Operand::Duration(a)) => {
            span(c, Some(nano(seconds(a) * b * 1e9)))
        }
        _ => Err(mismatch(c)),
    }
}

pub(super) fn divide(c: &Call<'_, '_>) -> Result<Value, Error> {
    let zero = || c.failed("division by zero");
    match both(c)? {
        (_, Operand::Quantity(b)) if b.nano == 0 => Err(zero()),
        (_, Operand::Number(0.0) | Operand::Duration(0)) => Err(zero()),
        (Operand::Number(a), Operand::Number(b)) => Ok(number(a / b)),
        (Operand::Quantity(a), Operand::Quantity(b)) => Ok(number(a.as_f64() / b.as_f64())),
        (Operand::Quantity(a), Operand::Number(b)) => {
            let divisor = Quantity::parse(&number(b).to_string()).ok_or_else(|| mismatch(c))?;
            let result = a.nano.checked_mul(1_000_000_000).and_then(|nano| nano.checked_div(divisor.nano));
            quantity(c, result, a)
        }
        (Operand::Duration(a), Operand::Duration(b)) => Ok(number(seconds(a) / seconds(b))),
        (Operand::Duration(a), Operand::Number(b)) => span(c, Some(nano(seconds(a) / b * 1e9))),
        _ => Err(mismatch(c)),
    }
}

pub(super) fn modulo(c: &Call<'_, '_>) -> Result<Value, Error> {
    let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 9e15).then(|| nano(value));
    let not_whole = || c.failed("modulo takes whole numbers");
    let rest = |a: i64, b: i64| a.checked_rem(b).ok_or_else(|| c.failed("division by zero"));
    match both(c)? {
        (Operand::Number(a), Operand::Number(b)) => {
            Ok(Value::from(rest(whole(a).ok_or_else(not_whole)?, whole(b).ok_or_else(not_whole)?)?))
        }
        (Operand::Quantity(a), Operand::Quantity(b)) => {
            let result = rest(a.as_whole().ok_or_else(not_whole)?, b.as_whole().ok_or_else(not_whole)?)?;
            Ok(Value::String(Quantity::whole(result, a.format).to_string()))
        }
        (Operand::Duration(a), Operand::Duration(b)) => Ok(Value::String(duration::format(rest(a, b)?))),
        _ => Err(mismatch(c)),
    }
}
