//! Waiting for a flight: woken by the journal's events, and by a period in case one was missed.

use std::time::Duration;

use prograde_model::quantity::Period;
use tokio::time::Instant;

use crate::client::{Client, Next};
use crate::report::Report;
use crate::wire::FlightView;

/// How long the server's stream may be silent before the flight is looked at again.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// The shortest wait, so that the last look before the deadline is not a busy one.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// The flight as it is once it has ended, or as it is when the time is over.
pub(crate) fn until_ended(client: &Client, id: &str, timeout: Period) -> Result<FlightView, Report> {
    let deadline = Instant::now() + timeout.duration().unsigned_abs();
    loop {
        let view = client.flight(id)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if view.summary.ended_at.is_some() || left.is_zero() {
            return Ok(view);
        }
        let after = view.events.last().map_or(0, |event| event.sequence);
        until_event(client, &view, after, left)?;
    }
}

/// Returns when something happened to the flight, or it is time to look again.
fn until_event(client: &Client, view: &FlightView, after: u64, left: Duration) -> Result<(), Report> {
    let until = Instant::now() + left.min(LOOK_AFTER);
    let mut events = client.events(after, true, left.clamp(WAIT_MIN, LOOK_AFTER))?;
    loop {
        match events.next()? {
            Next::Item(event) if event.flight == view.summary.id => return Ok(()),
            Next::Item(_) if Instant::now() < until => {}
            Next::Item(_) | Next::Silence | Next::End => return Ok(()),
        }
    }
}
