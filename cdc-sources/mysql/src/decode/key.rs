//! Values of key columns: read from Arrow, compared, stored, written into SQL.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{decimal, temporal};

/// A value of a key column.
///
/// The order is that of the type: numbers and times by size, bytes and text byte by byte. A text
/// column's own order (its collation) is another one, unless it is a binary collation: compare
/// text by it only there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum KeyValue {
    /// NULL: below every value, as in the servers.
    Null,
    /// Any integer type, YEAR, BIT.
    Int(i128),
    /// FLOAT, DOUBLE.
    Float(FloatKey),
    /// DECIMAL: the scaled integer, split in two for the sake of its size, and its scale.
    Decimal {
        /// The upper half.
        high: i128,
        /// The lower half.
        low: u128,
        /// Digits after the point.
        scale: u8,
    },
    /// DATE, in days since 1970.
    Date(i32),
    /// TIME, in microseconds.
    Time(i64),
    /// DATETIME, and TIMESTAMP in UTC, in microseconds since 1970.
    DateTime(i64),
    /// Any text type. For ENUM and SET the label: MySQL sorts those by number, not by label.
    Text(String),
    /// Any binary type.
    Bytes(Vec<u8>),
}

/// A double with a total order; -0 equals 0.
#[derive(Clone, Copy, Debug)]
pub struct FloatKey(
    /// The double.
    pub f64,
);

impl FloatKey {
    fn plain(self) -> f64 {
        if self.0 == 0.0 { 0.0 } else { self.0 }
    }
}

impl PartialEq for FloatKey {
    fn eq(&self, other: &FloatKey) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for FloatKey {}

impl PartialOrd for FloatKey {
    fn partial_cmp(&self, other: &FloatKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FloatKey {
    fn cmp(&self, other: &FloatKey) -> Ordering {
        self.plain().total_cmp(&other.plain())
    }
}

impl Hash for FloatKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.plain().to_bits().hash(state);
    }
}

impl KeyValue {
    /// The value in this row of a column as this crate decodes them. Errors with `Unsupported`
    /// for other Arrow types, `Internal` for a row that is not there.
    pub fn read(array: &dyn Array, row: usize) -> Result<KeyValue> {
        if row >= array.len() {
            return Err(Error::new(ErrorKind::Internal, "a key is read from a row that is not there"));
        }
        if array.is_null(row) {
            return Ok(KeyValue::Null);
        }
        Ok(match array.data_type() {
            DataType::Int8 => integer::<arrow::Int8Type>(array, row),
            DataType::UInt8 => integer::<arrow::UInt8Type>(array, row),
            DataType::Int16 => integer::<arrow::Int16Type>(array, row),
            DataType::UInt16 => integer::<arrow::UInt16Type>(array, row),
            DataType::Int32 => integer::<arrow::Int32Type>(array, row),
            DataType::UInt32 => integer::<arrow::UInt32Type>(array, row),
            DataType::Int64 => integer::<arrow::Int64Type>(array, row),
            DataType::UInt64 => integer::<arrow::UInt64Type>(array, row),
            DataType::Float32 => {
                KeyValue::Float(FloatKey(f64::from(array.as_primitive::<arrow::Float32Type>().value(row))))
            }
            DataType::Float64 => {
                KeyValue::Float(FloatKey(array.as_primitive::<arrow::Float64Type>().value(row)))
            }
            DataType::Decimal128(_, scale) => {
                let value = array.as_primitive::<arrow::Decimal128Type>().value(row);
                KeyValue::decimal(i256::from_i128(value), *scale)
            }
            DataType::Decimal256(_, scale) => {
                KeyValue::decimal(array.as_primitive::<arrow::Decimal256Type>().value(row), *scale)
            }
            DataType::Date32 => KeyValue::Date(array.as_primitive::<arrow::Date32Type>().value(row)),
            DataType::Duration(TimeUnit::Microsecond) => {
                KeyValue::Time(array.as_primitive::<arrow::DurationMicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                KeyValue::DateTime(array.as_primitive::<arrow::TimestampMicrosecondType>().value(row))
            }
            DataType::Utf8 => KeyValue::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::Binary => KeyValue::Bytes(array.as_binary::<i32>().value(row).to_vec()),
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("a key of type {other} is not supported"),
                ));
            }
        })
    }

    fn decimal(value: i256, scale: i8) -> KeyValue {
        let (low, high) = value.to_parts();
        KeyValue::Decimal { high, low, scale: u8::try_from(scale).unwrap_or(0) }
    }

    /// The value as SQL that means the same in any `sql_mode` and any connection charset; times
    /// are meant for a session with `time_zone='+00:00'`. Never holds quotes from the value: text
    /// and bytes are written in hex.
    pub fn to_sql_literal(&self) -> String {
        let mut sql = String::new();
        match self {
            KeyValue::Null => sql.push_str("NULL"),
            // Writing to a String cannot fail.
            KeyValue::Int(value) => _ = write!(sql, "{value}"),
            KeyValue::Float(value) => _ = write!(sql, "{:e}", value.plain()),
            KeyValue::Decimal { high, low, scale } => {
                decimal::append_text(i256::from_parts(*low, *high), *scale, &mut sql);
            }
            KeyValue::Date(days) => quoted(&mut sql, |sql| temporal::append_days(i64::from(*days), sql)),
            KeyValue::Time(micros) => quoted(&mut sql, |sql| temporal::append_clock(*micros, sql)),
            KeyValue::DateTime(micros) => quoted(&mut sql, |sql| temporal::append_datetime(*micros, sql)),
            KeyValue::Text(text) => {
                sql.push_str("_utf8mb4 X'");
                append_hex(text.as_bytes(), &mut sql);
                sql.push('\'');
            }
            KeyValue::Bytes(bytes) => {
                sql.push_str("X'");
                append_hex(bytes, &mut sql);
                sql.push('\'');
            }
        }
        sql
    }
}

