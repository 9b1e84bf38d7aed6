//! What is left of an error budget, how fast it goes, and when it will be gone.

use jiff::{SignedDuration, Timestamp};

use super::window::{Window, days};
use super::{BurnWindow, Objective};

/// What was measured of an objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The share of bad events since the window began; none where there were no events.
    pub bad_ratio: Option<f64>,
    /// How many events there were, where they can be counted.
    pub events: Option<f64>,
    /// The share of bad events over windows of so many milliseconds.
    pub over: Vec<(i64, Option<f64>)>,
}

/// How much is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spending {
    /// Nothing was measured.
    Unknown,
    /// Less than half.
    Low,
    /// Half or more: the team is warned.
    Half,
    /// All: features wait.
    All,
}

impl Spending {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "good",
            Self::Half => "half spent",
            Self::All => "spent",
        }
    }
}

/// How fast a budget goes over a pair of windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// The windows, and the rate from which people are told.
    pub window: BurnWindow,
    /// The rate over the long one: 1 spends the budget in just the window of the objective.
    pub long: Option<f64>,
    /// The rate over the short one.
    pub short: Option<f64>,
}

/// An error budget at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// From when the window goes.
    pub from: Timestamp,
    /// When it ends: now, or with the period of the calendar.
    pub until: Timestamp,
    /// The share of the window that has gone by; 1 for the last so many days.
    pub elapsed: f64,
    /// What was measured.
    pub measured: Measured,
    /// The share of the budget that is spent; more than 1 where more was.
    pub spent: Option<f64>,
    /// The whole budget, in minutes in which everything is bad.
    pub minutes: f64,
    /// How many events may be bad over the whole window, where they can be counted.
    pub events: Option<f64>,
    /// How fast it goes.
    pub burns: Vec<Burn>,
    /// How fast it goes now: over the long window of the fastest alert.
    pub rate: Option<f64>,
}

impl Budget {
    /// The budget of an objective; none where the calendar ends.
    ///
    /// Of the last so many days, the bad events are compared with what all events of these days allow. Of a period of the
    /// calendar, with what the whole period will allow if it goes on with as many events as so far: a bad minute on the
    /// first day of a month is not the end of it.
    pub fn of(objective: &Objective, measured: Measured, now: Timestamp) -> Option<Self> {
        let (from, until) = objective.window.at(now)?;
        let (budget, length_ms) = (objective.budget_ratio(), ms(until) - ms(from));
        let elapsed = match objective.window {
            Window::Rolling(_) => 1.0,
            Window::Calendar(_) => ((ms(now) - ms(from)) / length_ms).clamp(0.0, 1.0),
        };
        let spent = measured.bad_ratio.map(|bad| bad / budget * elapsed);
        let rate_over = |window_ms: i64| {
            measured.over.iter().find(|(ms, _)| *ms == window_ms).and_then(|(_, bad)| Some((*bad)? / budget))
        };
        let burns: Vec<Burn> = objective
            .burn_windows()
            .into_iter()
            .map(|window| Burn { window, long: rate_over(window.long_ms), short: rate_over(window.short_ms) })
            .collect();
        let fastest = super::burn_windows(objective.window.nominal_ms()).into_iter().next();
        Some(Self {
            from,
            until,
            elapsed,
            spent,
            minutes: budget * length_ms / 60_000.0,
            events: measured.events.filter(|_| elapsed > 0.0).map(|events| events / elapsed * budget),
            burns,
            rate: fastest.and_then(|window| rate_over(window.long_ms)),
            measured,
        })
    }

    /// The share that is left; less than 0 where more than all is spent.
    pub fn left(&self) -> Option<f64> {
        self.spent.map(|spent| 1.0 - spent)
    }

    /// How much is spent.
    pub fn spending(&self) -> Spending {
        match self.spent {
            None => Spending::Unknown,
            Some(spent) if spent >= 1.0 => Spending::All,
            Some(spent) if spent >= 0.5 => Spending::Half,
            Some(_) => Spending::Low,
        }
    }

    /// In how long all will be spent at the rate of now; none where it goes no faster than it comes back, or the period ends
    /// before. At a rate of 1 the whole budget lasts for the whole window.
    pub fn gone_in(&self, now: Timestamp) -> Option<SignedDuration> {
        let (left, rate) = (self.left()?, self.rate?);
        if left <= 0.0 {
            return Some(SignedDuration::ZERO);
        }
        let length_ms = ms(self.until) - ms(self.from);
        let rolls = self.until <= now;
        // What rolls gets back what it spent long ago; only what is faster than that wears it down.
        if rate <= if rolls { 1.0 } else { 0.0 } {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a conversion to an integer is clamped to its bounds")]
        let gone = SignedDuration::from_millis((left * length_ms / rate) as i64);
        (rolls || now.checked_add(gone).is_ok_and(|at| at < self.until)).then_some(gone)
    }

    /// How it was calculated, a line for each step.
    pub fn explained(&self, objective: &Objective, now: Timestamp) -> Vec<String> {
        let budget = objective.budget_ratio();
        let percent = |share: f64| format!("{}%", significant(share * 100.0));
        let mut lines = vec![format!(
            "budget = 1 - target = 1 - {} = {} of the events, or {} min of {}",
            significant(objective.target),
            percent(budget),
            significant(self.minutes),
            objective.window
        )];
        match (self.measured.bad_ratio, self.spent) {
            (Some(bad), Some(spent)) => {
                let counted = self.measured.events.map_or_else(String::new, |events| {
                    format!(" ({} of {})", significant(bad * events), significant(events))
                });
                lines.push(format!("bad since {} = {}{counted}", self.from, percent(bad)));
                let part = match objective.window {
                    Window::Rolling(_) => String::new(),
                    Window::Calendar(_) => format!(" * {} of the period", percent(self.elapsed)),
                };
                lines.push(format!(
                    "spent = bad / budget = {} / {}{part} = {}",
                    percent(bad),
                    percent(budget),
                    percent(spent)
                ));
            }
            _ => lines.push("nothing was measured: no events, or no such series".to_owned()),
        }
        for burn in &self.burns {
            let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), significant);
            lines.push(format!(
                "burn rate over {} = {}, over {} = {}: a {} from {} on both, which spends {} in {}",
                days(burn.window.long_ms),
                rate(burn.long),
                days(burn.window.short_ms),
                rate(burn.short),
                burn.window.severity.as_str(),
                significant(burn.window.factor),
                percent(burn.window.share),
                days(burn.window.long_ms),
            ));
        }
        if let (Some(left), Some(rate), Some(gone)) = (self.left(), self.rate, self.gone_in(now)) {
            lines.push(format!(
                "gone in = left * window / burn rate = {} * {} min / {} = {} min",
                percent(left.max(0.0)),
                significant((ms(self.until) - ms(self.from)) / 60_000.0),
                significant(rate),
                significant(gone.as_secs_f64() / 60.0)
            ));
        }
        lines
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^52 until the year 144,683")]
fn ms(at: Timestamp) -> f64 {
    at.as_millisecond() as f64
}

/// Four digits, and whole numbers as they are.
fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() || number.fract() == 0.0 {
        return format!("{number}");
    }
    let digits = (3.0 - number.abs().log10().floor()).clamp(0.0, 9.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 9")]
    let text = format!("{number:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
