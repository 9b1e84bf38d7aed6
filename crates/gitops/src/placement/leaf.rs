//! The single values of objects, with the way that leads to each and the place where it was written.

use prograde_kustomize::{Node, Place, Resource, Value};

/// The fields that tell items of a list apart, where they have one.
const KEYS: [&str; 4] = ["name", "key", "mountPath", "host"];

/// One value.
pub(super) struct Leaf<'a> {
    pub(super) object: &'a Resource,
    /// Names of fields, and of items by what tells them apart, else by their number.
    pub(super) path: Vec<String>,
    pub(super) text: &'a str,
    pub(super) place: &'a Place,
}

impl Leaf<'_> {
    /// The name of the field that holds it.
    pub(super) fn field(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Whether a field of this name leads to it.
    pub(super) fn is_below(&self, name: &str) -> bool {
        self.path.iter().any(|part| part == name)
    }

    /// The name that the program sees it under: that of an environment variable, or of a `ConfigMap`'s key.
    pub(super) fn setting(&self) -> Option<&str> {
        match self.path.as_slice() {
            [.., list, name, field] if list == "env" && field == "value" => Some(name),
            [data, name] if data == "data" && self.object.kind() == "ConfigMap" => Some(name),
            _ => None,
        }
    }
}

/// All single values of objects.
pub(super) fn leaves(objects: &[Resource]) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    for object in objects {
        walk(object, object.tree(), &mut Vec::new(), &mut found);
    }
    found
}

/// How deep is bounded by what the reader lets pass.
fn walk<'a>(object: &'a Resource, node: &'a Node, path: &mut Vec<String>, found: &mut Vec<Leaf<'a>>) {
    match &node.value {
        Value::Scalar(scalar) => {
            found.push(Leaf { object, path: path.clone(), text: &scalar.text, place: &node.place });
        }
        Value::Map(entries) => {
            for entry in entries {
                path.push(entry.name.clone());
                walk(object, &entry.value, path, found);
                path.pop();
            }
        }
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                let key = KEYS.iter().map(|key| item.text_at(&[key])).find(|key| !key.is_empty());
                path.push(key.map_or_else(|| at.to_string(), str::to_owned));
                walk(object, item, path, found);
                path.pop();
            }
        }
    }
}

/// The words of a setting's name, in lower case: `dbPassword`, `DB_PASSWORD` and `db.password` are two words each.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
            after_lower = false;
            continue;
        }
        if letter.is_uppercase() && after_lower {
            words.push(String::new());
        }
        after_lower = letter.is_lowercase();
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_words() {
        for name in ["dbPassword", "DB_PASSWORD", "db.password", "--db-password"] {
            assert_eq!(words(name), ["db", "password"], "{name}");
        }
        assert_eq!(words("APIKey"), ["apikey"]);
    }
}
