//! The journal over HTTP: events as they come, verification, and export. Lists are one JSON object a line, read from
//! the store as the client takes them, so that a journal of any length needs no memory.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, TryStreamExt};
use prograde_journal::{JournalError, StoredEvent};
use serde::Deserialize;

use super::types::{EventView, VerifyView};
use super::{Context, Failure};
use crate::events::flight_of;
use crate::export::Exporter;

/// How many events are read at once.
const CHUNK: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// The sequence after which to start.
    #[serde(default)]
    after: u64,
    /// Whether to go on with events as they happen.
    #[serde(default)]
    follow: bool,
}

pub(super) async fn events(State(context): State<Context>, Query(query): Query<EventsQuery>) -> Response {
    if !query.follow {
        return ndjson(lines(stored(context, query.after)));
    }
    let subscription = context.journal.subscribe(query.after);
    let stop = context.stop.clone();
    let followed = stream::try_unfold(subscription, move |mut subscription| {
        let stop = stop.clone();
        async move {
            tokio::select! {
                () = stop.cancelled() => Ok(None),
                next = subscription.next() => next.map(|event| Some((event, subscription))),
            }
        }
    });
    ndjson(lines(followed))
}

/// The flights' events; others, such as alerts', are no flight's and are in the export.
fn lines(
    events: impl Stream<Item = Result<StoredEvent, JournalError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, JournalError>> + Send + 'static {
    events.try_filter_map(async |event| Ok(view(event).map(|view| line(&view))))
}

pub(super) async fn verify(State(context): State<Context>) -> Result<Json<VerifyView>, Failure> {
    let report = context.journal.verify().await.map_err(|error| {
        if matches!(error, JournalError::Broken { .. } | JournalError::Corrupt { .. }) {
            Failure::broken_journal(&error)
        } else {
            Failure::internal(&error)
        }
    })?;
    Ok(Json(VerifyView { events: report.events, head_hash: report.head_hash }))
}

pub(super) async fn export(State(context): State<Context>) -> Response {
    let mut exporter = Exporter::new("/prograde");
    let lines = stored(context, 0).map_ok(move |event| line(&exporter.cloud_event(&event)));
    ndjson(lines)
}

/// Everything that is stored after a sequence.
fn stored(context: Context, after: u64) -> impl Stream<Item = Result<StoredEvent, JournalError>> {
    let chunks = stream::try_unfold(after, move |after| {
        let journal = context.journal.clone();
        async move {
            let chunk = journal.read_after(after, CHUNK).await?;
            let last = chunk.last().map(|event| event.sequence);
            Ok::<_, JournalError>(last.map(|last| (stream::iter(chunk.into_iter().map(Ok)), last)))
        }
    });
    chunks.try_flatten()
}

fn view(event: StoredEvent) -> Option<EventView> {
    Some(EventView {
        sequence: event.sequence,
        at: event.at.to_string(),
        flight: flight_of(&event.subject)?,
        event_type: event.event_type,
        data: event.payload,
    })
}

/// One line of JSON.
pub(super) fn line(value: &impl serde::Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    Bytes::from(text)
}

/// A body of lines.
pub(super) fn ndjson<E>(lines: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Response
where
    E: std::error::Error + Send + Sync + 'static,
{
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
