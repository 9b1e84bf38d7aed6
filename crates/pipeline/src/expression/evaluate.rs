//! The value of an expression where a job or step stands.

use std::path::PathBuf;

use github_actions_expressions::call::{Call, Function};
use github_actions_expressions::literal::Literal;
use github_actions_expressions::op::{BinExpr, BinOp};
use github_actions_expressions::{Expr, SpannedExpr};
use serde_json::{Map, Value as Json};

use super::functions;
use super::value::{equal, is_true, member, number, order, text_of};
use crate::hash_files;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EvaluationError {
    #[error("`{source_text}` is not an expression: {message}")]
    Syntax { source_text: String, message: String },
    #[error("`format` can't fill in {0:?} with its arguments")]
    Format(String),
    #[error("not JSON: {0}")]
    Json(String),
    #[error("the text is longer than {} bytes", functions::TEXT_BYTES_MAX)]
    TooLong,
    #[error("{0} is not available here")]
    Unavailable(&'static str),
    #[error("`hashFiles` failed: {0}")]
    HashFiles(String),
}

/// How the jobs or steps before went: what the status functions answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// `success()`.
    pub(crate) success: bool,
    /// `failure()`.
    pub(crate) failure: bool,
    /// `cancelled()`.
    pub(crate) cancelled: bool,
}

/// What an expression can see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// The contexts by name.
    pub(crate) contexts: Map<String, Json>,
    /// The status, in an `if`.
    pub(crate) status: Option<Status>,
    /// Where `hashFiles` looks, in a step.
    pub(crate) workspace: Option<PathBuf>,
}

/// What a reference has reached so far: `*` turns one value into many.
enum Reached {
    One(Json),
    Many(Vec<Json>),
}

impl Scope {
    /// The value of `source`.
    pub(crate) fn evaluate(&self, source: &str) -> Result<Json, EvaluationError> {
        let parsed = super::parse(source).map_err(|error| EvaluationError::Syntax {
            source_text: source.chars().take(100).collect(),
            message: error.message,
        })?;
        self.value(&parsed)
    }

    fn value(&self, expression: &SpannedExpr<'_>) -> Result<Json, EvaluationError> {
        match &expression.inner {
            Expr::Literal(literal) => Ok(match literal {
                Literal::Number(value) => number(*value),
                Literal::String(text) => Json::String(text.to_string()),
                Literal::Boolean(flag) => Json::Bool(*flag),
                Literal::Null => Json::Null,
            }),
            Expr::Call(call) => self.call(call),
            Expr::Context(context) => self.reference(&context.parts),
            Expr::Identifier(name) => Ok(self.root(name.as_str())),
            Expr::Index(inner) => self.value(inner),
            Expr::BinExpr(binary) => self.binary(binary),
            Expr::UnExpr { op: _, expr } => Ok(Json::Bool(!is_true(&self.value(expr)?))),
            Expr::Star => Err(EvaluationError::Unavailable("`*`")),
        }
    }

    fn root(&self, name: &str) -> Json {
        member(&self.contexts, name).cloned().unwrap_or(Json::Null)
    }

    fn binary(&self, BinExpr { lhs, op, rhs }: &BinExpr<'_>) -> Result<Json, EvaluationError> {
        let left = self.value(lhs)?;
        match op {
            BinOp::And if !is_true(&left) => return Ok(left),
            BinOp::Or if is_true(&left) => return Ok(left),
            BinOp::And | BinOp::Or => return self.value(rhs),
            BinOp::Eq | BinOp::Neq | BinOp::Gt | BinOp::Ge | BinOp::Lt | BinOp::Le => {}
        }
        let right = self.value(rhs)?;
        Ok(Json::Bool(match op {
            BinOp::Eq => equal(&left, &right),
            BinOp::Neq => !equal(&left, &right),
            BinOp::Gt => order(&left, &right).is_some_and(std::cmp::Ordering::is_gt),
            BinOp::Ge => order(&left, &right).is_some_and(std::cmp::Ordering::is_ge),
            BinOp::Lt => order(&left, &right).is_some_and(std::cmp::Ordering::is_lt),
            BinOp::Le => order(&left, &right).is_some_and(std::cmp::Ordering::is_le),
            BinOp::And | BinOp::Or => is_true(&right),
        }))
    }

