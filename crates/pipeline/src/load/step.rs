//! One of `steps`.

use github_actions_models::common::Uses;
use prograde_yaml::{Key, Node, Value};

use super::job::{check_flag, check_minutes, is_name};
use super::reader::{Reader, listed};
use crate::action::{INPUTS_CHECKOUT, INPUTS_DOWNLOAD, INPUTS_UPLOAD, Input, Treatment};
use crate::codes;
use crate::expression::Template;
use crate::expression::check::{Facts, Place, nearest};
use crate::workflow::{Action, BuiltIn, RunDefaults, Shell, Step};

const SHARED: &[&str] = &["id", "name", "if", "env", "timeout-minutes", "continue-on-error"];
const RUN: &[&str] =
    &["id", "name", "if", "env", "timeout-minutes", "continue-on-error", "run", "shell", "working-directory"];
const USES: &[&str] = &["id", "name", "if", "env", "timeout-minutes", "continue-on-error", "uses", "with"];
const UNSUPPORTED: &[(&str, &str)] = &[
    ("background", "start it with `&` in `run`; it ends with the job"),
    ("wait", "wait in `run`"),
    ("wait-all", "wait in `run`"),
    ("cancel", "end it in `run`"),
    ("parallel", "run them with `&` and `wait` in one step"),
];

/// Reads a step; its id is known to the steps after it.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, facts: &mut Facts, defaults: &RunDefaults) -> Step {
    let known = match (node.get("run"), node.get("uses")) {
        (Some(_), None) => RUN,
        (None, Some(_)) => USES,
        _ => SHARED,
    };
    let both = node.get("run").zip(node.get("uses"));
    if let Some((_, uses)) = both {
        reader.at_node(codes::SHAPE, uses, "a step has either `run` or `uses`", "make two steps of it");
    } else {
        reader.mapping(node, "a step", known, UNSUPPORTED);
    }
    let condition = node.get("if").map(|own| reader.condition(own, Place::STEP_IF, facts)).unwrap_or_default();
    let mut template = |name: &str| node.get(name).map(|own| reader.template(own, Place::STEP, facts));
    let (name, timeout_minutes) = (template("name"), template("timeout-minutes"));
    let continue_on_error = template("continue-on-error");
    check_minutes(reader, node);
    check_flag(reader, node);
    let env = node.get("env").map(|own| reader.templates(own, "env", Place::STEP, facts)).unwrap_or_default();
    let action = action(reader, node, facts, defaults);
    let id = node.get("id").and_then(|own| id(reader, own, facts));
    Step { id, name, condition, env, timeout_minutes, continue_on_error, action }
}

fn id(reader: &mut Reader<'_>, node: &Node, facts: &mut Facts) -> Option<String> {
    let id = reader.text(node, "id")?;
    if !is_name(&id) {
        let hint = "start with a letter or `_`, then letters, digits, `-` and `_`, at most 100";
        reader.at_node(codes::NAME, node, format!("{id:?} can't be the id of a step"), hint);
    } else if facts.steps.iter().any(|own| own.eq_ignore_ascii_case(&id)) {
        reader.at_node(codes::NAME, node, format!("another step has the id `{id}`"), "ids are unique within a job");
    }
    facts.steps.push(id.clone());
    Some(id)
}

fn action(reader: &mut Reader<'_>, node: &Node, facts: &Facts, defaults: &RunDefaults) -> Action {
    if let Some(uses) = node.get("uses") {
        let reference = reader.text(uses, "uses").unwrap_or_default();
        let inputs = node.get("with");
        return match built_in(reader, uses, &reference) {
            Some(action) => {
                Action::Uses { action, reference, inputs: read_inputs(reader, inputs, action, uses, facts) }
            }
            None => Action::Uses { action: BuiltIn::Checkout, reference, inputs: Vec::new() },
        };
    }
    let is_told = node.entries().iter().any(|(key, _)| UNSUPPORTED.iter().any(|(name, _)| *name == key.name));
    if node.get("run").is_none() && !is_told && matches!(node.value, Value::Mapping(_)) {
        let hint = "add `run` with a command, or `uses` with an action";
        reader.at_node(codes::SHAPE, node, "this step does nothing", hint);
    }
    let script = node.get("run").map(|run| reader.template(run, Place::STEP, facts)).unwrap_or_default();
    Action::Run {
        script,
        shell: node
            .get("shell")
            .and_then(|own| shell(reader, own))
            .or_else(|| defaults.shell.clone())
            .unwrap_or(Shell::Default),
        directory: node
            .get("working-directory")
            .map(|own| reader.template(own, Place::STEP, facts))
            .or_else(|| defaults.directory.clone()),
    }
}

