//! What pages tell of an incident, and the incidents that they declare.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Incidents;
use super::event::IncidentEvent;
use super::orders::{Declare, Order};
use super::refusal::Refusal;
use super::state::{Incident, Link, Origin, Severity};
use super::timeline::{Entry, Kind};
use crate::dora::Span;
use crate::fleet::Fleet;
use crate::ids::{ServiceName, Target};
use crate::oncall::page::{About, PageEvent};
use crate::oncall::{Desk, Entry as Page, PageFact, PageId, Rota};

/// What the facts about pages tell of an incident: those of pages about alerts that name its service in a label, of pages
/// that it is linked to, and of the one that it began with.
pub fn page_entries(incident: &Incident, facts: &[(Timestamp, PageFact)], span: Span) -> Vec<Entry> {
    let service = incident.target.service.as_str();
    let is_named = |page: PageId| {
        let name = page.to_string();
        incident.links.contains(&Link::Page(name.clone()))
            || matches!(&incident.origin, Origin::Page { page } if *page == name)
    };
    let is_its =
        |about: &About| about.alerts.iter().any(|alert| alert.labels.iter().any(|label| &*label.value == service));
    let mut concerning: BTreeMap<PageId, &About> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, fact) in facts {
        if let PageEvent::Opened(about) = &fact.event
            && (is_its(about) || is_named(fact.page))
        {
            concerning.insert(fact.page, about);
        }
        let Some(about) = concerning.get(&fact.page).filter(|_| span.contains(*at)) else { continue };
        let Some((text, by)) = told(fact, about) else { continue };
        found.push(Entry { at: *at, kind: Kind::Page, text, by: by.map(str::to_owned), flight: None });
    }
    found
}

/// The labels of alerts that say which service is hurt, and where.
const SERVICE_LABEL: &str = "service";
const ENVIRONMENT_LABEL: &str = "environment";
/// In whose name pages are linked.
const PAGES: &str = "pages";

/// A page that is open and whose escalation declares incidents.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaring {
    /// Which.
    pub page: PageId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How bad the incident is.
    pub severity: Severity,
    /// What it is about.
    pub about: About,
}

/// Those of the pages that are open and whose escalation declares incidents.
pub fn declaring(desk: &Desk, rota: &Rota) -> Vec<Declaring> {
    let declares = |(page, entry): (PageId, &Page)| {
        let severity = rota.escalations.get(&entry.about.escalation)?.declares?;
        let is_meant = !entry.about.test && entry.resolved_at.is_none();
        let about = entry.about.clone();
        is_meant.then_some(Declaring { page, opened_at: entry.opened_at, severity, about })
    };
    desk.pages().filter_map(declares).collect()
}

impl Incidents {
    /// What follows from pages that declare incidents: each declares one, or is linked to the one that is open for the same
    /// service already. One at a time, for it changes what the next is taken for.
    pub fn paged(&self, pages: &[Declaring], fleet: &Fleet, now: Timestamp) -> Result<Vec<IncidentEvent>, Refusal> {
        for Declaring { page, opened_at, severity, about } in pages {
            let Some(target) = hurt(about, fleet) else { continue };
            let (origin, link) = (Origin::Page { page: page.to_string() }, Link::Page(page.to_string()));
            if self.incidents().any(|known| known.origin == origin || known.links.contains(&link)) {
                continue;
            }
            if let Some(open) = self.open().find(|open| open.target == target) {
                return self.decide(open.id, &Order::Link { link }, PAGES, now);
            }
            let title = super::unhelped::title(&about.title);
            let declare = Declare { title, severity: *severity, target, since: Some(*opened_at), origin };
            return self.declare(&declare, now);
        }
        Ok(Vec::new())
    }
}

/// Which service a page is about, by its alerts' labels, and where: where no label says so, where its releases end up.
fn hurt(about: &About, fleet: &Fleet) -> Option<Target> {
    let label = |name: &str| about.alerts.iter().map(|alert| alert.labels.get(name)).find(|value| !value.is_empty());
    let service: ServiceName = label(SERVICE_LABEL)?.parse().ok()?;
    let targets = || fleet.targets().filter(|target| target.service == service);
    if let Some(environment) = label(ENVIRONMENT_LABEL) {
        return targets().find(|target| target.environment.as_str() == environment).cloned();
    }
    let is_last = |target: &Target| {
        let current = fleet.current(target).and_then(|flight| fleet.flight(flight));
        let last = current.and_then(|flight| flight.service_config()?.environments.last());
        last.is_some_and(|environment| environment.name == target.environment)
    };
    targets().find(|target| is_last(target)).cloned()
}

/// A fact as a line, and who did it; nothing for what tells a reader nothing.
fn told<'a>(fact: &'a PageFact, about: &About) -> Option<(String, Option<&'a str>)> {
    let page = fact.page;
    let (text, by) = match &fact.event {
        PageEvent::Opened(_) => (format!("{page} opened: {}", about.title), None),
        PageEvent::Reached { person, .. } => (format!("{page} reached {person}"), None),
        PageEvent::Missed { person, why, .. } => (format!("{page} could not reach {person}: {why}"), None),
        PageEvent::Escalated { step, .. } => (format!("{page} goes to step {}: nobody answered", step + 1), None),
        PageEvent::Exhausted => (format!("{page} was answered by nobody"), None),
        PageEvent::Acknowledged { by } => (format!("{page} taken by {by}"), Some(by.as_str())),
        PageEvent::Snoozed { by, until } => (format!("{page} put off until {until} by {by}"), Some(by.as_str())),
        PageEvent::Resolved { by } => (format!("{page} over, by {by}"), None),
        PageEvent::Rated { useful, by, .. } => {
            (format!("{page} called {} by {by}", if *useful { "useful" } else { "noise" }), Some(by.as_str()))
        }
        PageEvent::Changed { .. }
        | PageEvent::Told { .. }
        | PageEvent::StepTaken { .. }
        | PageEvent::Deferred { .. }
        | PageEvent::QuietEnded
        | PageEvent::Awoke
        | PageEvent::EndTold { .. } => return None,
    };
    Some((text, by))
}
