//! The four answers, and what every answer has to keep.

use super::*;
use crate::latency::Latencies;
use crate::quantity::{Factor, Period, Share};
use proptest::prelude::*;

/// Evidence that owns what it is made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) reference: Tally,
    pub(super) earlier: Vec<Sample>,
    pub(super) now: Sample,
    #[serde(skip)]
    pub(super) marks: Option<Marks>,
    pub(super) next: Option<Weight>,
}

impl Owned {
    pub(super) fn view(&self) -> Evidence<'_> {
        let marks = self.marks.as_ref();
        Evidence { reference: &self.reference, earlier: &self.earlier, now: &self.now, marks, next: self.next }
    }
}

fn weight(percent: u8) -> Weight {
    Weight::new(percent).unwrap()
}

fn tally(requests: u64, failures: u64) -> Tally {
    Tally { requests, failures, ..Tally::default() }
}

/// A step at 1% before one at 10%, after a day at ten requests a second.
fn step(candidate: (u64, u64), stable: (u64, u64)) -> Owned {
    let now = Sample {
        synthetic: None,
        weight: weight(1),
        candidate: tally(candidate.0, candidate.1),
        stable: tally(stable.0, stable.1),
        elapsed_ms: 10_000,
    };
    Owned { reference: tally(864_000, 864), now, next: Some(weight(10)), ..Owned::default() }
}

fn verdict(evidence: &Owned) -> Verdict {
    judge(&Analysis::default(), &evidence.view())
}

fn missing(of: &Verdict) -> u64 {
    match of {
        Verdict::Inconclusive { requests_missing, .. } => *requests_missing,
        Verdict::Pass | Verdict::Fail { .. } | Verdict::Error { .. } => panic!("{of:?}"),
    }
}

#[test]
fn four_answers_to_four_situations() {
    assert_eq!(verdict(&step((60, 0), (5_940, 6))), Verdict::Pass);
    assert!(matches!(verdict(&step((20, 6), (1_980, 2))), Verdict::Fail { .. }));
    assert!(matches!(verdict(&step((3, 0), (300, 0))), Verdict::Inconclusive { doubt: None, .. }));
    assert!(matches!(verdict(&step((3, 4), (300, 0))), Verdict::Error { .. }));
    assert!(matches!(verdict(&step((3, 0), (300, 301))), Verdict::Error { .. }));
}

#[test]
fn missing_requests_are_exactly_what_is_missing() {
    for failures in [0, 1] {
        let at = |requests| verdict(&step((requests, failures), (10_000, 10 * failures)));
        let now = at(2);
        let more = missing(&now);
        assert_eq!(at(2 + more), Verdict::Pass, "{failures}");
        assert_ne!(at(2 + more - 1), Verdict::Pass, "{failures}");
        let Verdict::Inconclusive { expected_in_s, .. } = now else { panic!() };
        assert_eq!(expected_in_s, Some(more * 5), "two requests in ten seconds");
    }
    let Verdict::Inconclusive { expected_in_s, .. } = verdict(&step((0, 0), (0, 0))) else { panic!() };
    assert_eq!(expected_in_s, None);
}

#[test]
fn an_outage_that_both_suffer_is_not_the_candidates() {
    assert!(!matches!(verdict(&step((400, 40), (39_600, 3_960))), Verdict::Fail { .. }));
    assert!(matches!(verdict(&step((400, 40), (39_600, 4))), Verdict::Fail { .. }));
}

#[test]
fn what_is_suspected_holds_a_step_and_says_so() {
    let verdict = verdict(&step((60, 1), (5_940, 0)));
    let Verdict::Inconclusive { doubt: Some(_), .. } = &verdict else { panic!("{verdict:?}") };
    assert!(
        verdict.to_string().contains("; in doubt: 1 of 60 (1.7%) requests failed, of the stable version's 0 of 5940"),
        "{verdict}"
    );
}

#[test]
fn failures_that_do_not_matter_are_no_reason_to_go_back() {
    let few = step((1_000_000, 8), (99_000_000, 10));
    assert!(evidence_of_harm(&Analysis::default(), &few.view()) < 1.0);
    assert_eq!(verdict(&few), Verdict::Pass);
}

