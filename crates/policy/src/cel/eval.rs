//! Evaluates parsed expressions. Every step counts against a budget, so that no expression runs for long, whatever it is
//! given; depth is bounded when an expression is compiled.
//!
//! Source: the CEL language definition (<https://github.com/google/cel-spec/blob/master/doc/langdef.md>): `&&` and `||`
//! do not mind an error on one side where the other decides.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;
use jiff::Timestamp;

use super::functions;
use super::value::{Val, compare, equal, list, text};
use super::{Error, Program, STEPS_MAX};
use crate::world::Outside;

/// A name within an expression: of a comprehension or of `cel.bind`.
pub(super) struct Local<'l, 'a> {
    name: &'l str,
    value: Result<Val<'a>, Error>,
    parent: Option<&'l Local<'l, 'a>>,
}

/// What an expression can see.
pub(super) struct Run<'a> {
    pub(super) names: &'a [(&'static str, Val<'a>)],
    pub(super) variables: &'a [(String, Program)],
    memo: RefCell<Vec<Option<Result<Val<'a>, Error>>>>,
    pub(super) outside: &'a Outside,
    pub(super) now: Timestamp,
    /// What was handed to the generator.
    pub(super) generated: RefCell<Vec<serde_json::Value>>,
    steps: Cell<u64>,
}

/// Names of types that stand for themselves.
const TYPES: [&str; 10] = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];

type Scope<'l, 'a> = Option<&'l Local<'l, 'a>>;

impl<'a> Run<'a> {
    pub(super) fn new(
        names: &'a [(&'static str, Val<'a>)],
        variables: &'a [(String, Program)],
        outside: &'a Outside,
        now: Timestamp,
    ) -> Self {
        Self {
            names,
            variables,
            memo: RefCell::new(vec![None; variables.len()]),
            outside,
            now,
            generated: RefCell::default(),
            steps: Cell::new(0),
        }
    }

