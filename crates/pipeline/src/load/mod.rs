//! From the text of a workflow file to a checked [`Workflow`], or all that is wrong with it.
//!
//! Invariant: what comes out can be carried out whole. A key, action, shell or context that is not supported is a
//! finding with its place, never left out in silence; a key that is accepted and has no effect is a note.

mod job;
mod reader;
mod step;
mod strategy;
mod trigger;

use std::collections::BTreeMap;

use github_actions_models::common::Permissions;
use github_actions_models::workflow::Concurrency;
use prograde_model::Diagnostic;
use prograde_yaml::{Key, Node, Value};

use crate::codes;
use crate::expression::check::{Facts, Place};
use crate::workflow::{Job, RunDefaults, Workflow};
use reader::{Reader, listed};

/// The most jobs in one workflow.
const JOBS_MAX: usize = 256;

const KEYS: &[&str] = &["name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"];

/// What reading one file gives.
pub(crate) struct Loaded {
    /// The workflow, good only where there are no findings.
    pub(crate) workflow: Workflow,
    /// What is wrong.
    pub(crate) findings: Vec<Diagnostic>,
    /// What is accepted and has no effect.
    pub(crate) notes: Vec<Diagnostic>,
}

/// Reads one file.
pub(crate) fn workflow(path: &str, text: &str) -> Loaded {
    let id = path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut workflow =
        Workflow { id, path: path.to_owned(), name: path.to_owned(), push: None, env: Vec::new(), jobs: Vec::new() };
    let documents = match prograde_yaml::documents(path, text) {
        Ok(documents) => documents,
        Err(finding) => return Loaded { workflow, findings: vec![finding], notes: Vec::new() },
    };
    let mut reader = Reader::new(path, text);
    match documents.as_slice() {
        [root] => read(&mut reader, root, &mut workflow),
        _ => reader.report(
            codes::SHAPE,
            (0, 0),
            format!("a workflow is one YAML document, and this file has {}", documents.len()),
            "keep each workflow in a file of its own",
        ),
    }
    // Told in the order of the file, in which a person goes through them.
    reader.findings.sort_by_key(|finding| (finding.line, finding.column));
    reader.notes.sort_by_key(|note| (note.line, note.column));
    Loaded { workflow, findings: reader.findings, notes: reader.notes }
}

