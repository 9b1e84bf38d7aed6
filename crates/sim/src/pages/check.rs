//! What must be true of pages whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use prograde_control::rota::zone;
use prograde_model::oncall::page::PageEvent;
use prograde_model::oncall::{CallKey, PageFact, PageId, Rota};

use crate::check::Broken;

/// What is known of a page from its facts alone.
#[derive(Debug, Default)]
struct Known {
    group: String,
    held: bool,
    over: bool,
    told: BTreeSet<(u32, usize, String)>,
}

/// Remembers what was recorded and who was told.
pub(super) struct Checker {
    pub(super) broken: Vec<Broken>,
    rota: Rota,
    pages: BTreeMap<PageId, Known>,
    /// Who was told of what in this life.
    told: BTreeSet<CallKey>,
}

impl Checker {
    pub(super) fn new(rota: Rota) -> Self {
        Self { broken: Vec::new(), rota, pages: BTreeMap::new(), told: BTreeSet::new() }
    }

    pub(super) fn life_ended(&mut self) {
        self.told.clear();
    }

    /// What a fact breaks.
    pub(super) fn fact(&mut self, fact: &PageFact, at: Timestamp) -> Vec<String> {
        let mut broken = Vec::new();
        let page = fact.page;
        let known = self.pages.entry(page).or_default();
        match &fact.event {
            PageEvent::Opened(about) => known.group.clone_from(&about.group),
            PageEvent::Told { pass, step, person } => {
                if known.held || known.over {
                    broken.push(format!("{person} is to be told of {page} after somebody took it"));
                }
                if !known.told.insert((*pass, *step, person.clone())) {
                    broken.push(format!("{person} is to be told twice of {page} in step {step} of pass {pass}"));
                }
                if !is_on_call(&self.rota, *step, person, at) {
                    broken.push(format!("{person} is to be told of {page} and is not on call"));
                }
            }
            PageEvent::Escalated { .. } | PageEvent::StepTaken { .. } | PageEvent::Exhausted => {
                if known.held || known.over {
                    broken.push(format!("{page} goes on after somebody took it"));
                }
            }
            PageEvent::Acknowledged { .. } | PageEvent::Snoozed { .. } => known.held = true,
            PageEvent::Awoke => known.held = false,
            PageEvent::Resolved { .. } => known.over = true,
            PageEvent::Changed { .. }
            | PageEvent::Reached { .. }
            | PageEvent::Missed { .. }
            | PageEvent::Deferred { .. }
            | PageEvent::QuietEnded
            | PageEvent::EndTold { .. }
            | PageEvent::Rated { .. } => {}
        }
        broken
    }

    /// What beginning a call breaks.
    pub(super) fn call(&self, key: &CallKey) -> Vec<String> {
        let Some(known) = self.pages.get(&key.page) else { return vec![format!("{} was never opened", key.page)] };
        match key.step {
            Some((pass, step)) => {
                let decided = known.told.contains(&(pass, step, key.person.clone()));
                let undecided = (!decided).then(|| format!("{} is told of {} undecided", key.person, key.page));
                let late = (known.held || known.over)
                    .then(|| format!("{} is told of {} after somebody took it", key.person, key.page));
                undecided.into_iter().chain(late).collect()
            }
            None if known.over => Vec::new(),
            None => vec![format!("{} is told that {} is over, and it is not", key.person, key.page)],
        }
    }

    /// What it breaks that somebody knows.
    pub(super) fn told(&mut self, key: &CallKey) -> Vec<String> {
        if self.told.insert(key.clone()) {
            return Vec::new();
        }
        vec![format!("{} is told twice of {} without a crash in between", key.person, key.page)]
    }

    /// What is wrong in the end: whatever fires has one page, and what has ended has none.
    pub(super) fn groups(&self, fires: &BTreeMap<String, bool>) -> Vec<String> {
        let open = |group: &String| self.pages.values().filter(|known| !known.over && known.group == *group).count();
        let wrong = fires.iter().filter(|(group, fires)| open(group) != usize::from(**fires));
        wrong.map(|(group, fires)| format!("{group} has {} open pages, and fires: {fires}", open(group))).collect()
    }
}

/// Whether a step may tell a person at a time, looked up by itself.
fn is_on_call(rota: &Rota, step: usize, person: &str, at: Timestamp) -> bool {
    let Some(rules) = rota.escalations.get("pad").and_then(|rules| rules.steps.get(step)) else { return false };
    let schedules = rota.schedules.iter().filter(|schedule| rules.schedules.contains(&schedule.name));
    let mut on_call = schedules.filter_map(|schedule| schedule.on_call(at, &zone).ok().flatten());
    rules.people.iter().any(|name| name == person) || on_call.any(|shift| shift.person == person)
}
