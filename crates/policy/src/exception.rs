//! `PolicyException`: which resources a rule does not hold for, and why somebody said so.
//!
//! Source: Kyverno's documentation, "Policy Exceptions".

use serde_json::Value;

use crate::cel::{self, Input, Program};
use crate::conditions::Conditions;
use crate::context::Frame;
use crate::matching::{Match, texts};
use crate::pss::Exclusion;
use crate::request::{Request, text};
use crate::rule::conditions;
use crate::wildcard;

/// One exception.
#[derive(Debug, Clone)]
pub struct Exception {
    /// Its name with its namespace.
    pub name: String,
    /// Policies and rules that it is from.
    rules: Vec<(String, Vec<String>)>,
    matches: Option<Match>,
    conditions: Option<Conditions>,
    pub(crate) pod_security: Vec<Exclusion>,
    cel: Vec<(String, Program)>,
    /// Policies of `policies.kyverno.io`, by name and kind.
    refs: Vec<(String, String)>,
    pub(crate) images: Vec<String>,
    pub(crate) values: Vec<String>,
    pub(crate) passes: bool,
}

impl Exception {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let spec = value.get("spec").unwrap_or(&Value::Null);
        let list = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
        let mut cel = Vec::new();
        for condition in list("matchConditions") {
            let program = Program::compile(text(condition, &["expression"]))?;
            cel.push((text(condition, &["name"]).to_owned(), program));
        }
        let (namespace, name) = (text(value, &["metadata", "namespace"]), text(value, &["metadata", "name"]));
        Ok(Self {
            name: if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") },
            rules: list("exceptions")
                .map(|item| (text(item, &["policyName"]).to_owned(), texts(item.get("ruleNames"))))
                .collect(),
            matches: spec.get("match").map(Match::compile).transpose()?,
            conditions: spec
                .get("conditions")
                .filter(|found| !found.is_null())
                .map(|found| conditions(Some(found)))
                .transpose()?,
            pod_security: list("podSecurity").map(Exclusion::compile).collect::<Result<_, _>>()?,
            cel,
            refs: list("policyRefs")
                .map(|item| (text(item, &["name"]).to_owned(), text(item, &["kind"]).to_owned()))
                .collect(),
            images: texts(spec.get("images")),
            values: texts(spec.get("allowedValues")),
            passes: text(spec, &["reportResult"]) == "pass",
        })
    }

    /// Whether it is about a rule. `policy` is the policy's name, with its namespace where it has one.
    pub(crate) fn is_about(&self, policy: &str, rule: &str) -> bool {
        let bare = rule.strip_prefix("autogen-cronjob-").or_else(|| rule.strip_prefix("autogen-"));
        let named = |wanted: &String| {
            wildcard::matches(wanted, rule)
                || (bare.is_some() && wanted.starts_with("autogen-") && wildcard::matches(wanted, rule))
        };
        self.rules.iter().any(|(name, rules)| name == policy && rules.iter().any(named))
    }

    /// Whether it is from a policy of `policies.kyverno.io`.
    pub(crate) fn refers_to(&self, name: &str, kind: &str) -> bool {
        self.refs.iter().any(|(wanted, of)| wanted == name && (of.is_empty() || of == kind))
    }

    /// Whether it lets a request through.
    pub(crate) fn covers(&self, request: &Request<'_>, frame: &Frame<'_>) -> bool {
        let matched = self.matches.as_ref().is_some_and(|matches| matches.covers(request));
        let conditions =
            |conditions: &Conditions| conditions.evaluate(frame, frame.delete()).is_ok_and(|outcome| outcome.holds);
        matched && self.conditions.as_ref().is_none_or(conditions)
    }

    /// The same for expressions.
    pub(crate) fn matches_cel(&self, input: &Input<'_>) -> Result<bool, String> {
        cel::matches(&self.cel, input)
    }
}
