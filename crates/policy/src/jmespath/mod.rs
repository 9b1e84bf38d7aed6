//! `JMESPath` as Kyverno speaks it: compiled once, evaluated over borrowed JSON.
//!
//! Source of the grammar: the `JMESPath` specification (<https://jmespath.org/specification.html>). Kyverno differs in one
//! thing that policies rely on: a key that an object does not have is an error ("unknown key") which `||`, `!`, `&&`,
//! comparisons, pipes, functions and projections take for null, so that a variable that is misspelt is no silent null.
//! Functions are in [`functions`]; every length, depth and amount of work is bounded.

mod eval;
mod functions;
mod lexer;
mod parser;
mod text;
mod time;

use std::borrow::Cow;

use serde_json::Value;

pub use eval::Scope;
pub(crate) use eval::equal;
pub(crate) use functions::go_string;
pub(crate) use text::{float, number, regex};

/// The longest expression that is read, in bytes.
pub const LENGTH_MAX: usize = 16 * 1024;
/// How deep expressions may nest.
pub const DEPTH_MAX: usize = 64;
/// How many steps one evaluation may take.
pub const STEPS_MAX: u64 = 1_000_000;
/// The largest text that a function makes, in bytes.
pub const TEXT_MAX: usize = 4 * 1024 * 1024;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An object does not have the key.
    #[error("unknown key \"{0}\" in path")]
    NotFound(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    node: parser::Node,
}

