//! GitLab issues, of gitlab.com and self-managed.
//!
//! Source: GitLab documentation, "Issues API" (list project issues, single project issue, new issue, edit an issue), "Notes API"
//! (create new issue note) and "REST API authentication" (a personal, project or group access token as `Bearer`).

use async_trait::async_trait;
use http::Method;
use prograde_control::filing::{Ticket, Tracker};
use prograde_model::alert::Failure;
use prograde_model::incident::{ActionId, Draft, Ending};
use serde_json::{Value, json};

use super::api::{Api, address, number, segment, strange, text};
use super::mark;

/// Issues of a project.
pub(super) struct GitLab {
    pub(super) api: Api,
    /// Its path, encoded as one segment, or its number.
    pub(super) project: String,
    pub(super) labels: Vec<String>,
}

impl GitLab {
    fn path(&self, rest: &str) -> String {
        format!("/projects/{}/issues{rest}", self.project)
    }
}

fn ticket(issue: &Value) -> Result<Ticket, Failure> {
    Ok(Ticket { id: number(issue, "iid")?, url: address(issue, "web_url")?.to_owned() })
}

#[async_trait]
impl Tracker for GitLab {
    async fn find(&self, action: ActionId) -> Result<Option<Ticket>, Failure> {
        let label = mark(&self.api.prefix, action);
        let query = format!("?labels={}&scope=all&order_by=created_at&sort=asc&per_page=10", segment(&label));
        let found = self.api.get(&self.path(&query), &[]).await?;
        found.as_array().ok_or_else(|| strange("list of issues"))?.first().map(ticket).transpose()
    }

    async fn open(&self, draft: &Draft) -> Result<Ticket, Failure> {
        let label = mark(&self.api.prefix, draft.action);
        let labels: Vec<&str> = [label.as_str()].into_iter().chain(self.labels.iter().map(String::as_str)).collect();
        let body = json!({"title": draft.title, "description": draft.text, "labels": labels.join(",")});
        ticket(&self.api.send(Method::POST, &self.path(""), Some(&body), &[]).await?)
    }

    async fn look(&self, ticket: &str) -> Result<Option<Ending>, Failure> {
        let issue = self.api.get(&self.path(&format!("/{}", segment(ticket))), &[]).await?;
        match text(&issue, "state")? {
            "opened" => Ok(None),
            "closed" => Ok(Some(Ending::Done)),
            _ => Err(strange("known state")),
        }
    }

    async fn close(&self, ticket: &str, _: Ending, comment: &str) -> Result<(), Failure> {
        let issue = self.path(&format!("/{}", segment(ticket)));
        self.api.send(Method::PUT, &issue, Some(&json!({"state_event": "close"})), &[]).await?;
        // Said after it, so that it is not said again when closing fails.
        let said = json!({"body": comment});
        if let Err(failure) = self.api.send(Method::POST, &format!("{issue}/notes"), Some(&said), &[]).await {
            tracing::warn!(ticket, "the ticket is closed without a note: {}", failure.why());
        }
        Ok(())
    }
}
