//! What people order about incidents, decided on what is known. A refusal says why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Incidents;
use super::event::IncidentEvent;
use super::id::IncidentId;
use super::refusal::{Limit, Refusal, lines, text};
use super::state::{Incident, Link, Origin, Role, Severity, Stage, Way};
use crate::ids::{FlightId, Target};

/// How much later than now something may be that happened: clocks differ.
const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// What an incident is declared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declare {
    /// What happens to users.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The service that is hurt, and where.
    pub target: Target,
    /// Since when; by default since now.
    pub since: Option<Timestamp>,
    /// Who or what says so.
    pub origin: Origin,
}

/// Something that a person wants of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum Order {
    /// It is worse or better than was thought.
    Severity {
        /// How bad it is.
        to: Severity,
        /// Why.
        reason: String,
    },
    /// Somebody takes a role.
    Role {
        /// Which.
        role: Role,
        /// Who.
        person: String,
    },
    /// Work goes on to something else.
    Stage {
        /// To what.
        to: Stage,
    },
    /// Something is written down.
    Note {
        /// What.
        text: String,
        /// Of which moment it tells; by default of now.
        #[serde(default)]
        about: Option<Timestamp>,
    },
    /// Something has to do with it.
    Link {
        /// What.
        link: Link,
    },
    /// Its title, its channel or its stakeholders are others.
    Describe {
        /// What happens to users.
        #[serde(default)]
        title: Option<String>,
        /// Where people talk about it.
        #[serde(default)]
        channel: Option<String>,
        /// Who has to be kept informed.
        #[serde(default)]
        stakeholders: Option<Vec<String>>,
    },
    /// Everybody may know of it.
    Publish {
        /// What everybody reads.
        message: String,
    },
    /// Not everybody should know of it after all.
    Unpublish {},
    /// Users are no longer hurt.
    Mitigated {
        /// By what.
        how: String,
    },
    /// It is over.
    Resolve {
        /// Why it happened, as far as is known.
        cause: String,
    },
    /// It is not over after all.
    Reopen {
        /// Why.
        reason: String,
    },
    /// It is the same as another one.
    Merge {
        /// The one that goes on.
        into: IncidentId,
    },
}

impl Incidents {
    /// Declares an incident. The judge and a page say nothing new of a place where something of theirs is open already.
    pub fn declare(&self, declare: &Declare, now: Timestamp) -> Result<Vec<IncidentEvent>, Refusal> {
        let origin = match &declare.origin {
            Origin::Person { by } => Origin::Person { by: text("`by`", by, Limit::NAME)? },
            Origin::Page { page } => Origin::Page { page: text("`page`", page, Limit::LINE)? },
            Origin::Judge { flight } => Origin::Judge { flight: flight.clone() },
        };
        if !matches!(origin, Origin::Person { .. }) && self.open().any(|open| open.target == declare.target) {
            return Ok(Vec::new());
        }
        if self.open().count() >= Limit::OPEN {
            return Err(Refusal::TooMany { what: "open incidents", limit: Limit::OPEN });
        }
        let last = self.incidents.keys().next_back().map_or(0, |id| id.number());
        let number = last.checked_add(1).filter(|number| usize::try_from(*number).is_ok_and(|n| n <= Limit::ALL));
        let incident = number.ok_or(Refusal::TooMany { what: "incidents", limit: Limit::ALL })?;
        Ok(vec![IncidentEvent::Declared {
            incident: IncidentId::new(incident),
            title: text("`title`", &declare.title, Limit::TITLE)?,
            severity: declare.severity,
            service: declare.target.service.clone(),
            environment: declare.target.environment.clone(),
            since: passed("`since`", declare.since.unwrap_or(now), now)?.min(now),
            origin,
        }])
    }

    /// The facts that an order gives.
    pub fn decide(
        &self,
        id: IncidentId,
        order: &Order,
        by: &str,
        now: Timestamp,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        let by = text("`by`", by, Limit::NAME)?;
        let incident = self.incident(id).ok_or(Refusal::NoIncident(id))?;
        if let Some(into) = incident.merged_into {
            return Err(Refusal::Merged { incident: id, into });
        }
        if incident.facts.len() >= Limit::FACTS {
            return Err(Refusal::TooMany { what: "the facts of an incident", limit: Limit::FACTS });
        }
        match order {
            Order::Note { text, about } => {
                let about = passed("`about`", about.unwrap_or(now), now)?;
                let text = lines("a note", text, Limit::NOTE)?;
                Ok(vec![IncidentEvent::NoteAdded { incident: id, text, about, by }])
            }
            Order::Link { link } => incident.link(link, by),
            Order::Describe { title, channel, stakeholders } => {
                incident.describe(title.as_deref(), channel.as_deref(), stakeholders.as_deref(), by)
            }
            Order::Publish { message } => {
                let message = lines("`message`", message, Limit::REASON)?;
                Ok(vec![IncidentEvent::UpdatePublished { incident: id, message, by }])
            }
            Order::Unpublish {} if incident.public => Ok(vec![IncidentEvent::Unpublished { incident: id, by }]),
            Order::Unpublish {} => Err(Refusal::NotPublic { incident: id }),
            Order::Reopen { .. } if incident.is_open() => Err(Refusal::NotResolved { incident: id }),
            Order::Reopen { reason } => {
                let reason = lines("`reason`", reason, Limit::REASON)?;
                Ok(vec![IncidentEvent::Reopened { incident: id, to: Stage::Declare, reason, by }])
            }
            Order::Merge { into } => self.merge(incident, *into, by),
            Order::Severity { .. }
            | Order::Role { .. }
            | Order::Stage { .. }
            | Order::Mitigated { .. }
            | Order::Resolve { .. } => {
                incident.refuse_if_resolved()?;
                incident.work(order, by)
            }
        }
    }

