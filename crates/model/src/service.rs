//! `prograde.yaml`: what a team deploys, where to, and how carefully. The one format that is our own.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::confinement::Part;
use crate::gate::{Freeze, OpenHours};
use crate::group::{self, Member};
use crate::ids::{EnvironmentName, ServiceName, Weight};
use crate::image::Image;
use crate::judge::Analysis;
use crate::migration::Migration;
use crate::oncall::Zones;
use crate::quantity::Period;
use crate::rollout::{AudienceRule, Strategy, Watch};
use crate::runtime::RequestKey;
use crate::workload::RollingUpdate;

/// A service as its repository declares it in `prograde.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["image"]}, {"required": ["services"]}]))]
pub struct Service {
    /// Version of this format; 1.
    pub version: u32,
    /// The service's name: lower-case letters, digits and `-`. Also the name of its repository.
    pub service: ServiceName,
    /// How the image is made from what the pipeline built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The folder with the Kustomize tree, copied to the deployment repository with each release; default `deploy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<String>,
    /// Instead of `image` and `manifests`: the services of a group, which fly together. `service` is then the group's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Member>,
    /// The file with its feature flags, in flagd's format, such as `flags.yaml`; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// What its image does to the data of each environment before its first replica starts there; default nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// The environments that a release enters, one after the other.
    pub environments: Vec<Environment>,
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
    /// The file with the feature flags here; default that of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// What must hold before a release enters.
    #[serde(default)]
    pub gate: GateRules,
    /// How a release takes over.
    #[serde(default)]
    pub strategy: StrategyName,
    /// The steps of a canary; default 1%, 10% and 100%, five minutes each.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Whose requests go to a canary from its first step on, whatever its share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<AudienceRules>,
    /// What a user is known by, who then stays with one version during a canary; without it each request is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stick_to: Option<RequestKey>,
    /// How long a blue-green release can be looked at before it serves; default `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Period>,
    /// How long the old version is kept after a blue-green switch, to go back to at once; default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Period>,
    /// How long a release is watched after it has all traffic; default `15m` for a canary and blue-green, else `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Period>,
    /// How a canary's or blue-green release's steps are judged, and the watch after them.
    #[serde(default)]
    pub analysis: Analysis,
    /// What the local node may do here that it would refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeRules>,
    /// Requests that must be answered as said once the release serves here, before it goes on.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// What the local node may do in an environment that it would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuntimeRules {
    /// Parts of what manifests ask for that may be missing where the machine can't give them.
    pub allow_unconfined: AllowUnconfined,
}

/// Leave to run a workload with less protection than its manifests ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowUnconfined {
    /// Which parts: `container` stands for all, and the program is then a plain process.
    pub parts: Vec<Part>,
    /// Why that is right, for whoever reads it next.
    pub reason: String,
}

/// What must hold before an environment is entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateRules {
    /// How many people must approve; default 0.
    #[serde(default)]
    pub approvals: u32,
    /// Who may approve; default anybody but the commit's author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals_by: Option<Vec<String>>,
    /// Whether the approval of the commit's author counts; default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub author_may_approve: bool,
    /// Whether its change is proposed on a branch of the deployment repository, and it enters when a person has merged that;
    /// default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
    /// How long it has to have served in the environment before; default `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Period>,
    /// Hours in which releases enter; default at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<OpenHours>,
    /// Stretches in which none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// Who may let a release past what holds the gate, such as a spent error budget or a freeze; default anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides_by: Option<Vec<String>>,
}

/// How a release takes over from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// The old version is stopped before the new one is started.
    Recreate,
    /// Replica by replica, as a Kubernetes `Deployment` does.
    #[default]
    Rolling,
    /// The new version is started beside the old one; then all traffic moves at once.
    BlueGreen,
    /// By rising shares of traffic, each judged.
    Canary,
}

/// Requests that go to a canary: those with a value in a header or a cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceRules {
    /// The header, such as `x-beta`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Or the cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The value that it must have.
    pub value: String,
}

