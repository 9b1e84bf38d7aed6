//! Functions and methods of expressions: CEL's own, Kubernetes' and Kyverno's.
//!
//! Source: the CEL language definition, "Standard definitions"; cel-go's extension libraries
//! (<https://github.com/google/cel-go/blob/master/ext/README.md>); Kubernetes' documentation, "Common Expression Language
//! in Kubernetes", "Kubernetes CEL libraries"; Kyverno's documentation, "CEL libraries".

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cel::common::ast::operators;
use semver::Version;

use super::eval::{Run, overflow};
use super::value::{Url, Val, compare, equal, json, list, owned_json, text};
use super::{Error, TEXT_MAX, generator, kyverno, net, strings};
use crate::duration;
use crate::image::Image;
use crate::jmespath::regex;
use crate::quantity::Quantity;

fn wrong(name: &str, args: &[Val<'_>]) -> Error {
    let types: Vec<&str> = args.iter().map(Val::type_name).collect();
    Error::new(format!("no overload of {name} takes ({})", types.join(", ")))
}

/// `+`, `-`, `*`, `/` and `%`.
pub(super) fn arithmetic<'a>(run: &Run<'a>, name: &str, left: Val<'a>, right: Val<'a>) -> Result<Val<'a>, Error> {
    if name == operators::ADD {
        return add(run, left, right);
    }
    match (&left, &right) {
        (Val::Int(a), Val::Int(b)) => integer(name, *a, *b),
        (Val::Uint(a), Val::Uint(b)) => {
            let made = match name {
                operators::SUBSTRACT => a.checked_sub(*b),
                operators::MULTIPLY => a.checked_mul(*b),
                operators::DIVIDE => a.checked_div(*b),
                operators::MODULO => a.checked_rem(*b),
                _ => return Err(wrong(name, &[left, right])),
            };
            made.map(Val::Uint).ok_or_else(overflow)
        }
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(match name {
            operators::SUBSTRACT => a - b,
            operators::MULTIPLY => a * b,
            operators::DIVIDE => a / b,
            _ => return Err(wrong(name, &[left, right])),
        })),
        (Val::Time(a), Val::Time(b)) if name == operators::SUBSTRACT => {
            let nano = a.as_nanosecond() - b.as_nanosecond();
            i64::try_from(nano).map(Val::Duration).map_err(|_| overflow())
        }
        (Val::Time(a), Val::Duration(b)) if name == operators::SUBSTRACT => shifted(*a, b.checked_neg()),
        (Val::Duration(a), Val::Duration(b)) if name == operators::SUBSTRACT => {
            a.checked_sub(*b).map(Val::Duration).ok_or_else(overflow)
        }
        _ => Err(wrong(name, &[left, right])),
    }
}

fn integer<'a>(name: &str, a: i64, b: i64) -> Result<Val<'a>, Error> {
    let made = match name {
        operators::SUBSTRACT => a.checked_sub(b),
        operators::MULTIPLY => a.checked_mul(b),
        operators::DIVIDE | operators::MODULO if b == 0 => return Err(Error::new("division by zero")),
        operators::DIVIDE => a.checked_div(b),
        operators::MODULO => a.checked_rem(b),
        _ => return Err(wrong(name, &[Val::Int(a), Val::Int(b)])),
    };
    made.map(Val::Int).ok_or_else(overflow)
}

fn shifted<'a>(at: jiff::Timestamp, by: Option<i64>) -> Result<Val<'a>, Error> {
    let nano = at.as_nanosecond() + i128::from(by.ok_or_else(overflow)?);
    jiff::Timestamp::from_nanosecond(nano).map(Val::Time).map_err(|_| overflow())
}

