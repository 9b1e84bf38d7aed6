//! Whether one signature or attestation counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::collect::Content;
use super::{Asked, Evidence, Refusal, Terms};
use crate::dsse::Envelope;
use crate::payload::Payload;
use crate::predicate::COSIGN_SIGN;
use crate::publish::Image;
use crate::reference::Repository;
use crate::statement::Statement;
use crate::trust::TrustedKey;

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
        (Content::Envelope { envelope, certificate }, _) => stated(envelope, *certificate, image, asked, terms),
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
    let makers: Vec<&TrustedKey> = terms.trust.makers(payload, &signature).collect();
    check_makers(&makers, certificate)?;
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

/// A signed statement: an attestation, or a signature in a bundle.
fn stated(
    envelope: &Envelope,
    certificate: bool,
    image: &Image,
    asked: &Asked,
    terms: Terms<'_>,
) -> Result<Evidence, Unfit> {
    let opened = envelope.open().map_err(Refusal::Form)?;
    // Only to tell what kind it is: what is not asked for is not judged.
    let statement = Statement::parse(&opened.payload).map_err(Refusal::Form)?;
    let said = &statement.predicate_type;
    let fits = match asked {
        Asked::Signatures(_) => said == COSIGN_SIGN,
        Asked::Attestations(Some(wanted)) => said == wanted,
        Asked::Attestations(None) => said != COSIGN_SIGN,
    };
    if !fits {
        return Err(Unfit::Other(said.chars().take(200).collect()));
    }
    let mut makers: Vec<&TrustedKey> = Vec::new();
    for signature in &opened.signatures {
        makers.extend(terms.trust.makers(&opened.message, signature));
    }
    check_makers(&makers, certificate)?;
    Ok(about(statement, &makers, image, asked, terms)?)
}

/// What a statement, whose signature has been checked, says of an image.
fn about(
    statement: Statement,
    makers: &[&TrustedKey],
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

fn check_makers(makers: &[&TrustedKey], certificate: bool) -> Result<(), Refusal> {
    match (makers.is_empty(), certificate) {
        (false, _) => Ok(()),
        (true, true) => Err(Refusal::Certificate),
        (true, false) => Err(Refusal::NoKey),
    }
}

/// The first of the keys that counts, or why the last does not.
fn evidence(
    makers: &[&TrustedKey],
    image: &Image,
    bound: bool,
    annotations: Map<String, Value>,
    predicate: Option<(String, Value)>,
    terms: Terms<'_>,
) -> Result<Evidence, Refusal> {
    let mut refusal = Refusal::NoKey;
    for key in makers {
        match key.check(&image.repository, bound, terms.at) {
            Ok(()) => {
                let (name, key_id, digest) = (key.name().to_owned(), key.key().id(), image.digest.clone());
                return Ok(Evidence { key: name, key_id, digest, bound, annotations, predicate });
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
