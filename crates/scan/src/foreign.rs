//! Reports of other scanners, so that a team's own can feed the gate: Trivy's, Grype's, osv-scanner's and any in SARIF.

use prograde_model::Diagnostic;
use serde_json::Value;

use crate::codes;
use crate::finding::{About, Commit, Finding, Kind};
use crate::severity::{Severity, score};

/// The most findings of one report.
const FINDINGS_MAX: usize = 1_000_000;

/// Reads a report; its kind is told by its form.
pub fn read(file: &str, text: &[u8]) -> Result<Vec<Finding>, Diagnostic> {
    let bad = |why: String| {
        let hint = "expected the JSON of `trivy --format json`, `grype -o json`, `osv-scanner --format json`, or SARIF";
        Diagnostic::file(codes::REPORT_FORM, file, why, hint)
    };
    let report: Value = serde_json::from_slice(text).map_err(|error| {
        bad(format!("it is no JSON: {error}")).at(u32::try_from(error.line()).unwrap_or(u32::MAX), 0)
    })?;
    let (name, findings) = if report.get("SchemaVersion").is_some()
        || report.get("Results").is_some_and(Value::is_array)
        || report.get("ArtifactName").is_some()
    {
        ("trivy", trivy(&report))
    } else if report.get("matches").is_some_and(Value::is_array) {
        ("grype", grype(&report))
    } else if report.get("results").is_some_and(|results| results.is_array() || results.is_null()) {
        ("osv-scanner", osv_scanner(&report))
    } else if report.get("runs").is_some_and(Value::is_array) {
        ("sarif", sarif(&report))
    } else {
        return Err(bad("it is no report that is known".to_owned()));
    };
    if findings.len() > FINDINGS_MAX {
        return Err(Diagnostic::file(codes::TOO_LARGE, file, format!("it has more than {FINDINGS_MAX} findings"), ""));
    }
    let named = |mut finding: Finding| {
        finding.reported_by.get_or_insert_with(|| name.to_owned());
        finding
    };
    Ok(findings.into_iter().map(named).collect())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn line(value: Option<&Value>) -> u32 {
    value.and_then(Value::as_u64).and_then(|line| u32::try_from(line).ok()).unwrap_or(0)
}

fn word(word: &str) -> Severity {
    Severity::of_word(word).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 200 { line.chars().take(199).chain(['…']).collect() } else { line }
}

/// Trivy (trivy.dev/latest/docs/configuration/reporting, "JSON").
fn trivy(report: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for result in list(report, "Results") {
        let target = text(result, "Target");
        findings.extend(
            list(result, "Vulnerabilities").iter().map(|one| trivy_vulnerability(one, text(result, "Type"), target)),
        );
        for one in list(result, "Misconfigurations").iter().filter(|one| text(one, "Status") != "PASS") {
            let place = one.get("CauseMetadata").map_or(0, |cause| line(cause.get("StartLine")));
            let id = some(text(one, "ID")).or_else(|| some(text(one, "AVDID"))).unwrap_or_default();
            let title = some(text(one, "Message")).unwrap_or_else(|| text(one, "Title").to_owned());
            let mut finding =
                Finding::new(Kind::Misconfiguration, id, word(text(one, "Severity")), one_line(&title), target, place);
            finding.aliases = some(text(one, "AVDID")).into_iter().filter(|alias| *alias != finding.id).collect();
            text(one, "Resolution").clone_into(&mut finding.remedy);
            finding.references = some(text(one, "PrimaryURL")).into_iter().collect();
            findings.push(finding);
        }
        for one in list(result, "Secrets") {
            let title = one_line(text(one, "Title"));
            findings.push(Finding::new(
                Kind::Secret,
                text(one, "RuleID"),
                word(text(one, "Severity")),
                title,
                target,
                line(one.get("StartLine")),
            ));
        }
        for one in list(result, "Licenses") {
            let title = format!("`{}` is {}", text(one, "Name"), text(one, "Category"));
            let about = About {
                ecosystem: text(result, "Type").to_owned(),
                name: text(one, "PkgName").to_owned(),
                version: None,
                fixed_in: None,
                purl: String::new(),
            };
            let file = some(text(one, "FilePath")).unwrap_or_else(|| target.to_owned());
            findings.push(
                Finding::new(Kind::Licence, text(one, "Name"), word(text(one, "Severity")), title, &file, 0)
                    .about(about),
            );
        }
    }
    findings
}

fn trivy_vulnerability(one: &Value, ecosystem: &str, target: &str) -> Finding {
    let id = text(one, "VulnerabilityID");
    let title =
        [text(one, "Title"), text(one, "Description"), id].into_iter().find(|text| !text.is_empty()).map(one_line);
    let purl = one.get("PkgIdentifier").map(|identifier| text(identifier, "PURL")).unwrap_or_default();
    let fixed = text(one, "FixedVersion");
    let about = About {
        ecosystem: ecosystem.to_owned(),
        name: text(one, "PkgName").to_owned(),
        version: some(text(one, "InstalledVersion")),
        fixed_in: some(fixed),
        purl: purl.to_owned(),
    };
    let file = some(text(one, "PkgPath")).unwrap_or_else(|| target.to_owned());
    let mut finding =
        Finding::new(Kind::Vulnerability, id, word(text(one, "Severity")), title.unwrap_or_default(), &file, 0)
            .about(about);
    finding.aliases = texts(one, "VendorIDs");
    finding.weaknesses = texts(one, "CweIDs");
    finding.references = some(text(one, "PrimaryURL")).into_iter().collect();
    let vendors = one.get("CVSS").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
    for vector in vendors.flat_map(|vendor| [text(vendor, "V40Vector"), text(vendor, "V3Vector")]) {
        if let Some(score) = score(vector).filter(|score| finding.score.is_none_or(|before| before < *score)) {
            finding.score = Some(score);
            finding.vector = Some(vector.to_owned());
        }
    }
    finding
}

/// Grype (github.com/anchore/grype, `grype/presenter/models`).
fn grype(report: &Value) -> Vec<Finding> {
    let empty = Value::Null;
    let mut findings = Vec::new();
    for one in list(report, "matches") {
        let (vulnerability, artifact) =
            (one.get("vulnerability").unwrap_or(&empty), one.get("artifact").unwrap_or(&empty));
        let fix = vulnerability.get("fix").unwrap_or(&empty);
        let about = About {
            ecosystem: text(artifact, "type").to_owned(),
            name: text(artifact, "name").to_owned(),
            version: some(text(artifact, "version")),
            fixed_in: texts(fix, "versions").into_iter().next(),
            purl: text(artifact, "purl").to_owned(),
        };
        let related = list(one, "relatedVulnerabilities");
        let described = std::iter::once(vulnerability)
            .chain(related)
            .map(|one| text(one, "description"))
            .find(|text| !text.is_empty());
        let id = text(vulnerability, "id");
        let file = list(artifact, "locations").first().map(|place| text(place, "path")).unwrap_or_default();
        let title = one_line(described.unwrap_or(id));
        let mut finding = Finding::new(
            Kind::Vulnerability,
            id,
            word(text(vulnerability, "severity")),
            title,
            file.trim_start_matches('/'),
            0,
        )
        .about(about);
        finding.aliases = related
            .iter()
            .map(|one| text(one, "id").to_owned())
            .filter(|alias| alias != id && !alias.is_empty())
            .collect();
        finding.references = some(text(vulnerability, "dataSource")).into_iter().collect();
        for cvss in list(vulnerability, "cvss").iter().chain(related.iter().flat_map(|one| list(one, "cvss"))) {
            let vector = text(cvss, "vector");
            if let Some(score) = score(vector).filter(|score| finding.score.is_none_or(|before| before < *score)) {
                finding.score = Some(score);
                finding.vector = Some(vector.to_owned());
            }
        }
        findings.push(finding);
    }
    findings
}

/// osv-scanner (google.github.io/osv-scanner/output, "JSON").
fn osv_scanner(report: &Value) -> Vec<Finding> {
    let empty = Value::Null;
    let mut findings = Vec::new();
    for result in list(report, "results") {
        let file = result.get("source").map(|source| text(source, "path")).unwrap_or_default();
        for package in list(result, "packages") {
            let named = package.get("package").unwrap_or(&empty);
            let vulnerabilities = list(package, "vulnerabilities");
            for group in list(package, "groups") {
                let ids = texts(group, "ids");
                let one =
                    vulnerabilities.iter().find(|one| ids.iter().any(|id| id == text(one, "id"))).unwrap_or(&empty);
                let id = ids.first().cloned().unwrap_or_else(|| text(one, "id").to_owned());
                let about = About {
                    ecosystem: text(named, "ecosystem").to_owned(),
                    name: text(named, "name").to_owned(),
                    version: some(text(named, "version")),
                    fixed_in: osv_fixed(one, text(named, "name")),
                    purl: String::new(),
                };
                let number = text(group, "max_severity").parse::<f64>().ok();
                let said = one.get("database_specific").map(|specific| text(specific, "severity")).unwrap_or_default();
                let severity = number.map_or_else(|| word(said), Severity::of_score);
                let title = some(text(one, "summary")).unwrap_or_else(|| id.clone());
                let mut finding =
                    Finding::new(Kind::Vulnerability, &id, severity, one_line(&title), file, 0).about(about);
                finding.score = number;
                let mut aliases = texts(group, "aliases");
                aliases.extend(ids);
                aliases.retain(|alias| *alias != finding.id);
                aliases.sort();
                aliases.dedup();
                finding.aliases = aliases;
                findings.push(finding);
            }
        }
    }
    findings
}

fn osv_fixed(one: &Value, name: &str) -> Option<String> {
    let about = list(one, "affected")
        .iter()
        .filter(|affected| affected.get("package").is_some_and(|package| text(package, "name") == name));
    let events = about
        .flat_map(|affected| list(affected, "ranges"))
        .filter(|range| text(range, "type") != "GIT")
        .flat_map(|range| list(range, "events"));
    let fixed: Vec<String> = events.filter_map(|event| some(text(event, "fixed"))).collect();
    Some(fixed.join(", ")).filter(|text| !text.is_empty())
}

/// SARIF of any tool.
fn sarif(report: &Value) -> Vec<Finding> {
    let empty = Value::Null;
    let mut findings = Vec::new();
    for run in list(report, "runs") {
        let driver = run.get("tool").and_then(|tool| tool.get("driver")).unwrap_or(&empty);
        let rules = list(driver, "rules");
        for result in list(run, "results").iter().filter(|result| list(result, "suppressions").is_empty()) {
            let id = text(result, "ruleId");
            let rule = rules.iter().find(|rule| text(rule, "id") == id).unwrap_or(&empty);
            let number = rule
                .get("properties")
                .map(|properties| text(properties, "security-severity"))
                .and_then(|text| text.parse::<f64>().ok());
            let level = some(text(result, "level"))
                .or_else(|| some(text(rule.get("defaultConfiguration").unwrap_or(&empty), "level")));
            let severity = number.map_or_else(|| word(level.as_deref().unwrap_or("warning")), Severity::of_score);
            let place =
                list(result, "locations").first().and_then(|place| place.get("physicalLocation")).unwrap_or(&empty);
            let file = place.get("artifactLocation").map(|artifact| text(artifact, "uri")).unwrap_or_default();
            let at = place.get("region").map_or(0, |region| line(region.get("startLine")));
            let message = result.get("message").map(|message| text(message, "text")).unwrap_or_default();
            let mut finding = Finding::new(Kind::Misconfiguration, id, severity, one_line(message), file, at);
            finding.score = number;
            finding.references = some(text(rule, "helpUri")).into_iter().collect();
            finding.reported_by = some(text(driver, "name"));
            finding.commit =
                run.get("versionControlProvenance").and_then(Value::as_array).and_then(|list| list.first()).and_then(
                    |one| {
                        Some(Commit { id: some(text(one, "revisionId"))?, date: String::new(), author: String::new() })
                    },
                );
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(report: &Value, expected: &[&str]) {
        let findings = read("r.json", report.to_string().as_bytes()).unwrap();
        let shown = |one: &Finding| {
            let package = one
                .package
                .as_ref()
                .map(|about| {
                    format!(
                        " {} {} fixed {}",
                        about.name,
                        about.version.clone().unwrap_or_default(),
                        about.fixed_in.clone().unwrap_or_default()
                    )
                })
                .unwrap_or_default();
            format!(
                "{} {} {} {}:{}{package}",
                one.reported_by.clone().unwrap(),
                one.severity,
                one.id,
                one.file,
                one.line
            )
        };
        assert_eq!(findings.iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn reports_are_told_by_their_form() {
        check(
            &json!({"SchemaVersion": 2, "Results": [{"Target": "Cargo.lock", "Type": "cargo", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "a", "InstalledVersion": "1", "FixedVersion": "2", "Severity": "HIGH", "Title": "t"}], "Misconfigurations": [{"ID": "DS002", "Severity": "MEDIUM", "Message": "m", "CauseMetadata": {"StartLine": 3}}]}]}),
            &["trivy high CVE-1 Cargo.lock:0 a 1 fixed 2", "trivy medium DS002 Cargo.lock:3"],
        );
        check(
            &json!({"matches": [{"vulnerability": {"id": "GHSA-1", "severity": "Critical", "fix": {"versions": ["2"]}}, "artifact": {"name": "a", "version": "1", "type": "npm", "locations": [{"path": "/x/package-lock.json"}]}}]}),
            &["grype critical GHSA-1 x/package-lock.json:0 a 1 fixed 2"],
        );
        check(
            &json!({"results": [{"source": {"path": "go.mod"}, "packages": [{"package": {"name": "a", "version": "1", "ecosystem": "Go"}, "vulnerabilities": [{"id": "GO-1", "affected": [{"package": {"name": "a"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2"}]}]}]}], "groups": [{"ids": ["GO-1", "GHSA-1"], "max_severity": "7.5"}]}]}]}),
            &["osv-scanner high GO-1 go.mod:0 a 1 fixed 2"],
        );
        check(
            &json!({"runs": [{"tool": {"driver": {"name": "other", "rules": [{"id": "r", "properties": {"security-severity": "9.1"}}]}}, "results": [{"ruleId": "r", "message": {"text": "m"}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "f"}, "region": {"startLine": 2}}}]}]}]}),
            &["other critical r f:2"],
        );
        for bad in ["", "{}", "[]", "{\"x\": 1}"] {
            assert_eq!(read("r", bad.as_bytes()).unwrap_err().code, "PG1232");
        }
    }
}
