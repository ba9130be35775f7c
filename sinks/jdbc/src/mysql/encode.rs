//! Arrow columns to SQL literals, appended to one reused buffer: no allocation per value.
//!
//! Literals rather than bound parameters, because one text statement then carries a thousand rows
//! in one round trip on every server version, and because the server converts a literal by the
//! rules of the column. A literal is written so that this conversion is exact:
//!
//! | Arrow | literal |
//! |---|---|
//! | integers, booleans | digits |
//! | decimals | digits with the point at the column's scale |
//! | floats | shortest digits that give the same 64-bit value back, with an exponent, so that the server reads a double and not a decimal; a 32-bit value is widened first, which is exact |
//! | text | quoted, quote, back-slash and NUL escaped |
//! | binary | the same with `_binary` before it |
//! | dates, times | quoted, with the fraction the target column has; more digits than it has are refused |
//!
//! A point in time with a zone goes into `timestamp` as UTC (our sessions speak UTC) and into
//! anything else as the wall clock of its zone.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, StringArray,
};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::Unavailable;
use thiserror::Error as ThisError;

use crate::mysql::column_type::Family;
use crate::mysql::instant::{self, Zone};
use crate::mysql::quote;

/// 0001-01-01 in days since 1970.
const FIRST_DAY_OF_YEAR_ONE: i64 = -719_162;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(crate) enum Misfit {
    /// NaN or an infinity.
    #[error("the value is not a number, and the target has no form for it")]
    NotANumber,
    /// A date or time outside the years 0 to 9999.
    #[error("the point in time lies outside the years 0000 to 9999")]
    Year,
    /// A time of day or duration beyond 838:59:59.
    #[error("the time lies outside -838:59:59 to 838:59:59")]
    Time,
    /// PostgreSQL's infinite dates and points in time, held as the ends of the value's range.
    #[error("the point in time is infinite, and the target has no form for it")]
    Infinite,
    /// A date before the year 1, which the target would hold as a year 0 of its own reckoning.
    #[error("the point in time lies before the year 1")]
    BeforeChrist,
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
}

/// How the target wants a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// What the target column holds.
    pub(crate) family: Family,
    /// Digits of a second it keeps (0 to 6).
    pub(crate) second_digits: u32,
    /// Digits behind the point it keeps, for decimals.
    pub(crate) scale: i32,
    /// Bytes of a `binary(n)`, which compares with all its padding.
    pub(crate) padded_bytes: usize,
    /// Whether the first year is 1, because the source counts years BC before it. MySQL knows a
    /// year 0, but not as the calendar has it (no 29 February).
    pub(crate) from_year_one: bool,
}

impl Form {
    /// The form when nothing is known about the column: everything is kept.
    pub(crate) fn of(family: Family) -> Form {
        Form { family, second_digits: 6, scale: i32::MAX, padded_bytes: 0, from_year_one: false }
    }
}

