//! Selectors: a metric's name, matchers in braces, or both.

use super::error::Reason;
use super::expression::{Expression, Selector, Shift, Vector};
use super::lexer::Token;
use super::parser::{Node, Parser, Refused};
use crate::labels::METRIC_NAME;
use crate::matcher::{Comparison, Matcher};
use crate::pattern::Pattern;

impl Parser<'_> {
    /// `name`, `name{...}` or `{...}`; the name, if any, is next.
    pub(super) fn selector(&mut self, name: Option<&str>) -> Result<Node, Refused> {
        let at = self.at();
        let mut matchers = Vec::new();
        if name.is_some() {
            self.advance();
        }
        if self.take_sign("{") {
            while !self.take_sign("}") {
                matchers.push(self.matcher()?);
                if !self.is_sign("}") {
                    self.expect_sign(",", "\",\" or \"}\"")?;
                }
            }
        }
        if let Some(name) = name {
            if matchers.iter().any(|matcher: &Matcher| matcher.name == METRIC_NAME) {
                return Err(Refused { at, reason: Reason::NameTwice });
            }
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        if matchers.iter().all(|matcher| matcher.accepts("")) {
            return Err(Refused { at, reason: Reason::SelectsEverything });
        }
        let selector = Selector { matchers, shift: Shift::default() };
        Ok(Node { at, depth: 1, in_parentheses: false, expression: Expression::Vector(Vector::Selected(selector)) })
    }

    fn matcher(&mut self) -> Result<Matcher, Refused> {
        if matches!(self.peek(), Token::Text(_)) {
            let why = "it came with Prometheus 3; write label=\"value\"";
            return Err(self.refuse(Reason::Unsupported { name: "a quoted name in braces".to_owned(), why }));
        }
        let Token::Word(name) = self.peek() else { return Err(self.unexpected("a label")) };
        self.advance();
        let Token::Sign(sign @ ("=" | "!=" | "=~" | "!~")) = self.peek() else {
            return Err(self.unexpected("one of = != =~ !~"));
        };
        self.advance();
        let Token::Text(value) = self.peek() else { return Err(self.unexpected("a string")) };
        let pattern = || Pattern::new(value).map_err(|error| self.refuse(Reason::Pattern(error)));
        let comparison = match *sign {
            "=" => Comparison::Equal(value.clone()),
            "!=" => Comparison::NotEqual(value.clone()),
            "=~" => Comparison::Matches(pattern()?),
            _ => Comparison::MatchesNot(pattern()?),
        };
        self.advance();
        Ok(Matcher { name: name.clone(), comparison })
    }
}