/// `shell`: the names and commands of workflow syntax, `jobs.<job_id>.steps[*].shell`.
pub(super) fn shell(reader: &mut Reader<'_>, node: &Node) -> Option<Shell> {
    let text = reader.text(node, "shell")?;
    let words: Vec<String> = match text.trim() {
        "bash" => words("bash --noprofile --norc -eo pipefail {0}"),
        "sh" => words("sh -e {0}"),
        "python" => words("python {0}"),
        custom if custom.contains("{0}") && !custom.contains("${{") => words(custom),
        other => {
            let message = format!("the shell {:?} is not supported", other.chars().take(100).collect::<String>());
            reader.at_node(codes::SHELL, node, message, "use `bash`, `sh`, `python`, or a command with `{0}` in it");
            return None;
        }
    };
    Some(Shell::Command(words))
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

fn built_in(reader: &mut Reader<'_>, node: &Node, reference: &str) -> Option<BuiltIn> {
    let refuse =
        |reader: &mut Reader<'_>, message: String, hint: &str| reader.at_node(codes::ACTION, node, message, hint);
    let here = "use `actions/checkout`, `actions/upload-artifact`, `actions/download-artifact`, or a `run` step";
    let action = match Uses::parse(reference) {
        Ok(Uses::Repository(action)) => action,
        Ok(Uses::Local(_)) => {
            refuse(
                reader,
                format!("local actions are not supported: `{reference}`"),
                "call its script in a `run` step",
            );
            return None;
        }
        Ok(Uses::Docker(_)) => {
            refuse(reader, format!("container actions are not supported: `{reference}`"), here);
            return None;
        }
        Err(error) => {
            refuse(reader, error.to_string(), here);
            return None;
        }
    };
    let (found, versions) = match (action.slug().to_ascii_lowercase().as_str(), action.subpath()) {
        ("actions/checkout", None) => (BuiltIn::Checkout, 3..=6),
        ("actions/upload-artifact", None) => (BuiltIn::UploadArtifact, 4..=9),
        ("actions/download-artifact", None) => (BuiltIn::DownloadArtifact, 4..=9),
        _ => {
            refuse(reader, format!("the action `{reference}` is not supported"), here);
            return None;
        }
    };
    let version = action.git_ref();
    let is_commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    let major = version.strip_prefix('v').and_then(|rest| rest.split('.').next()).and_then(|text| text.parse().ok());
    if !is_commit && !major.is_some_and(|major: u32| versions.contains(&major)) {
        let hint = format!("use `{}@v{}`", action.slug(), if found == BuiltIn::Checkout { 6 } else { 4 });
        refuse(reader, format!("the version `{version}` of `{}` is not supported", action.slug()), &hint);
        return None;
    }
    Some(found)
}

fn read_inputs(
    reader: &mut Reader<'_>,
    with: Option<&Node>,
    action: BuiltIn,
    uses: &Node,
    facts: &Facts,
) -> Vec<(String, Template)> {
    let known = match action {
        BuiltIn::Checkout => INPUTS_CHECKOUT,
        BuiltIn::UploadArtifact => INPUTS_UPLOAD,
        BuiltIn::DownloadArtifact => INPUTS_DOWNLOAD,
    };
    let mut inputs = Vec::new();
    if let Some(with) = with {
        if !matches!(with.value, Value::Mapping(_) | Value::Null) {
            reader.wrong_kind(with, "with", "a mapping of inputs to values");
        }
        for (key, value) in with.entries() {
            let template = reader.template(value, Place::STEP, facts);
            check_input(reader, key, value, &template, known);
            inputs.push((key.name.to_ascii_lowercase(), template));
        }
    }
    if action == BuiltIn::UploadArtifact && !inputs.iter().any(|(name, _)| name == "path") {
        reader.at_node(codes::INPUT, uses, "the input `path` is missing", "add `with: {path: …}`");
    }
    inputs
}

fn check_input(reader: &mut Reader<'_>, key: &Key, value: &Node, template: &Template, known: &[Input]) {
    let name = key.name.to_ascii_lowercase();
    let at = (key.line, key.column);
    let Some(input) = known.iter().find(|input| input.name == name) else {
        let names: Vec<&str> = known.iter().map(|input| input.name).collect();
        let hint = match nearest(&name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the inputs are {}", listed(&names)),
        };
        reader.report(codes::INPUT, at, format!("the action has no input `{}`", key.name), hint);
        return;
    };
    match input.treatment {
        Treatment::Used => {}
        Treatment::NoEffect(why) => reader.without_effect(key, format!("the input `{name}` has no effect"), why),
        Treatment::Only(values, hint) => {
            if !template.literal().is_some_and(|text| values.contains(&text.as_str())) {
                let message = format!("the input `{name}` can only be {}", listed(values));
                reader.at_node(codes::INPUT, value, message, hint);
            }
        }
        Treatment::Unsupported(hint) => {
            reader.report(codes::INPUT, at, format!("the input `{name}` is not supported"), hint);
        }
    }
}
