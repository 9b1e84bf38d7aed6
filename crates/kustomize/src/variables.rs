//! `vars`: values of objects' fields that texts of other objects name as `$(NAME)`.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;

use crate::codes;
use crate::fields::{FieldSpec, split_dots};
use crate::id::Gvk;
use crate::node::{Kind, Node, Value};
use crate::place::Place;
use crate::reader::Reader;
use crate::resource::Resource;
use crate::scalar::{Tag, go_float_text};
use crate::schema::Schemas;

/// How long a text may become, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A variable.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    gvk: Gvk,
    object: String,
    namespace: String,
    path: String,
    place: Place,
}

/// What a variable stands for.
#[derive(Clone)]
enum Meaning {
    Scalar(Tag, String),
    /// A list or a mapping, which is put nowhere.
    Structure,
}

impl Variable {
    /// Reads the field `vars`.
    pub(crate) fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Self>, Diagnostic> {
        let mode = reader.mode();
        reader
            .items("vars")?
            .iter()
            .map(|item| {
                let mut inner = Reader::new(item, "a variable", mode)?;
                let name = inner.text_or_empty("name")?;
                let (mut gvk, mut object, mut namespace) = (Gvk::default(), String::new(), String::new());
                if let Some(node) = inner.get("objref") {
                    let mut target = Reader::new(node, "`objref`", mode)?;
                    gvk = target.gvk()?;
                    if let Some(version) = target.text("apiVersion")?.filter(|version| !version.is_empty()) {
                        let kind = std::mem::take(&mut gvk.kind);
                        let group = std::mem::take(&mut gvk.group);
                        gvk = Gvk::new(&version, &kind);
                        if gvk.group.is_empty() {
                            gvk.group = group;
                        }
                    }
                    object = target.text_or_empty("name")?;
                    namespace = target.text_or_empty("namespace")?;
                    target.finish()?;
                }
                let mut path = String::new();
                if let Some(node) = inner.get("fieldref") {
                    let mut field = Reader::new(node, "`fieldref`", mode)?;
                    path = field.text_or_empty("fieldPath")?;
                    field.finish()?;
                }
                inner.finish()?;
                if path.is_empty() {
                    "metadata.name".clone_into(&mut path);
                }
                Ok(Self { name, gvk, object, namespace, path, place: item.place.clone() })
            })
            .collect()
    }
}

/// Adds variables, and marks the objects that they are taken from.
pub(crate) fn collect(
    all: &mut Vec<Variable>,
    more: &[Variable],
    resources: &mut [Resource],
    scopes: &Schemas,
) -> Result<(), Diagnostic> {
    for variable in more {
        let wanted = crate::id::id(scopes, variable.gvk.clone(), &variable.namespace, &variable.object);
        let exact = !wanted.namespace.is_empty() || wanted.cluster_scoped;
        let mut found: Vec<&mut Resource> = resources
            .iter_mut()
            .filter(|resource| {
                resource.any_id(scopes, |id| {
                    if exact { id.same(&wanted) } else { id.name == wanted.name && id.gvk == wanted.gvk }
                })
            })
            .collect();
        if found.len() > 1 {
            let message = format!("the variable `{}` may be taken from {} objects", variable.name, found.len());
            return Err(variable.place.diagnostic(codes::VARIABLE, message, "write the namespace under `objref`"));
        }
        if let Some(resource) = found.first_mut() {
            resource.variables.push(variable.name.clone());
        }
    }
    merge(all, more)
}

/// Adds variables of a base.
pub(crate) fn merge(all: &mut Vec<Variable>, more: &[Variable]) -> Result<(), Diagnostic> {
    for variable in more {
        if let Some(first) = all.iter().find(|known| known.name == variable.name) {
            let message = format!("the variable `{}` is there twice; the first is at {}", variable.name, first.place);
            return Err(variable.place.diagnostic(codes::VARIABLE, message, "give it another name"));
        }
        all.push(variable.clone());
    }
    Ok(())
}

/// Puts the values of variables in where texts name them.
pub(crate) fn resolve(
    resources: &mut [Resource],
    variables: &[Variable],
    fields: &[FieldSpec],
) -> Result<(), Diagnostic> {
    if variables.is_empty() {
        return Ok(());
    }
    let mut meanings = BTreeMap::new();
    for variable in variables {
        meanings.insert(variable.name.clone(), meaning(variable, resources)?);
    }
    for resource in resources.iter_mut() {
        for spec in fields {
            spec.change(&mut resource.tree, None, &mut |node| change(node, &meanings))?;
        }
    }
    Ok(())
}

