//! `verifyImages`: which images a rule is about, whether they have digests, and whether keys that stand in the rule signed
//! them. Signatures are not looked up here: what somebody found out arrives as [`Verified`], and what nobody found out is an
//! error, never a pass.
//!
//! Source: Kyverno's documentation, "Verify Images Rules".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::image::Image;
use crate::matching::texts;
use crate::request::{CONTAINERS, Request, at, images, text};
use crate::rule::flag;
use crate::validate::{Status, Verdict};
use crate::wildcard;

/// How deep attestors may nest.
const NESTING_MAX: usize = 5;

/// One entry of `verifyImages`.
#[derive(Debug, Clone)]
struct Entry {
    references: Vec<String>,
    skip: Vec<String>,
    verify_digest: bool,
    mutate_digest: bool,
    required: bool,
    attestors: Vec<Attestors>,
    /// What the entry asks for that nobody finds out.
    beyond: Option<&'static str>,
}

/// Who has to have signed, and how many of them.
#[derive(Debug, Clone)]
struct Attestors {
    entries: Vec<By>,
    count: usize,
}

#[derive(Debug, Clone)]
enum By {
    /// A key in PEM, and what its signature has to say.
    Key(String, Vec<(String, String)>),
    Nested(Attestors),
    /// Somebody whose signatures are not verified, and why.
    Unknown(&'static str),
}

/// `verifyImages`.
#[derive(Debug, Clone)]
pub(crate) struct VerifyImages {
    entries: Vec<Entry>,
}

/// Whether a key signed an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedBy {
    /// The image, with its registry.
    pub image: String,
    /// The public key, in PEM.
    pub key: String,
    /// Annotations that the signature has to carry.
    pub annotations: Vec<(String, String)>,
}

/// What was found out about a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// The key signed the image.
    Good,
    /// It did not, and why what is there does not count.
    Refused(String),
    /// Nobody could look, and why.
    Unreachable(String),
}

/// What was found out about signatures.
pub type Verified = BTreeMap<SignedBy, Signature>;

/// What a set of attestors comes to.
enum Vouched {
    Yes,
    No(String),
    Unknown(String),
}

impl VerifyImages {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let items = value.as_array().ok_or("verifyImages takes a list")?;
        Ok(Self { entries: items.iter().map(Entry::compile).collect::<Result<_, _>>()? })
    }

    /// What is known of the images of a resource; nothing where the rule is about none of them.
    pub(crate) fn run(&self, request: &Request<'_>, extracted: Option<&Value>, verified: &Verified) -> Option<Verdict> {
        let found = extracted.cloned().or_else(|| images(request.resource()));
        let mut about = 0;
        for image in found.iter().flat_map(all_images) {
            for entry in self.entries.iter().filter(|entry| entry.selects(&image)) {
                about += 1;
                if let Some(verdict) = entry.judge(&image, verified) {
                    return Some(verdict);
                }
            }
        }
        (about > 0).then(|| Verdict::new(Status::Pass, "all images are verified"))
    }

    /// Which signatures would have to be looked up.
    pub(crate) fn asks(&self, request: &Request<'_>, extracted: Option<&Value>, into: &mut BTreeSet<SignedBy>) {
        let found = extracted.cloned().or_else(|| images(request.resource()));
        for image in found.iter().flat_map(all_images) {
            for entry in self.entries.iter().filter(|entry| entry.required && entry.selects(&image)) {
                entry.attestors.iter().for_each(|set| set.asks(&image.to_string(), into));
            }
        }
    }
}

fn all_images(lists: &Value) -> Vec<Image> {
    let of_list = |list: &str| lists.get(list).and_then(Value::as_object).into_iter().flatten();
    let mut all = Vec::new();
    let custom = lists
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .filter(|name| !CONTAINERS.contains(name));
    for list in CONTAINERS.into_iter().chain(custom) {
        for (_, image) in of_list(list) {
            let field = |name: &str| image.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            all.push(Image {
                registry: field("registry"),
                path: field("path"),
                name: field("name"),
                tag: field("tag"),
                digest: field("digest"),
            });
        }
    }
    all
}

impl Entry {
    fn compile(item: &Value) -> Result<Self, String> {
        let mut references = texts(item.get("imageReferences"));
        references.extend(texts(item.get("image")));
        if references.is_empty() {
            return Err("verifyImages needs imageReferences".to_owned());
        }
        let given = |name: &str| item.get(name).is_some_and(|found| !found.is_null());
        let mut attestors = Vec::new();
        for set in item.get("attestors").and_then(Value::as_array).into_iter().flatten() {
            attestors.push(Attestors::compile(set, NESTING_MAX)?);
        }
        let beyond = if given("attestations") {
            Some("attestations are not looked up")
        } else if given("key") || given("subject") || given("roots") {
            Some("signers outside of attestors are not looked up")
        } else if !matches!(text(item, &["type"]), "" | "Cosign") {
            Some("only signatures of cosign are looked up")
        } else if !text(item, &["repository"]).is_empty() {
            Some("signatures in a repository of their own are not looked up")
        } else {
            None
        };
        Ok(Self {
            references,
            skip: texts(item.get("skipImageReferences")),
            verify_digest: flag(item.get("verifyDigest")).unwrap_or(true),
            mutate_digest: flag(item.get("mutateDigest")).unwrap_or(true),
            required: flag(item.get("required")).unwrap_or(true),
            attestors,
            beyond,
        })
    }

