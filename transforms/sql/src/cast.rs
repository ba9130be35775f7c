//! CAST and TRY_CAST: which types there are, and what becomes of a value.
//!
//! A value that has no form in the new type is an error for CAST and NULL for TRY_CAST. What is dropped
//! without an error is what the language says: the fraction of a number that becomes an integer, and the
//! digits of a DECIMAL past its scale, which are rounded half up.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, PrimitiveArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow_buffer::i256;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion_sql::sqlparser::ast::{DataType as Written, ExactNumberInfo, TimezoneInfo};

use crate::function::{Args, Fault, Operation, Outcome};
use crate::moment::{Moment, Moments, days_of, micros_of, time_of};
use crate::nested::pair;
use crate::text::{double, to_text};

/// What becomes of a value that has no form in the new type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// An error.
    Strict,
    /// NULL.
    Try,
}

/// A date, a time of day, or a point in time.
pub(crate) fn is_moment(data_type: &DataType) -> bool {
    use DataType::{Date32, Duration, Time32, Time64, Timestamp};
    matches!(data_type, Date32 | Time32(_) | Time64(_) | Duration(_) | Timestamp(_, _))
}

pub(crate) fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_))
}

pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

/// A type whose values are one value each, no list and no record.
pub(crate) fn is_plain(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || is_moment(data_type)
        || is_binary(data_type)
        || is_text(data_type)
        || matches!(data_type, DataType::Boolean | DataType::Null)
}

