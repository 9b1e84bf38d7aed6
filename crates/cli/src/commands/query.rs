//! `prograde query`: asks the time series in PromQL.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prograde_observe::promql;
use serde::Deserialize;
use serde_json::Value;

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
struct Answer {
    #[serde(rename = "resultType")]
    kind: Kind,
    result: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Scalar,
    String,
    Vector,
    Matrix,
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

/// The answer as people read it.
fn rendered(answer: &Answer, style: Style) -> String {
    let empty = Vec::new();
    let series = answer.result.as_array().unwrap_or(&empty);
    match answer.kind {
        Kind::Scalar | Kind::String => {
            format!("{}\n", one_line(series.get(1).and_then(Value::as_str).unwrap_or_default()))
        }
        _ if series.is_empty() => String::new(),
        Kind::Vector => {
            let mut table = Table::new(&["SERIES", "VALUE"]);
            for one in series {
                let value = one["value"][1].as_str().map(ToOwned::to_owned).or_else(|| histogram(&one["histogram"][1]));
                table.row(vec![Cell::new(name(&one["metric"])), Cell::number(value.unwrap_or_default())]);
            }
            table.render(style)
        }
        Kind::Matrix => {
            let mut table = Table::new(&["SERIES", "FIRST", "LEAST", "GREATEST", "LAST", "COURSE"]);
            for one in series {
                table.row(row(one));
            }
            table.render(style)
        }
    }
}

/// What is said of a native histogram.
fn histogram(value: &Value) -> Option<String> {
    Some(format!("count {}, sum {}", value["count"].as_str()?, value["sum"].as_str()?))
}

/// A series' course.
fn row(series: &Value) -> Vec<Cell> {
    let points = series["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = points.iter().filter_map(|point| point[1].as_str()).collect();
    let numbers: Vec<f64> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let finite = || numbers.iter().copied().filter(|number| number.is_finite());
    let (least, greatest) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bound = |number: f64| if number.is_finite() { short(number) } else { "-".to_owned() };
    let end = |text: Option<&&str>| {
        Cell::number(text.and_then(|text| text.parse().ok()).map_or_else(|| "-".to_owned(), short))
    };
    vec![
        Cell::new(name(&series["metric"])),
        end(texts.first()),
        Cell::number(bound(least)),
        Cell::number(bound(greatest)),
        end(texts.last()),
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
        let top = HEIGHTS.len() - 1;
        HEIGHTS
            .iter()
            .enumerate()
            .find(|(at, _)| share <= (*at as f64 + 0.5) / top as f64)
            .map_or('█', |(_, mark)| *mark)
    };
    // A long course is thinned out, not cut.
    let every = numbers.len().div_ceil(POINTS as usize + 1).max(1);
    numbers.iter().step_by(every).map(height).collect()
}

/// A number with at most four places that say something.
fn short(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let places = 3 - number.abs().log10().floor() as i32;
    if (0..=9).contains(&places) {
        let text = format!("{number:.*}", places.unsigned_abs() as usize);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else if places < 0 && places > -9 {
        format!("{number:.0}")
    } else {
        format!("{number:.3e}")
    }
}

/// A series as PromQL writes it.
fn name(metric: &Value) -> String {
    let Some(labels) = metric.as_object() else { return String::new() };
    let name = labels.get("__name__").and_then(Value::as_str).unwrap_or_default();
    let pairs: Vec<String> =
        labels.iter().filter(|(key, _)| *key != "__name__").map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(rendered(&Answer { kind: Kind::Vector, result: json!([]) }, plain()), "");
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
