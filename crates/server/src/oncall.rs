//! Pages as the server handles them: `oncall.yaml` says who is on call, `alertmanager.yml` how each person is told, and what
//! becomes of pages is in the journal under a subject of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::duty::{Duty, RosterLog};
use prograde_control::paging::{Call, Caller, PageLog, Paging, PagingOptions};
use prograde_control::{Clock, Control, rota};
use prograde_journal::Journal;
use prograde_model::alert::{ALERT_NAME, Alert, Cause, Failure, Notification, NotificationKey, Retry};
use prograde_model::labels::Labels;
use prograde_model::oncall::{Notified, PageFact, PersonName, RosterFact, Rota};
use prograde_model::service::Problem;
use prograde_model::stored::NotKept;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_notify::Pager;
use prograde_notify::config::{Config, Kind};
use prograde_notify::delivery::Teller;
use prograde_notify::message::PageLink;

use crate::auth::PageKey;
use crate::records::{Records, RecordsError};

/// What does not fit between `oncall.yaml` and `alertmanager.yml`.
pub(crate) const CODE: &str = "PG0672";
/// The largest `oncall.yaml`, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How long one way of telling somebody may take.
const WAY_MAX: Duration = Duration::from_secs(10);

/// Reads an `oncall.yaml`, and checks that whoever it pages can be told by `alerts`, which was read from `alerts_file`.
pub(crate) fn read(file: &Path, alerts: &Config, alerts_file: &Path) -> Result<Rota, Diagnostics> {
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| {
        Diagnostic::file(CODE, &name, format!("the file can't be read: {error}"), "name another one with `--oncall`")
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes, more than the {FILE_BYTES_MAX} that are read");
        return Err(Diagnostic::file(CODE, &name, message, "delete overrides and swaps that are past").into());
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let rota = rota::read(&name, &text)?;
    let mut found = rota::located(CODE, &name, &text, out_of_reach(&rota, alerts))?.0;
    found.extend(unknown(&rota, alerts, &alerts_file.display().to_string()));
    if found.is_empty() { Ok(rota) } else { Err(Diagnostics(found)) }
}

/// People whom a step may tell and no receiver does.
fn out_of_reach(rota: &Rota, alerts: &Config) -> Vec<Problem> {
    let steps = rota.escalations.values().flat_map(|escalation| &escalation.steps);
    // Whoever has a receiver may take somebody's place by command.
    let mut paged: BTreeSet<&PersonName> =
        rota.people.iter().filter(|(_, person)| person.receiver.is_some()).map(|(name, _)| name).collect();
    for step in steps {
        paged.extend(&step.people);
        for schedule in rota.schedules.iter().filter(|schedule| step.schedules.contains(&schedule.name)) {
            let layers = schedule.layers.iter().chain(schedule.holidays.iter().map(|holidays| &holidays.layer));
            paged.extend(layers.flat_map(|layer| &layer.people));
            paged.extend(schedule.swaps.iter().flat_map(|swap| [&swap.between.0, &swap.between.1]));
            paged.extend(schedule.overrides.iter().map(|said| &said.person));
        }
    }
    let problem = |name: &PersonName| {
        let receiver = rota.people.get(name).and_then(|person| person.receiver.as_ref());
        let ways = receiver.and_then(|receiver| alerts.ways.iter().find(|(known, _)| known == receiver));
        let told = ways.is_some_and(|(_, ways)| ways.iter().any(|way| !matches!(way.kind, Kind::Oncall(_))));
        let message = match receiver {
            None => format!("{name} is paged, and has no `receiver`"),
            Some(receiver) => {
                format!("{name} is paged, and `alertmanager.yml` has no receiver {receiver:?} that tells a person")
            }
        };
        let hint = "name a receiver of `alertmanager.yml` that has a way of its own, such as `ntfy_configs`".to_owned();
        let path = ["people", name].map(str::to_owned).to_vec();
        (!told).then_some(Problem { path, message, hint })
    };
    paged.into_iter().filter_map(problem).collect()
}

/// On-call receivers whose escalation is not declared.
fn unknown(rota: &Rota, alerts: &Config, file: &str) -> Vec<Diagnostic> {
    let known: Vec<&str> = rota.escalations.keys().map(String::as_str).collect();
    let mut found = Vec::new();
    for (receiver, ways) in &alerts.ways {
        for way in ways {
            let Kind::Oncall(oncall) = &way.kind else { continue };
            let message = match &oncall.escalation {
                Some(name) if rota.escalations.contains_key(name) => continue,
                Some(name) => format!("receiver `{receiver}` pages by the escalation {name:?}, which is not declared"),
                None if known.len() == 1 => continue,
                None => format!("receiver `{receiver}` does not say by which of {} escalations it pages", known.len()),
            };
            let hint = format!(
                "write `escalation`; `oncall.yaml` has {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            );
            found.push(Diagnostic::file(CODE, file, message, hint));
        }
    }
    found
}

/// Whether a configuration pages anybody.
pub(crate) fn is_needed(alerts: &Config) -> bool {
    alerts.ways.iter().flat_map(|(_, ways)| ways).any(|way| matches!(way.kind, Kind::Oncall(_)))
}

/// What is wrong where a configuration pages and nobody is on call.
pub(crate) fn missing(alerts_file: &Path) -> Diagnostics {
    let message = "a receiver has `oncall_configs`, and nobody is on call";
    let hint = "start the server with `--oncall oncall.yaml`";
    Diagnostic::file(CODE, alerts_file.display().to_string(), message, hint).into()
}

/// The facts' place in the journal.
struct JournalLog(Records<PageFact>);

#[async_trait]
impl PageLog for JournalLog {
    async fn append(&self, facts: &[PageFact], at: Timestamp) -> Result<(), NotKept<PageFact>> {
        self.0.append(facts, at).await
    }
}

/// The place in the journal of changes by command.
struct JournalRoster(Records<RosterFact>);

#[async_trait]
impl RosterLog for JournalRoster {
    async fn append(&self, facts: &[RosterFact], at: Timestamp) -> Result<(), NotKept<RosterFact>> {
        self.0.append(facts, at).await
    }
}

/// The controllers' clock.
struct Controlled(Control);

impl Clock for Controlled {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// Tells people by the receivers of `alertmanager.yml`.
pub(crate) struct Receivers {
    telling: RwLock<Telling>,
    key: PageKey,
    url: String,
}

#[async_trait]
impl Caller for Receivers {
    /// All ways of the person's receiver are tried; they know once one of them has taken it.
    async fn call(&self, call: &Call) -> Result<(), Failure> {
        let lasting = |why: String| Failure::Lasting { why };
        let receiver = call.receiver.as_ref().ok_or_else(|| lasting("they have no receiver".into()))?;
        let Telling { teller, buttons } = self.telling();
        let page = PageLink { buttons, ..self.link(call) };
        let mut told = false;
        let mut failure = lasting(format!("there is no receiver {receiver:?}"));
        for way in teller.ways(receiver) {
            if call.key.step.is_none() && !way.send_resolved {
                // It is not to be told of ends.
                told = true;
                continue;
            }
            let notification = notification(call, receiver, &way.name);
            match teller.attempt(way.clone(), notification, Some(page.clone()), WAY_MAX).await {
                Ok(()) => told = true,
                Err(error) => {
                    tracing::warn!(page = page.id, person = page.person, way = way.name, "not told: {}", error.why());
                    // What may pass is worth another attempt, whatever else failed.
                    let keep = matches!(failure, Failure::Passing { .. });
                    failure = if keep { failure } else { error };
                }
            }
        }
        if told { Ok(()) } else { Err(failure) }
    }
}

/// How people are told at present.
#[derive(Clone)]
pub(crate) struct Telling {
    pub(crate) teller: Teller,
    /// Whether messages to Slack have buttons.
    pub(crate) buttons: bool,
}

impl Receivers {
    pub(crate) fn new(telling: Telling, key: PageKey, url: String) -> Self {
        Self { telling: RwLock::new(telling), key, url }
    }

    fn telling(&self) -> Telling {
        self.telling.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells people in another way from now on.
    pub(crate) fn replace(&self, telling: Telling) {
        *self.telling.write().unwrap_or_else(PoisonError::into_inner) = telling;
    }

    fn link(&self, call: &Call) -> PageLink {
        let id = call.key.page.to_string();
        let path = self.key.path(call.key.page, &call.key.person);
        PageLink {
            person: call.key.person.clone(),
            title: call.entry.about.title.clone(),
            acknowledge_url: call.key.step.map(|_| format!("{}{path}", self.url)).unwrap_or_default(),
            test: call.entry.about.test,
            buttons: false,
            id,
        }
    }
}

/// A page in the form in which receivers are told of alerts.
fn notification(call: &Call, receiver: &str, way: &str) -> Notification {
    let about = &call.entry.about;
    let fires = call.key.step.is_some();
    let mut alerts = about.alerts.clone();
    if alerts.is_empty() {
        let labels: Labels = [(ALERT_NAME, "Page"), ("severity", about.severity.as_str())]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        alerts.push(Alert {
            labels,
            annotations: [("summary".to_owned(), about.title.clone())].into(),
            starts_at: call.entry.opened_at,
            ends_at: call.entry.resolved_at.unwrap_or(call.entry.opened_at),
            timeout: false,
            updated_at: call.entry.opened_at,
            generator_url: String::new(),
        });
    }
    let fingerprints = alerts.iter().map(Alert::fingerprint).collect();
    let (firing, resolved) = if fires { (fingerprints, BTreeSet::new()) } else { (BTreeSet::new(), fingerprints) };
    let key = NotificationKey {
        // A page is one incident in whatever takes it, however many alerts it has.
        group: format!("page {}", call.key.page),
        receiver: receiver.to_owned(),
        integration: way.to_owned(),
    };
    Notification {
        key,
        cause: if fires { Cause::First } else { Cause::Resolved },
        group_labels: alerts
            .first()
            .map_or_else(Labels::default, |alert| alert.labels.retain(|name| name == ALERT_NAME)),
        alerts: alerts.into_iter().map(|alert| (alert, fires)).collect(),
        at: call.at,
        give_up_at: call.at.saturating_add(jiff::SignedDuration::from_mins(1)).unwrap_or(Timestamp::MAX),
        firing,
        resolved,
    }
}

/// Starts paging with the state that the facts of before give.
pub(crate) async fn start(
    rota: Rota,
    receivers: Arc<Receivers>,
    journal: Journal,
    control: Control,
) -> Result<Paging, RecordsError> {
    let (roster, changes) = Records::open(journal.clone()).await?;
    let clock: Arc<dyn Clock> = Arc::new(Controlled(control));
    let duty = Duty::new(rota, Arc::new(JournalRoster(roster)), Arc::clone(&clock), &changes);
    let (records, history) = Records::open(journal).await?;
    let options =
        PagingOptions { duty, log: Arc::new(JournalLog(records)), caller: receivers, clock, retry: Retry::default() };
    Ok(Paging::start(options, &history))
}

/// Paging as alerts' routing needs it.
pub(crate) struct Wakes(pub(crate) Paging);

#[async_trait]
impl Pager for Wakes {
    async fn notified(&self, escalation: Option<&str>, said: Notified) -> Result<(), String> {
        let escalation = self.0.escalation(escalation).map_err(|error| error.to_string())?;
        self.0.notified(&Notified { escalation, ..said }).await
    }
}
