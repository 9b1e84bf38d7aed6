//! Functions of mappings and of types.

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_template::{CallError, Value};

use super::{Answer, bounded_list, list, map, no_such, shown, text};
use crate::template::{Missing, dict};

pub(super) const NAMES: &[&str] = &[
    "deepCopy",
    "deepEqual",
    "dict",
    "dig",
    "get",
    "hasKey",
    "keys",
    "kindIs",
    "kindOf",
    "merge",
    "mergeOverwrite",
    "mustDeepCopy",
    "mustMerge",
    "mustMergeOverwrite",
    "omit",
    "pick",
    "pluck",
    "set",
    "typeIs",
    "typeIsLike",
    "typeOf",
    "unset",
    "values",
];

type Entries = BTreeMap<Arc<str>, Value>;

pub(super) fn call(name: &str, arguments: &[Value], missing: Missing) -> Answer {
    match (name, arguments) {
        ("dict", pairs) => {
            let mut entries = Entries::new();
            for pair in pairs.chunks(2) {
                if let [key, rest @ ..] = pair {
                    entries
                        .insert(shown(key).as_str().into(), rest.first().cloned().unwrap_or_else(|| Value::from("")));
                }
            }
            Ok(dict(entries, missing, false))
        }
        ("get", [of, key]) => Ok(map(of)?.entries.get(&*text(key)?).cloned().unwrap_or_else(|| Value::from(""))),
        ("hasKey", [of, key]) => Ok(Value::Bool(map(of)?.entries.contains_key(&*text(key)?))),
        ("set", [of, key, value]) => change(of, "\u{0}set", &[Value::Text(text(key)?), value.clone()]),
        ("unset", [of, key]) => change(of, "\u{0}unset", &[Value::Text(text(key)?)]),
        ("keys", maps) => {
            let mut keys = Vec::new();
            for one in maps {
                keys.extend(map(one)?.entries.keys().map(|key| Value::Text(Arc::clone(key))));
            }
            bounded_list(keys)
        }
        ("values", [of]) => bounded_list(map(of)?.entries.values().cloned().collect()),
        ("pluck", [key, maps @ ..]) => {
            let key = text(key)?;
            let mut found = Vec::new();
            for one in maps {
                found.extend(map(one)?.entries.get(&key).cloned());
            }
            bounded_list(found)
        }
        ("pick" | "omit", [of, keys @ ..]) => {
            let wanted = keys.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            let mut entries = map(of)?.entries.clone();
            entries.retain(|key, _| wanted.contains(key) == (name == "pick"));
            Ok(dict(entries, missing, false))
        }
        ("merge" | "mustMerge" | "mergeOverwrite" | "mustMergeOverwrite", [into, others @ ..]) => {
            merged(into, others, name.ends_with("Overwrite"), missing)
        }
        ("dig", _) => dig(arguments),
        ("deepCopy" | "mustDeepCopy", [value]) => copied(value, missing, 50),
        ("deepEqual", [left, right]) => Ok(Value::Bool(super::lists::same(left, right))),
        ("kindOf", [value]) => Ok(Value::from(kind(value))),
        ("kindIs", [wanted, value]) => Ok(Value::Bool(*text(wanted)? == *kind(value))),
        ("typeOf", [value]) => Ok(Value::from(type_name(value))),
        ("typeIs", [wanted, value]) => Ok(Value::Bool(*text(wanted)? == *type_name(value))),
        ("typeIsLike", [wanted, value]) => Ok(Value::Bool(text(wanted)?.trim_start_matches('*') == type_name(value))),
        _ => Err(no_such(name, arguments)),
    }
}

fn change(of: &Value, how: &str, arguments: &[Value]) -> Answer {
    let Value::Object(object) = of else { return Err(CallError::new("this dict can't be changed")) };
    match object.member(how, arguments) {
        Some(Ok(_)) if matches!(object.plain(), Value::Map(_)) => Ok(of.clone()),
        _ => Err(CallError::new(format!("expected a dict, found a {}", of.kind()))),
    }
}

fn merged(into: &Value, others: &[Value], overwrites: bool, missing: Missing) -> Answer {
    let mut entries = map(into)?.entries.clone();
    for other in others {
        fill(&mut entries, &map(other)?.entries, overwrites, missing, 50)?;
    }
    for (key, value) in entries {
        change(into, "\u{0}set", &[Value::Text(key), value])?;
    }
    Ok(into.clone())
}

fn fill(into: &mut Entries, from: &Entries, overwrites: bool, missing: Missing, depth: usize) -> Result<(), CallError> {
    let deeper = depth.checked_sub(1).ok_or_else(|| CallError::new("the dict is nested too deeply"))?;
    for (key, value) in from {
        let present = into.get(key);
        if let (Some(Value::Map(inner)), Value::Map(other)) = (present.map(Value::plain), value.plain()) {
            let mut entries = inner.entries.clone();
            fill(&mut entries, &other.entries, overwrites, missing, deeper)?;
            into.insert(Arc::clone(key), dict(entries, missing, false));
        } else if present.is_none_or(super::is_empty) || (overwrites && !super::is_empty(value)) {
            into.insert(Arc::clone(key), value.clone());
        }
    }
    Ok(())
}

/// `dig KEY... DEFAULT DICT`.
fn dig(arguments: &[Value]) -> Answer {
    let [keys @ .., fallback, of] = arguments else { return Err(no_such("dig", arguments)) };
    if keys.is_empty() {
        return Err(no_such("dig", arguments));
    }
    let mut at = of.clone();
    for key in keys {
        match map(&at)?.entries.get(&*text(key)?) {
            Some(value) => at = value.clone(),
            None => return Ok(fallback.clone()),
        }
    }
    Ok(at)
}

fn copied(value: &Value, missing: Missing, depth: usize) -> Answer {
    let deeper = depth.checked_sub(1).ok_or_else(|| CallError::new("the value is nested too deeply"))?;
    Ok(match value.plain() {
        Value::Map(map) => {
            let copy = |(key, value): (&Arc<str>, &Value)| Ok((Arc::clone(key), copied(value, missing, deeper)?));
            dict(map.entries.iter().map(copy).collect::<Result<_, CallError>>()?, missing, false)
        }
        Value::List(_) => {
            Value::from(list(value)?.iter().map(|item| copied(item, missing, deeper)).collect::<Result<Vec<_>, _>>()?)
        }
        plain => plain,
    })
}

fn kind(value: &Value) -> &'static str {
    match value.plain() {
        Value::Nil => "invalid",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        plain => plain.kind(),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value.plain() {
        Value::Nil => "<nil>",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        plain => plain.kind(),
    }
}
