//! What an expression may refer to, by where it stands (GitHub's "Contexts reference", section "Context availability").
//!
//! Invariant: whatever passes here has a value when the workflow runs; nothing that GitHub would give and we can't is
//! taken for an empty text.

use std::collections::BTreeMap;

use github_actions_expressions::call::Function;
use github_actions_expressions::literal::Literal;
use github_actions_expressions::op::BinExpr;
use github_actions_expressions::{Expr, SpannedExpr};

/// Where an expression stands, and what can be seen from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key, for messages.
    pub(crate) name: &'static str,
    contexts: &'static [&'static str],
    status: bool,
    hash_files: bool,
}

const fn place(name: &'static str, contexts: &'static [&'static str]) -> Place {
    Place { name, contexts, status: false, hash_files: false }
}

const STEP: &[&str] = &["github", "needs", "strategy", "matrix", "job", "runner", "env", "vars", "steps", "inputs"];
const JOB: &[&str] = &["github", "needs", "strategy", "matrix", "vars", "inputs"];
const WORKFLOW: &[&str] = &["github", "inputs", "vars"];
const BEFORE_JOB: &[&str] = &["github", "needs", "vars", "inputs"];

impl Place {
    pub(crate) const RUN_NAME: Self = place("`run-name`", WORKFLOW);
    pub(crate) const CONCURRENCY: Self = place("`concurrency`", JOB);
    pub(crate) const WORKFLOW_ENV: Self = place("the workflow's `env`", WORKFLOW);
    pub(crate) const JOB_IF: Self = Self { status: true, ..place("a job's `if`", BEFORE_JOB) };
    pub(crate) const STRATEGY: Self = place("`strategy`", BEFORE_JOB);
    pub(crate) const JOB_NAME: Self = place("a job's `name`", JOB);
    pub(crate) const RUNS_ON: Self = place("`runs-on`", JOB);
    pub(crate) const JOB_ENV: Self = place("a job's `env`", JOB);
    pub(crate) const JOB_TIMEOUT: Self = place("a job's `timeout-minutes`", JOB);
    pub(crate) const JOB_CONTINUE: Self = place("a job's `continue-on-error`", JOB);
    pub(crate) const DEFAULTS: Self =
        place("`defaults`", &["github", "needs", "strategy", "matrix", "env", "vars", "inputs"]);
    pub(crate) const JOB_OUTPUTS: Self = place("a job's `outputs`", STEP);
    pub(crate) const STEP_IF: Self = Self { status: true, hash_files: true, ..place("a step's `if`", STEP) };
    pub(crate) const STEP: Self = Self { hash_files: true, ..place("a step", STEP) };
}

/// What is known of a workflow where an expression stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Ids of the steps before it.
    pub(crate) steps: Vec<String>,
    /// The jobs that this one needs, and their outputs.
    pub(crate) needs: BTreeMap<String, Vec<String>>,
    /// The keys of the matrix, where they are written down.
    pub(crate) matrix: Option<Vec<String>>,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Bytes from the start of the expression.
    pub(crate) offset: usize,
    /// The diagnostic's code.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

/// What `github` has here.
const GITHUB: &[&str] = &[
    "action",
    "actor",
    "base_ref",
    "event",
    "event_name",
    "event_path",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_owner",
    "run_attempt",
    "run_id",
    "run_number",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_sha",
    "workspace",
];
const RUNNER: &[&str] = &["arch", "debug", "environment", "name", "os", "temp", "tool_cache"];
const STRATEGY: &[&str] = &["fail-fast", "job-index", "job-total", "max-parallel"];
/// What GitHub's push payload has and ours has not; all else that is not in ours is empty on GitHub as well.
const EVENT_MISSING: &[&str] =
    &["base_ref", "commits", "compare", "enterprise", "installation", "organization", "sender"];
const HEAD_COMMIT: &[&str] = &["author", "committer", "id", "message"];
const REPOSITORY: &[&str] = &["full_name", "name"];
const PERSON: &[&str] = &["email", "name"];

/// Everything wrong with `source` at `place`.
pub(crate) fn check(source: &str, place: Place, facts: &Facts) -> Vec<Problem> {
    match super::parse(source) {
        Ok(parsed) => {
            let mut checker = Checker { place, facts, problems: Vec::new() };
            checker.walk(&parsed);
            checker.problems
        }
        Err(error) => vec![Problem {
            offset: error.offset,
            code: crate::codes::EXPRESSION,
            message: format!("this is not an expression: {}", error.message),
            hint: if error.message.starts_with("unknown function") {
                "the functions are contains, startsWith, endsWith, format, join, toJSON, fromJSON, hashFiles, case, \
                 success, failure, always and cancelled"
                    .to_owned()
            } else {
                "texts in expressions stand in single quotes, such as `github.ref == 'refs/heads/main'`".to_owned()
            },
        }],
    }
}

/// Whether `source` names a function that asks how the steps or jobs before went; else `success()` is asked as well.
pub(crate) fn names_status(source: &str) -> bool {
    super::parse(source).is_ok_and(|parsed| {
        mentions(&parsed, &|part| {
            matches!(
                part,
                Expr::Call(call) if matches!(
                    call.func,
                    Function::Success | Function::Failure | Function::Always | Function::Cancelled
                )
            )
        })
    })
}

/// Whether `source` refers to any of the contexts.
pub(crate) fn names_context(source: &str, contexts: &[&str]) -> bool {
    super::parse(source).is_ok_and(|parsed| {
        mentions(&parsed, &|part| {
            root_of(part).is_some_and(|root| contexts.iter().any(|own| own.eq_ignore_ascii_case(root)))
        })
    })
}

/// Whether `source` refers to no other context than this one.
pub(crate) fn names_only(source: &str, context: &str) -> bool {
    super::parse(source).is_ok_and(|parsed| {
        !mentions(&parsed, &|part| root_of(part).is_some_and(|root| !root.eq_ignore_ascii_case(context)))
    })
}

/// The context that a reference starts with.
fn root_of<'a>(part: &'a Expr<'_>) -> Option<&'a str> {
    let Expr::Context(context) = part else { return None };
    let Some(Expr::Identifier(name)) = context.parts.first().map(|head| &head.inner) else { return None };
    Some(name.as_str())
}

fn mentions(expression: &SpannedExpr<'_>, wanted: &dyn Fn(&Expr<'_>) -> bool) -> bool {
    wanted(&expression.inner) || children(&expression.inner).into_iter().any(|child| mentions(child, wanted))
}