    fn reference(&self, parts: &[SpannedExpr<'_>]) -> Result<Json, EvaluationError> {
        let Some((head, tail)) = parts.split_first() else { return Ok(Json::Null) };
        let mut reached = Reached::One(self.value(head)?);
        for part in tail {
            reached = match &part.inner {
                Expr::Star => reached.all(),
                Expr::Index(inner) if matches!(inner.inner, Expr::Star) => reached.all(),
                Expr::Identifier(name) => reached.step(&Json::String(name.as_str().to_owned())),
                Expr::Index(_)
                | Expr::Literal(_)
                | Expr::Call(_)
                | Expr::Context(_)
                | Expr::BinExpr(_)
                | Expr::UnExpr { .. } => reached.step(&self.value(part)?),
            };
        }
        Ok(match reached {
            Reached::One(value) => value,
            Reached::Many(values) => Json::Array(values),
        })
    }

    fn call(&self, Call { func, args }: &Call<'_>) -> Result<Json, EvaluationError> {
        if *func == Function::Case {
            return self.case(args);
        }
        let values = args.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
        let argument = |index: usize| values.get(index).unwrap_or(&Json::Null);
        let status = self.status.ok_or(EvaluationError::Unavailable("a status function"));
        match func {
            Function::Contains => Ok(functions::contains(argument(0), argument(1)).into()),
            Function::StartsWith => Ok(functions::starts_with(argument(0), argument(1)).into()),
            Function::EndsWith => Ok(functions::ends_with(argument(0), argument(1)).into()),
            Function::Format => functions::format(&text_of(argument(0)), values.get(1..).unwrap_or_default()),
            Function::Join => functions::join(argument(0), values.get(1)),
            Function::ToJSON => functions::to_json(argument(0)),
            Function::FromJSON => functions::from_json(argument(0)),
            Function::HashFiles => {
                let workspace = self.workspace.as_ref().ok_or(EvaluationError::Unavailable("`hashFiles`"))?;
                let patterns: Vec<String> = values.iter().map(text_of).collect();
                let hash = hash_files::hash(workspace, &patterns)
                    .map_err(|error| EvaluationError::HashFiles(error.to_string()))?;
                Ok(Json::String(hash))
            }
            Function::Success => Ok(status?.success.into()),
            Function::Failure => Ok(status?.failure.into()),
            Function::Cancelled => Ok(status?.cancelled.into()),
            Function::Always | Function::Case => Ok(true.into()),
        }
    }

    /// `case(condition, value, …, otherwise)`.
    fn case(&self, arguments: &[SpannedExpr<'_>]) -> Result<Json, EvaluationError> {
        let mut rest = arguments;
        while let [condition, value, tail @ ..] = rest {
            if is_true(&self.value(condition)?) {
                return self.value(value);
            }
            rest = tail;
        }
        rest.first().map_or(Ok(Json::Null), |otherwise| self.value(otherwise))
    }
}

impl Reached {
    fn all(self) -> Self {
        let values = |value: Json| match value {
            Json::Array(items) => items,
            Json::Object(members) => members.into_iter().map(|(_, value)| value).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
        };
        match self {
            Self::One(value) => Self::Many(values(value)),
            Self::Many(many) => Self::Many(many.into_iter().flat_map(values).collect()),
        }
    }

    fn step(self, key: &Json) -> Self {
        match self {
            Self::One(value) => Self::One(child(&value, key).unwrap_or(Json::Null)),
            Self::Many(many) => Self::Many(many.iter().filter_map(|value| child(value, key)).collect()),
        }
    }
}

fn child(value: &Json, key: &Json) -> Option<Json> {
    match value {
        Json::Object(members) => member(members, &text_of(key)).cloned(),
        Json::Array(items) => {
            let index = text_of(key).parse::<usize>().ok()?;
            items.get(index).cloned()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope() -> Scope {
        let Json::Object(contexts) = json!({
            "github": {"ref": "refs/heads/main", "event": {"commits": [{"id": "a"}, {"id": "b"}, {}]}},
            "matrix": {"os": "linux", "n": 3},
            "env": {"KEY": "ref", "EMPTY": ""},
        }) else {
            unreachable!()
        };
        let status = Some(Status { success: false, failure: true, cancelled: false });
        Scope { contexts, status, workspace: None }
    }

    #[track_caller]
    fn check(source: &str, expected: &Json) {
        assert_eq!(scope().evaluate(source).as_ref(), Ok(expected), "{source}");
    }

    #[test]
    fn references_reach_members_items_and_all_of_them() {
        check("github.ref", &json!("refs/heads/main"));
        check("GitHub['REF']", &json!("refs/heads/main"));
        check("github[env.KEY]", &json!("refs/heads/main"));
        check("github.event.commits[1].id", &json!("b"));
        check("github.event.commits.*.id", &json!(["a", "b"]));
        check("github.nope.deeper", &json!(null));
        check("fromJSON('{\"a\": [1]}').a[0]", &json!(1));
    }

    #[test]
    fn operators_give_operands_and_follow_precedence() {
        check("env.EMPTY || 'other'", &json!("other"));
        check("env.KEY && 'yes' || 'no'", &json!("yes"));
        check("matrix.n > 2 && matrix.os == 'LINUX'", &json!(true));
        check("!env.EMPTY", &json!(true));
        check("matrix.n >= 3 == true", &json!(true));
        check("case(false, 1, matrix.n == 3, 2, 3)", &json!(2));
    }

    #[test]
    fn status_functions_answer_from_the_status() {
        check("failure() && !success() && always() && !cancelled()", &json!(true));
        let nowhere = Scope { status: None, ..scope() };
        assert!(nowhere.evaluate("success()").is_err());
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        for broken in ["fromJSON('{')", "format('{3}', 1)", "hashFiles('*')", "a b"] {
            assert!(scope().evaluate(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_value_or_an_error(source in "[a-z.()\\[\\]*'0-9 &|!=<>,$]{0,60}") {
            let _ = scope().evaluate(&source);
        }
    }
}
