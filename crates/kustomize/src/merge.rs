//! Strategic merge patches, with the results that Kustomize has (kyaml 0.21.2): lists are merged by the keys of the
//! schema, new items come first, and nothing in a patch takes a field away.

use std::collections::HashSet;

use prograde_model::Diagnostic;

use crate::codes;
use crate::id::Gvk;
use crate::node::{Kind, Node, Value};
use crate::scalar::Tag;
use crate::schema::{Schemas, TypeOf};

const DIRECTIVE: &str = "$patch";

/// What a patch says should happen to a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Applies a patch to an object; `None` when the patch deletes it.
pub(crate) fn merge(object: Node, patch: Node, schemas: &Schemas) -> Result<Option<Node>, Diagnostic> {
    // A patch that replaces the whole object leaves it as it is: Kustomize does, too.
    if patch.get(DIRECTIVE).is_some_and(|directive| directive.raw() == "replace") {
        return Ok(Some(object));
    }
    Walker { schemas }.walk(Some(object), Some(patch), None, false)
}

struct Walker<'a> {
    schemas: &'a Schemas,
}

fn missing(node: Option<&Node>) -> bool {
    node.is_none_or(Node::is_null)
}

fn refuse(node: &Node, expected: &str) -> Diagnostic {
    let message = format!("expected {expected} here, found {}", node.kind_text());
    node.place.diagnostic(codes::PATCH, message, "a patch must have the shape of the object that it changes")
}

impl<'a> Walker<'a> {
    /// Merges a value; `same` says that both are one, which is so for what only the patch has.
    fn walk(
        &self,
        dest: Option<Node>,
        patch: Option<Node>,
        known: Option<TypeOf<'a>>,
        same: bool,
    ) -> Result<Option<Node>, Diagnostic> {
        let known = known.or_else(|| self.embedded(dest.as_ref())).or_else(|| self.embedded(patch.as_ref()));
        let kind = [&dest, &patch].into_iter().flatten().find(|node| !node.is_null()).map(Node::kind);
        for node in [&dest, &patch].into_iter().flatten().filter(|node| !node.is_null()) {
            if Some(node.kind()) != kind {
                let expected = match kind {
                    Some(Kind::Map) | None => "a mapping",
                    Some(Kind::List) => "a list",
                    Some(Kind::Scalar) => "a single value",
                };
                return Err(refuse(node, expected));
            }
        }
        match kind {
            Some(Kind::Map) | None => self.map(dest, patch, known, same),
            Some(Kind::Scalar) => Ok(patch.or(dest)),
            Some(Kind::List) => match known.and_then(TypeOf::merge_keys) {
                Some(keys) => self.list(dest, patch, known.and_then(TypeOf::items), keys, same),
                None => Ok(patch.or(dest)),
            },
        }
    }

