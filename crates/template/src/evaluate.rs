//! Pipelines evaluated.
//!
//! Source: Go 1.26, documentation of `text/template`, "Arguments" and "Pipelines".

use crate::error::Error;
use crate::execute::{Run, Scope};
use crate::tree::{Command, Operand, Pipeline, Term};
use crate::value::Value;

impl<'a> Run<'a> {
    /// The value of a pipeline. Its variables are not set.
    pub(crate) fn pipeline(
        &mut self,
        scope: &mut Scope<'a>,
        dot: &Value,
        pipeline: &'a Pipeline,
    ) -> Result<Value, Error> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(scope, dot, command, piped)?);
        }
        Ok(piped.unwrap_or_default())
    }

    fn command(
        &mut self,
        scope: &mut Scope<'a>,
        dot: &Value,
        command: &'a Command,
        piped: Option<Value>,
    ) -> Result<Value, Error> {
        let Command { head, arguments } = command;
        self.spend(scope, head.at, 0)?;
        match &head.term {
            Term::Function(name) if self.call.functions.is_lazy(name) => {
                self.lazy(scope, dot, (head.at, name), arguments, piped)
            }
            Term::Function(name) => {
                let values = self.arguments(scope, dot, arguments, piped)?;
                self.function(scope, head.at, name, &values)
            }
            Term::Field(names) => {
                let values = self.arguments(scope, dot, arguments, piped)?;
                self.members(scope, head.at, dot.clone(), names, &values)
            }
            Term::Variable(name, names) if !names.is_empty() => {
                let values = self.arguments(scope, dot, arguments, piped)?;
                let receiver = variable(scope, head.at, name)?;
                self.members(scope, head.at, receiver, names, &values)
            }
            Term::Chain(of, names) => {
                let values = self.arguments(scope, dot, arguments, piped)?;
                let receiver = self.operand(scope, dot, of)?;
                self.members(scope, head.at, receiver, names, &values)
            }
            Term::Nil => Err(scope.error(head.at, "`nil` alone is no value")),
            Term::Dot | Term::Constant(_) | Term::Variable(..) | Term::Pipeline(_) => {
                if !arguments.is_empty() || piped.is_some() {
                    return Err(scope.error(head.at, "only a function or a method takes arguments"));
                }
                self.operand(scope, dot, head)
            }
        }
    }

    fn arguments(
        &mut self,
        scope: &mut Scope<'a>,
        dot: &Value,
        arguments: &'a [Operand],
        piped: Option<Value>,
    ) -> Result<Vec<Value>, Error> {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.operand(scope, dot, argument)?);
        }
        values.extend(piped);
        Ok(values)
    }

    /// What stands for itself, or is called without arguments.
    fn operand(&mut self, scope: &mut Scope<'a>, dot: &Value, operand: &'a Operand) -> Result<Value, Error> {
        self.spend(scope, operand.at, 0)?;
        match &operand.term {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Constant(value) => Ok(value.clone()),
            Term::Field(names) => self.members(scope, operand.at, dot.clone(), names, &[]),
            Term::Variable(name, names) => {
                let receiver = variable(scope, operand.at, name)?;
                self.members(scope, operand.at, receiver, names, &[])
            }
            Term::Function(name) if self.call.functions.is_lazy(name) => {
                self.lazy(scope, dot, (operand.at, name), &[], None)
            }
            Term::Function(name) => self.function(scope, operand.at, name, &[]),
            Term::Pipeline(inner) => self.deeper(scope, operand.at, |this, scope| {
                let value = this.pipeline(scope, dot, inner)?;
                if !inner.variables.is_empty() {
                    scope.set(inner, None, value.clone())?;
                }
                Ok(value)
            }),
            Term::Chain(of, names) => {
                let receiver = self.operand(scope, dot, of)?;
                self.members(scope, operand.at, receiver, names, &[])
            }
        }
    }

    /// `and` and `or`: the first argument that decides, or else the last one. Those after it are not evaluated.
    fn lazy(
        &mut self,
        scope: &mut Scope<'a>,
        dot: &Value,
        (at, name): (usize, &str),
        arguments: &'a [Operand],
        piped: Option<Value>,
    ) -> Result<Value, Error> {
        if arguments.is_empty() && piped.is_none() {
            return Err(scope.error(at, format!("`{name}` takes at least one argument")));
        }
        let mut last = Value::Nil;
        for argument in arguments {
            last = self.operand(scope, dot, argument)?;
            if last.is_true() == (name == "or") {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    fn function(&mut self, scope: &Scope<'_>, at: usize, name: &str, arguments: &[Value]) -> Result<Value, Error> {
        let bytes_max = self.limits().output_bytes_max;
        let given: usize = arguments.iter().map(text_bytes).sum();
        self.spend(scope, at, 0)?;
        let value = self.call.functions.call(name, arguments, bytes_max);
        let value = value.map_err(|error| scope.error(at, format!("`{name}`: {error}")))?;
        self.spend(scope, at, text_bytes(&value))?;
        self.spend(scope, at, given.min(bytes_max))?;
        Ok(value)
    }

    /// Fields and methods, one asked of the other; the last one gets the arguments.
    ///
    /// As in Go, what is asked of nothing is nothing, but what is asked of a field that is nothing is an error.
    fn members(
        &mut self,
        scope: &Scope<'_>,
        at: usize,
        receiver: Value,
        names: &[String],
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let mut value = receiver;
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let arguments = if is_last { arguments } else { &[] };
            value = match value {
                Value::Nil if index == 0 => return Ok(Value::Nil),
                value => member(&value, name, arguments).map_err(|message| scope.error(at, message))?,
            };
            self.spend(scope, at, text_bytes(&value))?;
        }
        Ok(value)
    }
}

fn variable(scope: &Scope<'_>, at: usize, name: &str) -> Result<Value, Error> {
    scope.variable(name).cloned().ok_or_else(|| scope.error(at, format!("there is no variable `{name}`")))
}

fn text_bytes(value: &Value) -> usize {
    if let Value::Text(text) = value { text.len() } else { 0 }
}

fn member(receiver: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    if let Value::Object(object) = receiver
        && let Some(found) = object.member(name, arguments)
    {
        return found.map_err(|error| format!("`{name}`: {error}"));
    }
    let found = match receiver.plain() {
        Value::Map(map) => Some(map.get(name).clone()),
        Value::Record(record) => {
            record.fields.iter().find(|(present, _)| *present == name).map(|(_, value)| value.clone())
        }
        Value::Nil => return Err(format!("`{name}` is asked of nothing")),
        _ => None,
    };
    match found {
        None => Err(format!("a {} has no field or method `{name}`", receiver.kind())),
        Some(_) if !arguments.is_empty() => Err(format!("`{name}` is no method and takes no arguments")),
        Some(value) => Ok(value),
    }
}
