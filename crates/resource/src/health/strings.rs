//! Functions of Lua's libraries that would run for long without the interpreter noticing, or tell what a pure function
//! must not know: searching, replacing, repeating and sorting with a budget, and traversals in an order that is always
//! the same.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a function takes some types of values, and all others, also those to come, it does not take"
)]

use std::cmp::Ordering;
use std::rc::Rc;

use mlua::{Error, Function, IntoLua as _, Lua, LuaString, MultiValue, Result, Table, Value};

use super::pattern::{Budget, Capture, Matcher, PatternError};

/// The longest text that is made by one call, in bytes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

fn failed(error: PatternError) -> Error {
    Error::runtime(error.to_string())
}

pub(super) fn spent() -> Error {
    failed(PatternError::Steps)
}

fn charge(budget: &Budget, steps: usize) -> Result<()> {
    if budget.take(steps as u64) { Ok(()) } else { Err(spent()) }
}

/// A start as Lua counts it: from 1, or backwards from the end.
fn start(init: Option<i64>, len: usize) -> usize {
    let init = init.unwrap_or(1);
    let from_end = usize::try_from(init.unsigned_abs()).unwrap_or(usize::MAX);
    if init < 0 { len.saturating_sub(from_end) } else { from_end.saturating_sub(1) }
}

fn captured(lua: &Lua, text: &[u8], capture: Capture) -> Result<Value> {
    match capture {
        Capture::Text(from, to) => lua.create_string(text.get(from..to).unwrap_or_default())?.into_lua(lua),
        Capture::Position(at) => (at + 1).into_lua(lua),
    }
}

fn values(lua: &Lua, text: &[u8], captures: Vec<Capture>) -> Result<Vec<Value>> {
    captures.into_iter().map(|capture| captured(lua, text, capture)).collect()
}

/// Replaces functions of the library `string`.
pub(super) fn install(lua: &Lua, strings: &Table, budget: &Rc<Budget>) -> Result<()> {
    let shared = Rc::clone(budget);
    let find = move |lua: &Lua, (text, pattern, init, plain): (LuaString, LuaString, Option<i64>, Option<bool>)| {
        find(lua, &shared, (&text, &pattern), (init, plain.unwrap_or(false), true))
    };
    strings.set("find", lua.create_function(find)?)?;
    let shared = Rc::clone(budget);
    let search = move |lua: &Lua, (text, pattern, init): (LuaString, LuaString, Option<i64>)| {
        self::find(lua, &shared, (&text, &pattern), (init, false, false))
    };
    strings.set("match", lua.create_function(search)?)?;
    let shared = Rc::clone(budget);
    let gmatch = move |lua: &Lua, (text, pattern): (LuaString, LuaString)| gmatch(lua, &shared, &text, &pattern);
    strings.set("gmatch", lua.create_function(gmatch)?)?;
    let shared = Rc::clone(budget);
    let gsub = move |lua: &Lua, (text, pattern, by, most): (LuaString, LuaString, Value, Option<i64>)| {
        gsub(lua, &shared, (&text.as_bytes(), &pattern.as_bytes()), &by, most)
    };
    strings.set("gsub", lua.create_function(gsub)?)?;
    let shared = Rc::clone(budget);
    let rep = move |lua: &Lua, (text, times, between): (LuaString, i64, Option<LuaString>)| {
        let times = usize::try_from(times).unwrap_or(0);
        let between = between.map(|between| between.as_bytes().to_vec()).unwrap_or_default();
        let size = (text.as_bytes().len() + between.len()).saturating_mul(times);
        if size > TEXT_BYTES_MAX || times > TEXT_BYTES_MAX {
            return Err(Error::runtime(format!("a text would have more than {TEXT_BYTES_MAX} bytes")));
        }
        charge(&shared, size + times)?;
        lua.create_string(vec![text.as_bytes().to_vec(); times].join(between.as_slice()))
    };
    strings.set("rep", lua.create_function(rep)?)?;
    strings.set("dump", Value::Nil)
}

