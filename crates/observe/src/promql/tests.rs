//! What is refused, where, and in which words; what is accepted is asked of Prometheus in `tests/observe`.

use super::{DEPTH_MAX, NEST_MAX, QUERY_BYTES_MAX, Reason, parse};

fn refusals(texts: &[&str]) -> String {
    let said = texts.iter().map(|text| match parse(text) {
        Ok(expression) => format!("{text}\n    accepted: {expression:?}\n"),
        Err(error) => format!("{text}\n    {error}\n"),
    });
    said.collect()
}

#[test]
fn refusals_say_what_and_where() {
    insta::assert_snapshot!(refusals(&[
        "sum(up",
        "up{job=pad}",
        "rate(up)",
        "sum by (job) (up) by (job)",
        "a +\n  b offset 5",
        "1 == 1",
        "a + on(x) group_left(x) b",
        "a and on(x) group_left b",
        "rate(up[5m:1m:1m])",
        "up @ start",
        "(up) offset 5m",
        "up offset 1m offset 1m",
        "up[1m1h]",
        "{job=~\".*\"}",
        "up{__name__=\"x\"}",
        "up{job=~\"(\"}",
        "histogram_quantile(0.9)",
        "label_replace(up, \"not a label\", \"\", \"\", \"\")",
        "-\"text\"",
        "round(up, 1, 2)",
        "label_join(up)",
        "no_such(up)",
    ]));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    insta::assert_snapshot!(refusals(&[
        "histogram_quantiles(up, 0.5)",
        "sort_by_label(up, \"job\")",
        "limitk(1, up)",
        "double_exponential_smoothing(up[5m], 0.5, 0.5)",
        "a + on(x) fill(0) b",
        "{\"up\"}",
        "up{\"job\"=\"x\"}",
    ]));
}

/// On the stack of a test's thread, 2 MiB.
#[test]
fn depth_is_bounded() {
    let nested = |count: usize| {
        [
            format!("{}1{}", "(".repeat(count), ")".repeat(count)),
            format!("{}a", "-".repeat(count)),
            format!("a{}", " ^ a".repeat(count)),
            format!("{}a{}", "abs(".repeat(count), ")".repeat(count)),
            format!("{}a{}", "sum(".repeat(count), ")".repeat(count)),
            format!("{}a{}", "max_over_time(".repeat(count), "[5m:])".repeat(count)),
        ]
    };
    let chained = |count: usize| format!("a{}", " + a".repeat(count));
    let limit = usize::try_from(NEST_MAX).unwrap() - 1;
    for text in nested(limit) {
        assert!(parse(&text).is_ok(), "{text}");
    }
    for text in nested(limit + 1).into_iter().chain(nested(3000)) {
        assert_eq!(parse(&text).unwrap_err().reason, Reason::TooDeep { max: NEST_MAX }, "{}", &text[..40]);
    }
    let limit = usize::try_from(DEPTH_MAX).unwrap() - 1;
    assert!(parse(&chained(limit)).is_ok());
    for count in [limit + 1, 10_000] {
        assert_eq!(parse(&chained(count)).unwrap_err().reason, Reason::TooDeep { max: DEPTH_MAX });
    }
    let hostile = "(".repeat(100 * 1024);
    assert_eq!(parse(&hostile).unwrap_err().reason, Reason::TooLong { bytes: 102_400, max: QUERY_BYTES_MAX });
}

#[test]
fn a_long_flat_query_is_no_deep_one() {
    let labels: Vec<String> = (0..4000).map(|index| format!("l{index}")).collect();
    assert!(parse(&format!("sum by ({}) (up)", labels.join(","))).is_ok());
    let sources: Vec<String> = labels.iter().map(|label| format!("\"{label}\"")).collect();
    assert!(parse(&format!("label_join(up, \"all\", \"-\", {})", sources.join(","))).is_ok());
}
