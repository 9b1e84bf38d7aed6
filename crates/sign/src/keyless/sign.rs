//! One signature with a key that exists for it alone.

use prograde_model::Digest;
use sigstore_verify::bundle::BundleV03;
use sigstore_verify::types::{
    DerCertificate, DsseEnvelope, DsseSignature, KeyId, PayloadBytes, SignatureBytes, TimestampToken,
    TransparencyLogEntry,
};
use zeroize::Zeroizing;

use super::chosen::Log;
use super::root::{Signed, read_certificate};
use super::{KeylessError, Services, Token, TrustedRoot, request};
use crate::dsse;
use crate::key::{PrivateKey, Signer as _};
use crate::store::Cause;

const AUTHORITY: &str = "certificate authority";
const LOG: &str = "log";
const CLOCK: &str = "timestamp authority";
const JSON: &str = "application/json";

/// What is sent to a service. The body may hold the identity token.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where.
    pub url: String,
    /// What the body is.
    pub content_type: &'static str,
    /// What the answer is to be.
    pub accept: &'static str,
    /// What is sent.
    pub body: &'a [u8],
}

/// How services are reached: the port that this crate signs through. Whoever implements it bounds waits and answers.
pub trait Port {
    /// Sends something and gives the answer of a service that did what it was asked; everything else is an error.
    fn post(&self, request: &Request<'_>) -> Result<Vec<u8>, Cause>;
}

/// All that a signature without a key is made with.
#[derive(Clone, Copy)]
pub struct Keyless<'a> {
    /// Who is asked.
    pub services: &'a Services,
    /// How they are reached.
    pub port: &'a dyn Port,
    /// Who signs.
    pub token: &'a Token,
    /// What is made has to hold by it.
    pub root: Option<&'a TrustedRoot>,
}

/// Who signed, as the certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Who says who it is.
    pub issuer: String,
    /// Who it is.
    pub subject: String,
    /// The id of the key that there was.
    pub key_id: String,
}

impl Keyless<'_> {
    /// A bundle with a signed statement about an image.
    pub(crate) fn bundle(&self, payload: &[u8], image: &Digest) -> Result<(Vec<u8>, Made), KeylessError> {
        let key = PrivateKey::generate()?;
        let (certificate, made) = self.certificate(&key)?;
        let message = dsse::message(dsse::IN_TOTO, payload);
        let signature = key.sign(&message)?;
        drop(key);
        let signed = DsseSignature::new(SignatureBytes::from_bytes(&signature), KeyId::default());
        let envelope = DsseEnvelope::new(dsse::IN_TOTO, PayloadBytes::from_bytes(payload), signed);
        let mut entries = Vec::new();
        for log in &self.services.logs {
            entries.push(match log {
                Log::First(url) => self.first_entry(url, &envelope, &certificate)?,
                Log::Second(url) => self.entry(url, &message, &signature, &certificate)?,
            });
        }
        let bundle = BundleV03::with_certificate_and_dsse(DerCertificate::from_bytes(&certificate), envelope);
        let mut bundle = entries.into_iter().fold(bundle, BundleV03::with_tlog_entry);
        for clock in &self.services.clocks {
            bundle = bundle.with_rfc3161_timestamp(TimestampToken::new(self.timestamp(clock, &signature)?));
        }
        let text = bundle.into_bundle().to_json();
        let text = text.map_err(|error| answer(AUTHORITY, &self.services.authority, error.to_string()))?;
        if let Some(root) = self.root {
            let signed = Signed::Statement { payload, about: image };
            root.check(text.as_bytes(), &signed).map_err(KeylessError::Unsound)?;
        }
        Ok((text.into_bytes(), made))
    }

    fn ask(&self, service: &'static str, request: &Request<'_>) -> Result<Vec<u8>, KeylessError> {
        let failed = |source| KeylessError::Service { service, url: request.url.clone(), source };
        self.port.post(request).map_err(failed)
    }

    fn certificate(&self, key: &PrivateKey) -> Result<(Vec<u8>, Made), KeylessError> {
        let body: Zeroizing<Vec<u8>> = request::certificate(key, self.token)?;
        let url = format!("{}/api/v2/signingCert", self.services.authority);
        let wrong = |why: String| answer(AUTHORITY, &self.services.authority, why);
        let given = self.ask(AUTHORITY, &Request { url, content_type: JSON, accept: JSON, body: &body })?;
        let certificate = request::issued(&given).map_err(wrong)?;
        let (issuer, subject, key_id) = read_certificate(&certificate).map_err(|doubt| wrong(doubt.to_string()))?;
        if key_id != key.public_key().id() {
            return Err(wrong("its certificate is for another key".to_owned()));
        }
        Ok((certificate, Made { issuer, subject, key_id }))
    }

    fn first_entry(
        &self,
        log: &str,
        envelope: &DsseEnvelope,
        certificate: &[u8],
    ) -> Result<TransparencyLogEntry, KeylessError> {
        let body = request::first_entry(envelope, certificate).map_err(|why| answer(LOG, log, why))?;
        let url = format!("{log}/api/v1/log/entries");
        let given = self.ask(LOG, &Request { url, content_type: JSON, accept: JSON, body: &body })?;
        request::first_logged(&given).map_err(|why| answer(LOG, log, why))
    }

    fn entry(
        &self,
        log: &str,
        message: &[u8],
        signature: &[u8],
        certificate: &[u8],
    ) -> Result<TransparencyLogEntry, KeylessError> {
        let wrong = |why: String| answer(LOG, log, why);
        let body = request::entry(message, signature, certificate).map_err(|error| wrong(error.to_string()))?;
        let url = format!("{log}/api/v2/log/entries");
        let given = self.ask(LOG, &Request { url, content_type: JSON, accept: JSON, body: &body })?;
        request::logged(&given).map_err(wrong)
    }

    fn timestamp(&self, clock: &str, signature: &[u8]) -> Result<Vec<u8>, KeylessError> {
        let body = request::timestamp(signature)?;
        let (content_type, accept) = ("application/timestamp-query", "application/timestamp-reply");
        let given = self.ask(CLOCK, &Request { url: clock.to_owned(), content_type, accept, body: &body })?;
        request::stamped(&given).map_err(|why| answer(CLOCK, clock, why))?;
        Ok(given)
    }
}

fn answer(service: &'static str, url: &str, why: impl Into<String>) -> KeylessError {
    KeylessError::Answer { service, url: url.to_owned(), why: why.into().chars().take(500).collect() }
}
