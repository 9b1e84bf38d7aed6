//! One incident: the fold of its facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::IncidentEvent;
use super::id::IncidentId;
use crate::flag::Setting;
use crate::ids::{EnvironmentName, FlightId, ServiceName, Target};

/// How bad an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Most users can't do what they came for, or data is lost.
    Sev1,
    /// Many users are hurt, or all of them in something that matters.
    Sev2,
    /// Some users are hurt, or there is a way around.
    Sev3,
    /// Nobody is hurt yet.
    Sev4,
}

/// What work on an incident is about. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Something was seen; nobody has looked yet.
    Detect,
    /// Somebody looks whether it is one, and how bad.
    Triage,
    /// It is one: people are called.
    Declare,
    /// The harm is being ended.
    Mitigate,
    /// Why it happened is being found out.
    Investigate,
    /// It is over.
    Resolve,
}

/// What one person does for all others while an incident goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides, and has every role that nobody else has.
    Commander,
    /// Tells those who are not in it.
    Communications,
    /// Changes the systems; nobody else does.
    Operations,
    /// Writes down what happens.
    Scribe,
}

macro_rules! words {
    ($name:ident, $what:literal, $expected:literal, $($variant:ident $word:literal),+) => {
        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that it is written as.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::ids::InvalidName;
            fn from_str(text: &str) -> Result<Self, crate::ids::InvalidName> {
                let fits = |one: &&Self| one.word().eq_ignore_ascii_case(text);
                Self::ALL.iter().find(fits).copied().ok_or_else(|| crate::ids::InvalidName::new($what, text, $expected))
            }
        }
    };
}
pub(super) use words;

words!(Severity, "severity", "`SEV1`, `SEV2`, `SEV3` or `SEV4`", Sev1 "SEV1", Sev2 "SEV2", Sev3 "SEV3", Sev4 "SEV4");
words!(
    Stage, "stage of an incident", "`detect`, `triage`, `declare`, `mitigate`, `investigate` or `resolve`",
    Detect "detect", Triage "triage", Declare "declare", Mitigate "mitigate", Investigate "investigate", Resolve "resolve"
);
words!(
    Role, "role", "`commander`, `communications`, `operations` or `scribe`",
    Commander "commander", Communications "communications", Operations "operations", Scribe "scribe"
);

impl Stage {
    /// Those between this one and a later one.
    pub fn until(self, later: Self) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|stage| *stage > self && *stage < later).collect()
    }
}

/// Who or what declared an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "origin")]
pub enum Origin {
    /// A person.
    Person {
        /// Who.
        by: String,
    },
    /// A page that somebody was told of.
    Page {
        /// Which.
        page: String,
    },
    /// The judge: a release was taken back, and requests go on failing.
    Judge {
        /// The flight that was taken back.
        flight: FlightId,
    },
}

/// What has to do with an incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A flight.
    Flight(FlightId),
    /// A group of alerts, by its key.
    AlertGroup(String),
    /// A page, by its id.
    Page(String),
    /// A ticket, a dashboard, a document: an address.
    Url(String),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flight(flight) => write!(f, "flight {}", flight.short()),
            Self::AlertGroup(key) => write!(f, "alerts {key}"),
            Self::Page(page) => write!(f, "page {page}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// What is done to end the harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "way")]
pub enum Way {
    /// A release is taken back.
    Rollback {
        /// The service.
        service: ServiceName,
        /// Where.
        environment: EnvironmentName,
        /// The flight that is taken back.
        flight: FlightId,
    },
    /// A flag is set, or left to Git again.
    Flag {
        /// The service.
        service: ServiceName,
        /// Where.
        environment: EnvironmentName,
        /// The flag's key.
        flag: String,
        /// To what; to what Git says where it is nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Setting>,
    },
    /// What serves has another number of replicas.
    Scale {
        /// The service.
        service: ServiceName,
        /// Where.
        environment: EnvironmentName,
        /// How many.
        replicas: u32,
    },
}

impl Way {
    /// Its kind, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rollback { .. } => "rollback",
            Self::Flag { .. } => "flag",
            Self::Scale { .. } => "scale",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rollback { service, environment, flight } => {
                write!(f, "flight {} of {service} is taken back from {environment}", flight.short())
            }
            Self::Flag { service, environment, flag, to: Some(to) } => {
                write!(f, "flag {flag} of {service} in {environment} is set to {to}")
            }
            Self::Flag { service, environment, flag, to: None } => {
                write!(f, "flag {flag} of {service} in {environment} is left to Git")
            }
            Self::Scale { service, environment, replicas } => {
                write!(f, "{service} in {environment} has {replicas} replicas")
            }
        }
    }
}

