//! How we say who we are: Basic, or a token that the registry's token service gives for one scope
//! (distribution specification, "Token Authentication" and "`OAuth2` Token Authentication").
//!
//! Invariant: credentials go over TLS or stay on this machine.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_auth::parser::ChallengeParser;
use serde::Deserialize;
use tokio::time::Instant;

use super::credentials::{Credential, Secret};
use super::error::RegistryError;
use super::http::{Answer, Ask, Http, Payload, host_of, same_origin};
use super::reference::is_loopback;

const TOKEN_BYTES_MAX: u64 = 1 << 20;
/// How long a token holds that says nothing about it (token authentication specification, `expires_in`).
const TOKEN_LIFE: Duration = Duration::from_mins(1);
/// How long before its end a token is renewed.
const TOKEN_REST: Duration = Duration::from_secs(10);

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The challenge that is answered: a token where one can be had, as its power is smaller.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for challenge in ChallengeParser::new(text).map_while(Result::ok) {
            let get = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                if let Some(realm) = get("realm") {
                    return Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

/// A value for `Authorization`, and the secrets in it.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) value: HeaderValue,
    pub(super) secrets: Vec<Secret>,
    until: Option<Instant>,
}

impl Shown {
    pub(super) fn bearer(token: &Secret, life: Option<Duration>) -> Option<Self> {
        let until = life.map(|life| Instant::now() + life.saturating_sub(TOKEN_REST));
        Some(Self { value: sensitive(&format!("Bearer {}", token.reveal()))?, secrets: vec![token.clone()], until })
    }

    fn basic(username: &str, password: &Secret) -> Option<Self> {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{}", password.reveal()));
        let value = sensitive(&format!("Basic {text}"))?;
        Some(Self { value, secrets: vec![password.clone(), Secret::new(text)], until: None })
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What is shown where, as long as it holds.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<BTreeMap<(String, String), Shown>>);

impl Tokens {
    pub(super) fn get(&self, authority: &str, scope: &str) -> Option<Shown> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = tokens.get(&(authority.to_owned(), scope.to_owned()))?;
        shown.until.is_none_or(|until| until > Instant::now()).then(|| shown.clone())
    }

    pub(super) fn put(&self, authority: &str, scope: &str, shown: &Shown) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert((authority.to_owned(), scope.to_owned()), shown.clone());
    }
}

/// The token service's answer.
#[derive(Deserialize)]
struct Given {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

/// What answers the challenge, or why there is nothing.
pub(super) fn answer(
    http: &Http,
    refused: Answer,
    registry: &Uri,
    scope: &str,
    credential: Option<&Credential>,
) -> Result<Shown, RegistryError> {
    let action = format!("use `{scope}`");
    let unauthorised = |why: &str| RegistryError::Unauthorised {
        host: host_of(registry),
        action: action.clone(),
        why: why.to_owned(),
    };
    let unusable = || unauthorised("the credentials for it hold control characters");
    let Some(challenge) = challenge(&refused.headers) else {
        return Err(refused.refused(&action));
    };
    match (challenge, credential) {
        (Challenge::Basic, Some(Credential::Basic { username, password })) => {
            // A registry is only spoken to in clear where that was allowed, see `Client::base`.
            Shown::basic(username, password).ok_or_else(unusable)
        }
        (Challenge::Basic, Some(Credential::Identity(_) | Credential::Bearer(_))) => {
            Err(unauthorised("it wants a name and a password, and the credentials for it are a token"))
        }
        (Challenge::Basic, None) => {
            Err(unauthorised(&format!("it wants a name and a password, and there are none: {}", refused.said())))
        }
        (Challenge::Bearer { .. }, Some(Credential::Bearer(token))) => Shown::bearer(token, None).ok_or_else(unusable),
        (Challenge::Bearer { realm, service, scope: asked }, credential) => {
            let realm = checked_realm(registry, &realm)?;
            let scope = joined(scope, asked.as_deref());
            let given = token(http, realm, service.as_deref(), &scope, credential)?;
            let life = given.expires_in.map_or(TOKEN_LIFE, Duration::from_secs);
            let token = given.token.or(given.access_token).filter(|token| !token.reveal().is_empty());
            let token = token.ok_or_else(|| unauthorised("its token service gave no token"))?;
            Shown::bearer(&token, Some(life)).ok_or_else(unusable)
        }
    }
}

/// The token service's address, unless it would hear a password in clear.
fn checked_realm(registry: &Uri, realm: &str) -> Result<Uri, RegistryError> {
    let misled = |why: String| RegistryError::Misled { host: host_of(registry), why };
    let uri: Uri = realm.parse().map_err(|_| misled("its token service has no address".to_owned()))?;
    let host = uri.host().unwrap_or_default();
    let has_password = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let is_clear = uri.scheme_str() == Some("http");
    let is_safe = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(host) || same_origin(registry, &uri),
        _ => false,
    };
    if !is_safe || has_password || host.is_empty() {
        return Err(misled(format!("credentials are not sent to its token service at {} in clear", host_of(&uri))));
    }
    // A page far away must not make us ask what listens on this machine.
    if is_clear && is_loopback(host) && !is_loopback(registry.host().unwrap_or_default()) {
        return Err(misled("its token service would be this machine".to_owned()));
    }
    Ok(uri)
}

