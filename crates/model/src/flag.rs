//! Feature flags: what a team declares in Git, and what a user gets of it.
//!
//! The format is flagd's (flagd.dev, "Flag Definitions"), so that files can be moved here as they are. Everything that a
//! rule may be is checked when the file is read; an evaluation is pure, bounded in its work, and can't fail for a user
//! unless the rule gives a variant that the flag does not have.

mod definition;
mod evaluate;
mod fractional;
mod murmur;
mod rule;
mod value;
mod version;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ids::FlightId;
use rule::Rule;

/// The flags of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Flags {
    flags: BTreeMap<String, Flag>,
    metadata: Map<String, Value>,
}

/// One flag as it is declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// Whether it is there at all: a client gets its own default for one that is disabled.
    pub enabled: bool,
    /// What a user may get, by name; all of one kind.
    pub variants: BTreeMap<String, Value>,
    /// The variant for whom no rule names one; a client's own default where there is none.
    pub default_variant: Option<String>,
    /// The rule that chooses a variant, as it is declared with all references followed.
    pub targeting: Option<Value>,
    /// What a client is told beside the value.
    pub metadata: Map<String, Value>,
    rule: Option<Rule>,
}

/// What a person has set a flag to, beside what Git says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Everybody gets this variant, whatever the rule says.
    Variant(String),
    /// It is there, and its rule holds.
    Enabled,
    /// It is not there: clients use their own defaults.
    Disabled,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variant(variant) => variant,
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        })
    }
}

/// A setting, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Toggle {
    /// What it is set to.
    pub to: Setting,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// The flight that served then.
    pub flight: FlightId,
}

/// What a user gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The variant.
    pub variant: String,
    /// Its value.
    pub value: Value,
    /// Why it is that one.
    pub reason: Reason,
}

/// Why a user gets a variant (OpenFeature specification, "Resolution Details", reason).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Everybody does.
    Static,
    /// The rule says so.
    TargetingMatch,
    /// The rule says nothing.
    Default,
}

impl Reason {
    /// As OpenFeature writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Default => "DEFAULT",
        }
    }
}

/// Why a user gets nothing, and a client has to use its own default.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// There is no such flag.
    #[error("there is no flag {key:?}")]
    NotFound {
        /// Its key, cut to 60 characters.
        key: String,
    },
    /// It is disabled.
    #[error("flag {key:?} is disabled")]
    Disabled {
        /// Its key.
        key: String,
    },
    /// No rule says anything, and neither does the flag.
    #[error("flag {key:?} leaves the default to the code")]
    NoDefault {
        /// Its key.
        key: String,
    },
    /// The rule gives what is no variant.
    #[error("the rule of flag {key:?} gives {given}, which is no variant of it")]
    NoVariant {
        /// Its key.
        key: String,
        /// What it gives, cut to 60 characters.
        given: String,
    },
    /// The rule takes too much work for this context.
    #[error("the rule of flag {key:?} takes more work for this context than is allowed")]
    TooMuch {
        /// Its key.
        key: String,
    },
}

impl Flags {
    /// One flag.
    pub fn get(&self, key: &str) -> Option<&Flag> {
        self.flags.get(key)
    }

    /// All flags, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Flag)> {
        self.flags.iter()
    }

    /// What the user gets whom `context` describes. Pure: same flags, setting, context and time, same answer.
    pub fn evaluate(
        &self,
        key: &str,
        setting: Option<&Setting>,
        context: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Evaluation, EvaluationError> {
        let missing = || EvaluationError::NotFound { key: rule::cut(key) };
        self.flags.get(key).ok_or_else(missing)?.evaluate(key, setting, context, now)
    }

    /// What clients are told beside the flag's value: that of the flag goes before that of the file.
    pub fn metadata(&self, key: &str) -> Map<String, Value> {
        let mut all = self.metadata.clone();
        all.extend(self.flags.get(key).map(|flag| flag.metadata.clone()).unwrap_or_default());
        all
    }
}

impl Flag {
    /// Whether it can be set so: a setting to a variant that it does not have is without effect.
    pub fn allows(&self, setting: &Setting) -> bool {
        match setting {
            Setting::Variant(name) => self.variants.contains_key(name),
            Setting::Enabled | Setting::Disabled => true,
        }
    }

    fn evaluate(
        &self,
        key: &str,
        setting: Option<&Setting>,
        context: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Evaluation, EvaluationError> {
        let enabled = match setting.filter(|setting| self.allows(setting)) {
            Some(Setting::Variant(name)) => return self.variant(key, name, Reason::Static),
            Some(Setting::Enabled) => true,
            Some(Setting::Disabled) => false,
            None => self.enabled,
        };
        if !enabled {
            return Err(EvaluationError::Disabled { key: key.to_owned() });
        }
        let Some(rule) = &self.rule else { return self.default(key, Reason::Static) };
        let flagd = json!({"flagKey": key, "timestamp": now.as_second()});
        let given = evaluate::evaluate(rule, key, context, &flagd)
            .map_err(|evaluate::TooMuch| EvaluationError::TooMuch { key: key.to_owned() })?;
        match &*given {
            Value::Null => self.default(key, Reason::Default),
            Value::String(name) => self.variant(key, name, Reason::TargetingMatch),
            // Short for the variants of a flag that is on or off.
            Value::Bool(true) => self.variant(key, "true", Reason::TargetingMatch),
            Value::Bool(false) => self.variant(key, "false", Reason::TargetingMatch),
            other @ (Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(EvaluationError::NoVariant { key: key.to_owned(), given: rule::cut(&other.to_string()) })
            }
        }
    }

    fn default(&self, key: &str, reason: Reason) -> Result<Evaluation, EvaluationError> {
        match &self.default_variant {
            Some(name) => self.variant(key, name, reason),
            None => Err(EvaluationError::NoDefault { key: key.to_owned() }),
        }
    }

    fn variant(&self, key: &str, name: &str, reason: Reason) -> Result<Evaluation, EvaluationError> {
        let wrong = || EvaluationError::NoVariant { key: key.to_owned(), given: format!("{:?}", rule::cut(name)) };
        let value = self.variants.get(name).ok_or_else(wrong)?;
        Ok(Evaluation { variant: name.to_owned(), value: value.clone(), reason })
    }
}

#[cfg(test)]
mod tests;
