//! What registries send when something was pushed to them. Nothing that a message says is believed: one that shows the secret has
//! the registries asked, none of them more often than every ten seconds.
//!
//! Sources: CNCF Distribution, "Work with notifications" (headers that are configured); Harbor, "Configure Webhook Notifications"
//! (an authorization header); GitHub, "Validating webhook deliveries" (packages); Docker Hub and Quay show nothing but the address.

use std::path::Path as FilePath;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::api::{Context, Failure};
use crate::events::chain;
use crate::signed::{is_shown, is_signed};

/// The routes, which no token guards.
pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/webhooks/images", post(woken))
        .route("/webhooks/images/{secret}", post(woken_by_address))
        .layer(DefaultBodyLimit::disable())
        .with_state(context)
}

async fn woken(State(context): State<Context>, headers: HeaderMap, body: Body) -> Result<StatusCode, Failure> {
    let secret = secret(&context)?;
    if is_signed(&secret, &headers, body).await? { Ok(heard(&context)) } else { Err(refused()) }
}

async fn woken_by_address(State(context): State<Context>, Path(shown): Path<String>) -> Result<StatusCode, Failure> {
    if is_shown(&secret(&context)?, &shown) { Ok(heard(&context)) } else { Err(refused()) }
}

fn heard(context: &Context) -> StatusCode {
    context.automations.hear_of_others();
    StatusCode::ACCEPTED
}

fn secret(context: &Context) -> Result<String, Failure> {
    let secret = context.automations.0.webhook.as_ref().ok_or_else(refused)?;
    let secret = secret.read(FilePath::new("")).map_err(|error| {
        tracing::error!("the secret of registries' messages can't be read: {}", chain(&error));
        refused()
    })?;
    if secret.is_empty() { Err(refused()) } else { Ok(secret) }
}

fn refused() -> Failure {
    let message = "the message does not show the secret in the file of `prograde serve --image-webhook-secret`";
    Failure::unsigned(message, "docs/guides/image-automation.md tells where a registry has it")
}
