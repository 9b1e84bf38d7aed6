//! `replacements`: values copied from one object's field into fields of others, also into YAML or JSON that stands in a
//! text there.

use prograde_model::Diagnostic;
use regex_lite::Regex;
use serde_json::Value as Json;

use crate::codes;
use crate::emit;
use crate::fields::split_dots;
use crate::generate::write_go_json;
use crate::id::Id;
use crate::load::{Dir, Loader, Named, inner_documents};
use crate::node::{Kind, Node};
use crate::place::Place;
use crate::reader::{Mode, Reader};
use crate::resource::Resource;
use crate::scalar::Tag;
use crate::selector::Target;
use crate::variables::step;

/// How large an object may grow, in bytes.
const GROWTH_MAX: usize = 8 * 1024 * 1024;

/// How much of a value is meant.
#[derive(Debug, Clone, Default)]
struct Part {
    delimiter: String,
    index: i64,
    create: bool,
}

#[derive(Debug, Clone)]
struct Source {
    id: Id,
    path: String,
    part: Part,
}

#[derive(Debug, Clone)]
struct Sink {
    select: Option<Target>,
    reject: Vec<Target>,
    paths: Vec<String>,
    part: Part,
    place: Place,
}

/// One replacement, or the file that holds some.
#[derive(Debug, Clone)]
pub(crate) struct Replacement {
    path: Option<Named>,
    source: Option<Source>,
    value: Option<String>,
    targets: Option<Vec<Sink>>,
    place: Place,
}

impl Replacement {
    /// Reads the field `replacements`.
    pub(crate) fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Self>, Diagnostic> {
        let mode = reader.mode();
        reader.items("replacements")?.iter().map(|item| Self::read(item, mode)).collect()
    }

    fn read(node: &Node, mode: Mode) -> Result<Self, Diagnostic> {
        let mut reader = Reader::new(node, "a replacement", mode)?;
        let path = reader.text("path")?.filter(|path| !path.is_empty());
        let path_place = reader.get("path").map_or_else(|| node.place.clone(), |node| node.place.clone());
        let source = reader.get("source").map(|node| read_source(node, mode)).transpose()?;
        let value = reader.text("sourceValue")?;
        let has_targets = reader.get("targets").is_some();
        let targets =
            reader.items("targets")?.iter().map(|item| read_sink(item, mode)).collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        if path.is_some() && (source.is_some() || !targets.is_empty()) {
            let message = "a replacement is either in a file or written here";
            return Err(node.place.diagnostic(codes::REPLACEMENT, message, "keep `path`, or `source` and `targets`"));
        }
        Ok(Self {
            path: path.map(|text| Named { text, place: path_place }),
            source,
            value,
            targets: has_targets.then_some(targets),
            place: node.place.clone(),
        })
    }

    /// The replacements, with those of files in the place of the files' names.
    pub(crate) fn load(all: &[Self], loader: &Loader, dir: &Dir) -> Result<Vec<Self>, Diagnostic> {
        let mut found = Vec::new();
        for one in all {
            let Some(path) = &one.path else {
                found.push(one.clone());
                continue;
            };
            let documents = loader.documents(dir, path)?;
            let Some(document) = documents.first() else {
                return Err(path.place.diagnostic(codes::REPLACEMENT, "the file is empty", ""));
            };
            match document.kind() {
                Kind::List => {
                    for item in document.items() {
                        found.push(Self::read(item, Mode::Loose)?);
                    }
                }
                Kind::Map => found.push(Self::read(document, Mode::Loose)?),
                Kind::Scalar => {
                    let message = "expected a replacement, or a list of some";
                    return Err(document.place.diagnostic(codes::REPLACEMENT, message, ""));
                }
            }
        }
        Ok(found)
    }
}

