//! Alerts as the server handles them: their facts are in the journal under a subject of their own, rules post to the same
//! service as others do, and its API stands below `/alertmanager`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::Control;
use prograde_journal::Journal;
use prograde_model::alert::{AlertEvent, Limits, Retry};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_notify::service::StartError;
use prograde_notify::{Config, Handle, Options};

use crate::records::{Records, RecordsError};

/// How many alerts are in one fact: each may have some kilobytes, and a fact a megabyte.
const ALERTS_IN_FACT_MAX: usize = 100;
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
    Records(#[from] RecordsError),
    /// That it begins could not be recorded.
    #[error("the beginning could not be recorded: {0}")]
    Begin(String),
}

/// The facts' place in the journal.
struct JournalRecords(Records);

#[async_trait]
impl prograde_notify::Records for JournalRecords {
    async fn append(&self, facts: &[AlertEvent], at: Timestamp) -> Result<(), String> {
        let pieces: Vec<AlertEvent> = facts.iter().flat_map(pieces).collect();
        self.0.append(&pieces, at).await
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
    let (records, history) = Records::open(journal).await?;
    let options = Options {
        config,
        file,
        external_url: format!("http://{address}/alertmanager"),
        records: Arc::new(JournalRecords(records)),
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
