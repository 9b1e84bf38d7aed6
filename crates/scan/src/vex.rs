//! Vulnerabilities as CycloneDX 1.6 VEX: each with its rating, the packages that it is in, and what was decided.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::finding::{Finding, Kind};
use crate::sbom::{About, number, tools};
use crate::severity::Severity;

/// The document. Packages are named by their package URLs, as in the bill of materials.
pub fn write(findings: &[Finding], about: &About) -> Value {
    let mut by_id: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.kind == Kind::Vulnerability) {
        by_id.entry(&finding.id).or_default().push(finding);
    }
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    for package in findings
        .iter()
        .filter(|finding| finding.kind == Kind::Vulnerability)
        .filter_map(|finding| finding.package.as_ref())
    {
        let name = reference(package);
        let mut component = json!({"type": "library", "bom-ref": name, "name": package.name});
        if let Value::Object(fields) = &mut component {
            fields.extend(package.version.as_ref().map(|version| ("version".to_owned(), json!(version))));
            if !package.purl.is_empty() {
                fields.insert("purl".to_owned(), json!(package.purl));
            }
        }
        components.insert(name, component);
    }
    let mut metadata = json!({"tools": tools(about), "component": {"type": "application", "bom-ref": "prograde:root", "name": about.name}});
    if let (Value::Object(fields), Some(created)) = (&mut metadata, &about.created) {
        fields.insert("timestamp".to_owned(), json!(created));
    }
    let vulnerabilities: Vec<Value> = by_id.values().map(|all| vulnerability(all)).collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": components.into_values().collect::<Vec<_>>(),
        "vulnerabilities": vulnerabilities,
    });
    number(&mut document);
    document
}

fn reference(package: &crate::finding::About) -> String {
    if package.purl.is_empty() {
        format!("{}@{}", package.name, package.version.as_deref().unwrap_or_default())
    } else {
        package.purl.clone()
    }
}

fn vulnerability(all: &[&Finding]) -> Value {
    let Some(first) = all.first() else { return Value::Null };
    let mut rating = json!({"severity": severity(first.severity)});
    if let Value::Object(fields) = &mut rating {
        fields.extend(first.score.map(|score| ("score".to_owned(), json!(score))));
        if let Some(vector) = &first.vector {
            fields.insert("method".to_owned(), json!(method(vector)));
            fields.insert("vector".to_owned(), json!(vector));
        }
    }
    let weaknesses: Vec<u32> = first
        .weaknesses
        .iter()
        .filter_map(|one| one.strip_prefix("CWE-")?.parse().ok())
        .filter(|number| *number > 0)
        .collect();
    let packages: BTreeSet<String> = all.iter().filter_map(|finding| finding.package.as_ref()).map(reference).collect();
    let fixed: BTreeSet<&str> =
        all.iter().filter_map(|finding| finding.package.as_ref()?.fixed_in.as_deref()).collect();
    let mut value = json!({"bom-ref": first.id, "id": first.id, "source": {"name": source(&first.id)}});
    let Value::Object(fields) = &mut value else { return value };
    if !first.aliases.is_empty() {
        let references = first.aliases.iter().map(|alias| json!({"id": alias, "source": {"name": source(alias)}}));
        fields.insert("references".to_owned(), references.collect());
    }
    fields.insert("ratings".to_owned(), json!([rating]));
    if !weaknesses.is_empty() {
        fields.insert("cwes".to_owned(), json!(weaknesses));
    }
    fields.insert("description".to_owned(), json!(first.title));
    if !fixed.is_empty() {
        fields.insert(
            "recommendation".to_owned(),
            json!(format!("use {} or later", fixed.into_iter().collect::<Vec<_>>().join(" or "))),
        );
    }
    let links: Vec<Value> = first
        .references
        .iter()
        .filter(|link| !link.contains(char::is_whitespace))
        .map(|link| json!({"url": link}))
        .collect();
    if !links.is_empty() {
        fields.insert("advisories".to_owned(), json!(links));
    }
    fields.insert("analysis".to_owned(), analysis(all));
    fields.insert("affects".to_owned(), packages.iter().map(|name| json!({"ref": name})).collect());
    value
}

/// What was decided: where all findings have an exception, it says so with its reason; else it is to be looked at.
fn analysis(all: &[&Finding]) -> Value {
    let excepted: Vec<_> = all.iter().filter_map(|finding| finding.excepted.as_ref()).collect();
    match excepted.first() {
        Some(one) if excepted.len() == all.len() => {
            let detail = format!("{} ({}, until {})", one.reason, one.owner, one.expires);
            json!({"state": "exploitable", "response": ["will_not_fix"], "detail": detail})
        }
        _ => json!({"state": "in_triage"}),
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "unknown",
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn method(vector: &str) -> &'static str {
    match vector.get(..9) {
        Some("CVSS:4.0/") => "CVSSv4",
        Some("CVSS:3.1/") => "CVSSv31",
        Some("CVSS:3.0/") => "CVSSv3",
        Some(_) | None => "other",
    }
}

fn source(id: &str) -> &'static str {
    let known = [
        ("GHSA-", "GitHub Advisories"),
        ("CVE-", "NVD"),
        ("RUSTSEC-", "RustSec"),
        ("PYSEC-", "PyPA"),
        ("GO-", "Go"),
        ("DSA-", "Debian"),
        ("DLA-", "Debian"),
    ];
    known.iter().find(|(prefix, _)| id.starts_with(prefix)).map_or("OSV", |(_, name)| name)
}
