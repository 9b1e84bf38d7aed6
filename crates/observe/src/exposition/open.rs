//! One entry of OpenMetrics.

use super::cursor::{Cursor, is_label_start};
use super::{Entry, Format, Line, MetricKind, Wrong, as_text, unescaped};

const NO_END: &str = "the body does not end with `# EOF`";

pub(super) fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Entry<'a>>, Wrong> {
    match cursor.peek() {
        None => Err(NO_END.into()),
        Some(b'#') => description(cursor),
        Some(byte) if is_label_start(byte) || byte == b':' => sample(cursor).map(Some),
        Some(b'\n') => Err("an empty line".into()),
        Some(_) => Err("expected a metric's name, `# HELP`, `# TYPE`, `# UNIT` or `# EOF`".into()),
    }
}

/// `# EOF` and what is said about a metric.
fn description<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Entry<'a>>, Wrong> {
    if cursor.take(b"# EOF") {
        cursor.take(b"\n");
        return if cursor.is_at_end() { Ok(None) } else { Err("something follows `# EOF`".into()) };
    }
    let words: [&[u8]; 3] = [b"# HELP ", b"# TYPE ", b"# UNIT "];
    let Some(word) = words.into_iter().find(|word| cursor.take(word)) else {
        return Err("expected `# HELP`, `# TYPE`, `# UNIT` or `# EOF`; there are no comments in OpenMetrics".into());
    };
    let metric = cursor.name(true);
    if metric.is_empty() {
        return Err("expected a metric's name".into());
    }
    let metric = as_text(metric);
    if !cursor.take(b" ") {
        return Err("expected a space".into());
    }
    let begin = cursor.position();
    cursor.skip_until(b'\n');
    let text = cursor.since(begin);
    let entry = match word {
        b"# HELP " => help(metric, text),
        b"# TYPE " => MetricKind::of(text, Format::OpenMetrics)
            .map(|kind| Entry::Type { metric, kind })
            .ok_or((0, "expected counter, gauge, histogram, gaugehistogram, summary, info, stateset or unknown")),
        _ => unit(metric, text),
    };
    let entry = entry.map_err(|(at, wrong)| {
        cursor.back_to(begin + at);
        Wrong::from(wrong)
    })?;
    if cursor.take(b"\n") { Ok(Some(entry)) } else { Err(NO_END.into()) }
}

/// What a line says, or where in its text it is wrong.
type Described<'a> = Result<Entry<'a>, (usize, &'static str)>;

fn help<'a>(metric: &'a str, text: &'a [u8]) -> Described<'a> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(Entry::Help { metric, help: unescaped(text, true) }),
        Err(error) => Err((error.valid_up_to(), "the help is not UTF-8")),
    }
}

fn unit<'a>(metric: &'a str, text: &'a [u8]) -> Described<'a> {
    let unit = as_text(text);
    let is_suffix = metric.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
    if text.is_empty() || (is_suffix && !unit.is_empty()) {
        return Ok(Entry::Unit { metric, unit });
    }
    Err((0, "the metric's name does not end with `_` and this unit"))
}

fn sample<'a>(cursor: &mut Cursor<'a>) -> Result<Entry<'a>, Wrong> {
    let begin = cursor.position();
    cursor.name(true);
    let name_bytes = cursor.position() - begin;
    if cursor.take(b"{") {
        labels(cursor)?;
    }
    let series = as_text(cursor.since(begin));
    let value = number(cursor, "expected a space and the value")?;
    let mut timestamp = None;
    let is_exemplar = |cursor: &Cursor<'_>| cursor.rest().starts_with(b" # {");
    if cursor.peek() == Some(b' ') && !is_exemplar(cursor) {
        timestamp = Some(milliseconds(cursor)?);
    }
    if cursor.take(b" # {") {
        exemplar(cursor)?;
    }
    match cursor.peek() {
        Some(b'\n') => cursor.skip(1),
        None => return Err(NO_END.into()),
        Some(_) => return Err("expected the end of the line, a timestamp or an exemplar".into()),
    }
    Ok(Entry::Sample(Line { series, name_bytes, at: begin, value, timestamp }))
}

fn exemplar(cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
    labels(cursor)?;
    number(cursor, "expected a space and the exemplar's value")?;
    if cursor.peek() == Some(b' ') {
        milliseconds(cursor)?;
    }
    Ok(())
}

fn number(cursor: &mut Cursor<'_>, expected: &'static str) -> Result<f64, Wrong> {
    if !cursor.take(b" ") {
        return Err(expected.into());
    }
    let text = cursor.take_while(|byte| !matches!(byte, b' ' | b'\n'));
    if text.is_empty() { Err(expected.into()) } else { cursor.number(text) }
}

/// Seconds with a fraction.
fn milliseconds(cursor: &mut Cursor<'_>) -> Result<i64, Wrong> {
    let begin = cursor.position();
    let seconds = number(cursor, "expected a space and the seconds since 1970")?;
    if !seconds.is_finite() {
        cursor.back_to(begin + 1);
        return Err("a timestamp must be finite".into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "what is out of bounds is found out when it is stored")]
    let milliseconds = (seconds * 1000.0) as i64;
    Ok(milliseconds)
}

/// What follows an opening brace, and the closing one.
fn labels(cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
    if cursor.take(b"}") {
        return Ok(());
    }
    loop {
        if cursor.name(false).is_empty() {
            return Err("expected a label's name".into());
        }
        cursor.label_value(false)?;
        if cursor.take(b"}") {
            return Ok(());
        }
        if !cursor.take(b",") {
            return Err("expected `,` or `}`".into());
        }
    }
}
