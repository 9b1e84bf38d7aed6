//! Whether one signature or attestation counts.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::collect::Content;
use super::proofs::Proofs;
use super::{Asked, Evidence, Refusal, Terms};
use crate::dsse::{Envelope, Opened};
use crate::keyless::{Certified, Doubt, Signed};
use crate::payload::Payload;
use crate::predicate::COSIGN_SIGN;
use crate::publish::Image;
use crate::reference::Repository;
use crate::statement::Statement;
use crate::trust::{TrustedIdentity, TrustedKey, Untrusted};

/// Somebody who made a signature and is named in the trust.
enum Maker<'a> {
    Key(&'a TrustedKey),
    Identity(&'a TrustedIdentity, &'a Certified),
}

impl Maker<'_> {
    fn check(&self, image: &Image, bound: bool, terms: Terms<'_>) -> Result<(), Untrusted> {
        match self {
            Self::Key(key) => key.check(&image.repository, bound, terms.at),
            Self::Identity(identity, certified) => identity.check(&image.repository, bound, certified.times),
        }
    }

    /// Its name, the id of the key, and who is certified.
    fn told(&self) -> (String, String, Option<Certified>) {
        match self {
            Self::Key(key) => (key.name().to_owned(), key.key().id(), None),
            Self::Identity(identity, certified) => {
                (identity.name().to_owned(), certified.key_id.clone(), Some((*certified).clone()))
            }
        }
    }
}

