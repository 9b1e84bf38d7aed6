//! Schedules with their layers, restrictions and overrides.
//!
//! An answer names the layer first that covers the others (a known property of `GET`, see `PagerDuty`'s public-support-scripts,
//! pull request 60); ours name it last. Turns and restrictions are counted on the wall clock of the schedule's time zone.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use prograde_model::Diagnostic;
use prograde_model::dora::Span;
use prograde_model::oncall::{Layer, Override, Schedule, When, Window};

use super::{Find, reference, rendered};
use crate::names::{People, Titles};
use crate::reader::{At, Found, shown};
use crate::turns::{Rotation, every};
use crate::windows::{DAY_S, Stretch, WEEK_S, windows};

/// The most layers and overrides of a schedule of ours.
const ITEMS_MAX: usize = 1_000;

/// A schedule; nothing where no layer of it could be carried over.
pub(super) fn read<'a>(
    at: &At<'a>,
    zones: Find<'_>,
    people: &mut People<'a>,
    titles: &mut Titles,
    found: &mut Found,
) -> Result<Option<Schedule>, Diagnostic> {
    let read = ["id", "name", "time_zone", "schedule_layers", "overrides_subschedule", "final_schedule"];
    let idle = [
        "type",
        "summary",
        "self",
        "html_url",
        "description",
        "escalation_policies",
        "users",
        "teams",
        "web_cal_url",
        "http_cal_url",
        "personal_web_cal_url",
        "personal_http_cal_url",
        "next_oncall_for_user",
        "created_at",
        "updated_at",
    ];
    at.known("a schedule", &read, &idle, found);
    let time_zone = at.need("time_zone")?;
    let name = time_zone.text()?;
    let zone = zones(name).ok_or_else(|| {
        let hint = "write it as IANA names it, such as `Europe/Berlin`";
        time_zone.wrong(format!("there is no time zone {:?}", shown(name)), hint)
    })?;
    let layers = at.get("schedule_layers").ok_or_else(|| {
        let hint = "export `GET /schedules/{id}`; a list has the layers with `include[]=schedule_layers`";
        at.wrong("`schedule_layers` is missing", hint)
    })?;
    let mut groups = Vec::new();
    for layer in layers.items()? {
        let read = read_layer(&layer, &zone, people, found);
        groups.extend(found.take(read).flatten());
    }
    groups.reverse();
    if groups.is_empty() {
        found.lost(at.lost("no layer of the schedule is left, and it is left out", ""));
        return Ok(None);
    }
    if groups.iter().map(Vec::len).sum::<usize>() > ITEMS_MAX {
        return Err(layers.wrong(format!("a schedule of ours has at most {ITEMS_MAX} layers"), "split it"));
    }
    let title = at.text_of("name")?.or(at.text_of("summary")?).unwrap_or("unnamed");
    let mut schedule = Schedule {
        name: titles.take(at, title, found),
        time_zone: name.to_owned(),
        holes_allowed: false,
        layers: groups.concat(),
        holidays: None,
        swaps: Vec::new(),
        overrides: overrides(at, people, found)?,
    };
    prove(at, &mut schedule, &groups, zones, people, found)?;
    Ok(Some(schedule))
}

/// Compares with the shifts that the source calculated, and takes the other order of layers where only that one gives them.
fn prove<'a>(
    at: &At<'a>,
    schedule: &mut Schedule,
    groups: &[Vec<Layer>],
    zones: Find<'_>,
    people: &mut People<'a>,
    found: &mut Found,
) -> Result<(), Diagnostic> {
    let Some(last) = at.get("final_schedule") else { return Ok(()) };
    let mut expected: Vec<(Span, String)> = Vec::new();
    for entry in rendered::entries(Some(last.clone()))? {
        let person = people.named(&entry.at, entry.user, entry.summary, found)?;
        expected.push((entry.span, person));
    }
    let Some(moment) = rendered::differs(schedule, &expected, zones) else { return Ok(()) };
    let other: Vec<Layer> = groups.iter().rev().flatten().cloned().collect();
    let turned = Schedule { layers: other, ..schedule.clone() };
    if rendered::differs(&turned, &expected, zones).is_none() {
        *schedule = turned;
        return Ok(());
    }
    let message = format!("what comes of the layers has somebody else on call at {moment} than the export says");
    found.lost(last.lost(message, "compare with `prograde oncall show`; an override may have ended since"));
    Ok(())
}

