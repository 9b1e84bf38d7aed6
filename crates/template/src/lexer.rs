//! A template's text as tokens.
//!
//! Space between words is a token, because `.a.b` is one word and `.a .b` two. Trimmed space and comments are gone here.
//!
//! Source: Go 1.26, documentation of `text/template`, "Text and spaces" and "Actions"; the specification's lexical elements.

use crate::error::{Error, Source};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    LeftDelimiter,
    RightDelimiter,
    Space,
    Assign,
    Declare,
    Comma,
    Pipe,
    LeftParen,
    RightParen,
    Dot,
    Field,
    Variable,
    Identifier,
    Bool,
    Nil,
    Number,
    Char,
    Quoted,
    Raw,
    Keyword(Keyword),
}

/// A word that begins an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A piece of the text; `at` is its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) text: &'a str,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const TRIMMED_CLOSE: &str = "-}}";
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// All tokens of a text.
pub(crate) fn tokens(source: &Source) -> Result<Vec<Token<'_>>, Error> {
    let mut lexer = Lexer { source, rest: &source.text, tokens: Vec::new(), parens: 0 };
    while lexer.text() {
        lexer.action()?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a Source,
    /// What is not read yet.
    rest: &'a str,
    tokens: Vec<Token<'a>>,
    /// How many are open in this action.
    parens: usize,
}

impl<'a> Lexer<'a> {
    fn at(&self) -> usize {
        self.source.text.len() - self.rest.len()
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(self.source.error(self.at(), message))
    }

