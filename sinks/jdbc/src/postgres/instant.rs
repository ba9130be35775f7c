//! Dates, points in time and spans as PostgreSQL reads them: integer arithmetic on days and
//! microseconds ("Date/Time Types" in its manual).
//!
//! The largest and the smallest value of the Arrow type stand for infinity, years before 1 are BC.

use crate::postgres::encode::Misfit;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Appends `YYYY-MM-DD[ BC]` for days since 1970.
pub(crate) fn write_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let year = date(days.into(), out);
            era(year, out);
        }
    }
}

/// Appends `YYYY-MM-DD hh:mm:ss[.ffffff][+00][ BC]` for microseconds since 1970. `digits` are those
/// of a second that the column keeps; more than it keeps are a misfit.
pub(crate) fn write_instant(micros: i64, digits: u32, zoned: bool, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let year = date(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push(b' ');
    clock(seconds.rem_euclid(SECONDS_PER_DAY), out);
    write_fraction(fraction, digits, out)?;
    if zoned {
        out.extend_from_slice(b"+00");
    }
    era(year, out);
    Ok(())
}

/// Appends `infinity` or `-infinity` when these microseconds stand for it.
pub(crate) fn write_infinity(micros: i64, out: &mut Vec<u8>) -> bool {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

/// Appends `[-]hh:mm:ss[.ffffff]` for microseconds; hours take as many digits as they need.
pub(crate) fn write_span(micros: i64, digits: u32, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let size = micros.checked_abs().ok_or(Misfit::Time)?;
    if micros < 0 {
        out.push(b'-');
    }
    clock(size / MICROS_PER_SECOND, out);
    write_fraction(size % MICROS_PER_SECOND, digits, out)
}

fn write_fraction(micros: i64, digits: u32, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if micros == 0 {
        return Ok(());
    }
    let digits = digits.min(6);
    let unit = 10_i64.pow(6 - digits);
    // The server would round without a word.
    if micros % unit != 0 {
        return Err(Misfit::Fraction);
    }
    out.push(b'.');
    for place in (0..6).rev() {
        digit(micros / 10_i64.pow(place), out);
    }
    Ok(())
}

fn clock(seconds: i64, out: &mut Vec<u8>) {
    number(seconds / 3600, 2, out);
    out.push(b':');
    number(seconds / 60 % 60, 2, out);
    out.push(b':');
    number(seconds % 60, 2, out);
}

/// Days since 1970 to a date of the proleptic Gregorian calendar: count from 1 March of year 0, so
/// that the leap day ends a year, in eras of 400 years. Returns the astronomical year, in which 0 is
/// 1 BC.
fn date(days: i64, out: &mut Vec<u8>) -> i64 {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    number(if year > 0 { year } else { 1 - year }, 4, out);
    out.push(b'-');
    number(month, 2, out);
    out.push(b'-');
    number(day, 2, out);
    year
}

fn era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// At least this many digits of a value that is not negative.
fn number(value: i64, width: u32, out: &mut Vec<u8>) {
    let digits = value.checked_ilog10().map_or(1, |log| log + 1).max(width);
    for place in (0..digits).rev() {
        digit(value / 10_i64.pow(place), out);
    }
}

/// The last decimal digit of a value that is not negative.
fn digit(value: i64, out: &mut Vec<u8>) {
    out.push(b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_day_equals_the_calendar_of_chrono() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-719_162..=2_932_896).step_by(13).chain([-719_162, 2_932_896, 0, 59, -1]) {
            let expected = epoch + chrono::TimeDelta::days(days.into());
            assert_eq!(text(|out| write_date(days, out)), expected.format("%Y-%m-%d").to_string());
        }
    }

    #[test]
    fn eras_and_infinities() {
        assert_eq!(text(|out| write_date(-719_163, out)), "0001-12-31 BC");
        assert_eq!(text(|out| write_date(-719_529, out)), "0002-12-31 BC");
        assert_eq!(text(|out| write_date(i32::MAX, out)), "infinity");
        assert_eq!(text(|out| write_date(i32::MIN, out)), "-infinity");
        assert_eq!(text(|out| write_date(2_932_897, out)), "10000-01-01");
        let day = -719_163 * SECONDS_PER_DAY * MICROS_PER_SECOND;
        assert_eq!(
            text(|out| write_instant(day + 1, 6, true, out).unwrap()),
            "0001-12-31 00:00:00.000001+00 BC"
        );
    }

    #[test]
    fn points_in_time_and_spans() {
        assert_eq!(text(|out| write_instant(-1, 6, false, out).unwrap()), "1969-12-31 23:59:59.999999");
        assert_eq!(
            text(|out| write_instant(1_500_000, 1, false, out).unwrap()),
            "1970-01-01 00:00:01.500000"
        );
        assert_eq!(write_instant(1_500_000, 0, false, &mut Vec::new()), Err(Misfit::Fraction));
        assert_eq!(text(|out| write_span(86_400_000_000, 6, out).unwrap()), "24:00:00");
        assert_eq!(text(|out| write_span(-3_020_399_000_001, 6, out).unwrap()), "-838:59:59.000001");
        assert_eq!(write_span(i64::MIN, 6, &mut Vec::new()), Err(Misfit::Time));
    }
}
