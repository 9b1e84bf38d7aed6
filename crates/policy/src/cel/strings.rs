//! Methods of texts. Positions count characters.

use std::borrow::Cow;

use super::Error;
use super::eval::Run;
use super::functions::{bounded, compiled};
use super::value::{Val, list, text};
use crate::wildcard;

/// A method of a text, if there is one of this name.
pub(super) fn method<'a>(run: &Run<'a>, name: &str, value: &str, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    run.step(value.len() / 16)?;
    if let Some(found) = simple(name, value, args)? {
        return Ok(Some(found));
    }
    Ok(Some(match (name, args) {
        ("matches", [Val::Text(pattern)]) => Val::Bool(compiled(pattern)?.is_match(value)),
        ("find", [Val::Text(pattern)]) => text(compiled(pattern)?.find(value).map_or("", |found| found.as_str())),
        ("findAll", [Val::Text(pattern)]) => {
            list(compiled(pattern)?.find_iter(value).map(|found| text(found.as_str())).collect())
        }
        ("findAll", [Val::Text(pattern), Val::Int(limit)]) => {
            let most = usize::try_from(*limit).unwrap_or(usize::MAX);
            list(compiled(pattern)?.find_iter(value).take(most).map(|found| text(found.as_str())).collect())
        }
        ("split", [Val::Text(between)]) => split(value, between, -1),
        ("split", [Val::Text(between), Val::Int(limit)]) => split(value, between, *limit),
        ("replace", [Val::Text(old), Val::Text(new)]) => replace(value, old, new, -1)?,
        ("replace", [Val::Text(old), Val::Text(new), Val::Int(limit)]) => replace(value, old, new, *limit)?,
        ("format", [args]) => format(run, value, args)?,
        ("wildcard" | "matchesWildcard", [Val::Text(pattern)]) => Val::Bool(wildcard::matches(pattern, value)),
        _ => return Ok(None),
    }))
}

fn simple<'a>(name: &str, value: &str, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    Ok(Some(match (name, args) {
        ("contains", [Val::Text(part)]) => Val::Bool(value.contains(part.as_ref())),
        ("startsWith", [Val::Text(part)]) => Val::Bool(value.starts_with(part.as_ref())),
        ("endsWith", [Val::Text(part)]) => Val::Bool(value.ends_with(part.as_ref())),
        ("lowerAscii", []) => text(value.to_ascii_lowercase()),
        ("upperAscii", []) => text(value.to_ascii_uppercase()),
        ("trim", []) => text(value.trim()),
        ("reverse", []) => text(value.chars().rev().collect::<String>()),
        ("charAt", [Val::Int(at)]) => {
            let length = value.chars().count();
            let at = usize::try_from(*at).ok().filter(|at| *at <= length);
            let at = at.ok_or_else(|| Error::new("the index is out of range"))?;
            text(value.chars().nth(at).map(String::from).unwrap_or_default())
        }
        ("substring", [Val::Int(from)]) => substring(value, *from, None)?,
        ("substring", [Val::Int(from), Val::Int(to)]) => substring(value, *from, Some(*to))?,
        ("indexOf", [Val::Text(part)]) => position(value, value.find(part.as_ref())),
        ("indexOf", [Val::Text(part), Val::Int(from)]) => {
            let skipped: usize = value.chars().take(usize::try_from(*from).unwrap_or(0)).map(char::len_utf8).sum();
            let found = value.get(skipped..).and_then(|rest| rest.find(part.as_ref())).map(|at| at + skipped);
            position(value, found)
        }
        ("lastIndexOf", [Val::Text(part)]) => position(value, value.rfind(part.as_ref())),
        _ => return Ok(None),
    }))
}

fn position<'a>(value: &str, bytes: Option<usize>) -> Val<'a> {
    let characters = bytes.and_then(|at| value.get(..at)).map(|before| before.chars().count());
    characters.and_then(|at| i64::try_from(at).ok()).map_or(Val::Int(-1), Val::Int)
}

fn substring<'a>(value: &str, from: i64, to: Option<i64>) -> Result<Val<'a>, Error> {
    let length = value.chars().count();
    let range = usize::try_from(from).ok().zip(to.map_or(Some(length), |to| usize::try_from(to).ok()));
    match range {
        Some((from, to)) if from <= to && to <= length => {
            Ok(text(value.chars().skip(from).take(to - from).collect::<String>()))
        }
        _ => Err(Error::new("the substring is out of range")),
    }
}

