//! What Git hosts send when something was pushed. Nothing that a message says is believed: one that is signed wakes the
//! follower, which asks the host itself. So an old message, or one that was sent twice, does no harm, and no clock matters.
//!
//! Sources: GitHub, "Validating webhook deliveries"; Gitea and Forgejo, "Webhooks" (the same header); Bitbucket, "Secure
//! webhooks" (the same without `-256`); GitLab, "Webhooks" (the secret itself, as `X-Gitlab-Token`).

use std::path::Path as FilePath;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures_util::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prograde_model::ids::ServiceName;
use sha2::Sha256;

use crate::api::{Context, Failure};
use crate::events::chain;

/// The largest message, in bytes: what GitHub sends at most. It is not kept.
const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// The route, which no token guards.
pub(crate) fn router(context: Context) -> Router {
    Router::new().route("/webhooks/git/{service}", post(woken)).layer(DefaultBodyLimit::disable()).with_state(context)
}

async fn woken(
    State(context): State<Context>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    // Who has no secret is not told which services there are.
    let refused = || Failure::unsigned("the message is not signed with the secret that `upstreams.yaml` names");
    let follower = service.parse().ok().and_then(|service: ServiceName| context.upstreams.follower(&service));
    let (follower, secret) = follower
        .and_then(|follower| {
            Some((follower.followed.webhook.clone()?, follower)).map(|(secret, found)| (found, secret))
        })
        .ok_or_else(refused)?;
    let secret = secret.read(FilePath::new("")).map_err(|error| {
        tracing::error!("the secret of a webhook can't be read: {}", chain(&error));
        refused()
    })?;
    if !is_signed(&secret, &headers, body).await? {
        return Err(refused());
    }
    follower.woken.notify_one();
    Ok(StatusCode::ACCEPTED)
}

async fn is_signed(secret: &str, headers: &HeaderMap, body: Body) -> Result<bool, Failure> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header("x-hub-signature-256").or_else(|| header("x-hub-signature"));
    let signature = signature.and_then(|text| hex::decode(text.strip_prefix("sha256=")?).ok());
    // A secret that is compared byte by byte would be told by how long that takes; its code is compared instead.
    let (proof, shown) = match (signature, header("x-gitlab-token")) {
        (Some(signature), _) => (signature, None),
        (None, Some(token)) => (code(secret, secret), Some(token)),
        (None, None) => return Ok(false),
    };
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Ok(false) };
    if let Some(token) = shown {
        code.update(token.as_bytes());
        return Ok(code.verify_slice(&proof).is_ok());
    }
    let (mut read, mut chunks) = (0_usize, body.into_data_stream());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::bad_request("the message broke off"))?;
        read = read.saturating_add(chunk.len());
        if read > BODY_BYTES_MAX {
            return Err(Failure::bad_request("the message is larger than any host's"));
        }
        code.update(&chunk);
    }
    Ok(code.verify_slice(&proof).is_ok())
}

fn code(secret: &str, text: &str) -> Vec<u8> {
    let made = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut code| {
        code.update(text.as_bytes());
        code.finalize().into_bytes().to_vec()
    });
    made.unwrap_or_default()
}
