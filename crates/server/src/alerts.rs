//! Alerts as the server handles them: their facts are in the journal under a subject of their own, rules post to the same
//! service as others do, and its API stands below `/alertmanager`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::Control;
use prograde_journal::{Journal, JournalError, NewEvent};
use prograde_model::alert::{AlertEvent, DecodeError, Limits, Retry, VERSION};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_notify::service::StartError;
use prograde_notify::{Config, Handle, Options, Records};
use tokio::sync::Mutex;

use crate::events::chain;

/// Under which subject the facts are stored.
pub(crate) const SUBJECT: &str = "alerts";
/// How many alerts are in one fact: each may have some kilobytes, and a fact a megabyte.
const ALERTS_IN_FACT_MAX: usize = 100;
/// How many facts are read at once.
const READ_CHUNK: usize = 1_000;
/// The largest `alertmanager.yml`, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why alerts can't be handled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertsError {
    /// The configuration can't be used.
    #[error(transparent)]
    Configuration(#[from] Diagnostics),
    /// The facts of before can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fact of before is none that this release knows.
    #[error("event {sequence} of the journal can't be read")]
    Fact {
        /// Its place.
        sequence: u64,
        /// Why.
        source: DecodeError,
    },
    /// That it begins could not be recorded.
    #[error("the beginning could not be recorded: {0}")]
    Begin(String),
}

/// The facts' place in the journal.
struct JournalRecords {
    journal: Journal,
    /// How many there are.
    version: Mutex<u64>,
}

#[async_trait]
impl Records for JournalRecords {
    async fn append(&self, facts: &[AlertEvent], at: Timestamp) -> Result<(), String> {
        let events: Vec<NewEvent> = facts.iter().flat_map(pieces).map(|fact| to_store(&fact)).collect();
        let mut version = self.version.lock().await;
        let stored = self.journal.append(SUBJECT, *version, at, events).await.map_err(|error| chain(&error))?;
        *version += u64::try_from(stored.len()).unwrap_or(0);
        Ok(())
    }
}

/// A fact about very many alerts, as several.
fn pieces(fact: &AlertEvent) -> Vec<AlertEvent> {
    match fact {
        AlertEvent::Received { alerts } => {
            alerts.chunks(ALERTS_IN_FACT_MAX).map(|alerts| AlertEvent::Received { alerts: alerts.to_vec() }).collect()
        }
        AlertEvent::Prolonged { .. }
        | AlertEvent::RanOut { .. }
        | AlertEvent::SilenceSet(_)
        | AlertEvent::SilenceEnded { .. }
        | AlertEvent::Acknowledged { .. }
        | AlertEvent::AcknowledgementWithdrawn { .. }
        | AlertEvent::Flushed { .. }
        | AlertEvent::Sent(_)
        | AlertEvent::Failed { .. }
        | AlertEvent::Resumed => vec![fact.clone()],
    }
}

fn to_store(fact: &AlertEvent) -> NewEvent {
    let (event_type, payload) = fact.encode();
    NewEvent { event_type, version: VERSION, payload }
}

/// All facts of before, in order.
async fn history(journal: &Journal) -> Result<Vec<(Timestamp, AlertEvent)>, AlertsError> {
    let mut facts = Vec::new();
    loop {
        let version = u64::try_from(facts.len()).unwrap_or(u64::MAX);
        let chunk = journal.read_subject_after(SUBJECT, version, READ_CHUNK).await?;
        if chunk.is_empty() {
            return Ok(facts);
        }
        for stored in chunk {
            let sequence = stored.sequence;
            let fact = AlertEvent::decode(&stored.event_type, stored.version, stored.payload);
            facts.push((stored.at, fact.map_err(|source| AlertsError::Fact { sequence, source })?));
        }
    }
}

/// Reads an `alertmanager.yml`.
pub(crate) fn read(file: &Path) -> Result<Config, Diagnostics> {
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| {
        let hint = "make it readable for this user, or name another one with `--alertmanager-config`";
        Diagnostic::file(prograde_notify::config::CODE, &name, format!("the file can't be read: {error}"), hint)
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes, more than the {FILE_BYTES_MAX} that are read");
        return Err(Diagnostic::file(prograde_notify::config::CODE, &name, message, "split its templates off").into());
    }
    prograde_notify::parse(&name, &std::fs::read_to_string(file).map_err(unreadable)?)
}

/// Starts handling alerts, with the state that the facts of before give.
pub(crate) async fn start(
    file: PathBuf,
    address: SocketAddr,
    journal: Journal,
    control: Control,
) -> Result<Handle, AlertsError> {
    let config = read(&file)?;
    let history = history(&journal).await?;
    let version = Mutex::new(u64::try_from(history.len()).unwrap_or(u64::MAX));
    let options = Options {
        config,
        file,
        external_url: format!("http://{address}/alertmanager"),
        records: Arc::new(JournalRecords { journal, version }),
        history,
        clock: Arc::new(move || control.now()),
        limits: Limits::default(),
        retry: Retry::default(),
    };
    options.start().await.map_err(|error| match error {
        StartError::Configuration(found) => AlertsError::Configuration(found),
        StartError::Record(why) => AlertsError::Begin(why),
    })
}
