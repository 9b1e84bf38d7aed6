//! YAML as it is written: texts with their style and tag, before anybody decides which of them are numbers. For formats
//! whose other readers decide differently. Invariant: aliases are expanded, and the size and depth of a tree are bounded.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle};
use prograde_model::Diagnostic;

use crate::{CODE, FILE_BYTES_MAX, check_size, position};

/// How deeply a document may be nested.
pub const SYNTAX_DEPTH_MAX: usize = 200;

/// How many values the documents of a file may have, each alias counted as what it stands for.
pub const SYNTAX_NODES_MAX: usize = 500_000;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: other readers may see a number, a boolean or nothing.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// A block of lines after `|`.
    Literal,
    /// Folded lines after `>`.
    Folded,
}

/// One value as it is written, and its place; lines and columns count from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Syntax {
    /// Line of its first character.
    pub line: u32,
    /// Column of its first character.
    pub column: u32,
    /// The tag, where one is written, such as `!!str`.
    pub tag: Option<String>,
    /// Whether it is written in brackets or braces, or within some.
    pub flow: bool,
    /// The value.
    pub value: SyntaxValue,
}

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub enum SyntaxValue {
    /// A text.
    Scalar(String, Style),
    /// A list.
    Sequence(Vec<Syntax>),
    /// Keys and values in the order in which they are written; keys may repeat.
    Mapping(Vec<(Syntax, Syntax)>),
}

/// All documents in `text`, also the empty ones.
pub fn syntax(file: &str, text: &str) -> Result<Vec<Syntax>, Diagnostic> {
    check_size(file, text, FILE_BYTES_MAX)?;
    let mut builder = Builder { file, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, done: Vec::new() };
    let unended = unended(text);
    for event in Parser::new_from_str(text).keep_tags(true) {
        let (mut event, span) = event.map_err(|error| scan_error(file, &error))?;
        if let Event::Scalar(scalar, ScalarStyle::Literal | ScalarStyle::Folded, ..) = &mut event
            && unended == Some(span.end.index())
            && scalar.ends_with('\n')
        {
            scalar.to_mut().pop();
        }
        let at = (position_of(span.start.line()), position_of(span.start.col()).saturating_add(1));
        builder.take(event, at, span.start.index() == span.end.index())?;
    }
    Ok(builder.done)
}

/// How many characters a text has whose last line is not ended. A block of lines that ends so has no line break at its end
/// (YAML 1.2.2, production 165, `b-chomped-last`); the library gives it one.
fn unended(text: &str) -> Option<usize> {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (!last.trim_matches(' ').is_empty()).then(|| text.chars().count())
}

fn position_of(number: usize) -> u32 {
    position(number as u64)
}

fn scan_error(file: &str, error: &ScanError) -> Diagnostic {
    let at = error.marker();
    Diagnostic::file(CODE, file, error.info(), "").at(position_of(at.line()), position_of(at.col()).saturating_add(1))
}

/// A collection that is not closed yet.
struct Open {
    node: Syntax,
    anchor: usize,
    key: Option<Syntax>,
}

