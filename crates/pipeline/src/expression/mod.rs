//! GitHub's expressions: `${{ … }}` in texts, and what stands in `if`.
//!
//! Parsing is the library's; what an expression may refer to is checked when a workflow is loaded ([`check`]), and its
//! value is found when a step or job is about to run ([`evaluate`]). Both walk a tree whose depth is bounded here.

pub(crate) mod check;
pub(crate) mod evaluate;
mod functions;
mod template;
mod value;

use github_actions_expressions::{Expr, SpannedExpr};

pub(crate) use evaluate::{EvaluationError, Scope, Status};
pub(crate) use template::{Part, Template};
pub(crate) use value::{is_true, text_of};

/// The longest expression, in bytes: GitHub's own limit.
pub(crate) const BYTES_MAX: usize = 21_000;

/// The most bytes of operators in one expression. A chain of them is a tree as deep as it is long.
const OPERATOR_BYTES_MAX: usize = 500;

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// What is wrong.
    pub(crate) message: String,
    /// Where, in bytes from the start of the expression.
    pub(crate) offset: usize,
}

/// Parses `source`, refusing what would be too deep or too long to walk.
pub(crate) fn parse(source: &str) -> Result<SpannedExpr<'_>, ParseError> {
    let at = |offset, message: String| ParseError { message, offset };
    if source.len() > BYTES_MAX {
        return Err(at(0, format!("the expression has {} bytes, more than the {BYTES_MAX} allowed", source.len())));
    }
    let operators = source.bytes().filter(|byte| matches!(byte, b'&' | b'|' | b'=' | b'!' | b'<' | b'>')).count();
    if operators > OPERATOR_BYTES_MAX {
        return Err(at(0, "the expression has more operators than are allowed".to_owned()));
    }
    Expr::parse(source).map_err(|error| match error {
        github_actions_expressions::Error::Syntax(syntax) => at(syntax.offset, syntax.message.to_owned()),
        github_actions_expressions::Error::Depth => at(0, "the expression is nested too deeply".to_owned()),
        github_actions_expressions::Error::Call(call) => at(0, lower_first(&call.to_string())),
    })
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_says_where_and_why() {
        let unclosed = parse("github.ref == 'x").unwrap_err();
        assert_eq!(unclosed.offset, 14, "{}", unclosed.message);
        let unknown = parse("env.A && nope(1)").unwrap_err();
        assert_eq!(unknown.message, "unknown function: nope");
        assert!(parse("").is_err());
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_refused() {
        for hostile in [
            format!("{}1{}", "(".repeat(5000), ")".repeat(5000)),
            "!".repeat(20_000),
            vec!["a"; 5000].join("||"),
            "a".repeat(BYTES_MAX + 1),
            "a[".repeat(9000),
        ] {
            assert!(parse(&hostile).is_err());
        }
        assert!(parse(&vec!["a"; 200].join(" || ")).is_ok());
    }
}
