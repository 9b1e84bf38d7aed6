//! Past rollouts judged again: from the facts that are stored, under the settings that they had or under others.
//!
//! Steps are judged again on what they had shown when they ended, so a release that other settings would have stopped
//! earlier is told to fail in that step, not at which request.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Event, Place};
use crate::judge::{Analysis, Sample, Verdict};
use crate::metric::MetricSummary;
use crate::rollout::{Cause, Phase, Rollout, RolloutEvent};

/// A verdict of the past, and what is said today on the same evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// When.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// The step, from 0; none in the watch after the last.
    pub step: Option<u32>,
    /// What came of it then.
    pub then: Then,
    /// On what evidence.
    pub evidence: Sample,
    /// What metrics said; they are not measured again.
    pub metrics: Vec<MetricSummary>,
    /// What the judge says on it; none where there was nothing to judge, as before the first request.
    pub verdict: Option<Verdict>,
}

/// What came of a step, or of the watch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "then")]
pub enum Then {
    /// It passed.
    Passed {
        /// Who let it pass, where the evidence alone did not.
        by: Option<String>,
    },
    /// It was held, as it could not be judged yet.
    Held,
    /// The release was taken back.
    Failed {
        /// Why.
        cause: Cause,
    },
}

fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// Every verdict in a flight's facts, in order. `settings` gives those to judge by from those of the time.
pub fn judgments(
    facts: impl IntoIterator<Item = (Timestamp, Event)>,
    settings: impl Fn(&Analysis) -> Analysis,
) -> Vec<Judged> {
    let mut rollouts: BTreeMap<Place, Rollout> = BTreeMap::new();
    let mut judged = Vec::new();
    for (at, event) in facts {
        let Event::Rollout { place, event } = event else { continue };
        if let RolloutEvent::Started(start) = event {
            rollouts.insert(place, Rollout::new(start, at));
            continue;
        }
        let Some(rollout) = rollouts.get_mut(&place) else { continue };
        if let Some((then, evidence, metrics)) = then(&event) {
            let step = match &rollout.phase {
                Phase::Baking(baking) => Some(baking.step),
                Phase::Preparing { step, .. } => Some(*step),
                Phase::Withdrawing { .. } | Phase::Promoted(_) | Phase::Withdrawn { .. } => None,
            };
            let verdict = rollout.verdict_on(evidence, &settings);
            let place = place.clone();
            let (evidence, metrics) = (evidence.clone(), metrics.to_vec());
            judged.push(Judged { place, at, step, then, evidence, metrics, verdict });
        }
        // What does not fit was not taken in then either.
        let _conflict = rollout.apply(&event, at);
    }
    judged
}

fn then(event: &RolloutEvent) -> Option<(Then, &Sample, &[MetricSummary])> {
    match event {
        RolloutEvent::StepHeld { evidence, metrics, .. } => Some((Then::Held, evidence, metrics)),
        RolloutEvent::StepPassed { evidence, metrics, by, .. } => {
            Some((Then::Passed { by: by.clone() }, evidence, metrics))
        }
        RolloutEvent::Watched { evidence, metrics } => Some((Then::Passed { by: None }, evidence, metrics)),
        RolloutEvent::Failed { cause, evidence, metrics, .. } => {
            Some((Then::Failed { cause: cause.clone() }, evidence, metrics))
        }
        RolloutEvent::Started(_)
        | RolloutEvent::StepEntered { .. }
        | RolloutEvent::Marked { .. }
        | RolloutEvent::Promoted { .. }
        | RolloutEvent::Withdrawn { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Share;
    use crate::testing::{Ill, Story, id, production};

    fn facts(story: &Story, flight: char) -> Vec<(Timestamp, Event)> {
        story.journal.iter().filter(|r| r.flight == id(flight)).map(|r| (r.at, r.event.clone())).collect()
    }

    #[test]
    fn what_was_decided_then_is_what_is_said_today_under_the_same_settings() {
        let mut story = Story::new(&production());
        story.push('a').run().push('b').run().push_ill('c', Ill::Requests).run();
        let good = judgments(facts(&story, 'b'), Clone::clone);
        assert_eq!(good.len(), 2, "{good:?}");
        assert!(
            good.iter().all(|j| j.then == Then::Passed { by: None } && j.verdict == Some(Verdict::Pass)),
            "{good:?}"
        );
        let bad = judgments(facts(&story, 'c'), Clone::clone);
        assert!(matches!(&bad[..], [Judged { step: Some(0), verdict: Some(Verdict::Fail { .. }), .. }]), "{bad:?}");
    }

    #[test]
    fn other_settings_say_otherwise() {
        let mut story = Story::new(&production());
        story.push('a').run().push('b').run();
        let strict = |then: &Analysis| Analysis {
            failure_share_max: Share::basis_points(1),
            failure_share_detect: Share::basis_points(2),
            ..then.clone()
        };
        let judged = judgments(facts(&story, 'b'), strict);
        assert!(judged.iter().any(|j| matches!(j.verdict, Some(Verdict::Inconclusive { .. }))), "{judged:?}");
    }
}
