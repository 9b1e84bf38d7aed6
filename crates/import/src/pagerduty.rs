//! `PagerDuty`: answers of `GET /schedules`, `/schedules/{id}`, `/escalation_policies` and `/users`, lists and single objects.
//!
//! Source: `PagerDuty` Developer Documentation, REST API v2, "Schedules", "Escalation Policies" and "Users".

mod policy;
mod rendered;
mod schedule;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use prograde_model::Diagnostic;
use prograde_model::oncall::{Rota, ScheduleName};
use serde_json::Value;

use crate::names::{People, Titles, User};
use crate::reader::{At, Found};

/// Time zones by name.
pub(crate) type Find<'z> = &'z dyn Fn(&str) -> Option<TimeZone>;

/// The kinds of objects: the key of one, of a list, and the beginning of its `type`.
const KINDS: [(&str, &str); 3] =
    [("schedule", "schedules"), ("escalation_policy", "escalation_policies"), ("user", "users")];

/// What is exported, by kind.
#[derive(Default)]
struct Exported<'a> {
    schedules: Vec<At<'a>>,
    policies: Vec<At<'a>>,
    users: Vec<At<'a>>,
}

/// What references are looked up in.
struct Known<'a> {
    people: People<'a>,
    /// Schedules by id; nothing where one could not be carried over.
    schedules: BTreeMap<&'a str, Option<ScheduleName>>,
}

pub(crate) fn read(roots: &[At<'_>], zones: Find<'_>, found: &mut Found) -> Rota {
    let mut exported = Exported::default();
    for root in roots {
        let sorted = sort(root, &mut exported, found);
        found.take(sorted);
    }
    let mut known = Known { people: People::default(), schedules: BTreeMap::new() };
    for at in &exported.users {
        let user = user(at, zones, found);
        if let Some((id, user)) = found.take(user) {
            known.people.add(id, user, found);
        }
    }
    let mut rota = Rota { version: 1, ..Rota::default() };
    let mut titles = Titles::default();
    for (id, at) in unique(&exported.schedules, Some("schedule_layers"), found) {
        let read = schedule::read(&at, zones, &mut known.people, &mut titles, found);
        let schedule = found.take(read).flatten();
        known.schedules.insert(id, schedule.as_ref().map(|schedule| schedule.name.clone()));
        rota.schedules.extend(schedule);
    }
    let mut titles = Titles::default();
    for (_, at) in unique(&exported.policies, Some("escalation_rules"), found) {
        let read = policy::read(&at, &mut known, &mut titles, found);
        rota.escalations.extend(found.take(read).flatten());
    }
    rota.people = known.people.finish();
    rota
}

/// Finds out what a file holds.
fn sort<'a>(root: &At<'a>, exported: &mut Exported<'a>, found: &mut Found) -> Result<(), Diagnostic> {
    if root.value.is_array() {
        for item in root.items()? {
            add(&item, exported)?;
        }
        return Ok(());
    }
    if root.value.get("more").and_then(Value::as_bool) == Some(true) {
        found.lost(root.lost("there are more pages of this list", "export them too (`offset`), and name all files"));
    }
    let is_envelope = |name: &str| root.value.get(name).is_some_and(|value| value.is_array() || value.is_object());
    // A schedule has `users` of its own, so what says its type is no list.
    if root.value.get("type").is_some() || root.value.get("schedule_layers").is_some() {
        return add(root, exported);
    }
    let mut is_known = false;
    for (one, many) in KINDS {
        if is_envelope(one) {
            is_known = true;
            exported.of(one).extend(root.get(one));
        }
        if is_envelope(many) {
            is_known = true;
            let items = root.list(many)?;
            exported.of(one).extend(items);
        }
    }
    if is_known {
        return Ok(());
    }
    Err(root.wrong(
        "there are neither schedules nor escalation policies nor users",
        "export `GET /schedules/{id}`, `GET /escalation_policies` and `GET /users` of PagerDuty's REST API",
    ))
}

impl<'a> Exported<'a> {
    fn of(&mut self, kind: &str) -> &mut Vec<At<'a>> {
        match kind {
            "schedule" => &mut self.schedules,
            "escalation_policy" => &mut self.policies,
            _ => &mut self.users,
        }
    }
}

