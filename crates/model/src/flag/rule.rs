//! A targeting rule: `JsonLogic` (jsonlogic.com) with flagd's own operations, checked once and evaluated often.
//!
//! What a rule may be is decided when it is read: an operation that is not known, too few operands and too deep nesting
//! are errors of the file, not of a user's request.

use serde_json::Value;

/// How deep a rule may be nested.
const DEPTH_MAX: usize = 32;
/// How many operations, values and lists a rule may have.
pub(super) const NODES_MAX: usize = 5_000;

/// A rule that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// A value as it is.
    Constant(Value),
    /// A list of rules' values.
    List(Vec<Self>),
    /// A part of the context, or the second rule's value where there is none.
    Var(Vec<Self>),
    /// `[condition, value, condition, value, .., otherwise]`.
    If(Vec<Self>),
    /// The first value that is false, or the last one.
    And(Vec<Self>),
    /// The first value that is true, or the last one.
    Or(Vec<Self>),
    /// A list's items, one after the other.
    Each(Each, Box<[Self; 2]>),
    /// `[list, rule, start]`: the rule's last value, given the one before as `accumulator`.
    Reduce(Box<[Self; 3]>),
    /// flagd's `fractional`.
    Fractional(Vec<Self>),
    /// An operation on its operands' values.
    Call(Operation, Vec<Self>),
}

/// What is done with a list's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    Map,
    Filter,
    All,
    Some,
    None,
}

/// An operation on values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Equal,
    StrictlyEqual,
    NotEqual,
    StrictlyNotEqual,
    Not,
    Truth,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Max,
    Min,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Cat,
    Substr,
    In,
    Merge,
    Missing,
    MissingSome,
    StartsWith,
    EndsWith,
    SemVer,
}

/// The operations, with the fewest and the most operands that they take.
const OPERATIONS: [(&str, Operation, usize, usize); 26] = [
    ("==", Operation::Equal, 2, 2),
    ("===", Operation::StrictlyEqual, 2, 2),
    ("!=", Operation::NotEqual, 2, 2),
    ("!==", Operation::StrictlyNotEqual, 2, 2),
    ("!", Operation::Not, 1, 1),
    ("!!", Operation::Truth, 1, 1),
    ("<", Operation::Less, 2, 3),
    ("<=", Operation::AtMost, 2, 3),
    (">", Operation::Greater, 2, 3),
    (">=", Operation::AtLeast, 2, 3),
    ("max", Operation::Max, 1, NODES_MAX),
    ("min", Operation::Min, 1, NODES_MAX),
    ("+", Operation::Add, 1, NODES_MAX),
    ("-", Operation::Subtract, 1, 2),
    ("*", Operation::Multiply, 1, NODES_MAX),
    ("/", Operation::Divide, 2, 2),
    ("%", Operation::Remainder, 2, 2),
    ("cat", Operation::Cat, 0, NODES_MAX),
    ("substr", Operation::Substr, 2, 3),
    ("in", Operation::In, 2, 2),
    ("merge", Operation::Merge, 0, NODES_MAX),
    ("missing", Operation::Missing, 0, NODES_MAX),
    ("missing_some", Operation::MissingSome, 2, 2),
    ("starts_with", Operation::StartsWith, 2, 2),
    ("ends_with", Operation::EndsWith, 2, 2),
    ("sem_ver", Operation::SemVer, 3, 3),
];

/// Why a rule can't be used, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) path: Vec<String>,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl Rule {
    /// Reads a rule.
    pub(super) fn read(source: &Value) -> Result<Self, Unusable> {
        Reader { path: Vec::new(), nodes: 0 }.rule(source)
    }

    /// The texts that it may give which stand in it as they are: each should be a variant's name.
    pub(super) fn outcomes(&self) -> Vec<&str> {
        match self {
            Self::Constant(Value::String(text)) => vec![text],
            Self::If(rules) => {
                let pairs = rules.chunks(2).filter_map(<[Self]>::last);
                pairs.flat_map(Self::outcomes).collect()
            }
            Self::Fractional(rules) => {
                let buckets = rules.iter().filter_map(|rule| match rule {
                    Self::List(parts) => parts.first(),
                    Self::Constant(_)
                    | Self::Var(_)
                    | Self::If(_)
                    | Self::And(_)
                    | Self::Or(_)
                    | Self::Each(..)
                    | Self::Reduce(_)
                    | Self::Fractional(_)
                    | Self::Call(..) => None,
                });
                buckets.flat_map(Self::outcomes).collect()
            }
            Self::Constant(_)
            | Self::List(_)
            | Self::Var(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Each(..)
            | Self::Reduce(_)
            | Self::Call(..) => Vec::new(),
        }
    }
}

struct Reader {
    path: Vec<String>,
    nodes: usize,
}

