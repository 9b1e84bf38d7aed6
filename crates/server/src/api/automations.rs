//! Images that are kept up to date in the repositories that the server holds.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::Context;
use super::types::AutomatedRepositoryView;

/// The route, to be guarded as all others are.
pub(super) fn router() -> Router<Context> {
    Router::new().route("/api/v1/images/automations", get(list))
}

async fn list(State(context): State<Context>) -> Json<Vec<AutomatedRepositoryView>> {
    Json(context.automations.views())
}
