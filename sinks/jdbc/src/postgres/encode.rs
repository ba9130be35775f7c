//! Arrow columns to values as PostgreSQL reads them, appended to one reused buffer: no allocation per
//! value.
//!
//! The text form, because it fits columns of any type: the type's own input function reads it. In a
//! field of COPY (its text format) tab, line ends and back-slash are escaped and `\N` is NULL; in a
//! statement a value is a quoted literal whose type the server infers.
//!
//! | Arrow | text |
//! |---|---|
//! | integers | digits; into `bit(n)` as n binary digits, into `boolean` 0 and 1 only |
//! | booleans | `t`, `f`; into numbers 1, 0; into texts `true`, `false` |
//! | decimals | digits with the point, not more of them than the column keeps |
//! | floats | shortest digits that give the same value back, `NaN`, `Infinity` |
//! | text | itself; a NUL character has no form here |
//! | binary | `\x` and hexadecimal digits |
//! | dates, points in time | ISO, BC, infinity for the type's largest and smallest value |
//! | times, durations | `[-]hh:mm:ss.ffffff` |
//!
//! A timestamp without a zone is a wall clock and goes out as it is. One with a zone is an instant: it
//! goes into `timestamp with time zone` with its offset, and elsewhere as the wall clock of its zone.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, StringArray,
};
use arrow_schema::{DataType, TimeUnit};
use thiserror::Error as ThisError;

use crate::postgres::column_type::{Family, Form};
use crate::postgres::instant;
use crate::zone::Zone;

/// Bytes of a `name`.
const NAME_BYTES_MAX: usize = 63;

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(crate) enum Misfit {
    /// A NUL character in a text.
    #[error("the text holds a NUL character, which the target cannot hold")]
    Nul,
    /// More characters than the column has.
    #[error("the text is longer than the target column")]
    Length,
    /// Something other than 0 and 1 for a truth value.
    #[error("the value is neither 0 nor 1, and the target column is a boolean")]
    Truth,
    /// More bits than the column has.
    #[error("the value has more bits than the target column")]
    Bits,
    /// A point in time that cannot be computed.
    #[error("the point in time lies outside what can be written")]
    Year,
    /// A time outside of a day.
    #[error("the time lies outside of what the target column takes")]
    Time,
    /// More digits of a second than the column has.
    #[error("the value has more digits of a second than the target column")]
    Fraction,
    /// A decimal with more digits behind the point than the column has.
    #[error("the value has more digits behind the point than the target column")]
    Scale,
    /// An Arrow type this version does not write.
    #[error("values of this type cannot be written")]
    Type,
    /// The zone's name is not known.
    #[error("the time zone is not known")]
    Zone,
    /// The log left the value out.
    #[error("the value was left out of the source's log (it is large and did not change)")]
    Unavailable,
}

/// Where values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A field of COPY.
    Copy,
    /// A literal in a statement.
    Statement,
}

/// The values of one column of a batch, ready to be written.
pub(crate) struct Values<'a> {
    array: &'a dyn Array,
    cells: Cells<'a>,
    form: &'a Form,
    place: Place,
    zone: Option<Zone>,
}

