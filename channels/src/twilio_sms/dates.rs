//! The two forms in which Twilio writes a date: a day (`2026-11-20`) and RFC 2822, always in UTC.

use crate::model::Millis;

const DAY_MS: i64 = 86_400_000;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `2026-11-20`
pub fn day(at: Millis) -> String {
    let (year, month, day) = civil(at.0.div_euclid(DAY_MS));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `Fri, 20 Nov 2026 10:00:00 +0000`
pub fn rfc2822(at: Millis) -> String {
    let days = at.0.div_euclid(DAY_MS);
    let seconds = at.0.rem_euclid(DAY_MS) / 1000;
    let (year, month, day) = civil(days);
    // 1 January 1970 was a Thursday.
    let weekday = name(&WEEKDAYS, (days + 4).rem_euclid(7));
    let month = name(&MONTHS, month - 1);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

/// `2611201000`: year, month, day, hour and minute with two digits each, as in `RawDlrDoneDate`.
pub fn compact(at: Millis) -> String {
    let minutes = at.0.rem_euclid(DAY_MS) / 60_000;
    let (year, month, day) = civil(at.0.div_euclid(DAY_MS));
    let (hour, minute) = (minutes / 60, minutes % 60);
    format!(
        "{:02}{month:02}{day:02}{hour:02}{minute:02}",
        year.rem_euclid(100)
    )
}

/// Reads `Fri, 20 Nov 2026 10:00:00 +0000`. Other zones than UTC are not read: Twilio writes none.
pub fn from_rfc2822(text: &str) -> Option<Millis> {
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|m| *m == month)?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let sane = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !sane || !matches!(words.next(), Some("+0000" | "GMT")) {
        return None;
    }
    let days = days(year, i64::try_from(month).ok()? + 1, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Millis::from_seconds(seconds))
}

fn name(names: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index)
        .ok()
        .and_then(|i| names.get(i))
        .copied()
        .unwrap_or_default()
}

/// Days of a 400-year cycle, in which the Gregorian calendar repeats.
const CYCLE_DAYS: i64 = 146_097;

/// Days before the first of March of the year `y` of a cycle (years that begin in March, so that the
/// leap day is the last of its year).
const fn before_year(y: i64) -> i64 {
    365 * y + y / 4 - y / 100
}

/// Days before the month `m`, counted from March = 0.
const fn before_month(m: i64) -> i64 {
    (153 * m + 2) / 5
}

/// Days from 1 January 1970 to 1 March of the year 0.
const EPOCH_SHIFT: i64 = 719_468;

fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, y) = (year.div_euclid(400), year.rem_euclid(400));
    cycle * CYCLE_DAYS + before_year(y) + before_month(shifted) + day - 1 - EPOCH_SHIFT
}

/// Year, month and day of so many days after 1 January 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_SHIFT;
    let (cycle, rest) = (
        shifted.div_euclid(CYCLE_DAYS),
        shifted.rem_euclid(CYCLE_DAYS),
    );
    // A year has at least 365 days, so this is the year or, near its end, one too many.
    let mut y = (rest / 365).min(399);
    if before_year(y) > rest {
        y -= 1;
    }
    let day_of_year = rest - before_year(y);
    let m = (5 * day_of_year + 2) / 153;
    let month = (m + 2) % 12 + 1;
    let year = cycle * 400 + y + i64::from(month <= 2);
    (year, month, day_of_year - before_month(m) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        // Made with Python's datetime and email.utils.
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29"),
            (
                1_767_225_599,
                "Wed, 31 Dec 2025 23:59:59 +0000",
                "2025-12-31",
            ),
            (
                1_795_168_800,
                "Fri, 20 Nov 2026 10:00:00 +0000",
                "2026-11-20",
            ),
            (
                4_107_542_400,
                "Mon, 01 Mar 2100 00:00:00 +0000",
                "2100-03-01",
            ),
        ];
        for (seconds, long, short) in cases {
            let at = Millis::from_seconds(seconds);
            assert_eq!(rfc2822(at), long);
            assert_eq!(day(at), short);
            assert_eq!(from_rfc2822(long), Some(at));
        }
        assert_eq!(compact(Millis::from_seconds(1_795_168_800)), "2611201000");
    }

    #[test]
    fn every_day_there_and_back() {
        for d in -1000..100_000 {
            let (year, month, day) = civil(d);
            assert_eq!(days(year, month, day), d, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn nonsense_is_no_date() {
        for text in ["", "yesterday", "Fri, 20 Nov 2026", "Fri, 20 Nov 2026 25:00:00 +0000", "Fri, 20 Nov 2026 10:00:00 +0200"] {
            assert_eq!(from_rfc2822(text), None, "{text}");
        }
    }
}