fn read_layer<'a>(
    at: &At<'a>,
    zone: &TimeZone,
    people: &mut People<'a>,
    found: &mut Found,
) -> Result<Option<Vec<Layer>>, Diagnostic> {
    let read = [
        "id",
        "name",
        "start",
        "end",
        "users",
        "restrictions",
        "rotation_virtual_start",
        "rotation_turn_length_seconds",
    ];
    let idle = ["type", "summary", "self", "html_url", "rendered_schedule_entries", "rendered_coverage_percentage"];
    at.known("a layer", &read, &idle, found);
    let wall = |field: &At<'_>| field.instant().map(|instant| instant.to_zoned(zone.clone()).datetime());
    let start = wall(&at.need("start")?)?;
    let counted_from = at.get("rotation_virtual_start").map(|field| wall(&field)).transpose()?.unwrap_or(start);
    let until: Option<DateTime> = at.get("end").map(|field| wall(&field)).transpose()?;
    let mut turns = Vec::new();
    for member in at.need("users")?.items()? {
        let user = member.get("user").unwrap_or(member);
        let (id, summary) = reference(&user)?;
        turns.push(people.named(&user, id, summary, found)?);
    }
    if turns.is_empty() {
        found.lost(at.lost("nobody takes turns in the layer, and it is left out", ""));
        return Ok(None);
    }
    let length = at.need("rotation_turn_length_seconds")?;
    let seconds = length.number(1, i64::from(u32::MAX))?;
    let Some(every) = every(seconds, turns.len()) else {
        let message =
            format!("a turn of {seconds} s is no whole number of hours up to 52 weeks; the layer is left out");
        found.lost(length.lost(message, "add a layer with `every: 1h` or a multiple of it"));
        return Ok(None);
    };
    let Some(only) = restrictions(at, found)? else { return Ok(None) };
    let name = at.text_of("name")?.filter(|name| !name.trim().is_empty()).unwrap_or("layer").to_owned();
    let rotation = Rotation { name, time_zone: None, counted_from, from: start, until, every, people: turns, only };
    let layers = rotation.layers();
    if layers.is_empty() {
        found.lost(at.lost("the layer ends before it begins, and is left out", ""));
    }
    Ok(Some(layers).filter(|layers| !layers.is_empty()))
}

/// The hours to which a layer is restricted; nothing where there are none.
fn restrictions(at: &At<'_>, found: &mut Found) -> Result<Option<Vec<Window>>, Diagnostic> {
    let declared = at.list("restrictions")?;
    let mut stretches = Vec::new();
    for restriction in &declared {
        let read = ["type", "start_time_of_day", "start_day_of_week", "duration_seconds"];
        restriction.known("a restriction", &read, &[], found);
        let start = restriction.need("start_time_of_day")?;
        let text = start.text()?;
        let time: Time = text
            .parse()
            .map_err(|_| start.wrong(format!("{:?} is no time of day", shown(text)), "such as 08:00:00"))?;
        let time_s = time.duration_since(Time::midnight()).as_secs();
        let length = restriction.need("duration_seconds")?.number(1, i64::from(u32::MAX))?.min(WEEK_S);
        let kind = restriction.need("type")?;
        match kind.text()? {
            "daily_restriction" => {
                stretches.extend((0..7).map(|day| Stretch { from: day * DAY_S + time_s, length }));
            }
            "weekly_restriction" => {
                let day = restriction.need("start_day_of_week")?.number(1, 7)? - 1;
                stretches.push(Stretch { from: day * DAY_S + time_s, length });
            }
            other => {
                let message = format!("{:?} is neither `daily_restriction` nor `weekly_restriction`", shown(other));
                return Err(kind.wrong(message, ""));
            }
        }
    }
    if declared.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let only = windows(&stretches).unwrap_or_default();
    if only.len() > 50 {
        let message = format!("the restrictions are {} windows, more than the 50 of a layer of ours", only.len());
        found.lost(at.lost(format!("{message}; the layer is left out"), "write several layers"));
        return Ok(None);
    }
    Ok(Some(only))
}

fn overrides<'a>(at: &At<'a>, people: &mut People<'a>, found: &mut Found) -> Result<Vec<Override>, Diagnostic> {
    let mut overrides = Vec::new();
    for entry in rendered::entries(at.get("overrides_subschedule"))? {
        if overrides.len() == ITEMS_MAX {
            let message =
                format!("a schedule of ours has at most {ITEMS_MAX} overrides; this one and later ones are left out");
            found.lost(entry.at.lost(message, "export a shorter time (`since` and `until`)"));
            break;
        }
        let person = people.named(&entry.at, entry.user, entry.summary, found)?;
        let Span { from, until } = entry.span;
        overrides.push(Override { person, from: When::Instant(from), until: When::Instant(until) });
    }
    Ok(overrides)
}
