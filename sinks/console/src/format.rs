//! Values for people.

use std::fmt::Write;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::ChangeBatch;

/// What stands for a value that the source's log left out.
const UNAVAILABLE: &str = "<unavailable>";

/// Appends the values of a row with commas between them.
pub(crate) fn row(batch: &ChangeBatch, row: usize, text: &mut String) {
    for (place, column) in batch.rows.columns().iter().enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        if batch.is_unavailable(row, place) {
            text.push_str(UNAVAILABLE);
        } else {
            value(column.as_ref(), row, text);
        }
    }
}

fn value(array: &dyn Array, row: usize, text: &mut String) {
    if row >= array.len() || array.is_null(row) || *array.data_type() == DataType::Null {
        text.push_str("null");
        return;
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
        DataType::Float32 => number::<Float32Type>(array, row, text),
        DataType::Float64 => number::<Float64Type>(array, row, text),
        DataType::Decimal128(_, _) => {
            text.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Decimal256(_, _) => {
            text.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row))
        }
        DataType::Utf8 => line(array.as_string::<i32>().value(row), text),
        DataType::LargeUtf8 => line(array.as_string::<i64>().value(row), text),
        DataType::Binary => hex(array.as_binary::<i32>().value(row), text),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row), text),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row), text),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            match days.value_as_date(row) {
                Some(date) => show(date, text),
                None => far(days.value(row), i32::MIN, i32::MAX, text),
            }
        }
        DataType::Timestamp(unit, zone) => {
            let time = match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value_as_datetime(row),
                TimeUnit::Millisecond => {
                    array.as_primitive::<TimestampMillisecondType>().value_as_datetime(row)
                }
                TimeUnit::Microsecond => {
                    array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(row)
                }
                TimeUnit::Nanosecond => None,
            };
            match time {
                // `2026-11-20T10:00:00.5`; an instant is shown in UTC.
                Some(time) => {
                    let _ = write!(text, "{time:?}");
                    if zone.is_some() {
                        text.push('Z');
                    }
                }
                None => far(instant(array, unit, row), i64::MIN, i64::MAX, text),
            }
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            span(array.as_primitive::<Time64MicrosecondType>().value(row), text);
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            span(array.as_primitive::<DurationMicrosecondType>().value(row), text);
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            several('[', ']', items.len(), text, |item, text| value(items.as_ref(), item, text));
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns();
            several('(', ')', fields.len(), text, |field, text| {
                if let Some(field) = fields.get(field) {
                    value(field.as_ref(), row, text);
                }
            });
        }
        DataType::Map(_, _) => {
            let pairs = array.as_map().value(row);
            let [keys, values] = pairs.columns() else { return };
            several('{', '}', pairs.len(), text, |pair, text| {
                value(keys.as_ref(), pair, text);
                text.push('=');
                value(values.as_ref(), pair, text);
            });
        }
        other => {
            let _ = write!(text, "<{other}>");
        }
    }
}

/// Values in brackets, with commas between them.
fn several(open: char, close: char, count: usize, text: &mut String, one: impl Fn(usize, &mut String)) {
    text.push(open);
    for at in 0..count {
        if at > 0 {
            text.push_str(", ");
        }
        one(at, text);
    }
    text.push(close);
}

/// A point in time that the calendar here does not reach: PostgreSQL's infinities, which are the
/// ends of the value's range, or years past 262,000.
fn far<N: PartialEq>(value: N, first: N, last: N, text: &mut String) {
    text.push_str(match value {
        value if value == first => "-infinity",
        value if value == last => "infinity",
        _ => "?",
    });
}

/// The number that a point in time is held as.
fn instant(array: &dyn Array, unit: &TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
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

/// Text on one line: control characters, which could forge lines or drive a terminal, are escaped.
fn line(value: &str, text: &mut String) {
    for c in value.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
}

fn hex(value: &[u8], text: &mut String) {
    text.push_str("0x");
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
}

/// `[-]hh:mm:ss[.ffffff]` of microseconds.
fn span(micros: i64, text: &mut String) {
    let size = micros.unsigned_abs();
    let (seconds, fraction) = (size / 1_000_000, size % 1_000_000);
    let sign = if micros < 0 { "-" } else { "" };
    let _ = write!(text, "{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let _ = write!(text, ".{fraction:06}");
    }
}
