//! `applications.yaml`: which folders of which repositories have applications that are kept in which clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use prograde_apps::repository::address_key;
use prograde_control::rota::located;
use prograde_kustomize::is_plain;
use prograde_model::ids::{ServiceName, SetName};
use prograde_model::quantity::Period;
use prograde_model::service::Problem;
use prograde_model::{Diagnostic, Diagnostics};
use serde::Deserialize;

/// The code of everything that is wrong with the file.
pub(crate) const CODE: &str = "PG1386";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The most sets that are kept.
const SETS_MAX: usize = 100;
/// The most addresses of repositories.
const ADDRESSES_MAX: usize = 1_000;
/// The longest text in the file, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;
/// How long a sync may take.
const TIMEOUT_MIN: Duration = Duration::from_secs(5);
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    applications: Vec<Declared>,
    #[serde(default)]
    addresses: BTreeMap<String, ServiceName>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: SetName,
    repository: ServiceName,
    #[serde(default)]
    path: String,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    #[serde(default = "five_minutes")]
    timeout: Period,
    #[serde(default)]
    policies: Enforcement,
}

/// What becomes of an application that policies refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Enforcement {
    /// It is not synchronised.
    #[default]
    Enforce,
    /// It is synchronised all the same, and that is logged.
    Audit,
}

fn five_minutes() -> Period {
    Period::seconds(300)
}

/// What a file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declaration {
    pub(crate) sets: Vec<Declaring>,
    /// The repositories that stand for addresses, by the addresses' keys.
    pub(crate) addresses: BTreeMap<String, ServiceName>,
}

impl Declaration {
    /// The repositories that it names.
    pub(crate) fn repositories(&self) -> BTreeSet<ServiceName> {
        self.sets.iter().map(|set| &set.repository).chain(self.addresses.values()).cloned().collect()
    }
}

/// A folder of a repository whose applications are kept in a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Declaring {
    pub(crate) name: SetName,
    /// A repository that the server holds.
    pub(crate) repository: ServiceName,
    /// The folder, from the repository's root; empty for all of it.
    pub(crate) path: String,
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    /// How long a sync may take.
    pub(crate) timeout: SignedDuration,
    /// What becomes of an application that policies refuse.
    pub(crate) policies: Enforcement,
}

/// Reads a file, if there is one.
pub(crate) fn read(file: Option<&Path>) -> Result<Declaration, Diagnostics> {
    let Some(file) = file else { return Ok(Declaration::default()) };
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| {
        let message = format!("the file can't be read: {error}");
        let hint = "make it readable for this user, or name another one with `--applications`";
        Diagnostic::file(CODE, &name, message, hint)
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes, more than the {FILE_BYTES_MAX} that are read");
        return Err(Diagnostic::file(CODE, &name, message, "keep fewer sets").into());
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    parse(&name, &text, file.parent().unwrap_or(Path::new("")))
}

/// Reads a text; relative paths in it are looked for in `folder`.
fn parse(name: &str, text: &str, folder: &Path) -> Result<Declaration, Diagnostics> {
    let file: File = prograde_yaml::decode(name, text).map_err(|mut found| {
        if found.hint.is_empty() {
            "`prograde explain PG1386` shows a file".clone_into(&mut found.hint);
        }
        found
    })?;
    let mut found = Found(Vec::new());
    if file.version != 1 {
        found.add(&["version"], format!("version {} is not known", file.version), "write `version: 1`");
    }
    if file.applications.len() > SETS_MAX {
        found.add(&["applications"], format!("at most {SETS_MAX} sets are kept"), "put folders together");
    }
    if file.addresses.len() > ADDRESSES_MAX {
        found.add(&["addresses"], format!("at most {ADDRESSES_MAX} addresses are known"), "name fewer");
    }
    let (mut sets, mut names) = (Vec::new(), BTreeSet::new());
    for (index, declared) in file.applications.into_iter().enumerate().take(SETS_MAX) {
        let index = index.to_string();
        if !names.insert(declared.name.clone()) {
            let message = format!("another set is named `{}` too", declared.name);
            found.add(&["applications", &index, "name"], message, "give each set a name of its own");
        }
        sets.push(declared.checked(&index, folder, &mut found));
    }
    let mut addresses = BTreeMap::new();
    for (address, repository) in file.addresses.into_iter().take(ADDRESSES_MAX) {
        let key = address_key(&address);
        if key.is_empty() || address.len() > TEXT_BYTES_MAX || address.chars().any(char::is_control) {
            found.add(&["addresses", &address], "it is not an address".into(), "write it as `repoURL` does");
        }
        if addresses.insert(key, repository).is_some() {
            let message = "another address is the same in another form".into();
            found.add(&["addresses", &address], message, "name each repository once");
        }
    }
    if found.0.is_empty() { Ok(Declaration { sets, addresses }) } else { Err(located(CODE, name, text, found.0)?) }
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: &[&str], message: String, hint: &str) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.push(Problem { path, message, hint: hint.to_owned() });
    }
}

