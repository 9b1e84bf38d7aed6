//! What a query is, once checked. The types hold only what can be evaluated: that `rate` gets a range and `sum` a vector is
//! decided when the text is parsed, not when a user looks at a panel.
//!
//! Source: Prometheus documentation, "Expression language data types", "Operators", "Functions".

use std::fmt;
use std::sync::Arc;

use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::pattern::Pattern;

/// A checked query.
#[derive(Debug, Clone)]
pub enum Expression {
    /// One number at each time.
    Scalar(Scalar),
    /// Some series with one value each at each time.
    Vector(Vector),
    /// Some series with the samples of some time each. Only an instant query can answer with it.
    Range(Range),
    /// A string. Only an instant query can answer with it.
    Text(String),
}

/// The types of expressions, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Expression::Scalar`]
    Scalar,
    /// [`Expression::Vector`]
    Vector,
    /// [`Expression::Range`]
    Range,
    /// [`Expression::Text`]
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "a scalar",
            Self::Vector => "an instant vector",
            Self::Range => "a range vector",
            Self::Text => "a string",
        })
    }
}

impl Expression {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Scalar(_) => Kind::Scalar,
            Self::Vector(_) => Kind::Vector,
            Self::Range(_) => Kind::Range,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// A number at each time.
#[derive(Debug, Clone)]
pub enum Scalar {
    /// A literal.
    Number(f64),
    /// `time()`: seconds since 1970.
    Time,
    /// `scalar(v)`: the value of the only series; NaN if there are none or several.
    Of(Box<Vector>),
    /// `-s`
    Negated(Box<Scalar>),
    /// A comparison of two numbers: 1 if it holds, else 0.
    Compared {
        /// What is compared.
        operator: Comparing,
        /// The left side.
        left: Box<Scalar>,
        /// The right side.
        right: Box<Scalar>,
    },
    /// An operator between two numbers.
    Calculated {
        /// What is done.
        operator: Arithmetic,
        /// The left side.
        left: Box<Scalar>,
        /// The right side.
        right: Box<Scalar>,
    },
}

/// Series with one value each at each time.
#[derive(Debug, Clone)]
pub enum Vector {
    /// `name{label="value"}`
    Selected(Selector),
    /// `vector(s)`
    Of(Box<Scalar>),
    /// `-v`
    Negated(Box<Vector>),
    /// `+v`: the same, but no selector any more to functions that treat selectors otherwise, such as `timestamp`.
    Affirmed(Box<Vector>),
    /// An operator between a vector and a number.
    WithScalar {
        /// What is done.
        operator: Operator,
        /// The vector.
        vector: Box<Vector>,
        /// The number.
        scalar: Box<Scalar>,
        /// The number stands left of the operator.
        scalar_is_left: bool,
    },
    /// An operator between two vectors.
    Joined {
        /// What is done.
        operator: Operator,
        /// The left side.
        left: Box<Vector>,
        /// The right side.
        right: Box<Vector>,
        /// Which labels must agree.
        matching: LabelList,
        /// How many may match.
        cardinality: Cardinality,
    },
    /// `and`, `or`, `unless`
    Set {
        /// Which of them.
        operator: SetOperator,
        /// The left side.
        left: Box<Vector>,
        /// The right side.
        right: Box<Vector>,
        /// Which labels must agree.
        matching: LabelList,
    },
    /// `sum by (label) (v)` and its kin.
    Aggregated {
        /// How.
        aggregation: Aggregation,
        /// What.
        of: Box<Vector>,
        /// Which labels tell the groups apart.
        grouping: LabelList,
    },
    /// `rate(v[5m])` and its kin.
    OverRange {
        /// The function.
        function: RangeFunction,
        /// What it gets.
        range: Range,
    },
    /// `absent(v)` and `absent_over_time(v[5m])`
    Absent {
        /// The labels of the answer.
        labels: Labels,
        /// What should be there.
        of: Absence,
    },
    /// A function of each value alone.
    Mapped {
        /// The function.
        function: ValueFunction,
        /// What it gets.
        of: Box<Vector>,
    },
    /// `timestamp(v)`: when the value was sampled, in seconds since 1970.
    Timestamp(Box<Vector>),
    /// `sort(v)` and `sort_desc(v)`
    Sorted {
        /// Largest first.
        descending: bool,
        /// What is sorted.
        of: Box<Vector>,
    },
    /// `label_replace` and `label_join`
    Relabelled {
        /// How.
        relabelling: Relabelling,
        /// What is named anew.
        of: Box<Vector>,
    },
    /// `histogram_count(v)` and its kin: numbers of native histograms.
    OfHistogram {
        /// Which.
        function: HistogramFunction,
        /// The histograms.
        of: Box<Vector>,
    },
    /// `histogram_quantile(q, v)`, of conventional and of native histograms.
    HistogramQuantile {
        /// Which quantile.
        quantile: Box<Scalar>,
        /// The buckets.
        of: Box<Vector>,
    },
}

/// What is told of a native histogram by a number.
#[derive(Debug, Clone)]
pub enum HistogramFunction {
    /// `histogram_count`
    Count,
    /// `histogram_sum`
    Sum,
    /// `histogram_avg`
    Average,
    /// `histogram_stddev`
    StandardDeviation,
    /// `histogram_stdvar`
    StandardVariance,
    /// `histogram_fraction(lower, upper, v)`
    Fraction {
        /// Above what.
        lower: Box<Scalar>,
        /// Up to what.
        upper: Box<Scalar>,
    },
}

/// What `absent` and `absent_over_time` look at.
#[derive(Debug, Clone)]
pub enum Absence {
    /// One time.
    Now(Box<Vector>),
    /// Some time.
    OverTime(Range),
}

/// Which series.
#[derive(Debug, Clone)]
pub struct Selector {
    /// What all labels must be; at least one of them does not accept the empty value.
    pub matchers: Vec<Matcher>,
    /// When they are looked at.
    pub shift: Shift,
}

/// Series with the samples of some time each.
#[derive(Debug, Clone)]
pub enum Range {
    /// `name[5m]`
    Selected {
        /// Which series.
        selector: Selector,
        /// How long before the evaluated time it begins.
        range_ms: i64,
    },
    /// `expression[5m:1m]`
    Subquery {
        /// What is evaluated at each step.
        of: Box<Vector>,
        /// How long before the evaluated time it begins.
        range_ms: i64,
        /// How far steps are apart; the evaluator's default if none.
        step_ms: Option<i64>,
        /// When it ends.
        shift: Shift,
    },
}

/// `@` and `offset`: another time than the evaluated one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shift {
    /// Instead of the evaluated time.
    pub at: Option<At>,
    /// How long before that; negative for after. 0 is none.
    pub offset_ms: i64,
}

