//! A step with everything filled in: what is left is to do it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::expression::{EvaluationError, Scope, Status, Template, is_true};
use crate::workflow::{Action, BuiltIn, Condition, Shell, Step};

/// The longest time that is waited for anything, in minutes: 30 days.
const MINUTES_MAX: f64 = 43_200.0;

/// The longest name that a job or step is shown by, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 200;

/// Why a job or step can't be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("`{0}` has no value: {1}")]
    Evaluation(String, EvaluationError),
    #[error("`timeout-minutes` is {0:?}, and must be a number above 0")]
    Minutes(String),
    #[error("`{0}` can't be the name and value of a variable")]
    Variable(String),
    #[error("finding its values was interrupted: {0}")]
    Interrupted(String),
}

/// A step that is ready to be done.
#[derive(Debug, Clone)]
pub(crate) struct ReadyStep {
    /// Its `env`.
    pub(crate) env: Vec<(String, String)>,
    /// How long it may take.
    pub(crate) timeout: Option<Duration>,
    /// `continue-on-error`.
    pub(crate) continue_on_error: bool,
    /// Whether it goes on although the job is cancelled.
    pub(crate) goes_on_when_cancelled: bool,
    /// What it does.
    pub(crate) work: Work,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Runs a script.
    Script {
        /// The script.
        text: String,
        /// What runs it.
        shell: Shell,
        /// Where, below the workspace unless it is absolute.
        directory: PathBuf,
    },
    /// Does what a built-in action does.
    BuiltIn {
        /// Which.
        action: BuiltIn,
        /// Its inputs.
        inputs: Vec<(String, String)>,
    },
}

/// A step's name, and the step itself where it is to be done.
pub(crate) struct Resolved {
    /// Its name.
    pub(crate) name: String,
    /// The step; `None` where its `if` says no.
    pub(crate) step: Result<Option<ReadyStep>, ResolveError>,
}

/// Fills in a step. Reads files where it uses `hashFiles`, so it does not belong on the runtime's own threads.
pub(crate) fn resolve(step: &Step, mut scope: Scope) -> Resolved {
    let env = variables(&step.env, &scope);
    if let (Ok(env), Some(Json::Object(context))) = (&env, scope.contexts.get_mut("env")) {
        context.extend(env.iter().map(|(name, value)| (name.clone(), Json::String(value.clone()))));
    }
    let named = step.name.as_ref().and_then(|name| name.text(&scope).ok()).filter(|name| !name.trim().is_empty());
    let name = named.unwrap_or_else(|| step.default_name());
    let name = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    Resolved { name, step: env.and_then(|env| ready(step, &scope, env)) }
}

fn ready(step: &Step, scope: &Scope, env: Vec<(String, String)>) -> Result<Option<ReadyStep>, ResolveError> {
    if !holds(&step.condition, scope)? {
        return Ok(None);
    }
    let cancelled = Scope { status: Some(Status { success: false, failure: false, cancelled: true }), ..scope.clone() };
    let text = |name: &str, template: &Template| text(name, template, scope);
    let work = match &step.action {
        Action::Run { script, shell, directory } => Work::Script {
            text: text("run", script)?,
            shell: shell.clone(),
            directory: match directory {
                Some(directory) => PathBuf::from(text("working-directory", directory)?),
                None => PathBuf::new(),
            },
        },
        Action::Uses { action, reference: _, inputs } => Work::BuiltIn {
            action: *action,
            inputs: inputs
                .iter()
                .map(|(name, template)| Ok((name.clone(), text(name, template)?)))
                .collect::<Result<_, ResolveError>>()?,
        },
    };
    Ok(Some(ReadyStep {
        env,
        timeout: step.timeout_minutes.as_ref().map(|minutes| timeout(minutes, scope)).transpose()?,
        continue_on_error: flag("continue-on-error", step.continue_on_error.as_ref(), false, scope)?,
        goes_on_when_cancelled: holds(&step.condition, &cancelled)?,
        work,
    }))
}

/// Whether an `if` holds.
pub(crate) fn holds(condition: &Condition, scope: &Scope) -> Result<bool, ResolveError> {
    if !condition.names_status && !scope.status.is_some_and(|status| status.success) {
        return Ok(false);
    }
    let value = scope.evaluate(&condition.source);
    value.map(|value| is_true(&value)).map_err(|error| ResolveError::Evaluation("if".to_owned(), error))
}

/// A template's text.
pub(crate) fn text(name: &str, template: &Template, scope: &Scope) -> Result<String, ResolveError> {
    template.text(scope).map_err(|error| ResolveError::Evaluation(name.to_owned(), error))
}

/// A boolean key.
pub(crate) fn flag(
    name: &str,
    template: Option<&Template>,
    otherwise: bool,
    scope: &Scope,
) -> Result<bool, ResolveError> {
    let Some(template) = template else { return Ok(otherwise) };
    match template.value(scope).map_err(|error| ResolveError::Evaluation(name.to_owned(), error))? {
        Json::String(text) => Ok(text.eq_ignore_ascii_case("true")),
        other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Ok(is_true(&other))
        }
    }
}

/// `timeout-minutes`; parts of a minute count.
pub(crate) fn timeout(template: &Template, scope: &Scope) -> Result<Duration, ResolveError> {
    let text = text("timeout-minutes", template, scope)?;
    let minutes = text.trim().parse::<f64>().ok().filter(|minutes| minutes.is_finite() && *minutes > 0.0);
    let seconds = minutes.map(|minutes| minutes.min(MINUTES_MAX) * 60.0);
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.ok_or_else(|| ResolveError::Minutes(text.chars().take(100).collect()))
}

/// `env`: each value filled in.
pub(crate) fn variables(env: &[(String, Template)], scope: &Scope) -> Result<Vec<(String, String)>, ResolveError> {
    let mut found = Vec::new();
    for (name, template) in env {
        let value = text(name, template, scope)?;
        if !super::environment::is_valid(name, &value) {
            return Err(ResolveError::Variable(name.chars().take(100).collect()));
        }
        found.push((name.clone(), value));
    }
    Ok(found)
}
