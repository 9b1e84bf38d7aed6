//! Schedules: shifts by their level, the higher one over the lower.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prograde_model::Diagnostic;
use prograde_model::dora::Span;
use prograde_model::oncall::{Layer, Override, Schedule, Shift};

use super::shift::{self, Read};
use crate::names::{People, Titles};
use crate::pagerduty::Find;
use crate::reader::{At, Found, shown};

/// The most shifts of a schedule.
const SHIFTS_MAX: usize = 500;
/// For how long it is looked for shifts of one level that are at once.
const LOOK: SignedDuration = SignedDuration::from_hours(366 * 24);
/// In how many shifts of people it is looked at most.
const LOOK_SHIFTS_MAX: usize = 200_000;

/// A shift's layers, its level and its place.
struct Ranked<'a> {
    at: At<'a>,
    level: i64,
    layers: Vec<Layer>,
}

/// A schedule; nothing where no shift of it could be carried over. `used` takes the ids of the shifts that it names.
pub(super) fn read<'a>(
    at: &At<'a>,
    shifts: &BTreeMap<&'a str, At<'a>>,
    zones: Find<'_>,
    (people, titles, used): (&mut People<'a>, &mut Titles, &mut Vec<&'a str>),
    found: &mut Found,
) -> Result<Option<Schedule>, Diagnostic> {
    let read = ["id", "name", "type", "time_zone", "shifts", "ical_url_primary", "ical_url_overrides"];
    at.known("a schedule", &read, &["team_id", "on_call_now", "slack", "enable_web_overrides"], found);
    for field in ["ical_url_primary", "ical_url_overrides"] {
        if at.text_of(field)?.is_some_and(|url| !url.is_empty()) {
            let message = format!("the shifts of the calendar in `{field}` are left out");
            found.lost(at.lost(message, "write them as layers and overrides"));
        }
    }
    let name = at.text_of("time_zone")?.filter(|name| !name.is_empty()).unwrap_or("UTC");
    let zone = zones(name).ok_or_else(|| {
        let hint = "write it as IANA names it, such as `Europe/Berlin`";
        at.wrong(format!("there is no time zone {:?}", shown(name)), hint)
    })?;
    let (mut levels, mut overrides) = (Vec::new(), Vec::new());
    let named = at.list("shifts")?;
    if named.len() > SHIFTS_MAX {
        return Err(at.wrong(format!("a schedule has at most {SHIFTS_MAX} shifts here"), "import it in parts"));
    }
    for reference in named {
        let id = reference.text()?;
        let shift = shifts.get(id).ok_or_else(|| {
            let hint = "export the shifts as well, all pages of them (`GET /on_call_shifts`)";
            reference.wrong(format!("there is no shift {:?} in what is exported", shown(id)), hint)
        })?;
        used.push(id);
        let read = shift::read(shift, name, zones, people, found);
        match found.take(read).flatten() {
            Some(Read::Layers { level, layers }) => levels.push(Ranked { at: shift.clone(), level, layers }),
            Some(Read::Override(said)) => overrides.push(said),
            None => {}
        }
    }
    levels.sort_by_key(|one| one.level);
    if levels.is_empty() {
        found.lost(at.lost("no shift of the schedule is left, and it is left out", ""));
        return Ok(None);
    }
    let title = titles.take(at, at.text_of("name")?.unwrap_or("unnamed"), found);
    let schedule = |layers: Vec<Layer>, overrides: Vec<Override>| Schedule {
        name: title.clone(),
        time_zone: name.to_owned(),
        holes_allowed: false,
        layers,
        holidays: None,
        swaps: Vec::new(),
        overrides,
    };
    for same in levels.chunk_by(|one, two| one.level == two.level).filter(|same| same.len() > 1) {
        at_once(same, |layers| schedule(layers, Vec::new()), &zone, zones, found);
    }
    let layers = levels.into_iter().flat_map(|one| one.layers).collect();
    Ok(Some(schedule(layers, overrides)))
}

/// Notes shifts of one level that are at the same time: the source calls both, ours the later one.
fn at_once(
    same: &[Ranked<'_>],
    alone: impl Fn(Vec<Layer>) -> Schedule,
    zone: &jiff::tz::TimeZone,
    zones: Find<'_>,
    found: &mut Found,
) {
    let begins = same.iter().flat_map(|one| &one.layers).filter_map(|layer| layer.from.to_zoned(zone.clone()).ok());
    let Some(latest) = begins.map(|begin| begin.timestamp()).max() else { return };
    let from = latest.saturating_sub(LOOK).unwrap_or(Timestamp::MIN);
    let until = latest.saturating_add(LOOK).unwrap_or(Timestamp::MAX);
    let mut all: Vec<(Shift, usize)> = Vec::new();
    for (index, one) in same.iter().enumerate() {
        let shifts = alone(one.layers.clone()).shifts(Span { from, until }, &zones).unwrap_or_default();
        all.extend(shifts.into_iter().map(|shift| (shift, index)));
        if all.len() > LOOK_SHIFTS_MAX {
            let message = format!("level {} has too many shifts to see whether any are at once", one.level);
            found.lost(one.at.lost(message, "make several schedules of them"));
            return;
        }
    }
    all.sort_by_key(|(shift, _)| shift.span.from);
    let clash = all.iter().zip(all.iter().skip(1)).find_map(|((one, mine), (two, other))| {
        let is_clash = one.span.until > two.span.from && mine != other;
        is_clash.then(|| (same.get(*mine.max(other)), two.span.from))
    });
    if let Some((Some(one), moment)) = clash {
        let message = format!("it is at once with another shift of level {} at {moment}", one.level);
        found.lost(
            one.at.lost(format!("{message}; ours calls one person at a time, here"), "make two schedules of them"),
        );
    }
}