struct Builder<'a> {
    file: &'a str,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Syntax, usize, usize)>,
    nodes: usize,
    done: Vec<Syntax>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, (line, column): (u32, u32), empty: bool) -> Result<(), Diagnostic> {
        let tag_text = |tag: Option<std::borrow::Cow<'_, granit_parser::Tag>>| tag.map(|tag| short(&tag.to_string()));
        if let Event::Scalar(text, style, anchor, tag) = event {
            let style = match style {
                ScalarStyle::Plain => Style::Plain,
                ScalarStyle::SingleQuoted => Style::Single,
                ScalarStyle::DoubleQuoted => Style::Double,
                ScalarStyle::Literal => Style::Literal,
                ScalarStyle::Folded => Style::Folded,
            };
            // What is not written at all is shown as `~` by the library.
            let text = if empty && style == Style::Plain { String::new() } else { text.into_owned() };
            let value = SyntaxValue::Scalar(text, style);
            let flow = self.open.last().is_some_and(|open| open.node.flow);
            let node = Syntax { line, column, tag: tag_text(tag), flow, value };
            self.count(1, &node)?;
            return self.put(node, anchor);
        }
        let started = if let Event::SequenceStart(style, anchor, tag) = event {
            Some((style, anchor, tag_text(tag), SyntaxValue::Sequence(Vec::new())))
        } else if let Event::MappingStart(style, anchor, tag) = event {
            Some((style, anchor, tag_text(tag), SyntaxValue::Mapping(Vec::new())))
        } else if let Event::Alias(id) = event {
            return self.alias(id, line, column);
        } else {
            if matches!(event, Event::SequenceEnd | Event::MappingEnd)
                && let Some(open) = self.open.pop()
            {
                return self.put(open.node, open.anchor);
            }
            if matches!(event, Event::DocumentEnd) {
                self.anchors.clear();
            }
            None
        };
        if let Some((style, anchor, tag, value)) = started {
            let node = Syntax { line, column, tag, flow: style == StructureStyle::Flow, value };
            self.count(1, &node)?;
            if self.open.len() >= SYNTAX_DEPTH_MAX {
                return Err(self.refused(&node, &format!("values are nested more than {SYNTAX_DEPTH_MAX} deep")));
            }
            self.open.push(Open { node, anchor, key: None });
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, line: u32, column: u32) -> Result<(), Diagnostic> {
        let Some((node, size, depth)) = self.anchors.get(&id) else {
            let unknown = Diagnostic::file(CODE, self.file, "an alias stands inside of what it stands for", "");
            return Err(unknown.at(line, column));
        };
        let (size, depth) = (*size, *depth);
        if self.nodes.saturating_add(size) > SYNTAX_NODES_MAX || self.open.len() + depth > SYNTAX_DEPTH_MAX {
            let node = Syntax { line, column, tag: None, flow: false, value: SyntaxValue::Sequence(Vec::new()) };
            return Err(self.refused(&node, "the aliases multiply to more than is read"));
        }
        let node = node.clone();
        self.nodes += size;
        self.put(node, 0)
    }

    fn count(&mut self, more: usize, node: &Syntax) -> Result<(), Diagnostic> {
        self.nodes += more;
        if self.nodes <= SYNTAX_NODES_MAX {
            return Ok(());
        }
        Err(self.refused(node, &format!("the file has more than {SYNTAX_NODES_MAX} values")))
    }

    fn refused(&self, node: &Syntax, message: &str) -> Diagnostic {
        Diagnostic::file(CODE, self.file, message, "split the file").at(node.line, node.column)
    }

    /// Puts a complete value where it belongs.
    fn put(&mut self, node: Syntax, anchor: usize) -> Result<(), Diagnostic> {
        if anchor > 0 {
            let (size, depth) = measure(&node);
            // What anchors keep counts as well: each nested anchor keeps a copy of its own.
            self.count(size, &node)?;
            self.anchors.insert(anchor, (node.clone(), size, depth));
        }
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(open) => match (&mut open.node.value, open.key.take()) {
                (SyntaxValue::Sequence(items), _) => items.push(node),
                (SyntaxValue::Mapping(entries), Some(key)) => entries.push((key, node)),
                (SyntaxValue::Mapping(_) | SyntaxValue::Scalar(..), _) => open.key = Some(node),
            },
        }
        Ok(())
    }
}

