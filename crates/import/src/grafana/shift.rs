//! Shifts as layers: events that recur (RFC 5545, section 3.3.10), taken by groups of users in turn.
//!
//! The first event of a group is where the recurrence of one of them begins; groups follow each other by `interval` of
//! `frequency`, weeks beginning with `week_start`. Times are on the wall clock; `until` is in UTC, and is about beginnings.

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};
use prograde_model::Diagnostic;
use prograde_model::oncall::{Layer, Override, PersonName, When};

use crate::names::People;
use crate::pagerduty::Find;
use crate::reader::{At, Found, shown};
use crate::turns::{Rotation, every};
use crate::windows::{DAY_S, Stretch, WEEK_S, windows};

const HOUR_S: i64 = 3_600;
/// The longest event, in seconds: a year.
const LENGTH_MAX_S: i64 = 52 * WEEK_S;
/// The most groups that take turns.
const GROUPS_MAX: usize = 500;

const DAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

/// What a shift is here.
pub(super) enum Read {
    Layers { level: i64, layers: Vec<Layer> },
    Override(Override),
}

/// A shift's times; lengths in seconds.
struct Event {
    name: String,
    /// Where it is not the schedule's.
    time_zone: Option<String>,
    start: DateTime,
    length: i64,
    interval: i64,
    by_day: Vec<Weekday>,
    week_start: Weekday,
    until: Option<DateTime>,
    /// Whether groups take turns.
    is_rolling: bool,
    groups: Vec<PersonName>,
}

pub(super) fn read<'a>(
    at: &At<'a>,
    schedule_zone: &str,
    zones: Find<'_>,
    people: &mut People<'a>,
    found: &mut Found,
) -> Result<Option<Read>, Diagnostic> {
    let read = [
        "id",
        "name",
        "type",
        "time_zone",
        "level",
        "start",
        "rotation_start",
        "duration",
        "frequency",
        "interval",
        "until",
        "week_start",
        "by_day",
        "by_month",
        "by_monthday",
        "users",
        "rolling_users",
        "start_rotation_from_user_index",
    ];
    at.known("a shift", &read, &["team_id", "schedule", "source", "title"], found);
    let kind = at.need("type")?.text()?;
    let name = at.text_of("time_zone")?.filter(|name| !name.is_empty()).unwrap_or(schedule_zone);
    let zone = zones(name).ok_or_else(|| {
        let hint = "write it as IANA names it, such as `Europe/Berlin`";
        at.wrong(format!("there is no time zone {:?}", shown(name)), hint)
    })?;
    let Some(groups) = groups(at, kind, people, found)? else { return Ok(None) };
    let event = event(at, (name != schedule_zone).then(|| name.to_owned()), groups, &zone)?;
    let level = at.get("level").map_or(Ok(0), |level| level.number(-1_000, 1_000))?;
    let ends = event.start.checked_add(SignedDuration::from_secs(event.length));
    let ends = ends.map_err(|_| at.wrong("it ends beyond all calendars", ""))?;
    let frequency = at.text_of("frequency")?.filter(|_| kind != "single_event" && kind != "override");
    if let Some(begun) = at.get("rotation_start").map(|begun| begun.wall()).transpose()?
        && begun > event.start
    {
        let message = format!("the rotation is taken to begin at `start`, not at {begun}");
        found.lost(at.lost(message, "compare with Grafana whose turn it is"));
    }
    if kind == "override" {
        let Some(person) = event.groups.first().cloned() else { return Ok(None) };
        let instant = |at: DateTime| When::Instant(When::Wall(at).instant(&zone));
        return Ok(Some(Read::Override(Override { person, from: instant(event.start), until: instant(ends) })));
    }
    let rotations = event.rotations(at, frequency, ends);
    let layers = rotations.and_then(layers);
    match layers {
        Ok(layers) if !layers.is_empty() => Ok(Some(Read::Layers { level, layers })),
        Ok(_) => {
            found.lost(at.lost("the shift ends before it begins, and is left out", ""));
            Ok(None)
        }
        Err(why) => {
            found.lost(at.lost(format!("the shift is left out: {why}"), "write layers that say the same"));
            Ok(None)
        }
    }
}