#[test]
fn a_difference_that_nobody_would_notice_is_tolerated() {
    let rare = step((932, 2), (92_309, 0));
    let strict = Analysis { failure_slack: Share::basis_points(0), ..Analysis::default() };
    assert!(matches!(judge(&strict, &rare.view()), Verdict::Fail { .. }));
    assert!(!matches!(verdict(&rare), Verdict::Fail { .. }));
    assert!(matches!(verdict(&step((932, 12), (92_309, 0))), Verdict::Fail { .. }));
}

#[test]
fn a_good_past_does_not_hide_a_bad_present() {
    let good = Sample { elapsed_ms: 300_000, ..step((3_000, 3), (297_000, 297)).now };
    let mut evidence = step((30_000, 300), (270_000, 270));
    evidence.now.weight = weight(10);
    evidence.earlier = vec![good];
    assert!(matches!(verdict(&evidence), Verdict::Fail { .. }));
}

/// Three minutes in which nothing was wrong, marked, and two seconds more at a thousand requests a second.
fn three_good_minutes_and(candidate: (u64, u64), stable: (u64, u64)) -> Owned {
    let mut evidence = marked(step((1_800, 2), (178_200, 178)), 180_000);
    let now = &mut evidence.now;
    (now.elapsed_ms, now.candidate) = (182_000, tally(1_800 + candidate.0, 2 + candidate.1));
    now.stable = tally(178_200 + stable.0, 178 + stable.1);
    evidence
}

/// With a mark of what it has shown so far.
fn marked(mut evidence: Owned, elapsed_ms: u64) -> Owned {
    evidence.now.elapsed_ms = elapsed_ms;
    let mark = mark(&Analysis::default(), &evidence.view());
    evidence.marks = Marks::new(SEGMENTS);
    evidence.marks.iter_mut().for_each(|marks| marks.add(mark.clone()));
    evidence
}

#[test]
fn trouble_that_begins_within_a_step_is_not_hidden_by_what_was_before() {
    let bad = three_good_minutes_and((20, 5), (1_980, 2));
    let as_a_whole = Owned { marks: None, ..bad.clone() };
    assert!(!matches!(verdict(&as_a_whole), Verdict::Fail { .. }), "{}", verdict(&as_a_whole));
    let said = verdict(&bad).to_string();
    let begins =
        "bad: 5 of 20 (25%) requests failed since minute 3 of the step, of the stable version's 2 of 1980 (0.10%);";
    assert!(said.starts_with(begins), "{said}");
    assert_ne!(verdict(&three_good_minutes_and((20, 0), (1_980, 2))), verdict(&bad));
    // What both suffer for two seconds is not the candidate's.
    assert!(!matches!(verdict(&three_good_minutes_and((20, 5), (1_980, 495))), Verdict::Fail { .. }));
}

#[test]
fn what_is_suspected_since_a_mark_holds_a_step_however_good_it_was_before() {
    let mut late = marked(step((18_000, 18), (1_782_000, 1_782)), 1_800_000);
    late.now.candidate = tally(18_020, 21);
    late.now.stable = tally(1_783_980, 1_784);
    let said = verdict(&late);
    assert!(matches!(said, Verdict::Inconclusive { doubt: Some(_), .. }), "{said}");
    assert!(said.to_string().contains("in doubt: 3 of 20 (15%) requests failed since minute 30 of the step"), "{said}");
    assert_eq!(verdict(&Owned { marks: None, ..late }), Verdict::Pass);
}

/// A runtime may lose what it counted, and a version may be asked by nobody for a while.
#[test]
fn a_mark_that_counters_fell_below_says_nothing() {
    let mut evidence = three_good_minutes_and((20, 5), (1_980, 2));
    let unmarked = |evidence: &Owned| Owned { marks: Marks::new(SEGMENTS), ..evidence.clone() };
    for (candidate, stable) in [((900, 5), (180_180, 180)), ((1_820, 1), (180_180, 180)), ((1_820, 7), (90_000, 90))] {
        evidence.now.candidate = tally(candidate.0, candidate.1);
        evidence.now.stable = tally(stable.0, stable.1);
        assert_eq!(verdict(&evidence), verdict(&unmarked(&evidence)), "{candidate:?} {stable:?}");
    }
    let silent = three_good_minutes_and((20, 5), (0, 0));
    assert_eq!(verdict(&silent), verdict(&unmarked(&silent)), "nobody to be compared with since");
}

