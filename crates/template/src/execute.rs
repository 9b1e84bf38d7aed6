//! Actions carried out.
//!
//! Source: Go 1.26, documentation of `text/template`, "Actions".

use std::collections::BTreeMap;

use crate::error::Error;
use crate::format;
use crate::tree::{Branch, Node, Pipeline, Tree};
use crate::value::Value;
use crate::{Call, Escape, Limits, escape};

/// What is left of a byte's price: see [`Limits::steps_max`].
const BYTES_PER_STEP: usize = 64;

/// Fills in a template.
pub(crate) fn execute(trees: &BTreeMap<String, Tree>, name: &str, call: &Call<'_>) -> Result<String, Error> {
    let Some(tree) = trees.get(name) else {
        let message = "there is no template of this name".to_owned();
        return Err(Error { template: name.to_owned(), line: 1, column: 1, message });
    };
    let mut run = Run { trees, call, output: String::new(), steps: 0, depth: 0 };
    let mut scope = Scope { tree, variables: vec![("$", call.data.clone())] };
    scope.variables.extend(call.variables.iter().map(|(name, value)| (*name, value.clone())));
    run.nodes(&mut scope, &call.data, &tree.nodes)?;
    Ok(run.output)
}

/// An execution.
pub(crate) struct Run<'a> {
    trees: &'a BTreeMap<String, Tree>,
    pub(crate) call: &'a Call<'a>,
    output: String,
    steps: usize,
    depth: usize,
}

/// A template that is carried out, with its variables. The innermost comes last.
pub(crate) struct Scope<'a> {
    pub(crate) tree: &'a Tree,
    variables: Vec<(&'a str, Value)>,
}

/// How a range goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Scope<'a> {
    pub(crate) fn error(&self, at: usize, message: impl Into<String>) -> Error {
        self.tree.source.error(at, message)
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().rev().find(|(present, _)| *present == name).map(|(_, value)| value)
    }

    fn assign(&mut self, at: usize, name: &str, value: Value) -> Result<(), Error> {
        match self.variables.iter_mut().rev().find(|(present, _)| *present == name) {
            Some((_, present)) => {
                *present = value;
                Ok(())
            }
            None => Err(self.error(at, format!("there is no variable `{name}`"))),
        }
    }

    /// Sets a pipeline's variables, the last of them to `value`, one before it to `index`.
    pub(crate) fn set(&mut self, pipeline: &'a Pipeline, index: Option<Value>, value: Value) -> Result<(), Error> {
        let values = match pipeline.variables.len() {
            2 => vec![index.unwrap_or_default(), value],
            _ => vec![value],
        };
        for (name, value) in pipeline.variables.iter().zip(values) {
            if pipeline.assigns {
                self.assign(pipeline.at, name, value)?;
            } else {
                self.variables.push((name, value));
            }
        }
        Ok(())
    }
}

impl<'a> Run<'a> {
    pub(crate) fn limits(&self) -> Limits {
        self.call.limits
    }

    /// Counts a step, and those for so many bytes that were made.
    pub(crate) fn spend(&mut self, scope: &Scope<'_>, at: usize, bytes: usize) -> Result<(), Error> {
        let Limits { output_bytes_max, steps_max, .. } = self.limits();
        if bytes > output_bytes_max {
            return Err(scope.error(at, format!("this makes a text of more than {output_bytes_max} bytes")));
        }
        self.steps = self.steps.saturating_add(1 + bytes / BYTES_PER_STEP);
        if self.steps > steps_max {
            return Err(scope.error(at, format!("the template takes more than {steps_max} steps")));
        }
        Ok(())
    }

