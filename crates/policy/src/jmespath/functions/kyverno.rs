//! Kyverno's functions.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::super::text::{in_range, regex, replacement};
use super::super::time::Moment;
use super::super::{Error, equal, number};
use super::arithmetic::{add, divide, modulo, multiply, subtract, sum};
use super::{Call, Function, function, go_string};
use crate::{duration, image, wildcard};

pub(super) static FUNCTIONS: [Function; 52] = [
    function("compare", 2, 2, |c| Ok(Value::from(c.text(0)?.cmp(c.text(1)?) as i8))),
    function("equal_fold", 2, 2, |c| Ok(Value::Bool(c.text(0)?.to_lowercase() == c.text(1)?.to_lowercase()))),
    function("replace", 4, 4, replace),
    function("replace_all", 3, 3, replace_all),
    function("to_upper", 1, 1, |c| c.made(c.text(0)?.to_uppercase())),
    function("to_lower", 1, 1, |c| c.made(c.text(0)?.to_lowercase())),
    function("trim", 2, 2, |c| {
        let cut: Vec<char> = c.text(1)?.chars().collect();
        c.made(c.text(0)?.trim_matches(cut.as_slice()).to_owned())
    }),
    function("trim_prefix", 2, 2, |c| {
        let text = c.text(0)?;
        c.made(text.strip_prefix(c.text(1)?).unwrap_or(text).to_owned())
    }),
    function("split", 2, 2, split),
    function("regex_replace_all", 3, 3, |c| {
        let replaced = pattern(c)?.replace_all(&c.written(1)?, replacement(&c.written(2)?).as_str()).into_owned();
        c.made(replaced)
    }),
    function("regex_replace_all_literal", 3, 3, |c| {
        let replaced = pattern(c)?.replace_all(&c.written(1)?, regex::NoExpand(&c.written(2)?)).into_owned();
        c.made(replaced)
    }),
    function("regex_match", 2, 2, |c| Ok(Value::Bool(pattern(c)?.is_match(&c.written(1)?)))),
    function("pattern_match", 2, 2, |c| Ok(Value::Bool(wildcard::matches(c.text(0)?, &c.written(1)?)))),
    function("label_match", 2, 2, |c| {
        let (wanted, labels) = (c.object(0)?, c.object(1)?);
        Ok(Value::Bool(wanted.iter().all(|(name, value)| labels.get(name).is_some_and(|found| equal(found, value)))))
    }),
    function("to_boolean", 1, 1, |c| match c.text(0)?.to_lowercase().as_str() {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        other => Err(c.failed(format!("`{other}` is neither true nor false"))),
    }),
    function("add", 2, 2, add),
    function("sum", 1, 1, sum),
    function("subtract", 2, 2, subtract),
    function("multiply", 2, 2, multiply),
    function("divide", 2, 2, divide),
    function("modulo", 2, 2, modulo),
    function("round", 2, 2, round),
    function("base64_decode", 1, 1, |c| {
        let bytes = STANDARD.decode(c.text(0)?).map_err(|error| c.failed(error))?;
        c.made(String::from_utf8_lossy(&bytes).into_owned())
    }),
    function("base64_encode", 1, 1, |c| c.made(STANDARD.encode(c.text(0)?))),
    function("time_since", 3, 3, time_since),
    function("time_now", 0, 0, |c| Ok(Value::String(now(c).format()))),
    function("time_now_utc", 0, 0, |c| Ok(Value::String(now(c).format()))),
    function("path_canonicalize", 1, 1, |c| c.made(canonical_path(c.text(0)?))),
    function("truncate", 2, 2, |c| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Rust's casts of floats saturate")]
        let length = c.number(1)?.max(0.0) as usize;
        Ok(Value::String(c.text(0)?.chars().take(length).collect()))
    }),
    function("semver_compare", 2, 2, |c| {
        in_range(c.text(0)?, c.text(1)?).map(Value::Bool).map_err(|why| c.failed(why))
    }),
    function("parse_json", 1, 1, |c| serde_json::from_str(c.text(0)?).map_err(|error| c.failed(error))),
    function("parse_yaml", 1, 1, parse_yaml),
    function("lookup", 2, 2, lookup),
    function("items", 3, 3, items),
    function("object_from_lists", 2, 2, object_from_lists),
    function("x509_decode", 1, 1, |c| super::certificate::decode(c.text(0)?).map_err(|why| c.failed(why))),
    function("random", 1, 1, random),
    function("time_to_cron", 1, 1, |c| {
        let at = time(c, 0)?;
        let civil = at.offset.to_datetime(at.at);
        let weekday = civil.weekday().to_sunday_zero_offset();
        c.made(format!("{} {} {} {} {weekday}", civil.minute(), civil.hour(), civil.day(), civil.month()))
    }),
    function("time_add", 2, 2, |c| {
        let later = time(c, 0)?.plus(span(c, 1)?).ok_or_else(|| c.failed("the time is out of range"))?;
        c.made(later.format())
    }),
    function("time_parse", 2, 2, time_parse),
    function("time_utc", 1, 1, |c| {
        let at = time(c, 0)?.at;
        c.made(Moment { at, offset: jiff::tz::Offset::UTC }.format())
    }),
    function("time_diff", 2, 2, |c| c.made(duration::format(time(c, 1)?.since(time(c, 0)?)))),
    function("time_before", 2, 2, |c| Ok(Value::Bool(time(c, 0)?.at < time(c, 1)?.at))),
    function("time_after", 2, 2, |c| Ok(Value::Bool(time(c, 0)?.at > time(c, 1)?.at))),
    function("time_between", 3, 3, |c| {
        let at = time(c, 0)?.at;
        Ok(Value::Bool(at > time(c, 1)?.at && at < time(c, 2)?.at))
    }),
    function("time_truncate", 2, 2, |c| {
        let cut = time(c, 0)?.truncated(span(c, 1)?).ok_or_else(|| c.failed("the time is out of range"))?;
        c.made(cut.format())
    }),
    function("image_normalize", 1, 1, |c| {
        let image = image::Image::parse(c.text(0)?).map_err(|why| c.failed(why))?;
        c.made(image.to_string())
    }),
    function("is_external_url", 1, 1, is_external_url),
    function("sha256", 1, 1, |c| Ok(Value::String(hex::encode(Sha256::digest(c.text(0)?))))),
    function("sha1", 1, 1, |c| Ok(Value::String(hex::encode(Sha1::digest(c.text(0)?))))),
    function("md5", 1, 1, |c| Ok(Value::String(hex::encode(Md5::digest(c.text(0)?))))),
    function("to_json", 1, 1, |c| c.made(go_string(c.value(0)?))),
];

