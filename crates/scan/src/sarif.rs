//! Findings as SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), in the form that code scanning takes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::finding::{Finding, Kind};
use crate::severity::Severity;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The log.
pub fn write(findings: &[Finding], tool_version: &str) -> Value {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in findings {
        rules.entry(&finding.id).or_insert(finding);
    }
    let places: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(at, id)| (*id, at)).collect();
    let results: Vec<Value> =
        findings.iter().map(|finding| result(finding, places.get(finding.id.as_str()).copied())).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "prograde",
                "semanticVersion": tool_version,
                "rules": rules.values().map(|finding| rule(finding)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"ROOT": {"description": {"text": "what was scanned"}}},
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info | Severity::Unknown => "note",
    }
}

/// What GitHub sorts by where there is no score.
fn score(finding: &Finding) -> f64 {
    finding.score.unwrap_or(match finding.severity {
        Severity::Critical => 9.5,
        Severity::High => 8.0,
        Severity::Medium => 5.5,
        Severity::Low => 2.0,
        Severity::Info | Severity::Unknown => 0.0,
    })
}

fn rule(finding: &Finding) -> Value {
    let mut tags = vec!["security".to_owned(), finding.kind.word().to_owned()];
    tags.extend(finding.weaknesses.iter().map(|weakness| format!("external/cwe/{}", weakness.to_lowercase())));
    let mut rule = json!({
        "id": finding.id,
        "shortDescription": {"text": finding.title},
        "fullDescription": {"text": finding.title},
        "help": {"text": if finding.remedy.is_empty() { &finding.title } else { &finding.remedy }},
        "defaultConfiguration": {"level": level(finding.severity)},
        "properties": {"tags": tags, "precision": "high", "security-severity": format!("{:.1}", score(finding))},
    });
    let link = finding.references.iter().find(|link| link.starts_with("https://") || link.starts_with("http://"));
    if let (Value::Object(fields), Some(link)) = (&mut rule, link.filter(|link| !link.contains(char::is_whitespace))) {
        fields.insert("helpUri".to_owned(), json!(link));
    }
    rule
}

fn result(finding: &Finding, place: Option<usize>) -> Value {
    let mut text = match (&finding.package, &finding.masked) {
        (Some(package), _) => {
            let version = package.version.as_deref().unwrap_or("of an unknown version");
            format!("{} {version}: {}", package.name, finding.title)
        }
        (None, Some(masked)) => format!("{}: {masked}", finding.title),
        (None, None) => finding.title.clone(),
    };
    if !finding.remedy.is_empty() && finding.kind != Kind::Secret {
        text = format!("{text}. To do: {}", finding.remedy);
    }
    if let Some(commit) = &finding.commit {
        text = format!("{text} (came with commit {} of {})", commit.id, commit.date);
    }
    let mut location = json!({"artifactLocation": {"uri": uri(&finding.file), "uriBaseId": "ROOT"}});
    if let (Value::Object(fields), 1..) = (&mut location, finding.line) {
        fields.insert("region".to_owned(), json!({"startLine": finding.line}));
    }
    let mut result = json!({
        "ruleId": finding.id,
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"prograde/v1": finding.fingerprint},
    });
    if let Value::Object(fields) = &mut result {
        if let Some(place) = place {
            fields.insert("ruleIndex".to_owned(), json!(place));
        }
        if let Some(excepted) = &finding.excepted {
            let why = format!("{} ({}, until {})", excepted.reason, excepted.owner, excepted.expires);
            fields.insert(
                "suppressions".to_owned(),
                json!([{"kind": "external", "status": "accepted", "justification": why}]),
            );
        }
    }
    result
}

/// A path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'+' | b'@' => {
                uri.push(char::from(byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if uri.is_empty() { ".".to_owned() } else { uri }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_rules_places_and_suppressions() {
        let mut one = Finding::new(Kind::Secret, "r", Severity::High, "t", "a b/c.rs", 3);
        one.excepted =
            Some(crate::finding::Excepted { reason: "x".into(), owner: "y".into(), expires: "2026-01-01".into() });
        let log = write(&[one.clone(), one], "1.0.0");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 1);
        assert_eq!(run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "a%20b/c.rs");
        assert_eq!(run["results"][0]["suppressions"][0]["status"], "accepted");
    }
}
