//! The measures as people read them: a table, and what to make of it.

use prograde_model::dora::{By, Measures, Proportion, Report, Row, Spread};

use crate::printer::{Style, Tone};
use crate::text::{Cell, Table, count, counted, span_ms};

/// A week, in days.
const WEEK: f64 = 7.0;

/// The rows as a table.
pub(super) fn table(found: &Report, by: By, style: Style) -> String {
    let first = match by {
        By::Service => "SERVICE",
        By::Period(_) => "FROM",
    };
    let mut table =
        Table::new(&[first, "DEPLOYED", "A WEEK", "LEAD TIME", "P90", "FAILED", "95% INTERVAL", "RECOVERY", "REWORK"]);
    for row in &found.rows {
        table.row(line(&name(row), &row.measures));
    }
    if found.rows.len() > 1 {
        table.row(line("all", &found.total));
    }
    table.render(style) + &levels(found, style)
}

fn name(row: &Row) -> String {
    match (&row.service, &row.environment) {
        (Some(service), Some(environment)) => format!("{environment}/{service}"),
        (Some(service), None) => service.to_string(),
        (None, _) => row.from.clone(),
    }
}

fn line(name: &str, measures: &Measures) -> Vec<Cell> {
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), span_ms);
    vec![
        Cell::new(name),
        Cell::number(count(measures.deployments)),
        Cell::number(format!("{:.1}", measures.deployments_per_day * WEEK)),
        Cell::number(time(measures.lead_time.median_ms)),
        Cell::number(time(measures.lead_time.p90_ms)),
        Cell::number(part(&measures.failures)).tone(if measures.failures.n > 0 { Tone::Bad } else { Tone::Plain }),
        Cell::number(interval(&measures.failures)),
        Cell::number(recovery(&measures.recovery, measures.unrecovered)),
        Cell::number(part(&measures.rework)),
    ]
}

/// `2 of 40 (5%)`.
fn part(of: &Proportion) -> String {
    of.share.map_or_else(|| "-".to_owned(), |share| format!("{} of {} ({:.0}%)", of.n, of.of, share * 100.0))
}

fn interval(of: &Proportion) -> String {
    of.interval.map_or_else(|| "-".to_owned(), |(low, high)| format!("{:.0}%-{:.0}%", low * 100.0, high * 100.0))
}

fn recovery(spread: &Spread, unrecovered: u64) -> String {
    let median = spread.median_ms.map_or_else(|| "-".to_owned(), span_ms);
    if unrecovered > 0 { format!("{median}, {unrecovered} open") } else { median }
}

fn levels(found: &Report, style: Style) -> String {
    let (Some(levels), Some(year)) = (&found.total.levels, found.levels) else { return String::new() };
    let title = Tone::Strong.paint(&format!("Levels of {year}"), style.colour);
    let total = &found.total;
    let lines = [
        ("deployment frequency", levels.frequency.to_string(), counted(total.deployments, "deployment")),
        ("lead time for changes", levels.lead_time.to_string(), counted(total.lead_time.n, "change")),
        (
            "change failure rate",
            levels.failures.to_string(),
            format!("{}, within its interval {}", counted(total.failures.of, "deployment"), levels.failures_interval),
        ),
        ("recovery time", levels.recovery.to_string(), counted(total.recovery.n, "failure")),
    ];
    let mut table = Table::new(&["MEASURE", "LEVEL", "OF"]);
    for (measure, level, of) in lines {
        table.row(vec![Cell::new(measure), Cell::new(level), Cell::new(of)]);
    }
    let source = found.levels_source.as_deref().unwrap_or_default();
    format!(
        "\n{title}\n{}by {source}; what lies between two of its groups belongs to the worse one\n",
        table.render(style)
    )
}

