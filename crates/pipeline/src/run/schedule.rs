//! Which job runs when: after those it needs, as its `if` says, as many combinations at once as its matrix allows.
//!
//! Invariant: nothing here awaits. Given the same results in the same order, the same jobs are started.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::contexts::before_job;
use super::options::RunOptions;
use super::progress::{Conclusion, JobResult};
use super::resolve;
use crate::event::PushEvent;
use crate::expression::{Scope, Status};
use crate::matrix;
use crate::plan::JobId;
use crate::workflow::{Job, Workflow};

/// All jobs of a run.
pub(super) struct Schedule<'a> {
    options: &'a RunOptions,
    event: &'a PushEvent,
    nodes: Vec<Node<'a>>,
    queue: VecDeque<Instance>,
    /// How each job ended, so far.
    pub(super) results: BTreeMap<JobId, JobResult>,
}

/// One of `jobs`, with all its combinations.
struct Node<'a> {
    workflow: &'a Workflow,
    job: &'a Job,
    needs: Vec<usize>,
    state: State,
    /// The ids of its combinations, in order.
    ids: Vec<JobId>,
    max_parallel: usize,
    running: usize,
    fail_fast: bool,
    /// Stops its combinations.
    cancel: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Started,
    Ended(Conclusion),
}

/// A job that is ready to run.
pub(super) struct Instance {
    /// Its id.
    pub(super) id: JobId,
    node: usize,
    /// The `matrix` context.
    pub(super) matrix: Json,
    /// The `strategy` context.
    pub(super) strategy: Json,
    /// The `needs` context.
    pub(super) needs: Json,
    /// Stops it.
    pub(super) cancel: CancellationToken,
}

impl<'a> Schedule<'a> {
    /// All jobs that `event` starts; `finished` are those that ended before a restart.
    pub(super) fn new(
        options: &'a RunOptions,
        workflows: &'a [Workflow],
        event: &'a PushEvent,
        finished: &BTreeMap<JobId, JobResult>,
    ) -> Self {
        let mut nodes = Vec::new();
        for workflow in workflows.iter().filter(|workflow| workflow.admits(event).is_ok()) {
            let first = nodes.len();
            nodes.extend(workflow.jobs.iter().map(|job| Node {
                workflow,
                job,
                needs: job.needs.iter().map(|need| first + need).collect(),
                state: State::Waiting,
                ids: Vec::new(),
                max_parallel: usize::MAX,
                running: 0,
                fail_fast: true,
                cancel: CancellationToken::new(),
            }));
        }
        Self { options, event, nodes, queue: VecDeque::new(), results: finished.clone() }
    }

    /// The workflow and job of an instance.
    pub(super) fn job_of(&self, instance: &Instance) -> Option<(&'a Workflow, &'a Job)> {
        self.nodes.get(instance.node).map(|node| (node.workflow, node.job))
    }

    /// Looks at all jobs whose time has come; gives those that ended without running. `cancel` is the run's.
    pub(super) fn advance(&mut self, cancel: &CancellationToken) -> Vec<(JobId, JobResult)> {
        let mut ended = Vec::new();
        for index in 0..self.nodes.len() {
            if self.is_ready(index) {
                self.start(index, cancel, &mut ended);
            }
        }
        ended
    }

    fn is_ready(&self, index: usize) -> bool {
        let ended = |need: &usize| self.nodes.get(*need).is_some_and(|own| matches!(own.state, State::Ended(_)));
        self.nodes.get(index).is_some_and(|node| node.state == State::Waiting && node.needs.iter().all(ended))
    }

