//! One value, as Kafka Connect's `JsonConverter` writes it.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Time64MicrosecondType, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::form::{Form, Precision};
use super::printed;
use crate::encode::object::quote;
use crate::encode::value;

/// Debezium's numbers for PostgreSQL's infinite timestamps, which are those of its JDBC driver.
const FOREVER: i64 = 9_223_372_036_825_200_000;
const NEVER: i64 = -9_223_372_036_832_400_000;

/// Why a value has no form; completes "the column's value …".
type Refusal = &'static str;

const UNREADABLE: Refusal = "is not of its declared type";

/// Appends a value; NULL is `null`.
pub(super) fn append(form: &Form, array: &dyn Array, row: usize, out: &mut String) -> Result<(), Refusal> {
    if row >= array.len() || array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match form {
        Form::Int(_) | Form::Boolean | Form::Year | Form::Float | Form::Double => plain(array, row, out),
        Form::Long => match i64::try_from(unsigned(array, row)?) {
            Ok(number) => whole(number, out),
            Err(_) => Err("is past the range of an int64; set bigint_unsigned_handling_mode to precise"),
        },
        Form::Date => match array.as_primitive_opt::<Date32Type>().ok_or(UNREADABLE)?.value(row) {
            i32::MAX | i32::MIN => Err("is an infinite date, which Debezium's form has no number for"),
            days => whole(i64::from(days), out),
        },
        Form::Timestamp(precision) => {
            let number = match micros_since_1970(array, row)? {
                i64::MAX => FOREVER,
                i64::MIN => NEVER,
                micros => in_precision(micros, *precision)?,
            };
            whole(number, out)
        }
        Form::Zoned(digits) => zoned(array, row, *digits, out),
        Form::Time(precision) => {
            let number = in_precision(micros_of_day(array, row)?, *precision)?;
            whole(number, out)
        }
        Form::Flag | Form::Bits(_) => bits(form, array, row, out),
        Form::Bytes => plain(array, row, out),
        Form::Decimal(_, scale) => decimal(array, row, *scale, out),
        _ => printed(form, text(array, row)?, out),
    }
}

fn whole(number: i64, out: &mut String) -> Result<(), Refusal> {
    out.push_str(&number.to_string());
    Ok(())
}

/// Values that batches hold as text.
fn printed(form: &Form, text: &str, out: &mut String) -> Result<(), Refusal> {
    match form {
        Form::Variable => {
            let (unscaled, scale) = printed::decimal(text).ok_or("is no number that a decimal can hold")?;
            out.push_str(&format!("{{\"scale\":{scale},\"value\":\"{}\"}}", STANDARD.encode(unscaled)));
        }
        Form::Interval => out.push_str(&printed::interval(text).ok_or(UNREADABLE)?.to_string()),
        Form::ZonedTime => {
            let micros = printed::time_at_gmt(text).ok_or(UNREADABLE)?;
            let mut time = String::new();
            value::span(micros, &mut time);
            quote(&(time + "Z"), out);
        }
        Form::Array(element) => {
            let elements = printed::array(text).ok_or("is an array of more than one dimension")?;
            out.push('[');
            for (place, item) in elements.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                match item {
                    Some(item) => scalar(element, item, out)?,
                    None => out.push_str("null"),
                }
            }
            out.push(']');
        }
        _ => quote(text, out),
    }
    Ok(())
}

/// An element of an array.
fn scalar(form: &Form, text: &str, out: &mut String) -> Result<(), Refusal> {
    match form {
        Form::Boolean => out.push_str(match text {
            "t" => "true",
            "f" => "false",
            _ => return Err(UNREADABLE),
        }),
        Form::Int(_) => out.push_str(&text.parse::<i64>().map_err(|_| UNREADABLE)?.to_string()),
        Form::Float | Form::Double => {
            let number: f64 = text.parse().map_err(|_| UNREADABLE)?;
            // The server prints the shortest digits; they are JSON's own as well.
            if number.is_finite() { out.push_str(text) } else { quote(text, out) }
        }
        _ => quote(text, out),
    }
    Ok(())
}

/// A value whose form is the same in every format.
fn plain(array: &dyn Array, row: usize, out: &mut String) -> Result<(), Refusal> {
    let mut text = String::new();
    match value::append(array, row, &mut text).ok_or(UNREADABLE)? {
        value::Form::Null => out.push_str("null"),
        value::Form::Bare => out.push_str(&text),
        value::Form::Text => quote(&text, out),
    }
    Ok(())
}

fn text(array: &dyn Array, row: usize) -> Result<&str, Refusal> {
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Ok(array.as_string::<i64>().value(row)),
        _ => Err(UNREADABLE),
    }
}

