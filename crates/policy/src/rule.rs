//! A compiled rule of a Kyverno policy.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::admission::Params;
use crate::cel::{self, Program};
use crate::conditions::Conditions;
use crate::context::Entry;
use crate::generate::Generate;
use crate::jmespath::Expression;
use crate::manifests::Manifests;
use crate::matching::{Match, Selector, texts};
use crate::mutate::Mutate;
use crate::pattern::Pattern;
use crate::pss::PodSecurity;
use crate::request::text;
use crate::template::Template;
use crate::verify::VerifyImages;
use crate::wildcard;

/// How deep `foreach` may nest.
const NESTING_MAX: usize = 5;

/// What a broken rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is told.
    Audit,
    /// What breaks it is refused.
    Enforce,
}

impl Action {
    /// Reads `Audit` or `Enforce`, in any case.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "audit" => Ok(Self::Audit),
            "enforce" => Ok(Self::Enforce),
            other => Err(format!("unknown failure action `{other}`: expected Audit or Enforce")),
        }
    }
}

/// Other actions for some namespaces.
#[derive(Debug, Clone)]
struct Override {
    action: Action,
    namespaces: Vec<String>,
    selector: Option<Selector>,
}

/// The action of a rule or a policy, with its overrides.
#[derive(Debug, Clone)]
pub(crate) struct Actions {
    default: Action,
    overrides: Vec<Override>,
}

impl Actions {
    pub(crate) fn compile(action: Option<&Value>, overrides: Option<&Value>) -> Result<Option<Self>, String> {
        let mut compiled = Vec::new();
        for item in overrides.and_then(Value::as_array).into_iter().flatten() {
            compiled.push(Override {
                action: Action::parse(text(item, &["action"]))?,
                namespaces: texts(item.get("namespaces")),
                selector: item.get("namespaceSelector").map(Selector::compile).transpose()?,
            });
        }
        let action = action.and_then(Value::as_str).map(Action::parse).transpose()?;
        if action.is_none() && compiled.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { default: action.unwrap_or(Action::Audit), overrides: compiled }))
    }

    /// What holds where nothing is said.
    pub(crate) fn audit() -> Self {
        Self { default: Action::Audit, overrides: Vec::new() }
    }

    pub(crate) fn of(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Action {
        let fits = |other: &&Override| {
            (other.namespaces.is_empty() || other.namespaces.iter().any(|wanted| wildcard::matches(wanted, namespace)))
                && other.selector.as_ref().is_none_or(|selector| selector.matches_map(labels))
        };
        self.overrides.iter().find(fits).map_or(self.default, |other| other.action)
    }
}

/// A pattern, compiled now if it holds no variables, else when they are known.
#[derive(Debug, Clone)]
pub(crate) enum PatternSource {
    Ready(Pattern),
    Later(Template),
}

impl PatternSource {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let template = Template::compile(value)?;
        match template.fixed() {
            Some(fixed) => Ok(Self::Ready(Pattern::compile(fixed)?)),
            None => Ok(Self::Later(template)),
        }
    }
}

/// What is checked of a resource or of an element.
#[derive(Debug, Clone, Default)]
pub(crate) struct Check {
    pub(crate) deny: Option<Conditions>,
    pub(crate) pattern: Option<PatternSource>,
    pub(crate) any_pattern: Option<Vec<PatternSource>>,
    pub(crate) each: Option<Vec<ForEach>>,
}

/// A check of each element of a list.
#[derive(Debug, Clone)]
pub(crate) struct ForEach {
    pub(crate) list: Expression,
    pub(crate) scope: Option<bool>,
    pub(crate) context: Vec<Entry>,
    pub(crate) preconditions: Conditions,
    pub(crate) check: Check,
}

/// `validate.cel`.
#[derive(Debug, Clone)]
pub(crate) struct CelCheck {
    pub(crate) program: cel::Policy,
    pub(crate) params: Option<Params>,
}

/// What a rule does.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Validate(Check),
    PodSecurity(PodSecurity),
    Manifests(Box<Manifests>),
    Cel(Box<CelCheck>),
    Mutate(Box<Mutate>),
    Generate(Box<Generate>),
    VerifyImages(Box<VerifyImages>),
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) matches: Match,
    pub(crate) exclude: Option<Match>,
    pub(crate) context: Vec<Entry>,
    pub(crate) preconditions: Conditions,
    pub(crate) cel_preconditions: Vec<(String, Program)>,
    pub(crate) extractors: Option<Value>,
    pub(crate) message: String,
    pub(crate) actions: Option<Actions>,
    pub(crate) allow_existing: bool,
    pub(crate) body: Body,
}

pub(crate) fn entries(value: Option<&Value>) -> Result<Vec<Entry>, String> {
    value.and_then(Value::as_array).into_iter().flatten().map(Entry::compile).collect()
}

pub(crate) fn conditions(value: Option<&Value>) -> Result<Conditions, String> {
    Conditions::compile(value.unwrap_or(&Value::Null))
}

/// The expression of `list`, which may also be written as a variable.
pub(crate) fn list_expression(value: Option<&Value>) -> Result<Expression, String> {
    let list = value.and_then(Value::as_str).ok_or("foreach needs a `list`")?;
    let bare = list.trim();
    let bare = bare.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(bare);
    Expression::parse(bare.trim()).map_err(|why| format!("foreach.list `{list}`: {why}"))
}