    fn merge(&self, incident: &Incident, into: IncidentId, by: String) -> Result<Vec<IncidentEvent>, Refusal> {
        let id = incident.id;
        if into == id {
            return Err(Refusal::MergedIntoItself { incident: id });
        }
        incident.refuse_if_resolved()?;
        let other = self.incident(into).ok_or(Refusal::NoIncident(into))?;
        // One that is merged itself takes nothing in, so that there is no ring.
        match other.merged_into {
            Some(last) => Err(Refusal::Merged { incident: into, into: last }),
            None => Ok(vec![IncidentEvent::Merged { incident: id, into, by }]),
        }
    }

    /// Records that something is about to be done to end the harm.
    pub fn begin_mitigation(&self, id: IncidentId, way: Way, by: &str) -> Result<Vec<IncidentEvent>, Refusal> {
        let by = text("`by`", by, Limit::NAME)?;
        let incident = self.incident(id).ok_or(Refusal::NoIncident(id))?;
        if let Some(into) = incident.merged_into {
            return Err(Refusal::Merged { incident: id, into });
        }
        incident.refuse_if_resolved()?;
        if let Some(at) = incident.mitigated_at {
            return Err(Refusal::Mitigated { incident: id, at });
        }
        let link = match &way {
            Way::Rollback { flight, .. } => Some(Link::Flight(flight.clone())),
            Way::Flag { .. } | Way::Scale { .. } => None,
        };
        let linked = link.filter(|link| !incident.links.contains(link)).map(|link| IncidentEvent::LinkAdded {
            incident: id,
            link,
            by: by.clone(),
        });
        let to = incident.forward(Stage::Mitigate, &by);
        Ok(to.into_iter().chain(linked).chain([IncidentEvent::MitigationBegun { incident: id, way, by }]).collect())
    }

    /// What follows from where releases are now: the harm has ended once what was taken back is out. `is_out` says so of a
    /// flight in a place.
    pub fn settle(&self, is_out: impl Fn(&FlightId, &Target) -> bool) -> Vec<IncidentEvent> {
        let ended = self.open().filter(|incident| incident.mitigated_at.is_none()).filter_map(|incident| {
            let mitigation = incident.mitigation.as_ref().filter(|mitigation| mitigation.failed.is_none())?;
            // Whether a flag or more replicas have ended it, people see.
            let Way::Rollback { service, environment, flight } = &mitigation.way else { return None };
            let target = Target { environment: environment.clone(), service: service.clone() };
            let how = mitigation.way.to_string();
            is_out(flight, &target).then(|| IncidentEvent::Mitigated {
                incident: incident.id,
                how,
                by: "rollout".to_owned(),
            })
        });
        ended.collect()
    }

    /// Publishes a post-mortem; `sha256` is the hash of the text as it is given.
    pub fn publish(&self, id: IncidentId, words: &str, sha256: &str, by: &str) -> Result<Vec<IncidentEvent>, Refusal> {
        let by = text("`by`", by, Limit::NAME)?;
        let incident = self.incident(id).ok_or(Refusal::NoIncident(id))?;
        if let Some(into) = incident.merged_into {
            return Err(Refusal::Merged { incident: id, into });
        }
        if incident.resolved.is_none() {
            return Err(Refusal::NotResolved { incident: id });
        }
        if let Some(review) = &incident.review {
            return Err(Refusal::Reviewed { incident: id, at: review.at, by: review.by.clone() });
        }
        // Kept as it is, so that its hash is that of the file.
        lines("a post-mortem", words, Limit::POSTMORTEM)?;
        let text = words.to_owned();
        Ok(vec![IncidentEvent::PostmortemPublished { incident: id, sha256: sha256.to_owned(), text, by }])
    }
}

impl Incident {
    fn refuse_if_resolved(&self) -> Result<(), Refusal> {
        match &self.resolved {
            Some((at, by)) => Err(Refusal::Resolved { incident: self.id, at: *at, by: by.clone() }),
            None => Ok(()),
        }
    }