    /// Decides a job: not run, or one instance for each combination that has not ended before.
    fn start(&mut self, index: usize, cancel: &CancellationToken, ended: &mut Vec<(JobId, JobResult)>) {
        let Some(node) = self.nodes.get(index) else { return };
        let id = JobId::of(&node.workflow.id, &node.job.key);
        if let Some(result) = self.results.get(&id).filter(|result| result.conclusion == Conclusion::Skipped) {
            let conclusion = result.effective();
            self.end_node(index, conclusion);
            return;
        }
        let needs = self.needs_context(node);
        let status = self.status(node, cancel.is_cancelled());
        let contexts = before_job(self.options, self.event, node.workflow, &needs);
        let scope = Scope { contexts, status: Some(status), workspace: None };
        let not_run = match resolve::holds(&node.job.condition, &scope) {
            Ok(true) => None,
            Ok(false) if cancel.is_cancelled() => {
                Some(JobResult::not_run(Conclusion::Cancelled, "the run was cancelled before it started"))
            }
            Ok(false) => Some(JobResult::not_run(Conclusion::Skipped, "its `if` does not hold")),
            Err(error) => Some(JobResult::not_run(Conclusion::Failure, error.to_string())),
        };
        let expanded = match not_run {
            Some(result) => Err(result),
            None => Expanded::of(node, &Scope { status: None, ..scope })
                .map_err(|message| JobResult::not_run(Conclusion::Failure, message)),
        };
        match expanded {
            Ok(expanded) => self.enqueue(index, expanded, &needs, cancel),
            Err(result) => {
                self.end_node(index, result.effective());
                self.results.insert(id.clone(), result.clone());
                ended.push((id, result));
            }
        }
    }

    fn enqueue(&mut self, index: usize, expanded: Expanded, needs: &Json, cancel: &CancellationToken) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        node.state = State::Started;
        node.fail_fast = expanded.fail_fast;
        node.max_parallel = expanded.max_parallel;
        // A job that starts although the run is cancelled is not stopped by what stopped the others.
        node.cancel = if cancel.is_cancelled() { CancellationToken::new() } else { cancel.child_token() };
        let total = expanded.combinations.len();
        for (place, (id, combination)) in expanded.combinations.into_iter().enumerate() {
            node.ids.push(id.clone());
            if self.results.contains_key(&id) {
                continue;
            }
            let strategy = json!({
                "fail-fast": expanded.fail_fast,
                "job-index": place,
                "job-total": total,
                "max-parallel": expanded.max_parallel.min(total),
            });
            let cancel = node.cancel.child_token();
            self.queue.push_back(Instance {
                id,
                node: index,
                matrix: combination,
                strategy,
                needs: needs.clone(),
                cancel,
            });
        }
        let failed =
            node.ids.iter().any(|id| self.results.get(id).is_some_and(|own| own.effective() == Conclusion::Failure));
        if failed && node.fail_fast {
            node.cancel.cancel();
        }
        self.settle(index);
    }

    /// The next job to run, if one may. Queued jobs that were stopped come back as ended.
    pub(super) fn next(&mut self) -> Option<Instance> {
        let place = self
            .queue
            .iter()
            .position(|instance| self.nodes.get(instance.node).is_some_and(|node| node.running < node.max_parallel))?;
        let instance = self.queue.remove(place)?;
        if let Some(node) = self.nodes.get_mut(instance.node) {
            node.running += 1;
        }
        Some(instance)
    }

    /// The queued jobs that were stopped before their turn.
    pub(super) fn drop_cancelled(&mut self) -> Vec<(JobId, JobResult)> {
        let mut ended = Vec::new();
        let (cancelled, left) = std::mem::take(&mut self.queue).into_iter().partition(|own| own.cancel.is_cancelled());
        self.queue = left;
        let cancelled: VecDeque<Instance> = cancelled;
        for instance in cancelled {
            let result = JobResult::not_run(Conclusion::Cancelled, "it was cancelled before it started");
            self.results.insert(instance.id.clone(), result.clone());
            ended.push((instance.id, result));
            self.settle(instance.node);
        }
        ended
    }

    /// Takes a job's result.
    pub(super) fn finished(&mut self, node: usize, id: JobId, result: JobResult) {
        let failed = result.effective() == Conclusion::Failure;
        self.results.insert(id, result);
        if let Some(own) = self.nodes.get_mut(node) {
            own.running -= 1;
            if failed && own.fail_fast {
                own.cancel.cancel();
            }
        }
        self.settle(node);
    }

    /// Ends a job when all its combinations have ended.
    fn settle(&mut self, index: usize) {
        let Some(node) = self.nodes.get(index) else { return };
        let results: Option<Vec<&JobResult>> = node.ids.iter().map(|id| self.results.get(id)).collect();
        let Some(results) = results else { return };
        let any = |wanted| results.iter().any(|result| result.effective() == wanted);
        let conclusion = [Conclusion::Failure, Conclusion::Cancelled, Conclusion::Success]
            .into_iter()
            .find(|wanted| any(*wanted))
            .unwrap_or(Conclusion::Skipped);
        self.end_node(index, conclusion);
    }

    fn end_node(&mut self, index: usize, conclusion: Conclusion) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.state = State::Ended(conclusion);
        }
    }

    fn needs_context(&self, node: &Node<'_>) -> Json {
        let mut context = Map::new();
        for need in node.needs.iter().filter_map(|need| self.nodes.get(*need)) {
            let State::Ended(conclusion) = need.state else { continue };
            let mut outputs = Map::new();
            for result in need.ids.iter().filter_map(|id| self.results.get(id)) {
                // As on GitHub, the last combination that gives an output decides; an empty one gives none.
                let given =
                    result.outputs.iter().filter(|(name, value)| !value.is_empty() || !outputs.contains_key(*name));
                let given: Vec<_> = given.map(|(name, value)| (name.clone(), Json::String(value.clone()))).collect();
                outputs.extend(given);
            }
            context.insert(need.job.key.clone(), json!({"result": conclusion.as_str(), "outputs": outputs}));
        }
        Json::Object(context)
    }

    /// What the status functions say in a job's `if`: they ask all jobs before it, not only those it names.
    fn status(&self, node: &Node<'_>, cancelled: bool) -> Status {
        let mut open = node.needs.clone();
        let mut seen = vec![false; self.nodes.len()];
        let (mut success, mut failure) = (!cancelled, false);
        while let Some(index) = open.pop() {
            let (Some(own), Some(was_seen)) = (self.nodes.get(index), seen.get_mut(index)) else { continue };
            if std::mem::replace(was_seen, true) {
                continue;
            }
            success &= own.state == State::Ended(Conclusion::Success);
            failure |= own.state == State::Ended(Conclusion::Failure);
            open.extend(&own.needs);
        }
        Status { success, failure, cancelled }
    }
}

