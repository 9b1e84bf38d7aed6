//! A test carried out: its series written and its rules evaluated, interval by interval.

use std::collections::{BTreeMap, BTreeSet};

use super::{AlertCase, Failure, Firing, QueryCase, Suite, Test, What};
use crate::evaluate::Options;
use crate::labels::Labels;
use crate::rules::alert::{self, Alerts, Standing};
use crate::rules::record::{ended, record};
use crate::rules::template::{self, Context};
use crate::rules::{Group, Rule, answer};
use crate::sample::Sample;
use crate::store::Memory;

/// Carries out a test on the rules of all files, in their order; gives what is not as expected.
pub fn run(suite: &Suite, test: &Test, groups: &[Group]) -> Vec<Failure> {
    let options = Options { subquery_step_ms: suite.interval_ms, ..Options::default() };
    let mut world = World { test, options, store: Written::default(), states: states(&suite.order, groups), loaded: 0 };
    let mut failures = Vec::new();
    let mut now_ms = 0;
    while now_ms <= test.ends_ms() {
        world.load(now_ms);
        let failed = world.evaluate(now_ms);
        if !failed.is_empty() {
            failures.extend(failed);
            return failures;
        }
        let until_ms = now_ms.saturating_add(suite.interval_ms);
        let due = test.alerts.iter().filter(|case| (now_ms..until_ms).contains(&case.at_ms));
        failures.extend(due.filter_map(|case| world.alerts(case)));
        now_ms = until_ms;
    }
    failures.extend(test.queries.iter().filter_map(|case| world.query(case)));
    failures
}

/// The rules in the order of their evaluation: those of groups in the order first, then all others.
fn states<'a>(order: &[String], groups: &'a [Group]) -> Vec<State<'a>> {
    let mut sorted: Vec<&Group> = groups.iter().collect();
    sorted.sort_by_key(|group| order.iter().position(|name| *name == group.name).unwrap_or(usize::MAX));
    let rules = sorted.into_iter().flat_map(|group| group.rules.iter().map(|rule| (rule, group.limit)));
    rules.map(|(rule, limit)| State { rule, limit, alerts: Alerts::new(), written: BTreeSet::new() }).collect()
}

/// A rule between two evaluations.
struct State<'a> {
    rule: &'a Rule,
    limit: Option<usize>,
    alerts: Alerts,
    /// What it wrote last time.
    written: BTreeSet<Labels>,
}

/// Samples, each series in the order of time.
#[derive(Default)]
struct Written {
    memory: Memory,
    last: BTreeMap<Labels, Sample>,
}

impl Written {
    fn push(&mut self, labels: &Labels, sample: Sample) -> Result<(), &'static str> {
        if let Some(last) = self.last.get(labels) {
            if last.timestamp > sample.timestamp {
                return Err("the series has a later sample already");
            }
            if last.timestamp == sample.timestamp {
                let same = last.value.to_bits() == sample.value.to_bits();
                return if same { Ok(()) } else { Err("the series has another sample at this time already") };
            }
        }
        self.memory.push(labels, sample);
        self.last.insert(labels.clone(), sample);
        Ok(())
    }
}

struct World<'a> {
    test: &'a Test,
    options: Options<'static>,
    store: Written,
    states: Vec<State<'a>>,
    /// How many values of each series are written.
    loaded: usize,
}