    /// Orders that only make sense while it goes on.
    fn work(&self, order: &Order, by: String) -> Result<Vec<IncidentEvent>, Refusal> {
        let incident = self.id;
        match order {
            Order::Severity { to, .. } if *to == self.severity => {
                Err(Refusal::SameSeverity { incident, severity: *to })
            }
            Order::Severity { to, reason } => {
                let reason = lines("`reason`", reason, Limit::REASON)?;
                Ok(vec![IncidentEvent::SeverityChanged { incident, from: self.severity, to: *to, by, reason }])
            }
            Order::Role { role, person } => {
                let person = text("`person`", person, Limit::NAME)?;
                let before = self.roles.get(role).cloned();
                if before.as_ref() == Some(&person) {
                    return Err(Refusal::SameRole { incident, role: *role, person });
                }
                Ok(vec![IncidentEvent::RoleTaken { incident, role: *role, person, before, by }])
            }
            Order::Stage { to: Stage::Resolve } => Err(Refusal::ResolvedByCause { incident }),
            Order::Stage { to } if *to == self.stage => Err(Refusal::SameStage { incident, at: *to }),
            Order::Stage { to } if *to < self.stage => Err(Refusal::Backwards { incident, at: self.stage, to: *to }),
            Order::Stage { to } => Ok(self.forward(*to, &by).into_iter().collect()),
            Order::Mitigated { how } => {
                let how = lines("`how`", how, Limit::REASON)?;
                if let Some(at) = self.mitigated_at {
                    return Err(Refusal::Mitigated { incident, at });
                }
                let to = self.forward(Stage::Mitigate, &by);
                Ok(to.into_iter().chain([IncidentEvent::Mitigated { incident, how, by }]).collect())
            }
            Order::Resolve { cause } => {
                let cause = lines("`cause`", cause, Limit::REASON)?;
                let ended = self.mitigated_at.is_none().then(|| IncidentEvent::Mitigated {
                    incident,
                    how: "it is over".to_owned(),
                    by: by.clone(),
                });
                let to = self.forward(Stage::Resolve, &by);
                Ok(to.into_iter().chain(ended).chain([IncidentEvent::Resolved { incident, cause, by }]).collect())
            }
            Order::Note { .. }
            | Order::Link { .. }
            | Order::Describe { .. }
            | Order::Publish { .. }
            | Order::Unpublish {}
            | Order::Reopen { .. }
            | Order::Merge { .. } => Err(Refusal::Nothing { incident }),
        }
    }

    /// That work goes on to a later stage, with what is left out; none where it is there or past it.
    fn forward(&self, to: Stage, by: &str) -> Option<IncidentEvent> {
        (self.stage < to).then(|| IncidentEvent::StageChanged {
            incident: self.id,
            from: self.stage,
            to,
            skipped: self.stage.until(to),
            by: by.to_owned(),
        })
    }

    fn link(&self, link: &Link, by: String) -> Result<Vec<IncidentEvent>, Refusal> {
        let link = match link {
            Link::Flight(flight) => Link::Flight(flight.clone()),
            Link::AlertGroup(key) => Link::AlertGroup(text("the key of a group of alerts", key, Limit::LINE)?),
            Link::Page(page) => Link::Page(text("the id of a page", page, Limit::LINE)?),
            Link::Url(url) => Link::Url(text("an address", url, Limit::LINE)?),
        };
        if self.links.contains(&link) {
            return Err(Refusal::SameLink { incident: self.id });
        }
        Ok(vec![IncidentEvent::LinkAdded { incident: self.id, link, by }])
    }

    fn describe(
        &self,
        title: Option<&str>,
        channel: Option<&str>,
        stakeholders: Option<&[String]>,
        by: String,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        if title.is_none() && channel.is_none() && stakeholders.is_none() {
            return Err(Refusal::Nothing { incident: self.id });
        }
        if stakeholders.is_some_and(|all| all.len() > Limit::STAKEHOLDERS) {
            return Err(Refusal::TooMany { what: "the stakeholders of an incident", limit: Limit::STAKEHOLDERS });
        }
        let named = |all: &[String]| all.iter().map(|one| text("a stakeholder", one, Limit::LINE)).collect();
        Ok(vec![IncidentEvent::Described {
            incident: self.id,
            title: title.map(|title| text("`title`", title, Limit::TITLE)).transpose()?,
            channel: channel.map(|channel| text("`channel`", channel, Limit::LINE)).transpose()?,
            stakeholders: stakeholders.map(named).transpose()?,
            by,
        }])
    }
}

/// A moment that is said to have been.
fn passed(what: &'static str, at: Timestamp, now: Timestamp) -> Result<Timestamp, Refusal> {
    if at.duration_since(now) > AHEAD { Err(Refusal::Future { what, at }) } else { Ok(at) }
}
