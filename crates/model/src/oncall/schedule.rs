//! Who is on call when: layers, holidays, swaps and overrides, laid over each other.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::declare::{Escalation, Layer, PersonName, Schedule, Weekday, Window};
use super::wall::moment;
use crate::dora::Span;

/// The longest stretch that is calculated at once: eleven years.
const DAYS_MAX: i64 = 11 * 366;

/// One person on call without a break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// When.
    pub span: Span,
    /// Who.
    pub person: PersonName,
    /// By what: a layer's name, `swap` or `override`.
    pub by: String,
}

/// A stretch in which nobody is on call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole(pub Span);

/// The stretch is longer than is calculated at once, or a time zone is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// It is longer.
    #[error("more than {DAYS_MAX} days are asked for at once")]
    Days,
    /// The name is none of IANA's.
    #[error("there is no time zone {0:?}")]
    Zone(String),
}

/// Finds a time zone: the database of them is outside of what is pure, and is handed in.
pub trait Zones {
    /// The time zone of a name, if there is one.
    fn zone(&self, name: &str) -> Option<TimeZone>;
}

impl<F: Fn(&str) -> Option<TimeZone>> Zones for F {
    fn zone(&self, name: &str) -> Option<TimeZone> {
        self(name)
    }
}

impl Schedule {
    /// The shifts of a stretch, in order; they never overlap, and where there is none nobody is on call.
    pub fn shifts(&self, span: Span, zones: &impl Zones) -> Result<Vec<Shift>, TooLong> {
        if span.until.duration_since(span.from) > SignedDuration::from_hours(DAYS_MAX * 24) {
            return Err(TooLong::Days);
        }
        let zone = find(&self.time_zone, zones)?;
        let mut shifts: Vec<Shift> = Vec::new();
        for layer in &self.layers {
            overlay(&mut shifts, layer.shifts(span, &self.zone_of(layer, zones)?));
        }
        if let Some(holidays) = &self.holidays {
            let turns = holidays.layer.shifts(span, &self.zone_of(&holidays.layer, zones)?);
            let days: Vec<Span> = holidays.dates.iter().filter_map(|date| day(*date, &zone)).collect();
            overlay(&mut shifts, within(&turns, &days));
        }
        for swap in &self.swaps {
            let when = Span { from: swap.from.instant(&zone), until: swap.until.instant(&zone) };
            let other = |person: &PersonName| {
                let (one, two) = &swap.between;
                if person == one { Some(two) } else { Some(one).filter(|_| person == two) }
            };
            let swapped = within(&shifts, &[when])
                .into_iter()
                .filter_map(|shift| Some(Shift { person: other(&shift.person)?.clone(), by: "swap".into(), ..shift }));
            let swapped: Vec<_> = swapped.collect();
            overlay(&mut shifts, swapped);
        }
        for said in &self.overrides {
            let when = Span { from: said.from.instant(&zone), until: said.until.instant(&zone) };
            let whole = cut(when, span).map(|span| Shift { span, person: said.person.clone(), by: "override".into() });
            overlay(&mut shifts, whole.into_iter().collect());
        }
        Ok(joined(shifts))
    }

    fn zone_of(&self, layer: &Layer, zones: &impl Zones) -> Result<TimeZone, TooLong> {
        find(layer.time_zone.as_ref().unwrap_or(&self.time_zone), zones)
    }

    /// Who is on call at a moment.
    pub fn on_call(&self, at: Timestamp, zones: &impl Zones) -> Result<Option<Shift>, TooLong> {
        let hour = SignedDuration::from_hours(1);
        let span = Span { from: at, until: at.saturating_add(hour).unwrap_or(Timestamp::MAX) };
        Ok(self.shifts(span, zones)?.into_iter().find(|shift| shift.span.contains(at)))
    }

    /// The stretches in which nobody is on call.
    pub fn holes(&self, span: Span, zones: &impl Zones) -> Result<Vec<Hole>, TooLong> {
        let mut holes = Vec::new();
        let mut from = span.from;
        for shift in self.shifts(span, zones)? {
            holes.extend((from < shift.span.from).then_some(Hole(Span { from, until: shift.span.from })));
            from = shift.span.until;
        }
        holes.extend((from < span.until).then_some(Hole(Span { from, until: span.until })));
        Ok(holes)
    }
}

fn find(name: &str, zones: &impl Zones) -> Result<TimeZone, TooLong> {
    zones.zone(name).ok_or_else(|| TooLong::Zone(name.to_owned()))
}

impl Layer {
    /// Its turns within a stretch, in order, restricted to its hours.
    fn shifts(&self, span: Span, zone: &TimeZone) -> Vec<Shift> {
        let ends = self.until.map_or(span.until, |until| moment(until, zone).min(span.until));
        let span = Span { from: span.from.max(moment(self.from, zone)), until: ends };
        if span.from >= span.until || self.people.is_empty() {
            return Vec::new();
        }
        let mut turns = Vec::new();
        let mut turn = self.turn_before(span.from, zone);
        loop {
            let whole = Span { from: self.hand_over(turn, zone), until: self.hand_over(turn.saturating_add(1), zone) };
            if whole.from >= span.until || turn == i64::MAX {
                break;
            }
            let person = usize::try_from(turn).ok().and_then(|turn| self.people.get(turn % self.people.len()));
            // A turn that lies in a skipped hour has no length.
            if let (Some(person), Some(span)) = (person, cut(whole, span)) {
                turns.push(Shift { span, person: person.clone(), by: self.name.clone() });
            }
            turn += 1;
        }
        if self.only.is_empty() { turns } else { within(&turns, &windows(&self.only, span, zone)) }
    }