fn read_part(reader: &mut Reader<'_>) -> Result<Part, Diagnostic> {
    let Some(node) = reader.get("options") else { return Ok(Part::default()) };
    let mut inner = Reader::new(node, "the options of a replacement", reader.mode())?;
    let part = Part {
        delimiter: inner.text_or_empty("delimiter")?,
        index: inner.integer("index")?.unwrap_or(0),
        create: inner.flag("create")?,
    };
    inner.text("encoding")?;
    inner.finish()?;
    Ok(part)
}

fn read_source(node: &Node, mode: Mode) -> Result<Source, Diagnostic> {
    let mut reader = Reader::new(node, "`source`", mode)?;
    let id = Id {
        gvk: reader.gvk()?,
        name: reader.text_or_empty("name")?,
        namespace: reader.text_or_empty("namespace")?,
        cluster_scoped: false,
    };
    let path = reader.text("fieldPath")?.filter(|path| !path.is_empty()).unwrap_or_else(|| "metadata.name".into());
    let part = read_part(&mut reader)?;
    reader.finish()?;
    Ok(Source { id, path, part })
}

fn read_sink(node: &Node, mode: Mode) -> Result<Sink, Diagnostic> {
    let mut reader = Reader::new(node, "a target", mode)?;
    let target = |node: &Node| Target::read(node, Reader::new(node, "a selector", mode)?);
    let select = reader.get("select").map(target).transpose()?;
    let reject = reader.items("reject")?.iter().map(target).collect::<Result<_, _>>()?;
    let mut paths: Vec<String> = reader.texts("fieldPaths")?.into_iter().map(|named| named.text).collect();
    if paths.is_empty() {
        paths.push("metadata.name".into());
    }
    let part = read_part(&mut reader)?;
    reader.finish()?;
    Ok(Sink { select, reject, paths, part, place: node.place.clone() })
}

/// All names that an object has and had, as they are written.
fn ids(resource: &Resource) -> Vec<Id> {
    let now = Id {
        gvk: resource.gvk(),
        name: resource.name().to_owned(),
        namespace: resource.namespace().to_owned(),
        cluster_scoped: false,
    };
    std::iter::once(now).chain(resource.earlier_ids()).collect()
}

/// Carries all replacements out.
pub(crate) fn apply(resources: &mut [Resource], all: &[Replacement]) -> Result<(), Diagnostic> {
    for replacement in all {
        let wrong = |message: &str| Err(replacement.place.diagnostic(codes::REPLACEMENT, message, ""));
        let Some(targets) = &replacement.targets else {
            return wrong("a replacement needs a source and at least one target");
        };
        let value = match (&replacement.source, &replacement.value) {
            (None, None) => return wrong("a replacement needs a source and at least one target"),
            (Some(_), Some(_)) => return wrong("`source` and `sourceValue` exclude each other"),
            (None, Some(text)) => Node::scalar(&replacement.place, Tag::Open, text.as_str()),
            (Some(source), None) => source_value(resources, source, &replacement.place)?,
        };
        for sink in targets {
            let Some(select) = &sink.select else {
                return Err(sink.place.diagnostic(codes::REPLACEMENT, "a target needs `select`", ""));
            };
            for resource in resources.iter_mut() {
                if resource.is_deleted() || !is_meant(resource, select, &sink.reject) {
                    continue;
                }
                for path in &sink.paths {
                    copy(&mut resource.tree, &value, path, sink)?;
                }
                let (depth, weight) = (resource.tree.depth(), resource.tree.weight());
                if depth > prograde_yaml::SYNTAX_DEPTH_MAX || weight > GROWTH_MAX {
                    let message = format!("the replacement makes {} too large", resource.name());
                    return Err(sink.place.diagnostic(codes::TOO_LARGE, message, "copy single values"));
                }
            }
        }
    }
    Ok(())
}

fn is_meant(resource: &Resource, select: &Target, reject: &[Target]) -> bool {
    if !select.fits_texts(&resource.tree) {
        return false;
    }
    if reject.iter().any(|reject| reject.asks_texts() && reject.fits_texts(&resource.tree)) {
        return false;
    }
    let ids = ids(resource);
    let rejected = |reject: &Target| reject.asks_id() && ids.iter().any(|id| reject.fits_id(id));
    !reject.iter().any(rejected) && ids.iter().any(|id| select.fits_id(id))
}

