//! Operators between two numbers. All of them are IEEE 754's, as Go's are.

use crate::promql::expression::{Arithmetic, Comparing, Operator};

pub(crate) fn calculate(operator: Arithmetic, left: f64, right: f64) -> f64 {
    match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => left % right,
        Arithmetic::Power => left.powf(right),
        Arithmetic::Atan2 => left.atan2(right),
    }
}

#[expect(clippy::float_cmp, reason = "`==` in PromQL is `==`")]
pub(crate) fn holds(operator: Comparing, left: f64, right: f64) -> bool {
    match operator {
        Comparing::Equal => left == right,
        Comparing::NotEqual => left != right,
        Comparing::Greater => left > right,
        Comparing::Less => left < right,
        Comparing::GreaterOrEqual => left >= right,
        Comparing::LessOrEqual => left <= right,
    }
}

/// The result, or nothing where a filter does not hold.
pub(crate) fn apply(operator: Operator, left: f64, right: f64) -> Option<f64> {
    match operator {
        Operator::Arithmetic(operator) => Some(calculate(operator, left, right)),
        Operator::Filter(operator) => holds(operator, left, right).then_some(left),
        Operator::Truth(operator) => Some(f64::from(u8::from(holds(operator, left, right)))),
    }
}

/// True if what comes out is no longer what the metric's name says. As in Prometheus 2.42, `atan2` keeps the name.
pub(crate) fn drops_metric_name(operator: Operator) -> bool {
    match operator {
        Operator::Arithmetic(Arithmetic::Atan2) | Operator::Filter(_) | Operator::Truth(_) => false,
        Operator::Arithmetic(_) => true,
    }
}
