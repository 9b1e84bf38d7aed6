//! `prograde.yaml`: what a team deploys, where to, and how carefully. The one format that is our own.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentName, ServiceName, Target, Weight};
use crate::judge::Analysis;
use crate::quantity::Period;

/// A service as its repository declares it in `prograde.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Version of this format; 1.
    pub version: u32,
    /// The service's name: lower-case letters, digits and `-`. Also the name of its repository.
    pub service: ServiceName,
    /// How the image is made from what the pipeline built.
    pub image: Image,
    /// The folder with the Kustomize tree, copied to the deployment repository with each release; default `deploy`.
    #[serde(default = "default_manifests")]
    pub manifests: String,
    /// The environments that a release enters, one after the other.
    pub environments: Vec<Environment>,
}

/// How the image is made: the artifact's files below `/app`, started as a user without rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The artifact that the workflow uploads with `actions/upload-artifact`.
    pub artifact: String,
    /// The file in it that is started; becomes `/app/<binary>`.
    pub binary: String,
    /// Arguments that it is started with.
    #[serde(default)]
    pub args: Vec<String>,
}

/// A named target such as `production`, and what it asks of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The environment's name.
    pub name: EnvironmentName,
    /// The Kustomize overlay below `manifests`; default `overlays/<name>`.
    #[serde(default)]
    pub overlay: Option<String>,
    /// What must hold before a release enters.
    #[serde(default)]
    pub gate: GateRules,
    /// How a release takes over.
    #[serde(default)]
    pub strategy: StrategyName,
    /// The steps of a canary; default 1%, 10% and 100%, five minutes each.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How a canary's steps are judged.
    #[serde(default)]
    pub analysis: Analysis,
    /// Requests that must be answered as said once the release serves here, before it goes on.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// What must hold before an environment is entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateRules {
    /// How many people must approve; default 0.
    #[serde(default)]
    pub approvals: u32,
}

/// How a release takes over from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// Replica by replica, as a Kubernetes `Deployment` does.
    #[default]
    Rolling,
    /// By rising shares of traffic, each judged.
    Canary,
}

/// A share of traffic and how long it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The candidate's share of traffic in percent.
    pub weight: Weight,
    /// How long the step is watched at least; default `5m`.
    #[serde(default = "default_bake")]
    pub bake: Period,
}

/// A request that must be answered as said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The path, starting with `/`.
    pub get: String,
    /// The status that must come; default 200.
    #[serde(default = "default_status")]
    pub status: u16,
}

fn default_manifests() -> String {
    "deploy".to_owned()
}
fn default_bake() -> Period {
    Period::seconds(300)
}
fn default_status() -> u16 {
    200
}

/// Something that the types can't refuse: where it stands in the document, what is wrong, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Keys and list positions from the top of the document, such as `["environments", "1", "steps"]`.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: String,
}

impl Environment {
    /// The overlay's folder below `manifests`.
    pub fn overlay_path(&self) -> String {
        self.overlay.clone().unwrap_or_else(|| format!("overlays/{}", self.name))
    }

    /// The canary's steps, with the defaults filled in.
    pub fn canary_steps(&self) -> Vec<Step> {
        if !self.steps.is_empty() {
            return self.steps.clone();
        }
        [1u8, 10, 100]
            .iter()
            .filter_map(|w| Weight::new(*w).ok())
            .map(|weight| Step { weight, bake: default_bake() })
            .collect()
    }
}

impl Service {
    /// One service in one of its environments.
    pub fn target(&self, environment: &EnvironmentName) -> Target {
        Target { environment: environment.clone(), service: self.service.clone() }
    }

    /// The environment of that name.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|e| e.name == *name)
    }

    /// All that is wrong with it beyond its types; empty when it can be used.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.version != 1 {
            found.push(problem(
                &["version"],
                format!("version {} is not known, expected 1", self.version),
                "write `version: 1`, or update prograde",
            ));
        }
        for (field, path) in [("manifests", &self.manifests)] {
            if !is_plain_path(path) {
                found.push(problem(
                    &[field],
                    format!("{path:?} is not a plain relative name"),
                    "use letters, digits, `-`, `_`, `.` and `/`, without `..`",
                ));
            }
        }
        for (field, name) in [("artifact", &self.image.artifact), ("binary", &self.image.binary)] {
            if !is_plain_path(name) {
                found.push(problem(
                    &["image", field],
                    format!("{name:?} is not a plain file name"),
                    "name the file as the workflow uploads it",
                ));
            }
        }
        if self.environments.is_empty() {
            found.push(problem(
                &["environments"],
                "at least one environment is needed".into(),
                "add `- name: production`",
            ));
        }
        let mut names = BTreeSet::new();
        for (index, environment) in self.environments.iter().enumerate() {
            let at = index.to_string();
            if !names.insert(&environment.name) {
                found.push(problem(
                    &["environments", &at, "name"],
                    format!("environment {} is declared twice", environment.name),
                    "give each its own name",
                ));
            }
            environment.problems(&at, &mut found);
        }
        found
    }
}

