//! The types of the columns that values are put into, and which values fit them.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int8Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{NaiveDate, NaiveTime, Timelike};

use super::path::Scalar;
use crate::decimal::Decimal;

/// Digits of a decimal column at most.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// What `dest_type` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    /// Text; lists, maps and rows too, as JSON.
    Text,
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal(u8, i8),
    Bytes,
    Date,
    Time,
    Timestamp,
}

impl ColumnType {
    /// Reads a type; the error completes "option … ".
    pub(super) fn parse(text: &str) -> Result<ColumnType, String> {
        let flat: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
        Ok(match flat.as_str() {
            "string" => ColumnType::Text,
            "boolean" => ColumnType::Boolean,
            "tinyint" => ColumnType::TinyInt,
            "smallint" => ColumnType::SmallInt,
            "int" => ColumnType::Int,
            "bigint" => ColumnType::BigInt,
            "float" => ColumnType::Float,
            "double" => ColumnType::Double,
            "bytes" => ColumnType::Bytes,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time,
            "timestamp" => ColumnType::Timestamp,
            _ if flat.starts_with("array<") || flat.starts_with("map<") || flat.starts_with('{') => {
                ColumnType::Text
            }
            _ => match flat.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
                Some(sizes) => decimal(sizes)?,
                None => {
                    return Err(
                        "must be one of string, boolean, tinyint, smallint, int, bigint, float, double, \
                                decimal(p,s), bytes, date, time, timestamp, array<…>, map<…>"
                            .to_owned(),
                    );
                }
            },
        })
    }

    /// How values are held.
    pub(super) fn data_type(self) -> DataType {
        match self {
            ColumnType::Text => DataType::Utf8,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::TinyInt => DataType::Int8,
            ColumnType::SmallInt => DataType::Int16,
            ColumnType::Int => DataType::Int32,
            ColumnType::BigInt => DataType::Int64,
            ColumnType::Float => DataType::Float32,
            ColumnType::Double => DataType::Float64,
            ColumnType::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            ColumnType::Bytes => DataType::Binary,
            ColumnType::Date => DataType::Date32,
            ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

fn decimal(sizes: &str) -> Result<ColumnType, String> {
    let (precision, scale) = sizes.split_once(',').unwrap_or((sizes, "0"));
    match (precision.parse::<u8>(), scale.parse::<i8>()) {
        (Ok(precision @ 1..=DECIMAL_DIGITS_MAX), Ok(scale))
            if scale >= 0 && scale.unsigned_abs() <= precision =>
        {
            Ok(ColumnType::Decimal(precision, scale))
        }
        _ => Err(format!(
            "has a decimal without 1 to {DECIMAL_DIGITS_MAX} digits, at most all behind the point"
        )),
    }
}

/// A value does not fit the type: nothing is rounded or cut.
#[derive(Debug)]
pub(super) struct Misfit;

/// A column that grows value by value.
pub(super) enum Build {
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    TinyInt(Int8Builder),
    SmallInt(Int16Builder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// Runs a piece of code with whatever builder there is.
macro_rules! with_builder {
    ($build:expr, $builder:ident => $code:expr) => {
        match $build {
            Build::Text($builder) => $code,
            Build::Boolean($builder) => $code,
            Build::TinyInt($builder) => $code,
            Build::SmallInt($builder) => $code,
            Build::Int($builder) => $code,
            Build::BigInt($builder) => $code,
            Build::Float($builder) => $code,
            Build::Double($builder) => $code,
            Build::Decimal($builder, _, _) => $code,
            Build::Bytes($builder) => $code,
            Build::Date($builder) => $code,
            Build::Time($builder) => $code,
            Build::Timestamp($builder) => $code,
        }
    };
}

impl Build {
    /// An empty column of a type.
    pub(super) fn new(column_type: ColumnType, rows: usize) -> Build {
        match column_type {
            ColumnType::Text => Build::Text(StringBuilder::new()),
            ColumnType::Boolean => Build::Boolean(BooleanBuilder::with_capacity(rows)),
            ColumnType::TinyInt => Build::TinyInt(Int8Builder::with_capacity(rows)),
            ColumnType::SmallInt => Build::SmallInt(Int16Builder::with_capacity(rows)),
            ColumnType::Int => Build::Int(Int32Builder::with_capacity(rows)),
            ColumnType::BigInt => Build::BigInt(Int64Builder::with_capacity(rows)),
            ColumnType::Float => Build::Float(Float32Builder::with_capacity(rows)),
            ColumnType::Double => Build::Double(Float64Builder::with_capacity(rows)),
            ColumnType::Decimal(precision, scale) => {
                let typed = Decimal128Builder::with_capacity(rows).with_data_type(column_type.data_type());
                Build::Decimal(typed, precision, scale)
            }
            ColumnType::Bytes => Build::Bytes(BinaryBuilder::new()),
            ColumnType::Date => Build::Date(Date32Builder::with_capacity(rows)),
            ColumnType::Time => Build::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            ColumnType::Timestamp => Build::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
        }
    }

    /// Appends NULL.
    pub(super) fn null(&mut self) {
        with_builder!(self, builder => builder.append_null());
    }

    /// Appends a value, or nothing if it does not fit.
    pub(super) fn append(&mut self, value: &Scalar<'_>) -> Result<(), Misfit> {
        if *value == Scalar::Null {
            self.null();
            return Ok(());
        }
        match self {
            Build::Text(builder) => builder.append_value(text(value)),
            Build::Boolean(builder) => builder.append_value(boolean(value).ok_or(Misfit)?),
            Build::TinyInt(builder) => builder.append_value(whole(value).ok_or(Misfit)?),
            Build::SmallInt(builder) => builder.append_value(whole(value).ok_or(Misfit)?),
            Build::Int(builder) => builder.append_value(whole(value).ok_or(Misfit)?),
            Build::BigInt(builder) => builder.append_value(whole(value).ok_or(Misfit)?),
            Build::Float(builder) => builder.append_value(
                number(value).and_then(|n| n.parse().ok()).filter(|n: &f32| n.is_finite()).ok_or(Misfit)?,
            ),
            Build::Double(builder) => builder.append_value(
                number(value).and_then(|n| n.parse().ok()).filter(|n: &f64| n.is_finite()).ok_or(Misfit)?,
            ),
            Build::Decimal(builder, precision, scale) => {
                builder.append_value(decimal_digits(value, *precision, *scale).ok_or(Misfit)?);
            }
            Build::Bytes(builder) => match value {
                Scalar::Text(text) => builder.append_value(STANDARD.decode(text).map_err(|_| Misfit)?),
                _ => return Err(Misfit),
            },
            Build::Date(builder) => {
                builder.append_value(written(value).and_then(date).and_then(days).ok_or(Misfit)?);
            }
            Build::Time(builder) => {
                builder.append_value(written(value).and_then(time).and_then(micros).ok_or(Misfit)?);
            }
            Build::Timestamp(builder) => {
                builder.append_value(written(value).and_then(timestamp).ok_or(Misfit)?);
            }
        }
        Ok(())
    }

    /// The column.
    pub(super) fn finish(self) -> ArrayRef {
        with_builder!(self, builder => {
            let mut builder = builder;
            Arc::new(builder.finish())
        })
    }
}

fn text(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Null => String::new(),
        Scalar::Boolean(value) => value.to_string(),
        Scalar::Number(number) => (*number).to_owned(),
        Scalar::Text(text) => text.clone(),
        Scalar::Nested(json) => compact(json),
    }
}

/// JSON without the blanks between its parts.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            quoted = c == '"';
        }
        out.push(c);
    }
    out
}

