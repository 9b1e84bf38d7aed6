//! Why an order about an incident is not carried out, and how much of everything is taken.

use jiff::Timestamp;

use super::id::{ActionId, IncidentId};
use super::state::{Role, Severity, Stage};

/// How long a text may be, in bytes, or how many there may be of something in one incident.
pub struct Limit;

impl Limit {
    /// A title.
    pub const TITLE: usize = 200;
    /// A person's name.
    pub const NAME: usize = 200;
    /// A channel, a stakeholder, or what something is linked by.
    pub const LINE: usize = 1_000;
    /// A reason, a cause, or what everybody may read.
    pub const REASON: usize = 2_000;
    /// A note.
    pub const NOTE: usize = 16 * 1024;
    /// A post-mortem.
    pub const POSTMORTEM: usize = 256 * 1024;
    /// Facts of one incident.
    pub const FACTS: usize = 5_000;
    /// Stakeholders of one incident.
    pub const STAKEHOLDERS: usize = 50;
    /// Action items of one incident.
    pub const ACTIONS: usize = 100;
    /// Incidents that are open at a time.
    pub const OPEN: usize = 200;
    /// Incidents or action items in all.
    pub const ALL: usize = 1_000_000;
}

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such incident.
    #[error("there is no incident {0}")]
    NoIncident(IncidentId),
    /// There is no such action item.
    #[error("there is no action item {0}")]
    NoAction(ActionId),
    /// A text is missing, too long, or holds what can't be shown.
    #[error("{what} must be a text of 1 to {limit} bytes without control characters, not one of {bytes}")]
    Text {
        /// Which text.
        what: &'static str,
        /// How many bytes it may have.
        limit: usize,
        /// How many it has.
        bytes: usize,
    },
    /// There is more of something than is taken.
    #[error("{what} are at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        limit: usize,
    },
    /// It lies ahead.
    #[error("{what} lies ahead: {at}")]
    Future {
        /// What.
        what: &'static str,
        /// When it is said to have been.
        at: Timestamp,
    },
    /// It is over.
    #[error("{incident} was resolved at {at} by {by}")]
    Resolved {
        /// Which.
        incident: IncidentId,
        /// When.
        at: Timestamp,
        /// Who said so.
        by: String,
    },
    /// It is not over.
    #[error("{incident} is not resolved")]
    NotResolved {
        /// Which.
        incident: IncidentId,
    },
    /// It is the same as another, where work goes on.
    #[error("{incident} was merged into {into}")]
    Merged {
        /// Which.
        incident: IncidentId,
        /// The one that goes on.
        into: IncidentId,
    },
    /// It can't be the same as itself.
    #[error("{incident} can't be merged into itself")]
    MergedIntoItself {
        /// Which.
        incident: IncidentId,
    },
    /// Work goes on forward only.
    #[error("{incident} is past {to}, it is at {at}")]
    Backwards {
        /// Which.
        incident: IncidentId,
        /// Where it is.
        at: Stage,
        /// Where it was to go.
        to: Stage,
    },
    /// It is there already.
    #[error("{incident} is at {at} already")]
    SameStage {
        /// Which.
        incident: IncidentId,
        /// Where it is.
        at: Stage,
    },
    /// The end needs a cause.
    #[error("{incident} is resolved by saying its cause")]
    ResolvedByCause {
        /// Which.
        incident: IncidentId,
    },
    /// It has that severity already.
    #[error("{incident} is {severity} already")]
    SameSeverity {
        /// Which.
        incident: IncidentId,
        /// Which severity.
        severity: Severity,
    },
    /// The same person has the role already.
    #[error("{person} is {role} of {incident} already")]
    SameRole {
        /// Which.
        incident: IncidentId,
        /// Which role.
        role: Role,
        /// Who has it.
        person: String,
    },
    /// The harm has ended already.
    #[error("{incident} was mitigated at {at}")]
    Mitigated {
        /// Which.
        incident: IncidentId,
        /// When.
        at: Timestamp,
    },
    /// It is linked already.
    #[error("{incident} is linked to that already")]
    SameLink {
        /// Which.
        incident: IncidentId,
    },
    /// Nothing was said that would change it.
    #[error("nothing is said that would change {incident}")]
    Nothing {
        /// Which.
        incident: IncidentId,
    },
    /// It is not on the status page.
    #[error("{incident} is not on the status page")]
    NotPublic {
        /// Which.
        incident: IncidentId,
    },
    /// Its post-mortem is published.
    #[error("the post-mortem of {incident} was published at {at} by {by}")]
    Reviewed {
        /// Which.
        incident: IncidentId,
        /// When.
        at: Timestamp,
        /// Who published it.
        by: String,
    },
    /// The action item is not open.
    #[error("{action} is {state}")]
    Closed {
        /// Which.
        action: ActionId,
        /// `done` or `dropped`.
        state: &'static str,
    },
    /// The action item has a ticket.
    #[error("{action} has a ticket: {url}")]
    Filed {
        /// Which.
        action: ActionId,
        /// Where.
        url: String,
    },
    /// Nothing waits for the action item.
    #[error("no release waits for {action}")]
    NoGate {
        /// Which.
        action: ActionId,
    },
    /// It would have been due before it was added.
    #[error("the day that it is due lies behind: {0}")]
    DueBefore(jiff::civil::Date),
    /// An override ends, and not too late.
    #[error("an override ends within {days} days, and not before now")]
    Until {
        /// How many days it may last.
        days: i64,
    },
}

/// A text as it is kept: without blanks around it, and refused where it is none that can be shown in one place.
pub(super) fn text(what: &'static str, text: &str, limit: usize) -> Result<String, Refusal> {
    checked(what, text, limit, char::is_control)
}

/// The same for one that may have lines.
pub(super) fn lines(what: &'static str, text: &str, limit: usize) -> Result<String, Refusal> {
    checked(what, text, limit, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

fn checked(what: &'static str, text: &str, limit: usize, is_bad: fn(char) -> bool) -> Result<String, Refusal> {
    let kept = text.trim().replace("\r\n", "\n");
    // Marks that turn the direction of writing show a text as another than it is (Unicode TR 36, section 2.5).
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if kept.is_empty() || kept.len() > limit || kept.chars().any(|c| is_bad(c) || turns(c)) {
        return Err(Refusal::Text { what, limit, bytes: kept.len() });
    }
    Ok(kept)
}
