//! Queries with a place for a window.

use crate::promql::expression::Kind;
use crate::promql::{self, windowed};

/// Where a window comes in a query.
pub(super) const WINDOW: &str = "{{.window}}";

/// A query with the window filled in; what stands in other braces is refused.
pub fn filled(query: &str, window: &str) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), query);
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, tail)) = after.split_once("}}") else { return Err("`{{` without `}}`".to_owned()) };
        if inside.trim_matches(['-', ' ']) != ".window" {
            return Err(format!("`{{{{{inside}}}}}` is not known, only `{WINDOW}`"));
        }
        text.extend([before, window]);
        rest = tail;
    }
    text.push_str(rest);
    Ok(text)
}

/// Whether a query has a place for a window.
pub(super) fn has_window(query: &str) -> bool {
    query.contains("{{")
}

/// Whether it can be evaluated once the window is filled in.
pub(super) fn check(query: &str) -> Result<(), String> {
    let text = filled(query, "5m")?;
    let expression = promql::parse(&text).map_err(|error| error.to_string())?;
    match expression.kind() {
        Kind::Scalar | Kind::Vector => Ok(()),
        kind @ (Kind::Range | Kind::Text) => Err(format!("it gives {kind}, not an instant vector")),
    }
}

/// A query of samples made one of a window, where it is none yet.
pub(super) fn over_window(query: &str, function: &str) -> Result<String, String> {
    if has_window(query) {
        return Ok(query.to_owned());
    }
    windowed::windowed(query, function, WINDOW).map_err(|error| error.to_string())
}
