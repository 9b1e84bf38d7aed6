//! What begins with a name: functions, aggregations and plain selectors. Each function's arguments are counted and typed
//! here, so that the evaluator can't be given others.
//!
//! Source: Prometheus documentation, "Functions" and "Aggregation operators", as of 2.42.

use std::sync::Arc;

use super::error::Reason;
use super::expression::{
    Absence, Aggregation, DatePart, Expression, Fold, Kind, LabelList, PlainFunction, Range, RangeFunction,
    Relabelling, Scalar, ValueFunction, Vector,
};
use super::lexer::Token;
use super::parser::{Node, Parser, Refused};
use crate::labels::{Labels, METRIC_NAME, is_label_name};
use crate::matcher::{Comparison, Matcher};
use crate::pattern::Pattern;

const NATIVE_HISTOGRAMS: &str = "native histograms are not stored; use conventional ones with histogram_quantile";
const NEWER: &str = "it came after Prometheus 2.42, which this evaluator follows";

/// Functions and aggregations of native histograms, and of later versions.
const UNSUPPORTED: [(&str, &str); 29] = [
    ("histogram_avg", NATIVE_HISTOGRAMS),
    ("histogram_count", NATIVE_HISTOGRAMS),
    ("histogram_fraction", NATIVE_HISTOGRAMS),
    ("histogram_quantiles", NATIVE_HISTOGRAMS),
    ("histogram_stddev", NATIVE_HISTOGRAMS),
    ("histogram_stdvar", NATIVE_HISTOGRAMS),
    ("histogram_sum", NATIVE_HISTOGRAMS),
    ("double_exponential_smoothing", "it is called holt_winters here, as in Prometheus 2"),
    ("end", NEWER),
    ("first_over_time", NEWER),
    ("info", NEWER),
    ("integral", NEWER),
    ("limit_ratio", NEWER),
    ("limitk", NEWER),
    ("mad_over_time", NEWER),
    ("max_of", NEWER),
    ("min_of", NEWER),
    ("range", NEWER),
    ("sort_by_label", NEWER),
    ("sort_by_label_desc", NEWER),
    ("start", NEWER),
    ("step", NEWER),
    ("ts_of_first_over_time", NEWER),
    ("ts_of_last_over_time", NEWER),
    ("ts_of_max_over_time", NEWER),
    ("ts_of_min_over_time", NEWER),
    ("rollup", "it is a function of VictoriaMetrics"),
    ("range_median", "it is a function of VictoriaMetrics"),
    ("xrate", "it is a function of Thanos"),
];

const PLAIN: [(&str, PlainFunction); 23] = [
    ("abs", PlainFunction::Abs),
    ("acos", PlainFunction::Acos),
    ("acosh", PlainFunction::Acosh),
    ("asin", PlainFunction::Asin),
    ("asinh", PlainFunction::Asinh),
    ("atan", PlainFunction::Atan),
    ("atanh", PlainFunction::Atanh),
    ("ceil", PlainFunction::Ceil),
    ("cos", PlainFunction::Cos),
    ("cosh", PlainFunction::Cosh),
    ("deg", PlainFunction::Deg),
    ("exp", PlainFunction::Exp),
    ("floor", PlainFunction::Floor),
    ("ln", PlainFunction::Ln),
    ("log10", PlainFunction::Log10),
    ("log2", PlainFunction::Log2),
    ("rad", PlainFunction::Rad),
    ("sgn", PlainFunction::Sgn),
    ("sin", PlainFunction::Sin),
    ("sinh", PlainFunction::Sinh),
    ("sqrt", PlainFunction::Sqrt),
    ("tan", PlainFunction::Tan),
    ("tanh", PlainFunction::Tanh),
];

const DATES: [(&str, DatePart); 8] = [
    ("day_of_month", DatePart::DayOfMonth),
    ("day_of_week", DatePart::DayOfWeek),
    ("day_of_year", DatePart::DayOfYear),
    ("days_in_month", DatePart::DaysInMonth),
    ("hour", DatePart::Hour),
    ("minute", DatePart::Minute),
    ("month", DatePart::Month),
    ("year", DatePart::Year),
];

