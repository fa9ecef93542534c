//! Google's times: RFC 3339 in UTC, with up to nine digits of a second.

use crate::model::Millis;

const DAY_MS: i64 = 86_400_000;

/// Reads `2024-05-01T09:30:00.123456Z`. Other zones than UTC are not read: Google writes none.
pub fn read(text: &str) -> Option<Millis> {
    let (date, clock) = text.trim().split_once(['T', 't'])?;
    let clock = clock.strip_suffix(['Z', 'z']).or_else(|| clock.strip_suffix("+00:00"))?;
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && fraction.bytes().all(|b| b.is_ascii_digit());
    if !sane {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds = hour * 3600 + minute * 60 + second;
    let millis = days(year, month, day) * DAY_MS + seconds * 1000 + number(&thousandths)?;
    Some(Millis(millis))
}

/// `2024-05-01T09:30:00.123Z`
pub fn write(at: Millis) -> String {
    let (year, month, day) = civil(at.0.div_euclid(DAY_MS));
    let ms = at.0.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let thousandths = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z")
}

fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Days since 1970 of a date of the Gregorian calendar. Years are counted from March, so that the
/// day that leap years have more is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-05-01T09:30:00.123456Z", 1_714_555_800_123),
            ("2024-02-29T23:59:60.9Z", 1_709_251_200_900),
            ("2026-11-18T07:48:20.100000000+00:00", 1_794_988_100_100),
        ] {
            assert_eq!(read(text), Some(Millis(millis)), "{text}");
        }
        for at in [0, 951_782_400_000, 1_714_555_800_123, 4_102_444_799_999] {
            assert_eq!(read(&write(Millis(at))), Some(Millis(at)));
        }
        assert_eq!(write(Millis(1_714_555_800_123)), "2024-05-01T09:30:00.123Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for odd in [
            "",
            "now",
            "2024-05-01",
            "2024-05-01T09:30:00",
            "2024-05-01T09:30:00+02:00",
            "2024-13-01T09:30:00Z",
            "2024-05-01T24:30:00Z",
            "2024-05-01T09:30:00.-1Z",
            "99999-05-01T09:30:00Z",
            "2024-05-01T09:30Z",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
