//! What a scan shows.

use prograde_scan::finding::{self, Finding, Kind};
use prograde_scan::sbom::About;
use prograde_scan::severity::Severity;
use prograde_scan::{sarif, vex};
use serde_json::{Map, Value, json};

use super::collect::Collected;
use super::{Format, ScanArgs, tell};
use crate::app::App;
use crate::printer::{Style, Tone};
use crate::report::Report;
use crate::text::{Cell, Table, counted};

/// Writes it in the form that was asked for.
pub(super) fn write(app: &App, args: &ScanArgs, collected: &Collected) -> Result<(), Report> {
    let json = app.printer.style().json;
    let format = args.format.unwrap_or(if json { Format::Json } else { Format::Table });
    let document = match format {
        Format::Table => return table(app, args, collected),
        Format::Json => as_json(args, collected),
        Format::Sarif => sarif::write(&collected.findings, env!("CARGO_PKG_VERSION")),
        Format::CyclonedxVex => vex::write(&collected.findings, &about(args)),
    };
    match &args.out {
        Some(path) => tell::write_file(path, &document),
        None => app.printer.json(&document),
    }
}

fn about(args: &ScanArgs) -> About {
    let full = args.target.canonicalize().unwrap_or_else(|_| args.target.clone());
    let name = full.file_name().map_or_else(|| "root".to_owned(), |name| name.to_string_lossy().into_owned());
    let created = args.created.map(|time| format!("{time:.0}"));
    About { name, version: None, created, tool_version: env!("CARGO_PKG_VERSION").to_owned() }
}

fn as_json(args: &ScanArgs, collected: &Collected) -> Value {
    let (excepted, counting): (Vec<&Finding>, Vec<&Finding>) =
        collected.findings.iter().partition(|finding| finding.excepted.is_some());
    let counts = finding::counts(&collected.findings);
    let summary: Map<String, Value> = Severity::ALL
        .into_iter()
        .map(|severity| (severity.word().to_owned(), json!(counts.get(&std::cmp::Reverse(severity)).unwrap_or(&0))))
        .collect();
    json!({
        "target": args.target,
        "packages": collected.packages,
        "files": collected.files,
        "database": collected.database,
        "summary": summary,
        "findings": counting,
        "excepted": excepted,
        "notes": collected.notes,
        "errors": collected.errors,
        "expired": collected.expired,
    })
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical | Severity::High => Tone::Bad,
        Severity::Medium => Tone::Warning,
        Severity::Low | Severity::Info | Severity::Unknown => Tone::Dim,
    }
}

fn table(app: &App, args: &ScanArgs, collected: &Collected) -> Result<(), Report> {
    let style = app.printer.style();
    let counting: Vec<&Finding> = collected.findings.iter().filter(|finding| finding.excepted.is_none()).collect();
    let mut text = String::new();
    for kind in [Kind::Vulnerability, Kind::Secret, Kind::Misconfiguration, Kind::Licence] {
        let own: Vec<&Finding> = counting.iter().copied().filter(|finding| finding.kind == kind).collect();
        if !own.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&table_of(kind, &own, style));
        }
    }
    match &args.out {
        Some(path) => tell::replace_file(path, text.as_bytes())?,
        None => app.printer.text(&text)?,
    }
    summary(app, collected, &counting);
    Ok(())
}

fn table_of(kind: Kind, findings: &[&Finding], style: Style) -> String {
    let mut table = match kind {
        Kind::Vulnerability => Table::new(&["SEVERITY", "PACKAGE", "INSTALLED", "FIXED IN", "ID", "TITLE", "WHERE"]),
        Kind::Secret => Table::new(&["SEVERITY", "RULE", "WHERE", "SECRET", "COMMIT", "TITLE"]),
        Kind::Misconfiguration => Table::new(&["SEVERITY", "RULE", "WHERE", "TITLE", "REMEDY"]),
        Kind::Licence => Table::new(&["SEVERITY", "PACKAGE", "VERSION", "TITLE", "WHERE"]),
    };
    for finding in findings {
        table.row(row(kind, finding, style));
    }
    table.render(style)
}

fn row(kind: Kind, finding: &Finding, style: Style) -> Vec<Cell> {
    let severity = Cell::new(finding.severity.word()).tone(tone(finding.severity));
    let place = if finding.line > 0 { format!("{}:{}", finding.file, finding.line) } else { finding.file.clone() };
    let package = finding.package.as_ref();
    let of = |text: Option<&String>| Cell::new(text.map(String::as_str).unwrap_or_default());
    let name = of(package.map(|package| &package.name));
    let version = of(package.and_then(|package| package.version.as_ref()));
    let title = Cell::free(&finding.title, style);
    match kind {
        Kind::Vulnerability => {
            let alias = finding.aliases.iter().find(|alias| alias.starts_with("CVE-"));
            let id = alias.map_or_else(|| finding.id.clone(), |alias| format!("{} ({alias})", finding.id));
            let fixed = of(package.and_then(|package| package.fixed_in.as_ref()));
            vec![severity, name, version, fixed, Cell::new(id), title, Cell::new(place)]
        }
        Kind::Secret => {
            let commit = finding.commit.as_ref().map(|commit| commit.id.chars().take(12).collect::<String>());
            vec![
                severity,
                Cell::new(&finding.id),
                Cell::new(place),
                of(finding.masked.as_ref()),
                of(commit.as_ref()),
                title,
            ]
        }
        Kind::Misconfiguration => {
            vec![severity, Cell::new(&finding.id), Cell::new(place), title, Cell::free(&finding.remedy, style)]
        }
        Kind::Licence => vec![severity, name, version, title, Cell::new(place)],
    }
}

fn summary(app: &App, collected: &Collected, counting: &[&Finding]) {
    let counts = finding::counts(&collected.findings);
    let parts: Vec<String> = counts.iter().map(|(severity, count)| format!("{count} {}", severity.0)).collect();
    let what = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
    let excepted = collected.findings.len() - counting.len();
    let excepted =
        if excepted > 0 { format!("; {} excepted", counted(excepted as u64, "finding")) } else { String::new() };
    let age = collected.database.as_ref().and_then(|database| database.age_days);
    let age =
        age.map(|age| format!("; the database is {} old", counted(age.unsigned_abs(), "day"))).unwrap_or_default();
    let packages = if collected.packages > 0 {
        format!(" in {}", counted(collected.packages as u64, "package"))
    } else {
        String::new()
    };
    app.printer.note("Found", format_args!("{what}{packages}{excepted}{age}"));
}