fn add<'a>(run: &Run<'a>, left: Val<'a>, right: Val<'a>) -> Result<Val<'a>, Error> {
    match (&left, &right) {
        (Val::Int(a), Val::Int(b)) => a.checked_add(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => a.checked_add(*b).map(Val::Uint).ok_or_else(overflow),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        (Val::Text(a), Val::Text(b)) => {
            run.step((a.len() + b.len()) / 16)?;
            bounded(format!("{a}{b}"))
        }
        (Val::Bytes(a), Val::Bytes(b)) => Ok(Val::Bytes(a.iter().chain(b.iter()).copied().collect())),
        (Val::Time(at), Val::Duration(by)) | (Val::Duration(by), Val::Time(at)) => shifted(*at, Some(*by)),
        (Val::Duration(a), Val::Duration(b)) => a.checked_add(*b).map(Val::Duration).ok_or_else(overflow),
        _ => match (left.items(), right.items()) {
            (Some(mut a), Some(b)) => {
                run.step(a.len() + b.len())?;
                a.extend(b);
                Ok(list(a))
            }
            _ => Err(wrong("+", &[left, right])),
        },
    }
}

/// A text that was made, which is bounded.
pub(super) fn bounded<'a>(made: String) -> Result<Val<'a>, Error> {
    if made.len() > TEXT_MAX {
        return Err(Error::new(format!("a text would have more than {TEXT_MAX} bytes")));
    }
    Ok(text(made))
}

