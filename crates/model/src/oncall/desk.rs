//! All pages: what opens one, what follows for each, and who is to be told now.
//!
//! [`Desk::notified`] takes what alerts' routing says of a group, [`Desk::decide`] gives the facts that follow by themselves,
//! [`Desk::plan`] who is to be told, and [`Desk::wake_at`] when to ask again. All of it is a fold of facts: after a crash the
//! same people are still to be told.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::declare::{PersonName, Rota};
use super::fact::{PageFact, PageId};
use super::page::{About, Page, PageEvent, PageRefusal, State};
use super::schedule::Zones;
use crate::alert::{ALERT_NAME, Alert, Cause};

/// How many of a page's alerts are kept; people read no more.
const ALERTS_MAX: usize = 20;
/// How many ended pages are remembered; all are in the journal.
const ENDED_MAX: usize = 1_000;
/// The longest title, in characters.
const TITLE_MAX: usize = 300;

/// What alerts' routing says of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Notified {
    /// By which escalation people are told.
    pub escalation: String,
    /// The group's key.
    pub group: String,
    /// The alerts that fire now, in order; none when all have ended.
    pub firing: Vec<Alert>,
    /// Why it is said.
    pub cause: Cause,
}

/// One page with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is about.
    pub about: About,
    /// Where it stands.
    pub page: Page,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was first acknowledged, and by whom.
    pub acknowledged: Option<(Timestamp, PersonName)>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Whether it was worth it, by who said so last.
    pub rated: Option<(bool, String)>,
}

/// Somebody who is to be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey {
    /// Of which page.
    pub page: PageId,
    /// Who.
    pub person: PersonName,
    /// Of which step of which pass; of the end where there is none.
    pub step: Option<(u32, usize)>,
}

impl CallKey {
    /// The fact that they know.
    pub fn reached(&self) -> PageFact {
        let person = self.person.clone();
        let event = match self.step {
            Some((pass, step)) => PageEvent::Reached { pass, step, person },
            None => PageEvent::EndTold { person, failure: None },
        };
        PageFact { page: self.page, event }
    }

    /// The fact that they can't be told.
    pub fn missed(&self, why: String) -> PageFact {
        let person = self.person.clone();
        let event = match self.step {
            Some((pass, step)) => PageEvent::Missed { pass, step, person, why },
            None => PageEvent::EndTold { person, failure: Some(why) },
        };
        PageFact { page: self.page, event }
    }
}

/// All pages. Rebuilt by folding their facts.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    pages: BTreeMap<PageId, Entry>,
    /// Those that are not over, by the group that they are about and their escalation.
    open: BTreeMap<(String, String), PageId>,
    last: u64,
}

impl Desk {
    /// The state after a fact. Total: a fact about a page that is not there changes nothing.
    pub fn apply(&mut self, fact: &PageFact, at: Timestamp) {
        if let PageEvent::Opened(about) = &fact.event {
            self.last = self.last.max(fact.page.0);
            if about.raised_by.is_none() {
                self.open.insert((about.escalation.clone(), about.group.clone()), fact.page);
            }
            self.pages.entry(fact.page).or_insert_with(|| Entry::new(about.clone(), at));
            return;
        }
        let Some(entry) = self.pages.get_mut(&fact.page) else { return };
        entry.apply(&fact.event, at);
        if entry.page.state == State::Resolved {
            self.open.retain(|_, page| *page != fact.page);
            self.forget();
        }
    }

