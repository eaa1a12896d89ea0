//! Instants and spans in whole milliseconds, UTC.
//!
//! Milliseconds in an `i64` are what fronts and banks send, and integers keep window edges exact (F1). The accepted range
//! is 1900 to 2200, so that an instant always fits the 48 bits which a timeline row gives it.
//!
//! The civil calendar is integer arithmetic on a fixed offset: a few divisions on the read path, no time-zone table that
//! an upgrade could change under a trained model. Tests hold it against `jiff`.

use std::fmt;

use crate::spec::CalendarUnit;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, which is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("a time is written with its offset, as `2026-01-15T14:00:00Z` or `2026-01-15T09:00:00.250-05:00`")]
    Format,
    #[error("a time lies from 1900-01-01T00:00:00Z to before 2200-01-01T00:00:00Z")]
    OutOfRange,
}

impl Timestamp {
    /// The first accepted instant: 1900-01-01T00:00:00Z.
    pub const MIN: Self = Self(days_from_civil(1900, 1, 1) * DAY);
    /// The last accepted instant, a millisecond before 2200.
    pub const MAX: Self = Self(days_from_civil(2200, 1, 1) * DAY - 1);

    /// The instant that many milliseconds after (or, negative, before) the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// RFC 3339 with an offset. What is finer than a millisecond is cut off, towards the past; a leap second is refused.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let millis = parse_rfc3339(text.as_bytes()).ok_or(TimeError::Format)?;
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) { Ok(Self(millis)) } else { Err(TimeError::OutOfRange) }
    }

    /// The beginning of the day, week (Monday) or month that this instant falls in, for clocks that far east of UTC.
    pub const fn calendar_start(self, unit: CalendarUnit, utc_offset_ms: i64) -> Self {
        let day = (self.0 + utc_offset_ms).div_euclid(DAY);
        let first = match unit {
            CalendarUnit::Day => day,
            // 1970-01-01 was a Thursday.
            CalendarUnit::Week => day - (day + 3).rem_euclid(7),
            CalendarUnit::Month => day + 1 - civil_from_days(day).2,
        };
        Self(first * DAY - utc_offset_ms)
    }

    /// The beginning of the day, week or month before the one that this instant falls in.
    pub const fn previous_calendar_start(self, unit: CalendarUnit, utc_offset_ms: i64) -> Self {
        let start = self.calendar_start(unit, utc_offset_ms);
        Self(start.0 - 1).calendar_start(unit, utc_offset_ms)
    }
}

/// RFC 3339 in UTC, with milliseconds where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let of_day = self.0.rem_euclid(DAY);
        let (hour, minute, second) = (of_day / HOUR, of_day / MINUTE % 60, of_day / SECOND % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match of_day % SECOND {
            0 => write!(f, "Z"),
            millis => write!(f, ".{millis:03}Z"),
        }
    }
}

/// A length of time in milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// Why a text is no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("a span is a positive whole number and its unit (ms, s, m, h, d, w), as `90d`")]
    Format,
    #[error("a span is at most 109500d")]
    TooLong,
}

impl Span {
    /// As long as the accepted range of instants: 300 years of 365 days.
    pub const MAX: Self = Self(109_500 * DAY);

    const UNITS: [(&'static str, i64); 6] =
        [("w", WEEK), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)];

    /// That many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Its milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// `90d`, `30m`, `250ms`: one positive whole number and its unit.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = Self::UNITS.iter().find(|(name, _)| *name == unit).ok_or(SpanError::Format)?.1;
        if number.bytes().all(|digit| digit == b'0') {
            return Err(SpanError::Format);
        }
        number
            .parse::<i64>()
            .ok()
            .and_then(|count| count.checked_mul(unit))
            .filter(|millis| *millis <= Self::MAX.0)
            .map(Self)
            .ok_or(SpanError::TooLong)
    }
}

/// In the largest unit that leaves no rest, weeks aside: `14d`, because that is how people write it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = Self::UNITS[1..].iter().find(|(_, unit)| self.0 % unit == 0).unwrap_or(&("ms", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// `+00:00`, `-05:00`: milliseconds east of UTC, less than a day.
pub fn parse_utc_offset(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [sign @ (b'+' | b'-'), rest @ ..] => offset(*sign, rest),
        _ => None,
    }
}

/// Milliseconds since the epoch, read at fixed positions: RFC 3339 leaves nothing to search for.
fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| date_time[at] != byte) || !matches!(date_time[10], b'T' | b't') {
        return None;
    }
    let number = |from: usize, to: usize| digits(&date_time[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let valid = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    if !valid || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (millis, zone) = fraction(rest)?;
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => offset(*sign, rest)?,
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    Some(days * DAY + hour * HOUR + minute * MINUTE + second * SECOND + millis - offset)
}

/// The milliseconds of `.250…`, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(decimals) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = decimals.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let digit = |at: usize| if at < count { i64::from(decimals[at] - b'0') } else { 0 };
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), &decimals[count..]))
}

