//! What can be said of an image: where it comes from, what it is made of, what is wrong with it, and how its tests ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_model::{CommitId, FlightId};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Signatures in bundles: that somebody stands for the image, and nothing more (cosign 3).
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// SLSA provenance, version 1 (<https://slsa.dev/spec/v1.0/provenance>).
pub const SLSA_PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// CycloneDX (in-toto's `spec/predicates/cyclonedx.md`).
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
/// SPDX (in-toto's `spec/predicates/spdx.md`).
pub const SPDX: &str = "https://spdx.dev/Document";
/// A scan for vulnerabilities, as cosign has it (its `specs/COSIGN_VULN_ATTESTATION_SPEC.md`).
pub const COSIGN_VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
/// Anything (cosign's `specs/COSIGN_PREDICATE_SPEC.md`).
pub const COSIGN_CUSTOM: &str = "https://cosign.sigstore.dev/attestation/v1";
/// `OpenVEX` (<https://github.com/openvex/spec>).
pub const OPENVEX: &str = "https://openvex.dev/ns";
/// How tests ended (in-toto's `spec/predicates/test-result.md`).
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// The names by which cosign and we call predicates' types.
const NAMES: [(&str, &str); 8] = [
    ("slsaprovenance1", SLSA_PROVENANCE_V1),
    ("cyclonedx", CYCLONEDX),
    ("spdxjson", SPDX),
    ("vuln", COSIGN_VULN),
    ("openvex", OPENVEX),
    ("test-result", TEST_RESULT),
    ("custom", COSIGN_CUSTOM),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
];

/// Why a predicate can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPredicate(String);

/// The type that a name or an address stands for.
pub fn type_of(name: &str) -> Result<String, BadPredicate> {
    if let Some((_, address)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok((*address).to_owned());
    }
    if name.len() <= 500 && name.contains("://") && !name.contains(char::is_whitespace) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    Err(BadPredicate(format!(
        "`{name}` is no type of predicate: expected is one of {}, or an address",
        names.join(", ")
    )))
}

/// The predicate in a file, checked as far as its type says what has to be there.
pub fn from_file(predicate_type: &str, text: &str, now: Timestamp) -> Result<Value, BadPredicate> {
    if predicate_type == COSIGN_CUSTOM {
        // cosign's own form takes any text, also what is not JSON.
        return Ok(json!({ "Data": text, "Timestamp": second(now) }));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| BadPredicate(format!("it is no JSON: {error}")))?;
    if !value.is_object() {
        return Err(BadPredicate("it is no JSON object".to_owned()));
    }
    let needed: &[&str] = match predicate_type {
        SLSA_PROVENANCE_V1 => {
            &["/buildDefinition/buildType", "/buildDefinition/externalParameters", "/runDetails/builder/id"]
        }
        CYCLONEDX => &["/bomFormat", "/specVersion"],
        COSIGN_VULN => &["/scanner", "/metadata/scanStartedOn", "/metadata/scanFinishedOn"],
        TEST_RESULT => &["/result", "/configuration"],
        OPENVEX => &["/@context", "/statements"],
        _ => &[],
    };
    if let Some(missing) = needed.iter().find(|pointer| value.pointer(pointer).is_none_or(Value::is_null)) {
        let path = missing.trim_start_matches('/').replace('/', ".");
        return Err(BadPredicate(format!("it has no `{path}`, which a predicate `{predicate_type}` has")));
    }
    if predicate_type == SPDX && value.get("spdxVersion").is_none() && value.get("@graph").is_none() {
        return Err(BadPredicate("it has neither `spdxVersion` (SPDX 2) nor `@graph` (SPDX 3)".to_owned()));
    }
    Ok(value)
}

/// Where an image comes from: one flight built it from one commit.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// Who built it, as an address that stands for how far it can be trusted.
    pub builder_id: String,
    /// How it was built, as an address that says what the parameters mean.
    pub build_type: String,
    /// What could have been another: the repository, the reference, the workflow's file.
    pub external_parameters: Map<String, Value>,
    /// The repository's address.
    pub source: String,
    /// The commit.
    pub commit: CommitId,
    /// What else it was built from, by address, with digests by algorithm.
    pub dependencies: Vec<Dependency>,
    /// The flight.
    pub flight: FlightId,
    /// When the build began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// Something that a build has used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Its address, such as `docker://debian:12` or a package URL.
    pub uri: String,
    /// Its digests by algorithm.
    pub digest: BTreeMap<String, String>,
}

/// SLSA provenance version 1. The commit is the first of what was resolved.
pub fn provenance(about: &Provenance) -> Value {
    // SLSA and in-toto name a Git commit's digest by `gitCommit`, whichever hash the repository uses.
    let digest = BTreeMap::from([("gitCommit".to_owned(), about.commit.as_str().to_owned())]);
    let mut resolved = vec![Dependency { uri: about.source.clone(), digest }];
    resolved.extend(about.dependencies.iter().cloned());
    json!({
        "buildDefinition": {
            "buildType": about.build_type,
            "externalParameters": about.external_parameters,
            "resolvedDependencies": resolved,
        },
        "runDetails": {
            "builder": { "id": about.builder_id },
            "metadata": {
                "invocationId": about.flight,
                "startedOn": second(about.started),
                "finishedOn": second(about.finished),
            },
        },
    })
}

/// A scan for vulnerabilities.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The scanner, as an address.
    pub scanner: String,
    /// Its version.
    pub version: String,
    /// The database that it used, as an address, and its version.
    pub database: (String, String),
    /// What it found, in its own form.
    pub result: Value,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// The result of a scan, as cosign's `vuln` has it.
pub fn scan(about: &Scan) -> Value {
    json!({
        "invocation": { "parameters": null, "uri": "", "event_id": "", "builder.id": "" },
        "scanner": {
            "uri": about.scanner,
            "version": about.version,
            "db": { "uri": about.database.0, "version": about.database.1 },
            "result": about.result,
        },
        "metadata": { "scanStartedOn": second(about.started), "scanFinishedOn": second(about.finished) },
    })
}

/// How tests ended.
#[derive(Debug, Clone, Default)]
pub struct Tests {
    /// What was run, such as a workflow's file, by address, with digests by algorithm.
    pub configuration: Vec<Dependency>,
    /// Where more is told.
    pub url: Option<String>,
    /// Names of those that passed.
    pub passed: Vec<String>,
    /// Names of those that passed, but warn.
    pub warned: Vec<String>,
    /// Names of those that failed.
    pub failed: Vec<String>,
}

/// The result of tests: `FAILED` if one failed, `WARNED` if one warns, else `PASSED`.
pub fn tests(about: &Tests) -> Value {
    let result = match (about.failed.is_empty(), about.warned.is_empty()) {
        (false, _) => "FAILED",
        (true, false) => "WARNED",
        (true, true) => "PASSED",
    };
    let mut value = json!({ "result": result, "configuration": about.configuration });
    let lists = [("passedTests", &about.passed), ("warnedTests", &about.warned), ("failedTests", &about.failed)];
    if let Some(object) = value.as_object_mut() {
        if let Some(url) = &about.url {
            object.insert("url".to_owned(), json!(url));
        }
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            object.insert(name.to_owned(), json!(list));
        }
    }
    value
}

/// RFC 3339 in whole seconds, as these formats have it.
fn second(time: Timestamp) -> String {
    format!("{time:.0}")
}
