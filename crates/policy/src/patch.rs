//! The shortest way that we know from one document to another, as a JSON patch.
//!
//! Source: RFC 6902 and RFC 6901. Lists are compared from both ends; what lies between is compared item by item, and what
//! one of them has more is added or removed there.

use serde_json::{Map, Value, json};

/// The operations that make `to` of `from`.
pub fn diff(from: &Value, to: &Value) -> Vec<Value> {
    let mut made = Vec::new();
    compare("", from, to, &mut made);
    made
}

fn compare(path: &str, from: &Value, to: &Value, made: &mut Vec<Value>) {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => objects(path, from, to, made),
        (Value::Array(from), Value::Array(to)) => lists(path, from, to, made),
        (from, to) if from == to => {}
        (_, to) => made.push(json!({"op": "replace", "path": path, "value": to})),
    }
}

fn objects(path: &str, from: &Map<String, Value>, to: &Map<String, Value>, made: &mut Vec<Value>) {
    let at = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        made.push(json!({"op": "remove", "path": at(name)}));
    }
    for (name, value) in to {
        match from.get(name) {
            Some(before) => compare(&at(name), before, value, made),
            None => made.push(json!({"op": "add", "path": at(name), "value": value})),
        }
    }
}

fn lists(path: &str, from: &[Value], to: &[Value], made: &mut Vec<Value>) {
    let same = |pair: &(&Value, &Value)| pair.0 == pair.1;
    let head = from.iter().zip(to).take_while(same).count();
    let (from, to) = (from.get(head..).unwrap_or_default(), to.get(head..).unwrap_or_default());
    let tail = from.iter().rev().zip(to.iter().rev()).take_while(same).count();
    let without = |list: &'_ [Value]| list.len() - tail;
    let (from_end, to_end) = (without(from), without(to));
    let (from, to) = (from.get(..from_end).unwrap_or_default(), to.get(..to_end).unwrap_or_default());
    let both = from.len().min(to.len());
    for (index, (before, after)) in from.iter().zip(to).enumerate() {
        compare(&format!("{path}/{}", head + index), before, after, made);
    }
    for _ in both..from.len() {
        made.push(json!({"op": "remove", "path": format!("{path}/{}", head + both)}));
    }
    for (index, value) in to.iter().enumerate().skip(both) {
        made.push(json!({"op": "add", "path": format!("{path}/{}", head + index), "value": value}));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mutate::json6902::apply;

    fn check(from: Value, to: Value, want: Value) {
        let made = diff(&from, &to);
        assert_eq!(Value::from(made.clone()), want);
        assert_eq!(apply(&from, &made), Ok(to));
    }

    #[test]
    fn patches_are_short() {
        check(json!({"a": 1}), json!({"a": 1}), json!([]));
        check(
            json!({"a/b": 1, "~": 2}),
            json!({"a/b": 2}),
            json!([
                {"op": "remove", "path": "/~0"}, {"op": "replace", "path": "/a~1b", "value": 2},
            ]),
        );
        check(json!({}), json!({"l": {"x": []}}), json!([{"op": "add", "path": "/l", "value": {"x": []}}]));
        check(json!([1, 2, 3]), json!([1, 9, 2, 3]), json!([{"op": "add", "path": "/1", "value": 9}]));
        check(
            json!([1, 2, 3, 4]),
            json!([1, 4]),
            json!([
                {"op": "remove", "path": "/1"}, {"op": "remove", "path": "/1"},
            ]),
        );
        check(
            json!([{"n": "a"}, {"n": "b"}]),
            json!([{"n": "a", "x": 1}, {"n": "b"}]),
            json!([
                {"op": "add", "path": "/0/x", "value": 1},
            ]),
        );
        check(json!({"a": null}), json!({"a": {}}), json!([{"op": "replace", "path": "/a", "value": {}}]));
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4).prop_map(Value::from),
            "[a-c~/]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 5, |inner| {
            let names = proptest::sample::select(vec!["a", "b", "a/b", "~1", "0", "-"]);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(names, inner, 0..5)
                    .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_leads_to_the_other_document(from in documents(), to in documents()) {
            prop_assert_eq!(apply(&from, &diff(&from, &to)), Ok(to));
        }
    }
}
