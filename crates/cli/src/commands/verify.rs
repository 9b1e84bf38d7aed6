//! `prograde verify` and `prograde verify-attestation`: who vouches for an image.

mod identity;

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use prograde_sign::key::KeyFile;
use prograde_sign::{Asked, Found, Terms, Trust, Verified, codes};
use serde_json::{Value, json};

use self::identity::IdentityArgs;
use super::attest::predicate_type;
use super::sign::registry::{self, Place, RegistryArgs};
use super::sign::{annotation, annotations, keys};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Tone, one_line};
use crate::report::Report;

/// Check that a trusted key or identity vouches for an image
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde verify --key cosign.pub registry.example.com/team/app:v1.2.0
  prograde verify --trust trust.yaml --recorded-at 2026-03-01T12:00:00Z registry.example.com/team/app@sha256:1f2e...

  prograde verify --trusted-root trusted_root.json --certificate-identity eve@example.com \
    --certificate-oidc-issuer https://accounts.example.com registry.example.com/team/app:v1.2.0

Every signature that is found is shown, with the reason where it does not count. Signatures by cosign count too. The exit
code is 1 if none counts.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    about: About,
    /// Something else that the signature has to say
    #[arg(long = "annotation", short, value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
}

/// Check what trusted keys and identities say of an image
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde verify-attestation --key cosign.pub --type slsaprovenance1 registry.example.com/team/app@sha256:1f2e...
  prograde verify-attestation --trust trust.yaml --type cyclonedx --json IMAGE

With --json the predicates are printed as well. The exit code is 1 if no attestation counts.")]
pub(crate) struct VerifyAttestationArgs {
    #[command(flatten)]
    about: About,
    /// The type of predicate; by default all
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

/// What both are told.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whose").required(true))]
struct About {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The public key whose signatures count
    #[arg(long, value_name = "FILE", group = "whose")]
    key: Option<PathBuf>,
    /// A file with all keys and identities whose signatures count, and when and for which repositories they do
    #[arg(long, value_name = "FILE", group = "whose")]
    trust: Option<PathBuf>,
    /// When a record that you trust took note of the signature, for keys that have ended since; by default now
    #[arg(long, value_name = "TIME")]
    recorded_at: Option<Timestamp>,
    #[command(flatten)]
    identity: Box<IdentityArgs>,
    #[command(flatten)]
    registry: Box<RegistryArgs>,
}

/// Carries out `prograde verify`.
pub(crate) fn run(app: &App, args: &VerifyArgs) -> Result<Exit, Report> {
    let asked = Asked::Signatures(annotations(&args.annotations)?);
    check(app, &args.about, &asked, "signature")
}

/// Carries out `prograde verify-attestation`.
pub(crate) fn run_attestation(app: &App, args: &VerifyAttestationArgs) -> Result<Exit, Report> {
    let kind = args.kind.as_deref().map(predicate_type).transpose()?;
    check(app, &args.about, &Asked::Attestations(kind), "attestation")
}

fn check(app: &App, about: &About, asked: &Asked, what: &str) -> Result<Exit, Report> {
    let trust = trust(app, about)?;
    let place = Place::find(app, &about.registry, &about.image)?;
    let at = about.recorded_at.unwrap_or_else(|| app.printer.now());
    let terms = Terms { trust: &trust, at };
    let verified = prograde_sign::verify(&place.store, &place.image, asked, terms).map_err(registry::report)?;
    show(app, &place, &verified)?;
    if verified.holds() {
        return Ok(Exit::Done);
    }
    Err(refused(&place, &verified, what))
}

fn trust(app: &App, about: &About) -> Result<Trust, Report> {
    if let Some(path) = &about.trust {
        return Trust::read(path).map_err(Report::from);
    }
    if let Some(trust) = about.identity.trust()? {
        return Ok(trust);
    }
    let path = about.key.clone().unwrap_or_default();
    let file = KeyFile::read(&path).map_err(keys::report)?;
    keys::warn(app, &file, &path);
    let key = file.public().map_err(keys::report)?;
    Ok(Trust::of(&path.display().to_string(), key))
}

fn show(app: &App, place: &Place, verified: &Verified) -> Result<(), Report> {
    if app.printer.style().json {
        return app.printer.json(&json!({
            "image": place.name(),
            "repository": verified.image.repository.as_str(),
            "digest": verified.image.digest,
            "verified": verified.holds(),
            "found": verified.found.iter().map(as_json).collect::<Vec<Value>>(),
            "other_types": verified.others,
        }));
    }
    app.printer.line(place.name())?;
    let colour = app.printer.style().colour;
    for found in &verified.found {
        let (word, tone, text) = match &found.verdict {
            Ok(evidence) => {
                let kind = evidence.predicate.as_ref().map(|(kind, _)| format!(", {kind}")).unwrap_or_default();
                let bound = if evidence.bound { "" } else { ", names no repository" };
                ("good", Tone::Good, format!("{}{kind}{bound}", identity::told(evidence)))
            }
            Err(refusal) => ("refused", Tone::Bad, refusal.to_string()),
        };
        let place = one_line(&found.place);
        app.printer.line(format_args!(
            "  {} {}\n    {place}",
            tone.paint(&format!("{word:<8}"), colour),
            one_line(&text)
        ))?;
    }
    Ok(())
}

fn as_json(found: &Found) -> Value {
    let form = if found.bundle { "bundle" } else { "tag" };
    match &found.verdict {
        Ok(evidence) => {
            let (kind, predicate) = evidence.predicate.clone().unzip();
            json!({
                "place": found.place, "form": form, "counts": true, "key": evidence.key, "key_id": evidence.key_id,
                "certificate": evidence.certified.as_ref().map(identity::as_json),
                "names_repository": evidence.bound, "annotations": evidence.annotations,
                "predicate_type": kind, "predicate": predicate,
            })
        }
        Err(refusal) => json!({
            "place": found.place, "form": form, "counts": false, "reason": refusal.word(), "why": refusal.to_string(),
        }),
    }
}

fn refused(place: &Place, verified: &Verified, what: &str) -> Report {
    let name = place.name();
    let summary = match verified.found.len() {
        0 => format!("there is no {what} of {name}"),
        1 => format!("the {what} of {name} does not count"),
        count => format!("none of the {count} {what}s of {name} counts"),
    };
    let mut report = Report::new(codes::UNSIGNED, summary).exit(Exit::Refused);
    report.causes =
        verified.found.iter().filter_map(|found| found.verdict.as_ref().err()).map(ToString::to_string).collect();
    report.causes.dedup();
    report.causes.truncate(10);
    if verified.found.is_empty() && !verified.others.is_empty() {
        report
            .causes
            .push(format!("there are only others, whose signatures were not checked: {}", verified.others.join(", ")));
    }
    report
}
