//! One of `jobs`.

use prograde_yaml::{Key, Node, Value};
use serde_json::Value as Json;

use super::reader::Reader;
use super::{concurrency, defaults, permissions, step, strategy};
use crate::codes;
use crate::expression::check::{Facts, Place, names_only};
use crate::expression::{Scope, Template};
use crate::matrix;
use crate::workflow::{Job, Matrix, RunDefaults};

/// The most steps in one job.
const STEPS_MAX: usize = 1000;

const KEYS: &[&str] = &[
    "name",
    "permissions",
    "needs",
    "if",
    "runs-on",
    "concurrency",
    "outputs",
    "env",
    "defaults",
    "steps",
    "timeout-minutes",
    "strategy",
    "continue-on-error",
];

const UNSUPPORTED: &[(&str, &str)] = &[
    ("container", "run the step's commands on this machine, with the tools that it has"),
    ("services", "start what the job needs in a step, such as `server &`; it ends with the job"),
    ("environment", "approvals and secrets of environments are set in `prograde.yaml`"),
    ("uses", "copy the steps of the reusable workflow into this job"),
    ("with", "copy the steps of the reusable workflow into this job"),
    ("secrets", "copy the steps of the reusable workflow into this job"),
    ("cache-mode", "keep what should outlive the job in the tool cache, `$RUNNER_TOOL_CACHE`"),
];

/// Reads a job. `facts` knows the jobs it needs.
pub(super) fn read(
    reader: &mut Reader<'_>,
    key: &Key,
    node: &Node,
    needs: Vec<usize>,
    mut facts: Facts,
    workflow_defaults: &RunDefaults,
) -> Job {
    check_name(reader, key);
    reader.mapping(node, &format!("jobs.{}", key.name), KEYS, UNSUPPORTED);
    permissions(reader, node);
    let condition = node.get("if").map(|own| reader.condition(own, Place::JOB_IF, &facts)).unwrap_or_default();
    let strategy = node.get("strategy").map(|own| strategy::read(reader, own, &facts)).unwrap_or_default();
    facts.matrix = strategy::keys(strategy.matrix.as_ref());
    concurrency(reader, node, &facts);
    let mut template = |name: &str, place: Place| node.get(name).map(|own| reader.template(own, place, &facts));
    let name = template("name", Place::JOB_NAME);
    let timeout_minutes = template("timeout-minutes", Place::JOB_TIMEOUT);
    let continue_on_error = template("continue-on-error", Place::JOB_CONTINUE);
    check_minutes(reader, node);
    check_flag(reader, node);
    let runs_on = runs_on(reader, key, node, strategy.matrix.as_ref(), &facts);
    let env = node.get("env").map(|own| reader.templates(own, "env", Place::JOB_ENV, &facts)).unwrap_or_default();
    let own_defaults = node.get("defaults").map(|own| defaults(reader, own, &facts)).unwrap_or_default();
    let defaults = RunDefaults {
        shell: own_defaults.shell.or_else(|| workflow_defaults.shell.clone()),
        directory: own_defaults.directory.or_else(|| workflow_defaults.directory.clone()),
    };
    let steps = steps(reader, key, node, &mut facts, &defaults);
    let outputs = node.get("outputs");
    let outputs = outputs.map(|own| reader.templates(own, "outputs", Place::JOB_OUTPUTS, &facts)).unwrap_or_default();
    Job {
        key: key.name.clone(),
        name,
        needs,
        condition,
        runs_on,
        env,
        outputs,
        timeout_minutes,
        strategy,
        continue_on_error,
        steps,
    }
}

fn steps(
    reader: &mut Reader<'_>,
    key: &Key,
    node: &Node,
    facts: &mut Facts,
    defaults: &RunDefaults,
) -> Vec<crate::workflow::Step> {
    let Some(list) = node.get("steps") else {
        if node.get("uses").is_none() {
            let message = format!("the job `{}` has no `steps`", key.name);
            reader.report(codes::SHAPE, (key.line, key.column), message, "add at least one step with `run`");
        }
        return Vec::new();
    };
    if list.items().is_empty() {
        reader.wrong_kind(list, "steps", "a list with at least one step");
    }
    if list.items().len() > STEPS_MAX {
        let message = format!("the job has {} steps, more than the {STEPS_MAX} allowed", list.items().len());
        reader.at_node(codes::LIMIT, list, message, "split the job");
        return Vec::new();
    }
    list.items().iter().map(|item| step::read(reader, item, facts, defaults)).collect()
}