/// Functions that stand alone or in a namespace.
pub(super) fn global<'a>(run: &Run<'a>, name: &str, args: &[Val<'a>]) -> Result<Val<'a>, Error> {
    match (name, args) {
        ("size", [value]) => size(value).ok_or_else(|| wrong(name, args)),
        ("type", [value]) => Ok(Val::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        ("int" | "uint" | "double" | "string" | "bool" | "bytes" | "duration" | "timestamp", [value]) => {
            convert(name, value)
        }
        ("optional.of", [value]) => Ok(Val::Optional(Some(Rc::new(value.clone())))),
        ("optional.none", []) => Ok(Val::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => Ok(Val::Optional((!is_zero(value)).then(|| Rc::new(value.clone())))),
        ("base64.encode", [Val::Bytes(bytes)]) => bounded(STANDARD.encode(bytes)),
        ("base64.encode", [Val::Text(value)]) => bounded(STANDARD.encode(value.as_bytes())),
        ("base64.decode", [Val::Text(value)]) => STANDARD
            .decode(value.as_bytes())
            .map(|bytes| Val::Bytes(bytes.into()))
            .map_err(|error| Error::new(error.to_string())),
        ("strings.quote", [Val::Text(value)]) => bounded(format!("{value:?}")),
        ("lists.range", [Val::Int(count)]) => {
            let count = usize::try_from(*count).unwrap_or(0);
            run.step(count)?;
            Ok(list((0_i64..).take(count).map(Val::Int).collect()))
        }
        ("math.greatest" | "math.least", _) => extreme(name, args),
        ("math.abs", [Val::Int(number)]) => number.checked_abs().map(Val::Int).ok_or_else(overflow),
        ("math.abs", [Val::Double(number)]) => Ok(Val::Double(number.abs())),
        ("math.ceil", [Val::Double(number)]) => Ok(Val::Double(number.ceil())),
        ("math.floor", [Val::Double(number)]) => Ok(Val::Double(number.floor())),
        ("math.round", [Val::Double(number)]) => Ok(Val::Double(number.round())),
        ("sets.contains" | "sets.intersects" | "sets.equivalent", [left, right]) => sets(run, name, left, right),
        ("json.unmarshal" | "json.Unmarshal", [Val::Text(value)]) => {
            serde_json::from_str(value).map(owned_json).map_err(|error| Error::new(error.to_string()))
        }
        ("yaml.parse" | "yaml.Parse", [Val::Text(value)]) => {
            let documents = prograde_yaml::documents("yaml", value).map_err(|error| Error::new(error.message))?;
            Ok(documents.first().map_or(Val::Null, |document| owned_json(document.to_json())))
        }
        ("time.now", []) => Ok(Val::Time(run.now)),
        ("generator.apply" | "generator.Apply", [Val::Text(namespace), resources]) => {
            generator::apply(run, namespace, resources)
        }
        ("jsonpatch.escapeKey", [Val::Text(key)]) => bounded(key.replace('~', "~0").replace('/', "~1")),
        (
            "verifyImageSignatures" | "verifyAttestationSignatures" | "extractPayload" | "payload" | "authorizer.check",
            _,
        ) => Err(unknown(name)),
        _ => match (kubernetes(name, args), kyverno::function(run, name, args)?) {
            (Some(made), _) => made,
            (None, Some(made)) => Ok(made),
            (None, None) => outside(run, name, args),
        },
    }
}

/// Functions of Kubernetes' libraries, and Kyverno's of images, which make values with methods from texts.
fn kubernetes<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<Val<'a>, Error>> {
    Some(match (name, args) {
        ("quantity", [Val::Text(value)]) => {
            Quantity::parse(value).map(Val::Quantity).ok_or_else(|| Error::new(format!("`{value}` is no quantity")))
        }
        ("isQuantity", [Val::Text(value)]) => Ok(Val::Bool(Quantity::parse(value).is_some())),
        ("url", [Val::Text(value)]) => {
            url(value).map(|url| Val::Url(Rc::new(url))).ok_or_else(|| Error::new(format!("`{value}` is no URL")))
        }
        ("isURL", [Val::Text(value)]) => Ok(Val::Bool(url(value).is_some())),
        ("ip" | "isIP" | "ip.isCanonical" | "cidr" | "isCIDR", [Val::Text(value)]) => net::function(name, value),
        ("semver", [Val::Text(value)]) => {
            Version::parse(value).map(|v| Val::Version(Rc::new(v))).map_err(|error| Error::new(error.to_string()))
        }
        ("isSemver", [Val::Text(value)]) => Ok(Val::Bool(Version::parse(value).is_ok())),
        ("image" | "parseImageReference", [Val::Text(value)]) => {
            Image::parse(value).map(|image| Val::Image(Rc::new(image))).map_err(Error::new)
        }
        ("isImage", [Val::Text(value)]) => Ok(Val::Bool(Image::parse(value).is_ok())),
        _ => return None,
    })
}

fn unknown(name: &str) -> Error {
    Error::new(format!("{name} needs a cluster or the network, which are not asked here"))
}

/// Functions about what lies outside, as far as it was given.
fn outside<'a>(run: &Run<'a>, name: &str, args: &[Val<'a>]) -> Result<Val<'a>, Error> {
    let world = run.outside;
    match (name.to_ascii_lowercase().as_str(), args) {
        ("resource.get", [Val::Text(api), Val::Text(resources), Val::Text(namespace), Val::Text(wanted)]) => {
            if world.resources.is_empty() {
                return Err(unknown(name));
            }
            let found = world.resource(api, resources, namespace, wanted);
            found
                .map(json)
                .ok_or_else(|| Error::new(format!("{resources} {namespace}/{wanted} is not among the resources")))
        }
        ("resource.list", [Val::Text(api), Val::Text(resources), Val::Text(namespace)]) => {
            if world.resources.is_empty() {
                return Err(unknown(name));
            }
            Ok(owned_json(world.list(api, resources, namespace)))
        }
        ("resource.post", [Val::Text(api), Val::Text(resources), _]) => posted(run, name, api, resources, ""),
        ("resource.post", [Val::Text(api), Val::Text(resources), Val::Text(namespace), _]) => {
            posted(run, name, api, resources, namespace)
        }
        ("globalcontext.get", [Val::Text(entry), Val::Text(projection)]) => {
            let found = world.globals.get(entry.as_ref()).ok_or_else(|| unknown(name))?;
            if projection.is_empty() {
                return Ok(json(found));
            }
            found
                .get(projection.as_ref())
                .map(json)
                .ok_or_else(|| Error::new(format!("{entry} has no projection {projection}")))
        }
        ("http.get" | "http.post", [Val::Text(url), ..]) => {
            let method = if name.to_ascii_lowercase().ends_with("get") { "GET" } else { "POST" };
            let (status, body) = world.answer(method, url).ok_or_else(|| unknown(name))?;
            Ok(owned_json(serde_json::json!({"body": body, "statusCode": status})))
        }
        ("image.getmetadata", [Val::Text(image)]) => {
            world.images.get(image.as_ref()).map(json).ok_or_else(|| unknown(name))
        }
        _ => Err(wrong(name, args)),
    }
}

/// The answer that was given for what is sent to a cluster.
fn posted<'a>(run: &Run<'a>, name: &str, api: &str, resources: &str, namespace: &str) -> Result<Val<'a>, Error> {
    let root = if api.contains('/') { "/apis" } else { "/api" };
    let place = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    let url = format!("{root}/{api}{place}/{resources}");
    match run.outside.answer("POST", &url).ok_or_else(|| unknown(name))? {
        (200..300, body) => Ok(owned_json(body)),
        (status, _) => Err(Error::new(format!("POST {url} was answered with {status}"))),
    }
}

fn size<'a>(value: &Val<'_>) -> Option<Val<'a>> {
    value.size().and_then(|size| i64::try_from(size).ok()).map(Val::Int)
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null => true,
        Val::Bool(flag) => !flag,
        Val::Int(number) => *number == 0,
        Val::Uint(number) => *number == 0,
        Val::Double(number) => *number == 0.0,
        other => other.size() == Some(0),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "ranges are checked; CEL rounds so"
)]
fn convert<'a>(name: &str, value: &Val<'a>) -> Result<Val<'a>, Error> {
    let unreadable = |value: &str| Error::new(format!("`{value}` is no {name}"));
    match (name, value) {
        ("int", Val::Int(_))
        | ("uint", Val::Uint(_))
        | ("double", Val::Double(_))
        | ("string", Val::Text(_))
        | ("bool", Val::Bool(_))
        | ("bytes", Val::Bytes(_))
        | ("duration", Val::Duration(_))
        | ("timestamp", Val::Time(_)) => Ok(value.clone()),
        ("int", Val::Uint(number)) => i64::try_from(*number).map(Val::Int).map_err(|_| overflow()),
        ("int", Val::Double(number)) if number.abs() < 9.2e18 => Ok(Val::Int(*number as i64)),
        ("int", Val::Text(text)) => text.parse().map(Val::Int).map_err(|_| unreadable(text)),
        ("int", Val::Time(at)) => Ok(Val::Int(at.as_second())),
        ("int", Val::Duration(nano)) => Ok(Val::Int(nano / 1_000_000_000)),
        ("uint", Val::Int(number)) => u64::try_from(*number).map(Val::Uint).map_err(|_| overflow()),
        ("uint", Val::Double(number)) if *number >= 0.0 && *number < 1.8e19 => Ok(Val::Uint(*number as u64)),
        ("uint", Val::Text(text)) => text.parse().map(Val::Uint).map_err(|_| unreadable(text)),
        ("double", Val::Int(number)) => Ok(Val::Double(*number as f64)),
        ("double", Val::Uint(number)) => Ok(Val::Double(*number as f64)),
        ("double", Val::Text(text)) => text.parse().map(Val::Double).map_err(|_| unreadable(text)),
        ("bool", Val::Text(text)) => match text.as_ref() {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Val::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Val::Bool(false)),
            other => Err(unreadable(other)),
        },
        ("bytes", Val::Text(text)) => Ok(Val::Bytes(text.as_bytes().into())),
        ("duration", Val::Text(text)) => duration::parse(text).map(Val::Duration).ok_or_else(|| unreadable(text)),
        ("timestamp", Val::Text(text)) => text.parse().map(Val::Time).map_err(|_| unreadable(text)),
        ("timestamp", Val::Int(second)) => jiff::Timestamp::from_second(*second).map(Val::Time).map_err(|_| overflow()),
        ("string", Val::Bytes(bytes)) => {
            String::from_utf8(bytes.to_vec()).map(text).map_err(|_| Error::new("the bytes are no UTF-8"))
        }
        ("string", Val::Null | Val::List(_) | Val::Map(_) | Val::Json(_) | Val::Variables | Val::Optional(_)) => {
            Err(wrong(name, std::slice::from_ref(value)))
        }
        ("string", other) => Ok(super::eval::message(other)),
        _ => Err(wrong(name, std::slice::from_ref(value))),
    }
}

