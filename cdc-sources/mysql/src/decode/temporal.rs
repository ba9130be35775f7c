//! Dates and times: packed forms and text, to days and microseconds, by integer arithmetic only.
//!
//! Formats: MySQL internals manual, "Date and Time Data Type Representation"
//! (`sql-common/my_time.cc`: `my_datetime_packed_to_binary` and its neighbours), and for the
//! forms before 5.6 `sql/field.cc`. A date that is none (zero, or 31 February) is `None`.

use std::fmt::Write;

use crate::wire::{Cursor, WireResult};

const SECOND_US: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Days from 1970-01-01 to a date of the Gregorian calendar, also before its introduction.
/// The year is counted from March, so that the leap day is its last.
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Days since 1970, or `None` for a date that is none. Any numbers may be given.
fn checked_days(year: i64, month: i64, day: i64) -> Option<i32> {
    let (year, month, day) =
        (i32::try_from(year).ok()?, i32::try_from(month).ok()?, i32::try_from(day).ok()?);
    let real = (0..=9999).contains(&year) && day >= 1 && day <= days_in_month(year, month);
    real.then(|| days_from_civil(year, month, day))
}

/// Hours, minutes and seconds in one number, six bits for each of the lower two.
fn seconds_of_packed(hms: i64) -> Option<i64> {
    let (hours, minutes, seconds) = (hms >> 12, hms >> 6 & 0x3f, hms & 0x3f);
    (minutes < 60 && seconds < 60).then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Bytes of a fraction of this many digits.
pub(super) fn fraction_bytes(fsp: u8) -> usize {
    usize::from(fsp).div_ceil(2)
}

/// Microseconds of a fraction of so many bytes: hundredths, ten-thousandths, millionths.
fn fraction_us(raw: i64, bytes: usize) -> i64 {
    match bytes {
        1 => raw * 10_000,
        2 => raw * 100,
        _ => raw,
    }
}

fn read_fraction(cursor: &mut Cursor<'_>, fsp: u8) -> WireResult<i64> {
    let bytes = fraction_bytes(fsp);
    if bytes == 0 {
        return Ok(0);
    }
    let raw = i64::try_from(cursor.uint_be(bytes, "fraction of a second")?).unwrap_or(i64::MAX);
    let micros = fraction_us(raw, bytes);
    if micros < SECOND_US { Ok(micros) } else { Err(cursor.error("fraction of a second")) }
}

/// DATE: three bytes, lowest first; day, month and year in 5, 4 and 15 bits from below.
#[inline]
pub(crate) fn read_date(cursor: &mut Cursor<'_>) -> WireResult<Option<i32>> {
    let packed = i64::from(cursor.u24("date")?);
    Ok(checked_days(packed >> 9, packed >> 5 & 0x0f, packed & 0x1f))
}

/// DATETIME: five bytes, highest first, with the highest bit set: year*13+month, day, hour,
/// minute and second in 17, 5, 5, 6 and 6 bits; then the fraction.
#[inline]
pub(crate) fn read_datetime(cursor: &mut Cursor<'_>, fsp: u8) -> WireResult<Option<i64>> {
    let raw = i64::try_from(cursor.uint_be(5, "datetime")?).unwrap_or(0);
    let fraction = read_fraction(cursor, fsp)?;
    let packed = raw - 0x80_0000_0000;
    if packed < 0 {
        return Err(cursor.error("datetime"));
    }
    let seconds = seconds_of_packed(packed & 0x1_ffff).filter(|seconds| *seconds < DAY_SECONDS);
    let seconds = seconds.ok_or_else(|| cursor.error("datetime"))?;
    let (month_number, day) = (packed >> 22, packed >> 17 & 0x1f);
    let days = checked_days(month_number / 13, month_number % 13, day);
    Ok(days.map(|days| (i64::from(days) * DAY_SECONDS + seconds) * SECOND_US + fraction))
}

/// TIMESTAMP: four bytes, highest first, seconds since 1970 (newer MariaDB uses all 32 bits);
/// then the fraction. 0 is the zero date.
#[inline]
pub(crate) fn read_timestamp(cursor: &mut Cursor<'_>, fsp: u8) -> WireResult<Option<i64>> {
    let seconds = i64::from(u32::from_be_bytes(cursor.array("timestamp")?));
    let fraction = read_fraction(cursor, fsp)?;
    Ok((seconds != 0 || fraction != 0).then_some(seconds * SECOND_US + fraction))
}

/// TIME: three bytes, highest first, and the fraction, together one number with an offset of half
/// its range: sign, hours, minutes, seconds in 1+1, 10, 6 and 6 bits. Negative values are stored
/// as the offset minus the value, so that bytes sort like times.
#[inline]
pub(crate) fn read_time(cursor: &mut Cursor<'_>, fsp: u8) -> WireResult<i64> {
    let bytes = fraction_bytes(fsp);
    let bits = 8 * bytes;
    let raw = i64::try_from(cursor.uint_be(3 + bytes, "time")?).unwrap_or(0);
    let signed = raw - (0x80_0000 << bits);
    let magnitude = signed.abs();
    let seconds = seconds_of_packed(magnitude >> bits);
    let fraction = fraction_us(magnitude & ((1 << bits) - 1), bytes);
    match seconds {
        Some(seconds) if fraction < SECOND_US => Ok((seconds * SECOND_US + fraction) * signed.signum()),
        _ => Err(cursor.error("time")),
    }
}

/// DATETIME before 5.6: eight bytes, lowest first, the decimal number YYYYMMDDhhmmss.
pub(crate) fn read_old_datetime(cursor: &mut Cursor<'_>) -> WireResult<Option<i64>> {
    let number = i64::try_from(cursor.u64("datetime")?).unwrap_or(i64::MAX);
    let (date, time) = (number / 1_000_000, number % 1_000_000);
    let (hours, minutes, seconds) = (time / 10_000, time / 100 % 100, time % 100);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return Err(cursor.error("datetime"));
    }
    let days = checked_days(date / 10_000, date / 100 % 100, date % 100);
    let seconds = hours * 3600 + minutes * 60 + seconds;
    Ok(days.map(|days| (i64::from(days) * DAY_SECONDS + seconds) * SECOND_US))
}