    /// Counts work.
    pub(super) fn step(&self, by: usize) -> Result<(), Error> {
        self.steps.set(self.steps.get().saturating_add(by as u64));
        if self.steps.get() > STEPS_MAX {
            return Err(Error::new(format!("the expression costs more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    /// A value as a document of its own; its size counts as work.
    pub(super) fn document(&self, value: &Val<'a>) -> Result<serde_json::Value, Error> {
        let before = STEPS_MAX.saturating_sub(self.steps.get());
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        let mut left = before;
        if !value.is_within(&mut left) {
            return Err(Error::new(format!("the value is so large that it costs more than {STEPS_MAX} steps")));
        }
        self.step(before - left)?;
        Ok(value.to_json())
    }

    /// The value of an expression, with a budget of its own.
    pub(super) fn value(&self, program: &'a Program) -> Result<Val<'a>, Error> {
        self.steps.set(0);
        self.eval(&program.expression, None)
    }

    pub(super) fn eval(&self, node: &'a Expression, scope: Scope<'_, 'a>) -> Result<Val<'a>, Error> {
        self.step(1)?;
        match &node.expr {
            Expr::Literal(literal) => Ok(literal_value(literal)),
            Expr::Ident(name) => self.name(name, scope),
            Expr::Select(select) => {
                let operand = self.eval(&select.operand, scope)?;
                if select.test { self.has(&operand, &select.field) } else { self.select(operand, &select.field) }
            }
            Expr::Call(call) => self.call(call, scope),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, scope),
            Expr::List(items) => {
                let mut made = Vec::with_capacity(items.elements.len());
                for (index, item) in items.elements.iter().enumerate() {
                    match (self.eval(item, scope)?, items.optional_indices.contains(&index)) {
                        (Val::Optional(value), true) => made.extend(value.map(|value| (*value).clone())),
                        (value, _) => made.push(value),
                    }
                }
                Ok(list(made))
            }
            Expr::Map(map) => {
                let mut made: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(Error::new("a map has keys and values"));
                    };
                    let key = self.eval(&entry.key, scope)?;
                    match (self.eval(&entry.value, scope)?, entry.optional) {
                        (Val::Optional(value), true) => made.extend(value.map(|value| (key, (*value).clone()))),
                        (value, _) => made.push((key, value)),
                    }
                }
                Ok(Val::Map(Rc::new(made)))
            }
            Expr::Struct(made) => self.object(made, scope),
            Expr::Unspecified => Err(Error::new("the expression is empty")),
        }
    }

    /// An object such as `Object{...}` of mutations: a map of its fields.
    fn object(&self, made: &'a cel::common::ast::StructExpr, scope: Scope<'_, 'a>) -> Result<Val<'a>, Error> {
        let mut fields = Vec::with_capacity(made.entries.len());
        for entry in &made.entries {
            let EntryExpr::StructField(field) = &entry.expr else { return Err(Error::new("an object has fields")) };
            match (self.eval(&field.value, scope)?, field.optional) {
                (Val::Optional(value), true) => {
                    fields
                        .extend(value.map(|value| (Val::Text(Cow::Borrowed(field.field.as_str())), (*value).clone())));
                }
                (value, _) => fields.push((Val::Text(Cow::Borrowed(field.field.as_str())), value)),
            }
        }
        Ok(Val::Map(Rc::new(fields)))
    }

    /// Whether a name is bound.
    fn bound(&self, name: &str, scope: Scope<'_, 'a>) -> Option<Result<Val<'a>, Error>> {
        let mut at = scope;
        while let Some(local) = at {
            if local.name == name {
                return Some(local.value.clone());
            }
            at = local.parent;
        }
        self.names.iter().find(|(known, _)| *known == name).map(|(_, value)| Ok(value.clone()))
    }

    fn name(&self, name: &str, scope: Scope<'_, 'a>) -> Result<Val<'a>, Error> {
        if let Some(found) = self.bound(name, scope) {
            return found;
        }
        TYPES
            .iter()
            .find(|known| **known == name)
            .map(|name| Val::Type(name))
            .ok_or_else(|| Error::new(format!("unknown name `{name}`")))
    }

    fn variable(&self, name: &str) -> Option<Result<Val<'a>, Error>> {
        let (index, (_, program)) = self.variables.iter().enumerate().find(|(_, (known, _))| known == name)?;
        if let Some(Some(known)) = self.memo.borrow().get(index) {
            return Some(known.clone());
        }
        // While it is worked out it stands for an error, so that no variable waits for itself.
        let cycle = Err(Error::new(format!("the variable `{name}` refers to itself")));
        if let Some(slot) = self.memo.borrow_mut().get_mut(index) {
            *slot = Some(cycle);
        }
        let value = self.eval(&program.expression, None);
        if let Some(slot) = self.memo.borrow_mut().get_mut(index) {
            *slot = Some(value.clone());
        }
        Some(value)
    }

    pub(super) fn select(&self, operand: Val<'a>, field: &'a str) -> Result<Val<'a>, Error> {
        match &operand {
            Val::Variables => {
                self.variable(field).unwrap_or_else(|| Err(Error::new(format!("unknown variable `{field}`"))))
            }
            Val::Optional(None) => Ok(operand),
            Val::Optional(Some(inner)) => {
                let found = self.find(inner, &Val::Text(Cow::Borrowed(field)))?;
                Ok(Val::Optional(found.map(Rc::new)))
            }
            Val::Map(_) | Val::Json(serde_json::Value::Object(_)) => operand
                .entry(&Val::Text(Cow::Borrowed(field)))
                .ok_or_else(|| Error::new(format!("no such key: {field}"))),
            other => Err(Error::new(format!("{} has no field `{field}`", other.type_name()))),
        }
    }

    fn has(&self, operand: &Val<'a>, field: &str) -> Result<Val<'a>, Error> {
        Ok(Val::Bool(match operand {
            Val::Variables => self.variables.iter().any(|(name, _)| name == field),
            Val::Optional(None) => false,
            Val::Optional(Some(inner)) => return self.has(inner, field),
            Val::Map(_) | Val::Json(serde_json::Value::Object(_)) => {
                operand.entry(&Val::Text(Cow::Borrowed(field))).is_some()
            }
            other => return Err(Error::new(format!("{} has no field `{field}`", other.type_name()))),
        }))
    }

    /// An entry or an item, if there is one.
    pub(super) fn find(&self, operand: &Val<'a>, key: &Val<'a>) -> Result<Option<Val<'a>>, Error> {
        match operand {
            Val::Map(_) | Val::Json(serde_json::Value::Object(_)) => Ok(operand.entry(key)),
            Val::List(_) | Val::Json(serde_json::Value::Array(_)) => {
                Ok(index_of(key)?.and_then(|index| operand.item(index)))
            }
            Val::Variables => match key {
                Val::Text(name) => self.variable(name).transpose(),
                _ => Ok(None),
            },
            Val::Optional(None) => Ok(None),
            Val::Optional(Some(inner)) => self.find(inner, key),
            other => Err(Error::new(format!("{} has no items", other.type_name()))),
        }
    }

    fn index(&self, operand: &Val<'a>, key: &Val<'a>) -> Result<Val<'a>, Error> {
        if let Val::Optional(_) = operand {
            return Ok(Val::Optional(self.find(operand, key)?.map(Rc::new)));
        }
        self.find(operand, key)?.ok_or_else(|| match key {
            Val::Text(name) => Error::new(format!("no such key: {name}")),
            other => Error::new(format!("index out of bounds: {}", other.shown())),
        })
    }