fn integer<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &dyn Array, row: usize) -> KeyValue {
    KeyValue::Int(array.as_primitive::<T>().value(row).into())
}

fn quoted(sql: &mut String, append: impl FnOnce(&mut String)) {
    sql.push('\'');
    append(sql);
    sql.push('\'');
}

fn append_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// The stored form: a letter for the variant, a colon, the value.
impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyValue::Null => f.write_str("n:"),
            KeyValue::Int(value) => write!(f, "i:{value}"),
            KeyValue::Float(value) => write!(f, "f:{:e}", value.plain()),
            KeyValue::Decimal { high, low, scale } => {
                write!(f, "d:{scale}:{}", i256::from_parts(*low, *high))
            }
            KeyValue::Date(days) => write!(f, "D:{days}"),
            KeyValue::Time(micros) => write!(f, "T:{micros}"),
            KeyValue::DateTime(micros) => write!(f, "M:{micros}"),
            KeyValue::Text(text) => write!(f, "t:{text}"),
            KeyValue::Bytes(bytes) => {
                f.write_str("b:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for KeyValue {
    type Err = Error;

    fn from_str(stored: &str) -> Result<KeyValue> {
        parse_stored(stored)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stored key value cannot be read"))
    }
}

fn parse_stored(stored: &str) -> Option<KeyValue> {
    let (variant, value) = stored.split_once(':')?;
    Some(match variant {
        "n" => KeyValue::Null,
        "i" => KeyValue::Int(value.parse().ok()?),
        "f" => KeyValue::Float(FloatKey(value.parse().ok()?)),
        "d" => {
            let (scale, digits) = value.split_once(':')?;
            let (low, high) = i256::from_string(digits)?.to_parts();
            KeyValue::Decimal { high, low, scale: scale.parse().ok()? }
        }
        "D" => KeyValue::Date(value.parse().ok()?),
        "T" => KeyValue::Time(value.parse().ok()?),
        "M" => KeyValue::DateTime(value.parse().ok()?),
        "t" => KeyValue::Text(value.to_owned()),
        "b" => {
            let digits: Option<Vec<u8>> = value
                .bytes()
                .map(|digit| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()))
                .collect();
            let (pairs, odd) = digits.as_deref()?.as_chunks::<2>();
            let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
            odd.is_empty().then_some(KeyValue::Bytes(bytes))?
        }
        _ => return None,
    })
}

impl From<KeyValue> for String {
    fn from(value: KeyValue) -> String {
        value.to_string()
    }
}

impl TryFrom<String> for KeyValue {
    type Error = Error;

    fn try_from(stored: String) -> Result<KeyValue> {
        stored.parse()
    }
}