    /// One step down, for as long as `inner` takes.
    pub(crate) fn deeper<T>(
        &mut self,
        scope: &mut Scope<'a>,
        at: usize,
        inner: impl FnOnce(&mut Self, &mut Scope<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let depth_max = self.limits().depth_max;
        if self.depth >= depth_max {
            return Err(scope.error(at, format!("templates and actions are more than {depth_max} deep here")));
        }
        self.depth += 1;
        let found = inner(self, scope);
        self.depth -= 1;
        found
    }

    fn write(&mut self, scope: &Scope<'_>, at: usize, text: &str) -> Result<(), Error> {
        self.spend(scope, at, text.len())?;
        let output_bytes_max = self.limits().output_bytes_max;
        if self.output.len() + text.len() > output_bytes_max {
            return Err(scope.error(at, format!("the template gives more than {output_bytes_max} bytes")));
        }
        self.output.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, scope: &mut Scope<'a>, dot: &Value, nodes: &'a [Node]) -> Result<Flow, Error> {
        for node in nodes {
            let flow = self.node(scope, dot, node)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, scope: &mut Scope<'a>, dot: &Value, node: &'a Node) -> Result<Flow, Error> {
        match node {
            Node::Text(text) => self.write(scope, 0, text)?,
            Node::Action(pipeline) => self.action(scope, dot, pipeline)?,
            Node::If(branch) => return self.branch(scope, dot, branch, false),
            Node::With(branch) => return self.branch(scope, dot, branch, true),
            Node::Range(branch) => return self.range(scope, dot, branch),
            Node::Template { at, name, data } => self.template(scope, dot, (*at, name), data.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn action(&mut self, scope: &mut Scope<'a>, dot: &Value, pipeline: &'a Pipeline) -> Result<(), Error> {
        let value = self.pipeline(scope, dot, pipeline)?;
        if !pipeline.variables.is_empty() {
            return scope.set(pipeline, None, value);
        }
        let text = match value.plain() {
            Value::Nil => "<no value>".to_owned(),
            Value::Function(_) => return Err(scope.error(pipeline.at, "a function can't be printed")),
            value => format::print(&[value]),
        };
        let text = match self.call.escape {
            Escape::Html if !value.is_markup() => escape::html(&text),
            Escape::Html | Escape::Nothing => text,
        };
        self.write(scope, pipeline.at, &text)
    }

    /// Carries out nodes a level deeper, and forgets the variables that they set.
    fn body(&mut self, scope: &mut Scope<'a>, dot: &Value, at: usize, nodes: &'a [Node]) -> Result<Flow, Error> {
        let visible = scope.variables.len();
        let flow = self.deeper(scope, at, |this, scope| this.nodes(scope, dot, nodes));
        scope.variables.truncate(visible);
        flow
    }

    /// `if` and `with`.
    fn branch(
        &mut self,
        scope: &mut Scope<'a>,
        dot: &Value,
        branch: &'a Branch,
        sets_dot: bool,
    ) -> Result<Flow, Error> {
        let visible = scope.variables.len();
        let at = branch.pipeline.at;
        let value = self.pipeline(scope, dot, &branch.pipeline)?;
        if !branch.pipeline.variables.is_empty() {
            scope.set(&branch.pipeline, None, value.clone())?;
        }
        let flow = if value.is_true() {
            self.body(scope, if sets_dot { &value } else { dot }, at, &branch.then)
        } else {
            self.body(scope, dot, at, &branch.otherwise)
        };
        scope.variables.truncate(visible);
        flow
    }

    fn range(&mut self, scope: &mut Scope<'a>, dot: &Value, branch: &'a Branch) -> Result<Flow, Error> {
        let at = branch.pipeline.at;
        let visible = scope.variables.len();
        let value = self.pipeline(scope, dot, &branch.pipeline)?;
        // Until the first turn, and if there is none, the variables are all that the range goes through.
        if !branch.pipeline.variables.is_empty() {
            scope.set(&branch.pipeline, Some(value.clone()), value.clone())?;
        }
        let pairs = if let Value::Object(object) = &value { object.pairs() } else { None };
        let seen = match value.plain() {
            _ if pairs.is_some() => {
                let pairs = pairs.unwrap_or_default().into_iter();
                self.turns(scope, branch, pairs.map(|(key, value)| (Some(key), value)))?
            }
            Value::Nil => false,
            Value::List(list) => {
                let items = (0_i64..).map(Value::Int).zip(list.iter().cloned());
                self.turns(scope, branch, items.map(|(index, item)| (Some(index), item)))?
            }
            Value::Map(map) => {
                let entries = map.entries.iter().map(|(name, value)| (Value::Text(name.clone()), value.clone()));
                self.turns(scope, branch, entries.map(|(name, value)| (Some(name), value)))?
            }
            Value::Int(_) if branch.pipeline.variables.len() > 1 => {
                return Err(scope.error(at, "a number gives one variable, not two"));
            }
            Value::Int(count) => self.turns(scope, branch, (0..count).map(|index| (None, Value::Int(index))))?,
            other => return Err(scope.error(at, format!("`range` can't go through a {}", other.kind()))),
        };
        // A `break` ends this range and nothing around it.
        let flow = if seen { Ok(Flow::On) } else { self.body(scope, dot, at, &branch.otherwise) };
        scope.variables.truncate(visible);
        flow
    }

    /// One turn for each item; whether there was one.
    fn turns(
        &mut self,
        scope: &mut Scope<'a>,
        branch: &'a Branch,
        items: impl Iterator<Item = (Option<Value>, Value)>,
    ) -> Result<bool, Error> {
        let at = branch.pipeline.at;
        let mut seen = false;
        for (index, item) in items {
            seen = true;
            self.spend(scope, at, 0)?;
            let visible = scope.variables.len();
            if !branch.pipeline.variables.is_empty() {
                scope.set(&branch.pipeline, index, item.clone())?;
            }
            let flow = self.body(scope, &item, at, &branch.then)?;
            scope.variables.truncate(visible);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(seen)
    }

    fn template(
        &mut self,
        scope: &mut Scope<'a>,
        dot: &Value,
        (at, name): (usize, &str),
        data: Option<&'a Pipeline>,
    ) -> Result<(), Error> {
        let Some(tree) = self.trees.get(name) else {
            return Err(scope.error(at, format!("there is no template {name:?}")));
        };
        let mut value = Value::Nil;
        if let Some(pipeline) = data {
            value = self.pipeline(scope, dot, pipeline)?;
            if !pipeline.variables.is_empty() {
                scope.set(pipeline, None, value.clone())?;
            }
        }
        self.deeper(scope, at, |this, _| {
            let mut inner = Scope { tree, variables: vec![("$", value.clone())] };
            this.nodes(&mut inner, &value, &tree.nodes)
        })?;
        Ok(())
    }
}
