//! What is scraped and which rules are evaluated: a `prometheus.yml`, read as it is.

use std::path::Path;
use std::sync::Arc;

use prograde_model::Diagnostics;
use prograde_model::objective::Objective;
use prograde_observe::Labels;
use prograde_observe::rules::template::External;
use prograde_observe::scrape::config::{self, Config};

use super::rules::{self, GroupState};

/// All that a file says.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) groups: Vec<Arc<GroupState>>,
    pub(crate) external: Arc<External>,
    pub(crate) objectives: Vec<Objective>,
}

impl Settings {
    /// Nothing is scraped and nothing is evaluated.
    pub(crate) fn none() -> Self {
        let external = Arc::new(External::default());
        Self { config: Config::default(), groups: Vec::new(), external, objectives: Vec::new() }
    }

    /// Reads a file, and the files of rules that it names; all that is wrong with them. `url` is where this server is found.
    pub(crate) fn read(file: &Path, url: &str) -> Result<Self, Diagnostics> {
        let config = config::load(file)?;
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
        let groups = rules::read(&config.rule_files, config.global.evaluation_interval_ms)?;
        let pairs = config.global.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Labels = pairs.collect();
        let external = Arc::new(External { labels, url: url.to_owned() });
        Ok(Self { config, groups, external, objectives: Vec::new() })
    }
}