/// What follows `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since 1970.
    Time(i64),
    /// `start()` of the whole query.
    Start,
    /// `end()` of the whole query.
    End,
}

/// Operators between numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Gives a number.
    Arithmetic(Arithmetic),
    /// Gives the vector's value where it holds, and nothing elsewhere.
    Filter(Comparing),
    /// With `bool`: gives 1 where it holds, and 0 elsewhere.
    Truth(Comparing),
}

/// `+ - * / % ^ atan2`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`, with the sign of the dividend.
    Modulo,
    /// `^`
    Power,
    /// `atan2`
    Atan2,
}

/// `== != > < >= <=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparing {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`
    GreaterOrEqual,
    /// `<=`
    LessOrEqual,
}

/// `and`, `or`, `unless`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperator {
    /// Those of the left with a match on the right.
    And,
    /// All of the left, and those of the right without a match on the left.
    Or,
    /// Those of the left without a match on the right.
    Unless,
}

/// The labels by which series are matched or grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelList {
    /// `on (...)`, `by (...)`: these and no others.
    Only(Vec<Arc<str>>),
    /// `ignoring (...)`, `without (...)`: all but these and the metric's name.
    AllBut(Vec<Arc<str>>),
}

/// How many series of each side may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cardinality {
    /// One of each side.
    OneToOne,
    /// `group_left (...)`: many of the left, which get these labels from the right.
    ManyToOne(Vec<Arc<str>>),
    /// `group_right (...)`: many of the right, which get these labels from the left.
    OneToMany(Vec<Arc<str>>),
}

