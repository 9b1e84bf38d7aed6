//! The rules of objectives, as a rule file of Prometheus: error ratios over each window, what dashboards want to know, and the
//! alerts. The names are Sloth's.
//!
//! Source: Beyer and others, *The Site Reliability Workbook*, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"; Sloth 0.11,
//! `internal/prometheus`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prograde_model::duration;
use prograde_model::objective::{
    BurnWindow, Condition, Indicator, Notes, Objective, Severity, Window, burn_windows, rounded,
};

use super::query::filled;

/// The share of a budget that is left, of every objective; the server writes it down, also where a window follows the calendar.
pub const LEFT: &str = "prograde_error_budget_left_ratio";
/// The bad share of a moment or slice.
const BAD: &str = "prograde_slo_bad_ratio";

/// The share of bad events over a window, in PromQL.
pub fn bad_ratio(objective: &Objective, window_ms: i64) -> String {
    let window = duration::format(window_ms.max(1_000));
    // That the window can be filled in was checked when the file was read.
    let fill = |query: &str| filled(query, &window).unwrap_or_default();
    match &objective.indicator {
        // Where nothing is bad there may be no such series.
        Indicator::Events { bad, total } => {
            let total = fill(total);
            format!("(({}) or 0 * ({total}))\n/\n({total})", fill(bad))
        }
        Indicator::Ratio(ratio) => format!("({})", fill(ratio)),
        Indicator::Recorded { .. } => format!("avg_over_time({BAD}{}[{window}])", selector(objective)),
    }
}

/// How many events there were over a window, in PromQL, where that can be told: by `increase`, or by `rate` for each second.
pub fn events(objective: &Objective, window_ms: i64) -> Option<(String, f64)> {
    let Indicator::Events { total, .. } = &objective.indicator else { return None };
    let query = filled(total, &duration::format(window_ms.max(1_000))).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years are far below 2^52")]
    let seconds = window_ms as f64 / 1_000.0;
    match (total.contains("rate("), total.contains("increase(") || total.contains("sum_over_time(")) {
        (true, false) => Some((query, seconds)),
        (false, true) => Some((query, 1.0)),
        (true, true) | (false, false) => None,
    }
}

/// All windows that are recorded, the shortest first.
pub fn windows(objective: &Objective) -> BTreeSet<i64> {
    let pairs = burn_windows(objective.window.nominal_ms());
    let mut windows: BTreeSet<i64> = pairs.iter().flat_map(|pair| [pair.short_ms, pair.long_ms]).collect();
    windows.extend(objective.alerting.conditions.iter().map(|condition| condition.lookback_ms));
    windows
}

/// The rule file of some objectives.
pub fn file(objectives: &[Objective]) -> String {
    let mut text = String::from("groups:");
    if objectives.is_empty() {
        text.push_str(" []");
    }
    text.push('\n');
    for objective in objectives {
        recordings(objective, &mut text);
        metadata(objective, &mut text);
        alerts(objective, &mut text);
    }
    text
}

/// What picks an objective's series.
fn selector(objective: &Objective) -> String {
    let labels: Vec<String> = ids(objective).iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", labels.join(", "))
}

