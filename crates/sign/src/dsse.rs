//! Envelopes: a payload, its type, and signatures over both.
//!
//! Source: "DSSE: Dead Simple Signing Envelope", protocol.md and envelope.md of <https://github.com/secure-systems-lab/dsse>.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::key::{KeyError, Signer};
use crate::limits::ENVELOPE_SIGNATURES_MAX;

/// The payload type of in-toto statements, the only one that counts.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope as JSON has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

/// A signature in an envelope. The key's id is a hint that nobody vouches for; it is never used to choose a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// An envelope whose base64 was read and whose bounds hold; nothing of it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The payload.
    pub payload: Vec<u8>,
    /// What is signed: payload and type.
    pub message: Vec<u8>,
    /// The signatures.
    pub signatures: Vec<Vec<u8>>,
}

/// What is signed of a payload: "pre-authentication encoding", so that no payload can be taken for one of another type.
pub fn message(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

impl Envelope {
    /// Signs a statement.
    pub fn sign(payload: &[u8], signer: &dyn Signer) -> Result<Self, KeyError> {
        let sig = STANDARD.encode(signer.sign(&message(IN_TOTO, payload))?);
        let signatures = vec![EnvelopeSignature { keyid: Some(String::new()), sig }];
        Ok(Self { payload: STANDARD.encode(payload), payload_type: IN_TOTO.to_owned(), signatures })
    }

    /// Reads an envelope's JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("it is no DSSE envelope: {error}"))
    }

    /// Its parts.
    pub fn open(&self) -> Result<Opened, String> {
        if self.payload_type != IN_TOTO {
            let found: String = self.payload_type.chars().take(100).collect();
            return Err(format!("its payload type is `{found}`, expected is `{IN_TOTO}`"));
        }
        let count = self.signatures.len();
        if count == 0 || count > ENVELOPE_SIGNATURES_MAX {
            return Err(format!("it has {count} signatures, expected are 1 to {ENVELOPE_SIGNATURES_MAX}"));
        }
        let payload = decoded(&self.payload).ok_or("its payload is no base64")?;
        let signatures: Option<Vec<Vec<u8>>> = self.signatures.iter().map(|one| decoded(&one.sig)).collect();
        let signatures = signatures.ok_or("a signature of it is no base64")?;
        Ok(Opened { message: message(&self.payload_type, &payload), payload, signatures })
    }
}

/// The specification lets readers take both alphabets.
fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_specification() {
        // The example of protocol.md.
        let made = message("http://example.com/HelloWorld", b"hello world");
        assert_eq!(made, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_ne!(message("a", b"b 1 c"), message("a 1 b", b"c"));
    }

    #[test]
    fn envelopes_that_are_none() {
        let check = |text: &str, want: &str| {
            let why = Envelope::parse(text.as_bytes()).and_then(|envelope| envelope.open()).unwrap_err();
            assert!(why.contains(want), "{text}: {why}");
        };
        check("", "no DSSE envelope");
        check("{\"payload\":\"\",\"payloadType\":\"", "no DSSE envelope");
        check(r#"{"payload":"","payloadType":"application/json","signatures":[{"sig":""}]}"#, "payload type");
        check(r#"{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}"#, "0 signatures");
        check(r#"{"payload":"?","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""}]}"#, "base64");
        check(r#"{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"?"}]}"#, "base64");
        let many = vec![r#"{"sig":""}"#; ENVELOPE_SIGNATURES_MAX + 1].join(",");
        check(
            &format!(r#"{{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{many}]}}"#),
            "17 signatures",
        );
    }
}
