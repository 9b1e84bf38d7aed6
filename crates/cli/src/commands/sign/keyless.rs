//! Signing as somebody, without a key that is kept.

use std::path::PathBuf;

use clap::Args;
use prograde_sign::keyless::{Keyless, KeylessError, Made, Services, Token, TrustedRoot};
use prograde_sign::{Statement, StoreError};
use serde_json::{Map, Value, json};

use super::Stored;
use super::registry::{self, Place};
use super::services::{self, Http};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Who signs, and by whose help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Without a key")]
pub(crate) struct KeylessArgs {
    /// Sign as the owner of an identity token, with a key that exists for this signature alone
    #[arg(long, requires = "signing_config")]
    keyless: bool,
    /// A Sigstore signing configuration: which services certify, log and date the signature
    #[arg(long, requires = "keyless", value_name = "FILE")]
    signing_config: Option<PathBuf>,
    /// A file with the identity token; else `SIGSTORE_ID_TOKEN` holds it, or GitHub's runner is asked
    #[arg(long, requires = "keyless", value_name = "FILE")]
    identity_token: Option<PathBuf>,
    /// A trusted root by which what was signed has to hold before it is stored
    #[arg(long, requires = "keyless", value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// The identity token. Set the variable: a flag can be seen by every user of the machine
    #[arg(long, env = "SIGSTORE_ID_TOKEN", hide_env_values = true, hide = true, value_name = "TOKEN")]
    sigstore_id_token: Option<String>,
    /// Where GitHub's runner gives identity tokens
    #[arg(long, env = "ACTIONS_ID_TOKEN_REQUEST_URL", hide = true, value_name = "URL")]
    actions_id_token_request_url: Option<String>,
    /// What GitHub's runner wants to see before it gives one
    #[arg(long, env = "ACTIONS_ID_TOKEN_REQUEST_TOKEN", hide_env_values = true, hide = true, value_name = "TOKEN")]
    actions_id_token_request_token: Option<String>,
}

impl KeylessArgs {
    /// Whether this is wanted.
    pub(crate) fn is_on(&self) -> bool {
        self.keyless
    }

    fn token(&self) -> Result<Token, Report> {
        if let Some(path) = &self.identity_token {
            return Token::read(path).map_err(keyless_report);
        }
        if let Some(text) = self.sigstore_id_token.as_ref().filter(|text| !text.is_empty()) {
            return Token::new("SIGSTORE_ID_TOKEN", text.clone()).map_err(keyless_report);
        }
        let github = self.actions_id_token_request_url.as_ref().zip(self.actions_id_token_request_token.as_ref());
        let Some((url, bearer)) = github else {
            return Err(keyless_report(KeylessError::Token("there is no identity token".to_owned())));
        };
        let text = services::github(url, bearer).map_err(|source| {
            keyless_report(KeylessError::Service { service: "runner's token service", url: url.clone(), source })
        })?;
        Token::new("the answer of GitHub's runner", text).map_err(keyless_report)
    }

    /// Signs a statement and stores it beside the image.
    pub(crate) fn run(
        &self,
        app: &App,
        verb: &str,
        place: &Place,
        statement: Option<&Statement>,
        annotations: &Map<String, Value>,
        more: &Value,
    ) -> Result<Exit, Report> {
        let (now, path) = (app.printer.now(), self.signing_config.clone().unwrap_or_default());
        let services = Services::read(&path, now).map_err(keyless_report)?;
        let root = self.trusted_root.as_deref().map(TrustedRoot::read).transpose().map_err(keyless_report)?;
        let token = self.token()?;
        let port = Http::new(&token);
        let keyless = Keyless { services: &services, port: &port, token: &token, root: root.as_ref() };
        let made = match statement {
            Some(statement) => prograde_sign::attest_keyless(&place.store, &place.image, statement, keyless, now),
            None => prograde_sign::sign_keyless(&place.store, &place.image, annotations, keyless, now),
        };
        told(app, place, verb, &made.map_err(registry::report)?, more)
    }
}

/// The form of what is signed without a key.
pub(crate) fn form(asked: Option<Stored>) -> Result<(), Report> {
    match asked {
        None | Some(Stored::Bundle) => Ok(()),
        Some(Stored::Tag | Stored::Both) => {
            let what =
                "what is signed without a key is stored as a bundle: under a tag there is no place for its proofs";
            Err(Report::new(report::ARGUMENT, what).hint("leave --form out, or write `--form bundle`"))
        }
    }
}

fn told(app: &App, place: &Place, verb: &str, made: &Made, more: &Value) -> Result<Exit, Report> {
    let name = place.name();
    if app.printer.style().json {
        let mut said = json!({
            "image": name, "repository": place.image.repository.as_str(), "digest": place.image.digest,
            "key_id": made.key_id, "forms": ["bundle"], "identity": made.subject, "issuer": made.issuer,
        });
        if let (Some(said), Some(more)) = (said.as_object_mut(), more.as_object()) {
            said.extend(more.clone());
        }
        app.printer.json(&said)?;
        return Ok(Exit::Done);
    }
    app.printer.line(&name)?;
    let who = crate::printer::one_line(&made.subject);
    let issuer = crate::printer::one_line(&made.issuer);
    app.printer.note(verb, format_args!("{name} as {who}, by the word of {issuer}, stored as bundle"));
    Ok(Exit::Done)
}

/// What went wrong without a key.
pub(crate) fn keyless_report(error: KeylessError) -> Report {
    registry::report(StoreError::Keyless(error))
}
