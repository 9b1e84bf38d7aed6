//! What is sent to the services, and what their answers say.
//!
//! Sources: `fulcio.proto` of <https://github.com/sigstore/fulcio> and `rekor/v2` of <https://github.com/sigstore/rekor-tiles>,
//! both in the JSON form of protocol buffers; `openapi.yaml` of <https://github.com/sigstore/rekor>; RFC 2986 for requests of certificates, RFC 3161 for timestamps.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{Int, Null, ObjectIdentifier, OctetString};
use der::{Any, Decode as _, Encode as _, Sequence};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sigstore_verify::rekor::{DsseEntry, HashedRekordV2, LogEntry, RekorV2KeyDetails};
use sigstore_verify::types::{
    DerCertificate, DsseEnvelope, KindVersion, Sha256Hash, SignatureBytes, TransparencyLogEntry,
};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::Token;
use crate::key::{KeyError, PrivateKey, Signer as _};
use crate::limits::MATERIAL_MAX;

/// ECDSA with SHA-256, RFC 5758.
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// SHA-256, RFC 5754.
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// A certificate for a new key: the key's own signature over the request shows that its private half is there.
pub(super) fn certificate(key: &PrivateKey, token: &Token) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let request = STANDARD.encode(signing_request(key)?);
    // By hand, so that no other copy of the token stays in memory; neither part has a character that JSON would escape.
    let credentials = format!(r#""credentials":{{"oidcIdentityToken":"{}"}}"#, token.text());
    let credentials = Zeroizing::new(credentials);
    let body = format!(r#"{{{},"certificateSigningRequest":"{request}"}}"#, credentials.as_str());
    Ok(Zeroizing::new(body.into_bytes()))
}

fn signing_request(key: &PrivateKey) -> Result<String, KeyError> {
    let wrong = |error: der::Error| KeyError::form("the new key", error.to_string());
    let info = CertReqInfo {
        version: Version::V1,
        // Whose certificate it becomes is for the token to say.
        subject: Name::default(),
        public_key: SubjectPublicKeyInfoOwned::from_der(key.public_key().der()).map_err(wrong)?,
        attributes: der::asn1::SetOfVec::new(),
    };
    let signature = key.sign(&info.to_der().map_err(wrong)?)?;
    let request = CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned { oid: ECDSA_SHA256, parameters: None },
        signature: der::asn1::BitString::from_bytes(&signature).map_err(wrong)?,
    };
    let der = request.to_der().map_err(wrong)?;
    pem_rfc7468::encode_string("CERTIFICATE REQUEST", pem_rfc7468::LineEnding::LF, &der)
        .map_err(|error| KeyError::form("the new key", error.to_string()))
}