fn find(
    lua: &Lua,
    budget: &Budget,
    (text, pattern): (&LuaString, &LuaString),
    (init, plain, places): (Option<i64>, bool, bool),
) -> Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let from = start(init, text.len());
    let nothing = || Ok(MultiValue::from_vec(vec![Value::Nil]));
    if from > text.len() {
        return nothing();
    }
    if plain {
        charge(budget, text.len())?;
        let rest = text.get(from..).unwrap_or_default();
        let at = if pattern.is_empty() { Some(0) } else { memory_find(budget, rest, &pattern)? };
        let Some(at) = at else { return nothing() };
        let (first, last) = (from + at + 1, from + at + pattern.len());
        return Ok(MultiValue::from_vec(vec![first.into_lua(lua)?, last.into_lua(lua)?]));
    }
    let mut matcher = Matcher::new(&text, &pattern, budget);
    let Some(whole) = matcher.search(from).map_err(failed)? else { return nothing() };
    let captures = matcher.captures(whole).map_err(failed)?;
    if !places {
        return Ok(MultiValue::from_vec(values(lua, &text, captures)?));
    }
    let mut all = vec![(whole.0 + 1).into_lua(lua)?, whole.1.into_lua(lua)?];
    // Without captures the whole match is one, which `find` does not give.
    if matcher.has_captures() {
        all.extend(values(lua, &text, captures)?);
    }
    Ok(MultiValue::from_vec(all))
}

fn memory_find(budget: &Budget, text: &[u8], sought: &[u8]) -> Result<Option<usize>> {
    for (at, window) in text.windows(sought.len()).enumerate() {
        if window.first() == sought.first() {
            charge(budget, 1 + sought.len() / 16)?;
            if window == sought {
                return Ok(Some(at));
            }
        }
    }
    Ok(None)
}

fn gmatch(lua: &Lua, budget: &Rc<Budget>, text: &LuaString, pattern: &LuaString) -> Result<Function> {
    let (text, pattern) = (text.as_bytes().to_vec(), pattern.as_bytes().to_vec());
    charge(budget, text.len())?;
    let (shared, at) = (Rc::clone(budget), std::cell::Cell::new(0_usize));
    lua.create_function(move |lua, _: MultiValue| {
        let mut matcher = Matcher::new(&text, &pattern, &shared);
        let Some(whole) = matcher.search(at.get()).map_err(failed)? else {
            at.set(text.len() + 1);
            return Ok(MultiValue::from_vec(vec![Value::Nil]));
        };
        at.set(if whole.1 == whole.0 { whole.1 + 1 } else { whole.1 });
        let captures = matcher.captures(whole).map_err(failed)?;
        Ok(MultiValue::from_vec(values(lua, &text, captures)?))
    })
}

fn gsub(
    lua: &Lua,
    budget: &Budget,
    (text, pattern): (&[u8], &[u8]),
    by: &Value,
    most: Option<i64>,
) -> Result<(LuaString, usize)> {
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
    let anchored = pattern.first() == Some(&b'^');
    let (mut made, mut at, mut count) = (Vec::with_capacity(text.len()), 0, 0);
    while count < most {
        let mut matcher = Matcher::new(text, pattern, budget);
        let Some(whole) = matcher.search(at).map_err(failed)? else { break };
        made.extend_from_slice(text.get(at..whole.0).unwrap_or_default());
        let captures = matcher.captures(whole).map_err(failed)?;
        count += 1;
        made.extend(replacement(lua, text, whole, captures, by)?);
        charge(budget, made.len() / 64)?;
        if made.len() > TEXT_BYTES_MAX {
            return Err(Error::runtime(format!("a text would have more than {TEXT_BYTES_MAX} bytes")));
        }
        at = whole.1;
        if whole.0 == whole.1 {
            made.extend(text.get(at));
            at += 1;
        }
        if anchored || at > text.len() {
            break;
        }
    }
    made.extend_from_slice(text.get(at..).unwrap_or_default());
    Ok((lua.create_string(made)?, count))
}

