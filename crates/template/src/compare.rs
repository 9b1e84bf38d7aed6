//! `eq`, `ne`, `lt`, `le`, `gt` and `ge`.
//!
//! Source: Go 1.26, documentation of `text/template`, "Functions".

use std::cmp::Ordering;

use crate::error::CallError;
use crate::value::Value;

/// Whether the first argument equals one of the others.
pub(crate) fn equals_any(first: &Value, others: &[Value]) -> Result<bool, CallError> {
    if others.is_empty() {
        return Err(CallError::new("expected something to compare with"));
    }
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two values of the same basic type are equal. Nothing equals nothing alone, and can be compared with anything.
pub(crate) fn equals(left: &Value, right: &Value) -> Result<bool, CallError> {
    #[expect(clippy::float_cmp, reason = "that is the question")]
    match (left.plain(), right.plain()) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => Ok(left == right),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ => Err(incompatible(left, right)),
    }
}

/// How two numbers or texts compare; `None` if one is not a number.
pub(crate) fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, CallError> {
    match (left.plain(), right.plain()) {
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(&right))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(&right)),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(&right))),
        _ => Err(incompatible(left, right)),
    }
}

fn incompatible(left: &Value, right: &Value) -> CallError {
    CallError::new(format!("{} and {} can't be compared", left.kind(), right.kind()))
}
