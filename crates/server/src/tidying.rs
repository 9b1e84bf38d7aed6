//! What lies in the data directory and nobody needs any more goes: images that were unpacked and that nothing runs, which are
//! unpacked again when they are wanted, and what the pipelines of flights that have ended have uploaded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use prograde_control::{Clock as _, Control, SystemClock};
use prograde_model::fleet::Fleet;
use prograde_model::ids::FlightId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::runtime::LocalRuntime;
use crate::events::chain;

/// How often is looked.
const PERIOD: Duration = Duration::from_hours(1);

/// Tidies until it is shut down.
pub(crate) struct Tidying {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What is tidied.
pub(crate) struct Places {
    pub(crate) control: Control,
    pub(crate) runtime: Arc<LocalRuntime>,
    /// One folder a flight.
    pub(crate) ci: PathBuf,
    /// For how long is kept what nobody needs.
    pub(crate) unused: Duration,
}

impl Tidying {
    pub(crate) fn start(places: Places) -> Self {
        let this = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let stop = this.stop.clone();
        let tidy = async move {
            loop {
                places.tidy(SystemClock.now()).await;
                tokio::time::sleep(PERIOD).await;
            }
        };
        this.tasks.spawn(async move { stop.run_until_cancelled(tidy).await });
        this.tasks.close();
        this
    }

    /// Ends, after whoever unpacks images: what is being taken away is not waited for. What is left behind is removed at the next
    /// start.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Places {
    async fn tidy(&self, now: Timestamp) {
        let Ok(before) = now.checked_sub(self.unused) else { return };
        let needed = self.control.with_fleet(Fleet::needed);
        match self.runtime.forget(needed, before).await {
            Ok(images) => {
                for image in images {
                    tracing::info!(%image, "removed what was unpacked: nothing runs it");
                }
            }
            Err(error) => tracing::error!("images that nothing runs can't be removed: {}", chain(&error)),
        }
        let (ci, control) = (self.ci.clone(), self.control.clone());
        let has_ended = move |flight: &FlightId| {
            control.with_fleet(|fleet| fleet.flight(flight).is_some_and(|flight| !flight.is_active()))
        };
        let removed = tokio::task::spawn_blocking(move || remove_artifacts(&ci, before.into(), &has_ended)).await;
        match removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(flights) => {
                for flight in flights {
                    tracing::info!(%flight, "removed its artifacts: it ended long ago");
                }
            }
            Err(error) => tracing::error!("artifacts of flights that have ended can't be removed: {error}"),
        }
    }
}

/// Removes what was uploaded before a time for flights that have ended. Which ones they were.
fn remove_artifacts(ci: &Path, before: SystemTime, has_ended: &dyn Fn(&FlightId) -> bool) -> io::Result<Vec<FlightId>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(ci)? {
        let entry = entry?;
        let Some(Ok(flight)) = entry.file_name().to_str().map(str::parse::<FlightId>) else { continue };
        if has_ended(&flight) && prograde_pipeline::remove_artifacts(&entry.path(), before)? {
            removed.push(flight);
        }
    }
    Ok(removed)
}
