//! flagd's `fractional`: users are shared out among variants by a hash, so that each stays where it is.
//!
//! flagd.dev, "Fractional Operation Specification", in the form that flagd computes since it counts with integers
//! (`core/pkg/evaluator/fractional.go`): the bucket is `hash * total weight / 2^32`, rounded down, with
//! `MurmurHash3_x86_32` of the bucketing value under seed 0. Without a bucketing value it is the flag's key followed by
//! the targeting key. Users who move here from flagd therefore keep their variant.

use serde_json::{Map, Value};

use super::murmur::murmur3;

/// The largest sum of weights (flagd: `math.MaxInt32`).
const TOTAL_MAX: u64 = 2_147_483_647;

/// The variant that the user gets; nothing where the operands say none, or nobody knows who the user is.
pub(super) fn choose(operands: &[Value], flag: &str, context: &Map<String, Value>) -> Value {
    pick(operands, flag, context).unwrap_or(Value::Null)
}

fn pick(operands: &[Value], flag: &str, context: &Map<String, Value>) -> Option<Value> {
    let (first, rest) = operands.split_first()?;
    let implicit = || {
        let user = context.get("targetingKey").and_then(Value::as_str).filter(|user| !user.is_empty())?;
        Some(format!("{flag}{user}"))
    };
    let (by, buckets) = match first {
        Value::String(by) => (by.clone(), rest),
        // The bucketing value is not in this context.
        Value::Null => (implicit()?, rest),
        Value::Array(_) => (implicit()?, operands),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    let buckets: Vec<(&Value, u64)> = buckets.iter().map(bucket).collect::<Option<_>>()?;
    let total = buckets.iter().map(|(_, weight)| weight).sum::<u64>();
    if total > TOTAL_MAX {
        return None;
    }
    let mut place = (u64::from(murmur3(by.as_bytes(), 0)) * total) >> 32;
    for (variant, weight) in buckets {
        if place < weight {
            return Some(variant.clone());
        }
        place -= weight;
    }
    None
}

/// `[variant, weight]`; the weight is 1 where none is given, and 0 where a calculation made it negative.
fn bucket(operand: &Value) -> Option<(&Value, u64)> {
    let (variant, weight) = match operand.as_array()?.as_slice() {
        [variant] => (variant, 1),
        [variant, weight] => (variant, weight.as_i64().map(|weight| u64::try_from(weight).unwrap_or(0))?),
        _ => return None,
    };
    let fits = !variant.is_array() && !variant.is_object() && weight <= TOTAL_MAX;
    fits.then_some((variant, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use serde_json::json;

    fn for_user(operands: &Value, user: &str) -> Value {
        let context = json!({"targetingKey": user});
        choose(operands.as_array().unwrap(), "header-color", context.as_object().unwrap())
    }

    #[test]
    fn what_cannot_be_shared_out_is_nothing() {
        for operands in [
            json!([]),
            json!(["user"]),
            json!([["red", 50], "blue"]),
            json!([["red", "50"]]),
            json!([["red", 1.5]]),
            json!([["red", 1, 2]]),
            json!([[["red"], 1]]),
            json!([["red", 0], ["blue", -5]]),
            json!([["red", 2_147_483_647], ["blue", 1]]),
            json!([["red", i64::MAX], ["blue", i64::MAX]]),
            json!([["red", u64::MAX]]),
            json!([true, ["red", 1]]),
        ] {
            assert_eq!(for_user(&operands, "ada"), Value::Null, "{operands}");
        }
        assert_eq!(for_user(&json!([["red", 1]]), ""), Value::Null, "nobody knows who it is");
        assert_eq!(choose(&[json!(["red", 1])], "f", &Map::new()), Value::Null);
        assert_eq!(choose(&[json!("ada"), json!(["red", 1])], "f", &Map::new()), json!("red"));
    }

    #[test]
    fn the_shares_are_kept() {
        let operands = json!([["red", 1], ["blue"], ["green", 2]]);
        let mut counts = std::collections::BTreeMap::new();
        for user in 0..40_000 {
            *counts.entry(for_user(&operands, &format!("user-{user}")).to_string()).or_insert(0_u32) += 1;
        }
        let near = |colour: &str, expected: u32| counts[&format!("{colour:?}")].abs_diff(expected) < 400;
        assert!(near("red", 10_000) && near("blue", 10_000) && near("green", 20_000), "{counts:?}");
    }

    proptest! {
        /// Raising one variant's share from zero to all only ever moves users to it.
        #[test]
        fn a_growing_share_takes_nobody_back(user in "\\PC{1,20}", share in 0u32..100, more in 0u32..100) {
            let more = share.max(more);
            let colour = |share: u32| for_user(&json!([["new", share], ["old", 100 - share]]), &user);
            prop_assert!(colour(share) == json!("old") || colour(more) == json!("new"));
        }

        #[test]
        fn somebody_always_gets_something(user in "\\PC{1,20}", weights in prop::collection::vec(0u32..1000, 1..9)) {
            let operands: Value = weights.iter().enumerate().map(|(n, weight)| json!([n, weight])).collect();
            let chosen = for_user(&operands, &user);
            prop_assert_eq!(chosen.is_null(), weights.iter().all(|weight| *weight == 0));
            if let Some(chosen) = chosen.as_u64() {
                prop_assert!(weights[usize::try_from(chosen).unwrap()] > 0, "nobody gets what has no weight");
            }
        }

        #[test]
        fn no_operands_break_it(operands in prop::collection::vec(any::<i64>(), 0..4), key in "\\PC{0,9}") {
            let operands: Vec<Value> = operands.into_iter().map(|n| json!([key, n])).collect();
            choose(&operands, &key, json!({"targetingKey": key}).as_object().unwrap());
        }
    }
}