fn replacement(lua: &Lua, text: &[u8], whole: (usize, usize), captures: Vec<Capture>, by: &Value) -> Result<Vec<u8>> {
    let matched = text.get(whole.0..whole.1).unwrap_or_default();
    let captures = values(lua, text, captures)?;
    let first = captures.first().cloned().unwrap_or(Value::Nil);
    let found = if let Value::Table(table) = by {
        table.get::<Value>(first)?
    } else if let Value::Function(function) = by {
        function.call::<Value>(MultiValue::from_vec(captures))?
    } else {
        let Some(template) = lua.coerce_string(by.clone())? else {
            return Err(Error::runtime("a match is replaced by a text, a table or a function"));
        };
        return filled(lua, &template.as_bytes(), matched, &captures);
    };
    match found {
        Value::Nil | Value::Boolean(false) => Ok(matched.to_vec()),
        other => match lua.coerce_string(other)? {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err(Error::runtime("a match is replaced by a text or a number")),
        },
    }
}

fn filled(lua: &Lua, template: &[u8], matched: &[u8], captures: &[Value]) -> Result<Vec<u8>> {
    let mut made = Vec::with_capacity(template.len());
    let mut bytes = template.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            made.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => made.extend_from_slice(matched),
            Some(digit) if digit.is_ascii_digit() => {
                let found = captures.get(usize::from(digit - b'1')).cloned();
                let found = found.ok_or_else(|| failed(PatternError::Capture))?;
                made.extend(lua.coerce_string(found)?.map(|text| text.as_bytes().to_vec()).unwrap_or_default());
            }
            Some(other) => made.push(*other),
            None => return Err(failed(PatternError::Malformed)),
        }
    }
    Ok(made)
}

/// Sorts as `table.sort`, with a budget, and without trust in what compares.
pub(super) fn sort(budget: &Budget, table: &Table, less: Option<&Function>) -> Result<()> {
    let items: Vec<Value> = table.clone().sequence_values::<Value>().collect::<Result<_>>()?;
    let sorted = merged(budget, items, less)?;
    for (index, item) in (1..).zip(sorted) {
        table.raw_set(index, item)?;
    }
    Ok(())
}

fn merged(budget: &Budget, items: Vec<Value>, less: Option<&Function>) -> Result<Vec<Value>> {
    if items.len() < 2 {
        return Ok(items);
    }
    charge(budget, items.len())?;
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let (left, right) = (merged(budget, left, less)?, merged(budget, right, less)?);
    let mut made = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let taken = if is_less(other, one, less)? { right.next() } else { left.next() };
        made.extend(taken);
    }
    made.extend(left);
    made.extend(right);
    Ok(made)
}

fn is_less(one: &Value, other: &Value, less: Option<&Function>) -> Result<bool> {
    if let Some(less) = less {
        return less.call::<bool>((one.clone(), other.clone()));
    }
    if let (Some(one), Some(other)) = (number(one), number(other)) {
        return Ok(one < other);
    }
    if let (Value::String(one), Value::String(other)) = (one, other) {
        return Ok(*one.as_bytes() < *other.as_bytes());
    }
    let (one, other) = (one.type_name(), other.type_name());
    Err(Error::runtime(format!("attempt to compare {one} with {other}")))
}

#[expect(clippy::cast_precision_loss, reason = "Lua's numbers are floats")]
fn number(value: &Value) -> Option<f64> {
    value.as_number().or_else(|| value.as_integer().map(|whole| whole as f64))
}

/// The keys of a table in an order that is always the same: numbers, then texts, then others.
pub(super) fn keys(budget: &Budget, table: &Table) -> Result<Vec<Value>> {
    let mut keys = Vec::new();
    for pair in table.clone().pairs::<Value, Value>() {
        keys.push(pair?.0);
    }
    charge(budget, keys.len() * 2)?;
    keys.sort_by(|one, other| match (number(one), number(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => match (one, other) {
            (Value::String(one), Value::String(other)) => one.as_bytes().cmp(&other.as_bytes()),
            (Value::String(_), _) => Ordering::Less,
            (_, Value::String(_)) => Ordering::Greater,
            _ => Ordering::Equal,
        },
    });
    Ok(keys)
}
