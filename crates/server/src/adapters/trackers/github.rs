//! GitHub issues, of github.com and of GitHub Enterprise Server.
//!
//! Source: GitHub REST API documentation, API version 2022-11-28, "REST API endpoints for issues" (list repository issues, create,
//! get, update) and "REST API endpoints for issue comments" (create).

use async_trait::async_trait;
use http::Method;
use prograde_control::filing::{Ticket, Tracker};
use prograde_model::alert::Failure;
use prograde_model::incident::{ActionId, Draft, Ending};
use serde_json::{Value, json};

use super::api::{Api, address, number, segment, strange, text};
use super::mark;

/// "Getting started with the REST API", sections "Media types" and "API versions".
const HEADERS: [(&str, &str); 2] = [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];

/// Issues of a repository.
pub(super) struct GitHub {
    pub(super) api: Api,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) labels: Vec<String>,
}

impl GitHub {
    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{}/issues{rest}", segment(&self.owner), segment(&self.name))
    }
}

fn ticket(issue: &Value) -> Result<Ticket, Failure> {
    Ok(Ticket { id: number(issue, "number")?, url: address(issue, "html_url")?.to_owned() })
}

#[async_trait]
impl Tracker for GitHub {
    async fn find(&self, action: ActionId) -> Result<Option<Ticket>, Failure> {
        let label = mark(&self.api.prefix, action);
        let query = format!("?labels={}&state=all&sort=created&direction=asc&per_page=10", segment(&label));
        let found = self.api.get(&self.path(&query), &HEADERS).await?;
        let issues = found.as_array().ok_or_else(|| strange("list of issues"))?;
        // Pull requests are issues too.
        issues.iter().find(|issue| issue.get("pull_request").is_none()).map(ticket).transpose()
    }

    async fn open(&self, draft: &Draft) -> Result<Ticket, Failure> {
        let label = mark(&self.api.prefix, draft.action);
        let labels: Vec<&str> = [label.as_str()].into_iter().chain(self.labels.iter().map(String::as_str)).collect();
        let body = json!({"title": draft.title, "body": draft.text, "labels": labels});
        let made = self.api.send(Method::POST, &self.path(""), Some(&body), &HEADERS).await?;
        let has = |name: &Value| name.get("name").unwrap_or(name).as_str() == Some(&label);
        if !made.get("labels").and_then(Value::as_array).is_some_and(|labels| labels.iter().any(has)) {
            // "Only users with push access can set labels for new issues. Labels are silently dropped otherwise."
            tracing::warn!(action = %draft.action, "the ticket has no label: the token needs push access, or a ticket may be opened twice");
        }
        ticket(&made)
    }

    async fn look(&self, ticket: &str) -> Result<Option<Ending>, Failure> {
        let issue = self.api.get(&self.path(&format!("/{}", segment(ticket))), &HEADERS).await?;
        match text(&issue, "state")? {
            "open" => Ok(None),
            "closed" => {
                let dropped = issue.get("state_reason").and_then(Value::as_str) == Some("not_planned");
                Ok(Some(if dropped { Ending::Dropped } else { Ending::Done }))
            }
            _ => Err(strange("known state")),
        }
    }

    async fn close(&self, ticket: &str, ending: Ending, comment: &str) -> Result<(), Failure> {
        let issue = self.path(&format!("/{}", segment(ticket)));
        let reason = match ending {
            Ending::Done => "completed",
            Ending::Dropped => "not_planned",
        };
        let closed = json!({"state": "closed", "state_reason": reason});
        self.api.send(Method::PATCH, &issue, Some(&closed), &HEADERS).await?;
        // Said after it, so that it is not said again when closing fails.
        let said = json!({"body": comment});
        if let Err(failure) = self.api.send(Method::POST, &format!("{issue}/comments"), Some(&said), &HEADERS).await {
            tracing::warn!(ticket, "the ticket is closed without a comment: {}", failure.why());
        }
        Ok(())
    }
}