    /// The last turn that surely has begun at a moment.
    fn turn_before(&self, at: Timestamp, zone: &TimeZone) -> i64 {
        let passed = at.to_zoned(zone.clone()).datetime().duration_since(self.from);
        let turns = passed.as_hours() / i64::from(self.every.hours().max(1));
        // One day earlier: clocks that are set, or a zone that skips a day, never move it more.
        let day = 24 / i64::from(self.every.hours().max(1)) + 1;
        (turns - day).max(0)
    }

    /// When a turn begins.
    fn hand_over(&self, turn: i64, zone: &TimeZone) -> Timestamp {
        let hours = turn.checked_mul(i64::from(self.every.hours()));
        let at = hours.and_then(|hours| self.from.checked_add(SignedDuration::try_from_hours(hours)?).ok());
        at.map_or(Timestamp::MAX, |at| moment(at, zone))
    }
}

/// When windows are open within a stretch, and a day before and after.
pub(crate) fn windows(declared: &[Window], span: Span, zone: &TimeZone) -> Vec<Span> {
    let mut open = Vec::new();
    let last = span.until.to_zoned(zone.clone()).date();
    // A window of the day before may reach into the first.
    let mut date = span.from.to_zoned(zone.clone()).date().saturating_sub(1.day());
    while date <= last {
        for window in declared.iter().filter(|w| w.days.is_empty() || w.days.contains(&Weekday::of(date))) {
            let ends = if window.until > window.from { Some(date) } else { date.tomorrow().ok() };
            let from = moment(date.to_datetime(window.from), zone);
            let until = ends.map_or(Timestamp::MAX, |date| moment(date.to_datetime(window.until), zone));
            open.push(Span { from, until });
        }
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    open
}

impl Escalation {
    /// Until when a page of a severity waits now, if it does.
    pub fn quiet_until(
        &self,
        severity: &str,
        now: Timestamp,
        zones: &impl Zones,
    ) -> Result<Option<Timestamp>, TooLong> {
        let mut until = None;
        for quiet in self.quiet.iter().filter(|quiet| quiet.severities.iter().any(|name| name == severity)) {
            let zone = find(&quiet.time_zone, zones)?;
            let open = windows(&quiet.hours, Span { from: now, until: now }, &zone);
            until = open.iter().filter(|window| window.contains(now)).map(|window| window.until).chain(until).max();
        }
        Ok(until)
    }
}

fn day(date: Date, zone: &TimeZone) -> Option<Span> {
    let midnight = |date: Date| moment(date.to_datetime(jiff::civil::Time::midnight()), zone);
    Some(Span { from: midnight(date), until: midnight(date.tomorrow().ok()?) })
}

/// What two stretches have in common, if anything.
fn cut(one: Span, two: Span) -> Option<Span> {
    let common = Span { from: one.from.max(two.from), until: one.until.min(two.until) };
    (common.from < common.until).then_some(common)
}

/// The parts of shifts that lie in one of the windows, in order.
fn within(shifts: &[Shift], windows: &[Span]) -> Vec<Shift> {
    let windows = united(windows);
    let mut inside = Vec::new();
    let mut first = 0;
    for shift in shifts {
        while windows.get(first).is_some_and(|window| window.until <= shift.span.from) {
            first += 1;
        }
        // The last of these may reach into the next shift.
        for window in windows.iter().skip(first).take_while(|window| window.from < shift.span.until) {
            inside.extend(cut(shift.span, *window).map(|span| Shift { span, ..shift.clone() }));
        }
    }
    inside
}

/// Stretches in order, those that overlap or touch as one.
fn united(stretches: &[Span]) -> Vec<Span> {
    let mut sorted: Vec<Span> = stretches.iter().copied().filter(|stretch| stretch.from < stretch.until).collect();
    sorted.sort_by_key(|stretch| stretch.from);
    let mut united: Vec<Span> = Vec::with_capacity(sorted.len());
    for stretch in sorted {
        match united.last_mut() {
            Some(last) if stretch.from <= last.until => last.until = last.until.max(stretch.until),
            _ => united.push(stretch),
        }
    }
    united
}

/// Lays shifts over others: where both are, the upper ones are. Both are in order and do not overlap within themselves.
fn overlay(lower: &mut Vec<Shift>, upper: Vec<Shift>) {
    if upper.is_empty() {
        return;
    }
    let mut all = Vec::with_capacity(lower.len() + upper.len());
    let mut above = upper.iter().peekable();
    for shift in lower.drain(..) {
        let mut from = shift.span.from;
        while above.peek().is_some_and(|cover| cover.span.until <= from) {
            above.next();
        }
        // The last of these may cover the next shift as well: it stays where it is.
        while let Some(cover) = above.peek().filter(|cover| cover.span.from < shift.span.until) {
            let span = Span { from, until: cover.span.from };
            if span.from < span.until {
                all.push(Shift { span, ..shift.clone() });
            }
            from = cover.span.until.max(from);
            if cover.span.until > shift.span.until {
                break;
            }
            above.next();
        }
        let rest = Span { from, until: shift.span.until };
        if rest.from < rest.until {
            all.push(Shift { span: rest, ..shift });
        }
    }
    all.extend(upper);
    all.sort_by_key(|shift| shift.span.from);
    *lower = all;
}

/// Shifts of one person that follow without a break, as one.
fn joined(shifts: Vec<Shift>) -> Vec<Shift> {
    let mut joined: Vec<Shift> = Vec::with_capacity(shifts.len());
    for shift in shifts {
        match joined.last_mut() {
            Some(last) if last.span.until == shift.span.from && last.person == shift.person && last.by == shift.by => {
                last.span.until = shift.span.until;
            }
            _ => joined.push(shift),
        }
    }
    joined
}