/// How many values of a group become one, or few.
#[derive(Debug, Clone)]
pub enum Aggregation {
    /// A value of all values.
    Fold(Fold),
    /// `quantile(q, v)`
    Quantile(Box<Scalar>),
    /// `topk(k, v)`
    TopK(Box<Scalar>),
    /// `bottomk(k, v)`
    BottomK(Box<Scalar>),
    /// `count_values("label", v)`
    CountValues(Arc<str>),
}

/// Aggregations without an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// `sum`
    Sum,
    /// `avg`
    Average,
    /// `count`
    Count,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `group`: 1
    Group,
    /// `stddev`
    StandardDeviation,
    /// `stdvar`
    StandardVariance,
}

/// Functions of the samples of some time of one series.
#[derive(Debug, Clone)]
pub enum RangeFunction {
    /// `rate`
    Rate,
    /// `increase`
    Increase,
    /// `delta`
    Delta,
    /// `irate`
    InstantRate,
    /// `idelta`
    InstantDelta,
    /// `deriv`
    Derivative,
    /// `predict_linear(v, t)`
    PredictLinear(Box<Scalar>),
    /// `holt_winters(v, sf, tf)`
    HoltWinters {
        /// How much the latest value counts.
        smoothing: Box<Scalar>,
        /// How much the latest trend counts.
        trend: Box<Scalar>,
    },
    /// `changes`
    Changes,
    /// `resets`
    Resets,
    /// `avg_over_time`
    Average,
    /// `min_over_time`
    Min,
    /// `max_over_time`
    Max,
    /// `sum_over_time`
    Sum,
    /// `count_over_time`
    Count,
    /// `stddev_over_time`
    StandardDeviation,
    /// `stdvar_over_time`
    StandardVariance,
    /// `quantile_over_time(q, v)`
    Quantile(Box<Scalar>),
    /// `last_over_time`, which keeps the metric's name.
    Last,
    /// `present_over_time`
    Present,
}

/// Functions of one value.
#[derive(Debug, Clone)]
pub enum ValueFunction {
    /// A function of nothing else.
    Plain(PlainFunction),
    /// `day_of_month` and its kin; the value is a time.
    Date(DatePart),
    /// `round(v, to)`
    Round(Box<Scalar>),
    /// `clamp_min(v, least)`
    AtLeast(Box<Scalar>),
    /// `clamp_max(v, most)`
    AtMost(Box<Scalar>),
    /// `clamp(v, least, most)`: nothing if least is more than most.
    Between {
        /// The least.
        least: Box<Scalar>,
        /// The most.
        most: Box<Scalar>,
    },
}

/// Functions with the name that they have in mathematics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as in PromQL")]
pub enum PlainFunction {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Deg,
    Exp,
    Floor,
    Ln,
    Log10,
    Log2,
    Rad,
    Sgn,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

/// Parts of a date in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as in PromQL")]
pub enum DatePart {
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Hour,
    Minute,
    Month,
    Year,
}

/// A change of one label.
#[derive(Debug, Clone)]
pub enum Relabelling {
    /// `label_replace(v, target, replacement, source, pattern)`
    Replace {
        /// The label that is set.
        target: Arc<str>,
        /// What it is set to, with `$1` for what the pattern captured.
        replacement: String,
        /// The label that is looked at.
        source: String,
        /// What its whole value must match; else nothing changes.
        pattern: Pattern,
    },
    /// `label_join(v, target, separator, sources...)`
    Join {
        /// The label that is set.
        target: Arc<str>,
        /// What comes between the values.
        separator: String,
        /// The labels whose values are joined.
        sources: Vec<Arc<str>>,
    },
}
