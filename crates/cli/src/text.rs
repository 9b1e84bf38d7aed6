//! Numbers, times and tables as people read them.

use jiff::{SignedDuration, Timestamp};

use crate::printer::{Style, Tone, one_line};

/// The most characters of a free text in a table on a terminal.
const CELL_CHARS_MAX: usize = 60;

/// A count with its thousands set apart: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 request`, `2 requests`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How many of a whole failed: `12 (0.1%)`.
pub(crate) fn failures(failures: u64, requests: u64) -> String {
    share(failures, requests).map_or_else(|| count(failures), |share| format!("{} ({share})", count(failures)))
}

/// A part of a whole in percent; none where there is nothing to say.
pub(crate) fn share(part: u64, whole: u64) -> Option<String> {
    if part == 0 || whole == 0 {
        return None;
    }
    let permille = (u128::from(part) * 1000 / u128::from(whole)).min(1000);
    let share = if permille == 0 { "<0.1".to_owned() } else { format!("{}.{}", permille / 10, permille % 10) };
    Some(format!("{share}%"))
}

/// A span in its two largest units: `850ms`, `41.3s`, `12m 5s`, `3h 2m`, `4d 1h`.
pub(crate) fn span_ms(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long ago, on a terminal; the time itself elsewhere. What is no time is shown as it is.
pub(crate) fn when(text: &str, now: Timestamp, style: Style) -> String {
    let Ok(at) = text.parse::<Timestamp>() else { return one_line(text) };
    if !style.terminal {
        return exact(at);
    }
    let passed = now.duration_since(at);
    if passed < SignedDuration::from_secs(1) {
        return "just now".to_owned();
    }
    let seconds = passed.as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// A time as RFC 3339 has it, to the millisecond.
pub(crate) fn exact(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// How long after the start, on a terminal; the time itself elsewhere. What is no time is shown as it is.
pub(crate) fn since(text: &str, start: &str, style: Style) -> String {
    match (text.parse::<Timestamp>(), start.parse::<Timestamp>()) {
        (Ok(at), Ok(start)) if style.terminal => {
            format!("+{}", span_ms(u64::try_from(at.duration_since(start).as_millis()).unwrap_or(0)))
        }
        (Ok(at), _) => exact(at),
        (Err(_), _) => one_line(text),
    }
}

/// Bytes in the largest fitting unit of 1000: `12.3 MB`.
pub(crate) fn bytes(number: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut whole = number;
    let mut unit = "B";
    let mut tenth = 0;
    for next in units {
        if whole < 1000 {
            break;
        }
        tenth = whole % 1000 / 100;
        whole /= 1000;
        unit = next;
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenth} {unit}") }
}

/// A table's cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    /// Text to the left, cleaned of control characters.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: one_line(text.as_ref()), tone: Tone::Plain, right: false }
    }

    /// A number to the right.
    pub(crate) fn number(text: impl AsRef<str>) -> Self {
        Self { right: true, ..Self::new(text) }
    }

    /// Free text, cut where a person reads it.
    pub(crate) fn free(text: impl AsRef<str>, style: Style) -> Self {
        let mut cell = Self::new(text);
        if style.terminal && cell.text.chars().count() > CELL_CHARS_MAX {
            cell.text = cell.text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect();
        }
        cell
    }

    /// The same in a tone.
    #[must_use]
    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// Rows with aligned columns.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// All of it, each line ended. Numbers' headings stand over them to the right.
    pub(crate) fn render(&self, style: Style) -> String {
        let heading = |column: usize, title: &&str| {
            let right = self.rows.first().and_then(|row| row.get(column)).is_some_and(|cell| cell.right);
            Cell { text: (*title).to_owned(), tone: Tone::Strong, right }
        };
        let header: Vec<Cell> = self.header.iter().enumerate().map(|(column, title)| heading(column, title)).collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&header).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                lines.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
            })
            .collect();
        lines.into_iter().map(|row| line(row, &widths, style)).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], style: Style) -> String {
    let mut text = String::new();
    let mut owed = 0;
    for (cell, width) in row.iter().zip(widths) {
        let missing = width.saturating_sub(cell.text.chars().count());
        let (before, after) = if cell.right { (missing, 0) } else { (0, missing) };
        if cell.text.is_empty() {
            owed += width + 2;
            continue;
        }
        text.push_str(&" ".repeat(owed + before));
        text.push_str(&cell.tone.paint(&cell.text, style.colour));
        owed = after + 2;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "request"), "1 request");
        assert_eq!(failures(12, 12_345), "12 (<0.1%)");
        assert_eq!(failures(12, 120), "12 (10.0%)");
        assert_eq!(failures(5, 0), "5");
        assert_eq!(failures(u64::MAX, 1), "18,446,744,073,709,551,615 (100.0%)");
        assert_eq!(
            [0, 850, 41_300, 725_000, 10_920_000, 349_200_000].map(span_ms).join(" "),
            "0ms 850ms 41.3s 12m 5s 3h 2m 4d 1h"
        );
        assert_eq!([0, 999, 1000, 12_345_678, u64::MAX].map(bytes).join(" "), "0 B 999 B 1.0 kB 12.3 MB 18446744.0 TB");
    }

    #[test]
    fn times_are_relative_on_a_terminal_and_exact_elsewhere() {
        let now: Timestamp = "2026-02-01T12:00:00Z".parse().unwrap();
        let terminal = Style { terminal: true, ..Style::default() };
        for (at, text) in [
            ("2026-02-01T11:59:59.5Z", "just now"),
            ("2026-02-01T12:00:30Z", "just now"),
            ("2026-02-01T11:59:30Z", "30s ago"),
            ("2026-02-01T11:57:00Z", "3m ago"),
            ("2026-02-01T09:57:00Z", "2h ago"),
            ("2025-02-01T09:57:00Z", "365d ago"),
            ("soon\x1b", "soon\u{fffd}"),
        ] {
            assert_eq!(when(at, now, terminal), text, "{at}");
        }
        assert_eq!(when("2026-02-01T11:57:00Z", now, Style::default()), "2026-02-01T11:57:00.000Z");
        let start = "2026-02-01T11:57:00Z";
        assert_eq!(since("2026-02-01T11:58:01.5Z", start, terminal), "+1m 1s");
        assert_eq!(since("2026-02-01T11:56:00Z", start, terminal), "+0ms", "a clock may be set back");
        assert_eq!(since("2026-02-01T11:58:01.123456Z", start, Style::default()), "2026-02-01T11:58:01.123Z");
        assert_eq!(since("soon", start, terminal), "soon");
    }

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_ends() {
        let mut table = Table::new(&["NAME", "COUNT", "NOTE"]);
        table.row(vec![Cell::new("a"), Cell::number("1,000"), Cell::new("é\nb")]);
        table.row(vec![Cell::new("longer"), Cell::number("7"), Cell::new("")]);
        table.row(vec![Cell::new(""), Cell::number(""), Cell::new("only")]);
        let text = table.render(Style::default());
        assert_eq!(text, "NAME    COUNT  NOTE\na       1,000  é b\nlonger      7\n               only\n");
    }

    #[test]
    fn free_text_is_cut_only_on_a_terminal() {
        let long = "x".repeat(80);
        let terminal = Style { terminal: true, ..Style::default() };
        assert_eq!(Cell::free(&long, terminal).text.chars().count(), CELL_CHARS_MAX);
        assert_eq!(Cell::free(&long, Style::default()).text, long);
    }
}
