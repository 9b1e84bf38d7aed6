//! Who has to vouch for an image: keys and identities that stand in a rule, and how many of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::asked::{Demand, Identity, Name, SignedBy, Signer};
use crate::request::{at, text};
use crate::rule::flag;
use crate::wildcard;

/// How deep attestors may nest.
const NESTING_MAX: usize = 5;
/// The longest name of a signer, in bytes.
const NAME_BYTES_MAX: usize = 1_000;
/// The log that Kyverno takes where none is named.
const REKOR: &str = "https://rekor.sigstore.dev";

/// Who has to vouch, and how many of them.
#[derive(Debug, Clone)]
pub(super) struct Attestors {
    entries: Vec<By>,
    count: usize,
}

#[derive(Debug, Clone)]
enum By {
    /// Somebody, and what the signature has to say.
    Signer(Signer, Vec<(String, String)>),
    Nested(Attestors),
    /// Somebody whose signatures are not verified, and why.
    Unknown(String),
}

/// What a set of attestors comes to.
pub(super) enum Vouched {
    Yes,
    No(String),
    Unknown(String),
}

/// What is asked of each of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    /// A signature of the image.
    Image,
    /// An attestation of a type, and whether what it says is needed.
    Attestation(&'a str, bool),
}

impl Attestors {
    /// Reads all sets of a rule.
    pub(super) fn all(list: Option<&Value>) -> Result<Vec<Self>, String> {
        let sets = list.and_then(Value::as_array).into_iter().flatten();
        sets.map(|set| Self::compile(set, NESTING_MAX)).collect()
    }

