//! Markers: comments that say by which policy a value is set. Invariant: of a file only marked values change; every other
//! byte stays.
//!
//! Source: Flux 2.7, documentation, "Image Update Automations", "Update strategy".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prograde_kustomize::{Tag as ScalarTag, Value as NodeValue, documents};
use prograde_model::Diagnostic;
use prograde_yaml::{Style, Syntax, SyntaxValue, syntax};
use serde::Serialize;
use serde_json::Value as Json;

use crate::codes;

/// What a comment has to have.
const KEY: &str = "\"$imagepolicy\"";

/// An image as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageRef {
    /// The image without tag.
    pub name: String,
    /// The tag.
    pub tag: String,
    /// The digest; empty where only the tag is written.
    pub digest: String,
    /// Whether a digest that is written beside the same tag stays: any but these.
    #[serde(skip)]
    pub keeps: Option<Arc<BTreeSet<String>>>,
}

impl std::fmt::Display for ImageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)?;
        if self.digest.is_empty() { Ok(()) } else { write!(f, "@{}", self.digest) }
    }
}

/// The object that a value is part of; empty texts where the document does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectId {
    /// Its API version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// A value that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What it is part of.
    pub object: ObjectId,
    /// The value that was there.
    pub old_value: String,
    /// The value that is to be there.
    pub new_value: String,
    /// The marker.
    pub setter: String,
}

/// A file with new values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The text.
    pub text: String,
    /// What is different.
    pub changes: Vec<Change>,
    /// Markers that can't be followed.
    pub problems: Vec<Diagnostic>,
}

/// A scalar and where it begins.
struct Scalar {
    line: usize,
    column: usize,
    style: Style,
    text: String,
    in_list: bool,
    object: ObjectId,
}

/// Whether a text may have a marker.
pub fn is_marked(text: &str) -> bool {
    text.contains(KEY)
}

/// Sets marked values to the images of their policies: by `NAMESPACE:NAME`. A policy without namespace stands for each. Values of
/// the policies in `left` stay as they are.
pub fn rewrite(
    file: &str,
    text: &str,
    images: &BTreeMap<String, ImageRef>,
    left: &BTreeSet<String>,
) -> Result<Rewritten, Diagnostic> {
    if !is_marked(text) {
        return Ok(Rewritten { text: text.to_owned(), ..Rewritten::default() });
    }
    let mut scalars = Vec::new();
    for document in syntax(file, text)? {
        let object = identity(&document);
        collect(&document, false, &object, &mut scalars);
    }
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut done = Rewritten::default();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(KEY)) {
        match marked(file, index, line, &lines, &scalars) {
            Ok(marked) => found.extend(marked),
            Err(problem) => done.problems.push(problem),
        }
    }
    let tags = found.iter().filter_map(|(setter, scalar)| Some((setter.strip_suffix(":tag")?, scalar.text.as_str())));
    let wanted = Wanted { images, left, tags: &tags.collect() };
    for (setter, scalar) in &found {
        match set(file, setter, scalar, &mut lines, &wanted) {
            Ok(change) => done.changes.extend(change),
            Err(problem) => done.problems.push(problem),
        }
    }
    done.problems.sort_by_key(|problem| problem.line);
    done.text = lines.join("\n");
    Ok(done)
}

fn identity(document: &Syntax) -> ObjectId {
    let get = |of: &Syntax, name: &str| -> Option<Syntax> {
        let SyntaxValue::Mapping(entries) = &of.value else { return None };
        let is = |key: &Syntax| matches!(&key.value, SyntaxValue::Scalar(text, _) if text == name);
        entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value.clone())
    };
    let text = |of: Option<Syntax>| match of.map(|node| node.value) {
        Some(SyntaxValue::Scalar(text, _)) => text,
        _ => String::new(),
    };
    let metadata = get(document, "metadata");
    let inside = |name: &str| text(metadata.as_ref().and_then(|metadata| get(metadata, name)));
    ObjectId {
        api_version: text(get(document, "apiVersion")),
        kind: text(get(document, "kind")),
        name: inside("name"),
        namespace: inside("namespace"),
    }
}

