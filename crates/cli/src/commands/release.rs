//! `prograde release`: what vouches for the image of a flight.

use clap::{Args, Subcommand};
use prograde_server::api::types::FoundView;
use serde_json::Value;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone, one_line};
use crate::report::Report;
use crate::text::{Cell, Table, bytes, counted};
use crate::wire::ReleaseEvidence;

/// Look at releases: what each is made of, where it comes from, and who vouches for it
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(subcommand)]
    command: ReleaseCommand,
}

/// What can be done with releases.
#[derive(Debug, Subcommand)]
enum ReleaseCommand {
    Show(ShowArgs),
}

/// Show a release's whole evidence, checked now: signatures, provenance, bill of materials, scan, tests
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde release show 3f2a91bc
  prograde release show 3f2a91bc --json | jq '.[0].found[] | select(.predicate_type == \"https://cyclonedx.org/bom\") | .predicate'

The exit code is 1 if something that lies beside an image does not hold.")]
struct ShowArgs {
    /// The flight's id, or the beginning of it
    #[arg(value_name = "FLIGHT")]
    flight: String,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &ReleaseArgs) -> Result<Exit, Report> {
    let ReleaseCommand::Show(args) = &args.command;
    let releases = app.client()?.evidence(&args.flight)?;
    if app.printer.style().json {
        app.printer.json(&releases)?;
    } else if releases.is_empty() {
        app.printer.note("Nothing", "was made yet: the flight has no image");
    } else {
        for release in &releases {
            app.printer.text(render(release, app.printer.style()))?;
        }
    }
    let refused = releases.iter().flat_map(|release| &release.found).any(|found| found.refused.is_some());
    Ok(if refused { Exit::Refused } else { Exit::Done })
}

fn render(release: &ReleaseEvidence, style: Style) -> String {
    let mut fields = vec![
        ("Service", release.service.to_string()),
        ("Commit", release.commit.to_string()),
        ("Image", format!("{} ({})", release.digest, bytes(release.size_bytes))),
    ];
    match &release.recorded {
        Some(evidence) => {
            fields.push(("Name", format!("{}@{}", evidence.repository, release.digest)));
            if let Some(also) = &evidence.also {
                fields.push(("Also", format!("{also}@{}", release.digest)));
            }
            fields.push(("Key", evidence.key_id.clone()));
        }
        None => fields.push(("Signed", "no: it was made before images were signed".to_owned())),
    }
    let mut text = String::new();
    for (name, value) in fields {
        text.extend([format!("{} {value}\n", Tone::Strong.paint(&format!("{name:<8}"), style.colour))]);
    }
    let mut table = Table::new(&["WHAT", "FORM", "SIGNED BY", "SAYS"]);
    for found in &release.found {
        let what = found.predicate_type.as_deref().map_or("signature", name);
        let (by, says, tone) = match &found.refused {
            Some(why) => ("-", one_line(why), Tone::Bad),
            None => (found.key.as_deref().unwrap_or("-"), says(found), Tone::Plain),
        };
        table.row(vec![Cell::new(what), Cell::new(&found.form), Cell::new(by), Cell::free(says, style).tone(tone)]);
    }
    if !release.found.is_empty() {
        text.extend(["\n".to_owned(), table.render(style)]);
    }
    text
}

/// What people call a type of predicate.
fn name(predicate_type: &str) -> &str {
    match predicate_type {
        "https://slsa.dev/provenance/v1" => "provenance",
        "https://cyclonedx.org/bom" => "bill of materials",
        "https://cosign.sigstore.dev/attestation/vuln/v1" => "scan",
        "https://in-toto.io/attestation/test-result/v0.1" => "tests",
        "https://sigstore.dev/cosign/sign/v1" => "signature",
        other => other,
    }
}

/// What an attestation says, in a few words.
fn says(found: &FoundView) -> String {
    let length = |pointer: &str| found.predicate.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let text = |pointer: &str| found.predicate.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match found.predicate_type.as_deref().map(name) {
        Some("provenance") => {
            let commit = text("/buildDefinition/externalParameters/commit");
            format!("built from {} by {}", commit.get(..8).unwrap_or(commit), text("/runDetails/builder/id"))
        }
        Some("bill of materials") => counted(length("/components"), "component"),
        Some("tests") => format!("{}, {} passed", text("/result"), counted(length("/passedTests"), "job")),
        Some("scan") => {
            let number = |pointer: &str| found.predicate.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            let packages = counted(number("/scanner/result/packages"), "package");
            format!("{}, {packages}", counted(number("/scanner/result/files"), "file"))
        }
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_and_what_does_not_is_shown() {
        let found = |what: Value| {
            let mut found = serde_json::json!({"place": "x", "form": "bundle", "key": "this server", "refused": null, "predicate_type": null});
            found.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
            found
        };
        let release: ReleaseEvidence = serde_json::from_value(serde_json::json!({
            "service": "pad", "commit": "a".repeat(40), "digest": format!("sha256:{}", "b".repeat(64)), "size_bytes": 2_000_000,
            "recorded": {"repository": "127.0.0.1:7878/pad", "key_id": "c".repeat(64), "attestations": []},
            "found": [
                found(serde_json::json!({})),
                found(serde_json::json!({"key": null, "refused": "no trusted key made this signature over this content"})),
                found(serde_json::json!({"predicate_type": "https://cyclonedx.org/bom", "predicate": {"components": [{}, {}]}})),
                found(serde_json::json!({"predicate_type": "https://slsa.dev/provenance/v1", "predicate": {
                    "buildDefinition": {"externalParameters": {"commit": "a".repeat(40)}}, "runDetails": {"builder": {"id": "https://b"}}}})),
            ],
        }))
        .unwrap();
        insta::assert_snapshot!("release_piped", render(&release, Style::default()));
    }
}
