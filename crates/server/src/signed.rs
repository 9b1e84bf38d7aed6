//! Messages that show a secret which both sides have: signed with it, or with it in a header.
//!
//! Sources: GitHub, "Validating webhook deliveries"; Gitea and Forgejo, "Webhooks" (the same header); Bitbucket, "Secure
//! webhooks" (the same without `-256`); GitLab, "Webhooks" (the secret itself, as `X-Gitlab-Token`); registries (the secret itself,
//! as `Authorization`).

use axum::body::Body;
use axum::http::HeaderMap;
use futures_util::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::api::Failure;

/// The largest message, in bytes: what GitHub sends at most. It is not kept.
const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// Whether a message is signed with a secret, or shows it in a header.
pub(crate) async fn is_signed(secret: &str, headers: &HeaderMap, body: Body) -> Result<bool, Failure> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header("x-hub-signature-256").or_else(|| header("x-hub-signature"));
    let signature = signature.and_then(|text| hex::decode(text.strip_prefix("sha256=")?).ok());
    let Some(signature) = signature else {
        let authorization = header("authorization").map(|text| text.strip_prefix("Bearer ").unwrap_or(text));
        return Ok(header("x-gitlab-token").or(authorization).is_some_and(|shown| is_shown(secret, shown)));
    };
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Ok(false) };
    let (mut read, mut chunks) = (0_usize, body.into_data_stream());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::bad_request("the message broke off"))?;
        read = read.saturating_add(chunk.len());
        if read > BODY_BYTES_MAX {
            return Err(Failure::bad_request("the message is larger than any host's"));
        }
        code.update(&chunk);
    }
    Ok(code.verify_slice(&signature).is_ok())
}

/// Whether a text is the secret. Compared byte by byte, it would be told by how long that takes; codes are compared instead.
pub(crate) fn is_shown(secret: &str, shown: &str) -> bool {
    let code = |text: &str| {
        let code = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        Some(code.chain_update(text.as_bytes()))
    };
    let (Some(own), Some(theirs)) = (code(secret), code(shown)) else { return false };
    theirs.verify_slice(&own.finalize().into_bytes()).is_ok()
}
