//! `prograde query`: asks the time series in PromQL.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prograde_observe::promql;
use serde::Deserialize;

use crate::app::App;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::printer::{Style, one_line};
use crate::report::{self, Report};
use crate::text::{Cell, Table};

/// A query that can't be read, or that has no answer.
const CODE: &str = "PG0602";
/// How many points a line has where nobody says how far they are apart.
const POINTS: i64 = 60;
const POINTS_SHOWN: usize = 61;
/// The heights of a line's points.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Ask the server's time series in PromQL: their values now, or their course over a time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde query up
  prograde query 'sum by (service, commit) (rate(prograde_requests_total[1m]))' --since 1h
  prograde query 'ALERTS{alertstate=\"firing\"}' --json | jq -r '.result[].metric.alertname'

With `--since`, each series is a line from its least to its greatest value; `--json` prints the points as Prometheus' HTTP API has them.")]
pub(crate) struct QueryArgs {
    /// The query
    #[arg(value_name = "PROMQL")]
    query: String,
    /// The course from then on: so long ago, such as `1h` or `7d`, or a day or time
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// The values at that time, or the end of the course; by default now
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// How far points are apart, such as `30s`; by default a sixtieth of the course
    #[arg(long, value_name = "DURATION", requires = "since", value_parser = step)]
    step: Option<i64>,
}

fn step(text: &str) -> Result<i64, &'static str> {
    let parsed = prograde_model::duration::parse(text).filter(|ms| *ms > 0);
    parsed.ok_or("expected a duration such as 30s or 5m")
}

/// What the server answers, as Prometheus' HTTP API has it.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Answer {
    Scalar(Point),
    String(Point),
    Vector(Vec<InVector>),
    Matrix(Vec<InMatrix>),
}

/// Seconds since 1970, and a number or text.
type Point = (f64, String);
type Metric = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
struct InVector {
    metric: Metric,
    value: Option<Point>,
    histogram: Option<(f64, Histogram)>,
}

#[derive(Debug, Deserialize)]
struct InMatrix {
    metric: Metric,
    #[serde(default)]
    values: Vec<Point>,
}

/// A native histogram, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Histogram {
    count: String,
    sum: String,
}

/// Runs `prograde query`.
pub(crate) fn run(app: &App, args: &QueryArgs) -> Result<Exit, Report> {
    if let Err(error) = promql::parse(&args.query) {
        return Err(Report::new(CODE, format!("the query can't be read: {error}"))
            .hint("the numbers count its lines and characters; put the whole of it in single quotes"));
    }
    let now = app.printer.now();
    let moment = |moment: Moment| {
        let early = || Report::new(report::ARGUMENT, "the time is before all time").hint("write a later one");
        moment.at(now, &TimeZone::UTC).ok_or_else(early)
    };
    let end = args.at.map(moment).transpose()?.unwrap_or(now);
    let (path, query) = match args.since.map(moment).transpose()? {
        None => ("query", vec![("query", args.query.clone()), ("time", seconds(end.as_millisecond()))]),
        Some(start) if start >= end => {
            return Err(
                Report::new(report::ARGUMENT, "the course ends before it begins").hint("write an earlier `--since`")
            );
        }
        Some(start) => ("query_range", course(&args.query, (start, end), args.step)),
    };
    let answer = app.client()?.prometheus(path, &query)?;
    if app.printer.style().json {
        app.printer.json(&answer)?;
        return Ok(Exit::Done);
    }
    let answer: Answer = serde_json::from_value(answer)
        .map_err(|error| Report::new(report::STRANGE_ANSWER, "the answer is not Prometheus'").because(&error))?;
    let text = rendered(&answer, app.printer.style());
    if text.is_empty() {
        app.printer.note("Nothing", "has samples that fit; `prograde query '{__name__=~\".+\"}'` shows all there is");
    } else {
        app.printer.text(text)?;
    }
    Ok(Exit::Done)
}