fn collect(node: &Syntax, in_list: bool, object: &ObjectId, into: &mut Vec<Scalar>) {
    match &node.value {
        SyntaxValue::Scalar(text, style) => {
            let place = |number: u32| usize::try_from(number).unwrap_or(0).saturating_sub(1);
            let (line, column) = (place(node.line), place(node.column));
            // What an alias stands for is found where it is written.
            if !into.iter().rev().take(64).any(|known| (known.line, known.column) == (line, column)) {
                let (style, text, object) = (*style, text.clone(), object.clone());
                into.push(Scalar { line, column, style, text, in_list, object });
            }
        }
        SyntaxValue::Sequence(items) => items.iter().for_each(|item| collect(item, true, object, into)),
        SyntaxValue::Mapping(entries) => entries.iter().for_each(|(_, value)| collect(value, false, object, into)),
    }
}

/// The marker of a line, and the value that it stands beside. Nothing where the text is no comment but part of a value.
fn marked<'s>(
    file: &str,
    index: usize,
    line: &str,
    lines: &[String],
    scalars: &'s [Scalar],
) -> Result<Option<(String, &'s Scalar)>, Diagnostic> {
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let wrong = |message: &str, hint: &str| Diagnostic::file(codes::MARKER, file, message, hint).at(number, 0);
    // A block of text may well speak of markers.
    let is_in_block = scalars.iter().any(|scalar| {
        // A block is placed at its first line of text.
        matches!(scalar.style, Style::Literal | Style::Folded)
            && (scalar.line..scalar.line + scalar.text.matches('\n').count().max(1)).contains(&index)
    });
    if is_in_block {
        return Ok(None);
    }
    let beside = "put it behind a value on the value's own line";
    let is_comment = line.trim_start().starts_with('#');
    let here = scalars.iter().filter(|scalar| scalar.line == index);
    let found = if is_comment {
        let next = lines.iter().enumerate().skip(index + 1).find(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        let item = next.and_then(|(next, _)| scalars.iter().find(|scalar| scalar.line == next && scalar.in_list));
        let Some(setter) = setter(line.trim_start()).transpose() else { return Ok(None) };
        let setter = setter.map_err(|why| wrong(&why, "write `# {\"$imagepolicy\": \"NAMESPACE:NAME\"}`"))?;
        match item {
            Some(item) => Some((setter, item)),
            None => return Err(wrong("a marker stands beside no value", beside)),
        }
    } else {
        let mut found = None;
        for scalar in here {
            let Some((_, rest)) = written(line, scalar) else { continue };
            let Some(comment) = rest.trim_start().strip_prefix('#').filter(|_| rest.starts_with(char::is_whitespace))
            else {
                continue;
            };
            match setter(comment).map_err(|why| wrong(&why, "write `# {\"$imagepolicy\": \"NAMESPACE:NAME\"}`"))? {
                Some(setter) => found = Some((setter, scalar)),
                None => return Ok(None),
            }
        }
        found
    };
    if let Some((_, scalar)) = &found
        && matches!(scalar.style, Style::Literal | Style::Folded)
    {
        return Err(wrong("a marker stands beside a value of several lines", "write the value on one line"));
    }
    if found.is_none() && line.split_once('#').is_some_and(|(_, comment)| matches!(setter(comment), Ok(Some(_)))) {
        return Err(wrong("a marker stands beside no value", beside));
    }
    Ok(found)
}

/// The marker in a comment; nothing where the comment is another one.
fn setter(comment: &str) -> Result<Option<String>, String> {
    let text = comment.trim_start_matches('#').trim();
    if !text.contains(KEY) {
        return Ok(None);
    }
    if !text.starts_with('{') {
        return Ok(None);
    }
    let parsed: Json = serde_json::from_str(text).map_err(|_| "a marker is no JSON".to_owned())?;
    match parsed.get("$imagepolicy").and_then(Json::as_str) {
        Some(setter) => Ok(Some(setter.to_owned())),
        None => Err("a marker names no policy".to_owned()),
    }
}

/// A scalar as it is written on its line, and the rest of the line; nothing where it goes on elsewhere.
fn written<'l>(line: &'l str, scalar: &Scalar) -> Option<(&'l str, &'l str)> {
    let start = line.char_indices().map(|(at, _)| at).nth(scalar.column)?;
    let from = line.get(start..)?;
    let end = match scalar.style {
        Style::Plain => {
            let end = from.find(" #").or_else(|| from.find("\t#"))?;
            let written = from.get(..end)?.trim_end();
            // Else the value goes on elsewhere, or is one of several on the line.
            if written != scalar.text {
                return None;
            }
            written.len()
        }
        Style::Single => {
            let mut at = 1;
            loop {
                let quote = at + from.get(at..)?.find('\'')?;
                if from.get(quote + 1..)?.starts_with('\'') {
                    at = quote + 2;
                } else {
                    break quote + 1;
                }
            }
        }
        Style::Double => {
            let mut escaped = false;
            let mut end = None;
            for (at, letter) in from.char_indices().skip(1) {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '"' => {
                        end = Some(at + 1);
                        break;
                    }
                    _ => {}
                }
            }
            end?
        }
        Style::Literal | Style::Folded => {
            from.find('#').map(|at| from.get(..at).unwrap_or_default().trim_end().len())?
        }
    };
    from.split_at_checked(end)
}

