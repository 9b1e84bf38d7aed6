//! Tokens to a tree, by precedence. Depth is bounded.

use serde_json::Value;

use super::DEPTH_MAX;
use super::functions::{self, Function};
use super::lexer::{Token, tokens};

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// One node of an expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Identity,
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    Literal(Value),
    Chain(Box<Node>, Box<Node>),
    Pipe(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Flatten(Box<Node>),
    Projection(Box<Node>, Box<Node>),
    Values(Box<Node>, Box<Node>),
    Filter { list: Box<Node>, condition: Box<Node>, then: Box<Node> },
    List(Vec<Node>),
    Hash(Vec<(String, Node)>),
    Call(&'static Function, Vec<Node>),
    Reference(Box<Node>),
}

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(node),
        Token::Name(_) | Token::Quoted(_) | Token::Literal(_) | Token::Number(_) | Token::Sign(_) => {
            Err(parser.unexpected())
        }
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

/// How tightly a token binds to what stands left of it. What is below 10 ends a projection.
fn power(token: &Token) -> u8 {
    let Token::Sign(sign) = token else { return 0 };
    match *sign {
        "|" => 1,
        "||" => 2,
        "&&" => 3,
        "==" | "!=" | "<" | "<=" | ">" | ">=" => 5,
        "[]" => 9,
        "*" => 20,
        "[?" => 21,
        "." => 40,
        "!" => 45,
        "{" => 50,
        "[" => 55,
        "(" => 60,
        _ => 0,
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &Token {
        self.tokens.get(self.at + by).map_or(&Token::End, |(token, _)| token)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.eat(sign) { Ok(()) } else { Err(format!("expected `{sign}`: {}", self.unexpected())) }
    }

    fn unexpected(&self) -> String {
        let at = self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(_, at)| at + 1);
        match self.peek() {
            Token::End => "the expression ends too early".to_owned(),
            Token::Sign(sign) => format!("unexpected `{sign}` at character {at}"),
            Token::Name(name) | Token::Quoted(name) => format!("unexpected `{name}` at character {at}"),
            Token::Literal(value) => format!("unexpected `{value}` at character {at}"),
            Token::Number(number) => format!("unexpected `{number}` at character {at}"),
        }
    }

    fn expression(&mut self, binding: u8) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("the expression nests deeper than {DEPTH_MAX}"));
        }
        let mut left = self.prefix()?;
        let mut links = 0;
        while power(self.peek()) > binding {
            links += 1;
            if links > DEPTH_MAX * 4 {
                return Err(format!("the expression has more than {} parts in a row", DEPTH_MAX * 4));
            }
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Node, String> {
        match self.peek().clone() {
            Token::Literal(value) => {
                self.at += 1;
                Ok(Node::Literal(value))
            }
            Token::Quoted(name) => {
                self.at += 1;
                if self.is("(") {
                    return Err("a quoted name can't be a function".to_owned());
                }
                Ok(Node::Field(name))
            }
            Token::Name(name) => {
                self.at += 1;
                if self.eat("(") { self.call(&name) } else { Ok(Node::Field(name)) }
            }
            Token::Sign(sign) => self.prefix_sign(sign),
            Token::Number(_) | Token::End => Err(self.unexpected()),
        }
    }

    fn prefix_sign(&mut self, sign: &str) -> Result<Node, String> {
        self.at += 1;
        match sign {
            "@" => Ok(Node::Identity),
            "*" => self.values(Node::Identity),
            "!" => Ok(Node::Not(Box::new(self.expression(45)?))),
            "&" => Ok(Node::Reference(Box::new(self.expression(0)?))),
            "(" => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            "{" => self.hash(),
            "[]" => self.flatten(Node::Identity),
            "[?" => self.filter(Node::Identity),
            "[" => match (self.peek(), self.ahead(1)) {
                (Token::Number(_) | Token::Sign(":"), _) => self.index(Node::Identity),
                (Token::Sign("*"), Token::Sign("]")) => {
                    self.at += 2;
                    self.projection(Node::Identity)
                }
                _ => self.list(),
            },
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn infix(&mut self, left: Node) -> Result<Node, String> {
        let Token::Sign(sign) = self.take() else { return Err(self.unexpected()) };
        let boxed = |left: Node, right: Node| (Box::new(left), Box::new(right));
        match sign {
            "." => {
                if self.eat("*") {
                    return self.values(left);
                }
                let right = self.after_dot(40)?;
                let (left, right) = boxed(left, right);
                Ok(Node::Chain(left, right))
            }
            "|" | "||" | "&&" => {
                let (left, right) = boxed(left, self.expression(power(&Token::Sign(sign)))?);
                Ok(match sign {
                    "|" => Node::Pipe(left, right),
                    "||" => Node::Or(left, right),
                    _ => Node::And(left, right),
                })
            }
            "[]" => self.flatten(left),
            "[?" => self.filter(left),
            "[" => match (self.peek(), self.ahead(1)) {
                (Token::Number(_) | Token::Sign(":"), _) => self.index(left),
                (Token::Sign("*"), Token::Sign("]")) => {
                    self.at += 2;
                    self.projection(left)
                }
                _ => Err(self.unexpected()),
            },
            _ => {
                let comparison = comparison(sign).ok_or_else(|| self.unexpected())?;
                let (left, right) = boxed(left, self.expression(5)?);
                Ok(Node::Compare(comparison, left, right))
            }
        }
    }

    /// What may follow a dot.
    fn after_dot(&mut self, binding: u8) -> Result<Node, String> {
        match self.peek() {
            Token::Name(_) | Token::Quoted(_) | Token::Sign("*") => self.expression(binding),
            Token::Sign("[") => {
                self.at += 1;
                self.list()
            }
            Token::Sign("{") => {
                self.at += 1;
                self.hash()
            }
            Token::Literal(_) | Token::Number(_) | Token::Sign(_) | Token::End => Err(self.unexpected()),
        }
    }

    /// What a projection does with each item.
    fn projected(&mut self, binding: u8) -> Result<Node, String> {
        let next = self.peek().clone();
        if power(&next) < 10 {
            return Ok(Node::Identity);
        }
        match next {
            Token::Sign("[" | "[?") => self.expression(binding),
            Token::Sign(".") => {
                self.at += 1;
                self.after_dot(binding)
            }
            Token::Name(_) | Token::Quoted(_) | Token::Literal(_) | Token::Number(_) | Token::Sign(_) | Token::End => {
                Err(self.unexpected())
            }
        }
    }

    fn values(&mut self, left: Node) -> Result<Node, String> {
        let then = if self.is("]") { Node::Identity } else { self.projected(20)? };
        Ok(Node::Values(Box::new(left), Box::new(then)))
    }

    fn projection(&mut self, left: Node) -> Result<Node, String> {
        let then = self.projected(20)?;
        Ok(Node::Projection(Box::new(left), Box::new(then)))
    }

    fn flatten(&mut self, left: Node) -> Result<Node, String> {
        let then = self.projected(9)?;
        Ok(Node::Projection(Box::new(Node::Flatten(Box::new(left))), Box::new(then)))
    }

    fn filter(&mut self, left: Node) -> Result<Node, String> {
        let condition = self.expression(0)?;
        self.expect("]")?;
        let then = if self.is("[]") { Node::Identity } else { self.projected(21)? };
        Ok(Node::Filter { list: Box::new(left), condition: Box::new(condition), then: Box::new(then) })
    }

    /// After `[`: an index or a slice.
    fn index(&mut self, left: Node) -> Result<Node, String> {
        let mut parts = [None; 3];
        let mut part = 0;
        while !self.is("]") {
            match self.take() {
                Token::Number(number) => match parts.get_mut(part) {
                    Some(slot @ None) => *slot = Some(number),
                    Some(Some(_)) | None => return Err(self.unexpected()),
                },
                Token::Sign(":") if part < 2 => part += 1,
                Token::Name(_) | Token::Quoted(_) | Token::Literal(_) | Token::Sign(_) | Token::End => {
                    self.at -= 1;
                    return Err(self.unexpected());
                }
            }
        }
        self.expect("]")?;
        let [first, end, step] = parts;
        if part == 0 {
            let index = Node::Index(first.unwrap_or(0));
            return Ok(Node::Chain(Box::new(left), Box::new(index)));
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err("a slice's step can't be 0".to_owned());
        }
        let slice = Node::Chain(Box::new(left), Box::new(Node::Slice(first, end, step)));
        self.projection(slice)
    }

    /// After `[`: a list of expressions.
    fn list(&mut self) -> Result<Node, String> {
        let mut items = vec![self.expression(0)?];
        while self.eat(",") {
            items.push(self.expression(0)?);
        }
        self.expect("]")?;
        Ok(Node::List(items))
    }

    /// After `{`: names and expressions.
    fn hash(&mut self) -> Result<Node, String> {
        let mut entries = Vec::new();
        loop {
            let name = match self.take() {
                Token::Name(name) | Token::Quoted(name) => name,
                Token::Literal(_) | Token::Number(_) | Token::Sign(_) | Token::End => {
                    self.at -= 1;
                    return Err(self.unexpected());
                }
            };
            self.expect(":")?;
            entries.push((name, self.expression(0)?));
            // Kyverno's parser takes entries that no comma parts, and policies have them.
            if !self.eat(",") && self.is("}") {
                break;
            }
        }
        self.expect("}")?;
        Ok(Node::Hash(entries))
    }

    /// After `name(`: arguments.
    fn call(&mut self, name: &str) -> Result<Node, String> {
        let function = functions::find(name).ok_or_else(|| format!("unknown function `{name}`"))?;
        let mut arguments = Vec::new();
        while !self.is(")") {
            arguments.push(self.expression(0)?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        function.check_count(arguments.len())?;
        Ok(Node::Call(function, arguments))
    }
}

fn comparison(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterEqual,
        _ => return None,
    })
}
