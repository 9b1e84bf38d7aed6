//! Stretches of the week as windows of a layer.

use jiff::civil::Time;
use prograde_model::oncall::{Weekday, Window};

/// Seconds of a day on a clock that is not set.
pub(crate) const DAY_S: i64 = 86_400;
/// Seconds of a week.
pub(crate) const WEEK_S: i64 = 7 * DAY_S;

const DAYS: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

/// A stretch that comes every week, in seconds of the wall clock since Monday 00:00; it may go on into the next week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stretch {
    /// When it begins, less than a week.
    pub(crate) from: i64,
    /// How long it is.
    pub(crate) length: i64,
}

/// The windows of stretches; `None` where they are the whole week.
pub(crate) fn windows(stretches: &[Stretch]) -> Option<Vec<Window>> {
    let united = united(stretches);
    if united.iter().any(|stretch| stretch.length >= WEEK_S) {
        return None;
    }
    // The same hours of several days are one window.
    let mut grouped: Vec<((i64, i64), Vec<usize>)> = Vec::new();
    for (day, from, until) in united.into_iter().flat_map(pieces) {
        match grouped.iter_mut().find(|(hours, _)| *hours == (from, until)) {
            Some((_, days)) => days.push(day),
            None => grouped.push(((from, until), vec![day])),
        }
    }
    let window = |((from, until), mut days): ((i64, i64), Vec<usize>)| {
        days.sort_unstable();
        let every_day = days.len() == DAYS.len();
        let days = if every_day { Vec::new() } else { days.iter().filter_map(|day| DAYS.get(*day).copied()).collect() };
        Window { days, from: time(from), until: time(until) }
    };
    Some(grouped.into_iter().map(window).collect())
}

/// Stretches that overlap or touch as one, also over the end of the week.
fn united(stretches: &[Stretch]) -> Vec<Stretch> {
    let mut sorted = stretches.to_vec();
    sorted.sort_unstable();
    let mut united: Vec<Stretch> = Vec::new();
    for stretch in sorted.into_iter().filter(|stretch| stretch.length > 0) {
        match united.last_mut() {
            Some(last) if stretch.from <= last.from + last.length => {
                last.length = last.length.max(stretch.from + stretch.length - last.from);
            }
            _ => united.push(stretch),
        }
    }
    // What goes on into the next week may reach the first ones of it.
    while let (Some(first), Some(last)) = (united.first().copied(), united.last().copied()) {
        if united.len() < 2 || last.from + last.length < first.from + WEEK_S {
            break;
        }
        united.remove(0);
        if let Some(last) = united.last_mut() {
            last.length = last.length.max(first.from + WEEK_S + first.length - last.from);
        }
    }
    // One that reaches itself is the whole week.
    united
}

/// A stretch as parts that begin on one day and end at the latest at the same time of the next: day, from, until.
fn pieces(stretch: Stretch) -> Vec<(usize, i64, i64)> {
    let day = |at: i64| usize::try_from(at.rem_euclid(WEEK_S) / DAY_S).unwrap_or(0);
    let time_of_day = |at: i64| at.rem_euclid(DAY_S);
    let (mut at, end) = (stretch.from, stretch.from + stretch.length);
    if stretch.length < DAY_S {
        return vec![(day(at), time_of_day(at), time_of_day(end))];
    }
    let mut pieces = Vec::new();
    while at < end {
        let midnight = (at.div_euclid(DAY_S) + 1) * DAY_S;
        let until = midnight.min(end);
        pieces.push((day(at), time_of_day(at), time_of_day(until)));
        at = until;
    }
    pieces
}

fn time(seconds: i64) -> Time {
    let part = |number: i64| i8::try_from(number).unwrap_or(0);
    Time::new(part(seconds / 3_600), part(seconds / 60 % 60), part(seconds % 60), 0).unwrap_or(Time::midnight())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stretches in hours since Monday, and the windows that come of them.
    fn check(stretches: &[(i64, i64)], expected: &str) {
        let stretches: Vec<_> =
            stretches.iter().map(|(from, length)| Stretch { from: from * 3_600, length: length * 3_600 }).collect();
        let told = windows(&stretches).map_or_else(
            || "always".to_owned(),
            |windows| {
                let one = |w: &Window| {
                    let days: Vec<_> = w.days.iter().map(|day| format!("{day:?}")).collect();
                    format!("{} {}-{}", days.join(","), w.from.strftime("%H:%M"), w.until.strftime("%H:%M"))
                };
                windows.iter().map(one).collect::<Vec<_>>().join("; ")
            },
        );
        assert_eq!(told.trim(), expected);
    }

    #[test]
    fn hours_of_days_are_windows() {
        check(&[(9, 8)], "Mon 09:00-17:00");
        check(&(0..7).map(|day| (day * 24 + 9, 8)).collect::<Vec<_>>(), "09:00-17:00");
        check(&(0..5).map(|day| (day * 24 + 22, 8)).collect::<Vec<_>>(), "Mon,Tue,Wed,Thu,Fri 22:00-06:00");
        check(&[(0, 24)], "Mon 00:00-00:00");
        check(&[], "");
    }

    #[test]
    fn long_and_touching_ones_are_cut_at_midnight() {
        check(&[(4 * 24 + 17, 64)], "Fri 17:00-00:00; Sat,Sun 00:00-00:00; Mon 00:00-09:00");
        check(&[(9, 4), (13, 4)], "Mon 09:00-17:00");
        check(&[(12, 24)], "Mon 12:00-00:00; Tue 00:00-12:00");
        check(&[(6 * 24 + 20, 10), (0, 8)], "Sun 20:00-08:00");
        check(&[(9, 8), (6 * 24 + 20, 16)], "Sun 20:00-17:00");
    }

    #[test]
    fn whole_weeks_are_always() {
        check(&[(9, 7 * 24)], "always");
        check(&(0..7).map(|day| (day * 24 + 8, 24)).collect::<Vec<_>>(), "always");
        check(&[(0, 100), (90, 78)], "always");
    }
}
