//! Pipelines: what is between an action's delimiters.
//!
//! Source: Go 1.26, documentation of `text/template`, "Arguments", "Pipelines" and "Variables".

use crate::error::Error;
use crate::lexer::{Kind, Token};
use crate::number::{self, Number};
use crate::parser::Parser;
use crate::tree::{Command, Operand, Pipeline, Term};
use crate::value::Value;

impl Parser<'_> {
    /// A pipeline with its end.
    pub(crate) fn pipeline(&mut self, place: &str, end: Kind) -> Result<Pipeline, Error> {
        let at = self.peek_word().map_or_else(|| self.last(), |token| token.at);
        let (variables, assigns) = self.declarations(place)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            let Some(token) = self.peek_word() else { return Err(self.unexpected(None, place)) };
            if token.kind == end {
                self.take();
                break;
            }
            let command = self.command(place)?;
            let is_value = matches!(command.head.term, Term::Dot | Term::Nil | Term::Constant(_));
            if is_value && !commands.is_empty() {
                return Err(self.error(token.at, "a value can't be what a pipeline leads to: expected a function"));
            }
            commands.push(command);
        }
        if commands.is_empty() {
            return Err(self.error(at, format!("{place} has no value")));
        }
        Ok(Pipeline { at, variables, assigns, commands })
    }

    /// `$a :=`, `$a =`, and in a range also `$a, $b :=`.
    fn declarations(&mut self, place: &str) -> Result<(Vec<String>, bool), Error> {
        let mut names = Vec::new();
        loop {
            let Some(Token { kind: Kind::Variable, text, .. }) = self.peek_word() else { return Ok((names, false)) };
            let before = self.mark();
            self.take();
            let kind = self.peek_word().map(|token| token.kind);
            if !matches!(kind, Some(Kind::Assign | Kind::Declare | Kind::Comma)) {
                self.back_to(before);
                return Ok((names, false));
            }
            let at = self.take().map_or(0, |token| token.at);
            names.push(text.to_owned());
            self.variables.push(text.to_owned());
            if kind != Some(Kind::Comma) {
                return Ok((names, kind == Some(Kind::Assign)));
            }
            if place != "range" || names.len() == 2 {
                return Err(self.error(at, format!("{place} sets too many variables")));
            }
            if !matches!(self.peek_word(), Some(Token { kind: Kind::Variable, .. })) {
                return Err(self.error(at, "expected a second variable after `,`"));
            }
        }
    }

    fn command(&mut self, place: &str) -> Result<Command, Error> {
        let mut operands = Vec::new();
        loop {
            self.peek_word();
            operands.extend(self.operand()?);
            match self.peek() {
                Some(Token { kind: Kind::Space, .. }) => {}
                Some(Token { kind: Kind::RightDelimiter | Kind::RightParen, .. }) => break,
                Some(Token { kind: Kind::Pipe, .. }) => {
                    self.take();
                    break;
                }
                token => return Err(self.unexpected(token, place)),
            }
        }
        let mut operands = operands.into_iter();
        match operands.next() {
            Some(head) => Ok(Command { head, arguments: operands.collect() }),
            None => Err(self.error(self.last(), "expected a command")),
        }
    }

    /// A term with the fields that are asked of it.
    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        let at = self.peek().map_or(0, |token| token.at);
        while let Some(token) = self.peek()
            && token.kind == Kind::Field
        {
            self.take();
            fields.push(field_name(token.text));
        }
        if fields.is_empty() {
            return Ok(Some(operand));
        }
        match &mut operand.term {
            Term::Field(names) | Term::Variable(_, names) => names.append(&mut fields),
            Term::Dot | Term::Nil | Term::Constant(_) => {
                return Err(self.error(at, "a field can't be asked of this"));
            }
            Term::Function(_) | Term::Pipeline(_) | Term::Chain(..) => {
                let at = operand.at;
                operand = Operand { at, term: Term::Chain(Box::new(operand), fields) };
            }
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let Some(token) = self.peek_word() else { return Ok(None) };
        let term = match token.kind {
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Bool => Term::Constant(Value::Bool(token.text == "true")),
            Kind::Field => Term::Field(vec![field_name(token.text)]),
            Kind::Number | Kind::Char | Kind::Quoted | Kind::Raw => Term::Constant(self.constant(token)?),
            Kind::Identifier if self.functions.knows(token.text) => Term::Function(token.text.to_owned()),
            Kind::Identifier => {
                return Err(self.error(token.at, format!("there is no function `{}`", token.text)));
            }
            Kind::Variable if self.variables.iter().any(|name| name == token.text) => {
                Term::Variable(token.text.to_owned(), Vec::new())
            }
            Kind::Variable => return Err(self.error(token.at, format!("there is no variable `{}`", token.text))),
            Kind::LeftParen => {
                self.take();
                let inner = |this: &mut Self| this.pipeline("the parentheses", Kind::RightParen);
                let pipeline = self.deeper(token.at, inner)?;
                return Ok(Some(Operand { at: token.at, term: Term::Pipeline(Box::new(pipeline)) }));
            }
            Kind::Text
            | Kind::LeftDelimiter
            | Kind::RightDelimiter
            | Kind::Space
            | Kind::Assign
            | Kind::Declare
            | Kind::Comma
            | Kind::Pipe
            | Kind::RightParen
            | Kind::Keyword(_) => return Ok(None),
        };
        self.take();
        Ok(Some(Operand { at: token.at, term }))
    }

    fn constant(&self, token: Token<'_>) -> Result<Value, Error> {
        let found = match token.kind {
            Kind::Char => number::character(token.text).map(|letter| Value::Int(i64::from(u32::from(letter)))),
            Kind::Quoted => number::unquote(token.text).map(Value::from),
            Kind::Raw => Some(Value::from(token.text.trim_matches('`').replace('\r', ""))),
            _ => number::number(token.text).map(|number| match number {
                Number::Int(number) => Value::Int(number),
                Number::Float(number) => Value::Float(number),
            }),
        };
        found.ok_or_else(|| {
            let message = format!("{} is no number, or none that fits, or no text in UTF-8", token.text);
            self.error(token.at, message)
        })
    }
}

fn field_name(text: &str) -> String {
    text.trim_start_matches('.').to_owned()
}
