//! Queries out of a grammar, well typed more often than not.

use proptest::prelude::*;
use proptest::sample::select;

/// Names of metrics that the tests' stores have.
pub(crate) const METRICS: [&str; 3] = ["ge_a", "ge_b", "ge_c"];

fn duration() -> BoxedStrategy<&'static str> {
    select(vec!["1m", "90s", "5m", "7m", "30s", "1m1s", "1h"]).boxed()
}

fn matchers() -> BoxedStrategy<&'static str> {
    select(vec!["", "{}", "{x=\"1\"}", "{x!=\"1\"}", "{x=~\"1|2\",y=\"p\"}", "{y!~\"q.*\"}", "{z=\"\"}", "{x=\"9\"}"])
        .boxed()
}

fn shift() -> BoxedStrategy<String> {
    let offset =
        (any::<bool>(), duration()).prop_map(|(minus, time)| format!(" offset {}{time}", if minus { "-" } else { "" }));
    let at =
        select(vec![" @ 1600000300", " @ start()", " @ end()", " @ 1600001000.5 offset 2m"]).prop_map(str::to_owned);
    prop_oneof![6 => Just(String::new()), 1 => offset, 1 => at].boxed()
}

fn labels() -> BoxedStrategy<&'static str> {
    select(vec!["()", "(x)", "(y)", "(x, y)", "(z)", "(x, z)"]).boxed()
}

pub(crate) fn selector() -> BoxedStrategy<String> {
    (select(METRICS.to_vec()), matchers(), shift())
        .prop_map(|(name, matchers, shift)| format!("{name}{matchers}{shift}"))
        .boxed()
}

fn number() -> BoxedStrategy<&'static str> {
    select(vec!["0", "1", "2", "-3", "0.5", "0.9", "1e3", "NaN", "Inf", "-Inf", "60"]).boxed()
}

const PLAIN: [&str; 16] = [
    "abs",
    "ceil",
    "floor",
    "sgn",
    "sqrt",
    "exp",
    "ln",
    "sin",
    "atan",
    "round",
    "hour",
    "day_of_month",
    "timestamp",
    "absent",
    "sort",
    "deg",
];
const OVER_TIME: [&str; 18] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
];
const FOLDS: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
const OPERATORS: [&str; 16] =
    ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "== bool", "> bool", "<= bool"];

fn range(vector: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let of_selector = (select(METRICS.to_vec()), matchers(), duration(), shift())
        .prop_map(|(name, matchers, range, shift)| format!("{name}{matchers}[{range}]{shift}"));
    let subquery = (vector, duration(), select(vec!["", "1m", "45s", "2m"]), shift())
        .prop_map(|(vector, range, step, shift)| format!("({vector})[{range}:{step}]{shift}"));
    prop_oneof![3 => of_selector, 1 => subquery].boxed()
}

fn scalar(vector: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![
        4 => number().prop_map(str::to_owned),
        1 => Just("time()".to_owned()),
        1 => vector.prop_map(|vector| format!("scalar({vector})")),
    ]
    .boxed()
}

/// Calls of functions and aggregations.
fn calls(vector: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let plain = (select(PLAIN.to_vec()), vector.clone()).prop_map(|(function, of)| format!("{function}({of})"));
    let clamped = (vector.clone(), scalar(vector.clone()), scalar(vector.clone()))
        .prop_map(|(of, least, most)| format!("clamp({of}, {least}, {most})"));
    let over_time =
        (select(OVER_TIME.to_vec()), range(vector.clone())).prop_map(|(function, of)| format!("{function}({of})"));
    let with_number =
        (range(vector.clone()), scalar(vector.clone()), any::<bool>()).prop_map(|(of, number, predicts)| {
            if predicts {
                format!("predict_linear({of}, {number})")
            } else {
                format!("quantile_over_time({number}, {of})")
            }
        });
    let relabelled = (vector.clone(), select(vec!["x", "y", "z", "__name__"]), select(vec!["$1", "k", ""]))
        .prop_map(|(of, target, value)| format!("label_replace({of}, \"{target}\", \"{value}\", \"x\", \"(.*)\")"));
    let folded = (select(FOLDS.to_vec()), select(vec!["by", "without"]), labels(), vector.clone())
        .prop_map(|(fold, how, labels, of)| format!("{fold} {how} {labels} ({of})"));
    let quantile =
        (labels(), number(), vector).prop_map(|(labels, share, of)| format!("quantile by {labels} ({share}, {of})"));
    // Which of equal values is left depends on the order of series, which only that of selectors is defined by.
    let first = (select(vec!["topk", "bottomk"]), labels(), number(), selector())
        .prop_map(|(function, labels, count, of)| format!("{function} by {labels} ({count}, {of})"));
    prop_oneof![
        3 => plain, 1 => clamped, 4 => over_time, 1 => with_number, 1 => relabelled, 3 => folded, 1 => quantile, 1 => first
    ]
    .boxed()
}

