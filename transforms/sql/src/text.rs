//! Values as text, in the form that SeaTunnel's values print themselves in.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, StringArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use chrono::{NaiveDate, NaiveTime, Timelike};

use crate::function::{Fault, Outcome};
use crate::moment::{DAY_US, Moment, Moments, SECOND_US};

/// A column as text. Bytes must be UTF-8.
pub(crate) fn to_text(column: &ArrayRef) -> Outcome {
    let texts = |of: &dyn Fn(usize) -> Result<Option<String>, Fault>| -> Outcome {
        let texts: StringArray = (0..column.len()).map(of).collect::<Result<_, Fault>>()?;
        Ok(Arc::new(texts))
    };
    let known = |row: usize| column.is_valid(row);
    match column.data_type() {
        DataType::Utf8 => Ok(column.clone()),
        DataType::Null => Ok(new_null_array(&DataType::Utf8, column.len())),
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            texts(&|row| Ok(known(row).then(|| double(values.value(row)))))
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            texts(&|row| Ok(known(row).then(|| float(values.value(row)))))
        }
        DataType::Duration(_) => durations(column),
        data_type if crate::cast::is_moment(data_type) => {
            let moments = Moments::new(column)?;
            texts(&|row| Ok(moments.get(row)?.map(|moment| moment_text(&moment))))
        }
        _ => {
            // Safe: what is no text becomes NULL, which is found below without naming the value.
            let options = CastOptions { safe: true, ..CastOptions::default() };
            let texts = cast_with_options(column, &DataType::Utf8, &options)
                .map_err(|_| Fault::new(format!("a value of type {} is no text", column.data_type())))?;
            match texts.null_count() == column.null_count() {
                true => Ok(texts),
                false => Err(Fault::new("the bytes are not UTF-8")),
            }
        }
    }
}

/// `HH:MM:SS` of times that may be negative or longer than a day, as MySQL has them.
fn durations(column: &ArrayRef) -> Outcome {
    let micros = arrow_cast::cast(column, &DataType::Duration(arrow_schema::TimeUnit::Microsecond))
        .and_then(|column| arrow_cast::cast(&column, &DataType::Int64))
        .map_err(|_| Fault::new("a time is out of range"))?;
    let micros = micros.as_primitive::<arrow_array::types::Int64Type>();
    let texts: StringArray = micros.iter().map(|value| value.map(duration)).collect();
    Ok(Arc::new(texts))
}

fn duration(micros: i64) -> String {
    if (0..DAY_US).contains(&micros) {
        return crate::moment::time_of(micros).map(|time| clock_text(&time)).unwrap_or_default();
    }
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, rest) =
        (micros.unsigned_abs() / SECOND_US.unsigned_abs(), micros.unsigned_abs() % SECOND_US.unsigned_abs());
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `2021-04-08`, `13:34:45.5`, `2021-04-08T13:34`.
pub(crate) fn moment_text(moment: &Moment) -> String {
    let date = moment.date.map(|date| date_text(&date));
    let time = moment.time.map(|time| clock_text(&time));
    match (date, time) {
        (Some(date), Some(time)) => format!("{date}T{time}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::new(),
    }
}

fn date_text(date: &NaiveDate) -> String {
    format!("{date:?}")
}

/// Seconds are left out where they are zero, and a fraction has three or six digits.
fn clock_text(time: &NaiveTime) -> String {
    let micros = time.nanosecond() / 1000;
    let minutes = time.format("%H:%M");
    match (time.second(), micros) {
        (0, 0) => format!("{minutes}"),
        (seconds, 0) => format!("{minutes}:{seconds:02}"),
        (seconds, micros) if micros % 1000 == 0 => format!("{minutes}:{seconds:02}.{:03}", micros / 1000),
        (seconds, micros) => format!("{minutes}:{seconds:02}.{micros:06}"),
    }
}

/// The shortest digits that give the number back, with at least one behind the point; with an exponent
/// from 10⁷ on and below 10⁻³.
pub(crate) fn double(value: f64) -> String {
    number(value.is_nan(), value.is_infinite(), value.is_sign_negative(), value == 0.0, &format!("{value:e}"))
}

fn float(value: f32) -> String {
    number(value.is_nan(), value.is_infinite(), value.is_sign_negative(), value == 0.0, &format!("{value:e}"))
}

fn number(nan: bool, infinite: bool, negative: bool, zero: bool, scientific: &str) -> String {
    let sign = if negative { "-" } else { "" };
    if nan {
        return "NaN".to_owned();
    }
    if infinite {
        return format!("{sign}Infinity");
    }
    if zero {
        return format!("{sign}0.0");
    }
    let (mantissa, exponent) =
        scientific.trim_start_matches('-').split_once('e').unwrap_or((scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let or_zero = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    match exponent {
        0..7 => {
            let whole = usize::try_from(exponent).unwrap_or_default() + 1;
            let padded = format!("{digits:0<whole$}");
            let (before, behind) = padded.split_at(whole);
            format!("{sign}{before}.{}", or_zero(behind))
        }
        -3..0 => {
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
            format!("{sign}0.{zeros}{digits}")
        }
        _ => {
            let (before, behind) = digits.split_at(1);
            format!("{sign}{before}.{}E{exponent}", or_zero(behind))
        }
    }
}
