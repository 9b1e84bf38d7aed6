//! Reads and writes flag definitions in flagd's format (flagd.dev, "Flag Definitions").
//!
//! References to shared evaluators are followed here, once: what is stored and evaluated has none.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::rule::{Rule, Unusable, shown};
use super::{Flag, Flags};
use crate::service::Problem;

/// What a flag may say.
const FIELDS: [&str; 5] = ["state", "variants", "defaultVariant", "targeting", "metadata"];
/// How many flags a file may have.
const FLAGS_MAX: usize = 500;
/// How many variants a flag may have.
const VARIANTS_MAX: usize = 100;
/// How long a key or a variant's name may be, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How deep references may lead from one evaluator to the next.
const REFERENCES_MAX: usize = 16;
/// How many values a rule may have with its references followed.
const EXPANDED_MAX: usize = 20_000;

impl Flags {
    /// Reads a file's flags; all that is wrong with them, each at its place.
    pub fn read(source: &Value) -> Result<Self, Vec<Problem>> {
        let mut found = Vec::new();
        let Value::Object(file) = source else {
            return Err(vec![problem(&[], "expected a mapping with `flags`".into(), "see flagd.dev for the format")]);
        };
        for name in file.keys().filter(|name| !["$schema", "flags", "$evaluators", "metadata"].contains(&name.as_str()))
        {
            let message = format!("unknown field {}, expected `flags`, `$evaluators` or `metadata`", shown(name));
            found.push(problem(&[name], message, "remove it, or correct its name"));
        }
        let evaluators = object(file, &[], "$evaluators", &mut found);
        let declared = object(file, &[], "flags", &mut found);
        let metadata = metadata(file, &[], &mut found);
        if !file.contains_key("flags") {
            found.push(problem(&[], "missing field `flags`".into(), "add `flags: {}`"));
        }
        if declared.len() > FLAGS_MAX {
            let message = format!("there are {} flags, more than the {FLAGS_MAX} that a file may have", declared.len());
            found.push(problem(&["flags"], message, "remove flags that are no longer asked for"));
        }
        let mut flags = BTreeMap::new();
        for (key, source) in declared.iter().take(FLAGS_MAX) {
            if !is_key(key) {
                let message = format!("{} can't be asked for by clients", shown(key));
                let hint = "use letters, digits, `-`, `_`, `.` and `:`, at most 128 of them";
                found.push(problem(&["flags", key], message, hint));
            }
            if let Some(flag) = (FlagReader { key, evaluators: &evaluators, found: &mut found }).read(source) {
                flags.insert(key.clone(), flag);
            }
        }
        if found.is_empty() { Ok(Self { flags, metadata }) } else { Err(found) }
    }
}

impl TryFrom<Value> for Flags {
    type Error = String;

    fn try_from(source: Value) -> Result<Self, String> {
        Self::read(&source).map_err(|found| {
            found.into_iter().next().map_or_else(String::new, |p| format!("{}: {}", p.path.join("."), p.message))
        })
    }
}

impl From<Flags> for Value {
    fn from(flags: Flags) -> Self {
        let mut file = Map::new();
        file.insert("flags".into(), flags.flags.into_iter().map(|(key, flag)| (key, Self::from(flag))).collect());
        if !flags.metadata.is_empty() {
            file.insert("metadata".into(), Self::Object(flags.metadata));
        }
        Self::Object(file)
    }
}

impl From<Flag> for Value {
    fn from(flag: Flag) -> Self {
        let mut fields = Map::new();
        fields.insert("state".into(), json!(if flag.enabled { "ENABLED" } else { "DISABLED" }));
        fields.insert("variants".into(), flag.variants.into_iter().collect());
        fields.extend(flag.default_variant.map(|name| ("defaultVariant".to_owned(), Self::String(name))));
        fields.extend(flag.targeting.map(|rule| ("targeting".to_owned(), rule)));
        if !flag.metadata.is_empty() {
            fields.insert("metadata".into(), Self::Object(flag.metadata));
        }
        Self::Object(fields)
    }
}

struct FlagReader<'a> {
    key: &'a str,
    evaluators: &'a Map<String, Value>,
    found: &'a mut Vec<Problem>,
}

