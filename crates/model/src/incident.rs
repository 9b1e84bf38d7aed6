//! Incidents as facts: what hurt users, who takes care of it, what was done, and what is to be done so that it does not come
//! again.
//!
//! ```text
//!  a page, the judge, a person ──▶ declared ──▶ detect ─▶ triage ─▶ declare ─▶ mitigate ─▶ investigate ─▶ resolve
//!                                                 └── forward over any of them, which is recorded; back only by reopening
//! ```
//!
//! [`Incidents::decide`] says which facts an order gives, or why it is refused; [`Fold::apply`] takes a fact in and fits
//! every fact to every state. What hurts users is stopped before it is understood, so mitigation comes before investigation,
//! and [`suspects`] offers the one command that stops it. The roles and the order of work are those of the Incident Command
//! System as *Site Reliability Engineering* (Beyer and others, 2016), chapter 14, takes it over.

mod action;
mod changes;
mod event;
mod id;
mod measure;
mod orders;
mod paged;
mod refusal;
mod run;
mod state;
mod suspects;
mod ticket;
mod timeline;
mod unhelped;
mod ways;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::stored::Fold;

pub use action::{Action, ActionKind, ActionOrder, ActionState, NewAction, Override, Ranked};
pub use changes::{Change, Changes, What};
pub use event::IncidentEvent;
pub use id::{ActionId, IncidentId};
pub use measure::{Month, trend};
pub use orders::{Declare, Order};
pub use paged::{Declaring, declaring, page_entries};
pub use refusal::{Limit, Refusal};
pub use run::run_entries;
pub use state::{Incident, Link, Mitigation, Note, Origin, Review, Role, Severity, Stage, Update, Way};
pub use suspects::{Question, Suspect, needs, suspects};
pub use ticket::{Asked, Draft, Ending, Filed, Route, TicketTask};
pub use timeline::{Entry, Kind, Span, alert_entries, flight_entries, incident_entries, timeline};
pub use ways::{Offer, ways};

/// All incidents and what is to be done after them: the fold of their facts and of nothing else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Incidents {
    incidents: BTreeMap<IncidentId, Incident>,
    actions: BTreeMap<ActionId, Action>,
}

impl Fold for Incidents {
    type Fact = IncidentEvent;

    // One that fits nothing, such as of an incident that was never declared, is passed over: replay goes on.
    fn apply(&mut self, event: &IncidentEvent, at: Timestamp) {
        match event {
            IncidentEvent::Declared { incident, .. } => {
                if let Some(declared) = Incident::declared(event, at) {
                    self.incidents.insert(*incident, declared);
                }
            }
            IncidentEvent::ActionAdded { .. }
            | IncidentEvent::ActionDone { .. }
            | IncidentEvent::ActionDropped { .. }
            | IncidentEvent::ActionOverridden { .. }
            | IncidentEvent::ActionFileAsked { .. }
            | IncidentEvent::ActionFiled { .. }
            | IncidentEvent::TicketClosed { .. } => self.apply_action(event, at),
            IncidentEvent::SeverityChanged { incident, .. }
            | IncidentEvent::RoleTaken { incident, .. }
            | IncidentEvent::StageChanged { incident, .. }
            | IncidentEvent::NoteAdded { incident, .. }
            | IncidentEvent::LinkAdded { incident, .. }
            | IncidentEvent::Described { incident, .. }
            | IncidentEvent::UpdatePublished { incident, .. }
            | IncidentEvent::Unpublished { incident, .. }
            | IncidentEvent::MitigationBegun { incident, .. }
            | IncidentEvent::MitigationFailed { incident, .. }
            | IncidentEvent::Mitigated { incident, .. }
            | IncidentEvent::Resolved { incident, .. }
            | IncidentEvent::Reopened { incident, .. }
            | IncidentEvent::Merged { incident, .. }
            | IncidentEvent::PostmortemPublished { incident, .. } => {
                if let Some(known) = self.incidents.get_mut(incident) {
                    known.apply(event, at);
                }
            }
        }
    }
}

impl Incidents {
    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.incidents.get(&id)
    }

    /// All incidents, in the order in which they were declared.
    pub fn incidents(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.incidents.values()
    }

    /// Those that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.incidents().filter(|incident| incident.is_open())
    }

    /// One action item.
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(&id)
    }

    /// All action items, in the order in which they were added.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values()
    }

    /// Those of one incident.
    pub fn actions_of(&self, id: IncidentId) -> impl Iterator<Item = &Action> {
        self.actions().filter(move |action| action.incident == id)
    }
}
