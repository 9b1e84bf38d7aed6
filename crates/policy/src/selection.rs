//! Which resources of a list are asked for: `labelSelector` and `fieldSelector` of a call to Kubernetes' API.
//!
//! Source: Kubernetes' documentation, "Labels and Selectors" and "Field Selectors".

use serde_json::Value;

use crate::request::at;

/// How many requirements one call may have.
const REQUIREMENTS_MAX: usize = 64;

/// The query of a call.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

/// One requirement: what stands under a key is one of the values, or is none of them.
#[derive(Debug)]
struct Requirement {
    key: String,
    /// Nothing: only whether the key is there counts.
    values: Option<Vec<String>>,
    wanted: bool,
}

impl Requirement {
    fn holds(&self, found: Option<&str>) -> bool {
        let fits = match &self.values {
            None => found.is_some(),
            Some(values) => found.is_some_and(|found| values.iter().any(|value| value == found)),
        };
        fits == self.wanted
    }
}

impl Selection {
    /// Reads what stands behind the question mark.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut made = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "labelSelector" => made.labels.extend(requirements(&decoded(value)?)?),
                "fieldSelector" => made.fields.extend(requirements(&decoded(value)?)?),
                _ => {}
            }
        }
        if let Some(field) = made.fields.iter().find(|field| field.values.is_none()) {
            return Err(format!("the field selector `{}` compares with nothing", field.key));
        }
        Ok(made)
    }

    pub(crate) fn selects(&self, resource: &Value) -> bool {
        let labels = at(resource, &["metadata", "labels"]);
        let label = |requirement: &Requirement| {
            requirement.holds(labels.and_then(|labels| labels.get(&requirement.key)).and_then(Value::as_str))
        };
        let field = |requirement: &Requirement| {
            let path: Vec<&str> = requirement.key.split('.').collect();
            let found = at(resource, &path).map(crate::pattern::shown);
            requirement.holds(Some(found.as_deref().unwrap_or_default()))
        };
        self.labels.iter().all(label) && self.fields.iter().all(field)
    }
}

/// Requirements between commas; commas between parentheses separate values.
fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parts = vec![String::new()];
    let mut within = false;
    for character in text.chars() {
        match character {
            '(' => within = true,
            ')' => within = false,
            _ => {}
        }
        match parts.last_mut() {
            Some(last) if character != ',' || within => last.push(character),
            Some(_) | None => parts.push(String::new()),
        }
    }
    let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    if parts.len() > REQUIREMENTS_MAX {
        return Err(format!("the selector has more than {REQUIREMENTS_MAX} requirements"));
    }
    parts.into_iter().map(requirement).collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let made = |key: &str, values: Option<Vec<String>>, wanted: bool| {
        let key = key.trim();
        if key.is_empty() || key.contains([' ', '(', ')', '=', '!']) {
            return Err(format!("`{part}` is no selector"));
        }
        Ok(Requirement { key: key.to_owned(), values, wanted })
    };
    let one = |value: &str| Some(vec![value.trim().to_owned()]);
    for (operator, wanted) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = part.split_once(operator) {
            return made(key, one(value), wanted);
        }
    }
    for (operator, wanted) in [(" notin ", false), (" in ", true)] {
        if let Some((key, list)) = part.split_once(operator) {
            let list = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
            let list = list.ok_or_else(|| format!("`{part}` names no values between parentheses"))?;
            return made(key, Some(list.split(',').map(|value| value.trim().to_owned()).collect()), wanted);
        }
    }
    match part.strip_prefix('!') {
        Some(key) => made(key, None, false),
        None => made(part, None, true),
    }
}

/// A part of a query without its percent signs.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).ok().filter(|digits| digits.len() == 2);
                let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                code.ok_or_else(|| format!("`{text}` has a percent sign that stands for nothing"))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
