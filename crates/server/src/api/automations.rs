//! Images that are kept up to date in the repositories that the server holds.

use axum::Json;
use axum::extract::State;

use super::Context;
use super::types::AutomatedRepositoryView;

pub(super) async fn list(State(context): State<Context>) -> Json<Vec<AutomatedRepositoryView>> {
    Json(context.automations.views())
}