    /// Forgets the pages that ended first, if there are very many; never one of whose end somebody has to be told.
    fn forget(&mut self) {
        let over = |entry: &Entry| entry.page.state == State::Resolved && entry.page.to_be_told_of_end().is_empty();
        let ended = self.pages.iter().filter(|(_, entry)| over(entry)).map(|(page, _)| *page);
        let ended: Vec<PageId> = ended.collect();
        for page in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
            self.pages.remove(page);
        }
    }

    /// All pages that are remembered, the oldest first.
    pub fn pages(&self) -> impl DoubleEndedIterator<Item = (PageId, &Entry)> {
        self.pages.iter().map(|(page, entry)| (*page, entry))
    }

    /// One page.
    pub fn page(&self, page: PageId) -> Option<&Entry> {
        self.pages.get(&page)
    }

    fn next_id(&self) -> PageId {
        PageId(self.last.saturating_add(1))
    }

    /// The facts that follow from what alerts' routing says. Saying the same again adds nothing.
    pub fn notified(&self, said: &Notified) -> Vec<PageFact> {
        let open = self.open.get(&(said.escalation.clone(), said.group.clone()));
        let entry = open.and_then(|page| Some((*page, self.pages.get(page)?)));
        match entry {
            None if said.firing.is_empty() => Vec::new(),
            None => vec![PageFact { page: self.next_id(), event: PageEvent::Opened(About::of(said)) }],
            Some((page, _)) if said.firing.is_empty() => {
                vec![PageFact { page, event: PageEvent::Resolved { by: "alerts".to_owned() } }]
            }
            Some((page, entry)) => {
                let about = About::of(said);
                let labels = |about: &About| about.alerts.iter().map(|alert| alert.labels.clone()).collect::<Vec<_>>();
                let same = about.alerts_count == entry.about.alerts_count && labels(&about) == labels(&entry.about);
                let change = PageEvent::Changed { alerts: about.alerts, alerts_count: about.alerts_count };
                // Nobody answered, and it still hurts, or hurts more: all are told again.
                let again = entry.page.state == State::Exhausted && (said.cause == Cause::Repeat || !same);
                let events = (!same).then_some(change).into_iter().chain(again.then_some(PageEvent::Awoke));
                events.map(|event| PageFact { page, event }).collect()
            }
        }
    }

    /// A person raises a page by hand.
    pub fn raised(&self, title: &str, escalation: &str, severity: &str, by: &str, test: bool) -> PageFact {
        let about = About {
            title: title.chars().take(TITLE_MAX).collect(),
            escalation: escalation.to_owned(),
            severity: severity.to_owned(),
            raised_by: Some(by.to_owned()),
            test,
            ..About::default()
        };
        PageFact { page: self.next_id(), event: PageEvent::Opened(about) }
    }

    /// The facts that follow now by themselves.
    pub fn decide(&self, rota: &Rota, zones: &impl Zones, now: Timestamp) -> Vec<PageFact> {
        let on_call = |name: &str| {
            let schedule = rota.schedules.iter().find(|schedule| schedule.name == name)?;
            // Zones were checked when the file was read; one that has vanished since has nobody on call.
            schedule.on_call(now, zones).ok().flatten().map(|shift| shift.person)
        };
        let mut facts = Vec::new();
        for (page, entry) in &self.pages {
            let events = match rota.escalations.get(&entry.about.escalation) {
                Some(rules) => {
                    let quiet = rules.quiet_until(&entry.about.severity, now, zones).ok().flatten();
                    // Who tries out whether people are reached does not wait for the morning.
                    let quiet = quiet.filter(|_| !entry.about.test);
                    entry.page.decide(rules, on_call, quiet, now)
                }
                // The file has it no more: the page stays open until somebody looks.
                None if matches!(entry.page.state, State::At { .. } | State::Deferred { .. }) => {
                    vec![PageEvent::Exhausted]
                }
                None => Vec::new(),
            };
            facts.extend(events.into_iter().map(|event| PageFact { page: *page, event }));
        }
        facts
    }

    /// When something follows by itself next, if anything does.
    pub fn wake_at(&self, rota: &Rota) -> Option<Timestamp> {
        let wakes =
            self.pages.values().filter_map(|entry| entry.page.wake_at(rota.escalations.get(&entry.about.escalation)?));
        wakes.min()
    }

    /// Who is to be told now.
    pub fn plan(&self) -> Vec<CallKey> {
        let mut calls = Vec::new();
        for (page, entry) in &self.pages {
            let call = |person: &PersonName, step| CallKey { page: *page, person: person.clone(), step };
            calls.extend(entry.page.outstanding().map(|(pass, step, person)| call(person, Some((*pass, *step)))));
            calls.extend(entry.page.to_be_told_of_end().into_iter().map(|person| call(person, None)));
        }
        calls
    }

    /// The fact that an answer to a page gives, if it is taken.
    pub fn answer(
        &self,
        page: PageId,
        answer: impl FnOnce(&Page) -> Result<PageEvent, PageRefusal>,
    ) -> Result<PageFact, PageRefusal> {
        let entry = self.pages.get(&page).ok_or(PageRefusal::Unknown(page))?;
        Ok(PageFact { page, event: answer(&entry.page)? })
    }
}

impl Entry {
    fn new(about: About, at: Timestamp) -> Self {
        Self { about, page: Page::default(), opened_at: at, acknowledged: None, resolved_at: None, rated: None }
    }

    fn apply(&mut self, event: &PageEvent, at: Timestamp) {
        let was_over = self.page.state == State::Resolved;
        self.page.apply(event, at);
        match event {
            PageEvent::Changed { alerts, alerts_count } if !was_over => {
                self.about.alerts.clone_from(alerts);
                self.about.alerts_count = *alerts_count;
            }
            PageEvent::Acknowledged { by } if !was_over && self.acknowledged.is_none() => {
                self.acknowledged = Some((at, by.clone()));
            }
            PageEvent::Resolved { .. } if !was_over => self.resolved_at = Some(at),
            PageEvent::Rated { useful, by, .. } => self.rated = Some((*useful, by.clone())),
            PageEvent::Opened(_)
            | PageEvent::Changed { .. }
            | PageEvent::Told { .. }
            | PageEvent::Reached { .. }
            | PageEvent::Missed { .. }
            | PageEvent::StepTaken { .. }
            | PageEvent::Escalated { .. }
            | PageEvent::Deferred { .. }
            | PageEvent::QuietEnded
            | PageEvent::Exhausted
            | PageEvent::Acknowledged { .. }
            | PageEvent::Snoozed { .. }
            | PageEvent::Awoke
            | PageEvent::EndTold { .. }
            | PageEvent::Resolved { .. } => {}
        }
    }
}

impl About {
    fn of(said: &Notified) -> Self {
        let first = said.firing.first();
        let label = |name: &str| first.map_or("", |alert| alert.labels.get(name)).to_owned();
        let name = label(ALERT_NAME);
        let summary = first.and_then(|alert| alert.annotations.get("summary")).filter(|text| !text.is_empty());
        let title = match (summary, name.is_empty()) {
            (Some(summary), true) => summary.clone(),
            (Some(summary), false) => format!("{name}: {summary}"),
            (None, true) => said.group.clone(),
            (None, false) => name,
        };
        Self {
            title: title.chars().take(TITLE_MAX).collect(),
            escalation: said.escalation.clone(),
            severity: label("severity"),
            group: said.group.clone(),
            alerts: said.firing.iter().take(ALERTS_MAX).cloned().collect(),
            alerts_count: u64::try_from(said.firing.len()).unwrap_or(u64::MAX),
            raised_by: None,
            test: false,
        }
    }
}
