//! One entry of the text format 0.0.4.

use super::cursor::{Cursor, is_label_start};
use super::{Entry, Format, Line, MetricKind, Wrong, as_text, unescaped};

pub(super) fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Entry<'a>>, Wrong> {
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => return Ok(None),
            Some(b'\n') => cursor.skip(1),
            Some(b'#') => {
                if let Some(entry) = comment(cursor)? {
                    return Ok(Some(entry));
                }
            }
            Some(byte) if is_label_start(byte) || byte == b':' => return sample(cursor).map(Some),
            Some(_) => return Err("expected a metric's name or a comment".into()),
        }
    }
}

/// `# HELP` and `# TYPE` say something; any other comment is for people.
fn comment<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Entry<'a>>, Wrong> {
    let begin = cursor.position();
    cursor.skip(1);
    let blanks = !cursor.take_while(|byte| matches!(byte, b' ' | b'\t')).is_empty();
    let is_help = blanks && cursor.take(b"HELP");
    let is_type = blanks && !is_help && cursor.take(b"TYPE");
    if !((is_help || is_type) && matches!(cursor.peek(), Some(b' ' | b'\t'))) {
        cursor.back_to(begin);
        cursor.skip_until(b'\n');
        return Ok(None);
    }
    cursor.skip_blanks();
    let metric = cursor.name(true);
    if metric.is_empty() {
        return Err("expected a metric's name".into());
    }
    let metric = as_text(metric);
    // Exactly one character is between the name and the text.
    if !matches!(cursor.peek(), None | Some(b'\n')) {
        cursor.skip(1);
    }
    let begin = cursor.position();
    cursor.skip_until(b'\n');
    let text = cursor.since(begin);
    if is_help {
        if let Err(error) = std::str::from_utf8(text) {
            cursor.back_to(begin + error.valid_up_to());
            return Err("the help is not UTF-8".into());
        }
        return Ok(Some(Entry::Help { metric, help: unescaped(text, false) }));
    }
    let Some(kind) = MetricKind::of(text, Format::Text) else {
        cursor.back_to(begin);
        return Err("expected counter, gauge, histogram, summary or untyped, and nothing after it".into());
    };
    Ok(Some(Entry::Type { metric, kind }))
}

fn sample<'a>(cursor: &mut Cursor<'a>) -> Result<Entry<'a>, Wrong> {
    let begin = cursor.position();
    cursor.name(true);
    let name_bytes = cursor.position() - begin;
    let mut series = cursor.since(begin);
    cursor.skip_blanks();
    if cursor.take(b"{") {
        labels(cursor)?;
        series = cursor.since(begin);
        cursor.skip_blanks();
    }
    let value = cursor.take_while(|byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\n'));
    if value.is_empty() {
        return Err("expected the value".into());
    }
    let value = cursor.number(value)?;
    cursor.skip_blanks();
    let timestamp = timestamp(cursor)?;
    cursor.skip_blanks();
    match (cursor.peek(), timestamp) {
        (None | Some(b'\n'), _) => {
            Ok(Entry::Sample(Line { series: as_text(series), name_bytes, at: begin, value, timestamp }))
        }
        (Some(_), None) => Err("expected the end of the line, or milliseconds since 1970".into()),
        (Some(_), Some(_)) => Err("expected the end of the line".into()),
    }
}

/// Milliseconds since 1970, if they are there.
fn timestamp(cursor: &mut Cursor<'_>) -> Result<Option<i64>, Wrong> {
    let digits = cursor.take_while(|byte| byte.is_ascii_digit());
    if digits.is_empty() {
        return Ok(None);
    }
    let Ok(timestamp) = as_text(digits).parse() else {
        cursor.back_to(cursor.position() - digits.len());
        return Err("the timestamp is too large".into());
    };
    Ok(Some(timestamp))
}

/// What follows an opening brace, and the closing one. A comma may follow each label.
fn labels(cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
    loop {
        cursor.skip_blanks();
        if cursor.take(b"}") {
            return Ok(());
        }
        if cursor.name(false).is_empty() {
            return Err("expected a label's name or `}`".into());
        }
        cursor.label_value(true)?;
        cursor.skip_blanks();
        if cursor.take(b",") {
            cursor.skip_blanks();
        }
    }
}
