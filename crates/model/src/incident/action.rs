//! Action items: what is to be done after an incident, which releases wait for, and which saves most.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Incidents;
use super::event::IncidentEvent;
use super::id::{ActionId, IncidentId};
use super::refusal::{Limit, Refusal, lines, text};
use super::state::{Incident, Link, words};
use super::ticket::{Asked, Filed};
use crate::gate::{Hold, Holds};
use crate::ids::Target;

/// How long releases may go on without waiting for an action item, in days.
const OVERRIDE_DAYS_MAX: i64 = 7;

/// What an action item does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// It does not come again.
    Prevent,
    /// It is seen sooner.
    Detect,
    /// It hurts less, or for a shorter time.
    Mitigate,
}

words!(
    ActionKind, "kind of action item", "`prevent`, `detect` or `mitigate`",
    Prevent "prevent", Detect "detect", Mitigate "mitigate"
);

/// Where an action item stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ActionState {
    /// It is to be done.
    Open,
    /// It is done.
    Done {
        /// When.
        at: Timestamp,
        /// Who said so.
        by: String,
        /// Where that can be seen, or what was done.
        note: String,
    },
    /// It is not going to be done.
    Dropped {
        /// When.
        at: Timestamp,
        /// Who said so.
        by: String,
        /// Why.
        reason: String,
    },
}

impl ActionState {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done { .. } => "done",
            Self::Dropped { .. } => "dropped",
        }
    }
}

/// Releases do not wait for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
}

/// Something that is to be done after an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its name.
    pub id: ActionId,
    /// After which incident.
    pub incident: IncidentId,
    /// What.
    pub title: String,
    /// Who sees to it.
    pub owner: String,
    /// By when.
    pub due: Date,
    /// What it does.
    pub kind: ActionKind,
    /// Whether releases of the service wait for it.
    pub gate: bool,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ActionState,
    /// The last word that releases do not wait.
    pub overridden: Option<Override>,
    /// When it was added.
    pub added_at: Timestamp,
    /// Who wants a ticket for it, if somebody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Its ticket in a tracker elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed: Option<Filed>,
}

impl Action {
    /// Whether it is still to be done.
    pub fn is_open(&self) -> bool {
        self.state == ActionState::Open
    }

    /// Whether its day has passed, in UTC.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.is_open() && now.to_zoned(TimeZone::UTC).date() > self.due
    }

    /// Whether releases wait for it.
    pub fn holds(&self, now: Timestamp) -> bool {
        let overridden = self.overridden.as_ref().is_some_and(|given| now < given.until);
        self.gate && self.is_open() && !overridden
    }
}

/// What an action item is added with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAction {
    /// After which incident.
    pub incident: IncidentId,
    /// What.
    pub title: String,
    /// Who sees to it.
    pub owner: String,
    /// By when.
    pub due: Date,
    /// What it does.
    pub kind: ActionKind,
    /// Whether releases of the service wait for it.
    #[serde(default)]
    pub gate: bool,
}

/// Something that a person wants of an action item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum ActionOrder {
    /// It is done.
    Done {
        /// Where that can be seen, or what was done.
        note: String,
    },
    /// It is not going to be done.
    Drop {
        /// Why.
        reason: String,
    },
    /// Releases do not wait for a while.
    Override {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// Open a ticket for it.
    File {
        /// In which tracker, where not in that of its service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tracker: Option<String>,
    },
}

/// An action item, and what it would have saved if it had been done before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// The action item.
    #[serde(flatten)]
    pub action: Action,
    /// How often the same service was hurt in the same environment.
    pub incidents: u64,
    /// Pages and groups of alerts of its incident, times that.
    pub pages: u64,
    /// Minutes for which its incident hurt users, times that.
    pub minutes: u64,
    /// What went wrong last with its ticket; known to a running server alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_problem: Option<String>,
}

