//! Builds one Arrow column from text and binary values.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, Decimal256Builder, PrimitiveBuilder, StringBuilder,
};
use arrow_array::{ArrayRef, types as arrow};
use arrow_buffer::i256;
use culvert_api::{Error, ErrorKind, Result};

use super::numeric::{self, Scaled, Special};
use super::{Cell, append_bits, append_uuid, bytea_from_text, fixed, malformed, temporal, utf8};
use crate::column::{ColumnDef, PgType};

/// What becomes of NaN in a numeric that is held as a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanPolicy {
    /// An error.
    Fail,
    /// NULL.
    Null,
}

enum Values {
    Bool(BooleanBuilder),
    Int16(PrimitiveBuilder<arrow::Int16Type>),
    Int32(PrimitiveBuilder<arrow::Int32Type>),
    Int64(PrimitiveBuilder<arrow::Int64Type>),
    UInt32(PrimitiveBuilder<arrow::UInt32Type>),
    Float32(PrimitiveBuilder<arrow::Float32Type>),
    Float64(PrimitiveBuilder<arrow::Float64Type>),
    Decimal128(Decimal128Builder, u8, u8),
    Decimal256(Decimal256Builder, u8, u8),
    Date(PrimitiveBuilder<arrow::Date32Type>),
    Time(PrimitiveBuilder<arrow::Time64MicrosecondType>),
    Timestamp(PrimitiveBuilder<arrow::TimestampMicrosecondType>),
    Text(StringBuilder, TextForm),
    Bytes(BinaryBuilder),
}

/// How a text column's binary form becomes text.
#[derive(Clone, Copy)]
enum TextForm {
    Plain,
    Jsonb,
    Uuid,
    Bit,
    Numeric,
    /// There is none that is read here.
    None,
}

/// Does the same to the builder, whichever variant it is.
macro_rules! each {
    ($values:expr, $builder:ident => $with:expr) => {
        match $values {
            Values::Bool($builder) => $with,
            Values::Int16($builder) => $with,
            Values::Int32($builder) => $with,
            Values::Int64($builder) => $with,
            Values::UInt32($builder) => $with,
            Values::Float32($builder) => $with,
            Values::Float64($builder) => $with,
            Values::Decimal128($builder, ..) => $with,
            Values::Decimal256($builder, ..) => $with,
            Values::Date($builder) => $with,
            Values::Time($builder) => $with,
            Values::Timestamp($builder) => $with,
            Values::Text($builder, _) => $with,
            Values::Bytes($builder) => $with,
        }
    };
}

/// Builds one column. After a failure it must not be used again.
pub(crate) struct ColumnBuilder {
    name: String,
    values: Values,
    nullable: bool,
    nan: NanPolicy,
    /// For values that have to be put together.
    scratch: String,
}

