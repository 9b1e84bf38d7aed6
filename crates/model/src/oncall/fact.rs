//! Facts about pages as the journal holds them: each names its page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::page::PageEvent;
use crate::ids::InvalidName;
use crate::stored::Fact;

/// A page's name, such as `P-17`: pages are numbered in the order in which they were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageId(pub(super) u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P-{}", self.0)
    }
}

impl FromStr for PageId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix("P-").or_else(|| text.strip_prefix("p-")).unwrap_or(text);
        let wrong = |_| InvalidName::new("page", text, "`P-` and a number, such as `P-17`");
        digits.parse().map(Self).map_err(wrong)
    }
}

impl TryFrom<String> for PageId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<PageId> for String {
    fn from(page: PageId) -> String {
        page.to_string()
    }
}

/// A fact about one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct PageFact {
    /// Which.
    pub page: PageId,
    /// What.
    pub event: PageEvent,
}

impl Fact for PageFact {
    const SUBJECT: &'static str = "pages";
    const VERSION: u32 = 1;
}

/// The field that names the page.
const PAGE: &str = "page";

impl From<PageFact> for Value {
    fn from(fact: PageFact) -> Self {
        let page = Value::String(fact.page.to_string());
        // What these types are made of can always be told.
        let (name, payload) = match serde_json::to_value(fact.event).unwrap_or_default() {
            Value::Object(event) => event.into_iter().next().unwrap_or_default(),
            Value::String(name) => (name, Self::Null),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Default::default(),
        };
        let mut fields = Map::from_iter([(PAGE.to_owned(), page)]);
        if let Value::Object(payload) = payload {
            fields.extend(payload);
        }
        Self::Object(Map::from_iter([(name, Self::Object(fields))]))
    }
}

impl TryFrom<Value> for PageFact {
    type Error = serde_json::Error;
    fn try_from(fact: Value) -> Result<Self, serde_json::Error> {
        use serde::de::Error as _;
        let Value::Object(fact) = fact else { return Err(serde_json::Error::custom("a fact without fields")) };
        let Some((name, Value::Object(mut fields))) = fact.into_iter().next() else {
            return Err(serde_json::Error::custom("a fact about no page"));
        };
        let page = serde_json::from_value(fields.shift_remove(PAGE).unwrap_or_default())?;
        let event = if fields.is_empty() {
            Value::String(name)
        } else {
            Value::Object(Map::from_iter([(name, Value::Object(fields))]))
        };
        Ok(Self { page, event: serde_json::from_value(event)? })
    }
}
