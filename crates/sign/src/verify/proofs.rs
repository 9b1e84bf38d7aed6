//! What proves who made a layer under a tag, as cosign 2 writes it: annotations with a certificate, a log's promise and a
//! timestamp. They are put together as a bundle of version 0.1, so that one verifier checks both forms.
//!
//! Source: `specs/SIGNATURE_SPEC.md` of <https://github.com/sigstore/cosign>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{CERTIFICATE, Descriptor};

const PROMISE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// A layer's annotations, not read yet.
pub(super) struct Proofs {
    certificate: String,
    promise: Option<String>,
    timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Promise {
    signed_entry_timestamp: String,
    payload: Logged,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

impl Proofs {
    /// Those of a layer, if a certificate stands for its signer.
    pub(super) fn of(layer: &Descriptor) -> Option<Self> {
        let text = |key| layer.annotation(key).filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self { certificate: text(CERTIFICATE)?, promise: text(PROMISE), timestamp: text(TIMESTAMP) })
    }

    /// A bundle with the layer's content: `messageSignature` or `dsseEnvelope`, and its value.
    pub(super) fn bundle(&self, (field, content): (&str, Value)) -> Result<Vec<u8>, String> {
        let (label, der) = pem_rfc7468::decode_vec(self.certificate.as_bytes())
            .map_err(|error| format!("its certificate can't be read: {error}"))?;
        if label != "CERTIFICATE" {
            return Err("what it has for a certificate is none".to_owned());
        }
        let chain = json!({"certificates": [{"rawBytes": STANDARD.encode(der)}]});
        // A promise is over the time as well; cosign has not always had the same bytes dated.
        let (version, proof, value) = match (&self.promise, &self.timestamp) {
            (Some(promise), _) => ("0.1", "tlogEntries", json!([entry(promise)?])),
            (None, Some(timestamp)) => {
                let Timestamp { signed } = read("timestamp", timestamp)?;
                ("0.2", "timestampVerificationData", json!({"rfc3161Timestamps": [{"signedTimestamp": signed}]}))
            }
            (None, None) => return Err("it has neither a log's promise nor a timestamp".to_owned()),
        };
        let media_type = format!("application/vnd.dev.sigstore.bundle+json;version={version}");
        let bundle = json!({
            "mediaType": media_type,
            "verificationMaterial": {"x509CertificateChain": chain, (proof): value},
            (field): content,
        });
        Ok(bundle.to_string().into_bytes())
    }
}

fn read<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("its {what} can't be read: {error}"))
}

fn entry(text: &str) -> Result<Value, String> {
    let Promise { signed_entry_timestamp, payload } = read("log's promise", text)?;
    let Logged { body, integrated_time, log_index, log_id } = payload;
    let decoded = STANDARD.decode(&body).map_err(|_| "its log entry is no base64".to_owned())?;
    let Kind { api_version, kind } =
        serde_json::from_slice(&decoded).map_err(|error| format!("its log entry can't be read: {error}"))?;
    let log_id = hex::decode(log_id).map_err(|_| "the id of its log can't be read".to_owned())?;
    Ok(json!({
        "logIndex": log_index.to_string(),
        "logId": {"keyId": STANDARD.encode(log_id)},
        "kindVersion": {"kind": kind, "version": api_version},
        "integratedTime": integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
        "canonicalizedBody": body,
    }))
}
