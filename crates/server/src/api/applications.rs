//! Applications that are kept in clusters, and orders to synchronise them.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use prograde_model::application::{ApplicationId, Order};

use super::orders::{Body, body, named};
use super::types::{ApplicationView, ApplicationsView, SyncRequest};
use super::{Context, Failure};
use crate::applications::NotOrdered;

/// Where to look.
const HINT: &str = "`prograde app status` shows what there is";

/// The routes, to be guarded as all others are.
pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/api/v1/applications", get(list))
        .route("/api/v1/applications/{set}/{application}", get(show))
        .route("/api/v1/applications/{set}/{application}/sync", post(sync))
}

impl From<NotOrdered> for Failure {
    fn from(error: NotOrdered) -> Self {
        match &error {
            NotOrdered::Unknown(_) => Self::not_found(error.to_string()).hint(HINT),
            NotOrdered::Unusable(..) => {
                Self::refused(error.to_string(), "push a commit that puts its files right; it follows by itself")
            }
            NotOrdered::Full(_) => Self::refused(error.to_string(), HINT),
            NotOrdered::Record(_) => Self::internal(&error),
        }
    }
}

fn id(set: &str, application: String) -> Result<ApplicationId, Failure> {
    let wrong = |error: prograde_model::InvalidName| Failure::bad_request(error.to_string());
    Ok(ApplicationId { set: set.parse().map_err(wrong)?, application })
}

async fn list(State(context): State<Context>) -> Json<ApplicationsView> {
    Json(context.applications.views())
}

async fn show(
    State(context): State<Context>,
    Path((set, application)): Path<(String, String)>,
) -> Result<Json<ApplicationView>, Failure> {
    let of = id(&set, application)?;
    context.applications.view(&of).map(Json).ok_or_else(|| NotOrdered::Unknown(of).into())
}

async fn sync(
    State(context): State<Context>,
    Path((set, application)): Path<(String, String)>,
    order: Body<SyncRequest>,
) -> Result<Json<ApplicationView>, Failure> {
    let (of, order) = (id(&set, application)?, body(order)?);
    let by = named(&order.by)?.to_owned();
    let order = Order { prune: order.prune, confirm_prune: order.confirm_prune, by };
    Ok(Json(context.applications.order(&of, order).await?))
}