    fn call(&self, call: &'a CallExpr, scope: Scope<'_, 'a>) -> Result<Val<'a>, Error> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, args) => self.logical(args, scope, false),
            (operators::LOGICAL_OR, args) => self.logical(args, scope, true),
            (operators::CONDITIONAL, [condition, yes, no]) => match self.eval(condition, scope)? {
                Val::Bool(true) => self.eval(yes, scope),
                Val::Bool(false) => self.eval(no, scope),
                other => Err(Error::new(format!("a condition is bool, not {}", other.type_name()))),
            },
            (operators::NOT_STRICTLY_FALSE, [inner]) => {
                Ok(Val::Bool(!matches!(self.eval(inner, scope), Ok(Val::Bool(false)))))
            }
            (operators::OPT_SELECT, [operand, field]) => {
                let operand = self.eval(operand, scope)?;
                let field = self.eval(field, scope)?;
                Ok(Val::Optional(self.find(&operand, &field)?.map(Rc::new)))
            }
            (operators::OPT_INDEX, [operand, key]) => {
                let (operand, key) = (self.eval(operand, scope)?, self.eval(key, scope)?);
                Ok(Val::Optional(self.find(&operand, &key)?.map(Rc::new)))
            }
            (operators::INDEX, [operand, key]) => {
                let (operand, key) = (self.eval(operand, scope)?, self.eval(key, scope)?);
                self.index(&operand, &key)
            }
            (name, [left, right]) if call.target.is_none() && name.starts_with('_') => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                self.binary(name, left, right)
            }
            (operators::IN, [left, right]) => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                self.contained(&left, &right)
            }
            (operators::LOGICAL_NOT, [inner]) => match self.eval(inner, scope)? {
                Val::Bool(flag) => Ok(Val::Bool(!flag)),
                other => Err(Error::new(format!("! takes bool, not {}", other.type_name()))),
            },
            (operators::NEGATE, [inner]) => match self.eval(inner, scope)? {
                Val::Int(number) => number.checked_neg().map(Val::Int).ok_or_else(overflow),
                Val::Double(number) => Ok(Val::Double(-number)),
                other => Err(Error::new(format!("- takes a number, not {}", other.type_name()))),
            },
            _ => self.function(call, scope),
        }
    }

    /// `&&` and `||`: the deciding side wins over an error.
    fn logical(&self, args: &'a [Expression], scope: Scope<'_, 'a>, deciding: bool) -> Result<Val<'a>, Error> {
        let mut trouble = None;
        for arg in args {
            match self.eval(arg, scope) {
                Ok(Val::Bool(flag)) if flag == deciding => return Ok(Val::Bool(deciding)),
                Ok(Val::Bool(_)) => {}
                Ok(other) => trouble = Some(Error::new(format!("&& and || take bool, not {}", other.type_name()))),
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(Val::Bool(!deciding)), Err)
    }

    fn contained(&self, item: &Val<'a>, container: &Val<'a>) -> Result<Val<'a>, Error> {
        self.step(container.size().unwrap_or(0))?;
        Ok(Val::Bool(match container {
            Val::List(items) => items.iter().any(|found| equal(found, item)),
            Val::Json(serde_json::Value::Array(items)) => {
                items.iter().any(|found| equal(&super::value::json(found), item))
            }
            Val::Map(_) | Val::Json(_) => container.entry(item).is_some(),
            other => return Err(Error::new(format!("`in` takes a list or a map, not {}", other.type_name()))),
        }))
    }

    fn binary(&self, name: &str, left: Val<'a>, right: Val<'a>) -> Result<Val<'a>, Error> {
        match name {
            operators::EQUALS => {
                self.step(left.size().unwrap_or(0))?;
                Ok(Val::Bool(equal(&left, &right)))
            }
            operators::NOT_EQUALS => {
                self.step(left.size().unwrap_or(0))?;
                Ok(Val::Bool(!equal(&left, &right)))
            }
            operators::LESS => Ok(Val::Bool(compare(&left, &right)?.is_lt())),
            operators::LESS_EQUALS => Ok(Val::Bool(compare(&left, &right)?.is_le())),
            operators::GREATER => Ok(Val::Bool(compare(&left, &right)?.is_gt())),
            operators::GREATER_EQUALS => Ok(Val::Bool(compare(&left, &right)?.is_ge())),
            _ => functions::arithmetic(self, name, left, right),
        }
    }

    /// Functions and methods; names with dots are functions of a namespace where the first part is no variable.
    fn function(&self, call: &'a CallExpr, scope: Scope<'_, 'a>) -> Result<Val<'a>, Error> {
        let name = call.func_name.as_str();
        let Some(target) = &call.target else {
            let args = self.arguments(&call.args, scope)?;
            return functions::global(self, name, &args);
        };
        if let Expr::Ident(space) = &target.expr
            && self.bound(space, scope).is_none()
        {
            if (space.as_str(), name) == ("cel", "bind")
                && let [variable, value, body] = call.args.as_slice()
                && let Expr::Ident(variable) = &variable.expr
            {
                let local = Local { name: variable, value: self.eval(value, scope), parent: scope };
                return self.eval(body, Some(&local));
            }
            let args = self.arguments(&call.args, scope)?;
            return functions::global(self, &format!("{space}.{name}"), &args);
        }
        let target = self.eval(target, scope)?;
        if let ("optMap" | "optFlatMap", [variable, body]) = (name, call.args.as_slice())
            && let Expr::Ident(variable) = &variable.expr
        {
            return self.optional_map(target, variable, body, name == "optFlatMap", scope);
        }
        if matches!(name, "or" | "orValue") {
            return self.alternative(name, target, &call.args, scope);
        }
        let args = self.arguments(&call.args, scope)?;
        functions::method(self, name, &target, &args)
    }

    fn optional_map(
        &self,
        target: Val<'a>,
        variable: &'a str,
        body: &'a Expression,
        flat: bool,
        scope: Scope<'_, 'a>,
    ) -> Result<Val<'a>, Error> {
        let Val::Optional(value) = target else {
            return Err(Error::new(format!("optMap takes an optional, not {}", target.type_name())));
        };
        let Some(value) = value else { return Ok(Val::Optional(None)) };
        let local = Local { name: variable, value: Ok((*value).clone()), parent: scope };
        let mapped = self.eval(body, Some(&local))?;
        Ok(if flat { mapped } else { Val::Optional(Some(Rc::new(mapped))) })
    }

    /// `or` and `orValue`; on a plain value they give the value itself.
    fn alternative(
        &self,
        name: &str,
        target: Val<'a>,
        args: &'a [Expression],
        scope: Scope<'_, 'a>,
    ) -> Result<Val<'a>, Error> {
        let [other] = args else { return Err(Error::new(format!("{name} takes one argument"))) };
        match (target, name) {
            (Val::Optional(None), _) => self.eval(other, scope),
            (Val::Optional(Some(value)), "orValue") => Ok((*value).clone()),
            (target, _) => Ok(target),
        }
    }

    fn arguments(&self, args: &'a [Expression], scope: Scope<'_, 'a>) -> Result<Vec<Val<'a>>, Error> {
        args.iter().map(|arg| self.eval(arg, scope)).collect()
    }

    fn comprehension(&self, node: &'a ComprehensionExpr, scope: Scope<'_, 'a>) -> Result<Val<'a>, Error> {
        let range = self.eval(&node.iter_range, scope)?;
        let mut accumulated = self.eval(&node.accu_init, scope);
        let items: Vec<(Val<'a>, Option<Val<'a>>)> = match (range.items(), range.entries(), &node.iter_var2) {
            (Some(items), _, None) => items.into_iter().map(|item| (item, None)).collect(),
            (Some(items), _, Some(_)) => {
                let numbered = items.into_iter().zip(0_i64..);
                numbered.map(|(item, index)| (Val::Int(index), Some(item))).collect()
            }
            (None, Some(entries), None) => entries.into_iter().map(|(key, _)| (key, None)).collect(),
            (None, Some(entries), Some(_)) => entries.into_iter().map(|(key, value)| (key, Some(value))).collect(),
            (None, None, _) => {
                return Err(Error::new(format!("{} can't be gone through", range.type_name())));
            }
        };
        for (first, second) in items {
            let accumulator = Local { name: &node.accu_var, value: accumulated.clone(), parent: scope };
            if matches!(self.eval(&node.loop_cond, Some(&accumulator)), Ok(Val::Bool(false))) {
                break;
            }
            let one = Local { name: &node.iter_var, value: Ok(first), parent: Some(&accumulator) };
            let two = node.iter_var2.as_deref().zip(second).map(|(name, value)| Local {
                name,
                value: Ok(value),
                parent: Some(&one),
            });
            let inner = two.as_ref().unwrap_or(&one);
            let next = self.appended(&node.loop_step, &node.accu_var, inner);
            match next {
                Some(Ok(added)) => {
                    drop(two);
                    drop(one);
                    drop(accumulator);
                    accumulated = accumulated.map(|mut value| {
                        if let Val::List(items) = &mut value {
                            Rc::make_mut(items).extend(added);
                        }
                        value
                    });
                }
                Some(Err(error)) => return Err(error),
                None => {
                    let value = self.eval(&node.loop_step, Some(inner));
                    accumulated = value;
                }
            }
        }
        let accumulator = Local { name: &node.accu_var, value: accumulated, parent: scope };
        self.eval(&node.result, Some(&accumulator))
    }

    /// What a step appends to its list, where appending is all that it does.
    fn appended(
        &self,
        step: &'a Expression,
        accumulator: &str,
        scope: &Local<'_, 'a>,
    ) -> Option<Result<Vec<Val<'a>>, Error>> {
        let Expr::Call(call) = &step.expr else { return None };
        let is_accumulator = |node: &Expression| matches!(&node.expr, Expr::Ident(name) if name == accumulator);
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::ADD, [left, right]) if is_accumulator(left) => match &right.expr {
                Expr::List(items) => Some(items.elements.iter().map(|item| self.eval(item, Some(scope))).collect()),
                _ => None,
            },
            (operators::CONDITIONAL, [condition, yes, no]) if is_accumulator(no) => {
                let (Expr::Call(_), true) = (&yes.expr, Self::appends(yes, accumulator)) else { return None };
                match self.eval(condition, Some(scope)) {
                    Ok(Val::Bool(true)) => self.appended(yes, accumulator, scope),
                    Ok(Val::Bool(false)) => Some(Ok(Vec::new())),
                    Ok(other) => Some(Err(Error::new(format!("a condition is bool, not {}", other.type_name())))),
                    Err(error) => Some(Err(error)),
                }
            }
            _ => None,
        }
    }

    fn appends(step: &Expression, accumulator: &str) -> bool {
        matches!(&step.expr, Expr::Call(call) if call.func_name == operators::ADD
            && matches!(call.args.as_slice(), [left, right]
                if matches!(&left.expr, Expr::Ident(name) if name == accumulator) && matches!(right.expr, Expr::List(_))))
    }
}

