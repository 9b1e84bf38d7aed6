//! What people did by hand, read from the journal at each request.

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use prograde_model::toil::Done;
use serde::Deserialize;

use super::{Context, Failure};
use crate::history;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToilQuery {
    /// RFC 3339.
    since: Timestamp,
}

pub(super) async fn toil(
    State(context): State<Context>,
    Query(query): Query<ToilQuery>,
) -> Result<Json<Vec<Done>>, Failure> {
    let mut done = history::toil(&context.journal).await.map_err(|error| Failure::internal(&error))?;
    done.retain(|done| done.at >= query.since);
    Ok(Json(done))
}