/// The type that a CAST names, `None` when there is no such type.
pub(crate) fn named_type(written: &Written) -> Option<DataType> {
    use Written as W;
    Some(match written {
        W::Varchar(_) | W::String(_) | W::Text | W::Char(_) | W::CharacterVarying(_) => DataType::Utf8,
        W::TinyInt(None) => DataType::Int8,
        W::SmallInt(None) => DataType::Int16,
        W::Int(None) | W::Integer(None) => DataType::Int32,
        W::BigInt(None) => DataType::Int64,
        W::Float(ExactNumberInfo::None) | W::Real => DataType::Float32,
        W::Double(ExactNumberInfo::None) | W::DoublePrecision => DataType::Float64,
        W::Decimal(info) | W::Numeric(info) | W::Dec(info) => return decimal_type(info),
        W::Timestamp(_, TimezoneInfo::None) | W::Datetime(_) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        W::Date => DataType::Date32,
        W::Time(_, TimezoneInfo::None) => DataType::Time64(TimeUnit::Microsecond),
        W::Bytes(_) | W::Binary(_) | W::Varbinary(_) => DataType::Binary,
        W::Boolean | W::Bool => DataType::Boolean,
        W::Custom(name, arguments) if arguments.is_empty() => {
            match name.to_string().to_uppercase().as_str() {
                "LONG" => DataType::Int64,
                "BYTE" => DataType::Int8,
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn decimal_type(info: &ExactNumberInfo) -> Option<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (38, 18),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    if scale < 0 || i16::from(scale) > i16::from(precision) {
        return None;
    }
    match precision {
        1..=38 => Some(DataType::Decimal128(precision, scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

/// The types that CAST knows, for messages.
pub(crate) const TYPES: &str = "STRING, VARCHAR, TINYINT, BYTE, SMALLINT, INT, INTEGER, BIGINT, LONG, FLOAT, DOUBLE, \
                                DECIMAL(p,s), TIMESTAMP, DATETIME, DATE, TIME, BYTES, BOOLEAN";

/// Whether values of one type can become values of another at all.
pub(crate) fn is_possible(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Time64, Timestamp};
    if from.is_null() || from == to {
        return true;
    }
    if !is_plain(from) {
        return false;
    }
    match to {
        DataType::Utf8 => true,
        DataType::Binary => true,
        Boolean => from.is_numeric() || is_text(from),
        Date32 => is_text(from) || from.is_integer() || matches!(from, Timestamp(_, _)),
        Time64(_) => is_text(from) || from.is_integer() || is_moment(from) && *from != Date32,
        Timestamp(_, _) => is_text(from) || from.is_integer() || matches!(from, Date32 | Timestamp(_, _)),
        _ => from.is_numeric() || is_text(from) || *from == Boolean,
    }
}

/// Makes values of a type of [`named_type`].
pub(crate) fn cast(column: &ArrayRef, to: &DataType, mode: Mode) -> Outcome {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    if column.data_type().is_null() {
        return Ok(new_null_array(to, column.len()));
    }
    let made = convert(column, to)?;
    if mode == Mode::Strict && made.null_count() != column.null_count() {
        return Err(Fault::new(format!("a value is no {}", name_of(to))));
    }
    Ok(made)
}

/// A type as a query names it.
pub(crate) fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => "STRING".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => "TIME".to_owned(),
        DataType::Timestamp(_, _) => "TIMESTAMP".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        data_type if is_binary(data_type) => "BYTES".to_owned(),
        DataType::List(item) => format!("ARRAY<{}>", name_of(item.data_type())),
        DataType::Struct(_) => "ROW".to_owned(),
        DataType::Map(pairs, _) => match pair(pairs.data_type()) {
            Some((key, value)) => format!("MAP<{}, {}>", name_of(key), name_of(value)),
            None => "MAP".to_owned(),
        },
        other => other.to_string(),
    }
}

/// Values that have no form become NULL here.
fn convert(column: &ArrayRef, to: &DataType) -> Outcome {
    let from = column.data_type();
    match to {
        DataType::Utf8 => to_text(column),
        DataType::Binary if is_binary(from) => arrow(column, to),
        DataType::Binary => {
            let texts = to_text(column)?;
            let texts = texts.as_string::<i32>();
            Ok(Arc::new(texts.iter().map(|text| text.map(str::as_bytes)).collect::<BinaryArray>()))
        }
        DataType::Boolean => to_boolean(column),
        DataType::Date32 => to_date(column),
        DataType::Time64(_) => to_time(column),
        DataType::Timestamp(_, _) => to_timestamp(column),
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) if is_text(from) || from.is_floating() => {
            to_decimal(column, to)
        }
        DataType::Float32 if is_text(from) => {
            let values: Float32Array = parsed(column, |text| text.trim().parse().ok())?;
            Ok(Arc::new(values))
        }
        DataType::Float64 if is_text(from) => {
            let values: Float64Array = parsed(column, |text| text.trim().parse().ok())?;
            Ok(Arc::new(values))
        }
        _ if is_text(from) => {
            let values: PrimitiveArray<Int64Type> = parsed(column, |text| text.parse().ok())?;
            arrow(&(Arc::new(values) as ArrayRef), to)
        }
        _ => arrow(column, to),
    }
}

/// Arrow's own conversion between numbers: NULL for what is out of range.
fn arrow(column: &ArrayRef, to: &DataType) -> Outcome {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(column, to, &options)
        .map_err(|_| Fault::new(format!("{} cannot become {}", name_of(column.data_type()), name_of(to))))
}

/// A value per text.
fn parsed<V, A: FromIterator<Option<V>>>(
    column: &ArrayRef,
    parse: impl Fn(&str) -> Option<V>,
) -> Result<A, Fault> {
    let texts = to_text(column)?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.and_then(&parse)).collect())
}

fn to_boolean(column: &ArrayRef) -> Outcome {
    if is_text(column.data_type()) {
        let flags: BooleanArray = parsed(column, |text| match text {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })?;
        return Ok(Arc::new(flags));
    }
    let numbers = arrow(column, &DataType::Float64)?;
    let flags = numbers.as_primitive::<Float64Type>().iter().map(|number| match number {
        Some(1.0) => Some(true),
        Some(0.0) => Some(false),
        _ => None,
    });
    Ok(Arc::new(flags.collect::<BooleanArray>()))
}

/// A value per moment of a column.
fn per_moment<V, A: FromIterator<Option<V>>>(
    column: &ArrayRef,
    of: impl Fn(&Moment) -> Option<V>,
) -> Result<A, Fault> {
    let moments = Moments::new(column)?;
    (0..column.len()).map(|row| Ok(moments.get(row)?.and_then(|moment| of(&moment)))).collect()
}

/// A value per integer of a column.
fn per_integer<V, A: FromIterator<Option<V>>>(
    column: &ArrayRef,
    of: impl Fn(i64) -> Option<V>,
) -> Result<A, Fault> {
    let numbers = arrow(column, &DataType::Int64)?;
    Ok(numbers.as_primitive::<Int64Type>().iter().map(|number| number.and_then(&of)).collect())
}

/// Three two-digit parts of a number: 20210408, 133445.
fn parts(number: i64) -> Option<(i32, u32, u32)> {
    let two = |number: i64| u32::try_from(number % 100).ok();
    Some((i32::try_from(number / 10_000).ok()?, two(number / 100)?, two(number)?))
}

fn to_date(column: &ArrayRef) -> Outcome {
    let dates: Date32Array = match column.data_type() {
        from if is_text(from) => parsed(column, |text| read_date(text).map(days_of))?,
        from if from.is_integer() => per_integer(column, |number| {
            let (year, month, day) = parts(number)?;
            NaiveDate::from_ymd_opt(year, month, day).map(days_of)
        })?,
        _ => per_moment(column, |moment| moment.date.map(days_of))?,
    };
    Ok(Arc::new(dates))
}

fn to_time(column: &ArrayRef) -> Outcome {
    let times: Time64MicrosecondArray = match column.data_type() {
        from if is_text(from) => parsed(column, |text| read_time(text).map(micros_of))?,
        from if from.is_integer() => per_integer(column, |number| {
            let (hour, minute, second) = parts(number)?;
            NaiveTime::from_hms_opt(u32::try_from(hour).ok()?, minute, second).map(micros_of)
        })?,
        _ => per_moment(column, |moment| moment.time.map(micros_of))?,
    };
    Ok(Arc::new(times))
}

fn to_timestamp(column: &ArrayRef) -> Outcome {
    let stamps: TimestampMicrosecondArray = match column.data_type() {
        from if is_text(from) => {
            parsed(column, |text| read_timestamp(text).map(|stamp| stamp.and_utc().timestamp_micros()))?
        }
        from if from.is_integer() => per_integer(column, |millis| millis.checked_mul(1000))?,
        _ => per_moment(column, |moment| Some(moment.micros()))?,
    };
    Ok(Arc::new(stamps))
}

/// `2021-04-08`.
pub(crate) fn read_date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

/// `13:34`, `13:34:45`, `13:34:45.123456`. Digits past the sixth of a second are refused, unless they are zero.
pub(crate) fn read_time(text: &str) -> Option<NaiveTime> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"))
        .ok()?;
    (time_of(micros_of(time)) == Some(time)).then_some(time)
}

/// `2021-04-08T13:34:45.123456`, with a blank instead of the T, without the seconds, or a date alone.
pub(crate) fn read_timestamp(text: &str) -> Option<NaiveDateTime> {
    match text.split_once(['T', ' ']) {
        Some((date, time)) => Some(read_date(date)?.and_time(read_time(time)?)),
        None => Some(read_date(text)?.and_time(NaiveTime::MIN)),
    }
}

fn to_decimal(column: &ArrayRef, to: &DataType) -> Outcome {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = to else {
        return Err(Fault::new("not a decimal type"));
    };
    let texts: ArrayRef = match column.data_type() {
        // Through its shortest digits: a double is the number that it prints, not the binary fraction.
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>();
            Arc::new(numbers.iter().map(|number| number.map(double)).collect::<StringArray>())
        }
        _ => to_text(column)?,
    };
    let read =
        |text: &str| read_decimal(text, *scale).filter(|value| digits(*value) <= u32::from(*precision));
    let made: Result<ArrayRef, _> = match to {
        DataType::Decimal128(_, _) => {
            let values: Decimal128Array = parsed(&texts, |text| read(text).and_then(i256::to_i128))?;
            values.with_precision_and_scale(*precision, *scale).map(|values| Arc::new(values) as ArrayRef)
        }
        _ => {
            let values: Decimal256Array = parsed(&texts, read)?;
            values.with_precision_and_scale(*precision, *scale).map(|values| Arc::new(values) as ArrayRef)
        }
    };
    made.map_err(|_| Fault::new("not a decimal type"))
}

