//! Label selectors, as Kubernetes has them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::data::{Params, flat};

/// Requirements that all have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads a selector; nothing where there is none.
    pub(crate) fn read(selector: Option<&Json>) -> Result<Option<Self>, String> {
        let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return Ok(None) };
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Json::as_object).into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(Requirement { key: key.clone(), operator: Operator::In, values });
        }
        for entry in selector.get("matchExpressions").and_then(Json::as_array).into_iter().flatten() {
            requirements.push(requirement(entry)?);
        }
        Ok(Some(Self { requirements }))
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether labels fulfil it.
    pub(crate) fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match requirement.operator {
                Operator::In => value.is_some_and(|value| requirement.values.contains(value)),
                Operator::NotIn => value.is_none_or(|value| !requirement.values.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }

    /// Whether parameters fulfil it, those inside of others by their dotted paths.
    pub(crate) fn holds_all(&self, params: &Params) -> bool {
        self.holds(&flat(params))
    }
}

fn requirement(entry: &Json) -> Result<Requirement, String> {
    let text = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let list = entry.get("values").and_then(Json::as_array);
    let values: Vec<String> = list.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    let key = text("key");
    let operator = match text("operator").as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(format!("a selector has the unknown operator `{}`", crate::schema::shortened(other))),
    };
    let needs_values = matches!(operator, Operator::In | Operator::NotIn);
    if needs_values == values.is_empty() {
        let what = if needs_values { "needs values" } else { "takes no values" };
        return Err(format!("the requirement for `{}` of a selector {what}", crate::schema::shortened(&key)));
    }
    Ok(Requirement { key, operator, values })
}
