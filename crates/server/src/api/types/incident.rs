//! Incidents, action items and post-mortems as clients see them.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use prograde_model::ids::{EnvironmentName, FlightId, ServiceName};
use prograde_model::incident::{
    Action, ActionId, ActionOrder, Incident, IncidentId, Incidents, NewAction, Order, Origin, Severity, Stage, Suspect,
};
use serde::{Deserialize, Serialize};

/// An incident.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its name, such as `INC-1`.
    pub id: IncidentId,
    /// What happens to users.
    pub title: String,
    /// `SEV1` to `SEV4`.
    pub severity: Severity,
    /// The service that is hurt.
    pub service: ServiceName,
    /// Where.
    pub environment: EnvironmentName,
    /// `detect`, `triage`, `declare`, `mitigate`, `investigate` or `resolve`.
    pub stage: Stage,
    /// Whether it is neither resolved nor merged into another.
    pub open: bool,
    /// Who or what declared it.
    pub origin: Origin,
    /// Since when users are hurt, RFC 3339.
    pub since: String,
    /// When it was declared, RFC 3339.
    pub declared_at: String,
    /// Who has which role.
    pub roles: BTreeMap<String, String>,
    /// Where people talk about it.
    pub channel: Option<String>,
    /// Who has to be kept informed.
    pub stakeholders: Vec<String>,
    /// What has to do with it.
    pub links: Vec<String>,
    /// What was begun to end the harm, and why it was refused, if it was.
    pub mitigation: Option<String>,
    /// When users were no longer hurt, RFC 3339.
    pub mitigated_at: Option<String>,
    /// When it was over, RFC 3339.
    pub resolved_at: Option<String>,
    /// Who said so.
    pub resolved_by: Option<String>,
    /// Why it happened, as was said last.
    pub cause: Option<String>,
    /// Seconds from its declaration until a person took care of it.
    pub acknowledged_within_s: Option<i64>,
    /// Seconds for which users were hurt.
    pub mitigated_within_s: Option<i64>,
    /// Seconds from the first harm until it was over.
    pub resolved_within_s: Option<i64>,
    /// The incident that it is the same as.
    pub merged_into: Option<IncidentId>,
    /// How often it was reopened.
    pub reopened: u32,
    /// Whether it is on the status page.
    pub public: bool,
    /// SHA-256 of its post-mortem, once that is published.
    pub postmortem: Option<String>,
    /// What is to be done, or was.
    pub actions: Vec<Action>,
    /// The change that most likely did it, where one incident alone is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Box<Suspect>>,
}

impl IncidentView {
    /// What is known of an incident.
    pub(crate) fn of(known: &Incidents, incident: &Incident) -> Self {
        let seconds = |within: Option<SignedDuration>| within.map(|within| within.as_secs());
        let refused = |why: &Option<String>| why.as_ref().map_or(String::new(), |why| format!("; refused: {why}"));
        Self {
            id: incident.id,
            title: incident.title.clone(),
            severity: incident.severity,
            service: incident.target.service.clone(),
            environment: incident.target.environment.clone(),
            stage: incident.stage,
            open: incident.is_open(),
            origin: incident.origin.clone(),
            since: incident.since.to_string(),
            declared_at: incident.declared_at.to_string(),
            roles: incident.roles.iter().map(|(role, person)| (role.to_string(), person.clone())).collect(),
            channel: incident.channel.clone(),
            stakeholders: incident.stakeholders.clone(),
            links: incident.links.iter().map(ToString::to_string).collect(),
            mitigation: incident.mitigation.as_ref().map(|begun| format!("{}{}", begun.way, refused(&begun.failed))),
            mitigated_at: incident.mitigated_at.map(|at| at.to_string()),
            resolved_at: incident.resolved.as_ref().map(|(at, _)| at.to_string()),
            resolved_by: incident.resolved.as_ref().map(|(_, by)| by.clone()),
            cause: incident.cause.clone(),
            acknowledged_within_s: seconds(incident.acknowledged_within()),
            mitigated_within_s: seconds(incident.mitigated_within()),
            resolved_within_s: seconds(incident.resolved_within()),
            merged_into: incident.merged_into,
            reopened: incident.reopened,
            public: incident.public,
            postmortem: incident.review.as_ref().map(|review| review.sha256.clone()),
            actions: known.actions_of(incident.id).cloned().collect(),
            suspect: None,
        }
    }
}

/// Body of `POST /api/v1/incidents`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareRequest {
    /// What happens to users.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The service that is hurt.
    pub service: ServiceName,
    /// Where.
    pub environment: EnvironmentName,
    /// Since when, RFC 3339; now, by default.
    #[serde(default)]
    pub since: Option<String>,
    /// Who declares it.
    pub by: String,
}

/// Body of `POST /api/v1/incidents/{id}/order`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentRequest {
    /// What is wanted.
    pub order: Order,
    /// Who wants it.
    pub by: String,
}

/// What is to be done to end an incident's harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Wanted {
    /// Take a release back.
    Rollback {
        /// Its flight, or the beginning of its id; by default that of the likeliest suspect that can be.
        #[serde(default)]
        flight: Option<String>,
    },
    /// Take a flag's last change back.
    Flag {
        /// The flag's key.
        flag: String,
    },
    /// Give what serves another number of replicas.
    Scale {
        /// How many.
        replicas: u32,
    },
}

/// Body of `POST /api/v1/incidents/{id}/mitigate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MitigateRequest {
    /// What is done.
    pub way: Wanted,
    /// Who orders it.
    pub by: String,
}

/// Body of `POST /api/v1/incidents/{id}/postmortem`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostmortemRequest {
    /// The text, in Markdown.
    pub text: String,
    /// Who publishes it.
    pub by: String,
}

/// Body of `POST /api/v1/actions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// What is to be done.
    pub action: NewAction,
    /// Who adds it.
    pub by: String,
}

/// Body of `POST /api/v1/actions/{id}/order`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionOrderRequest {
    /// What is wanted.
    pub order: ActionOrder,
    /// Who wants it.
    pub by: String,
}

/// Answer to what was ordered about an incident or an action item: the facts that it made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IncidentOrdered {
    /// Of which incident.
    pub incident: IncidentId,
    /// Of which action item, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,
    /// The flight that is taken back, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight: Option<FlightId>,
    /// The types of the facts, such as `incident.resolved`.
    pub events: Vec<String>,
}

/// Answer to `GET /api/v1/incidents/{id}/postmortem`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PostmortemView {
    /// Of which incident.
    pub incident: IncidentId,
    /// Whether it is the one that was published, rather than a draft.
    pub published: bool,
    /// The text, in Markdown.
    pub text: String,
    /// The names of the people who had to do with it, and of those who wrote what was changed.
    pub people: Vec<String>,
}