/// A share of traffic and how long it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The candidate's share of traffic in percent; default 0, for a step that only copies requests or serves an audience.
    #[serde(default)]
    pub weight: Weight,
    /// The share of requests that are copied to the candidate while the stable version answers them; default 0. Only
    /// requests that change nothing are copied, and nobody sees the answers.
    #[serde(default, skip_serializing_if = "Weight::is_zero")]
    pub mirror: Weight,
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
    /// The service of a group that is asked; default each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
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
    /// What is asked of one of the services once it serves here.
    pub fn checks_of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Check> {
        self.checks.iter().filter(move |check| check.service.as_ref().is_none_or(|of| of == service))
    }

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
            .map(|weight| Step { weight, mirror: Weight::ZERO, bake: default_bake() })
            .collect()
    }
}

impl Environment {
    /// Which parts of what manifests ask for may be missing here.
    pub fn unconfined(&self) -> &[Part] {
        self.runtime.as_ref().map_or(&[], |rules| rules.allow_unconfined.parts.as_slice())
    }

    /// How a release takes over here, where the manifests allow what a rolling update may do.
    pub fn takeover(&self, rolling: RollingUpdate, replicas: u32) -> Strategy {
        match self.strategy {
            StrategyName::Recreate => Strategy::Recreate,
            StrategyName::Rolling => Strategy::Rolling {
                surge: rolling.max_surge.ceil_of(replicas),
                unavailable: rolling.max_unavailable.floor_of(replicas),
            },
            StrategyName::BlueGreen => Strategy::BlueGreen {
                preview: self.preview.unwrap_or_default(),
                keep: self.keep.unwrap_or_else(default_bake),
                analysis: self.analysis.clone(),
            },
            StrategyName::Canary => Strategy::Canary {
                steps: self.canary_steps(),
                analysis: self.analysis.clone(),
                audience: self.audience.as_ref().and_then(AudienceRules::rule),
                stick_to: self.stick_to.clone().map(RequestKey::normalised),
            },
        }
    }

    /// How a release is watched once it has all traffic.
    pub fn watch(&self) -> Option<Watch> {
        let default = match self.strategy {
            StrategyName::Canary | StrategyName::BlueGreen => Period::seconds(15 * 60),
            StrategyName::Recreate | StrategyName::Rolling => Period::default(),
        };
        let period = self.watch.unwrap_or(default);
        (!period.is_zero()).then_some(Watch { period, analysis: self.analysis.clone() })
    }
}

impl Service {
    /// What is deployed, each after what it needs: the service itself, or those of its group.
    pub fn members(&self) -> Vec<Member> {
        let own = self.image.iter().map(|image| Member {
            name: self.service.clone(),
            after: Vec::new(),
            image: image.clone(),
            manifests: Some(self.manifests.clone().unwrap_or_else(|| "deploy".to_owned())),
            migration: self.migration.clone(),
        });
        own.chain(group::in_order(&self.services).into_iter().cloned()).collect()
    }

    /// One of the services that are deployed.
    pub fn member(&self, name: &ServiceName) -> Option<Member> {
        self.members().into_iter().find(|member| member.name == *name)
    }

    /// Whether several services fly together.
    pub fn is_group(&self) -> bool {
        !self.services.is_empty()
    }

