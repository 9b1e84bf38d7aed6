//! PromQL as text: from the text of a query to an [`expression::Expression`] that can be evaluated.
//!
//! The grammar is that of Prometheus 2.42, with the functions of native histograms of 3.x. What else later versions added is
//! refused by name; nothing is ignored. A text of any content and size gives an expression or an error in time linear to its length,
//! and on a stack of a bounded depth.
//!
//! Source: Prometheus documentation, "Querying Prometheus"; Prometheus 2.42, `promql/parser/generated_parser.y`.

mod arguments;
mod calls;
mod catalogue;
mod check;
pub mod error;
pub mod expression;
mod lexer;
mod modifiers;
mod parser;
mod selectors;
#[cfg(test)]
mod tests;
pub(crate) mod windowed;

pub use error::{ParseError, Reason};
pub use expression::Expression;

use crate::matcher::Matcher;
use expression::{Shift, Vector};

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// How deep expressions may stand within each other in the text.
pub const NEST_MAX: u32 = 100;

/// How deep expressions may hold each other: each operator of a chain holds all that is left of it.
pub const DEPTH_MAX: u32 = 250;

/// Parses what describes series and nothing else, as `match[]` does.
pub fn selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let expression = parse(text)?;
    if let Expression::Vector(Vector::Selected(selector)) = &expression
        && selector.shift == Shift::default()
    {
        return Ok(selector.matchers.clone());
    }
    Err(ParseError::new(text, 0, Reason::NoSelector(expression.kind())))
}

/// Parses and checks a query.
pub fn parse(text: &str) -> Result<Expression, ParseError> {
    if text.len() > QUERY_BYTES_MAX {
        let reason = Reason::TooLong { bytes: text.len(), max: QUERY_BYTES_MAX };
        return Err(ParseError::new(text, 0, reason));
    }
    let tokens = lexer::tokens(text)?;
    parser::Parser::new(&tokens).query().map_err(|refused| ParseError::new(text, refused.at, refused.reason))
}