    fn selects(&self, image: &Image) -> bool {
        let reference = image.to_string();
        let fits =
            |patterns: &[String]| patterns.iter().any(|pattern| wildcard::matches(&expanded(pattern), &reference));
        fits(&self.references) && !fits(&self.skip)
    }

    /// Nothing where the image is good.
    fn judge(&self, image: &Image, verified: &Verified) -> Option<Verdict> {
        if self.verify_digest && !self.mutate_digest && image.digest.is_empty() {
            return Some(Verdict::new(Status::Fail, format!("{image} has no digest")));
        }
        if !self.required {
            return None;
        }
        if self.attestors.is_empty() && self.beyond.is_none() {
            return Some(Verdict::new(
                Status::Fail,
                format!("{image} is not verified: the rule names nobody who could have signed it"),
            ));
        }
        let mut unknown = self.beyond.map(str::to_owned);
        for set in &self.attestors {
            match set.vouch(&image.to_string(), verified) {
                Vouched::Yes => {}
                Vouched::No(why) => return Some(Verdict::new(Status::Fail, format!("{image}: {why}"))),
                Vouched::Unknown(why) => unknown = unknown.or(Some(why)),
            }
        }
        unknown.map(|why| Verdict::new(Status::Error, format!("it is not known whether {image} is signed: {why}")))
    }
}

impl Attestors {
    fn compile(value: &Value, depth: usize) -> Result<Self, String> {
        let depth = depth.checked_sub(1).ok_or_else(|| format!("attestors nest deeper than {NESTING_MAX}"))?;
        let mut entries = Vec::new();
        for entry in value.get("entries").and_then(Value::as_array).into_iter().flatten() {
            match entry.get("attestor") {
                Some(nested) => entries.push(By::Nested(Self::compile(nested, depth)?)),
                None => entries.extend(signers(entry)),
            }
        }
        let all = entries.len().max(1);
        let count = value.get("count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        Ok(Self { entries, count: count.filter(|count| *count > 0).unwrap_or(all) })
    }

    fn asks(&self, image: &str, into: &mut BTreeSet<SignedBy>) {
        for entry in &self.entries {
            match entry {
                By::Key(key, annotations) => drop(into.insert(signed(image, key, annotations))),
                By::Nested(set) => set.asks(image, into),
                By::Unknown(_) => {}
            }
        }
    }

    fn vouch(&self, image: &str, verified: &Verified) -> Vouched {
        let (mut good, mut open, mut why, mut unknown) = (0, 0, Vec::new(), None);
        for entry in &self.entries {
            let vouched = match entry {
                By::Key(key, annotations) => match verified.get(&signed(image, key, annotations)) {
                    Some(Signature::Good) => Vouched::Yes,
                    Some(Signature::Refused(why)) => Vouched::No(why.clone()),
                    Some(Signature::Unreachable(why)) => Vouched::Unknown(why.clone()),
                    None => Vouched::Unknown("signatures are verified when it is pulled".to_owned()),
                },
                By::Nested(set) => set.vouch(image, verified),
                By::Unknown(why) => Vouched::Unknown((*why).to_owned()),
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
        match unknown.filter(|_| good + open >= self.count) {
            Some(reason) => Vouched::Unknown(reason),
            None => Vouched::No(format!("{good} of {} signed it: {}", self.count, why.join("; "))),
        }
    }
}

fn signed(image: &str, key: &str, annotations: &[(String, String)]) -> SignedBy {
    SignedBy { image: image.to_owned(), key: key.to_owned(), annotations: annotations.to_vec() }
}

/// Who an entry names: keys that stand in it, or somebody whose signatures are not looked up.
fn signers(entry: &Value) -> Vec<By> {
    const END: &str = "-----END PUBLIC KEY-----";
    let unknown = |why: &'static str| vec![By::Unknown(why)];
    let Some(keys) = entry.get("keys").filter(|keys| !keys.is_null()) else {
        return unknown("keyless signatures and certificates are not looked up");
    };
    if !text(entry, &["repository"]).is_empty() {
        return unknown("signatures in a repository of their own are not looked up");
    }
    if !matches!(text(keys, &["signatureAlgorithm"]), "" | "sha256") {
        return unknown("only signatures with sha256 are looked up");
    }
    if flag(at(keys, &["rekor", "ignoreTlog"])) != Some(true) {
        return unknown(
            "the rule asks for an entry in a transparency log, which is not looked up; rekor.ignoreTlog leaves it out",
        );
    }
    let annotations = entry.get("annotations").and_then(Value::as_object).into_iter().flatten();
    let annotations: Vec<(String, String)> =
        annotations.map(|(name, value)| (name.clone(), crate::pattern::shown(value).into_owned())).collect();
    let blocks = text(keys, &["publicKeys"]).split_inclusive(END).map(str::trim).filter(|block| !block.is_empty());
    let found: Vec<By> = blocks.map(|block| By::Key(format!("{block}\n"), annotations.clone())).collect();
    let is_pem = |by: &By| matches!(by, By::Key(key, _) if key.starts_with("-----BEGIN PUBLIC KEY-----"));
    if found.is_empty() || !found.iter().all(is_pem) {
        return unknown("keys that do not stand in the rule are not looked up");
    }
    found
}

/// A pattern with Docker's default registry, so that `nginx*` means what it says.
fn expanded(pattern: &str) -> String {
    let host = pattern.split('/').next().unwrap_or_default();
    let named = pattern.contains('/') && (host.contains(['.', ':', '*']) || host == "localhost");
    if named || pattern == "*" { pattern.to_owned() } else { format!("docker.io/{pattern}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n";
    const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nB\n-----END PUBLIC KEY-----\n";

    fn run(entry: &Value, verified: &Verified) -> Option<Status> {
        let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "ghcr.io/o/a:v1"}]}});
        let request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
        let rule = VerifyImages::compile(&json!([entry])).unwrap();
        rule.run(&request, None, verified).map(|verdict| verdict.status)
    }

