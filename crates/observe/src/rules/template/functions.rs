//! The functions that Prometheus adds to Go's own.

use std::cell::Cell;
use std::sync::Arc;

use prograde_template::{self as template, CallError, Functions, Map, Value};

use super::{Context, QUERIES_MAX, TEXT_BYTES_MAX, host, humanize};
use crate::labels::Labels;
use crate::pattern::Pattern;
use crate::promql;
use crate::rules::answer;
use prograde_model::duration;

type Answer = Result<Value, CallError>;

/// All functions. Without a context they can be named, as is needed to read a template, but `query` and what tells of the
/// surroundings have no answer.
pub(super) fn table<'f>(context: Option<(&'f Context<'f>, &'f Cell<usize>)>) -> Functions<'f> {
    let url = context.map_or("", |(context, _)| context.external.url.as_str());
    let functions = Functions::new()
        .with("query", move |given| match context {
            Some((context, asked)) => query(&text(given)?, context, asked),
            None => Err(CallError::new("there is nothing to ask")),
        })
        .with("externalURL", move |given| none(given).map(|()| Value::from(url)))
        .with("pathPrefix", move |given| none(given).map(|()| Value::from(host::path(url))));
    of_numbers(of_texts(of_samples(functions)))
}

fn of_samples(functions: Functions<'_>) -> Functions<'_> {
    functions
        .with("first", |given| {
            let samples = list(one(given)?)?;
            samples.first().cloned().ok_or_else(|| CallError::new("there is no sample"))
        })
        .with("value", |given| member(one(given)?, "Value"))
        .with("strvalue", |given| label(one(given)?, "__value__"))
        .with("label", |given| {
            let [name, sample] = given else { return Err(wrong(given)) };
            label(sample, &as_text(name)?)
        })
        .with("sortByLabel", |given| {
            let [name, samples] = given else { return Err(wrong(given)) };
            let (name, samples) = (as_text(name)?, list(samples)?);
            let keyed: Result<Vec<_>, CallError> =
                samples.iter().map(|sample| Ok((as_text(&label(sample, &name)?)?, sample.clone()))).collect();
            let mut keyed = keyed?;
            keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
            Ok(Value::from(keyed.into_iter().map(|(_, sample)| sample).collect::<Vec<_>>()))
        })
        .with("args", |given| {
            let named =
                given.iter().enumerate().map(|(index, value)| (Arc::from(format!("arg{index}")), value.clone()));
            Ok(Value::Map(Arc::new(Map { entries: named.collect(), missing: Value::Nil })))
        })
}

fn of_texts(functions: Functions<'_>) -> Functions<'_> {
    functions
        .with("title", |given| text(given).map(|text| Value::from(title(&text))))
        .with("toUpper", |given| text(given).map(|text| Value::from(text.chars().map(upper).collect::<String>())))
        .with("toLower", |given| text(given).map(|text| Value::from(text.chars().map(lower).collect::<String>())))
        .with("match", |given| {
            let [pattern, text] = given else { return Err(wrong(given)) };
            Ok(Value::Bool(pattern_of(pattern)?.is_match(&as_text(text)?)))
        })
        .with("reReplaceAll", |given| {
            let [pattern, replacement, text] = given else { return Err(wrong(given)) };
            let (replacement, text) = (as_text(replacement)?, as_text(text)?);
            let replaced = pattern_of(pattern)?.replace_all(&text, &replacement, TEXT_BYTES_MAX);
            let too_long = || CallError::new(format!("this makes more than {TEXT_BYTES_MAX} bytes"));
            replaced.map(Value::from).ok_or_else(too_long)
        })
        .with("safeHtml", |given| text(given).map(Value::markup))
        .with("stripPort", |given| text(given).map(|text| Value::from(host::without_port(&text))))
        .with("stripDomain", |given| text(given).map(|text| Value::from(host::without_domain(&text))))
        .with("graphLink", |given| text(given).map(|query| link(&query, 0)))
        .with("tableLink", |given| text(given).map(|query| link(&query, 1)))
}

fn of_numbers(functions: Functions<'_>) -> Functions<'_> {
    let of =
        |shown: fn(f64) -> String| move |given: &[Value]| number(one(given)?).map(|number| Value::from(shown(number)));
    functions
        .with("humanize", of(humanize::decimal))
        .with("humanize1024", of(humanize::binary))
        .with("humanizeDuration", of(humanize::duration))
        .with("humanizePercentage", of(humanize::percentage))
        .with("humanizeTimestamp", |given| {
            let number = number(one(given)?)?;
            if number.is_finite() {
                moment(number).map(|moment| moment.plain())
            } else {
                Ok(humanize::short(number).into())
            }
        })
        .with("toTime", |given| moment(number(one(given)?)?))
        .with("parseDuration", |given| {
            let text = text(given)?;
            let ms = duration::parse_or_nothing(&text);
            let ms = ms.ok_or_else(|| CallError::new(format!("{text:?} is not a duration, such as 5m")))?;
            #[expect(clippy::cast_precision_loss, reason = "durations of centuries are counted exactly")]
            Ok(Value::Float(ms as f64 / 1000.0))
        })
}

/// A query's answer as a list of samples.
fn query(query: &str, context: &Context<'_>, asked: &Cell<usize>) -> Answer {
    asked.set(asked.get() + 1);
    if asked.get() > QUERIES_MAX {
        return Err(CallError::new(format!("a template may ask {QUERIES_MAX} queries")));
    }
    let expression = promql::parse(query).map_err(|error| CallError::new(error.to_string()))?;
    let mut answered = answer(&expression, context.store, context.at_ms, context.options)
        .map_err(|error| CallError::new(error.to_string()))?;
    answered.sort_by(|(left, _), (right, _)| left.cmp(right));
    let sample = |(labels, value): (Labels, f64)| {
        Value::record("template.sample", vec![("Labels", texts(&labels)), ("Value", Value::Float(value))])
    };
    Ok(Value::from(answered.into_iter().map(sample).collect::<Vec<_>>()))
}

/// Labels as a map.
pub(super) fn texts(labels: &Labels) -> Value {
    Value::texts(labels.iter().map(|label| (&*label.name, &*label.value)))
}

fn link(query: &str, tab: u8) -> Value {
    Value::from(format!("/graph?g0.expr={}&g0.tab={tab}", template::query(query)))
}

fn wrong(given: &[Value]) -> CallError {
    CallError::new(format!("it does not take {} arguments", given.len()))
}

fn none(given: &[Value]) -> Result<(), CallError> {
    if given.is_empty() { Ok(()) } else { Err(wrong(given)) }
}

fn one(given: &[Value]) -> Result<&Value, CallError> {
    if let [value] = given { Ok(value) } else { Err(wrong(given)) }
}

fn as_text(value: &Value) -> Result<Arc<str>, CallError> {
    value.as_text().ok_or_else(|| CallError::new(format!("expected a string, found {}", value.kind())))
}

fn text(given: &[Value]) -> Result<Arc<str>, CallError> {
    as_text(one(given)?)
}

fn list(value: &Value) -> Result<Arc<[Value]>, CallError> {
    let Value::List(list) = value else {
        return Err(CallError::new(format!("expected a query's samples, found {}", value.kind())));
    };
    Ok(Arc::clone(list))
}

fn member(sample: &Value, name: &str) -> Answer {
    let field =
        if let Value::Record(record) = sample { record.fields.iter().find(|(field, _)| *field == name) } else { None };
    field
        .map(|(_, value)| value.clone())
        .ok_or_else(|| CallError::new(format!("expected a sample, found {}", sample.kind())))
}

fn label(sample: &Value, name: &str) -> Answer {
    let Value::Map(labels) = member(sample, "Labels")? else { return Err(CallError::new("expected a sample")) };
    Ok(labels.get(name).clone())
}

fn pattern_of(value: &Value) -> Result<Pattern, CallError> {
    Pattern::anywhere(&as_text(value)?).map_err(|error| CallError::new(error.to_string()))
}

/// A number, or a text that is one.
#[expect(clippy::wildcard_enum_match_arm, reason = "all that can't be a number is refused alike")]
fn number(value: &Value) -> Result<f64, CallError> {
    match value {
        Value::Float(number) => Ok(*number),
        #[expect(clippy::cast_precision_loss, reason = "as Prometheus does it")]
        Value::Int(number) => Ok(*number as f64),
        Value::Text(text) => {
            // A number that is too large is an error, and not infinity.
            let fits = |number: &f64| number.is_finite() || !text.contains(|letter: char| letter.is_ascii_digit());
            let parsed = text.parse::<f64>().ok().filter(fits);
            parsed.ok_or_else(|| CallError::new(format!("{text:?} is not a number")))
        }
        other => Err(CallError::new(format!("expected a number, found {}", other.kind()))),
    }
}

/// Seconds since 1970 as a moment, to the millisecond below.
fn moment(seconds: f64) -> Answer {
    let nanoseconds = seconds * 1e9;
    #[expect(clippy::cast_precision_loss, reason = "the limits themselves are powers of two")]
    let fits = nanoseconds >= i64::MIN as f64 && nanoseconds <= i64::MAX as f64;
    if !fits {
        return Err(CallError::new(format!("{} is no second since 1970 that can be shown", template::float(seconds))));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let ms = nanoseconds as i64 / 1_000_000;
    template::time(ms).ok_or_else(|| CallError::new("it is too far from 1970"))
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut titled = String::with_capacity(text.len());
    for letter in text.chars() {
        titled.push(if separates(before) { upper(letter) } else { letter });
        before = letter;
    }
    titled
}

/// Whether a word may begin after it: in ASCII after all but letters, digits and `_`, else after space.
fn separates(letter: char) -> bool {
    if letter.is_ascii() { !letter.is_ascii_alphanumeric() && letter != '_' } else { letter.is_whitespace() }
}

/// A letter that would become several stays as it is, as in Go.
fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    if upper.len() == 1 { upper.next().unwrap_or(letter) } else { letter }
}

fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}