    /// The environment of that name.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|e| e.name == *name)
    }

    /// The file with the flags of an environment, if it has any.
    pub fn flags_file<'a>(&'a self, environment: &'a Environment) -> Option<&'a str> {
        environment.flags.as_deref().or(self.flags.as_deref())
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
        if let Some(path) = &self.flags {
            group::path_problem(&["flags"], path, &mut found);
        }
        group::problems(self, &mut found);
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
            environment.gate.problems(&at, &mut found);
            if index == 0 && environment.gate.soak.is_some() {
                found.push(problem(
                    &["environments", &at, "gate", "soak"],
                    "there is no environment before this one in which it could serve".into(),
                    "write it at the next environment",
                ));
            }
        }
        found
    }

    /// The time zones that it names which are not known.
    pub fn zone_problems(&self, zones: &impl Zones) -> Vec<Problem> {
        let mut found = Vec::new();
        for (index, environment) in self.environments.iter().enumerate() {
            environment.gate.zone_problems(&index.to_string(), zones, &mut found);
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
        if let Some(path) = self.flags.as_ref().filter(|path| !is_plain_path(path)) {
            found.push(problem(
                &["environments", at, "flags"],
                format!("{path:?} is not a plain relative name"),
                "use letters, digits, `-`, `_`, `.` and `/`, without `..`",
            ));
        }
        self.runtime_problems(at, found);
        self.strategy_problems(at, found);
        self.audience_problems(at, found);
        self.step_problems(at, found);
        if let Some(message) = self.analysis.problem() {
            found.push(problem(
                &["environments", at, "analysis"],
                message,
                "leave it out for the default; docs/concepts/judging.md says what each setting costs",
            ));
        }
        for mut problem in crate::metric::problems(&self.analysis, self.judged_for().as_deref()) {
            problem.path.splice(0..0, ["environments", at, "analysis"].map(str::to_owned));
            found.push(problem);
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

    /// How long each step is judged at least; `None` where nothing ever is.
    fn judged_for(&self) -> Option<Vec<Period>> {
        match self.strategy {
            StrategyName::Canary => Some(self.canary_steps().iter().map(|step| step.bake).collect()),
            StrategyName::BlueGreen => {
                Some(vec![self.preview.unwrap_or_default(), self.keep.unwrap_or_else(default_bake)])
            }
            StrategyName::Recreate | StrategyName::Rolling => self.watch().map(|_| Vec::new()),
        }
    }

    fn runtime_problems(&self, at: &str, found: &mut Vec<Problem>) {
        let Some(RuntimeRules { allow_unconfined }) = &self.runtime else { return };
        let mut wrong = |field, message: &str, hint| {
            let path = ["environments", at, "runtime", "allow_unconfined", field];
            found.push(problem(&path, message.to_owned(), hint));
        };
        if allow_unconfined.parts.is_empty() {
            wrong("parts", "no part is named", "name one, such as `memory-limit`, or remove `runtime`");
        }
        if allow_unconfined.reason.trim().is_empty() {
            wrong("reason", "there is no reason", "write why this environment may do without");
        }
    }

    /// Settings that only mean something to another strategy.
    fn strategy_problems(&self, at: &str, found: &mut Vec<Problem>) {
        let (canary, blue_green) = (StrategyName::Canary, StrategyName::BlueGreen);
        for (field, is_set, of, name) in [
            ("steps", !self.steps.is_empty(), canary, "canary"),
            ("audience", self.audience.is_some(), canary, "canary"),
            ("stick_to", self.stick_to.is_some(), canary, "canary"),
            ("preview", self.preview.is_some(), blue_green, "blue-green"),
            ("keep", self.keep.is_some(), blue_green, "blue-green"),
        ] {
            if is_set && self.strategy != of {
                found.push(problem(
                    &["environments", at, field],
                    format!("`{field}` has no meaning for this strategy"),
                    &format!("write `strategy: {name}`, or remove `{field}`"),
                ));
            }
        }
    }

    fn audience_problems(&self, at: &str, found: &mut Vec<Problem>) {
        let mut keys: Vec<(&str, &RequestKey)> = self.stick_to.iter().map(|key| ("stick_to", key)).collect();
        let rule = self.audience.as_ref().and_then(AudienceRules::rule);
        keys.extend(rule.iter().map(|rule| ("audience", &rule.key)));
        for (field, key) in keys {
            let (RequestKey::Header(name) | RequestKey::Cookie(name)) = key;
            if !is_token(name) {
                found.push(problem(
                    &["environments", at, field],
                    format!("{name:?} is not the name of a header or a cookie"),
                    "use letters, digits and `-`, such as `x-beta`",
                ));
            }
        }
        if self.audience.is_some()
            && rule.is_none_or(|rule| rule.value.is_empty() || rule.value.contains(char::is_control))
        {
            found.push(problem(
                &["environments", at, "audience"],
                "an audience needs either a header or a cookie, and a value".into(),
                "write `audience: { header: x-beta, value: \"1\" }`",
            ));
        }
    }

    fn step_problems(&self, at: &str, found: &mut Vec<Problem>) {
        if self.strategy != StrategyName::Canary || self.steps.is_empty() {
            return;
        }
        let mut last = Weight::ZERO;
        for (index, step) in self.steps.iter().enumerate() {
            let index = index.to_string();
            let mut wrong = |field, message: String, hint| {
                found.push(problem(&["environments", at, "steps", &index, field], message, hint));
            };
            if step.weight == Weight::ZERO && last == Weight::ZERO {
                if step.mirror == Weight::ZERO && self.audience.is_none() {
                    let hint = "give it a `weight`, `mirror` requests to it, or name an `audience`";
                    wrong("weight", "no request reaches the candidate in this step".into(), hint);
                }
            } else if step.weight <= last {
                let message = format!("weight {} does not rise above {last}, the step before", step.weight);
                wrong("weight", message, "let each step's weight rise; a canary that should go back is rolled back");
            }
            if step.mirror > Weight::ZERO && step.weight > Weight::ZERO {
                let message = "requests are copied only in steps of weight 0".into();
                wrong("mirror", message, "put a step with `mirror` alone before the first one with a `weight`");
            }
            last = last.max(step.weight);
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

impl AudienceRules {
    /// What marks the requests; none unless exactly one place is named.
    pub fn rule(&self) -> Option<AudienceRule> {
        let key = match (&self.header, &self.cookie) {
            (Some(header), None) => RequestKey::Header(header.to_ascii_lowercase()),
            (None, Some(cookie)) => RequestKey::Cookie(cookie.clone()),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(AudienceRule { key, value: self.value.clone() })
    }
}

/// A name as RFC 9110, section 5.6.2 has it for headers, and RFC 6265, section 4.1.1 for cookies.
fn is_token(name: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_token_byte)
}

pub(crate) fn problem(path: &[&str], message: String, hint: &str) -> Problem {
    Problem { path: path.iter().map(|&p| p.to_owned()).collect(), message, hint: hint.to_owned() }
}

/// A relative path of plain names: no `..`, no empty part, nothing that a shell or Git could take for an option.
pub(crate) fn is_plain_path(path: &str) -> bool {
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
        environments.1.steps: `steps` has no meaning for this strategy
        environments.1.checks.0.get: "x" is not a path
        environments.1.checks.0.status: 99 is not a final HTTP status
        "#);
    }

    #[test]
    fn leave_to_run_unconfined_is_for_named_parts_and_has_a_reason() {
        let with = |rules: serde_json::Value| json!([{"name": "test", "runtime": {"allow_unconfined": rules}}, {"name": "production"}]);
        let bad = service(&with(json!({"parts": [], "reason": " "})));
        let found: Vec<String> =
            bad.problems().iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        environments.0.runtime.allow_unconfined.parts: no part is named
        environments.0.runtime.allow_unconfined.reason: there is no reason
        "#);
        let service = service(&with(json!({"parts": ["seccomp", "memory-limit"], "reason": "it is a test"})));
        assert_eq!(service.problems(), []);
        assert_eq!(service.environments[0].unconfined(), [Part::Seccomp, Part::MemoryLimit]);
        assert_eq!(service.environments[1].unconfined(), []);
        let unknown: Result<AllowUnconfined, _> = serde_json::from_value(json!({"parts": ["all"], "reason": "x"}));
        assert!(unknown.unwrap_err().to_string().contains("unknown variant `all`"));
    }

    #[test]
    fn gates_that_make_no_sense_are_told() {
        let service = service(&json!([{"name": "test", "gate": {"soak": "1h"}}, {"name": "production", "gate": {
            "approvals": 2, "approvals_by": ["ann", "ann"],
            "windows": [{"time_zone": "UTC", "hours": []}],
            "freezes": [{"from": "2026-12-20T18:00", "until": "2026-12-20T18:00", "time_zone": "Nowhere", "reason": " "}],
        }}]));
        let zones = |name: &str| jiff::tz::TimeZone::get(name).ok();
        let all = service.problems().into_iter().chain(service.zone_problems(&zones));
        let found: Vec<String> = all.map(|p| format!("{}: {}", p.path.join("."), p.message)).collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        environments.0.gate.soak: there is no environment before this one in which it could serve
        environments.1.gate.approvals_by: 1 may approve and 2 have to
        environments.1.gate.windows.0.hours: there are no hours, so nothing would ever enter
        environments.1.gate.freezes.0.until: it ends before it begins
        environments.1.gate.freezes.0.reason: there is no reason
        environments.1.gate.freezes.0.time_zone: there is no time zone "Nowhere"
        "#);
    }
}
