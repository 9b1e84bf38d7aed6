//! Kyverno's functions that need nothing from outside, and cel-go's for regular expressions.
//!
//! Source: Kyverno's documentation, "CEL libraries"; cel-go's extension library "Regex"
//! (<https://github.com/google/cel-go/blob/master/ext/README.md>).

use std::rc::Rc;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::Error;
use super::eval::Run;
use super::functions::{bounded, compiled};
use super::value::{Val, equal, list, text};

/// A function, if there is one of this name for these values.
pub(super) fn function<'a>(run: &Run<'a>, name: &str, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    for arg in args {
        run.step(arg.size().unwrap_or(0) / 16)?;
    }
    Ok(Some(match (name, args) {
        ("md5" | "hash.md5", [value]) => text(hex::encode(Md5::digest(value.shown()))),
        ("sha1" | "hash.sha1", [value]) => text(hex::encode(Sha1::digest(value.shown()))),
        ("sha256" | "hash.sha256", [value]) => text(hex::encode(Sha256::digest(value.shown()))),
        ("math.round", [value, Val::Int(digits)]) => rounded(value, *digits)?,
        ("regex.replace", [Val::Text(value), Val::Text(pattern), Val::Text(with)]) => {
            replaced(value, pattern, with, -1)?
        }
        ("regex.replace", [Val::Text(value), Val::Text(pattern), Val::Text(with), Val::Int(count)]) => {
            replaced(value, pattern, with, *count)?
        }
        ("regex.extract", [Val::Text(value), Val::Text(pattern)]) => {
            let found = captured(value, pattern, 1)?.into_iter().next();
            Val::Optional(found.map(|found| Rc::new(text(found))))
        }
        ("regex.extractAll", [Val::Text(value), Val::Text(pattern)]) => {
            list(captured(value, pattern, usize::MAX)?.into_iter().map(text).collect())
        }
        ("user.parseServiceAccount" | "parseServiceAccount", [Val::Text(name)]) => service_account(name),
        ("transform.listObjToMap" | "listObjToMap", [keys, values, Val::Text(key), Val::Text(value)]) => {
            mapped(run, keys, values, key, value)?
        }
        ("json.marshal" | "json.Marshal", [value]) => bounded(run.document(value)?.to_string())?,
        _ => return Ok(None),
    }))
}

fn rounded<'a>(value: &Val<'a>, digits: i64) -> Result<Val<'a>, Error> {
    let number = match value {
        Val::Double(number) => *number,
        _ => value.shown().parse().map_err(|_| Error::new("math.round takes a number"))?,
    };
    let digits = i32::try_from(digits).ok().filter(|digits| (0..=15).contains(digits));
    let scale = 10_f64.powi(digits.ok_or_else(|| Error::new("math.round takes 0 to 15 digits"))?);
    Ok(Val::Double((number * scale).round() / scale))
}

/// `\1` stands for what the first group found, `\0` for all, `\\` for itself.
fn replaced<'a>(value: &str, pattern: &str, with: &str, count: i64) -> Result<Val<'a>, Error> {
    let regex = compiled(pattern)?;
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let mut made = String::new();
    let mut from = 0;
    for found in regex.captures_iter(value).take(most) {
        let Some(whole) = found.get(0) else { continue };
        made.push_str(value.get(from..whole.start()).unwrap_or_default());
        let mut rest = with.chars();
        while let Some(next) = rest.next() {
            match (next, if next == '\\' { rest.next() } else { None }) {
                ('\\', Some(digit)) if digit.is_ascii_digit() => {
                    let group = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(0);
                    if group >= regex.captures_len() {
                        return Err(Error::new(format!("the expression has no group {group}")));
                    }
                    made.push_str(found.get(group).map_or("", |found| found.as_str()));
                }
                ('\\', Some('\\')) => made.push('\\'),
                ('\\', _) => {
                    return Err(Error::new("a backslash in a replacement stands before a digit or a backslash"));
                }
                (plain, _) => made.push(plain),
            }
        }
        if made.len() > super::TEXT_MAX {
            break;
        }
        from = whole.end();
    }
    made.push_str(value.get(from..).unwrap_or_default());
    bounded(made)
}

/// What the expression's one group found, or the whole where it has none.
fn captured(value: &str, pattern: &str, most: usize) -> Result<Vec<String>, Error> {
    let regex = compiled(pattern)?;
    if regex.captures_len() > 2 {
        return Err(Error::new("the expression has more than one group"));
    }
    let group = regex.captures_len() - 1;
    let found = regex.captures_iter(value).take(most).filter_map(|found| found.get(group));
    Ok(found.map(|found| found.as_str().to_owned()).collect())
}

fn service_account<'a>(name: &str) -> Val<'a> {
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (namespace, name) = account.unwrap_or_default();
    Val::Map(Rc::new(vec![(text("Name"), text(name)), (text("Namespace"), text(namespace))]))
}

/// A map of what one list has under a key to what another has under another, one by one.
fn mapped<'a>(run: &Run<'a>, keys: &Val<'a>, values: &Val<'a>, key: &str, value: &str) -> Result<Val<'a>, Error> {
    let (Some(keys), Some(values)) = (keys.items(), values.items()) else {
        return Err(Error::new("listObjToMap takes two lists of objects"));
    };
    if keys.len() != values.len() {
        return Err(Error::new("listObjToMap takes lists of one length"));
    }
    let mut made: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(keys.len());
    for (of_key, of_value) in keys.iter().zip(&values) {
        run.step(1 + made.len())?;
        let Some(name @ Val::Text(_)) = of_key.entry(&text(key)) else {
            return Err(Error::new(format!("listObjToMap: an object has no text `{key}`")));
        };
        let found = of_value.entry(&text(value)).unwrap_or(Val::Null);
        made.retain(|(known, _)| !equal(known, &name));
        made.push((name, found));
    }
    Ok(Val::Map(Rc::new(made)))
}