/// TIMESTAMP before 5.6: four bytes, lowest first, seconds since 1970.
pub(crate) fn read_old_timestamp(cursor: &mut Cursor<'_>) -> WireResult<Option<i64>> {
    let seconds = i64::from(cursor.u32("timestamp")?);
    Ok((seconds != 0).then_some(seconds * SECOND_US))
}

/// TIME before 5.6: three bytes, lowest first, the signed decimal number hhmmss.
pub(crate) fn read_old_time(cursor: &mut Cursor<'_>) -> WireResult<i64> {
    let number = i64::from(cursor.i24("time")?);
    let magnitude = number.abs();
    let (hours, minutes, seconds) = (magnitude / 10_000, magnitude / 100 % 100, magnitude % 100);
    if minutes > 59 || seconds > 59 {
        return Err(cursor.error("time"));
    }
    Ok((hours * 3600 + minutes * 60 + seconds) * SECOND_US * number.signum())
}

/// A value as text that follows its form; the inner `None` is a date that is none.
pub(crate) type Parsed<T> = Option<Option<T>>;

/// `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &[u8]) -> Parsed<i32> {
    let mut cursor = TextCursor(text);
    let days = cursor.date()?;
    cursor.0.is_empty().then_some(days)
}

/// `YYYY-MM-DD hh:mm:ss` with up to six digits of fraction, as microseconds since 1970.
pub(crate) fn parse_datetime(text: &[u8]) -> Parsed<i64> {
    let mut cursor = TextCursor(text);
    let days = cursor.date()?;
    cursor.expect(b' ')?;
    let hours = cursor.number(2)?;
    let seconds = cursor.after_hours(hours)?;
    (cursor.0.is_empty() && hours < 24)
        .then_some(days.map(|days| i64::from(days) * DAY_SECONDS * SECOND_US + seconds))
}