#[test]
fn in_the_watch_and_in_latencies_trouble_may_begin_within_a_step_too() {
    let mut evidence = step((100_000, 100), (0, 0));
    evidence.now.weight = Weight::ALL;
    evidence.next = None;
    let mut late = marked(evidence, 180_000);
    late.now.candidate = tally(100_100, 112);
    let Verdict::Fail { finding: Some(finding), .. } = verdict(&late) else { panic!("{}", verdict(&late)) };
    assert_eq!((finding.since_ms, finding.candidate), (Some(180_000), Part { counted: 12, requests: 100 }));
    assert!(!matches!(verdict(&Owned { marks: None, ..late }), Verdict::Fail { .. }));

    let mut evidence = step((3_000, 0), (297_000, 297));
    evidence.reference.latencies = with_slow(10_000, 400);
    evidence.now.candidate.latencies = with_slow(3_000, 200);
    evidence.now.stable.latencies = with_slow(297_000, 200);
    let mut late = marked(evidence, 180_000);
    late.now.candidate.requests += 60;
    late.now.candidate.latencies.merge(&latencies(200, 60));
    late.now.stable.requests += 5_940;
    late.now.stable.latencies.merge(&with_slow(5_940, 200));
    let said = verdict(&late).to_string();
    let slow =
        said.starts_with("bad: 60 of 60 (100%) requests took 1") && said.contains(" since minute 3 of the step,");
    assert!(slow, "{said}");
}

/// One in fifty takes longer.
fn with_slow(count: u64, slow_ms: u64) -> Latencies {
    let mut latencies = latencies(50, count - count / 50);
    (0..count / 50).for_each(|_| latencies.record(1_000 * slow_ms));
    latencies
}

#[test]
fn where_nobody_runs_beside_it_the_past_is_compared_with() {
    let alone = |failures| {
        let mut evidence = step((10_000, failures), (0, 0));
        evidence.now.weight = Weight::ALL;
        evidence.next = None;
        verdict(&evidence)
    };
    assert_eq!(alone(10), Verdict::Pass);
    assert!(matches!(alone(100), Verdict::Fail { .. }));
    // Nothing is known of anybody: the absolute limit counts.
    let mut evidence = step((1_000, 60), (0, 0));
    evidence.now.weight = Weight::ALL;
    evidence.reference = Tally::default();
    assert!(matches!(verdict(&evidence), Verdict::Fail { .. }));
}

fn latencies(from_ms: u64, count: u64) -> Latencies {
    let mut latencies = Latencies::default();
    (0..count).for_each(|i| latencies.record(1_000 * (from_ms + i % 40)));
    latencies
}

#[test]
fn a_slow_candidate_fails_and_one_as_slow_as_the_stable_version_does_not() {
    let at = |from_ms| {
        let mut evidence = step((300, 0), (29_700, 30));
        evidence.reference.latencies = latencies(50, 10_000);
        evidence.now.candidate.latencies = latencies(from_ms, 300);
        evidence.now.stable.latencies = latencies(50, 29_700);
        verdict(&evidence)
    };
    assert_eq!(at(50), Verdict::Pass);
    let slow = at(100);
    let Verdict::Fail { finding: Some(finding), .. } = &slow else { panic!("{slow:?}") };
    assert!(matches!(finding.measure, Measure::Latency { .. }));
    let said =
        "bad: 119 of 300 (40%) requests took 123 ms or longer, of the stable version's 0 of 29700 (0%) took 98 ms";
    assert!(slow.to_string().starts_with(said), "{slow}");
    // Both became slower: not the candidate's doing.
    let mut evidence = step((300, 0), (29_700, 30));
    evidence.reference.latencies = latencies(50, 10_000);
    evidence.now.candidate.latencies = latencies(100, 300);
    evidence.now.stable.latencies = latencies(100, 29_700);
    assert_eq!(verdict(&evidence), Verdict::Pass);
}

