//! Facts that are no flight's: each kind has a subject of its own in the journal, and a state that is the fold of them.
//!
//! A kind is an enum whose variants are named by what serde calls them, such as `alert.received`; the name is the stored type,
//! and what the variant holds is the payload.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of facts.
pub trait Fact: Serialize + DeserializeOwned {
    /// Under which subject they are stored.
    const SUBJECT: &'static str;
    /// The version in which they are stored.
    const VERSION: u32;

    /// Its type and payload as they are stored.
    fn encode(&self) -> (String, Value) {
        match serde_json::to_value(self) {
            Ok(Value::Object(fact)) => fact.into_iter().next().unwrap_or_default(),
            Ok(Value::String(event_type)) => (event_type, Value::Null),
            // What these types are made of can always be told.
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => Default::default(),
        }
    }

    /// The fact of a type and payload.
    fn decode(event_type: &str, version: u32, payload: Value) -> Result<Self, DecodeError> {
        if version != Self::VERSION {
            return Err(DecodeError::Version { event_type: event_type.to_owned(), version, known: Self::VERSION });
        }
        let fact = if payload.is_null() {
            Value::String(event_type.to_owned())
        } else {
            Value::Object([(event_type.to_owned(), payload)].into_iter().collect())
        };
        serde_json::from_value(fact)
            .map_err(|source| DecodeError::Payload { event_type: event_type.to_owned(), source })
    }
}

/// A state that is the fold of facts.
pub trait Fold: Default {
    /// The facts.
    type Fact: Fact;

    /// Takes in a fact. Total: what does not fit changes nothing.
    fn apply(&mut self, fact: &Self::Fact, at: Timestamp);
}

/// Why a stored fact can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A later release wrote it.
    #[error("{event_type} has version {version}, this release knows {known}")]
    Version {
        /// Its type.
        event_type: String,
        /// Its version.
        version: u32,
        /// The version that is known.
        known: u32,
    },
    /// It is not what its type says.
    #[error("{event_type} can't be read")]
    Payload {
        /// Its type.
        event_type: String,
        /// What does not fit.
        source: serde_json::Error,
    },
}

/// Why facts were not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept<F> {
    /// Earlier facts, of which it was not known whether they were kept, are there. What was decided without them must be
    /// decided again with them: they are to be applied first, and are not given twice.
    #[error("earlier facts were found that were not known to be kept; ask again")]
    Missed(Vec<(Timestamp, F)>),
    /// They could not be kept, or it is not known whether they were: the next attempt finds out.
    #[error("{0}")]
    Failed(String),
}

impl<F> NotKept<F> {
    /// The facts to apply.
    pub fn missed(self) -> Vec<(Timestamp, F)> {
        match self {
            Self::Missed(facts) => facts,
            Self::Failed(_) => Vec::new(),
        }
    }
}