fn measure(node: &Syntax) -> (usize, usize) {
    let parts: Vec<&Syntax> = match &node.value {
        SyntaxValue::Scalar(..) => Vec::new(),
        SyntaxValue::Sequence(items) => items.iter().collect(),
        SyntaxValue::Mapping(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
    };
    let (mut size, mut depth) = (1, 0);
    for part in parts {
        let (inner, below) = measure(part);
        size += inner;
        depth = depth.max(below);
    }
    (size, depth + 1)
}

fn short(tag: &str) -> String {
    match tag.strip_prefix("tag:yaml.org,2002:") {
        Some(rest) => format!("!!{rest}"),
        None => tag.to_owned(),
    }
}

/// The first key of a mapping that is there twice, anywhere in the tree.
pub fn repeated_key(node: &Syntax) -> Option<&Syntax> {
    match &node.value {
        SyntaxValue::Scalar(..) => None,
        SyntaxValue::Sequence(items) => items.iter().find_map(repeated_key),
        SyntaxValue::Mapping(entries) => {
            let mut seen = BTreeSet::new();
            for (key, value) in entries {
                if let SyntaxValue::Scalar(text, _) = &key.value
                    && !seen.insert(text.as_str())
                {
                    return Some(key);
                }
                if let Some(found) = repeated_key(value) {
                    return Some(found);
                }
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(node: &Syntax, into: &mut Vec<(String, Style, Option<String>)>) {
        match &node.value {
            SyntaxValue::Scalar(text, style) => into.push((text.clone(), *style, node.tag.clone())),
            SyntaxValue::Sequence(items) => items.iter().for_each(|item| scalars(item, into)),
            SyntaxValue::Mapping(entries) => entries.iter().for_each(|(_, value)| scalars(value, into)),
        }
    }

    #[test]
    fn texts_keep_style_and_tag() {
        let read = syntax("a.yaml", "a: 010\nb: '010'\nc: \"x\"\nd: |\n  l\ne: >-\n  f\nf: !!str 1\n").unwrap();
        let mut found = Vec::new();
        scalars(&read[0], &mut found);
        let text = |text: &str, style, tag: Option<&str>| (text.to_owned(), style, tag.map(str::to_owned));
        assert_eq!(
            found,
            [
                text("010", Style::Plain, None),
                text("010", Style::Single, None),
                text("x", Style::Double, None),
                text("l\n", Style::Literal, None),
                text("f", Style::Folded, None),
                text("1", Style::Plain, Some("!!str")),
            ]
        );
    }

    #[test]
    fn a_block_that_the_file_ends_in_has_the_line_break_that_is_there() {
        for (text, expected) in [
            ("a: |\n  b\n", "b\n"),
            ("a: |\n  b", "b"),
            ("a: |+\n  b", "b"),
            ("a: >\n  b\n  é", "b é"),
            ("a: |\n  b\n  ", "b\n"),
            ("a: |\n  b\n\n", "b\n"),
            ("a: |\n  b\n# c", "b\n"),
            ("a: |\n  b\n...", "b\n"),
            ("- |\n  b\n- c", "b\n"),
        ] {
            let mut found = Vec::new();
            scalars(&syntax("a.yaml", text).unwrap()[0], &mut found);
            assert_eq!(found[0].0, expected, "{text:?}");
        }
    }

    #[test]
    fn aliases_are_expanded_and_bounded() {
        let read = syntax("a.yaml", "a: &x [1, 2]\nb: *x\n").unwrap();
        let SyntaxValue::Mapping(entries) = &read[0].value else { panic!() };
        assert_eq!(entries[0].1.value, entries[1].1.value);
        let mut bomb = String::from("a0: &a0 [x, x]\n");
        for level in 1..40 {
            bomb += format!("a{level}: &a{level} [*a{p}, *a{p}, *a{p}, *a{p}]\n", p = level - 1).as_str();
        }
        assert!(syntax("a.yaml", &bomb).is_err());
        assert!(syntax("a.yaml", &"[".repeat(100_000)).is_err());
        assert!(syntax("a.yaml", "a: &a [*a]").is_err());
    }

    #[test]
    fn repeated_keys_are_found() {
        let read = syntax("a.yaml", "a: [{b: 1, b: 2}]\n").unwrap();
        assert_eq!(repeated_key(&read[0]).map(|key| (key.line, key.column)), Some((1, 12)));
    }
}
