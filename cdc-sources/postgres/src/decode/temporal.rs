//! Dates and times: integer arithmetic on days and microseconds, from both forms.
//!
//! The server counts from 2000, Arrow from 1970, where the last thirty years of the server's timestamps
//! do not fit: they are refused. `infinity` and `-infinity` are the largest and the
//! smallest number of the Arrow type. Years before the first are printed with ` BC` behind.

use std::fmt::Write as _;

use culvert_api::{Error, ErrorKind, Result};

use super::{fixed, malformed};

/// Days from 1970 to 2000.
const DAYS_TO_2000: i64 = 10_957;
pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_TO_2000: i64 = DAYS_TO_2000 * MICROS_PER_DAY;

const DATE: &str = "date";
const TIME: &str = "time";
const TIMESTAMP: &str = "timestamp";

/// Days since 1970 of a day in the Gregorian calendar, stretched backwards; year 0 is 1 BC. By
/// counting years from March, so that the leap day comes last.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub(crate) fn date_from_binary(bytes: &[u8]) -> Result<i32> {
    let days = i32::from_be_bytes(fixed(bytes, DATE)?);
    if days == i32::MAX || days == i32::MIN {
        return Ok(days);
    }
    i32::try_from(i64::from(days) + DAYS_TO_2000).map_err(|_| malformed(DATE))
}

pub(crate) fn time_from_binary(bytes: &[u8]) -> Result<i64> {
    let micros = i64::from_be_bytes(fixed(bytes, TIME)?);
    if (0..=MICROS_PER_DAY).contains(&micros) { Ok(micros) } else { Err(malformed(TIME)) }
}

pub(crate) fn timestamp_from_binary(bytes: &[u8]) -> Result<i64> {
    let micros = i64::from_be_bytes(fixed(bytes, TIMESTAMP)?);
    if micros == i64::MAX || micros == i64::MIN {
        return Ok(micros);
    }
    micros.checked_add(MICROS_TO_2000).filter(|micros| is_finite(*micros)).ok_or_else(out_of_range)
}

/// Whether a timestamp is none of the two numbers that stand for infinity.
fn is_finite(micros: i64) -> bool {
    micros != i64::MAX && micros != i64::MIN
}

/// The server counts up to the year 294276 from 2000; from 1970 the same number ends before.
fn out_of_range() -> Error {
    Error::new(ErrorKind::Value, "a timestamp after 294247-01-10 does not fit into 64 bits from 1970")
}

pub(crate) fn date_from_text(text: &[u8]) -> Result<i32> {
    match text {
        b"infinity" => Ok(i32::MAX),
        b"-infinity" => Ok(i32::MIN),
        _ => {
            let mut scan = Scan { rest: text };
            let day = scan.date().filter(|_| scan.rest.is_empty() || scan.rest == b" BC");
            let days = day.map(|day| day.days(scan.rest == b" BC"));
            days.and_then(|days| i32::try_from(days).ok()).ok_or_else(|| malformed(DATE))
        }
    }
}

pub(crate) fn time_from_text(text: &[u8]) -> Result<i64> {
    let mut scan = Scan { rest: text };
    scan.clock()
        .filter(|micros| scan.rest.is_empty() && *micros <= MICROS_PER_DAY)
        .ok_or_else(|| malformed(TIME))
}

/// Both timestamps; one with a zone is moved to UTC.
pub(crate) fn timestamp_from_text(text: &[u8]) -> Result<i64> {
    match text {
        b"infinity" => Ok(i64::MAX),
        b"-infinity" => Ok(i64::MIN),
        _ => {
            let micros = parse_timestamp(text).ok_or_else(|| malformed(TIMESTAMP))?;
            i64::try_from(micros).ok().filter(|micros| is_finite(*micros)).ok_or_else(out_of_range)
        }
    }
}

fn parse_timestamp(text: &[u8]) -> Option<i128> {
    let mut scan = Scan { rest: text };
    let day = scan.date()?;
    scan.expect(b' ')?;
    let clock = scan.clock()?;
    let offset = scan.offset()?;
    let before_christ = match scan.rest {
        b"" => false,
        b" BC" => true,
        _ => return None,
    };
    let micros = i128::from(day.days(before_christ)) * i128::from(MICROS_PER_DAY);
    Some(micros + i128::from(clock) - i128::from(offset))
}

struct Day {
    year: i64,
    month: i64,
    day: i64,
}

impl Day {
    fn days(&self, before_christ: bool) -> i64 {
        let year = if before_christ { 1 - self.year } else { self.year };
        days_from_civil(year, self.month, self.day)
    }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    /// A number of so many digits.
    fn number(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !digits.contains(&count) {
            return None;
        }
        let (number, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(number.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        (*first == byte).then(|| self.rest = rest)
    }

    fn date(&mut self) -> Option<Day> {
        let year = self.number(4..=7)?;
        self.expect(b'-')?;
        let month = self.number(2..=2).filter(|month| (1..=12).contains(month))?;
        self.expect(b'-')?;
        let day = self.number(2..=2).filter(|day| (1..=31).contains(day))?;
        Some(Day { year, month, day })
    }

    /// Microseconds of `hh:mm:ss[.ffffff]`.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.number(2..=2)?;
        self.expect(b':')?;
        let minute = self.number(2..=2).filter(|minute| *minute < 60)?;
        self.expect(b':')?;
        let second = self.number(2..=2).filter(|second| *second <= 60)?;
        let mut micros = ((hour * 60 + minute) * 60 + second) * 1_000_000;
        if self.expect(b'.').is_some() {
            let before = self.rest.len();
            let fraction = self.number(1..=6)?;
            let digits = u32::try_from(before - self.rest.len()).ok()?;
            micros += fraction * 10_i64.pow(6 - digits);
        }
        Some(micros)
    }

    /// Microseconds of `+hh[:mm[:ss]]`; none is zero.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.rest.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(0),
        };
        self.rest = self.rest.get(1..)?;
        let mut seconds = self.number(2..=2)? * 3600;
        for unit in [60, 1] {
            if self.expect(b':').is_none() {
                break;
            }
            seconds += self.number(2..=2)? * unit;
        }
        Some(sign * seconds * 1_000_000)
    }
}

/// A date as the server prints it.
pub(crate) fn append_date(days: i32, out: &mut String) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        _ => {
            let before_christ = append_day(i64::from(days), out);
            out.push_str(before_christ);
        }
    }
}

/// A timestamp as the server prints it, without a zone, which is UTC.
pub(crate) fn append_timestamp(micros: i64, out: &mut String) {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        _ => {
            let before_christ = append_day(micros.div_euclid(MICROS_PER_DAY), out);
            out.push(' ');
            append_time(micros.rem_euclid(MICROS_PER_DAY), out);
            out.push_str(before_christ);
        }
    }
}

/// A time as the server prints it.
pub(crate) fn append_time(micros: i64, out: &mut String) {
    let seconds = micros / 1_000_000;
    // Writing to a String cannot fail.
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if micros % 1_000_000 != 0 {
        let fraction = format!("{:06}", micros % 1_000_000);
        out.push('.');
        out.push_str(fraction.trim_end_matches('0'));
    }
}

fn append_day(days: i64, out: &mut String) -> &'static str {
    let (year, month, day) = civil_from_days(days);
    let (year, before_christ) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
    before_christ
}
