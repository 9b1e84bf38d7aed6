//! What is secret belongs in a reference. Invariant: no finding has the value in it.

use super::Findings;
use super::leaf::{Leaf, words};
use crate::codes;

/// Names that end in these words are of secrets.
const ENDINGS: [&[&str]; 14] = [
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["secret"],
    &["token"],
    &["credentials"],
    &["apikey"],
    &["api", "key"],
    &["access", "key"],
    &["account", "key"],
    &["private", "key"],
    &["secret", "key"],
    &["signing", "key"],
    &["encryption", "key"],
];

pub(super) fn look(leaves: &[Leaf<'_>], found: &mut Findings) {
    for leaf in leaves {
        let hint = "name a key of a Secret that is not in Git: `valueFrom.secretKeyRef`, or an ExternalSecret";
        let object = leaf.object;
        let message = if object.kind() == "Secret" {
            let is_content = matches!(leaf.path.first().map(String::as_str), Some("data" | "stringData"));
            if !is_content || is_sealed(leaf) || is_stand_in(leaf.text) {
                continue;
            }
            format!("the Secret `{}` has the value of `{}` in Git", object.name(), leaf.field())
        } else if leaf.setting().is_some_and(is_secret) && !is_stand_in(leaf.text) {
            let name = leaf.setting().unwrap_or_default();
            format!(
                "`{name}` of {} `{}` is a secret by its name, and has its value in Git",
                object.kind(),
                object.name()
            )
        } else if has_password(leaf.text) {
            let name = leaf.setting().unwrap_or(leaf.field());
            format!("`{name}` of {} `{}` is an address with a password in it", object.kind(), object.name())
        } else {
            continue;
        };
        found.add(object, leaf.place, codes::SECRET_IN_GIT, message, hint);
    }
}

fn is_secret(name: &str) -> bool {
    let words = words(name);
    ENDINGS.iter().any(|ending| words.ends_with(&ending.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()))
}

/// Whether SOPS has encrypted the object: what is in Git can be read by nobody without its key.
fn is_sealed(leaf: &Leaf<'_>) -> bool {
    leaf.object.tree().get("sops").is_some()
}

/// Whether something else takes the value's place before it is used, or it says nothing.
fn is_stand_in(text: &str) -> bool {
    let text = text.trim();
    let is_filled_in =
        ["$(", "${", "{{", "<", "vault:", "ENC[", "op://", "ref+"].iter().any(|start| text.starts_with(start));
    is_filled_in || text.len() < 4 || matches!(text, "true" | "false" | "null" | "none" | "None")
}

/// Whether a text has an address of the form `scheme://user:password@host` (RFC 3986, section 3.2.1).
fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let end = rest.find(|c: char| c == '/' || c == '?' || c.is_whitespace()).unwrap_or(rest.len());
        let user = rest.get(..end).and_then(|authority| authority.rsplit_once('@'));
        let password = user.and_then(|(user, _)| user.split_once(':')).map_or("", |(_, password)| password);
        !password.is_empty() && !is_stand_in(password)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in ["DB_PASSWORD", "apiKey", "GITHUB_TOKEN", "jwt.signing-key", "CLIENT_SECRET"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["TOKEN_TTL", "SECRET_NAME", "ACCESS_KEY_ID", "PASSWORD_FILE", "KEY", "MONKEY", "TOKENIZER"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn passwords_in_addresses() {
        for text in ["postgres://app:hunter2@db/app", "x amqp://u:secret@q:5672"] {
            assert!(has_password(text), "{text}");
        }
        for text in
            ["postgres://app@db/app", "https://h/a:b@c", "postgres://app:$(PASSWORD)@db", "http://h:8080/", "://"]
        {
            assert!(!has_password(text), "{text}");
        }
    }
}