/// A job's key and a step's id: a letter or `_`, then letters, digits, `-` and `_` (workflow syntax, `jobs.<job_id>`).
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn check_name(reader: &mut Reader<'_>, key: &Key) {
    if !is_name(&key.name) {
        let shown: String = key.name.chars().take(100).collect();
        reader.report(
            codes::NAME,
            (key.line, key.column),
            format!("{shown:?} can't be the key of a job"),
            "start with a letter or `_`, then letters, digits, `-` and `_`, at most 100",
        );
    }
}

/// Refuses a `timeout-minutes` that is no positive number.
pub(super) fn check_minutes(reader: &mut Reader<'_>, node: &Node) {
    let Some(own) = node.get("timeout-minutes") else { return };
    let minutes = match &own.value {
        Value::String(text) if text.contains("${{") => return,
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => None,
    };
    if !minutes.is_some_and(|minutes| minutes.is_finite() && minutes > 0.0) {
        reader.at_node(codes::SHAPE, own, "`timeout-minutes` must be a number above 0", "");
    }
}

/// Refuses a `continue-on-error` that is no boolean.
pub(super) fn check_flag(reader: &mut Reader<'_>, node: &Node) {
    let Some(own) = node.get("continue-on-error") else { return };
    let fits = match &own.value {
        Value::Bool(_) => true,
        Value::String(text) => text.contains("${{"),
        Value::Null | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => false,
    };
    if !fits {
        reader.at_node(codes::SHAPE, own, "`continue-on-error` must be `true`, `false` or an expression", "");
    }
}

fn runs_on(reader: &mut Reader<'_>, key: &Key, node: &Node, matrix: Option<&Matrix>, facts: &Facts) -> Vec<Template> {
    let Some(own) = node.get("runs-on") else {
        if node.get("uses").is_none() {
            let message = format!("the job `{}` has no `runs-on`", key.name);
            reader.report(codes::SHAPE, (key.line, key.column), message, "add `runs-on: ubuntu-latest`");
        }
        return Vec::new();
    };
    if matches!(own.value, Value::Mapping(_)) {
        let hint = "name a label, such as `ubuntu-latest` or `self-hosted`";
        reader.at_node(codes::RUNS_ON, own, "groups of runners are not supported", hint);
        return Vec::new();
    }
    let items = if matches!(own.value, Value::Sequence(_)) { own.items() } else { std::slice::from_ref(own) };
    if items.is_empty() {
        reader.wrong_kind(own, "runs-on", "a label or a list of labels");
    }
    let labels: Vec<(&Node, Template)> =
        items.iter().map(|item| (item, reader.template(item, Place::RUNS_ON, facts))).collect();
    let combinations = matrix.and_then(|matrix| matrix::expand(matrix, &Scope::default()).ok());
    for (item, template) in &labels {
        for label in known_labels(template, combinations.as_deref()) {
            if let Err(why) = crate::runner_label::check(&label) {
                let hint = "this machine is `ubuntu-*`, `linux` or `self-hosted`; leave out what needs another";
                reader.at_node(codes::RUNS_ON, item, why, hint);
            }
        }
    }
    labels.into_iter().map(|(_, template)| template).collect()
}

/// The labels that a template can give, as far as they are written down.
fn known_labels(template: &Template, combinations: Option<&[matrix::Combination]>) -> Vec<String> {
    if let Some(label) = template.literal() {
        return vec![label];
    }
    if !template.expressions().all(|source| names_only(source, "matrix")) {
        return Vec::new();
    }
    let mut labels = Vec::new();
    for combination in combinations.unwrap_or_default() {
        let mut scope = Scope::default();
        scope.contexts.insert("matrix".to_owned(), Json::Object(combination.clone()));
        if let Ok(value) = template.value(&scope) {
            labels.extend(crate::runner_label::labels(&value));
        }
    }
    labels.sort();
    labels.dedup();
    labels
}
