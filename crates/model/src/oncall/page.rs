//! A page: somebody is told, and the next one when nobody acknowledges in time.
//!
//! [`Page::decide`] says what follows now, [`Page::wake_at`] when to ask again. Nothing is told twice to one person in one step
//! of one pass; nothing is told once somebody has acknowledged; and a page that reached nobody stays open, it is never lost.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::declare::{Escalation, PersonName};
use super::fact::PageId;
use crate::alert::Alert;

/// A page's whole state: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it stands.
    pub state: State,
    /// Through the steps for the how manieth time, from 0: each round, and each awakening.
    pass: u32,
    /// The first pass since it was opened or awoke.
    first_pass: u32,
    told: BTreeSet<Told>,
    /// Of those, whom it has reached.
    reached: BTreeSet<Told>,
    /// Of those, whom it can't reach.
    missed: BTreeSet<Told>,
    /// Who knows that it is over, or can't be told.
    end_told: BTreeSet<PersonName>,
}

/// In which pass, and in which step of it, who is told.
type Told = (u32, usize, PersonName);

/// What a page is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What it says in a line.
    pub title: String,
    /// By which escalation people are told.
    pub escalation: String,
    /// What it is worth being woken for, as the alerts' label `severity` says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// The key of the alerts' group; empty where a person raised it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The alerts that fire; of very many the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// How many there are.
    #[serde(default)]
    pub alerts_count: u64,
    /// Who raised it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_by: Option<String>,
    /// Whether it only tries out whether people are reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// Where a page stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A step's people have been told, or are about to be.
    At {
        /// The step, from 0.
        step: usize,
        /// Since when; not before the step has told anybody.
        since: Option<Timestamp>,
    },
    /// It is quiet: the next step waits.
    Deferred {
        /// Which step.
        step: usize,
        /// Until when.
        until: Timestamp,
    },
    /// Every step was gone through as often as it is to be. It waits for people to look.
    Exhausted,
    /// Somebody has taken it.
    Acknowledged {
        /// Who.
        by: PersonName,
    },
    /// Somebody has put it off.
    Snoozed {
        /// Who.
        by: PersonName,
        /// Until when.
        until: Timestamp,
    },
    /// It is over.
    Resolved,
}

/// A fact about a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PageEvent {
    /// It began.
    #[serde(rename = "page.opened")]
    Opened(About),
    /// Other alerts fire than before.
    #[serde(rename = "page.changed")]
    Changed {
        /// Those that fire; of very many the first.
        alerts: Vec<Alert>,
        /// How many there are.
        alerts_count: u64,
    },
    /// A person is told.
    #[serde(rename = "page.told")]
    Told {
        /// In which pass.
        pass: u32,
        /// In which step.
        step: usize,
        /// Who.
        person: PersonName,
    },
    /// A person's receivers have taken it.
    #[serde(rename = "page.reached")]
    Reached {
        /// In which pass.
        pass: u32,
        /// In which step.
        step: usize,
        /// Who.
        person: PersonName,
    },
    /// A person can't be told, however often it is tried.
    #[serde(rename = "page.missed")]
    Missed {
        /// In which pass.
        pass: u32,
        /// In which step.
        step: usize,
        /// Who.
        person: PersonName,
        /// Why.
        why: String,
    },
    /// A step has told whom it tells; the time for an answer begins.
    #[serde(rename = "page.step_taken")]
    StepTaken {
        /// Which step.
        step: usize,
    },
    /// Nobody answered in a step's time, or there was nobody to tell.
    #[serde(rename = "page.escalated")]
    Escalated {
        /// The step that comes next.
        step: usize,
        /// In which pass.
        pass: u32,
    },
    /// It is quiet, and may wait.
    #[serde(rename = "page.deferred")]
    Deferred {
        /// Until when.
        until: Timestamp,
    },
    /// It waited until now.
    #[serde(rename = "page.quiet_ended")]
    QuietEnded,
    /// Nobody answered in the last step of the last pass.
    #[serde(rename = "page.exhausted")]
    Exhausted,
    /// Somebody has taken it.
    #[serde(rename = "page.acknowledged")]
    Acknowledged {
        /// Who.
        by: PersonName,
    },
    /// Somebody has put it off.
    #[serde(rename = "page.snoozed")]
    Snoozed {
        /// Who.
        by: PersonName,
        /// Until when.
        until: Timestamp,
    },
    /// It was put off until now.
    #[serde(rename = "page.awoke")]
    Awoke,
    /// It is over.
    #[serde(rename = "page.resolved")]
    Resolved {
        /// Who says so.
        by: String,
    },
    /// Somebody who was told knows that it is over.
    #[serde(rename = "page.end_told")]
    EndTold {
        /// Who.
        person: PersonName,
        /// Why they could not be told, if they could not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// Somebody says whether it was worth being told.
    #[serde(rename = "page.rated")]
    Rated {
        /// Whether it was.
        useful: bool,
        /// Who says so.
        by: String,
        /// What they say to it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
}

/// Why an answer to a page is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageRefusal {
    /// There is none of that name, or it ended long ago.
    #[error("there is no page {0}")]
    Unknown(PageId),
    /// It is over.
    #[error("the page is resolved")]
    Resolved,
    /// Somebody else has taken it.
    #[error("{by} has acknowledged the page already")]
    Acknowledged {
        /// Who.
        by: PersonName,
    },
    /// The time is past.
    #[error("a page can't be put off until a time that is past")]
    Past,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            state: State::At { step: 0, since: None },
            pass: 0,
            first_pass: 0,
            told: BTreeSet::new(),
            reached: BTreeSet::new(),
            missed: BTreeSet::new(),
            end_told: BTreeSet::new(),
        }
    }
}

