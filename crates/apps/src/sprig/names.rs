//! Texts as names: for Kubernetes, for addresses, and in the cases of programming languages.

use prograde_template::{CallError, Value};

use super::{Answer, bounded, no_such, text};
use crate::template::Missing;

pub(super) const NAMES: &[&str] =
    &["base", "clean", "dir", "ext", "isAbs", "normalize", "osBase", "osClean", "osDir", "osExt", "osIsAbs", "slugify"];

/// The longest name in Kubernetes (RFC 1123, subdomain).
const NAME_BYTES_MAX: usize = 253;

pub(super) fn call(name: &str, arguments: &[Value], _: Missing) -> Answer {
    match (name, arguments) {
        ("normalize", [one]) => bounded(normalized(&text(one)?)),
        ("slugify", []) => Ok(Value::from("")),
        ("slugify", [.., last]) => slug(&text(last)?, arguments),
        ("base" | "osBase", [one]) => bounded(base(&text(one)?)),
        ("dir" | "osDir", [one]) => bounded(dir(&text(one)?)),
        ("clean" | "osClean", [one]) => bounded(clean(&text(one)?)),
        ("ext" | "osExt", [one]) => {
            let given = text(one)?;
            let file = given.rsplit('/').next().unwrap_or_default();
            bounded(file.rfind('.').and_then(|dot| file.get(dot..)).unwrap_or_default().to_owned())
        }
        ("isAbs" | "osIsAbs", [one]) => Ok(Value::Bool(text(one)?.starts_with('/'))),
        _ => Err(no_such(name, arguments)),
    }
}

/// A name that Kubernetes takes: lower case letters, digits, `-` and `.`, at most 253 of them.
pub(crate) fn normalized(given: &str) -> String {
    let allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
    let mut name: String =
        given.to_lowercase().chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    name.truncate(NAME_BYTES_MAX);
    name.trim_matches(['-', '.']).to_owned()
}

/// `slugify [SIZE [SMART]] NAME`. Source: Argo CD 3.4, documentation, "Go Template"; gosimple/slug 1.15.
fn slug(given: &str, arguments: &[Value]) -> Answer {
    let options = arguments.get(..arguments.len() - 1).unwrap_or_default();
    let size = match options.first().map(Value::plain) {
        None => 50,
        Some(Value::Int(size)) => {
            usize::try_from(size).map_err(|_| CallError::new("the largest size of a slug can't be negative"))?
        }
        Some(_) => return Err(CallError::new("the first argument of `slugify` is a number")),
    };
    let smart = match options.get(1).map(Value::plain) {
        None => true,
        Some(Value::Bool(smart)) => smart,
        Some(_) => return Err(CallError::new("the second argument of `slugify` is a boolean")),
    };
    let mut slug = normalized(given);
    if !smart && slug.len() >= size {
        slug.truncate(size);
    }
    let mut out = String::new();
    for letter in slug.chars().map(|letter| if letter == '.' { '-' } else { letter }) {
        if !(letter == '-' && out.ends_with('-')) {
            out.push(letter);
        }
    }
    let mut slug = out.trim_matches(['-', '_']).to_owned();
    if smart && size > 0 && slug.len() > size {
        // Cut at the last word that fits.
        let end = slug.get(..=size).and_then(|head| head.rfind('-')).unwrap_or(size);
        slug.truncate(end);
    }
    bounded(slug)
}

/// Source: Go, `path.Base`.
pub(crate) fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.rsplit('/').next().unwrap_or_default().to_owned() }
}

/// Source: Go, `path.Dir`.
pub(crate) fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or_default())
}

/// Source: Go, `path.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// `snake_case` and `kebab-case`. Source: huandu/xstrings, `ToSnakeCase`.
pub(super) fn separated(given: &str, separator: char) -> String {
    let letters: Vec<char> = given.chars().collect();
    let mut out = String::new();
    for (index, letter) in letters.iter().enumerate() {
        if matches!(letter, '_' | '-' | ' ') || letter.is_whitespace() {
            out.push(separator);
            continue;
        }
        let before = index.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(index + 1);
        let starts = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        let number = letter.is_ascii_digit() && before.is_some_and(|before| before.is_alphabetic());
        let word = letter.is_lowercase() && before.is_some_and(char::is_ascii_digit);
        if (starts || number || word) && !out.ends_with(separator) {
            out.push(separator);
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// `PascalCase`. Source: huandu/xstrings, `ToPascalCase`.
pub(super) fn pascal(given: &str) -> String {
    let mut out = String::new();
    let mut up = true;
    for letter in given.chars() {
        if matches!(letter, '_' | '-') || letter.is_whitespace() {
            up = true;
        } else if up {
            out.extend(letter.to_uppercase());
            up = false;
        } else {
            out.push(letter);
        }
    }
    out
}
