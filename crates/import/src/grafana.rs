//! Grafana `OnCall`: answers of its public API's `/schedules`, `/on_call_shifts`, `/escalation_chains`, `/escalation_policies`
//! and `/users`, lists (`results`) and single objects. What an object is follows from its fields: answers do not say it.
//!
//! Source: Grafana `OnCall` documentation, "HTTP API reference".

mod chain;
mod schedule;
mod shift;

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use prograde_model::oncall::{Rota, ScheduleName};

use crate::names::{People, Titles, User};
use crate::pagerduty::{Find, unique};
use crate::reader::{At, Found, shown};

/// What is exported, by kind.
#[derive(Default)]
struct Exported<'a> {
    schedules: Vec<At<'a>>,
    shifts: Vec<At<'a>>,
    chains: Vec<At<'a>>,
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
    let shifts: BTreeMap<&str, At<'_>> = unique(&exported.shifts, None, found).into_iter().collect();
    let mut rota = Rota { version: 1, ..Rota::default() };
    let mut titles = Titles::default();
    let mut used = Vec::new();
    for (id, at) in unique(&exported.schedules, Some("shifts"), found) {
        let read = schedule::read(&at, &shifts, zones, (&mut known.people, &mut titles, &mut used), found);
        let schedule = found.take(read).flatten();
        known.schedules.insert(id, schedule.as_ref().map(|schedule| schedule.name.clone()));
        rota.schedules.extend(schedule);
    }
    for (_, at) in shifts.iter().filter(|(id, _)| !used.contains(*id)) {
        found.lost(at.lost("no schedule that is exported names the shift", "export its schedule (`GET /schedules`)"));
    }
    let mut titles = Titles::default();
    let policies = unique(&exported.policies, None, found);
    for (id, at) in unique(&exported.chains, None, found) {
        let own = policies.iter().map(|(_, policy)| policy).filter(|policy| chain::of(policy) == Some(id)).collect();
        let read = chain::read(&at, own, &mut known, &mut titles, found);
        rota.escalations.extend(found.take(read).flatten());
    }
    orphans(&exported, &policies, found);
    rota.people = known.people.finish();
    rota
}

/// Policies of chains that are not exported.
fn orphans<'a>(exported: &Exported<'a>, policies: &[(&'a str, At<'a>)], found: &mut Found) {
    let chains: Vec<&str> = exported.chains.iter().filter_map(|at| at.value.get("id")?.as_str()).collect();
    for (_, at) in policies {
        let id = chain::of(at).unwrap_or_default();
        if !chains.contains(&id) {
            let message = format!("there is no escalation chain {:?} in what is exported", shown(id));
            found.error(at.wrong(message, "export the chains as well (`GET /escalation_chains`)"));
        }
    }
}

/// Finds out what a file holds.
fn sort<'a>(root: &At<'a>, exported: &mut Exported<'a>, found: &mut Found) -> Result<(), Diagnostic> {
    if root.get("next").is_some() {
        found.lost(root.lost("there are more pages of this list", "export them too (`next`), and name all files"));
    }
    let items = if root.value.is_array() {
        root.items()?
    } else if root.get("results").is_some() {
        root.list("results")?
    } else {
        vec![root.clone()]
    };
    for item in items {
        add(item, exported)?;
    }
    Ok(())
}

fn add<'a>(at: At<'a>, exported: &mut Exported<'a>) -> Result<(), Diagnostic> {
    let has = |name: &str| at.value.get(name).is_some();
    let kind = at.value.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    let into = if has("escalation_chain_id") {
        &mut exported.policies
    } else if ["rolling_users", "recurrent_event", "single_event", "override"].contains(&kind) {
        &mut exported.shifts
    } else if ["calendar", "ical", "web"].contains(&kind) {
        &mut exported.schedules
    } else if has("username") {
        &mut exported.users
    } else if has("id") && has("name") && !has("type") {
        &mut exported.chains
    } else {
        return Err(at.wrong(
            "it is neither a schedule nor a shift nor an escalation chain or policy nor a user",
            "export them of Grafana OnCall's public API, as it answers",
        ));
    };
    into.push(at);
    Ok(())
}

fn user<'a>(at: &At<'a>, zones: Find<'_>, found: &mut Found) -> Result<(&'a str, User<'a>), Diagnostic> {
    let read = ["id", "username", "email", "timezone", "name", "slack"];
    let idle = ["role", "is_phone_number_verified", "teams", "grafana_id", "avatar_url"];
    at.known("a user", &read, &idle, found);
    let id = at.need("id")?.text()?;
    let name = at.text_of("name")?.or(at.text_of("username")?).unwrap_or(id).to_owned();
    let time_zone = at.text_of("timezone")?.filter(|name| zones(name).is_some()).map(str::to_owned);
    let email = at.text_of("email")?.filter(|email| !email.is_empty()).map(str::to_owned);
    let slack = match at.list("slack")?.first() {
        Some(first) => first.text_of("user_id")?.map(str::to_owned),
        None => None,
    };
    let has_ways = at.value.get("is_phone_number_verified").and_then(serde_json::Value::as_bool) == Some(true);
    Ok((id, User { at: at.clone(), name, email, time_zone, slack, has_ways }))
}
