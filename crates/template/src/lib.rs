//! Go's `text/template`, for the formats that are written in it: annotations of Prometheus' alerts, and Alertmanager's
//! notifications.
//!
//! [`Templates::add`] reads a text, [`Templates::execute`] fills it in. Both are calculation, end after a bounded number of
//! steps whatever they are given, and name the line and column of what is wrong. What a template gives is what Go 1.26 gives
//! under `missingkey=zero`, as both products set it; `tests/peer` asks Go itself.
//!
//! Not as in Go: texts are always UTF-8, so that what would cut a character in two is an error; there are no complex numbers,
//! no channels and no iterators; moments are in UTC; the verbs `%T`, `%p` and `%#v` are errors.
//!
//! Source: Go 1.26, documentation of `text/template` and `fmt`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what works on some kinds of values names them, and refuses all others alike"
)]

mod builtins;
mod compare;
mod error;
mod escape;
mod evaluate;
mod execute;
mod format;
mod functions;
mod lexer;
mod number;
mod parser;
mod pipeline;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::{CallError, Error};
pub use escape::html;
pub use format::{float, print};
pub use functions::Functions;
pub use time::time;
pub use value::{Function, Map, Object, Record, Value};

use error::Source;
use tree::Tree;

/// The largest text that is read, in bytes. The largest in Alertmanager's distribution has 25 KiB.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// What an execution may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How much may come out, and how long a text may be on the way, in bytes.
    pub output_bytes_max: usize,
    /// How many steps it may take: one for each action, operand and turn of a range, and one for each 64 bytes that are made.
    pub steps_max: usize,
    /// How deep templates, actions and parentheses may be inside of each other.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes_max: 1024 * 1024, steps_max: 1_000_000, depth_max: 200 }
    }
}

/// Named templates, which may use each other.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    trees: BTreeMap<String, Tree>,
}

/// What a template is given.
#[derive(Debug)]
pub struct Call<'a> {
    /// The dot, and `$`.
    pub data: Value,
    /// The variables that were named to [`Templates::add`].
    pub variables: &'a [(&'a str, Value)],
    /// The same functions that were given to [`Templates::add`].
    pub functions: &'a Functions<'a>,
    /// What it may take.
    pub limits: Limits,
    /// What is done to what actions print.
    pub escape: Escape,
}

/// What is done to what actions print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Escape {
    /// Nothing, as in `text/template`.
    #[default]
    Nothing,
    /// It is made safe as content and as quoted attribute of HTML, unless it is [`Value::markup`].
    ///
    /// Simpler than `html/template`, which looks at what is around each action: what is printed into a script, a style, or
    /// an attribute without quotes is not made safe, and addresses of any scheme are let through.
    Html,
}

impl Templates {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a text under a name, with all that it defines. Later templates replace earlier ones of the same name, unless
    /// they are empty. `variables` (`$value`) can be used in the text, but not in what it defines.
    pub fn add(&mut self, name: &str, text: &str, functions: &Functions<'_>, variables: &[&str]) -> Result<(), Error> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the text has {} bytes, more than the {TEXT_BYTES_MAX} that are read", text.len());
            return Err(Error { template: name.to_owned(), line: 1, column: 1, message });
        }
        let source = Arc::new(Source { name: name.to_owned(), text: Arc::from(text) });
        let tokens = lexer::tokens(&source)?;
        for (name, tree) in parser::parse(&source, &tokens, functions, variables)? {
            if !tree.is_empty() || !self.trees.contains_key(&name) {
                self.trees.insert(name, tree);
            }
        }
        Ok(())
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// Fills in the template of this name.
    pub fn execute(&self, name: &str, call: &Call<'_>) -> Result<String, Error> {
        execute::execute(&self.trees, name, call)
    }
}