/// Both lists of scopes, each once.
fn joined(ours: &str, asked: Option<&str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for scope in asked.unwrap_or_default().split(' ').chain(ours.split(' ')).filter(|scope| !scope.is_empty()) {
        if !all.contains(&scope) {
            all.push(scope);
        }
    }
    all.join(" ")
}

fn token(
    http: &Http,
    realm: Uri,
    service: Option<&str>,
    scope: &str,
    credential: Option<&Credential>,
) -> Result<Given, RegistryError> {
    let host = host_of(&realm);
    let invalid = |why: &str| RegistryError::Invalid { host: host.clone(), what: "a token", why: why.to_owned() };
    let mut pairs: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
    let form;
    let mut ask = if let Some(Credential::Identity(refresh)) = credential {
        pairs.extend([
            ("scope", scope),
            ("grant_type", "refresh_token"),
            ("client_id", "prograde"),
            ("refresh_token", refresh.reveal()),
        ]);
        form = serde_urlencoded::to_string(&pairs).map_err(|_| invalid("its form can't be written"))?;
        let ask = Ask::new(Method::POST, realm);
        let mut ask = ask.payload("application/x-www-form-urlencoded", Payload::Bytes(form.as_bytes()))?;
        ask.secrets.push(refresh.clone());
        ask
    } else {
        pairs.extend(scope.split(' ').filter(|scope| !scope.is_empty()).map(|scope| ("scope", scope)));
        let query = serde_urlencoded::to_string(&pairs).map_err(|_| invalid("its query can't be written"))?;
        let glue = if realm.query().is_some() { '&' } else { '?' };
        let uri = format!("{realm}{glue}{query}").parse().map_err(|_| invalid("its address can't be used"))?;
        Ask::new(Method::GET, uri)
    };
    if let Some(Credential::Basic { username, password }) = credential {
        let shown = Shown::basic(username, password).ok_or_else(|| invalid("a password holds control characters"))?;
        ask.headers.insert(header::AUTHORIZATION, shown.value);
        ask.secrets.extend(shown.secrets);
    }
    let answer = http.send(&ask)?;
    if !answer.status.is_success() {
        return Err(answer.refused(&format!("get a token for {scope}")));
    }
    let bytes = answer.bytes(TOKEN_BYTES_MAX, "the token")?;
    // The error's own words could hold a part of the token.
    serde_json::from_slice(&bytes).map_err(|_| invalid("it is not JSON of the expected form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge(&headers)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |service: Option<&str>, scope: Option<&str>| {
            let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
            Some(Challenge::Bearer { realm: "https://a.example/t".to_owned(), service, scope })
        };
        assert_eq!(parsed(&[r#"Bearer realm="https://a.example/t""#]), bearer(None, None));
        let full = r#"bearer realm="https://a.example/t",service="r",scope="repository:a:pull,push""#;
        assert_eq!(parsed(&[full]), bearer(Some("r"), Some("repository:a:pull,push")));
        assert_eq!(parsed(&["Basic realm=x", full]), bearer(Some("r"), Some("repository:a:pull,push")));
        assert_eq!(parsed(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
        for none in ["", "Negotiate", "Bearer", r#"Bearer service="x""#, r#"Bearer realm=""#] {
            assert_eq!(parsed(&[none]), None, "{none}");
        }
    }

    #[test]
    fn credentials_stay_out_of_clear_text() {
        let may = |registry: &str, realm: &str| checked_realm(&registry.parse().unwrap(), realm).is_ok();
        assert!(may("https://r.example/", "https://auth.example/token"));
        assert!(may("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token"));
        assert!(may("http://r.local:5000/", "http://r.local:5000/token"), "a registry that is spoken to in clear");
        for (registry, realm) in [
            ("https://r.example/", "http://r.example/token"),
            ("https://r.example/", "http://127.0.0.1/token"),
            ("http://127.0.0.1:5000/", "http://evil.example/token"),
            ("http://r.local:5000/", "http://other.local/token"),
            ("https://r.example/", "ftp://r.example/"),
            ("https://r.example/", "https://me:pw@r.example/"),
            ("https://r.example/", "/token"),
            ("https://r.example/", ""),
        ] {
            assert!(!may(registry, realm), "{realm}");
        }
    }

    #[test]
    fn scopes_are_asked_for_once() {
        assert_eq!(joined("a:pull b:pull", Some("a:pull")), "a:pull b:pull");
        assert_eq!(joined("a:pull", None), "a:pull");
    }
}
