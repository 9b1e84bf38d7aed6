//! The windows and rates of burn-rate alerts.

/// Whether it can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It wakes somebody.
    Page,
    /// It can wait for working hours.
    Ticket,
}

impl Severity {
    /// As labels have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// A pair of windows: the budget is spent too fast over the long one, and over the short one still is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnWindow {
    /// Whom it tells.
    pub severity: Severity,
    /// The long window, in milliseconds.
    pub long_ms: i64,
    /// The short window, in milliseconds.
    pub short_ms: i64,
    /// How many times as fast as the budget allows.
    pub factor: f64,
    /// The share of the whole budget that is spent in the long window at that rate.
    pub share: f64,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// For a period of 30 days: long window, short window, and the share of the budget in percent
/// (*The Site Reliability Workbook*, table 5-8).
const OF_30_DAYS: [(Severity, i64, i64, i64); 4] = [
    (Severity::Page, HOUR_MS, 5 * MINUTE_MS, 2),
    (Severity::Page, 6 * HOUR_MS, 30 * MINUTE_MS, 5),
    (Severity::Ticket, DAY_MS, 2 * HOUR_MS, 10),
    (Severity::Ticket, 3 * DAY_MS, 6 * HOUR_MS, 10),
];

/// The windows for a period. From four weeks to a month they are those of 30 days, and the rate follows from the share of the
/// budget; for any other period they are as much shorter or longer as it is, in whole seconds, and the rates are the same.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of some years are far below 2^52")]
pub fn burn_windows(period_ms: i64) -> [BurnWindow; 4] {
    let scaled = |ms: i64| {
        if (28 * DAY_MS..=31 * DAY_MS).contains(&period_ms) {
            return ms;
        }
        let exact = i128::from(ms) * i128::from(period_ms) / i128::from(30 * DAY_MS);
        (i64::try_from(exact).unwrap_or(i64::MAX) / 1_000 * 1_000).max(1_000)
    };
    OF_30_DAYS.map(|(severity, long_ms, short_ms, percent)| {
        let (long_ms, short_ms, share) = (scaled(long_ms), scaled(short_ms), percent as f64 / 100.0);
        let factor = super::rounded(share * period_ms as f64 / long_ms as f64);
        BurnWindow { severity, long_ms, short_ms, factor, share }
    })
}