fn meaning(variable: &Variable, resources: &[Resource]) -> Result<Meaning, Diagnostic> {
    let wrong = |message: String| Err(variable.place.diagnostic(codes::VARIABLE, message, ""));
    let Some(resource) = resources.iter().find(|resource| resource.variables.contains(&variable.name)) else {
        return wrong(format!("the object that the variable `{}` is taken from is not there", variable.name));
    };
    let mut node = &resource.tree;
    for part in path_parts(&variable.path) {
        if let Some(next) = step(node, &part) {
            node = next;
        } else {
            let at = resource.name();
            return wrong(format!("`{}` of the variable `{}` is not in {at}", variable.path, variable.name));
        }
    }
    Ok(match node.as_scalar() {
        None => Meaning::Structure,
        Some(scalar) => match scalar.tag {
            Tag::Int | Tag::Bool => Meaning::Scalar(scalar.tag, scalar.text.clone()),
            Tag::Float => {
                let number = scalar.text.parse::<f64>().unwrap_or(0.0);
                Meaning::Scalar(Tag::Float, go_float_text(number, 400))
            }
            Tag::Open | Tag::Null | Tag::Str | Tag::Timestamp | Tag::Merge | Tag::Binary | Tag::Other => {
                Meaning::Scalar(Tag::Str, scalar.text.clone())
            }
        },
    })
}

/// `a.b[0].c` as parts.
fn path_parts(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for part in split_dots(path) {
        let index = part.strip_suffix(']').and_then(|part| part.rsplit_once('['));
        match index.filter(|(_, digits)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
            Some((name, digits)) => {
                if !name.is_empty() {
                    parts.push(name.to_owned());
                }
                parts.push(digits.to_owned());
            }
            None => parts.push(part),
        }
    }
    parts
}

/// One step of a path that leads to a single value.
pub(crate) fn step<'a>(node: &'a Node, part: &str) -> Option<&'a Node> {
    let part = part.trim();
    if part.is_empty() {
        return Some(node);
    }
    if let Ok(index) = part.parse::<usize>() {
        return node.items().get(index);
    }
    if part == "-" {
        return node.items().last();
    }
    if let Some(inner) = part.strip_prefix('[').and_then(|part| part.strip_suffix(']')) {
        let (key, value) = inner.split_once('=')?;
        return node.items().iter().find(|item| {
            if key.is_empty() { item.raw() == value } else { item.get(key).is_some_and(|found| found.raw() == value) }
        });
    }
    node.get(part)
}

fn change(node: &mut Node, meanings: &BTreeMap<String, Meaning>) -> Result<(), Diagnostic> {
    if node.is_null() {
        return Ok(());
    }
    let wrong = |place: &Place, message: &str| Err(place.diagnostic(codes::VARIABLE, message, "put it in quotes"));
    match &mut node.value {
        Value::Scalar(scalar) => {
            if scalar.is_text() {
                expand_into(node, meanings)?;
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                if !entry.text_key {
                    return wrong(&entry.place, "a key next to variables must be a text");
                }
                if entry.value.as_scalar().is_some_and(crate::node::Scalar::is_text) {
                    expand_into(&mut entry.value, meanings)?;
                }
            }
        }
        Value::List(items) => {
            for item in items {
                if item.kind() != Kind::Scalar || !item.as_scalar().is_some_and(crate::node::Scalar::is_text) {
                    return wrong(&item.place, "an item next to variables must be a text");
                }
                expand_into(item, meanings)?;
            }
        }
    }
    Ok(())
}

fn expand_into(node: &mut Node, meanings: &BTreeMap<String, Meaning>) -> Result<(), Diagnostic> {
    let Some((tag, text)) = expand(node.raw(), meanings) else {
        let message = format!("the values of variables make the text longer than {TEXT_BYTES_MAX} bytes");
        return Err(node.place.diagnostic(codes::TOO_LARGE, message, "shorten the values"));
    };
    *node = Node::scalar(&node.place, tag, text);
    Ok(())
}

/// The text with the values of variables in it; one that is nothing but a variable takes over the value's type.
fn expand(input: &str, meanings: &BTreeMap<String, Meaning>) -> Option<(Tag, String)> {
    let mut out = String::new();
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        if out.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (before, after) = rest.split_at(at);
        let after = after.get(1..).unwrap_or_default();
        out.push_str(before);
        let Some(next) = after.chars().next() else {
            out.push('$');
            rest = "";
            break;
        };
        if next == '$' {
            out.push('$');
            rest = after.get(1..).unwrap_or_default();
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            let whole = format!("$({name})");
            match meanings.get(name) {
                Some(Meaning::Scalar(tag, text)) if input == whole => return Some((*tag, text.clone())),
                Some(Meaning::Scalar(_, text)) => out.push_str(text),
                Some(Meaning::Structure) | None => out.push_str(&whole),
            }
            rest = tail;
        } else {
            out.push('$');
            out.push(next);
            rest = after.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    Some((Tag::Str, out))
}