/// An object without the name of its kind around it.
fn add<'a>(at: &At<'a>, exported: &mut Exported<'a>) -> Result<(), Diagnostic> {
    let kind = at.text_of("type")?.unwrap_or_default();
    let kind = if at.get("schedule_layers").is_some() { "schedule" } else { kind };
    match KINDS.iter().find(|(one, _)| *one == kind) {
        Some((one, _)) => exported.of(one).push(at.clone()),
        None => {
            return Err(at.wrong(
                format!("{:?} is neither a schedule nor an escalation policy nor a user", crate::reader::shown(kind)),
                "export the objects themselves, not references to them",
            ));
        }
    }
    Ok(())
}

/// Objects by id, in the order in which they stand. The same one may be exported in a list and by itself; then the one that has
/// `most` counts.
pub(crate) fn unique<'a>(objects: &[At<'a>], most: Option<&str>, found: &mut Found) -> Vec<(&'a str, At<'a>)> {
    let mut unique: Vec<(&'a str, At<'a>)> = Vec::new();
    let mut places: BTreeMap<&'a str, usize> = BTreeMap::new();
    for at in objects {
        let id = at.need("id").and_then(|id| id.text());
        let Some(id) = found.take(id) else { continue };
        let has = |at: &At<'_>| most.is_some_and(|field| at.get(field).is_some());
        match places.get(id).and_then(|place| unique.get_mut(*place)) {
            None => {
                places.insert(id, unique.len());
                unique.push((id, at.clone()));
            }
            Some((_, known)) if has(at) && !has(known) => *known = at.clone(),
            Some((_, known)) if has(at) == has(known) && essence(at, most) != essence(known, most) => {
                let message = format!("it is another one in {} at {}, with the same id", known.file, known.path);
                found.error(at.wrong(message, "export all at the same time, and name each file once"));
            }
            Some(_) => {}
        }
    }
    unique
}

/// What has to be the same where something is exported twice: all of it, or what counts most less the shifts calculated of it.
fn essence(at: &At<'_>, most: Option<&str>) -> Value {
    let mut value = most.and_then(|field| at.value.get(field)).unwrap_or(at.value).clone();
    for item in value.as_array_mut().into_iter().flatten() {
        if let Some(fields) = item.as_object_mut().filter(|_| most.is_some()) {
            fields.retain(|name, _| !name.starts_with("rendered_"));
        }
    }
    value
}

fn user<'a>(at: &At<'a>, zones: Find<'_>, found: &mut Found) -> Result<(&'a str, User<'a>), Diagnostic> {
    let read = ["id", "name", "email", "time_zone", "contact_methods", "notification_rules"];
    let idle = [
        "type",
        "summary",
        "self",
        "html_url",
        "avatar_url",
        "color",
        "role",
        "description",
        "invitation_sent",
        "job_title",
        "teams",
        "locale",
        "license",
        "billed",
        "created_via_sso",
        "coordinated_incidents",
    ];
    at.known("a user", &read, &idle, found);
    let id = at.need("id")?.text()?;
    let name = at.text_of("name")?.or(at.text_of("summary")?).unwrap_or(id).to_owned();
    let time_zone = at.text_of("time_zone")?;
    let known = time_zone.filter(|name| zones(name).is_some());
    if let (Some(name), None) = (time_zone, known) {
        let message = format!("there is no time zone {:?}", crate::reader::shown(name));
        found.lost(at.lost(message, "write `time_zone` as IANA names it, such as `Europe/Berlin`"));
    }
    let email = at.text_of("email")?.filter(|email| !email.is_empty()).map(str::to_owned);
    let has_ways = !at.list("contact_methods")?.is_empty() || !at.list("notification_rules")?.is_empty();
    Ok((id, User { at: at.clone(), name, email, time_zone: known.map(str::to_owned), slack: None, has_ways }))
}

/// What a reference names: its id, and the name that it tells.
fn reference<'a>(at: &At<'a>) -> Result<(&'a str, Option<&'a str>), Diagnostic> {
    let id = at.need("id")?.text()?;
    let summary = at.text_of("summary")?.or(at.text_of("name")?).filter(|summary| !summary.trim().is_empty());
    Ok((id, summary))
}
