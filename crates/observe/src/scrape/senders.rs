//! Alerts on their way to the Alertmanagers of a `prometheus.yml`.
//!
//! Each Alertmanager has a task that holds the latest of every alert that it was not told yet, at most [`HELD_MAX`] of them:
//! what it misses while it can't be reached is sent when it can be, and an alert that has changed meanwhile is sent once, as
//! it is then. One that does not answer keeps no other from being told.
//!
//! Source: Prometheus documentation, "Configuration", `alertmanager_config`; Prometheus 2.42, `notifier`; Alertmanager's API v2.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Client, FetchError};
use super::config::{Alertmanagers, HttpSettings, ScrapeJob};
use super::target;
use crate::relabel;

/// How many alerts wait for one Alertmanager. Of more, the ones that were posted first are left out.
pub const HELD_MAX: usize = 10_000;
/// How many alerts are in a request, as Prometheus has it.
const BATCH: usize = 64;
/// How long it is waited after a failure; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
const PATH_LABEL: &str = "__alerts_path__";

/// The Alertmanagers of one configuration, each with its task.
#[derive(Debug, Default)]
pub struct Senders {
    all: Vec<Arc<Sender>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One Alertmanager.
#[derive(Debug)]
struct Sender {
    url: String,
    within: Duration,
    http: HttpSettings,
    held: Mutex<Held>,
    changed: Notify,
}

/// Alerts that it was not told yet, by their labels, each with its number in the order of posting.
#[derive(Debug, Default)]
struct Held {
    alerts: BTreeMap<String, (u64, Value)>,
    order: BTreeMap<u64, String>,
    posted: u64,
    left_out: u64,
}

impl Held {
    fn hold(&mut self, alert: &Value) {
        let labels = alert.get("labels").map(Value::to_string).unwrap_or_default();
        self.posted += 1;
        self.order.insert(self.posted, labels.clone());
        if let Some((before, _)) = self.alerts.insert(labels, (self.posted, alert.clone())) {
            self.order.remove(&before);
        }
        while self.alerts.len() > HELD_MAX
            && let Some((_, labels)) = self.order.pop_first()
        {
            self.alerts.remove(&labels);
            self.left_out += 1;
        }
    }

    /// The alerts that have waited longest, with their numbers.
    fn batch(&self) -> Vec<(u64, Value)> {
        let first = self.order.values().take(BATCH).filter_map(|labels| self.alerts.get(labels));
        first.cloned().collect()
    }

    /// Forgets what was sent, unless it has changed meanwhile.
    fn sent(&mut self, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            if let Some(labels) = self.order.remove(&number) {
                self.alerts.remove(&labels);
            }
        }
    }
}

impl Senders {
    /// Begins to send to all of them.
    pub fn start(all: &[Alertmanagers]) -> Self {
        let all: Vec<Arc<Sender>> = all.iter().flat_map(of_config).map(Arc::new).collect();
        let this = Self { all, ..Self::default() };
        for sender in &this.all {
            this.tasks.spawn(Arc::clone(sender).run(this.stop.clone()));
        }
        this
    }

    /// Whether there is nobody to be told.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Has alerts sent, each an object as Alertmanager's API takes it.
    pub fn send(&self, alerts: &[Value]) {
        for sender in &self.all {
            let mut held = sender.held();
            let before = held.left_out;
            for alert in alerts {
                held.hold(alert);
            }
            let left_out = held.left_out - before;
            drop(held);
            if left_out > 0 {
                tracing::error!(alertmanager = sender.url, left_out, "more than {HELD_MAX} alerts wait: some are lost");
            }
            sender.changed.notify_one();
        }
    }

