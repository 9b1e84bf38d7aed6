//! Amazon's registries: an identity's token (OIDC) lets us take a role for 15 minutes, and the role asks for a password.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, Method, Uri, header};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;

use super::super::credentials::{Credential, Secret};
use super::super::http::{Ask, Http, Payload};
use super::{AwsRole, FederationError, answer, safe, text_of, unexpected};

/// How long the role is taken, in seconds: the shortest that AWS allows.
const SESSION_SECONDS: &str = "900";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const MEDIA_TYPE: &str = "application/x-amz-json-1.1";

/// The region of a registry: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, also `ecr-fips` and China's `.cn`.
pub(super) fn region(registry: &str) -> Option<&str> {
    let host = registry.strip_suffix(".cn").unwrap_or(registry).strip_suffix(".amazonaws.com")?;
    let (account, rest) = host.split_once(".dkr.")?;
    let region = rest.strip_prefix("ecr.").or_else(|| rest.strip_prefix("ecr-fips."))?;
    let is_region =
        !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && is_region).then_some(region)
}

/// The keys of a session.
struct Session {
    id: String,
    secret: Secret,
    token: Secret,
}

pub(super) fn password(http: &Http, role: &AwsRole, region: &str) -> Result<Credential, FederationError> {
    let session = session(http, role, region)?;
    let ecr = role.ecr.clone().unwrap_or_else(|| endpoint("api.ecr", region));
    let uri = safe(&ecr)?;
    let mut ask = Ask::new(Method::POST, uri.clone()).payload(MEDIA_TYPE, Payload::Bytes(b"{}"))?;
    let headers = signed(&uri, &session, region)
        .ok_or_else(|| FederationError::Unusable("the request can't be signed".to_owned()))?;
    for (name, value) in &headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| unexpected(&uri, "a signature"))?;
        ask = ask.header(name, value)?;
    }
    ask.secrets.extend([session.secret, session.token]);
    let bytes = answer(http, &ask, "ask ECR for a password")?;
    let wrong = || unexpected(&uri, "ECR's password");
    let given: Given = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let token = given.authorization_data.into_iter().next().ok_or_else(wrong)?.authorization_token;
    let text = BASE64_STANDARD.decode(token.reveal()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(wrong)?;
    let (username, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Credential::Basic { username: username.to_owned(), password: Secret::new(password) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    authorization_data: Vec<Authorization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: Secret,
}

fn endpoint(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{service}.{region}.amazonaws.com{suffix}/")
}

fn session(http: &Http, role: &AwsRole, region: &str) -> Result<Session, FederationError> {
    let uri = safe(&role.sts.clone().unwrap_or_else(|| endpoint("sts", region)))?;
    let token = text_of(&role.token_file)?;
    let form = serde_urlencoded::to_string([
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role.role.as_str()),
        ("RoleSessionName", role.session.as_str()),
        ("DurationSeconds", SESSION_SECONDS),
        ("WebIdentityToken", token.reveal()),
    ]);
    let form = form.map_err(|_| FederationError::Unusable("the role's form can't be written".to_owned()))?;
    let ask = Ask::new(Method::POST, uri.clone());
    let mut ask = ask.payload("application/x-www-form-urlencoded", Payload::Bytes(form.as_bytes()))?;
    ask = ask.header(header::ACCEPT, "text/xml")?;
    ask.secrets.push(token);
    let bytes = answer(http, &ask, "take the role")?;
    let text = String::from_utf8(bytes).map_err(|_| unexpected(&uri, "the role's session"))?;
    read(&text).ok_or_else(|| unexpected(&uri, "the role's session"))
}

/// The three texts of `Credentials` in STS' answer.
fn read(text: &str) -> Option<Session> {
    let (mut reader, mut inside) = (Reader::from_str(text), false);
    let (mut id, mut secret, mut token) = (None, None, None);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if start.local_name().as_ref() == "Credentials" => inside = true,
            Event::End(end) if end.local_name().as_ref() == "Credentials" => break,
            Event::Start(start) if inside => {
                let name = start.name().as_ref().to_owned();
                let place = match start.local_name().as_ref() {
                    "AccessKeyId" => &mut id,
                    "SecretAccessKey" => &mut secret,
                    "SessionToken" => &mut token,
                    _ => continue,
                };
                let content = reader.read_text(quick_xml::name::QName(&name)).ok()?;
                *place = Some(content.xml10_content().trim().to_owned());
            }
            Event::Eof => return None,
            Event::Start(_)
            | Event::End(_)
            | Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    Some(Session { id: id?, secret: Secret::new(secret?), token: Secret::new(token?) })
}

/// The headers that sign the question for a password (AWS Signature Version 4).
#[expect(clippy::disallowed_methods, reason = "a signature holds the time at which it was made, by the system's clock")]
fn signed(uri: &Uri, session: &Session, region: &str) -> Option<Vec<(String, String)>> {
    let keys = Credentials::new(
        session.id.as_str(),
        session.secret.reveal(),
        Some(session.token.reveal().to_owned()),
        None,
        "session",
    );
    let identity = keys.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ecr")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let own = [("content-type", MEDIA_TYPE), ("x-amz-target", TARGET)];
    let address = uri.to_string();
    let request = SignableRequest::new("POST", address.as_str(), own.into_iter(), SignableBody::Bytes(b"{}")).ok()?;
    let (instructions, _) = sign(request, &params).ok()?.into_parts();
    let (added, _) = instructions.into_parts();
    let mut headers: Vec<(String, String)> =
        added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect();
    headers.push(("x-amz-target".to_owned(), TARGET.to_owned()));
    Some(headers)
}
