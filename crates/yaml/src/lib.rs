//! YAML with positions. Everything that people write for Prograde is read through here, so that every error names the
//! file, the line and the column, and no input can exhaust memory or the stack.
//!
//! Three ways in: [`decode`] for formats of our own, which are strict structs; [`documents`] for formats of others,
//! which are read as a [`Node`] tree first, so that what is not supported can be pointed at; and [`syntax`] for formats
//! of others whose readers take texts for values in another way than ours.

mod node;
mod syntax;

pub use node::{Key, Node, Value};
pub use syntax::{SYNTAX_DEPTH_MAX, SYNTAX_NODES_MAX, Style, Syntax, SyntaxValue, repeated_key, syntax};

use prograde_model::Diagnostic;
use serde::de::DeserializeOwned;

/// The largest file that is read, in bytes. Kubernetes' own limit for an object is 1.5 MiB.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The largest file that a program wrote, in bytes: see [`large_documents`].
pub const LARGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most values in one of those. A value takes some hundred bytes of memory.
const LARGE_NODES_MAX: usize = 4_000_000;

/// The stack that a parser is given, in bytes.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// The code of every error that is about YAML itself or about a field's type.
pub const CODE: &str = "PG0101";

/// Decodes the one document in `text`. `file` is only for messages.
pub fn decode<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Diagnostic> {
    check_size(file, text, FILE_BYTES_MAX)?;
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| diagnostic(file, &error))
}

/// All documents in `text` as located trees; empty documents are left out.
pub fn documents(file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
    check_size(file, text, FILE_BYTES_MAX)?;
    parse_documents(file, text, options)
}

/// The same of a file that no person wrote, and that may be large: a lock file of a monorepo.
pub fn large_documents(file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
    check_size(file, text, LARGE_BYTES_MAX)?;
    parse_documents(file, text, large_options)
}

/// Parses on a stack of its own: a tree as deep as the reader allows takes more than a worker thread's when unoptimised.
fn parse_documents(file: &str, text: &str, options: fn() -> serde_saphyr::Options) -> Result<Vec<Node>, Diagnostic> {
    let parse = || {
        let found: Result<Vec<Node>, _> = serde_saphyr::from_multiple_with_options(text, options());
        found.map_err(|error| diagnostic(file, &error))
    };
    let found = std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, parse);
        let parsed = parser
            .map_err(|error| error.to_string())
            .and_then(|parser| parser.join().map_err(|_| "the parser gave up".to_owned()));
        parsed.unwrap_or_else(|why| Err(Diagnostic::file(CODE, file, format!("the file can't be parsed: {why}"), "")))
    })?;
    Ok(found.into_iter().filter(|node| !matches!(node.value, Value::Null)).collect())
}

/// A value as YAML.
pub fn write(value: &serde_json::Value) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { with_snippet: false, strict_booleans: true }
}

fn large_options() -> serde_saphyr::Options {
    let mut options = options();
    options.budget = serde_saphyr::budget! { max_nodes: LARGE_NODES_MAX, max_events: 2 * LARGE_NODES_MAX };
    options
}

fn check_size(file: &str, text: &str, bytes_max: usize) -> Result<(), Diagnostic> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(Diagnostic::file(
        CODE,
        file,
        format!("the file has {} bytes, more than the {bytes_max} that are read", text.len()),
        "split it, or keep data that is not configuration elsewhere",
    ))
}

fn diagnostic(file: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or("invalid YAML");
    // The library puts the position into its message as well; ours stands in front of it.
    let message = match first.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, rest)) => rest,
        None => first,
    };
    let message = message.rsplit_once(" at line ").map_or(message, |(before, _)| before);
    let found = Diagnostic::file(CODE, file, message, "");
    match error.location() {
        Some(at) => found.at(position(at.line()), position(at.column())),
        None => found,
    }
}

fn position(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: String,
        #[serde(default)]
        count: u8,
    }

    #[test]
    fn typed_errors_carry_the_position() {
        let good: Settings = decode("a.yaml", "name: x\ncount: 3\n").unwrap();
        assert_eq!((good.name.as_str(), good.count), ("x", 3));
        let unknown = decode::<Settings>("a.yaml", "name: x\ncuont: 3\n").unwrap_err();
        assert_eq!((unknown.line, unknown.column), (2, 1), "{unknown}");
        assert!(unknown.message.starts_with("unknown field `cuont`"), "{unknown}");
        let wrong = decode::<Settings>("a.yaml", "name: x\ncount: many\n").unwrap_err();
        assert_eq!(wrong.line, 2, "{wrong}");
    }

    #[test]
    fn trees_keep_positions_order_and_types() {
        let docs = documents("a.yaml", "---\na: {b: [1, true, ~, 'no', 1.5]}\nz: yes\n---\n---\nc: d\n").unwrap();
        assert_eq!(docs.len(), 2);
        let list = docs[0].get("a").unwrap().get("b").unwrap();
        assert_eq!((list.line, list.column), (2, 8));
        assert_eq!(list.to_json().to_string(), "[1,true,null,\"no\",1.5]");
        // Kubernetes' YAML 1.1 readers take a bare `yes` for true; YAML 1.2 and we take it for the text.
        assert_eq!(docs[0].get("z").unwrap().to_json(), serde_json::json!("yes"));
        assert_eq!(docs[0].key("z").unwrap().line, 3);
    }

    #[test]
    fn hostile_input_is_an_error_not_a_crash() {
        let deep = "[".repeat(100_000);
        assert!(documents("a.yaml", &deep).is_err());
        assert!(documents("a.yaml", &"{a: ".repeat(50_000)).is_err());
        assert!(documents("a.yaml", &format!("{}x{}", "{a: ".repeat(50), "}".repeat(50))).is_ok());
        let mut bomb = String::from("a0: &a0 [x, x]\n");
        for level in 1..40 {
            bomb += format!("a{level}: &a{level} [*a{p}, *a{p}, *a{p}, *a{p}]\n", p = level - 1).as_str();
        }
        assert!(documents("a.yaml", &bomb).is_err());
        assert!(documents("a.yaml", "a: 1\na: 2\n").unwrap_err().message.contains("duplicate"));
        assert!(documents("a.yaml", &" ".repeat(FILE_BYTES_MAX + 1)).is_err());
        for broken in ["a: b: c", "a:\n\t- b", "\"", "a: *nope", "%YAML 9", "\u{0}"] {
            assert!(documents("a.yaml", broken).is_err(), "{broken:?}");
        }
    }
}
