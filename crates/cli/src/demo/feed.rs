//! The journal's facts as they are recorded.

use std::time::Duration;

use jiff::Timestamp;
use prograde_model::event::{self, Event};
use prograde_model::ids::FlightId;
use prograde_model::rollout::RolloutEvent;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::client::{Client, Lines, Next};
use crate::report::{self, Report};
use crate::wire::EventView;

/// How long the stream may be silent before it is asked for anew; also bounds how long a stop takes.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How often in a row a broken stream is asked for again.
const RETRIES_MAX: u32 = 10;
/// How long is waited before.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// Facts that may wait to be taken in.
const QUEUE: usize = 1_000;

/// A fact.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// When it was recorded.
    pub(crate) at: Timestamp,
    /// The flight.
    pub(crate) flight: FlightId,
    /// The fact.
    pub(crate) event: Event,
    /// The fact as the server told it.
    pub(crate) view: EventView,
}

impl Moment {
    /// Whether it tells a reader something that the next fact does not.
    pub(crate) fn is_news(&self) -> bool {
        match &self.event {
            Event::Configured { .. }
            | Event::JobStarted { .. }
            | Event::PipelineFinished { succeeded: true, .. }
            | Event::GatePassed { .. }
            | Event::Rollout { event: RolloutEvent::Started(_) | RolloutEvent::Marked { .. }, .. } => false,
            Event::Opened(_)
            | Event::Scanned(_)
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::ReleaseRecorded(_)
            | Event::Approved { .. }
            | Event::Overridden { .. }
            | Event::Proposed { .. }
            | Event::Merged { .. }
            | Event::Unchanged { .. }
            | Event::Deployed { .. }
            | Event::MigrationStarted { .. }
            | Event::Migrated { .. }
            | Event::Rollout { .. }
            | Event::Checked { .. }
            | Event::RollbackOrdered { .. }
            | Event::Quarantined { .. }
            | Event::QuarantineLifted { .. }
            | Event::Reverted { .. }
            | Event::Scaled { .. }
            | Event::FlagSet { .. }
            | Event::FlagUnset { .. }
            | Event::FlagWatched { .. }
            | Event::AuthorNotified { .. }
            | Event::Ended { .. } => true,
        }
    }
}

/// Facts, for as long as it is kept.
pub(crate) struct Feed {
    moments: mpsc::Receiver<Result<Moment, Report>>,
    _following: JoinSet<()>,
}

impl Feed {
    /// Follows the journal from its beginning.
    pub(crate) fn follow(client: Client) -> Self {
        let (sender, moments) = mpsc::channel(QUEUE);
        let mut following = JoinSet::new();
        following.spawn(async move {
            let mut place = Place { client, sender, after: 0, failures: 0 };
            while let Err(report) = place.read().await {
                place.failures += 1;
                if place.failures > RETRIES_MAX {
                    drop(place.sender.send(Err(report)).await);
                    return;
                }
                sleep(RETRY_PAUSE).await;
            }
        });
        Self { moments, _following: following }
    }

    /// The next fact. May be cancelled without losing one.
    pub(crate) async fn next(&mut self) -> Result<Moment, Report> {
        let ended = || Report::new(report::STRANGE_ANSWER, "the server's events can't be followed any more");
        self.moments.recv().await.unwrap_or_else(|| Err(ended()))
    }
}

/// How far the journal was read.
struct Place {
    client: Client,
    sender: mpsc::Sender<Result<Moment, Report>>,
    after: u64,
    failures: u32,
}

impl Place {
    /// Reads until nobody listens any more, or the stream breaks.
    async fn read(&mut self) -> Result<(), Report> {
        loop {
            let (client, after) = (self.client.clone(), self.after);
            let mut lines = off_the_runtime(move || client.events(after, true, SILENCE_MAX)).await??;
            loop {
                let (back, next) = off_the_runtime(move || next_of(lines)).await?;
                lines = back;
                match next? {
                    Next::Item(view) => {
                        if !self.pass_on(view).await? {
                            return Ok(());
                        }
                    }
                    Next::Silence => break,
                    Next::End => return Err(Report::new(report::STRANGE_ANSWER, "the server ended its events")),
                }
            }
        }
    }

    /// Returns whether anybody still listens.
    async fn pass_on(&mut self, view: EventView) -> Result<bool, Report> {
        self.failures = 0;
        self.after = view.sequence;
        Ok(self.sender.send(Ok(moment(view)?)).await.is_ok())
    }
}

fn next_of(mut lines: Lines<EventView>) -> (Lines<EventView>, Result<Next<EventView>, Report>) {
    let next = lines.next();
    (lines, next)
}

/// The fact that the server tells.
pub(crate) fn moment(view: EventView) -> Result<Moment, Report> {
    let strange = || Report::new(report::STRANGE_ANSWER, format!("event {} can't be read", view.sequence));
    let at = view.at.parse().map_err(|error: jiff::Error| strange().because(&error))?;
    let event = Event::decode(&view.event_type, event::VERSION, view.data.clone());
    let event = event.map_err(|error| strange().because(&error))?;
    Ok(Moment { at, flight: view.flight.clone(), event, view })
}

/// Runs what blocks where it may.
pub(crate) async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Report> {
    spawn_blocking(work).await.map_err(|error| Report::new(report::SYSTEM, "a thread did not end well").because(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prograde_model::event::Place;

    fn view(event_type: &str, data: serde_json::Value) -> EventView {
        EventView {
            sequence: 7,
            at: "2026-02-01T12:00:00Z".into(),
            flight: "a".repeat(32).parse().unwrap(),
            event_type: event_type.into(),
            data,
        }
    }

    #[test]
    fn a_fact_is_read_as_the_journal_has_it() {
        let data = serde_json::json!({"environment": "test", "replaces": null});
        let moment = moment(view("gate.passed", data)).unwrap();
        let place = Place { environment: "test".parse().unwrap(), service: None };
        assert_eq!(moment.event, Event::GatePassed { place, replaces: None });
    }

    #[test]
    fn a_fact_that_is_not_known_is_an_error_that_names_it() {
        let error = moment(view("gate.invented", serde_json::json!({}))).unwrap_err();
        assert_eq!(error.summary, "event 7 can't be read");
    }
}