fn source_value(resources: &[Resource], source: &Source, place: &Place) -> Result<Node, Diagnostic> {
    let wrong = |message: String, hint: &str| Err(place.diagnostic(codes::REPLACEMENT, message, hint));
    let mut found = resources
        .iter()
        .filter(|resource| !resource.is_deleted() && ids(resource).iter().any(|id| id.is_selected(&source.id)));
    let (resource, more) = (found.next(), found.next());
    let Some(resource) = resource else {
        return wrong(format!("the source {} is not there", source.id), &crate::patch::here(resources));
    };
    if more.is_some() {
        return wrong(format!("the source {} is there more than once", source.id), "write kind, name and namespace");
    }
    let mut node = Some(&resource.tree);
    for part in split_dots(&source.path) {
        node = node.and_then(|node| step(node, &part));
    }
    let Some(node) = node.filter(|node| !node.is_empty()) else {
        let message = format!("`{}` is not in {} {}", source.path, resource.kind(), resource.name());
        return wrong(message, "correct `fieldPath`");
    };
    if source.part.delimiter.is_empty() {
        return Ok(node.clone());
    }
    if node.kind() != Kind::Scalar {
        return wrong("a delimiter goes with single values only".into(), "");
    }
    let pieces: Vec<&str> = node.raw().split(source.part.delimiter.as_str()).collect();
    let piece = usize::try_from(source.part.index).ok().and_then(|index| pieces.get(index));
    let Some(piece) = piece else {
        return wrong(format!("the value has no part {}", source.part.index), "parts count from 0");
    };
    let mut part = node.clone();
    if let Some(scalar) = part.as_scalar_mut() {
        (*piece).clone_into(&mut scalar.text);
    }
    Ok(part)
}

/// Why a value could not be put in.
struct Refused(String);

fn copy(tree: &mut Node, value: &Node, path: &str, sink: &Sink) -> Result<(), Diagnostic> {
    let parts = split_dots(path);
    if copy_into_text(tree, value, &parts, sink).is_ok() {
        return Ok(());
    }
    let create = sink.part.create.then(|| value.kind());
    let mut set = |found: &mut Node| set_value(found, value, &sink.part);
    let refused = match visit(tree, &parts, create, &mut set) {
        Ok(0) => Refused("the field is not there".into()),
        Ok(_) => return Ok(()),
        Err(refused) => refused,
    };
    let message = format!("`{path}` of {}: {}", tree.text_at(&["metadata", "name"]), refused.0);
    let hint = "correct the path, or write `create: true` under `options`";
    Err(sink.place.diagnostic(codes::REPLACEMENT, message, hint))
}

fn set_value(found: &mut Node, value: &Node, part: &Part) -> Result<(), Refused> {
    let mut value = value.clone();
    if !part.delimiter.is_empty() {
        if found.kind() != Kind::Scalar {
            return Err(Refused("a delimiter goes with single values only".into()));
        }
        let mut pieces: Vec<&str> = found.raw().split(part.delimiter.as_str()).collect();
        let text = if value.is_null() { String::new() } else { value.raw().to_owned() };
        match usize::try_from(part.index) {
            Err(_) => pieces.insert(0, &text),
            Ok(index) => match pieces.get_mut(index) {
                Some(piece) => *piece = &text,
                None => pieces.push(&text),
            },
        }
        let joined = pieces.join(&part.delimiter);
        match value.as_scalar_mut() {
            Some(scalar) => scalar.text = joined,
            None => return Err(Refused("a delimiter goes with single values only".into())),
        }
    }
    match found.as_scalar_mut() {
        Some(scalar) => value.raw().clone_into(&mut scalar.text),
        None => *found = value,
    }
    Ok(())
}