/// Functions of a range and of nothing else.
const OVER_RANGE: [(&str, RangeFunction); 17] = [
    ("rate", RangeFunction::Rate),
    ("increase", RangeFunction::Increase),
    ("delta", RangeFunction::Delta),
    ("irate", RangeFunction::InstantRate),
    ("idelta", RangeFunction::InstantDelta),
    ("deriv", RangeFunction::Derivative),
    ("changes", RangeFunction::Changes),
    ("resets", RangeFunction::Resets),
    ("avg_over_time", RangeFunction::Average),
    ("min_over_time", RangeFunction::Min),
    ("max_over_time", RangeFunction::Max),
    ("sum_over_time", RangeFunction::Sum),
    ("count_over_time", RangeFunction::Count),
    ("stddev_over_time", RangeFunction::StandardDeviation),
    ("stdvar_over_time", RangeFunction::StandardVariance),
    ("last_over_time", RangeFunction::Last),
    ("present_over_time", RangeFunction::Present),
];

const FOLDS: [(&str, Fold); 8] = [
    ("sum", Fold::Sum),
    ("avg", Fold::Average),
    ("count", Fold::Count),
    ("min", Fold::Min),
    ("max", Fold::Max),
    ("group", Fold::Group),
    ("stddev", Fold::StandardDeviation),
    ("stdvar", Fold::StandardVariance),
];

/// Aggregations with an argument before the vector.
const PARAMETRISED: [&str; 4] = ["quantile", "topk", "bottomk", "count_values"];

/// The remaining functions with the number of their arguments, at least and at most.
const OTHERS: [(&str, usize, usize); 19] = [
    ("absent", 1, 1),
    ("absent_over_time", 1, 1),
    ("clamp", 3, 3),
    ("clamp_max", 2, 2),
    ("clamp_min", 2, 2),
    ("histogram_quantile", 2, 2),
    ("holt_winters", 3, 3),
    ("label_join", 3, usize::MAX),
    ("label_replace", 5, 5),
    ("pi", 0, 0),
    ("predict_linear", 2, 2),
    ("quantile_over_time", 2, 2),
    ("round", 1, 2),
    ("scalar", 1, 1),
    ("sort", 1, 1),
    ("sort_desc", 1, 1),
    ("time", 0, 0),
    ("timestamp", 1, 1),
    ("vector", 1, 1),
];

fn found<T: Clone>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

/// How many arguments a function takes, at least and at most.
fn arity(name: &str) -> Option<(usize, usize)> {
    if found(&PLAIN, name).is_some() || found(&OVER_RANGE, name).is_some() {
        return Some((1, 1));
    }
    if found(&DATES, name).is_some() {
        return Some((0, 1));
    }
    OTHERS.iter().find(|(known, ..)| *known == name).map(|(_, least, most)| (*least, *most))
}