/// Why something is no evidence.
pub(super) enum Unfit {
    /// It does not count.
    Refused(Refusal),
    /// It is of another kind than what was asked for; its type is not verified.
    Other(String),
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Judges one.
pub(super) fn judge(content: &Content, image: &Image, asked: &Asked, terms: Terms<'_>) -> Result<Evidence, Unfit> {
    match (content, asked) {
        (Content::Payload { payload, signature, proofs }, Asked::Signatures(wanted)) => {
            Ok(signed(payload, signature, proofs.as_ref(), image, wanted, terms)?)
        }
        (Content::Payload { .. }, Asked::Attestations(_)) => {
            Err(Refusal::Form("it is a signature, and no attestation".to_owned()).into())
        }
        (Content::Envelope { envelope, proofs }, _) => {
            let bundle = |proofs: &Proofs| {
                let envelope = serde_json::to_value(envelope).map_err(|error| error.to_string())?;
                proofs.bundle(("dsseEnvelope", envelope))
            };
            let bundle = proofs.as_ref().map(bundle).transpose();
            stated(envelope, bundle.map(|bytes| bytes.map(Cow::from)), image, asked, terms)
        }
        (Content::Bundle { envelope, certified }, _) => {
            let bundle = certified.as_ref().map(|bytes| Cow::from(bytes.as_slice()));
            stated(envelope, Ok(bundle), image, asked, terms)
        }
    }
}

/// A signature in cosign's first form.
fn signed(
    payload: &[u8],
    signature: &str,
    proofs: Option<&Proofs>,
    image: &Image,
    wanted: &Map<String, Value>,
    terms: Terms<'_>,
) -> Result<Evidence, Refusal> {
    let bytes = STANDARD.decode(signature).map_err(|_| Refusal::Form("its signature is no base64".to_owned()))?;
    let certified;
    let mut makers: Vec<Maker<'_>> = terms.trust.makers(payload, &bytes).map(Maker::Key).collect();
    if let Some(proofs) = proofs.filter(|_| makers.is_empty()) {
        let root = terms.trust.root().ok_or(Refusal::Certificate)?;
        let hash = json!({"algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::digest(payload))});
        let content = ("messageSignature", json!({"messageDigest": hash, "signature": signature}));
        let bundle = proofs.bundle(content).map_err(Refusal::Form)?;
        certified = root.check(&bundle, &Signed::Payload(payload)).map_err(|doubt| match doubt {
            // The hash above is the payload's, so it is the entry's that is another.
            Doubt::Other => Doubt::Log("it is about something else".to_owned()),
            doubt @ (Doubt::Form(_) | Doubt::Certificate(_) | Doubt::Log(_) | Doubt::Time(_) | Doubt::Signature(_)) => {
                doubt
            }
        })?;
        makers = identities(&certified, terms)?;
    }
    if makers.is_empty() {
        return Err(Refusal::NoKey);
    }
    let said =
        Payload::parse(payload).map_err(|why| Refusal::Form(format!("it is no payload of a signature: {why}")))?;
    if *said.digest() != image.digest {
        return Err(Refusal::OtherDigest(said.digest().to_string()));
    }
    if !names(said.repository(), &image.repository) {
        return Err(Refusal::OtherRepository(said.repository().chars().take(200).collect()));
    }
    let annotations = said.annotations();
    check_annotations(&annotations, wanted)?;
    evidence(&makers, image, true, annotations, None, terms)
}

/// A signed statement, if it is of the kind that was asked for: an attestation, or a signature in a bundle.
fn open(envelope: &Envelope, asked: &Asked) -> Result<(Opened, Statement), Unfit> {
    let opened = envelope.open().map_err(Refusal::Form)?;
    // Only to tell what kind it is: what is not asked for is not judged.
    let statement = Statement::parse(&opened.payload).map_err(Refusal::Form)?;
    let said = &statement.predicate_type;
    let fits = match asked {
        Asked::Signatures(_) => said == COSIGN_SIGN,
        Asked::Attestations(Some(wanted)) => said == wanted,
        Asked::Attestations(None) => said != COSIGN_SIGN,
    };
    if fits { Ok((opened, statement)) } else { Err(Unfit::Other(said.chars().take(200).collect())) }
}

/// The keys that signed an envelope.
fn keys<'a>(opened: &'a Opened, terms: Terms<'a>) -> Vec<Maker<'a>> {
    let makers = opened.signatures.iter().flat_map(|signature| terms.trust.makers(&opened.message, signature));
    makers.map(Maker::Key).collect()
}

/// An envelope; `bundle` is what carries it, if a certificate stands for its signer. Then the trusted root says who signed,
/// and the trust whether that one counts.
fn stated(
    envelope: &Envelope,
    bundle: Result<Option<Cow<'_, [u8]>>, String>,
    image: &Image,
    asked: &Asked,
    terms: Terms<'_>,
) -> Result<Evidence, Unfit> {
    let (opened, statement) = open(envelope, asked)?;
    let makers = keys(&opened, terms);
    if !makers.is_empty() {
        return Ok(about(statement, &makers, image, asked, terms)?);
    }
    let Some(bundle) = bundle.map_err(Refusal::Form)? else { return Err(Refusal::NoKey.into()) };
    let root = terms.trust.root().ok_or(Refusal::Certificate)?;
    let signed = Signed::Statement { payload: &opened.payload, about: &image.digest };
    let certified = root.check(&bundle, &signed).map_err(|doubt| match doubt {
        Doubt::Other => Refusal::OtherDigest(statement.digests()),
        doubt @ (Doubt::Form(_) | Doubt::Certificate(_) | Doubt::Log(_) | Doubt::Time(_) | Doubt::Signature(_)) => {
            Refusal::Doubtful(doubt)
        }
    })?;
    let makers = identities(&certified, terms)?;
    Ok(about(statement, &makers, image, asked, terms)?)
}

/// The trusted identities that somebody is; at least one.
fn identities<'a>(certified: &'a Certified, terms: Terms<'a>) -> Result<Vec<Maker<'a>>, Refusal> {
    let known = terms.trust.identities().iter().filter(|identity| identity.is(certified));
    let makers: Vec<Maker<'_>> = known.map(|identity| Maker::Identity(identity, certified)).collect();
    if makers.is_empty() {
        return Err(Refusal::Stranger { subject: short(&certified.subject), issuer: short(&certified.issuer) });
    }
    Ok(makers)
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// What a statement, whose signature has been checked, says of an image.
fn about(
    statement: Statement,
    makers: &[Maker<'_>],
    image: &Image,
    asked: &Asked,
    terms: Terms<'_>,
) -> Result<Evidence, Refusal> {
    let subjects: Vec<_> = statement.subjects(&image.digest).collect();
    if subjects.is_empty() {
        return Err(Refusal::OtherDigest(statement.digests()));
    }
    let named = subjects.iter().find(|subject| names(&subject.name, &image.repository));
    let subject = named.or_else(|| subjects.iter().find(|subject| subject.name.is_empty()));
    let Some(subject) = subject else {
        let other = subjects.first().map(|subject| subject.name.chars().take(200).collect());
        return Err(Refusal::OtherRepository(other.unwrap_or_default()));
    };
    let (bound, annotations) = (named.is_some(), subject.annotations.clone().unwrap_or_default());
    let predicate = match asked {
        Asked::Signatures(wanted) => {
            check_annotations(&annotations, wanted)?;
            None
        }
        Asked::Attestations(_) => Some((statement.predicate_type, statement.predicate)),
    };
    evidence(makers, image, bound, annotations, predicate, terms)
}

/// The first of the makers that counts, or why the last does not.
fn evidence(
    makers: &[Maker<'_>],
    image: &Image,
    bound: bool,
    annotations: Map<String, Value>,
    predicate: Option<(String, Value)>,
    terms: Terms<'_>,
) -> Result<Evidence, Refusal> {
    let mut refusal = Refusal::NoKey;
    for maker in makers {
        match maker.check(image, bound, terms) {
            Ok(()) => {
                let ((key, key_id, certified), digest) = (maker.told(), image.digest.clone());
                return Ok(Evidence { key, key_id, certified, digest, bound, annotations, predicate });
            }
            Err(why) => refusal = why.into(),
        }
    }
    Err(refusal)
}

fn names(text: &str, repository: &Repository) -> bool {
    text.parse::<Repository>().is_ok_and(|named| named == *repository)
}

fn check_annotations(found: &Map<String, Value>, wanted: &Map<String, Value>) -> Result<(), Refusal> {
    let other = wanted.iter().find(|(key, value)| found.get(*key) != Some(value));
    other.map_or(Ok(()), |(key, value)| {
        let is = found.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        let found = format!("{}, expected is {value}", is.chars().take(200).collect::<String>());
        Err(Refusal::Annotation { key: key.clone(), found })
    })
}
