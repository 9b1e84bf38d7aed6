//! `verifyImages`: which images a rule is about, whether they have digests, and whether keys and identities that stand in the
//! rule signed them and attested what it asks for. Nothing is looked up here: what somebody found out arrives as
//! [`Verified`], and what nobody found out is an error, never a pass.
//!
//! Source: Kyverno's documentation, "Verify Images Rules".

mod asked;
mod attestation;
mod attestors;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use self::asked::{Attested, Demand, Identity, Name, PREDICATES_BYTES_MAX, Signature, SignedBy, Signer, Verified};
use self::attestation::Attestation;
use self::attestors::{About, Attestors, Vouched};
use crate::context::Frame;
use crate::image::Image;
use crate::matching::texts;
use crate::request::{CONTAINERS, text};
use crate::rule::flag;
use crate::set::Stage;
use crate::validate::{Status, Verdict};
use crate::wildcard;

/// One entry of `verifyImages`.
#[derive(Debug, Clone)]
struct Entry {
    references: Vec<String>,
    skip: Vec<String>,
    verify_digest: bool,
    mutate_digest: bool,
    required: bool,
    attestors: Vec<Attestors>,
    attestations: Vec<Attestation>,
    /// What the entry asks for that nobody finds out.
    beyond: Option<&'static str>,
}

/// `verifyImages`.
#[derive(Debug, Clone)]
pub(crate) struct VerifyImages {
    entries: Vec<Entry>,
}

impl VerifyImages {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let items = value.as_array().ok_or("verifyImages takes a list")?;
        Ok(Self { entries: items.iter().map(Entry::compile).collect::<Result<_, _>>()? })
    }

    /// What is known of images; nothing where the rule is about none of them.
    pub(crate) fn run(
        &self,
        images: &[Image],
        (verified, stage): (&Verified, Stage),
        frame: &Frame<'_>,
    ) -> Option<Verdict> {
        let mut about = 0;
        for image in images {
            for entry in self.entries.iter().filter(|entry| entry.selects(image)) {
                about += 1;
                if let Some(verdict) = entry.judge(image, (verified, stage), frame) {
                    return Some(verdict);
                }
            }
        }
        (about > 0).then(|| Verdict::new(Status::Pass, "all images are verified"))
    }

    /// Whether somebody without a key is asked for.
    pub(crate) fn names_identities(&self) -> bool {
        self.entries.iter().any(|entry| {
            entry.attestors.iter().any(Attestors::names_identities)
                || entry.attestations.iter().any(Attestation::names_identities)
        })
    }

    /// Whether digests are written behind tags.
    pub(crate) fn pin(&self) -> bool {
        self.entries.iter().any(|entry| entry.mutate_digest)
    }

    /// Which of the images want digests, by their places.
    pub(crate) fn pins(&self, lists: &Value, into: &mut BTreeMap<String, String>) {
        let lists = lists.as_object().into_iter().flatten().filter_map(|(_, list)| list.as_object());
        for (_, found) in lists.flatten() {
            let (image, place) = (Image::of_json(found), text(found, &["jsonPointer"]));
            let wanted = |entry: &Entry| entry.mutate_digest && entry.selects(&image);
            if image.digest.is_empty() && !place.is_empty() && self.entries.iter().any(wanted) {
                into.insert(place.to_owned(), image.to_string());
            }
        }
    }

    /// Which signatures would have to be looked up.
    pub(crate) fn asks(&self, images: &[Image], into: &mut BTreeSet<SignedBy>) {
        for image in images {
            for entry in self.entries.iter().filter(|entry| entry.selects(image)) {
                let image = image.to_string();
                entry.attestors.iter().for_each(|set| set.asks(&image, About::Image, into));
                entry.attestations.iter().for_each(|one| one.asks(&image, into));
            }
        }
    }
}

/// The images of all lists.
pub(crate) fn all_images(lists: &Value) -> Vec<Image> {
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
            all.push(Image::of_json(image));
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
        let attestations = item.get("attestations").and_then(Value::as_array).into_iter().flatten();
        let old = ["key", "subject", "issuer", "roots", "additionalExtensions", "annotations"];
        let beyond = if old.into_iter().any(given) {
            Some("signers outside of attestors are not looked up")
        } else if given("validate") {
            Some("validate within verifyImages is not evaluated; say it as conditions of attestations")
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
            attestors: Attestors::all(item.get("attestors"))?,
            attestations: attestations.map(Attestation::compile).collect::<Result<_, _>>()?,
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
    fn judge(&self, image: &Image, (verified, stage): (&Verified, Stage), frame: &Frame<'_>) -> Option<Verdict> {
        // A tag may be moved between the look at its signature and the pull.
        if self.verify_digest && (stage.is_settled() || !self.mutate_digest) && image.digest.is_empty() {
            return Some(Verdict::new(Status::Fail, format!("{image} has no digest")));
        }
        if self.attestors.is_empty() && self.attestations.is_empty() && self.beyond.is_none() {
            // Whom a rule names is asked for whether or not somebody has to be named.
            return self.required.then(|| {
                Verdict::new(
                    Status::Fail,
                    format!("{image} is not verified: the rule names nobody who could have signed it"),
                )
            });
        }
        let mut unknown = self.beyond.map(str::to_owned);
        let name = image.to_string();
        let signed =
            self.attestors.iter().map(|set| set.vouch(&name, About::Image, &|asked| signed(verified.get(asked))));
        let attested = self.attestations.iter().map(|one| one.vouch(&name, verified, frame));
        for vouched in signed.chain(attested) {
            match vouched {
                Vouched::Yes => {}
                Vouched::No(why) => return Some(Verdict::new(Status::Fail, format!("{image}: {why}"))),
                Vouched::Unknown(why) => unknown = unknown.or(Some(why)),
            }
        }
        unknown.map(|why| Verdict::new(Status::Error, format!("it is not known whether {image} is signed: {why}")))
    }
}

/// What is known of a signature of the image.
fn signed(found: Option<&Signature>) -> Vouched {
    match found {
        Some(Signature::Good | Signature::Promised) => Vouched::Yes,
        Some(Signature::Refused(why)) => Vouched::No(why.clone()),
        Some(Signature::Unreachable(why)) => Vouched::Unknown(why.clone()),
        Some(Signature::Attested(_)) => Vouched::Unknown("an attestation is no signature of it".to_owned()),
        None => Vouched::Unknown("signatures are verified when it is pulled".to_owned()),
    }
}

/// A pattern with Docker's default registry, so that `nginx*` means what it says.
fn expanded(pattern: &str) -> String {
    let host = pattern.split('/').next().unwrap_or_default();
    let named = pattern.contains('/') && (host.contains(['.', ':', '*']) || host == "localhost");
    if named || pattern == "*" { pattern.to_owned() } else { format!("docker.io/{pattern}") }
}