fn joins(vector: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let matching = prop_oneof![
        Just(String::new()),
        labels().prop_map(|labels| format!("on{labels}")),
        labels().prop_map(|labels| format!("ignoring{labels}")),
    ];
    let group = select(vec!["", "", "group_left()", "group_right(z)", "group_left(y)"]);
    let joined = (vector.clone(), select(OPERATORS.to_vec()), matching.clone(), group, vector.clone()).prop_map(
        |(left, operator, matching, group, right)| {
            // A label that is matched can't be copied as well.
            let included = group.split_once('(').map_or("", |(_, label)| label.trim_end_matches(')'));
            let clashes = matching.is_empty() || (!included.is_empty() && matching.contains(included));
            let group = if clashes { "" } else { group };
            format!("({left}) {operator} {matching} {group} ({right})")
        },
    );
    let set = (vector.clone(), select(vec!["and", "or", "unless"]), matching, vector.clone())
        .prop_map(|(left, operator, matching, right)| format!("({left}) {operator} {matching} ({right})"));
    let with_scalar = (vector.clone(), select(OPERATORS.to_vec()), scalar(vector.clone()), any::<bool>()).prop_map(
        |(of, operator, scalar, is_left)| {
            if is_left { format!("{scalar} {operator} ({of})") } else { format!("({of}) {operator} {scalar}") }
        },
    );
    let signed = vector.prop_map(|of| format!("-({of})"));
    prop_oneof![2 => joined, 2 => set, 3 => with_scalar, 1 => signed].boxed()
}

/// Queries that give a vector.
pub(crate) fn vector() -> BoxedStrategy<String> {
    let leaf = prop_oneof![6 => selector(), 1 => number().prop_map(|number| format!("vector({number})"))];
    leaf.prop_recursive(3, 12, 2, |inner| prop_oneof![calls(inner.clone()), joins(inner)].boxed()).boxed()
}

/// Texts of PromQL's words in any order, and of anything else.
pub(crate) fn any_text() -> BoxedStrategy<String> {
    let words = vec![
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "@",
        "=",
        "=~",
        "!~",
        "!=",
        "==",
        "<",
        "+",
        "-",
        "*",
        "^",
        "sum",
        "by",
        "on",
        "ignoring",
        "group_left",
        "bool",
        "offset",
        "start",
        "rate",
        "time",
        "topk",
        "inf",
        "nan",
        "a",
        "x",
        "\"a\"",
        "'",
        "`b`",
        "5m",
        "1h30m",
        "0x",
        "017",
        "1e3",
        "1e400",
        ".5",
        "\\",
        "\"\\x4\"",
        "#",
        "\n",
        "é",
        "label_replace",
        "or",
        "and",
        "atan2",
        "9223372036854775807",
        "99999999999y",
        "without",
        "\"(.*)\"",
        "\"[[\"",
    ];
    let of_words = proptest::collection::vec(select(words), 0..40).prop_map(|words| words.join(" "));
    prop_oneof![4 => of_words, 1 => ".*"].boxed()
}

/// Queries with a slip: something left out, doubled or put in at any place.
pub(crate) fn slipped() -> BoxedStrategy<String> {
    let pieces = vec![
        "", "(", ")", "[", "]", "{", "}", ",", ":", "@", "=", "~", "!", "\"", "'", "`", "-", "+", "^", ".", "0", "x",
        "5m", " ", "é", "#", "\\", "\n", " by ", " on ", " bool ", " offset ", " or ", "e", "inf", "1",
    ];
    (vector(), any::<prop::sample::Index>(), 0_usize..3, select(pieces))
        .prop_map(|(query, at, left_out, put_in)| {
            let mut characters: Vec<char> = query.chars().collect();
            let at = at.index(characters.len());
            let end = (at + left_out).min(characters.len());
            drop(characters.splice(at..end, put_in.chars()));
            characters.into_iter().collect()
        })
        .boxed()
}

/// Queries with a random regular expression in each place that takes one, about series with odd values.
pub(crate) fn matched() -> BoxedStrategy<String> {
    r"[ab{}()|*+?^$0-9,.\[\]\\:dwsbQEpLnxé&~<>=!iP-]{1,9}"
        .prop_map(|pattern: String| {
            format!(
                "label_replace(se_braces, \"o\", \"<$1>\", \"v\", `{pattern}`) or se_braces{{v=~`{pattern}`}} * 2 or se_braces{{v!~`(?i)x|{pattern}`}} ^ 2"
            )
        })
        .boxed()
}
