//! Series as tests write them: `name{label="value"}` and `1 2+3x4 _ stale`.
//!
//! Source: Prometheus documentation, "Unit testing for rules"; Prometheus 2.42, `promql/parser/parse.go`,
//! `ParseSeriesDesc`.

use crate::labels::Labels;
use crate::matcher::{Comparison, Matcher};
use crate::promql::expression::{Selector, Shift, Vector};
use crate::promql::{self, Expression};
use crate::sample::Sample;

/// How many samples one series may have.
pub(super) const SAMPLES_MAX: usize = 1_000_000;

/// The samples of a series, one for each interval; `None` where there is none.
pub(super) fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for item in text.split_whitespace() {
        item_values(item, &mut values)?;
    }
    Ok(values)
}

/// Adds `5`, `5x3` (four times), `5+2x3` (four values), `_`, `_x3` (three times nothing), or `stale`.
fn item_values(item: &str, values: &mut Vec<Option<f64>>) -> Result<(), String> {
    let wrong = || format!("{item:?} is no value: write a number, `1+2x3`, `1x3`, `_`, `_x3` or `stale`");
    // `x` is in no number: none is written in base 16 here.
    let (value, times) = match item.split_once('x') {
        Some((value, times)) if times.bytes().all(|byte| byte.is_ascii_digit()) => {
            (value, Some(times.parse::<usize>().map_err(|_| wrong())?))
        }
        Some(_) => return Err(wrong()),
        None => (item, None),
    };
    let more = times.unwrap_or(0);
    if values.len().saturating_add(more) >= SAMPLES_MAX {
        return Err(format!("the series has more than {SAMPLES_MAX} samples"));
    }
    if value == "_" {
        values.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
    } else if value == "stale" && times.is_none() {
        values.push(Some(Sample::stale(0).value));
    } else if times.is_some() && value.contains(['n', 'N']) {
        // As in Prometheus, `Inf` and `NaN` can't be repeated.
        return Err(wrong());
    } else if let Some(constant) = number(value) {
        values.extend(std::iter::repeat_n(Some(constant), more + 1));
    } else {
        let (mut value, step) = sum(value).filter(|_| times.is_some()).ok_or_else(wrong)?;
        for _ in 0..=more {
            values.push(Some(value));
            value += step;
        }
    }
    Ok(())
}

/// `1+2` or `-1-2.5` in two; a sign within an exponent is none of a step.
fn sum(text: &str) -> Option<(f64, f64)> {
    let mut signs = text.char_indices().skip(1).filter(|(_, letter)| matches!(letter, '+' | '-'));
    signs.find_map(|(at, _)| {
        let (value, step) = text.split_at(at);
        Some((number(value)?, number(step)?))
    })
}

fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_word = ["inf", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let is_number = unsigned.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
    if is_word || is_number { text.parse().ok() } else { None }
}

/// The labels of `name{label="value"}`.
pub(super) fn labels(text: &str) -> Result<Labels, String> {
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if inside.is_some_and(|inside| inside.trim().is_empty()) {
        return Ok(Labels::default());
    }
    let wrong = |why: &str| format!("{text:?} is no series: {why}");
    let parsed = promql::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let Expression::Vector(Vector::Selected(Selector { matchers, shift })) = &parsed else {
        return Err(wrong("write it as `name{label=\"value\"}`"));
    };
    if *shift != Shift::default() {
        return Err(wrong("it must not be moved in time"));
    }
    let mut labels = Labels::default();
    for Matcher { name, comparison } in matchers {
        let Comparison::Equal(value) = comparison else {
            return Err(wrong("a label has one value, written with `=`"));
        };
        labels = labels.with(name, value);
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_expanded_as_by_promtool() {
        let plain = |text: &str| -> Vec<f64> { values(text).unwrap().into_iter().map(Option::unwrap).collect() };
        assert_eq!(plain("1 -2 .5 1e3 +3"), [1.0, -2.0, 0.5, 1000.0, 3.0]);
        assert_eq!(plain("1x2 0x1"), [1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(plain("1+2x2 -1-0.5x1 1e1-1e0x1"), [1.0, 3.0, 5.0, -1.0, -1.5, 10.0, 9.0]);
        assert_eq!(values("_ _x2 1").unwrap(), [None, None, None, Some(1.0)]);
        assert!(Sample { timestamp: 0, value: plain("stale")[0] }.is_stale());
        assert!(plain("Inf NaN -inf")[1].is_nan());
        assert_eq!(values("  ").unwrap(), []);
        for wrong in [
            "x",
            "1x",
            "x3",
            "1+x3",
            "1+2",
            "stalex2",
            "1,2",
            "1x-1",
            "1x+1",
            "1x2x3",
            "0x1F",
            "1+-2x2",
            "--1",
            "NaNx2",
            "_ x2",
            "infx2",
            "1+infx2",
            "1_0",
            "one",
            "_x9999999",
            "1x99999999999999999999",
        ] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn series_have_labels_with_one_value() {
        assert_eq!(labels(r#"up{job="a", b='c'}"#).unwrap().to_string(), r#"up{b="c", job="a"}"#);
        assert_eq!(labels(r#"{__name__="up"}"#).unwrap().to_string(), "up");
        assert!(labels(" { } ").unwrap().is_empty());
        for wrong in ["", "up[5m]", "sum(up)", "up{a=~\"b\"}", "up{a=", "up offset 5m", "1"] {
            assert!(labels(wrong).is_err(), "{wrong}");
        }
    }
}