fn boolean(value: &Scalar<'_>) -> Option<bool> {
    match value {
        Scalar::Boolean(value) => Some(*value),
        Scalar::Text(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Scalar::Text(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The digits of a number, which may be written as a text.
fn number<'v>(value: &'v Scalar<'_>) -> Option<&'v str> {
    match value {
        Scalar::Number(number) => Some(number),
        Scalar::Text(text) => Some(text.trim()),
        _ => None,
    }
}

fn whole<N: TryFrom<i128>>(value: &Scalar<'_>) -> Option<N> {
    let digits = Decimal::parse(number(value)?)?.at_scale(0)?;
    N::try_from(digits.to_i128()?).ok()
}

fn decimal_digits(value: &Scalar<'_>, precision: u8, scale: i8) -> Option<i128> {
    let digits = Decimal::parse(number(value)?)?.at_scale(u32::try_from(scale).ok()?)?.to_i128()?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (digits.abs() < limit).then_some(digits)
}

fn written<'v>(value: &'v Scalar<'_>) -> Option<&'v str> {
    match value {
        Scalar::Text(text) => Some(text.trim()),
        _ => None,
    }
}

fn date(text: &str) -> Option<NaiveDate> {
    const FORMS: [&str; 4] = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"];
    FORMS.iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok())
}

fn days(date: NaiveDate) -> Option<i32> {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn time(text: &str) -> Option<NaiveTime> {
    const FORMS: [&str; 2] = ["%H:%M:%S%.f", "%H:%M"];
    FORMS.iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())
}

/// Microseconds since midnight; `None` where finer parts would be lost, and for leap seconds.
fn micros(time: NaiveTime) -> Option<i64> {
    let nanos = time.nanosecond();
    let is_exact = nanos.is_multiple_of(1000) && nanos < 1_000_000_000;
    is_exact.then(|| i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(nanos / 1000))
}

fn timestamp(text: &str) -> Option<i64> {
    let (day, clock) = text.split_once(['T', ' '])?;
    i64::from(days(date(day)?)?).checked_mul(86_400_000_000)?.checked_add(micros(time(clock.trim())?)?)
}