fn split<'a>(value: &str, between: &str, limit: i64) -> Val<'a> {
    let parts = |parts: &mut dyn Iterator<Item = &str>| list(parts.map(text).collect());
    match (limit, between.is_empty()) {
        (0, _) => list(Vec::new()),
        (_, true) => list(value.chars().map(|character| text(character.to_string())).collect()),
        (1.., false) => parts(&mut value.splitn(usize::try_from(limit).unwrap_or(usize::MAX), between)),
        (_, false) => parts(&mut value.split(between)),
    }
}

fn replace<'a>(value: &str, old: &str, new: &str, limit: i64) -> Result<Val<'a>, Error> {
    let places = if old.is_empty() { value.len() + 1 } else { value.matches(old).count() };
    if places.saturating_mul(new.len()).saturating_add(value.len()) > super::TEXT_MAX {
        return Err(Error::new(format!("a text would have more than {} bytes", super::TEXT_MAX)));
    }
    bounded(match usize::try_from(limit) {
        Ok(limit) => value.replacen(old, new, limit),
        Err(_) => value.replace(old, new),
    })
}

/// Texts of a list, joined.
pub(super) fn join<'a>(items: &[Val<'a>], between: &str) -> Result<Val<'a>, Error> {
    let mut texts: Vec<Cow<'_, str>> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Val::Text(value) => texts.push(Cow::Borrowed(value)),
            other => return Err(Error::new(format!("join takes texts, not {}", other.type_name()))),
        }
    }
    let size: usize = texts.iter().map(|part| part.len() + between.len()).sum();
    if size > super::TEXT_MAX {
        return Err(Error::new(format!("a text would have more than {} bytes", super::TEXT_MAX)));
    }
    bounded(texts.join(between))
}

/// `%s`, `%d`, `%f`, `%e`, `%b`, `%x`, `%X`, `%o` and `%%`.
fn format<'a>(run: &Run<'a>, template: &str, args: &Val<'a>) -> Result<Val<'a>, Error> {
    let items = args.items().ok_or_else(|| Error::new("format takes a list"))?;
    let mut next = items.into_iter();
    let mut made = String::new();
    let mut characters = template.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            made.push(character);
            continue;
        }
        let mut precision = String::new();
        let mut verb = characters.next();
        if verb == Some('.') {
            verb = characters.next();
            while let Some(digit) = verb.filter(char::is_ascii_digit) {
                precision.push(digit);
                verb = characters.next();
            }
        }
        let verb = verb.ok_or_else(|| Error::new("the format ends after %"))?;
        if verb == '%' {
            made.push('%');
            continue;
        }
        let value = next.next().ok_or_else(|| Error::new("the format has more places than there are values"))?;
        run.step(value.size().unwrap_or(1))?;
        let places =
            if precision.is_empty() { Some(6) } else { precision.parse().ok().filter(|places| *places <= 100) };
        made.push_str(&formatted(
            verb,
            &value,
            places.ok_or_else(|| Error::new("the format's precision is too large"))?,
        )?);
    }
    bounded(made)
}

fn formatted(verb: char, value: &Val<'_>, places: usize) -> Result<String, Error> {
    #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
    let number = match value {
        Val::Int(number) => Some(*number as f64),
        Val::Uint(number) => Some(*number as f64),
        Val::Double(number) => Some(*number),
        _ => None,
    };
    match (verb, value, number) {
        ('s', value, _) => Ok(value.shown()),
        ('d', Val::Int(_) | Val::Uint(_), _) => Ok(value.shown()),
        ('d', Val::Double(number), _) if number.fract() == 0.0 => Ok(value.shown()),
        ('f', _, Some(number)) => Ok(format!("{number:.places$}")),
        ('e', _, Some(number)) => Ok(format!("{number:.places$e}")),
        ('b', Val::Int(number), _) => Ok(format!("{number:b}")),
        ('b', Val::Bool(flag), _) => Ok(u8::from(*flag).to_string()),
        ('o', Val::Int(number), _) => Ok(format!("{number:o}")),
        ('x', Val::Int(number), _) => Ok(format!("{number:x}")),
        ('X', Val::Int(number), _) => Ok(format!("{number:X}")),
        ('x', Val::Text(value), _) => Ok(hex::encode(value.as_bytes())),
        _ => Err(Error::new(format!("%{verb} does not take {}", value.type_name()))),
    }
}
