//! What pages tell of an incident.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::state::{Incident, Link, Origin};
use super::timeline::{Entry, Kind};
use crate::dora::Span;
use crate::oncall::page::{About, PageEvent};
use crate::oncall::{PageFact, PageId};

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
