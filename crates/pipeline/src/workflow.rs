//! A workflow that was checked: every key is one that we carry out, and every expression can have a value.
//!
//! Made by [`crate::load`] alone; names and defaults are those of GitHub's workflow syntax.

use crate::expression::{Part, Template};
use crate::pattern::Pattern;

/// One workflow file.
#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    /// The file's name, which starts the ids of its jobs.
    pub(crate) id: String,
    /// The file's path in the repository.
    pub(crate) path: String,
    /// `name`, default the path.
    pub(crate) name: String,
    /// When a push starts it; `None` where no push does, and then nothing else of it was read.
    pub(crate) push: Option<PushFilter>,
    /// `env`.
    pub(crate) env: Vec<(String, Template)>,
    /// The jobs, each after those it needs.
    pub(crate) jobs: Vec<Job>,
}

/// `on.push`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PushFilter {
    /// `branches`, or `branches-ignore` with each pattern turned round.
    pub(crate) branches: Option<PatternList>,
    /// Whether only tags are named, so that no branch starts it.
    pub(crate) tags_only: bool,
    /// `paths`, or `paths-ignore`.
    pub(crate) paths: Option<PatternList>,
}

/// Patterns of which the last that matches decides.
#[derive(Debug, Clone)]
pub(crate) struct PatternList {
    /// Whether what no pattern matches is taken.
    pub(crate) otherwise: bool,
    /// Each pattern, and whether what it matches is taken.
    pub(crate) patterns: Vec<(Pattern, bool)>,
}

/// `defaults.run`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunDefaults {
    /// `shell`.
    pub(crate) shell: Option<Shell>,
    /// `working-directory`.
    pub(crate) directory: Option<Template>,
}

/// What runs a step's script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shell {
    /// Nothing was said: `bash -e {0}`, or `sh -e {0}` where there is no bash.
    Default,
    /// A command with `{0}` for the script's path.
    Command(Vec<String>),
}

/// One of `jobs`.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its key.
    pub(crate) key: String,
    /// `name`.
    pub(crate) name: Option<Template>,
    /// Places in the workflow's list of the jobs it needs, all before its own.
    pub(crate) needs: Vec<usize>,
    /// `if`.
    pub(crate) condition: Condition,
    /// `runs-on`: labels, or one expression that gives them.
    pub(crate) runs_on: Vec<Template>,
    /// `env`.
    pub(crate) env: Vec<(String, Template)>,
    /// `outputs`.
    pub(crate) outputs: Vec<(String, Template)>,
    /// `timeout-minutes`, default 360.
    pub(crate) timeout_minutes: Option<Template>,
    /// `strategy`.
    pub(crate) strategy: Strategy,
    /// `continue-on-error`.
    pub(crate) continue_on_error: Option<Template>,
    /// `steps`.
    pub(crate) steps: Vec<Step>,
}

/// `if`, to which `success()` is added where it names no status function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The expression.
    pub(crate) source: String,
    /// Whether it names a status function.
    pub(crate) names_status: bool,
}

impl Default for Condition {
    fn default() -> Self {
        Self { source: "success()".to_owned(), names_status: true }
    }
}

/// `strategy`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strategy {
    /// `matrix`.
    pub(crate) matrix: Option<Matrix>,
    /// `fail-fast`, default true.
    pub(crate) fail_fast: Option<Template>,
    /// `max-parallel`.
    pub(crate) max_parallel: Option<Template>,
}

/// `strategy.matrix`.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// The whole of it is one expression.
    Expression(Template),
    /// Its parts are written down.
    Written {
        /// The dimensions and their values.
        dimensions: Vec<(String, Tree)>,
        /// `include`.
        include: Option<Tree>,
        /// `exclude`.
        exclude: Option<Tree>,
    },
}

/// A YAML value whose texts may hold expressions.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// A scalar.
    Leaf(Template),
    /// A list.
    List(Vec<Tree>),
    /// A mapping.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// All the expressions in it.
    pub(crate) fn expressions(&self) -> Vec<&str> {
        match self {
            Self::Leaf(template) => template.expressions().collect(),
            Self::List(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, value)| value.expressions()).collect(),
        }
    }
}

/// One of `steps`.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// `id`.
    pub(crate) id: Option<String>,
    /// `name`.
    pub(crate) name: Option<Template>,
    /// `if`.
    pub(crate) condition: Condition,
    /// `env`.
    pub(crate) env: Vec<(String, Template)>,
    /// `timeout-minutes`.
    pub(crate) timeout_minutes: Option<Template>,
    /// `continue-on-error`.
    pub(crate) continue_on_error: Option<Template>,
    /// What it does.
    pub(crate) action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// `run`.
    Run {
        /// The script.
        script: Template,
        /// `shell`, or the default that holds here.
        shell: Shell,
        /// `working-directory`, or the default that holds here.
        directory: Option<Template>,
    },
    /// `uses`: an action that is built in.
    Uses {
        /// Which.
        action: BuiltIn,
        /// As it is written, for the step's name.
        reference: String,
        /// `with`.
        inputs: Vec<(String, Template)>,
    },
}

/// The actions that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    /// `actions/checkout`.
    Checkout,
    /// `actions/upload-artifact`.
    UploadArtifact,
    /// `actions/download-artifact`.
    DownloadArtifact,
}

impl Step {
    /// What the step is called where it has no `name`, as GitHub calls it.
    pub(crate) fn default_name(&self) -> String {
        match &self.action {
            Action::Run { script, .. } => {
                let text: String = script.parts().iter().map(as_written).collect();
                let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
                format!("Run {}", first.chars().take(80).collect::<String>())
            }
            Action::Uses { reference, .. } => format!("Run {reference}"),
        }
    }
}

fn as_written(part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Value(value) => crate::expression::text_of(value),
        Part::Expression { source, .. } => format!("${{{{ {source} }}}}"),
    }
}