    /// Takes so many bytes, which end between two characters.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn push(&mut self, kind: Kind, bytes: usize) {
        let at = self.at();
        let text = self.take(bytes);
        self.tokens.push(Token { kind, at, text });
    }

    /// Takes what is outside of actions; whether an action follows.
    fn text(&mut self) -> bool {
        let at = self.at();
        let open = self.rest.find(OPEN);
        let text = self.take(open.unwrap_or(self.rest.len()));
        let trims = self.rest.strip_prefix(OPEN).is_some_and(begins_trimmed);
        let text = if trims { text.trim_end_matches(SPACE) } else { text };
        if !text.is_empty() {
            self.tokens.push(Token { kind: Kind::Text, at, text });
        }
        open.is_some()
    }

    /// Takes an action or a comment.
    fn action(&mut self) -> Result<(), Error> {
        let at = self.at();
        let open = self.take(OPEN.len());
        if begins_trimmed(self.rest) {
            self.take(2);
        }
        if self.rest.starts_with("/*") {
            return self.comment();
        }
        self.tokens.push(Token { kind: Kind::LeftDelimiter, at, text: open });
        self.parens = 0;
        while !self.close()? {
            self.word()?;
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Error> {
        let Some(end) = self.rest.find("*/") else { return self.error("the comment is not closed") };
        self.take(end + 2);
        if !self.delimiter() {
            return self.error("a comment must end right before the closing delimiter");
        }
        Ok(())
    }

    /// Takes the end of an action, if it is here, with the space that it trims.
    fn delimiter(&mut self) -> bool {
        let trimmed = self.rest.strip_prefix(SPACE).and_then(|rest| rest.strip_prefix(TRIMMED_CLOSE));
        if let Some(rest) = trimmed {
            self.rest = rest.trim_start_matches(SPACE);
            return true;
        }
        match self.rest.strip_prefix(CLOSE) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes the end of the action, if it is here.
    fn close(&mut self) -> Result<bool, Error> {
        let at = self.at();
        if !self.delimiter() {
            return Ok(false);
        }
        if self.parens > 0 {
            return Err(self.source.error(at, "a parenthesis is not closed"));
        }
        self.tokens.push(Token { kind: Kind::RightDelimiter, at, text: CLOSE });
        Ok(true)
    }

    fn word(&mut self) -> Result<(), Error> {
        let mut letters = self.rest.chars();
        let Some(first) = letters.next() else { return self.error("the action is not closed") };
        let second = letters.next();
        match first {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.push(Kind::Assign, 1),
            ':' if second == Some('=') => self.push(Kind::Declare, 2),
            ':' => return self.error("expected `:=`"),
            '|' => self.push(Kind::Pipe, 1),
            ',' => self.push(Kind::Comma, 1),
            '"' | '\'' => return self.quoted(first),
            '`' => return self.raw(),
            '.' if second.is_some_and(|letter| letter.is_ascii_digit()) => return self.number(),
            '.' => return self.name(Kind::Dot, Kind::Field),
            '$' => return self.name(Kind::Variable, Kind::Variable),
            '+' | '-' | '0'..='9' => return self.number(),
            '(' => {
                self.parens += 1;
                self.push(Kind::LeftParen, 1);
            }
            ')' => match self.parens.checked_sub(1) {
                Some(left) => {
                    self.parens = left;
                    self.push(Kind::RightParen, 1);
                }
                None => return self.error("a parenthesis is closed that was not opened"),
            },
            _ if is_word(first) => return self.identifier(),
            _ => return self.error(format!("unexpected {first:?} in an action")),
        }
        Ok(())
    }

    /// A run of space, less the one that belongs to a trimming delimiter.
    fn space(&mut self) {
        let after = self.rest.trim_start_matches(SPACE);
        let run = self.rest.len() - after.len();
        let run = if after.starts_with(TRIMMED_CLOSE) { run - 1 } else { run };
        if run > 0 {
            self.push(Kind::Space, run);
        }
    }

    fn quoted(&mut self, quote: char) -> Result<(), Error> {
        let mut escaped = false;
        for (at, letter) in self.rest.char_indices().skip(1) {
            match letter {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if letter == quote => {
                    self.push(if quote == '"' { Kind::Quoted } else { Kind::Char }, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.error(format!("the text is not closed: expected {quote} on the same line"))
    }

    fn raw(&mut self) -> Result<(), Error> {
        match self.rest.char_indices().skip(1).find(|(_, letter)| *letter == '`') {
            Some((end, _)) => {
                self.push(Kind::Raw, end + 1);
                Ok(())
            }
            None => self.error("the raw text is not closed: expected `"),
        }
    }

    /// A name after a sign that may also stand alone.
    fn name(&mut self, alone: Kind, with_name: Kind) -> Result<(), Error> {
        let named = self.rest.char_indices().skip(1).find(|(_, letter)| !is_word(*letter));
        let length = named.map_or(self.rest.len(), |(at, _)| at);
        self.ends(length)?;
        self.push(if length == 1 { alone } else { with_name }, length);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), Error> {
        let length = self.rest.find(|letter| !is_word(letter)).unwrap_or(self.rest.len());
        self.ends(length)?;
        let kind = word_kind(self.rest.get(..length).unwrap_or_default());
        self.push(kind, length);
        Ok(())
    }

    /// Refuses what runs into the next word, such as `$x+2`.
    fn ends(&self, length: usize) -> Result<(), Error> {
        let after = self.rest.get(length..).unwrap_or_default();
        match after.chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => Ok(()),
            Some(_) if after.starts_with(CLOSE) => Ok(()),
            Some(letter) => {
                Err(self.source.error(self.at() + length, format!("unexpected {letter:?} right after a word")))
            }
        }
    }

    /// Anything that may be a number; [`number`](crate::number) says whether it is one.
    fn number(&mut self) -> Result<(), Error> {
        let length = number_length(self.rest);
        let after = self.rest.get(length..).and_then(|rest| rest.chars().next());
        if after.is_some_and(|letter| is_word(letter) || matches!(letter, '+' | '-')) {
            return self.error("this is not a number");
        }
        self.push(Kind::Number, length);
        Ok(())
    }
}

/// Whether what comes after the opening delimiter trims the space before it.
fn begins_trimmed(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACE))
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

fn word_kind(word: &str) -> Kind {
    match word {
        "true" | "false" => Kind::Bool,
        "nil" => Kind::Nil,
        "block" => Kind::Keyword(Keyword::Block),
        "break" => Kind::Keyword(Keyword::Break),
        "continue" => Kind::Keyword(Keyword::Continue),
        "define" => Kind::Keyword(Keyword::Define),
        "else" => Kind::Keyword(Keyword::Else),
        "end" => Kind::Keyword(Keyword::End),
        "if" => Kind::Keyword(Keyword::If),
        "range" => Kind::Keyword(Keyword::Range),
        "template" => Kind::Keyword(Keyword::Template),
        "with" => Kind::Keyword(Keyword::With),
        _ => Kind::Identifier,
    }
}

/// How many bytes of what begins here can belong to a number.
fn number_length(text: &str) -> usize {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (prefix, digits, exponent) = match lower.as_str() {
        "0x" => (2, "0123456789abcdefABCDEF_", "pP"),
        "0o" => (2, "01234567_", ""),
        "0b" => (2, "01_", ""),
        _ => (0, "0123456789_", "eE"),
    };
    let is_digit = |letter: char| digits.contains(letter);
    let mut rest = unsigned.get(prefix..).unwrap_or_default().trim_start_matches(is_digit);
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(is_digit);
    }
    if let Some(power) = rest.strip_prefix(|letter| exponent.contains(letter)) {
        let power = power.strip_prefix(['+', '-']).unwrap_or(power);
        rest = power.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
    }
    text.len() - rest.len()
}