    /// Ends all tasks. Alerts that were not sent are posted again by whoever evaluates their rules.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Sender {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut client, mut pause) = (None, Duration::ZERO);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let batch = self.held().batch();
            if batch.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.changed.notified() => continue,
                }
            }
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = self.post(&mut client, &batch) => sent,
            };
            match sent {
                Ok(()) => {
                    self.held().sent(batch.iter().map(|(number, _)| *number));
                    pause = Duration::ZERO;
                }
                Err(why) => {
                    tracing::warn!(alertmanager = self.url, "alerts were not sent, and will be again: {why}");
                    // Its certificates may be others by then.
                    client = None;
                    pause = (pause * 2).clamp(BACK_OFF, BACK_OFF_MAX);
                }
            }
        }
    }

    async fn post(&self, client: &mut Option<Arc<Client>>, batch: &[(u64, Value)]) -> Result<(), String> {
        let client = if let Some(client) = client {
            Arc::clone(client)
        } else {
            let http = self.http.clone();
            let made = tokio::task::spawn_blocking(move || Client::new(&http)).await;
            let made = made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            Arc::clone(client.insert(Arc::new(made)))
        };
        let body: Vec<&Value> = batch.iter().map(|(_, alert)| alert).collect();
        let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
        match client.post(&self.url, Bytes::from(body), self.within).await {
            Ok(()) => Ok(()),
            // It will not take them the next time either, and others wait behind them.
            Err(FetchError::Status(status)) if status.is_client_error() && status.as_u16() != 429 => {
                tracing::error!(alertmanager = self.url, "it refuses {} alerts with {status}", batch.len());
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The Alertmanagers that one entry names, after relabelling.
fn of_config(config: &Alertmanagers) -> Vec<Sender> {
    let path = format!("/{}/api/v2/alerts", config.path_prefix.trim_matches('/')).replace("//", "/");
    let mut relabelling = config.relabelling.clone();
    // The pattern of a copy is a fixed one.
    relabelling.extend(relabel::Rule::copy(PATH_LABEL, "__metrics_path__"));
    let job = ScrapeJob {
        scheme: config.scheme.clone(),
        relabelling,
        ..ScrapeJob::local_node("alertmanager", config.timeout_ms.max(1))
    };
    let mut senders = Vec::new();
    for group in &config.targets {
        let mut group = group.clone();
        group.labels.push((PATH_LABEL.to_owned(), path.clone()));
        for found in target::of_group(&job, &group) {
            match found {
                Ok(Ok(target)) => senders.push(Sender {
                    url: target.url,
                    within: Duration::from_millis(config.timeout_ms.unsigned_abs()),
                    http: config.http.clone(),
                    held: Mutex::default(),
                    changed: Notify::new(),
                }),
                Ok(Err(_dropped)) => {}
                Err(none) => tracing::error!("{} is no Alertmanager: {}", none.discovered, none.error),
            }
        }
    }
    senders
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::scrape::config::parse;

    fn urls(alertmanagers: &str) -> Vec<String> {
        let text = format!("alerting: {{ alertmanagers: [{alertmanagers}] }}");
        let config = parse("prometheus.yml", &text, Path::new("")).unwrap();
        config.alertmanagers.iter().flat_map(of_config).map(|sender| sender.url).collect()
    }

    #[test]
    fn alertmanagers_are_found_as_prometheus_finds_them() {
        let cases = [
            (
                "{ static_configs: [{ targets: ['a:9093', 'b:9093'] }] }",
                vec!["http://a:9093/api/v2/alerts", "http://b:9093/api/v2/alerts"],
            ),
            (
                "{ scheme: https, path_prefix: /am/, static_configs: [{ targets: [a] }] }",
                vec!["https://a:443/am/api/v2/alerts"],
            ),
            (
                "{ static_configs: [{ targets: ['a:1'] }], relabel_configs: [{ target_label: __alerts_path__, replacement: /x }] }",
                vec!["http://a:1/x"],
            ),
            (
                "{ static_configs: [{ targets: ['a:1'] }], relabel_configs: [{ source_labels: [__address__], regex: 'a:1', action: drop }] }",
                vec![],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(urls(text), expected, "{text}");
        }
    }

    #[test]
    fn the_latest_of_an_alert_is_held_and_no_more_than_there_is_room_for() {
        let alert = |name: usize, ends: u32| json!({"labels": {"alertname": name.to_string()}, "endsAt": ends});
        let mut held = Held::default();
        held.hold(&alert(1, 1));
        held.hold(&alert(2, 1));
        held.hold(&alert(1, 2));
        let batch = held.batch();
        assert_eq!(batch.iter().map(|(_, alert)| alert.clone()).collect::<Vec<_>>(), [alert(2, 1), alert(1, 2)]);
        // One that changes while it is being sent is sent again.
        held.hold(&alert(2, 3));
        held.sent(batch.iter().map(|(number, _)| *number));
        assert_eq!(held.batch().iter().map(|(_, alert)| alert.clone()).collect::<Vec<_>>(), [alert(2, 3)]);
        for name in 0..HELD_MAX + 5 {
            held.hold(&alert(name, 1));
        }
        assert_eq!((held.alerts.len(), held.order.len(), held.left_out), (HELD_MAX, HELD_MAX, 5));
        assert_eq!(held.batch().len(), BATCH);
    }
}
