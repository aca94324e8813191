//! Moments as people and servers write them. All of them are in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, ErrorCode, Result};
use crate::settings::parse_go_duration;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;
/// From the first of March of the year 0 to the first of January 1970.
const EPOCH: i64 = 719_468;

/// A moment, in milliseconds since 1970, as `2026-11-21T18:08:28.123Z`.
pub fn show_moment(millis: i64) -> String {
    let (seconds, fraction) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (year, month, day) = date_of(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

/// Reads a time span such as `1h30m`, `90s` or `100ms`.
///
/// # Errors
/// `INVALID_REQUEST` for anything else.
pub fn read_time_span(text: &str) -> Result<Duration> {
    parse_go_duration(text)
        .map_err(|expected| Error::new(ErrorCode::InvalidRequest, format!("{expected}, got {text:?}")))
}

/// Reads a moment: `2026-11-21`, `2026-11-21T18:08`, with seconds and their fractions and with or without `Z`, or
/// how long before `now` it was, such as `2h30m`. Gives milliseconds since 1970.
///
/// # Errors
/// `INVALID_REQUEST` for anything else.
pub fn read_moment(text: &str, now: SystemTime) -> Result<i64> {
    let unfit = || {
        let message =
            format!("expected a time such as 2026-11-21T18:00:00Z or how long ago, such as 2h, got {text:?}");
        Error::new(ErrorCode::InvalidRequest, message)
    };
    if let Ok(ago) = parse_go_duration(text) {
        let moment = now.checked_sub(ago).ok_or_else(unfit)?;
        let since = moment.duration_since(UNIX_EPOCH).map_err(|_| unfit())?;
        return i64::try_from(since.as_millis()).map_err(|_| unfit());
    }
    written(text.trim_end_matches('Z')).ok_or_else(unfit)
}

fn written(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut clock = clock.splitn(3, ':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second: f64 = clock.next().map_or(Some(0.0), |second| second.parse().ok())?;
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..61.0).contains(&second) {
        return None;
    }
    let minutes = (days_to(year, month, day) * 24 + hour) * 60 + minute;
    #[expect(clippy::cast_possible_truncation, reason = "less than a minute")]
    let millis = (second * 1000.0).round() as i64;
    Some(minutes * 60_000 + millis)
}

/// A day as `2026-11-21`.
pub(crate) fn show_day(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date_of(i64::try_from(seconds).unwrap_or(i64::MAX).div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// A date as servers write it: `Sat, 21 Nov 2026 18:08:28 GMT`.
pub(crate) fn read_http_date(date: &str) -> Option<SystemTime> {
    let mut words = date.split_once(", ")?.1.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|known| *known == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let seconds = days_to(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Days since 1970. Years begin in March here, so that leap days are last.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - EPOCH
}

/// Year, month and day of a day since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let since = days + EPOCH;
    // Eras of 400 years.
    let (era, day_of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_and_read_again() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_284_508_123, "2026-11-21T18:08:28.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(show_moment(millis), text);
            assert_eq!(read_moment(text, UNIX_EPOCH).expect(text), millis);
        }
        let day = read_moment("2024-02-29", UNIX_EPOCH).expect("a day");
        assert_eq!(show_moment(day), "2024-02-29T00:00:00.000Z");
        assert_eq!(show_day(UNIX_EPOCH + Duration::from_secs(1_709_251_199)), "2024-02-29");
    }

    #[test]
    fn a_time_span_is_before_now() {
        let now = UNIX_EPOCH + Duration::from_hours(10);
        assert_eq!(read_moment("2h30m", now).expect("read"), 27_000_000);
        for text in ["", "soon", "2026-13-01", "2026-11-21T25:00", "20h"] {
            assert!(read_moment(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_of_servers_are_read() {
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("yesterday", None),
        ] {
            let expected = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(read_http_date(date), expected, "{date}");
        }
    }
}