/// What values are to become.
struct Wanted<'a> {
    images: &'a BTreeMap<String, ImageRef>,
    left: &'a BTreeSet<String>,
    /// Which tags are written in the file, by the policies that markers name.
    tags: &'a BTreeSet<(&'a str, &'a str)>,
}

impl ImageRef {
    /// Whether a digest stays that stands beside the tag.
    fn stays(&self, digest: &str) -> bool {
        self.keeps.as_ref().is_some_and(|but| digest.starts_with("sha256:") && !but.contains(digest))
    }

    /// Whether an image stays as it is written: the tag is the same, and so may be the digest.
    fn is_kept(&self, written: &str) -> bool {
        let digest = written.strip_prefix(&format!("{}:{}@", self.name, self.tag));
        digest.is_some_and(|digest| self.stays(digest))
    }
}

fn set(
    file: &str,
    setter: &str,
    scalar: &Scalar,
    lines: &mut [String],
    Wanted { images, left, tags }: &Wanted<'_>,
) -> Result<Option<Change>, Diagnostic> {
    let number = u32::try_from(scalar.line + 1).unwrap_or(u32::MAX);
    let wrong = |message: String, hint: &str| Diagnostic::file(codes::MARKER, file, message, hint).at(number, 0);
    let mut parts = setter.splitn(3, ':');
    let (Some(namespace), Some(name), part) = (parts.next(), parts.next(), parts.next()) else {
        let message = format!("the marker `{}` names no policy", crate::schema::shortened(setter));
        return Err(wrong(message, "write `NAMESPACE:NAME`"));
    };
    let policies = [format!("{namespace}:{name}"), format!(":{name}")];
    if policies.iter().any(|policy| left.contains(policy)) {
        return Ok(None);
    }
    let image = policies.iter().find_map(|policy| images.get(policy));
    let Some(image) = image else {
        let message = format!("no image is known for the policy `{}`", crate::schema::shortened(setter));
        return Err(wrong(message, "the ImagePolicy has to be among the files, and its tags have to be known"));
    };
    let new_value = match part {
        None if image.is_kept(&scalar.text) => return Ok(None),
        None => image.to_string(),
        Some("tag") => image.tag.clone(),
        Some("name") => image.name.clone(),
        Some("digest") if image.digest.is_empty() => {
            let message = format!("the digest for `{}` is not known", crate::schema::shortened(setter));
            return Err(wrong(
                message,
                "set `digestReflectionPolicy: IfNotPresent` on the ImagePolicy, or pass `--pin`",
            ));
        }
        Some("digest") if image.stays(&scalar.text) && tags.contains(&(policy_of(setter), image.tag.as_str())) => {
            return Ok(None);
        }
        Some("digest") => image.digest.clone(),
        Some(other) => {
            let message = format!("a marker can't set `{}`", crate::schema::shortened(other));
            return Err(wrong(message, "write `:tag`, `:name` or `:digest`, or nothing for the whole image"));
        }
    };
    if new_value == scalar.text {
        return Ok(None);
    }
    let Some(line) = lines.get_mut(scalar.line) else { return Ok(None) };
    let old_length = match written(line, scalar) {
        Some((old, _)) => old.len(),
        // A value below its marker has no comment behind it.
        None => line
            .char_indices()
            .map(|(at, _)| at)
            .nth(scalar.column)
            .and_then(|at| line.get(at..))
            .map_or(0, |rest| rest.trim_end().len()),
    };
    let Some(start) = line.char_indices().map(|(at, _)| at).nth(scalar.column) else { return Ok(None) };
    line.replace_range(start..start + old_length, &quoted(&new_value, scalar.style));
    Ok(Some(Change {
        file: file.to_owned(),
        line: number,
        object: scalar.object.clone(),
        old_value: scalar.text.clone(),
        new_value,
        setter: setter.to_owned(),
    }))
}

