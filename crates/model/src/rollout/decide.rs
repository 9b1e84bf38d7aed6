//! The facts that follow from what is seen. Same state, same observation, same time, same answer.

use jiff::{SignedDuration, Timestamp};

use super::{Baking, Cause, Phase, Promoted, Rollout, RolloutEvent, Strategy, Watched};
use crate::ids::Weight;
use crate::judge::{self, Analysis, Evidence, Sample, Undecided, Verdict};
use crate::metric::{self, MetricSummary, Together};
use crate::quantity::Period;
use crate::runtime::{Counters, Observation, Tally, VersionSeen};
use crate::service::Step;

/// Restarts of a candidate's replicas, counted within a step, that are taken for a crash loop.
const CRASHES_MAX: u32 = 3;
/// No watch ends before it was looked for so long without a break, or for all of its period if that is shorter.
const WATCHED_MIN: SignedDuration = SignedDuration::from_mins(15);

impl Rollout {
    /// The facts that follow from what is seen now.
    pub fn decide(&self, seen: &Observation, now: Timestamp) -> Vec<RolloutEvent> {
        let decided = match &self.phase {
            Phase::Preparing { step, since } => self.decide_preparing(*step, *since, seen, now),
            Phase::Baking(baking) => self.decide_baking(baking, seen, now),
            Phase::Withdrawing { .. } => self.decide_withdrawing(seen),
            Phase::Promoted(promoted) => self.decide_promoted(promoted, seen, now),
            Phase::Withdrawn { .. } => None,
        };
        decided.into_iter().collect()
    }

    fn decide_preparing(
        &self,
        step: u32,
        since: Timestamp,
        seen: &Observation,
        now: Timestamp,
    ) -> Option<RolloutEvent> {
        let candidate = self.candidate_in(seen);
        let available = candidate.map_or(0, |c| c.available);
        let restarts = candidate.map_or(0, |c| c.restarts);
        let next = self.step(step);
        match next {
            // All steps are passed, or the strategy has none and every replica is there.
            None if available >= self.start.replicas => {
                let stable = tally(self.stable_in(seen));
                return Some(RolloutEvent::Promoted { candidate: tally(candidate), stable });
            }
            Some(next) if available >= self.capacity_at(step) => {
                return Some(RolloutEvent::StepEntered {
                    step,
                    weight: next.weight,
                    candidate: tally(candidate),
                    stable: tally(self.stable_in(seen)),
                    mirrored: candidate.map(|c| c.mirrored.clone()).unwrap_or_default(),
                    restarts,
                });
            }
            None | Some(_) => {}
        }
        if self.start.strategy == Strategy::Return {
            return None;
        }
        let detail = || candidate.and_then(|c| c.waiting.clone());
        if restarts >= CRASHES_MAX && available == 0 {
            return Some(failed(Cause::Crashing { restarts, detail: detail() }, Sample::default(), Vec::new()));
        }
        // Replicas that came up while nobody looked are seen in a moment; that time is not held against them.
        if seen.looked(since, now).as_secs() >= self.deadline_s(available) {
            return Some(failed(Cause::NeverAvailable { detail: detail() }, Sample::default(), Vec::new()));
        }
        None
    }

    /// How long the candidate may take to become available, in seconds. In a rolling update the time begins again with each
    /// replica that comes up (Kubernetes, `progressDeadlineSeconds`); when that was is not seen, so each gives all of it.
    fn deadline_s(&self, available: u32) -> i64 {
        let turns = match self.start.strategy {
            Strategy::Rolling { .. } => i64::from(available).saturating_add(1),
            Strategy::Recreate | Strategy::BlueGreen { .. } | Strategy::Return | Strategy::Canary { .. } => 1,
        };
        i64::from(self.start.progress_deadline_s).saturating_mul(turns)
    }

