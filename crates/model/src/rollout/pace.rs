//! How much slower a release goes where the error budget is nearly spent: longer steps, then smaller ones as well.
//!
//! A bad release that is watched for longer at a smaller share costs less of what is left. What mends something goes as it is
//! declared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::strategy::Strategy;
use crate::ids::Weight;
use crate::service::Step;

/// Below this share of the budget steps take twice as long.
const LONGER_BELOW: f64 = 0.5;
/// Below this share they take four times as long, and steps are put in between.
const SMALLER_BELOW: f64 = 0.25;

/// Why a release goes slower than its service declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Caution {
    /// Whose error budget it is.
    pub objective: String,
    /// The share of it that is left.
    pub left: f64,
}

impl Caution {
    /// None where enough is left.
    pub fn of(objective: &str, left: f64) -> Option<Self> {
        (left < LONGER_BELOW).then(|| Self { objective: objective.to_owned(), left })
    }

    fn bake_factor(&self) -> u32 {
        if self.left < SMALLER_BELOW { 4 } else { 2 }
    }

    fn is_smaller(&self) -> bool {
        self.left < SMALLER_BELOW
    }
}

impl std::fmt::Display for Caution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.is_smaller() { "in smaller and longer steps" } else { "in longer steps" };
        write!(f, "{how}, as {:.0}% of the error budget of {} is left", self.left * 100.0, self.objective)
    }
}

impl Strategy {
    /// As it is with so little of the budget left. Strategies that are not judged have no pace.
    #[must_use]
    pub fn paced(self, caution: &Caution) -> Self {
        let factor = caution.bake_factor();
        match self {
            Self::Canary { steps, analysis, audience, stick_to } => {
                let steps = if caution.is_smaller() { halved(&steps) } else { steps };
                let steps = steps.into_iter().map(|step| Step { bake: step.bake.times(factor), ..step }).collect();
                Self::Canary { steps, analysis, audience, stick_to }
            }
            Self::BlueGreen { preview, keep, analysis } => {
                Self::BlueGreen { preview: preview.times(factor), keep: keep.times(factor), analysis }
            }
            Self::Recreate | Self::Rolling { .. } | Self::Return => self,
        }
    }
}

/// With a step in the middle of each two that are further apart than one percent: at their geometric mean, for what a step
/// may cost is a multiple of the step before.
fn halved(steps: &[Step]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::with_capacity(steps.len() * 2);
    for step in steps {
        if let Some(between) = found.last().and_then(|before| between(before, step)) {
            found.push(between);
        }
        found.push(*step);
    }
    found
}

fn between(before: &Step, after: &Step) -> Option<Step> {
    let (low, high) = (before.weight.percent(), after.weight.percent());
    // A step that sends nobody there has no middle that could be a multiple of it.
    let low = low.max(1);
    let product = u16::from(low) * u16::from(high);
    let weight =
        u8::try_from(product.isqrt()).ok().filter(|middle| before.weight.percent() < *middle && *middle < high)?;
    Some(Step { weight: Weight::new(weight).ok()?, mirror: Weight::ZERO, bake: after.bake })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Analysis;

    fn canary(steps: &[(u8, &str)]) -> Strategy {
        let step = |(weight, bake): &(u8, &str)| Step {
            weight: Weight::new(*weight).unwrap(),
            mirror: Weight::ZERO,
            bake: bake.parse().unwrap(),
        };
        let steps = steps.iter().map(step).collect();
        Strategy::Canary { steps, analysis: Analysis::default(), audience: None, stick_to: None }
    }

    fn check(declared: &[(u8, &str)], left: f64, expected: &[(u8, &str)]) {
        let caution = Caution::of("pad-availability", left);
        let paced = caution.map_or_else(|| canary(declared), |caution| canary(declared).paced(&caution));
        assert_eq!(paced, canary(expected), "{left}");
    }

    #[test]
    fn the_less_is_left_the_longer_and_smaller_the_steps_are() {
        let declared = [(1, "5m"), (10, "5m"), (100, "5m")];
        check(&declared, 0.5, &declared);
        check(&declared, 0.49, &[(1, "10m"), (10, "10m"), (100, "10m")]);
        check(&declared, 0.25, &[(1, "10m"), (10, "10m"), (100, "10m")]);
        check(&declared, 0.24, &[(1, "20m"), (3, "20m"), (10, "20m"), (31, "20m"), (100, "20m")]);
        check(&declared, -2.0, &[(1, "20m"), (3, "20m"), (10, "20m"), (31, "20m"), (100, "20m")]);
        // Nothing fits between one and two percent, nor between a step for an audience alone and the first percent.
        check(&[(0, "1m"), (1, "1m"), (2, "1m")], 0.1, &[(0, "4m"), (1, "4m"), (2, "4m")]);
        check(&[(0, "1m"), (100, "1m")], 0.1, &[(0, "4m"), (10, "4m"), (100, "4m")]);
        check(&[(100, "366d")], 0.1, &[(100, "366d")]);
    }

    #[test]
    fn it_says_why() {
        let said = |left| Caution::of("pad-availability", left).unwrap().to_string();
        assert_eq!(said(0.18), "in smaller and longer steps, as 18% of the error budget of pad-availability is left");
        assert_eq!(said(0.4), "in longer steps, as 40% of the error budget of pad-availability is left");
    }
}
