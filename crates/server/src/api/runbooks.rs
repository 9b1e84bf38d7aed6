//! Runs of runbooks: what clients did, as they tell it.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use prograde_model::runbook::{Begin, Purpose, Run, RunId, RunRefusal, RunbookFact, Stepped};

use super::orders::{Body, body, named};
use super::types::EndRunRequest;
use super::{Context, Failure, incidents};
use crate::records::KeepError;

/// The largest body, in bytes: a command and what it printed, 16 KiB each, with every byte escaped as six.
const STEP_BYTES_MAX: usize = 256 * 1024;

/// The routes, to be guarded as all others are.
pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/api/v1/runbooks/runs", get(list).post(begin))
        .route("/api/v1/runbooks/runs/{run}", get(show))
        .route("/api/v1/runbooks/runs/{run}/steps", post(step))
        .route("/api/v1/runbooks/runs/{run}/end", post(end))
        .layer(axum::extract::DefaultBodyLimit::max(STEP_BYTES_MAX))
}

impl From<KeepError<RunRefusal>> for Failure {
    fn from(error: KeepError<RunRefusal>) -> Self {
        match &error {
            KeepError::Refused(RunRefusal::Unknown(_)) => Self::not_found(error.to_string()),
            KeepError::Refused(RunRefusal::Text { .. } | RunRefusal::Step { .. }) => {
                Self::bad_request(error.to_string())
            }
            KeepError::Refused(RunRefusal::Ended(_) | RunRefusal::Full(_) | RunRefusal::Incomplete { .. }) => {
                Self::refused(error.to_string(), "`prograde runbook runs` tells where it stands")
            }
            KeepError::Record(_) => Self::internal(&error),
        }
    }
}

fn id(text: &str) -> Result<RunId, Failure> {
    text.parse().map_err(|error: prograde_model::InvalidName| Failure::bad_request(error.to_string()))
}

fn found(context: &Context, run: RunId) -> Result<Json<Run>, Failure> {
    let found = context.runbooks.with(|runs| runs.run(run).cloned());
    found.map(Json).ok_or_else(|| KeepError::Refused(RunRefusal::Unknown(run)).into())
}

async fn list(State(context): State<Context>) -> Json<Vec<Run>> {
    Json(context.runbooks.with(|runs| runs.runs().cloned().collect()))
}

async fn show(State(context): State<Context>, Path(run): Path<String>) -> Result<Json<Run>, Failure> {
    found(&context, id(&run)?)
}

/// Records a fact and gives the run as it is then.
async fn record(
    context: &Context,
    decide: impl FnOnce(&prograde_model::runbook::Runs) -> Result<RunbookFact, RunRefusal>,
) -> Result<Json<Run>, Failure> {
    let now = context.control.now();
    let facts = context.runbooks.record(now, |runs| decide(runs).map(|fact| vec![fact])).await?;
    let run = facts.first().map(|fact| match fact {
        RunbookFact::Begun { run, .. } | RunbookFact::Stepped { run, .. } | RunbookFact::Ended { run, .. } => *run,
    });
    run.map_or_else(|| Err(Failure::not_found("nothing was recorded")), |run| found(context, run))
}

async fn begin(State(context): State<Context>, order: Body<Begin>) -> Result<Json<Run>, Failure> {
    let order = body(order)?;
    if let Purpose::Incident(incident) = order.purpose {
        incidents::found(&context, incident)?;
    }
    let by = named(&order.by)?.to_owned();
    record(&context, |runs| runs.begin(Begin { by, ..order })).await
}

async fn step(
    State(context): State<Context>,
    Path(run): Path<String>,
    order: Body<Stepped>,
) -> Result<Json<Run>, Failure> {
    let (run, order) = (id(&run)?, body(order)?);
    let by = named(&order.by)?.to_owned();
    record(&context, |runs| runs.step(run, Stepped { by, ..order })).await
}

async fn end(
    State(context): State<Context>,
    Path(run): Path<String>,
    order: Body<EndRunRequest>,
) -> Result<Json<Run>, Failure> {
    let (run, order) = (id(&run)?, body(order)?);
    let by = named(&order.by)?.to_owned();
    record(&context, |runs| runs.end(run, order.end, by)).await
}