fn offset(sign: u8, text: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2] = text else { return None };
    let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
    let magnitude = hours * HOUR + minutes * MINUTE;
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -magnitude } else { magnitude })
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, counted in years that begin in March, so that the leap day
/// comes last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The year, month and day that many days after 1970-01-01.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, tz::Offset};
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    #[test]
    fn a_time_is_read_with_its_offset() {
        assert_eq!(at("1970-01-01T00:00:00Z").millis(), 0);
        assert_eq!(at("2026-01-15T09:00:00-05:00"), at("2026-01-15T14:00:00Z"));
        assert_eq!(at("2026-01-15t14:00:00.25z").millis() - at("2026-01-15T14:00:00Z").millis(), 250);
        assert_eq!(at("2024-02-29T23:59:59.999999999+00:00").to_string(), "2024-02-29T23:59:59.999Z");
    }

    #[test]
    fn a_time_without_an_offset_or_in_another_form_is_refused() {
        for text in [
            "",
            "2026-01-15",
            "2026-01-15T14:00:00",
            "2026-01-15 14:00:00Z",
            "2026-01-15T14:00Z",
            "2026-01-15T14:00:00.Z",
            "2026-01-15T14:00:00+0000",
            "2026-01-15T14:00:00+24:00",
            "2026-01-15T14:00:00Zz",
            "2026-02-29T14:00:00Z",
            "2026-13-01T14:00:00Z",
            "2026-01-00T14:00:00Z",
            "2026-01-15T24:00:00Z",
            "2026-12-31T23:59:60Z",
            "1768485600",
            "２026-01-15T14:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), Err(TimeError::Format), "{text}");
        }
    }

    #[test]
    fn a_time_out_of_range_says_so() {
        assert_eq!(at("1900-01-01T00:00:00Z"), Timestamp::MIN);
        assert_eq!(at("2199-12-31T23:59:59.999Z"), Timestamp::MAX);
        for text in
            ["1899-12-31T23:59:59Z", "1900-01-01T00:00:00+00:01", "2200-01-01T00:00:00Z", "0000-01-01T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse(text), Err(TimeError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn a_span_is_one_number_and_its_unit() {
        for (text, millis) in [("90d", 90 * DAY), ("30m", 30 * MINUTE), ("250ms", 250), ("2w", 14 * DAY), ("5s", 5_000)]
        {
            assert_eq!(Span::parse(text), Ok(Span::from_millis(millis)), "{text}");
        }
        for text in ["", "d", "90", "0d", "-1d", "1.5h", "1d12h", "90 d", "90D", "+1d", "1y"] {
            assert_eq!(Span::parse(text), Err(SpanError::Format), "{text}");
        }
        for text in ["109501d", "99999999999999999999d", "9223372036854775807w"] {
            assert_eq!(Span::parse(text), Err(SpanError::TooLong), "{text}");
        }
    }

    #[test]
    fn a_span_prints_as_people_write_it() {
        for text in ["90d", "36h", "90m", "61s", "1500ms"] {
            assert_eq!(Span::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Span::parse("2w").expect("valid").to_string(), "14d");
    }

    #[test]
    fn an_offset_is_hours_and_minutes() {
        assert_eq!(parse_utc_offset("-05:00"), Some(-5 * HOUR));
        assert_eq!(parse_utc_offset("+05:30"), Some(5 * HOUR + 30 * MINUTE));
        for text in ["", "Z", "05:00", "+5:00", "+24:00", "+01:60"] {
            assert_eq!(parse_utc_offset(text), None, "{text}");
        }
    }

    #[test]
    fn a_calendar_day_begins_at_local_midnight() {
        let bogota = -5 * HOUR;
        let evening = at("2026-03-01T03:00:00Z");
        assert_eq!(evening.calendar_start(CalendarUnit::Day, bogota), at("2026-02-28T05:00:00Z"));
        assert_eq!(evening.calendar_start(CalendarUnit::Month, bogota), at("2026-02-01T05:00:00Z"));
        assert_eq!(evening.previous_calendar_start(CalendarUnit::Month, bogota), at("2026-01-01T05:00:00Z"));
        let midnight = at("2026-03-02T05:00:00Z");
        assert_eq!(midnight.calendar_start(CalendarUnit::Week, bogota), midnight, "an edge belongs to the new period");
    }

    /// The same question, asked of `jiff`.
    fn jiff_start(at: Timestamp, unit: CalendarUnit, offset_ms: i64) -> i64 {
        let instant = jiff::Timestamp::from_millisecond(at.millis()).expect("in range");
        let offset = Offset::from_seconds((offset_ms / SECOND) as i32).expect("in range");
        let date = offset.to_datetime(instant).date();
        let first = match unit {
            CalendarUnit::Day => date,
            CalendarUnit::Week => date
                .checked_sub(SignedDuration::from_hours(24 * i64::from(date.weekday().to_monday_zero_offset())))
                .expect("in range"),
            CalendarUnit::Month => date.first_of_month(),
        };
        offset.to_timestamp(first.to_datetime(jiff::civil::time(0, 0, 0, 0))).expect("in range").as_millisecond()
    }

    proptest! {
        #[test]
        fn calendar_starts_agree_with_jiff(
            millis in Timestamp::MIN.0..=Timestamp::MAX.0,
            quarters in -56_i64..=56,
            unit in prop::sample::select(vec![CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month]),
        ) {
            let (at, offset) = (Timestamp(millis), quarters * 15 * MINUTE);
            let start = at.calendar_start(unit, offset);
            prop_assert_eq!(start.millis(), jiff_start(at, unit, offset));
            let before = at.previous_calendar_start(unit, offset);
            prop_assert_eq!(before.millis(), jiff_start(Timestamp(start.0 - 1), unit, offset));
        }

        #[test]
        fn times_are_read_and_printed_as_by_jiff(millis in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let theirs = jiff::Timestamp::from_millisecond(millis).expect("in range").to_string();
            prop_assert_eq!(Timestamp::parse(&theirs), Ok(Timestamp(millis)));
            prop_assert_eq!(Timestamp::parse(&Timestamp(millis).to_string()), Ok(Timestamp(millis)));
        }

        #[test]
        fn spans_print_and_read_back(millis in 1..=Span::MAX.0) {
            let span = Span(millis);
            prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
        }
    }
}