fn unsigned(array: &dyn Array, row: usize) -> Result<u64, Refusal> {
    Ok(array.as_primitive_opt::<UInt64Type>().ok_or(UNREADABLE)?.value(row))
}

fn micros_since_1970(array: &dyn Array, row: usize) -> Result<i64, Refusal> {
    let DataType::Timestamp(unit, _) = array.data_type() else { return Err(UNREADABLE) };
    let number = value::instant(array, unit, row);
    let far = "is past the range of a time in microseconds";
    match unit {
        _ if number == i64::MAX || number == i64::MIN => Ok(number),
        TimeUnit::Second => number.checked_mul(1_000_000).ok_or(far),
        TimeUnit::Millisecond => number.checked_mul(1000).ok_or(far),
        TimeUnit::Microsecond => Ok(number),
        TimeUnit::Nanosecond if number.rem_euclid(1000) == 0 => Ok(number.div_euclid(1000)),
        TimeUnit::Nanosecond => Err("has nanoseconds"),
    }
}

fn micros_of_day(array: &dyn Array, row: usize) -> Result<i64, Refusal> {
    if let Some(times) = array.as_primitive_opt::<Time64MicrosecondType>() {
        return Ok(times.value(row));
    }
    Ok(array.as_primitive_opt::<DurationMicrosecondType>().ok_or(UNREADABLE)?.value(row))
}

fn in_precision(micros: i64, precision: Precision) -> Result<i64, Refusal> {
    match precision {
        Precision::Micros => Ok(micros),
        Precision::Millis if micros.rem_euclid(1000) == 0 => Ok(micros.div_euclid(1000)),
        Precision::Millis => Err("has more digits of a second than its column"),
    }
}

/// A point in time at GMT.
fn zoned(array: &dyn Array, row: usize, digits: Option<usize>, out: &mut String) -> Result<(), Refusal> {
    let micros = micros_since_1970(array, row)?;
    if micros == i64::MAX || micros == i64::MIN {
        return Err("is an infinite point in time, which Debezium's form has no text for");
    }
    let mut time = String::new();
    value::timestamp(micros, &TimeUnit::Microsecond, false, &mut time);
    if let Some(digits) = digits.filter(|digits| *digits > 0) {
        let (_, fraction) = time.split_once('.').unwrap_or(("", ""));
        let missing = digits.saturating_sub(fraction.len());
        if fraction.is_empty() {
            time.push('.');
        }
        time.extend(std::iter::repeat_n('0', missing));
    }
    quote(&(time + "Z"), out);
    Ok(())
}

fn bits(form: &Form, array: &dyn Array, row: usize, out: &mut String) -> Result<(), Refusal> {
    let bytes = match array.data_type() {
        DataType::UInt64 => unsigned(array, row)?.to_le_bytes().to_vec(),
        _ => printed::bits(text(array, row)?).ok_or(UNREADABLE)?,
    };
    match form {
        Form::Bits(length) => {
            let wanted = usize::try_from(length.div_ceil(8)).unwrap_or(usize::MAX).min(bytes.len());
            let kept = bytes.get(..wanted).unwrap_or_default();
            quote(&STANDARD.encode(kept), out);
        }
        _ => out.push_str(if bytes.iter().any(|byte| *byte != 0) { "true" } else { "false" }),
    }
    Ok(())
}

/// The unscaled number in the scale of the column, as base64.
fn decimal(array: &dyn Array, row: usize, scale: u32, out: &mut String) -> Result<(), Refusal> {
    let unscaled = match array.data_type() {
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row).to_be_bytes().to_vec(),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value(row).to_be_bytes().to_vec(),
        DataType::UInt64 => i128::from(unsigned(array, row)?).to_be_bytes().to_vec(),
        _ => {
            let mut digits = printed::money(text(array, row)?);
            let (_, fraction) = digits.split_once('.').unwrap_or(("", ""));
            let wanted = usize::try_from(scale).map_err(|_| UNREADABLE)?;
            let missing = wanted.checked_sub(fraction.len()).ok_or("has more digits than its column")?;
            if missing > 0 && !digits.contains('.') {
                digits.push('.');
            }
            digits.extend(std::iter::repeat_n('0', missing));
            printed::decimal(&digits).ok_or("is no number that a decimal can hold")?.0
        }
    };
    quote(&STANDARD.encode(printed::minimal(&unscaled)), out);
    Ok(())
}

/// Bytes, as base64.
pub(super) fn bytes(bytes: &[u8], out: &mut String) {
    quote(&STANDARD.encode(bytes), out);
}
