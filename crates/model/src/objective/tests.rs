//! Budgets whose answers can be calculated by hand.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

const DAY_MS: i64 = 86_400_000;

fn objective(target: f64, window: Window) -> Objective {
    Objective {
        id: "pad-availability".into(),
        name: "availability".into(),
        service: "pad".into(),
        description: String::new(),
        target,
        window,
        indicator: Indicator::Ratio("vector(0)".into()),
        labels: BTreeMap::new(),
        alerting: Alerting::default(),
        gate: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn month(zone: &str) -> Window {
    let start = "2020-01-01 00:00:00".parse().unwrap();
    Window::Calendar(Calendar { count: 1, unit: Unit::Month, start, zone: TimeZone::get(zone).unwrap() })
}

#[test]
fn thirty_days_have_the_windows_and_rates_of_the_workbook() {
    let windows: Vec<(i64, i64, f64)> =
        burn_windows(30 * DAY_MS).iter().map(|w| (w.long_ms / 60_000, w.short_ms / 60_000, w.factor)).collect();
    assert_eq!(windows, [(60, 5, 14.4), (360, 30, 6.0), (1_440, 120, 3.0), (4_320, 360, 1.0)]);
    let four_weeks: Vec<f64> = burn_windows(28 * DAY_MS).iter().map(|w| w.factor).collect();
    assert_eq!(four_weeks, [13.44, 5.6, 2.8, 0.933_333_333_333]);
    let week: Vec<(i64, i64, f64)> =
        burn_windows(7 * DAY_MS).iter().map(|w| (w.long_ms / 1_000, w.short_ms / 1_000, w.factor)).collect();
    assert_eq!(week, [(840, 70, 14.4), (5_040, 420, 6.0), (20_160, 1_680, 3.0), (60_480, 5_040, 1.0)]);
}

#[test]
fn a_rate_that_can_not_be_reached_is_looked_at_by_no_alert() {
    let factors = |target| -> Vec<f64> {
        objective(target, Window::Rolling(30 * DAY_MS)).burn_windows().iter().map(|w| w.factor).collect()
    };
    assert_eq!(factors(0.999), [14.4, 6.0, 3.0, 1.0]);
    assert_eq!(factors(0.9), [6.0, 3.0, 1.0], "14.4 times 10% is more than all");
    assert_eq!(factors(0.5), [1.0]);
}

#[test]
fn a_tenth_of_a_percent_of_thirty_days_is_43_minutes() {
    let objective = objective(0.999, Window::Rolling(30 * DAY_MS));
    let now = at("2026-01-31T00:00:00Z");
    let measured =
        Measured { bad_ratio: Some(0.000_6), events: Some(1_000_000.0), over: vec![(3_600_000, Some(0.003))] };
    let budget = Budget::of(&objective, measured, now).unwrap();
    assert!((budget.minutes - 43.2).abs() < 1e-9);
    assert!((budget.spent.unwrap() - 0.6).abs() < 1e-9);
    assert!((budget.events.unwrap() - 1_000.0).abs() < 1e-6);
    assert_eq!(budget.spending(), Spending::Half);
    // 40% of 30 days at three times the rate.
    assert!((budget.gone_in(now).unwrap().as_secs() - 96 * 3_600).abs() <= 1);
    insta::assert_snapshot!(budget.explained(&objective, now).join("\n"), @r"
    budget = 1 - target = 1 - 0.999 = 0.1% of the events, or 43.2 min of 30d
    bad since 2026-01-01T00:00:00Z = 0.06% (600 of 1000000)
    spent = bad / budget = 0.06% / 0.1% = 60%
    burn rate over 1h = 3, over 5m = -: a page from 14.4 on both, which spends 2% in 1h
    burn rate over 6h = -, over 30m = -: a page from 6 on both, which spends 5% in 6h
    burn rate over 1d = -, over 2h = -: a ticket from 3 on both, which spends 10% in 1d
    burn rate over 3d = -, over 6h = -: a ticket from 1 on both, which spends 10% in 3d
    gone in = left * window / burn rate = 40% * 43200 min / 3 = 5760 min
    ");
}

#[test]
fn a_month_begins_at_its_own_midnight_and_has_its_own_length() {
    let window = |zone: &str, now: &str| {
        let (from, until) = month(zone).at(at(now)).unwrap();
        format!("{from} {until}")
    };
    assert_eq!(window("UTC", "2026-02-10T00:00:00Z"), "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z");
    // New York is at UTC-5 in winter, and at UTC-4 from March 8 on.
    assert_eq!(window("America/New_York", "2026-03-01T04:59:59Z"), "2026-02-01T05:00:00Z 2026-03-01T05:00:00Z");
    assert_eq!(window("America/New_York", "2026-03-01T05:00:00Z"), "2026-03-01T05:00:00Z 2026-04-01T04:00:00Z");
    assert_eq!(window("UTC", "2019-12-31T23:59:59Z"), "2019-12-01T00:00:00Z 2020-01-01T00:00:00Z", "before the first");
}

#[test]
fn quarters_and_months_from_the_last_day_do_not_drift() {
    let calendar = |unit, start: &str| {
        let start = start.parse().unwrap();
        Window::Calendar(Calendar { count: 1, unit, start, zone: TimeZone::UTC })
    };
    let (from, until) = calendar(Unit::Quarter, "2024-01-01").at(at("2026-05-05T00:00:00Z")).unwrap();
    assert_eq!((from, until), (at("2026-04-01T00:00:00Z"), at("2026-07-01T00:00:00Z")));
    let (from, until) = calendar(Unit::Month, "2024-01-31").at(at("2026-03-30T00:00:00Z")).unwrap();
    assert_eq!((from, until), (at("2026-02-28T00:00:00Z"), at("2026-03-31T00:00:00Z")));
}

#[test]
fn of_a_month_that_has_begun_only_its_part_is_spent() {
    let objective = objective(0.99, month("UTC"));
    let now = at("2026-04-04T00:00:00Z");
    let measured = Measured { bad_ratio: Some(0.05), events: Some(3_000.0), over: vec![(3_600_000, Some(0.0))] };
    let budget = Budget::of(&objective, measured.clone(), now).unwrap();
    // 5% of a tenth of the month is half of the month's 1%.
    assert!((budget.spent.unwrap() - 0.5).abs() < 1e-9, "{budget:?}");
    assert!((budget.events.unwrap() - 300.0).abs() < 1e-6);
    assert_eq!(budget.gone_in(now), None, "nothing is bad any more");
    let bad = Measured { over: vec![(3_600_000, Some(0.05))], ..measured };
    let gone = Budget::of(&objective, bad, now).unwrap().gone_in(now).unwrap();
    assert!((gone.as_secs() - 72 * 3_600).abs() <= 1, "half of the budget at five times the rate: {gone}");
}

#[test]
fn what_was_not_measured_is_not_known() {
    let objective = objective(0.99, Window::Rolling(7 * DAY_MS));
    let budget = Budget::of(&objective, Measured::default(), at("2026-04-04T00:00:00Z")).unwrap();
    assert_eq!((budget.spending(), budget.left(), budget.gone_in(budget.until)), (Spending::Unknown, None, None));
}

proptest! {
    /// Spent at the rate of a window's alert for as long as that window, the budget has lost the share that it says.
    #[test]
    fn a_window_s_rate_spends_its_share(days in 1_i64..400) {
        for window in burn_windows(days * DAY_MS) {
            let seconds = |ms: i64| f64::from(i32::try_from(ms / 1_000).unwrap());
            let spent = window.factor * seconds(window.long_ms) / seconds(days * DAY_MS);
            prop_assert!((spent - window.share).abs() < 1e-6, "{window:?}");
            prop_assert!(window.short_ms < window.long_ms);
        }
    }

    /// Every time is in just one period.
    #[test]
    fn periods_follow_each_other(second in -2_000_000_000_i64..8_000_000_000, unit in 0..5_usize, count in 1_i64..5) {
        let unit = [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year][unit];
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let window = Window::Calendar(Calendar { count, unit, start: "2021-01-31 02:30:00".parse().unwrap(), zone });
        let now = Timestamp::from_second(second).unwrap();
        let (from, until) = window.at(now).unwrap();
        prop_assert!(from <= now && now < until);
        prop_assert_eq!(window.at(until).unwrap().0, until);
        prop_assert!(until.as_millisecond() - from.as_millisecond() <= window.longest_ms() + DAY_MS);
    }
}
