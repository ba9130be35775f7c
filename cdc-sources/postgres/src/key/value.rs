//! Values of key columns: read from either form, compared as the server does, stored, and written
//! into statements.

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use culvert_api::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::column::PgType;
use crate::decode::{Cell, append_numeric, append_uuid, bytea_from_text, from_hex, temporal};

/// A value of a key column. Values of one column are all of one variant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum KeyValue {
    /// Booleans, integers, oids, and temporals as Arrow counts them.
    Int(i64),
    /// Any numeric.
    Numeric(Number),
    /// Text that sorts by its bytes; `character(n)` without the blanks at its end, which do not count.
    Text(String),
    /// bytea and uuid.
    Bytes(Vec<u8>),
}

/// A numeric by its digits, as printed.
#[derive(Clone, Debug)]
pub(crate) struct Number(String);

impl Number {
    /// Infinities and NaN, which is above all, as ranks around the numbers.
    fn rank(&self) -> i8 {
        match self.0.as_str() {
            "-Infinity" => -2,
            "Infinity" => 2,
            "NaN" => 3,
            _ => match self.parts() {
                (_, "", "") => 0,
                (true, ..) => -1,
                (false, ..) => 1,
            },
        }
    }

    /// Whether it is negative, and its digits before and behind the point without idle zeros.
    fn parts(&self) -> (bool, &str, &str) {
        let (negative, digits) = match self.0.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, self.0.as_str()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        (negative, whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let ranks = self.rank().cmp(&other.rank());
        if ranks != Ordering::Equal || !matches!(self.rank(), -1 | 1) {
            return ranks;
        }
        let ((negative, whole, fraction), (_, other_whole, other_fraction)) = (self.parts(), other.parts());
        let size = whole
            .len()
            .cmp(&other_whole.len())
            .then_with(|| whole.cmp(other_whole))
            // A shorter fraction that is the beginning of a longer one is smaller, as text is.
            .then_with(|| fraction.cmp(other_fraction));
        if negative { size.reverse() } else { size }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl KeyValue {
    /// Reads a value of a column of this type.
    pub(crate) fn read(kind: &PgType, cell: Cell<'_>) -> Result<KeyValue> {
        match cell {
            Cell::Text(text) => KeyValue::from_text(kind, text),
            Cell::Binary(bytes) => KeyValue::from_binary(kind, bytes),
            Cell::Null | Cell::Unavailable => {
                Err(Error::new(ErrorKind::Corrupt, "a key column without a value"))
            }
        }
    }

    fn from_text(kind: &PgType, text: &[u8]) -> Result<KeyValue> {
        Ok(match kind {
            PgType::Bool => KeyValue::Int(i64::from(text == b"t")),
            PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => {
                KeyValue::Int(as_text(text)?.parse().map_err(|_| unreadable())?)
            }
            PgType::Date => KeyValue::Int(i64::from(temporal::date_from_text(text)?)),
            PgType::Time => KeyValue::Int(temporal::time_from_text(text)?),
            PgType::Timestamp | PgType::TimestampTz => KeyValue::Int(temporal::timestamp_from_text(text)?),
            PgType::Decimal { .. } | PgType::Numeric => KeyValue::Numeric(Number(as_text(text)?.to_owned())),
            PgType::Bytea => KeyValue::Bytes(bytea_from_text(text)?),
            PgType::Uuid => {
                let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
                KeyValue::Bytes(from_hex(&digits).ok_or_else(unreadable)?)
            }
            PgType::Char => KeyValue::Text(as_text(text)?.trim_end_matches(' ').to_owned()),
            PgType::Text => KeyValue::Text(as_text(text)?.to_owned()),
            _ => return Err(unordered()),
        })
    }

    fn from_binary(kind: &PgType, bytes: &[u8]) -> Result<KeyValue> {
        Ok(match kind {
            PgType::Bool => KeyValue::Int(i64::from(bytes == [1])),
            PgType::Int2 => KeyValue::Int(i64::from(i16::from_be_bytes(fixed(bytes)?))),
            PgType::Int4 => KeyValue::Int(i64::from(i32::from_be_bytes(fixed(bytes)?))),
            PgType::Int8 => KeyValue::Int(i64::from_be_bytes(fixed(bytes)?)),
            PgType::Oid => KeyValue::Int(i64::from(u32::from_be_bytes(fixed(bytes)?))),
            PgType::Date => KeyValue::Int(i64::from(temporal::date_from_binary(bytes)?)),
            PgType::Time => KeyValue::Int(temporal::time_from_binary(bytes)?),
            PgType::Timestamp | PgType::TimestampTz => KeyValue::Int(temporal::timestamp_from_binary(bytes)?),
            PgType::Decimal { .. } | PgType::Numeric => {
                let mut digits = String::new();
                append_numeric(bytes, &mut digits)?;
                KeyValue::Numeric(Number(digits))
            }
            PgType::Bytea | PgType::Uuid => KeyValue::Bytes(bytes.to_vec()),
            PgType::Char | PgType::Text => return KeyValue::from_text(kind, bytes),
            _ => return Err(unordered()),
        })
    }

    /// The value as the type's input function reads it.
    pub(crate) fn text(&self, kind: &PgType) -> String {
        let mut text = String::new();
        match (self, kind) {
            (KeyValue::Int(value), PgType::Bool) => text.push(if *value == 0 { 'f' } else { 't' }),
            (KeyValue::Int(value), PgType::Date) => {
                temporal::append_date(i32::try_from(*value).unwrap_or(i32::MAX), &mut text);
            }
            (KeyValue::Int(value), PgType::Time) => temporal::append_time(*value, &mut text),
            (KeyValue::Int(value), PgType::Timestamp | PgType::TimestampTz) => {
                temporal::append_timestamp(*value, &mut text);
            }
            // Writing to a String cannot fail.
            (KeyValue::Int(value), _) => _ = write!(text, "{value}"),
            (KeyValue::Numeric(Number(digits)), _) => text.push_str(digits),
            (KeyValue::Text(value), _) => text.push_str(value),
            (KeyValue::Bytes(bytes), PgType::Uuid) => {
                if let Ok(bytes) = bytes.as_slice().try_into() {
                    append_uuid(bytes, &mut text);
                }
            }
            (KeyValue::Bytes(bytes), _) => {
                text.push_str("\\x");
                append_hex(bytes, &mut text);
            }
        }
        text
    }
}

fn append_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

fn as_text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| unreadable())
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| unreadable())
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Corrupt, "a key value that cannot be read")
}