/// A question for a course.
fn course(query: &str, (start, end): (Timestamp, Timestamp), step: Option<i64>) -> Vec<(&'static str, String)> {
    let (start, end) = (start.as_millisecond(), end.as_millisecond());
    let step = step.unwrap_or_else(|| ((end - start) / POINTS).max(1));
    vec![("query", query.to_owned()), ("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))]
}

/// Milliseconds as the API takes times.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

/// The answer as people read it; nothing where there is no series.
fn rendered(answer: &Answer, style: Style) -> String {
    match answer {
        Answer::Scalar((_, text)) | Answer::String((_, text)) => format!("{}\n", one_line(text)),
        Answer::Vector(all) if all.is_empty() => String::new(),
        Answer::Matrix(all) if all.is_empty() => String::new(),
        Answer::Vector(all) => {
            let mut table = Table::new(&["SERIES", "VALUE"]);
            for InVector { metric, value, histogram } in all {
                let value = value.as_ref().map(|(_, value)| value.clone());
                let histogram =
                    histogram.as_ref().map(|(_, Histogram { count, sum })| format!("count {count}, sum {sum}"));
                table.row(vec![Cell::new(name(metric)), Cell::number(value.or(histogram).unwrap_or_default())]);
            }
            table.render(style)
        }
        Answer::Matrix(all) => {
            let mut table = Table::new(&["SERIES", "FIRST", "LEAST", "GREATEST", "LAST", "COURSE"]);
            for series in all {
                table.row(row(series));
            }
            table.render(style)
        }
    }
}

/// A series' course.
fn row(series: &InMatrix) -> Vec<Cell> {
    let numbers: Vec<f64> = series.values.iter().filter_map(|(_, text)| text.parse().ok()).collect();
    let finite = || numbers.iter().copied().filter(|number| number.is_finite());
    let (least, greatest) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bound = |number: f64| Cell::number(if number.is_finite() { short(number) } else { "-".to_owned() });
    let end = |number: Option<&f64>| Cell::number(number.map_or_else(|| "-".to_owned(), |number| short(*number)));
    vec![
        Cell::new(name(&series.metric)),
        end(numbers.first()),
        bound(least),
        bound(greatest),
        end(numbers.last()),
        Cell::new(line(&numbers, (least, greatest))),
    ]
}

/// Numbers as heights between the least and the greatest; a space where there is none.
fn line(numbers: &[f64], (least, greatest): (f64, f64)) -> String {
    let height = |number: &f64| {
        if !number.is_finite() {
            return ' ';
        }
        let share = if greatest > least { (number - least) / (greatest - least) } else { 0.0 };
        let fits = |(_, nth): &(&char, u8)| share * 7.0 < f64::from(*nth) + 0.5;
        HEIGHTS.iter().zip(0_u8..).find(fits).map_or('█', |(mark, _)| *mark)
    };
    // A long course is thinned out, not cut.
    let every = numbers.len().div_ceil(POINTS_SHOWN).max(1);
    numbers.iter().step_by(every).map(height).collect()
}

/// A number with four places that say something.
fn short(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let exponent = format!("{number:e}").rsplit('e').next().and_then(|text| text.parse::<i32>().ok()).unwrap_or(0);
    match exponent {
        -4..=3 => {
            let places = usize::try_from(3 - exponent).unwrap_or(0);
            let text = format!("{number:.places$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        4..=11 => format!("{number:.0}"),
        _ => format!("{number:.3e}"),
    }
}

/// A series as PromQL writes it.
fn name(metric: &Metric) -> String {
    let name = metric.get("__name__").map_or("", String::as_str);
    let pairs: Vec<String> =
        metric.iter().filter(|(key, _)| *key != "__name__").map(|(key, value)| format!("{key}={value:?}")).collect();
    if pairs.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plain() -> Style {
        Style::detect(false, false, Some(false), true)
    }

    #[test]
    fn answers_are_shown_as_people_read_them() {
        let metric = json!({"__name__": "queue_depth", "commit": "a1"});
        let values: Vec<Value> = (0..30).map(|at| json!([at, (at * at).to_string()])).collect();
        let cases = [
            ("scalar", json!([1.5, "2"])),
            ("vector", json!([{"metric": metric, "value": [1, "3"]}, {"metric": {}, "value": [1, "NaN"]}])),
            (
                "matrix",
                json!([{"metric": metric, "values": values}, {"metric": {"job": "a"}, "values": [[1, "0.000012345"], [2, "+Inf"]]}]),
            ),
        ];
        let shown = cases.map(|(kind, result)| {
            let answer: Answer = serde_json::from_value(json!({"resultType": kind, "result": result})).unwrap();
            rendered(&answer, plain())
        });
        insta::assert_snapshot!(shown.join("\n"));
        assert_eq!(rendered(&Answer::Vector(Vec::new()), plain()), "");
    }

    #[test]
    fn numbers_are_short() {
        for (number, wanted) in [
            (0.0, "0"),
            (3.0, "3"),
            (1_234_567.8, "1234568"),
            (0.123_456, "0.1235"),
            (12.5, "12.5"),
            (-0.5, "-0.5"),
            (1e-12, "1.000e-12"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(number), wanted);
        }
    }
}
