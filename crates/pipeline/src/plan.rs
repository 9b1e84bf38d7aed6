//! Which jobs a push will run, in what order, under which ids.

use std::collections::BTreeSet;
use std::fmt;

use prograde_model::{Diagnostic, Diagnostics};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use crate::codes;
use crate::event::PushEvent;
use crate::expression::Scope;
use crate::expression::check::names_context;
use crate::load;
use crate::matrix::{self, Combination};
use crate::workflow::{Job, Workflow};

/// The most workflow files in one commit.
const FILES_MAX: usize = 100;

/// A job's id within a run, such as `ci.yml/test` or `ci.yml/build (linux, 18)`. The same commit always gives the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// The id of a job that has no matrix, or of all its combinations.
    pub(crate) fn of(workflow: &str, job: &str) -> Self {
        Self(format!("{workflow}/{job}"))
    }

    /// The ids of a job's combinations; those that would be the same are numbered.
    pub(crate) fn of_combinations(workflow: &str, job: &str, combinations: &[Combination]) -> Vec<Self> {
        let mut taken = BTreeSet::new();
        let mut ids = Vec::new();
        for combination in combinations {
            let label = matrix::label(combination);
            let base = format!("{workflow}/{job} ({label})");
            let mut id = base.clone();
            let mut number = 1;
            while !taken.insert(id.clone()) {
                number += 1;
                id = format!("{base} #{number}");
            }
            ids.push(Self(id));
        }
        ids
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The workflow's file name.
    pub fn workflow(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The job's key and what tells its combination from others.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The name of the job's directories: readable, safe in a path, and never that of another job.
    pub fn directory(&self) -> String {
        let readable: String = self.0.chars().take(60).map(|c| if is_plain(c) { c } else { '_' }).collect();
        let hash = hex::encode(Sha256::digest(self.0.as_bytes()));
        format!("{}-{}", readable.trim_start_matches('.'), hash.get(..8).unwrap_or(&hash))
    }
}

/// Whether a character may stand in the names of our files.
pub(crate) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

impl From<String> for JobId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All workflows of a commit, checked: every job of theirs can be run here.
#[derive(Debug, Clone, Default)]
pub struct Workflows {
    pub(crate) list: Vec<Workflow>,
    notes: Vec<Diagnostic>,
}

/// What a push will run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The jobs, each after those it needs.
    pub jobs: Vec<PlannedJob>,
    /// The workflows that the push does not start, and why.
    pub skipped: Vec<SkippedWorkflow>,
}

/// One job of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedJob {
    /// Its id. Where `matrix_later` holds, the ids of its combinations start with it.
    pub id: JobId,
    /// The workflow's name.
    pub workflow: String,
    /// The ids of the jobs it needs, without their combinations.
    pub needs: Vec<JobId>,
    /// Whether its matrix is known only when the jobs it needs have ended.
    pub matrix_later: bool,
    /// Its steps, as they are called where their names hold no expressions.
    pub steps: Vec<String>,
}

/// A workflow that a push does not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedWorkflow {
    /// Its file.
    pub file: String,
    /// Why.
    pub reason: String,
}

impl Workflows {
    /// Whether a path in a repository is that of a workflow: a `.yml` or `.yaml` file right in `.github/workflows`.
    pub fn is_workflow_path(path: &str) -> bool {
        path.strip_prefix(".github/workflows/").is_some_and(|name| {
            let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
            !name.contains('/') && stem.is_some_and(|stem| !stem.is_empty())
        })
    }

    /// Reads and checks all workflow files, given as path and text. Nothing is run unless all of them pass.
    pub fn load(files: &[(String, String)]) -> Result<Self, Diagnostics> {
        let mut all = Self::default();
        let mut findings = Vec::new();
        if let Some((path, _)) = files.get(FILES_MAX) {
            let message = format!("there are {} workflow files, more than the {FILES_MAX} allowed", files.len());
            return Err(Diagnostic::file(codes::LIMIT, path, message, "merge some of them").into());
        }
        for (path, text) in files {
            let loaded = load::workflow(path, text);
            findings.extend(loaded.findings);
            all.notes.extend(loaded.notes);
            if all.list.iter().any(|other| other.id == loaded.workflow.id) {
                let message = format!("another workflow file is called `{}`", loaded.workflow.id);
                findings.push(Diagnostic::file(codes::NAME, path, message, "give one of them another name"));
            }
            all.list.push(loaded.workflow);
        }
        if findings.is_empty() { Ok(all) } else { Err(Diagnostics(findings)) }
    }