fn ids(objective: &Objective) -> BTreeMap<String, String> {
    let of = [("sloth_id", &objective.id), ("sloth_service", &objective.service), ("sloth_slo", &objective.name)];
    of.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// Labels of all of an objective's series.
fn labels(objective: &Objective) -> BTreeMap<String, String> {
    let mut labels = objective.labels.clone();
    labels.extend(ids(objective));
    labels
}

fn ratio_name(window_ms: i64) -> String {
    format!("slo:sli_error:ratio_rate{}", window_text(window_ms))
}

/// As Sloth names windows: whole days in days, not in weeks.
fn window_text(ms: i64) -> String {
    const DAY_MS: i64 = 24 * 3_600_000;
    if ms >= DAY_MS && ms % DAY_MS == 0 { format!("{}d", ms / DAY_MS) } else { duration::format(ms) }
}

fn group(text: &mut String, name: &str, interval_ms: Option<i64>) {
    let interval = interval_ms.map_or_else(String::new, |ms| format!("  interval: {}\n", duration::format(ms)));
    let _infallible = write!(text, "- name: {}\n{interval}  rules:\n", quoted(name));
}

fn record(text: &mut String, name: &str, query: &str, labels: &BTreeMap<String, String>) {
    let _infallible = write!(text, "  - record: {name}\n    expr: {}\n", quoted(query));
    mapping(text, "labels", labels);
}

fn mapping(text: &mut String, field: &str, entries: &BTreeMap<String, String>) {
    if entries.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "    {field}:");
    for (name, value) in entries {
        let _infallible = writeln!(text, "      {}: {}", quoted(name), quoted(value));
    }
}

/// A text of JSON is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn recordings(objective: &Objective, text: &mut String) {
    let labels = labels(objective);
    let every_ms = match &objective.indicator {
        Indicator::Recorded { every_ms, .. } => *every_ms,
        Indicator::Events { .. } | Indicator::Ratio(_) => None,
    };
    group(text, &format!("sloth-slo-sli-recordings-{}", objective.id), every_ms);
    if let Indicator::Recorded { query, .. } = &objective.indicator {
        record(text, BAD, query, &labels);
    }
    let mut all = windows(objective);
    if let Window::Rolling(ms) = objective.window {
        all.insert(ms);
    }
    for window_ms in all {
        let mut labels = labels.clone();
        labels.insert("sloth_window".to_owned(), window_text(window_ms));
        record(text, &ratio_name(window_ms), &bad_ratio(objective, window_ms), &labels);
    }
}

fn metadata(objective: &Objective, text: &mut String) {
    let (labels, these) = (labels(objective), selector(objective));
    group(text, &format!("sloth-slo-meta-recordings-{}", objective.id), None);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years are far below 2^52")]
    let days = objective.window.nominal_ms() as f64 / 86_400_000.0;
    let burn = |window_ms: i64| {
        let matching = "on(sloth_id, sloth_slo, sloth_service) group_left";
        format!("{}{these}\n/ {matching}\nslo:error_budget:ratio{these}", ratio_name(window_ms))
    };
    record(text, "slo:objective:ratio", &format!("vector({})", objective.target), &labels);
    record(text, "slo:error_budget:ratio", &format!("vector({})", objective.budget_ratio()), &labels);
    record(text, "slo:time_period:days", &format!("vector({days})"), &labels);
    let shortest = windows(objective).into_iter().next().unwrap_or(objective.window.nominal_ms());
    record(text, "slo:current_burn_rate:ratio", &burn(shortest), &labels);
    if let Window::Rolling(ms) = objective.window {
        record(text, "slo:period_burn_rate:ratio", &burn(ms), &labels);
        let left = format!("1 - slo:period_burn_rate:ratio{these}");
        record(text, "slo:period_error_budget_remaining:ratio", &left, &labels);
    }
    let mut info = labels;
    for (name, value) in [
        ("sloth_version", concat!("prograde-", env!("CARGO_PKG_VERSION")).to_owned()),
        ("sloth_mode", "prograde".to_owned()),
        ("sloth_objective", rounded(objective.target * 100.0).to_string()),
    ] {
        info.insert(name.to_owned(), value);
    }
    record(text, "sloth_slo_info", "vector(1)", &info);
}

/// What says how much is left: a window that rolls is recorded by rules alone.
fn left(objective: &Objective) -> String {
    let name = match objective.window {
        Window::Rolling(_) => "slo:period_error_budget_remaining:ratio",
        Window::Calendar(_) => LEFT,
    };
    format!("{name}{}", selector(objective))
}