fn children<'a, 'src>(expression: &'a Expr<'src>) -> Vec<&'a SpannedExpr<'src>> {
    match expression {
        Expr::Literal(_) | Expr::Star | Expr::Identifier(_) => Vec::new(),
        Expr::Call(call) => call.args.iter().collect(),
        Expr::Index(inner) => vec![inner],
        Expr::Context(context) => context.parts.iter().collect(),
        Expr::BinExpr(BinExpr { lhs, op: _, rhs }) => vec![lhs, rhs],
        Expr::UnExpr { op: _, expr } => vec![expr],
    }
}

struct Checker<'a> {
    place: Place,
    facts: &'a Facts,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn walk(&mut self, expression: &SpannedExpr<'_>) {
        match &expression.inner {
            Expr::Context(context) => self.reference(expression, &context.parts),
            Expr::Call(call) => self.function(expression, call.func),
            Expr::Literal(_)
            | Expr::Star
            | Expr::Identifier(_)
            | Expr::Index(_)
            | Expr::BinExpr(_)
            | Expr::UnExpr { .. } => {}
        }
        for child in children(&expression.inner) {
            self.walk(child);
        }
    }

    fn report(&mut self, at: &SpannedExpr<'_>, message: String, hint: impl Into<String>) {
        let offset = at.origin.span.start;
        self.problems.push(Problem { offset, code: crate::codes::CONTEXT, message, hint: hint.into() });
    }

    fn function(&mut self, at: &SpannedExpr<'_>, function: Function) {
        let (allowed, name) = match function {
            Function::Success | Function::Failure | Function::Always | Function::Cancelled => {
                (self.place.status, "the status functions")
            }
            Function::HashFiles => (self.place.hash_files, "`hashFiles`"),
            Function::Contains
            | Function::StartsWith
            | Function::EndsWith
            | Function::Format
            | Function::Join
            | Function::ToJSON
            | Function::FromJSON
            | Function::Case => (true, ""),
        };
        if !allowed {
            let where_to = if function == Function::HashFiles { "use it in a step" } else { "use them in an `if`" };
            self.report(at, format!("{name} can't be used in {}", self.place.name), where_to);
        }
    }

    fn reference(&mut self, at: &SpannedExpr<'_>, parts: &[SpannedExpr<'_>]) {
        let Some(Expr::Identifier(root)) = parts.first().map(|head| &head.inner) else { return };
        let root = root.as_str().to_ascii_lowercase();
        let path: Vec<Option<String>> = parts.iter().skip(1).map(|part| fixed_name(&part.inner)).collect();
        let named = |index: usize| path.get(index).and_then(Option::as_deref);
        if !self.place.contexts.contains(&root.as_str()) {
            let (message, hint) = self.unavailable(&root);
            self.report(at, message, hint);
            return;
        }
        match (root.as_str(), named(0), named(1)) {
            ("github", Some(name), _) if name.eq_ignore_ascii_case("event") => self.event(at, &path),
            ("github", Some(name), _) => self.one_of(at, "github", name, GITHUB),
            ("runner", Some(name), _) => self.one_of(at, "runner", name, RUNNER),
            ("job", Some(name), _) => self.one_of(at, "job", name, &["status"]),
            ("strategy", Some(name), _) => self.one_of(at, "strategy", name, STRATEGY),
            ("steps", Some(id), field) => self.step(at, id, field),
            ("needs", Some(job), field) => self.need(at, job, field, named(2)),
            ("matrix", Some(key), _) => self.matrix(at, key),
            _ => {}
        }
    }

    fn unavailable(&self, root: &str) -> (String, String) {
        if root == "secrets" {
            return (
                "the `secrets` context is not supported".to_owned(),
                "name the variable in the server's `pass-env` setting and read it from the environment".to_owned(),
            );
        }
        let seen = self.place.contexts.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        (format!("`{root}` can't be used in {}", self.place.name), format!("what can be used there: {seen}"))
    }

    fn one_of(&mut self, at: &SpannedExpr<'_>, context: &str, name: &str, known: &[&str]) {
        if !known.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            let all = known.iter().map(|own| format!("`{own}`")).collect::<Vec<_>>().join(", ");
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`{context}` has {all}"),
            };
            self.report(at, format!("`{context}.{name}` is not provided"), hint);
        }
    }

    fn event(&mut self, at: &SpannedExpr<'_>, path: &[Option<String>]) {
        let named = |index: usize| path.get(index).and_then(Option::as_deref);
        match (named(1), named(2), named(3)) {
            (Some(name), _, _) if EVENT_MISSING.contains(&name) => {
                self.report(at, format!("`github.event.{name}` is not provided"), "read it from Git in a step");
            }
            (Some("head_commit"), Some("author" | "committer"), Some(name)) => {
                self.one_of(at, "github.event.head_commit.author", name, PERSON);
            }
            (Some("head_commit"), Some(name), _) => {
                self.one_of(at, "github.event.head_commit", name, HEAD_COMMIT);
            }
            (Some("pusher"), Some(name), _) => self.one_of(at, "github.event.pusher", name, PERSON),
            (Some("repository"), Some(name), _) => self.one_of(at, "github.event.repository", name, REPOSITORY),
            _ => {}
        }
    }

    fn step(&mut self, at: &SpannedExpr<'_>, id: &str, field: Option<&str>) {
        if !self.facts.steps.iter().any(|own| own.eq_ignore_ascii_case(id)) {
            let hint = match nearest(id, self.facts.steps.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("give the step it means `id: {id}`, above this one"),
            };
            self.report(at, format!("no step before this one has the id `{id}`"), hint);
        } else if let Some(field) = field {
            self.one_of(at, &format!("steps.{id}"), field, &["outputs", "outcome", "conclusion"]);
        }
    }

    fn need(&mut self, at: &SpannedExpr<'_>, job: &str, field: Option<&str>, output: Option<&str>) {
        let found = self.facts.needs.iter().find(|(own, _)| own.eq_ignore_ascii_case(job)).map(|(_, outputs)| outputs);
        let Some(outputs) = found else {
            self.report(at, format!("this job does not need `{job}`"), format!("add `{job}` to its `needs`"));
            return;
        };
        match (field, output) {
            (Some("outputs"), Some(name)) if !outputs.iter().any(|own| own.eq_ignore_ascii_case(name)) => {
                let hint = format!("add `{name}` to the `outputs` of `{job}`");
                self.report(at, format!("the job `{job}` has no output `{name}`"), hint);
            }
            (Some(field), _) => self.one_of(at, &format!("needs.{job}"), field, &["outputs", "result"]),
            (None, _) => {}
        }
    }

    fn matrix(&mut self, at: &SpannedExpr<'_>, key: &str) {
        let Some(keys) = &self.facts.matrix else { return };
        if !keys.iter().any(|own| own.eq_ignore_ascii_case(key)) {
            let hint = match nearest(key, keys.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `{key}` to the job's `strategy.matrix`"),
            };
            self.report(at, format!("the matrix has no `{key}`"), hint);
        }
    }
}

