//! Tickets of action items in trackers elsewhere: which are wanted, and what follows from how they stand.
//!
//! Invariant: an item has one ticket at most, and each of the two is closed by the other once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Incidents;
use super::action::{Action, ActionKind, ActionState};
use super::event::IncidentEvent;
use super::id::{ActionId, IncidentId};
use super::refusal::{Limit, Refusal, text};
use crate::ids::{ServiceName, Target};

/// The ticket of an action item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// The tracker, as it is called here.
    pub tracker: String,
    /// What the tracker calls it.
    pub ticket: String,
    /// Where people find it.
    pub url: String,
    /// When that became known.
    pub at: Timestamp,
    /// Whether it is known to be closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// Somebody wants a ticket for an action item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// In which tracker, where not in that of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<String>,
    /// Who.
    pub by: String,
}

/// A tracker, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The tracker, as it is called here.
    pub tracker: String,
    /// The services whose action items go there; those of all others where none are named.
    pub services: Vec<ServiceName>,
    /// Whether tickets are opened without being asked for.
    pub automatic: bool,
}

/// How an action item or its ticket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    Done,
    /// It is not going to be done.
    Dropped,
}

/// What is written into a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Of which action item.
    pub action: ActionId,
    /// In a line.
    pub title: String,
    /// Everything else, in lines.
    pub text: String,
    /// What the item does.
    pub kind: ActionKind,
}

/// Something to do in a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketTask {
    /// Find the ticket of an action item, or open one.
    Open(Draft),
    /// See whether a ticket is closed.
    Look {
        /// Of which action item.
        action: ActionId,
        /// Which.
        ticket: String,
    },
    /// Close a ticket that is open.
    Close {
        /// Of which action item.
        action: ActionId,
        /// Which.
        ticket: String,
        /// How the item ended.
        ending: Ending,
        /// Why, for people.
        comment: String,
    },
}

impl TicketTask {
    /// The action item that it is about.
    pub fn action(&self) -> ActionId {
        match self {
            Self::Open(draft) => draft.action,
            Self::Look { action, .. } | Self::Close { action, .. } => *action,
        }
    }
}

impl Incidents {
    /// What is to be done in a tracker now. `link` says where people find an incident.
    pub fn ticket_tasks(
        &self,
        tracker: &str,
        routes: &[Route],
        link: impl Fn(IncidentId) -> String,
    ) -> Vec<TicketTask> {
        let task = |action: &Action| {
            let Some(filed) = &action.filed else {
                let target = self.incident(action.incident).map(|incident| &incident.target)?;
                let is_wanted = action.is_open() && route(action, target, routes) == Some(tracker);
                return is_wanted.then(|| TicketTask::Open(self.draft(action, target, &link(action.incident))));
            };
            if filed.tracker != tracker || filed.closed {
                return None;
            }
            let ticket = filed.ticket.clone();
            let (ending, comment) = match &action.state {
                ActionState::Open => return Some(TicketTask::Look { action: action.id, ticket }),
                ActionState::Done { by, note, .. } => (Ending::Done, format!("{} is done ({by}): {note}", action.id)),
                ActionState::Dropped { by, reason, .. } => {
                    (Ending::Dropped, format!("{} is dropped ({by}): {reason}", action.id))
                }
            };
            Some(TicketTask::Close { action: action.id, ticket, ending, comment })
        };
        self.actions().filter_map(task).collect()
    }

    fn draft(&self, action: &Action, target: &Target, link: &str) -> Draft {
        let does = match action.kind {
            ActionKind::Prevent => "it does not come again",
            ActionKind::Detect => "it is seen sooner",
            ActionKind::Mitigate => "it hurts less, or for a shorter time",
        };
        let incident = self.incident(action.incident).map_or("", |incident| incident.title.as_str());
        let mut text = format!(
            "Owner: {}\nDue: {}\nKind: {} ({does})\nIncident: {} ({incident}) of {target}\n{link}\n",
            action.owner,
            action.due,
            action.kind.word(),
            action.incident,
        );
        if action.gate {
            text += "\nReleases wait for it.\n";
        }
        text.extend([
            "\nThis is ",
            &action.id.to_string(),
            " of Prograde. Closing this closes it, and the other way round.\n",
        ]);
        Draft { action: action.id, title: action.title.clone(), text, kind: action.kind }
    }

    /// The ticket of an action item is known. Nothing follows where one is known already.
    pub fn ticket_filed(
        &self,
        id: ActionId,
        tracker: &str,
        ticket: &str,
        url: &str,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        let action = self.action(id).ok_or(Refusal::NoAction(id))?;
        if action.filed.is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![IncidentEvent::ActionFiled {
            action: id,
            tracker: text("the name of a tracker", tracker, Limit::NAME)?,
            ticket: text("the name of a ticket", ticket, Limit::NAME)?,
            url: text("the address of a ticket", url, Limit::LINE)?,
        }])
    }

    /// The ticket of an action item is closed, and with it the item.
    pub fn ticket_closed(&self, id: ActionId, ending: Ending) -> Result<Vec<IncidentEvent>, Refusal> {
        let action = self.action(id).ok_or(Refusal::NoAction(id))?;
        let Some(filed) = action.filed.as_ref().filter(|filed| !filed.closed) else { return Ok(Vec::new()) };
        let (by, ticket) = (filed.tracker.clone(), filed.ticket.clone());
        let said = format!("its ticket was closed: {}", filed.url);
        let item = match ending {
            Ending::Done => IncidentEvent::ActionDone { action: id, note: said, by: by.clone() },
            Ending::Dropped => IncidentEvent::ActionDropped { action: id, reason: said, by: by.clone() },
        };
        let closed = IncidentEvent::TicketClosed { action: id, tracker: by, ticket };
        Ok(action.is_open().then_some(item).into_iter().chain([closed]).collect())
    }
}

/// The tracker that an action item goes to: the one that was asked for, else that of its service if it is automatic or asked for.
fn route<'a>(action: &'a Action, target: &Target, routes: &'a [Route]) -> Option<&'a str> {
    if let Some(Asked { tracker: Some(named), .. }) = &action.asked {
        return Some(named);
    }
    let own = routes.iter().find(|route| route.services.contains(&target.service));
    let route = own.or_else(|| routes.iter().find(|route| route.services.is_empty()))?;
    (route.automatic || action.asked.is_some()).then_some(route.tracker.as_str())
}
