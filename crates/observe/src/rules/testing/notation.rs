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
        Some((value, times)) => (value, Some(times.parse::<usize>().map_err(|_| wrong())?)),
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
    let signs = text.char_indices().skip(1).filter(|(_, letter)| matches!(letter, '+' | '-'));
    signs.into_iter().find_map(|(at, _)| {
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
