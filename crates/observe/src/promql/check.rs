//! Which types operators take, and what they make of them.
//!
//! Source: Prometheus documentation, "Operators"; Prometheus 2.42, `checkAST` in `promql/parser/parse.go`.

use super::error::Reason;
use super::expression::{Cardinality, Expression, Kind, LabelList, Operator, Scalar, SetOperator, Vector};
use super::modifiers::JoinModifiers;
use super::parser::{Infix, Node, Refused};

/// Refuses a sign in front of what is neither a number nor a vector.
pub(super) fn unary(of: &Node) -> Result<(), Refused> {
    match of.expression {
        Expression::Scalar(_) | Expression::Vector(_) => Ok(()),
        Expression::Range(_) | Expression::Text(_) => Err(of.refuse(Reason::Type {
            expected: "a scalar or an instant vector",
            context: "a unary expression".to_owned(),
            found: of.expression.kind(),
        })),
    }
}

/// `-of`
pub(super) fn negated(at: usize, of: Node) -> Result<Node, Refused> {
    unary(&of)?;
    let expression = match of.expression {
        Expression::Scalar(Scalar::Number(number)) => Expression::Scalar(Scalar::Number(-number)),
        Expression::Scalar(scalar) => Expression::Scalar(Scalar::Negated(Box::new(scalar))),
        Expression::Vector(vector) => Expression::Vector(Vector::Negated(Box::new(vector))),
        other @ (Expression::Range(_) | Expression::Text(_)) => other,
    };
    Node::over(at, of.depth, expression)
}

/// `+of`
pub(super) fn affirmed(at: usize, of: Node) -> Result<Node, Refused> {
    unary(&of)?;
    let expression = match of.expression {
        Expression::Vector(vector) => Expression::Vector(Vector::Affirmed(Box::new(vector))),
        other @ (Expression::Scalar(_) | Expression::Range(_) | Expression::Text(_)) => other,
    };
    Node::over(at, of.depth, expression)
}

/// `left infix modifiers right`
pub(super) fn joined(infix: Infix, modifiers: JoinModifiers, left: Node, right: Node) -> Result<Node, Refused> {
    let (at, depth) = (left.at, left.depth.max(right.depth));
    let refused = |reason| Err(Refused { at: modifiers.at, reason });
    if modifiers.returns_bool && !matches!(infix, Infix::Comparing(_)) {
        return refused(Reason::BoolWithoutComparison);
    }
    if let Some(label) = matched_and_grouped(&modifiers) {
        return refused(Reason::MatchedAndGrouped(label));
    }
    let both_vectors = matches!((&left.expression, &right.expression), (Expression::Vector(_), Expression::Vector(_)));
    if let Some(LabelList::Only(labels) | LabelList::AllBut(labels)) = &modifiers.matching
        && !both_vectors
        && !labels.is_empty()
    {
        return refused(Reason::MatchingScalars);
    }
    if matches!(infix, Infix::Set(_)) && both_vectors && modifiers.grouping.is_some() {
        return refused(Reason::GroupedSet);
    }
    let expression = match (left.expression, right.expression) {
        (Expression::Scalar(left), Expression::Scalar(right)) => {
            Expression::Scalar(of_scalars(infix, &modifiers, left, right)?)
        }
        (Expression::Vector(left), Expression::Vector(right)) => {
            Expression::Vector(of_vectors(infix, modifiers, left, right))
        }
        (Expression::Vector(vector), Expression::Scalar(scalar)) => {
            Expression::Vector(with_scalar(infix, &modifiers, vector, scalar, false)?)
        }
        (Expression::Scalar(scalar), Expression::Vector(vector)) => {
            Expression::Vector(with_scalar(infix, &modifiers, vector, scalar, true)?)
        }
        (wrong @ (Expression::Range(_) | Expression::Text(_)), _)
        | (_, wrong @ (Expression::Range(_) | Expression::Text(_))) => {
            let context = "a binary expression".to_owned();
            let reason = Reason::Type { expected: "a scalar or an instant vector", context, found: wrong.kind() };
            return Err(Refused { at, reason });
        }
    };
    Node::over(at, depth, expression)
}

/// A label of both `on (...)` and `group_left (...)`: it can't be copied from what it was matched by.
fn matched_and_grouped(modifiers: &JoinModifiers) -> Option<String> {
    let Some(LabelList::Only(on)) = &modifiers.matching else { return None };
    let included = match modifiers.grouping.as_ref()? {
        Cardinality::OneToOne => return None,
        Cardinality::ManyToOne(included) | Cardinality::OneToMany(included) => included,
    };
    included.iter().find(|label| on.contains(label)).map(ToString::to_string)
}

fn set_of_scalar(modifiers: &JoinModifiers) -> Refused {
    let context = "a set operation".to_owned();
    let found = Kind::Scalar;
    Refused { at: modifiers.at, reason: Reason::Type { expected: "an instant vector", context, found } }
}

fn of_scalars(infix: Infix, modifiers: &JoinModifiers, left: Scalar, right: Scalar) -> Result<Scalar, Refused> {
    let (left, right) = (Box::new(left), Box::new(right));
    match infix {
        Infix::Arithmetic(operator) => Ok(Scalar::Calculated { operator, left, right }),
        Infix::Comparing(operator) if modifiers.returns_bool => Ok(Scalar::Compared { operator, left, right }),
        Infix::Comparing(_) => Err(Refused { at: modifiers.at, reason: Reason::ScalarComparison }),
        Infix::Set(_) => Err(set_of_scalar(modifiers)),
    }
}

/// The operator on values, or else the one on sets.
fn operator_of(infix: Infix, returns_bool: bool) -> Result<Operator, SetOperator> {
    match infix {
        Infix::Arithmetic(operator) => Ok(Operator::Arithmetic(operator)),
        Infix::Comparing(operator) if returns_bool => Ok(Operator::Truth(operator)),
        Infix::Comparing(operator) => Ok(Operator::Filter(operator)),
        Infix::Set(operator) => Err(operator),
    }
}

fn with_scalar(
    infix: Infix,
    modifiers: &JoinModifiers,
    vector: Vector,
    scalar: Scalar,
    scalar_is_left: bool,
) -> Result<Vector, Refused> {
    let operator = operator_of(infix, modifiers.returns_bool).map_err(|_| set_of_scalar(modifiers))?;
    Ok(Vector::WithScalar { operator, vector: Box::new(vector), scalar: Box::new(scalar), scalar_is_left })
}

fn of_vectors(infix: Infix, modifiers: JoinModifiers, left: Vector, right: Vector) -> Vector {
    let (left, right) = (Box::new(left), Box::new(right));
    let matching = modifiers.matching.unwrap_or(LabelList::AllBut(Vec::new()));
    match operator_of(infix, modifiers.returns_bool) {
        Ok(operator) => {
            let cardinality = modifiers.grouping.unwrap_or(Cardinality::OneToOne);
            Vector::Joined { operator, left, right, matching, cardinality }
        }
        Err(operator) => Vector::Set { operator, left, right, matching },
    }
}
