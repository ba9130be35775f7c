//! Builds one Arrow column from values of the log and of the text protocol.
//!
//! Both ways meet in the same vectors and the same rules: a value that was there before and the
//! same value changed later are equal bytes in Arrow.

use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, PrimitiveArray, types as arrow};
use arrow_buffer::{NullBuffer, NullBufferBuilder, i256};
use arrow_schema::DataType;
use culvert_api::{Error, ErrorKind, Result};

use super::buffers::{Strings, take_values};
use super::layout::Layout;
use super::{decimal, network, temporal, text};
use crate::charset::Charset;
use crate::column::{Conversion, MySqlColumn, MySqlType, ZeroDatePolicy};
use crate::json;
use crate::wire::Cursor;

/// The values of one column and how they are read.
#[derive(Debug)]
pub(crate) enum Values {
    Int8(Vec<i8>),
    UInt8(Vec<u8>),
    Int16(Vec<i16>),
    UInt16(Vec<u16>),
    Int32(Vec<i32>),
    UInt32(Vec<u32>),
    Int64(Vec<i64>),
    UInt64(Vec<u64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal128(Vec<i128>, u8),
    Decimal256(Vec<i256>, u8),
    Bit(Vec<u64>),
    Year(Vec<u16>),
    Date(Vec<i32>),
    Time(Vec<i64>),
    DateTime(Vec<i64>),
    Timestamp(Vec<i64>),
    /// CHAR when `blanks` is false: blanks at the end do not count.
    Text {
        strings: Strings<String>,
        charset: Charset,
        blanks: bool,
    },
    Enum {
        strings: Strings<String>,
        charset: Charset,
        labels: Vec<String>,
    },
    Set {
        strings: Strings<String>,
        charset: Charset,
        labels: Vec<String>,
    },
    Json(Strings<String>),
    Uuid(Strings<String>),
    Inet4(Strings<String>),
    Inet6(Strings<String>),
    /// Padded with zero bytes to `length`, which is 0 for the types that are not padded.
    Bytes {
        strings: Strings<Vec<u8>>,
        length: usize,
    },
}

/// Does the same to the vector or the strings, whichever variant it is.
macro_rules! each {
    ($values:expr, $vector:ident => $with_vector:expr, $strings:ident => $with_strings:expr) => {
        match $values {
            Values::Int8($vector) => $with_vector,
            Values::UInt8($vector) => $with_vector,
            Values::Int16($vector) => $with_vector,
            Values::UInt16($vector) | Values::Year($vector) => $with_vector,
            Values::Int32($vector) | Values::Date($vector) => $with_vector,
            Values::UInt32($vector) => $with_vector,
            Values::Int64($vector)
            | Values::Time($vector)
            | Values::DateTime($vector)
            | Values::Timestamp($vector) => $with_vector,
            Values::UInt64($vector) | Values::Bit($vector) => $with_vector,
            Values::Float($vector) => $with_vector,
            Values::Double($vector) => $with_vector,
            Values::Decimal128($vector, _) => $with_vector,
            Values::Decimal256($vector, _) => $with_vector,
            Values::Text { strings: $strings, .. }
            | Values::Enum { strings: $strings, .. }
            | Values::Set { strings: $strings, .. }
            | Values::Json($strings)
            | Values::Uuid($strings)
            | Values::Inet4($strings)
            | Values::Inet6($strings) => $with_strings,
            Values::Bytes { strings: $strings, .. } => $with_strings,
        }
    };
}

/// Builds one Arrow column. Appending either adds one value or fails; after a failure the
/// builder must be [truncated](ColumnBuilder::truncate) before it is used again.
#[derive(Debug)]
pub struct ColumnBuilder {
    values: Values,
    nulls: NullBufferBuilder,
    data_type: DataType,
    nullable: bool,
    null_zero_dates: bool,
}

impl ColumnBuilder {
    /// For the values of this column.
    pub fn new(column: &MySqlColumn, conversion: &Conversion) -> ColumnBuilder {
        ColumnBuilder {
            values: Values::new(column),
            nulls: NullBufferBuilder::new(1024),
            data_type: column.data_type(conversion),
            nullable: column.arrow_nullable(conversion),
            null_zero_dates: conversion.zero_dates == ZeroDatePolicy::Null,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.nulls.is_empty()
    }

    /// Appends NULL. An error where the column cannot hold it.
    pub fn append_null(&mut self) -> Result<()> {
        if !self.nullable {
            return Err(Error::new(
                ErrorKind::Schema,
                "a NULL in a column that is NOT NULL in the known schema",
            ));
        }
        each!(&mut self.values, vector => vector.push(Default::default()), strings => strings.end_value()?);
        self.nulls.append_null();
        Ok(())
    }

    /// Appends the value that lies at the cursor.
    #[inline]
    pub(crate) fn append_wire(&mut self, layout: Layout, cursor: &mut Cursor<'_>) -> Result<()> {
        if self.values.append_wire(layout, cursor)? {
            self.nulls.append_non_null();
            return Ok(());
        }
        self.append_zero_date()
    }

    /// Appends a value as the text protocol sends it with `character_set_results=NULL` and
    /// `time_zone='+00:00'`: numbers and dates in ASCII, strings in the column's charset, BIT and
    /// the binary types as they are. Errors with `Value` when it does not fit the type.
    pub fn append_text(&mut self, value: &[u8]) -> Result<()> {
        if text::append(&mut self.values, value)? {
            self.nulls.append_non_null();
            return Ok(());
        }
        self.append_zero_date()
    }

    fn append_zero_date(&mut self) -> Result<()> {
        if self.null_zero_dates {
            return self.append_null();
        }
        Err(Error::new(ErrorKind::Value, "a date that is none (zero, or not in the calendar)")
            .hint("let such dates become NULL, or correct them in the source table"))
    }

    /// Keeps the first `rows` values.
    pub fn truncate(&mut self, rows: usize) {
        each!(&mut self.values, vector => vector.truncate(rows), strings => strings.truncate(rows));
        self.nulls.truncate(rows);
    }

    /// Whether two rows hold the same value, byte for byte; NULL equals NULL.
    pub fn equal_rows(&self, left: usize, right: usize) -> bool {
        match (self.nulls.is_valid(left), self.nulls.is_valid(right)) {
            (true, true) => {
                each!(&self.values, vector => vector.get(left) == vector.get(right),
                    strings => strings.value(left) == strings.value(right))
            }
            (left, right) => left == right,
        }
    }

    /// Bytes the values occupy.
    pub fn bytes(&self) -> usize {
        each!(&self.values, vector => size_of_val(vector.as_slice()), strings => strings.bytes())
            + self.len().div_ceil(8)
    }

    /// Takes the values and begins anew, with room for as many.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        let data_type = &self.data_type;
        Ok(match &mut self.values {
            Values::Int8(values) => primitive::<arrow::Int8Type>(values, nulls, data_type),
            Values::UInt8(values) => primitive::<arrow::UInt8Type>(values, nulls, data_type),
            Values::Int16(values) => primitive::<arrow::Int16Type>(values, nulls, data_type),
            Values::UInt16(values) | Values::Year(values) => {
                primitive::<arrow::UInt16Type>(values, nulls, data_type)
            }
            Values::Int32(values) => primitive::<arrow::Int32Type>(values, nulls, data_type),
            Values::UInt32(values) => primitive::<arrow::UInt32Type>(values, nulls, data_type),
            Values::Int64(values) => primitive::<arrow::Int64Type>(values, nulls, data_type),
            Values::UInt64(values) | Values::Bit(values) => {
                primitive::<arrow::UInt64Type>(values, nulls, data_type)
            }
            Values::Float(values) => primitive::<arrow::Float32Type>(values, nulls, data_type),
            Values::Double(values) => primitive::<arrow::Float64Type>(values, nulls, data_type),
            Values::Decimal128(values, _) => primitive::<arrow::Decimal128Type>(values, nulls, data_type),
            Values::Decimal256(values, _) => primitive::<arrow::Decimal256Type>(values, nulls, data_type),
            Values::Date(values) => primitive::<arrow::Date32Type>(values, nulls, data_type),
            Values::Time(values) => primitive::<arrow::DurationMicrosecondType>(values, nulls, data_type),
            Values::DateTime(values) | Values::Timestamp(values) => {
                primitive::<arrow::TimestampMicrosecondType>(values, nulls, data_type)
            }
            Values::Text { strings, .. }
            | Values::Enum { strings, .. }
            | Values::Set { strings, .. }
            | Values::Json(strings)
            | Values::Uuid(strings)
            | Values::Inet4(strings)
            | Values::Inet6(strings) => strings.finish(nulls)?,
            Values::Bytes { strings, .. } => strings.finish(nulls)?,
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(take_values(values), nulls).with_data_type(data_type.clone()))
}

impl Values {
    fn new(column: &MySqlColumn) -> Values {
        let charset = column.charset.unwrap_or(Charset::UTF8MB4);
        match &column.kind {
            MySqlType::Int { bytes: 1, unsigned: false } => Values::Int8(Vec::new()),
            MySqlType::Int { bytes: 1, unsigned: true } => Values::UInt8(Vec::new()),
            MySqlType::Int { bytes: 2, unsigned: false } => Values::Int16(Vec::new()),
            MySqlType::Int { bytes: 2, unsigned: true } => Values::UInt16(Vec::new()),
            MySqlType::Int { bytes: 3 | 4, unsigned: false } => Values::Int32(Vec::new()),
            MySqlType::Int { bytes: 3 | 4, unsigned: true } => Values::UInt32(Vec::new()),
            MySqlType::Int { unsigned: false, .. } => Values::Int64(Vec::new()),
            MySqlType::Int { unsigned: true, .. } => Values::UInt64(Vec::new()),
            MySqlType::Decimal { precision: ..=38, scale, .. } => Values::Decimal128(Vec::new(), *scale),
            MySqlType::Decimal { scale, .. } => Values::Decimal256(Vec::new(), *scale),
            MySqlType::Float => Values::Float(Vec::new()),
            MySqlType::Double => Values::Double(Vec::new()),
            MySqlType::Bit { .. } => Values::Bit(Vec::new()),
            MySqlType::Year => Values::Year(Vec::new()),
            MySqlType::Date => Values::Date(Vec::new()),
            MySqlType::Time { .. } => Values::Time(Vec::new()),
            MySqlType::DateTime { .. } => Values::DateTime(Vec::new()),
            MySqlType::Timestamp { .. } => Values::Timestamp(Vec::new()),
            MySqlType::Char => Values::Text { strings: Strings::new(), charset, blanks: false },
            MySqlType::VarChar | MySqlType::Text => {
                Values::Text { strings: Strings::new(), charset, blanks: true }
            }
            MySqlType::Enum { labels } => {
                Values::Enum { strings: Strings::new(), charset, labels: labels.clone() }
            }
            MySqlType::Set { labels } => {
                Values::Set { strings: Strings::new(), charset, labels: labels.clone() }
            }
            MySqlType::Json => Values::Json(Strings::new()),
            MySqlType::Uuid => Values::Uuid(Strings::new()),
            MySqlType::Inet4 => Values::Inet4(Strings::new()),
            MySqlType::Inet6 => Values::Inet6(Strings::new()),
            MySqlType::Binary { length } => {
                Values::Bytes { strings: Strings::new(), length: usize::from(*length) }
            }
            MySqlType::VarBinary | MySqlType::Blob | MySqlType::Geometry | MySqlType::Vector => {
                Values::Bytes { strings: Strings::new(), length: 0 }
            }
        }
    }

    /// Appends the value at the cursor; `false` for a date that is none, with nothing appended.
    #[inline]
    fn append_wire(&mut self, layout: Layout, cursor: &mut Cursor<'_>) -> Result<bool> {
        match (self, layout) {
            (Values::Int8(values), Layout::Int(1)) => {
                values.push(i8::from_le_bytes(cursor.array("integer")?))
            }
            (Values::UInt8(values), Layout::Int(1)) => values.push(cursor.u8("integer")?),
            (Values::Int16(values), Layout::Int(2)) => {
                values.push(i16::from_le_bytes(cursor.array("integer")?))
            }
            (Values::UInt16(values), Layout::Int(2)) => values.push(cursor.u16("integer")?),
            (Values::Int32(values), Layout::Int(3)) => values.push(cursor.i24("integer")?),
            (Values::UInt32(values), Layout::Int(3)) => values.push(cursor.u24("integer")?),
            (Values::Int32(values), Layout::Int(4)) => {
                values.push(i32::from_le_bytes(cursor.array("integer")?))
            }
            (Values::UInt32(values), Layout::Int(4)) => values.push(cursor.u32("integer")?),
            (Values::Int64(values), Layout::Int(8)) => {
                values.push(i64::from_le_bytes(cursor.array("integer")?))
            }
            (Values::UInt64(values), Layout::Int(8)) => values.push(cursor.u64("integer")?),
            (Values::Float(values), Layout::Float) => values.push(f32::from_le_bytes(cursor.array("float")?)),
            (Values::Double(values), Layout::Double) => {
                values.push(f64::from_le_bytes(cursor.array("double")?))
            }
            (Values::Decimal128(values, _), Layout::Decimal { precision, scale }) => {
                values.push(decimal::read_i128(cursor, precision, scale)?);
            }
            (Values::Decimal256(values, _), Layout::Decimal { precision, scale }) => {
                values.push(decimal::read_i256(cursor, precision, scale)?);
            }
            (Values::Bit(values), Layout::Bit(bytes)) => {
                values.push(cursor.uint_be(usize::from(bytes), "bits")?)
            }
            (Values::Year(values), Layout::Year) => {
                let years = u16::from(cursor.u8("year")?);
                values.push(if years == 0 { 0 } else { 1900 + years });
            }
            (Values::Date(values), Layout::Date) => {
                return Ok(push_date(values, temporal::read_date(cursor)?));
            }
            (Values::Time(values), Layout::Time(fsp)) => values.push(temporal::read_time(cursor, fsp)?),
            (Values::Time(values), Layout::OldTime) => values.push(temporal::read_old_time(cursor)?),
            (Values::DateTime(values), Layout::DateTime(fsp)) => {
                return Ok(push_date(values, temporal::read_datetime(cursor, fsp)?));
            }
            (Values::DateTime(values), Layout::OldDateTime) => {
                return Ok(push_date(values, temporal::read_old_datetime(cursor)?));
            }
            (Values::Timestamp(values), Layout::Timestamp(fsp)) => {
                return Ok(push_date(values, temporal::read_timestamp(cursor, fsp)?));
            }
            (Values::Timestamp(values), Layout::OldTimestamp) => {
                return Ok(push_date(values, temporal::read_old_timestamp(cursor)?));
            }
            (strings, layout) => strings.append_wire_string(layout, cursor)?,
        }
        Ok(true)
    }

    fn append_wire_string(&mut self, layout: Layout, cursor: &mut Cursor<'_>) -> Result<()> {
        match (self, layout) {
            (Values::Text { strings, charset, blanks }, Layout::Bytes(prefix)) => {
                push_text(strings, *charset, *blanks, prefixed(cursor, prefix)?)
            }
            (Values::Bytes { strings, length }, Layout::Bytes(prefix)) => {
                push_bytes(strings, *length, prefixed(cursor, prefix)?)
            }
            (Values::Json(strings), Layout::Json(prefix)) => {
                json::append_text(prefixed(cursor, prefix)?, &mut strings.data)?;
                strings.end_value()
            }
            (Values::Json(strings), Layout::Bytes(prefix)) => {
                push_text(strings, Charset::UTF8MB4, true, prefixed(cursor, prefix)?)
            }
            (Values::Enum { strings, labels, .. }, Layout::Enum(bytes)) => {
                let number = cursor.uint_le(usize::from(bytes), "label number")?;
                // 0 is the empty string a server stores in place of a wrong label.
                if let Some(index) = number.checked_sub(1) {
                    let label = usize::try_from(index).ok().and_then(|index| labels.get(index));
                    strings.data.push_str(label.ok_or_else(unknown_label)?);
                }
                strings.end_value()
            }
            (Values::Set { strings, labels, .. }, Layout::Set(bytes)) => {
                let mut bits = cursor.uint_le(usize::from(bytes), "label bits")?;
                let start = strings.data.len();
                for label in labels.iter() {
                    if bits & 1 != 0 {
                        if strings.data.len() > start {
                            strings.data.push(',');
                        }
                        strings.data.push_str(label);
                    }
                    bits >>= 1;
                }
                if bits != 0 {
                    return Err(unknown_label());
                }
                strings.end_value()
            }
            (Values::Uuid(strings), Layout::Bytes(prefix)) => {
                push_address(strings, network::append_uuid, prefixed(cursor, prefix)?)
            }
            (Values::Inet4(strings), Layout::Bytes(prefix)) => {
                push_address(strings, network::append_inet4, prefixed(cursor, prefix)?)
            }
            (Values::Inet6(strings), Layout::Bytes(prefix)) => {
                push_address(strings, network::append_inet6, prefixed(cursor, prefix)?)
            }
            // `Layout` is made from the same column type as `Values`.
            _ => Err(Error::new(ErrorKind::Internal, "a column is decoded in another column's layout")),
        }
    }
}

fn unknown_label() -> Error {
    Error::new(ErrorKind::Schema, "a label number the known schema has no label for")
        .hint("the column's labels were changed in a way that was not followed; read the schema again")
}

/// Bytes after a length of so many bytes.
#[inline]
pub(super) fn prefixed<'a>(cursor: &mut Cursor<'a>, prefix: u8) -> Result<&'a [u8]> {
    let length = match prefix {
        1 => u32::from(cursor.u8("string length")?),
        2 => u32::from(cursor.u16("string length")?),
        3 => cursor.u24("string length")?,
        _ => cursor.u32("string length")?,
    };
    let length = usize::try_from(length).map_err(|_| cursor.error("string length"))?;
    Ok(cursor.take(length, "string")?)
}

pub(crate) fn push_date<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            values.push(value);
            true
        }
        None => false,
    }
}

#[inline]
pub(crate) fn push_text(
    strings: &mut Strings<String>,
    charset: Charset,
    blanks: bool,
    bytes: &[u8],
) -> Result<()> {
    charset.append(bytes, &mut strings.data)?;
    if !blanks && strings.data.ends_with(' ') {
        let start = strings.value_start();
        let trimmed = strings.data.get(start..).map_or(0, |value| value.trim_end_matches(' ').len());
        strings.data.truncate(start + trimmed);
    }
    strings.end_value()
}

pub(crate) fn push_bytes(strings: &mut Strings<Vec<u8>>, length: usize, bytes: &[u8]) -> Result<()> {
    strings.data.extend_from_slice(bytes);
    // The log strips the zero bytes BINARY is padded with.
    let padding = length.saturating_sub(bytes.len());
    strings.data.extend(std::iter::repeat_n(0, padding));
    strings.end_value()
}

pub(crate) fn push_address(
    strings: &mut Strings<String>,
    append: fn(&[u8], &mut String) -> Option<()>,
    bytes: &[u8],
) -> Result<()> {
    append(bytes, &mut strings.data)
        .ok_or_else(|| Error::new(ErrorKind::Value, "a value that is no UUID or network address"))?;
    strings.end_value()
}
