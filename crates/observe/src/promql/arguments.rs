//! What functions get. Each argument is counted and typed here, so that the evaluator can't be given others.

use std::sync::Arc;

use super::catalogue::{DATES, OF_HISTOGRAMS, OVER_RANGE, PLAIN, found};
use super::error::Reason;
use super::expression::{
    Absence, Expression, HistogramFunction, Kind, Range, RangeFunction, Relabelling, Scalar, ValueFunction, Vector,
};
use super::parser::{Node, Refused};
use crate::labels::{Labels, METRIC_NAME, is_label_name};
use crate::matcher::{Comparison, Matcher};
use crate::pattern::Pattern;

/// Arguments that are taken one after the other, each as what it must be.
pub(super) struct Arguments<'a> {
    at: usize,
    name: &'a str,
    total: usize,
    /// The deepest of them.
    pub(super) depth: u32,
    nodes: std::vec::IntoIter<Node>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(at: usize, name: &'a str, nodes: Vec<Node>) -> Self {
        let depth = nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        Self { at, name, total: nodes.len(), depth, nodes: nodes.into_iter() }
    }

    pub(super) fn count(&self, least: usize, most: usize) -> Result<(), Refused> {
        if (least..=most).contains(&self.total) {
            return Ok(());
        }
        let expected = match (least, most) {
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        Err(self.refuse(Reason::Arguments { function: self.name.to_owned(), expected, found: self.total }))
    }

    fn refuse(&self, reason: Reason) -> Refused {
        Refused { at: self.at, reason }
    }

    fn next(&mut self) -> Option<Node> {
        self.nodes.next()
    }

    fn typed<T>(&mut self, expected: &'static str, take: impl Fn(Expression) -> Result<T, Kind>) -> Result<T, Refused> {
        let context = format!("a call of {}", self.name);
        let Some(node) = self.next() else {
            let expected = format!("at least {}", self.total + 1);
            return Err(self.refuse(Reason::Arguments { function: self.name.to_owned(), expected, found: self.total }));
        };
        let at = node.at;
        take(node.expression).map_err(|found| Refused { at, reason: Reason::Type { expected, context, found } })
    }

    pub(super) fn vector(&mut self) -> Result<Box<Vector>, Refused> {
        self.typed("an instant vector", |expression| match expression {
            Expression::Vector(vector) => Ok(Box::new(vector)),
            Expression::Scalar(_) | Expression::Range(_) | Expression::Text(_) => Err(expression.kind()),
        })
    }

    fn range(&mut self) -> Result<Range, Refused> {
        self.typed("a range vector", |expression| match expression {
            Expression::Range(range) => Ok(range),
            Expression::Scalar(_) | Expression::Vector(_) | Expression::Text(_) => Err(expression.kind()),
        })
    }

    pub(super) fn scalar(&mut self) -> Result<Box<Scalar>, Refused> {
        self.typed("a scalar", |expression| match expression {
            Expression::Scalar(scalar) => Ok(Box::new(scalar)),
            Expression::Vector(_) | Expression::Range(_) | Expression::Text(_) => Err(expression.kind()),
        })
    }

    fn text(&mut self) -> Result<String, Refused> {
        self.typed("a string", |expression| match expression {
            Expression::Text(text) => Ok(text),
            Expression::Vector(_) | Expression::Range(_) | Expression::Scalar(_) => Err(expression.kind()),
        })
    }

    /// A string that is a label's name.
    pub(super) fn label(&mut self) -> Result<Arc<str>, Refused> {
        let text = self.text()?;
        if is_label_name(&text) { Ok(text.into()) } else { Err(self.refuse(Reason::LabelName(text))) }
    }

    /// The function applied to its arguments; their number has been checked.
    pub(super) fn call(mut self) -> Result<Expression, Refused> {
        let name = self.name;
        if let Some(function) = found(&OVER_RANGE, name) {
            return Ok(Expression::Vector(Vector::OverRange { function, range: self.range()? }));
        }
        if let Some(function) = found(&OF_HISTOGRAMS, name) {
            return Ok(Expression::Vector(Vector::OfHistogram { function, of: self.vector()? }));
        }
        if let Some(function) = found(&PLAIN, name) {
            return self.mapped(ValueFunction::Plain(function));
        }
        if let Some(part) = found(&DATES, name) {
            // Without an argument, of the evaluated time.
            let now = || Box::new(Vector::Of(Box::new(Scalar::Time)));
            let of = if self.total == 0 { now() } else { self.vector()? };
            return Ok(Expression::Vector(Vector::Mapped { function: ValueFunction::Date(part), of }));
        }
        match name {
            "pi" => Ok(Expression::Scalar(Scalar::Number(std::f64::consts::PI))),
            "time" => Ok(Expression::Scalar(Scalar::Time)),
            "scalar" => Ok(Expression::Scalar(Scalar::Of(self.vector()?))),
            _ => self.vector_call().map(Expression::Vector),
        }
    }

    fn mapped(&mut self, function: ValueFunction) -> Result<Expression, Refused> {
        Ok(Expression::Vector(Vector::Mapped { function, of: self.vector()? }))
    }

    fn vector_call(&mut self) -> Result<Vector, Refused> {
        Ok(match self.name {
            "vector" => Vector::Of(self.scalar()?),
            "absent" => {
                let of = self.vector()?;
                Vector::Absent { labels: absent_labels_of_vector(&of), of: Absence::Now(of) }
            }
            "absent_over_time" => {
                let of = self.range()?;
                Vector::Absent { labels: absent_labels_of_range(&of), of: Absence::OverTime(of) }
            }
            "sort" => Vector::Sorted { descending: false, of: self.vector()? },
            "sort_desc" => Vector::Sorted { descending: true, of: self.vector()? },
            "timestamp" => Vector::Timestamp(self.vector()?),
            "histogram_quantile" => Vector::HistogramQuantile { quantile: self.scalar()?, of: self.vector()? },
            "histogram_fraction" => {
                let function = HistogramFunction::Fraction { lower: self.scalar()?, upper: self.scalar()? };
                Vector::OfHistogram { function, of: self.vector()? }
            }
            "label_replace" | "label_join" => self.relabelled()?,
            "quantile_over_time" => {
                let function = RangeFunction::Quantile(self.scalar()?);
                Vector::OverRange { function, range: self.range()? }
            }
            "predict_linear" | "holt_winters" => {
                let range = self.range()?;
                let function = if self.name == "predict_linear" {
                    RangeFunction::PredictLinear(self.scalar()?)
                } else {
                    RangeFunction::HoltWinters { smoothing: self.scalar()?, trend: self.scalar()? }
                };
                Vector::OverRange { function, range }
            }
            _ => {
                let of = self.vector()?;
                let function = match self.name {
                    "round" if self.total == 1 => ValueFunction::Round(Box::new(Scalar::Number(1.0))),
                    "round" => ValueFunction::Round(self.scalar()?),
                    "clamp" => ValueFunction::Between { least: self.scalar()?, most: self.scalar()? },
                    "clamp_min" => ValueFunction::AtLeast(self.scalar()?),
                    "clamp_max" => ValueFunction::AtMost(self.scalar()?),
                    other => return Err(self.refuse(Reason::UnknownFunction(other.to_owned()))),
                };
                Vector::Mapped { function, of }
            }
        })
    }

    fn relabelled(&mut self) -> Result<Vector, Refused> {
        let of = self.vector()?;
        let target = self.label()?;
        if self.name == "label_join" {
            let separator = self.text()?;
            let sources = (3..self.total).map(|_| self.label()).collect::<Result<_, _>>()?;
            return Ok(Vector::Relabelled { relabelling: Relabelling::Join { target, separator, sources }, of });
        }
        let (replacement, source) = (self.text()?, self.text()?);
        let pattern = Pattern::new(&self.text()?).map_err(|error| self.refuse(Reason::Pattern(error)))?;
        Ok(Vector::Relabelled { relabelling: Relabelling::Replace { target, replacement, source, pattern }, of })
    }
}

/// What is known of a series that is not there: the labels that it was selected by, each by `=` and once.
fn absent_labels(matchers: &[Matcher]) -> Labels {
    let mut labels = Labels::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        match &matcher.comparison {
            Comparison::Equal(value) if !seen.contains(&matcher.name.as_str()) => {
                labels = labels.with(&matcher.name, value);
                seen.push(&matcher.name);
            }
            Comparison::Equal(_) | Comparison::NotEqual(_) | Comparison::Matches(_) | Comparison::MatchesNot(_) => {
                labels = labels.with(&matcher.name, "");
            }
        }
    }
    labels
}

fn absent_labels_of_vector(of: &Vector) -> Labels {
    if let Vector::Selected(selector) = of { absent_labels(&selector.matchers) } else { Labels::default() }
}

fn absent_labels_of_range(of: &Range) -> Labels {
    match of {
        Range::Selected { selector, .. } => absent_labels(&selector.matchers),
        Range::Subquery { .. } => Labels::default(),
    }
}