impl Declared {
    fn checked(self, index: &str, folder: &Path, found: &mut Found) -> Declaring {
        let mut wrong = |field: &str, message: &str, hint: &str| {
            found.add(&["applications", index, field], message.to_owned(), hint);
        };
        let path = self.path.trim_matches('/');
        let path = if path == "." { "" } else { path };
        if !path.is_empty() && (!is_plain(path) || path.len() > TEXT_BYTES_MAX) {
            wrong("path", "it is no folder of a repository", "write it as seen from the repository's root");
        }
        let kubeconfig = self.kubeconfig.map(|file| folder.join(file));
        if kubeconfig.as_ref().is_some_and(|file| !file.is_file()) {
            wrong("kubeconfig", "there is no such file", "name a kubeconfig that this user can read");
        }
        if self.context.as_ref().is_some_and(|context| context.is_empty() || context.len() > TEXT_BYTES_MAX) {
            wrong("context", "it is no name", "write a context of the kubeconfig, or leave it out");
        }
        let timeout = self.timeout.duration();
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout.unsigned_abs()) {
            wrong("timeout", "a sync may take between 5 seconds and a day", "write `timeout: 5m`");
        }
        let (path, context, policies) = (path.to_owned(), self.context, self.policies);
        Declaring { name: self.name, repository: self.repository, path, kubeconfig, context, timeout, policies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> String {
        let text = format!("version: 1\napplications:\n{text}\n");
        parse("applications.yaml", &text, Path::new("/nowhere")).map(drop).map_err(|e| e.to_string()).unwrap_err()
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = "version: 1\napplications:\n- { name: platform, repository: deployments, path: /argocd/, context: eu, timeout: 30s }\n- { name: all, repository: pad }\naddresses: { 'https://git.example/team/pad.git': pad }\n";
        let read = parse("applications.yaml", text, Path::new("")).unwrap();
        let seen: Vec<_> =
            read.sets.iter().map(|set| (set.name.as_str(), set.path.as_str(), set.timeout.as_secs())).collect();
        assert_eq!(seen, [("platform", "argocd", 30), ("all", "", 300)]);
        assert_eq!(read.addresses.keys().collect::<Vec<_>>(), ["git.example/team/pad"]);
    }

    #[test]
    fn what_can_not_be_kept_is_told_with_its_place() {
        let mut wrong = Vec::new();
        for (text, said) in [
            ("- { name: A, repository: pad }", "applications.yaml:3:11"),
            ("- { name: a, repository: ../pad }", "applications.yaml:3:"),
            ("- { name: a }", "repository"),
            ("- { name: a, repository: pad, colour: red }", "colour"),
            ("- { name: a, repository: pad, path: ../x }", "applications.yaml:3:31: it is no folder of a repository"),
            ("- { name: a, repository: pad, kubeconfig: missing }", "there is no such file"),
            ("- { name: a, repository: pad, context: '' }", "it is no name"),
            ("- { name: a, repository: pad, timeout: 1s }", "between 5 seconds and a day"),
            ("- { name: a, repository: pad, timeout: 9999999999999h }", "applications.yaml:3:"),
            ("- { name: a, repository: pad }\n- { name: a, repository: pad }", "another set is named `a` too"),
            ("- { name: a, repository: pad }\naddresses: { '': pad }", "it is not an address"),
            ("- { name: a, repository: pad }\naddresses: { 'https://h/x': pad, 'git@h:x': pad }", "in another form"),
            ("- { name: a, repository: pad, policies: some }", "unknown variant `some`"),
            ("- [", "applications.yaml:"),
            ("&a [*a]", "applications.yaml:"),
        ] {
            let told = errors(text);
            wrong.extend((!told.contains(said)).then(|| format!("{text}: {told}")));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
