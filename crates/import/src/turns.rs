//! Rotations that are counted from another time than they begin at, as layers.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use prograde_model::oncall::{Every, Layer, PersonName, Window};

use crate::windows::WEEK_S;

/// The longest turn of ours, in seconds.
const TURN_MAX_S: i64 = 52 * WEEK_S;

/// The length of a turn. Where one person alone takes turns it does not matter.
pub(crate) fn every(seconds: i64, people: usize) -> Option<Every> {
    let whole = (seconds % 3_600 == 0 && seconds <= TURN_MAX_S).then(|| format!("{}h", seconds / 3_600));
    let whole = whole.or_else(|| (people == 1).then(|| "1w".to_owned()))?;
    whole.parse().ok()
}

/// A rotation as other products say it. All times are on one wall clock.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pub(crate) name: String,
    pub(crate) time_zone: Option<String>,
    /// When the first of `people` would have begun: turns are counted from then.
    pub(crate) counted_from: DateTime,
    /// When it begins to be in force.
    pub(crate) from: DateTime,
    /// When it ends.
    pub(crate) until: Option<DateTime>,
    pub(crate) every: Every,
    /// Who takes turns; never nobody.
    pub(crate) people: Vec<PersonName>,
    pub(crate) only: Vec<Window>,
}

impl Rotation {
    /// One layer, or two where it begins within a turn: the rest of that turn, and what follows. None where it is over before
    /// it begins, or is beyond all calendars.
    pub(crate) fn layers(self) -> Vec<Layer> {
        let turn_s = i64::from(self.every.hours()) * 3_600;
        let passed_s = self.from.duration_since(self.counted_from).as_secs();
        let turn = passed_s.div_euclid(turn_s);
        let begin = |turn: i64| {
            let passed = turn.checked_mul(turn_s).map(SignedDuration::from_secs)?;
            self.counted_from.checked_add(passed).ok()
        };
        let layer = |name: String, from: DateTime, until: Option<DateTime>, turn: i64| {
            let layer = Layer {
                name,
                time_zone: self.time_zone.clone(),
                from,
                until,
                every: self.every,
                people: rotated(&self.people, turn),
                only: self.only.clone(),
            };
            until.is_none_or(|until| from < until).then_some(layer)
        };
        if self.people.len() == 1 || begin(turn) == Some(self.from) {
            return layer(self.name.clone(), self.from, self.until, turn).into_iter().collect();
        }
        let Some(next) = begin(turn.saturating_add(1)) else { return Vec::new() };
        let until = self.until.map_or(next, |until| until.min(next));
        let first = layer(format!("{} (first turn)", self.name), self.from, Some(until), turn).map(|mut first| {
            first.people.truncate(1);
            first
        });
        let rest = layer(self.name.clone(), next, self.until, turn.saturating_add(1));
        first.into_iter().chain(rest).collect()
    }
}

/// People from the one on whose turn it begins.
fn rotated(people: &[PersonName], turn: i64) -> Vec<PersonName> {
    let length = i64::try_from(people.len()).unwrap_or(i64::MAX).max(1);
    let first = usize::try_from(turn.rem_euclid(length)).unwrap_or(0);
    let (before, after) = people.split_at(first.min(people.len()));
    [after, before].concat()
}
