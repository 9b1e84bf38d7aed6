//! A tree and a document to a value. Values are borrowed as long as nothing is computed.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::functions::Argument;
use super::parser::{Comparison, Node};
use super::text::float;
use super::{Error, STEPS_MAX};

/// Where an expression looks up its first name.
pub trait Scope {
    /// The value of a name, if there is one.
    fn lookup(&self, name: &str) -> Result<Option<&Value>, Error>;
    /// All names at once, for `@`.
    fn whole(&self) -> Cow<'_, Value>;
    /// The time that `time_now` says.
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    /// What the next random text is made from: a seed, and which draw it is. Nothing where there is no randomness.
    fn draw(&self) -> Option<(u64, u64)> {
        None
    }
    /// Whether values come from somebody whose texts are no part of the policy, so that variables in them are left as they are.
    fn is_foreign(&self) -> bool {
        false
    }
}

/// A document as a scope.
pub(super) struct Document<'a>(pub(super) &'a Value);

impl Scope for Document<'_> {
    fn lookup(&self, name: &str) -> Result<Option<&Value>, Error> {
        Ok(self.0.get(name))
    }
    fn whole(&self) -> Cow<'_, Value> {
        Cow::Borrowed(self.0)
    }
}

/// A value on the way.
pub(super) enum Val<'a> {
    Root,
    Json(Cow<'a, Value>),
    Reference(&'a Node),
}

/// One evaluation.
pub(super) struct Run<'a> {
    pub(super) scope: &'a dyn Scope,
    steps: Cell<u64>,
}

const NULL: Val<'static> = Val::Json(Cow::Owned(Value::Null));

pub(super) fn search<'a>(node: &'a Node, scope: &'a dyn Scope) -> Result<Cow<'a, Value>, Error> {
    let run = Run { scope, steps: Cell::new(0) };
    let value = run.eval(node, Val::Root)?;
    run.json(value)
}

/// What `JMESPath` takes for false.
fn is_false(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Number(_) => false,
    }
}