/// The policy that a marker names, without what it sets.
fn policy_of(setter: &str) -> &str {
    setter.rsplit_once(':').map_or(setter, |(policy, _)| policy)
}

/// A value in the style of the one that it replaces; without quotes only where it stays a text.
fn quoted(value: &str, style: Style) -> String {
    let plain = || {
        let read = documents("value", value).ok().and_then(|nodes| nodes.into_iter().next());
        read.is_some_and(|node| {
            matches!(&node.value, NodeValue::Scalar(scalar) if scalar.text == value && matches!(scalar.tag, ScalarTag::Str | ScalarTag::Open))
        })
    };
    match style {
        Style::Single => format!("'{}'", value.replace('\'', "''")),
        Style::Plain if plain() => value.to_owned(),
        Style::Plain | Style::Double | Style::Literal | Style::Folded => {
            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> BTreeMap<String, ImageRef> {
        let image = |tag: &str, digest: &str| ImageRef {
            name: "ghcr.io/a/b".into(),
            tag: tag.into(),
            digest: digest.into(),
            keeps: None,
        };
        [("flux:app".to_owned(), image("6.0.1", "")), ("flux:num".to_owned(), image("10", "sha256:abc"))].into()
    }

    fn check(before: &str, after: &str) {
        let done = rewrite("a.yaml", before, &images(), &BTreeSet::new()).unwrap();
        assert!(done.problems.is_empty(), "{before}: {:?}", done.problems);
        assert_eq!(done.text, after);
        // What is set stays set.
        assert!(rewrite("a.yaml", after, &images(), &BTreeSet::new()).unwrap().changes.is_empty());
    }

    #[test]
    fn only_marked_values_change() {
        check(
            "a:   # kept\n  -  image:   ghcr.io/a/b:5.0.0   # {\"$imagepolicy\": \"flux:app\"}\n\nx: 'y' # no\n",
            "a:   # kept\n  -  image:   ghcr.io/a/b:6.0.1   # {\"$imagepolicy\": \"flux:app\"}\n\nx: 'y' # no\n",
        );
        check(
            "t: v5 # {\"$imagepolicy\": \"flux:app:tag\"}\r\n",
            "t: 6.0.1 # {\"$imagepolicy\": \"flux:app:tag\"}\r\n",
        );
        check(
            "t: \"5\" # {\"$imagepolicy\": \"flux:num:tag\"}\n",
            "t: \"10\" # {\"$imagepolicy\": \"flux:num:tag\"}\n",
        );
        check("t: x # {\"$imagepolicy\": \"flux:num:tag\"}\n", "t: \"10\" # {\"$imagepolicy\": \"flux:num:tag\"}\n");
        check(
            "t: 'x' #{\"$imagepolicy\":\"flux:num:digest\"}",
            "t: 'sha256:abc' #{\"$imagepolicy\":\"flux:num:digest\"}",
        );
        check(
            "n: q # {\"$imagepolicy\": \"flux:num:name\"}\n",
            "n: ghcr.io/a/b # {\"$imagepolicy\": \"flux:num:name\"}\n",
        );
        check(
            "i: q # {\"$imagepolicy\": \"flux:num\"}\n",
            "i: ghcr.io/a/b:10@sha256:abc # {\"$imagepolicy\": \"flux:num\"}\n",
        );
        check(
            "l:\n# {\"$imagepolicy\": \"flux:app\"}\n- q\n- r\n",
            "l:\n# {\"$imagepolicy\": \"flux:app\"}\n- ghcr.io/a/b:6.0.1\n- r\n",
        );
        check(
            "- ü: q # {\"$imagepolicy\": \"flux:app:tag\"}\n---\nb: c\n",
            "- ü: 6.0.1 # {\"$imagepolicy\": \"flux:app:tag\"}\n---\nb: c\n",
        );
        check("s: |\n  a: b # {\"$imagepolicy\": \"flux:app\"}\n", "s: |\n  a: b # {\"$imagepolicy\": \"flux:app\"}\n");
    }

    #[test]
    fn a_digest_stays_beside_its_tag_where_the_policy_says_so() {
        let mut images = images();
        let bad: BTreeSet<String> = ["sha256:bad".to_owned()].into();
        images.get_mut("flux:num").unwrap().keeps = Some(Arc::new(bad));
        let after = |text: &str| rewrite("a.yaml", text, &images, &BTreeSet::new()).unwrap().text;
        let whole = |digest: &str| format!("i: ghcr.io/a/b:{digest} # {{\"$imagepolicy\": \"flux:num\"}}\n");
        assert_eq!(after(&whole("10@sha256:old")), whole("10@sha256:old"));
        assert_eq!(after(&whole("9@sha256:old")), whole("10@sha256:abc"));
        assert_eq!(after(&whole("10@sha256:bad")), whole("10@sha256:abc"));
        let parts = |tag: &str, digest: &str| {
            format!(
                "t: {tag} # {{\"$imagepolicy\": \"flux:num:tag\"}}\nd: {digest} # {{\"$imagepolicy\": \"flux:num:digest\"}}\n"
            )
        };
        assert_eq!(after(&parts("\"10\"", "sha256:old")), parts("\"10\"", "sha256:old"));
        assert_eq!(after(&parts("\"9\"", "sha256:old")), parts("\"10\"", "sha256:abc"));
        assert_eq!(after(&parts("\"10\"", "sha256:bad")), parts("\"10\"", "sha256:abc"));
    }

    #[test]
    fn markers_that_can_t_be_followed_are_told() {
        for (text, expected) in [
            ("a: b # {\"$imagepolicy\": \"flux:nope\"}\n", "no image is known"),
            ("a: b # {\"$imagepolicy\": \"flux\"}\n", "names no policy"),
            ("a: b # {\"$imagepolicy\": \"flux:app:size\"}\n", "can't set `size`"),
            ("a: b # {\"$imagepolicy\": \"flux:app:digest\"}\n", "the digest for"),
            ("a: b # {\"$imagepolicy\": flux:app}\n", "no JSON"),
            ("# {\"$imagepolicy\": \"flux:app\"}\na: b\n", "beside no value"),
            ("a: {b: c} # {\"$imagepolicy\": \"flux:app\"}\n", "beside no value"),
        ] {
            let done = rewrite("a.yaml", text, &images(), &BTreeSet::new()).unwrap();
            let shown: Vec<String> = done.problems.iter().map(ToString::to_string).collect();
            assert!(shown.iter().any(|problem| problem.contains(expected)), "{text}: {shown:?}");
            assert_eq!(done.text, text);
        }
        assert!(rewrite("a.yaml", "a: [ # {\"$imagepolicy\": \"flux:app\"}\n", &images(), &BTreeSet::new()).is_err());
    }

    #[test]
    fn changes_name_their_objects() {
        let text = "kind: Deployment\nmetadata: {name: web, namespace: prod}\nspec:\n  image: q # {\"$imagepolicy\": \"flux:app\"}\n";
        let done = rewrite("a.yaml", text, &images(), &BTreeSet::new()).unwrap();
        let change = &done.changes[0];
        assert_eq!((change.line, change.object.kind.as_str(), change.object.name.as_str()), (4, "Deployment", "web"));
    }
}