fn extreme<'a>(name: &str, args: &[Val<'a>]) -> Result<Val<'a>, Error> {
    let items = match args {
        [one] => one.items().unwrap_or_else(|| args.to_vec()),
        _ => args.to_vec(),
    };
    let greatest = name == "math.greatest";
    let mut best: Option<Val<'a>> = None;
    for item in items {
        let better = match &best {
            None => true,
            Some(known) => compare(&item, known)?.is_gt() == greatest && !equal(&item, known),
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| wrong(name, args))
}

fn sets<'a>(run: &Run<'a>, name: &str, left: &Val<'a>, right: &Val<'a>) -> Result<Val<'a>, Error> {
    let (Some(a), Some(b)) = (left.items(), right.items()) else {
        return Err(wrong(name, &[left.clone(), right.clone()]));
    };
    run.step(a.len().saturating_mul(b.len()))?;
    let within = |some: &[Val<'_>], all: &[Val<'_>]| some.iter().all(|item| all.iter().any(|known| equal(known, item)));
    Ok(Val::Bool(match name {
        "sets.contains" => within(&b, &a),
        "sets.equivalent" => within(&b, &a) && within(&a, &b),
        _ => a.iter().any(|item| b.iter().any(|known| equal(known, item))),
    }))
}

/// Methods.
pub(super) fn method<'a>(run: &Run<'a>, name: &str, target: &Val<'a>, args: &[Val<'a>]) -> Result<Val<'a>, Error> {
    if name == "size" && args.is_empty() {
        return size(target).ok_or_else(|| wrong(name, std::slice::from_ref(target)));
    }
    let found = match target {
        Val::Text(value) => strings::method(run, name, value, args)?,
        Val::List(_) | Val::Json(serde_json::Value::Array(_)) => of_list(run, name, target, args)?,
        Val::Optional(value) => match (name, args) {
            ("hasValue", []) => Some(Val::Bool(value.is_some())),
            ("value", []) => {
                Some(value.as_ref().map(|value| (**value).clone()).ok_or_else(|| Error::new("the optional is empty"))?)
            }
            _ => None,
        },
        Val::Quantity(quantity) => of_quantity(name, *quantity, args),
        Val::Duration(nano) => of_duration(name, *nano),
        Val::Time(at) => of_time(name, *at, args)?,
        Val::Url(url) => of_url(name, url),
        Val::Ip(address) => net::of_ip(name, *address),
        Val::Cidr(address, bits) => net::of_cidr(name, *address, *bits, args)?,
        Val::Version(version) => of_version(name, version, args),
        Val::Image(image) => of_image(name, image),
        Val::Map(_) | Val::Json(_) => of_map(name, args)?,
        _ => None,
    };
    found.ok_or_else(|| {
        let mut all = vec![target.clone()];
        all.extend_from_slice(args);
        wrong(&format!(".{name}()"), &all)
    })
}

