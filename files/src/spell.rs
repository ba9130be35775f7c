//! A value as a text.

use std::fmt::Write;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Where a text is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a line of values: a date and its time have a blank between them.
    Line,
    /// In JSON: they have a `T`, as ISO 8601 says.
    Json,
}

/// Whether a value is NULL.
pub(crate) fn is_null(array: &dyn Array, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

/// Whether values of this type are texts in JSON, and may hold anything.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

/// Appends a value that is not NULL, as it stands in a line. `None`: a type that no line holds.
pub(crate) fn line(array: &dyn Array, row: usize, out: &mut String) -> Option<()> {
    if array.data_type().is_nested() { json(array, row, out) } else { plain(array, row, Place::Line, out) }
}

/// Appends a value as JSON. `None`: a type that it has no form for.
pub(crate) fn json(array: &dyn Array, row: usize, out: &mut String) -> Option<()> {
    if is_null(array, row) {
        out.push_str("null");
        return Some(());
    }
    match array.data_type() {
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                comma(item, out);
                json(items.as_ref(), item, out)?;
            }
            out.push(']');
        }
        DataType::Struct(fields) => {
            out.push('{');
            for (at, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                comma(at, out);
                quote(field.name(), out);
                out.push(':');
                json(column.as_ref(), row, out)?;
            }
            out.push('}');
        }
        DataType::Map(_, _) => {
            let pairs = array.as_map().value(row);
            let [keys, values] = pairs.columns() else { return None };
            out.push('{');
            for pair in 0..pairs.len() {
                comma(pair, out);
                let mut key = String::new();
                plain(keys.as_ref(), pair, Place::Json, &mut key)?;
                quote(&key, out);
                out.push(':');
                json(values.as_ref(), pair, out)?;
            }
            out.push('}');
        }
        data_type if is_bare(data_type, array, row) => plain(array, row, Place::Json, out)?,
        _ => {
            let mut text = String::new();
            plain(array, row, Place::Json, &mut text)?;
            quote(&text, out);
        }
    }
    Some(())
}

/// Whether a value stands in JSON without quotes.
fn is_bare(data_type: &DataType, array: &dyn Array, row: usize) -> bool {
    match data_type {
        DataType::Boolean | DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => true,
        // JSON has no number that is none, and none without end.
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_finite(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_finite(),
        data_type => data_type.is_integer(),
    }
}

fn comma(at: usize, out: &mut String) {
    if at > 0 {
        out.push(',');
    }
}

/// Appends a text in quotes, as JSON has it.
pub(crate) fn quote(text: &str, out: &mut String) {
    // A text can always be written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn plain(array: &dyn Array, row: usize, place: Place, out: &mut String) -> Option<()> {
    let show = |value: &dyn std::fmt::Display, out: &mut String| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{value}");
    };
    match array.data_type() {
        DataType::Boolean => show(&array.as_boolean().value(row), out),
        DataType::Int8 => show(&array.as_primitive::<Int8Type>().value(row), out),
        DataType::Int16 => show(&array.as_primitive::<Int16Type>().value(row), out),
        DataType::Int32 => show(&array.as_primitive::<Int32Type>().value(row), out),
        DataType::Int64 => show(&array.as_primitive::<Int64Type>().value(row), out),
        DataType::UInt8 => show(&array.as_primitive::<UInt8Type>().value(row), out),
        DataType::UInt16 => show(&array.as_primitive::<UInt16Type>().value(row), out),
        DataType::UInt32 => show(&array.as_primitive::<UInt32Type>().value(row), out),
        DataType::UInt64 => show(&array.as_primitive::<UInt64Type>().value(row), out),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(f64::from(value), &format_args!("{value:?}"), out);
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(value, &format_args!("{value:?}"), out);
        }
        DataType::Decimal128(_, _) => {
            out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        DataType::Decimal256(_, _) => {
            out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        DataType::Binary => STANDARD.encode_string(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => STANDARD.encode_string(array.as_binary::<i64>().value(row), out),
        DataType::FixedSizeBinary(_) => STANDARD.encode_string(array.as_fixed_size_binary().value(row), out),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            match days {
                i32::MAX => out.push_str("infinity"),
                i32::MIN => out.push_str("-infinity"),
                _ => date(days.into(), out),
            }
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            match array.as_primitive::<TimestampMicrosecondType>().value(row) {
                i64::MAX => out.push_str("infinity"),
                i64::MIN => out.push_str("-infinity"),
                micros => {
                    date(micros.div_euclid(DAY_MICROS), out);
                    out.push(if place == Place::Json { 'T' } else { ' ' });
                    span(micros.rem_euclid(DAY_MICROS), out);
                    if zone.is_some() {
                        out.push('Z');
                    }
                }
            }
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            span(array.as_primitive::<Time64MicrosecondType>().value(row), out);
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            span(array.as_primitive::<DurationMicrosecondType>().value(row), out);
        }
        _ => return None,
    }
    Some(())
}

const DAY_MICROS: i64 = 86_400_000_000;

/// A number as its shortest text that is read back as the same; without an end or none at all by name.
fn float(value: f64, shortest: &std::fmt::Arguments<'_>, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let _ = out.write_fmt(*shortest);
    }
}

/// `yyyy-MM-dd` of days since 1970, in the calendar without gaps; more digits for far years.
pub(crate) fn date(days: i64, out: &mut String) {
    let (year, month, day) = civil(days);
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        10_000.. => write!(out, "+{year}-{month:02}-{day:02}"),
        _ => write!(out, "-{:04}-{month:02}-{day:02}", -year),
    };
}

/// Year, month and day of days since 1970. Years are counted from March, so that the day a leap year adds is the
/// last one of its year.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let from_march = days + 719_468;
    let (era, of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// `[-]HH:mm:ss`, and the part of a second behind a dot where there is one.
pub(crate) fn span(micros: i64, out: &mut String) {
    let size = micros.unsigned_abs();
    let (seconds, fraction) = (size / 1_000_000, size % 1_000_000);
    let sign = if micros < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let _ = write!(out, ".{fraction:06}");
        while out.ends_with('0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (11_017, "2000-03-01"),
            (20_777, "2026-11-20"),
            (2_932_897, "+10000-01-01"),
            (-719_528, "0000-01-01"),
            (-719_529, "-0001-12-31"),
        ] {
            let mut out = String::new();
            date(days, &mut out);
            assert_eq!(out, text);
            assert_eq!(culvert_values::time::date(text).map(i64::from), Some(days));
        }
    }

    #[test]
    fn a_part_of_a_second_is_told_where_there_is_one() {
        for (micros, text) in [(0, "00:00:00"), (45_296_500_000, "12:34:56.5"), (-1, "-00:00:00.000001")] {
            let mut out = String::new();
            span(micros, &mut out);
            assert_eq!(out, text);
        }
    }
}
