//! Google's registries: a token of another identity provider is exchanged for one of Google's, which may be exchanged once
//! more for one of a service account.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::{HeaderName, Method, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::credentials::{Credential, Secret};
use super::super::http::{Ask, Http, Payload};
use super::{FederationError, answer, safe, text_of, unexpected};

/// The name under which Google's registries take an access token as a password.
const USER: &str = "oauth2accesstoken";
/// What the token may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Whether a registry is one of Google's.
pub(super) fn is_registry(registry: &str) -> bool {
    registry == "gcr.io" || [".gcr.io", ".pkg.dev"].iter().any(|end| registry.ends_with(end))
}

/// A file of credentials, as far as it is used.
#[derive(Deserialize)]
struct Account {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    audience: String,
    #[serde(default)]
    subject_token_type: String,
    #[serde(default)]
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: Option<CredentialSource>,
}

/// Where the identity's token is.
#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    subject_token_field_name: String,
}

pub(super) fn password(http: &Http, file: &Path) -> Result<Credential, FederationError> {
    let wrong = |why: &str| FederationError::Unusable(format!("{}: {why}", file.display()));
    let text = text_of(file)?;
    // The error's own words could hold a part of the file.
    let account: Account = serde_json::from_str(text.reveal()).map_err(|_| wrong("it is no file of credentials"))?;
    if account.kind != "external_account" {
        let why = format!(
            "it is of the kind `{}`; only `external_account` is used, which holds no key that never expires",
            account.kind.chars().filter(|c| !c.is_control()).take(40).collect::<String>()
        );
        return Err(wrong(&why));
    }
    let source = account.credential_source.as_ref().ok_or_else(|| wrong("it has no `credential_source`"))?;
    let subject = subject(http, source, file)?;
    let mut token = exchanged(http, &account, &subject)?;
    if let Some(address) = &account.service_account_impersonation_url {
        token = impersonated(http, address, &token)?;
    }
    Ok(Credential::Basic { username: USER.to_owned(), password: token })
}

fn subject(http: &Http, source: &CredentialSource, file: &Path) -> Result<Secret, FederationError> {
    let wrong = |why: &str| FederationError::Unusable(format!("{}: {why}", file.display()));
    let text = match (&source.file, &source.url) {
        (Some(token), None) => text_of(&file.parent().unwrap_or(Path::new("")).join(token))?,
        (None, Some(address)) => {
            let uri = safe(address)?;
            let mut ask = Ask::new(Method::GET, uri.clone());
            for (name, value) in &source.headers {
                let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong("a header has no name"))?;
                ask = ask.header(name, value.reveal())?;
                ask.secrets.push(value.clone());
            }
            let bytes = answer(http, &ask, "ask for the identity's token")?;
            let text = String::from_utf8(bytes).map_err(|_| unexpected(&uri, "the identity's token"))?;
            Secret::new(text.trim())
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(wrong("`credential_source` has to name one `file` or one `url`"));
        }
    };
    match source.format.kind.as_str() {
        "" | "text" => Ok(text),
        "json" => {
            let document: Value =
                serde_json::from_str(text.reveal()).map_err(|_| wrong("the identity's token is no JSON"))?;
            let field = document.get(&source.format.subject_token_field_name).and_then(Value::as_str);
            field.map(Secret::new).ok_or_else(|| wrong("the identity's token is not in the field that is named"))
        }
        _ => Err(wrong("the format of the identity's token is neither `text` nor `json`")),
    }
}

/// A token of Google's for one of another provider (RFC 8693, section 2).
fn exchanged(http: &Http, account: &Account, subject: &Secret) -> Result<Secret, FederationError> {
    let uri = safe(&account.token_url)?;
    let form = serde_urlencoded::to_string([
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", account.audience.as_str()),
        ("scope", SCOPE),
        ("subject_token_type", account.subject_token_type.as_str()),
        ("subject_token", subject.reveal()),
    ]);
    let form = form.map_err(|_| FederationError::Unusable("the exchange's form can't be written".to_owned()))?;
    let ask = Ask::new(Method::POST, uri.clone());
    let mut ask = ask.payload("application/x-www-form-urlencoded", Payload::Bytes(form.as_bytes()))?;
    ask.secrets.push(subject.clone());
    field(&uri, &answer(http, &ask, "exchange the identity's token")?, "access_token")
}

/// A token of a service account.
fn impersonated(http: &Http, address: &str, token: &Secret) -> Result<Secret, FederationError> {
    let uri = safe(address)?;
    let body = json!({"scope": [SCOPE], "lifetime": "900s"}).to_string();
    let ask = Ask::new(Method::POST, uri.clone()).payload("application/json", Payload::Bytes(body.as_bytes()))?;
    let mut ask = ask.header(header::AUTHORIZATION, &["Bearer ", token.reveal()].concat())?;
    ask.secrets.push(token.clone());
    field(&uri, &answer(http, &ask, "act as the service account")?, "accessToken")
}

fn field(uri: &Uri, bytes: &[u8], name: &str) -> Result<Secret, FederationError> {
    let document: Option<Value> = serde_json::from_slice(bytes).ok();
    let found = document.as_ref().and_then(|document| document.get(name)).and_then(Value::as_str);
    found.map(Secret::new).ok_or_else(|| unexpected(uri, "a token"))
}