impl Reader {
    fn rule(&mut self, source: &Value) -> Result<Rule, Unusable> {
        self.nodes = self.nodes.saturating_add(1);
        if self.path.len() >= DEPTH_MAX * 2 {
            return Err(self.wrong(format!("the rule is nested more than {DEPTH_MAX} deep"), "split it into flags"));
        }
        if self.nodes > NODES_MAX {
            return Err(self.wrong(format!("the rule has more than {NODES_MAX} parts"), "split it into flags"));
        }
        match source {
            Value::Array(items) => Ok(Rule::List(self.rules(items)?)),
            Value::Object(fields) if fields.len() == 1 => {
                let Some((name, operands)) = fields.iter().next() else { return Ok(Rule::Constant(source.clone())) };
                self.path.push(name.clone());
                let read = self.operation(name, operands)?;
                self.path.pop();
                Ok(read)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Ok(Rule::Constant(source.clone()))
            }
        }
    }

    fn rules(&mut self, sources: &[Value]) -> Result<Vec<Rule>, Unusable> {
        let mut rules = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            self.path.push(index.to_string());
            rules.push(self.rule(source)?);
            self.path.pop();
        }
        Ok(rules)
    }

    fn operation(&mut self, name: &str, operands: &Value) -> Result<Rule, Unusable> {
        // `{"var": "email"}` is short for `{"var": ["email"]}`.
        let rules = match operands {
            Value::Array(operands) => self.rules(operands)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                vec![self.rule(operands)?]
            }
        };
        match name {
            "var" => self.counted(rules, 0, 2).map(Rule::Var),
            "if" | "?:" => Ok(Rule::If(rules)),
            "and" => self.counted(rules, 1, NODES_MAX).map(Rule::And),
            "or" => self.counted(rules, 1, NODES_MAX).map(Rule::Or),
            "fractional" => self.counted(rules, 1, NODES_MAX).map(Rule::Fractional),
            "map" => self.each(Each::Map, rules),
            "filter" => self.each(Each::Filter, rules),
            "all" => self.each(Each::All, rules),
            "some" => self.each(Each::Some, rules),
            "none" => self.each(Each::None, rules),
            "reduce" => {
                let mut rules = self.counted(rules, 2, 3)?;
                rules.resize(3, Rule::Constant(Value::Null));
                <[Rule; 3]>::try_from(rules).map(|rules| Rule::Reduce(Box::new(rules))).map_err(|_| self.operands(2, 3))
            }
            other => {
                let Some((_, operation, fewest, most)) = OPERATIONS.iter().find(|(name, ..)| *name == other) else {
                    let hint = "use the operations of JsonLogic, or flagd's `fractional`, `starts_with`, `ends_with` and `sem_ver`";
                    return Err(self.wrong(format!("operation {} is not known", shown(other)), hint));
                };
                self.counted(rules, *fewest, *most).map(|rules| Rule::Call(*operation, rules))
            }
        }
    }

    fn each(&self, each: Each, rules: Vec<Rule>) -> Result<Rule, Unusable> {
        let pair = <[Rule; 2]>::try_from(rules).map_err(|_| self.operands(2, 2))?;
        Ok(Rule::Each(each, Box::new(pair)))
    }

    fn counted(&self, rules: Vec<Rule>, fewest: usize, most: usize) -> Result<Vec<Rule>, Unusable> {
        if (fewest..=most).contains(&rules.len()) { Ok(rules) } else { Err(self.operands(fewest, most)) }
    }

    fn operands(&self, fewest: usize, most: usize) -> Unusable {
        let name = self.path.last().map_or("", String::as_str);
        let takes = match (fewest, most) {
            (fewest, most) if fewest == most => format!("{fewest}"),
            (fewest, NODES_MAX) => format!("{fewest} or more"),
            (fewest, most) => format!("{fewest} to {most}"),
        };
        let message = format!("operation {} has not as many operands as it takes, {takes}", shown(name));
        self.wrong(message, "write the operands as a list")
    }

    fn wrong(&self, message: String, hint: &'static str) -> Unusable {
        Unusable { path: self.path.clone(), message, hint }
    }
}

/// A name as messages have it.
pub(super) fn shown(name: &str) -> String {
    format!("{:?}", cut(name))
}

/// A text, cut to what people read of it.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(source: &Value) -> String {
        let found = Rule::read(source).unwrap_err();
        format!("{}: {}", found.path.join("."), found.message)
    }

    #[test]
    fn what_cannot_be_evaluated_is_named_with_its_place() {
        assert_eq!(
            wrong(&json!({"if": [{"ends_with": [{"var": "email"}]}, "on", "off"]})),
            "if.0.ends_with: operation \"ends_with\" has not as many operands as it takes, 2"
        );
        assert_eq!(wrong(&json!({"cat": [{"log": "x"}]})), "cat.0.log: operation \"log\" is not known");
        assert_eq!(
            wrong(&json!({"reduce": [1]})),
            "reduce: operation \"reduce\" has not as many operands as it takes, 2 to 3"
        );
        let wide: Vec<u8> = vec![0; NODES_MAX];
        assert!(wrong(&json!(wide)).ends_with("the rule has more than 5000 parts"));
        let mut deep = json!(1);
        for _ in 0..60 {
            deep = json!({"!": [deep]});
        }
        assert!(wrong(&deep).ends_with("the rule is nested more than 32 deep"));
    }

    #[test]
    fn objects_that_are_no_operation_are_values() {
        for value in [json!({}), json!({"a": 1, "b": 2}), json!("x"), json!(null)] {
            assert_eq!(Rule::read(&value), Ok(Rule::Constant(value)));
        }
    }
}