    /// What is accepted in the files and has no effect here, each with its place and the reason.
    pub fn notes(&self) -> &[Diagnostic] {
        &self.notes
    }

    /// Which jobs `event` will run.
    pub fn plan(&self, event: &PushEvent) -> Plan {
        let mut plan = Plan { jobs: Vec::new(), skipped: Vec::new() };
        for workflow in &self.list {
            match workflow.admits(event) {
                Ok(()) => plan.jobs.extend(workflow.jobs.iter().flat_map(|job| planned(workflow, job, event))),
                Err(reason) => plan.skipped.push(SkippedWorkflow { file: workflow.path.clone(), reason }),
            }
        }
        plan
    }
}

impl Workflow {
    /// Whether `event` starts it; else why not.
    pub(crate) fn admits(&self, event: &PushEvent) -> Result<(), String> {
        self.push.as_ref().ok_or_else(|| "no push starts it".to_owned())?.admits(event)
    }
}

fn planned(workflow: &Workflow, job: &Job, event: &PushEvent) -> Vec<PlannedJob> {
    let needs = job.needs.iter().filter_map(|need| workflow.jobs.get(*need));
    let needs: Vec<JobId> = needs.map(|need| JobId::of(&workflow.id, &need.key)).collect();
    let steps = job.steps.iter().map(|step| {
        let named = step.name.as_ref().and_then(crate::expression::Template::literal);
        named.unwrap_or_else(|| step.default_name())
    });
    let steps: Vec<String> = steps.collect();
    let ids = ids_known(workflow, job, event);
    let matrix_later = ids.is_none();
    let one = |id| PlannedJob {
        id,
        workflow: workflow.name.clone(),
        needs: needs.clone(),
        matrix_later,
        steps: steps.clone(),
    };
    ids.unwrap_or_else(|| vec![JobId::of(&workflow.id, &job.key)]).into_iter().map(one).collect()
}

/// The ids of a job's combinations, where they are known before the run.
fn ids_known(workflow: &Workflow, job: &Job, event: &PushEvent) -> Option<Vec<JobId>> {
    let Some(matrix) = &job.strategy.matrix else { return Some(vec![JobId::of(&workflow.id, &job.key)]) };
    if matrix::expressions(matrix).iter().any(|source| names_context(source, &["needs", "vars"])) {
        return None;
    }
    let mut scope = Scope::default();
    scope.contexts.insert("github".to_owned(), Json::Object(event.github(&workflow.name)));
    scope.contexts.insert("inputs".to_owned(), Json::Object(Map::new()));
    let combinations = matrix::expand(matrix, &scope).ok()?;
    Some(JobId::of_combinations(&workflow.id, &job.key, &combinations))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn workflow_paths_are_those_that_github_reads() {
        for path in [".github/workflows/ci.yml", ".github/workflows/a b.yaml"] {
            assert!(Workflows::is_workflow_path(path), "{path}");
        }
        for path in ["ci.yml", ".github/workflows/sub/ci.yml", ".github/workflows/ci.json", ".github/workflows/.yml"] {
            assert!(!Workflows::is_workflow_path(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn directories_are_single_safe_names(text in "\\PC{0,200}") {
            let name = JobId::from(text).directory();
            prop_assert!(name.len() <= 100 && name.chars().all(is_plain) && !name.starts_with('.'));
        }

        #[test]
        fn different_jobs_have_different_directories(left in "[a-z /().]{1,20}", right in "[a-z /().]{1,20}") {
            prop_assume!(left != right);
            prop_assert_ne!(JobId::from(left).directory(), JobId::from(right).directory());
        }
    }
}