fn alerts(objective: &Objective, text: &mut String) {
    group(text, &format!("sloth-slo-alerts-{}", objective.id), None);
    let alerting = &objective.alerting;
    for (severity, notes) in [(Severity::Page, &alerting.page), (Severity::Ticket, &alerting.ticket)] {
        let windows: Vec<BurnWindow> =
            objective.burn_windows().into_iter().filter(|window| window.severity == severity).collect();
        let Some(notes) = notes.as_ref().filter(|_| !windows.is_empty()) else { continue };
        let pairs: Vec<String> = windows.iter().map(|window| pair(objective, *window)).collect();
        let query = pairs.join("\nor\n");
        let summary = format!(
            "{} of {} spends its error budget too fast: {{{{ $value | humanizePercentage }}}} of what it counts is bad now",
            objective.name, objective.service
        );
        alert(text, objective, (&alerting.name, &query, 0), (severity.as_str(), &summary, notes));
    }
    for condition in &alerting.conditions {
        own_condition(text, objective, condition);
    }
    let half = alerting.ticket.clone().unwrap_or_default();
    let query = format!("{} < 0.5", left(objective));
    let summary = format!("half of the error budget of {} of {} is spent", objective.name, objective.service);
    let ticket = Severity::Ticket.as_str();
    alert(text, objective, ("ErrorBudgetHalfSpent", &query, 0), (ticket, &summary, &half));
}

/// Too fast over the long window, and over the short one still.
fn pair(objective: &Objective, window: BurnWindow) -> String {
    let these = selector(objective);
    // Without the window's label, or the alert would be another one whenever the pair that it fires by changes.
    let over = |ms: i64| {
        let most = window.factor;
        format!("max without (sloth_window) ({}{these} > ({most} * {}))", ratio_name(ms), objective.budget_ratio())
    };
    format!("(\n  {}\n  and\n  {}\n)", over(window.short_ms), over(window.long_ms))
}

fn own_condition(text: &mut String, objective: &Objective, condition: &Condition) {
    let (rate, budget) = (condition.burn_rate, objective.budget_ratio());
    let query = format!("{}{} > ({rate} * {budget})", ratio_name(condition.lookback_ms), selector(objective));
    let summary = format!(
        "{} of {} spends its error budget {rate} times too fast or faster over {}",
        objective.name,
        objective.service,
        window_text(condition.lookback_ms)
    );
    let severity = condition.notes.labels.get("severity").map_or("ticket", String::as_str);
    let what = (condition.name.as_str(), query.as_str(), condition.after_ms);
    alert(text, objective, what, (severity, &summary, &condition.notes));
}

fn alert(
    text: &mut String,
    objective: &Objective,
    (name, query, for_ms): (&str, &str, i64),
    (severity, summary, notes): (&str, &str, &Notes),
) {
    let mut labels = labels(objective);
    for (name, value) in [
        ("severity", severity),
        ("sloth_severity", severity),
        ("slo", objective.name.as_str()),
        ("service", objective.service.as_str()),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels.extend(notes.labels.clone());
    let mut annotations = BTreeMap::new();
    annotations.insert("summary".to_owned(), summary.to_owned());
    // Backticks quote within a template as well.
    let remaining = format!(
        "{{{{ with query `{}` }}}}{{{{ . | first | value | humanizePercentage }}}}{{{{ else }}}}unknown{{{{ end }}}}",
        left(objective)
    );
    annotations.insert("remaining_budget".to_owned(), remaining);
    if !objective.description.is_empty() {
        // What stands in braces there is no template of ours.
        annotations.insert("description".to_owned(), objective.description.replace("{{", "{ {"));
    }
    annotations.extend(notes.annotations.clone());
    let after = if for_ms > 0 { format!("    for: {}\n", duration::format(for_ms)) } else { String::new() };
    let _infallible = write!(text, "  - alert: {}\n    expr: {}\n{after}", quoted(name), quoted(query));
    mapping(text, "labels", &labels);
    mapping(text, "annotations", &annotations);
}
