//! What pipelines and services print.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use prograde_model::ids::{EnvironmentName, FlightId, ServiceName, Target};
use prograde_node::LogQuery;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::journal::{line, ndjson};
use super::types::LogLineView;
use super::views::find_flight;
use super::{Context, Failure};

/// How many lines are shown when nobody says.
const TAIL_LINES: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    environment: Option<EnvironmentName>,
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
    flight: Option<FlightId>,
}

pub(super) async fn service(
    State(context): State<Context>,
    Path(service): Path<ServiceName>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Failure> {
    let target = target(&context, &service, query.environment.as_ref())?;
    let wanted =
        LogQuery { tail_lines: Some(query.tail.unwrap_or(TAIL_LINES)), follow: query.follow, revision: query.flight };
    let lines = context.node.logs(&target, wanted).await;
    let stop = context.stop.clone();
    let views = lines.take_until(async move { stop.cancelled().await }).map(|found| {
        Ok::<_, std::convert::Infallible>(line(&LogLineView {
            at: found.at.to_string(),
            replica: found.replica,
            flight: found.revision,
            stream: found.stream.as_str().to_owned(),
            line: found.line,
        }))
    });
    Ok(ndjson(views))
}

/// The target meant: the environment named, or the last one of those that the service declares and has entered.
fn target(context: &Context, service: &ServiceName, environment: Option<&EnvironmentName>) -> Result<Target, Failure> {
    let found = context.control.with_fleet(|fleet| {
        let known: Vec<&Target> = fleet.targets().filter(|t| t.service == *service).collect();
        if let Some(name) = environment {
            return known.into_iter().find(|t| t.environment == *name).cloned();
        }
        let declared = fleet
            .latest(service)
            .and_then(|f| f.service_config())
            .map(|s| s.environments.as_slice())
            .unwrap_or_default();
        let last = declared.iter().rev().find_map(|e| known.iter().find(|t| t.environment == e.name));
        last.or(known.first()).map(|t| Target::clone(t))
    });
    found.ok_or_else(|| Failure::not_found(format!("service {service} runs in no such environment")))
}

pub(super) async fn pipeline(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Failure> {
    let flight = find_flight(&context, &id)?;
    let directory = context.ci.join(flight.as_str());
    let jobs = context
        .control
        .with_fleet(|fleet| fleet.flight(&flight).map(|f| f.pipeline.jobs.keys().cloned().collect::<Vec<_>>()));
    let mut logs = Vec::new();
    for job in jobs.unwrap_or_default() {
        let of_job = prograde_pipeline::step_logs(&directory, &job.clone().into())
            .await
            .map_err(|error| Failure::internal(&error))?;
        logs.extend(of_job.into_iter().map(|log| (job.clone(), log)));
    }
    let parts = futures_util::stream::iter(logs).then(|(job, log)| async move {
        let heading = format!("==> {job}, step {}: {} <==\n", log.step + 1, log.name);
        let file = tokio::fs::File::open(&log.path).await;
        let heading = futures_util::stream::once(async move { Ok(bytes::Bytes::from(heading)) });
        match file {
            Ok(file) => heading.chain(ReaderStream::new(file)).left_stream(),
            Err(error) => heading.chain(futures_util::stream::once(async move { Err(error) })).right_stream(),
        }
    });
    let body = Body::from_stream(parts.flatten());
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}
