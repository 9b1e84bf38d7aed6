//! What must not be shown: secrets in the environment and in headers.

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Parts of a name that say that its value is a secret.
const SECRET_NAMES: [&str; 14] = [
    "auth",
    "bearer",
    "certificate",
    "cookie",
    "credential",
    "dsn",
    "key",
    "pass",
    "private",
    "pwd",
    "secret",
    "session",
    "signature",
    "token",
];

/// The value, or the mask if the name says that it is a secret or the value is a URL that holds a password.
pub fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    let name = name.to_ascii_lowercase();
    if SECRET_NAMES.iter().any(|part| name.contains(part)) || has_password(value) { MASK } else { value }
}

/// Whether the text holds a URL with user information (RFC 3986, section 3.2.1).
fn has_password(value: &str) -> bool {
    value.split("://").skip(1).any(|rest| rest.split(['/', '?', '#']).next().is_some_and(|a| a.contains('@')))
}
