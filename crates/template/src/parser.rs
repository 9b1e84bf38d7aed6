//! A descent over tokens: actions and what they hold. Pipelines are read in [`pipeline`](crate::pipeline).
//!
//! Source: Go 1.26, documentation of `text/template`, "Actions" and "Nested template definitions".

use std::sync::Arc;

use crate::error::{Error, Source};
use crate::functions::Functions;
use crate::lexer::{Keyword, Kind, Token};
use crate::number;
use crate::tree::{Branch, Node, Pipeline, Tree};

/// How deep actions and parentheses may nest; an `else if` nests.
pub(crate) const NESTED_MAX: usize = 100;

/// Reads a text: the template that it is, and those that it defines, by name.
pub(crate) fn parse(
    source: &Arc<Source>,
    tokens: &[Token<'_>],
    functions: &Functions<'_>,
    variables: &[&str],
) -> Result<Vec<(String, Tree)>, Error> {
    let declared = std::iter::once("$").chain(variables.iter().copied()).map(str::to_owned).collect();
    let mut parser =
        Parser { source, tokens, next: 0, functions, variables: declared, ranges: 0, nested: 0, found: Vec::new() };
    let (nodes, stop) = parser.list(true)?;
    if stop != Stop::Text {
        return Err(parser.error(parser.last(), format!("unexpected {stop}: nothing is open")));
    }
    parser.define(source.name.clone(), nodes, 0)?;
    Ok(parser.found)
}

pub(crate) struct Parser<'a> {
    source: &'a Arc<Source>,
    tokens: &'a [Token<'a>],
    next: usize,
    pub(crate) functions: &'a Functions<'a>,
    /// Those that can be seen here.
    pub(crate) variables: Vec<String>,
    /// How many ranges are open.
    ranges: usize,
    nested: usize,
    found: Vec<(String, Tree)>,
}

/// What a list of nodes ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Text,
    End,
    Else,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Text => "the end of the text",
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        })
    }
}

/// An action that holds others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    If,
    Range,
    With,
}

impl Control {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Range => "range",
            Self::With => "with",
        }
    }
}