fn of_map<'a>(name: &str, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    // Kyverno's JSON documents carry functions of the cluster under these names.
    if matches!(name, "Get" | "List" | "get" | "list") && !args.is_empty() {
        return Err(Error::new(format!("{name} needs a cluster, which is not asked here")));
    }
    Ok(None)
}

fn of_list<'a>(run: &Run<'a>, name: &str, target: &Val<'a>, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    let items = target.items().unwrap_or_default();
    run.step(items.len())?;
    let index = |at: Option<usize>| at.and_then(|at| i64::try_from(at).ok()).map_or(Val::Int(-1), Val::Int);
    Ok(Some(match (name, args) {
        ("isSorted", []) => {
            let mut sorted = true;
            for pair in items.windows(2) {
                if let [a, b] = pair {
                    sorted &= compare(a, b)?.is_le();
                }
            }
            Val::Bool(sorted)
        }
        ("sum", []) => {
            let mut total: Option<Val<'a>> = None;
            for item in items {
                total = Some(match total {
                    None => item,
                    Some(total) => add(run, total, item)?,
                });
            }
            total.unwrap_or(Val::Int(0))
        }
        ("min" | "max", []) => extreme(if name == "max" { "math.greatest" } else { "math.least" }, &items)?,
        ("indexOf", [wanted]) => index(items.iter().position(|item| equal(item, wanted))),
        ("lastIndexOf", [wanted]) => index(items.iter().rposition(|item| equal(item, wanted))),
        ("contains", [wanted]) => Val::Bool(items.iter().any(|item| equal(item, wanted))),
        ("join", []) => strings::join(&items, "")?,
        ("join", [Val::Text(between)]) => strings::join(&items, between)?,
        ("reverse", []) => list(items.into_iter().rev().collect()),
        ("first", []) => Val::Optional(items.first().cloned().map(Rc::new)),
        ("last", []) => Val::Optional(items.last().cloned().map(Rc::new)),
        ("distinct", []) => {
            run.step(items.len().saturating_mul(items.len()))?;
            let mut kept: Vec<Val<'a>> = Vec::new();
            for item in items {
                if !kept.iter().any(|known| equal(known, &item)) {
                    kept.push(item);
                }
            }
            list(kept)
        }
        ("sort", []) => {
            let mut items = items;
            for item in &items {
                compare(item, items.first().unwrap_or(item))?;
            }
            items.sort_by(|a, b| compare(a, b).unwrap_or(std::cmp::Ordering::Equal));
            list(items)
        }
        ("slice", [Val::Int(from), Val::Int(to)]) => {
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            let part = range.and_then(|(from, to)| items.get(from..to));
            list(part.ok_or_else(|| Error::new("the slice is out of bounds"))?.to_vec())
        }
        ("flatten", []) => flatten(items, 1),
        ("flatten", [Val::Int(depth)]) => flatten(items, (*depth).clamp(0, 32)),
        _ => return Ok(None),
    }))
}

