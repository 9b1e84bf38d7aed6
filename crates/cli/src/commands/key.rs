//! `prograde key`: make and show keys that sign images.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prograde_sign::key::{KeyFile, PrivateKey, Signer as _};
use serde_json::json;

use super::sign::keys::{self, PasswordArgs};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Make and show keys that sign images
#[derive(Debug, Args)]
pub(crate) struct KeyCommandArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
enum KeyCommand {
    Generate(GenerateArgs),
    Import(ImportArgs),
    Public(PublicArgs),
}

/// Make a pair of keys: `PREFIX.key`, encrypted with a password, and `PREFIX.pub`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde key generate
  prograde key generate --output-key-prefix keys/release-2026 --password-file password

The files are cosign's: each program uses those of the other. The algorithm is ECDSA on P-256 with SHA-256.")]
struct GenerateArgs {
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Encrypt a private key that is there already (PKCS #8 or OpenSSL's form) in cosign's form
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  prograde key import plain.pem --output-key-prefix release

The file that was read stays as it is: remove it once the new one works.")]
struct ImportArgs {
    /// The private key
    #[arg(value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Where a pair goes.
#[derive(Debug, Args)]
struct OutArgs {
    /// What the names of both files begin with; files that are there are never replaced
    #[arg(long, default_value = "cosign", value_name = "PREFIX")]
    output_key_prefix: PathBuf,
}

/// Show the public key of a private one
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  prograde key public --key cosign.key > cosign.pub")]
struct PublicArgs {
    #[command(flatten)]
    key: keys::KeyArgs,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &KeyCommandArgs) -> Result<Exit, Report> {
    match &args.command {
        KeyCommand::Generate(args) => {
            // Before the user is asked for a password in vain.
            args.out.check()?;
            let password = args.password.new_one(app)?;
            let key = PrivateKey::generate().map_err(keys::report)?;
            args.out.write(app, "Generated", &key, password.bytes())
        }
        KeyCommand::Import(args) => {
            args.out.check()?;
            let file = KeyFile::read(&args.key).map_err(keys::report)?;
            keys::warn(app, &file, &args.key);
            // One that is encrypted already keeps its password.
            let password =
                if file.is_encrypted() { args.password.known(app, &args.key)? } else { args.password.new_one(app)? };
            let key = file.private(Some(&password)).map_err(keys::report)?;
            args.out.write(app, "Imported", &key, password.bytes())
        }
        KeyCommand::Public(args) => {
            let public = args.key.signer(app)?.public_key().clone();
            let pem = public.to_pem().map_err(keys::report)?;
            if app.printer.style().json {
                let algorithm = public.algorithm().as_str();
                app.printer.json(&json!({ "key_id": public.id(), "algorithm": algorithm, "public_key": pem }))?;
            } else {
                app.printer.text(pem)?;
            }
            Ok(Exit::Done)
        }
    }
}

impl OutArgs {
    fn paths(&self) -> [PathBuf; 2] {
        ["key", "pub"].map(|end| {
            let mut path = self.output_key_prefix.clone().into_os_string();
            path.push(".");
            path.push(end);
            PathBuf::from(path)
        })
    }

    fn check(&self) -> Result<(), Report> {
        match self.paths().iter().find(|path| path.exists()) {
            Some(path) => Err(exists(path)),
            None => Ok(()),
        }
    }

    fn write(&self, app: &App, verb: &str, key: &PrivateKey, password: &[u8]) -> Result<Exit, Report> {
        let [private, public] = self.paths();
        let id = key.public_key().id();
        write(&private, 0o600, &key.to_encrypted_pem(password).map_err(keys::report)?)?;
        write(&public, 0o644, &key.public_key().to_pem().map_err(keys::report)?)?;
        if app.printer.style().json {
            app.printer.json(&json!({ "private_key": private, "public_key": public, "key_id": id }))?;
        } else {
            app.printer.note(verb, format_args!("{} and {}", private.display(), public.display()));
            app.printer.line(id)?;
        }
        Ok(Exit::Done)
    }
}

fn exists(path: &Path) -> Report {
    Report::new(report::EXISTS, format!("{} is there already, and a key is never replaced", path.display()))
        .hint("choose another name with --output-key-prefix")
}

/// Writes a new file with this mode from its first byte on.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), Report> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| {
        let is_there = error.kind() == std::io::ErrorKind::AlreadyExists;
        if is_there { exists(path) } else { Report::file("write", path, &error) }
    })
}
