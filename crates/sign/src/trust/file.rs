//! Reading trust files: every fault is told, with its place.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_yaml::Node;
use serde::Deserialize;

use super::{Bounds, Trust, TrustedIdentity, TrustedKey, Wanted};
use crate::codes;
use crate::key::{self, PublicKey};
use crate::keyless::TrustedRoot;
use crate::limits::{IDENTITIES_MAX, KEYS_MAX};
use crate::reference::Pattern;

const KEYS: &str = "expected `keys`, a list of `name`, `public_key` (a file or a PEM block), and if wanted `not_before`, `not_after`, `repositories`, `revoked`";
const IDENTITIES: &str = "expected `identities`, a list of `name`, `issuer` or `issuer_regexp`, `subject` or `subject_regexp`, and if wanted `not_before`, `not_after`, `repositories`, `revoked`; and `trusted_root`, a file";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keys: Vec<KeyEntry>,
    #[serde(default)]
    identities: Vec<IdentityEntry>,
    trusted_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    public_key: String,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repositories: Option<Vec<String>>,
    revoked: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityEntry {
    name: String,
    issuer: Option<String>,
    issuer_regexp: Option<String>,
    subject: Option<String>,
    subject_regexp: Option<String>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repositories: Option<Vec<String>>,
    revoked: Option<String>,
}

/// The field that is wrong, and why.
type Fault = (&'static str, String);

/// What is found wrong with one file.
struct Faults<'a> {
    file: &'a str,
    root: Option<&'a Node>,
    all: Vec<Diagnostic>,
}

impl Faults<'_> {
    fn add(&mut self, message: impl Into<String>, hint: &str) {
        self.all.push(Diagnostic::file(codes::TRUST, self.file, message, hint));
    }

    /// A fault in a field of an entry of a list.
    fn at(&mut self, list: &str, index: usize, (field, message): Fault, hint: &str) {
        let nodes = self.root.and_then(|root| root.get(list)).map(Node::items).unwrap_or_default();
        let node = nodes.get(index);
        let key = node.and_then(|node| node.key(field)).map(|key| (key.line, key.column));
        let (line, column) = key.or_else(|| node.map(|node| (node.line, node.column))).unwrap_or_default();
        self.all.push(Diagnostic::file(codes::TRUST, self.file, message, hint).at(line, column));
    }
}

/// Reads a trust file's text; the files that it names are looked for in `folder`.
pub(super) fn parse(file: &str, text: &str, folder: &Path) -> Result<Trust, Diagnostics> {
    let read: File = prograde_yaml::decode(file, text).map_err(Diagnostics::from)?;
    let documents = prograde_yaml::documents(file, text).map_err(Diagnostics::from)?;
    let mut faults = Faults { file, root: documents.first(), all: Vec::new() };
    let (key_count, identity_count) = (read.keys.len(), read.identities.len());
    if key_count > KEYS_MAX || (key_count == 0 && identity_count == 0) {
        faults.add(format!("there are {key_count} keys, expected are 1 to {KEYS_MAX}"), KEYS);
    }
    if identity_count > IDENTITIES_MAX {
        faults.add(format!("there are {identity_count} identities, expected are 1 to {IDENTITIES_MAX}"), IDENTITIES);
    }
    let mut trust = Trust { keys: Vec::new(), identities: Vec::new(), root: None };
    for (index, entry) in read.keys.into_iter().take(KEYS_MAX).enumerate() {
        let twice = |key: &TrustedKey| trust.keys.iter().any(|other| other.name == key.name);
        match entry.checked(folder) {
            Ok(key) if twice(&key) => faults.at("keys", index, same(&key.name), KEYS),
            Ok(key) => trust.keys.push(key),
            Err(fault) => faults.at("keys", index, fault, KEYS),
        }
    }
    for (index, entry) in read.identities.into_iter().take(IDENTITIES_MAX).enumerate() {
        let named = |name: &str| {
            trust.keys.iter().any(|key| key.name == name) || trust.identities.iter().any(|other| other.name == name)
        };
        match entry.checked() {
            Ok(one) if named(&one.name) => faults.at("identities", index, same(&one.name), IDENTITIES),
            Ok(one) => trust.identities.push(one),
            Err(fault) => faults.at("identities", index, fault, IDENTITIES),
        }
    }
    match read.trusted_root {
        Some(path) => match TrustedRoot::read(&folder.join(path)) {
            Ok(root) => trust.root = Some(root),
            Err(error) => faults.add(super::error_text(&error), error.hint()),
        },
        None if identity_count > 0 => faults.add("there are identities and no `trusted_root`", IDENTITIES),
        None => {}
    }
    if faults.all.is_empty() { Ok(trust) } else { Err(Diagnostics(faults.all)) }
}

