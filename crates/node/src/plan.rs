//! Which replicas of one version to start and which to stop. Pure: the same sight gives the same plan.

use prograde_model::workload::RollingUpdate;

/// A replica that runs or is being started; ones on their way out are not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its name.
    pub(crate) id: String,
    /// Larger is younger.
    pub(crate) order: u64,
    /// Whether it was started from the workload and image that are wanted now.
    pub(crate) current: bool,
    /// Whether it is in the route.
    pub(crate) ready: bool,
    /// Whether it has been ready for `minReadySeconds`.
    pub(crate) available: bool,
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many to start.
    pub(crate) start: usize,
    /// Which to stop.
    pub(crate) stop: Vec<String>,
}

/// Compares `seen` with `wanted` replicas.
///
/// Scaling is at once. Where a version's workload changed under the same revision (a rotated secret, say), old replicas
/// are replaced within `maxSurge` and `maxUnavailable` (Kubernetes apps/v1, `RollingUpdateDeployment`).
pub(crate) fn plan(mut seen: Vec<Seen>, wanted: u32, rolling: RollingUpdate) -> Plan {
    let want = wanted as usize;
    // Victims in order: those not ready, then the youngest.
    seen.sort_by_key(|replica| (replica.ready, std::cmp::Reverse(replica.order)));
    let (current, old): (Vec<Seen>, Vec<Seen>) = seen.into_iter().partition(|replica| replica.current);
    let surplus = current.len().saturating_sub(want);
    let missing = want.saturating_sub(current.len());
    let mut stop: Vec<String> = current.iter().take(surplus).map(|replica| replica.id.clone()).collect();
    if old.is_empty() {
        return Plan { start: missing, stop };
    }

    let surge = rolling.max_surge.ceil_of(wanted) as usize;
    // Kubernetes takes both being 0 as one unavailable: else nothing could move.
    let unavailable = match rolling.max_unavailable.floor_of(wanted) as usize {
        0 if surge == 0 => 1,
        floor => floor,
    };
    let room = (want + surge).saturating_sub(current.len() + old.len());
    let available = current.iter().skip(surplus).chain(&old).filter(|replica| replica.available).count();
    let mut spare = available.saturating_sub(want.saturating_sub(unavailable));
    for replica in &old {
        if !replica.available {
            stop.push(replica.id.clone());
        } else if spare > 0 {
            spare -= 1;
            stop.push(replica.id.clone());
        }
    }
    Plan { start: missing.min(room), stop }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use prograde_model::workload::IntOrPercent;

    fn replica(id: &str, order: u64, current: bool, ready: bool) -> Seen {
        Seen { id: id.into(), order, current, ready, available: ready }
    }

    #[test]
    fn scaling_starts_what_is_missing_and_stops_the_least_useful() {
        let seen = vec![replica("a", 1, true, true), replica("b", 2, true, false), replica("c", 3, true, true)];
        let rolling = RollingUpdate::default();
        assert_eq!(plan(seen.clone(), 5, rolling), Plan { start: 2, stop: vec![] });
        assert_eq!(plan(seen.clone(), 2, rolling), Plan { start: 0, stop: vec!["b".into()] });
        assert_eq!(plan(seen.clone(), 1, rolling), Plan { start: 0, stop: vec!["b".into(), "c".into()] });
        assert_eq!(plan(seen, 3, rolling), Plan::default());
    }

    #[test]
    fn a_changed_workload_is_rolled_without_losing_capacity() {
        let rolling = RollingUpdate { max_surge: IntOrPercent::Int(1), max_unavailable: IntOrPercent::Int(0) };
        let old = vec![replica("a", 1, false, true), replica("b", 2, false, true)];
        assert_eq!(plan(old.clone(), 2, rolling), Plan { start: 1, stop: vec![] });
        let with_new = [old.clone(), vec![replica("c", 3, true, false)]].concat();
        assert_eq!(plan(with_new, 2, rolling), Plan::default(), "the new one is not ready yet");
        let with_ready = [old, vec![replica("c", 3, true, true)]].concat();
        assert_eq!(plan(with_ready, 2, rolling), Plan { start: 0, stop: vec!["b".into()] });
    }

    #[test]
    fn an_update_that_may_neither_surge_nor_lack_moves_one_at_a_time() {
        let rolling = RollingUpdate { max_surge: IntOrPercent::Int(0), max_unavailable: IntOrPercent::Int(0) };
        let old = vec![replica("a", 1, false, true), replica("b", 2, false, true)];
        assert_eq!(plan(old, 2, rolling), Plan { start: 0, stop: vec!["b".into()] });
    }

    proptest! {
        #[test]
        fn carrying_out_plans_ends_at_what_is_wanted(
            start in prop::collection::vec((any::<bool>(), any::<bool>()), 0..12), wanted in 0u32..8, surge in 0u32..3, lack in 0u32..3,
        ) {
            let rolling = RollingUpdate { max_surge: IntOrPercent::Int(surge), max_unavailable: IntOrPercent::Int(lack) };
            let mut seen: Vec<Seen> = start.iter().zip(0u64..).map(|((current, ready), n)| replica(&n.to_string(), n, *current, *ready)).collect();
            for round in 100u64..160 {
                let plan = plan(seen.clone(), wanted, rolling);
                seen.retain(|r| !plan.stop.contains(&r.id));
                for n in 0..plan.start as u64 {
                    seen.push(replica(&format!("{round}-{n}"), round * 100 + n, true, false));
                }
                for r in &mut seen {
                    r.ready = true;
                    r.available = true;
                }
            }
            prop_assert_eq!(seen.len(), wanted as usize);
            prop_assert!(seen.iter().all(|r| r.current));
        }
    }
}
