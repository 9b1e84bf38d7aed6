use proptest::prelude::*;

use super::*;

fn spec(metrics: Vec<Metric>) -> Autoscaling {
    let (scale_up, scale_down) = (ScalingRules::up(), ScalingRules::down());
    Autoscaling { min_replicas: 1, max_replicas: 20, metrics, scale_up, scale_down }
}

/// At half a processor for each replica.
fn half() -> Autoscaling {
    spec(vec![Metric::Cpu(Target::Average(500))])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn now(second: i64, replicas: u32) -> Situation {
    Situation { at: at(second), replicas, may_shrink: true }
}

fn reading(stage: Stage, cpu_milli: Option<u64>) -> Reading {
    Reading { stage, cpu_milli, memory_bytes: None, requests_milli: None }
}

/// Started replicas that use this much of a processor; none is not known.
fn cpu(used: &[Option<u64>]) -> Readings {
    let replicas = used.iter().map(|used| reading(Stage::Started, *used)).collect();
    Readings { replicas, beside: Beside::default() }
}

fn each(replicas: u32, used: u64) -> Readings {
    cpu(&vec![Some(used); usize::try_from(replicas).unwrap()])
}

/// What the metrics ask for.
fn asked(spec: &Autoscaling, current: u32, readings: &Readings) -> Option<u32> {
    metric::largest(spec, current, readings).map(|asked| asked.replicas)
}

/// Scaled down at once, as far as the metrics say.
fn eager(mut spec: Autoscaling) -> Autoscaling {
    spec.scale_down.stabilization_s = 0;
    spec
}

fn decide(spec: &Autoscaling, now: Situation, readings: &Readings) -> Option<u32> {
    Autoscaler::default().decide(spec, now, &[], readings).map(|scale| scale.replicas)
}

#[test]
fn the_formula() {
    let percent = |percent| spec(vec![Metric::Cpu(Target::Utilization { percent, request: 200 })]);
    for (name, spec, current, used, wanted) in [
        // The documentation's own: 200m where 100m is wanted doubles, 50m halves.
        ("double", spec(vec![Metric::Cpu(Target::Average(100))]), 3, 200, 6),
        ("half", spec(vec![Metric::Cpu(Target::Average(100))]), 4, 50, 2),
        // ceil(3 * 50 / 100) = ceil(1.5)
        ("rounded up", spec(vec![Metric::Cpu(Target::Average(100))]), 3, 50, 2),
        // 550 / 500 is 1.1, just within the tolerance, and so is 450 / 500 = 0.9; the next whole values are not.
        ("upper edge", half(), 10, 550, 10),
        ("over it", half(), 10, 551, 12),
        ("lower edge", half(), 10, 450, 10),
        ("under it", half(), 10, 449, 9),
        // 180m of 200m are 90%; ceil(4 * 90 / 60) = 6.
        ("utilization", percent(60), 4, 180, 6),
        // 133m of 200m are 66.5%, of which Kubernetes sees 66: 66 / 60 = 1.1 is tolerated.
        ("whole percent", percent(60), 4, 133, 4),
        ("idle", half(), 5, 0, 0),
    ] {
        assert_eq!(asked(&spec, current, &each(current, used)), Some(wanted), "{name}");
    }
}

#[test]
fn what_is_not_known_makes_changes_smaller() {
    let started = |used| reading(Stage::Started, Some(used));
    let with = |more: &[Reading], known: &[u64]| Readings {
        replicas: known.iter().map(|used| started(*used)).chain(more.iter().copied()).collect(),
        beside: Beside::default(),
    };
    let missing = reading(Stage::Started, None);
    let starting = reading(Stage::Starting, Some(9_000));
    let pending = reading(Stage::Pending, None);
    for (name, current, readings, wanted) in [
        // Up: 1000 / 500 = 2. The one that is missing counts 0: 3000 / 4 = 750, 1.5 * 4 = 6.
        ("missing, up", 4, with(&[missing], &[1_000; 3]), Some(6)),
        // Down: 100 / 500. The one that is missing counts 500: 800 / 4 = 200, 0.4 * 4 = 1.6, so 2.
        ("missing, down", 4, with(&[missing], &[100; 3]), Some(2)),
        // 560 / 500 = 1.12; with one at 0 it is 420 / 500: the other way, so nothing.
        ("missing, turned", 4, with(&[missing], &[560; 3]), Some(4)),
        // 400 / 500 = 0.8; with two at 500 it is 450 / 500 = 0.9, tolerated.
        ("missing, tolerated", 4, with(&[missing; 2], &[400; 2]), Some(4)),
        // What a starting replica burns says nothing; up, it counts 0: 2000 / 4 = 500, nothing.
        ("starting, up", 4, with(&[starting; 2], &[1_000; 2]), Some(4)),
        // 3000 / 4 = 750: 1.5 * 4 = 6.
        ("starting, up more", 4, with(&[starting], &[1_000; 3]), Some(6)),
        // Down it is left out: ceil(0.2 * 2) = 1.
        ("starting, down", 4, with(&[starting; 2], &[100; 2]), Some(1)),
        ("pending, up", 4, with(&[pending; 2], &[1_000; 2]), Some(4)),
        ("none known", 4, with(&[missing, starting, pending], &[]), None),
        ("none at all", 4, with(&[], &[]), None),
    ] {
        assert_eq!(asked(&half(), current, &readings), wanted, "{name}");
    }
}

#[test]
fn starting_replicas_count_for_what_is_not_the_processor() {
    let spec = spec(vec![Metric::Memory(Target::Average(100 << 20))]);
    let reading = |stage| Reading { stage, cpu_milli: None, memory_bytes: Some(150 << 20), requests_milli: None };
    let replicas = [Stage::Started, Stage::Starting].map(reading).to_vec();
    let scale = Autoscaler::default().decide(&spec, now(0, 2), &[], &Readings { replicas, beside: Beside::default() });
    let reason = "memory at 150 MiB for each replica, wanted 100 MiB".to_owned();
    assert_eq!(scale, Some(Scale { replicas: 3, reason }));
}

#[test]
fn the_largest_of_several_metrics_counts() {
    let metrics = vec![
        Metric::Cpu(Target::Average(500)),
        Metric::Memory(Target::Utilization { percent: 50, request: 1_000 }),
        Metric::Requests(Target::Average(10_000)),
    ];
    let spec = eager(spec(metrics));
    let of = |cpu_milli, memory_bytes, requests_milli| Readings {
        replicas: vec![Reading { stage: Stage::Started, cpu_milli, memory_bytes, requests_milli }; 4],
        beside: Beside::default(),
    };
    // 4 * 1000 / 500 = 8, 4 * 60 / 50 = 4.8, 4 * 15.5 / 10 = 6.2
    let all = of(Some(1_000), Some(600), Some(15_500));
    assert_eq!(asked(&spec, 4, &all), Some(8));
    let requests = of(Some(500), None, Some(15_500));
    let scale = Autoscaler::default().decide(&spec, now(0, 4), &[], &requests).unwrap();
    assert_eq!(scale.replicas, 7, "one that can't be told does not stop the others from asking for more");
    assert_eq!(scale.reason, "15.5 requests a second for each replica, wanted 10");
    assert_eq!(asked(&spec, 4, &of(Some(100), None, Some(1_000))), None, "but it does from asking for fewer");
    assert_eq!(asked(&spec, 4, &of(Some(100), Some(100), Some(1_000))), Some(1));
}

#[test]
fn what_the_candidate_carries_may_come_back() {
    let mut readings = each(4, 250);
    assert_eq!(asked(&half(), 4, &readings), Some(2), "half of the traffic is elsewhere");
    readings.beside.cpu_milli = 1_000;
    assert_eq!(asked(&half(), 4, &readings), Some(4), "and would be too much if it came back to fewer");
    readings.beside.cpu_milli = 2_000;
    assert_eq!(asked(&half(), 4, &readings), Some(6));
}

#[test]
fn a_number_out_of_bounds_is_put_right_at_once() {
    let mut spec = half();
    (spec.min_replicas, spec.max_replicas) = (3, 6);
    assert_eq!(decide(&spec, now(0, 2), &Readings::default()), Some(3));
    assert_eq!(decide(&spec, now(0, 9), &Readings::default()), Some(6));
    assert_eq!(decide(&spec, Situation { may_shrink: false, ..now(0, 9) }, &Readings::default()), None);
    assert_eq!(decide(&spec, now(0, 0), &Readings::default()), None, "what is off stays off");
    let scale = Autoscaler::default().decide(&eager(spec), now(0, 5), &[], &each(5, 900)).unwrap();
    assert_eq!(scale.reason, "cpu at 900m for each replica, wanted 500m; maxReplicas is 6");
}

#[test]
fn nothing_shrinks_while_a_rollout_goes_on() {
    let held = Situation { may_shrink: false, ..now(0, 8) };
    assert_eq!(decide(&eager(half()), held, &each(8, 10)), None);
    assert_eq!(decide(&eager(half()), now(0, 8), &each(8, 10)), Some(1));
    assert_eq!(decide(&eager(half()), held, &each(8, 700)), Some(12), "but it grows");
}

/// What a run of looks, 15 seconds apart, makes of loads in all.
fn run(spec: &Autoscaling, start: u32, loads: &[u64]) -> Vec<u32> {
    let (mut scaler, mut replicas, mut changes) = (Autoscaler::default(), start, Vec::new());
    let looks = (0_i64..).zip(loads).map(|(look, load)| {
        let now = now(15 * look, replicas);
        if let Some(scale) = scaler.decide(spec, now, &changes, &each(replicas, load / u64::from(replicas))) {
            changes.push(Scaling { at: now.at, before: replicas, replicas: scale.replicas });
            replicas = scale.replicas;
        }
        replicas
    });
    looks.collect()
}

#[test]
fn default_behaviour() {
    // Up: the larger of 4 more and a doubling every 15 seconds, to ceil(9900 / 500) = 20.
    assert_eq!(run(&half(), 1, &[9_900; 5]), [5, 10, 20, 20, 20]);
    // Down: for 300 seconds, which is 20 looks, the highest recommendation holds; then all at once.
    let loads = [vec![2_000], vec![400; 25]].concat();
    let wanted = [vec![4; 20], vec![1; 6]].concat();
    assert_eq!(run(&half(), 4, &loads), wanted);
}

#[test]
fn policies_of_the_documentation() {
    let pods = |value, period_s| Policy { size: PolicySize::Pods(value), period_s };
    let percent = |value, period_s| Policy { size: PolicySize::Percent(value), period_s };
    let shrunk = |select, policies: &[Policy]| {
        let mut spec = eager(half());
        spec.max_replicas = 100;
        spec.scale_down.policies = Policies::Selected(select, policies.to_vec());
        decide(&spec, now(0, 80), &each(80, 0))
    };
    // "The first policy (Pods) allows at most 4 replicas to be scaled down in one minute. The second policy (Percent)
    // allows at most 10% of the current replicas": of 80, 8 may go; with `Min` only 4.
    let both = [pods(4, 60), percent(10, 60)];
    assert_eq!(shrunk(Select::Max, &both), Some(72));
    assert_eq!(shrunk(Select::Min, &both), Some(76));
    // Of 72 again 10%, which are 7.2: down to 64.8, cut to 64.
    let mut spec = eager(half());
    spec.max_replicas = 100;
    spec.scale_down.policies = Policies::Selected(Select::Max, both.to_vec());
    let before = [Scaling { at: at(0), before: 80, replicas: 72 }];
    let again = |second| {
        let scale = Autoscaler::default().decide(&spec, now(second, 72), &before, &each(72, 0));
        scale.map(|scale| (scale.replicas, scale.reason))
    };
    assert_eq!(again(59), None, "within the minute there were 80, so it is at the limit");
    let reason = "cpu at 0m for each replica, wanted 500m; scaleDown allows 64 for now".to_owned();
    assert_eq!(again(60), Some((64, reason)));
    spec.scale_down.policies = Policies::Disabled;
    assert_eq!(decide(&spec, now(0, 80), &each(80, 0)), None);
    spec.scale_up.policies = Policies::Disabled;
    assert_eq!(decide(&spec, now(0, 80), &each(80, 900)), None);
}

#[test]
fn a_window_for_up_takes_the_lowest() {
    let mut spec = half();
    spec.scale_up.stabilization_s = 30;
    // A peak shorter than the window changes nothing; a longer one counts as low as it was.
    assert_eq!(run(&spec, 2, &[1_000, 4_000, 1_000, 1_000]), [2, 2, 2, 2]);
    assert_eq!(run(&spec, 2, &[1_000, 4_000, 3_000, 3_000]), [2, 2, 6, 6]);
}

fn policies() -> impl Strategy<Value = Policies> {
    let size = prop_oneof![(1_u32..9).prop_map(PolicySize::Pods), (1_u32..=300).prop_map(PolicySize::Percent)];
    let policy = (size, 1_u32..200).prop_map(|(size, period_s)| Policy { size, period_s });
    let select = prop_oneof![Just(Select::Max), Just(Select::Min)];
    let selected = (select, prop::collection::vec(policy, 1..4)).prop_map(|(s, list)| Policies::Selected(s, list));
    prop_oneof![8 => selected, 1 => Just(Policies::Disabled)]
}

fn any_spec() -> impl Strategy<Value = Autoscaling> {
    let rules =
        || {
            (0_u32..400, policies(), 0_u32..300).prop_map(|(stabilization_s, policies, tolerance_permille)| {
                ScalingRules { stabilization_s, policies, tolerance_permille }
            })
        };
    (1_u32..6, 0_u32..30, rules(), rules()).prop_map(|(min_replicas, more, scale_up, scale_down)| Autoscaling {
        min_replicas,
        max_replicas: min_replicas + more,
        metrics: vec![Metric::Cpu(Target::Average(500))],
        scale_up,
        scale_down,
    })
}

fn any_readings() -> impl Strategy<Value = Readings> {
    let stage = prop_oneof![1 => Just(Stage::Pending), 1 => Just(Stage::Starting), 6 => Just(Stage::Started)];
    let used = prop_oneof![1 => Just(None), 7 => (0_u64..3_000).prop_map(Some), 1 => Just(Some(u64::MAX))];
    let one = (stage, used).prop_map(|(stage, used)| reading(stage, used));
    (prop::collection::vec(one, 0..12), prop_oneof![Just(0), 0_u64..9_000])
        .prop_map(|(replicas, cpu_milli)| Readings { replicas, beside: Beside { cpu_milli, requests_milli: 0 } })
}

/// The most that a policy of its own allows, written down independently: from the number at the start of its period.
fn allowed(policy: &Policy, up: bool, start: u32) -> f64 {
    let start = f64::from(start);
    match (policy.size, up) {
        (PolicySize::Pods(pods), true) => start + f64::from(pods),
        (PolicySize::Pods(pods), false) => start - f64::from(pods),
        (PolicySize::Percent(percent), true) => (start * (1.0 + f64::from(percent) / 100.0)).ceil(),
        (PolicySize::Percent(percent), false) => (start * (1.0 - f64::from(percent) / 100.0)).floor(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_windows_and_policies_are_kept(
        spec in any_spec(),
        looks in prop::collection::vec((any_readings(), any::<bool>()), 1..60),
    ) {
        let (mut scaler, mut replicas, mut changes) = (Autoscaler::default(), spec.min_replicas, Vec::new());
        let (mut numbers, mut asked_for) = (Vec::<(Timestamp, u32)>::new(), Vec::new());
        for (look, (readings, may_shrink)) in (0_i64..).zip(&looks) {
            let now = Situation { may_shrink: *may_shrink, ..now(15 * look, replicas) };
            if let Some(asked) = asked(&spec, replicas, readings) {
                asked_for.push((now.at, asked));
            }
            let Some(scale) = scaler.decide(&spec, now, &changes, readings) else { continue };
            let up = scale.replicas > replicas;
            prop_assert!((spec.min_replicas..=spec.max_replicas).contains(&scale.replicas));
            prop_assert!(scale.replicas != replicas && (up || *may_shrink));
            let window = SignedDuration::from_secs(spec.scale_down.stabilization_s.into());
            let recent = asked_for.iter().filter(|(then, _)| now.at.duration_since(*then) < window);
            let highest = recent.map(|(_, n)| *n).max().unwrap_or(0).min(spec.max_replicas);
            prop_assert!(up || scale.replicas >= highest, "{} below {highest}", scale.replicas);
            let rules = if up { &spec.scale_up } else { &spec.scale_down };
            let Policies::Selected(select, policies) = &rules.policies else { return Err(TestCaseError::fail("off")) };
            let kept = policies.iter().filter(|policy| {
                // The number when the period began: that before the first change in it.
                let period = SignedDuration::from_secs(policy.period_s.into());
                let first = numbers.iter().find(|(then, _)| now.at.duration_since(*then) < period);
                let most = allowed(policy, up, first.map_or(replicas, |(_, before)| *before));
                // Within a rounding error of the independent calculation.
                if up { f64::from(scale.replicas) <= most + 1e-6 } else { f64::from(scale.replicas) >= most - 1.0 }
            });
            let kept = kept.count();
            prop_assert!(kept == policies.len() || (*select == Select::Max && kept > 0));
            numbers.push((now.at, replicas));
            changes.push(Scaling { at: now.at, before: replicas, replicas: scale.replicas });
            replicas = scale.replicas;
        }
    }
}
