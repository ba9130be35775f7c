//! One value, and how it is read from a text. Exact, or refused.

use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::time;

/// A value that fits its column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// The log of the first source left it out.
    LeftOut,
    /// `true` or `false`.
    Bool(bool),
    /// Whole numbers, and what is counted from 1970 or midnight.
    Int(i128),
    /// A decimal without its point.
    Decimal(i256),
    /// A number of a column of single precision.
    Float32(f32),
    /// A number of a column of double precision.
    Float64(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The elements of an array.
    List(Vec<Cell>),
    /// The pairs of a map, in order.
    Map(Vec<(Cell, Cell)>),
    /// The fields of a row.
    Row(Vec<Cell>),
}

/// The value that a text stands for in a column of this type. `None`: it does not fit, or the type is nested.
///
/// Whole numbers have digits and a minus, decimals no more digits than their column, bytes are base64, dates
/// and times are those of [`crate::time`].
pub fn of_text(text: &str, data_type: &DataType) -> Option<Cell> {
    let whole = |range: std::ops::RangeInclusive<i128>| {
        let number: i128 = text.parse().ok()?;
        // "+1" is no number of JSON, and nobody's text of one.
        (range.contains(&number) && !text.starts_with('+')).then_some(Cell::Int(number))
    };
    match data_type {
        DataType::Boolean => match text {
            "true" => Some(Cell::Bool(true)),
            "false" => Some(Cell::Bool(false)),
            _ => None,
        },
        DataType::Int8 => whole(i8::MIN.into()..=i8::MAX.into()),
        DataType::Int16 => whole(i16::MIN.into()..=i16::MAX.into()),
        DataType::Int32 => whole(i32::MIN.into()..=i32::MAX.into()),
        DataType::Int64 => whole(i64::MIN.into()..=i64::MAX.into()),
        DataType::UInt8 => whole(0..=u8::MAX.into()),
        DataType::UInt16 => whole(0..=u16::MAX.into()),
        DataType::UInt32 => whole(0..=u32::MAX.into()),
        DataType::UInt64 => whole(0..=u64::MAX.into()),
        DataType::Float32 => match special(text) {
            Some(value) => Some(Cell::Float32(value)),
            // Straight from the digits: by way of a double it would be rounded twice.
            None => {
                is_number(text).then(|| text.parse().ok())?.filter(|n: &f32| n.is_finite()).map(Cell::Float32)
            }
        },
        DataType::Float64 => match special(text) {
            Some(value) => Some(Cell::Float64(value.into())),
            None => {
                is_number(text).then(|| text.parse().ok())?.filter(|n: &f64| n.is_finite()).map(Cell::Float64)
            }
        },
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            decimal(text, *precision, *scale).map(Cell::Decimal)
        }
        DataType::Utf8 | DataType::LargeUtf8 => Some(Cell::Text(text.to_owned())),
        DataType::Binary | DataType::LargeBinary => STANDARD.decode(text).ok().map(Cell::Bytes),
        DataType::Date32 => time::date(text).map(|days| Cell::Int(days.into())),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            time::timestamp(text, zone.is_some()).map(|micros| Cell::Int(micros.into()))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let micros = time::span(text)?;
            (0..=time::DAY_MICROS).contains(&micros).then(|| Cell::Int(micros.into()))
        }
        DataType::Duration(TimeUnit::Microsecond) => time::span(text).map(|micros| Cell::Int(micros.into())),
        _ => None,
    }
}

fn special(text: &str) -> Option<f32> {
    match text {
        "NaN" => Some(f32::NAN),
        "Infinity" => Some(f32::INFINITY),
        "-Infinity" => Some(f32::NEG_INFINITY),
        _ => None,
    }
}

/// Whether only what a number is made of occurs; its order is the parser's business.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// A number's digits without its point, at this scale. `None`: it has more digits than fit.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i256> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, size) = match number.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, number),
    };
    let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // How many digits the scale asks for behind those that are there.
    let missing = i32::from(scale).checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = digits.trim_start_matches('0');
    let digits = if digits.is_empty() {
        "0".to_owned()
    } else if missing >= 0 {
        let zeros = usize::try_from(missing).ok()?;
        if digits.len().checked_add(zeros)? > usize::from(precision) {
            return None;
        }
        format!("{digits}{}", "0".repeat(zeros))
    } else {
        let kept = digits.len().checked_sub(usize::try_from(missing.unsigned_abs()).ok()?)?;
        let (kept, dropped) = digits.split_at(kept);
        if kept.is_empty() || dropped.bytes().any(|byte| byte != b'0') {
            return None;
        }
        kept.to_owned()
    };
    if digits.len() > usize::from(precision) {
        return None;
    }
    let size = i256::from_string(&digits)?;
    if negative { size.checked_neg() } else { Some(size) }
}

#[cfg(test)]
mod tests;