enum Cells<'a> {
    Null,
    Bool(&'a BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Decimal(&'a Decimal128Array, i32),
    WideDecimal(&'a Decimal256Array, i32),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Date(&'a [i32]),
    /// Points in time, in units of which this many make a second; whether they are instants.
    Instant(&'a [i64], i64, bool),
    /// Times of day and durations, in units of which this many make a second.
    Span(&'a [i64], i64),
    Span32(&'a [i32], i64),
}

impl<'a> Values<'a> {
    /// Prepares a column of a batch.
    pub(crate) fn new(array: &'a Arc<dyn Array>, form: &'a Form, place: Place) -> Result<Values<'a>, Misfit> {
        let array: &'a dyn Array = array.as_ref();
        let zone = match array.data_type() {
            // With its offset an instant is exact; a wall clock is that of its zone.
            DataType::Timestamp(_, Some(name)) if form.family == Family::Timestamp => {
                Zone::parse(name).ok_or(Misfit::Zone)?
            }
            _ => None,
        };
        Ok(Values { array, cells: cells(array)?, form, place, zone })
    }

    /// Appends the value of one row.
    pub(crate) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
        if matches!(self.cells, Cells::Null) || self.array.is_null(row) {
            out.extend_from_slice(if self.place == Place::Copy { b"\\N" } else { b"NULL" });
            return Ok(());
        }
        if self.place == Place::Statement {
            out.push(b'\'');
            self.write_value(row, out)?;
            out.push(b'\'');
            return Ok(());
        }
        self.write_value(row, out)
    }

    fn write_value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
        match &self.cells {
            Cells::Null => {}
            Cells::Bool(values) => truth(values.value(row), self.form, out),
            Cells::I8(values) => return integer(at(values, row).into(), self.form, out),
            Cells::I16(values) => return integer(at(values, row).into(), self.form, out),
            Cells::I32(values) => return integer(at(values, row).into(), self.form, out),
            Cells::I64(values) => return integer(at(values, row).into(), self.form, out),
            Cells::U8(values) => return integer(at(values, row).into(), self.form, out),
            Cells::U16(values) => return integer(at(values, row).into(), self.form, out),
            Cells::U32(values) => return integer(at(values, row).into(), self.form, out),
            Cells::U64(values) => return integer(at(values, row).into(), self.form, out),
            Cells::F32(values) => {
                let value = at(values, row);
                match self.form.family {
                    // Widened exactly: the column keeps all of a double.
                    Family::Double if value.is_finite() => print(out, format_args!("{:e}", f64::from(value))),
                    _ => float(value, out),
                }
            }
            Cells::F64(values) => float(at(values, row), out),
            Cells::Decimal(values, scale) => {
                let start = out.len();
                print(out, format_args!("{}", values.value(row)));
                return place_point(out, start, *scale, self.form);
            }
            Cells::WideDecimal(values, scale) => {
                let start = out.len();
                print(out, format_args!("{}", values.value(row)));
                return place_point(out, start, *scale, self.form);
            }
            Cells::Text(values) => return text(values.value(row), self.form, self.place, out),
            Cells::LargeText(values) => return text(values.value(row), self.form, self.place, out),
            Cells::Binary(values) => binary(values.value(row), self.place, out),
            Cells::LargeBinary(values) => binary(values.value(row), self.place, out),
            Cells::FixedBinary(values) => binary(values.value(row), self.place, out),
            Cells::Date(values) => instant::write_date(at(values, row), out),
            Cells::Instant(values, per_second, zoned) => {
                let (value, per_second, zoned) = (at(values, row), *per_second, *zoned);
                return self.write_instant(value, per_second, zoned, out);
            }
            Cells::Span(values, per_second) => return span(at(values, row), *per_second, self.form, out),
            Cells::Span32(values, per_second) => {
                return span(at(values, row).into(), *per_second, self.form, out);
            }
        }
        Ok(())
    }

    fn write_instant(
        &mut self,
        value: i64,
        per_second: i64,
        zoned: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        if per_second == 1_000_000 && instant::write_infinity(value, out) {
            return Ok(());
        }
        let micros = micros(value, per_second)?;
        let local = match &mut self.zone {
            Some(zone) => zone.local(micros).ok_or(Misfit::Year)?,
            None => micros,
        };
        let offset = zoned && self.form.family != Family::Timestamp;
        instant::write_instant(local, self.form.second_digits, offset, out)
    }
}

fn cells(array: &dyn Array) -> Result<Cells<'_>, Misfit> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match array.data_type() {
        DataType::Null => Cells::Null,
        DataType::Boolean => Cells::Bool(array.as_boolean()),
        DataType::Int8 => Cells::I8(of::<Int8Type>(array)),
        DataType::Int16 => Cells::I16(of::<Int16Type>(array)),
        DataType::Int32 => Cells::I32(of::<Int32Type>(array)),
        DataType::Int64 => Cells::I64(of::<Int64Type>(array)),
        DataType::UInt8 => Cells::U8(of::<UInt8Type>(array)),
        DataType::UInt16 => Cells::U16(of::<UInt16Type>(array)),
        DataType::UInt32 => Cells::U32(of::<UInt32Type>(array)),
        DataType::UInt64 => Cells::U64(of::<UInt64Type>(array)),
        DataType::Float32 => Cells::F32(of::<Float32Type>(array)),
        DataType::Float64 => Cells::F64(of::<Float64Type>(array)),
        DataType::Decimal128(_, scale) => {
            Cells::Decimal(array.as_primitive::<Decimal128Type>(), i32::from(*scale))
        }
        DataType::Decimal256(_, scale) => {
            Cells::WideDecimal(array.as_primitive::<Decimal256Type>(), i32::from(*scale))
        }
        DataType::Utf8 => Cells::Text(array.as_string::<i32>()),
        DataType::LargeUtf8 => Cells::LargeText(array.as_string::<i64>()),
        DataType::Binary => Cells::Binary(array.as_binary::<i32>()),
        DataType::LargeBinary => Cells::LargeBinary(array.as_binary::<i64>()),
        DataType::FixedSizeBinary(_) => Cells::FixedBinary(array.as_fixed_size_binary()),
        DataType::Date32 => Cells::Date(of::<Date32Type>(array)),
        DataType::Timestamp(unit, zone) => {
            let (values, per_second) = match unit {
                Second => (of::<TimestampSecondType>(array), 1),
                Millisecond => (of::<TimestampMillisecondType>(array), 1_000),
                Microsecond => (of::<TimestampMicrosecondType>(array), 1_000_000),
                Nanosecond => (of::<TimestampNanosecondType>(array), 1_000_000_000),
            };
            Cells::Instant(values, per_second, zone.is_some())
        }
        DataType::Time32(Second) => Cells::Span32(of::<Time32SecondType>(array), 1),
        DataType::Time32(Millisecond) => Cells::Span32(of::<Time32MillisecondType>(array), 1_000),
        DataType::Time64(Microsecond) => Cells::Span(of::<Time64MicrosecondType>(array), 1_000_000),
        DataType::Time64(Nanosecond) => Cells::Span(of::<Time64NanosecondType>(array), 1_000_000_000),
        DataType::Duration(Second) => Cells::Span(of::<DurationSecondType>(array), 1),
        DataType::Duration(Millisecond) => Cells::Span(of::<DurationMillisecondType>(array), 1_000),
        DataType::Duration(Microsecond) => Cells::Span(of::<DurationMicrosecondType>(array), 1_000_000),
        DataType::Duration(Nanosecond) => Cells::Span(of::<DurationNanosecondType>(array), 1_000_000_000),
        _ => return Err(Misfit::Type),
    })
}