impl Incidents {
    /// Adds an action item.
    pub fn add_action(&self, new: &NewAction, by: &str, now: Timestamp) -> Result<Vec<IncidentEvent>, Refusal> {
        let by = text("`by`", by, Limit::NAME)?;
        let incident = self.incident(new.incident).ok_or(Refusal::NoIncident(new.incident))?;
        if let Some(into) = incident.merged_into {
            return Err(Refusal::Merged { incident: incident.id, into });
        }
        if new.due < now.to_zoned(TimeZone::UTC).date() {
            return Err(Refusal::DueBefore(new.due));
        }
        if self.actions_of(incident.id).count() >= Limit::ACTIONS {
            return Err(Refusal::TooMany { what: "the action items of an incident", limit: Limit::ACTIONS });
        }
        let last = self.actions.keys().next_back().map_or(0, |id| id.number());
        let number = last.checked_add(1).filter(|number| usize::try_from(*number).is_ok_and(|n| n <= Limit::ALL));
        Ok(vec![IncidentEvent::ActionAdded {
            action: ActionId::new(number.ok_or(Refusal::TooMany { what: "action items", limit: Limit::ALL })?),
            incident: incident.id,
            title: text("`title`", &new.title, Limit::TITLE)?,
            owner: text("`owner`", &new.owner, Limit::NAME)?,
            due: new.due,
            kind: new.kind,
            gate: new.gate,
            by,
        }])
    }

    /// The facts that an order about an action item gives.
    pub fn decide_action(
        &self,
        id: ActionId,
        order: &ActionOrder,
        by: &str,
        now: Timestamp,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        let by = text("`by`", by, Limit::NAME)?;
        let action = self.action(id).ok_or(Refusal::NoAction(id))?;
        if !action.is_open() {
            return Err(Refusal::Closed { action: id, state: action.state.word() });
        }
        let fact = match order {
            ActionOrder::Done { note } => {
                IncidentEvent::ActionDone { action: id, note: lines("`note`", note, Limit::REASON)?, by }
            }
            ActionOrder::Drop { reason } => {
                IncidentEvent::ActionDropped { action: id, reason: lines("`reason`", reason, Limit::REASON)?, by }
            }
            ActionOrder::Override { .. } if !action.gate => return Err(Refusal::NoGate { action: id }),
            ActionOrder::Override { until, reason } => {
                let longest = SignedDuration::from_hours(24 * OVERRIDE_DAYS_MAX);
                if *until <= now || until.duration_since(now) > longest {
                    return Err(Refusal::Until { days: OVERRIDE_DAYS_MAX });
                }
                let reason = lines("`reason`", reason, Limit::REASON)?;
                IncidentEvent::ActionOverridden { action: id, until: *until, reason, by }
            }
            ActionOrder::File { tracker } => {
                if let Some(filed) = &action.filed {
                    return Err(Refusal::Filed { action: id, url: filed.url.clone() });
                }
                let named = tracker.as_ref().map(|name| text("`tracker`", name, Limit::NAME)).transpose()?;
                IncidentEvent::ActionFileAsked { action: id, tracker: named, by }
            }
        };
        Ok(vec![fact])
    }

    /// What they keep out now. Fixes pass: one of them may be what ends the next incident, or the item itself.
    pub fn holds(&self, now: Timestamp) -> Holds {
        let mut holds = Holds::default();
        for action in self.actions().filter(|action| action.holds(now)) {
            let Some(Target { environment, service }) = self.incident(action.incident).map(|known| &known.target)
            else {
                continue;
            };
            let Action { id, incident, title, owner, due, .. } = action;
            let late = if action.is_overdue(now) { "was due" } else { "due" };
            let hold = Hold {
                id: format!("action/{id}"),
                reason: format!("{id} of {incident} is not done: {title} ({owner}, {late} {due})"),
                fixes_pass: true,
            };
            holds.add(service.clone(), Some(environment.clone()), hold);
        }
        holds
    }

    /// The open action items, the one first that would have saved most: pages before minutes, then the one that is due first.
    pub fn ranked(&self, now: Timestamp) -> Vec<Ranked> {
        let mut often: BTreeMap<&Target, u64> = BTreeMap::new();
        for incident in self.incidents().filter(|incident| incident.merged_into.is_none()) {
            *often.entry(&incident.target).or_default() += 1;
        }
        let rank = |action: &Action| {
            let incident = self.incident(action.incident)?;
            let incidents = often.get(&incident.target).copied().unwrap_or(0);
            let pages = incident.pages().saturating_mul(incidents);
            let minutes = incident.minutes(now).saturating_mul(incidents);
            Some(Ranked { action: action.clone(), incidents, pages, minutes, ticket_problem: None })
        };
        let mut ranked: Vec<Ranked> = self.actions().filter(|action| action.is_open()).filter_map(rank).collect();
        ranked.sort_by_key(|one| {
            (std::cmp::Reverse(one.pages), std::cmp::Reverse(one.minutes), one.action.due, one.action.id)
        });
        ranked
    }