fn flatten(items: Vec<Val<'_>>, depth: i64) -> Val<'_> {
    let mut made = Vec::new();
    for item in items {
        match item.items() {
            Some(inner) if depth > 0 => match flatten(inner, depth - 1) {
                Val::List(inner) => made.extend(inner.iter().cloned()),
                other => made.push(other),
            },
            _ => made.push(item),
        }
    }
    list(made)
}

fn of_quantity<'a>(name: &str, quantity: Quantity, args: &[Val<'a>]) -> Option<Val<'a>> {
    Some(match (name, args) {
        ("isLessThan", [Val::Quantity(other)]) => Val::Bool(quantity.nano < other.nano),
        ("isGreaterThan", [Val::Quantity(other)]) => Val::Bool(quantity.nano > other.nano),
        ("compareTo", [Val::Quantity(other)]) => Val::Int(quantity.nano.cmp(&other.nano) as i64),
        ("sign", []) => Val::Int(i64::try_from(quantity.nano.signum()).unwrap_or(0)),
        ("isInteger", []) => Val::Bool(quantity.as_whole().is_some()),
        ("asInteger", []) => Val::Int(quantity.as_whole()?),
        ("asApproximateFloat", []) => Val::Double(quantity.as_f64()),
        ("add" | "sub", [other]) => {
            let other = match other {
                Val::Quantity(other) => *other,
                Val::Int(number) => Quantity::whole(*number, quantity.format),
                _ => return None,
            };
            let nano = if name == "add" {
                quantity.nano.checked_add(other.nano)?
            } else {
                quantity.nano.checked_sub(other.nano)?
            };
            Val::Quantity(Quantity { nano, format: quantity.format })
        }
        _ => return None,
    })
}

fn of_duration<'a>(name: &str, nano: i64) -> Option<Val<'a>> {
    Some(Val::Int(match name {
        "getHours" => nano / 3_600_000_000_000,
        "getMinutes" => nano / 60_000_000_000,
        "getSeconds" => nano / 1_000_000_000,
        "getMilliseconds" => nano / 1_000_000 % 1_000,
        _ => return None,
    }))
}

