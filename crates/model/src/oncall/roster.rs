//! Who is on call as it really is: what `oncall.yaml` says, and what people changed since by command.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::declare::{Override, PersonName, Rota, Schedule, ScheduleName, Swap, When};
use super::schedule::{TooLong, Zones};
use crate::dora::Span;
use crate::ids::numbered;
use crate::stored::Fact;

/// How many changes have an effect; of more, those that end last.
const CHANGES_MAX: usize = 1_000;

numbered!(
    /// A change's name, such as `C-3`: changes are numbered in the order in which they were made.
    ChangeId,
    "change",
    "C",
    "`C-` and a number, such as `C-3`"
);

/// Who takes whose place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// This person, whoever else would be on call.
    Override(PersonName),
    /// Each of the two takes the other's shifts.
    Swap(PersonName, PersonName),
}

/// What somebody changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of which schedule.
    pub schedule: ScheduleName,
    /// Who takes whose place.
    pub who: Who,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who changed it.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A fact about who is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RosterFact {
    /// Somebody changed who is on call.
    #[serde(rename = "oncall.changed")]
    Changed {
        /// The change's name.
        id: ChangeId,
        /// What.
        #[serde(flatten)]
        change: Change,
    },
    /// Somebody took a change back.
    #[serde(rename = "oncall.withdrawn")]
    Withdrawn {
        /// Which.
        id: ChangeId,
        /// Who.
        by: String,
    },
}

impl Fact for RosterFact {
    const SUBJECT: &'static str = "oncall";
    const VERSION: u32 = 1;
}

/// A change, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its name.
    pub id: ChangeId,
    /// What.
    #[serde(flatten)]
    pub change: Change,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who took it back, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefusal {
    /// There is no such schedule.
    #[error("there is no schedule {name:?}; there are {}", .known.join(", "))]
    Schedule {
        /// As it was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no such person.
    #[error("there is nobody named {name:?}; there are {}", .known.join(", "))]
    Person {
        /// As they were named.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Nobody could tell them of a page.
    #[error("{0} could not be told of a page: `oncall.yaml` names no receiver for them")]
    OutOfReach(PersonName),
    /// A person would swap with themselves.
    #[error("{0} can't swap with {0}")]
    Same(PersonName),
    /// It ends before it begins.
    #[error("it ends at {until}, which is not after {from}")]
    Backwards {
        /// When it begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// What was is not changed afterwards.
    #[error("it ends at {0}, and that is past")]
    Past(Timestamp),
    /// Nothing would change.
    #[error("neither {0} nor {1} is on call then")]
    Idle(PersonName, PersonName),
    /// The stretch is too long, or the schedule's time zone is not known.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// There is no such change.
    #[error("there is no change {0}")]
    Unknown(ChangeId),
    /// It was taken back before.
    #[error("{id} was withdrawn by {by}")]
    Withdrawn {
        /// Which.
        id: ChangeId,
        /// Who took it back.
        by: String,
    },
}

/// What people changed by command: the fold of [`RosterFact`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    changes: BTreeMap<ChangeId, Made>,
}

impl Roster {
    /// Takes in a fact.
    pub fn apply(&mut self, fact: &RosterFact, at: Timestamp) {
        match fact {
            RosterFact::Changed { id, change } => {
                let made = Made { id: *id, change: change.clone(), made_at: at, withdrawn_by: None };
                self.changes.insert(*id, made);
            }
            RosterFact::Withdrawn { id, by } => {
                if let Some(made) = self.changes.get_mut(id) {
                    made.withdrawn_by = Some(by.clone());
                }
            }
        }
    }

    /// All changes, in the order in which they were made.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Made> {
        self.changes.values()
    }

    /// A change that may be made. One that began earlier begins now: what was is not changed.
    pub fn change(
        &self,
        rota: &Rota,
        zones: &impl Zones,
        change: Change,
        now: Timestamp,
    ) -> Result<RosterFact, RosterRefusal> {
        let change = Change { from: change.from.max(now), ..change };
        let rota = &self.over(rota);
        let schedule = rota.schedules.iter().find(|schedule| schedule.name == change.schedule);
        let schedule = schedule.ok_or_else(|| RosterRefusal::Schedule {
            name: change.schedule.clone(),
            known: rota.schedules.iter().map(|schedule| schedule.name.clone()).collect(),
        })?;
        if change.until <= now {
            return Err(RosterRefusal::Past(change.until));
        }
        if change.until <= change.from {
            return Err(RosterRefusal::Backwards { from: change.from, until: change.until });
        }
        match &change.who {
            Who::Override(person) => reachable(rota, person)?,
            Who::Swap(one, two) => {
                reachable(rota, one)?;
                reachable(rota, two)?;
                if one == two {
                    return Err(RosterRefusal::Same(one.clone()));
                }
                let shifts = schedule.shifts(Span { from: change.from, until: change.until }, zones)?;
                if !shifts.iter().any(|shift| shift.person == *one || shift.person == *two) {
                    return Err(RosterRefusal::Idle(one.clone(), two.clone()));
                }
            }
        }
        let last = self.changes.keys().next_back().map_or(0, |id| id.number());
        Ok(RosterFact::Changed { id: ChangeId::new(last.saturating_add(1)), change })
    }

    /// Takes a change back.
    pub fn withdraw(&self, id: ChangeId, by: &str) -> Result<RosterFact, RosterRefusal> {
        let made = self.changes.get(&id).ok_or(RosterRefusal::Unknown(id))?;
        match &made.withdrawn_by {
            Some(by) => Err(RosterRefusal::Withdrawn { id, by: by.clone() }),
            None => Ok(RosterFact::Withdrawn { id, by: by.to_owned() }),
        }
    }

    /// What `oncall.yaml` says with the changes laid over it. Those of a schedule or person that it has no more are left out.
    pub fn over(&self, rota: &Rota) -> Rota {
        let mut rota = rota.clone();
        let mut latest: Vec<&Made> = self.changes.values().filter(|made| made.withdrawn_by.is_none()).collect();
        if latest.len() > CHANGES_MAX {
            latest.sort_by_key(|made| made.change.until);
            latest.drain(..latest.len() - CHANGES_MAX);
            latest.sort_by_key(|made| made.id);
        }
        for made in latest {
            let change = &made.change;
            let known = |person: &PersonName| rota.people.contains_key(person);
            let all_known = match &change.who {
                Who::Override(person) => known(person),
                Who::Swap(one, two) => known(one) && known(two),
            };
            let schedule = rota.schedules.iter_mut().find(|schedule| schedule.name == change.schedule);
            if let (Some(schedule), true) = (schedule, all_known) {
                lay(schedule, change);
            }
        }
        rota
    }
}

fn lay(schedule: &mut Schedule, change: &Change) {
    let (from, until) = (When::Instant(change.from), When::Instant(change.until));
    match &change.who {
        Who::Override(person) => schedule.overrides.push(Override { person: person.clone(), from, until }),
        Who::Swap(one, two) => schedule.swaps.push(Swap { between: (one.clone(), two.clone()), from, until }),
    }
}

fn reachable(rota: &Rota, name: &PersonName) -> Result<(), RosterRefusal> {
    let person = rota
        .people
        .get(name)
        .ok_or_else(|| RosterRefusal::Person { name: name.clone(), known: rota.people.keys().cloned().collect() })?;
    if person.receiver.is_none() && !rota.escalations.is_empty() {
        return Err(RosterRefusal::OutOfReach(name.clone()));
    }
    Ok(())
}