/// A text of a pattern, where a seed is given.
fn random(c: &Call<'_, '_>) -> Result<Value, Error> {
    let pattern = c.text(0)?;
    let Some((seed, draw)) = c.run.scope.draw() else {
        return Err(c.failed("policies are evaluated without randomness; write a fixed text"));
    };
    super::random::text(pattern, seed, draw).map(Value::String).map_err(|why| c.failed(why))
}

fn pattern(c: &Call<'_, '_>) -> Result<regex::Regex, Error> {
    regex(c.text(0)?).map_err(|why| c.failed(why))
}

fn replace(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (text, old, new, count) = (c.text(0)?, c.text(1)?, c.text(2)?, c.number(3)?);
    if count < 0.0 {
        return replace_all(c);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Rust's casts of floats saturate")]
    let count = count as usize;
    bounded_replace(c, text, old, new)?;
    c.made(text.replacen(old, new, count))
}

fn replace_all(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (text, old, new) = (c.text(0)?, c.text(1)?, c.text(2)?);
    bounded_replace(c, text, old, new)?;
    c.made(text.replace(old, new))
}

/// Refuses a replacement before it grows too large.
fn bounded_replace(c: &Call<'_, '_>, text: &str, old: &str, new: &str) -> Result<(), Error> {
    let places = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    if places.saturating_mul(new.len()).saturating_add(text.len()) > super::TEXT_MAX {
        return Err(c.failed(format!("the text would have more than {} bytes", super::TEXT_MAX)));
    }
    Ok(())
}

fn split(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (text, separator) = (c.text(0)?, c.text(1)?);
    if separator.is_empty() {
        return Ok(text.chars().map(|character| Value::String(character.to_string())).collect());
    }
    Ok(text.split(separator).map(Value::from).collect())
}

fn round(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (value, places) = (c.number(0)?, c.number(1)?);
    if places.fract() != 0.0 || !(0.0..=300.0).contains(&places) {
        return Err(c.failed("the number of places must be whole and not negative"));
    }
    let shift = 10_f64.powf(places);
    Ok(number((value * shift).round() / shift))
}

fn now(c: &Call<'_, '_>) -> Moment {
    Moment { at: c.run.scope.now(), offset: jiff::tz::Offset::UTC }
}

fn time(c: &Call<'_, '_>, index: usize) -> Result<Moment, Error> {
    Moment::parse(c.text(index)?).map_err(|why| c.failed(why))
}

fn span(c: &Call<'_, '_>, index: usize) -> Result<i64, Error> {
    let text = c.text(index)?;
    duration::parse(text).ok_or_else(|| c.failed(format!("`{text}` is no duration")))
}

fn time_since(c: &Call<'_, '_>) -> Result<Value, Error> {
    let read = |index: usize| {
        let (layout, text) = (c.text(0)?, c.text(index)?);
        let read = if layout.is_empty() { Moment::parse(text) } else { Moment::with_layout(layout, text) };
        read.map_err(|why| c.failed(why))
    };
    let from = read(1)?;
    let to = if c.text(2)?.is_empty() { now(c) } else { read(2)? };
    c.made(duration::format(to.since(from)))
}

fn time_parse(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (layout, text) = (c.text(0)?, c.text(1)?);
    if layout.parse::<i64>().is_ok() {
        let seconds = text.parse().map_err(|error| c.failed(error))?;
        let at = jiff::Timestamp::from_second(seconds).map_err(|error| c.failed(error))?;
        return c.made(Moment { at, offset: jiff::tz::Offset::UTC }.format());
    }
    let at = Moment::with_layout(layout, text).map_err(|why| c.failed(why))?;
    c.made(at.format())
}

/// As Go's `filepath.Join` cleans one path.
fn canonical_path(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn parse_yaml(c: &Call<'_, '_>) -> Result<Value, Error> {
    let documents = prograde_yaml::documents("parse_yaml", c.text(0)?).map_err(|error| c.failed(error.message))?;
    Ok(documents.first().map_or(Value::Null, prograde_yaml::Node::to_json))
}

fn lookup(c: &Call<'_, '_>) -> Result<Value, Error> {
    match c.value(0)? {
        Value::Object(entries) => Ok(entries.get(c.text(1)?).cloned().unwrap_or(Value::Null)),
        Value::Array(items) => {
            let index = c.number(1)?;
            if index.fract() != 0.0 {
                return Err(c.wrong(1, "a whole number"));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked, and casts saturate")]
            let found = (index >= 0.0).then(|| items.get(index as usize)).flatten();
            Ok(found.cloned().unwrap_or(Value::Null))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(c.wrong(0, "an object or a list")),
    }
}

fn items(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (key_name, value_name) = (c.text(1)?, c.text(2)?);
    let pair = |key: Value, value: &Value| {
        Value::Object(Map::from_iter([(key_name.to_owned(), key), (value_name.to_owned(), value.clone())]))
    };
    match c.value(0)? {
        Value::Object(entries) => {
            let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            Ok(entries.into_iter().map(|(name, value)| pair(Value::String(name.clone()), value)).collect())
        }
        Value::Array(items) => Ok(items.iter().enumerate().map(|(at, value)| pair(Value::from(at), value)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(c.wrong(0, "an object or a list")),
    }
}

fn object_from_lists(c: &Call<'_, '_>) -> Result<Value, Error> {
    let (keys, values) = (c.list(0)?, c.list(1)?);
    let mut object = Map::new();
    for (at, key) in keys.iter().enumerate() {
        if key.is_null() || key.is_array() || key.is_object() {
            return Err(c.wrong(0, "a list of texts"));
        }
        object.insert(go_string(key), values.get(at).cloned().unwrap_or(Value::Null));
    }
    Ok(Value::Object(object))
}

/// Names are not looked up: policies are evaluated without the network.
fn is_external_url(c: &Call<'_, '_>) -> Result<Value, Error> {
    let url = c.text(0)?;
    let authority =
        url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address: IpAddr =
        host.parse().map_err(|_| c.failed(format!("`{host}` is no address, and names are not looked up here")))?;
    let private = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    };
    Ok(Value::Bool(!private))
}
