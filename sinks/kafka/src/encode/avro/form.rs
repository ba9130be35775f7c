//! The form of one value: its Avro type, and its bytes.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64MicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Value, json};

use crate::encode::value;

/// Digits that an unsigned integer of 64 bits can have.
const UNSIGNED_DIGITS: u32 = 20;

/// Why a value has no form. Completes "the column's value …".
pub(super) type Refusal = &'static str;

const UNREADABLE: Refusal = "is not of the type that its batch says";
const INFINITE: Refusal = "is infinite, which Avro's points in time cannot be";

/// What a column's values become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    /// Digits, and digits behind the point.
    Decimal(u32, u32),
    Date,
    /// Of a day, in microseconds.
    Time,
    /// A wall clock, or an instant, in microseconds.
    Timestamp {
        zoned: bool,
    },
    /// As in the JSON formats.
    Text,
}

impl Form {
    /// The form of a type. What Avro has no type for is the text that the JSON formats have.
    pub(super) fn of(data_type: &DataType, decimals_as_text: bool) -> Form {
        match data_type {
            DataType::Boolean => Form::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
                Form::Int
            }
            DataType::Int64 | DataType::UInt32 => Form::Long,
            DataType::UInt64 => Form::Decimal(UNSIGNED_DIGITS, 0),
            DataType::Float32 => Form::Float,
            DataType::Float64 => Form::Double,
            DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) => {
                match u32::try_from(*scale) {
                    // Avro wants no fewer digits than there are behind the point.
                    Ok(scale) if !decimals_as_text => Form::Decimal(u32::from(*digits).max(scale), scale),
                    _ => Form::Text,
                }
            }
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => Form::Bytes,
            DataType::Date32 => Form::Date,
            DataType::Time64(TimeUnit::Microsecond) => Form::Time,
            DataType::Timestamp(_, zone) => Form::Timestamp { zoned: zone.is_some() },
            _ => Form::Text,
        }
    }

    /// Its schema.
    pub(super) fn schema(self) -> Value {
        let logical = |base: &str, name: &str| json!({ "type": base, "logicalType": name });
        match self {
            Form::Boolean => json!("boolean"),
            Form::Int => json!("int"),
            Form::Long => json!("long"),
            Form::Float => json!("float"),
            Form::Double => json!("double"),
            Form::Bytes => json!("bytes"),
            Form::Decimal(digits, scale) => {
                json!({ "type": "bytes", "logicalType": "decimal", "precision": digits, "scale": scale })
            }
            Form::Date => logical("int", "date"),
            Form::Time => logical("long", "time-micros"),
            Form::Timestamp { zoned: true } => logical("long", "timestamp-micros"),
            Form::Timestamp { zoned: false } => logical("long", "local-timestamp-micros"),
            Form::Text => json!("string"),
        }
    }

    /// Appends a value that is not NULL.
    pub(super) fn append(self, array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self {
            Form::Boolean => {
                out.push(u8::from(array.as_boolean_opt().ok_or(UNREADABLE)?.value(row)));
            }
            Form::Int | Form::Long => long(integer(array, row)?, out),
            Form::Float => out.extend(primitive::<Float32Type>(array, row)?.to_le_bytes()),
            Form::Double => out.extend(primitive::<Float64Type>(array, row)?.to_le_bytes()),
            Form::Bytes => sized(binary(array, row)?, out),
            Form::Decimal(..) => match array.data_type() {
                DataType::Decimal128(..) => {
                    decimal(&primitive::<Decimal128Type>(array, row)?.to_be_bytes(), out)
                }
                DataType::Decimal256(..) => {
                    decimal(&primitive::<Decimal256Type>(array, row)?.to_be_bytes(), out)
                }
                _ => decimal(&i128::from(primitive::<UInt64Type>(array, row)?).to_be_bytes(), out),
            },
            Form::Date => match primitive::<Date32Type>(array, row)? {
                i32::MAX | i32::MIN => return Err(INFINITE),
                days => long(i64::from(days), out),
            },
            Form::Time => long(primitive::<Time64MicrosecondType>(array, row)?, out),
            Form::Timestamp { .. } => long(micros(array, row)?, out),
            Form::Text => {
                let mut text = String::new();
                value::append(array, row, &mut text).ok_or(UNREADABLE)?;
                sized(text.as_bytes(), out);
            }
        }
        Ok(())
    }
}

/// An Avro int or long: the sign last, seven bits a byte, the lowest first.
pub(super) fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Bytes behind their number.
fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    // No slice is longer than a signed number can say.
    long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
}

/// The unscaled number, highest byte first, in as few bytes as hold its sign.
fn decimal(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let [first, rest @ ..] = bytes {
        let spare = rest
            .first()
            .is_some_and(|next| *first == 0 && next & 0x80 == 0 || *first == 0xff && next & 0x80 != 0);
        if !spare {
            break;
        }
        bytes = rest;
    }
    sized(bytes, out);
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Result<T::Native, Refusal> {
    Ok(array.as_primitive_opt::<T>().ok_or(UNREADABLE)?.value(row))
}

fn integer(array: &dyn Array, row: usize) -> Result<i64, Refusal> {
    Ok(match array.data_type() {
        DataType::Int8 => primitive::<Int8Type>(array, row)?.into(),
        DataType::Int16 => primitive::<Int16Type>(array, row)?.into(),
        DataType::Int32 => primitive::<Int32Type>(array, row)?.into(),
        DataType::UInt8 => primitive::<UInt8Type>(array, row)?.into(),
        DataType::UInt16 => primitive::<UInt16Type>(array, row)?.into(),
        DataType::UInt32 => primitive::<UInt32Type>(array, row)?.into(),
        _ => primitive::<Int64Type>(array, row)?,
    })
}

fn binary(array: &dyn Array, row: usize) -> Result<&[u8], Refusal> {
    Ok(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        _ => array.as_fixed_size_binary_opt().ok_or(UNREADABLE)?.value(row),
    })
}

fn micros(array: &dyn Array, row: usize) -> Result<i64, Refusal> {
    let DataType::Timestamp(unit, _) = array.data_type() else { return Err(UNREADABLE) };
    let number = value::instant(array, unit, row);
    if number == i64::MAX || number == i64::MIN {
        return Err(INFINITE);
    }
    let far = "is past the range of a time in microseconds";
    match unit {
        TimeUnit::Second => number.checked_mul(1_000_000).ok_or(far),
        TimeUnit::Millisecond => number.checked_mul(1000).ok_or(far),
        TimeUnit::Microsecond => Ok(number),
        TimeUnit::Nanosecond if number.rem_euclid(1000) == 0 => Ok(number.div_euclid(1000)),
        TimeUnit::Nanosecond => Err("has nanoseconds, and Avro's time here has microseconds"),
    }
}
