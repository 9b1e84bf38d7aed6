//! A template once it is read. Places are bytes of its source.

use std::sync::Arc;

use crate::error::Source;
use crate::value::Value;

/// A named template: a whole text, or a `define` or `block` in one.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) source: Arc<Source>,
    pub(crate) nodes: Arc<[Node]>,
}

impl Tree {
    /// Whether it has nothing but space. Such a template does not replace one of the same name.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{ template "name" data }}`
    Template {
        at: usize,
        name: String,
        data: Option<Pipeline>,
    },
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipeline: Pipeline,
    pub(crate) then: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// `$a, $b := first | second`
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) at: usize,
    /// Variables that it sets.
    pub(crate) variables: Vec<String>,
    /// Whether they are there already (`=`).
    pub(crate) assigns: bool,
    /// At least one.
    pub(crate) commands: Vec<Command>,
}

/// `head argument argument`
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) head: Operand,
    pub(crate) arguments: Vec<Operand>,
}

#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) term: Term,
}

#[derive(Debug)]
pub(crate) enum Term {
    Dot,
    Nil,
    /// A number, a boolean, or a text.
    Constant(Value),
    /// `.a.b`
    Field(Vec<String>),
    /// `$a.b`
    Variable(String, Vec<String>),
    Function(String),
    /// `(pipeline)`
    Pipeline(Box<Pipeline>),
    /// `(pipeline).a.b`
    Chain(Box<Operand>, Vec<String>),
}