fn same(name: &str) -> Fault {
    ("name", format!("the name `{name}` is there twice"))
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > 100 || name.contains(char::is_control) {
        return Err(("name", "a name has 1 to 100 characters".to_owned()));
    }
    Ok(())
}

fn bounds(
    what: &str,
    (not_before, not_after): (Option<Timestamp>, Option<Timestamp>),
    repositories: Option<Vec<String>>,
    revoked: Option<String>,
) -> Result<Bounds, Fault> {
    if let (Some(from), Some(until)) = (not_before, not_after)
        && until <= from
    {
        return Err(("not_after", format!("the {what} would hold from {from} until {until}, which is before")));
    }
    let repositories = repositories.unwrap_or_else(|| vec!["*".to_owned()]);
    if repositories.is_empty() {
        return Err(("repositories", format!("the {what} may sign for nothing: take the field or the {what} out")));
    }
    let repositories: Result<Vec<Pattern>, _> = repositories.iter().map(|text| text.parse()).collect();
    let repositories =
        repositories.map_err(|error| ("repositories", format!("{error}, nor `HOST/PATH/*`, nor `*`")))?;
    Ok(Bounds { not_before, not_after, repositories, revoked })
}

impl KeyEntry {
    fn checked(self, folder: &Path) -> Result<TrustedKey, Fault> {
        check_name(&self.name)?;
        let key = if self.public_key.contains("-----BEGIN ") {
            PublicKey::from_pem(&format!("the key `{}`", self.name), &self.public_key)
        } else {
            let path = folder.join(&self.public_key);
            key::read(&path).and_then(|text| PublicKey::from_pem(&path.display().to_string(), &text))
        };
        let key = key.map_err(|error| ("public_key", super::error_text(&error)))?;
        let bounds = bounds("key", (self.not_before, self.not_after), self.repositories, self.revoked)?;
        Ok(TrustedKey { name: self.name, key, bounds })
    }
}

impl IdentityEntry {
    fn checked(self) -> Result<TrustedIdentity, Fault> {
        check_name(&self.name)?;
        let issuer = wanted("issuer", "issuer_regexp", self.issuer.as_deref(), self.issuer_regexp.as_deref())?;
        let subject = wanted("subject", "subject_regexp", self.subject.as_deref(), self.subject_regexp.as_deref())?;
        let bounds = bounds("identity", (self.not_before, self.not_after), self.repositories, self.revoked)?;
        Ok(TrustedIdentity { name: self.name, issuer, subject, bounds })
    }
}

/// One of two fields.
fn wanted(
    plain: &'static str,
    regexp: &'static str,
    text: Option<&str>,
    expression: Option<&str>,
) -> Result<Wanted, Fault> {
    match (text, expression) {
        (Some(text), None) => Wanted::exactly(text).map_err(|error| (plain, error.to_string())),
        (None, Some(expression)) => Wanted::whole(expression).map_err(|error| (regexp, error.to_string())),
        (Some(_), Some(_)) => Err((regexp, format!("both `{plain}` and `{regexp}` are there: take one out"))),
        (None, None) => Err((plain, format!("neither `{plain}` nor `{regexp}` is there"))),
    }
}
