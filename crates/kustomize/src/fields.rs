//! Where in objects of a kind something is changed: paths such as `spec/template/metadata/labels`.

use std::borrow::Cow;

use prograde_model::Diagnostic;

use crate::codes;
use crate::id::Gvk;
use crate::node::{Kind, Node, Value};
use crate::scalar::Tag;

/// A field of objects of some kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) gvk: Gvk,
    pub(crate) path: Cow<'static, str>,
    pub(crate) create: bool,
}

/// What is made where a field is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) kind: Kind,
    pub(crate) tag: Tag,
}

/// What is done to a field that was found.
pub(crate) type Change<'a> = &'a mut dyn FnMut(&mut Node) -> Result<(), Diagnostic>;

impl FieldSpec {
    /// A path in objects of all kinds.
    pub(crate) fn everywhere(path: &'static str, create: bool) -> Self {
        Self { gvk: Gvk::default(), path: Cow::Borrowed(path), create }
    }

    /// Whether the field is one of this object's kind.
    pub(crate) fn is_of(&self, object: &Node) -> bool {
        let (group, version) = Gvk::split(object.text_at(&["apiVersion"]));
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&self.gvk.kind, object.text_at(&["kind"]))
            && fits(&self.gvk.group, group)
            && fits(&self.gvk.version, version)
    }

    /// Changes the field in an object, wherever the path leads.
    pub(crate) fn change(&self, object: &mut Node, made: Option<Made>, change: Change) -> Result<(), Diagnostic> {
        if self.is_of(object) { self.change_in_any(object, made, change) } else { Ok(()) }
    }

    /// The same in an object of any kind.
    pub(crate) fn change_in_any(
        &self,
        object: &mut Node,
        made: Option<Made>,
        change: Change,
    ) -> Result<(), Diagnostic> {
        walk(object, &split(&self.path, '/'), made.filter(|_| self.create), change)
    }
}

/// The parts of a path; `\/` is a slash within a part.
pub(crate) fn split(path: &str, delimiter: char) -> Vec<Cow<'_, str>> {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    for (at, piece) in path.split([delimiter]).enumerate() {
        if at == 0 && piece.is_empty() && !path.is_empty() {
            continue;
        }
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                let last = last.to_mut();
                last.pop();
                last.push(delimiter);
                last.push_str(piece);
            }
            _ => parts.push(Cow::Borrowed(piece)),
        }
    }
    parts
}

/// The parts of a path with dots, in which brackets keep a part together.
pub(crate) fn split_dots(path: &str) -> Vec<String> {
    let mut result: Vec<String> = Vec::new();
    let mut pieces = split(path, '.').into_iter().map(Cow::into_owned);
    while let Some(piece) = pieces.next() {
        if !piece.starts_with('[') || piece.ends_with(']') {
            result.push(piece);
            continue;
        }
        let mut whole = piece;
        for more in pieces.by_ref() {
            whole.push('.');
            whole.push_str(&more);
            if more.ends_with(']') {
                break;
            }
        }
        if whole.contains('=') {
            result.push(whole);
        } else {
            result.push(whole.trim_matches(['[', ']']).to_owned());
        }
    }
    result
}

fn walk(node: &mut Node, path: &[Cow<'_, str>], made: Option<Made>, change: Change) -> Result<(), Diagnostic> {
    let Some((first, rest)) = path.split_first() else { return change(node) };
    if node.is_null() {
        return Ok(());
    }
    let place = node.place.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().try_for_each(|item| walk(item, path, made, change)),
        Value::Scalar(_) => {
            let message = format!("expected a list or a mapping above `{first}`, found a single value");
            Err(place.diagnostic(codes::STRUCTURE, message, "correct the object, or the path of the field"))
        }
        Value::Map(_) => {
            let (name, is_list) = first.strip_suffix("[]").map_or((&**first, false), |name| (name, true));
            if name.is_empty() {
                return Err(place.diagnostic(codes::STRUCTURE, "the path of a field has an empty part", ""));
            }
            let wanted = match made {
                Some(_) | None if is_list => Some(Made { kind: Kind::List, tag: Tag::Open }),
                Some(made) if rest.is_empty() => Some(made),
                Some(_) => Some(Made { kind: Kind::Map, tag: Tag::Open }),
                None => None,
            };
            if let Some(wanted) = wanted {
                let there = node.get(name).map(Node::is_null);
                if there == Some(true) || (there.is_none() && !is_list) {
                    node.set(name, Node::empty(&place, wanted.kind, wanted.tag));
                }
            }
            match node.get_mut(name) {
                Some(found) => walk(found, rest, made, change),
                None => Ok(()),
            }
        }
    }
}

/// Puts a text at a key of a mapping that a path led to.
pub(crate) fn put_text(node: &mut Node, name: &str, text: &str) -> Result<(), Diagnostic> {
    if node.is_null() {
        return Ok(());
    }
    if node.kind() != Kind::Map {
        let message = format!("expected a mapping for `{name}`, found {}", node.kind_text());
        return Err(node.place.diagnostic(codes::STRUCTURE, message, "correct the object, or the path of the field"));
    }
    let value = Node::text(&node.place, text);
    node.put(name, value);
    Ok(())
}

/// Becomes a scalar of a type, in the style that was here.
pub(crate) fn set_scalar(node: &mut Node, tag: Tag, text: &str) -> Result<(), Diagnostic> {
    if node.kind() != Kind::Scalar {
        let message = format!("expected a single value, found {}", node.kind_text());
        return Err(node.place.diagnostic(codes::STRUCTURE, message, "correct the object, or the path of the field"));
    }
    let value = Node::scalar(&node.place, tag, text);
    node.replace_with(value);
    Ok(())
}