/// Something that was begun to end the harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mitigation {
    /// What.
    pub way: Way,
    /// When.
    pub at: Timestamp,
    /// Who ordered it.
    pub by: String,
    /// Why it was refused, if it was.
    pub failed: Option<String>,
}

/// Something that a person wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Of which moment it tells.
    pub about: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// What everybody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// When it was published.
    pub at: Timestamp,
    /// What the work was about then.
    pub stage: Stage,
    /// The text.
    pub message: String,
}

/// A post-mortem that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// When.
    pub at: Timestamp,
    /// Who published it.
    pub by: String,
    /// SHA-256 of its text, in hex.
    pub sha256: String,
    /// The text.
    pub text: String,
}

/// An incident's whole state.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// What happens to users.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The service that is hurt, and where.
    pub target: Target,
    /// Since when users are hurt, as far as is known.
    pub since: Timestamp,
    /// Who or what declared it.
    pub origin: Origin,
    /// When.
    pub declared_at: Timestamp,
    /// What work on it is about.
    pub stage: Stage,
    /// Who has which role.
    pub roles: BTreeMap<Role, String>,
    /// Where people talk about it.
    pub channel: Option<String>,
    /// Who has to be kept informed.
    pub stakeholders: Vec<String>,
    /// What people wrote down, in order of writing.
    pub notes: Vec<Note>,
    /// What has to do with it.
    pub links: BTreeSet<Link>,
    /// What was begun to end the harm, the last one.
    pub mitigation: Option<Mitigation>,
    /// When the first person took care of it.
    pub acknowledged_at: Option<Timestamp>,
    /// When users were no longer hurt.
    pub mitigated_at: Option<Timestamp>,
    /// When it was over, and who said so.
    pub resolved: Option<(Timestamp, String)>,
    /// Why it happened, as was said last.
    pub cause: Option<String>,
    /// The one that it is the same as.
    pub merged_into: Option<IncidentId>,
    /// How often it was reopened.
    pub reopened: u32,
    /// Whether it is on the status page.
    pub public: bool,
    /// What everybody may read, in order.
    pub updates: Vec<Update>,
    /// Its post-mortem.
    pub review: Option<Review>,
    /// Its facts, in order.
    pub facts: Vec<(Timestamp, IncidentEvent)>,
}

impl Incident {
    /// The incident that its first fact gives.
    pub(super) fn declared(event: &IncidentEvent, at: Timestamp) -> Option<Self> {
        let IncidentEvent::Declared { incident, title, severity, service, environment, since, origin } = event else {
            return None;
        };
        let by_person = matches!(origin, Origin::Person { .. });
        Some(Self {
            id: *incident,
            title: title.clone(),
            severity: *severity,
            target: Target { environment: environment.clone(), service: service.clone() },
            since: *since,
            origin: origin.clone(),
            declared_at: at,
            // A person has looked; what a machine says is still to be looked at.
            stage: if by_person { Stage::Declare } else { Stage::Detect },
            roles: BTreeMap::new(),
            channel: None,
            stakeholders: Vec::new(),
            notes: Vec::new(),
            links: BTreeSet::new(),
            mitigation: None,
            acknowledged_at: by_person.then_some(at),
            mitigated_at: None,
            resolved: None,
            cause: None,
            merged_into: None,
            reopened: 0,
            public: false,
            updates: Vec::new(),
            review: None,
            facts: vec![(at, event.clone())],
        })
    }

    /// Whether it is neither resolved nor merged into another.
    pub fn is_open(&self) -> bool {
        self.resolved.is_none() && self.merged_into.is_none()
    }

    /// How long it took until a person took care of it, from its declaration.
    pub fn acknowledged_within(&self) -> Option<SignedDuration> {
        Some(self.acknowledged_at?.duration_since(self.declared_at))
    }

    /// How long users were hurt.
    pub fn mitigated_within(&self) -> Option<SignedDuration> {
        Some(self.mitigated_at?.duration_since(self.since))
    }

    /// How long it took from the first harm until it was over.
    pub fn resolved_within(&self) -> Option<SignedDuration> {
        Some(self.resolved.as_ref()?.0.duration_since(self.since))
    }

    /// The people that have to do with it, each once.
    pub fn people(&self) -> BTreeSet<&str> {
        let by = self.facts.iter().filter_map(|(_, fact)| fact.person());
        by.chain(self.roles.values().map(String::as_str)).collect()
    }