    fn compile(value: &Value, depth: usize) -> Result<Self, String> {
        let depth = depth.checked_sub(1).ok_or_else(|| format!("attestors nest deeper than {NESTING_MAX}"))?;
        let mut entries = Vec::new();
        for entry in value.get("entries").and_then(Value::as_array).into_iter().flatten() {
            match entry.get("attestor").filter(|nested| !nested.is_null()) {
                Some(nested) => entries.push(By::Nested(Self::compile(nested, depth)?)),
                None => entries.extend(signers(entry).unwrap_or_else(|why| vec![By::Unknown(why)])),
            }
        }
        let all = entries.len().max(1);
        let count = value.get("count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        Ok(Self { entries, count: count.filter(|count| *count > 0).unwrap_or(all) })
    }

    /// Whether an identity is named anywhere.
    pub(super) fn names_identities(&self) -> bool {
        self.entries.iter().any(|entry| match entry {
            By::Signer(Signer::Identity(_), _) => true,
            By::Signer(Signer::Key(_), _) | By::Unknown(_) => false,
            By::Nested(set) => set.names_identities(),
        })
    }

    pub(super) fn asks(&self, image: &str, about: About<'_>, into: &mut BTreeSet<SignedBy>) {
        for entry in &self.entries {
            match entry {
                By::Signer(signer, annotations) => into.extend(asked(image, signer, annotations, about)),
                By::Nested(set) => set.asks(image, about, into),
                By::Unknown(_) => {}
            }
        }
    }

    /// Whether enough of them vouch; `judge` says what is known of one.
    pub(super) fn vouch(&self, image: &str, about: About<'_>, judge: &dyn Fn(&SignedBy) -> Vouched) -> Vouched {
        let (mut good, mut open, mut why, mut unknown) = (0, 0, Vec::new(), None);
        for entry in &self.entries {
            let vouched = match entry {
                By::Signer(signer, annotations) => match asked(image, signer, annotations, about) {
                    Some(asked) => judge(&asked),
                    None => Vouched::Unknown("annotations of attestations are not compared".to_owned()),
                },
                By::Nested(set) => set.vouch(image, about, judge),
                By::Unknown(why) => Vouched::Unknown(why.clone()),
            };
            match vouched {
                Vouched::Yes => good += 1,
                Vouched::No(reason) => why.push(reason),
                Vouched::Unknown(reason) => {
                    open += 1;
                    unknown = unknown.or(Some(reason));
                }
            }
        }
        if good >= self.count {
            return Vouched::Yes;
        }
        let done = match about {
            About::Image => "signed it",
            About::Attestation(..) => "attested it as asked",
        };
        match unknown.filter(|_| good + open >= self.count) {
            Some(reason) => Vouched::Unknown(reason),
            None => Vouched::No(format!("{good} of {} {done}: {}", self.count, why.join("; "))),
        }
    }
}

/// What would have to be looked up; nothing where that can't be said.
fn asked(image: &str, signer: &Signer, annotations: &[(String, String)], about: About<'_>) -> Option<SignedBy> {
    let demand = match about {
        About::Image => Demand::Signature(annotations.to_vec()),
        About::Attestation(kind, read) if annotations.is_empty() => Demand::Attestation { kind: kind.to_owned(), read },
        About::Attestation(..) => return None,
    };
    Some(SignedBy { image: image.to_owned(), signer: signer.clone(), demand })
}

/// Who an entry names, or why their signatures are not looked up.
fn signers(entry: &Value) -> Result<Vec<By>, String> {
    let given = |name: &str| entry.get(name).filter(|found| !found.is_null());
    if !text(entry, &["repository"]).is_empty() {
        return Err("signatures in a repository of their own are not looked up".to_owned());
    }
    let annotations = given("annotations").and_then(Value::as_object).into_iter().flatten();
    let annotations: Vec<(String, String)> =
        annotations.map(|(name, value)| (name.clone(), crate::pattern::shown(value).into_owned())).collect();
    let signers = match (given("keys"), given("keyless"), given("certificates")) {
        (Some(keys), None, None) => self::keys(keys)?,
        (None, Some(keyless), None) => vec![Signer::Identity(identity(keyless)?)],
        (None, None, Some(_)) => return Err("certificates that stand in a rule are not looked up".to_owned()),
        (None, None, None) => return Err("an attestor names neither keys nor an identity".to_owned()),
        (Some(_), _, _) | (_, Some(_), _) => {
            return Err("an attestor takes one of keys, keyless and certificates".to_owned());
        }
    };
    Ok(signers.into_iter().map(|signer| By::Signer(signer, annotations.clone())).collect())
}

/// Keys that stand in the rule.
fn keys(keys: &Value) -> Result<Vec<Signer>, String> {
    const END: &str = "-----END PUBLIC KEY-----";
    if !matches!(text(keys, &["signatureAlgorithm"]), "" | "sha256") {
        return Err("only signatures with sha256 are looked up".to_owned());
    }
    if flag(at(keys, &["rekor", "ignoreTlog"])) != Some(true) {
        let why =
            "the rule asks for an entry in a transparency log, which is not looked up; rekor.ignoreTlog leaves it out";
        return Err(why.to_owned());
    }
    let blocks = text(keys, &["publicKeys"]).split_inclusive(END).map(str::trim).filter(|block| !block.is_empty());
    let found: Vec<String> = blocks.map(|block| format!("{block}\n")).collect();
    if found.is_empty() || !found.iter().all(|key| key.starts_with("-----BEGIN PUBLIC KEY-----")) {
        return Err("keys that do not stand in the rule are not looked up".to_owned());
    }
    Ok(found.into_iter().map(Signer::Key).collect())
}

/// An identity. What proves it follows from the trusted root alone, so that whatever asks for less or for other services is
/// refused by name.
fn identity(keyless: &Value) -> Result<Identity, String> {
    let beyond = |name: &str, why: &str| Err(format!("keyless.{name} is not minded: {why}"));
    let root = "the trusted root says whom to believe";
    if !text(keyless, &["roots"]).is_empty() {
        return beyond("roots", root);
    }
    for name in ["rekor.pubkey", "ctlog.pubkey", "ctlog.tsaCertChain"] {
        if !text(keyless, &name.split('.').collect::<Vec<&str>>()).is_empty() {
            return beyond(name, root);
        }
    }
    if !matches!(text(keyless, &["rekor", "url"]).trim_end_matches('/'), "" | REKOR) {
        return beyond("rekor.url", "the trusted root names the logs; take it out");
    }
    for (part, name) in [("rekor", "ignoreTlog"), ("ctlog", "ignoreSCT")] {
        if flag(at(keyless, &[part, name])) == Some(true) {
            return beyond(&format!("{part}.{name}"), "what the trusted root names has to hold; take it out");
        }
    }
    let extensions = keyless.get("additionalExtensions").and_then(Value::as_object);
    if extensions.is_some_and(|extensions| !extensions.is_empty()) {
        return beyond("additionalExtensions", "issuer and subject are compared");
    }
    Ok(Identity {
        issuer: name(keyless, "issuer", "issuerRegExp")?,
        subject: name(keyless, "subject", "subjectRegExp")?,
    })
}

/// One of two fields. Nobody is not anybody: a rule that takes everyone says `*`.
fn name(keyless: &Value, plain: &str, expression: &str) -> Result<Name, String> {
    let (wanted, pattern) = (text(keyless, &[plain]), text(keyless, &[expression]));
    let long = |text: &str| text.len() > NAME_BYTES_MAX;
    match (wanted, pattern) {
        ("", "") => Err(format!("keyless has neither {plain} nor {expression}, so that anybody would do")),
        (wanted, pattern) if long(wanted) || long(pattern) => {
            Err(format!("keyless.{plain} has more than {NAME_BYTES_MAX} bytes"))
        }
        (wanted, "") if wanted.contains(['*', '?']) => Ok(Name::Whole(wildcard::expression(wanted))),
        (wanted, "") => Ok(Name::Exactly(wanted.to_owned())),
        ("", pattern) => match regex::Regex::new(pattern) {
            Ok(_) => Ok(Name::Whole(pattern.to_owned())),
            Err(error) => Err(format!("keyless.{expression} can't be used: {error}")),
        },
        (_, _) => Err(format!("keyless takes one of {plain} and {expression}")),
    }
}