fn of<T: ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

/// The row's value; every caller has a row below the batch's length.
fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn truth(value: bool, form: &Form, out: &mut Vec<u8>) {
    out.extend_from_slice(match (form.family, value) {
        (Family::Text | Family::Padded | Family::Name | Family::Parsed, true) => b"true",
        (Family::Text | Family::Padded | Family::Name | Family::Parsed, false) => b"false",
        (Family::Boolean | Family::Unknown, true) => b"t",
        (Family::Boolean | Family::Unknown, false) => b"f",
        (_, true) => b"1",
        (_, false) => b"0",
    });
    if form.family == Family::Bit {
        pad_bits(1, form, out);
    }
}

fn integer(value: i128, form: &Form, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match form.family {
        Family::Boolean if value != 0 && value != 1 => Err(Misfit::Truth),
        Family::Bit => bits(value, form, out),
        Family::Numeric => {
            let start = out.len();
            digits(value, out);
            place_point(out, start, 0, form)
        }
        _ => {
            digits(value, out);
            Ok(())
        }
    }
}

fn digits(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    // Every integer that comes here has at most 64 bits.
    let mut rest = u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX);
    loop {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// A number as binary digits, the highest first, as many as the column has.
fn bits(value: i128, form: &Form, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let value = u64::try_from(value).map_err(|_| Misfit::Bits)?;
    let significant = usize::try_from(u64::BITS - value.leading_zeros()).unwrap_or(64).max(1);
    if form.length.is_some_and(|length| significant > length) {
        return Err(Misfit::Bits);
    }
    print(out, format_args!("{value:b}"));
    pad_bits(significant, form, out);
    Ok(())
}

/// A `bit(n)` takes n digits, no fewer.
fn pad_bits(written: usize, form: &Form, out: &mut Vec<u8>) {
    if form.base == "bit" {
        let start = out.len().saturating_sub(written);
        let missing = form.length.unwrap_or(written).saturating_sub(written);
        out.splice(start..start, std::iter::repeat_n(b'0', missing));
    }
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

/// Shortest digits that give the same value back.
fn float<T: std::fmt::LowerExp + Copy + Into<f64>>(value: T, out: &mut Vec<u8>) {
    let wide: f64 = value.into();
    if wide.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if wide.is_infinite() {
        out.extend_from_slice(if wide > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        print(out, format_args!("{value:e}"));
    }
}

/// Turns the digits from `start` on into a decimal of this scale, with no more digits than the column
/// keeps. A negative scale of the column keeps only whole powers of ten.
fn place_point(out: &mut Vec<u8>, start: usize, scale: i32, form: &Form) -> Result<(), Misfit> {
    let scale = if scale < 0 {
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-scale).unwrap_or_default()));
        0
    } else {
        scale
    };
    let kept = match form.family {
        Family::Numeric => form.scale.unwrap_or(scale),
        Family::Integer => 0,
        _ => scale,
    };
    let first = start + usize::from(out.get(start) == Some(&b'-'));
    let places = usize::try_from(scale).unwrap_or_default();
    let dropped = usize::try_from(scale.saturating_sub(kept)).unwrap_or_default();
    let significant = out.get(first..).unwrap_or_default();
    let zeros = significant.iter().rev().take_while(|digit| **digit == b'0').count();
    if zeros < dropped && zeros < significant.len() {
        return Err(Misfit::Scale);
    }
    if places == 0 {
        return Ok(());
    }
    let missing = (places + 1).saturating_sub(out.len() - first);
    out.splice(first..first, std::iter::repeat_n(b'0', missing));
    let point = out.len() - places;
    out.truncate(out.len() - dropped.min(places));
    if out.len() > point {
        out.insert(point, b'.');
    }
    Ok(())
}

