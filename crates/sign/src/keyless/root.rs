//! A trusted root: the certificate authorities, logs and clocks that are believed, and what they say of a bundle.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use prograde_model::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sigstore_verify::bundle::Error as Lack;
use sigstore_verify::crypto::{CertificateInfo, parse_certificate_info};
use sigstore_verify::trust_root::TrustedRoot as Read;
use sigstore_verify::types::{Artifact, Bundle, DerCertificate, Sha256Hash, SignatureContent};
use sigstore_verify::{Error, VerificationPolicy, VerificationResult, Verifier};

use super::{KeylessError, provider};
use crate::codes;
use crate::limits::{MATERIAL_MAX, ROOT_AUTHORITIES_MAX, ROOT_BYTES_MAX};

/// How the media types of trusted roots begin.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";

/// Whom to believe about certificates and time. Cheap to clone.
#[derive(Clone)]
pub struct TrustedRoot(Arc<Inner>);

struct Inner {
    verifier: Verifier,
    logs: bool,
    certificate_logs: bool,
}

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedRoot")
    }
}

/// Who signed a bundle, as the root's authorities say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Who says who it is: an OIDC issuer.
    pub issuer: String,
    /// Who it is: an address of email, or of a workflow.
    pub subject: String,
    /// The certified key's id.
    pub key_id: String,
    /// The first and the last of the moments that are proven.
    pub times: (Timestamp, Timestamp),
}

/// What the caller has read of a bundle, and goes by.
pub(crate) enum Signed<'a> {
    /// A statement about an image.
    Statement {
        /// The statement.
        payload: &'a [u8],
        /// The image.
        about: &'a Digest,
    },
    /// A payload that is signed as it is.
    Payload(&'a [u8]),
}

/// Why a bundle with a certificate does not hold by a trusted root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It is no bundle, or one of a kind that is not checked.
    #[error("{0}")]
    Form(String),
    /// No authority of the root made its certificate, it did not hold at the time, or it is none for signing.
    #[error("its certificate is not good by the trusted root: {0}")]
    Certificate(String),
    /// No log of the root has it.
    #[error("its log entry does not hold: {0}")]
    Log(String),
    /// Nobody trusted says when it was made.
    #[error("its time is not proven: {0}")]
    Time(String),
    /// The certified key did not sign this.
    #[error("the certified key made no such signature: {0}")]
    Signature(String),
    /// It is about something else.
    #[error("it is about something else")]
    Other,
}

impl Doubt {
    /// A word for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Form(_) => "malformed",
            Self::Certificate(_) => "certificate",
            Self::Log(_) => "log",
            Self::Time(_) => "timestamp",
            Self::Signature(_) => "signature",
            Self::Other => "other_image",
        }
    }
}

impl From<Error> for Doubt {
    fn from(error: Error) -> Self {
        let text = told(&error);
        match error {
            Error::SignatureInvalid(_) => Self::Signature(text),
            Error::ArtifactMismatch(_) => Self::Other,
            Error::Certificate(_) => Self::Certificate(text),
            Error::TransparencyLog(_) => Self::Log(text),
            Error::Timestamp(_) => Self::Time(text),
            Error::Bundle(lack) => Self::incomplete(&lack, text),
            // About the bundle's form, or what a later version of the crate knows.
            Error::IdentityMismatch { .. }
            | Error::IssuerMismatch { .. }
            | Error::UnsupportedArtifact(_)
            | Error::InvalidBundle(_)
            | Error::UnsupportedBundle(_)
            | Error::InvalidTrustRoot(_)
            | Error::Types(_)
            | Error::Crypto(_)
            | Error::TrustRoot(_)
            | Error::TrustedCertificate(_)
            | Error::ArtifactRead(_)
            | _ => Self::Form(text),
        }
    }
}

impl Doubt {
    /// What a bundle lacks.
    fn incomplete(lack: &Lack, text: String) -> Self {
        match lack {
            Lack::MissingInclusionPromise(_)
            | Lack::MissingInclusionProof(_)
            | Lack::MissingCheckpoint
            | Lack::LogIndexOutOfRange { .. }
            | Lack::CheckpointRootMismatch => Self::Log(text),
            Lack::MissingSigningTimeEvidence | Lack::MissingTimestamp => Self::Time(text),
            Lack::UnsupportedMediaType(_)
            | Lack::UnsupportedVerificationMaterial
            | Lack::CertificateChainNotAllowed(_)
            | _ => Self::Form(text),
        }
    }
}

/// An error with all that it comes from, in one line that is not long.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Transparent layers repeat what is below them.
        let below = error.to_string();
        text = if text.ends_with(&below) { text } else { format!("{text}: {below}") };
        source = error.source();
    }
    text.chars().take(500).collect()
}

/// How much there is in a bundle, to be asked before anything is checked: each of these costs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    verification_material: Material,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    tlog_entries: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    timestamp_verification_data: Option<Timestamps>,
    #[serde(default)]
    x509_certificate_chain: Option<Chain>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timestamps {
    #[serde(default)]
    rfc3161_timestamps: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default)]
    certificates: Vec<serde::de::IgnoredAny>,
}