impl Parser<'_> {
    /// A word in the place of an operand.
    pub(super) fn named(&mut self, word: &str) -> Result<Node, Refused> {
        let at = self.at();
        let lower = word.to_lowercase();
        let next_opens = matches!(self.peek_after(1), Token::Sign("("));
        let is_grouped = matches!(self.peek_after(1), Token::Word(next) if ["by", "without"].contains(&next.to_lowercase().as_str()));
        if let Some(number) = [("inf", f64::INFINITY), ("nan", f64::NAN)].into_iter().find(|(name, _)| *name == lower) {
            self.advance();
            let expression = Expression::Scalar(Scalar::Number(number.1));
            return Ok(Node { at, depth: 1, in_parentheses: false, expression });
        }
        let aggregates = found(&FOLDS, &lower).is_some() || PARAMETRISED.contains(&lower.as_str());
        if aggregates && (next_opens || is_grouped) {
            self.advance();
            return self.aggregation(at, &lower);
        }
        let keywords = ["bool", "on", "ignoring", "group_left", "group_right", "atan2"];
        if keywords.contains(&lower.as_str()) {
            return Err(self.unexpected("an expression"));
        }
        if !next_opens {
            return self.selector(Some(word));
        }
        self.function(at, word)
    }

    fn function(&mut self, at: usize, name: &str) -> Result<Node, Refused> {
        if let Some(why) = found(&UNSUPPORTED, name) {
            return Err(self.refuse(Reason::Unsupported { name: name.to_owned(), why }));
        }
        let Some((least, most)) = arity(name) else {
            return Err(self.refuse(Reason::UnknownFunction(name.to_owned())));
        };
        self.advance();
        let arguments = Arguments::new(at, name, self.arguments()?);
        arguments.count(least, most)?;
        let depth = arguments.depth;
        Node::over(at, depth, arguments.call()?)
    }

    /// `(a, b)`
    fn arguments(&mut self) -> Result<Vec<Node>, Refused> {
        self.expect_sign("(", "\"(\"")?;
        let mut nodes = Vec::new();
        if self.take_sign(")") {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.expression(0)?);
            if self.take_sign(")") {
                return Ok(nodes);
            }
            self.expect_sign(",", "an operator, \",\" or \")\"")?;
        }
    }

    fn grouping(&mut self) -> Result<Option<LabelList>, Refused> {
        if self.take_keyword("by") {
            return Ok(Some(LabelList::Only(self.label_list()?)));
        }
        if self.take_keyword("without") {
            return Ok(Some(LabelList::AllBut(self.label_list()?)));
        }
        Ok(None)
    }

    /// `sum by (a) (v)` or `sum(v) by (a)`; the name has been read.
    fn aggregation(&mut self, at: usize, name: &str) -> Result<Node, Refused> {
        let before = self.grouping()?;
        let mut arguments = Arguments::new(at, name, self.arguments()?);
        let grouping = if before.is_some() { before } else { self.grouping()? };
        let fold = found(&FOLDS, name);
        let expected = if fold.is_some() { 1 } else { 2 };
        arguments.count(expected, expected)?;
        let depth = arguments.depth;
        let aggregation = match (fold, name) {
            (Some(fold), _) => Aggregation::Fold(fold),
            (None, "quantile") => Aggregation::Quantile(arguments.scalar()?),
            (None, "topk") => Aggregation::TopK(arguments.scalar()?),
            (None, "bottomk") => Aggregation::BottomK(arguments.scalar()?),
            (None, _) => Aggregation::CountValues(arguments.label()?),
        };
        let grouping = grouping.unwrap_or(LabelList::Only(Vec::new()));
        let vector = Vector::Aggregated { aggregation, of: arguments.vector()?, grouping };
        Node::over(at, depth, Expression::Vector(vector))
    }
}

/// Arguments that are taken one after the other, each as what it must be.
struct Arguments<'a> {
    at: usize,
    name: &'a str,
    total: usize,
    depth: u32,
    nodes: std::vec::IntoIter<Node>,
}

impl<'a> Arguments<'a> {
    fn new(at: usize, name: &'a str, nodes: Vec<Node>) -> Self {
        let depth = nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        Self { at, name, total: nodes.len(), depth, nodes: nodes.into_iter() }
    }

    fn count(&self, least: usize, most: usize) -> Result<(), Refused> {
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

    fn vector(&mut self) -> Result<Box<Vector>, Refused> {
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

    fn scalar(&mut self) -> Result<Box<Scalar>, Refused> {
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
    fn label(&mut self) -> Result<Arc<str>, Refused> {
        let text = self.text()?;
        if is_label_name(&text) { Ok(text.into()) } else { Err(self.refuse(Reason::LabelName(text))) }
    }

    /// The function applied to its arguments; their number has been checked.
    fn call(mut self) -> Result<Expression, Refused> {
        let name = self.name;
        if let Some(function) = found(&OVER_RANGE, name) {
            return Ok(Expression::Vector(Vector::OverRange { function, range: self.range()? }));
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