fn json_of<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, String> {
    serde_json::from_slice(answer).map_err(|error| {
        let begin: String = String::from_utf8_lossy(answer).chars().filter(|c| !c.is_control()).take(80).collect();
        format!("{error}, in `{begin}`")
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    signed_certificate_embedded_sct: Option<Signed>,
    signed_certificate_detached_sct: Option<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// The certificate in an authority's answer, in DER. Those above it are in the trusted root of whoever checks.
pub(super) fn issued(answer: &[u8]) -> Result<Vec<u8>, String> {
    let issued: Issued = json_of(answer)?;
    let signed = issued.signed_certificate_embedded_sct.or(issued.signed_certificate_detached_sct);
    let chain = signed.ok_or("it has no certificate")?.chain.certificates;
    let first = chain.first().filter(|_| chain.len() <= MATERIAL_MAX);
    let first =
        first.ok_or_else(|| format!("it has {} certificates, expected are 1 to {MATERIAL_MAX}", chain.len()))?;
    let (label, der) = pem_rfc7468::decode_vec(first.as_bytes()).map_err(|error| error.to_string())?;
    if label == "CERTIFICATE" { Ok(der) } else { Err("what it has for a certificate is none".to_owned()) }
}

/// An entry for a log: who signed which hash.
pub(super) fn entry(message: &[u8], signature: &[u8], certificate: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&HashedRekordV2::new_with_certificate(
        &Sha256Hash::new(Sha256::digest(message).into()),
        &SignatureBytes::from_bytes(signature),
        &DerCertificate::from_bytes(certificate),
        RekorV2KeyDetails::PkixEcdsaP256Sha256,
    ))
}

/// An entry for a log of version 1: an envelope, of which the log keeps the hashes, and who signed it.
pub(super) fn first_entry(envelope: &DsseEnvelope, certificate: &[u8]) -> Result<Vec<u8>, String> {
    let entry =
        DsseEntry::new(envelope, &DerCertificate::from_bytes(certificate)).map_err(|error| error.to_string())?;
    serde_json::to_vec(&entry).map_err(|error| error.to_string())
}

/// What a log of version 1 says of it: one entry under its name.
pub(super) fn first_logged(answer: &[u8]) -> Result<TransparencyLogEntry, String> {
    let mut all: BTreeMap<String, LogEntry> = json_of(answer)?;
    let (Some((_, entry)), true) = (all.pop_first(), all.is_empty()) else {
        return Err("it has not one entry".to_owned());
    };
    let entry = entry.to_bundle_entry(KindVersion::DsseV001).map_err(|error| error.to_string())?;
    match (&entry.inclusion_proof, &entry.inclusion_promise) {
        (Some(_), Some(_)) => Ok(entry),
        (Some(_) | None, _) => Err("it proves and promises no inclusion".to_owned()),
    }
}

/// What a log says of an entry that it has taken.
pub(super) fn logged(answer: &[u8]) -> Result<TransparencyLogEntry, String> {
    let entry: TransparencyLogEntry = json_of(answer)?;
    match &entry.inclusion_proof {
        Some(proof) if !proof.checkpoint.is_empty() => Ok(entry),
        Some(_) | None => Err("it proves no inclusion".to_owned()),
    }
}

#[derive(Sequence)]
struct TimeStampReq {
    version: u8,
    message_imprint: MessageImprint,
    nonce: Int,
    cert_req: bool,
}

#[derive(Sequence)]
struct MessageImprint {
    hash_algorithm: HashAlgorithm,
    hashed_message: OctetString,
}

#[derive(Sequence)]
struct HashAlgorithm {
    algorithm: ObjectIdentifier,
    parameters: Null,
}

#[derive(Sequence)]
struct TimeStampResp {
    status: PkiStatusInfo,
    #[asn1(optional = "true")]
    time_stamp_token: Option<Any>,
}

#[derive(Sequence)]
struct PkiStatusInfo {
    status: u8,
    #[asn1(optional = "true")]
    status_string: Option<Any>,
    #[asn1(optional = "true")]
    fail_info: Option<Any>,
}

/// A request for a timestamp over a signature.
pub(super) fn timestamp(signature: &[u8]) -> Result<Vec<u8>, KeyError> {
    let wrong = |error: der::Error| KeyError::form("the request for a timestamp", error.to_string());
    let mut nonce = [0_u8; 8];
    getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
    // Positive, and without a zero before it: the one form that DER has.
    nonce[0] = nonce[0] & 0x7f | 0x40;
    let request = TimeStampReq {
        version: 1,
        message_imprint: MessageImprint {
            hash_algorithm: HashAlgorithm { algorithm: SHA256, parameters: Null },
            hashed_message: OctetString::new(Sha256::digest(signature).to_vec()).map_err(wrong)?,
        },
        nonce: Int::new(&nonce).map_err(wrong)?,
        cert_req: true,
    };
    request.to_der().map_err(wrong)
}

/// Whether a timestamp was given. The whole answer is what bundles carry; who checks them checks it.
pub(super) fn stamped(answer: &[u8]) -> Result<(), String> {
    let response = TimeStampResp::from_der(answer).map_err(|error| format!("it is no RFC 3161 answer: {error}"))?;
    match (response.status.status, response.time_stamp_token) {
        (0 | 1, Some(_)) => Ok(()),
        (status, _) => Err(format!("no timestamp was given, with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_none() {
        for bad in ["", "{}", "[]", r#"{"signedCertificateDetachedSct":{"chain":{"certificates":[]}}}"#] {
            assert!(issued(bad.as_bytes()).is_err(), "{bad}");
        }
        let key = r#"{"signedCertificateDetachedSct":{"chain":{"certificates":["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]}}}"#;
        assert_eq!(issued(key.as_bytes()).unwrap_err(), "what it has for a certificate is none");
        assert!(logged(b"{}").is_err());
        for bad in ["{}", "[]", r#"{"a":{}}"#] {
            assert!(first_logged(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [&b""[..], b"0", &[0x30, 0x03, 0x02, 0x01, 0x00], &[0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02]] {
            assert!(stamped(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn requests_are_der() {
        let one = timestamp(b"signature").unwrap();
        assert!(one.len() == 69 && one.get(..5) == Some(&[0x30, 67, 2, 1, 1][..]), "{one:?}");
        let request = signing_request(&PrivateKey::generate().unwrap()).unwrap();
        assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
    }
}
