//! The measures of a range: by service, or by period.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::level::{Placed, Year};
use super::period::{Every, Span};
use super::statistics::{float, quantile, wilson};
use super::{Deployment, History};
use crate::ids::{EnvironmentName, ServiceName, Target};

/// How many values a median must rest on before it is given a level: of five, the true median lies between the smallest and
/// the largest in 15 of 16 cases, as all five lie on one side of it in 2 of 32.
const ENOUGH: u64 = 5;
/// The most periods of a report.
const PERIODS_MAX: usize = 4_000;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Of one service only.
    pub service: Option<ServiceName>,
    /// Of this environment; else of the last one of each flight's, as production is.
    pub environment: Option<EnvironmentName>,
    /// Of this time.
    pub span: Span,
    /// In rows by what.
    pub by: By,
    /// Whose midnight is the border of periods.
    pub zone: TimeZone,
    /// By whose levels, if levels are wanted.
    pub levels: Option<Year>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A service in an environment.
    Service,
    /// A period.
    Period(Every),
}

/// The range has too many periods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the range has more than {PERIODS_MAX} periods, or none")]
pub struct TooManyPeriods;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From when: as asked, or since the records begin.
    pub from: String,
    /// Until when.
    pub until: String,
    /// The time zone of the periods' borders.
    pub time_zone: String,
    /// Whose levels, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<Year>,
    /// The report that they are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels_source: Option<String>,
    /// Whether the deployments were read from tags, not from the journal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The services or periods, in order.
    pub rows: Vec<Row>,
    /// All of them together.
    pub total: Measures,
    /// Deployments that have not come to an end: counted nowhere.
    pub on_their_way: u64,
    /// How often a clock was set back while the journal was written: durations across that are wrong.
    pub clock_set_back: u64,
}

/// One service or one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// From when, RFC 3339 with the zone's offset.
    pub from: String,
    /// Until when, likewise.
    pub until: String,
    /// What was measured.
    #[serde(flatten)]
    pub measures: Measures,
}

/// The five measures, each with how many it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// How many days there were.
    pub days: f64,
    /// Deployments that had all traffic.
    pub deployments: u64,
    /// The same a day.
    pub deployments_per_day: f64,
    /// From commit to all traffic.
    pub lead_time: Spread,
    /// From push to all traffic: the part of it that Prograde has in hand.
    pub from_push: Spread,
    /// Deployments that failed, of all that came to an end.
    pub failures: Proportion,
    /// How many of those failed before they had all traffic.
    pub stopped_early: u64,
    /// From the first request that a failing deployment had until something good had all traffic.
    pub recovery: Spread,
    /// Failures that have not been recovered from.
    pub unrecovered: u64,
    /// Deployments that are repairs, of all that came to an end.
    pub rework: Proportion,
    /// The levels, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<Levels>,
}

/// Durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many there are.
    pub n: u64,
    /// The median, in milliseconds.
    pub median_ms: Option<u64>,
    /// What nine of ten do not exceed.
    pub p90_ms: Option<u64>,
    /// How many were left out because they end before they begin, as when clocks disagree.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// A share of deployments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many.
    pub n: u64,
    /// Of how many.
    pub of: u64,
    /// The share, from 0 to 1; none of none.
    pub share: Option<f64>,
    /// Where the true share lies in 19 of 20 cases.
    pub interval: Option<(f64, f64)>,
}

/// The level of each measure that has levels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Of the deployments a day.
    pub frequency: Placed,
    /// Of the median lead time.
    pub lead_time: Placed,
    /// Of the share of failures.
    pub failures: Placed,
    /// Of that share's interval: all levels that it can be.
    pub failures_interval: Placed,
    /// Of the median time to recover.
    pub recovery: Placed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Answers a question from what a journal knows of deployments.
pub fn report(history: &History, question: &Question) -> Result<Report, TooManyPeriods> {
    let found = history.deployments();
    let mut answer = of(&found, history.began_at(), question)?;
    answer.clock_set_back = history.stepped_back();
    Ok(answer)
}

/// Answers a question from deployments, of which nothing is known before `began_at`.
pub fn of(
    deployments: &[Deployment],
    began_at: Option<Timestamp>,
    question: &Question,
) -> Result<Report, TooManyPeriods> {
    let asked = question.span;
    // Before records begin there is no telling how often anything was deployed.
    let span = Span { from: began_at.map_or(asked.from, |began| began.max(asked.from).min(asked.until)), ..asked };
    let meant: Vec<&Deployment> = deployments.iter().filter(|d| question.means(d)).collect();
    let within: Vec<&Deployment> =
        meant.iter().copied().filter(|d| d.at().is_some_and(|at| span.contains(at))).collect();
    let measured = |found: &[&Deployment], span: Span| measures(found, span, question.levels);
    let rows = match question.by {
        By::Service => by_service(&within)
            .into_iter()
            .map(|(target, found)| Row {
                service: Some(target.service.clone()),
                environment: Some(target.environment.clone()),
                ..question.row(span, measured(&found, span))
            })
            .collect(),
        By::Period(every) => {
            let periods = every.cut(span, &question.zone, PERIODS_MAX).ok_or(TooManyPeriods)?;
            let row = |period: Span| {
                let found: Vec<_> =
                    within.iter().copied().filter(|d| d.at().is_some_and(|at| period.contains(at))).collect();
                question.row(period, measured(&found, period))
            };
            periods.into_iter().map(row).collect()
        }
    };
    let on_their_way = meant.iter().filter(|d| d.at().is_none() && span.contains(d.deployed_at)).count();
    Ok(Report {
        from: question.time(span.from),
        until: question.time(span.until),
        time_zone: question.zone.iana_name().unwrap_or("UTC").to_owned(),
        levels: question.levels,
        levels_source: question.levels.map(|year| year.source().to_owned()),
        imported: false,
        rows,
        total: measured(&within, span),
        on_their_way: on_their_way as u64,
        clock_set_back: 0,
    })
}

