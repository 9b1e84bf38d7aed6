//! What Git hosts send when something was pushed. Nothing that a message says is believed: one that is signed wakes the
//! follower, which asks the host itself. So an old message, or one that was sent twice, does no harm, and no clock matters.

use std::path::Path as FilePath;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use prograde_model::ids::ServiceName;

use crate::api::{Context, Failure};
use crate::events::chain;
use crate::signed::is_signed;

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
    let refused = || {
        Failure::unsigned(
            "the message is not signed with the secret that `upstreams.yaml` names",
            "`prograde explain PG0310` tells where the host and the server have their secret",
        )
    };
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