impl ColumnBuilder {
    /// For the values of this column.
    pub(crate) fn new(column: &ColumnDef, nan: NanPolicy) -> ColumnBuilder {
        let kind = &column.kind;
        let text = |form| Values::Text(StringBuilder::new(), form);
        let values = match kind {
            PgType::Bool => Values::Bool(BooleanBuilder::new()),
            PgType::Int2 => Values::Int16(PrimitiveBuilder::new()),
            PgType::Int4 => Values::Int32(PrimitiveBuilder::new()),
            PgType::Int8 => Values::Int64(PrimitiveBuilder::new()),
            PgType::Oid => Values::UInt32(PrimitiveBuilder::new()),
            PgType::Float4 => Values::Float32(PrimitiveBuilder::new()),
            PgType::Float8 => Values::Float64(PrimitiveBuilder::new()),
            PgType::Decimal { precision, scale } if *precision <= 38 => Values::Decimal128(
                Decimal128Builder::new().with_data_type(kind.data_type()),
                *precision,
                *scale,
            ),
            PgType::Decimal { precision, scale } => Values::Decimal256(
                Decimal256Builder::new().with_data_type(kind.data_type()),
                *precision,
                *scale,
            ),
            PgType::Date => Values::Date(PrimitiveBuilder::new()),
            PgType::Time => Values::Time(PrimitiveBuilder::new()),
            PgType::Timestamp | PgType::TimestampTz => {
                Values::Timestamp(PrimitiveBuilder::new().with_data_type(kind.data_type()))
            }
            PgType::Bytea => Values::Bytes(BinaryBuilder::new()),
            PgType::Text | PgType::Char => text(TextForm::Plain),
            PgType::Jsonb => text(TextForm::Jsonb),
            PgType::Uuid => text(TextForm::Uuid),
            PgType::Bit => text(TextForm::Bit),
            PgType::Numeric => text(TextForm::Numeric),
            PgType::Printed => text(TextForm::None),
        };
        let nullable = column.to_column(nan == NanPolicy::Null).nullable;
        ColumnBuilder { name: column.name.clone(), values, nullable, nan, scratch: String::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether NULL is expected. It is appended in either case, and what becomes of it is the caller's.
    pub(crate) fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Appends a value.
    pub(crate) fn append(&mut self, cell: Cell<'_>) -> Result<()> {
        match cell {
            Cell::Null => each!(&mut self.values, builder => builder.append_null()),
            Cell::Unavailable => self.append_nothing(),
            Cell::Text(text) => self.append_text(text).map_err(|error| self.here(error))?,
            Cell::Binary(bytes) => self.append_binary(bytes).map_err(|error| self.here(error))?,
        }
        Ok(())
    }

    fn here(&self, error: Error) -> Error {
        error.context("column", &self.name)
    }

    /// Something has to stand where a value is left out: NULL, or a zero where NULL is not allowed.
    fn append_nothing(&mut self) {
        if self.nullable {
            each!(&mut self.values, builder => builder.append_null());
            return;
        }
        match &mut self.values {
            Values::Bool(values) => values.append_value(false),
            Values::Int16(values) => values.append_value(0),
            Values::Int32(values) => values.append_value(0),
            Values::Int64(values) => values.append_value(0),
            Values::UInt32(values) => values.append_value(0),
            Values::Float32(values) => values.append_value(0.0),
            Values::Float64(values) => values.append_value(0.0),
            Values::Decimal128(values, ..) => values.append_value(0),
            Values::Decimal256(values, ..) => values.append_value(i256::ZERO),
            Values::Date(values) => values.append_value(0),
            Values::Time(values) => values.append_value(0),
            Values::Timestamp(values) => values.append_value(0),
            Values::Text(values, _) => values.append_value(""),
            Values::Bytes(values) => values.append_value([]),
        }
    }

    fn append_text(&mut self, text: &[u8]) -> Result<()> {
        match &mut self.values {
            Values::Bool(values) => values.append_value(match text {
                b"t" => true,
                b"f" => false,
                _ => return Err(malformed("boolean")),
            }),
            Values::Int16(values) => values.append_value(parse(text, "smallint")?),
            Values::Int32(values) => values.append_value(parse(text, "integer")?),
            Values::Int64(values) => values.append_value(parse(text, "bigint")?),
            Values::UInt32(values) => values.append_value(parse(text, "oid")?),
            // NaN, Infinity and -Infinity are words that both sides know.
            Values::Float32(values) => values.append_value(parse(text, "real")?),
            Values::Float64(values) => values.append_value(parse(text, "double precision")?),
            Values::Decimal128(_, _, scale) | Values::Decimal256(_, _, scale) => {
                let scaled = numeric::from_text(text, *scale)?;
                self.append_decimal(scaled)?;
            }
            Values::Date(values) => values.append_value(temporal::date_from_text(text)?),
            Values::Time(values) => values.append_value(temporal::time_from_text(text)?),
            Values::Timestamp(values) => values.append_value(temporal::timestamp_from_text(text)?),
            Values::Text(values, _) => values.append_value(utf8(text, "text in UTF-8")?),
            Values::Bytes(values) => values.append_value(bytea_from_text(text)?),
        }
        Ok(())
    }

    fn append_binary(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.values {
            Values::Bool(values) => values.append_value(match bytes {
                [0] => false,
                [1] => true,
                _ => return Err(malformed("boolean")),
            }),
            Values::Int16(values) => values.append_value(i16::from_be_bytes(fixed(bytes, "smallint")?)),
            Values::Int32(values) => values.append_value(i32::from_be_bytes(fixed(bytes, "integer")?)),
            Values::Int64(values) => values.append_value(i64::from_be_bytes(fixed(bytes, "bigint")?)),
            Values::UInt32(values) => values.append_value(u32::from_be_bytes(fixed(bytes, "oid")?)),
            Values::Float32(values) => values.append_value(f32::from_be_bytes(fixed(bytes, "real")?)),
            Values::Float64(values) => {
                values.append_value(f64::from_be_bytes(fixed(bytes, "double precision")?));
            }
            Values::Decimal128(_, _, scale) | Values::Decimal256(_, _, scale) => {
                let scaled = numeric::from_binary(bytes, *scale)?;
                self.append_decimal(scaled)?;
            }
            Values::Date(values) => values.append_value(temporal::date_from_binary(bytes)?),
            Values::Time(values) => values.append_value(temporal::time_from_binary(bytes)?),
            Values::Timestamp(values) => values.append_value(temporal::timestamp_from_binary(bytes)?),
            Values::Bytes(values) => values.append_value(bytes),
            Values::Text(values, form) => {
                self.scratch.clear();
                let text = match form {
                    TextForm::Plain => utf8(bytes, "text in UTF-8")?,
                    TextForm::Jsonb => match bytes.split_first() {
                        Some((1, json)) => utf8(json, "text in UTF-8")?,
                        _ => return Err(malformed("jsonb of version 1")),
                    },
                    TextForm::Uuid => {
                        append_uuid(&fixed(bytes, "uuid")?, &mut self.scratch);
                        &self.scratch
                    }
                    TextForm::Bit => {
                        append_bits(bytes, &mut self.scratch)?;
                        &self.scratch
                    }
                    TextForm::Numeric => {
                        numeric::append_printed(bytes, &mut self.scratch)?;
                        &self.scratch
                    }
                    TextForm::None => {
                        return Err(Error::new(
                            ErrorKind::Internal,
                            "a binary value of a type that is read as text",
                        ));
                    }
                };
                values.append_value(text);
            }
        }
        Ok(())
    }

    fn append_decimal(&mut self, scaled: Scaled) -> Result<()> {
        let too_large = || Error::new(ErrorKind::Value, "a numeric has more digits than its type declares");
        let value = match scaled {
            Scaled::Value(value) => value,
            Scaled::TooLarge => return Err(too_large()),
            Scaled::Special(Special::Nan) if self.nan == NanPolicy::Null => {
                each!(&mut self.values, builder => builder.append_null());
                return Ok(());
            }
            Scaled::Special(Special::Nan) => {
                return Err(Error::new(ErrorKind::Value, "NaN in a numeric that is held as a decimal")
                    .hint("set numeric-nan.policy = NULL to carry it as NULL, or correct the row"));
            }
            // A numeric with a precision cannot hold them.
            Scaled::Special(_) => return Err(malformed("numeric with a precision")),
        };
        match &mut self.values {
            Values::Decimal128(values, precision, _) => {
                let limit = 10_i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
                let value = value.to_i128().filter(|value| value.unsigned_abs() < limit.unsigned_abs());
                values.append_value(value.ok_or_else(too_large)?);
            }
            Values::Decimal256(values, precision, _) => {
                let limit = i256::from(10_i64).checked_pow(u32::from(*precision)).unwrap_or(i256::MAX);
                if value >= limit || value <= -limit {
                    return Err(too_large());
                }
                values.append_value(value);
            }
            _ => return Err(Error::new(ErrorKind::Internal, "a decimal for a column of another type")),
        }
        Ok(())
    }

    /// The column; the builder is empty again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        each!(&mut self.values, builder => Arc::new(builder.finish()))
    }
}

fn parse<T: std::str::FromStr>(text: &[u8], what: &str) -> Result<T> {
    utf8(text, what)?.parse().map_err(|_| malformed(what))
}