/// What the table does not say by itself.
pub(super) fn sentences(found: &Report) -> Vec<String> {
    let total = &found.total;
    let mut lines = vec![String::new()];
    let source = if found.imported { "imported from tags, nothing of it is in the journal: " } else { "" };
    lines.push(format!("{source}{} to {} ({:.0} days, {})", found.from, found.until, total.days, found.time_zone));
    if total.failures.n > 0 {
        let early = if total.stopped_early == 0 { "none".to_owned() } else { count(total.stopped_early) };
        let what = counted(total.failures.n, "deployment");
        lines.push(format!("{what} failed, {early} of them before all traffic was theirs"));
    }
    if let Some(ms) = total.from_push.median_ms {
        lines.push(format!("from push to all traffic it took {} (median of {})", span_ms(ms), total.from_push.n));
    }
    if found.on_their_way > 0 {
        lines.push(format!("{} on the way: not counted yet", counted(found.on_their_way, "deployment")));
    }
    let left_out = total.lead_time.left_out + total.from_push.left_out + total.recovery.left_out;
    if left_out > 0 {
        lines.push(format!(
            "{} left out, as they end before they begin: clocks disagree",
            counted(left_out, "duration")
        ));
    }
    if found.clock_set_back > 0 {
        lines.push(format!("the server's clock was set back {}", counted(found.clock_set_back, "time")));
    }
    lines
}

/// What to do next.
pub(super) fn next(found: &Report, by_service: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if found.total.unrecovered > 0 && !found.imported {
        lines.push("prograde status, as a failure has not been recovered from".to_owned());
    } else if found.total.failures.n > 0 && !found.imported {
        lines.push("prograde verdict replay, to see whether other settings had caught the failures earlier".to_owned());
    }
    if by_service {
        lines.push("prograde dora --by week, to see whether it gets better".to_owned());
    }
    lines
}

/// What to do where nothing was found.
pub(super) fn nothing(found: &Report, imported: bool) -> &'static str {
    match (found.on_their_way > 0, imported) {
        (true, _) => "prograde status, as a deployment is on its way",
        (false, true) => "git tag --list, to see which `--tags PATTERN` there are, or an earlier `--since`",
        (false, false) => "an earlier `--since`, or `--environment NAME` for another than the last one",
    }
}

#[cfg(test)]
mod tests {
    use prograde_model::dora::{By, Question, Span, Year};
    use prograde_model::ids::Target;

    use super::*;
    use crate::fixtures;

    fn found(count: i64) -> Report {
        let at = |hour: i64| jiff::Timestamp::from_second(1_767_225_600 + hour * 3_600).unwrap();
        let deployment = |index: i64| prograde_model::dora::Deployment {
            target: Target {
                environment: "production".parse().unwrap(),
                service: format!("s{}", index % 2).parse().unwrap(),
            },
            flight: None,
            name: String::new(),
            last: true,
            deployed_at: at(index * 12),
            served_at: Some(at(index * 12)),
            reached_at: Some(at(index * 12 + 1)),
            failed_at: (index % 7 == 3).then(|| at(index * 12 + 2)),
            restored_at: (index % 7 == 3).then(|| at(index * 12 + 3)),
            committed_at: vec![at(index * 12 - 2 - index)],
            pushed_at: Some(at(index * 12 - 1)),
            rework: index % 7 == 4,
        };
        let all: Vec<_> = (0..count).map(deployment).collect();
        let question = Question {
            service: None,
            environment: None,
            span: Span { from: at(0), until: at(24 * 14) },
            by: By::Service,
            zone: jiff::tz::TimeZone::UTC,
            levels: Some(Year::Y2024),
        };
        prograde_model::dora::of(&all, None, &question).unwrap()
    }

    fn shown(count: i64) -> String {
        let found = found(count);
        format!("{}{}\n", table(&found, By::Service, fixtures::TERMINAL), sentences(&found).join("\n"))
    }

    #[test]
    fn a_person_sees_a_table_levels_and_sentences() {
        insta::assert_snapshot!("dora", shown(28));
    }

    #[test]
    fn few_deployments_say_that_they_are_few() {
        insta::assert_snapshot!("dora_few", shown(2));
    }
}
