//! `prograde sign`: vouch for an image with a key, or without one as somebody. Beside it what all commands about signatures share.

pub(crate) mod keyless;
pub(crate) mod keys;
pub(crate) mod registry;
mod services;

use clap::{Args, ValueEnum};
use prograde_sign::Form;
use serde_json::{Map, Value, json};

use self::keys::MakerArgs;
use self::registry::{Place, RegistryArgs};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Sign an image as cosign does, with a key, or without one as the owner of an identity token
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde sign --key cosign.key registry.example.com/team/app@sha256:1f2e...
  prograde sign --key signer.yaml -a commit=3f9c... registry.example.com/team/app:v1.2.0
  prograde sign --keyless --signing-config signing_config.json registry.example.com/team/app@sha256:1f2e...

A tag is resolved once; what is signed and shown is the digest. The signature names the repository, so that it can't be
used for the same image elsewhere. It is stored beside the image, for cosign 1 and 2 under a tag and for cosign 3 as a
bundle. With a key nothing is sent to a transparency log. Without one the log that the signing configuration names learns
who signed what, for ever; there is no configuration by default, so that nothing is sent to anybody unasked.")]
pub(crate) struct SignArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    maker: MakerArgs,
    /// Something else that the signature says
    #[arg(long = "annotation", short, value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// How it is stored; by default in both forms, and without a key as a bundle
    #[arg(long, value_enum, value_name = "FORM")]
    form: Option<Stored>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// How a signature is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stored {
    /// Under a tag, for cosign 1 and 2
    Tag,
    /// As a bundle that refers to the image, for cosign 3
    Bundle,
    /// In both forms
    Both,
}

impl Stored {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Tag => Form::Tag,
            Self::Bundle => Form::Bundle,
            Self::Both => Form::Both,
        }
    }

    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Tag => &["tag"],
            Self::Bundle => &["bundle"],
            Self::Both => &["tag", "bundle"],
        }
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    if key.is_empty() { Err("the key is empty".to_owned()) } else { Ok((key.to_owned(), value.to_owned())) }
}

/// Annotations as they stand in a signature; a key that is there twice is a mistake.
pub(crate) fn annotations(given: &[(String, String)]) -> Result<Map<String, Value>, Report> {
    let mut map = Map::new();
    for (key, value) in given {
        if map.insert(key.clone(), Value::String(value.clone())).is_some() {
            return Err(Report::new(report::ARGUMENT, format!("the annotation `{key}` is given twice")));
        }
    }
    Ok(map)
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &SignArgs) -> Result<Exit, Report> {
    let annotations = annotations(&args.annotations)?;
    let more = json!({ "annotations": annotations });
    if args.maker.keyless.is_on() {
        keyless::form(args.form)?;
        let place = Place::find(app, &args.registry, &args.image)?;
        return args.maker.keyless.run(app, "Signed", &place, None, &annotations, &more);
    }
    let (signer, form) = (args.maker.signer(app)?, args.form.unwrap_or(Stored::Both));
    let place = Place::find(app, &args.registry, &args.image)?;
    let now = app.printer.now();
    let _turn = args.maker.turn();
    prograde_sign::sign(&place.store, &place.image, &annotations, signer.as_ref(), form.form(), now)
        .map_err(registry::report)?;
    told(app, &place, "Signed", signer.public_key().id().as_str(), form, &more)
}

/// Says what was signed: the digest as data, the rest beside it.
pub(crate) fn told(
    app: &App,
    place: &Place,
    verb: &str,
    key_id: &str,
    form: Stored,
    more: &Value,
) -> Result<Exit, Report> {
    let name = place.name();
    if app.printer.style().json {
        let mut said = json!({
            "image": name, "repository": place.image.repository.as_str(), "digest": place.image.digest,
            "key_id": key_id, "forms": form.names(),
        });
        if let (Some(said), Some(more)) = (said.as_object_mut(), more.as_object()) {
            said.extend(more.clone());
        }
        app.printer.json(&said)?;
        return Ok(Exit::Done);
    }
    app.printer.line(&name)?;
    let short = key_id.get(..12).unwrap_or(key_id);
    app.printer.note(verb, format_args!("{name} with key {short}, stored as {}", form.names().join(" and ")));
    Ok(Exit::Done)
}
