//! Tells authors: always in the server's log, and by webhook where one is set.

use std::time::Duration;

use async_trait::async_trait;
use prograde_control::ports::{Notice, Notifier};

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Notifiers {
    webhook: Option<(String, ureq::Agent)>,
}

impl Notifiers {
    pub(crate) fn new(webhook: Option<String>) -> Self {
        let agent = || ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
        Self { webhook: webhook.map(|url| (url, agent())) }
    }
}

#[async_trait]
impl Notifier for Notifiers {
    async fn notify(&self, notice: &Notice) -> Vec<(String, Result<(), String>)> {
        tracing::warn!(flight = notice.flight.short(), author = notice.author.email, "{}", notice.text);
        let Some((url, agent)) = self.webhook.clone() else {
            return vec![("log".to_owned(), Ok(()))];
        };
        // The journal keeps a notice's delivery by flight, so a receiver may see it twice after a crash, with one id.
        let body = serde_json::json!({
            "id": notice.flight, "service": notice.service, "commit": notice.commit, "author": notice.author, "text": notice.text,
        });
        let sent = tokio::task::spawn_blocking(move || {
            agent.post(&url).send_json(&body).map(|_| ()).map_err(|e| e.to_string())
        });
        let sent = sent.await.unwrap_or_else(|error| Err(error.to_string()));
        vec![("webhook".to_owned(), sent)]
    }
}