impl Page {
    /// The facts that follow now. `on_call` says who is on call by a schedule at this moment, `quiet_until` how long it may
    /// wait, as [`Escalation::quiet_until`] has it.
    pub fn decide(
        &self,
        policy: &Escalation,
        on_call: impl Fn(&str) -> Option<PersonName>,
        quiet_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<PageEvent> {
        let quiet = quiet_until.filter(|until| *until > now);
        if let (State::At { since: None, .. }, Some(until)) = (&self.state, quiet) {
            return vec![PageEvent::Deferred { until }];
        }
        match &self.state {
            State::At { step, since: None } => self.take_step(policy, *step, on_call),
            State::At { step, since: Some(_) } => {
                // Whoever can't be reached is not waited for.
                let over = self.wake_at(policy).is_none_or(|at| at <= now) || self.reaches_nobody(*step);
                if over { vec![self.next(policy, *step)] } else { Vec::new() }
            }
            State::Snoozed { until, .. } if *until <= now => vec![PageEvent::Awoke],
            State::Deferred { until, .. } if *until <= now => vec![PageEvent::QuietEnded],
            State::Snoozed { .. }
            | State::Deferred { .. }
            | State::Exhausted
            | State::Acknowledged { .. }
            | State::Resolved => Vec::new(),
        }
    }

    fn take_step(
        &self,
        policy: &Escalation,
        step: usize,
        on_call: impl Fn(&str) -> Option<PersonName>,
    ) -> Vec<PageEvent> {
        let Some(rules) = policy.steps.get(step) else { return vec![PageEvent::Exhausted] };
        let by_schedule = rules.schedules.iter().filter_map(|name| on_call(name));
        let people: BTreeSet<PersonName> = by_schedule.chain(rules.people.iter().cloned()).collect();
        let nobody = people.is_empty();
        let new = people.into_iter().filter(|person| !self.told.contains(&(self.pass, step, person.clone())));
        let mut events: Vec<_> = new.map(|person| PageEvent::Told { pass: self.pass, step, person }).collect();
        // Where there is nobody to wait for, the next step comes at once.
        events.push(if nobody { self.next(policy, step) } else { PageEvent::StepTaken { step } });
        events
    }

    fn reaches_nobody(&self, step: usize) -> bool {
        let mut told = self.told.iter().filter(|told| (told.0, told.1) == (self.pass, step)).peekable();
        told.peek().is_some() && told.all(|told| self.missed.contains(told))
    }

    /// Who is to be told and neither knows nor can't be reached, in order.
    pub fn outstanding(&self) -> impl Iterator<Item = &Told> {
        let open = match &self.state {
            State::At { .. } | State::Deferred { .. } | State::Exhausted => true,
            State::Acknowledged { .. } | State::Snoozed { .. } | State::Resolved => false,
        };
        self.told.iter().filter(move |told| open && !self.reached.contains(told) && !self.missed.contains(told))
    }

    /// Who was told, and is to be told that it is over.
    pub fn to_be_told_of_end(&self) -> BTreeSet<&PersonName> {
        let known = self.reached.iter().map(|(_, _, person)| person);
        let over = self.state == State::Resolved;
        known.filter(|person| over && !self.end_told.contains(*person)).collect()
    }

    /// Whom it has reached.
    pub fn reached(&self) -> BTreeSet<&PersonName> {
        self.reached.iter().map(|(_, _, person)| person).collect()
    }

    fn next(&self, policy: &Escalation, step: usize) -> PageEvent {
        let passes = self.pass.saturating_sub(self.first_pass);
        match (step + 1 < policy.steps.len(), passes < policy.repeat) {
            (true, _) => PageEvent::Escalated { step: step + 1, pass: self.pass },
            (false, true) => PageEvent::Escalated { step: 0, pass: self.pass.saturating_add(1) },
            (false, false) => PageEvent::Exhausted,
        }
    }

    /// When something follows by itself, if anything does.
    pub fn wake_at(&self, policy: &Escalation) -> Option<Timestamp> {
        match &self.state {
            State::At { step, since: Some(since) } => {
                let wait = policy.steps.get(*step).map(|step| step.wait.duration()).unwrap_or_default();
                Some(since.saturating_add(wait).unwrap_or(Timestamp::MAX))
            }
            State::Snoozed { until, .. } | State::Deferred { until, .. } => Some(*until),
            State::At { since: None, .. } | State::Exhausted | State::Acknowledged { .. } | State::Resolved => None,
        }
    }

    /// A person takes it.
    pub fn acknowledge(&self, by: &str) -> Result<PageEvent, PageRefusal> {
        self.open()?;
        Ok(PageEvent::Acknowledged { by: by.to_owned() })
    }

    /// A person puts it off; whoever acknowledged it may do so as well.
    pub fn snooze(&self, by: &str, until: Timestamp, now: Timestamp) -> Result<PageEvent, PageRefusal> {
        match &self.state {
            State::Acknowledged { by: holder } if holder == by => {}
            State::Acknowledged { .. } | State::Resolved => self.open()?,
            State::At { .. } | State::Deferred { .. } | State::Exhausted | State::Snoozed { .. } => {}
        }
        if until <= now { Err(PageRefusal::Past) } else { Ok(PageEvent::Snoozed { by: by.to_owned(), until }) }
    }

    /// It is over.
    pub fn resolve(&self, by: &str) -> Result<PageEvent, PageRefusal> {
        if self.state == State::Resolved {
            Err(PageRefusal::Resolved)
        } else {
            Ok(PageEvent::Resolved { by: by.to_owned() })
        }
    }

    fn open(&self) -> Result<(), PageRefusal> {
        match &self.state {
            State::Resolved => Err(PageRefusal::Resolved),
            State::Acknowledged { by } => Err(PageRefusal::Acknowledged { by: by.clone() }),
            State::At { .. } | State::Deferred { .. } | State::Exhausted | State::Snoozed { .. } => Ok(()),
        }
    }

    /// The state after a fact. Total: what does not fit changes nothing.
    pub fn apply(&mut self, event: &PageEvent, at: Timestamp) {
        if self.state == State::Resolved {
            if let PageEvent::EndTold { person, .. } = event {
                self.end_told.insert(person.clone());
            }
            return;
        }
        match event {
            PageEvent::Opened(_) | PageEvent::Changed { .. } | PageEvent::EndTold { .. } | PageEvent::Rated { .. } => {}
            PageEvent::Reached { pass, step, person } => {
                self.reached.insert((*pass, *step, person.clone()));
            }
            PageEvent::Missed { pass, step, person, .. } => {
                self.missed.insert((*pass, *step, person.clone()));
            }
            PageEvent::Told { pass, step, person } => {
                self.told.insert((*pass, *step, person.clone()));
            }
            PageEvent::StepTaken { step } => self.state = State::At { step: *step, since: Some(at) },
            PageEvent::Escalated { step, pass } => {
                self.pass = *pass;
                self.state = State::At { step: *step, since: None };
            }
            PageEvent::Deferred { until } => {
                if let State::At { step, .. } = self.state {
                    self.state = State::Deferred { step, until: *until };
                }
            }
            PageEvent::QuietEnded => {
                if let State::Deferred { step, .. } = self.state {
                    self.state = State::At { step, since: None };
                }
            }
            PageEvent::Exhausted => self.state = State::Exhausted,
            PageEvent::Acknowledged { by } => self.state = State::Acknowledged { by: by.clone() },
            PageEvent::Snoozed { by, until } => self.state = State::Snoozed { by: by.clone(), until: *until },
            PageEvent::Awoke => {
                self.pass = self.pass.saturating_add(1);
                self.first_pass = self.pass;
                self.state = State::At { step: 0, since: None };
            }
            PageEvent::Resolved { .. } => self.state = State::Resolved,
        }
    }
}
