//! What tells good from bad, and how it is counted.
//!
//! Where the share of bad events of a moment or of a slice is what counts, it is recorded once each time and averaged over
//! windows, so that a month of slices is no query over a month of samples.

use prograde_model::duration;
use prograde_model::objective::{Indicator, Window, burn_windows};
use prograde_yaml::{Node, Value};

use super::Known;
use crate::objective::query::{self, filled, has_window};
use crate::rules::reader::Reader;

/// How a budget is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// By events.
    Occurrences,
    /// By slices of time, each good or bad.
    Timeslices,
    /// By slices of time, each with its share.
    RatioTimeslices,
}

/// The bad share of a moment: by a ratio over whatever window, or at each time it is asked for.
enum Bad {
    Events { bad: String, total: String },
    Ratio(String),
    Now(String),
}

/// A slice is looked at so often, where a moment is all that the query knows.
const LOOKS: i64 = 12;

impl<'r> Reader<'r> {
    pub(super) fn method(&mut self, spec: &Node) -> Option<Method> {
        let text = self.needed(spec, "budgetingMethod")?;
        match text.as_str() {
            "Occurrences" => Some(Method::Occurrences),
            "Timeslices" => Some(Method::Timeslices),
            "RatioTimeslices" => Some(Method::RatioTimeslices),
            other => {
                let place = spec.get("budgetingMethod").unwrap_or(spec);
                let hint = "write Occurrences, Timeslices or RatioTimeslices";
                self.report(place, format!("`{other}` is no budgeting method"), hint);
                None
            }
        }
    }

    pub(super) fn indicator(
        &mut self,
        spec: &Node,
        objective: &Node,
        (method, window): (Method, Option<&Window>),
        known: &Known<'r>,
    ) -> Option<Indicator> {
        let (file, inner) = match (spec.get("indicator"), spec.get("indicatorRef")) {
            (Some(inline), None) => (self.file, inline.get("spec").unwrap_or(inline)),
            (None, Some(name)) => {
                let (file, object) = known.find(self, "SLI", name)?;
                (file, object.get("spec").unwrap_or(object))
            }
            (Some(_), Some(_)) | (None, None) => {
                self.report(spec, "an SLO has either `indicator` or `indicatorRef`", "add one of them");
                return None;
            }
        };
        let limit = inner.get("thresholdMetric").and_then(|_| self.bad_beyond(objective));
        let bad = self.in_file(file, |reader| reader.bad(inner, limit.as_deref(), known))?;
        if method == Method::Occurrences {
            return Some(match bad {
                Bad::Events { bad, total } => Indicator::Events { bad, total },
                Bad::Ratio(ratio) => Indicator::Ratio(ratio),
                Bad::Now(query) => Indicator::Recorded { query, every_ms: None },
            });
        }
        self.sliced(objective, bad, (method, window?))
    }

    /// What an indicator says; `limit` is what a metric is bad beyond.
    fn bad(&mut self, inner: &Node, limit: Option<&str>, known: &Known<'r>) -> Option<Bad> {
        self.mapping(inner, "an indicator", &["description", "thresholdMetric", "ratioMetric"]);
        match (inner.get("ratioMetric"), inner.get("thresholdMetric")) {
            (Some(ratio), None) => self.ratio(ratio, known),
            (None, Some(threshold)) => self.threshold(threshold, limit?, known),
            (Some(_), Some(_)) | (None, None) => {
                self.report(inner, "an indicator has either `ratioMetric` or `thresholdMetric`", "add one of them");
                None
            }
        }
    }