#[test]
fn latency_is_not_judged_where_that_is_switched_off() {
    let mut evidence = step((300, 0), (29_700, 30));
    evidence.reference.latencies = latencies(50, 10_000);
    evidence.now.candidate.latencies = latencies(500, 300);
    evidence.now.stable.latencies = latencies(50, 29_700);
    let off = Analysis { latency_ratio_max: Factor::percent(0), ..Analysis::default() };
    assert_eq!(judge(&off, &evidence.view()), Verdict::Pass);
    let slack = Analysis { latency_slack: Period::seconds(1), ..Analysis::default() };
    assert_eq!(judge(&slack, &evidence.view()), Verdict::Pass);
}

#[test]
fn a_verdict_can_be_stored_and_judged_again() {
    let evidence = step((20, 6), (1_980, 2));
    let stored = serde_json::to_string(&evidence).unwrap();
    let read: Owned = serde_json::from_str(&stored).unwrap();
    assert_eq!(verdict(&read), verdict(&evidence));
    let said = serde_json::to_string(&verdict(&evidence)).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&said).unwrap(), verdict(&evidence));
    let tolerant = Analysis {
        failure_ratio_max: Factor::percent(50_000),
        failure_share_max: Share::basis_points(5_000),
        ..Analysis::default()
    };
    assert!(!matches!(judge(&tolerant, &read.view()), Verdict::Fail { .. }));
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let problem = |change: fn(&mut Analysis)| {
        let mut analysis = Analysis::default();
        change(&mut analysis);
        analysis.problem().unwrap_or_default()
    };
    assert_eq!(Analysis::default().problem(), None);
    assert!(problem(|a| a.failure_share_max = Share::basis_points(0)).starts_with("`failure_share_max` (0%)"));
    assert!(problem(|a| a.failure_share_detect = Share::basis_points(0)).starts_with("`failure_share_detect` (0%)"));
    assert!(problem(|a| a.false_alarm_max = Share::basis_points(5_000)).starts_with("`false_alarm_max` (50%)"));
    assert!(problem(|a| a.failure_ratio_max = Factor::percent(99)).starts_with("`failure_ratio_max` (0.99)"));
    assert!(problem(|a| a.failure_slack = Share::basis_points(100)).starts_with("`failure_slack` (1%)"));
    assert!(problem(|a| a.latency_ratio_max = Factor::percent(50)).starts_with("`latency_ratio_max` (0.5)"));
}

fn any_tally() -> impl Strategy<Value = Tally> {
    let count = prop_oneof![0u64..100, 0u64..1_000_000, any::<u64>()];
    let latencies = prop::collection::vec((0usize..400, prop_oneof![0u64..1000, any::<u64>()]), 0..6);
    (count.clone(), count, latencies).prop_map(|(requests, failures, buckets)| {
        let mut latencies = Latencies::default();
        for (bucket, count) in buckets {
            latencies.add(bucket, count);
        }
        Tally { requests, failures: failures.min(requests.saturating_add(1)), latencies, ..Tally::default() }
    })
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (0u8..=100, any_tally(), any_tally(), any::<u64>()).prop_map(|(percent, candidate, stable, elapsed_ms)| Sample {
        synthetic: None,
        weight: weight(percent),
        candidate,
        stable,
        elapsed_ms,
    })
}

fn any_count() -> impl Strategy<Value = Count> {
    let count = || prop_oneof![0u64..100, any::<u64>()];
    let slow = prop::collection::btree_map(0u16..400, count(), 0..6);
    (count(), count(), count(), slow).prop_map(|(requests, failures, timed, slow)| Count {
        requests,
        failures,
        timed,
        slow,
    })
}

fn any_marks() -> impl Strategy<Value = Option<Marks>> {
    let mark = (any::<u64>(), any_count(), any_count()).prop_map(|(elapsed_ms, candidate, stable)| Mark {
        elapsed_ms,
        candidate,
        stable,
    });
    (0u32..20, prop::collection::vec(mark, 0..20)).prop_map(|(segments, all)| {
        let mut marks = Marks::new(segments)?;
        for mark in all {
            marks.add(mark);
        }
        Some(marks)
    })
}

