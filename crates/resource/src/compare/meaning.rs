//! When two scalars mean the same although they are written otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_kustomize::TypeOf;
use prograde_policy::duration;
use prograde_policy::quantity::Quantity;
use serde_json::Value;

/// Where a scalar stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// The type of Kubernetes' own API, where it is one.
    pub(super) known: Option<TypeOf<'static>>,
    /// The field's name; for items, that of the list.
    pub(super) field: &'a str,
    /// The name of the field around it.
    pub(super) parent: &'a str,
    /// Whether it is in the `data` of a secret.
    pub(super) secret: bool,
}

/// Fields of other kinds that hold quantities under any name, as Kubernetes' own do.
const QUANTITY_MAPS: [&str; 8] =
    ["limits", "requests", "hard", "capacity", "allocatable", "overhead", "defaultRequest", "podFixed"];
/// Fields of other kinds that are quantities by their name.
const QUANTITIES: [&str; 7] = ["storage", "memory", "cpu", "sizeLimit", "ephemeral-storage", "divisor", "averageValue"];
/// Fields of other kinds that are a number or a text.
const INT_OR_STRING: [&str; 5] = ["targetPort", "port", "maxSurge", "maxUnavailable", "minAvailable"];
/// How fields of other kinds end that are durations.
const DURATIONS: [&str; 12] = [
    "duration", "interval", "timeout", "period", "ttl", "before", "after", "delay", "window", "backoff", "age", "grace",
];

/// Whether two scalars mean the same.
pub(super) fn same(standing: Standing<'_>, desired: &Value, live: &Value) -> bool {
    if desired == live {
        return true;
    }
    match (desired, live) {
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => return true,
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {}
        _ => return false,
    }
    let quantity = standing.known.map_or_else(|| looks_like_quantity(standing), TypeOf::is_quantity);
    if quantity && same_quantity(desired, live) {
        return true;
    }
    let either = standing.known.map_or_else(|| INT_OR_STRING.contains(&standing.field), TypeOf::is_int_or_string);
    if either && super::path::bare(desired) == super::path::bare(live) {
        return true;
    }
    let (Some(desired), Some(live)) = (desired.as_str(), live.as_str()) else { return false };
    if standing.secret {
        return decoded(desired).is_some_and(|bytes| decoded(live) == Some(bytes));
    }
    let lower = standing.field.to_ascii_lowercase();
    standing.known.is_none()
        && DURATIONS.iter().any(|end| lower.ends_with(end))
        && duration::parse(desired).is_some_and(|one| duration::parse(live) == Some(one))
}

fn looks_like_quantity(standing: Standing<'_>) -> bool {
    QUANTITY_MAPS.contains(&standing.parent) || QUANTITIES.contains(&standing.field)
}

fn same_quantity(desired: &Value, live: &Value) -> bool {
    let read = |value: &Value| Quantity::parse(&super::path::bare(value)).map(|read| read.nano);
    read(desired).is_some_and(|one| read(live) == Some(one))
}

/// The bytes of a secret's value; line ends in it do not count.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.split_whitespace().collect();
    STANDARD.decode(compact).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(field: &str, parent: &str, one: &Value, other: &Value, expected: bool) {
        let standing = Standing { known: None, field, parent, secret: field == "password" };
        assert_eq!(same(standing, one, other), expected, "{field} {one} {other}");
        assert_eq!(same(standing, other, one), expected, "{field} {other} {one}");
    }

    #[test]
    fn scalars_are_compared_by_meaning() {
        check("cpu", "limits", &json!("100m"), &json!("0.1"), true);
        check("memory", "requests", &json!("1Gi"), &json!("1024Mi"), true);
        check("cpu", "limits", &json!(1), &json!("1"), true);
        check("example.com/gpu", "limits", &json!(1), &json!("1000m"), true);
        check("memory", "requests", &json!("1Gi"), &json!("1G"), false);
        check("version", "labels", &json!("1.0"), &json!("1"), false);
        check("targetPort", "ports", &json!(80), &json!("80"), true);
        check("replicas", "spec", &json!(1.0), &json!(1), true);
        check("duration", "spec", &json!("2160h"), &json!("2160h0m0s"), true);
        check("renewBefore", "spec", &json!("1.5h"), &json!("90m"), true);
        check("timeout", "spec", &json!("60s"), &json!("2m"), false);
        check("name", "spec", &json!("60s"), &json!("1m"), false);
        check("password", "data", &json!("aGVs\nbG8="), &json!("aGVsbG8="), true);
        check("password", "data", &json!("aGVsbG8="), &json!("aGVsbG9="), false);
        check("a", "b", &json!(true), &json!("true"), false);
        for wrong in ["", "1", "h", "1x", "..s", "9999999999999h", "-"] {
            assert_eq!(duration::parse(wrong), None, "{wrong}");
        }
    }
}
