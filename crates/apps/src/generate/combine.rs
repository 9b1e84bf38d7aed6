//! Generators of generators: each of one with each of the other, or one completed by others.

use std::collections::{BTreeMap, BTreeSet};

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use super::Generation;
use crate::codes;
use crate::data::{Data, Params, overlay};
use crate::template::Mode;

/// Each set of the first generator with each of the second, which may use the first one's parameters.
pub(super) fn matrix(generation: &Generation<'_>, body: &Json) -> Result<Vec<Params>, Diagnostic> {
    let generators = children(body);
    let [first, second] = generators else {
        let message = format!("a matrix has {} generators, and takes two", generators.len());
        return Err(generation.wrong(codes::GENERATOR, message, "put a matrix into the matrix for three"));
    };
    let mut found = Vec::new();
    for outer in inner(generation, first, None)? {
        for params in inner(generation, second, Some(&outer))? {
            found.push(match generation.filler.mode() {
                Mode::Go(_) => {
                    let mut merged = params;
                    overlay(&mut merged, &outer);
                    merged
                }
                Mode::Fast => together(&outer, &params).map_err(|message| {
                    generation.wrong(
                        codes::GENERATOR,
                        message,
                        "rename it, or set `pathParamPrefix` on a Git generator",
                    )
                })?,
            });
            generation.count(1)?;
        }
    }
    Ok(found)
}

/// Both sets as texts; a key of both must have one value.
fn together(left: &Params, right: &Params) -> Result<Params, String> {
    let texts = |params: &Params| -> Params {
        params.iter().map(|(name, value)| (name.clone(), Data::Text(value.shown()))).collect()
    };
    let mut all = texts(left);
    for (name, value) in texts(right) {
        if all.get(&name).is_some_and(|present| *present != value) {
            return Err(format!(
                "both generators of a matrix give `{}`, with different values",
                crate::schema::shortened(&name)
            ));
        }
        all.insert(name, value);
    }
    Ok(all)
}

/// The sets of the first generator, completed by those of the others that have the same values under `mergeKeys`.
pub(super) fn merge(generation: &Generation<'_>, body: &Json) -> Result<Vec<Params>, Diagnostic> {
    let generators = children(body);
    let wrong = |message: &str, hint: &str| generation.wrong(codes::GENERATOR, message, hint);
    let keys = body.get("mergeKeys").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let keys: BTreeSet<&str> = keys.iter().filter_map(Json::as_str).collect();
    if keys.is_empty() {
        return Err(wrong("a merge has no `mergeKeys`", "name the parameters by which sets belong together"));
    }
    let [first, others @ ..] = generators else { return Err(wrong("a merge has no generators", "")) };
    if others.is_empty() {
        return Err(wrong("a merge has one generator, and takes two or more", "add another one"));
    }
    let unique = |sets: &[Params]| -> Result<BTreeMap<String, usize>, Diagnostic> {
        let mut by_key = BTreeMap::new();
        for (index, params) in sets.iter().enumerate() {
            let key: Vec<Json> = keys.iter().map(|key| params.get(*key).map_or(Json::Null, Data::to_json)).collect();
            let key = Json::Array(key).to_string();
            if by_key.insert(key.clone(), index).is_some() {
                let message = format!(
                    "two sets of one generator of a merge have the same keys: {}",
                    crate::schema::shortened(&key)
                );
                return Err(wrong(&message, "add a parameter to `mergeKeys` that tells them apart"));
            }
        }
        Ok(by_key)
    };
    let mut sets = inner(generation, first, None)?;
    let by_key = unique(&sets)?;
    for other in others {
        let more = inner(generation, other, None)?;
        for (key, index) in unique(&more)? {
            let target = by_key.get(&key).and_then(|place| sets.get_mut(*place));
            let (Some(into), Some(over)) = (target, more.get(index)) else { continue };
            match generation.filler.mode() {
                Mode::Go(_) => overlay(into, over),
                Mode::Fast => into.extend(over.iter().map(|(name, value)| (name.clone(), value.clone()))),
            }
        }
    }
    generation.count(sets.len())?;
    Ok(sets)
}

fn children(body: &Json) -> &[Json] {
    body.get("generators").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What one generator inside of another gives.
fn inner(generation: &Generation<'_>, generator: &Json, outer: Option<&Params>) -> Result<Vec<Params>, Diagnostic> {
    let mut found = generation.transformed(generator, outer, false)?;
    if found.len() > 1 {
        let message = "an entry of `generators` inside of another generator has more than one kind";
        return Err(generation.wrong(codes::GENERATOR, message, "write each generator as an entry of its own"));
    }
    Ok(found.pop().map(|(_, params)| params).unwrap_or_default())
}