prop_compose! {
    fn any_evidence()(reference in any_tally(), earlier in prop::collection::vec(any_sample(), 0..4), now in any_sample(),
                      marks in any_marks(), next in prop::option::of(0u8..=100)) -> Owned {
        Owned { reference, earlier, now, marks, next: next.map(weight) }
    }
}

prop_compose! {
    fn any_analysis()(max in 0u16..=10_000, detect in 0u16..=10_000, alarm in 0u16..=10_000, ratio in 0u16..=50_000,
                      latency in 0u16..=50_000, slack in any::<u32>(), failure_slack in 0u16..=10_000) -> Analysis {
        Analysis {
            failure_share_max: Share::basis_points(max),
            failure_share_detect: Share::basis_points(detect),
            false_alarm_max: Share::basis_points(alarm),
            failure_ratio_max: Factor::percent(ratio),
            failure_slack: Share::basis_points(failure_slack),
            latency_ratio_max: Factor::percent(latency),
            latency_slack: Period::milliseconds(slack),
            ..Analysis::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was counted and set, there is a verdict, a finite number behind it, and it survives being stored.
    #[test]
    fn every_evidence_has_a_verdict(analysis in any_analysis(), evidence in any_evidence()) {
        let verdict = judge(&analysis, &evidence.view());
        prop_assert!(!evidence_of_harm(&analysis, &evidence.view()).is_nan());
        prop_assert!(!verdict.to_string().contains("NaN"));
        let stored = serde_json::to_string(&verdict).unwrap();
        prop_assert_eq!(serde_json::from_str::<Verdict>(&stored).unwrap(), verdict);
    }

    /// A further failure of the candidate never makes it look better, one of the stable version never makes it look worse.
    #[test]
    fn evidence_is_monotone(requests in 200u64..10_000, failures in 0u64..100, stable in 20_000u64..1_000_000, theirs in 0u64..1000) {
        let harm = |ours, theirs| evidence_of_harm(&Analysis::default(), &step((requests, ours), (stable, theirs)).view());
        prop_assert!(harm(failures + 1, theirs) >= harm(failures, theirs));
        prop_assert!(harm(failures, theirs + 1) <= harm(failures, theirs));
    }
}

/// The numbers of `docs/concepts/judging.md`.
#[test]
fn the_worked_example_is_as_documented() {
    let evidence = |failures| evidence_of_harm(&Analysis::default(), &step((300, failures), (29_700, 30)).view());
    let shown: Vec<String> = (0..=6).map(|failures| format!("{:.2}", evidence(failures))).collect();
    assert_eq!(shown, ["0.00", "0.24", "0.74", "2.97", "15.57", "103.91", "851.07"]);
    let said = [(6, 300, 29_700), (4, 300, 29_700), (0, 3, 297)]
        .map(|(failures, ours, theirs)| verdict(&step((ours, failures), (theirs, theirs / 990))).to_string());
    assert_eq!(
        said,
        [
            "bad: 6 of 300 (2.0%) requests failed, of the stable version's 30 of 29700 (0.10%); chance alone does that in \
             less than 1 of 852 rollouts",
            "needs 290 more requests, in about 10 s; in doubt: 4 of 300 (1.3%) requests failed, of the stable version's 30 of \
             29700 (0.10%); chance alone does that in less than 1 of 16 rollouts",
            "needs 3 more requests, in about 10 s",
        ]
    );
    assert_eq!(format!("{:.0}", Analysis::default().evidence_needed()), "111");
    let late = |failures| three_good_minutes_and((20, failures), (1_980, 2));
    let shown = |cut: fn(Owned) -> Owned| -> Vec<String> {
        let harm = |failures| evidence_of_harm(&Analysis::default(), &cut(late(failures)).view());
        (0..=4).map(|failures| format!("{:.2}", harm(failures))).collect()
    };
    assert_eq!(shown(|late| Owned { marks: None, ..late }), ["0.00", "0.04", "0.08", "0.15", "0.31"]);
    assert_eq!(shown(|late| late), ["0.00", "0.06", "0.46", "11.83", "464.51"]);
    assert_eq!(
        verdict(&late(4)).to_string(),
        "bad: 4 of 20 (20%) requests failed since minute 3 of the step, of the stable version's 2 of 1980 (0.10%); chance \
         alone does that in less than 1 of 465 rollouts"
    );
}