impl World<'_> {
    /// Writes the test's samples up to a time.
    fn load(&mut self, now_ms: i64) {
        let until = now_ms.checked_div(self.test.interval_ms).and_then(|index| usize::try_from(index + 1).ok());
        let until = until.unwrap_or(1);
        for (labels, values) in &self.test.series {
            let times = (0_i64..).map(|index| index * self.test.interval_ms);
            for (timestamp, value) in times.zip(values).take(until).skip(self.loaded) {
                if let Some(value) = value {
                    // Rules have written nothing since the evaluation before, so that it is the series' latest sample.
                    let _ = self.store.push(labels, Sample { timestamp, value: *value });
                }
            }
        }
        self.loaded = until;
    }

    /// Evaluates all rules once.
    fn evaluate(&mut self, now_ms: i64) -> Vec<Failure> {
        let mut failures = Vec::new();
        for state in &mut self.states {
            if let Err(why) = evaluated(state, &mut self.store, &self.options, self.test, now_ms) {
                let rule = name(state.rule).to_owned();
                failures.push(Failure { line: self.test.line, at_ms: now_ms, what: What::Rule { rule, why } });
            }
        }
        failures
    }

    fn alerts(&self, case: &AlertCase) -> Option<Failure> {
        let rules =
            self.states.iter().filter(|state| matches!(state.rule, Rule::Alerting(rule) if rule.alert == case.alert));
        let known = rules.clone().next().is_some();
        let firing = |(labels, alert): (&Labels, &alert::Alert)| {
            let labels = labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect();
            let fires = matches!(alert.standing, Standing::Firing { .. });
            fires.then(|| Firing { labels, annotations: alert.annotations.clone() })
        };
        let got = rules.flat_map(|state| state.alerts.iter().filter_map(firing)).collect();
        let (missing, surplus) = difference(case.expected.clone(), got, |left, right| left == right);
        let what = What::Alerts { alert: case.alert.clone(), known, missing, surplus };
        what.differs().then_some(Failure { line: case.line, at_ms: case.at_ms, what })
    }

    fn query(&self, case: &QueryCase) -> Option<Failure> {
        let what = match answer(&case.expression, &self.store.memory, case.at_ms, &self.options) {
            Ok(got) => {
                let (missing, surplus) = difference(case.expected.clone(), got, same);
                What::Samples { query: case.query.clone(), missing, surplus }
            }
            Err(error) => What::Query { query: case.query.clone(), why: error.to_string() },
        };
        what.differs().then_some(Failure { line: case.line, at_ms: case.at_ms, what })
    }
}

/// Whether it is the same sample; promtool never finds a NaN that it expects.
#[expect(clippy::float_cmp, reason = "expectations are held against exact values")]
fn same(left: &(Labels, f64), right: &(Labels, f64)) -> bool {
    left.0 == right.0 && (left.1 == right.1 || (left.1.is_nan() && right.1.is_nan()))
}

impl What {
    fn differs(&self) -> bool {
        match self {
            Self::Alerts { missing, surplus, .. } => !missing.is_empty() || !surplus.is_empty(),
            Self::Samples { missing, surplus, .. } => !missing.is_empty() || !surplus.is_empty(),
            Self::Query { .. } | Self::Rule { .. } => true,
        }
    }
}

fn name(rule: &Rule) -> &str {
    match rule {
        Rule::Recording(rule) => &rule.record,
        Rule::Alerting(rule) => &rule.alert,
    }
}

/// Evaluates a rule and writes what it gives.
fn evaluated(
    state: &mut State<'_>,
    store: &mut Written,
    options: &Options<'_>,
    test: &Test,
    now_ms: i64,
) -> Result<(), String> {
    let written = match state.rule {
        Rule::Recording(rule) => {
            let found = answer(&rule.expression, &store.memory, now_ms, options).map_err(|error| error.to_string())?;
            record(rule, found, state.limit).map_err(|error| error.to_string())?
        }
        Rule::Alerting(rule) => {
            let found = answer(&rule.expression, &store.memory, now_ms, options).map_err(|error| error.to_string())?;
            let context = Context { store: &store.memory, at_ms: now_ms, options, external: &test.external };
            let expand =
                |text: &str, labels: &Labels, value: f64| template::filled(&rule.alert, text, labels, value, &context);
            let after = alert::next(rule, &state.alerts, &found, now_ms, state.limit, &expand);
            state.alerts = after.map_err(|error| error.to_string())?;
            alert::series(&state.alerts)
        }
    };
    for labels in ended(&state.written, &written) {
        // As in Prometheus, a series that somebody else goes on with is not ended.
        let _ = store.push(&labels, Sample::stale(now_ms));
    }
    for (labels, value) in &written {
        let sample = Sample { timestamp: now_ms, value: *value };
        store.push(labels, sample).map_err(|why| format!("{labels} can't be written: {why}"))?;
    }
    state.written = written.into_iter().map(|(labels, _)| labels).collect();
    Ok(())
}

/// What is expected and not there, and what is there and not expected; each in the order of its list.
fn difference<T>(expected: Vec<T>, mut got: Vec<T>, same: impl Fn(&T, &T) -> bool) -> (Vec<T>, Vec<T>) {
    let mut missing = Vec::new();
    for wanted in expected {
        match got.iter().position(|found| same(found, &wanted)) {
            Some(at) => drop(got.swap_remove(at)),
            None => missing.push(wanted),
        }
    }
    (missing, got)
}