/// Decimal digits of a number.
pub(crate) fn digits(value: i256) -> u32 {
    let mut rest = value.wrapping_abs();
    let mut digits = 0;
    while rest != i256::ZERO {
        rest = rest.wrapping_div(i256::from_i128(10));
        digits += 1;
    }
    digits
}

/// Digits of a number with zeros in front, as far as they are looked at; a decimal has 76.
const MANTISSA_MAX: i64 = 4096;

/// The number in units of 10⁻ˢᶜᵃˡᵉ, rounded half up (away from zero); `None` for no number and one too long.
pub(crate) fn read_decimal(text: &str, scale: i8) -> Option<i256> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.as_bytes().first()? {
        b'-' => (true, mantissa.get(1..)?),
        b'+' => (false, mantissa.get(1..)?),
        _ => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // The digits that count: those before the point, `exponent` and `scale` more.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    if kept > MANTISSA_MAX {
        return all.iter().all(|digit| *digit == b'0').then_some(i256::ZERO);
    }
    let mut value = i256::ZERO;
    let ten = i256::from_i128(10);
    for place in 0..kept.max(0) {
        let digit =
            usize::try_from(place).ok().and_then(|place| all.get(place)).map_or(0, |digit| digit - b'0');
        value = value.checked_mul(ten)?.checked_add(i256::from_i128(i128::from(digit)))?;
    }
    let next = usize::try_from(kept).ok().and_then(|place| all.get(place)).copied().unwrap_or(b'0');
    if next >= b'5' {
        value = value.checked_add(i256::ONE)?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// A CAST or TRY_CAST.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cast {
    pub(crate) mode: Mode,
}

impl Operation for Cast {
    fn name(&self) -> &str {
        match self.mode {
            Mode::Strict => "CAST",
            Mode::Try => "TRY_CAST",
        }
    }

    fn run(&self, args: &Args) -> Outcome {
        cast(&args.column(0)?, &args.returns, self.mode)
    }
}

/// Whether every value of a decimal column has at most as many digits as its type says.
pub(crate) fn fits(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Decimal128(precision, _) => {
            column.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision).is_ok()
        }
        DataType::Decimal256(precision, _) => {
            column.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision).is_ok()
        }
        _ => true,
    }
}
