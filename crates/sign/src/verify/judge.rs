//! Whether one signature or attestation counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::collect::Content;
use super::{Asked, Evidence, Refusal, Terms};
use crate::dsse::{Envelope, Opened};
use crate::keyless::{Certified, Doubt};
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
        (Content::Payload { payload, signature, certificate }, Asked::Signatures(wanted)) => {
            Ok(signed(payload, signature, *certificate, image, wanted, terms)?)
        }
        (Content::Payload { .. }, Asked::Attestations(_)) => {
            Err(Refusal::Form("it is a signature, and no attestation".to_owned()).into())
        }
        (Content::Envelope { envelope, certificate }, _) => {
            let (opened, statement) = open(envelope, asked)?;
            let makers = keys(&opened, terms);
            if makers.is_empty() && *certificate {
                return Err(Refusal::CertificateInTag.into());
            }
            Ok(about(statement, &makers, image, asked, terms)?)
        }
        (Content::Bundle { envelope, certified }, _) => bundled(envelope, certified.as_deref(), image, asked, terms),
    }
}

/// A signature in cosign's first form.
fn signed(
    payload: &[u8],
    signature: &str,
    certificate: bool,
    image: &Image,
    wanted: &Map<String, Value>,
    terms: Terms<'_>,
) -> Result<Evidence, Refusal> {
    let signature = STANDARD.decode(signature).map_err(|_| Refusal::Form("its signature is no base64".to_owned()))?;
    let makers: Vec<Maker<'_>> = terms.trust.makers(payload, &signature).map(Maker::Key).collect();
    if makers.is_empty() {
        return Err(if certificate { Refusal::CertificateInTag } else { Refusal::NoKey });
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

/// A bundle. With a certificate the trusted root says who signed it, and the trust whether that one counts.
fn bundled(
    envelope: &Envelope,
    certified: Option<&Vec<u8>>,
    image: &Image,
    asked: &Asked,
    terms: Terms<'_>,
) -> Result<Evidence, Unfit> {
    let (opened, statement) = open(envelope, asked)?;
    let makers = keys(&opened, terms);
    let Some(bytes) = certified.filter(|_| makers.is_empty()) else {
        return Ok(about(statement, &makers, image, asked, terms)?);
    };
    let root = terms.trust.root().ok_or(Refusal::Certificate)?;
    let certified = root.check(bytes, &opened.payload, &image.digest).map_err(|doubt| match doubt {
        Doubt::Other => Refusal::OtherDigest(statement.digests()),
        doubt @ (Doubt::Form(_) | Doubt::Certificate(_) | Doubt::Log(_) | Doubt::Time(_) | Doubt::Signature(_)) => {
            Refusal::Doubtful(doubt)
        }
    })?;
    let makers: Vec<Maker<'_>> = terms
        .trust
        .identities()
        .iter()
        .filter(|identity| identity.is(&certified))
        .map(|identity| Maker::Identity(identity, &certified))
        .collect();
    if makers.is_empty() {
        let Certified { issuer, subject, .. } = certified;
        return Err(Refusal::Stranger { subject: short(&subject), issuer: short(&issuer) }.into());
    }
    Ok(about(statement, &makers, image, asked, terms)?)
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
    if makers.is_empty() {
        return Err(Refusal::NoKey);
    }
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