fn check_size(text: &str) -> Result<(), Doubt> {
    let Counted { verification_material } =
        serde_json::from_str(text).map_err(|error| Doubt::Form(format!("it is no Sigstore bundle: {error}")))?;
    let Material { tlog_entries, timestamp_verification_data, x509_certificate_chain } = verification_material;
    let counts = [
        ("log entries", tlog_entries.len()),
        ("timestamps", timestamp_verification_data.map_or(0, |data| data.rfc3161_timestamps.len())),
        ("certificates", x509_certificate_chain.map_or(0, |chain| chain.certificates.len())),
    ];
    match counts.iter().find(|(_, count)| *count > MATERIAL_MAX) {
        Some((what, count)) => {
            Err(Doubt::Form(format!("it has {count} {what}, and no more than {MATERIAL_MAX} are read")))
        }
        None => Ok(()),
    }
}

impl TrustedRoot {
    /// Reads a `trusted_root.json`.
    pub fn read(path: &Path) -> Result<Self, KeylessError> {
        Self::parse(&path.display().to_string(), &super::read(path, ROOT_BYTES_MAX, codes::TRUSTED_ROOT)?)
    }

    /// The same from its text; `what` is only for messages.
    pub fn parse(what: &str, text: &str) -> Result<Self, KeylessError> {
        let wrong = |why: String| KeylessError::Root { what: what.to_owned(), why };
        provider::ready();
        let root = Read::from_json(text).map_err(|error| wrong(told(&error)))?;
        if !root.media_type.starts_with(MEDIA_TYPE) {
            let found: String = root.media_type.chars().take(100).collect();
            return Err(wrong(format!("its media type is `{found}`, expected is `{MEDIA_TYPE}+json;version=0.1`")));
        }
        if root.certificate_authorities.is_empty() {
            return Err(wrong("it names no certificate authority".to_owned()));
        }
        if root.timestamp_authorities.is_empty() && root.tlogs.is_empty() {
            return Err(wrong("it names neither a timestamp authority nor a log, so no time can be proven".to_owned()));
        }
        let counts =
            [root.certificate_authorities.len(), root.timestamp_authorities.len(), root.tlogs.len(), root.ctlogs.len()];
        if let Some(count) = counts.iter().find(|count| **count > ROOT_AUTHORITIES_MAX) {
            return Err(wrong(format!("it names {count} of a kind, and no more than {ROOT_AUTHORITIES_MAX} are read")));
        }
        let verifier = Verifier::new(&root).map_err(|error| wrong(told(&error)))?;
        let (logs, certificate_logs) = (!root.tlogs.is_empty(), !root.ctlogs.is_empty());
        Ok(Self(Arc::new(Inner { verifier, logs, certificate_logs })))
    }

    /// What has to hold: everything that the root can check. Who may sign is decided afterwards.
    fn policy(&self) -> VerificationPolicy {
        let mut policy = VerificationPolicy::any_identity();
        if !self.0.logs {
            policy = policy.skip_tlog_unsafe();
        }
        if !self.0.certificate_logs {
            policy = policy.skip_sct();
        }
        policy
    }

    /// Who signed what a bundle carries.
    pub(crate) fn check(&self, bundle: &[u8], signed: &Signed<'_>) -> Result<Certified, Doubt> {
        let text = std::str::from_utf8(bundle).map_err(|_| Doubt::Form("it is no text".to_owned()))?;
        check_size(text)?;
        let bundle = Bundle::from_json(text).map_err(|error| Doubt::Form(told(&error)))?;
        let artifact = match (&bundle.content, signed) {
            // Two readers of the same text must not see two statements.
            (SignatureContent::DsseEnvelope(envelope), Signed::Statement { payload, about })
                if envelope.payload.as_bytes() == *payload =>
            {
                let digest = Sha256Hash::from_hex(about.hex()).map_err(|error| Doubt::Form(told(&error)))?;
                Artifact::from(digest)
            }
            (SignatureContent::MessageSignature(_), Signed::Payload(payload)) => Artifact::from(*payload),
            _ => return Err(Doubt::Form("its content can be read in two ways".to_owned())),
        };
        let result = self.0.verifier.verify(artifact, &bundle, &self.policy())?;
        self.certified(&result)
    }

    fn certified(&self, result: &VerificationResult) -> Result<Certified, Doubt> {
        let none = |what: &str| Doubt::Certificate(format!("it names no {what}"));
        let complete = result.certificate_verified()
            && (result.tlog_verified() || !self.0.logs)
            && (result.sct_verified() || !self.0.certificate_logs);
        let information = result.certificate().filter(|_| complete).ok_or_else(|| none("signer that was checked"))?;
        let mut times: Vec<Timestamp> = result.verified_timestamps().to_vec();
        times.sort_unstable();
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Err(Doubt::Time("there is no timestamp".to_owned()));
        };
        let (issuer, subject, key_id) = named(information)?;
        Ok(Certified { issuer, subject, key_id, times: (*first, *last) })
    }
}

/// Issuer, subject and the key's id of a certificate.
fn named(information: &CertificateInfo) -> Result<(String, String, String), Doubt> {
    let none = |what: &str| Doubt::Certificate(format!("it names no {what}"));
    let issuer = information.issuer.clone().ok_or_else(|| none("issuer of the identity"))?;
    let subject = information.identity.as_ref().map(ToString::to_string).ok_or_else(|| none("identity"))?;
    Ok((issuer, subject, hex::encode(Sha256::digest(information.public_key.as_bytes()))))
}

/// The same of a certificate that nobody has checked: what an authority has just given.
pub(super) fn read_certificate(der: &[u8]) -> Result<(String, String, String), Doubt> {
    provider::ready();
    let certificate = DerCertificate::new(der.to_vec());
    let information = parse_certificate_info(&certificate).map_err(|error| Doubt::Certificate(told(&error)))?;
    named(&information)
}