    /// The type of an object that stands within another.
    fn embedded(&self, node: Option<&Node>) -> Option<TypeOf<'a>> {
        let node = node?;
        let (version, kind) = (node.text_at(&["apiVersion"]), node.text_at(&["kind"]));
        if version.is_empty() || kind.is_empty() { None } else { self.schemas.of_kind(&Gvk::new(version, kind)) }
    }

    fn map(
        &self,
        dest: Option<Node>,
        patch: Option<Node>,
        known: Option<TypeOf<'a>>,
        same: bool,
    ) -> Result<Option<Node>, Diagnostic> {
        let (mut dest, mut patch, mut same) = match (dest, patch) {
            (dest, None) if missing(dest.as_ref()) => {
                // What is written as nothing stays; what is not written at all goes.
                return Ok(dest.filter(|dest| !dest.raw().is_empty()));
            }
            (dest, Some(mut patch)) if missing(dest.as_ref()) => {
                if patch.is_null() || map_directive(&mut patch).unwrap_or(Directive::Merge) == Directive::Delete {
                    return Ok(None);
                }
                (patch.clone(), Some(patch), true)
            }
            (Some(dest), patch) => (dest, patch, same),
            (None, _) => return Ok(None),
        };
        if let Some(patch) = &mut patch {
            if patch.is_null() {
                return Ok(None);
            }
            match map_directive(patch)? {
                Directive::Delete => return Ok(None),
                Directive::Replace => {
                    dest = patch.clone();
                    same = true;
                }
                Directive::Merge if same => {
                    dest.remove(DIRECTIVE);
                }
                Directive::Merge => {}
            }
        }
        let mut names: Vec<String> = dest.entries().iter().map(|entry| entry.name.clone()).collect();
        let own: HashSet<&str> = dest.entries().iter().map(|entry| entry.name.as_str()).collect();
        let more = patch.iter().flat_map(super::node::Node::entries).filter(|entry| !own.contains(entry.name.as_str()));
        names.extend(more.map(|entry| entry.name.clone()).collect::<Vec<_>>());
        for name in names {
            let new = patch.as_mut().and_then(|patch| patch.get(&name).cloned());
            let field = known.and_then(|known| known.field(&name));
            let entry = patch.iter().flat_map(Node::entries).find(|entry| entry.name == name);
            let text_key = entry.is_none_or(|entry| entry.text_key);
            let old = dest.get(&name).cloned();
            let kept_null = new.is_none() && old.as_ref().is_some_and(Node::is_null);
            let result = self.walk(old, new, field, same)?;
            match result {
                Some(value) if kept_null => dest.set(&name, value),
                Some(value) => dest.put_keyed(&name, value, text_key),
                None => {
                    dest.remove(&name);
                }
            }
        }
        Ok(Some(dest))
    }

    fn list(
        &self,
        dest: Option<Node>,
        patch: Option<Node>,
        items: Option<TypeOf<'a>>,
        keys: &[String],
        same: bool,
    ) -> Result<Option<Node>, Diagnostic> {
        let (mut dest, mut patch, mut same, fresh) = match (dest, patch) {
            (Some(dest), patch) if !dest.is_null() => (dest, patch, same, false),
            (_, Some(patch)) => (patch.clone(), Some(patch), true, true),
            (_, None) => return Ok(None),
        };
        if let Some(patch) = patch.as_mut().filter(|_| !fresh) {
            if patch.is_null() {
                return Ok(None);
            }
            match list_directive(patch)? {
                Directive::Delete => return Ok(None),
                Directive::Replace => {
                    dest = patch.clone();
                    same = true;
                }
                Directive::Merge if same => dest = patch.clone(),
                Directive::Merge => {}
            }
        }
        let place = dest.place.clone();
        let mut list = match dest.value {
            Value::List(list) => list,
            Value::Scalar(_) | Value::Map(_) => Vec::new(),
        };
        let patch = patch.map(|patch| match patch.value {
            Value::List(list) => list,
            Value::Scalar(_) | Value::Map(_) => Vec::new(),
        });
        let primitive = [String::new()];
        let (keys, values) = if keys.is_empty() {
            (primitive.as_slice(), primitive_values(patch.as_deref(), &list))
        } else {
            (keys, element_values(keys, patch.as_deref(), &list))
        };
        self.elements(values, keys, &mut list, patch.as_deref(), (items, same))?;
        Ok(Some(Node { place, value: Value::List(list) }))
    }

    fn elements(
        &self,
        mut values_list: Vec<Vec<String>>,
        keys: &[String],
        dest: &mut Vec<Node>,
        patch: Option<&[Node]>,
        (items, same): (Option<TypeOf<'a>>, bool),
    ) -> Result<(), Diagnostic> {
        let mut added: Vec<Node> = Vec::new();
        if keys.len() > 1 {
            merge_values(&mut values_list);
        }
        let mut last_keys: Vec<String> = Vec::new();
        for values in values_list.iter().filter(|values| !values.is_empty()) {
            let (valid, valid_values) = valid_keys(&values_list, values, keys);
            last_keys.clone_from(&valid);
            let (find_keys, find_values) = valid_keys(std::slice::from_ref(&valid_values), &valid_values, &valid);
            let at = dest.iter().position(|item| matches(item, &find_keys, &find_values));
            let new = patch.and_then(|patch| patch.iter().find(|item| matches(item, &find_keys, &find_values)));
            let old = at.and_then(|at| dest.get(at)).cloned();
            let replaces = new.is_some_and(|new| new.text_at(&[DIRECTIVE]) == "replace");
            let merged = self.walk(old, new.cloned(), items, same)?;
            let Some(mut merged) = merged.filter(|merged| !merged.is_null() && !is_empty_map(merged)) else {
                set_element(dest, None, &valid, &valid_values)?;
                continue;
            };
            for (key, value) in valid.iter().zip(&valid_values).filter(|(_, value)| !value.is_empty()) {
                if key.is_empty() {
                    if let Some(scalar) = merged.as_scalar_mut() {
                        scalar.tag = Tag::Open;
                        scalar.text.clone_from(value);
                    }
                } else if merged.get(key).is_none() {
                    let node = Node::scalar(&merged.place, Tag::Open, value.as_str());
                    merged.put(key, node);
                }
            }
            if let Some(slot) = at.filter(|_| !replaces).and_then(|at| dest.get_mut(at)) {
                *slot = merged.clone();
            }
            set_element(&mut added, Some(merged), &valid, &valid_values)?;
        }
        if !values_list.is_empty() {
            append_all(&mut added, std::mem::take(dest), &last_keys)?;
            *dest = added;
        }
        Ok(())
    }
}

