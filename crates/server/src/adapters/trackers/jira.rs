//! Jira issues, of Jira Cloud and of Jira Data Center, by version 2 of the API, where descriptions are texts.
//!
//! Source: Atlassian developer documentation, "Jira Cloud platform REST API v2" and "Jira Data Center REST API" (create issue, get
//! issue, get transitions, transition issue, add comment; search for issues using JQL, which is `/search/jql` in the Cloud).

use async_trait::async_trait;
use http::Method;
use prograde_control::filing::{Ticket, Tracker};
use prograde_model::alert::Failure;
use prograde_model::incident::{ActionId, Draft, Ending};
use serde_json::{Value, json};

use super::api::{Api, lasting, segment, strange, text};
use super::mark;

/// Issues of a project.
pub(super) struct Jira {
    pub(super) api: Api,
    /// Where people find it.
    pub(super) site: String,
    /// The project's key.
    pub(super) project: String,
    pub(super) issue_type: String,
    pub(super) is_cloud: bool,
    pub(super) labels: Vec<String>,
}

impl Jira {
    fn ticket(&self, issue: &Value) -> Result<Ticket, Failure> {
        let key = text(issue, "key")?;
        let is_key = key.len() <= 100 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_key {
            return Err(strange("known key"));
        }
        Ok(Ticket { id: key.to_owned(), url: format!("{}/browse/{key}", self.site) })
    }
}

#[async_trait]
impl Tracker for Jira {
    async fn find(&self, action: ActionId) -> Result<Option<Ticket>, Failure> {
        // Neither can hold a quotation mark: both are checked when they are read.
        let label = mark(&self.api.prefix, action);
        let jql = format!("project = \"{}\" AND labels = \"{label}\" ORDER BY created ASC", self.project);
        let search = if self.is_cloud { "/search/jql" } else { "/search" };
        let found = self.api.get(&format!("{search}?jql={}&fields=status&maxResults=10", segment(&jql)), &[]).await?;
        let issues = found.get("issues").and_then(Value::as_array).ok_or_else(|| strange("list of issues"))?;
        issues.first().map(|issue| self.ticket(issue)).transpose()
    }

    async fn open(&self, draft: &Draft) -> Result<Ticket, Failure> {
        let label = mark(&self.api.prefix, draft.action);
        let labels: Vec<&str> = [label.as_str()].into_iter().chain(self.labels.iter().map(String::as_str)).collect();
        let fields = json!({"project": {"key": self.project}, "issuetype": {"name": self.issue_type},
            "summary": draft.title, "description": draft.text, "labels": labels});
        self.ticket(&self.api.send(Method::POST, "/issue", Some(&json!({"fields": fields})), &[]).await?)
    }

    async fn look(&self, ticket: &str) -> Result<Option<Ending>, Failure> {
        let issue = self.api.get(&format!("/issue/{}?fields=status,resolution", segment(ticket)), &[]).await?;
        let category = issue.pointer("/fields/status/statusCategory/key").and_then(Value::as_str);
        Ok((category.ok_or_else(|| strange("status"))? == "done").then_some(Ending::Done))
    }

    async fn close(&self, ticket: &str, _: Ending, comment: &str) -> Result<(), Failure> {
        let issue = format!("/issue/{}", segment(ticket));
        let found = self.api.get(&format!("{issue}/transitions"), &[]).await?;
        let transitions = found.get("transitions").and_then(Value::as_array).ok_or_else(|| strange("transitions"))?;
        let ends = |one: &&Value| one.pointer("/to/statusCategory/key").and_then(Value::as_str) == Some("done");
        let end = transitions.iter().find(ends).ok_or_else(|| {
            lasting("no transition leads from where the ticket is to one that is done; close it by hand")
        })?;
        let body = json!({"transition": {"id": text(end, "id")?}});
        self.api.send(Method::POST, &format!("{issue}/transitions"), Some(&body), &[]).await?;
        // Said after it, so that it is not said again when closing fails.
        let said = json!({"body": comment});
        if let Err(failure) = self.api.send(Method::POST, &format!("{issue}/comment"), Some(&said), &[]).await {
            tracing::warn!(ticket, "the ticket is closed without a comment: {}", failure.why());
        }
        Ok(())
    }
}
