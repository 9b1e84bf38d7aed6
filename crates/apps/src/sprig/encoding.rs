//! Texts that stand for something else: base 64 and 32, JSON, YAML, addresses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_template::{CallError, Value};
use serde_json::Value as Json;

use super::{Answer, bounded, from_json, map, no_such, text, to_json};
use crate::template::{Missing, dict};

pub(super) const NAMES: &[&str] = &[
    "b32dec",
    "b32enc",
    "b64dec",
    "b64enc",
    "fromJson",
    "fromYaml",
    "fromYamlArray",
    "mustFromJson",
    "mustToJson",
    "mustToPrettyJson",
    "mustToRawJson",
    "toJson",
    "toPrettyJson",
    "toRawJson",
    "toYaml",
    "urlJoin",
    "urlParse",
];

/// How deep a value may be that is written.
const DEPTH_MAX: usize = 100;

pub(super) fn call(name: &str, arguments: &[Value], missing: Missing) -> Answer {
    let [value] = arguments else { return Err(no_such(name, arguments)) };
    match name {
        "b64enc" => bounded(STANDARD.encode(text(value)?.as_bytes())),
        "b64dec" => bounded(decoded(STANDARD.decode(text(value)?.as_bytes()).ok(), "base64")),
        "b32enc" => bounded(base32(text(value)?.as_bytes())),
        "b32dec" => bounded(decoded(from_base32(&text(value)?), "base32")),
        "fromJson" | "mustFromJson" => {
            let parsed: Result<Json, _> = serde_json::from_str(&text(value)?);
            match parsed {
                Ok(json) => Ok(from_json(&json, missing)),
                Err(_) if name == "fromJson" => Ok(Value::Nil),
                Err(error) => Err(CallError::new(error.to_string())),
            }
        }
        "fromYaml" | "fromYamlArray" => yaml(&text(value)?, name == "fromYamlArray", missing),
        // Go escapes what has a meaning in HTML.
        "toJson" | "mustToJson" => bounded(escaped(&to_json(value, DEPTH_MAX)?.to_string())),
        "toRawJson" | "mustToRawJson" => bounded(to_json(value, DEPTH_MAX)?.to_string()),
        "toPrettyJson" | "mustToPrettyJson" => {
            let json = to_json(value, DEPTH_MAX)?;
            let pretty = serde_json::to_string_pretty(&json).map_err(|error| CallError::new(error.to_string()))?;
            bounded(escaped(&pretty))
        }
        "toYaml" => bounded(prograde_kustomize::yaml(&to_json(value, DEPTH_MAX)?).trim_end_matches('\n').to_owned()),
        "urlParse" => Ok(url_parts(&text(value)?, missing)),
        "urlJoin" => url_joined(value),
        _ => Err(no_such(name, arguments)),
    }
}

fn decoded(bytes: Option<Vec<u8>>, kind: &str) -> String {
    let read = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    read.unwrap_or_else(|| format!("illegal {kind} data"))
}

fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn yaml(given: &str, is_list: bool, missing: Missing) -> Answer {
    let documents = prograde_kustomize::documents("the text", given).map_err(|found| CallError::new(found.message))?;
    let json = match documents.first() {
        Some(node) => node.to_json().map_err(|found| CallError::new(found.message))?,
        None if is_list => Json::Array(Vec::new()),
        None => Json::Object(serde_json::Map::new()),
    };
    if json.is_array() != is_list || !(json.is_array() || json.is_object()) {
        return Err(CallError::new(if is_list { "the YAML is no list" } else { "the YAML is no mapping" }));
    }
    Ok(from_json(&json, missing))
}

/// Source: RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut bits = 0_u64;
        for index in 0..5 {
            bits = (bits << 8) | u64::from(chunk.get(index).copied().unwrap_or(0));
        }
        let letters = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            let five = usize::try_from((bits >> (35 - 5 * index)) & 31).unwrap_or(0);
            let letter = BASE32.get(five).copied().unwrap_or(b'=');
            out.push(if index < letters { char::from(letter) } else { '=' });
        }
    }
    out
}

fn from_base32(given: &str) -> Option<Vec<u8>> {
    if !given.len().is_multiple_of(8) {
        return None;
    }
    let mut out = Vec::new();
    for chunk in given.as_bytes().chunks(8) {
        let used = chunk.iter().take_while(|letter| **letter != b'=').count();
        let mut bits = 0_u64;
        for letter in chunk.iter().take(used) {
            let five = BASE32.iter().position(|known| known == letter)?;
            bits = (bits << 5) | u64::try_from(five).ok()?;
        }
        bits <<= 5 * (8 - used);
        out.extend(bits.to_be_bytes().iter().skip(3).take(used * 5 / 8));
    }
    Some(out)
}

const URL_PARTS: [&str; 8] = ["scheme", "host", "hostname", "path", "query", "opaque", "fragment", "userinfo"];

fn url_parts(url: &str, missing: Missing) -> Value {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
    };
    let (scheme, rest) = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", rest));
    let mut opaque = "";
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "")),
        None if !scheme.is_empty() && !rest.starts_with('/') => {
            opaque = rest;
            ("", "")
        }
        None => ("", rest),
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let name = if host.starts_with('[') {
        host.trim_start_matches('[').split(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    let values = [&scheme.to_lowercase(), host, name, path, query, opaque, fragment, user];
    let entries = URL_PARTS.iter().zip(values).map(|(part, value)| ((*part).into(), Value::from(value))).collect();
    dict(entries, missing, false)
}

fn url_joined(value: &Value) -> Answer {
    let parts = map(value)?;
    let part = |name: &str| parts.entries.get(name).and_then(Value::as_text).unwrap_or_else(|| "".into());
    let mut url = String::new();
    if !part("scheme").is_empty() {
        url.extend([&*part("scheme"), ":"]);
    }
    if !part("host").is_empty() || !part("userinfo").is_empty() {
        url.push_str("//");
        if !part("userinfo").is_empty() {
            url.extend([&*part("userinfo"), "@"]);
        }
        url.push_str(&part("host"));
        if !part("path").is_empty() && !part("path").starts_with('/') {
            url.push('/');
        }
    }
    url.push_str(&part("opaque"));
    url.push_str(&part("path"));
    for (mark, name) in [("?", "query"), ("#", "fragment")] {
        if !part(name).is_empty() {
            url.extend([mark, &*part(name)]);
        }
    }
    bounded(url)
}