fn is_empty_map(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.is_empty())
}

fn directive_of(node: &Node) -> Result<Directive, Diagnostic> {
    match node.raw() {
        "merge" => Ok(Directive::Merge),
        "replace" => Ok(Directive::Replace),
        "delete" => Ok(Directive::Delete),
        other => {
            let message = format!("`$patch` is `{}`", other.chars().take(50).collect::<String>());
            Err(node.place.diagnostic(codes::PATCH, message, "expected `merge`, `replace` or `delete`"))
        }
    }
}

/// What a mapping of a patch says, and takes the word away.
fn map_directive(patch: &mut Node) -> Result<Directive, Diagnostic> {
    let Some(found) = patch.get(DIRECTIVE) else { return Ok(Directive::Merge) };
    let directive = directive_of(found)?;
    patch.remove(DIRECTIVE);
    Ok(directive)
}

/// What a list of a patch says in an item of its own, and takes the item away.
fn list_directive(patch: &mut Node) -> Result<Directive, Diagnostic> {
    let Some(items) = patch.items_mut() else { return Ok(Directive::Merge) };
    let Some(item) = items.iter().find(|item| item.get(DIRECTIVE).is_some()) else { return Ok(Directive::Merge) };
    if item.entries().len() > 1 {
        return Ok(Directive::Merge);
    }
    let Some(found) = item.get(DIRECTIVE) else { return Ok(Directive::Merge) };
    let directive = directive_of(found)?;
    let value = found.raw().to_owned();
    set_element(items, None, &[DIRECTIVE.to_owned()], &[value])?;
    Ok(directive)
}

fn element_values(keys: &[String], patch: Option<&[Node]>, dest: &[Node]) -> Vec<Vec<String>> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for item in patch.into_iter().flatten().chain(dest) {
        let values: Vec<String> = keys
            .iter()
            .map(|key| item.get(key).filter(|value| !value.is_empty()).map_or("", Node::raw).to_owned())
            .collect();
        if !values.is_empty() && seen.insert(values.clone()) {
            all.push(values);
        }
    }
    all
}

fn primitive_values(patch: Option<&[Node]>, dest: &[Node]) -> Vec<Vec<String>> {
    let mut seen = HashSet::new();
    let items = patch.into_iter().flatten().chain(dest);
    items.filter(|item| seen.insert(item.raw().to_owned())).map(|item| vec![item.raw().to_owned()]).collect()
}