fn of_time<'a>(name: &str, at: jiff::Timestamp, args: &[Val<'a>]) -> Result<Option<Val<'a>>, Error> {
    let zone = match args {
        [] => jiff::tz::TimeZone::UTC,
        [Val::Text(name)] => jiff::tz::TimeZone::get(name).map_err(|error| Error::new(error.to_string()))?,
        _ => return Ok(None),
    };
    let civil = zone.to_datetime(at);
    Ok(Some(Val::Int(match name {
        "getFullYear" => i64::from(civil.year()),
        "getMonth" => i64::from(civil.month()) - 1,
        "getDate" => i64::from(civil.day()),
        "getDayOfMonth" => i64::from(civil.day()) - 1,
        "getDayOfWeek" => i64::from(civil.weekday().to_sunday_zero_offset()),
        "getDayOfYear" => i64::from(civil.day_of_year()) - 1,
        "getHours" => i64::from(civil.hour()),
        "getMinutes" => i64::from(civil.minute()),
        "getSeconds" => i64::from(civil.second()),
        "getMilliseconds" => i64::from(civil.millisecond()),
        _ => return Ok(None),
    })))
}

/// Absolute URLs and absolute paths.
fn url(value: &str) -> Option<Url> {
    if value.len() > 4096 || value.contains(char::is_whitespace) {
        return None;
    }
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest))
            if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            (scheme, rest)
        }
        _ if value.starts_with('/') => ("", value),
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let slash = before.find('/').unwrap_or(before.len());
    let (authority, path) = before.split_at(slash);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (hostname, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    };
    let pair = |part: &str| {
        part.split_once('=').map_or((part.to_owned(), String::new()), |(k, v)| (k.to_owned(), v.to_owned()))
    };
    Some(Url {
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        hostname: hostname.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.to_owned(),
        path: path.to_owned(),
        query: query.split('&').filter(|part| !part.is_empty()).map(pair).collect(),
    })
}

fn of_url<'a>(name: &str, url: &Url) -> Option<Val<'a>> {
    Some(match name {
        "getScheme" => text(url.scheme.clone()),
        "getHost" => text(url.host.clone()),
        "getHostname" => text(url.hostname.clone()),
        "getPort" => text(url.port.clone()),
        "getEscapedPath" => text(url.path.clone()),
        "getQuery" => {
            let mut made: Vec<(Val<'a>, Val<'a>)> = Vec::new();
            for (key, _) in &url.query {
                let values =
                    url.query.iter().filter(|(known, _)| known == key).map(|(_, value)| text(value.clone())).collect();
                if !made.iter().any(|(known, _)| matches!(known, Val::Text(known) if known == key)) {
                    made.push((text(key.clone()), list(values)));
                }
            }
            Val::Map(Rc::new(made))
        }
        _ => return None,
    })
}

fn of_version<'a>(name: &str, version: &Version, args: &[Val<'a>]) -> Option<Val<'a>> {
    let number = |number: u64| i64::try_from(number).ok().map(Val::Int);
    Some(match (name, args) {
        ("major", []) => number(version.major)?,
        ("minor", []) => number(version.minor)?,
        ("patch", []) => number(version.patch)?,
        ("isLessThan", [Val::Version(other)]) => Val::Bool(version.cmp_precedence(other).is_lt()),
        ("isGreaterThan", [Val::Version(other)]) => Val::Bool(version.cmp_precedence(other).is_gt()),
        ("compareTo", [Val::Version(other)]) => Val::Int(version.cmp_precedence(other) as i64),
        _ => return None,
    })
}

fn of_image<'a>(name: &str, image: &Image) -> Option<Val<'a>> {
    Some(match name {
        "containsDigest" => Val::Bool(!image.digest.is_empty()),
        "registry" => text(image.registry.clone()),
        "repository" => text(image.path.clone()),
        "identifier" => text(if image.digest.is_empty() { image.tag.clone() } else { image.digest.clone() }),
        "tag" => text(image.tag.clone()),
        "digest" => text(image.digest.clone()),
        _ => return None,
    })
}

/// A regular expression of a text.
pub(super) fn compiled(pattern: &str) -> Result<::regex::Regex, Error> {
    regex(pattern).map_err(Error::new)
}