impl FlagReader<'_> {
    fn read(&mut self, source: &Value) -> Option<Flag> {
        let Value::Object(fields) = source else {
            self.wrong(&[], "a flag is a mapping".into(), "give it `state`, `variants` and `defaultVariant`");
            return None;
        };
        for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            let message = format!("unknown field {}, expected one of {}", shown(name), FIELDS.join(", "));
            self.wrong(&[name], message, "remove it, or correct its name");
        }
        let enabled = self.state(fields);
        let variants = self.variants(fields);
        let default_variant = self.default_variant(fields, &variants);
        let (targeting, rule) = self.targeting(fields, &variants).unzip();
        let metadata = metadata(fields, &["flags", self.key], self.found);
        Some(Flag { enabled, variants, default_variant, targeting, metadata, rule })
    }

    fn state(&mut self, fields: &Map<String, Value>) -> bool {
        let state = fields.get("state").and_then(Value::as_str);
        if !matches!(state, Some("ENABLED" | "DISABLED")) {
            self.wrong(&["state"], "`state` must be ENABLED or DISABLED".into(), "write `state: ENABLED`");
        }
        state == Some("ENABLED")
    }

    fn variants(&mut self, fields: &Map<String, Value>) -> BTreeMap<String, Value> {
        let variants = object(fields, &["flags", self.key], "variants", self.found);
        let hint = "name one to a hundred, such as `variants: { on: true, off: false }`";
        if variants.is_empty() || variants.len() > VARIANTS_MAX {
            self.wrong(&["variants"], format!("the flag has {} variants", variants.len()), hint);
        }
        let kind = variants.values().next().map(kind);
        for (name, value) in &variants {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                self.wrong(
                    &["variants", name],
                    format!("{} is not a variant's name", shown(name)),
                    "give it a short one",
                );
            }
            if let (Some(kind), this) = (kind, self::kind(value))
                && (this != kind || this == "nothing")
            {
                let message = format!("variant {} is {this}; the first one is {kind}", shown(name));
                self.wrong(&["variants", name], message, "let all variants be of one kind: clients ask for one");
            }
        }
        variants.into_iter().collect()
    }

    fn default_variant(&mut self, fields: &Map<String, Value>, variants: &BTreeMap<String, Value>) -> Option<String> {
        let name = match fields.get("defaultVariant") {
            None | Some(Value::Null) => return None,
            Some(Value::String(name)) => name.clone(),
            Some(other) => other.to_string(),
        };
        if !variants.contains_key(&name) {
            let message = format!("default {} is no variant of the flag", shown(&name));
            self.wrong(&["defaultVariant"], message, "name one of `variants`, or leave the default to the code");
        }
        Some(name)
    }

    fn targeting(&mut self, fields: &Map<String, Value>, variants: &BTreeMap<String, Value>) -> Option<(Value, Rule)> {
        let source = fields.get("targeting")?;
        let Value::Object(operation) = source else {
            self.wrong(&["targeting"], "a rule is an operation".into(), "write it as `{ if: [..] }`");
            return None;
        };
        // flagd takes an empty rule for none.
        if operation.is_empty() {
            return None;
        }
        let mut left = EXPANDED_MAX;
        let read = expanded(source, self.evaluators, 0, &mut left)
            .and_then(|source| Rule::read(&source).map(|rule| (source, rule)));
        match read {
            Ok((source, rule)) => {
                if let Some(name) = rule.outcomes().into_iter().find(|name| !variants.contains_key(*name)) {
                    let message = format!("the rule gives {}, which is no variant of the flag", shown(name));
                    self.wrong(&["targeting"], message, "name one of `variants`");
                }
                Some((source, rule))
            }
            Err(Unusable { path, message, hint }) => {
                let path: Vec<&str> = std::iter::once("targeting").chain(path.iter().map(String::as_str)).collect();
                self.wrong(&path, message, hint);
                None
            }
        }
    }

    fn wrong(&mut self, path: &[&str], message: String, hint: &str) {
        let path: Vec<&str> = ["flags", self.key].into_iter().chain(path.iter().copied()).collect();
        self.found.push(problem(&path, message, hint));
    }
}

/// The rule with every `{"$ref": name}` replaced by the evaluator of that name.
fn expanded(
    source: &Value,
    evaluators: &Map<String, Value>,
    depth: usize,
    left: &mut usize,
) -> Result<Value, Unusable> {
    let unusable = |message: String, hint| Unusable { path: Vec::new(), message, hint };
    *left = left.checked_sub(1).ok_or_else(|| {
        unusable(format!("the rule has more than {EXPANDED_MAX} parts"), "share less by `$ref`, or split it into flags")
    })?;
    match source {
        Value::Object(fields) => {
            let Some(name) = fields.get("$ref").filter(|_| fields.len() == 1) else {
                let entries = fields.iter();
                return entries
                    .map(|(name, value)| Ok((name.clone(), expanded(value, evaluators, depth, left)?)))
                    .collect();
            };
            let name = name.as_str().unwrap_or_default();
            let Some(evaluator) = evaluators.get(name) else {
                return Err(unusable(format!("there is no evaluator {}", shown(name)), "declare it in `$evaluators`"));
            };
            if depth >= REFERENCES_MAX {
                let message = format!("evaluator {} leads back to itself, or too far", shown(name));
                return Err(unusable(message, "let an evaluator refer to no evaluator that refers to it"));
            }
            expanded(evaluator, evaluators, depth + 1, left)
        }
        Value::Array(items) => items.iter().map(|item| expanded(item, evaluators, depth, left)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(source.clone()),
    }
}

/// A field that is a mapping; empty, with the problem found, where it is something else.
fn object(fields: &Map<String, Value>, path: &[&str], name: &str, found: &mut Vec<Problem>) -> Map<String, Value> {
    match fields.get(name) {
        None => Map::new(),
        Some(Value::Object(entries)) => entries.clone(),
        Some(other) => {
            let path: Vec<&str> = path.iter().copied().chain([name]).collect();
            let message = format!("`{name}` is {}, expected a mapping", kind(other));
            found.push(problem(&path, message, "write it as a mapping of names to values"));
            Map::new()
        }
    }
}

/// Metadata: texts, numbers and booleans (OFREP's OpenAPI, `metadata`).
fn metadata(fields: &Map<String, Value>, path: &[&str], found: &mut Vec<Problem>) -> Map<String, Value> {
    let metadata = object(fields, path, "metadata", found);
    for (name, value) in &metadata {
        if !matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_)) {
            let path: Vec<&str> = path.iter().copied().chain(["metadata", name]).collect();
            let message = format!("metadata {} is {}", shown(name), kind(value));
            found.push(problem(&path, message, "use texts, numbers and booleans"));
        }
    }
    metadata
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// What a client can put into a URL's path as it is.
fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= NAME_BYTES_MAX
        && key != "."
        && key != ".."
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:~".contains(&b))
}

fn problem(path: &[&str], message: String, hint: &str) -> Problem {
    Problem { path: path.iter().map(|&part| part.to_owned()).collect(), message, hint: hint.to_owned() }
}
