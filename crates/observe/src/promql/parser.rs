//! From tokens to a checked expression: operators by precedence climbing, everything else by descent.
//!
//! Invariant: no call nests deeper than [`NEST_MAX`] expressions, and no expression that is given back holds more than
//! [`DEPTH_MAX`] within each other, so that neither parsing nor evaluating nor dropping one exhausts a thread's stack.
//!
//! Source: Prometheus documentation, "Operators", "Binary operator precedence".

use super::check;
use super::error::Reason;
use super::expression::{Arithmetic, Comparing, Expression, Scalar, SetOperator};
use super::lexer::Token;
use super::{DEPTH_MAX, NEST_MAX};

/// A refusal at a byte of the text.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) at: usize,
    pub(super) reason: Reason,
}

/// An expression and what the checks need to know of how it was written.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) at: usize,
    /// How many expressions it nests.
    pub(super) depth: u32,
    /// It stands in parentheses, so that no modifier reaches into it.
    pub(super) in_parentheses: bool,
    pub(super) expression: Expression,
}

impl Node {
    /// An expression that holds others; refused if that is too deep.
    pub(super) fn over(at: usize, depth: u32, expression: Expression) -> Result<Self, Refused> {
        let node = Self { at, depth: depth + 1, in_parentheses: false, expression };
        let too_deep = Refused { at, reason: Reason::TooDeep { max: DEPTH_MAX } };
        if node.depth > DEPTH_MAX { Err(too_deep) } else { Ok(node) }
    }

    pub(super) fn refuse(&self, reason: Reason) -> Refused {
        Refused { at: self.at, reason }
    }
}

/// An operator as it is written, before its sides are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Infix {
    Set(SetOperator),
    Comparing(Comparing),
    Arithmetic(Arithmetic),
}

/// Binds tighter than every operator but `^`.
const UNARY: u8 = 6;

impl Infix {
    fn of(token: &Token) -> Option<Self> {
        let written = match token {
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Word(word) => word.to_lowercase(),
            Token::Number(_) | Token::Duration(_) | Token::Text(_) | Token::End => return None,
        };
        Some(match written.as_str() {
            "or" => Self::Set(SetOperator::Or),
            "and" => Self::Set(SetOperator::And),
            "unless" => Self::Set(SetOperator::Unless),
            "==" => Self::Comparing(Comparing::Equal),
            "!=" => Self::Comparing(Comparing::NotEqual),
            ">" => Self::Comparing(Comparing::Greater),
            "<" => Self::Comparing(Comparing::Less),
            ">=" => Self::Comparing(Comparing::GreaterOrEqual),
            "<=" => Self::Comparing(Comparing::LessOrEqual),
            "+" => Self::Arithmetic(Arithmetic::Add),
            "-" => Self::Arithmetic(Arithmetic::Subtract),
            "*" => Self::Arithmetic(Arithmetic::Multiply),
            "/" => Self::Arithmetic(Arithmetic::Divide),
            "%" => Self::Arithmetic(Arithmetic::Modulo),
            "^" => Self::Arithmetic(Arithmetic::Power),
            "atan2" => Self::Arithmetic(Arithmetic::Atan2),
            _ => return None,
        })
    }

    /// Higher binds tighter.
    fn precedence(self) -> u8 {
        match self {
            Self::Set(SetOperator::Or) => 1,
            Self::Set(SetOperator::And | SetOperator::Unless) => 2,
            Self::Comparing(_) => 3,
            Self::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => 4,
            Self::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Modulo | Arithmetic::Atan2) => 5,
            Self::Arithmetic(Arithmetic::Power) => 6,
        }
    }

    /// What its right side must bind at least: `^` takes another `^`, all others take only what binds tighter.
    fn right_precedence(self) -> u8 {
        if self == Self::Arithmetic(Arithmetic::Power) { self.precedence() } else { self.precedence() + 1 }
    }
}

pub(super) struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    next: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    pub(super) fn new(tokens: &'a [(usize, Token)]) -> Self {
        Self { tokens, next: 0, depth: 0 }
    }

    pub(super) fn query(mut self) -> Result<Expression, Refused> {
        let node = self.expression(0)?;
        match self.peek() {
            Token::End => Ok(node.expression),
            Token::Word(_) | Token::Number(_) | Token::Duration(_) | Token::Text(_) | Token::Sign(_) => {
                Err(self.unexpected("an operator or the end of the query"))
            }
        }
    }

    /// An operand and all operators after it that bind at least so tight.
    pub(super) fn expression(&mut self, precedence: u8) -> Result<Node, Refused> {
        self.deeper()?;
        let mut left = self.operand()?;
        while let Some(infix) = Infix::of(self.peek()).filter(|infix| infix.precedence() >= precedence) {
            self.advance();
            let modifiers = self.join_modifiers()?;
            let right = self.expression(infix.right_precedence())?;
            left = check::joined(infix, modifiers, left, right)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// Counts a nested expression; taken back where the expression ends.
    fn deeper(&mut self) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > NEST_MAX { Err(self.refuse(Reason::TooDeep { max: NEST_MAX })) } else { Ok(()) }
    }

    fn operand(&mut self) -> Result<Node, Refused> {
        let at = self.at();
        if self.take_sign("-") {
            let of = self.expression(UNARY)?;
            return check::negated(at, of);
        }
        if self.take_sign("+") {
            let of = self.expression(UNARY)?;
            return check::affirmed(at, of);
        }
        let primary = self.primary()?;
        self.modified(primary)
    }

    fn primary(&mut self) -> Result<Node, Refused> {
        let at = self.at();
        let leaf = |expression| Ok(Node { at, depth: 1, in_parentheses: false, expression });
        match self.peek().clone() {
            Token::Number(number) => {
                self.advance();
                leaf(Expression::Scalar(Scalar::Number(number)))
            }
            Token::Text(text) => {
                self.advance();
                leaf(Expression::Text(text))
            }
            Token::Word(word) => self.named(&word),
            Token::Sign("(") => {
                self.advance();
                let inside = self.expression(0)?;
                self.expect_sign(")", "an operator or \")\"")?;
                Ok(Node { in_parentheses: true, ..inside })
            }
            Token::Sign("{") => self.selector(None),
            Token::Sign(_) | Token::Duration(_) | Token::End => Err(self.unexpected("an expression")),
        }
    }

    // The tokens.

    pub(super) fn peek(&self) -> &'a Token {
        self.peek_after(0)
    }

    /// The token so many after the next.
    pub(super) fn peek_after(&self, ahead: usize) -> &'a Token {
        self.tokens.get(self.next + ahead).map_or(&Token::End, |(_, token)| token)
    }

    /// Where the next token begins.
    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |(at, _)| *at)
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(next) if *next == sign)
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let is = self.is_sign(sign);
        self.next += usize::from(is);
        is
    }

    pub(super) fn expect_sign(&mut self, sign: &str, expected: &'static str) -> Result<(), Refused> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// True if a keyword is next, in letters of any case.
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let is = self.is_keyword(keyword);
        self.next += usize::from(is);
        is
    }

    pub(super) fn refuse(&self, reason: Reason) -> Refused {
        Refused { at: self.at(), reason }
    }

    pub(super) fn unexpected(&self, expected: &'static str) -> Refused {
        self.refuse(Reason::Unexpected { found: self.peek().describe(), expected })
    }
}
