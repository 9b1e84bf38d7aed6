//! What is attached to an image when it is pushed: what it is made of, and how it was made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use prograde_scan::sbom::{self, About};
use prograde_scan::walk::Ignored;
use prograde_scan::{codes, target};
use prograde_supply::Descriptor;
use prograde_supply::client::{Artifact, Reference};
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::scan::tell as scan_tell;
use crate::report::{self, Report};

/// Media type of CycloneDX in JSON (IANA).
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// Media type of in-toto's statements (in-toto attestation framework, "Statement").
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What kind of statement it is (SLSA 1.0, "Provenance").
const SLSA: &str = "https://slsa.dev/provenance/v1";
/// How an image is made here; docs/guides/images.md says what the parameters mean.
const BUILD_TYPE: &str = "urn:prograde:image-build:v1";

/// The bill of materials of what went into an image: of programs that say it, or of the lock files beside them.
pub(crate) fn bill(
    app: &App,
    reference: &Reference,
    programs: &[PathBuf],
    sources: &Path,
    created: Option<Timestamp>,
) -> Result<Option<Artifact>, Report> {
    let mut inventory = prograde_scan::package::Inventory::default();
    let mut by_sources = programs.is_empty();
    for program in programs {
        match target::inventory(program, Ignored::LookedAt) {
            Ok(found) => inventory.merge(found),
            // A program that does not say what it is made of: the lock files do.
            Err(found) if found.code == codes::UNKNOWN_TARGET => by_sources = true,
            Err(found) => {
                scan_tell::notes(app, &[found]);
                by_sources = true;
            }
        }
    }
    if by_sources {
        inventory.merge(target::inventory(sources, Ignored::LeftOut).map_err(scan_tell::refused)?);
    }
    scan_tell::notes(app, &inventory.notes);
    scan_tell::errors(app, &inventory.errors);
    if inventory.packages.is_empty() {
        app.printer
            .warning("no bill of materials is attached: neither the program nor a lock file says what it is made of");
        return Ok(None);
    }
    let about = About {
        name: reference.repository().name().to_owned(),
        version: reference.tag().map(str::to_owned),
        created: created.map(|time| format!("{time:.0}")),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let bytes = written(&sbom::cyclonedx(&inventory, &about))?;
    Ok(Some(Artifact {
        artifact_type: CYCLONEDX.to_owned(),
        parts: vec![(CYCLONEDX.to_owned(), bytes)],
        annotations: [("org.opencontainers.image.title".to_owned(), "bom.cdx.json".to_owned())].into(),
    }))
}

/// How an image was made.
pub(crate) struct Made<'a> {
    /// What was asked for.
    pub(crate) parameters: Value,
    /// What went in: each with a name and a SHA-256.
    pub(crate) materials: Vec<(String, String)>,
    /// The working tree that it was made in.
    pub(crate) sources: &'a Path,
    /// Who made it.
    pub(crate) builder: &'a str,
    /// When, if that is to be told.
    pub(crate) created: Option<Timestamp>,
}

/// The provenance of an image, not signed.
pub(crate) fn provenance(reference: &Reference, subject: &Descriptor, made: &Made<'_>) -> Result<Artifact, Report> {
    let mut dependencies: Vec<Value> =
        made.materials.iter().map(|(name, hex)| json!({ "uri": name, "digest": { "sha256": hex } })).collect();
    if let Some(commit) = git(made.sources, &["rev-parse", "--verify", "HEAD"]) {
        let origin = git(made.sources, &["config", "--get", "remote.origin.url"]);
        let origin = origin.map_or_else(|| "git+file:///".to_owned(), |url| format!("git+{}", without_password(&url)));
        dependencies.push(json!({ "uri": format!("{origin}@{commit}"), "digest": { "gitCommit": commit } }));
    }
    let mut metadata = json!({});
    if let (Some(created), Some(metadata)) = (made.created, metadata.as_object_mut()) {
        metadata.insert("finishedOn".to_owned(), json!(format!("{created:.0}")));
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": reference.repository().to_string(), "digest": { "sha256": subject.digest.hex() } }],
        "predicateType": SLSA,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": made.parameters,
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": made.builder, "version": { "prograde": env!("CARGO_PKG_VERSION") } },
                "metadata": metadata,
            },
        },
    });
    Ok(Artifact {
        artifact_type: IN_TOTO.to_owned(),
        parts: vec![(IN_TOTO.to_owned(), written(&statement)?)],
        annotations: [("in-toto.io/predicate-type".to_owned(), SLSA.to_owned())].into(),
    })
}

fn written(document: &Value) -> Result<Vec<u8>, Report> {
    serde_json::to_vec(document)
        .map_err(|error| Report::new(report::FILE, "a document can't be written").because(&error))
}

/// What Git says about a working tree; nothing where it is none.
fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| output.status.success() && !text.is_empty())
}

/// A remote's address as everybody may know it: tokens are often written into it.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}/{}", path.split(['?', '#']).next().unwrap_or_default())
        }
        // `git@host:path` names a user that is the same for all.
        None => match url.split_once('@') {
            Some((_, rest)) if rest.contains(':') => format!("ssh://{}", rest.replacen(':', "/", 1)),
            _ => "file:///".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_remotes_are_not_published() {
        for (url, public) in [
            ("https://me:t0ken@git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://t0ken@git.example/a/b.git?x=t0ken#t0ken", "https://git.example/a/b.git"),
            ("https://git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://a@b:t0ken@git.example/a", "https://git.example/a"),
            ("git@git.example:a/b.git", "ssh://git.example/a/b.git"),
            ("/home/me/secret", "file:///"),
        ] {
            assert_eq!(without_password(url), public);
        }
    }
}
