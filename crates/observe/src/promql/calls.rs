//! What begins with a name: functions, aggregations and plain selectors.

use super::arguments::Arguments;
use super::catalogue::{FOLDS, PARAMETRISED, UNSUPPORTED, arity, found};
use super::error::Reason;
use super::expression::{Aggregation, Expression, LabelList, Scalar, Vector};
use super::lexer::Token;
use super::parser::{Node, Parser, Refused};

impl Parser<'_> {
    /// A word in the place of an operand.
    pub(super) fn named(&mut self, word: &str) -> Result<Node, Refused> {
        let at = self.at();
        let lower = word.to_lowercase();
        let next_opens = matches!(self.peek_after(1), Token::Sign("("));
        let is_grouped = matches!(self.peek_after(1), Token::Word(next) if ["by", "without"].contains(&next.to_lowercase().as_str()));
        if let Some(number) = [("inf", f64::INFINITY), ("nan", f64::NAN)].into_iter().find(|(name, _)| *name == lower) {
            self.advance();
            let expression = Expression::Scalar(Scalar::Number(number.1));
            return Ok(Node { at, depth: 1, in_parentheses: false, expression });
        }
        let aggregates = found(&FOLDS, &lower).is_some() || PARAMETRISED.contains(&lower.as_str());
        if aggregates && (next_opens || is_grouped) {
            self.advance();
            return self.aggregation(at, &lower);
        }
        let keywords = ["bool", "on", "ignoring", "group_left", "group_right", "atan2"];
        if keywords.contains(&lower.as_str()) {
            return Err(self.unexpected("an expression"));
        }
        if !next_opens {
            return self.selector(Some(word));
        }
        self.function(at, word)
    }

    fn function(&mut self, at: usize, name: &str) -> Result<Node, Refused> {
        if let Some(why) = found(&UNSUPPORTED, name) {
            return Err(self.refuse(Reason::Unsupported { name: name.to_owned(), why }));
        }
        let Some((least, most)) = arity(name) else {
            return Err(self.refuse(Reason::UnknownFunction(name.to_owned())));
        };
        self.advance();
        let arguments = Arguments::new(at, name, self.arguments()?);
        arguments.count(least, most)?;
        let depth = arguments.depth;
        Node::over(at, depth, arguments.call()?)
    }

    /// `(a, b)`
    fn arguments(&mut self) -> Result<Vec<Node>, Refused> {
        self.expect_sign("(", "\"(\"")?;
        let mut nodes = Vec::new();
        if self.take_sign(")") {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.expression(0)?);
            if self.take_sign(")") {
                return Ok(nodes);
            }
            self.expect_sign(",", "an operator, \",\" or \")\"")?;
        }
    }

    fn grouping(&mut self) -> Result<Option<LabelList>, Refused> {
        if self.take_keyword("by") {
            return Ok(Some(LabelList::Only(self.label_list()?)));
        }
        if self.take_keyword("without") {
            return Ok(Some(LabelList::AllBut(self.label_list()?)));
        }
        Ok(None)
    }

    /// `sum by (a) (v)` or `sum(v) by (a)`; the name has been read.
    fn aggregation(&mut self, at: usize, name: &str) -> Result<Node, Refused> {
        let before = self.grouping()?;
        let mut arguments = Arguments::new(at, name, self.arguments()?);
        let grouping = if before.is_some() { before } else { self.grouping()? };
        let fold = found(&FOLDS, name);
        let expected = if fold.is_some() { 1 } else { 2 };
        arguments.count(expected, expected)?;
        let depth = arguments.depth;
        let aggregation = match (fold, name) {
            (Some(fold), _) => Aggregation::Fold(fold),
            (None, "quantile") => Aggregation::Quantile(arguments.scalar()?),
            (None, "topk") => Aggregation::TopK(arguments.scalar()?),
            (None, "bottomk") => Aggregation::BottomK(arguments.scalar()?),
            (None, _) => Aggregation::CountValues(arguments.label()?),
        };
        let grouping = grouping.unwrap_or(LabelList::Only(Vec::new()));
        let vector = Vector::Aggregated { aggregation, of: arguments.vector()?, grouping };
        Node::over(at, depth, Expression::Vector(vector))
    }
}