/// The layers of rotations, where ours can say them.
fn layers(rotations: Vec<Option<Rotation>>) -> Result<Vec<Layer>, String> {
    let rotations: Option<Vec<Rotation>> = rotations.into_iter().collect();
    let rotations = rotations.ok_or_else(|| "its turns are no whole hours up to 52 weeks".to_owned())?;
    let layers: Vec<Layer> = rotations.into_iter().flat_map(Rotation::layers).collect();
    let too_many = layers.iter().any(|layer| layer.only.len() > 50);
    if too_many { Err("it has more than 50 windows".to_owned()) } else { Ok(layers) }
}

/// One person a group, from the one on whom the rotation starts; nothing where the shift can't be carried over.
fn groups<'a>(
    at: &At<'a>,
    kind: &str,
    people: &mut People<'a>,
    found: &mut Found,
) -> Result<Option<Vec<PersonName>>, Diagnostic> {
    let mut groups = Vec::new();
    let rolling = kind == "rolling_users" || (kind == "override" && at.get("rolling_users").is_some());
    let declared = if rolling {
        at.need("rolling_users")?.items()?
    } else {
        at.get("users").into_iter().filter(|users| !users.value.as_array().is_some_and(Vec::is_empty)).collect()
    };
    if declared.len() > GROUPS_MAX {
        return Err(at.wrong(format!("more than {GROUPS_MAX} groups take turns"), ""));
    }
    for group in declared {
        let users = group.items()?;
        let Some(first) = users.first() else {
            found.lost(group.lost("a turn that nobody has can't be said; the shift is left out", ""));
            return Ok(None);
        };
        for user in &users {
            let name = people.named(user, user.text()?, None, found)?;
            if user.path == first.path {
                groups.push(name);
            }
        }
        if users.len() > 1 {
            let message = format!("{} people are on call at once; the first of them is carried over", users.len());
            found.lost(group.lost(message, "make a second schedule, and name both in the escalation's step"));
        }
    }
    if groups.is_empty() {
        found.lost(at.lost("nobody takes turns in the shift, and it is left out", ""));
        return Ok(None);
    }
    if let Some(index) = at.get("start_rotation_from_user_index").filter(|_| rolling) {
        let last = i64::try_from(groups.len()).unwrap_or(i64::MAX) - 1;
        groups.rotate_left(usize::try_from(index.number(0, last)?).unwrap_or(0));
    }
    Ok(Some(groups))
}

fn day(at: &At<'_>) -> Result<Weekday, Diagnostic> {
    let text = at.text()?;
    let found = DAYS.iter().find(|(name, _)| *name == text).map(|(_, day)| *day);
    found.ok_or_else(|| at.wrong(format!("{:?} is no day such as `MO`", shown(text)), ""))
}

fn event(
    at: &At<'_>,
    time_zone: Option<String>,
    groups: Vec<PersonName>,
    zone: &TimeZone,
) -> Result<Event, Diagnostic> {
    let until = at.get("until").map(|until| until.wall()).transpose()?;
    let until = until.map(|until| until.to_zoned(TimeZone::UTC)).transpose();
    let until = until.map_err(|_| at.wrong("`until` is beyond all calendars", ""))?;
    let mut by_day = at.list("by_day")?.iter().map(day).collect::<Result<Vec<_>, _>>()?;
    by_day.sort_by_key(|day| day.to_monday_zero_offset());
    by_day.dedup();
    Ok(Event {
        name: at.text_of("name")?.filter(|name| !name.trim().is_empty()).unwrap_or("shift").to_owned(),
        time_zone,
        start: at.need("start")?.wall()?,
        length: at.need("duration")?.number(1, LENGTH_MAX_S)?,
        interval: at.get("interval").map_or(Ok(1), |interval| interval.number(1, 10_000))?,
        by_day,
        // Source: "week_start ... Default: `SU`" of the API's documentation.
        week_start: at.get("week_start").map_or(Ok(Weekday::Sunday), |start| day(&start))?,
        until: until.map(|until| until.with_time_zone(zone.clone()).datetime()),
        is_rolling: at.text_of("type")? == Some("rolling_users"),
        groups,
    })
}

type Rotations = Result<Vec<Option<Rotation>>, String>;

impl Event {
    /// What recurs, by its frequency; once where there is none.
    fn rotations(&self, at: &At<'_>, frequency: Option<&str>, ends: DateTime) -> Rotations {
        match frequency {
            None => Ok(vec![self.rotation(WEEK_S, &[], self.start, Some(ends))]),
            Some(_) if at.get("by_month").is_some() || at.get("by_monthday").is_some() => {
                Err("days of months (`by_month`, `by_monthday`) can't be said".to_owned())
            }
            Some("hourly") => self.hourly(),
            Some("daily") => self.daily(),
            Some("weekly") => self.weekly(),
            Some(other) => Err(format!("the frequency {:?} can't be said", shown(other))),
        }
    }

