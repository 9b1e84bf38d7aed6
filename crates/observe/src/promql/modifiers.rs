//! What stands around operands: ranges, `@` and `offset` after them; `bool`, `on`, `group_left` and their kin between them.

use std::sync::Arc;

use super::error::Reason;
use super::expression::{At, Cardinality, Expression, LabelList, Range, Selector, Shift, Vector};
use super::lexer::Token;
use super::parser::{Node, Parser, Refused};
use crate::labels::is_label_name;

/// What stands between an operator and its right side.
#[derive(Debug, Default)]
pub(super) struct JoinModifiers {
    /// Where they begin.
    pub(super) at: usize,
    pub(super) returns_bool: bool,
    pub(super) matching: Option<LabelList>,
    /// One to one if nothing is said.
    pub(super) grouping: Option<Cardinality>,
}

/// `@` takes times up to here, in seconds: what milliseconds in 63 bits can count.
const AT_SECONDS_MAX: f64 = 9_223_372_036_854_775.0;

impl Parser<'_> {
    /// `[bool] [on|ignoring (...) [group_left|group_right [(...)]]]`
    pub(super) fn join_modifiers(&mut self) -> Result<JoinModifiers, Refused> {
        let at = self.at();
        let returns_bool = self.take_keyword("bool");
        let matching = if self.take_keyword("on") {
            Some(LabelList::Only(self.label_list()?))
        } else if self.take_keyword("ignoring") {
            Some(LabelList::AllBut(self.label_list()?))
        } else {
            None
        };
        let mut grouping = None;
        if matching.is_some() {
            let many_to_one = self.take_keyword("group_left");
            if many_to_one || self.take_keyword("group_right") {
                let included = if self.is_sign("(") { self.label_list()? } else { Vec::new() };
                let cardinality = if many_to_one { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                grouping = Some(cardinality(included));
            }
        }
        if matches!(self.peek(), Token::Word(word) if ["fill", "fill_left", "fill_right"].contains(&word.as_str()))
            && matches!(self.peek_after(1), Token::Sign("("))
        {
            let why = "it came with Prometheus 3; join with `or` instead";
            return Err(self.refuse(Reason::Unsupported { name: self.peek().describe(), why }));
        }
        Ok(JoinModifiers { at, returns_bool, matching, grouping })
    }

    /// `(a, b,)`
    pub(super) fn label_list(&mut self) -> Result<Vec<Arc<str>>, Refused> {
        self.expect_sign("(", "\"(\"")?;
        let mut labels = Vec::new();
        while !self.take_sign(")") {
            let Token::Word(word) = self.peek() else { return Err(self.unexpected("a label or \")\"")) };
            if ["inf", "nan", "without"].contains(&word.to_lowercase().as_str()) {
                return Err(self.unexpected("a label"));
            }
            if !is_label_name(word) {
                return Err(self.refuse(Reason::LabelName(word.clone())));
            }
            labels.push(Arc::from(word.as_str()));
            self.advance();
            if !self.is_sign(")") {
                self.expect_sign(",", "\",\" or \")\"")?;
            }
        }
        Ok(labels)
    }

    /// All of `[...]`, `@` and `offset` that follow an operand.
    pub(super) fn modified(&mut self, mut node: Node) -> Result<Node, Refused> {
        loop {
            let at = self.at();
            node = if self.take_sign("[") {
                self.ranged(node)?
            } else if self.take_sign("@") {
                let time = self.at_time()?;
                let shift = shift_of(&mut node, at, "@")?;
                if shift.at.replace(time).is_some() {
                    return Err(Refused { at, reason: Reason::ModifierTwice("@") });
                }
                node
            } else if self.take_keyword("offset") {
                let offset_ms = self.offset()?;
                let shift = shift_of(&mut node, at, "offset")?;
                if std::mem::replace(&mut shift.offset_ms, offset_ms) != 0 {
                    return Err(Refused { at, reason: Reason::ModifierTwice("offset") });
                }
                node
            } else {
                return Ok(node);
            };
        }
    }

    fn duration(&mut self) -> Result<i64, Refused> {
        let Token::Duration(ms) = *self.peek() else { return Err(self.unexpected("a duration such as 5m")) };
        self.advance();
        Ok(ms)
    }

    fn offset(&mut self) -> Result<i64, Refused> {
        let negative = self.take_sign("-");
        let ms = self.duration()?;
        Ok(if negative { -ms } else { ms })
    }

    fn at_time(&mut self) -> Result<At, Refused> {
        for (keyword, time) in [("start", At::Start), ("end", At::End)] {
            if self.take_keyword(keyword) {
                self.expect_sign("(", "\"(\"")?;
                self.expect_sign(")", "\")\"")?;
                return Ok(time);
            }
        }
        let negative = !self.take_sign("+") && self.take_sign("-");
        let seconds = match self.peek() {
            Token::Number(number) => *number,
            Token::Word(word) if ["inf", "nan"].contains(&word.to_lowercase().as_str()) => {
                return Err(self.refuse(Reason::AtBounds));
            }
            Token::Word(_) | Token::Duration(_) | Token::Text(_) | Token::Sign(_) | Token::End => {
                return Err(self.unexpected("seconds since 1970, start() or end()"));
            }
        };
        if seconds >= AT_SECONDS_MAX {
            return Err(self.refuse(Reason::AtBounds));
        }
        self.advance();
        #[expect(clippy::cast_possible_truncation, reason = "checked against what it can hold")]
        let ms = (seconds * 1000.0).round() as i64;
        Ok(At::Time(if negative { -ms } else { ms }))
    }

    /// What follows `[`: a range, or range and step of a subquery.
    fn ranged(&mut self, node: Node) -> Result<Node, Refused> {
        let range_ms = self.duration()?;
        if self.take_sign(":") {
            let step_ms = if self.is_sign("]") { None } else { Some(self.duration()?) };
            self.expect_sign("]", "\"]\"")?;
            let Expression::Vector(of) = node.expression else {
                let context = "a subquery".to_owned();
                let found = node.expression.kind();
                return Err(node.refuse(Reason::Type { expected: "an instant vector", context, found }));
            };
            let range = Range::Subquery { of: Box::new(of), range_ms, step_ms, shift: Shift::default() };
            return Node::over(node.at, node.depth, Expression::Range(range));
        }
        self.expect_sign("]", "\":\" or \"]\"")?;
        let at = node.at;
        match node.expression {
            Expression::Vector(Vector::Selected(selector))
                if !node.in_parentheses && selector.shift == Shift::default() =>
            {
                Node::over(at, node.depth, Expression::Range(Range::Selected { selector, range_ms }))
            }
            Expression::Vector(_) | Expression::Scalar(_) | Expression::Range(_) | Expression::Text(_) => {
                Err(Refused { at, reason: Reason::Range })
            }
        }
    }
}

/// The part of an operand that says when it is looked at.
fn shift_of<'a>(node: &'a mut Node, at: usize, modifier: &'static str) -> Result<&'a mut Shift, Refused> {
    let shift = match &mut node.expression {
        Expression::Vector(Vector::Selected(Selector { shift, .. }))
        | Expression::Range(Range::Selected { selector: Selector { shift, .. }, .. } | Range::Subquery { shift, .. }) => {
            Some(shift)
        }
        Expression::Vector(_) | Expression::Scalar(_) | Expression::Text(_) => None,
    };
    shift.filter(|_| !node.in_parentheses).ok_or(Refused { at, reason: Reason::Modifier(modifier) })
}
