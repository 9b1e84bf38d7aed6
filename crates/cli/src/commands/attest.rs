//! `prograde attest`: say something of an image, signed.

use std::path::{Path, PathBuf};

use clap::Args;
use prograde_sign::{Statement, codes, predicate};
use serde_json::{Map, json};

use super::sign::keys::MakerArgs;
use super::sign::registry::{self, Place, RegistryArgs};
use super::sign::{Stored, keyless, told};
use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// The largest predicate, in bytes: with its envelope it is a third larger, and has to fit into what is read.
const PREDICATE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Say something of an image and sign it: provenance, a bill of materials, the result of a scan or of tests
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde sbom image.tar > bom.json
  prograde attest --key cosign.key --type cyclonedx --predicate bom.json registry.example.com/team/app@sha256:1f2e...
  prograde attest --key cosign.key --type https://example.com/review/v1 --predicate review.json IMAGE
  prograde attest --keyless --signing-config signing_config.json --type cyclonedx --predicate bom.json IMAGE

Types are slsaprovenance1, cyclonedx, spdxjson, vuln, openvex, test-result, custom, or the address of another type.
The statement follows in-toto, version 1, and names the repository and the digest of the image.")]
pub(crate) struct AttestArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    maker: MakerArgs,
    /// What the predicate is
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// The file that holds what is said
    #[arg(long, value_name = "FILE")]
    predicate: PathBuf,
    /// How it is stored; by default in both forms, and without a key as a bundle
    #[arg(long, value_enum, value_name = "FORM")]
    form: Option<Stored>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &AttestArgs) -> Result<Exit, Report> {
    let kind = predicate_type(&args.kind)?;
    let now = app.printer.now();
    let text = read(&args.predicate)?;
    let value = predicate::from_file(&kind, &text, now).map_err(|error| {
        Report::new(codes::PREDICATE, format!("{} can't be used as a predicate: {error}", args.predicate.display()))
    })?;
    let (more, about) = (json!({ "predicate_type": kind }), |place: &Place| {
        Statement::about(&place.image.repository, &place.image.digest, &kind, value)
    });
    if args.maker.keyless.is_on() {
        keyless::form(args.form)?;
        let place = Place::find(app, &args.registry, &args.image)?;
        let statement = about(&place);
        return args.maker.keyless.run(app, "Attested", &place, Some(&statement), &Map::new(), &more);
    }
    let (signer, form) = (args.maker.signer(app)?, args.form.unwrap_or(Stored::Both));
    let place = Place::find(app, &args.registry, &args.image)?;
    let statement = about(&place);
    let _turn = args.maker.turn();
    prograde_sign::attest(&place.store, &place.image, &statement, signer.as_ref(), form.form(), now)
        .map_err(registry::report)?;
    told(app, &place, "Attested", &signer.public_key().id(), form, &more)
}

/// The type that a name stands for.
pub(crate) fn predicate_type(name: &str) -> Result<String, Report> {
    predicate::type_of(name).map_err(|error| Report::new(codes::PREDICATE, error.to_string()))
}

fn read(path: &Path) -> Result<String, Report> {
    let size = std::fs::metadata(path).map_err(|error| Report::file("read", path, &error))?.len();
    if size > PREDICATE_BYTES_MAX {
        let what = format!("{} has {size} bytes, and no more than {PREDICATE_BYTES_MAX} are read", path.display());
        return Err(Report::new(codes::LIMIT, what));
    }
    std::fs::read_to_string(path).map_err(|error| Report::file("read", path, &error))
}
