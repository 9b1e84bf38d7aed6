//! in-toto statements: what is said (the predicate) of which things (the subjects).
//!
//! Source: `spec/v1/statement.md` of <https://github.com/in-toto/attestation>; version 0.1, which cosign writes, is read too.

use std::collections::BTreeMap;

use prograde_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits::SUBJECTS_MAX;
use crate::reference::Repository;

/// The type of statements that we make.
const V1: &str = "https://in-toto.io/Statement/v1";
/// The type of statements that cosign makes.
const V0_1: &str = "https://in-toto.io/Statement/v0.1";

/// A statement. Fields of other versions are left out of it, as the specification wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    /// What the predicate is.
    pub predicate_type: String,
    /// What is said.
    #[serde(default)]
    pub predicate: Value,
}

/// Something that a statement is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name: for images the repository. cosign's signatures in bundles have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its digests by algorithm.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
    /// What the signer says beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Map<String, Value>>,
}

impl Statement {
    /// A statement about an image.
    pub fn about(repository: &Repository, digest: &Digest, predicate_type: &str, predicate: Value) -> Self {
        let digests = BTreeMap::from([("sha256".to_owned(), digest.hex().to_owned())]);
        let subject = Subject { name: repository.to_string(), digest: digests, annotations: None };
        Self { kind: V1.to_owned(), subject: vec![subject], predicate_type: predicate_type.to_owned(), predicate }
    }

    /// The same with annotations of its subject.
    #[must_use]
    pub fn annotated(mut self, annotations: &Map<String, Value>) -> Self {
        if !annotations.is_empty() {
            for subject in &mut self.subject {
                subject.annotations = Some(annotations.clone());
            }
        }
        self
    }

    /// The bytes that are signed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what was signed.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no in-toto statement: {error}"))?;
        if statement.kind != V1 && statement.kind != V0_1 {
            let found: String = statement.kind.chars().take(100).collect();
            return Err(format!("its type is `{found}`, expected is `{V1}`"));
        }
        if statement.subject.len() > SUBJECTS_MAX {
            return Err(format!("it has {} subjects, more than {SUBJECTS_MAX}", statement.subject.len()));
        }
        Ok(statement)
    }

    /// The subjects that have this digest.
    pub fn subjects<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Subject> {
        self.subject.iter().filter(|subject| subject.digest.get("sha256").is_some_and(|hex| hex == digest.hex()))
    }

    /// The digests of all subjects, for messages.
    pub fn digests(&self) -> String {
        let all: Vec<&str> = self
            .subject
            .iter()
            .take(3)
            .filter_map(|subject| subject.digest.get("sha256").map(String::as_str))
            .collect();
        let more = if self.subject.len() > 3 { ", …" } else { "" };
        format!("{}{more}", all.join(", "))
    }
}
