//! The environment of a job's processes: clean, and made of what is named here alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is taken over from the server's environment without being asked for.
const ALWAYS: &[&str] = &["PATH", "HOME", "LANG"];

/// Where commands are looked for when the server has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part of the server's environment that jobs see: `PATH`, `HOME`, `LANG`, and what `pass` names; `PREFIX_*` names
/// all that start so.
pub(crate) fn base(host: &BTreeMap<String, String>, pass: &[String]) -> BTreeMap<String, String> {
    let is_passed = |name: &str| {
        ALWAYS.contains(&name)
            || pass.iter().any(|own| match own.strip_suffix('*') {
                Some(prefix) => !prefix.is_empty() && name.starts_with(prefix),
                None => own == name,
            })
    };
    let mut found: BTreeMap<String, String> =
        host.iter().filter(|(name, _)| is_passed(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    found.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    found.insert("CI".to_owned(), "true".to_owned());
    found
}

/// Whether a name and value can be handed to a process.
pub(crate) fn is_valid(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Where a command is found, looked for as the kernel would with this `PATH`.
pub(crate) fn which(command: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|own| own.starts_with('/'))
        .map(|own| Path::new(own).join(command))
        .find(|file| is_program(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_passed() {
        let host = [("PATH", "/bin"), ("TOKEN", "x"), ("CARGO_HOME", "/c"), ("HTTP_PROXY", "p"), ("HTTP", "q")];
        let host = host.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let pass = ["CARGO_*", "HTTP_PROXY", "*"].map(str::to_owned);
        let names: Vec<_> = base(&host, &pass).into_keys().collect();
        assert_eq!(names, ["CARGO_HOME", "CI", "HTTP_PROXY", "PATH"]);
    }

    #[test]
    fn commands_are_found_in_whole_paths_alone() {
        assert!(which("sh", "/nowhere:/usr/bin:/bin").is_some());
        assert_eq!(which("sh", ".:"), None);
        assert_eq!(which("no-such-command", DEFAULT_PATH), None);
    }
}