/// A flag, which may be written as a text.
pub(crate) fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Check {
    fn compile(value: &Value, depth: usize) -> Result<Self, String> {
        let given = |name: &str| value.get(name).filter(|found| !found.is_null());
        let deny = given("deny").map(|deny| conditions(deny.get("conditions"))).transpose()?;
        let any_pattern = given("anyPattern")
            .map(|patterns| {
                let items = patterns.as_array().ok_or("anyPattern takes a list")?;
                items.iter().map(PatternSource::compile).collect::<Result<Vec<_>, String>>()
            })
            .transpose()?;
        let each = given("foreach")
            .map(|each| {
                let depth = depth.checked_sub(1).ok_or_else(|| format!("foreach nests deeper than {NESTING_MAX}"))?;
                let items = each.as_array().ok_or("foreach takes a list")?;
                items.iter().map(|item| ForEach::compile(item, depth)).collect::<Result<Vec<_>, String>>()
            })
            .transpose()?;
        let made = Self { deny, pattern: given("pattern").map(PatternSource::compile).transpose()?, any_pattern, each };
        if made.deny.is_none() && made.pattern.is_none() && made.any_pattern.is_none() && made.each.is_none() {
            return Err(
                "validate needs one of pattern, anyPattern, deny, foreach, podSecurity, cel and manifests".to_owned()
            );
        }
        Ok(made)
    }
}

impl ForEach {
    fn compile(value: &Value, depth: usize) -> Result<Self, String> {
        Ok(Self {
            list: list_expression(value.get("list"))?,
            scope: flag(value.get("elementScope")),
            context: entries(value.get("context"))?,
            preconditions: conditions(value.get("preconditions"))?,
            check: Check::compile(value, depth)?,
        })
    }
}

impl Rule {
    /// Compiles a rule whose fields are known to be fields of rules.
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let null = Value::Null;
        let validate = value.get("validate").filter(|validate| !validate.is_null());
        let exclude = value.get("exclude").filter(|exclude| exclude.as_object().is_some_and(|block| !block.is_empty()));
        let mut cel_preconditions = Vec::new();
        for condition in value.get("celPreconditions").and_then(Value::as_array).into_iter().flatten() {
            let program = Program::compile(text(condition, &["expression"]))?;
            cel_preconditions.push((text(condition, &["name"]).to_owned(), program));
        }
        let extractors = value.get("imageExtractors").and_then(Value::as_object);
        for extractor in extractors.into_iter().flatten().filter_map(|(_, list)| list.as_array()).flatten() {
            let source = text(extractor, &["jmesPath"]);
            if !source.is_empty() {
                Expression::parse(source).map_err(|why| format!("imageExtractors `{source}`: {why}"))?;
            }
        }
        let of_validate = |name: &str| validate.and_then(|validate| validate.get(name));
        let verify_action =
            value.get("verifyImages").and_then(|images| images.get(0)).and_then(|image| image.get("failureAction"));
        Ok(Self {
            name: text(value, &["name"]).to_owned(),
            matches: Match::compile(value.get("match").unwrap_or(&null))?,
            exclude: exclude.map(Match::compile).transpose()?,
            context: entries(value.get("context"))?,
            preconditions: conditions(value.get("preconditions"))?,
            cel_preconditions,
            extractors: value.get("imageExtractors").cloned(),
            message: validate.map(|validate| text(validate, &["message"]).to_owned()).unwrap_or_default(),
            actions: Actions::compile(
                of_validate("failureAction").or(verify_action),
                of_validate("failureActionOverrides"),
            )?,
            allow_existing: flag(of_validate("allowExistingViolations")).unwrap_or(true),
            body: Body::compile(value, validate)?,
        })
    }
}

impl Body {
    fn compile(rule: &Value, validate: Option<&Value>) -> Result<Self, String> {
        let given = |name: &str| rule.get(name).filter(|found| !found.is_null());
        if let Some(validate) = validate {
            if let Some(standard) = validate.get("podSecurity") {
                return PodSecurity::compile(standard).map(Self::PodSecurity);
            }
            if let Some(manifests) = validate.get("manifests") {
                return Manifests::compile(manifests).map(|manifests| Self::Manifests(Box::new(manifests)));
            }
            if let Some(cel) = validate.get("cel") {
                let program = cel::Policy::compile(cel, "expressions")?;
                let params = Params::compile(cel.get("paramKind"), cel.get("paramRef"))?;
                return Ok(Self::Cel(Box::new(CelCheck { program, params })));
            }
            return Check::compile(validate, NESTING_MAX).map(Self::Validate);
        }
        if let Some(mutate) = given("mutate") {
            return Mutate::compile(mutate).map(|mutate| Self::Mutate(Box::new(mutate)));
        }
        if let Some(generate) = given("generate") {
            return Generate::compile(generate).map(|generate| Self::Generate(Box::new(generate)));
        }
        if let Some(images) = given("verifyImages") {
            return VerifyImages::compile(images).map(|images| Self::VerifyImages(Box::new(images)));
        }
        Err("a rule needs one of validate, mutate, generate and verifyImages".to_owned())
    }
}