impl Environment {
    fn problems(&self, at: &str, found: &mut Vec<Problem>) {
        if !is_plain_path(&self.overlay_path()) {
            found.push(problem(
                &["environments", at, "overlay"],
                "the overlay must be a folder below `manifests`".into(),
                "write it without `..` and without a leading `/`",
            ));
        }
        if self.strategy == StrategyName::Rolling && !self.steps.is_empty() {
            found.push(problem(
                &["environments", at, "steps"],
                "steps have no meaning for a rolling update".into(),
                "write `strategy: canary`, or remove the steps",
            ));
        }
        self.step_problems(at, found);
        if let Some(message) = self.analysis.problem() {
            found.push(problem(
                &["environments", at, "analysis"],
                message,
                "`failure_share_max` is what you accept, `failure_share_detect` what must be ruled out",
            ));
        }
        for (index, check) in self.checks.iter().enumerate() {
            let index = index.to_string();
            if !check.get.starts_with('/')
                || check.get.contains(char::is_whitespace)
                || check.get.contains(char::is_control)
            {
                found.push(problem(
                    &["environments", at, "checks", &index, "get"],
                    format!("{:?} is not a path", check.get),
                    "start it with `/`, such as `/healthz`",
                ));
            }
            if !(200..=599).contains(&check.status) {
                found.push(problem(
                    &["environments", at, "checks", &index, "status"],
                    format!("{} is not a final HTTP status", check.status),
                    "use 200 to 599",
                ));
            }
        }
    }

    fn step_problems(&self, at: &str, found: &mut Vec<Problem>) {
        if self.strategy != StrategyName::Canary || self.steps.is_empty() {
            return;
        }
        let mut last = 0;
        for (index, step) in self.steps.iter().enumerate() {
            if step.weight.percent() <= last {
                found.push(problem(
                    &["environments", at, "steps", &index.to_string(), "weight"],
                    format!("weight {} does not rise above {last}%, the step before", step.weight),
                    "let each step's weight rise; a canary that should go back is rolled back",
                ));
            }
            last = last.max(step.weight.percent());
        }
        if let Some(last) = self.steps.last().filter(|step| step.weight != Weight::ALL) {
            found.push(problem(
                &["environments", at, "steps"],
                format!("the last step has {}, expected 100%", last.weight),
                "end with `{ weight: 100, bake: 5m }`",
            ));
        }
    }
}

fn problem(path: &[&str], message: String, hint: &str) -> Problem {
    Problem { path: path.iter().map(|&p| p.to_owned()).collect(), message, hint: hint.to_owned() }
}

/// A relative path of plain names: no `..`, no empty part, nothing that a shell or Git could take for an option.
fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 255
        && !path.starts_with('-')
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(environments: &serde_json::Value) -> Service {
        serde_json::from_value(json!({
            "version": 1, "service": "pad", "image": {"artifact": "pad", "binary": "pad"}, "environments": environments
        }))
        .unwrap()
    }

    #[test]
    fn defaults_are_those_of_production() {
        let service = service(&json!([{"name": "production", "strategy": "canary"}]));
        let environment = &service.environments[0];
        let steps: Vec<_> = environment.canary_steps().iter().map(|s| (s.weight.percent(), s.bake)).collect();
        assert_eq!(steps, [(1, Period::seconds(300)), (10, Period::seconds(300)), (100, Period::seconds(300))]);
        assert_eq!(environment.overlay_path(), "overlays/production");
        assert_eq!(service.problems(), []);
    }

    #[test]
    fn problems_name_their_place() {
        let service = service(&json!([
            {"name": "a", "strategy": "canary", "steps": [{"weight": 10}, {"weight": 5}]},
            {"name": "a", "steps": [{"weight": 100}], "overlay": "../../etc", "checks": [{"get": "x", "status": 99}]},
        ]));
        let found: Vec<String> =
            service.problems().iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        environments.0.steps.1.weight: weight 5% does not rise above 10%, the step before
        environments.0.steps: the last step has 5%, expected 100%
        environments.1.name: environment a is declared twice
        environments.1.overlay: the overlay must be a folder below `manifests`
        environments.1.steps: steps have no meaning for a rolling update
        environments.1.checks.0.get: "x" is not a path
        environments.1.checks.0.status: 99 is not a final HTTP status
        "#);
    }
}