impl Instance {
    /// The place of its job in the schedule.
    pub(super) fn node(&self) -> usize {
        self.node
    }
}

/// A job's `strategy` with everything filled in.
struct Expanded {
    combinations: Vec<(JobId, Json)>,
    fail_fast: bool,
    max_parallel: usize,
}

impl Expanded {
    fn of(node: &Node<'_>, scope: &Scope) -> Result<Self, String> {
        let strategy = &node.job.strategy;
        let fail_fast = resolve::flag("fail-fast", strategy.fail_fast.as_ref(), true, scope);
        let fail_fast = fail_fast.map_err(|error| error.to_string())?;
        let max_parallel = match &strategy.max_parallel {
            None => usize::MAX,
            Some(template) => {
                let text = resolve::text("max-parallel", template, scope).map_err(|error| error.to_string())?;
                let number = text.trim().parse::<usize>().ok().filter(|number| *number > 0);
                number.ok_or_else(|| "`max-parallel` must be a whole number above 0".to_owned())?
            }
        };
        let combinations = match &strategy.matrix {
            None => vec![(JobId::of(&node.workflow.id, &node.job.key), Json::Object(Map::new()))],
            Some(matrix) => {
                let found = matrix::expand(matrix, scope).map_err(|error| match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                })?;
                let ids = JobId::of_combinations(&node.workflow.id, &node.job.key, &found);
                ids.into_iter().zip(found.into_iter().map(Json::Object)).collect()
            }
        };
        Ok(Self { combinations, fail_fast, max_parallel })
    }
}