/// The values of one column of a batch, ready to be written.
pub(crate) struct Literals<'a> {
    array: &'a dyn Array,
    cells: Cells<'a>,
    form: Form,
    zone: Option<Zone>,
    left_out: Option<&'a Unavailable>,
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
    /// Points in time, in units of which this many make a second.
    Instant(&'a [i64], i64),
    /// Times of day and durations, in units of which this many make a second.
    Span(&'a [i64], i64),
    Span32(&'a [i32], i64),
}

impl<'a> Literals<'a> {
    /// Prepares a column of a batch.
    pub(crate) fn new(array: &'a Arc<dyn Array>, form: Form) -> Result<Literals<'a>, Misfit> {
        let array: &'a dyn Array = array.as_ref();
        let mut zone = None;
        let cells = match array.data_type() {
            DataType::Null => Cells::Null,
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Int8 => Cells::I8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Cells::I16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Cells::I32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Cells::I64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => Cells::U8(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => Cells::U16(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => Cells::U32(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Cells::U64(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => Cells::F32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Cells::F64(array.as_primitive::<Float64Type>().values()),
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
            DataType::Date32 => Cells::Date(array.as_primitive::<Date32Type>().values()),
            DataType::Timestamp(unit, name) => {
                if let Some(name) = name
                    && form.family != Family::Timestamp
                {
                    zone = Zone::parse(name).ok_or(Misfit::Zone)?;
                }
                instants(array, unit)
            }
            DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => spans(array)?,
            _ => return Err(Misfit::Type),
        };
        Ok(Literals { array, cells, form, zone, left_out: None })
    }

    /// The same, with the rows whose value the source's log left out.
    pub(crate) fn leaving_out(self, left_out: Option<&'a Unavailable>) -> Literals<'a> {
        Literals { left_out, ..self }
    }

    /// Whether the source's log left the row's value out; what is there instead means nothing.
    pub(crate) fn is_left_out(&self, row: usize) -> bool {
        self.left_out.is_some_and(|left_out| row < left_out.rows.len() && left_out.rows.value(row))
    }

    /// Whether the row holds NULL here.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.cells, Cells::Null) || self.array.is_null(row)
    }

    /// Appends the literal of one row.
    pub(crate) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
        if self.is_null(row) {
            out.extend_from_slice(b"NULL");
            return Ok(());
        }
        // A number compared with a text column would be compared as a double, without the index.
        let quoted = matches!(self.form.family, Family::Text | Family::Parsed) && self.is_number();
        if quoted {
            out.push(b'\'');
        }
        self.write_value(row, out)?;
        if quoted {
            out.push(b'\'');
        }
        Ok(())
    }

    fn is_number(&self) -> bool {
        !matches!(
            self.cells,
            Cells::Null
                | Cells::Text(_)
                | Cells::LargeText(_)
                | Cells::Binary(_)
                | Cells::LargeBinary(_)
                | Cells::FixedBinary(_)
                | Cells::Date(_)
                | Cells::Instant(_, _)
                | Cells::Span(_, _)
                | Cells::Span32(_, _)
        )
    }

    fn write_value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
        let digits = self.form.second_digits;
        match &self.cells {
            Cells::Null => out.extend_from_slice(b"NULL"),
            Cells::Bool(values) => out.push(if values.value(row) { b'1' } else { b'0' }),
            Cells::I8(values) => signed(at(values, row).into(), out),
            Cells::I16(values) => signed(at(values, row).into(), out),
            Cells::I32(values) => signed(at(values, row).into(), out),
            Cells::I64(values) => signed(at(values, row), out),
            Cells::U8(values) => unsigned(at(values, row).into(), out),
            Cells::U16(values) => unsigned(at(values, row).into(), out),
            Cells::U32(values) => unsigned(at(values, row).into(), out),
            Cells::U64(values) => unsigned(at(values, row), out),
            Cells::F32(values) => float(at(values, row).into(), out)?,
            Cells::F64(values) => float(at(values, row), out)?,
            Cells::Decimal(values, scale) => {
                let start = out.len();
                print(out, values.value(row));
                place_point(out, start, *scale, self.form.scale)?;
            }
            Cells::WideDecimal(values, scale) => {
                let start = out.len();
                print(out, values.value(row));
                place_point(out, start, *scale, self.form.scale)?;
            }
            Cells::Text(values) => quote::text(values.value(row).as_bytes(), out),
            Cells::LargeText(values) => quote::text(values.value(row).as_bytes(), out),
            Cells::Binary(values) => binary(values.value(row), self.form.padded_bytes, out),
            Cells::LargeBinary(values) => binary(values.value(row), self.form.padded_bytes, out),
            Cells::FixedBinary(values) => binary(values.value(row), self.form.padded_bytes, out),
            Cells::Date(values) => {
                let days = at(values, row);
                if matches!(days, i32::MIN | i32::MAX) {
                    return Err(Misfit::Infinite);
                }
                self.refuse_before_year_one(days.into())?;
                instant::write_date(days.into(), out)?;
            }
            Cells::Instant(values, per_second) => {
                let value = at(values, row);
                if matches!(value, i64::MIN | i64::MAX) {
                    return Err(Misfit::Infinite);
                }
                let micros = micros(value, *per_second)?;
                let local = match &mut self.zone {
                    Some(zone) => zone.local(micros).ok_or(Misfit::Year)?,
                    None => micros,
                };
                self.refuse_before_year_one(local.div_euclid(MICROS_PER_DAY))?;
                instant::write_instant(local, digits, out)?;
            }
            Cells::Span(values, per_second) => {
                instant::write_span(micros(at(values, row), *per_second)?, digits, out)?;
            }
            Cells::Span32(values, per_second) => {
                instant::write_span(micros(at(values, row).into(), *per_second)?, digits, out)?;
            }
        }
        Ok(())
    }
}

impl Literals<'_> {
    fn refuse_before_year_one(&self, days: i64) -> Result<(), Misfit> {
        match self.form.from_year_one && days < FIRST_DAY_OF_YEAR_ONE {
            true => Err(Misfit::BeforeChrist),
            false => Ok(()),
        }
    }
}

/// The row's value; every caller has a row below the batch's length.
fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn instants<'a>(array: &'a dyn Array, unit: &TimeUnit) -> Cells<'a> {
    match unit {
        TimeUnit::Second => Cells::Instant(array.as_primitive::<TimestampSecondType>().values(), 1),
        TimeUnit::Millisecond => {
            Cells::Instant(array.as_primitive::<TimestampMillisecondType>().values(), 1_000)
        }
        TimeUnit::Microsecond => {
            Cells::Instant(array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000)
        }
        TimeUnit::Nanosecond => {
            Cells::Instant(array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000)
        }
    }
}

fn spans(array: &dyn Array) -> Result<Cells<'_>, Misfit> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match array.data_type() {
        DataType::Time32(Second) => Cells::Span32(array.as_primitive::<Time32SecondType>().values(), 1),
        DataType::Time32(Millisecond) => {
            Cells::Span32(array.as_primitive::<Time32MillisecondType>().values(), 1_000)
        }
        DataType::Time64(Microsecond) => {
            Cells::Span(array.as_primitive::<Time64MicrosecondType>().values(), 1_000_000)
        }
        DataType::Time64(Nanosecond) => {
            Cells::Span(array.as_primitive::<Time64NanosecondType>().values(), 1_000_000_000)
        }
        DataType::Duration(Second) => Cells::Span(array.as_primitive::<DurationSecondType>().values(), 1),
        DataType::Duration(Millisecond) => {
            Cells::Span(array.as_primitive::<DurationMillisecondType>().values(), 1_000)
        }
        DataType::Duration(Microsecond) => {
            Cells::Span(array.as_primitive::<DurationMicrosecondType>().values(), 1_000_000)
        }
        DataType::Duration(Nanosecond) => {
            Cells::Span(array.as_primitive::<DurationNanosecondType>().values(), 1_000_000_000)
        }
        _ => return Err(Misfit::Type),
    })
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

fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(value.unsigned_abs(), out);
}

fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        // A remainder of ten fits a byte.
        out.push(b'0' + u8::try_from(value % 10).unwrap_or_default());
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn print(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

fn float(value: f64, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if !value.is_finite() {
        return Err(Misfit::NotANumber);
    }
    let _ = write!(out, "{value:e}");
    Ok(())
}

/// Turns the digits from `start` on into a decimal of this scale, of which the target keeps
/// `kept` digits.
fn place_point(out: &mut Vec<u8>, start: usize, scale: i32, kept: i32) -> Result<(), Misfit> {
    let Ok(places) = usize::try_from(scale) else {
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-scale).unwrap_or_default()));
        return Ok(());
    };
    if places == 0 {
        return Ok(());
    }
    let first = start + usize::from(out.get(start) == Some(&b'-'));
    let missing = (places + 1).saturating_sub(out.len() - first);
    out.splice(first..first, std::iter::repeat_n(b'0', missing));
    let point = out.len() - places;
    let dropped = usize::try_from(scale.saturating_sub(kept)).unwrap_or_default().min(places);
    let cut = out.len() - dropped;
    if out.get(cut..).is_some_and(|rest| rest.iter().any(|digit| *digit != b'0')) {
        return Err(Misfit::Scale);
    }
    out.truncate(cut);
    if out.len() > point {
        out.insert(point, b'.');
    }
    Ok(())
}

fn binary(value: &[u8], padded_bytes: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"_binary");
    quote::text(value, out);
    if value.len() < padded_bytes {
        // Before the closing quote.
        out.pop();
        for _ in value.len()..padded_bytes {
            out.extend_from_slice(b"\\0");
        }
        out.push(b'\'');
    }
}

#[cfg(test)]
mod tests;