    fn decide_baking(&self, baking: &Baking, seen: &Observation, now: Timestamp) -> Option<RolloutEvent> {
        let analysis = self.start.strategy.analysis()?;
        let (step, rules) = (baking.step, self.step(baking.step)?);
        let evidence = self.sample(baking, &rules, seen, now);
        let metrics = metric::summaries(self, seen, now);
        let candidate = self.candidate_in(seen);
        let restarts = candidate.map_or(0, |c| c.restarts).saturating_sub(baking.restarts);
        if restarts >= CRASHES_MAX {
            let cause = Cause::Crashing { restarts, detail: candidate.and_then(|c| c.waiting.clone()) };
            return Some(failed(cause, evidence, metrics));
        }
        let elapsed = u128::from(evidence.elapsed_ms);
        let baked = elapsed >= rules.bake.duration().unsigned_abs().as_millis();
        let patience = rules.bake.duration().saturating_add(analysis.wait_max.duration()).unsigned_abs().as_millis();
        // Either may fail the step; only both together let it pass.
        let (verdict, metric) = match (self.judged(analysis, &rules, step, &evidence), metric::together(&metrics)) {
            (Verdict::Fail { limit, finding }, _) => {
                return Some(failed(Cause::Judged { step, limit, finding }, evidence, metrics));
            }
            (_, Together::Fail(metric)) => return Some(failed(over_limit(step, metric), evidence, metrics)),
            (Verdict::Pass, Together::Pass) if baked => {
                return Some(RolloutEvent::StepPassed { step, evidence, metrics, by: None });
            }
            (Verdict::Pass, Together::Pass) => return self.mark(analysis, step, rules.bake, &evidence),
            (verdict, Together::Held(metric)) => (verdict, Some(metric.to_string())),
            (verdict @ (Verdict::Inconclusive { .. } | Verdict::Error { .. }), Together::Pass) => (verdict, None),
        };
        // While nobody looked, nothing could be judged: after a long absence it is looked for a while before it is given up.
        let looked = seen.looked(baking.since, now) >= rules.bake.duration();
        if elapsed >= patience && looked {
            Some(failed(Cause::NotJudged { step, verdict, metric }, evidence, metrics))
        } else if baked && !baking.held {
            Some(RolloutEvent::StepHeld { step, verdict, evidence, metrics })
        } else {
            self.mark(analysis, step, rules.bake, &evidence)
        }
    }

    /// The mark of a step, or of the watch, that goes on, when it is time for one.
    fn mark(&self, analysis: &Analysis, step: u32, bake: Period, now: &Sample) -> Option<RolloutEvent> {
        self.marks()?.is_due(bake, now).then(|| {
            let evidence = self.evidence(now, None);
            RolloutEvent::Marked { step, mark: judge::mark(analysis, &evidence) }
        })
    }

    /// The candidate has left once it has no replica and no traffic. It is not waited for the stable version: should
    /// that be unwell too, the rollout has to end all the same.
    fn decide_withdrawing(&self, seen: &Observation) -> Option<RolloutEvent> {
        let candidate = self.candidate_in(seen);
        let gone = candidate.is_none_or(|c| c.replicas == 0 && c.weight == Weight::ZERO);
        let counters = candidate.map_or_else(Counters::default, |c| c.counters);
        gone.then_some(RolloutEvent::Withdrawn { candidate: counters })
    }

    /// While it is watched, only a clear failure counts: it serves, so there is nothing to wait for.
    fn decide_promoted(&self, promoted: &Promoted, seen: &Observation, now: Timestamp) -> Option<RolloutEvent> {
        let watch = self.start.watch.as_ref().filter(|_| promoted.watched == Watched::Watching)?;
        let evidence = self.sample_after(promoted, seen, now);
        let period = watch.period.duration();
        let over = u128::from(evidence.elapsed_ms) >= period.unsigned_abs().as_millis()
            && seen.looked(promoted.since, now) >= period.min(WATCHED_MIN);
        let step = u32::try_from(self.passed.len()).unwrap_or(u32::MAX);
        let metrics = metric::summaries(self, seen, now);
        match (self.judge(&watch.analysis, &evidence, None), metric::together(&metrics)) {
            (Verdict::Fail { limit, finding }, _) => {
                Some(failed(Cause::Judged { step, limit, finding }, evidence, metrics))
            }
            (_, Together::Fail(metric)) => Some(failed(over_limit(step, metric), evidence, metrics)),
            (
                Verdict::Pass | Verdict::Inconclusive { .. } | Verdict::Error { .. },
                Together::Pass | Together::Held(_),
            ) if over => Some(RolloutEvent::Watched { evidence, metrics }),
            (
                Verdict::Pass | Verdict::Inconclusive { .. } | Verdict::Error { .. },
                Together::Pass | Together::Held(_),
            ) => self.mark(&watch.analysis, step, watch.period, &evidence),
        }
    }

    /// Another release enters, so this one is not watched any longer.
    pub fn end_watch(&self, seen: &Observation, now: Timestamp) -> Option<RolloutEvent> {
        let Phase::Promoted(promoted) = &self.phase else { return None };
        let evidence = self.sample_after(promoted, seen, now);
        let metrics = metric::summaries(self, seen, now);
        (promoted.watched == Watched::Watching).then_some(RolloutEvent::Watched { evidence, metrics })
    }

    /// A person lets the step pass that is held because it can't be judged.
    pub fn pass_held(&self, by: &str, seen: &Observation, now: Timestamp) -> Option<RolloutEvent> {
        let Phase::Baking(baking) = &self.phase else { return None };
        let asks = self.start.strategy.analysis().is_some_and(|analysis| analysis.undecided == Undecided::Ask);
        let rules = self.step(baking.step).filter(|_| asks && baking.held)?;
        let evidence = self.sample(baking, &rules, seen, now);
        let metrics = metric::summaries(self, seen, now);
        // What the next look would take back, nobody lets pass.
        if matches!(metric::together(&metrics), Together::Fail(_)) {
            return None;
        }
        Some(RolloutEvent::StepPassed { step: baking.step, evidence, metrics, by: Some(by.to_owned()) })
    }