/// `[-]hh:mm:ss` with two or three digits of hours and up to six of fraction, as microseconds.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first()? {
        (b'-', rest) => (-1, rest),
        _ => (1, text),
    };
    let mut cursor = TextCursor(rest);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let hours = (2..=3).contains(&digits).then(|| cursor.number(digits))??;
    let micros = cursor.after_hours(hours)?;
    cursor.0.is_empty().then_some(sign * micros)
}

struct TextCursor<'a>(&'a [u8]);

impl TextCursor<'_> {
    fn expect(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == byte).then_some(())
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        head.iter()
            .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    }

    /// The outer `None` is a text of another form.
    fn date(&mut self) -> Parsed<i32> {
        let year = self.number(4)?;
        self.expect(b'-')?;
        let month = self.number(2)?;
        self.expect(b'-')?;
        let day = self.number(2)?;
        Some(checked_days(year, month, day))
    }

    /// `:mm:ss[.f]` after these hours, all together in microseconds.
    fn after_hours(&mut self, hours: i64) -> Option<i64> {
        self.expect(b':')?;
        let minutes = self.number(2)?;
        self.expect(b':')?;
        let seconds = self.number(2)?;
        let mut micros = 0;
        if !self.0.is_empty() {
            self.expect(b'.')?;
            let digits = self.0.len();
            let missing = u32::try_from(6usize.checked_sub(digits).filter(|_| digits > 0)?).ok()?;
            micros = self.number(digits)? * 10i64.pow(missing);
        }
        (minutes < 60 && seconds < 60).then_some((hours * 3600 + minutes * 60 + seconds) * SECOND_US + micros)
    }
}

/// The packed form inside JSON documents: the fraction in the lower 24 bits.
fn unpack(packed: i64) -> (i64, i64) {
    (packed >> 24, packed & 0xff_ffff)
}

/// Appends a DATE packed in a JSON document.
pub(crate) fn append_packed_date(packed: i64, out: &mut String) {
    let (whole, _) = unpack(packed.saturating_abs());
    let (month_number, day) = (whole >> 22, whole >> 17 & 0x1f);
    // Writing to a String cannot fail.
    let _ = write!(out, "{:04}-{:02}-{day:02}", month_number / 13, month_number % 13);
}

/// Appends a DATETIME or TIMESTAMP packed in a JSON document.
pub(crate) fn append_packed_datetime(packed: i64, out: &mut String) {
    append_packed_date(packed, out);
    let (whole, micros) = unpack(packed.saturating_abs());
    let (hours, minutes, seconds) = (whole >> 12 & 0x1f, whole >> 6 & 0x3f, whole & 0x3f);
    let _ = write!(out, " {hours:02}:{minutes:02}:{seconds:02}.{micros:06}");
}

/// Appends a TIME packed in a JSON document.
pub(crate) fn append_packed_time(packed: i64, out: &mut String) {
    let (whole, micros) = unpack(packed.saturating_abs());
    let (hours, minutes, seconds) = (whole >> 12 & 0x3ff, whole >> 6 & 0x3f, whole & 0x3f);
    let sign = if packed < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}");
}

/// Appends days since 1970 as `YYYY-MM-DD`.
pub(crate) fn append_days(days: i64, out: &mut String) {
    // The inverse of `days_from_civil`, counted from 0000-03-01.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
}

/// Appends microseconds since 1970 as `YYYY-MM-DD hh:mm:ss.ffffff`.
pub(crate) fn append_datetime(micros: i64, out: &mut String) {
    append_days(micros.div_euclid(DAY_SECONDS * SECOND_US), out);
    out.push(' ');
    append_clock(micros.rem_euclid(DAY_SECONDS * SECOND_US), out);
}

/// Appends microseconds as `[-]hh:mm:ss.ffffff`.
pub(crate) fn append_clock(micros: i64, out: &mut String) {
    let magnitude = micros.unsigned_abs();
    let (seconds, fraction) = (magnitude / 1_000_000, magnitude % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let sign = if micros < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}");
}