fn unordered() -> Error {
    Error::new(ErrorKind::Internal, "a key of a type that is not compared here")
}

/// The stored form: a letter for the variant, a colon, the value.
impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyValue::Int(value) => write!(f, "i:{value}"),
            KeyValue::Numeric(Number(digits)) => write!(f, "n:{digits}"),
            KeyValue::Text(text) => write!(f, "t:{text}"),
            KeyValue::Bytes(bytes) => {
                let mut digits = String::with_capacity(bytes.len() * 2);
                append_hex(bytes, &mut digits);
                write!(f, "b:{digits}")
            }
        }
    }
}

impl FromStr for KeyValue {
    type Err = Error;

    fn from_str(stored: &str) -> Result<KeyValue> {
        let damaged = || Error::new(ErrorKind::Corrupt, "a stored key value cannot be read");
        let (variant, value) = stored.split_once(':').ok_or_else(damaged)?;
        Ok(match variant {
            "i" => KeyValue::Int(value.parse().map_err(|_| damaged())?),
            "n" => KeyValue::Numeric(Number(value.to_owned())),
            "t" => KeyValue::Text(value.to_owned()),
            "b" => KeyValue::Bytes(from_hex(value.as_bytes()).ok_or_else(damaged)?),
            _ => return Err(damaged()),
        })
    }
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
