//! What each metric asks for ("Algorithm details"): `ceil(replicas * used / wanted)`, less whatever is not known yet.

use std::cmp::Ordering;

use super::spec::{Autoscaling, Metric, Target};

/// How far a replica has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has no process.
    Pending,
    /// It has never been ready, or what is measured began before it was.
    Starting,
    /// It has been ready.
    Started,
}

/// What one replica uses; none where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// How far it has come.
    pub stage: Stage,
    /// Thousandths of a processor, on average since the last look.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a request a second, on average since the last look.
    pub requests_milli: Option<u64>,
}

/// What other versions use while a rollout goes on, which the version that is scaled may have to carry again. Memory does
/// not come back with the traffic and is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Thousandths of a request a second.
    pub requests_milli: u64,
}

/// What is seen of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readings {
    /// Its replicas, those on their way out left out.
    pub replicas: Vec<Reading>,
    /// What others carry for it.
    pub beside: Beside,
}

/// What the metrics ask for.
pub(super) struct Asked {
    pub(super) replicas: u32,
    pub(super) reason: String,
}

/// The largest number that a metric asks for. None where none can be told; nor where one can't be told and the others
/// ask for fewer than now.
pub(super) fn largest(spec: &Autoscaling, current: u32, readings: &Readings) -> Option<Asked> {
    let asked: Vec<Option<Asked>> = spec.metrics.iter().map(|metric| one(spec, metric, current, readings)).collect();
    let is_partial = asked.iter().any(Option::is_none);
    // The first of equals, as the manifest has it.
    let most = asked.into_iter().flatten().reduce(|a, b| if b.replicas > a.replicas { b } else { a })?;
    (!is_partial || most.replicas >= current).then_some(most)
}

/// How much is used of how much is wanted.
#[derive(Clone, Copy)]
struct Ratio {
    used: u128,
    wanted: u128,
}

impl Ratio {
    fn direction(self) -> Ordering {
        self.used.cmp(&self.wanted)
    }

    fn is_tolerated(self, spec: &Autoscaling) -> bool {
        let permille = 1_000 * self.used;
        let least = 1_000_u128.saturating_sub(spec.scale_down.tolerance_permille.into());
        let most = 1_000 + u128::from(spec.scale_up.tolerance_permille);
        (self.wanted * least..=self.wanted * most).contains(&permille)
    }

    fn of(self, replicas: u64) -> u32 {
        let wanted = (self.used * u128::from(replicas)).div_ceil(self.wanted.max(1));
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }
}

impl Target {
    /// The average over so many replicas that use `sum` together, in whole units or percent as Kubernetes has it.
    fn ratio(self, sum: u128, replicas: u64) -> Ratio {
        let replicas = u128::from(replicas.max(1));
        match self {
            Self::Average(wanted) => Ratio { used: sum / replicas, wanted: wanted.into() },
            Self::Utilization { percent, request } => {
                Ratio { used: 100 * sum / (replicas * u128::from(request.max(1))), wanted: percent.into() }
            }
        }
    }

    /// What a replica uses that uses just what is wanted.
    fn value(self) -> u128 {
        match self {
            Self::Average(wanted) => wanted.into(),
            Self::Utilization { percent, request } => u128::from(percent) * u128::from(request) / 100,
        }
    }
}

/// What is known and not known of one metric.
struct Known {
    sum: u128,
    count: u64,
    missing: u64,
    set_aside: u64,
}

impl Metric {
    fn target(self) -> Target {
        match self {
            Self::Cpu(target) | Self::Memory(target) | Self::Requests(target) => target,
        }
    }

    fn of(self, reading: &Reading) -> Option<u64> {
        match self {
            Self::Cpu(_) => reading.cpu_milli,
            Self::Memory(_) => reading.memory_bytes,
            Self::Requests(_) => reading.requests_milli,
        }
    }

    /// A starting replica may burn much to get ready; only for the processor it is set aside.
    fn sets_aside(self, stage: Stage) -> bool {
        match (stage, self) {
            (Stage::Pending, _) | (Stage::Starting, Self::Cpu(_)) => true,
            (Stage::Starting, Self::Memory(_) | Self::Requests(_)) | (Stage::Started, _) => false,
        }
    }

    fn known(self, readings: &Readings) -> Known {
        let beside = match self {
            Self::Cpu(_) => readings.beside.cpu_milli,
            Self::Requests(_) => readings.beside.requests_milli,
            Self::Memory(_) => 0,
        };
        let mut known = Known { sum: beside.into(), count: 0, missing: 0, set_aside: 0 };
        for reading in &readings.replicas {
            if self.sets_aside(reading.stage) {
                known.set_aside += 1;
            } else if let Some(used) = self.of(reading) {
                known.sum += u128::from(used);
                known.count += 1;
            } else {
                known.missing += 1;
            }
        }
        known
    }

    /// What is used for each replica, in words.
    fn told(self, ratio: Ratio) -> String {
        let thousandths = |of: u128| match of % 1_000 {
            0 => (of / 1_000).to_string(),
            rest => format!("{}.{rest:03}", of / 1_000).trim_end_matches('0').to_owned(),
        };
        let (used, wanted) = (ratio.used, ratio.wanted);
        match self {
            Self::Cpu(Target::Utilization { .. }) => format!("cpu at {used}% of the request, wanted {wanted}%"),
            Self::Memory(Target::Utilization { .. }) => format!("memory at {used}% of the request, wanted {wanted}%"),
            Self::Cpu(Target::Average(_)) => format!("cpu at {used}m for each replica, wanted {wanted}m"),
            Self::Memory(Target::Average(_)) => {
                format!("memory at {} MiB for each replica, wanted {} MiB", used >> 20, wanted >> 20)
            }
            Self::Requests(_) => {
                let (used, wanted) = (thousandths(used), thousandths(wanted));
                format!("{used} requests a second for each replica, wanted {wanted}")
            }
        }
    }
}

fn one(spec: &Autoscaling, metric: &Metric, current: u32, readings: &Readings) -> Option<Asked> {
    let known = metric.known(readings);
    if known.count == 0 {
        return None;
    }
    let target = metric.target();
    let ratio = target.ratio(known.sum, known.count);
    Some(Asked { replicas: replicas(spec, target, current, &known, ratio), reason: metric.told(ratio) })
}

fn replicas(spec: &Autoscaling, target: Target, current: u32, known: &Known, ratio: Ratio) -> u32 {
    let direction = ratio.direction();
    let counts_aside = known.set_aside > 0 && direction == Ordering::Greater;
    if !counts_aside && known.missing == 0 {
        return if ratio.is_tolerated(spec) { current } else { ratio.of(known.count) };
    }
    // What is not known is taken for what makes the change smaller.
    let (mut sum, mut count) = (known.sum, known.count);
    match direction {
        Ordering::Less => {
            sum += u128::from(known.missing) * target.value();
            count += known.missing;
        }
        Ordering::Greater => count += known.missing,
        Ordering::Equal => {}
    }
    if counts_aside {
        count += known.set_aside;
    }
    let again = target.ratio(sum, count);
    let replicas = again.of(count);
    let turns = again.direction() != direction || replicas.cmp(&current) == direction.reverse();
    if again.is_tolerated(spec) || turns { current } else { replicas }
}
