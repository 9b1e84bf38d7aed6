//! What a judgment costs.

use std::hint::black_box;

use jiff::{SignedDuration, Timestamp};
use prograde_model::ids::{FlightId, Weight};
use prograde_model::judge::{Analysis, Evidence, Mark, Marks, SEGMENTS, Sample, judge, mark};
use prograde_model::quantity::Period;
use prograde_model::rollout::{Rollout, RolloutEvent, Start, Strategy};
use prograde_model::runtime::{Counters, Observation, Tally, VersionSeen};
use prograde_model::service::Step;
use tokio::time::Instant;

use super::stream::{Candidate, Rule, Streams, float};
use crate::table::median;

const JUDGMENTS: u32 = 20_000;

/// The bucket map of a count in a mark, as the standard library allocates it for few buckets.
const NODE_BYTES: usize = 128;
/// How long a step is.
const BAKE_S: u32 = 300;

/// Takes the requests of a stream at fixed weight, and keeps what was taken by every eighth of the step.
struct Taker(Sample, Vec<Sample>);

impl Rule for Taker {
    fn weight(&self) -> u8 {
        self.0.weight.percent()
    }

    fn request(&mut self, candidate: bool, bucket: usize, failed: bool) {
        let tally = if candidate { &mut self.0.candidate } else { &mut self.0.stable };
        tally.requests += 1;
        tally.failures += u64::from(failed);
        tally.latencies.add(bucket, 1);
    }

    fn decide(&mut self, tick: u64) -> super::stream::Decision {
        self.0.elapsed_ms = tick * 100;
        if tick.is_multiple_of(u64::from(BAKE_S) * 10 / u64::from(SEGMENTS)) {
            self.1.push(self.0.clone());
        }
        if tick < u64::from(BAKE_S) * 10 { super::stream::Decision::Continue } else { super::stream::Decision::Finish }
    }
}

/// What a rollout knows.
#[derive(Debug, serde::Serialize)]
pub(super) struct Stored {
    reference: Tally,
    earlier: Vec<Sample>,
    now: Sample,
    #[serde(skip)]
    marks: Vec<Mark>,
}

impl Stored {
    /// The marks of the last step.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    fn kept(&self) -> Option<Marks> {
        let mut marks = Marks::new(SEGMENTS)?;
        self.marks.iter().for_each(|mark| marks.add(mark.clone()));
        Some(marks)
    }
}

/// The third step of a rollout at 1,000 requests a second, with the latencies of all steps.
pub(super) fn typical(candidate: Candidate) -> Stored {
    let streams = Streams::new(1_000.0, candidate);
    let sample = |percent, seed| {
        let begin = Sample { weight: Weight::new(percent).unwrap_or(Weight::ALL), ..Sample::default() };
        let mut taker = Taker(begin, Vec::new());
        streams.run(&mut taker, seed);
        taker
    };
    let (reference, earlier) = (streams.reference(1), vec![sample(1, 1).0, sample(10, 2).0]);
    let Taker(now, mut by_then) = sample(50, 3);
    by_then.truncate(usize::try_from(SEGMENTS - 1).unwrap_or(0));
    let evidence = |now| Evidence { reference: &reference, earlier: &earlier, now, marks: None, next: None };
    let marks = by_then.iter().map(|now| mark(&Analysis::default(), &evidence(now))).collect();
    Stored { reference, earlier, now, marks }
}

/// Nanoseconds for one judgment, the median of nine measurements.
pub(super) fn judgment_ns(stored: &Stored) -> f64 {
    let next = Some(Weight::ALL);
    let (reference, earlier, marks) = (&stored.reference, &stored.earlier, stored.kept());
    let evidence = Evidence { reference, earlier, now: &stored.now, marks: marks.as_ref(), next };
    let analysis = Analysis::default();
    nanoseconds(|| {
        black_box(judge(black_box(&analysis), black_box(&evidence)));
    })
}

/// Nanoseconds for a look of a rollout whose first step bakes and can't be left yet.
pub(super) fn decision_ns(evidence: &Stored) -> f64 {
    let id = |digit: &str| digit.repeat(32).parse::<FlightId>().ok();
    let (Some(candidate), Some(stable)) = (id("c"), id("a")) else { return f64::NAN };
    let step = Step { weight: Weight::ALL, bake: Period::seconds(BAKE_S), mirror: Weight::ZERO };
    let start = Start {
        candidate: candidate.clone(),
        stable: Some(stable.clone()),
        strategy: Strategy::Canary { steps: vec![step], analysis: Analysis::default(), audience: None, stick_to: None },
        autoscaled: None,
        watch: None,
        replicas: 1,
        stable_replicas: 1,
        caution: None,
        progress_deadline_s: 60,
        segments: SEGMENTS,
    };
    let version = |revision, tally: &Tally| VersionSeen {
        available: 1,
        counters: Counters { requests: tally.requests, failures: tally.failures, latency_us_sum: 0 },
        latencies: tally.latencies.clone(),
        ..VersionSeen::none(revision)
    };
    let mut rollout = Rollout::new(start, Timestamp::UNIX_EPOCH);
    let first = Observation::of(vec![
        version(stable.clone(), &Tally::default()),
        version(candidate.clone(), &Tally::default()),
    ]);
    let marks = evidence.marks.iter().map(|mark| RolloutEvent::Marked { step: 0, mark: mark.clone() });
    for event in rollout.decide(&first, Timestamp::UNIX_EPOCH).into_iter().chain(marks) {
        if rollout.apply(&event, Timestamp::UNIX_EPOCH).is_err() {
            return f64::NAN;
        }
    }
    let seen =
        Observation::of(vec![version(stable, &evidence.now.stable), version(candidate, &evidence.now.candidate)]);
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::from(BAKE_S) - 1);
    nanoseconds(|| {
        black_box(black_box(&rollout).decide(black_box(&seen), now));
    })
}

/// What an evidence holds in memory, in bytes: its structures, and eight for each bucket up to the last that is used; marks
/// hold a few buckets only.
pub(super) fn memory_bytes(evidence: &Stored) -> f64 {
    let tallies = evidence.earlier.iter().chain([&evidence.now]).flat_map(|sample| [&sample.candidate, &sample.stable]);
    let buckets =
        tallies.chain([&evidence.reference]).map(|tally| tally.latencies.iter().last().map_or(0, |(at, _)| at + 1));
    let marks = evidence.marks.len() * (size_of::<(u32, Mark)>() + 2 * NODE_BYTES);
    let sizes = size_of::<Stored>() + evidence.earlier.len() * size_of::<Sample>() + marks;
    float((buckets.sum::<usize>() * 8 + sizes) as u64)
}

fn nanoseconds(mut what: impl FnMut()) -> f64 {
    let measured = (0..9).map(|_| {
        let begin = Instant::now();
        (0..JUDGMENTS).for_each(|_| what());
        float(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)) / f64::from(JUDGMENTS)
    });
    median(measured.collect())
}