    /// A rotation with turns of so many seconds; nothing where ours can't say the turn.
    fn rotation(
        &self,
        turn_s: i64,
        stretches: &[Stretch],
        counted_from: DateTime,
        until: Option<DateTime>,
    ) -> Option<Rotation> {
        Some(Rotation {
            name: self.name.clone(),
            time_zone: self.time_zone.clone(),
            counted_from,
            from: self.start,
            until,
            every: every(turn_s, self.groups.len())?,
            people: self.groups.clone(),
            only: windows(stretches).unwrap_or_default(),
        })
    }

    /// Turns without a break.
    fn whole(&self, turn_s: i64) -> Vec<Option<Rotation>> {
        let last = self.until.and_then(|until| {
            let begun = until.duration_since(self.start).as_secs().div_euclid(turn_s).checked_add(1)?.max(0);
            self.start.checked_add(SignedDuration::from_secs(begun.checked_mul(turn_s)?)).ok()
        });
        vec![self.rotation(turn_s, &[], self.start, last)]
    }

    /// Turns with a break, at the same times each week.
    fn parts(&self, turn_s: i64, stretches: &[Stretch], counted_from: DateTime) -> Vec<Option<Rotation>> {
        let last = self.until.map(|until| {
            let since = |stretch: &Stretch| (second_of_week(until) - stretch.from).rem_euclid(WEEK_S);
            let begun = stretches.iter().map(since).min().unwrap_or(0);
            until.saturating_add(SignedDuration::from_secs(self.length - begun))
        });
        // Nothing recurs after the last beginning, and nothing began.
        if self.until.is_some_and(|until| until < self.start) {
            return Vec::new();
        }
        vec![self.rotation(turn_s, stretches, counted_from, last)]
    }

    fn hourly(&self) -> Rotations {
        let turn_s = self.interval.saturating_mul(HOUR_S);
        if !self.by_day.is_empty() {
            return Err("turns of hours on some days can't be said".into());
        }
        if self.length == turn_s {
            return Ok(self.whole(turn_s));
        }
        if self.length > turn_s {
            return Err(self.overlap());
        }
        if DAY_S % turn_s != 0 {
            return Err(format!(
                "breaks that are not at the same time each day (every {} h) can't be said",
                self.interval
            ));
        }
        let first = second_of_week(self.start);
        let times = (0..WEEK_S / turn_s).map(|turn| (first + turn * turn_s).rem_euclid(WEEK_S));
        let stretches: Vec<_> = times.map(|from| Stretch { from, length: self.length }).collect();
        Ok(self.parts(turn_s, &stretches, self.start))
    }

    fn daily(&self) -> Rotations {
        let turn_s = self.interval.saturating_mul(DAY_S);
        if !self.by_day.is_empty() {
            return self.days();
        }
        if self.length == turn_s {
            return Ok(self.whole(turn_s));
        }
        if self.length > turn_s {
            return Err(self.overlap());
        }
        let first = second_of_week(self.start);
        let stretches: Vec<_> = match self.interval {
            1 => (0..7).map(|day| Stretch { from: (first + day * DAY_S) % WEEK_S, length: self.length }).collect(),
            7 => vec![Stretch { from: first, length: self.length }],
            other => return Err(format!("an event every {other} days, with a break, can't be said")),
        };
        Ok(self.parts(turn_s, &stretches, self.start))
    }

    /// A turn for each of the days that are named: each weekday is a rotation of its own by the week.
    fn days(&self) -> Rotations {
        if self.interval != 1 {
            return Err(format!("every {} days, on some days of the week, can't be said", self.interval));
        }
        if self.length > DAY_S {
            return Err(self.overlap());
        }
        let start = self.first().ok_or("it begins beyond all calendars")?;
        // The days in the order in which they come first.
        let mut begins: Vec<DateTime> = (0..7_i32)
            .filter_map(|ahead| start.checked_add(ahead.days()).ok())
            .filter(|begin| self.by_day.contains(&begin.weekday()))
            .collect();
        begins.sort_unstable();
        let (days, groups) = (begins.len(), self.groups.len());
        let weeks = if groups == 1 { 1 } else { groups };
        let rotations = begins.iter().enumerate().flat_map(|(rank, begin)| {
            let person = |week: usize| self.groups.get((week * days + rank) % groups).cloned();
            let one = Event {
                name: if days == 1 { self.name.clone() } else { format!("{} ({:?})", self.name, begin.weekday()) },
                time_zone: self.time_zone.clone(),
                start: *begin,
                by_day: Vec::new(),
                groups: shortest((0..weeks).filter_map(person).collect()),
                ..*self
            };
            one.parts(WEEK_S, &[Stretch { from: second_of_week(*begin), length: one.length }], *begin)
        });
        Ok(rotations.collect())
    }