fn span(value: i64, per_second: i64, form: &Form, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let micros = micros(value, per_second)?;
    if form.family == Family::Time && !(0..=86_400_000_000).contains(&micros) {
        return Err(Misfit::Time);
    }
    instant::write_span(micros, form.second_digits, out)
}

/// Units to microseconds; nanoseconds that are no whole microsecond have no form in the target.
fn micros(value: i64, per_second: i64) -> Result<i64, Misfit> {
    if per_second > 1_000_000 {
        let nanos_per_micro = per_second / 1_000_000;
        return match value % nanos_per_micro {
            0 => Ok(value / nanos_per_micro),
            _ => Err(Misfit::Fraction),
        };
    }
    value.checked_mul(1_000_000 / per_second).ok_or(Misfit::Year)
}

fn text(value: &str, form: &Form, place: Place, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match form.family {
        Family::Text | Family::Padded => {
            if let Some(length) = form.length
                && value.len() > length
            {
                // Blanks that are too many are cut off without a word; of a padded text they are nothing.
                let counted = if form.family == Family::Padded { value.trim_end_matches(' ') } else { value };
                if counted.chars().nth(length).is_some() {
                    return Err(Misfit::Length);
                }
            }
        }
        Family::Name => {
            let fits = if form.base == "char" { 1 } else { NAME_BYTES_MAX };
            // A `"char"` that is no ASCII character is printed as \ooo.
            let is_octal = form.base == "char" && value.len() == 4 && value.starts_with('\\');
            if value.len() > fits && !is_octal {
                return Err(Misfit::Length);
            }
        }
        Family::Numeric => refuse_rounding(value, form)?,
        _ => {}
    }
    escape(value.as_bytes(), place, out)
}

/// A text of digits for a `numeric(p,s)`, which would be rounded.
fn refuse_rounding(value: &str, form: &Form) -> Result<(), Misfit> {
    let Some(scale) = form.scale else { return Ok(()) };
    let value = value.trim();
    let number = value.trim_start_matches(['-', '+']);
    if !number.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        // NaN, Infinity, or nothing at all: the server's to take or refuse.
        return Ok(());
    }
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(Misfit::Scale);
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let kept = usize::try_from(scale).unwrap_or_default();
    let cut_fraction = fraction.get(kept.min(fraction.len())..).unwrap_or_default();
    let cut_whole = match usize::try_from(-i64::from(scale)) {
        Ok(places) => whole.get(whole.len().saturating_sub(places)..).unwrap_or_default(),
        Err(_) => "",
    };
    match cut_fraction.bytes().chain(cut_whole.bytes()).all(|digit| digit == b'0') {
        true => Ok(()),
        false => Err(Misfit::Scale),
    }
}

/// In UTF-8 no byte of a longer character is one of these, so bytes can be looked at one by one.
fn escape(value: &[u8], place: Place, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let mut rest = value;
    let special = |byte: &u8| match place {
        Place::Copy => matches!(byte, b'\\' | b'\n' | b'\r' | b'\t' | 0),
        Place::Statement => matches!(byte, b'\'' | 0),
    };
    while let Some(found) = rest.iter().position(special) {
        let (clean, tail) = rest.split_at(found);
        out.extend_from_slice(clean);
        match tail.first() {
            Some(b'\n') => out.extend_from_slice(b"\\n"),
            Some(b'\r') => out.extend_from_slice(b"\\r"),
            Some(b'\t') => out.extend_from_slice(b"\\t"),
            Some(b'\\') => out.extend_from_slice(b"\\\\"),
            Some(b'\'') => out.extend_from_slice(b"''"),
            _ => return Err(Misfit::Nul),
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

fn binary(value: &[u8], place: Place, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(if place == Place::Copy { b"\\\\x" } else { b"\\x" });
    out.reserve(value.len() * 2);
    for byte in value {
        for half in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(half)));
        }
    }
}

#[cfg(test)]
mod tests;
