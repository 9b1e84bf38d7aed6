//! What happened: a push, as a workflow sees it in `github` and in the event's file.

use prograde_model::CommitId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::workflow::{PatternList, PushFilter};

/// A push to a branch, and the run that it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEvent {
    /// The repository: a service's name, or `owner/name`.
    pub repository: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The branch's new commit.
    pub commit: CommitId,
    /// The commit before the push; `None` where the branch is new.
    pub before: Option<CommitId>,
    /// The commit's author: name.
    pub author_name: String,
    /// The commit's author: e-mail address.
    pub author_email: String,
    /// The commit's message.
    pub message: String,
    /// The paths that the push changed; `None` where that is not known, and then `paths` filters match.
    pub changed_paths: Option<Vec<String>>,
    /// The run's id, such as the flight's: `github.run_id`.
    pub run_id: String,
    /// The run's number, counted from 1 in the repository: `github.run_number`.
    pub run_number: u64,
}

impl PushEvent {
    /// The branch as a Git reference.
    pub(crate) fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// The repository's owner, which is its whole name where it has none.
    pub(crate) fn owner(&self) -> &str {
        self.repository.split('/').next().unwrap_or(&self.repository)
    }

    /// The event's payload: the part of GitHub's push payload that is known here.
    pub(crate) fn payload(&self) -> Json {
        let zero = "0".repeat(self.commit.as_str().len());
        let author = json!({"name": self.author_name, "email": self.author_email});
        json!({
            "ref": self.reference(),
            "before": self.before.as_ref().map_or(zero.as_str(), CommitId::as_str),
            "after": self.commit.as_str(),
            "created": self.before.is_none(),
            "deleted": false,
            "forced": false,
            "head_commit": {
                "id": self.commit.as_str(),
                "message": self.message,
                "author": author,
                "committer": author,
            },
            "pusher": author,
            "repository": {
                "name": self.repository.rsplit('/').next().unwrap_or(&self.repository),
                "full_name": self.repository,
            },
        })
    }

    /// The `github` context, as far as it is the same for all jobs of a workflow.
    pub(crate) fn github(&self, workflow: &str) -> Map<String, Json> {
        let mut github = Map::new();
        for (name, value) in [
            ("actor", self.author_name.as_str()),
            ("triggering_actor", &self.author_name),
            ("base_ref", ""),
            ("head_ref", ""),
            ("event_name", "push"),
            ("ref", &self.reference()),
            ("ref_name", &self.branch),
            ("ref_type", "branch"),
            ("repository", &self.repository),
            ("repository_owner", self.owner()),
            ("run_attempt", "1"),
            ("run_id", &self.run_id),
            ("run_number", &self.run_number.to_string()),
            ("sha", self.commit.as_str()),
            ("workflow", workflow),
            ("workflow_sha", self.commit.as_str()),
        ] {
            github.insert(name.to_owned(), Json::String(value.to_owned()));
        }
        github.insert("ref_protected".to_owned(), Json::Bool(false));
        github.insert("event".to_owned(), self.payload());
        github
    }
}

impl PushFilter {
    /// Whether `event` starts the workflow; else why not.
    pub(crate) fn admits(&self, event: &PushEvent) -> Result<(), String> {
        if self.tags_only {
            return Err("only tags start it".to_owned());
        }
        if self.branches.as_ref().is_some_and(|branches| !branches.takes(&event.branch)) {
            return Err(format!("pushes to `{}` do not start it", event.branch));
        }
        match (&self.paths, &event.changed_paths) {
            (Some(paths), Some(changed)) if !changed.iter().any(|path| paths.takes(path)) => {
                Err("no path that it watches was changed".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl PatternList {
    /// Whether `text` is taken: the last pattern that matches decides.
    fn takes(&self, text: &str) -> bool {
        let last = self.patterns.iter().rev().find(|(pattern, _)| pattern.matches(text));
        last.map_or(self.otherwise, |(_, taken)| *taken)
    }
}
