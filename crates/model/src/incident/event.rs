//! The facts that incidents are made of.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::action::ActionKind;
use super::id::{ActionId, IncidentId};
use super::state::{Link, Origin, Role, Severity, Stage, Way};
use crate::ids::{EnvironmentName, ServiceName};
use crate::stored::Fact;

/// A fact about an incident or an action item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum IncidentEvent {
    /// Somebody or something says that users are hurt.
    #[serde(rename = "incident.declared")]
    Declared {
        /// Which.
        incident: IncidentId,
        /// What happens to users, in a line.
        title: String,
        /// How bad it is.
        severity: Severity,
        /// The service that is hurt.
        service: ServiceName,
        /// Where.
        environment: EnvironmentName,
        /// Since when, as far as is known.
        since: Timestamp,
        /// Who or what says so.
        origin: Origin,
    },
    /// It is worse or better than was thought.
    #[serde(rename = "incident.severity_changed")]
    SeverityChanged {
        /// Which.
        incident: IncidentId,
        /// What was thought.
        from: Severity,
        /// What is thought now.
        to: Severity,
        /// Who says so.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody has a role from now on.
    #[serde(rename = "incident.role_taken")]
    RoleTaken {
        /// Which.
        incident: IncidentId,
        /// The role.
        role: Role,
        /// Who has it.
        person: String,
        /// Who had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// Who says so.
        by: String,
    },
    /// Work on it goes on to something else.
    #[serde(rename = "incident.stage_changed")]
    StageChanged {
        /// Which.
        incident: IncidentId,
        /// What was done until now.
        from: Stage,
        /// What is done from now on.
        to: Stage,
        /// What was left out on the way.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<Stage>,
        /// Who says so.
        by: String,
    },
    /// A person wrote something down.
    #[serde(rename = "incident.note_added")]
    NoteAdded {
        /// Which.
        incident: IncidentId,
        /// What.
        text: String,
        /// Of which moment it tells.
        about: Timestamp,
        /// Who.
        by: String,
    },
    /// Something has to do with it.
    #[serde(rename = "incident.link_added")]
    LinkAdded {
        /// Which.
        incident: IncidentId,
        /// What.
        link: Link,
        /// Who or what says so.
        by: String,
    },
    /// Its title, its channel or its stakeholders are others; what is absent stays.
    #[serde(rename = "incident.described")]
    Described {
        /// Which.
        incident: IncidentId,
        /// What happens to users.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Where people talk about it: a text or an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// Who has to be kept informed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stakeholders: Option<Vec<String>>,
        /// Who says so.
        by: String,
    },
    /// Everybody may know of it, and reads this.
    #[serde(rename = "incident.update_published")]
    UpdatePublished {
        /// Which.
        incident: IncidentId,
        /// What everybody reads.
        message: String,
        /// Who wrote it.
        by: String,
    },
    /// It is no longer on the status page.
    #[serde(rename = "incident.unpublished")]
    Unpublished {
        /// Which.
        incident: IncidentId,
        /// Who says so.
        by: String,
    },
    /// Something is about to be done that should end the harm.
    #[serde(rename = "incident.mitigation_begun")]
    MitigationBegun {
        /// Which.
        incident: IncidentId,
        /// What.
        way: Way,
        /// Who ordered it.
        by: String,
    },
    /// It was refused.
    #[serde(rename = "incident.mitigation_failed")]
    MitigationFailed {
        /// Which.
        incident: IncidentId,
        /// What was to be done.
        way: Way,
        /// Why it was not.
        why: String,
    },
    /// Users are no longer hurt.
    #[serde(rename = "incident.mitigated")]
    Mitigated {
        /// Which.
        incident: IncidentId,
        /// By what.
        how: String,
        /// Who says so, or which part of prograde.
        by: String,
    },
    /// It is over, and why it happened is known well enough to go on.
    #[serde(rename = "incident.resolved")]
    Resolved {
        /// Which.
        incident: IncidentId,
        /// Why it happened, as far as is known.
        cause: String,
        /// Who says so.
        by: String,
    },
    /// It is not over after all.
    #[serde(rename = "incident.reopened")]
    Reopened {
        /// Which.
        incident: IncidentId,
        /// What is done from now on.
        to: Stage,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// It is the same as another one.
    #[serde(rename = "incident.merged")]
    Merged {
        /// Which.
        incident: IncidentId,
        /// The one that goes on.
        into: IncidentId,
        /// Who says so.
        by: String,
    },
    /// What was learned is written down, and the review is over.
    #[serde(rename = "postmortem.published")]
    PostmortemPublished {
        /// Of which incident.
        incident: IncidentId,
        /// SHA-256 of the text, in hex.
        sha256: String,
        /// The text, in Markdown.
        text: String,
        /// Who published it.
        by: String,
    },
    /// Something is to be done so that it does not come again, is seen sooner, or hurts less.
    #[serde(rename = "action.added")]
    ActionAdded {
        /// Which.
        action: ActionId,
        /// After which incident.
        incident: IncidentId,
        /// What.
        title: String,
        /// Who sees to it.
        owner: String,
        /// By when.
        due: Date,
        /// What it does.
        kind: ActionKind,
        /// Whether releases of the service wait for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gate: bool,
        /// Who added it.
        by: String,
    },
    /// It is done.
    #[serde(rename = "action.done")]
    ActionDone {
        /// Which.
        action: ActionId,
        /// Where that can be seen, or what was done.
        note: String,
        /// Who says so.
        by: String,
    },
    /// It is not going to be done.
    #[serde(rename = "action.dropped")]
    ActionDropped {
        /// Which.
        action: ActionId,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// Releases do not wait for it for a while.
    #[serde(rename = "action.overridden")]
    ActionOverridden {
        /// Which.
        action: ActionId,
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// A ticket is to be opened for it.
    #[serde(rename = "action.file_asked")]
    ActionFileAsked {
        /// Which.
        action: ActionId,
        /// In which tracker, where not in that of its service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tracker: Option<String>,
        /// Who asks.
        by: String,
    },
    /// It has a ticket in a tracker elsewhere.
    #[serde(rename = "action.filed")]
    ActionFiled {
        /// Which.
        action: ActionId,
        /// The tracker, as it is called here.
        tracker: String,
        /// What the tracker calls the ticket.
        ticket: String,
        /// Where people find it.
        url: String,
    },
    /// Its ticket is closed.
    #[serde(rename = "action.ticket_closed")]
    TicketClosed {
        /// Which.
        action: ActionId,
        /// The tracker, as it is called here.
        tracker: String,
        /// What the tracker calls the ticket.
        ticket: String,
    },
}

impl Fact for IncidentEvent {
    const SUBJECT: &'static str = "incidents";
    const VERSION: u32 = 1;
}
