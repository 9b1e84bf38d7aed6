//! Trackers as the server is told of them, and the action items as they see them.

pub(crate) mod config;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use prograde_control::filing::{ActionItems, Filing, Named, Ticket};
use prograde_control::{Clock, SystemClock};
use prograde_model::Diagnostics;
use prograde_model::incident::{ActionId, Ending, IncidentEvent, Incidents, Refusal, Route, TicketTask};

use crate::adapters::trackers::tracker;
use crate::incidents::Desk;
use config::TrackerConfig;

/// What a file declares.
pub(crate) struct Trackers {
    configs: Vec<TrackerConfig>,
    /// What relative paths are relative to.
    folder: std::path::PathBuf,
}

/// Reads a file of trackers, and checks that their tokens are there.
pub(crate) fn read(file: &Path) -> Result<Trackers, Diagnostics> {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Trackers { configs: config::read(file)?, folder })
}

/// The action items of the desk.
struct Items {
    desk: Desk,
    routes: Vec<Route>,
    /// Where people find the server.
    url: String,
}

impl Items {
    async fn keep(&self, decide: impl FnOnce(&Incidents) -> Result<Vec<IncidentEvent>, Refusal>) -> Result<(), String> {
        let kept = self.desk.record(SystemClock.now(), decide).await;
        kept.map(drop).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl ActionItems for Items {
    fn tasks(&self, tracker: &str) -> Vec<TicketTask> {
        let link = |incident| format!("{}/api/v1/incidents/{incident}", self.url);
        self.desk.with(|known| known.ticket_tasks(tracker, &self.routes, link))
    }

    async fn filed(&self, action: ActionId, tracker: &str, ticket: &Ticket) -> Result<(), String> {
        self.keep(|known| known.ticket_filed(action, tracker, &ticket.id, &ticket.url)).await
    }

    async fn closed(&self, action: ActionId, ending: Ending) -> Result<(), String> {
        self.keep(|known| known.ticket_closed(action, ending)).await
    }
}

/// Starts keeping tickets of the desk's action items.
pub(crate) fn start(trackers: Trackers, desk: Desk, url: &str) -> Filing {
    let Trackers { configs, folder } = trackers;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let route = |config: &TrackerConfig| Route {
        tracker: config.name.clone(),
        services: config.services.clone(),
        automatic: config.automatic,
    };
    let routes = configs.iter().map(route).collect();
    let named = |config: TrackerConfig| Named {
        tracker: tracker(&config, &folder, &clock),
        every: config.every.duration(),
        name: config.name,
    };
    let named = configs.into_iter().map(named).collect();
    Filing::start(named, Arc::new(Items { desk, routes, url: url.to_owned() }), Arc::clone(&clock))
}
