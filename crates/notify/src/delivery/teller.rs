//! All receivers of a configuration, by name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prograde_model::alert::{Failure, Notification};
use prograde_model::diagnostic::Diagnostics;

use super::Delivery;
use crate::config::{Config, Way};
use crate::message::{Messages, PageLink};

/// Tells the receivers of a configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Teller {
    delivery: Arc<Delivery>,
    ways: Arc<Vec<(String, Vec<Way>)>>,
}

impl Teller {
    /// With the receivers and texts of a configuration that was read from `file`.
    pub fn new(config: &Config, file: &Path, external_url: String) -> Result<Self, Diagnostics> {
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        let messages = Messages::new(config, &file.display().to_string(), &folder)?;
        let delivery = Arc::new(Delivery::new(messages, folder, external_url));
        Ok(Self { delivery, ways: Arc::new(config.ways.clone()) })
    }

    /// The receivers' names, in their order.
    pub fn receivers(&self) -> impl Iterator<Item = &str> {
        self.ways.iter().map(|(name, _)| name.as_str())
    }

    /// The ways in which a receiver is told; none where there is no such receiver.
    pub fn ways(&self, receiver: &str) -> &[Way] {
        self.ways.iter().find(|(name, _)| name == receiver).map_or(&[], |(_, ways)| ways)
    }

    /// Tells a receiver once in one way.
    pub async fn attempt(
        &self,
        way: Way,
        notification: Notification,
        page: Option<PageLink>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let delivery = Arc::clone(&self.delivery);
        let attempt = move || delivery.attempt(&way, &notification, page.as_ref(), timeout);
        tokio::task::spawn_blocking(attempt).await.unwrap_or_else(|error| {
            Err(Failure::Passing { why: format!("the attempt ended badly: {error}"), retry_after: None })
        })
    }
}
