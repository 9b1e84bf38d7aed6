//! Conditions in CEL on their own, for what is no policy: an expression over named documents that holds or does not.

use jiff::Timestamp;
use serde_json::Value;

use super::eval::Run;
use super::value::{self, Val};
use super::{Program, short};
use crate::world::Outside;

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition {
    program: Program,
    source: String,
}

impl Condition {
    /// Compiles an expression; the message says what is wrong.
    pub fn compile(source: &str) -> Result<Self, String> {
        Ok(Self { program: Program::compile(source)?, source: short(source) })
    }

    /// The expression in one line, shortened where it is long.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds over these documents. An error says why that can't be told.
    pub fn holds(&self, documents: &[(&'static str, &Value)], now: Timestamp) -> Result<bool, String> {
        let names: Vec<(&'static str, Val<'_>)> =
            documents.iter().map(|(name, document)| (*name, value::json(document))).collect();
        let outside = Outside::default();
        match Run::new(&names, &[], &outside, now).value(&self.program) {
            Ok(Val::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("`{}` gives {}, not bool", self.source, other.type_name())),
            Err(error) => Err(format!("`{}`: {error}", self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_holds_or_says_why_not() {
        let document = json!({"phase": "Ready", "ready": 3});
        let check = |source: &str| {
            let now = Timestamp::UNIX_EPOCH;
            Condition::compile(source).and_then(|made| made.holds(&[("status", &document)], now))
        };
        assert_eq!(check("status.phase == 'Ready' && status.ready >= 3"), Ok(true));
        assert_eq!(check("has(status.nothing)"), Ok(false));
        assert!(check("status.ready").unwrap_err().contains("not bool"));
        assert!(check("status.nothing == 1").is_err() && check("status.").is_err() && check("other").is_err());
    }
}