type Set<'a> = &'a mut dyn FnMut(&mut Node) -> Result<(), Refused>;

fn is_index(part: &str) -> Option<usize> {
    part.parse().ok()
}

fn is_list_part(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

/// The kind of what is made for the part before this one.
fn kind_above(next: Option<&String>, last: Kind) -> Kind {
    match next {
        None => last,
        Some(next) if is_list_part(next) || is_index(next).is_some() => Kind::List,
        Some(_) => Kind::Map,
    }
}

/// Calls `set` for everything that a path leads to, and says how much that is.
fn visit(node: &mut Node, path: &[String], create: Option<Kind>, set: Set) -> Result<usize, Refused> {
    let Some((first, rest)) = path.split_first() else {
        set(node)?;
        return Ok(1);
    };
    if let Some(index) = is_index(first) {
        return visit_index(node, index, rest, create, set);
    }
    if is_list_part(first) {
        return visit_matching(node, first, rest, create, set);
    }
    if first == "*" {
        if node.is_null() {
            return Ok(0);
        }
        let kind = node.kind_text();
        let Some(items) = node.items_mut() else { return Err(Refused(format!("`*` goes with lists, found {kind}"))) };
        let mut count = 0;
        for item in items {
            count += visit(item, rest, create, set)?;
        }
        return Ok(count);
    }
    if node.is_null() {
        return Ok(0);
    }
    if node.kind() != Kind::Map {
        return Err(Refused(format!("expected a mapping above `{first}`, found {}", node.kind_text())));
    }
    if node.get(first).is_none() {
        let Some(last) = create else { return Ok(0) };
        let made = Node::empty(&node.place, kind_above(rest.first(), last), Tag::Open);
        node.set(first, made);
    }
    match node.get_mut(first) {
        Some(found) if found.kind() == Kind::Scalar && !rest.is_empty() && !found.is_null() => {
            Err(Refused(format!("`{first}` is a single value")))
        }
        Some(found) => visit(found, rest, create, set),
        None => Ok(0),
    }
}

fn visit_index(
    node: &mut Node,
    index: usize,
    rest: &[String],
    create: Option<Kind>,
    set: Set,
) -> Result<usize, Refused> {
    let (place, kind) = (node.place.clone(), node.kind_text());
    let Some(items) = node.items_mut() else { return Err(Refused(format!("expected a list, found {kind}"))) };
    if let Some(last) = create.filter(|_| items.len() == index) {
        items.push(Node::empty(&place, kind_above(rest.first(), last), Tag::Open));
    }
    let length = items.len();
    match items.get_mut(index) {
        Some(item) => visit(item, rest, create, set),
        None => Err(Refused(format!("position {index} is meant, and there are {length} items"))),
    }
}

fn visit_matching(
    node: &mut Node,
    part: &str,
    rest: &[String],
    create: Option<Kind>,
    set: Set,
) -> Result<usize, Refused> {
    let inner = part.strip_prefix('[').and_then(|part| part.strip_suffix(']')).unwrap_or(part);
    let Some((key, pattern)) = inner.split_once('=') else {
        return Err(Refused(format!("`{part}` must be `[key=value]`")));
    };
    let regex =
        Regex::new(pattern).map_err(|error| Refused(format!("`{pattern}` is no regular expression: {error}")))?;
    let (place, kind) = (node.place.clone(), node.kind_text());
    if !node.is_null() && node.kind() != Kind::List {
        return Err(Refused(format!("expected a list, found {kind}")));
    }
    let mut count = 0;
    for _ in 0..2 {
        for item in node.items_mut().into_iter().flatten() {
            let text = if key.is_empty() { Some(shown(item)) } else { item.get(key).map(shown) };
            if text.is_some_and(|text| regex.is_match(&text)) {
                count += if key.is_empty() { visit(item, &[], create, set)? } else { visit(item, rest, create, set)? };
            }
        }
        let Some(items) = node.items_mut().filter(|_| count == 0 && create.is_some()) else { break };
        let value = Node::scalar(&place, Tag::Open, pattern);
        if key.is_empty() {
            items.push(value);
        } else {
            let mut made = Node::map(&place);
            made.set(key, value);
            items.push(made);
        }
    }
    Ok(count)
}

/// A single value as YAML would show it.
fn shown(node: &Node) -> String {
    match node.as_scalar() {
        None => String::new(),
        Some(scalar) => match scalar.style {
            prograde_yaml::Style::Double => format!("\"{}\"", scalar.text),
            prograde_yaml::Style::Single => format!("'{}'", scalar.text),
            prograde_yaml::Style::Plain | prograde_yaml::Style::Literal | prograde_yaml::Style::Folded => {
                scalar.text.trim().to_owned()
            }
        },
    }
}

/// Puts a value into YAML or JSON that stands in a text on the path.
fn copy_into_text(tree: &mut Node, value: &Node, parts: &[String], sink: &Sink) -> Result<(), Refused> {
    let refused = || Refused("there is no YAML or JSON in a text on the path".into());
    let mut at = Some(&*tree);
    let mut split = None;
    for (index, part) in parts.iter().enumerate() {
        if part == "*" {
            break;
        }
        at = at.and_then(|node| step(node, part));
        if index + 1 < parts.len() && at.is_some_and(|node| node.kind() == Kind::Scalar) {
            split = Some(index + 1);
            break;
        }
    }
    let split = split.ok_or_else(refused)?;
    let (outer, inner) = (parts.get(..split).unwrap_or_default(), parts.get(split..).unwrap_or_default());
    let original = at.map(Node::raw).unwrap_or_default().to_owned();
    let documents = inner_documents(&original, &tree.place).map_err(|_| refused())?;
    let mut document = documents.into_iter().next().ok_or_else(refused)?;
    let create = sink.part.create.then(|| value.kind());
    let mut set = |found: &mut Node| set_value(found, value, &sink.part);
    if visit(&mut document, inner, create, &mut set)? == 0 {
        return Err(refused());
    }
    let text = if original.trim_start().starts_with(['{', '[']) {
        let json = document.to_json().map_err(|problem| Refused(problem.message))?;
        json_text(&json, original.contains('\n') && original.contains("  "))
    } else {
        emit::styled(&document).trim().to_owned()
    };
    let mut put = |found: &mut Node| {
        if let Some(scalar) = found.as_scalar_mut() {
            scalar.text.clone_from(&text);
        }
        Ok(())
    };
    visit_exact(tree, outer, &mut put)
}

/// Like `visit`, for a path that leads to one value.
fn visit_exact(node: &mut Node, path: &[String], set: Set) -> Result<(), Refused> {
    let Some((first, rest)) = path.split_first() else { return set(node) };
    let missing = || Refused("the field is not there".into());
    let next = if let Some(index) = is_index(first) {
        node.items_mut().and_then(|items| items.get_mut(index))
    } else if let Some((key, value)) =
        first.strip_prefix('[').and_then(|part| part.strip_suffix(']')).and_then(|part| part.split_once('='))
    {
        let meant = |item: &Node| {
            if key.is_empty() { item.raw() == value } else { item.get(key).is_some_and(|found| found.raw() == value) }
        };
        node.items_mut().and_then(|items| items.iter_mut().find(|item| meant(item)))
    } else if first == "-" {
        node.items_mut().and_then(|items| items.last_mut())
    } else {
        node.get_mut(first)
    };
    visit_exact(next.ok_or_else(missing)?, rest, set)
}

/// JSON as Go writes it, on one line or indented.
fn json_text(json: &Json, pretty: bool) -> String {
    let mut compact = String::new();
    write_go_json(json, &mut compact);
    if !pretty {
        return compact;
    }
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    let mut chars = compact.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => {
                quoted = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                if !chars.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
    }
    out
}