    fn weekly(&self) -> Rotations {
        let turn_s = self.interval.saturating_mul(WEEK_S);
        let days = if self.by_day.is_empty() { vec![self.start.weekday()] } else { self.by_day.clone() };
        if self.length == turn_s && days == [self.start.weekday()] {
            return Ok(self.whole(turn_s));
        }
        if self.interval != 1 {
            return Err(format!("an event every {} weeks, with a break, can't be said", self.interval));
        }
        // Days since the week began.
        let ahead = |day: Weekday| i64::from(self.week_start.until(day));
        let offsets: Vec<i64> = days.iter().map(|day| ahead(*day)).collect();
        let (first, last) = (offsets.iter().min().copied().unwrap_or(0), offsets.iter().max().copied().unwrap_or(0));
        if (last - first) * DAY_S + self.length > WEEK_S || (days.len() > 1 && self.overlaps(&offsets)) {
            return Err(self.overlap());
        }
        let start = self.first().ok_or("it begins beyond all calendars")?;
        // Where the first event of that week would have been.
        let back = SignedDuration::from_hours(24 * (ahead(start.weekday()) - first));
        let counted_from = start.checked_sub(back).map_err(|_| "it begins before all calendars")?;
        let monday = |day: &Weekday| i64::from(day.to_monday_zero_offset()) * DAY_S;
        let time_s = second_of_week(self.start) % DAY_S;
        let stretches: Vec<_> =
            days.iter().map(|day| Stretch { from: monday(day) + time_s, length: self.length }).collect();
        let one = Event {
            name: self.name.clone(),
            time_zone: self.time_zone.clone(),
            start,
            by_day: Vec::new(),
            groups: self.groups.clone(),
            ..*self
        };
        Ok(one.parts(WEEK_S, &stretches, counted_from))
    }

    /// When the first event begins. A rotation whose `start` is on none of its days begins on the first of them in the week,
    /// any other event on the next of them.
    fn first(&self) -> Option<DateTime> {
        if self.by_day.is_empty() || self.by_day.contains(&self.start.weekday()) {
            return Some(self.start);
        }
        let first_of_week = self.by_day.iter().min_by_key(|day| self.week_start.until(**day)).copied();
        let wait = (1..7_i32).find(|wait| {
            let weekday = self.start.checked_add(wait.days()).ok().map(DateTime::weekday);
            if self.is_rolling {
                weekday == first_of_week
            } else {
                weekday.is_some_and(|day| self.by_day.contains(&day))
            }
        });
        self.start.checked_add(wait?.days()).ok()
    }

    /// Whether one event of a week goes on when the next begins.
    fn overlaps(&self, offsets: &[i64]) -> bool {
        let mut sorted = offsets.to_vec();
        sorted.sort_unstable();
        sorted.iter().zip(sorted.iter().skip(1)).any(|(one, two)| (two - one) * DAY_S < self.length)
    }

    fn overlap(&self) -> String {
        format!("an event of {} s goes on when the next one begins, and one person is on call at a time", self.length)
    }
}

/// People without what only repeats the beginning.
fn shortest(people: Vec<PersonName>) -> Vec<PersonName> {
    let fits = |length: &usize| {
        people.len().is_multiple_of(*length)
            && people.iter().zip(people.iter().skip(*length)).all(|(one, two)| one == two)
    };
    let length = (1..=people.len()).find(fits).unwrap_or(people.len());
    people.into_iter().take(length).collect()
}

/// Seconds since Monday 00:00.
fn second_of_week(at: DateTime) -> i64 {
    let day = i64::from(at.weekday().to_monday_zero_offset());
    day * DAY_S + at.time().duration_since(Time::midnight()).as_secs()
}