impl Expression {
    /// Compiles an expression; the message says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("the expression has {} bytes, more than the {LENGTH_MAX} that are read", text.len()));
        }
        parser::parse(text).map(|node| Self { node })
    }

    /// The value within a scope.
    pub fn search<'a>(&'a self, scope: &'a dyn Scope) -> Result<Cow<'a, Value>, Error> {
        eval::search(&self.node, scope)
    }

    /// The value within a document.
    pub fn search_in(&self, document: &Value) -> Result<Value, Error> {
        let scope = eval::Document(document);
        self.search(&scope).map(Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(expression: &str, want: &Value) {
        let document = json!({
            "a": {"b": [1, 2, 3], "c": "x", "d.e": true}, "list": [{"n": "a", "v": 1}, {"n": "b", "v": 2}],
            "nest": [[1, 2], [3, [4]]], "empty": [], "labels": {"app": "x", "tier": "y"},
        });
        let got = Expression::parse(expression).map(|e| e.search_in(&document));
        assert_eq!(got, Ok(Ok(want.clone())), "{expression}");
    }

    fn fails(expression: &str) {
        let document = json!({"a": 1});
        let got = Expression::parse(expression).map(|e| e.search_in(&document));
        assert!(!matches!(got, Ok(Ok(_))), "{expression}: {got:?}");
    }

    #[test]
    fn paths_projections_and_filters() {
        check("a.b[0]", &json!(1));
        check("a.b[-1]", &json!(3));
        check("a.b[1:]", &json!([2, 3]));
        check("a.b[::-1]", &json!([3, 2, 1]));
        check("a.\"d.e\"", &json!(true));
        check("list[*].n", &json!(["a", "b"]));
        check("list[?v > `1`].n", &json!(["b"]));
        check("list[?n == 'a'] | [0].v", &json!(1));
        check("nest[]", &json!([1, 2, 3, [4]]));
        check("labels.*", &json!(["x", "y"]));
        check("[a.c, list[0].v]", &json!(["x", 1]));
        check("{c: a.c, n: missing}", &json!({"c": "x", "n": null}));
        check("missing || 'd'", &json!("d"));
        check("!missing && a.c", &json!("x"));
        check("(a.c == 'x') && `true`", &json!(true));
        check("list[].v | sum(@)", &json!(3));
        check("length(list[?v>=`1`])", &json!(2));
        check("sort_by(list, &v)[-1].n", &json!("b"));
        check("@.a.c", &json!("x"));
        check("a.b[?@ != `2`]", &json!([1, 3]));
        check("keys(labels)", &json!(["app", "tier"]));
        check("map(&v, list)", &json!([1, 2]));
        check("'it\\'s'", &json!("it's"));
    }

    #[test]
    fn functions_of_kyverno() {
        check("to_upper('ab')", &json!("AB"));
        check("split('a,b', ',')", &json!(["a", "b"]));
        check("replace_all('a-b-c', '-', '.')", &json!("a.b.c"));
        check("regex_match('^v\\d+$', 'v12')", &json!(true));
        check("regex_replace_all('(a)(b)', 'ab', '$2$1')", &json!("ba"));
        check("pattern_match('ng*', 'nginx')", &json!(true));
        check("label_match(`{\"app\":\"x\"}`, labels)", &json!(true));
        check("add('1Gi', '512Mi')", &json!("1536Mi"));
        check("subtract('1h', '30m0s')", &json!("30m0s"));
        check("divide('10Gi', '4Gi')", &json!(2.5));
        check("multiply('100m', `3`)", &json!("300m"));
        check("modulo(`10`, `3`)", &json!(1));
        check("base64_encode('x')", &json!("eA=="));
        check("base64_decode('eA==')", &json!("x"));
        check("time_add('2023-01-12T12:37:56-05:00', '6h')", &json!("2023-01-12T18:37:56-05:00"));
        check("time_diff('2021-01-02T15:04:05Z', '2021-01-02T15:04:06Z')", &json!("1s"));
        check("time_parse('1', '1677000000')", &json!("2023-02-21T17:20:00Z"));
        check("time_parse('2006-01-02', '2021-01-02')", &json!("2021-01-02T00:00:00Z"));
        check("time_to_cron('2023-02-02T15:04:05Z')", &json!("4 15 2 2 4"));
        check("semver_compare('1.2.3', '>=1.0.0 <2.0.0 || >3.0.0')", &json!(true));
        check("truncate('abcdef', `3`)", &json!("abc"));
        check("items(labels, 'k', 'v')", &json!([{"k": "app", "v": "x"}, {"k": "tier", "v": "y"}]));
        check("object_from_lists(['a'], ['b'])", &json!({"a": "b"}));
        check("lookup(a.b, `1`)", &json!(2));
        check("path_canonicalize('/a//b/../c/')", &json!("/a/c"));
        check("parse_json('{\"x\":1}').x", &json!(1));
        check("parse_yaml('x: 1').x", &json!(1));
        check("to_boolean('True')", &json!(true));
        check("equal_fold('Ab', 'aB')", &json!(true));
        check("round(`2.34567`, `2`)", &json!(2.35));
        check("sha256('x')", &json!("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"));
        check("image_normalize('nginx')", &json!("docker.io/nginx:latest"));
        check("trim('--a--', '-')", &json!("a"));
        check("to_string(`1.5`)", &json!("1.5"));
    }

    #[test]
    fn errors_are_errors() {
        for text in ["a.", "[", "foo(", "a..b", "nofunction(@)", "length(`1`)", "missing", "'", "`{`", "a b", "@ @"] {
            fails(text);
        }
        fails(&"(".repeat(100_000));
        fails(&"!".repeat(10_000));
        fails(&format!("{}a", "a.".repeat(20_000)));
        fails(&"[".repeat(5_000));
    }

    #[test]
    fn work_is_bounded() {
        let document = json!({"a": (0..3_000).collect::<Vec<_>>(), "t": "x".repeat(10_000)});
        let run = |text: &str| Expression::parse(text).unwrap().search_in(&document);
        assert!(run("a[?length(to_string(@)) > `0`] | map(&[@, @, @], @) | map(&length(@), @)").is_ok());
        assert!(run("join(t, a[].to_string(@))").is_err(), "thirty megabytes of text");
        assert!(run(&format!("a{}", " | [@, @]".repeat(40))).is_err(), "doubled forty times");
    }
}