    /// The bad share of each slice, or whether it is bad.
    fn sliced(&mut self, node: &Node, bad: Bad, (method, window): (Method, &Window)) -> Option<Indicator> {
        let slice_ms = self.slice(node)?;
        let shortest = burn_windows(window.nominal_ms()).iter().map(|window| window.short_ms).min().unwrap_or(0);
        if slice_ms > shortest {
            let place = node.get("timeSliceWindow").unwrap_or(node);
            let message = format!(
                "a slice of {} is longer than the {} over which alerts look whether it is still bad",
                duration::format(slice_ms),
                duration::format(shortest)
            );
            self.unsupported(place, message, "write a shorter `timeSliceWindow`, or a longer `timeWindow`");
            return None;
        }
        let slice = duration::format(slice_ms);
        let fill = |query: &str| filled(query, &slice).ok();
        let share = match bad {
            // Without events a slice is neither good nor bad.
            Bad::Events { bad, total } => format!("({}) / (({}) > 0)", fill(&bad)?, fill(&total)?),
            Bad::Ratio(ratio) => format!("({})", fill(&ratio)?),
            Bad::Now(query) => {
                let step = duration::format((slice_ms / LOOKS).max(1_000));
                format!("avg_over_time(({query})[{slice}:{step}])")
            }
        };
        let query = match method {
            Method::Occurrences | Method::RatioTimeslices => share,
            Method::Timeslices => {
                let target = self.figure(node, "timeSliceTarget");
                let place = node.get("timeSliceTarget").unwrap_or(node);
                let Some(target) = target.filter(|target| *target > 0.0 && *target <= 1.0) else {
                    let hint = "add the share of a slice that must be good, such as `timeSliceTarget: 0.95`";
                    self.report(place, "`timeSliceTarget` must be more than 0 and at most 1", hint);
                    return None;
                };
                format!("{share} > bool {}", prograde_model::objective::rounded(1.0 - target))
            }
        };
        Some(Indicator::Recorded { query, every_ms: Some(slice_ms) })
    }