fn by_service<'a>(found: &[&'a Deployment]) -> BTreeMap<&'a Target, Vec<&'a Deployment>> {
    let mut by = BTreeMap::<_, Vec<_>>::new();
    for deployment in found {
        by.entry(&deployment.target).or_default().push(*deployment);
    }
    by
}

impl Question {
    fn means(&self, deployment: &Deployment) -> bool {
        let place = match &self.environment {
            Some(name) => deployment.target.environment == *name,
            None => deployment.last,
        };
        place && self.service.as_ref().is_none_or(|name| deployment.target.service == *name)
    }

    fn time(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        format!("{}{}", zoned.datetime(), offset(zoned.offset().seconds()))
    }

    fn row(&self, span: Span, measures: Measures) -> Row {
        Row { service: None, environment: None, from: self.time(span.from), until: self.time(span.until), measures }
    }
}

/// An offset as RFC 3339 has it.
fn offset(seconds: i32) -> String {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
    if seconds == 0 { "Z".to_owned() } else { format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60) }
}

fn measures(found: &[&Deployment], span: Span, levels: Option<Year>) -> Measures {
    let days = span.days();
    let reached = || found.iter().filter_map(|d| Some((*d, d.reached_at?)));
    let deployments = reached().count() as u64;
    let failed: Vec<_> = found.iter().filter(|d| d.failed_at.is_some()).collect();
    let of = found.len() as u64;
    let mut measures = Measures {
        days,
        deployments,
        deployments_per_day: if days > 0.0 { float(deployments) / days } else { 0.0 },
        lead_time: Spread::of(reached().flat_map(|(d, at)| d.committed_at.iter().map(move |from| (*from, at)))),
        from_push: Spread::of(reached().filter_map(|(d, at)| Some((d.pushed_at?, at)))),
        failures: Proportion::of(failed.len() as u64, of),
        stopped_early: failed.iter().filter(|d| d.is_stopped_early()).count() as u64,
        recovery: Spread::of(failed.iter().filter_map(|d| Some((d.served_at?, d.restored_at?)))),
        unrecovered: failed.iter().filter(|d| d.served_at.is_some() && d.restored_at.is_none()).count() as u64,
        rework: Proportion::of(found.iter().filter(|d| d.rework).count() as u64, of),
        levels: None,
    };
    measures.levels = levels.map(|year| placed(&measures, year));
    measures
}

fn placed(measures: &Measures, year: Year) -> Levels {
    let median = |spread: &Spread| spread.median_ms.filter(|_| spread.n >= ENOUGH);
    let enough = measures.failures.of >= ENOUGH;
    let levels_of = |share: f64| year.failures(share).levels;
    let mut interval: Vec<_> = measures.failures.interval.map_or_else(Vec::new, |(low, high)| {
        let (mut best, worst) = (levels_of(low), levels_of(high));
        best.extend(worst);
        best
    });
    interval.sort_unstable();
    interval.dedup();
    Levels {
        frequency: if measures.deployments >= ENOUGH {
            year.frequency(measures.deployments_per_day)
        } else {
            Placed::default()
        },
        lead_time: median(&measures.lead_time).map_or_else(Placed::default, |ms| year.lead_time(ms)),
        failures: measures.failures.share.filter(|_| enough).map_or_else(Placed::default, |share| year.failures(share)),
        failures_interval: Placed { levels: interval },
        recovery: median(&measures.recovery).map_or_else(Placed::default, |ms| year.recovery(ms)),
    }
}

impl Spread {
    fn of(stretches: impl Iterator<Item = (Timestamp, Timestamp)>) -> Self {
        let (mut values, mut left_out) = (Vec::new(), 0);
        for (from, until) in stretches {
            match u64::try_from(until.duration_since(from).as_millis()) {
                Ok(ms) => values.push(ms),
                Err(_) => left_out += 1,
            }
        }
        values.sort_unstable();
        Self { n: values.len() as u64, median_ms: quantile(&values, 50), p90_ms: quantile(&values, 90), left_out }
    }
}

impl Proportion {
    fn of(n: u64, of: u64) -> Self {
        Self { n, of, share: (of > 0).then(|| float(n) / float(of)), interval: wilson(n, of) }
    }
}