/// Tuples that agree where both have a value mean the same item.
fn merge_values(list: &mut [Vec<String>]) {
    for one in 0..list.len() {
        for other in 0..list.len() {
            let (Some(a), Some(b)) = (list.get(one), list.get(other)) else { continue };
            let Some(both) = agree(a, b) else { continue };
            for at in [one, other] {
                if let Some(slot) = list.get_mut(at) {
                    slot.clone_from(&both);
                }
            }
        }
    }
}

fn agree(one: &[String], other: &[String]) -> Option<Vec<String>> {
    if one.len() != other.len() {
        return None;
    }
    let mut common = false;
    let mut both = Vec::with_capacity(one.len());
    for (a, b) in one.iter().zip(other) {
        if a == b {
            common = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        both.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    common.then_some(both)
}

/// The keys that any of the items has, and the values of this item for them.
fn valid_keys(list: &[Vec<String>], values: &[String], keys: &[String]) -> (Vec<String>, Vec<String>) {
    let used: Vec<bool> = (0..keys.len())
        .map(|at| list.iter().any(|values| values.get(at).is_some_and(|value| !value.is_empty())))
        .collect();
    if !used.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let kept = |at: usize| used.get(at).copied().unwrap_or(false);
    let valid = keys.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, key)| key.clone()).collect();
    let of_them = values.iter().enumerate().filter(|(at, value)| !value.is_empty() || kept(*at));
    (valid, of_them.map(|(_, value)| value.clone()).collect())
}

/// Whether an item has these values at these keys.
fn matches(item: &Node, keys: &[String], values: &[String]) -> bool {
    if keys.first().is_none_or(String::is_empty) {
        return item.raw() == values.first().map_or("", String::as_str) && item.kind() == Kind::Scalar;
    }
    item.kind() == Kind::Map
        && keys.iter().zip(values).all(|(key, value)| item.get(key).is_some_and(|found| found.raw() == value))
}

/// Puts an item in the place of those that have the values at the keys, or takes them away.
fn set_element(
    list: &mut Vec<Node>,
    element: Option<Node>,
    keys: &[String],
    values: &[String],
) -> Result<(), Diagnostic> {
    let by_map =
        keys.first().is_some_and(|key| !key.is_empty()) && values.first().is_some_and(|value| !value.is_empty());
    let mut found_any = false;
    let mut result = Vec::with_capacity(list.len() + 1);
    for item in std::mem::take(list) {
        if item.is_null() || is_empty_map(&item) {
            continue;
        }
        if item.kind() != Kind::Map && by_map {
            result.push(item);
            continue;
        }
        let mut found = true;
        for (key, value) in keys.iter().zip(values) {
            let here = if key.is_empty() {
                if item.kind() != Kind::Scalar {
                    return Err(refuse(&item, "a single value"));
                }
                item.raw() == value
            } else {
                if item.kind() != Kind::Map {
                    return Err(refuse(&item, "a mapping"));
                }
                item.get(key).is_some_and(|found| value.is_empty() || found.raw() == value)
            };
            if !here {
                found = false;
                break;
            }
        }
        if !found {
            if !values.is_empty() {
                result.push(item);
            }
            continue;
        }
        found_any = true;
        if let Some(element) = &element {
            result.push(element.clone());
        }
    }
    *list = result;
    if let Some(element) = element.filter(|element| !found_any && !element.is_null()) {
        list.push(element);
    }
    Ok(())
}

/// Puts what was in the list behind what is new, each item once.
fn append_all(added: &mut Vec<Node>, items: Vec<Node>, keys: &[String]) -> Result<(), Diagnostic> {
    for item in items {
        if keys.first().is_some_and(String::is_empty) {
            let value = item.raw().to_owned();
            set_element(added, Some(item), keys, &[value])?;
            continue;
        }
        if item.kind() != Kind::Map && !item.is_null() {
            return Err(refuse(&item, "a mapping"));
        }
        let mut values = Vec::new();
        for key in keys {
            match item.get(key) {
                Some(value) => values.push(value.raw().to_owned()),
                None => added.push(item.clone()),
            }
        }
        if keys.len() > 1 {
            set_element(added, None, keys, &values)?;
        }
        set_element(added, Some(item), keys, &values)?;
    }
    Ok(())
}