fn read(reader: &mut Reader<'_>, root: &Node, workflow: &mut Workflow) {
    let Some(on) = root.get("on") else {
        reader.mapping(root, "a workflow", KEYS, &[]);
        if matches!(root.value, Value::Mapping(_)) {
            reader.at_node(codes::SHAPE, root, "`on` is missing", "add `on: push`");
        }
        return;
    };
    workflow.push = trigger::push(reader, on);
    if workflow.push.is_none() {
        return;
    }
    reader.mapping(root, "a workflow", KEYS, &[]);
    if let Some(name) = root.get("name").and_then(|node| reader.text(node, "name")) {
        workflow.name = name;
    }
    let facts = Facts { matrix: Some(Vec::new()), ..Facts::default() };
    if let Some((key, node)) = entry(root, "run-name") {
        reader.template(node, Place::RUN_NAME, &facts);
        reader.without_effect(key, "`run-name` has no effect", "a flight is called by its commit");
    }
    permissions(reader, root);
    concurrency(reader, root, &facts);
    if let Some(env) = root.get("env") {
        workflow.env = reader.templates(env, "env", Place::WORKFLOW_ENV, &facts);
    }
    let defaults = root.get("defaults").map(|node| defaults(reader, node, &facts)).unwrap_or_default();
    match root.get("jobs") {
        Some(jobs) => workflow.jobs = read_jobs(reader, jobs, &defaults),
        None => reader.at_node(codes::SHAPE, root, "`jobs` is missing", "add a job with `runs-on` and `steps`"),
    }
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n (Key, Node)> {
    node.entries().iter().find(|(key, _)| key.name == name)
}

/// `permissions`: there is no token that they could limit.
fn permissions(reader: &mut Reader<'_>, node: &Node) {
    let Some((key, value)) = entry(node, "permissions") else { return };
    if serde_json::from_value::<Permissions>(value.to_json()).is_err() {
        let hint = "write `read-all`, `write-all`, or a mapping of scopes to `read`, `write` or `none`";
        reader.at_node(codes::SHAPE, value, "these are not `permissions`", hint);
    }
    reader.without_effect(key, "`permissions` has no effect", "jobs are given no token that it could limit");
}

/// `concurrency`: which flights wait for each other is not a workflow's decision.
fn concurrency(reader: &mut Reader<'_>, node: &Node, facts: &Facts) {
    let Some((key, value)) = entry(node, "concurrency") else { return };
    if serde_json::from_value::<Concurrency>(value.to_json()).is_err() {
        let hint = "write a group's name, or `group` and `cancel-in-progress`";
        reader.at_node(codes::SHAPE, value, "this is not a `concurrency`", hint);
    }
    match value.get("group") {
        Some(group) => {
            reader.mapping(value, "concurrency", &["group", "cancel-in-progress"], &[]);
            reader.template(group, Place::CONCURRENCY, facts);
        }
        None if matches!(value.value, Value::String(_)) => {
            reader.template(value, Place::CONCURRENCY, facts);
        }
        None => {}
    }
    reader.without_effect(key, "`concurrency` has no effect", "the server decides which flights wait for each other");
}

/// `defaults`.
fn defaults(reader: &mut Reader<'_>, node: &Node, facts: &Facts) -> RunDefaults {
    reader.mapping(node, "defaults", &["run"], &[]);
    let Some(run) = node.get("run") else { return RunDefaults::default() };
    reader.mapping(run, "defaults.run", &["shell", "working-directory"], &[]);
    RunDefaults {
        shell: run.get("shell").and_then(|shell| step::shell(reader, shell)),
        directory: run.get("working-directory").map(|path| reader.template(path, Place::DEFAULTS, facts)),
    }
}

/// Reads all jobs and puts each after those it needs.
fn read_jobs(reader: &mut Reader<'_>, node: &Node, defaults: &RunDefaults) -> Vec<Job> {
    if !matches!(node.value, Value::Mapping(_)) || node.entries().is_empty() {
        reader.wrong_kind(node, "jobs", "a mapping with at least one job");
    }
    let entries = node.entries();
    if entries.len() > JOBS_MAX {
        reader.at_node(
            codes::LIMIT,
            node,
            format!("the workflow has {} jobs, more than the {JOBS_MAX} allowed", entries.len()),
            "split it into several workflows",
        );
        return Vec::new();
    }
    let needs: Vec<Vec<usize>> = entries.iter().map(|(_, job)| needs(reader, job, entries)).collect();
    let order = in_order(&needs);
    if order.len() < entries.len() {
        circle(reader, entries, &needs, &order);
        return Vec::new();
    }
    let places: BTreeMap<usize, usize> = order.iter().enumerate().map(|(place, index)| (*index, place)).collect();
    let mut jobs = Vec::new();
    for index in &order {
        let (Some((key, body)), Some(own)) = (entries.get(*index), needs.get(*index)) else { continue };
        let outputs = own.iter().filter_map(|need| entries.get(*need)).map(|(key, job)| (key.name.clone(), names(job)));
        let facts = Facts { needs: outputs.collect(), ..Facts::default() };
        let places = own.iter().filter_map(|need| places.get(need).copied()).collect();
        jobs.push(job::read(reader, key, body, places, facts, defaults));
    }
    jobs
}

/// The names of a job's outputs.
fn names(job: &Node) -> Vec<String> {
    job.get("outputs").map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.name.clone()).collect()
}

/// The places of the jobs that `job` names in `needs`.
fn needs(reader: &mut Reader<'_>, job: &Node, entries: &[(Key, Node)]) -> Vec<usize> {
    let Some(node) = job.get("needs") else { return Vec::new() };
    let mut found = Vec::new();
    for (name, at) in reader.texts(node, "needs") {
        match entries.iter().position(|(key, _)| key.name.eq_ignore_ascii_case(&name)) {
            Some(index) if !found.contains(&index) => found.push(index),
            Some(_) => {}
            None => {
                let known: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
                let hint = match crate::expression::check::nearest(&name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the workflow has {}", listed(&known)),
                };
                reader.report(codes::NEEDS, at, format!("there is no job `{name}` to need"), hint);
            }
        }
    }
    found
}

/// The jobs, each after all it needs, otherwise as written; those in a circle are missing.
fn in_order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    loop {
        let next = needs
            .iter()
            .enumerate()
            .find(|(index, own)| !order.contains(index) && own.iter().all(|need| order.contains(need)));
        match next {
            Some((index, _)) => order.push(index),
            None => return order,
        }
    }
}

fn circle(reader: &mut Reader<'_>, entries: &[(Key, Node)], needs: &[Vec<usize>], order: &[usize]) {
    let stuck: Vec<usize> = (0..needs.len()).filter(|index| !order.contains(index)).collect();
    let names: Vec<&str> =
        stuck.iter().filter_map(|index| entries.get(*index)).map(|(key, _)| key.name.as_str()).collect();
    if let Some((key, _)) = stuck.first().and_then(|index| entries.get(*index)) {
        let message = format!("the jobs {} can never start: they need each other", listed(&names));
        reader.report(codes::NEEDS, (key.line, key.column), message, "take one `needs` out of the circle");
    }
}
