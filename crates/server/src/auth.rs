//! Who may talk to the server: whoever shows its token, as a bearer (RFC 6750) or, for Git, as the password of basic
//! authentication (RFC 7617). Without a token nobody may, not even on this machine: a push runs code.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prograde_model::oncall::PageId;
use sha2::{Digest as _, Sha256};

use crate::api::Failure;

/// What a token is compared by: its hash, so that the time of comparing says nothing about it.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    fn is_shown_in(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else { return false };
        let Some((scheme, rest)) = value.split_once(' ') else { return false };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::new(rest.trim()).0 == self.0;
        }
        basic(headers).is_some_and(|(_, password)| Self::new(&password).0 == self.0)
    }
}

/// Name and password of basic authentication.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, rest) = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// Who asks, where basic authentication gives a name beside the token. As with every order, whoever has the token says who
/// they are.
pub(crate) fn name(headers: &HeaderMap) -> Option<String> {
    basic(headers).map(|(name, _)| name).filter(|name| !name.trim().is_empty())
}

/// What services show to evaluate flags, made from the server's token so that both end together. It is good for nothing
/// else, and nobody gets from it to the token that it is made from.
pub(crate) fn flag_token(token: &str) -> String {
    hex::encode(Sha256::digest(format!("prograde flag evaluation\n{token}").as_bytes()))
}

/// What the addresses are made with at which pages are acknowledged: whoever knows one can acknowledge that page as that
/// person, and do nothing else. They end with the server's token.
#[derive(Clone)]
pub(crate) struct PageKey(Hmac<Sha256>);

impl PageKey {
    pub(crate) fn new(token: &str) -> Self {
        let digest = Sha256::digest(format!("prograde page acknowledgement\n{token}").as_bytes());
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        // The rest of the block is zero, as RFC 2104, section 2, has it for keys that are shorter.
        key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(Hmac::new(&key))
    }

    fn sealed(&self, page: PageId, person: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(format!("{page}\n{person}"))
    }

    /// The path at which a person acknowledges a page.
    pub(crate) fn path(&self, page: PageId, person: &str) -> String {
        let seal = hex::encode(self.sealed(page, person).finalize().into_bytes());
        let query = serde_urlencoded::to_string([("person", person), ("seal", seal.as_str())]).unwrap_or_default();
        format!("/page/{page}?{query}")
    }

    /// Whether a seal is that of this page and person. Takes as long for a wrong one as for the right one.
    pub(crate) fn is_sealed(&self, page: PageId, person: &str, seal: &str) -> bool {
        hex::decode(seal).is_ok_and(|seal| self.sealed(page, person).verify_slice(&seal).is_ok())
    }
}

/// The tokens that let a request evaluate flags: the server's own, and the one for just that.
#[derive(Clone)]
pub(crate) struct FlagReaders([Token; 2]);

impl FlagReaders {
    pub(crate) fn new(token: &str) -> Self {
        Self([Token::new(&flag_token(token)), Token::new(token)])
    }

    /// As a bearer, or in the header that the protocol names as well (OFREP's OpenAPI, `ApiKeyAuth`).
    fn are_shown_in(&self, headers: &HeaderMap) -> bool {
        let key = headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(Token::new);
        self.0.iter().any(|token| token.is_shown_in(headers) || key.as_ref().is_some_and(|key| key.0 == token.0))
    }
}

/// Lets a request pass that may evaluate flags.
pub(crate) async fn require_flag_reader(State(readers): State<FlagReaders>, request: Request, next: Next) -> Response {
    if readers.are_shown_in(request.headers()) {
        return next.run(request).await;
    }
    Failure::unauthorised().into_response()
}

/// Lets a request pass that shows the token.
pub(crate) async fn require(State(token): State<Token>, request: Request, next: Next) -> Response {
    if token.is_shown_in(request.headers()) {
        return next.run(request).await;
    }
    let mut response = Failure::unauthorised().into_response();
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    // Git asks for a password only when it is told how.
    let ask = header::HeaderValue::from_static("Basic realm=\"prograde\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        Token::new("s3cret").is_shown_in(&headers)
    }

    #[test]
    fn flags_are_evaluated_with_a_token_that_is_good_for_nothing_else() {
        let reader = flag_token("s3cret");
        let with =
            |name: &'static str, value: &str| HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        let readers = FlagReaders::new("s3cret");
        for good in [
            with("authorization", &format!("Bearer {reader}")),
            with("x-api-key", &reader),
            with("authorization", "Bearer s3cret"),
        ] {
            assert!(readers.are_shown_in(&good), "{good:?}");
        }
        for bad in [HeaderMap::new(), with("x-api-key", "s3cre"), with("authorization", &reader)] {
            assert!(!readers.are_shown_in(&bad), "{bad:?}");
        }
        assert!(!shown(&format!("Bearer {reader}")), "it opens nothing else");
    }

    #[test]
    fn the_token_is_taken_as_bearer_or_password_and_nothing_else() {
        assert!(shown("Bearer s3cret"));
        assert!(shown("bearer s3cret"));
        assert!(shown(&format!("Basic {}", STANDARD.encode("anyone:s3cret"))));
        let named = |pair: &str| {
            let value = format!("Basic {}", STANDARD.encode(pair)).parse().unwrap();
            name(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        assert_eq!((named("ann:s3cret").as_deref(), named(":s3cret")), (Some("ann"), None));
        for wrong in ["Bearer", "Bearer s3cre", "Bearer s3crett", "Basic s3cret", "Digest s3cret", "Basic !!!", ""] {
            assert!(!shown(wrong), "{wrong}");
        }
        assert!(!Token::new("s3cret").is_shown_in(&HeaderMap::new()));
    }
}
