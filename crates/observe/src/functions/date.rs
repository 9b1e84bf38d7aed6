//! Parts of dates in UTC, of seconds since 1970 with any value at all.
//!
//! A date in the proleptic Gregorian calendar is counted from the beginning of a year so long ago that every time in 63 bits
//! lies after it, in unsigned arithmetic that wraps. So does Go, and so even NaN and numbers beyond any calendar give what
//! Prometheus gives.
//!
//! Source: Go 1.19, `time`: the comment on "Computations on time", and `absDate`.

use crate::promql::expression::DatePart;

const SECONDS_PER_DAY: u64 = 86_400;
/// Days of 400, 100 and 4 years, and of one that is no leap year.
const DAYS: [u64; 4] = [146_097, 36_524, 1_461, 365];
/// The year that days are counted from. It is 1 after a multiple of 400.
const FIRST_YEAR: i64 = -292_277_022_399;
/// From the beginning of that year to 1970.
const SECONDS_TO_1970: u64 = 9_223_372_028_715_321_600;
/// On which day of the week that year begins, from Sunday.
const FIRST_WEEKDAY: u64 = 1;

/// A time, taken apart.
struct Date {
    year: i64,
    /// From 0.
    day_of_year: u64,
    second_of_day: u64,
    day_of_week: u64,
}

impl Date {
    fn of(seconds: i64) -> Self {
        let since_first = seconds.cast_unsigned().wrapping_add(SECONDS_TO_1970);
        let days = since_first / SECONDS_PER_DAY;
        let [of_400, of_100, of_4, of_1] = DAYS;
        let mut rest = days;
        let cycles = rest / of_400;
        rest -= cycles * of_400;
        // The last day of a fourth century, and of a fourth year, is in no century or year after it.
        let centuries = (rest / of_100).min(3);
        rest -= centuries * of_100;
        let fours = rest / of_4;
        rest -= fours * of_4;
        let years = (rest / of_1).min(3);
        rest -= years * of_1;
        let year = (400 * cycles + 100 * centuries + 4 * fours + years).cast_signed().wrapping_add(FIRST_YEAR);
        let (second_of_day, day_of_week) = (since_first % SECONDS_PER_DAY, (days + FIRST_WEEKDAY) % 7);
        Self { year, day_of_year: rest, second_of_day, day_of_week }
    }

    fn month_lengths(&self) -> [u64; 12] {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    }

    /// The month from 1, the day in it from 1, and how many days it has.
    fn month(&self) -> (u64, u64, u64) {
        let mut day = self.day_of_year;
        for (month, length) in (1..).zip(self.month_lengths()) {
            if day < length {
                return (month, day + 1, length);
            }
            day -= length;
        }
        (12, 31, 31)
    }
}

/// A part of the date at so many seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "PromQL's numbers are floats")]
pub(crate) fn part(part: DatePart, seconds: f64) -> f64 {
    let date = Date::of(truncated(seconds));
    let (month, day, length) = date.month();
    let whole = match part {
        DatePart::Year => return date.year as f64,
        DatePart::Month => month,
        DatePart::DayOfMonth => day,
        DatePart::DaysInMonth => length,
        DatePart::DayOfYear => date.day_of_year + 1,
        DatePart::DayOfWeek => date.day_of_week,
        DatePart::Hour => date.second_of_day / 3600,
        DatePart::Minute => date.second_of_day % 3600 / 60,
    };
    whole as f64
}

/// 2^63
const I64_SPAN: f64 = 9_223_372_036_854_775_808.0;

/// As amd64 converts: what does not fit, NaN among it, is the least number.
fn truncated(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "only where it fits")]
    if (-I64_SPAN..I64_SPAN).contains(&seconds) { seconds as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(seconds: f64) -> [i64; 8] {
        let parts = [
            DatePart::Year,
            DatePart::Month,
            DatePart::DayOfMonth,
            DatePart::DaysInMonth,
            DatePart::DayOfYear,
            DatePart::DayOfWeek,
            DatePart::Hour,
            DatePart::Minute,
        ];
        parts.map(|wanted| truncated(part(wanted, seconds)))
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(all(0.0), [1970, 1, 1, 31, 1, 4, 0, 0]);
        assert_eq!(all(951_827_696.9), [2000, 2, 29, 29, 60, 2, 12, 34]);
        assert_eq!(all(4_107_542_399.0), [2100, 2, 28, 28, 59, 0, 23, 59]);
        assert_eq!(all(-1.0), [1969, 12, 31, 31, 365, 3, 23, 59]);
        assert_eq!(all(1_735_689_599.0), [2024, 12, 31, 31, 366, 2, 23, 59]);
    }
}
