//! Answers to the three questions, from a rule's annotations or from a policy beside rules that can't be changed.

use std::collections::{BTreeMap, BTreeSet};

use prograde_model::alert::lint::Answers;
use prograde_model::{Diagnostic, Diagnostics};
use serde::Deserialize;

/// The code of an answer that is none, and of a policy that can't be used.
const CODE: &str = "PG0661";

/// A file of answers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Version of this format; 1.
    version: u32,
    alerts: Vec<Said>,
}

/// Answers for one alert.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The alert's name.
    alert: String,
    actionable: Option<bool>,
    symptom: Option<bool>,
    act_now: Option<bool>,
    /// Why it is a ticket, or a line on a dashboard.
    pub reason: Option<String>,
}

impl Said {
    /// To the three questions.
    pub fn answers(&self) -> Answers {
        Answers { actionable: self.actionable, symptom: self.symptom, act_now: self.act_now }
    }
}

impl Policy {
    /// What is said of an alert.
    pub fn of(&self, alert: &str) -> Option<&Said> {
        self.alerts.iter().find(|said| said.alert == alert)
    }
}

/// Reads a policy. `file` is its name for messages.
pub fn read(file: &str, text: &str) -> Result<Policy, Diagnostics> {
    let policy: Policy = prograde_yaml::decode(file, text)?;
    let mut found = Vec::new();
    if policy.version != 1 {
        let message = format!("version {} is not known", policy.version);
        found.push(Diagnostic::file(CODE, file, message, "write `version: 1`"));
    }
    let mut names = BTreeSet::new();
    for said in &policy.alerts {
        if !names.insert(&said.alert) {
            let message = format!("{} is answered twice", said.alert);
            found.push(Diagnostic::file(CODE, file, message, "keep one of the two"));
        }
    }
    if found.is_empty() { Ok(policy) } else { Err(Diagnostics(found)) }
}

/// The answers in a rule's annotations.
pub fn annotated(file: &str, alert: &str, annotations: &BTreeMap<String, String>) -> Result<Answers, Diagnostic> {
    let answer = |name: &str| match annotations.get(name).map(|text| text.trim().to_ascii_lowercase()) {
        None => Ok(None),
        Some(text) if text == "yes" || text == "true" => Ok(Some(true)),
        Some(text) if text == "no" || text == "false" => Ok(Some(false)),
        Some(text) => {
            let message = format!("{alert}: the annotation `{name}` is {text:?}");
            Err(Diagnostic::file(CODE, file, message, "write `yes` or `no`"))
        }
    };
    Ok(Answers { actionable: answer("actionable")?, symptom: answer("symptom")?, act_now: answer("act_now")? })
}