/// A missing key is null here.
fn lenient(value: Result<Val<'_>, Error>) -> Result<Val<'_>, Error> {
    match value {
        Err(Error::NotFound(_)) => Ok(NULL),
        other => other,
    }
}

impl<'a> Run<'a> {
    /// A step of work, which is bounded.
    fn step(&self, by: u64) -> Result<(), Error> {
        self.steps.set(self.steps.get().saturating_add(by));
        if self.steps.get() > STEPS_MAX {
            return Err(Error::new(format!("the expression takes more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    fn json(&self, value: Val<'a>) -> Result<Cow<'a, Value>, Error> {
        match value {
            Val::Json(json) => Ok(json),
            Val::Root => Ok(self.scope.whole()),
            Val::Reference(_) => Err(Error::new("an expression reference is no value")),
        }
    }

    /// A value of a node, with a missing key for null.
    fn lenient_json(&self, node: &'a Node, value: Val<'a>) -> Result<Cow<'a, Value>, Error> {
        self.json(lenient(self.eval(node, value))?)
    }

    /// A value of a node for an item, as functions such as `sort_by` need it.
    pub(super) fn apply(&self, node: &'a Node, item: Value) -> Result<Value, Error> {
        self.lenient_json(node, Val::Json(Cow::Owned(item))).map(Cow::into_owned)
    }

    pub(super) fn eval(&self, node: &'a Node, value: Val<'a>) -> Result<Val<'a>, Error> {
        self.step(1)?;
        match node {
            Node::Identity => Ok(value),
            Node::Field(name) => self.field(name, value),
            Node::Index(index) => Ok(Self::index(*index, self.json(value)?)),
            Node::Slice(start, end, step) => self.slice(*start, *end, *step, &*self.json(value)?),
            Node::Literal(literal) => Ok(Val::Json(Cow::Borrowed(literal))),
            Node::Chain(left, right) => {
                let left = self.eval(left, value)?;
                self.eval(right, left)
            }
            Node::Pipe(left, right) => {
                let left = lenient(self.eval(left, value))?;
                lenient(self.eval(right, left))
            }
            Node::Or(left, right) => {
                let first = self.lenient_json(left, share(&value))?;
                if is_false(&first) { lenient(self.eval(right, value)) } else { Ok(Val::Json(first)) }
            }
            Node::And(left, right) => {
                let first = self.lenient_json(left, share(&value))?;
                if is_false(&first) { Ok(Val::Json(first)) } else { self.eval(right, value) }
            }
            Node::Not(inner) => Ok(owned(Value::Bool(is_false(&*self.lenient_json(inner, value)?)))),
            Node::Compare(comparison, left, right) => {
                let left = self.lenient_json(left, share(&value))?;
                let right = self.lenient_json(right, value)?;
                Ok(owned(compare(*comparison, &left, &right)))
            }
            Node::Reference(inner) => Ok(Val::Reference(inner)),
            Node::List(items) => self.list(items, &value),
            Node::Hash(entries) => self.hash(entries, &value),
            Node::Call(function, arguments) => self.call(function, arguments, &value),
            Node::Flatten(_) | Node::Projection(..) | Node::Values(..) | Node::Filter { .. } => self.many(node, value),
        }
    }

    fn field(&self, name: &str, value: Val<'a>) -> Result<Val<'a>, Error> {
        let missing = || Error::NotFound(name.to_owned());
        match value {
            Val::Root => self.scope.lookup(name)?.map(|found| Val::Json(Cow::Borrowed(found))).ok_or_else(missing),
            Val::Json(Cow::Borrowed(Value::Object(entries))) => {
                entries.get(name).map(|found| Val::Json(Cow::Borrowed(found))).ok_or_else(missing)
            }
            Val::Json(Cow::Owned(Value::Object(mut entries))) => {
                entries.swap_remove(name).map(owned).ok_or_else(missing)
            }
            Val::Json(_) | Val::Reference(_) => Ok(NULL),
        }
    }

    fn index(index: i64, value: Cow<'a, Value>) -> Val<'a> {
        let place = |length: usize| {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            usize::try_from(if index < 0 { index + length } else { index }).ok()
        };
        match value {
            Cow::Borrowed(Value::Array(items)) => {
                place(items.len()).and_then(|at| items.get(at)).map_or(NULL, |found| Val::Json(Cow::Borrowed(found)))
            }
            Cow::Owned(Value::Array(mut items)) => match place(items.len()) {
                Some(at) if at < items.len() => owned(items.swap_remove(at)),
                Some(_) | None => NULL,
            },
            Cow::Borrowed(_) | Cow::Owned(_) => NULL,
        }
    }

    fn slice(&self, start: Option<i64>, end: Option<i64>, step: i64, value: &Value) -> Result<Val<'a>, Error> {
        let Value::Array(items) = value else { return Ok(NULL) };
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        self.step(items.len() as u64)?;
        let bound = |given: Option<i64>, default: i64| {
            let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
            let Some(given) = given else { return default };
            (if given < 0 { given.saturating_add(length) } else { given }).clamp(low, high)
        };
        let (first, last) = if step < 0 { (length - 1, -1) } else { (0, length) };
        let (mut at, end) = (bound(start, first), bound(end, last));
        let mut found = Vec::new();
        while (step > 0 && at < end) || (step < 0 && at > end) {
            found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned());
            at = at.saturating_add(step);
        }
        Ok(owned(Value::Array(found)))
    }

    fn list(&self, items: &'a [Node], value: &Val<'a>) -> Result<Val<'a>, Error> {
        if is_null(value) {
            return Ok(NULL);
        }
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let item = self.lenient_json(item, share(value))?;
            self.step(weight(&item))?;
            found.push(item.into_owned());
        }
        Ok(owned(Value::Array(found)))
    }

    fn hash(&self, entries: &'a [(String, Node)], value: &Val<'a>) -> Result<Val<'a>, Error> {
        if is_null(value) {
            return Ok(NULL);
        }
        let mut found = Map::new();
        for (name, node) in entries {
            let item = self.lenient_json(node, share(value))?;
            self.step(weight(&item))?;
            found.insert(name.clone(), item.into_owned());
        }
        Ok(owned(Value::Object(found)))
    }

    fn call(
        &self,
        function: &'static super::functions::Function,
        nodes: &'a [Node],
        value: &Val<'a>,
    ) -> Result<Val<'a>, Error> {
        let mut arguments = Vec::with_capacity(nodes.len());
        for node in nodes {
            arguments.push(match lenient(self.eval(node, share(value)))? {
                Val::Reference(node) => Argument::Reference(node),
                other @ (Val::Root | Val::Json(_)) => Argument::Json(self.json(other)?),
            });
        }
        function.call(self, &arguments).map(owned)
    }

    /// Nodes that go through many values.
    fn many(&self, node: &'a Node, value: Val<'a>) -> Result<Val<'a>, Error> {
        match node {
            Node::Flatten(list) => {
                let list = self.eval(list, value).or(Ok(NULL))?;
                self.flattened(self.json(list)?)
            }
            Node::Projection(list, then) => {
                let list = self.lenient_json(list, value)?;
                match list {
                    Cow::Borrowed(Value::Array(items)) => self.project(items.iter().map(Cow::Borrowed), None, then),
                    Cow::Owned(Value::Array(items)) => self.project(items.into_iter().map(Cow::Owned), None, then),
                    Cow::Borrowed(_) | Cow::Owned(_) => Ok(NULL),
                }
            }
            Node::Values(object, then) => {
                let object = self.eval(object, value).or(Ok(NULL))?;
                match self.json(object)? {
                    Cow::Borrowed(Value::Object(entries)) => {
                        self.project(entries.values().map(Cow::Borrowed), None, then)
                    }
                    Cow::Owned(Value::Object(entries)) => {
                        self.project(entries.into_iter().map(|(_, value)| Cow::Owned(value)), None, then)
                    }
                    Cow::Borrowed(_) | Cow::Owned(_) => Ok(NULL),
                }
            }
            Node::Filter { list, condition, then } => {
                let list = self.eval(list, value).or(Ok(NULL))?;
                match self.json(list)? {
                    Cow::Borrowed(Value::Array(items)) => {
                        self.project(items.iter().map(Cow::Borrowed), Some(condition), then)
                    }
                    Cow::Owned(Value::Array(items)) => {
                        self.project(items.into_iter().map(Cow::Owned), Some(condition), then)
                    }
                    Cow::Borrowed(_) | Cow::Owned(_) => Ok(NULL),
                }
            }
            other @ (Node::Identity
            | Node::Field(_)
            | Node::Index(_)
            | Node::Slice(..)
            | Node::Literal(_)
            | Node::Chain(..)
            | Node::Pipe(..)
            | Node::Or(..)
            | Node::And(..)
            | Node::Not(_)
            | Node::Compare(..)
            | Node::List(_)
            | Node::Hash(_)
            | Node::Call(..)
            | Node::Reference(_)) => self.eval(other, value),
        }
    }

    fn flattened(&self, list: Cow<'a, Value>) -> Result<Val<'a>, Error> {
        let Value::Array(items) = &*list else { return Ok(NULL) };
        self.step(items.len() as u64)?;
        if !items.iter().any(Value::is_array) {
            return Ok(Val::Json(list));
        }
        let mut found = Vec::new();
        for item in items {
            match item {
                Value::Array(inner) => {
                    self.step(inner.len() as u64)?;
                    found.extend(inner.iter().cloned());
                }
                other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                    found.push(other.clone());
                }
            }
        }
        Ok(owned(Value::Array(found)))
    }

    fn project(
        &self,
        items: impl Iterator<Item = Cow<'a, Value>>,
        condition: Option<&'a Node>,
        then: &'a Node,
    ) -> Result<Val<'a>, Error> {
        let mut found = Vec::new();
        for item in items {
            self.step(1)?;
            if let Some(condition) = condition
                && is_false(&*self.lenient_json(condition, Val::Json(item.clone()))?)
            {
                continue;
            }
            let value = self.lenient_json(then, Val::Json(item))?;
            if !value.is_null() {
                self.step(weight(&value))?;
                found.push(value.into_owned());
            }
        }
        Ok(owned(Value::Array(found)))
    }
}

