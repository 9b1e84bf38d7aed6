//! Parameters: what generators give and templates are filled in with.

use std::collections::BTreeMap;

use prograde_template::{Value, print};
use serde_json::Value as Json;

use crate::template::{Missing, dict};

/// A value of a parameter. As in Argo CD, numbers are floats of 64 bits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Data>),
    /// Values by name.
    Map(Params),
    /// Texts by name: Go's `map[string]string`, of which a missing key is an empty text under `missingkey=zero`.
    Texts(BTreeMap<String, String>),
}

/// Parameters by name.
pub(crate) type Params = BTreeMap<String, Data>;

impl Data {
    /// A value of JSON. Depth is bounded by the reader.
    pub(crate) fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(0.0)),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => {
                Self::Map(map.iter().map(|(name, value)| (name.clone(), Self::from_json(value))).collect())
            }
        }
    }

    /// The value as JSON.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Number(number) => crate::sprig::json_number(*number),
            Self::Text(text) => Json::from(text.as_str()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(map) => Json::Object(map.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()),
            Self::Texts(map) => {
                Json::Object(map.iter().map(|(name, text)| (name.clone(), Json::from(text.as_str()))).collect())
            }
        }
    }

    /// The value as templates see it.
    pub(crate) fn to_value(&self, missing: Missing) -> Value {
        match self {
            Self::Null => Value::Nil,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Float(*number),
            Self::Text(text) => Value::from(text.as_str()),
            Self::List(items) => Value::from(items.iter().map(|item| item.to_value(missing)).collect::<Vec<_>>()),
            Self::Map(map) => dict(
                map.iter().map(|(name, value)| (name.as_str().into(), value.to_value(missing))).collect(),
                missing,
                false,
            ),
            Self::Texts(map) => dict(
                map.iter().map(|(name, text)| (name.as_str().into(), Value::from(text.as_str()))).collect(),
                missing,
                true,
            ),
        }
    }

    /// What Go prints for it with the verb `v`.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => "<nil>".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Map(_) | Self::Texts(_) => {
                print(&[self.to_value(Missing::Invalid)])
            }
        }
    }

    fn is_map(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Texts(_))
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(flag) => !flag,
            Self::Number(number) => *number == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Texts(map) => map.is_empty(),
        }
    }
}

/// All leaves by their dotted paths, as texts.
pub(crate) fn flat(params: &Params) -> BTreeMap<String, String> {
    let mut into = BTreeMap::new();
    for (name, value) in params {
        flatten(name, value, &mut into);
    }
    into
}

fn flatten(path: &str, value: &Data, into: &mut BTreeMap<String, String>) {
    match value {
        Data::Map(map) => map.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, into)),
        Data::Texts(map) => into.extend(map.iter().map(|(name, text)| (format!("{path}.{name}"), text.clone()))),
        Data::List(items) => {
            items.iter().enumerate().for_each(|(index, value)| flatten(&format!("{path}.{index}"), value, into));
        }
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {
            into.insert(path.to_owned(), value.shown());
        }
    }
}

/// Puts `over` on top of `into`: mappings are merged, everything else is replaced.
pub(crate) fn overlay(into: &mut Params, over: &Params) {
    for (name, value) in over {
        match (into.get_mut(name), value) {
            (Some(Data::Map(present)), Data::Map(value)) => overlay(present, value),
            (Some(Data::Texts(present)), Data::Texts(value)) => {
                present.extend(value.iter().map(|(name, text)| (name.clone(), text.clone())));
            }
            // As in the library that Argo CD merges with: a mapping does not replace what is something else.
            (Some(present), Data::Map(_) | Data::Texts(_)) if !present.is_empty() && !present.is_map() => {}
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        match Data::from_json(&serde_json::from_str(text).unwrap()) {
            Data::Map(map) => map,
            other @ (Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Texts(_)) => {
                panic!("{other:?}")
            }
        }
    }

    #[test]
    fn leaves_have_dotted_paths() {
        let flat = flat(&params(r#"{"a":{"b":[1,{"c":true}],"d":null},"e":1000000,"f":1.5,"g":{}}"#));
        let shown: Vec<String> = flat.iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(shown, ["a.b.0=1", "a.b.1.c=true", "a.d=<nil>", "e=1e+06", "f=1.5"]);
    }

    #[test]
    fn mappings_are_merged_and_the_rest_is_replaced() {
        let mut into = params(r#"{"a":{"b":1,"c":2},"l":[1,2],"s":"x","t":"y"}"#);
        overlay(&mut into, &params(r#"{"a":{"c":3,"d":4},"l":[9],"s":"","t":{"u":1}}"#));
        assert_eq!(into, params(r#"{"a":{"b":1,"c":3,"d":4},"l":[9],"s":"","t":"y"}"#));
    }
}