    fn slice(&mut self, node: &Node) -> Option<i64> {
        match node.get("timeSliceWindow").map(|field| &field.value) {
            // A plain number is minutes.
            Some(Value::Number(number)) => {
                if let Some(minutes @ 1..=1_000_000) = number.as_u64().and_then(|minutes| i64::try_from(minutes).ok()) {
                    Some(minutes * 60_000)
                } else {
                    self.report(
                        node,
                        "`timeSliceWindow` must be a whole number of minutes",
                        "write `timeSliceWindow: 1m`",
                    );
                    None
                }
            }
            Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Sequence(_) | Value::Mapping(_)) => {
                self.shorthand(node, "timeSliceWindow")
            }
            None => {
                self.report(
                    node,
                    "`timeSliceWindow` is missing",
                    "add how long a slice is, such as `timeSliceWindow: 1m`",
                );
                None
            }
        }
    }

    fn ratio(&mut self, node: &Node, known: &Known<'r>) -> Option<Bad> {
        self.mapping(node, "`ratioMetric`", &["counter", "good", "bad", "total", "raw", "rawType"]);
        if let Some(raw) = node.get("raw") {
            return self.raw(node, raw, known);
        }
        // What only rises is taken as a rate, what goes up and down as a sum of what was seen.
        let function = if self.flag(node, "counter").unwrap_or(false) { "rate" } else { "sum_over_time" };
        let total = self.counted(node, "total", function, known);
        match (node.get("good"), node.get("bad")) {
            (Some(_), None) => {
                let (good, total) = (self.counted(node, "good", function, known)?, total?);
                // Where nothing was good there may be no such series.
                Some(Bad::Events { bad: format!("({total}) - (({good}) or 0 * ({total}))"), total })
            }
            (None, Some(_)) => Some(Bad::Events { bad: self.counted(node, "bad", function, known)?, total: total? }),
            (Some(_), Some(_)) | (None, None) => {
                self.report(node, "a ratio has either `good` or `bad`", "add one of them, and `total`");
                None
            }
        }
    }

    fn counted(&mut self, node: &Node, field: &str, function: &str, known: &Known<'r>) -> Option<String> {
        let (place, text) = self.metric(node, field, known)?;
        match query::over_window(&text, function) {
            Ok(query) => self.query(place, query),
            Err(why) => {
                let hint = "write `[{{.window}}]` where the range of a window stands, or the counters alone";
                self.unsupported(place, format!("the query can't be asked over windows: {why}"), hint);
                None
            }
        }
    }

    fn raw(&mut self, node: &Node, raw: &Node, known: &Known<'r>) -> Option<Bad> {
        for field in ["good", "bad", "total"] {
            if let Some(place) = node.get(field) {
                self.report(place, format!("`{field}` and `raw` exclude each other"), "take one of them out");
            }
        }
        let kind = self.needed(node, "rawType")?;
        let (place, text) = self.metric(node, "raw", known)?;
        let query = match kind.as_str() {
            "failure" => text,
            "success" => format!("1 - ({text})"),
            other => {
                self.report(raw, format!("`{other}` is no `rawType`"), "write success or failure");
                return None;
            }
        };
        let query = self.query(place, query)?;
        Some(if has_window(&query) { Bad::Ratio(query) } else { Bad::Now(query) })
    }

    /// Beyond what a metric is bad, in PromQL, such as `> bool 0.5`.
    fn bad_beyond(&mut self, objective: &Node) -> Option<String> {
        let op = self.needed(objective, "op")?;
        // What is bad is the opposite; no number, such as the latency of no requests, is not bad.
        let bad = match op.as_str() {
            "lte" => ">",
            "lt" => ">=",
            "gte" => "<",
            "gt" => "<=",
            other => {
                self.report(objective, format!("`{other}` is no operator"), "write lte, lt, gte or gt");
                return None;
            }
        };
        let Some(value) = self.figure(objective, "value") else {
            self.report(objective, "`value` is missing", "add what the metric is compared with");
            return None;
        };
        Some(format!("{bad} bool {value}"))
    }

    fn threshold(&mut self, node: &Node, limit: &str, known: &Known<'r>) -> Option<Bad> {
        self.mapping(node, "`thresholdMetric`", &["metricSource"]);
        let (place, text) = self.source(node, known)?;
        if has_window(&text) {
            let hint = "write a fixed range; the metric is compared at each time, whatever the window";
            self.unsupported(place, "a threshold's query has no window", hint);
            return None;
        }
        Some(Bad::Now(self.query(place, format!("({text}) {limit}"))?))
    }

    /// The query of one of a ratio's metrics, and where it stands.
    fn metric<'n>(&mut self, node: &'n Node, field: &str, known: &Known<'r>) -> Option<(&'n Node, String)> {
        let Some(metric) = node.get(field) else {
            self.report(node, format!("`{field}` is missing"), &format!("add `{field}`"));
            return None;
        };
        self.mapping(metric, &format!("`{field}`"), &["metricSource"]);
        self.source(metric, known)
    }

    fn source<'n>(&mut self, node: &'n Node, known: &Known<'r>) -> Option<(&'n Node, String)> {
        let Some(source) = node.get("metricSource") else {
            self.report(
                node,
                "`metricSource` is missing",
                "add `metricSource: { type: Prometheus, spec: { query: ... } }`",
            );
            return None;
        };
        self.mapping(source, "`metricSource`", &["metricSourceRef", "type", "spec"]);
        let referred = match source.get("metricSourceRef") {
            Some(name) => known.find(self, "DataSource", name)?.1.get("spec"),
            None => None,
        };
        let kind = source.get("type").or_else(|| referred.and_then(|spec| spec.get("type")));
        match kind.and_then(Node::as_str) {
            Some(kind) if kind.eq_ignore_ascii_case("prometheus") => {}
            Some(other) => {
                let hint = "write `type: Prometheus`, and a query of PromQL";
                self.unsupported(source, format!("a source of type {other} can't be asked"), hint);
                return None;
            }
            None => {
                self.report(source, "the source has no type", "write `type: Prometheus`");
                return None;
            }
        }
        let spec = source.get("spec").filter(|spec| self.mapping(spec, "the source's `spec`", &["query", "promql"]));
        let field = if spec.is_some_and(|spec| spec.get("promql").is_some()) { "promql" } else { "query" };
        let text = self.needed(spec.unwrap_or(source), field)?;
        Some((spec.and_then(|spec| spec.get(field)).unwrap_or(source), text))
    }
}