    pub(super) fn apply(&mut self, event: &IncidentEvent, at: Timestamp) {
        if event.person().is_some() {
            self.acknowledged_at.get_or_insert(at);
        }
        self.facts.push((at, event.clone()));
        match event {
            IncidentEvent::SeverityChanged { to, .. } => self.severity = *to,
            IncidentEvent::RoleTaken { role, person, .. } => {
                self.roles.insert(*role, person.clone());
            }
            IncidentEvent::StageChanged { to, .. } => self.stage = *to,
            IncidentEvent::NoteAdded { text, about, by, .. } => {
                self.notes.push(Note { about: *about, by: by.clone(), text: text.clone() });
            }
            IncidentEvent::LinkAdded { link, .. } => {
                self.links.insert(link.clone());
            }
            IncidentEvent::Described { title, channel, stakeholders, .. } => {
                if let Some(title) = title {
                    self.title.clone_from(title);
                }
                self.channel = channel.clone().or(self.channel.take());
                if let Some(all) = stakeholders {
                    self.stakeholders.clone_from(all);
                }
            }
            IncidentEvent::UpdatePublished { message, .. } => {
                self.public = true;
                self.updates.push(Update { at, stage: self.stage, message: message.clone() });
            }
            IncidentEvent::Unpublished { .. } => self.public = false,
            IncidentEvent::MitigationBegun { way, by, .. } => {
                self.mitigation = Some(Mitigation { way: way.clone(), at, by: by.clone(), failed: None });
            }
            IncidentEvent::MitigationFailed { why, .. } => {
                if let Some(mitigation) = &mut self.mitigation {
                    mitigation.failed = Some(why.clone());
                }
            }
            IncidentEvent::Mitigated { .. } => self.mitigated_at = Some(at),
            IncidentEvent::Resolved { cause, by, .. } => {
                self.resolved = Some((at, by.clone()));
                self.cause = Some(cause.clone());
            }
            IncidentEvent::Reopened { to, .. } => self.reopen(*to),
            IncidentEvent::Merged { into, .. } => self.merged_into = Some(*into),
            IncidentEvent::PostmortemPublished { sha256, text, by, .. } => {
                let (by, sha256, text) = (by.clone(), sha256.clone(), text.clone());
                self.review = Some(Review { at, by, sha256, text });
            }
            IncidentEvent::Declared { .. }
            | IncidentEvent::ActionAdded { .. }
            | IncidentEvent::ActionDone { .. }
            | IncidentEvent::ActionDropped { .. }
            | IncidentEvent::ActionOverridden { .. }
            | IncidentEvent::ActionFileAsked { .. }
            | IncidentEvent::ActionFiled { .. }
            | IncidentEvent::TicketClosed { .. } => {}
        }
    }

    /// Users are hurt again: what was measured runs on, and what was learned has to be looked at again.
    fn reopen(&mut self, to: Stage) {
        self.stage = to;
        self.resolved = None;
        self.mitigated_at = None;
        self.mitigation = None;
        self.review = None;
        self.reopened = self.reopened.saturating_add(1);
    }
}

/// The parts of prograde that say something of an incident in their own name.
const PARTS: [&str; 3] = ["judge", "pages", "rollout"];

impl IncidentEvent {
    /// The person whose doing it is, if it is a person's.
    pub fn person(&self) -> Option<&str> {
        let by = match self {
            Self::Declared { origin: Origin::Person { by }, .. }
            | Self::SeverityChanged { by, .. }
            | Self::RoleTaken { by, .. }
            | Self::StageChanged { by, .. }
            | Self::NoteAdded { by, .. }
            | Self::LinkAdded { by, .. }
            | Self::Described { by, .. }
            | Self::UpdatePublished { by, .. }
            | Self::Unpublished { by, .. }
            | Self::MitigationBegun { by, .. }
            | Self::Mitigated { by, .. }
            | Self::Resolved { by, .. }
            | Self::Reopened { by, .. }
            | Self::Merged { by, .. }
            | Self::PostmortemPublished { by, .. }
            | Self::ActionAdded { by, .. }
            | Self::ActionDone { by, .. }
            | Self::ActionDropped { by, .. }
            | Self::ActionOverridden { by, .. }
            | Self::ActionFileAsked { by, .. } => by,
            Self::Declared { origin: Origin::Page { .. } | Origin::Judge { .. }, .. }
            | Self::MitigationFailed { .. }
            | Self::ActionFiled { .. }
            | Self::TicketClosed { .. } => {
                return None;
            }
        };
        Some(by.as_str()).filter(|by| !PARTS.contains(by))
    }
}