    fn known(results: &[(&str, Signature)]) -> Verified {
        results.iter().map(|(key, result)| (signed("ghcr.io/o/a:v1", key, &[]), result.clone())).collect()
    }

    fn by(count: Option<u32>, keys: &[&str]) -> Value {
        let entries: Vec<Value> =
            keys.iter().map(|key| json!({"keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}})).collect();
        json!({"imageReferences": ["ghcr.io/o/*"], "attestors": [{"count": count, "entries": entries}]})
    }

    #[test]
    fn what_is_known_without_a_registry() {
        let none = Verified::new();
        assert_eq!(run(&by(None, &[KEY]), &none), Some(Status::Error));
        assert_eq!(run(&json!({"imageReferences": ["quay.io/*"], "attestors": []}), &none), None);
        let digest = json!({"imageReferences": ["*"], "mutateDigest": false, "verifyDigest": true});
        assert_eq!(run(&digest, &none), Some(Status::Fail));
        assert_eq!(run(&json!({"imageReferences": ["*"]}), &none), Some(Status::Fail));
    }

    #[test]
    fn attestors_count() {
        let no = || Signature::Refused("no".to_owned());
        assert_eq!(run(&by(None, &[KEY]), &known(&[(KEY, Signature::Good)])), Some(Status::Pass));
        assert_eq!(run(&by(None, &[KEY]), &known(&[(KEY, no())])), Some(Status::Fail));
        assert_eq!(run(&by(None, &[KEY]), &known(&[(OTHER, Signature::Good)])), Some(Status::Error));
        let one_bad = known(&[(KEY, Signature::Good), (OTHER, no())]);
        assert_eq!(run(&by(None, &[KEY, OTHER]), &one_bad), Some(Status::Fail));
        assert_eq!(run(&by(Some(1), &[KEY, OTHER]), &one_bad), Some(Status::Pass));
        assert_eq!(run(&by(Some(1), &[&[KEY, OTHER].concat()]), &one_bad), Some(Status::Pass));
        assert_eq!(run(&by(Some(2), &[KEY, OTHER]), &known(&[(KEY, Signature::Good)])), Some(Status::Error));
        let nested = json!({"imageReferences": ["*"], "attestors": [{"entries": [{"attestor": by(None, &[KEY])["attestors"][0]}]}]});
        assert_eq!(run(&nested, &known(&[(KEY, Signature::Good)])), Some(Status::Pass));
    }

    #[test]
    fn what_nobody_looks_up_never_passes() {
        let good = known(&[(KEY, Signature::Good)]);
        let changed = |pointer: &str, value: Value| {
            let mut entry = by(None, &[KEY]);
            let (place, name) = pointer.rsplit_once('/').unwrap();
            entry.pointer_mut(place).and_then(Value::as_object_mut).unwrap().insert(name.to_owned(), value);
            assert_eq!(run(&entry, &good), Some(Status::Error), "{entry}");
        };
        changed("/attestations", json!([{"type": "x"}]));
        changed("/type", json!("Notary"));
        changed("/repository", json!("ghcr.io/o/signatures"));
        changed("/attestors/0/entries/0/keys", json!({"publicKeys": KEY}));
        changed("/attestors/0/entries/0/keys", json!({"kms": "x", "rekor": {"ignoreTlog": true}}));
        changed("/attestors/0/entries/0/keys", json!({"publicKeys": "k8s://a/b", "rekor": {"ignoreTlog": true}}));
        changed("/attestors/0/entries/0/annotations", json!({"a": "b"}));
        changed("/attestors/0/entries", json!([{"keyless": {"subject": "x"}}]));
        let nobody = json!({"imageReferences": ["*"], "attestors": [{"entries": []}]});
        assert_eq!(run(&nobody, &good), Some(Status::Fail));
    }
}
