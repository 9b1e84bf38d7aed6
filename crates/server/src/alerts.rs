//! Alerts as the server handles them: their facts are in the journal under a subject of their own, rules post to the same
//! service as others do, and its API stands below `/alertmanager`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::Control;
use prograde_control::paging::Paging;
use prograde_journal::Journal;
use prograde_model::alert::{AlertEvent, Limits, Retry};
use prograde_model::oncall::Rota;
use prograde_model::stored::NotKept;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_notify::delivery::Teller;
use prograde_notify::service::StartError;
use prograde_notify::{Config, Handle, Options};

use crate::auth::PageKey;
use crate::error::ServerError;
use crate::oncall::{self, Receivers, Telling};
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
struct JournalRecords(Records<AlertEvent>);

#[async_trait]
impl prograde_notify::Records for JournalRecords {
    async fn append(&self, facts: &[AlertEvent], at: Timestamp) -> Result<(), NotKept<AlertEvent>> {
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
fn read(file: &Path) -> Result<Config, Diagnostics> {
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

/// Where it is said what is done with alerts.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// `alertmanager.yml`
    pub(crate) alerts: PathBuf,
    /// `oncall.yaml`
    pub(crate) oncall: Option<PathBuf>,
}

/// What handling alerts needs, before anything is decided.
pub(crate) struct Prepared {
    config: Config,
    files: Files,
    rota: Option<Rota>,
}

/// Handled alerts, and pages where somebody is on call.
#[derive(Clone)]
pub(crate) struct Handled {
    pub(crate) alerts: Handle,
    pub(crate) pages: Option<Paging>,
    receivers: Option<Arc<Receivers>>,
    pub(crate) files: Files,
    external_url: String,
}

impl Handled {
    /// Reads the files again, and goes on with what they say; when anything is wrong with them, with what they said before.
    pub(crate) async fn reload(&self) -> Result<(), ServerError> {
        let Prepared { config, files, rota } = prepare(self.files.clone())?;
        let (file, url) = (&files.alerts, || self.external_url.clone());
        let told = Teller::new(&config, file, url()).map_err(ServerError::AlertmanagerConfig)?;
        self.alerts.reconfigure(config, file, url()).await.map_err(ServerError::AlertmanagerConfig)?;
        if let (Some(rota), Some(pages), Some(receivers)) = (rota, &self.pages, &self.receivers) {
            receivers.replace(Telling { teller: told, buttons: rota.chat.is_some() });
            pages.declare(rota).await;
        }
        Ok(())
    }

    pub(crate) async fn shutdown(&self) {
        // Who has to be paged is said first.
        self.alerts.shutdown().await;
        if let Some(pages) = &self.pages {
            pages.shutdown().await;
        }
    }
}

/// Reads an `alertmanager.yml`, and the `oncall.yaml` that says who is on call.
pub(crate) fn prepare(files: Files) -> Result<Prepared, ServerError> {
    let config = read(&files.alerts).map_err(ServerError::AlertmanagerConfig)?;
    let rota = files.oncall.as_ref().map(|rota| oncall::read(rota, &config, &files.alerts));
    let rota = rota.transpose().map_err(ServerError::OncallConfig)?;
    if rota.is_none() && oncall::is_needed(&config) {
        return Err(ServerError::OncallConfig(oncall::missing(&files.alerts)));
    }
    Ok(Prepared { config, files, rota })
}

/// Starts handling alerts, if they are, with the state that the facts of before give. `url` is where people find the server.
pub(crate) async fn start(
    prepared: Option<Prepared>,
    (url, token): (&str, &str),
    journal: Journal,
    control: Control,
) -> Result<Option<Handled>, AlertsError> {
    let Some(Prepared { config, files, rota }) = prepared else { return Ok(None) };
    let external_url = format!("{url}/alertmanager");
    let (mut pages, mut receivers) = (None, None);
    if let Some(rota) = rota {
        let teller = Teller::new(&config, &files.alerts, external_url.clone())?;
        let telling = Telling { teller, buttons: rota.chat.is_some() };
        let receiver = Receivers::new(telling, PageKey::new(token), url.to_owned());
        let tell = Arc::clone(receivers.insert(Arc::new(receiver)));
        pages = Some(oncall::start(rota, tell, journal.clone(), control.clone()).await?);
    }
    let (records, history) = Records::open(journal).await?;
    let options = Options {
        config,
        file: files.alerts.clone(),
        external_url: external_url.clone(),
        records: Arc::new(JournalRecords(records)),
        history,
        pager: pages.clone().map(|pages| Arc::new(oncall::Wakes(pages)) as _),
        clock: Arc::new(move || control.now()),
        limits: Limits::default(),
        retry: Retry::default(),
    };
    let alerts = options.start().await.map_err(|error| match error {
        StartError::Configuration(found) => AlertsError::Configuration(found),
        StartError::Record(why) => AlertsError::Begin(why),
    })?;
    Ok(Some(Handled { alerts, pages, receivers, files, external_url }))
}