pub(super) fn overflow() -> Error {
    Error::new("the number is out of range")
}

fn index_of(key: &Val<'_>) -> Result<Option<usize>, Error> {
    match key {
        Val::Int(index) => Ok(usize::try_from(*index).ok()),
        Val::Uint(index) => Ok(usize::try_from(*index).ok()),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and not negative"
        )]
        Val::Double(index) if index.fract() == 0.0 && *index >= 0.0 => Ok(Some(*index as usize)),
        other => Err(Error::new(format!("a list's index is int, not {}", other.type_name()))),
    }
}

fn literal_value(literal: &LiteralValue) -> Val<'_> {
    match literal {
        LiteralValue::Boolean(flag) => Val::Bool(*flag.inner()),
        LiteralValue::Bytes(bytes) => Val::Bytes(bytes.inner().into()),
        LiteralValue::Double(number) => Val::Double(*number.inner()),
        LiteralValue::Int(number) => Val::Int(*number.inner()),
        LiteralValue::Null => Val::Null,
        LiteralValue::String(value) => Val::Text(Cow::Borrowed(value.inner())),
        LiteralValue::UInt(number) => Val::Uint(*number.inner()),
    }
}

/// A text, for messages.
pub(super) fn message<'a>(value: &Val<'a>) -> Val<'a> {
    text(value.shown())
}