    /// The judgment of the step that bakes now, or of the watch after it, for people who watch.
    pub fn judgment(&self, seen: &Observation, now: Timestamp) -> Option<(Verdict, Sample)> {
        match &self.phase {
            Phase::Baking(baking) => {
                let rules = self.step(baking.step)?;
                let evidence = self.sample(baking, &rules, seen, now);
                Some((self.judged(self.start.strategy.analysis()?, &rules, baking.step, &evidence), evidence))
            }
            Phase::Promoted(promoted) if promoted.watched == Watched::Watching => {
                let evidence = self.sample_after(promoted, seen, now);
                Some((self.judge(&self.start.watch.as_ref()?.analysis, &evidence, None), evidence))
            }
            Phase::Promoted(_) | Phase::Preparing { .. } | Phase::Withdrawing { .. } | Phase::Withdrawn { .. } => None,
        }
    }

    /// What the judge says of evidence that was stored in this state, by settings made from those of the rollout.
    pub fn verdict_on(&self, evidence: &Sample, settings: impl Fn(&Analysis) -> Analysis) -> Option<Verdict> {
        match &self.phase {
            Phase::Baking(baking) => {
                let rules = self.step(baking.step)?;
                Some(self.judged(&settings(self.start.strategy.analysis()?), &rules, baking.step, evidence))
            }
            Phase::Promoted(_) => Some(self.judge(&settings(&self.start.watch.as_ref()?.analysis), evidence, None)),
            Phase::Preparing { .. } | Phase::Withdrawing { .. } | Phase::Withdrawn { .. } => None,
        }
    }

    /// A step in which no request reaches the candidate has nothing to be judged by; it is there for people to look.
    fn judged(&self, analysis: &Analysis, rules: &Step, step: u32, evidence: &Sample) -> Verdict {
        let reached = rules.weight > Weight::ZERO || rules.mirror > Weight::ZERO;
        if !reached && self.start.strategy.audience().is_none() {
            return Verdict::Pass;
        }
        self.judge(analysis, evidence, self.step(step.saturating_add(1)).map(|next| next.weight))
    }

    fn judge(&self, analysis: &Analysis, now: &Sample, next: Option<Weight>) -> Verdict {
        judge::judge(analysis, &self.evidence(now, next))
    }

    /// All that a verdict on `now` is based on in this state.
    pub fn evidence<'a>(&'a self, now: &'a Sample, next: Option<Weight>) -> Evidence<'a> {
        Evidence { reference: &self.reference, earlier: &self.passed, now, marks: self.marks(), next }
    }

    /// What a step has shown so far. Copies count where requests are copied, as nobody else reaches the candidate then.
    fn sample(&self, baking: &Baking, rules: &Step, seen: &Observation, now: Timestamp) -> Sample {
        let candidate = self.candidate_in(seen);
        let mirrored = rules.weight == Weight::ZERO && rules.mirror > Weight::ZERO;
        let requests = if mirrored {
            candidate.map(|c| c.mirrored.since(&baking.mirrored)).unwrap_or_default()
        } else {
            tally(candidate).since(&baking.candidate)
        };
        Sample {
            weight: if mirrored { rules.mirror } else { rules.weight },
            candidate: requests,
            stable: tally(self.stable_in(seen)).since(&baking.stable),
            elapsed_ms: elapsed_ms(baking.since, now),
            synthetic: metric::sent(self, baking.step, seen),
        }
    }

    fn sample_after(&self, promoted: &Promoted, seen: &Observation, now: Timestamp) -> Sample {
        Sample {
            weight: Weight::ALL,
            candidate: tally(self.candidate_in(seen)).since(&promoted.before),
            stable: Tally::default(),
            elapsed_ms: elapsed_ms(promoted.since, now),
            synthetic: None,
        }
    }
}

fn elapsed_ms(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0)
}

fn tally(seen: Option<&VersionSeen>) -> Tally {
    seen.map(VersionSeen::tally).unwrap_or_default()
}

fn failed(cause: Cause, evidence: Sample, metrics: Vec<MetricSummary>) -> RolloutEvent {
    RolloutEvent::Failed { cause, evidence, metrics, serves_on: false }
}

/// Why a metric takes the candidate back in a step.
fn over_limit(step: u32, metric: &MetricSummary) -> Cause {
    Cause::Metric { step, name: metric.name.clone(), detail: metric.reason.clone() }
}
