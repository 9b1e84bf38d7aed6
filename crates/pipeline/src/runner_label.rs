//! `runs-on`: which labels this machine answers to.

use serde_json::Value as Json;

use crate::expression::text_of;

/// The processor's name as GitHub writes it in labels and in `runner.arch`.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "x86" => "X86",
        "arm" => "ARM",
        other => other,
    }
}

/// Whether this machine answers to a label; else why not.
pub(crate) fn check(label: &str) -> Result<(), String> {
    let lower = label.to_ascii_lowercase();
    let fits = matches!(lower.as_str(), "self-hosted" | "linux")
        || lower.starts_with("ubuntu-")
        || lower == architecture().to_ascii_lowercase();
    if fits { Ok(()) } else { Err(format!("this machine is not {:?}", label.chars().take(100).collect::<String>())) }
}

/// The labels in an evaluated `runs-on`: one, or a list of them.
pub(crate) fn labels(value: &Json) -> Vec<String> {
    match value {
        Json::Array(items) => items.iter().map(text_of).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => vec![text_of(value)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_linux_and_nothing_else() {
        for label in ["ubuntu-latest", "Ubuntu-24.04", "self-hosted", "Linux", architecture()] {
            assert_eq!(check(label), Ok(()), "{label}");
        }
        for label in ["windows-latest", "macos-15", "gpu", ""] {
            assert!(check(label).is_err(), "{label}");
        }
    }
}
