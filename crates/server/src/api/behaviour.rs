//! How alerts have behaved, calculated from the journal at each request.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use prograde_model::alert::AlertEvent;
use prograde_model::alert::history::{Behaviour, History};
use prograde_model::oncall::PageFact;
use serde::Deserialize;

use super::{Context, Failure};
use crate::records;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BehaviourQuery {
    /// RFC 3339.
    since: Timestamp,
}

pub(super) async fn behaviour(
    State(context): State<Context>,
    Query(query): Query<BehaviourQuery>,
) -> Result<Json<BTreeMap<String, Behaviour>>, Failure> {
    let mut history = History::since(query.since);
    let alerts = records::read::<AlertEvent>(&context.journal).await.map_err(|error| Failure::internal(&error))?;
    for (at, fact) in &alerts {
        history.alerts(fact, *at);
    }
    let pages = records::read::<PageFact>(&context.journal).await.map_err(|error| Failure::internal(&error))?;
    for (at, fact) in &pages {
        history.pages(fact, *at);
    }
    Ok(Json(history.behaviours(context.control.now())))
}