/// The name that a part stands for, where it is written down.
fn fixed_name(part: &Expr<'_>) -> Option<String> {
    if let Expr::Identifier(name) = part {
        return Some(name.as_str().to_owned());
    }
    let Expr::Index(inner) = part else { return None };
    let Expr::Literal(Literal::String(text)) = &inner.inner else { return None };
    Some(text.to_string())
}

/// The known name that is at most two letters away from a mistyped one.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.map(|own| (distance(name, own), own)).filter(|(away, _)| *away <= 2).min().map(|(_, own)| own)
}

/// Levenshtein's distance, by the two-row algorithm; names past 64 characters are taken for far apart.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    if right.len() > 64 || left.chars().count() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((to, above), corner) in right.iter().zip(row.iter().skip(1)).zip(row.iter()) {
            let before = next.last().copied().unwrap_or_default();
            next.push((corner + usize::from(from != *to)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(source: &str, place: Place) -> Vec<String> {
        let facts = Facts {
            steps: vec!["build".to_owned()],
            needs: BTreeMap::from([("compile".to_owned(), vec!["digest".to_owned()])]),
            matrix: Some(vec!["os".to_owned()]),
        };
        check(source, place, &facts)
            .into_iter()
            .map(|problem| format!("{}: {} ({})", problem.offset, problem.message, problem.hint))
            .collect()
    }

    #[test]
    fn what_is_provided_passes() {
        for source in [
            "github.ref == 'refs/heads/main' && github.event.head_commit.message",
            "steps.build.outputs.anything || steps['build'].conclusion",
            "needs.compile.outputs.digest && needs.compile.result == 'success'",
            "matrix.os && strategy.job-index && runner.os && job.status && env.X && vars.Y && inputs.z",
            "github.event.pull_request.number || toJSON(github)",
            "hashFiles('**/Cargo.lock')",
        ] {
            assert_eq!(problems(source, Place::STEP), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn what_is_not_provided_is_pointed_at() {
        let found: Vec<_> = [
            ("secrets.TOKEN", Place::STEP),
            ("1 == 2 && github.token", Place::STEP),
            ("github.event.commits[0].id", Place::STEP),
            ("github.event.head_commit.timestamp", Place::STEP),
            ("steps.biuld.outputs.x", Place::STEP),
            ("steps.build.output.x", Place::STEP),
            ("needs.other.result", Place::STEP),
            ("needs.compile.outputs.sha", Place::STEP),
            ("matrix.oss", Place::STEP),
            ("env.X", Place::JOB_IF),
            ("hashFiles('x')", Place::JOB_ENV),
            ("always()", Place::STEP),
            ("job.container.id", Place::STEP),
            ("format('x", Place::STEP),
        ]
        .iter()
        .flat_map(|(source, place)| problems(source, *place))
        .collect();
        insta::assert_snapshot!(found.join("\n"));
    }

    #[test]
    fn status_functions_and_contexts_are_found_wherever_they_stand() {
        assert!(names_status("env.A == 'x' && (contains('a', 'b') || !cancelled())"));
        assert!(!names_status("'always()' == env.A"));
        assert!(names_context("fromJSON(format('{0}', needs.a.outputs.b))", &["needs"]));
        assert!(!names_context("'needs.a' == github.ref", &["needs"]));
    }
}
