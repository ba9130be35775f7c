//! Dates, points in time and spans as text: integer arithmetic on days and microseconds.

use crate::mysql::encode::Misfit;
pub(crate) use crate::zone::Zone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 838:59:59 and a fraction: the widest `time`.
const SPAN_MICROS_MAX: i64 = 3_020_400 * MICROS_PER_SECOND;

/// Appends `'YYYY-MM-DD'` for days since 1970.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) -> Result<(), Misfit> {
    out.push(b'\'');
    date(days, out)?;
    out.push(b'\'');
    Ok(())
}

/// Appends `'YYYY-MM-DD hh:mm:ss[.ffffff]'` for microseconds since 1970, with this many digits of
/// a second (0 to 6).
pub(crate) fn write_instant(micros: i64, digits: u32, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    out.push(b'\'');
    date(seconds.div_euclid(SECONDS_PER_DAY), out)?;
    out.push(b' ');
    clock(of_day, out);
    write_fraction(fraction, digits, out)?;
    out.push(b'\'');
    Ok(())
}

/// Appends `'[-]hhh:mm:ss[.ffffff]'` for microseconds.
pub(crate) fn write_span(micros: i64, digits: u32, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let size = micros.checked_abs().filter(|size| *size < SPAN_MICROS_MAX).ok_or(Misfit::Time)?;
    out.push(b'\'');
    if micros < 0 {
        out.push(b'-');
    }
    clock(size / MICROS_PER_SECOND, out);
    write_fraction(size % MICROS_PER_SECOND, digits, out)?;
    out.push(b'\'');
    Ok(())
}

fn write_fraction(micros: i64, digits: u32, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let digits = digits.min(6);
    let unit = 10_i64.pow(6 - digits);
    // The server would round without a word.
    if micros % unit != 0 {
        return Err(Misfit::Fraction);
    }
    if digits > 0 {
        out.push(b'.');
        let kept = micros / unit;
        for place in (0..digits).rev() {
            digit(kept / 10_i64.pow(place), out);
        }
    }
    Ok(())
}

fn clock(seconds: i64, out: &mut Vec<u8>) {
    let hours = seconds / 3600;
    if hours > 99 {
        digit(hours / 100, out);
    }
    two(hours, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    out.push(b':');
    two(seconds % 60, out);
}

/// Days since 1970 to a date of the proleptic Gregorian calendar: count from 1 March of year 0, so
/// that the leap day ends a year, in eras of 400 years.
fn date(days: i64, out: &mut Vec<u8>) -> Result<(), Misfit> {
    // Years 0 to 9999.
    if !(-719_528..=2_932_896).contains(&days) {
        return Err(Misfit::Year);
    }
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    two(year / 100, out);
    two(year, out);
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
    Ok(())
}

fn two(value: i64, out: &mut Vec<u8>) {
    digit(value / 10, out);
    digit(value, out);
}

/// The last decimal digit of a value that is not negative.
fn digit(value: i64, out: &mut Vec<u8>) {
    out.push(b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Misfit>) -> Result<String, Misfit> {
        let mut out = Vec::new();
        write(&mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_day_equals_the_calendar_of_chrono() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-719_528..=2_932_896).step_by(13).chain([-719_528, 2_932_896, 0, 59, -1]) {
            let expected = epoch + chrono::TimeDelta::days(days);
            let got = text(|out| write_date(days, out)).unwrap();
            assert_eq!(got, format!("'{}'", expected.format("%Y-%m-%d")));
        }
        assert_eq!(text(|out| write_date(-719_529, out)), Err(Misfit::Year));
        assert_eq!(text(|out| write_date(2_932_897, out)), Err(Misfit::Year));
    }

    #[test]
    fn points_in_time() {
        assert_eq!(text(|out| write_instant(-1, 6, out)).unwrap(), "'1969-12-31 23:59:59.999999'");
        assert_eq!(text(|out| write_instant(1_500_000, 1, out)).unwrap(), "'1970-01-01 00:00:01.5'");
        assert_eq!(text(|out| write_instant(1_500_000, 0, out)), Err(Misfit::Fraction));
        assert_eq!(text(|out| write_instant(86_400_000_000, 0, out)).unwrap(), "'1970-01-02 00:00:00'");
    }

    #[test]
    fn spans() {
        let widest = SPAN_MICROS_MAX - 1;
        assert_eq!(text(|out| write_span(widest, 6, out)).unwrap(), "'838:59:59.999999'");
        assert_eq!(text(|out| write_span(-widest, 6, out)).unwrap(), "'-838:59:59.999999'");
        assert_eq!(text(|out| write_span(-1, 6, out)).unwrap(), "'-00:00:00.000001'");
        assert_eq!(text(|out| write_span(SPAN_MICROS_MAX, 6, out)), Err(Misfit::Time));
        assert_eq!(text(|out| write_span(i64::MIN, 6, out)), Err(Misfit::Time));
    }
}
