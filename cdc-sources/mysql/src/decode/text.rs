//! Values as the text protocol sends them.

use culvert_api::{Error, ErrorKind, Result};

use super::builder::{Values, push_address, push_bytes, push_date, push_text};
use super::{decimal, network, temporal};
use crate::charset::Charset;

/// Appends one value; `false` for a date that is none, with nothing appended.
pub(crate) fn append(values: &mut Values, text: &[u8]) -> Result<bool> {
    match values {
        Values::Int8(values) => values.push(integer(text)?),
        Values::UInt8(values) => values.push(integer(text)?),
        Values::Int16(values) => values.push(integer(text)?),
        Values::UInt16(values) | Values::Year(values) => values.push(integer(text)?),
        Values::Int32(values) => values.push(integer(text)?),
        Values::UInt32(values) => values.push(integer(text)?),
        Values::Int64(values) => values.push(integer(text)?),
        Values::UInt64(values) => values.push(integer(text)?),
        // The text of a FLOAT selected as such has lost digits; one selected as a DOUBLE has them
        // all, and narrowing gives back exactly the float that was widened.
        #[allow(clippy::cast_possible_truncation)]
        Values::Float(values) => values.push(double(text)? as f32),
        Values::Double(values) => values.push(double(text)?),
        Values::Decimal128(values, scale) => {
            values.push(decimal::parse_i128(text, *scale).ok_or_else(|| unfit("a decimal of its scale"))?);
        }
        Values::Decimal256(values, scale) => {
            values.push(decimal::parse_i256(text, *scale).ok_or_else(|| unfit("a decimal of its scale"))?);
        }
        Values::Bit(values) => {
            if text.len() > 8 {
                return Err(unfit("a string of up to 64 bits"));
            }
            values.push(text.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)));
        }
        Values::Date(values) => {
            // The binary protocol has one form for dates and points in time.
            let text = text.strip_suffix(b" 00:00:00.000000").unwrap_or(text);
            let date = temporal::parse_date(text).ok_or_else(|| unfit("a date"))?;
            return Ok(push_date(values, date));
        }
        Values::Time(values) => values.push(temporal::parse_time(text).ok_or_else(|| unfit("a time"))?),
        Values::DateTime(values) | Values::Timestamp(values) => {
            let datetime = temporal::parse_datetime(text).ok_or_else(|| unfit("a date and time"))?;
            return Ok(push_date(values, datetime));
        }
        Values::Text { strings, charset, blanks } => push_text(strings, *charset, *blanks, text)?,
        Values::Enum { strings, charset, .. } | Values::Set { strings, charset, .. } => {
            push_text(strings, *charset, true, text)?;
        }
        Values::Json(strings) => push_text(strings, Charset::UTF8MB4, true, text)?,
        Values::Uuid(strings) => push_address(strings, network::append_uuid_text, text)?,
        Values::Inet4(strings) => push_address(strings, network::append_inet4_text, text)?,
        Values::Inet6(strings) => push_address(strings, network::append_inet6_text, text)?,
        Values::Bytes { strings, length } => push_bytes(strings, *length, text)?,
    }
    Ok(true)
}

fn unfit(expected: &str) -> Error {
    Error::new(ErrorKind::Value, format!("the server sent a value that is not {expected}"))
}

/// An integer that fits its type.
fn integer<T: TryFrom<i128>>(text: &[u8]) -> Result<T> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    // 20 digits for the largest BIGINT; more only as zeros in front (ZEROFILL).
    let mut value = 0i128;
    for digit in digits {
        if !digit.is_ascii_digit() || value > i128::from(u64::MAX) {
            return Err(unfit("an integer of its type"));
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    if digits.is_empty() {
        return Err(unfit("an integer of its type"));
    }
    T::try_from(if negative { -value } else { value }).map_err(|_| unfit("an integer of its type"))
}

fn double(text: &[u8]) -> Result<f64> {
    let text = std::str::from_utf8(text).map_err(|_| unfit("a number"))?;
    text.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| unfit("a number"))
}
