//! Trackers of tickets: GitHub, GitLab and Jira, each by its HTTP API.
//!
//! Everything that answers is taken for hostile: answers are bounded in size and time, redirects are not followed, and no error
//! holds a token or an address. A ticket bears its action item's mark as a label from the beginning, and is found by that.

mod api;
mod github;
mod gitlab;
mod jira;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use prograde_control::Clock;
use prograde_control::filing::Tracker;

use crate::trackers::config::{Kind, TrackerConfig};
use api::Api;

/// The label by which an action item's ticket is found.
fn mark(prefix: &str, action: impl std::fmt::Display) -> String {
    format!("{prefix}-{action}")
}

/// A tracker as it is configured; `folder` is what relative paths are relative to.
pub(crate) fn tracker(config: &TrackerConfig, folder: &Path, clock: &Arc<dyn Clock>) -> Arc<dyn Tracker> {
    let labels = config.labels.clone();
    let api = |url: String, user: Option<String>| {
        Api::new(url, folder.join(&config.token_file), user, config.mark.clone(), Arc::clone(clock))
    };
    match &config.kind {
        Kind::Github { url, repository } => {
            let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
            Arc::new(github::GitHub { api: api(url.clone(), None), owner: owner.into(), name: name.into(), labels })
        }
        Kind::Gitlab { url, project } => {
            let project = api::segment(project);
            Arc::new(gitlab::GitLab { api: api(format!("{url}/api/v4"), None), project, labels })
        }
        Kind::Jira { url, project, issue_type, user, .. } => Arc::new(jira::Jira {
            api: api(format!("{url}/rest/api/2"), user.clone()),
            site: url.clone(),
            project: project.clone(),
            issue_type: issue_type.clone(),
            is_cloud: config.kind.is_cloud(),
            labels,
        }),
    }
}