impl<'a> Parser<'a> {
    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    pub(crate) fn peek_word(&mut self) -> Option<Token<'a>> {
        while self.peek().is_some_and(|token| token.kind == Kind::Space) {
            self.next += 1;
        }
        self.peek()
    }

    pub(crate) fn take(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    pub(crate) fn take_word(&mut self) -> Option<Token<'a>> {
        self.peek_word();
        self.take()
    }

    /// Where reading goes on; [`Self::back_to`] takes it.
    pub(crate) fn mark(&self) -> usize {
        self.next
    }

    pub(crate) fn back_to(&mut self, mark: usize) {
        self.next = mark;
    }

    /// Where the token that was taken last begins.
    pub(crate) fn last(&self) -> usize {
        self.next.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, |token| token.at)
    }

    pub(crate) fn error(&self, at: usize, message: impl Into<String>) -> Error {
        self.source.error(at, message)
    }

    pub(crate) fn unexpected(&self, token: Option<Token<'_>>, place: &str) -> Error {
        match token {
            Some(token) => self.error(token.at, format!("unexpected `{}` in {place}", token.text)),
            None => self.error(self.source.text.len(), format!("unexpected end of the text in {place}")),
        }
    }

    /// One step down, for as long as `inner` takes.
    pub(crate) fn deeper<T>(
        &mut self,
        at: usize,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.nested >= NESTED_MAX {
            return Err(self.error(at, format!("this is nested more than {NESTED_MAX} deep")));
        }
        self.nested += 1;
        let found = inner(self);
        self.nested -= 1;
        found
    }

    fn close(&mut self, action: &str) -> Result<(), Error> {
        match self.take_word() {
            Some(Token { kind: Kind::RightDelimiter, .. }) => Ok(()),
            token => Err(self.unexpected(token, action)),
        }
    }

    /// Nodes up to an `end` or `else` that belongs to what is around them, or to the end of the text.
    fn list(&mut self, is_top: bool) -> Result<(Vec<Node>, Stop), Error> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            if token.kind == Kind::Text {
                nodes.push(Node::Text(token.text.to_owned()));
                continue;
            }
            let Some(Token { kind: Kind::Keyword(keyword), at, .. }) = self.peek_word() else {
                nodes.push(Node::Action(self.pipeline("a command", Kind::RightDelimiter)?));
                continue;
            };
            self.take();
            match keyword {
                Keyword::End => {
                    self.close("end")?;
                    return Ok((nodes, Stop::End));
                }
                Keyword::Else => {
                    let chained = matches!(self.peek_word(), Some(Token { kind: Kind::Keyword(_), .. }));
                    if !chained {
                        self.close("else")?;
                    }
                    return Ok((nodes, Stop::Else));
                }
                Keyword::Define if is_top => self.definition(at)?,
                Keyword::Define => return Err(self.error(at, "`define` must not be inside of anything")),
                Keyword::If => nodes.push(Node::If(self.control(at, Control::If)?)),
                Keyword::With => nodes.push(Node::With(self.control(at, Control::With)?)),
                Keyword::Range => nodes.push(Node::Range(self.control(at, Control::Range)?)),
                Keyword::Break | Keyword::Continue => nodes.push(self.jump(at, keyword)?),
                Keyword::Template => nodes.push(self.template(at)?),
                Keyword::Block => nodes.push(self.block(at)?),
            }
        }
        Ok((nodes, Stop::Text))
    }

    fn jump(&mut self, at: usize, keyword: Keyword) -> Result<Node, Error> {
        let (name, node) =
            if keyword == Keyword::Break { ("break", Node::Break) } else { ("continue", Node::Continue) };
        self.close(name)?;
        if self.ranges == 0 {
            return Err(self.error(at, format!("`{name}` outside of a `range`")));
        }
        Ok(node)
    }

    fn control(&mut self, at: usize, control: Control) -> Result<Branch, Error> {
        let visible = self.variables.len();
        let branch = self.deeper(at, |this| this.branch(at, control));
        self.variables.truncate(visible);
        branch
    }

    fn branch(&mut self, at: usize, control: Control) -> Result<Branch, Error> {
        let pipeline = self.pipeline(control.name(), Kind::RightDelimiter)?;
        let in_range = usize::from(control == Control::Range);
        self.ranges += in_range;
        let (then, stop) = self.list(false)?;
        self.ranges -= in_range;
        let otherwise = match stop {
            Stop::End => Vec::new(),
            Stop::Else => self.otherwise(at, control)?,
            Stop::Text => return Err(self.open(at, control.name())),
        };
        Ok(Branch { pipeline, then, otherwise })
    }

    fn open(&self, at: usize, action: &str) -> Error {
        self.error(at, format!("the `{action}` has no {{{{end}}}}"))
    }

    /// What comes after `else`, with the `end`.
    fn otherwise(&mut self, at: usize, control: Control) -> Result<Vec<Node>, Error> {
        if let Some(token) = self.peek_word()
            && let Kind::Keyword(keyword) = token.kind
        {
            self.take();
            return match (control, keyword) {
                (Control::If, Keyword::If) => Ok(vec![Node::If(self.control(token.at, control)?)]),
                (Control::With, Keyword::With) => Ok(vec![Node::With(self.control(token.at, control)?)]),
                _ => Err(self.unexpected(Some(token), "an `else`")),
            };
        }
        let (nodes, stop) = self.list(false)?;
        match stop {
            Stop::End => Ok(nodes),
            Stop::Else => Err(self.error(self.last(), format!("the `{}` has an `else` already", control.name()))),
            Stop::Text => Err(self.open(at, control.name())),
        }
    }

    /// The name after `define`, `template` and `block`.
    fn name(&mut self, action: &str) -> Result<String, Error> {
        let token = self.take_word();
        let name = match token {
            Some(Token { kind: Kind::Quoted, text, .. }) => number::unquote(text),
            Some(Token { kind: Kind::Raw, text, .. }) => Some(text.trim_matches('`').replace('\r', "")),
            other => return Err(self.unexpected(other, action)),
        };
        name.ok_or_else(|| self.unexpected(token, action))
    }

    fn definition(&mut self, at: usize) -> Result<(), Error> {
        let name = self.name("define")?;
        self.close("define")?;
        self.body(at, name, "define")
    }

    fn template(&mut self, at: usize) -> Result<Node, Error> {
        let name = self.name("template")?;
        let is_alone = matches!(self.peek_word(), Some(Token { kind: Kind::RightDelimiter, .. }));
        let data: Option<Pipeline> = if is_alone {
            self.take();
            None
        } else {
            Some(self.pipeline("template", Kind::RightDelimiter)?)
        };
        Ok(Node::Template { at, name, data })
    }

    fn block(&mut self, at: usize) -> Result<Node, Error> {
        let name = self.name("block")?;
        let data = Some(self.pipeline("block", Kind::RightDelimiter)?);
        self.deeper(at, |this| this.body(at, name.clone(), "block"))?;
        Ok(Node::Template { at, name, data })
    }

    /// A template of its own up to its `end`: it sees neither variables nor ranges of what is around it.
    fn body(&mut self, at: usize, name: String, action: &str) -> Result<(), Error> {
        let around = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, stop) = self.list(false)?;
        self.variables = around;
        self.ranges = ranges;
        match stop {
            Stop::End => self.define(name, nodes, at),
            Stop::Else => Err(self.error(self.last(), format!("unexpected {{{{else}}}} in {action}"))),
            Stop::Text => Err(self.open(at, action)),
        }
    }

    /// Keeps a template. Of two with the same name one must be empty.
    fn define(&mut self, name: String, nodes: Vec<Node>, at: usize) -> Result<(), Error> {
        let tree = Tree { source: Arc::clone(self.source), nodes: nodes.into() };
        let Some(present) = self.found.iter_mut().find(|(present, _)| *present == name) else {
            self.found.push((name, tree));
            return Ok(());
        };
        if present.1.is_empty() {
            present.1 = tree;
        } else if !tree.is_empty() {
            return Err(self.error(at, format!("the template {name:?} is defined twice")));
        }
        Ok(())
    }
}