/// How much a copy of a value costs, in steps.
fn weight(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len() as u64 / 64,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<u64>(),
        Value::Object(entries) => 1 + entries.values().map(weight).sum::<u64>(),
    }
}

fn owned<'a>(value: Value) -> Val<'a> {
    Val::Json(Cow::Owned(value))
}

fn share<'a>(value: &Val<'a>) -> Val<'a> {
    match value {
        Val::Root => Val::Root,
        Val::Json(json) => Val::Json(json.clone()),
        Val::Reference(node) => Val::Reference(node),
    }
}

fn is_null(value: &Val<'_>) -> bool {
    matches!(value, Val::Json(json) if json.is_null())
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Value {
    let numbers = left.as_f64().zip(right.as_f64());
    let by =
        |test: fn(&f64, &f64) -> bool| numbers.map_or(Value::Null, |(left, right)| Value::Bool(test(&left, &right)));
    match comparison {
        Comparison::Equal => Value::Bool(equal(left, right)),
        Comparison::NotEqual => Value::Bool(!equal(left, right)),
        Comparison::Less => by(f64::lt),
        Comparison::LessEqual => by(f64::le),
        Comparison::Greater => by(f64::gt),
        Comparison::GreaterEqual => by(f64::ge),
    }
}

/// Equality in which 1 and 1.0 are the same, and the order of keys does not matter.
#[expect(clippy::float_cmp, reason = "JSON numbers are compared as they are written")]
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || float(a) == float(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => left == right,
    }
}