    pub(super) fn apply_action(&mut self, event: &IncidentEvent, at: Timestamp) {
        match event {
            IncidentEvent::ActionAdded { action, incident, title, owner, due, kind, gate, .. } => {
                let added = Action {
                    id: *action,
                    incident: *incident,
                    title: title.clone(),
                    owner: owner.clone(),
                    due: *due,
                    kind: *kind,
                    gate: *gate,
                    state: ActionState::Open,
                    overridden: None,
                    added_at: at,
                    asked: None,
                    filed: None,
                };
                self.actions.insert(*action, added);
                self.note_action(*incident, event, at);
            }
            IncidentEvent::ActionDone { action, note, by } => {
                let state = ActionState::Done { at, by: by.clone(), note: note.clone() };
                self.change_action(*action, event, at, |action| action.state = state);
            }
            IncidentEvent::ActionDropped { action, reason, by } => {
                let state = ActionState::Dropped { at, by: by.clone(), reason: reason.clone() };
                self.change_action(*action, event, at, |action| action.state = state);
            }
            IncidentEvent::ActionOverridden { action, until, reason, by } => {
                let given = Override { until: *until, reason: reason.clone(), by: by.clone() };
                self.change_action(*action, event, at, |action| action.overridden = Some(given));
            }
            IncidentEvent::ActionFileAsked { action, tracker, by } => {
                let asked = Asked { tracker: tracker.clone(), by: by.clone() };
                self.change_action(*action, event, at, |action| action.asked = Some(asked));
            }
            IncidentEvent::ActionFiled { action, tracker, ticket, url } => {
                let (tracker, ticket, url) = (tracker.clone(), ticket.clone(), url.clone());
                let filed = Filed { tracker, ticket, url, at, closed: false };
                self.change_action(*action, event, at, |action| action.filed = Some(filed));
            }
            IncidentEvent::TicketClosed { action, .. } => self.change_action(*action, event, at, |action| {
                if let Some(filed) = &mut action.filed {
                    filed.closed = true;
                }
            }),
            IncidentEvent::Declared { .. }
            | IncidentEvent::SeverityChanged { .. }
            | IncidentEvent::RoleTaken { .. }
            | IncidentEvent::StageChanged { .. }
            | IncidentEvent::NoteAdded { .. }
            | IncidentEvent::LinkAdded { .. }
            | IncidentEvent::Described { .. }
            | IncidentEvent::UpdatePublished { .. }
            | IncidentEvent::Unpublished { .. }
            | IncidentEvent::MitigationBegun { .. }
            | IncidentEvent::MitigationFailed { .. }
            | IncidentEvent::Mitigated { .. }
            | IncidentEvent::Resolved { .. }
            | IncidentEvent::Reopened { .. }
            | IncidentEvent::Merged { .. }
            | IncidentEvent::PostmortemPublished { .. } => {}
        }
    }

    fn change_action(&mut self, id: ActionId, event: &IncidentEvent, at: Timestamp, change: impl FnOnce(&mut Action)) {
        let Some(action) = self.actions.get_mut(&id) else { return };
        change(action);
        let incident = action.incident;
        self.note_action(incident, event, at);
    }

    fn note_action(&mut self, id: IncidentId, event: &IncidentEvent, at: Timestamp) {
        if let Some(incident) = self.incidents.get_mut(&id) {
            incident.apply(event, at);
        }
    }
}

impl Incident {
    /// How many pages and groups of alerts are known to have been its.
    pub fn pages(&self) -> u64 {
        let by_page = u64::from(matches!(self.origin, super::state::Origin::Page { .. }));
        let linked = self.links.iter().filter(|link| matches!(link, Link::Page(_) | Link::AlertGroup(_))).count();
        by_page.saturating_add(u64::try_from(linked).unwrap_or(u64::MAX))
    }

    /// For how many minutes it has hurt users, begun ones counted whole.
    pub fn minutes(&self, now: Timestamp) -> u64 {
        let until = self.mitigated_at.or(self.resolved.as_ref().map(|(at, _)| *at)).unwrap_or(now);
        let seconds = until.duration_since(self.since).as_secs();
        u64::try_from(seconds).unwrap_or(0).div_ceil(60)
    }
}
