//! The window of an SLO, and durations as `OpenSLO` writes them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use prograde_model::objective::{Calendar, Unit, Window};
use prograde_yaml::Node;

use crate::rules::reader::Reader;

const DAY_MS: i64 = 24 * 3_600_000;
/// What an SLO without a window has, as Sloth and most teams do.
const DEFAULT_MS: i64 = 30 * DAY_MS;
/// The longest window.
const LONGEST_MS: i64 = 4 * 366 * DAY_MS;

impl Reader<'_> {
    pub(super) fn time_window(&mut self, spec: &Node, notices: &mut Vec<String>) -> Option<Window> {
        let windows = self.items(spec, "timeWindow");
        let [window] = windows else {
            if windows.is_empty() {
                notices.push(format!("{}:{}: without `timeWindow` the last 30 days count", self.file, spec.line));
                return Some(Window::Rolling(DEFAULT_MS));
            }
            self.report(spec, "`timeWindow` has more than one window", "leave one");
            return None;
        };
        self.mapping(window, "a window", &["duration", "isRolling", "calendar"]);
        let rolls = self.flag(window, "isRolling").unwrap_or(false);
        match (window.get("calendar"), rolls) {
            (None, true) => self.shorthand(window, "duration").map(Window::Rolling),
            (Some(calendar), false) => self.calendar(window, calendar),
            (Some(_), true) => {
                self.report(window, "a window either rolls or follows the calendar", "take one of the two out");
                None
            }
            (None, false) => {
                self.report(
                    window,
                    "a window that does not roll needs `calendar`",
                    "write `isRolling: true`, or add `calendar`",
                );
                None
            }
        }
    }

    fn calendar(&mut self, window: &Node, node: &Node) -> Option<Window> {
        self.mapping(node, "`calendar`", &["startTime", "timeZone"]);
        let (count, unit) = self.number_and_unit(window, "duration")?;
        let unit = match unit {
            'd' => Unit::Day,
            'w' => Unit::Week,
            'M' => Unit::Month,
            'Q' => Unit::Quarter,
            'Y' => Unit::Year,
            _ => {
                let hint = "write `1d`, `1w`, `1M`, `1Q` or `1Y`";
                self.unsupported(window.get("duration")?, "a period of the calendar has whole days", hint);
                return None;
            }
        };
        let start = self.needed(node, "startTime")?;
        let zone = self.text(node, "timeZone").unwrap_or_else(|| "UTC".to_owned());
        let start = start.trim().parse::<DateTime>().map_err(|error| {
            let hint = "write a date and time without a zone, such as `2026-01-01 00:00:00`";
            self.report(node, format!("`startTime` can't be read: {error}"), hint);
        });
        let zone = TimeZone::get(&zone).map_err(|_| {
            self.report(
                node,
                format!("there is no time zone {zone:?}"),
                "write it as IANA names it, such as `Europe/Berlin`",
            );
        });
        let calendar = Calendar { count, unit, start: start.ok()?, zone: zone.ok()? };
        let window_read = Window::Calendar(calendar);
        if window_read.nominal_ms() > LONGEST_MS {
            self.report(window, "the window is longer than four years", "write a shorter one");
            return None;
        }
        Some(window_read)
    }

    /// A duration of fixed length.
    pub(super) fn shorthand(&mut self, node: &Node, field: &str) -> Option<i64> {
        let (count, unit) = self.number_and_unit(node, field)?;
        let unit_ms = match unit {
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => DAY_MS,
            'w' => 7 * DAY_MS,
            _ => {
                let message = format!("`{unit}` has no fixed length, which `{field}` needs here");
                self.unsupported(node.get(field)?, message, "write days, such as `30d`");
                return None;
            }
        };
        let ms = count.checked_mul(unit_ms).filter(|ms| *ms <= LONGEST_MS);
        if ms.is_none() {
            self.report(node, format!("`{field}` is longer than four years"), "write a shorter one");
        }
        ms
    }

    fn number_and_unit(&mut self, node: &Node, field: &str) -> Option<(i64, char)> {
        let text = self.needed(node, field)?;
        let unit = text.chars().last().filter(|unit| "mhdwMQY".contains(*unit));
        let count = unit.and_then(|unit| text.strip_suffix(unit)?.parse::<i64>().ok()).filter(|count| *count > 0);
        let read = count.filter(|count| *count <= 1_000_000).zip(unit);
        if read.is_none() {
            let hint = "write a whole number and one of m, h, d, w, M, Q and Y, such as `30d`";
            self.report(node.get(field).unwrap_or(node), format!("`{text}` in `{field}` is not a duration"), hint);
        }
        read
    }
}
