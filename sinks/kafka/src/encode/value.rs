//! The form of one value. One table for all formats, in docs/kafka.md.

use std::fmt::Write as _;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const DAY_NANOS: i128 = 86_400_000_000_000;

/// How a value's text goes into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `null`; there is no text.
    Null,
    /// A number or a boolean: as it is.
    Bare,
    /// Between quotes.
    Text,
}

/// Whether values of this type have a form.
pub(crate) fn is_known(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _)
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::FixedSizeBinary(_)
            | DataType::Date32
            | DataType::Timestamp(_, _)
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Duration(TimeUnit::Microsecond)
    )
}

/// Appends a value's text and tells its form. A type that is not known gives nothing and `None`.
pub(crate) fn append(array: &dyn Array, row: usize, text: &mut String) -> Option<Form> {
    if row >= array.len() || array.is_null(row) {
        return Some(Form::Null);
    }
    match array.data_type() {
        DataType::Boolean => show(array.as_boolean().value(row), text),
        DataType::Int8 => number::<Int8Type>(array, row, text),
        DataType::Int16 => number::<Int16Type>(array, row, text),
        DataType::Int32 => number::<Int32Type>(array, row, text),
        DataType::Int64 => number::<Int64Type>(array, row, text),
        DataType::UInt8 => number::<UInt8Type>(array, row, text),
        DataType::UInt16 => number::<UInt16Type>(array, row, text),
        DataType::UInt32 => number::<UInt32Type>(array, row, text),
        DataType::UInt64 => number::<UInt64Type>(array, row, text),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            return Some(float(value.is_finite(), value.is_nan(), value > 0.0, &value, text));
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            return Some(float(value.is_finite(), value.is_nan(), value > 0.0, &value, text));
        }
        DataType::Decimal128(_, _) => {
            text.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Decimal256(_, _) => {
            text.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row))
        }
        _ => return append_text(array, row, text),
    }
    Some(Form::Bare)
}

/// The types whose form is text.
fn append_text(array: &dyn Array, row: usize, text: &mut String) -> Option<Form> {
    match array.data_type() {
        DataType::Utf8 => text.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text.push_str(array.as_string::<i64>().value(row)),
        DataType::Binary => STANDARD.encode_string(array.as_binary::<i32>().value(row), text),
        DataType::LargeBinary => STANDARD.encode_string(array.as_binary::<i64>().value(row), text),
        DataType::FixedSizeBinary(_) => {
            STANDARD.encode_string(array.as_fixed_size_binary().value(row), text);
        }
        DataType::Date32 => match array.as_primitive::<Date32Type>().value(row) {
            i32::MAX => text.push_str("infinity"),
            i32::MIN => text.push_str("-infinity"),
            days => date(i64::from(days), text),
        },
        DataType::Timestamp(unit, zone) => timestamp(instant(array, unit, row), unit, zone.is_some(), text),
        DataType::Time64(TimeUnit::Microsecond) => {
            span(array.as_primitive::<Time64MicrosecondType>().value(row), text);
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            span(array.as_primitive::<DurationMicrosecondType>().value(row), text);
        }
        _ => return None,
    }
    Some(Form::Text)
}

fn number<T: ArrowPrimitiveType>(array: &dyn Array, row: usize, text: &mut String)
where
    T::Native: std::fmt::Display,
{
    show(array.as_primitive::<T>().value(row), text);
}

fn show(value: impl std::fmt::Display, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
}

/// The shortest digits that give the same bits again, with an exponent where that is shorter. JSON has
/// no number for the others.
fn float(finite: bool, nan: bool, positive: bool, value: &dyn std::fmt::Debug, text: &mut String) -> Form {
    if finite {
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        return Form::Bare;
    }
    text.push_str(match (nan, positive) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    });
    Form::Text
}

/// The number that a point in time is held as.
pub(crate) fn instant(array: &dyn Array, unit: &TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
}

/// `2026-11-20T10:00:00.5`, an instant with `Z` behind it. PostgreSQL's infinities are the ends of
/// the value's range.
pub(super) fn timestamp(value: i64, unit: &TimeUnit, zoned: bool, text: &mut String) {
    match value {
        i64::MAX => return text.push_str("infinity"),
        i64::MIN => return text.push_str("-infinity"),
        _ => {}
    }
    let nanos_per_unit: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1000,
        TimeUnit::Nanosecond => 1,
    };
    let nanos = i128::from(value) * nanos_per_unit;
    // 64 bits of seconds are more days than 64 bits hold only in theory: 2^63 / 86400 fits.
    date(i64::try_from(nanos.div_euclid(DAY_NANOS)).unwrap_or_default(), text);
    text.push('T');
    let of_day = u64::try_from(nanos.rem_euclid(DAY_NANOS)).unwrap_or_default();
    clock(of_day / 1_000_000_000, of_day % 1_000_000_000, 9, text);
    if zoned {
        text.push('Z');
    }
}

/// `[-]hh:mm:ss[.ffffff]` of microseconds.
pub(super) fn span(micros: i64, text: &mut String) {
    if micros < 0 {
        text.push('-');
    }
    let size = micros.unsigned_abs();
    clock(size / 1_000_000, size % 1_000_000, 6, text);
}

/// `hh:mm:ss`, and the fraction without zeros at its end.
fn clock(seconds: u64, fraction: u64, digits: usize, text: &mut String) {
    let _ = write!(text, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let _ = write!(text, ".{fraction:0digits$}");
        text.truncate(text.trim_end_matches('0').len());
    }
}

/// `2026-11-20` of days since 1970, in the calendar without gaps. A year that has not four digits has
/// a sign, as ISO 8601 wants it; the year 0 is the one before the year 1.
///
/// The years are counted from March, so that the day a leap year adds is the last one of its year.
fn date(days: i64, text: &mut String) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let since = days + 719_468;
    let era = since.div_euclid(DAYS_OF_400_YEARS);
    let day_of_era = since.rem_euclid(DAYS_OF_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let _ = match year {
        0..=9999 => write!(text, "{year:04}-{month:02}-{day:02}"),
        10_000.. => write!(text, "+{year}-{month:02}-{day:02}"),
        _ => write!(text, "-{:04}-{month:02}-{day:02}", year.unsigned_abs()),
    };
}

#[cfg(test)]
mod tests;
