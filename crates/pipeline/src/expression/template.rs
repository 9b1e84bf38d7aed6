//! Texts with `${{ … }}` in them.

use serde_json::Value as Json;

use super::evaluate::{EvaluationError, Scope};
use super::functions::bounded;
use super::value::text_of;

/// A text whose expressions are filled in later.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// One part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Text as it is.
    Text(String),
    /// A value that was no text in YAML.
    Value(Json),
    /// An expression, without its braces, and where it starts in the text, in bytes.
    Expression { source: String, offset: usize },
}

/// A `${{` that is never closed, and where it stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unclosed(pub(crate) usize);

impl Template {
    /// Takes `text` apart.
    pub(crate) fn parse(text: &str) -> Result<Self, Unclosed> {
        let mut parts = Vec::new();
        let mut done = 0;
        while let Some(found) = text.get(done..).and_then(|rest| rest.find("${{")) {
            let open = done + found;
            let inner = open + 3;
            let length = text.get(inner..).and_then(closing).ok_or(Unclosed(open))?;
            push_text(&mut parts, text.get(done..open).unwrap_or_default());
            let source = text.get(inner..inner + length).unwrap_or_default();
            let indent = source.len() - source.trim_start().len();
            parts.push(Part::Expression { source: source.trim().to_owned(), offset: inner + indent });
            done = inner + length + 2;
        }
        push_text(&mut parts, text.get(done..).unwrap_or_default());
        Ok(Self { parts })
    }

    /// A template that is a value alone.
    pub(crate) fn of(value: Json) -> Self {
        Self { parts: vec![Part::Value(value)] }
    }

    /// The parts, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The expressions in it.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression { source, .. } => Some(source.as_str()),
            Part::Text(_) | Part::Value(_) => None,
        })
    }

    /// Whether nothing has to be filled in.
    pub(crate) fn is_literal(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// The text, where nothing has to be filled in.
    pub(crate) fn literal(&self) -> Option<String> {
        if self.is_literal() { self.text(&Scope::default()).ok() } else { None }
    }

    /// The value: an expression's own where it stands alone, else a text.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Json, EvaluationError> {
        match self.parts.as_slice() {
            [Part::Expression { source, .. }] => scope.evaluate(source),
            [Part::Value(value)] => Ok(value.clone()),
            _ => self.text(scope).map(Json::String),
        }
    }

    /// The text with all expressions filled in.
    pub(crate) fn text(&self, scope: &Scope) -> Result<String, EvaluationError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(own) => text.push_str(own),
                Part::Value(value) => text.push_str(&text_of(value)),
                Part::Expression { source, .. } => text.push_str(&text_of(&scope.evaluate(source)?)),
            }
            bounded(&text)?;
        }
        Ok(text)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Where the expression that `rest` starts with ends: the first `}}` outside of a quoted text.
fn closing(rest: &str) -> Option<usize> {
    let mut quoted = false;
    let mut bytes = rest.bytes().enumerate().peekable();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'\'' => quoted = !quoted,
            b'}' if !quoted && matches!(bytes.peek(), Some((_, b'}'))) => return Some(index),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn texts_are_filled_in_and_lone_expressions_keep_their_kind() {
        let scope = Scope::default();
        let text = |source: &str| Template::parse(source).unwrap().text(&scope).unwrap();
        assert_eq!(text("a ${{ 'b' }}-${{ 1 + 0 }}".replace("1 + 0", "1").as_str()), "a b-1");
        assert_eq!(text("${{ format('}}{0}', '''}}') }}".replace("'}}{0}'", "'}}}}{0}'").as_str()), "}}'}}");
        assert_eq!(Template::parse("${{ fromJSON('[1]') }}").unwrap().value(&scope).unwrap(), json!([1]));
        assert_eq!(Template::parse("x ${{ nope").unwrap_err(), Unclosed(2));
        assert_eq!(Template::parse("$ {{ x }}").unwrap().literal().as_deref(), Some("$ {{ x }}"));
    }

    proptest! {
        #[test]
        fn text_without_expressions_stays_as_it_is(text in "[^$]{0,80}") {
            prop_assert_eq!(Template::parse(&text).unwrap().literal(), Some(text));
        }

        #[test]
        fn any_text_is_taken_apart_or_refused(text in "[${} 'ü]{0,60}") {
            let _ = Template::parse(&text);
        }
    }
}
